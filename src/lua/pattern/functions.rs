//! `string.find`, `match`, `gmatch` and `gsub`, in place of the stock ones.

use mlua::{Integer, IntoLua, Lua, LuaString, MultiValue, Table, Value};

use super::matcher::{Captured, Fault, Matcher, Meter, find_plain, is_plain};
use super::replace;
use crate::lua::error::error_here;
use crate::lua::host::Host;
use crate::lua::limits::Steps;

impl Meter for Steps<'_> {
    #[inline]
    fn spend(&mut self, steps: usize) -> Result<(), Fault> {
        Steps::spend(self, steps).map_err(Fault::Stopped)
    }
}

/// Puts the functions into the table `string`. What `gmatch` needs besides is returned: its step, from which the
/// prelude makes an iterator (`step(subject, pattern, from, last)` gives the end of the match and the captures).
pub(in crate::lua) fn install(lua: &Lua, host: &Host, string: &Table) -> mlua::Result<mlua::Function> {
    let limits = host.limits().clone();
    let find = lua.create_function(move |lua, (s, p, init, plain): (Value, Value, Value, Value)| {
        let mut steps = limits.steps(lua);
        search(lua, &mut steps, "find", (s, p, init)).find(is_true(&plain))
    })?;
    string.raw_set("find", find)?;
    let limits = host.limits().clone();
    let first = lua.create_function(move |lua, (s, p, init): (Value, Value, Value)| {
        let mut steps = limits.steps(lua);
        search(lua, &mut steps, "match", (s, p, init)).captures()
    })?;
    string.raw_set("match", first)?;
    string.raw_set("gsub", replace::function(lua, host)?)?;
    let limits = host.limits().clone();
    lua.create_function(move |lua, (s, p, from, last): (LuaString, LuaString, Integer, Integer)| {
        let mut steps = limits.steps(lua);
        gmatch_step(lua, &mut steps, (&s, &p), (from, last))
    })
}

/// What counts as true in Lua.
fn is_true(value: &Value) -> bool {
    !matches!(value, Value::Nil | Value::Boolean(false))
}

/// An error at the script's line, or the deadline's own.
pub(super) fn raise(lua: &Lua, fault: Fault) -> mlua::Error {
    match fault {
        Fault::Malformed(message) => error_here(lua, message),
        Fault::Stopped(error) => error,
    }
}

/// An argument that is a text, or a number to be taken as one.
pub(super) fn text(lua: &Lua, value: Value, index: usize, function: &str) -> mlua::Result<LuaString> {
    let wrong = |found: &str| {
        error_here(lua, format_args!("bad argument #{index} to '{function}' (string expected, got {found})"))
    };
    match value {
        Value::String(text) => Ok(text),
        number @ (Value::Integer(_) | Value::Number(_)) => lua.coerce_string(number)?.ok_or_else(|| wrong("number")),
        other => Err(wrong(other.type_name())),
    }
}

/// An argument that is a whole number, or not given.
pub(super) fn integer(lua: &Lua, value: Value, index: usize, function: &str) -> mlua::Result<Option<Integer>> {
    let wrong = |why: &str| error_here(lua, format_args!("bad argument #{index} to '{function}' ({why})"));
    match value {
        Value::Nil => Ok(None),
        Value::Integer(number) => Ok(Some(number)),
        other => {
            let found = other.type_name();
            let number = matches!(other, Value::Number(_)) || lua.coerce_number(other.clone())?.is_some();
            match lua.coerce_integer(other)? {
                Some(number) => Ok(Some(number)),
                None if number => Err(wrong("number has no integer representation")),
                None => Err(wrong(&format!("number expected, got {found}"))),
            }
        }
    }
}

/// A position as scripts give it (from 1, or negative from the end) as an offset, which may lie behind the end.
pub(super) fn offset(position: Integer, length: usize) -> usize {
    if position > 0 {
        usize::try_from(position - 1).unwrap_or(usize::MAX)
    } else if position == 0 {
        0
    } else {
        usize::try_from(position.unsigned_abs()).map_or(0, |back| length.saturating_sub(back))
    }
}

pub(super) fn push<'s>(lua: &Lua, captured: Captured<'s>) -> mlua::Result<Value> {
    match captured {
        Captured::Text(text) => lua.create_string(text).map(Value::String),
        Captured::Position(position) => position.into_lua(lua),
    }
}

