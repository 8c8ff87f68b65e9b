//! What functions are called with at run time, and what their results mean.

use mlua::{IntoLua, Lua, MultiValue, Table, Value};

use super::process::described;
use crate::core::ExitStatus;
use crate::lua::host::Host;
use crate::lua::values::Handle;
use crate::{FunctionCall, Purpose};

/// The arguments that a function is called with at run time: the process's handle and, for a hook, the run.
pub fn arguments(lua: &Lua, _host: &Host, call: &FunctionCall) -> mlua::Result<MultiValue> {
    let mut arguments = MultiValue::new();
    arguments.push_back(lua.create_userdata(Handle { name: call.process.clone() })?.into_lua(lua)?);
    if let Purpose::Hook(kind) = call.purpose {
        let run = lua.create_table()?;
        run.set("id", call.run.0)?;
        run.set("process", call.process.as_ref())?;
        run.set("hook", kind.as_str())?;
        set_exit(&run, call.exit)?;
        arguments.push_back(Value::Table(run));
    }
    Ok(arguments)
}

/// Sets `exit_code` or `signal` as the main process ended.
pub(super) fn set_exit(table: &Table, exit: Option<ExitStatus>) -> mlua::Result<()> {
    match exit {
        Some(ExitStatus::Code(code)) => table.set("exit_code", code),
        Some(ExitStatus::Signal { signal, core }) => {
            table.set("signal", signal.to_string())?;
            table.set("core", core)
        }
        Some(ExitStatus::Unknown) | None => Ok(()),
    }
}

/// What a function's results mean for what it was called for: a hook fails by returning false (and a reason), a probe
/// passes, and a condition holds, by returning true. The outer error: they mean nothing.
pub fn outcome(purpose: Purpose, results: MultiValue) -> Result<Result<(), String>, String> {
    let mut results = results.into_iter();
    let (first, second) = (results.next().unwrap_or(Value::Nil), results.next().unwrap_or(Value::Nil));
    let reason = |otherwise: String| match &second {
        Value::String(text) => text.to_string_lossy(),
        Value::Nil => otherwise,
        other => other.to_string().unwrap_or(otherwise),
    };
    let no = |otherwise: &str| Ok(Err(reason(otherwise.to_owned())));
    match (purpose, &first) {
        (Purpose::Probe(_) | Purpose::Condition, Value::Boolean(true)) => Ok(Ok(())),
        (Purpose::Probe(_), Value::Boolean(false)) => no("the check returned false"),
        (Purpose::Condition, Value::Boolean(false)) => no("it returned false"),
        (Purpose::Probe(_) | Purpose::Condition, other) => {
            Err(format!("the check must return true, or false and a reason; it returned {}", described(other)))
        }
        (Purpose::Hook(_), Value::Boolean(false)) => no("the function returned false"),
        (Purpose::Hook(_), _) => Ok(Ok(())),
    }
}
