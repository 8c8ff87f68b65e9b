//! What the module offers at run time: looking at processes, following events.

use std::sync::Arc;

use mlua::{Lua, Table, Value};
use tokio::sync::Mutex;

use super::call::set_exit;
use super::effects::changes;
use super::handle::{refused, status_table, supervisor};
use super::process::described;
use crate::core::{Ending, Event, EventKind, ExitStatus, HealthStatus};
use crate::lua::problem::{misuse, only_at_run_time};
use crate::lua::values::Handle;
use crate::{Events, Next};

/// What comes later, and what to do until then.
const LATER: [(&str, &str); 1] = [("capture", "run the command as a hook or as a process of its own")];

/// Adds the functions to the module.
pub(super) fn register(lua: &Lua, module: &Table) -> mlua::Result<()> {
    module.set("list", lua.create_function(list)?)?;
    module.set("get", lua.create_function(get)?)?;
    module.set("events", lua.create_function(events)?)?;
    for (name, instead) in LATER {
        let function = lua.create_function(move |lua, _: Value| -> mlua::Result<()> {
            only_at_run_time(lua, &format!("neap.{name}"))?;
            changes(lua, &format!("neap.{name}"))?;
            Err(misuse(lua, format!("neap.{name} comes in a later version; until then {instead}")))
        })?;
        module.set(name, function)?;
    }
    Ok(())
}

fn list(lua: &Lua, _: ()) -> mlua::Result<Vec<Table>> {
    let all = supervisor(lua, "neap.list")?.list().map_err(|error| refused(&error))?;
    all.iter().map(|status| status_table(lua, status)).collect()
}

fn get(lua: &Lua, name: Value) -> mlua::Result<Option<Handle>> {
    let supervisor = supervisor(lua, "neap.get")?;
    let Value::String(name) = &name else {
        return Err(misuse(lua, format!("neap.get: expected a name (a string), found {}", described(&name))));
    };
    let name = name.to_string_lossy();
    Ok(supervisor.get(&name).map(|_| Handle { name: Arc::from(name.as_str()) }))
}

/// An iterator over events from now on: `for event in neap.events() do … end`. It waits for the next one.
fn events(lua: &Lua, _: ()) -> mlua::Result<mlua::Function> {
    let events: Arc<Mutex<Events>> = Arc::new(Mutex::new(supervisor(lua, "neap.events")?.events()));
    lua.create_async_function(move |lua, _: mlua::MultiValue| {
        let events = events.clone();
        async move {
            match events.lock().await.next().await {
                None => Ok(Value::Nil),
                Some(Next::Item(event)) => Ok(Value::Table(event_table(&lua, &event)?)),
                Some(Next::Lagged(lost)) => {
                    let table = lua.create_table()?;
                    table.set("topic", "lagged")?;
                    table.set("lost", lost)?;
                    Ok(Value::Table(table))
                }
            }
        }
    })
}

/// The topic that handlers know an event by; `None` for what no handler is for.
pub(crate) fn topic(event: &Event) -> Option<String> {
    match &event.kind {
        EventKind::State { to, .. } => Some(format!("process.{to}")),
        EventKind::Health { to, .. } => Some(format!("health.{}", to.as_str())),
        EventKind::Listening { .. } => Some("process.listening".to_owned()),
        EventKind::Oom => Some("process.oom".to_owned()),
        EventKind::PidsLimit => Some("process.pids_limit".to_owned()),
        EventKind::Applied { .. } => Some("config.applied".to_owned()),
        EventKind::Refused { .. } => Some("config.refused".to_owned()),
        _ => None,
    }
}

/// An event as a table: what all have, and what its kind has.
pub(crate) fn event_table(lua: &Lua, event: &Event) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.set("sequence", event.sequence)?;
    table.set("time", event.time.0 as f64 / 1000.0)?;
    table.set("topic", topic(event).unwrap_or_else(|| format!("event.{}", kind_name(&event.kind))))?;
    table.set("process", event.name.as_deref())?;
    table.set("run", event.run.map(|run| run.0))?;
    let cause = event.cause.to_string();
    table.set("cause", cause.as_str())?;
    if let crate::core::Cause::Ended(Ending::Exit(status)) = &event.cause {
        set_exit(&table, Some(*status))?;
    }
    let or_cause = |reason: &str| if reason.is_empty() { cause.clone() } else { reason.to_owned() };
    match &event.kind {
        EventKind::State { from, to, reason, retry_in } => {
            table.set("from", from.as_str())?;
            table.set("state", to.as_str())?;
            table.set("reason", or_cause(reason))?;
            table.set("retry_in", retry_in.map(|delay| delay.as_secs_f64()))?;
        }
        EventKind::Health { from, to, reason } => {
            table.set("from", HealthStatus::as_str(*from))?;
            table.set("health", to.as_str())?;
            table.set("reason", or_cause(reason))?;
        }
        EventKind::Executed { pid } | EventKind::MainPid { pid } => table.set("pid", pid.0)?,
        EventKind::ProcessExited { pid, status } => {
            table.set("pid", pid.0)?;
            set_exit(&table, Some(*status))?;
            table.set("reason", Ending::Exit(ExitStatus::clone(status)).to_string())?;
        }
        EventKind::Listening { at } => table.set("reason", format!("for a connection on {at}"))?,
        EventKind::Skipped { condition } => table.set("reason", condition.as_str())?,
        EventKind::Signalled { signal } => table.set("signal", signal.to_string())?,
        EventKind::HookFailed { hook, reason } => {
            table.set("hook", hook.as_str())?;
            table.set("reason", reason.as_str())?;
        }
        EventKind::Status { text } => table.set("status", text.as_str())?,
        EventKind::Refused { reason } => table.set("reason", reason.as_str())?,
        EventKind::Stuck { pids } => table.set("pids", pids.iter().map(|pid| pid.0).collect::<Vec<_>>())?,
        EventKind::Updated { fields, needs_restart } => {
            table.set("fields", fields.clone())?;
            table.set("needs_restart", needs_restart.clone())?;
        }
        EventKind::Applied { added, removed, changed } => {
            table.set("added", *added)?;
            table.set("removed", *removed)?;
            table.set("changed", *changed)?;
        }
        _ => {}
    }
    Ok(table)
}

fn kind_name(kind: &EventKind) -> String {
    match serde_json::to_value(kind) {
        Ok(serde_json::Value::String(name)) => name,
        Ok(serde_json::Value::Object(map)) => map.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    }
}
