//! `neap.on` and `neap.every`: functions that are called when something happens, or again and again.

use std::time::Duration;

use mlua::{Lua, Table, Value};

use super::process::described;
use crate::core::{HealthStatus, StateName};
use crate::lua::evaluation::{Evaluation, Handler, Timer};
use crate::lua::problem::{did_you_mean, misuse, only_in_evaluation};
use crate::spec::units;

/// No timer is faster than this.
const MIN_INTERVAL: Duration = Duration::from_millis(10);

/// Adds the functions to the module.
pub(super) fn register(lua: &Lua, module: &Table) -> mlua::Result<()> {
    module.set("on", lua.create_function(on)?)?;
    module.set("every", lua.create_function(every)?)
}

/// All topics that a handler may be for.
pub(crate) fn topics() -> Vec<String> {
    let health = [HealthStatus::Unknown, HealthStatus::Starting, HealthStatus::Healthy, HealthStatus::Unhealthy];
    let states = StateName::ALL.iter().map(|state| format!("process.{state}"));
    let health = health.iter().map(|status| format!("health.{}", status.as_str()));
    let others = ["process.listening", "process.oom", "process.pids_limit", "config.applied", "config.refused"];
    states.chain(health).chain(others.map(str::to_owned)).collect()
}

fn on(lua: &Lua, (topic, function): (Value, Value)) -> mlua::Result<()> {
    only_in_evaluation(lua, "neap.on")?;
    let Value::String(topic) = &topic else {
        return Err(misuse(lua, format!("neap.on: expected a topic (a string), found {}", described(&topic))));
    };
    let topic = topic.to_string_lossy();
    let known = topics();
    if !known.contains(&topic) {
        let near = did_you_mean(&topic, known.iter().map(String::as_str));
        let hint = if near.is_empty() {
            "; topics are process.STATE, process.listening, process.oom, process.pids_limit, health.STATUS, \
                config.applied and config.refused"
                .to_owned()
        } else {
            near
        };
        return Err(misuse(lua, format!("neap.on: there is no topic `{topic}`{hint}")));
    }
    let Value::Function(function) = &function else {
        return Err(misuse(
            lua,
            format!("neap.on: expected a function after the topic, found {}", described(&function)),
        ));
    };
    Evaluation::with(lua, |evaluation| {
        let function = evaluation.functions.keep(function);
        evaluation.handlers.push(Handler { topic, function });
    })
}

fn every(lua: &Lua, (interval, function): (Value, Value)) -> mlua::Result<()> {
    only_in_evaluation(lua, "neap.every")?;
    let interval = duration(&interval).map_err(|message| misuse(lua, format!("neap.every: {message}")))?;
    if interval < MIN_INTERVAL {
        return Err(misuse(lua, "neap.every: the interval is shorter than 10ms, the shortest there is"));
    }
    let Value::Function(function) = &function else {
        let found = described(&function);
        return Err(misuse(lua, format!("neap.every: expected a function after the interval, found {found}")));
    };
    Evaluation::with(lua, |evaluation| {
        let function = evaluation.functions.keep(function);
        evaluation.timers.push(Timer { interval, function });
    })
}

/// A duration as scripts write it: seconds, or text. The error is a sentence without a place.
pub(super) fn duration(value: &Value) -> Result<Duration, String> {
    match value {
        Value::Integer(seconds) => units::duration_from_seconds(*seconds as f64).map_err(|error| error.to_string()),
        Value::Number(seconds) => units::duration_from_seconds(*seconds).map_err(|error| error.to_string()),
        Value::String(text) => units::parse_duration(&text.to_string_lossy()).map_err(|error| error.to_string()),
        other => Err(format!("expected a duration (seconds, or text such as \"1m30s\"), found {}", described(other))),
    }
}
