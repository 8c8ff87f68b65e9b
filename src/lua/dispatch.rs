//! Handlers and timers: functions that are called when something happens, or again and again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mlua::{IntoLuaMulti, Lua, MultiValue};
use tokio::sync::{Semaphore, watch};

use super::api::{Handler, Timer, event_table, topic};
use super::evaluation::Evaluation;
use super::host::Host;
use super::runtime::Generation;
use super::turns::run_call;
use crate::core::Event;
use crate::spec::FunctionId;
use crate::{Events, Next, Supervisor};

/// How long a handler may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// Handlers that may be under way at once; beyond that events wait, and are lost once too many do.
const AT_ONCE: usize = 64;

/// Handlers and timers of a configuration are called while this lives.
#[must_use = "dropped, no handler is called any more"]
pub struct Listening {
    _stop: watch::Sender<()>,
}

impl Generation {
    /// Begins to call this configuration's handlers for what happens from now on, and its timers. Call it before the plan is
    /// applied, so that nothing is missed; drop what it returns when another generation takes over.
    pub fn listen(&self, supervisor: &Supervisor) -> Listening {
        let (stop, stopped) = watch::channel(());
        let events = supervisor.events();
        self.job(Box::new(move |lua, host| begin(lua, host, events, &stopped)));
        Listening { _stop: stop }
    }
}

fn begin(lua: &Lua, host: &Host, events: Events, stopped: &watch::Receiver<()>) {
    let declared = Evaluation::with(lua, |evaluation| (evaluation.handlers.clone(), evaluation.timers.clone()));
    let Ok((handlers, timers)) = declared else { return };
    let caller = Caller { lua: lua.clone(), host: host.clone() };
    if !handlers.is_empty() {
        until(stopped.clone(), caller.clone().follow(events, handlers));
    }
    for timer in timers {
        until(stopped.clone(), caller.clone().repeat(timer));
    }
}

/// Runs this beside the other calls until the listening ends.
fn until(mut stopped: watch::Receiver<()>, work: impl Future<Output = ()> + 'static) {
    let work = tokio::task::spawn_local(work);
    tokio::task::spawn_local(async move {
        // Nothing is ever sent: this is the drop of the sender. Calls under way end by themselves.
        let _dropped = stopped.changed().await;
        work.abort();
    });
}

#[derive(Clone)]
struct Caller {
    lua: Lua,
    host: Host,
}

impl Caller {
    async fn follow(self, mut events: Events, handlers: Vec<Handler>) {
        let mut by_topic: HashMap<String, Vec<FunctionId>> = HashMap::new();
        for handler in handlers {
            by_topic.entry(handler.topic).or_default().push(handler.function);
        }
        let places = Arc::new(Semaphore::new(AT_ONCE));
        while let Some(next) = events.next().await {
            let event = match next {
                Next::Item(event) => event,
                Next::Lagged(lost) => {
                    self.host.print(&format!("warn: handlers missed {lost} events: they are slower than what happens"));
                    continue;
                }
            };
            let Some(name) = topic(&event) else { continue };
            for function in by_topic.get(&name).into_iter().flatten().copied() {
                let Ok(place) = places.clone().acquire_owned().await else { return };
                let (caller, event, name) = (self.clone(), event.clone(), name.clone());
                tokio::task::spawn_local(async move {
                    caller.call(&format!("handler for {name}"), function, Some(&event)).await;
                    drop(place);
                });
            }
        }
    }

    async fn repeat(self, timer: Timer) {
        let what = format!("timer of every {}", crate::spec::units::format_duration(timer.interval));
        loop {
            tokio::time::sleep(timer.interval).await;
            self.call(&what, timer.function, None).await;
        }
    }

    /// Calls a function; how it failed is said, and changes nothing.
    async fn call(&self, what: &str, function: FunctionId, event: Option<&Event>) {
        let Some(function) = self.host.function(function) else { return };
        let arguments = match event {
            Some(event) => event_table(&self.lua, event).and_then(|table| table.into_lua_multi(&self.lua)),
            None => Ok(MultiValue::new()),
        };
        let result = match arguments {
            Ok(arguments) => run_call(&self.lua, &self.host, function, arguments, Instant::now() + DEADLINE).await,
            Err(error) => Err(self.host.chunks().describe(&error)),
        };
        if let Err(message) = result {
            self.host.print(&format!("error: {what} failed: {message}"));
        }
    }
}