/// All captures of a match; the whole match when there is none and `whole` is set.
pub(super) fn push_all<M: Meter>(
    lua: &Lua,
    matcher: &Matcher<'_, '_, M>,
    (start, end): (usize, usize),
    whole: bool,
    values: &mut MultiValue,
) -> mlua::Result<()> {
    let count = if matcher.captures() == 0 && whole { 1 } else { matcher.captures() };
    for index in 0..count {
        let captured = matcher.capture(index, start, end).map_err(|fault| raise(lua, fault))?;
        values.push_back(push(lua, captured)?);
    }
    Ok(())
}

/// The arguments that `find` and `match` share, read but not yet looked at.
struct Search<'a, 'l> {
    lua: &'l Lua,
    steps: &'a mut Steps<'l>,
    arguments: mlua::Result<(LuaString, LuaString, Integer)>,
}

fn search<'a, 'l>(
    lua: &'l Lua,
    steps: &'a mut Steps<'l>,
    function: &str,
    (s, p, init): (Value, Value, Value),
) -> Search<'a, 'l> {
    let arguments = text(lua, s, 1, function).and_then(|s| {
        let p = text(lua, p, 2, function)?;
        Ok((s, p, integer(lua, init, 3, function)?.unwrap_or(1)))
    });
    Search { lua, steps, arguments }
}

fn nothing() -> MultiValue {
    let mut values = MultiValue::new();
    values.push_back(Value::Nil);
    values
}

impl Search<'_, '_> {
    fn find(self, plain: bool) -> mlua::Result<MultiValue> {
        let (subject, pattern, init) = self.arguments?;
        let (subject, pattern) = (subject.as_bytes(), pattern.as_bytes());
        let from = offset(init, subject.len());
        if from > subject.len() {
            return Ok(nothing());
        }
        if !plain && !is_plain(&pattern) {
            return first_match(self.lua, self.steps, (&subject, &pattern, from), true);
        }
        let found = find_plain(&subject, &pattern, from, self.steps).map_err(|fault| raise(self.lua, fault))?;
        let Some(start) = found else { return Ok(nothing()) };
        let mut values = MultiValue::new();
        values.push_back((start + 1).into_lua(self.lua)?);
        values.push_back((start + pattern.len()).into_lua(self.lua)?);
        Ok(values)
    }

    fn captures(self) -> mlua::Result<MultiValue> {
        let (subject, pattern, init) = self.arguments?;
        let (subject, pattern) = (subject.as_bytes(), pattern.as_bytes());
        let from = offset(init, subject.len());
        if from > subject.len() {
            return Ok(nothing());
        }
        first_match(self.lua, self.steps, (&subject, &pattern, from), false)
    }
}

fn first_match(
    lua: &Lua,
    steps: &mut Steps<'_>,
    (subject, pattern, from): (&[u8], &[u8], usize),
    with_place: bool,
) -> mlua::Result<MultiValue> {
    let (anchored, pattern) = unanchor(pattern);
    let mut matcher = Matcher::new(subject, pattern, steps);
    let last = if anchored { from } else { subject.len() };
    for start in from..=last {
        let Some(end) = matcher.at(start).map_err(|fault| raise(lua, fault))? else { continue };
        let mut values = MultiValue::new();
        if with_place {
            values.push_back((start + 1).into_lua(lua)?);
            values.push_back(end.into_lua(lua)?);
        }
        push_all(lua, &matcher, (start, end), !with_place, &mut values)?;
        return Ok(values);
    }
    Ok(nothing())
}

/// Whether the pattern is tied to its start, and the rest of it.
pub(super) fn unanchor(pattern: &[u8]) -> (bool, &[u8]) {
    match pattern.strip_prefix(b"^") {
        Some(rest) => (true, rest),
        None => (false, pattern),
    }
}

/// The next match from offset `from` on that does not end at `last` (-1: anywhere): its end, then its captures.
fn gmatch_step(
    lua: &Lua,
    steps: &mut Steps<'_>,
    (subject, pattern): (&LuaString, &LuaString),
    (from, last): (Integer, Integer),
) -> mlua::Result<MultiValue> {
    let (subject, pattern) = (subject.as_bytes(), pattern.as_bytes());
    let from = usize::try_from(from).unwrap_or(0);
    let last = usize::try_from(last).ok();
    let mut matcher = Matcher::new(&subject, &pattern, steps);
    for start in from..=subject.len() {
        let Some(end) = matcher.at(start).map_err(|fault| raise(lua, fault))? else { continue };
        if Some(end) == last {
            continue;
        }
        let mut values = MultiValue::new();
        values.push_back(end.into_lua(lua)?);
        push_all(lua, &matcher, (start, end), true, &mut values)?;
        return Ok(values);
    }
    Ok(MultiValue::new())
}
