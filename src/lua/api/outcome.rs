//! What came of a command, as a table that prints itself.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use mlua::{Lua, Table, Value};

use super::handle::refused;
use crate::core::{Cause, Event, EventKind, StateName};
use crate::spec::units::format_duration;
use crate::{Events, Next, Process, Supervisor};

/// The name of the metatable that outcomes share.
const METATABLE: &str = "neap outcome";

/// Something that was asked of a process. Made before it is, so that nothing of it is missed.
pub(super) struct Asked {
    process: Process,
    name: Arc<str>,
    events: Events,
    began: Instant,
}

impl Asked {
    pub(super) fn new(supervisor: &Supervisor, process: &Process) -> Asked {
        let name = Arc::from(process.name());
        Asked { process: process.clone(), name, events: supervisor.events(), began: Instant::now() }
    }

    /// What came of it: `process`, `state`, `reason`, `pid`, `took` in seconds, `changed`, and `along`, the others that it
    /// took with it.
    pub(super) fn outcome(self, lua: &Lua, state: Option<StateName>) -> mlua::Result<Table> {
        let took = self.began.elapsed();
        let (changed, along) = taken_along(&self.name, self.events);
        let status = self.process.status().ok();
        let table = lua.create_table()?;
        table.set("process", self.name.as_ref())?;
        let state = state.or_else(|| status.as_ref().map(|status| status.state));
        table.set("state", state.map(StateName::as_str))?;
        if let Some(status) = status {
            table.set("reason", Some(status.reason).filter(|reason| !reason.is_empty()))?;
            table.set("pid", status.pid.map(|pid| pid.0))?;
        }
        table.set("took", took.as_millis() as f64 / 1000.0)?;
        table.set("changed", changed)?;
        table.set("along", along.iter().map(|name| name.as_ref()).collect::<Vec<&str>>())?;
        table.set_metatable(Some(metatable(lua)?))?;
        Ok(table)
    }
}

/// Whether the process left its state, and who did because of it.
fn taken_along(name: &Arc<str>, mut events: Events) -> (bool, Vec<Arc<str>>) {
    let (mut changed, mut along) = (false, Vec::<Arc<str>>::new());
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(next)) = events.0.poll_next(&mut cx) {
        let Next::Item(event) = next else { continue };
        let Event { name: Some(of), kind: EventKind::State { .. }, cause, .. } = &*event else { continue };
        changed |= of == name;
        if let Cause::Relation(_, by) = cause
            && of != name
            && (by == name || along.contains(by))
            && !along.contains(of)
        {
            along.push(of.clone());
        }
    }
    (changed, along)
}

/// Outcomes print themselves, and join with text as their state.
fn metatable(lua: &Lua) -> mlua::Result<Table> {
    if let Value::Table(known) = lua.named_registry_value(METATABLE)? {
        return Ok(known);
    }
    let metatable = lua.create_table()?;
    metatable.raw_set("__tostring", lua.create_function(|_, outcome: Table| told(&outcome))?)?;
    let concat = lua.create_function(|lua, (left, right): (Value, Value)| {
        let text = |value: &Value| match value {
            Value::Table(outcome) => outcome
                .raw_get::<Option<mlua::LuaString>>("state")
                .map(|state| state.map_or(Vec::new(), |state| state.as_bytes().to_vec())),
            other => Ok(other.to_string()?.into_bytes()),
        };
        lua.create_string([text(&left)?, text(&right)?].concat())
    })?;
    metatable.raw_set("__concat", concat)?;
    lua.set_named_registry_value(METATABLE, &metatable)?;
    Ok(metatable)
}

/// `web: running, pid 71 (1.2s; along: api)`.
fn told(outcome: &Table) -> mlua::Result<String> {
    let text = |key: &str| outcome.raw_get::<Option<String>>(key).map(Option::unwrap_or_default);
    let mut told = format!("{}: {}", text("process")?, text("state")?);
    if let Some(pid) = outcome.raw_get::<Option<u32>>("pid")? {
        told.push_str(&format!(", pid {pid}"));
    }
    let reason = text("reason")?;
    if !reason.is_empty() {
        told.push_str(&format!(": {reason}"));
    }
    let mut notes = Vec::new();
    if outcome.raw_get::<Option<bool>>("changed")? == Some(false) {
        notes.push("as it was".to_owned());
    }
    if let Ok(took) = Duration::try_from_secs_f64(outcome.raw_get::<Option<f64>>("took")?.unwrap_or(0.0)) {
        notes.push(format_duration(Duration::from_millis(u64::try_from(took.as_millis()).unwrap_or(u64::MAX))));
    }
    let along: Vec<String> = outcome.raw_get("along")?;
    if !along.is_empty() {
        notes.push(format!("along: {}", along.join(", ")));
    }
    Ok(format!("{told} ({})", notes.join("; ")))
}

/// Waits, for no longer than a script asked for.
pub(super) async fn within<T>(
    limit: Option<Duration>,
    what: String,
    answer: impl Future<Output = Result<T, crate::Error>>,
) -> mlua::Result<T> {
    let answered = match limit {
        None => answer.await,
        Some(limit) => match tokio::time::timeout(limit, answer).await {
            Ok(answer) => answer,
            Err(_) => {
                let limit = format_duration(limit);
                return Err(mlua::Error::runtime(format!("{what}: not within {limit}; what was begun goes on")));
            }
        },
    };
    answered.map_err(|error| refused(&error))
}
