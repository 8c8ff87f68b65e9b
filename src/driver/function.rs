//! Functions that specs name by number: who answers for them, and how a call ends.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::core::{ExitStatus, HookKind, ProbeKind, RunId};
use crate::spec::FunctionId;

/// Who runs the functions that specs name by number (a Lua runtime, a table of closures).
pub trait FunctionHost: Send + Sync {
    /// Begins a call and returns at once: it is made from the engine's thread, which does nothing else meanwhile, so a
    /// blocking call to the supervisor from here is refused. `done` may be called from any thread, once; if it is
    /// dropped, the call failed. A call that takes longer than its timeout has failed whatever comes later.
    fn call(&self, call: FunctionCall, done: FunctionDone);
}

/// What a function is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A hook.
    Hook(HookKind),
    /// A probe.
    Probe(ProbeKind),
    /// The condition of a start: `Ok` when it holds.
    Condition,
}

/// A call of a function.
#[derive(Clone, Debug)]
pub struct FunctionCall {
    /// Which function.
    pub function: FunctionId,
    /// What for.
    pub purpose: Purpose,
    /// For which process.
    pub process: Arc<str>,
    /// For which run.
    pub run: RunId,
    /// How the run's main process ended, if it has.
    pub exit: Option<ExitStatus>,
    /// How long it may take.
    pub timeout: Duration,
}

/// Why a function call did not end well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shortfall {
    /// The function said no.
    No(String),
    /// It came to no answer.
    Broken(String),
}

impl Shortfall {
    /// In words.
    pub fn into_text(self) -> String {
        match self {
            Shortfall::No(text) | Shortfall::Broken(text) => text,
        }
    }
}

/// Takes the outcome of a function call: `Ok`, or how it failed.
pub struct FunctionDone(Option<Outcome>);

type Outcome = Box<dyn FnOnce(Result<(), Shortfall>) + Send>;

impl FunctionDone {
    pub(crate) fn new(done: impl FnOnce(Result<(), Shortfall>) + Send + 'static) -> Self {
        FunctionDone(Some(Box::new(done)))
    }

    /// The call is over: `Err` has what the function says against it.
    pub fn finish(self, result: Result<(), String>) {
        self.tell(result.map_err(Shortfall::No));
    }

    /// The call is over, and came to no answer: a condition then neither holds nor fails to hold, and the start fails.
    /// For hooks and probes it is the same as an `Err`.
    pub fn broken(self, reason: String) {
        self.tell(Err(Shortfall::Broken(reason)));
    }

    fn tell(mut self, result: Result<(), Shortfall>) {
        if let Some(done) = self.0.take() {
            done(result);
        }
    }
}

impl Drop for FunctionDone {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done(Err(Shortfall::Broken("the function was given up without an answer".into())));
        }
    }
}

impl fmt::Debug for FunctionDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FunctionDone")
    }
}

/// A closure that answers for one function number; it runs on a thread of the supervisor's pool and may block.
pub(crate) type Closure = Arc<dyn Fn(&FunctionCall) -> Result<(), String> + Send + Sync>;

/// Everybody who answers for functions.
#[derive(Default)]
pub(crate) struct Functions {
    /// Closures by their numbers; looked at first.
    pub closures: HashMap<FunctionId, Closure>,
    /// Who answers for all others.
    pub host: Option<Arc<dyn FunctionHost>>,
}
