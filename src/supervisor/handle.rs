//! The handle on a whole supervisor.

#[cfg(feature = "cli")]
use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Weak};
#[cfg(feature = "cli")]
use std::time::Duration;

use tokio::sync::oneshot;

use super::builder::Builder;
use super::error::Error;
use super::pending::{Pending, Shutdown};
use super::process::Process;
use super::shared::{Answer, Caller, Message, Shared};
use super::support;
use super::task::{Task, TaskResult};
#[cfg(feature = "grpc")]
use crate::core::ProcessId;
use crate::core::{Applied, Command, Done, Refusal, Status};
#[cfg(feature = "cli")]
use crate::driver::Engine;
use crate::driver::{HostReport, is_in_task};
use crate::events::{Events, Lines};
#[cfg(feature = "cli")]
use crate::log::Tail;
use crate::spec::{Plan, Spec};

/// A supervisor: its engine runs on a thread of its own until [`shutdown`](Supervisor::shutdown), or until the last
/// handle is dropped.
///
/// Cheap to clone; all clones are the same supervisor. A program may have several. It installs no signal handler,
/// sets no subreaper, and reaps no child but its own. It works from any async runtime and from plain threads.
///
/// # Dropping
/// When the last handle ([`Supervisor`] or [`Process`]) is dropped, everything is stopped in order, and the drop waits
/// for that, so that a program that returns from `main` leaves no child behind. Async code that must not wait in a drop
/// awaits [`shutdown`](Supervisor::shutdown) first: then nothing is left to wait for. Functions that specs call should
/// hold a [`WeakSupervisor`], else they keep their own supervisor up for ever.
///
/// ```
/// use neap::{Supervisor, spec::Spec};
///
/// let supervisor = Supervisor::builder().build()?;
/// let sleeper = supervisor.add(Spec::new("sleeper", ["sleep", "60"]))?;
/// sleeper.start_blocking()?;
/// assert!(sleeper.status()?.pid.is_some());
/// supervisor.shutdown().wait()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Supervisor {
    owner: Arc<Owner>,
    caller: Caller,
}

/// What all handles hold; its drop is the last handle's.
pub(super) struct Owner {
    pub shared: Arc<Shared>,
    /// Who made it: in a forked copy of the program there is no engine to wait for.
    pid: u32,
}

impl Drop for Owner {
    fn drop(&mut self) {
        if self.pid != std::process::id() {
            return;
        }
        // An engine that has ended takes no message, and is joined at once.
        self.shared.workers.nobody_polls_while_we_wait();
        let _ = self.shared.mailbox.post(Message::Abandoned);
        // The engine would wait for this very task.
        if !is_in_task(&self.shared) {
            self.shared.join();
        }
    }
}

/// A handle that does not keep its supervisor up.
#[derive(Clone)]
pub struct WeakSupervisor(Weak<Owner>);

impl WeakSupervisor {
    /// The supervisor, while some other handle keeps it up.
    pub fn upgrade(&self) -> Option<Supervisor> {
        self.0.upgrade().map(|owner| Supervisor { owner, caller: None })
    }
}

