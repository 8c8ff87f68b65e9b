//! `neap.json`: text to values and back.

use mlua::{Lua, LuaString, Table, Value};
use serde_json::{Map, Number, Value as Json};

use super::process::described;
use crate::lua::problem::misuse;
use crate::lua::values::{Group, Handle, SecretValue};

/// Nesting beyond this is refused.
const MAX_DEPTH: usize = 64;

/// Text longer than this is not decoded: its values take many times its room.
const MAX_TEXT: usize = 4 << 20;

/// What one value may come to: a table that holds one long string many times is small in Lua and boundless as text.
struct Budget {
    nodes: usize,
    bytes: usize,
}

impl Budget {
    fn spend(&mut self, bytes: usize) -> Result<(), String> {
        let left = (self.nodes.checked_sub(1), self.bytes.checked_sub(bytes));
        let (Some(nodes), Some(bytes)) = left else { return Err("the value is too large".to_owned()) };
        *self = Budget { nodes, bytes };
        Ok(())
    }
}

/// Adds the table to the module.
pub(super) fn register(lua: &Lua, module: &Table) -> mlua::Result<()> {
    let json = lua.create_table()?;
    let encode = lua.create_function(|lua, (value, options): (Value, Option<Table>)| {
        let tree = to_json(&value).map_err(|message| misuse(lua, format!("neap.json.encode: {message}")))?;
        let pretty = match options {
            Some(options) => options.get::<Option<bool>>("pretty")?.unwrap_or(false),
            None => false,
        };
        let text = if pretty { serde_json::to_string_pretty(&tree) } else { serde_json::to_string(&tree) };
        text.map_err(|error| misuse(lua, format!("neap.json.encode: {error}")))
    })?;
    let decode = lua.create_function(|lua, text: Value| {
        let Value::String(text) = &text else {
            return Err(misuse(lua, format!("neap.json.decode: expected a string, found {}", described(&text))));
        };
        if text.as_bytes().len() > MAX_TEXT {
            return Err(misuse(lua, format!("neap.json.decode: the text is longer than {MAX_TEXT} bytes")));
        }
        let tree: Json = serde_json::from_slice(&text.as_bytes())
            .map_err(|error| misuse(lua, format!("neap.json.decode: {error}")))?;
        to_lua(lua, &tree)
    })?;
    json.set("encode", encode)?;
    json.set("decode", decode)?;
    json.set("null", Value::NULL)?;
    module.set("json", json)
}

/// A value as JSON, keys sorted. What JSON has no word for is an error, as a sentence.
pub(crate) fn to_json(value: &Value) -> Result<Json, String> {
    tree(value, 0, &mut Budget { nodes: 1_000_000, bytes: 16 << 20 })
}

fn tree(value: &Value, depth: usize, budget: &mut Budget) -> Result<Json, String> {
    budget.spend(0)?;
    if depth > MAX_DEPTH {
        return Err(format!("tables are nested deeper than {MAX_DEPTH}, or a table contains itself"));
    }
    Ok(match value {
        Value::Nil => Json::Null,
        Value::LightUserData(pointer) if pointer.0.is_null() => Json::Null,
        Value::Boolean(truth) => Json::Bool(*truth),
        Value::Integer(number) => Json::Number((*number).into()),
        Value::Number(number) => {
            Json::Number(Number::from_f64(*number).ok_or_else(|| format!("JSON has no number {number}"))?)
        }
        Value::String(text) => Json::String(text_of(text, budget)?),
        Value::Table(table) => table_tree(table, depth, budget)?,
        Value::UserData(data) => {
            if let Ok(handle) = data.borrow::<Handle>() {
                Json::String(handle.name.to_string())
            } else if let Ok(group) = data.borrow::<Group>() {
                Json::Array(group.members.iter().map(|name| Json::String(name.to_string())).collect())
            } else if data.is::<SecretValue>() {
                Json::String("***".into())
            } else {
                return Err(format!("JSON has no form for {}", described(value)));
            }
        }
        other => return Err(format!("JSON has no form for {}", described(other))),
    })
}

fn text_of(text: &LuaString, budget: &mut Budget) -> Result<String, String> {
    budget.spend(text.as_bytes().len())?;
    text.to_str().map(|text| text.to_owned()).map_err(|_| "a string is not UTF-8".to_owned())
}

fn table_tree(table: &Table, depth: usize, budget: &mut Budget) -> Result<Json, String> {
    let length = table.raw_len();
    let mut map = Map::new();
    let mut items = 0;
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair.map_err(|error| error.to_string())?;
        match key {
            Value::Integer(index) if index >= 1 && usize::try_from(index).is_ok_and(|i| i <= length) => items += 1,
            Value::String(key) => {
                let key = text_of(&key, budget)?;
                map.insert(key, tree(&value, depth + 1, budget)?);
            }
            other => {
                return Err(format!(
                    "a table's keys are strings, or positions without holes; found {}",
                    described(&other)
                ));
            }
        }
    }
    if items == 0 {
        return Ok(Json::Object(map));
    }
    if !map.is_empty() {
        return Err("a table mixes list items and keys".to_owned());
    }
    let mut list = Vec::with_capacity(length);
    for value in table.sequence_values::<Value>() {
        list.push(tree(&value.map_err(|error| error.to_string())?, depth + 1, budget)?);
    }
    Ok(Json::Array(list))
}

/// JSON as a Lua value; null is `neap.json.null` within tables, so that no item of a list is lost.
pub(super) fn to_lua(lua: &Lua, tree: &Json) -> mlua::Result<Value> {
    Ok(match tree {
        Json::Null => Value::NULL,
        Json::Bool(truth) => Value::Boolean(*truth),
        Json::Number(number) => match number.as_i64() {
            Some(number) => Value::Integer(number),
            None => Value::Number(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::String(lua.create_string(text)?),
        Json::Array(items) => {
            let table = lua.create_table_with_capacity(items.len(), 0)?;
            for item in items {
                table.raw_push(to_lua(lua, item)?)?;
            }
            Value::Table(table)
        }
        Json::Object(map) => {
            let table = lua.create_table_with_capacity(0, map.len())?;
            for (key, value) in map {
                table.raw_set(key.as_str(), to_lua(lua, value)?)?;
            }
            Value::Table(table)
        }
    })
}
