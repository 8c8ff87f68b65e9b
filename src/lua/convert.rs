//! Lua values as the tree that specs are read from.

use std::ffi::c_void;

use mlua::{AnyUserData, LuaString, Table, Value as LuaValue};

use super::functions::Functions;
use super::positions::{Field, Keys};
use super::values::{Group, Handle, Made, Pending, SecretValue, Template, Unset};
use crate::spec::{Node, Value};

/// Tables nested deeper than this are refused; nothing that a key takes comes near it.
const MAX_DEPTH: usize = 32;

/// Entries of one table. The values of a table are held while it is read, and the VM's room for held values is bounded.
const MAX_ENTRIES: usize = 250_000;

/// Steps of a path that a message shows.
const MAX_SHOWN: usize = 8;

/// What a configuration's tables may come to: a table that holds one other table many times is small in Lua and
/// boundless as a tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// Values left.
    pub(super) nodes: usize,
    /// Bytes of text left.
    pub(super) bytes: usize,
}

/// What is said when it is used up.
pub(super) const TOO_LARGE: &str =
    "the configuration's tables are too large (beyond two million values or 64 MiB of text)";

impl Budget {
    /// Takes this much away; false when there is not as much left.
    pub(super) fn spend(&mut self, nodes: usize, bytes: usize) -> bool {
        match (self.nodes.checked_sub(nodes), self.bytes.checked_sub(bytes)) {
            (Some(nodes), Some(bytes)) => {
                *self = Budget { nodes, bytes };
                true
            }
            _ => false,
        }
    }
}

impl Default for Budget {
    fn default() -> Self {
        Budget { nodes: 2_000_000, bytes: 64 << 20 }
    }
}

/// What is wrong with a value, and where in the table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    /// The place, as a unique line number.
    pub(super) line: u32,
    /// The path of the key, empty for the table itself.
    pub(super) path: String,
    /// What is wrong.
    pub(super) message: String,
}

/// Turns the values of one call into nodes.
pub(super) struct Converter<'a> {
    /// Where functions are kept.
    pub(super) functions: &'a mut Functions,
    /// What is left of the configuration's allowance.
    pub(super) budget: &'a mut Budget,
    /// Added to the lines in `Keys` to make them unique.
    pub(super) offset: u32,
    open: Vec<*const c_void>,
    path: Vec<Step>,
}

enum Step {
    Key(String),
    Item(usize),
}

impl<'a> Converter<'a> {
    /// A converter for a call in the file whose lines begin after `offset`.
    pub(super) fn new(functions: &'a mut Functions, budget: &'a mut Budget, offset: u32) -> Self {
        Converter { functions, budget, offset, open: Vec::new(), path: Vec::new() }
    }

    /// The fields of a call's table, in the order of the source. `line` is the unique line of the call itself.
    pub(super) fn fields(
        &mut self,
        table: &Table,
        keys: Option<&Keys>,
        line: u32,
    ) -> Result<Vec<(String, Node)>, Mistake> {
        match self.table(table, keys, line)? {
            Value::Map(fields) => Ok(fields),
            Value::List(items) if items.is_empty() => Ok(Vec::new()),
            Value::List(_) => {
                Err(self.mistake(line, "expected a table of keys, found a list; did you mean `command = { … }`?"))
            }
            _ => Err(self.mistake(line, "expected a table of keys")),
        }
    }

    /// One value. `line` is where it stands, as a unique line number.
    pub(super) fn node(&mut self, value: &LuaValue, keys: Option<&Keys>, line: u32) -> Result<Node, Mistake> {
        self.spend(0, line)?;
        let value = match value {
            LuaValue::Nil => Value::Null,
            LuaValue::LightUserData(pointer) if pointer.0.is_null() => Value::Null,
            LuaValue::Boolean(truth) => Value::Bool(*truth),
            LuaValue::Integer(number) => Value::Integer(*number),
            LuaValue::Number(number) => Value::Float(*number),
            LuaValue::String(text) => Value::String(self.text(text, line)?),
            LuaValue::Table(table) => self.table(table, keys, line)?,
            LuaValue::Function(function) => Value::Function(self.functions.keep(function)),
            LuaValue::UserData(data) => return self.userdata(data, line),
            LuaValue::Thread(_) => Value::Other("coroutine"),
            LuaValue::LightUserData(_) | LuaValue::Error(_) | LuaValue::Other(_) => Value::Other("foreign value"),
        };
        Ok(Node::at(value, line))
    }

    fn userdata(&mut self, data: &AnyUserData, line: u32) -> Result<Node, Mistake> {
        let value = if let Ok(handle) = data.borrow::<Handle>() {
            Value::Handle(handle.name.to_string())
        } else if let Ok(pending) = data.borrow::<Pending>() {
            Value::Handle(pending.name.to_string())
        } else if let Ok(group) = data.borrow::<Group>() {
            self.spend_nodes(group.members.len(), line)?;
            let members = group.members.iter();
            Value::List(members.map(|name| Node::at(Value::Handle(name.to_string()), line)).collect())
        } else if let Ok(made) = data.borrow::<Made>() {
            self.spend(made.size, line)?;
            let position = made.line.max(u32::from(made.line == 0) * line);
            return Ok(Node::at(Value::Made { kind: made.kind, fields: made.fields.clone() }, position));
        } else if let Ok(secret) = data.borrow::<SecretValue>() {
            Value::Secret(secret.0.clone())
        } else if data.is::<Unset>() {
            Value::Unset
        } else if data.is::<Template>() {
            Value::Other("template")
        } else {
            Value::Other("foreign value")
        };
        Ok(Node::at(value, line))
    }

