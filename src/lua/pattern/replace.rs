//! `string.gsub`.

use mlua::{Function, Lua, LuaString, MultiValue, Table, Value};

use super::functions::{integer, push, push_all, raise, text, unanchor};
use super::matcher::{Captured, Fault, Matcher, Meter};
use crate::lua::error::error_here;
use crate::lua::host::Host;
use crate::lua::limits::Steps;

/// What stands in place of a match.
enum Replacement {
    Text(LuaString),
    Table(Table),
    Function(Function),
}

/// `string.gsub`, for this host's state.
pub(super) fn function(lua: &Lua, host: &Host) -> mlua::Result<Function> {
    let limits = host.limits().clone();
    let memory = host.memory();
    lua.create_function(move |lua, (s, p, replacement, max): (Value, Value, Value, Value)| {
        let subject = text(lua, s, 1, "gsub")?;
        let pattern = text(lua, p, 2, "gsub")?;
        let replacement = match replacement {
            Value::Table(table) => Replacement::Table(table),
            Value::Function(function) => Replacement::Function(function),
            Value::String(_) | Value::Integer(_) | Value::Number(_) => {
                Replacement::Text(text(lua, replacement, 3, "gsub")?)
            }
            other => {
                let message = "bad argument #3 to 'gsub' (string/function/table expected, got";
                return Err(error_here(lua, format_args!("{message} {})", other.type_name())));
            }
        };
        let max = integer(lua, max, 4, "gsub")?.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(0));
        let mut steps = limits.steps(lua);
        let output = Output { bytes: Vec::new(), most: memory };
        Substitution { lua, replacement, output }.run(&mut steps, (&subject, &pattern), max)
    })
}

/// What was put together so far. It is not the state's memory, so the cap is looked after here.
struct Output {
    bytes: Vec<u8>,
    most: usize,
}

impl Output {
    fn add(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if self.bytes.len() + bytes.len() > self.most {
            let most = self.most;
            return Err(Fault::Malformed(format!(
                "string.gsub: the result is longer than the {most} bytes of memory there are"
            )));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

struct Substitution<'l> {
    lua: &'l Lua,
    replacement: Replacement,
    output: Output,
}

impl Substitution<'_> {
    fn run(
        mut self,
        steps: &mut Steps<'_>,
        (subject, pattern): (&LuaString, &LuaString),
        max: usize,
    ) -> mlua::Result<(LuaString, usize)> {
        let lua = self.lua;
        let fail = |fault| raise(lua, fault);
        let (bytes, pattern) = (subject.as_bytes(), pattern.as_bytes());
        let (anchored, pattern) = unanchor(&pattern);
        let mut matcher = Matcher::new(&bytes, pattern, steps);
        let (mut at, mut last, mut count, mut changed) = (0, None, 0, false);
        while count < max {
            match matcher.at(at).map_err(fail)? {
                Some(end) if Some(end) != last => {
                    count += 1;
                    changed |= self.replace(&matcher, &bytes, (at, end))?;
                    at = end;
                    last = Some(end);
                }
                _ if at < bytes.len() => {
                    self.output.add(&bytes[at..=at]).map_err(fail)?;
                    at += 1;
                }
                _ => break,
            }
            if anchored {
                break;
            }
        }
        if !changed {
            return Ok((subject.clone(), count));
        }
        self.output.add(&bytes[at..]).map_err(fail)?;
        Ok((lua.create_string(&self.output.bytes)?, count))
    }

    /// Puts what replaces a match behind the output; says whether that is anything but the match itself.
    fn replace<M: Meter>(
        &mut self,
        matcher: &Matcher<'_, '_, M>,
        subject: &[u8],
        (start, end): (usize, usize),
    ) -> mlua::Result<bool> {
        let lua = self.lua;
        let fail = |fault| raise(lua, fault);
        let value = match &self.replacement {
            Replacement::Text(template) => {
                let template = template.clone();
                let template = template.as_bytes();
                self.expand(matcher, &template, (start, end)).map_err(fail)?;
                return Ok(true);
            }
            Replacement::Table(table) => {
                let key = push(lua, matcher.capture(0, start, end).map_err(fail)?)?;
                table.get::<Value>(key)?
            }
            Replacement::Function(function) => {
                let mut arguments = MultiValue::new();
                push_all(lua, matcher, (start, end), true, &mut arguments)?;
                function.call::<Value>(arguments)?
            }
        };
        match value {
            Value::Nil | Value::Boolean(false) => {
                self.output.add(&subject[start..end]).map_err(fail)?;
                Ok(false)
            }
            Value::String(text) => {
                self.output.add(&text.as_bytes()).map_err(fail)?;
                Ok(true)
            }
            number @ (Value::Integer(_) | Value::Number(_)) => {
                if let Some(text) = lua.coerce_string(number)? {
                    self.output.add(&text.as_bytes()).map_err(fail)?;
                }
                Ok(true)
            }
            other => Err(error_here(lua, format_args!("invalid replacement value (a {})", other.type_name()))),
        }
    }

    /// A replacement text, with `%1` and the like.
    fn expand<M: Meter>(
        &mut self,
        matcher: &Matcher<'_, '_, M>,
        mut template: &[u8],
        (start, end): (usize, usize),
    ) -> Result<(), Fault> {
        while let Some(escape) = template.iter().position(|byte| *byte == b'%') {
            self.output.add(&template[..escape])?;
            let captured = match template.get(escape + 1) {
                Some(b'%') => Captured::Text(b"%"),
                Some(b'0') => matcher.whole(start, end),
                Some(digit @ b'1'..=b'9') => matcher.capture(usize::from(digit - b'1'), start, end)?,
                _ => return Err(Fault::Malformed("invalid use of '%' in replacement string".to_owned())),
            };
            match captured {
                Captured::Text(text) => self.output.add(text)?,
                Captured::Position(position) => self.output.add(position.to_string().as_bytes())?,
            }
            template = &template[escape + 2..];
        }
        self.output.add(template)
    }
}
