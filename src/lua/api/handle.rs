//! What handles can do at run time, and how they show themselves.

use std::sync::Arc;
use std::time::Duration;

use mlua::{Lua, MetaMethod, Table, UserData, UserDataFields, UserDataMethods, Value};

use super::call::set_exit;
use super::effects::changes;
use super::events::duration;
use super::json::to_lua;
use super::outcome::{Asked, within};
use super::process::described;
use crate::core::{StateName, Status};
use crate::lua::evaluation::Evaluation;
use crate::lua::problem::{did_you_mean, misuse, only_at_run_time};
use crate::lua::values::{Group, Handle};
use crate::spec::Signal;
use crate::{Process, Supervisor, Usage};

/// Lines that `:logs()` gives unless told.
const LOG_LINES: usize = 10;

/// The supervisor that scripts act on.
pub(super) fn supervisor(lua: &Lua, what: &str) -> mlua::Result<Supervisor> {
    only_at_run_time(lua, what)?;
    let supervisor = Evaluation::host(lua)?.supervisor();
    supervisor.ok_or_else(|| misuse(lua, format!("{what}: no instance runs this configuration")))
}

/// The process behind a handle, for the method of this name.
fn process(lua: &Lua, handle: &Handle, method: &str) -> mlua::Result<Process> {
    let found = supervisor(lua, &format!("{}:{method}", handle.name))?.get(&handle.name);
    found.ok_or_else(|| misuse(lua, format!("there is no process `{}` any more", handle.name)))
}

/// A refusal as the script sees it.
pub(super) fn refused(error: &crate::Error) -> mlua::Error {
    mlua::Error::runtime(error.to_string())
}

/// A status as a table.
pub(super) fn status_table(lua: &Lua, status: &Status) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.set("name", status.name.as_ref())?;
    table.set("state", status.state.as_str())?;
    table.set("reason", status.reason.as_str())?;
    table.set("health", status.health.as_str())?;
    table.set("pid", status.pid.map(|pid| pid.0))?;
    table.set("run", status.run.map(|run| run.0))?;
    table.set("run_count", status.run_count)?;
    table.set("restarts", status.restarts)?;
    table.set("status", status.status_text.as_deref())?;
    let holds = status.holds.iter().map(|hold| hold.name.as_ref());
    table.set("waits_for", lua.create_sequence_from(holds)?)?;
    set_exit(&table, status.exit)?;
    Ok(table)
}

fn signal(lua: &Lua, value: &Value) -> mlua::Result<Signal> {
    let found = match value {
        Value::Integer(number) => i32::try_from(*number).ok().and_then(Signal::from_number),
        Value::String(name) => Signal::from_name(&name.to_string_lossy()),
        _ => None,
    };
    found.ok_or_else(|| {
        let near = match value {
            Value::String(name) => did_you_mean(&name.to_string_lossy().to_uppercase(), Signal::names()),
            _ => String::new(),
        };
        misuse(lua, format!("expected a signal (\"TERM\", \"SIGTERM\" or 15), found {}{near}", described(value)))
    })
}

fn state(lua: &Lua, value: &Value) -> mlua::Result<StateName> {
    let Value::String(word) = value else {
        return Err(misuse(lua, format!("expected a state (such as \"running\"), found {}", described(value))));
    };
    let word = word.to_string_lossy();
    StateName::ALL.into_iter().find(|state| state.as_str() == word).ok_or_else(|| {
        let near = did_you_mean(&word, StateName::ALL.iter().map(|state| state.as_str()));
        misuse(lua, format!("there is no state `{word}`{near}"))
    })
}

/// Adds a method that asks for something and waits for the outcome; it takes `{ timeout = … }`.
fn add_action<M: UserDataMethods<Handle>>(
    methods: &mut M,
    name: &'static str,
    ask: fn(&Process) -> crate::Pending<StateName>,
) {
    methods.add_async_method(name, move |lua, this, options: Value| {
        let begun = acted_on(&lua, &this, name).and_then(|(supervisor, process)| {
            let limit = timeout(&lua, &options)?;
            let asked = Asked::new(&supervisor, &process);
            Ok((asked, ask(&process), limit))
        });
        let what = format!("{}:{name}", this.name);
        async move {
            let (asked, pending, limit) = begun?;
            let state = within(limit, what, pending).await?;
            asked.outcome(&lua, Some(state))
        }
    });
}

/// The process behind a handle, for a method that changes something.
fn acted_on(lua: &Lua, handle: &Handle, method: &str) -> mlua::Result<(Supervisor, Process)> {
    let process = process(lua, handle, method)?;
    changes(lua, &format!("process:{method}"))?;
    Ok((supervisor(lua, method)?, process))
}