    fn text(&mut self, text: &LuaString, line: u32) -> Result<String, Mistake> {
        let bytes = text.as_bytes();
        self.spend(bytes.len(), line)?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => Err(self.mistake(
                line,
                format!("the text is not UTF-8 from its byte {} on; give it another encoding", error.valid_up_to() + 1),
            )),
        }
    }

    fn table(&mut self, table: &Table, keys: Option<&Keys>, line: u32) -> Result<Value, Mistake> {
        let pointer = table.to_pointer();
        if self.open.contains(&pointer) {
            return Err(self.mistake(line, "the table contains itself"));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(self.mistake(line, format!("tables are nested deeper than {MAX_DEPTH}")));
        }
        self.open.push(pointer);
        let result = self.entries(table, keys, line);
        self.open.pop();
        result
    }

    fn entries(&mut self, table: &Table, keys: Option<&Keys>, line: u32) -> Result<Value, Mistake> {
        let mut named: Vec<(String, LuaValue, u32)> = Vec::new();
        let mut items: Vec<(usize, LuaValue)> = Vec::new();
        let mut pairs: Vec<(LuaValue, LuaValue)> = Vec::new();
        let read = table.for_each::<LuaValue, LuaValue>(|key, value| {
            pairs.push((key, value));
            if pairs.len() > MAX_ENTRIES { Err(mlua::Error::runtime(TOO_LARGE)) } else { Ok(()) }
        });
        if pairs.len() > MAX_ENTRIES {
            return Err(self.mistake(line, TOO_LARGE));
        }
        read.map_err(|error| self.mistake(line, format!("cannot read the table: {error}")))?;
        for (key, value) in pairs {
            match key {
                LuaValue::String(text) => {
                    let name = self.text(&text, line)?;
                    let place = self.line_of(keys.and_then(|keys| keys.named(&name)), line);
                    named.push((name, value, place));
                }
                LuaValue::Integer(index) if index >= 1 => items.push((usize::try_from(index).unwrap_or(0), value)),
                other => {
                    let shown = match other {
                        LuaValue::Integer(number) => number.to_string(),
                        LuaValue::Number(number) => number.to_string(),
                        LuaValue::Boolean(truth) => truth.to_string(),
                        other => format!("a {}", other.type_name()),
                    };
                    return Err(self.mistake(line, format!("keys are names, or positions from 1; found {shown}")));
                }
            }
        }
        if !named.is_empty() {
            // Positions as keys, for the reader to say what they mean there.
            for (index, value) in items {
                let place = self.line_of(keys.and_then(|keys| keys.item(index.saturating_sub(1))), line);
                named.push((index.to_string(), value, place));
            }
            return self.map(named, keys);
        }
        items.sort_by_key(|(index, _)| *index);
        let mut list = Vec::with_capacity(items.len());
        for (position, (index, value)) in items.iter().enumerate() {
            if *index != position + 1 {
                let message = format!("the list has no item {} but one at {index}; is a value nil?", position + 1);
                return Err(self.mistake(line, message));
            }
            let field = keys.and_then(|keys| keys.item(position));
            self.path.push(Step::Item(*index));
            let node = self.node(value, field.and_then(|field| field.keys.as_ref()), self.line_of(field, line))?;
            self.path.pop();
            match node.value {
                Value::List(members) if is_group(value) => list.extend(members),
                _ => list.push(node),
            }
        }
        Ok(Value::List(list))
    }

    fn map(&mut self, mut named: Vec<(String, LuaValue, u32)>, keys: Option<&Keys>) -> Result<Value, Mistake> {
        named.sort_by(|(a, _, a_line), (b, _, b_line)| (a_line, a).cmp(&(b_line, b)));
        let mut map = Vec::with_capacity(named.len());
        for (name, value, line) in named {
            let field = keys.and_then(|keys| keys.named(&name));
            self.path.push(Step::Key(name.clone()));
            let node = self.node(&value, field.and_then(|field| field.keys.as_ref()), line)?;
            self.path.pop();
            map.push((name, node));
        }
        Ok(Value::Map(map))
    }

    fn line_of(&self, field: Option<&Field>, otherwise: u32) -> u32 {
        field.map_or(otherwise, |field| self.offset.saturating_add(field.line))
    }

    fn spend(&mut self, bytes: usize, line: u32) -> Result<(), Mistake> {
        if self.budget.spend(1, bytes) { Ok(()) } else { Err(self.mistake(line, TOO_LARGE)) }
    }

    fn spend_nodes(&mut self, nodes: usize, line: u32) -> Result<(), Mistake> {
        if self.budget.spend(nodes, 0) { Ok(()) } else { Err(self.mistake(line, TOO_LARGE)) }
    }

    fn mistake(&self, line: u32, message: impl Into<String>) -> Mistake {
        let mut path = String::new();
        for (depth, step) in self.path.iter().enumerate() {
            if depth == MAX_SHOWN {
                path.push('…');
                break;
            }
            match step {
                Step::Item(index) => path.push_str(&format!("[{index}]")),
                Step::Key(name) if path.is_empty() => path.push_str(name),
                Step::Key(name) => {
                    path.push('.');
                    path.push_str(name);
                }
            }
        }
        Mistake { line, path, message: message.into() }
    }
}

fn is_group(value: &LuaValue) -> bool {
    matches!(value, LuaValue::UserData(data) if data.is::<Group>())
}
