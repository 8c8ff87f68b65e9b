//! The `neap` module: one file for each part of it.

use mlua::{Lua, MultiValue};

use super::host::Host;
use crate::spec::{Plan, Problem};
use crate::{FunctionCall, Purpose};

/// What an evaluation declared.
#[derive(Clone, Debug, Default)]
pub struct Declared {
    /// The processes.
    pub plan: Plan,
}

/// Puts the module into a fresh state: `require "neap"` returns `neap`.
pub fn register(lua: &Lua, _host: &Host) -> mlua::Result<mlua::Value> {
    Ok(mlua::Value::Table(lua.create_table()?))
}

/// Collects what the scripts declared, once all of them ran without an error.
pub fn finish(_lua: &Lua, _host: &Host) -> Result<Declared, Vec<Problem>> {
    Ok(Declared::default())
}

/// The source of a module of the standard library: `require "neap.recipes.nginx"` asks for `neap.recipes.nginx`.
pub fn embedded(_module: &str) -> Option<&'static str> {
    None
}

/// The arguments that a function is called with at run time.
pub fn arguments(_lua: &Lua, _host: &Host, _call: &FunctionCall) -> mlua::Result<MultiValue> {
    Ok(MultiValue::new())
}

/// What a function's results mean for what it was called for.
pub fn outcome(_purpose: Purpose, _results: MultiValue) -> Result<(), String> {
    Ok(())
}
