//! Values as people read them at a prompt: tables in columns, with their keys in order, and nothing that a terminal obeys.

use std::collections::BTreeSet;
use std::ffi::c_void;
use std::fmt::Write as _;

use mlua::{Lua, Table, Value};

use super::records;
use crate::lua::values::{Group, Handle};

/// Tables within tables that are shown.
const DEPTH: usize = 5;

/// Entries of one table that are shown.
const ENTRIES: usize = 200;

/// Bytes that one value may come to.
const LARGEST: usize = 256 * 1024;

/// The longest text within a table.
const TEXT: usize = 2_000;

/// A value for people, without a line feed at its end.
pub(super) fn shown(lua: &Lua, value: &Value, width: usize) -> mlua::Result<String> {
    let mut show = Show { lua, width: width.clamp(20, 1_000), open: Vec::new(), left: LARGEST };
    show.value(value, 0, 0)
}

pub(super) struct Show<'a> {
    lua: &'a Lua,
    pub(super) width: usize,
    open: Vec<*const c_void>,
    left: usize,
}

impl Show<'_> {
    fn value(&mut self, value: &Value, indent: usize, depth: usize) -> mlua::Result<String> {
        let text = match value {
            Value::Table(table) => self.table(table, indent, depth)?,
            other => self.plain(other)?,
        };
        self.left = self.left.saturating_sub(text.len().min(TEXT));
        Ok(text)
    }

    /// A value that is no table.
    pub(super) fn plain(&self, value: &Value) -> mlua::Result<String> {
        Ok(match value {
            Value::Nil => "nil".into(),
            Value::LightUserData(pointer) if pointer.0.is_null() => "null".into(),
            Value::Boolean(_) | Value::Integer(_) | Value::Number(_) => value.to_string()?,
            Value::String(text) => quoted(&text.as_bytes()),
            Value::Function(function) => {
                let info = function.info();
                match (info.short_src, info.line_defined) {
                    (Some(file), Some(line)) if info.what == "Lua" => format!("function ({file}:{line})"),
                    _ => "function".into(),
                }
            }
            Value::Thread(_) => "coroutine".into(),
            Value::UserData(_) => self.own_words(value)?,
            other => other.type_name().into(),
        })
    }

    /// A value as it tells itself.
    fn own_words(&self, value: &Value) -> mlua::Result<String> {
        let tostring: mlua::Function = self.lua.globals().raw_get("tostring")?;
        let text: mlua::LuaString = tostring.call(value)?;
        Ok(clean(&text.as_bytes()[..text.as_bytes().len().min(LARGEST)]))
    }

    fn table(&mut self, table: &Table, indent: usize, depth: usize) -> mlua::Result<String> {
        if self.open.contains(&table.to_pointer()) {
            return Ok("{…} (contains itself)".into());
        }
        let speaks = match table.metatable() {
            Some(metatable) => !metatable.raw_get::<Value>("__tostring")?.is_nil(),
            None => false,
        };
        if speaks {
            let text = self.own_words(&Value::Table(table.clone()))?;
            return Ok(if depth == 0 { text } else { text.replace('\n', &format!("\n{}", " ".repeat(indent))) });
        }
        let entries = Entries::of(table)?;
        if entries.is_empty() {
            return Ok("{}".into());
        }
        if depth >= DEPTH || self.left == 0 {
            return Ok("{…}".into());
        }
        self.open.push(table.to_pointer());
        let text = self.entries(&entries, indent, depth);
        self.open.pop();
        text
    }

    fn entries(&mut self, entries: &Entries, indent: usize, depth: usize) -> mlua::Result<String> {
        if depth == 0
            && let Some(rows) = records::rows(entries)
        {
            return records::table(self, &rows);
        }
        if let Some(line) = self.one_line(entries, indent)? {
            return Ok(line);
        }
        let pad = " ".repeat(indent + 2);
        let names: Vec<String> =
            entries.named.iter().take(ENTRIES).map(|(key, _)| self.key(key)).collect::<Result<_, _>>()?;
        let longest = names.iter().map(|name| name.chars().count()).filter(|length| *length <= 24).max().unwrap_or(0);
        let mut out = String::from("{\n");
        for item in entries.items.iter().take(ENTRIES) {
            let text = self.value(item, indent + 2, depth + 1)?;
            let _ = writeln!(out, "{pad}{text},");
        }
        for (name, (_, value)) in names.iter().zip(&entries.named) {
            let text = self.value(value, indent + 2, depth + 1)?;
            let _ = writeln!(out, "{pad}{name:longest$} = {text},");
        }
        let hidden = entries.hidden();
        if hidden > 0 {
            let _ = writeln!(out, "{pad}… {hidden} more");
        }
        let _ = write!(out, "{}}}", " ".repeat(indent));
        Ok(out)
    }

    /// The table on one line, where it is short and flat.
    fn one_line(&self, entries: &Entries, indent: usize) -> mlua::Result<Option<String>> {
        let flat = |value: &Value| !matches!(value, Value::Table(_));
        if !entries.items.iter().all(flat) || !entries.named.iter().all(|(_, value)| flat(value)) {
            return Ok(None);
        }
        // Many keys are read more easily below each other.
        if entries.named.len() > 4 || entries.hidden() > 0 {
            return Ok(None);
        }
        let mut parts = Vec::new();
        let mut length = indent + 4;
        for item in &entries.items {
            parts.push(self.plain(item)?);
            length += parts.last().map_or(0, |part| part.chars().count() + 2);
            if length > self.width {
                return Ok(None);
            }
        }
        for (key, value) in &entries.named {
            parts.push(format!("{} = {}", self.key(key)?, self.plain(value)?));
        }
        let line = format!("{{ {} }}", parts.join(", "));
        Ok((indent + line.chars().count() <= self.width && !line.contains('\n')).then_some(line))
    }

    fn key(&self, key: &Value) -> mlua::Result<String> {
        match key {
            Value::String(name) if is_name(&name.as_bytes()) => Ok(name.to_string_lossy()),
            Value::Table(_) => Ok("[table]".into()),
            other => Ok(format!("[{}]", self.plain(other)?)),
        }
    }
}

