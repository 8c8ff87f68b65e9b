//! A session on the thread of its state.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mlua::{Lua, MultiValue};
use tokio::sync::mpsc::UnboundedReceiver;

use super::answer::{Answer, Candidates, Item, Trouble, Values};
use super::complete::complete;
use super::environment::{Environment, Environments};
use super::handle::{Open, SessionRequest};
use super::outlet::Outlet;
use super::redact::shown;
use super::show;
use super::source::{Compiled, compiled};
use super::trouble::{failed, trouble};
use crate::lock::lock;
use crate::lua::api::to_json;
use crate::lua::evaluation::Evaluation;
use crate::lua::host::{Acting, Host};
use crate::lua::turns::{Cancel, Stopped, Terms, run};

/// How long a line may compute. What it waits for does not count.
const COMPUTING: Duration = Duration::from_secs(30);

/// How long it may take to write down what a line came to: values may say themselves what they are.
const SHOWING: Duration = Duration::from_secs(1);

/// What a session is begun with.
pub(super) struct Setup {
    pub(super) number: u64,
    pub(super) request: SessionRequest,
    pub(super) outlet: Outlet,
    pub(super) open: Open,
}

/// A line to be evaluated.
pub(super) struct Line {
    pub(super) id: u64,
    pub(super) text: String,
    pub(super) timeout: Option<Duration>,
    pub(super) cancel: Arc<Cancel>,
}

/// Begins a session; it ends when nobody can send it a line any more.
pub(super) fn begin(lua: &Lua, host: &Host, setup: Setup, mut lines: UnboundedReceiver<Line>) {
    let (lua, host) = (lua.clone(), host.clone());
    tokio::task::spawn_local(async move {
        let armed = host.limits().arm(Instant::now() + SHOWING);
        let environment = Environment::new(&lua, &host, &setup.outlet);
        drop(armed);
        let number = setup.number;
        if let Ok(environment) = &environment {
            with_environments(&lua, |all| all.0.insert(number, environment.clone()));
        }
        let state = lua.clone();
        host.chunks().add(&setup.request.name);
        let serving = Serving { lua, host, setup };
        while let Some(line) = lines.recv().await {
            let (id, began) = (line.id, Instant::now());
            let result = match &environment {
                Ok(environment) => serving.evaluate(environment, line).await,
                Err(error) => Err(failed(&serving.host, error)),
            };
            lock(&serving.setup.open).remove(&id);
            serving.setup.outlet.answer(Item::Answer(Answer { id, took: began.elapsed(), result })).await;
        }
        with_environments(&state, |all| all.0.remove(&number));
    });
}

fn with_environments<T>(lua: &Lua, work: impl FnOnce(&mut Environments) -> T) -> Option<T> {
    if lua.app_data_ref::<Environments>().is_none() {
        lua.set_app_data(Environments::default());
    }
    lua.app_data_mut::<Environments>().map(|mut all| work(&mut all))
}

/// A question for what may stand at the cursor of a text.
pub(super) struct Question {
    pub(super) id: u64,
    pub(super) text: String,
    pub(super) cursor: usize,
    /// One of those that a session may have unanswered, until it is dropped.
    pub(super) place: Arc<()>,
}

/// Answers a question of this session, also while a line of it waits.
pub(super) fn answer((lua, host): (&Lua, &Host), number: u64, question: Question, outlet: Outlet) {
    let _armed = host.limits().arm(Instant::now() + SHOWING);
    let environment = with_environments(lua, |all| all.0.get(&number).cloned()).flatten();
    let Question { id, text, cursor, place } = question;
    let candidates = match environment {
        Some(environment) => Candidates { id, ..complete(lua, &environment, &text, cursor) },
        None => Candidates { id, start: cursor, candidates: Vec::new() },
    };
    tokio::task::spawn_local(async move {
        outlet.say(Item::Candidates(candidates)).await;
        drop(place);
    });
}

struct Serving {
    lua: Lua,
    host: Host,
    setup: Setup,
}

impl Serving {
    async fn evaluate(&self, environment: &Environment, line: Line) -> Result<Values, Trouble> {
        let (lua, host, request) = (&self.lua, &self.host, &self.setup.request);
        if line.cancel.is_asked() {
            return Err(trouble(host, &Stopped::Cancelled));
        }
        let function = match compiled(lua, &request.name, &line.text, &environment.env) {
            Compiled::Ready(function) => function,
            Compiled::Incomplete(message) => return Err(Trouble { message, incomplete: true, ..Trouble::default() }),
            Compiled::Wrong(message) => return Err(Trouble { message, ..Trouble::default() }),
        };
        self.setup.outlet.begin(line.id);
        // Where the keys of its tables stand.
        let _ = Evaluation::with(lua, |evaluation| evaluation.sources.replace(&request.name, &line.text));
        let outlet = self.setup.outlet.clone();
        let acting = Arc::new(Acting {
            caller: Arc::from(request.caller.as_str()),
            read_only: request.read_only,
            changed: AtomicBool::new(false),
            print: Arc::new(move |line: &str| outlet.print(line)),
        });
        let terms = Terms {
            until: line.timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
            computing: Some(COMPUTING),
            cancel: Some(line.cancel.clone()),
            acting: Some(acting.clone()),
        };
        let ran = run(lua, host, function, MultiValue::new(), terms).await;
        if acting.changed.load(Ordering::Relaxed)
            && let Some(supervisor) = host.supervisor()
        {
            supervisor.evaluated(&acting.caller, &shown(&supervisor, &line.text));
        }
        let values = ran.map_err(|stopped| trouble(host, &stopped))?;
        self.shown(environment, values, (acting, line.cancel))
    }

    /// Writes down what a line came to, and keeps it as `_`.
    fn shown(
        &self,
        environment: &Environment,
        values: MultiValue,
        (acting, cancel): (Arc<Acting>, Arc<Cancel>),
    ) -> Result<Values, Trouble> {
        let told = |error: mlua::Error| failed(&self.host, &error);
        if let Some(first) = values.front().filter(|first| !first.is_nil()) {
            environment.values.raw_set("_", first).map_err(told)?;
        }
        let _acting = self.host.act_as(&self.lua, acting);
        let _armed = self.host.limits().arm_turn(Instant::now() + SHOWING, SHOWING, (0, Some(cancel)));
        let mut all = Values::default();
        for value in &values {
            all.shown.push(show::shown(&self.lua, value, self.setup.request.width).map_err(told)?);
            match to_json(value) {
                Ok(tree) => all.json.push(tree.to_string()),
                Err(why) => {
                    all.json.push("null".to_owned());
                    all.not_json.get_or_insert(why);
                }
            }
        }
        Ok(all)
    }
}
