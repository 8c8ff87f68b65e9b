//! What both services serve: an instance, under its name.

use std::path::PathBuf;
use std::sync::Arc;

use tonic::{Code, Request};

use super::backend::{ApplyOutcome, ApplyRequest, Backend, Info};
use super::caller::Caller;
use super::fault::Fault;
use super::select::{self, Found};
use crate::Supervisor;
use crate::core::StateName;
use crate::supervisor::Process;

/// An instance as the services see it; cheap to clone.
#[derive(Clone)]
pub(super) struct Served {
    backend: Arc<dyn Backend>,
    /// Commands through it carry who asks.
    supervisor: Supervisor,
    caller: Option<Arc<str>>,
    name: Arc<str>,
}

impl Served {
    pub(super) fn new(backend: Arc<dyn Backend>) -> Self {
        let name = backend.info().instance.into();
        Served { supervisor: backend.supervisor().clone(), caller: None, backend, name }
    }

    /// The same, for whoever sends this request: what is done through it is told as asked by them.
    pub(super) fn for_caller<T>(&self, request: &Request<T>) -> Served {
        let Some(caller) = request.extensions().get::<Caller>() else { return self.clone() };
        Served {
            supervisor: self.supervisor.on_behalf_of(caller.text.clone()),
            caller: Some(caller.text.clone()),
            ..self.clone()
        }
    }

    /// What ids are made of.
    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }

    pub(super) fn info(&self) -> Info {
        self.backend.info()
    }

    /// All processes, by name.
    pub(super) async fn all(&self) -> Result<Vec<Found>, Fault> {
        select::all(self.supervisor(), &self.name).await
    }

    /// These processes; all when there is no name.
    pub(super) async fn these(&self, names: Vec<String>) -> Result<Vec<Found>, Fault> {
        select::these(self.supervisor(), &self.name, names).await
    }

    /// These processes, of which at least one must be named.
    pub(super) async fn asked(&self, names: Vec<String>) -> Result<Vec<Found>, Fault> {
        if names.is_empty() {
            return Err(Fault::invalid("names", "is empty: which process is meant? `*` is all of them"));
        }
        self.these(names).await
    }

    /// The process of this name or id.
    pub(super) async fn one(&self, name: String) -> Result<Found, Fault> {
        select::one(self.supervisor(), &self.name, name).await
    }

    /// The handle on a process that was found.
    pub(super) fn handle(&self, found: &Found) -> Process {
        self.supervisor().handle(found.status.id, found.status.name.clone())
    }

    /// Evaluates and applies; on a thread that may block.
    pub(super) async fn apply(&self, request: ApplyRequest) -> Result<ApplyOutcome, Fault> {
        let (backend, caller) = (self.backend.clone(), self.caller.clone());
        let applied = blocking(move || backend.apply(ApplyRequest { caller, ..request })).await?;
        applied.map_err(|problems| Fault::problems(&problems))
    }

    /// What was made at run time is kept as it is now.
    pub(super) async fn settle(&self) -> Result<(), Fault> {
        let backend = self.backend.clone();
        blocking(move || backend.settle()).await
    }

    /// Opens a session of the Lua REPL.
    #[cfg(feature = "lua")]
    pub(super) async fn open_session(
        &self,
        request: crate::lua::SessionRequest,
    ) -> Result<(crate::lua::Session, crate::lua::Items), Fault> {
        let backend = self.backend.clone();
        let refused = |why| Fault::new(Code::FailedPrecondition, "refused", why);
        blocking(move || backend.open_session(request)).await?.map_err(refused)
    }

    /// Begins to stop everything.
    pub(super) async fn shutdown(&self) -> Result<(), Fault> {
        let (backend, caller) = (self.backend.clone(), self.caller.clone());
        blocking(move || backend.shutdown(caller)).await
    }

    /// Lets another binary take over.
    pub(super) async fn upgrade(&self, binary: Option<PathBuf>) -> Result<(), Fault> {
        let backend = self.backend.clone();
        let refused = |why| Fault::new(Code::FailedPrecondition, "refused", why);
        blocking(move || backend.upgrade(binary)).await?.map_err(refused)
    }
}

/// Runs what blocks on a thread for that. It goes on when the client goes away.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Fault::new(Code::Internal, "failed", format!("the call broke off: {error}")))
}

/// How many are in each of the groups that both services count.
pub(super) struct Counts {
    pub(super) total: u32,
    pub(super) running: u32,
    pub(super) stopped: u32,
    pub(super) failed: u32,
}

impl Counts {
    pub(super) fn of(all: &[Found]) -> Self {
        let count = |states: &[StateName]| {
            let these = all.iter().filter(|found| states.contains(&found.status.state)).count();
            u32::try_from(these).unwrap_or(u32::MAX)
        };
        Counts {
            total: count(&StateName::ALL),
            running: count(&[StateName::Running]),
            stopped: count(&[StateName::Stopped]),
            failed: count(&[StateName::Failed, StateName::Crashed]),
        }
    }
}
