//! What the lines of a session see.

use std::collections::HashMap;

use mlua::chunk::ChunkMode;
use mlua::{Function, Lua, Table, Value};

use super::help;
use super::outlet::Outlet;
use super::processes::Processes;
use super::source::RESULTS;
use crate::lua::host::Host;
use crate::lua::sandbox;

/// The variables of a session.
#[derive(Clone)]
pub(super) struct Environment {
    /// What its lines have for globals.
    pub(super) env: Table,
    /// Its own variables.
    pub(super) values: Table,
    /// The `neap` module.
    pub(super) module: Value,
}

/// The environments of a state's sessions, by their numbers.
#[derive(Default)]
pub(super) struct Environments(pub(super) HashMap<u64, Environment>);

impl Environment {
    pub(super) fn new(lua: &Lua, host: &Host, outlet: &Outlet) -> mlua::Result<Environment> {
        let globals = lua.globals();
        let native = lua.create_table()?;
        native.raw_set("globals", &globals)?;
        let names = globals.clone();
        let undefined = lua.create_function(move |lua, (key, known): (Value, Table)| -> mlua::Result<()> {
            let Some(key) = key.as_string().map(|key| key.to_string_lossy()) else { return Ok(()) };
            let own = known.pairs::<Value, Value>().chain(names.pairs::<Value, Value>());
            let own: Vec<String> = own.filter_map(|pair| Some(pair.ok()?.0.as_string()?.to_string_lossy())).collect();
            Err(sandbox::undefined(lua, &key, own.iter().map(String::as_str)))
        })?;
        native.raw_set("undefined", undefined)?;
        let (printer, to) = (host.clone(), outlet.clone());
        let push = lua.create_function(move |_, (line, at_once): (mlua::LuaString, bool)| {
            let line = line.to_string_lossy();
            // A function of the session that is called as a hook prints where hooks do.
            if printer.acting().is_none() || at_once {
                printer.print(&line);
                return Ok(true);
            }
            Ok(to.try_print(&line))
        })?;
        native.raw_set("push", push)?;
        let to = outlet.clone();
        let room = lua.create_async_function(move |_, ()| {
            let to = to.clone();
            async move {
                to.room().await;
                Ok(())
            }
        })?;
        native.raw_set("room", room)?;
        let chunk = lua.load(include_str!("environment.lua")).set_name("=[neap session]").set_mode(ChunkMode::Text);
        let (env, values): (Table, Table) = chunk.call(native)?;
        let require: Function = globals.raw_get("require")?;
        let module = require.call::<Value>("neap")?;
        env.set("neap", &module)?;
        env.set("p", lua.create_userdata(Processes)?)?;
        env.set("help", help::function(lua, host)?)?;
        env.set(RESULTS, lua.create_function(|_, values: mlua::MultiValue| Ok(values))?)?;
        env.set("_", Value::Nil)?;
        Ok(Environment { env, values, module })
    }
}
