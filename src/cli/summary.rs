//! What became of each process, kept while it happens: which rest, which failed, how the last run ended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::core::{Cause, Ending, Event, EventKind, ExitStatus, SpawnError, StateName, Status};

/// What is known of one process.
#[derive(Clone, Debug, Default)]
struct Fate {
    state: Option<StateName>,
    failure: Option<String>,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Summary {
    fates: BTreeMap<Arc<str>, Fate>,
    /// Oneshots that stay `running` after their success, with nothing left that runs.
    remaining: BTreeSet<String>,
    /// How many are in a state that they will leave.
    busy: usize,
    last_exit: Option<ExitStatus>,
    last_spawn_error: Option<SpawnError>,
}

impl Summary {
    /// Nothing has happened yet.
    pub(super) fn new(remaining: BTreeSet<String>) -> Self {
        Summary { remaining, ..Summary::default() }
    }

    /// Takes in a process as it was when the watching began.
    pub(super) fn begin_with(&mut self, status: &Status) {
        self.busy += usize::from(!self.is_at_rest(&status.name, status.state));
        let failed = matches!(status.state, StateName::Failed | StateName::Crashed);
        let fate = Fate { state: Some(status.state), failure: failed.then(|| status.reason.clone()) };
        self.fates.insert(Arc::clone(&status.name), fate);
    }

    /// Takes in an event. True when it may have been the last thing to happen.
    pub(super) fn note(&mut self, event: &Event) -> bool {
        if let EventKind::ProcessExited { status, .. } = &event.kind {
            self.last_exit = Some(*status);
            self.last_spawn_error = None;
        }
        if let Cause::Ended(Ending::Spawn(error)) = &event.cause {
            self.last_spawn_error = Some(error.clone());
        }
        let (Some(name), EventKind::State { to, reason, .. }) = (&event.name, &event.kind) else {
            return matches!(event.kind, EventKind::Skipped { .. }) && self.rests();
        };
        let was_busy =
            self.fates.get(name).and_then(|fate| fate.state).is_some_and(|state| !self.is_at_rest(name, state));
        let is_busy = !self.is_at_rest(name, *to);
        self.busy = self.busy + usize::from(is_busy) - usize::from(was_busy);
        let fate = self.fates.entry(Arc::clone(name)).or_default();
        fate.state = Some(*to);
        match to {
            StateName::Failed | StateName::Crashed => fate.failure = Some(reason.clone()),
            StateName::Starting | StateName::Running | StateName::Exited => fate.failure = None,
            _ => {}
        }
        self.rests()
    }

    /// Whether nothing runs, and nothing will unless somebody asks.
    fn rests(&self) -> bool {
        self.busy == 0
    }

    /// Whether a process in this state will stay in it.
    pub(super) fn is_at_rest(&self, name: &str, state: StateName) -> bool {
        match state {
            StateName::Created | StateName::Stopped | StateName::Exited | StateName::Failed | StateName::Crashed => {
                true
            }
            StateName::Running => self.remaining.contains(name),
            StateName::Waiting | StateName::Starting | StateName::Stopping | StateName::Backoff => false,
        }
    }

    /// Those that failed and have not come back, with how.
    pub(super) fn failed(&self) -> Vec<(&str, &str)> {
        let failed = self.fates.iter().filter_map(|(name, fate)| Some((&**name, fate.failure.as_deref()?)));
        failed.collect()
    }

    /// How the last main process to end did.
    pub(super) fn last_exit(&self) -> Option<ExitStatus> {
        self.last_exit
    }

    /// Why the last run was not executed, if it was not.
    pub(super) fn last_spawn_error(&self) -> Option<&SpawnError> {
        self.last_spawn_error.as_ref()
    }
}