/// `{ timeout = … }`, or nothing.
fn timeout(lua: &Lua, options: &Value) -> mlua::Result<Option<Duration>> {
    match options {
        Value::Nil => Ok(None),
        Value::Table(table) => match table.get::<Value>("timeout")? {
            Value::Nil => Ok(None),
            given => duration(&given).map(Some).map_err(|message| misuse(lua, format!("timeout: {message}"))),
        },
        other => Err(misuse(lua, format!("expected {{ timeout = … }} or nothing, found {}", described(other)))),
    }
}

impl UserData for Handle {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.add_field_method_get("name", |_, this| Ok(this.name.to_string()));
    }

    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        add_action(methods, "start", Process::start);
        add_action(methods, "stop", Process::stop);
        add_action(methods, "restart", Process::restart);
        methods.add_async_method("reload", |lua, this, ()| {
            let begun = acted_on(&lua, &this, "reload")
                .map(|(supervisor, process)| (Asked::new(&supervisor, &process), process.reload()));
            async move {
                let (asked, pending) = begun?;
                pending.await.map_err(|error| refused(&error))?;
                asked.outcome(&lua, None)
            }
        });
        methods.add_async_method("signal", |lua, this, given: Value| {
            let begun = signal(&lua, &given).and_then(|signal| {
                let (supervisor, process) = acted_on(&lua, &this, "signal")?;
                Ok((Asked::new(&supervisor, &process), process.signal(signal)))
            });
            async move {
                let (asked, pending) = begun?;
                pending.await.map_err(|error| refused(&error))?;
                asked.outcome(&lua, None)
            }
        });
        methods.add_async_method("delete", |lua, this, options: Value| {
            let begun = acted_on(&lua, &this, "delete").and_then(|(supervisor, process)| {
                let force = force(&lua, &options)?;
                if let Some(text) = needed(&supervisor, &process) {
                    return Err(mlua::Error::runtime(text));
                }
                Ok((Asked::new(&supervisor, &process), process.delete(force)))
            });
            async move {
                let (asked, pending) = begun?;
                pending.await.map_err(|error| refused(&error))?;
                let outcome = asked.outcome(&lua, None)?;
                outcome.set("state", "deleted")?;
                Ok(outcome)
            }
        });
        methods.add_async_method("wait", |lua, this, (wanted, limit): (Value, Value)| {
            let begun = process(&lua, &this, "wait").and_then(|process| {
                let limit = match &limit {
                    Value::Nil => None,
                    given => Some(duration(given).map_err(|message| misuse(&lua, message))?),
                };
                let wanted = state(&lua, &wanted)?;
                Ok((process.wait(wanted), limit, format!("{}:wait \"{wanted}\"", this.name)))
            });
            async move {
                let (pending, limit, what) = begun?;
                let status = within(limit, what, pending).await?;
                status_table(&lua, &status)
            }
        });
        methods.add_method("status", |lua, this, ()| {
            let status = process(lua, this, "status")?.status().map_err(|error| refused(&error))?;
            status_table(lua, &status)
        });
        methods.add_method("describe", |lua, this, ()| {
            let process = process(lua, this, "describe")?;
            let table = status_table(lua, &process.status().map_err(|error| refused(&error))?)?;
            let spec = process.spec().map_err(|error| refused(&error))?;
            let spec = serde_json::to_value(&*spec).map_err(|error| mlua::Error::runtime(error.to_string()))?;
            table.set("spec", to_lua(lua, &spec)?)?;
            Ok(table)
        });
        methods.add_method("logs", |lua, this, lines: Option<usize>| {
            let process = process(lua, this, "logs")?;
            let lines = process.logs(lines.unwrap_or(LOG_LINES));
            let text = lines.iter().map(|line| lua.create_string(&line.text)).collect::<mlua::Result<Vec<_>>>()?;
            lua.create_sequence_from(text)
        });
        methods.add_async_method("update", |lua, this, given: Value| {
            let begun = acted_on(&lua, &this, "update").and_then(|(_, process)| {
                let present = process.spec().map_err(|error| refused(&error))?;
                let spec = super::update::updated(&lua, &present, &given)?;
                Ok(process.update(spec))
            });
            async move {
                let updated = begun?.await.map_err(|error| refused(&error))?;
                let table = lua.create_table()?;
                table.set("fields", updated.fields())?;
                table.set("needs_restart", updated.needs_restart())?;
                table.set("restarted", updated.restarted)?;
                Ok(table)
            }
        });
        methods.add_method("stats", |lua, this, ()| {
            let usage = process(lua, this, "stats")?.usage().map_err(|error| refused(&error))?;
            usage.map(|usage| usage_table(lua, &usage)).transpose()
        });
        methods.add_method("why", |lua, this, ()| {
            let explained = process(lua, this, "why")?.why().map_err(|error| refused(&error))?;
            super::why::table(lua, &explained)
        });
        methods.add_meta_method(MetaMethod::ToString, |lua, this, ()| Ok(shown(lua, &this.name)));
        methods
            .add_meta_method(MetaMethod::Eq, |_, this, other: mlua::UserDataRef<Handle>| Ok(this.name == other.name));
        methods.add_meta_method(MetaMethod::Index, |lua, this, key: Value| -> mlua::Result<Value> {
            let key = key.to_string()?;
            let near = did_you_mean(&key, METHODS);
            Err(misuse(lua, format!("process `{}`: a handle has no `{key}`{near}", this.name)))
        });
    }
}

