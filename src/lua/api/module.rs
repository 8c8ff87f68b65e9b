//! The module itself.

use mlua::{Lua, Table, Value};

use super::{events, fetch, group, inputs, json, log, plan, probes, process, run_time, settings, yaml};
use crate::lua::evaluation::Evaluation;
use crate::lua::host::Host;
use crate::lua::problem::{did_you_mean, misuse};

/// The version of the module; within it keys are only added.
const API: i64 = 1;

/// Puts the module into a fresh state: `require "neap"` returns what this returns.
pub fn register(lua: &Lua, host: &Host) -> mlua::Result<Value> {
    lua.set_app_data(Evaluation::new(host.clone()));
    let content = lua.create_table()?;
    content.set("api", API)?;
    process::register(lua, &content)?;
    group::register(lua, &content)?;
    probes::register(lua, &content)?;
    inputs::register(lua, &content)?;
    yaml::register(lua, &content)?;
    events::register(lua, &content)?;
    settings::register(lua, &content)?;
    log::register(lua, &content)?;
    json::register(lua, &content)?;
    run_time::register(lua, &content)?;
    plan::register(lua, &content)?;
    fetch::register(lua, &content)?;
    Ok(Value::Table(sealed(lua, content)?))
}

/// A table that reads from `content`, refuses names that are not there, and cannot be written.
fn sealed(lua: &Lua, content: Table) -> mlua::Result<Table> {
    let names: Vec<String> =
        content.pairs::<String, Value>().filter_map(|pair| pair.ok().map(|(name, _)| name)).collect();
    let metatable = lua.create_table()?;
    let all = content.clone();
    let pairs = lua.create_function(move |lua, _: Value| {
        let copy = lua.create_table()?;
        for pair in all.pairs::<Value, Value>() {
            let (key, value) = pair?;
            copy.raw_set(key, value)?;
        }
        let next: mlua::Function = lua.globals().raw_get("next")?;
        Ok((next, copy, Value::Nil))
    })?;
    let index = lua.create_function(move |lua, (_, key): (Value, Value)| -> mlua::Result<Value> {
        let value: Value = content.raw_get(&key)?;
        if !value.is_nil() {
            return Ok(value);
        }
        let key = key.to_string()?;
        let near = did_you_mean(&key, names.iter().map(String::as_str));
        Err(misuse(lua, format!("there is no `neap.{key}`{near}")))
    })?;
    let refuse = lua.create_function(|lua, (_, key, _): (Value, Value, Value)| -> mlua::Result<()> {
        let key = key.to_string()?;
        Err(misuse(
            lua,
            format!("`neap.{key}` cannot be set: the module is not yours; use a local or a module of your own"),
        ))
    })?;
    metatable.raw_set("__pairs", pairs)?;
    metatable.raw_set("__index", index)?;
    metatable.raw_set("__newindex", refuse)?;
    metatable.raw_set("__metatable", "protected")?;
    metatable.raw_set("__tostring", lua.create_function(|_, _: Value| Ok(format!("neap (api {API})")))?)?;
    let module = lua.create_table()?;
    module.set_metatable(Some(metatable))?;
    Ok(module)
}