/// What is in a table.
pub(super) struct Entries {
    /// The list part.
    pub(super) items: Vec<Value>,
    /// The rest, keys in order.
    pub(super) named: Vec<(Value, Value)>,
    /// How many there are that were not taken.
    left_out: usize,
}

impl Entries {
    fn of(table: &Table) -> mlua::Result<Entries> {
        let length = table.raw_len();
        let mut entries =
            Entries { items: Vec::new(), named: Vec::new(), left_out: length.saturating_sub(10 * ENTRIES) };
        for index in 1..=length.min(10 * ENTRIES) {
            entries.items.push(table.raw_get(index)?);
        }
        let within =
            |key: &Value| matches!(key, Value::Integer(n) if usize::try_from(*n).is_ok_and(|n| n >= 1 && n <= length));
        for pair in table.pairs::<Value, Value>() {
            let (key, value) = pair?;
            if within(&key) {
                continue;
            }
            if entries.named.len() < 10 * ENTRIES {
                entries.named.push((key, value));
            } else {
                entries.left_out += 1;
            }
        }
        entries.named.sort_by_cached_key(|(key, _)| order(key));
        Ok(entries)
    }

    fn is_empty(&self) -> bool {
        self.items.is_empty() && self.named.is_empty()
    }

    /// How many are not shown.
    pub(super) fn hidden(&self) -> usize {
        self.items.len().saturating_sub(ENTRIES) + self.named.len().saturating_sub(ENTRIES) + self.left_out
    }

    /// Those that are shown of the list.
    pub(super) fn shown_items(&self) -> &[Value] {
        &self.items[..self.items.len().min(ENTRIES)]
    }
}

/// Numbers first, then names, then all else.
fn order(key: &Value) -> (u8, i64, String) {
    match key {
        Value::Integer(number) => (0, *number, String::new()),
        Value::Number(number) => (0, *number as i64, number.to_string()),
        Value::String(text) => (1, 0, text.to_string_lossy()),
        other => (2, 0, other.type_name().to_owned()),
    }
}

/// Words of the language, which are no names.
const RESERVED: [&str; 22] = [
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in", "local", "nil",
    "not", "or", "repeat", "return", "then", "true", "until", "while",
];

fn is_name(bytes: &[u8]) -> bool {
    let Some((first, rest)) = bytes.split_first() else { return false };
    let letter = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    letter(first)
        && rest.iter().all(|byte| letter(byte) || byte.is_ascii_digit())
        && !RESERVED.iter().any(|word| word.as_bytes() == bytes)
}

/// A text as Lua would write it.
fn quoted(bytes: &[u8]) -> String {
    let cut = bytes.len() > TEXT;
    let text = escaped(&bytes[..bytes.len().min(TEXT)], true);
    if cut { format!("\"{text}…\" ({} bytes)", bytes.len()) } else { format!("\"{text}\"") }
}

/// A text of several lines without what a terminal would obey.
pub(super) fn clean(bytes: &[u8]) -> String {
    escaped(bytes, false)
}

fn escaped(bytes: &[u8], quote: bool) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '\n' if !quote => out.push('\n'),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str(if quote { "\\t" } else { "    " }),
                '\r' if quote => out.push_str("\\r"),
                '"' | '\\' if quote => out.extend(['\\', char]),
                char if char.is_control() || is_invisible(char) => {
                    let _ = write!(out, "\\u{{{:x}}}", u32::from(char));
                }
                char => out.push(char),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// What changes the direction of what is around it, or cannot be seen.
fn is_invisible(char: char) -> bool {
    matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The keys that rows have in common, for [`records`].
pub(super) fn names_of(table: &Table) -> Option<BTreeSet<String>> {
    if table.raw_len() > 0 || table.metatable().is_some() {
        return None;
    }
    let mut names = BTreeSet::new();
    for pair in table.pairs::<Value, Value>() {
        let Value::String(name) = pair.ok()?.0 else { return None };
        names.insert(clean(&name.as_bytes()));
        if names.len() > 64 {
            return None;
        }
    }
    (!names.is_empty()).then_some(names)
}

/// A value in a column: short, without quotes.
pub(super) fn cell(show: &Show<'_>, value: &Value) -> mlua::Result<String> {
    Ok(match value {
        Value::Nil => String::new(),
        Value::String(text) => escaped(&text.as_bytes(), true).replace("\\\"", "\""),
        Value::UserData(data) => match (data.borrow::<Handle>(), data.borrow::<Group>()) {
            (Ok(handle), _) => handle.name.to_string(),
            (_, Ok(group)) => group.name.to_string(),
            _ => show.plain(value)?.replace('\n', " "),
        },
        Value::Table(table) => {
            let items: Vec<Value> = table.sequence_values::<Value>().take(8).collect::<mlua::Result<_>>()?;
            let flat = items.len() == table.raw_len() && !items.iter().any(|item| matches!(item, Value::Table(_)));
            if flat && table.pairs::<Value, Value>().count() == items.len() {
                items.iter().map(|item| cell(show, item)).collect::<mlua::Result<Vec<_>>>()?.join(", ")
            } else {
                "{…}".to_owned()
            }
        }
        other => show.plain(other)?,
    })
}