/// What a handle has, for messages and completion.
pub(crate) const METHODS: [&str; 14] = [
    "start", "stop", "restart", "reload", "status", "describe", "signal", "update", "delete", "logs", "stats", "why",
    "wait", "name",
];

/// Who could not be without it, when it was made at run time: that one's spec would be wrong. A configured one is refused for
/// that by the machine.
fn needed(supervisor: &Supervisor, process: &Process) -> Option<String> {
    let leaving = process.status().ok().filter(|status| status.runtime)?.name;
    let id = process.id();
    let found = supervisor.shared().query(move |engine| {
        let machine = engine.machine();
        let others = machine.processes().into_iter().filter(|other| *other != id);
        others.filter_map(|other| Some(machine.spec(other)?.needs(|name| *name == *leaving)?.1)).next()
    });
    found.ok().flatten()
}

/// `{ force = true }`, or nothing.
fn force(lua: &Lua, options: &Value) -> mlua::Result<bool> {
    match options {
        Value::Nil => Ok(false),
        Value::Table(table) => Ok(table.get::<Option<bool>>("force")?.unwrap_or(false)),
        other => Err(misuse(lua, format!("expected {{ force = true }} or nothing, found {}", described(other)))),
    }
}

/// What a process uses of the host.
fn usage_table(lua: &Lua, usage: &Usage) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.set("memory", usage.memory)?;
    table.set("memory_limit", usage.memory_limit)?;
    table.set("cpu", usage.cpu.map(|cpu| cpu.as_secs_f64()))?;
    #[expect(clippy::cast_precision_loss, reason = "thousandths of cores")]
    table.set("cpu_limit", usage.cpu_limit_millis.map(|millis| millis as f64 / 1000.0))?;
    table.set("cpu_throttled", usage.cpu_throttled.map(|time| time.as_secs_f64()))?;
    table.set("pids", usage.pids)?;
    table.set("pids_limit", usage.pids_limit)?;
    table.set("io_read", usage.io_read)?;
    table.set("io_written", usage.io_written)?;
    table.set("source", usage.source.as_str())?;
    Ok(table)
}

/// A process as it prints itself: its name, and how it is where somebody knows.
fn shown(lua: &Lua, name: &Arc<str>) -> String {
    let status = Evaluation::host(lua)
        .ok()
        .filter(|host| host.phase() == crate::lua::Phase::RunTime)
        .and_then(|host| host.supervisor())
        .and_then(|supervisor| supervisor.get(name))
        .and_then(|process| process.status().ok());
    let Some(status) = status else { return format!("process `{name}`") };
    let mut text = format!("process `{name}`: {}", status.state);
    if let Some(pid) = status.pid {
        text.push_str(&format!(", pid {pid}"));
    }
    if !status.reason.is_empty() {
        text.push_str(&format!(" ({})", status.reason));
    }
    text
}

impl UserData for Group {
    fn add_fields<F: UserDataFields<Self>>(fields: &mut F) {
        fields.add_field_method_get("name", |_, this| Ok(this.name.to_string()));
    }

    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        for (name, ask) in [
            ("start", Process::start as fn(&Process) -> crate::Pending<StateName>),
            ("stop", Process::stop),
            ("restart", Process::restart),
        ] {
            methods.add_async_method(name, move |lua, this, ()| {
                let begun: mlua::Result<Vec<_>> = this
                    .members
                    .iter()
                    .map(|member| {
                        let handle = Handle { name: member.clone() };
                        changes(&lua, &format!("group:{name}"))?;
                        let (supervisor, process) = (supervisor(&lua, name)?, process(&lua, &handle, name)?);
                        Ok((Asked::new(&supervisor, &process), ask(&process)))
                    })
                    .collect();
                async move {
                    let mut outcomes = Vec::new();
                    for (asked, pending) in begun? {
                        let state = pending.await.map_err(|error| refused(&error))?;
                        outcomes.push(asked.outcome(&lua, Some(state))?);
                    }
                    Ok(outcomes)
                }
            });
        }
        methods.add_method("members", |lua, this, ()| {
            let handles = this.members.iter().map(|name| lua.create_userdata(Handle { name: name.clone() }));
            lua.create_sequence_from(handles.collect::<mlua::Result<Vec<_>>>()?)
        });
        methods.add_meta_method(MetaMethod::ToString, |_, this, ()| {
            let members: Vec<&str> = this.members.iter().map(AsRef::as_ref).collect();
            Ok(format!(
                "group `{}` of {}",
                this.name,
                if members.is_empty() { "nothing".into() } else { members.join(", ") }
            ))
        });
    }
}
