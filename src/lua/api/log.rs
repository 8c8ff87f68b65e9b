//! `neap.log`: what a script has to say.

use mlua::{Lua, Table, Value};

use super::json::to_json;
use super::process::described;
use crate::lua::evaluation::Evaluation;
use crate::lua::problem::misuse;

/// The levels, the least serious first.
pub(super) const LEVELS: [&str; 5] = ["trace", "debug", "info", "warn", "error"];

/// Adds the table to the module.
pub(super) fn register(lua: &Lua, module: &Table) -> mlua::Result<()> {
    let log = lua.create_table()?;
    for level in LEVELS {
        log.set(level, lua.create_function(move |lua, (message, fields)| say(lua, level, &message, &fields))?)?;
    }
    module.set("log", log)
}

fn say(lua: &Lua, level: &str, message: &Value, fields: &Value) -> mlua::Result<()> {
    let mut line = match message {
        Value::String(text) => format!("{level}: {}", text.to_string_lossy()),
        Value::Nil => return Err(misuse(lua, format!("neap.log.{level}: expected a message, found nothing"))),
        other => format!("{level}: {}", other.to_string()?),
    };
    match fields {
        Value::Nil => {}
        Value::Table(_) => match to_json(fields) {
            Ok(serde_json::Value::Object(fields)) => {
                for (key, value) in fields {
                    let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    line.push_str(&format!(" {key}={shown}"));
                }
            }
            Ok(other) => line.push_str(&format!(" {other}")),
            Err(message) => return Err(misuse(lua, format!("neap.log.{level}: {message}"))),
        },
        other => {
            let found = described(other);
            return Err(misuse(
                lua,
                format!("neap.log.{level}: expected a table of fields after the message, found {found}"),
            ));
        }
    }
    Evaluation::host(lua)?.print(&line);
    Ok(())
}