impl Supervisor {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Supervisor { owner: Arc::new(Owner { shared, pid: std::process::id() }), caller: None }
    }

    /// Starts describing a supervisor.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// A handle that does not keep it up.
    pub fn downgrade(&self) -> WeakSupervisor {
        WeakSupervisor(Arc::downgrade(&self.owner))
    }

    /// The same supervisor, asked by somebody: what is commanded through this handle, and through handles that it gives,
    /// is told with these words ([`Event::caller`](crate::core::Event::caller)).
    ///
    /// ```
    /// use neap::core::EventKind;
    /// use neap::{Next, Supervisor, spec::Spec};
    ///
    /// let supervisor = Supervisor::builder().build()?;
    /// let mut events = supervisor.events();
    /// supervisor.on_behalf_of("the night shift").add(Spec::new("hello", ["true"]))?;
    /// if let Some(Next::Item(event)) = events.next_blocking() {
    ///     assert_eq!((event.kind, event.caller.as_deref()), (EventKind::Defined, Some("the night shift")));
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn on_behalf_of(&self, caller: impl Into<Arc<str>>) -> Supervisor {
        Supervisor { owner: self.owner.clone(), caller: Some(caller.into()) }
    }

    /// Defines a process; nothing starts. Waits for the engine's answer, which comes at once.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] with all that is wrong with the spec; [`Refusal::Exists`] when the name is taken.
    pub fn add(&self, spec: Spec) -> Result<Process, Error> {
        support::check(&spec)?;
        let name: Arc<str> = spec.name.as_str().into();
        let command = Command::Create { spec: Box::new(spec), start: false };
        let created = self.shared().command(command, &self.caller, |answer| match answer {
            Answer::Done(Done::Created(id)) => Some(id),
            _ => None,
        });
        let id = created.wait()?;
        Ok(Process::new(self.owner.clone(), self.caller.clone(), id, name))
    }

    /// As [`add`](Supervisor::add), without waiting for the answer; with `start` its start is begun in the same step.
    #[cfg(feature = "grpc")]
    pub(crate) fn create(&self, spec: Spec, start: bool) -> Pending<ProcessId> {
        if let Err(refusal) = support::check(&spec) {
            return Pending::ready(Err(refusal.into()));
        }
        self.shared().command(Command::Create { spec: Box::new(spec), start }, &self.caller, |answer| match answer {
            Answer::Done(Done::Created(id)) => Some(id),
            _ => None,
        })
    }

    /// Defines a task: a process whose runs are futures of the program's own. Nothing starts. `function` is called for each
    /// run, and what its future gives is how the run ended: an error is a failure with its text as the reason, a panic is
    /// one with its words. All else is as for a child: see [`Task`] for what the future can say and hear, and
    /// [`Builder::runtime`] for where it runs.
    ///
    /// Asked to stop, [`Task::cancelled`] comes; a future that has not ended when the wait of its spec's `stop` is over is
    /// dropped. One that blocks its thread cannot be: its task stays `stopping`, stuck, until it yields. Like functions
    /// that specs call, `function` should hold a [`WeakSupervisor`] rather than a [`Supervisor`].
    ///
    /// ```
    /// use neap::spec::{Restart, Spec};
    /// use neap::Supervisor;
    ///
    /// # fn send_next() -> Result<(), std::io::Error> { Ok(()) }
    /// let supervisor = Supervisor::builder().build()?;
    /// let mailer = Spec::task("mailer").restart(Restart::on_failure());
    /// let mailer = supervisor.add_task(mailer, |task| async move {
    ///     while !task.is_cancelled() {
    ///         send_next()?; // an error ends the run, and the restart policy says what follows
    ///         tokio::select! {
    ///             () = task.cancelled() => break,
    ///             () = tokio::time::sleep(std::time::Duration::from_secs(1)) => {}
    ///         }
    ///     }
    ///     Ok(())
    /// })?;
    /// mailer.start_blocking()?;
    /// mailer.stop_blocking()?;
    /// supervisor.shutdown().wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Refusal::Invalid`] with all that is wrong with the spec, also when it is not one of [`Spec::task`];
    /// [`Refusal::Exists`] when the name is taken.
    pub fn add_task<F, R>(&self, spec: Spec, function: F) -> Result<Process, Error>
    where
        F: Fn(Task) -> R + Send + Sync + 'static,
        R: Future<Output = TaskResult> + Send + 'static,
    {
        support::check_task(&spec, self.shared().kept)?;
        let name: Arc<str> = spec.name.as_str().into();
        let id = self.shared().add_task(spec, Arc::new(move |task| Box::pin(function(task))), &self.caller).wait()?;
        Ok(Process::new(self.owner.clone(), self.caller.clone(), id, name))
    }

    /// The process of this name; `None` also once the supervisor has ended, and on its own thread (see [`Error::OwnThread`]).
    pub fn get(&self, name: &str) -> Option<Process> {
        let wanted = name.to_owned();
        let id = self.shared().query(move |engine| engine.machine().find(&wanted)).ok()??;
        Some(Process::new(self.owner.clone(), self.caller.clone(), id, name.into()))
    }

    /// All processes as they are now, by name.
    ///
    /// # Errors
    /// [`Error::Ended`] when the supervisor has ended.
    pub fn list(&self) -> Result<Vec<Status>, Error> {
        let mut all = self.shared().query(|engine| {
            let machine = engine.machine();
            machine.processes().into_iter().filter_map(|id| machine.status(id)).collect::<Vec<_>>()
        })?;
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// What [`apply`](Supervisor::apply) would do; changes nothing.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] with all that is wrong with the plan.
    pub fn plan(&self, plan: &Plan) -> Result<Applied, Error> {
        support::check_plan(plan)?;
        let plan = plan.clone();
        let diff = self.shared().query(move |engine| engine.machine().diff(&plan))?;
        let changes = diff.map_err(|error| Error::Refused(Refusal::Invalid(error)))?;
        Ok(Applied { changes })
    }

    /// Makes the configured processes be these, all or nothing; those that start by themselves are started. Answered
    /// once the plan is accepted: its starts go on.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] with all that is wrong with the plan; nothing is changed then.
    pub fn apply(&self, plan: Plan) -> Pending<Applied> {
        if let Err(refusal) = support::check_plan(&plan) {
            return Pending::ready(Err(refusal.into()));
        }
        self.shared().command(Command::Apply(Box::new(plan)), &self.caller, |answer| match answer {
            Answer::Done(Done::Applied(applied)) => Some(applied),
            _ => None,
        })
    }

    /// Events from now on.
    pub fn events(&self) -> Events {
        Events(self.shared().events.subscribe())
    }

    /// Events after this sequence number, as far back as they are kept; what is not, counts as lag.
    pub fn events_after(&self, sequence: u64) -> Events {
        Events(self.shared().events.subscribe_from(sequence.saturating_add(1)))
    }

    /// Lines that processes print, from now on, of the streams that are captured.
    pub fn output(&self) -> Lines {
        Lines(self.shared().lines.subscribe())
    }

    /// Waits until what these processes had printed when this was called is among the lines that followers get, or a second
    /// has passed.
    ///
    /// # Errors
    /// [`Error::Ended`]: what was printed comes before the end of the lines, then.
    #[cfg(feature = "cli")]
    pub(crate) fn await_lines(&self, processes: BTreeSet<ProcessId>) -> Result<(), Error> {
        let tails = move |engine: &Engine| processes.into_iter().filter_map(|id| engine.tail(id)).collect::<Vec<_>>();
        Tail::sync_all(&self.shared().query(tails)?);
        Ok(())
    }

    /// Waits until the events tell of all that had happened when this was called.
    ///
    /// # Errors
    /// [`Error::Ended`]: they have told of all.
    #[cfg(feature = "cli")]
    pub(crate) fn await_news(&self) -> Result<(), Error> {
        // The turn in which the engine answers the first time has heard what the kernel had to tell by then; before it
        // answers again, that turn is over.
        self.shared().query(|_| ())?;
        self.shared().query(|_| ())
    }

    /// How well this host lets the promises be kept: how children are made and how their trees are held together.
    pub fn host(&self) -> HostReport {
        self.shared().host().clone()
    }

    /// Stops everything in order, then the engine. A second call escalates: SIGKILL to what is still being stopped.
    /// Answered when the engine has ended, also when it had before.
    ///
    /// # Errors
    /// None but [`Error::Ended`], when the engine ended in a way it should not.
    pub fn shutdown(&self) -> Pending<Shutdown> {
        let id = self.shared().next_command();
        let caller = self.caller.clone();
        let _ = self.shared().mailbox.post(Message::Command { id, command: Command::Shutdown, caller, answer: None });
        self.ended()
    }

    /// Answers when the engine has ended, however that came about (a shutdown, a critical process's end).
    ///
    /// # Errors
    /// None but [`Error::Ended`], when the engine ended in a way it should not.
    pub fn ended(&self) -> Pending<Shutdown> {
        let (sender, receiver) = oneshot::channel();
        match self.shared().mailbox.post(Message::WaitEnd(sender)) {
            Ok(()) => Pending::new(
                receiver,
                |answer| match answer {
                    Answer::Ended(shutdown) => Some(shutdown),
                    _ => None,
                },
                self.shared(),
                None,
            ),
            Err(_) => Pending::ready(self.shared().ended.get().cloned().ok_or(Error::Ended)),
        }
    }

    /// Answers when the listeners of all that was asked for before are bound, or could not be: whoever connects then is let
    /// in. What waits for another process binds its own when its turn comes, and is not waited for.
    ///
    /// ```
    /// use neap::Supervisor;
    /// use neap::spec::{ListenAddress, Listener, Plan, Spec};
    ///
    /// let supervisor = Supervisor::builder().build()?;
    /// let mut plan = Plan::new();
    /// plan.insert(Spec::new("web", ["my-server"]).listen(Listener::new(ListenAddress::Tcp("127.0.0.1:0".into()))))
    ///     .map_err(|problem| problem.to_string())?;
    /// supervisor.apply(plan).wait()?;
    /// supervisor.listening().wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Ended`] when the supervisor ends first.
    pub fn listening(&self) -> Pending<()> {
        let (sender, receiver) = oneshot::channel();
        match self.shared().mailbox.post(Message::WaitBound(sender)) {
            Ok(()) => {
                Pending::new(receiver, |answer| matches!(answer, Answer::Bound).then_some(()), self.shared(), None)
            }
            Err(_) => Pending::ready(Err(Error::Ended)),
        }
    }

    /// Waits for the same, but no longer than this: a disk that hangs may never answer. What is not bound by then, by name
    /// and address.
    #[cfg(feature = "cli")]
    pub(crate) fn listening_within(&self, patience: Duration) -> Result<Vec<String>, Error> {
        if self.listening().wait_within(patience)?.is_some() {
            return Ok(Vec::new());
        }
        self.shared().query(|engine| {
            let machine = engine.machine();
            let shown = |id| Some(format!("{} at {}", machine.status(id)?.name, machine.spec(id)?.listening_at()));
            machine.binding().filter_map(shown).collect()
        })
    }

    /// Ends the engine without touching a child: a successor with the same ledger goes on. This program must end right
    /// after it, without another supervisor. False, and nothing is changed, when what a successor needs cannot be written.
    #[doc(hidden)]
    pub fn hand_over(&self) -> Pending<bool> {
        let (sender, receiver) = oneshot::channel();
        match self.shared().mailbox.post(Message::HandOver(sender)) {
            Ok(()) => Pending::new(
                receiver,
                |answer| match answer {
                    Answer::HandedOver(done) => Some(done),
                    _ => None,
                },
                self.shared(),
                None,
            ),
            Err(_) => Pending::ready(Err(Error::Ended)),
        }
    }

    /// What was made at run time and is not about to be forgotten, by name.
    #[cfg(feature = "cli")]
    pub(crate) fn made_at_run_time(&self) -> Result<Vec<Arc<Spec>>, Error> {
        let mut made = self.shared().query(|engine| {
            let machine = engine.machine();
            let of_run_time = |id: &ProcessId| machine.status(*id).is_some_and(|status| status.runtime);
            let ids = machine.processes().into_iter().filter(of_run_time);
            ids.filter_map(|id| machine.spec(id)).collect::<Vec<_>>()
        })?;
        made.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(made)
    }

    /// Whether everything is being stopped for good: from a [`shutdown`](Supervisor::shutdown) on, also one that was asked
    /// of a supervisor before this one.
    #[cfg(feature = "cli")]
    pub(crate) fn is_shutting_down(&self) -> bool {
        self.shared().query(|engine| engine.machine().is_shutting_down()).unwrap_or(false)
    }

    /// Has it told as an event that a configuration does not evaluate.
    #[cfg(feature = "cli")]
    pub(crate) fn plan_refused(&self, reason: String) {
        // One that has ended has nobody to tell.
        let _ = self.shared().mailbox.post(Message::Input(crate::core::Input::PlanRefused(reason)));
    }

    /// Has it told as an event that a line of a session changed something.
    #[cfg(feature = "lua")]
    pub(crate) fn evaluated(&self, caller: &Arc<str>, line: &str) {
        let end = (0..=line.len().min(1_000)).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
        let input = crate::core::Input::Evaluated(line[..end].to_owned(), caller.clone());
        let _ = self.shared().mailbox.post(Message::Input(input));
    }

    /// The handle on a process that is known by id and name.
    #[cfg(feature = "grpc")]
    pub(crate) fn handle(&self, id: ProcessId, name: Arc<str>) -> Process {
        Process::new(self.owner.clone(), self.caller.clone(), id, name)
    }

    /// What all handles share.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.owner.shared
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor").finish_non_exhaustive()
    }
}

impl fmt::Debug for WeakSupervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakSupervisor").finish_non_exhaustive()
    }
}
