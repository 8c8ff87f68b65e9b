//! A handle on one process.

use std::fmt;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::error::Error;
use super::handle::Owner;
use super::pending::Pending;
use super::shared::{Answer, Caller, Message};
#[cfg(feature = "grpc")]
use crate::core::SpawnError;
use crate::core::{Command, Done, Explanation, ProcessId, Refusal, StateName, Status, Updated};
#[cfg(feature = "grpc")]
use crate::driver::{Beside, beside};
use crate::driver::{LimitState, ListenerState, Usage};
use crate::log::{Line, LogFrom, LogReader};
use crate::spec::{Signal, Spec};

/// A handle on one process. Cheap to clone; it keeps the supervisor up like [`Supervisor`](crate::Supervisor) itself.
///
/// Every call may be repeated: starting what runs and stopping what is stopped are answered at once. A call that the
/// process's state does not allow is refused with an error that names the state.
#[derive(Clone)]
pub struct Process {
    owner: Arc<Owner>,
    caller: Caller,
    id: ProcessId,
    name: Arc<str>,
}

impl Process {
    pub(super) fn new(owner: Arc<Owner>, caller: Caller, id: ProcessId, name: Arc<str>) -> Self {
        Process { owner, caller, id, name }
    }

    fn command<T>(&self, command: Command, read: fn(Answer) -> Option<T>) -> Pending<T> {
        self.owner.shared.command(command, &self.caller, read)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its place in the supervisor. A process that is deleted and defined again has another.
    pub fn id(&self) -> ProcessId {
        self.id
    }

    /// Starts it, and what it requires and wants. Answered when it is ready (running; a oneshot: exited).
    ///
    /// # Errors
    /// [`Refusal::StartFailed`] with why, and when it is tried again; [`Refusal::Skipped`] when a condition does not
    /// hold; [`Refusal::Superseded`] when a stop came in between.
    pub fn start(&self) -> Pending<StateName> {
        self.command(Command::Start(self.id), read_state)
    }

    /// [`start`](Process::start) for plain threads.
    ///
    /// # Errors
    /// Those of [`start`](Process::start).
    pub fn start_blocking(&self) -> Result<StateName, Error> {
        self.start().wait()
    }

    /// Stops it, and first what cannot be without it. Answered when nothing of it is left. A second stop escalates.
    ///
    /// # Errors
    /// [`Refusal::Stuck`] naming the pids that survived SIGKILL.
    pub fn stop(&self) -> Pending<StateName> {
        self.command(Command::Stop(self.id), read_state)
    }

    /// [`stop`](Process::stop) for plain threads.
    ///
    /// # Errors
    /// Those of [`stop`](Process::stop).
    pub fn stop_blocking(&self) -> Result<StateName, Error> {
        self.stop().wait()
    }

    /// Stops and starts it, and brings back what the stop took down. Answered when it is ready again.
    ///
    /// # Errors
    /// Those of [`start`](Process::start) and [`stop`](Process::stop).
    pub fn restart(&self) -> Pending<StateName> {
        self.command(Command::Restart(self.id), read_state)
    }

    /// Has it read its configuration again, as its spec's `reload` says.
    ///
    /// # Errors
    /// [`Refusal::State`] when it does not run or declares no reload.
    pub fn reload(&self) -> Pending<()> {
        self.command(Command::Reload(self.id), read_unit)
    }

    /// Sends a signal to its main process.
    ///
    /// # Errors
    /// [`Refusal::State`] when there is no main process.
    pub fn signal(&self, signal: Signal) -> Pending<()> {
        self.command(Command::Signal(self.id, signal), read_unit)
    }

    /// Replaces its spec. What can be applied live is; what needs a restart waits for one, and the answer names it.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] with all that is wrong; nothing is changed then.
    pub fn update(&self, spec: Spec) -> Pending<Updated> {
        self.send_update(spec, false, false)
    }

    /// [`update`](Process::update), then a restart if a changed field needs one.
    ///
    /// # Errors
    /// Those of [`update`](Process::update).
    pub fn update_and_restart(&self, spec: Spec) -> Pending<Updated> {
        self.send_update(spec, true, false)
    }

    /// What [`update`](Process::update) would do; changes nothing.
    ///
    /// # Errors
    /// Those of [`update`](Process::update).
    pub fn update_dry_run(&self, spec: Spec) -> Pending<Updated> {
        self.send_update(spec, false, true)
    }

    fn send_update(&self, spec: Spec, restart: bool, dry_run: bool) -> Pending<Updated> {
        let command = Command::Update { process: self.id, spec: Box::new(spec), restart, dry_run };
        self.command(command, |answer| match answer {
            Answer::Done(Done::Updated(updated)) => Some(updated),
            _ => None,
        })
    }

    /// Forgets it; with `force` it is stopped first.
    ///
    /// # Errors
    /// [`Refusal::State`] when it is up and `force` is not given.
    pub fn delete(&self, force: bool) -> Pending<()> {
        self.command(Command::Delete { process: self.id, force }, read_unit)
    }

    /// How it is.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when it was deleted.
    pub fn status(&self) -> Result<Status, Error> {
        let id = self.id;
        let status = self.owner.shared.query(move |engine| engine.machine().status(id))?;
        status.ok_or(Error::Refused(Refusal::NotFound))
    }

    /// Why it is in its state: the causes down to the first, what its start or stop waits for, and for how long still.
    ///
    /// ```
    /// use neap::{Supervisor, spec::Spec};
    ///
    /// let supervisor = Supervisor::builder().build()?;
    /// supervisor.add(Spec::shell("tables", "exit 3").oneshot())?;
    /// let web = supervisor.add(Spec::new("web", ["sleep", "60"]).requires("tables"))?;
    /// web.start_blocking().unwrap_err();
    /// let why = web.why()?;
    /// let said: Vec<String> = why.chain.iter().map(|reason| format!("{} {}", reason.of, reason.full_text())).collect();
    /// assert!(said.iter().any(|line| line.starts_with("tables failed")), "{said:?}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when it was deleted.
    pub fn why(&self) -> Result<Explanation, Error> {
        let id = self.id;
        let explanation = self.owner.shared.query(move |engine| engine.explain(id))?;
        explanation.ok_or(Error::Refused(Refusal::NotFound))
    }

    /// Its spec: that of its next run.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when it was deleted.
    pub fn spec(&self) -> Result<Arc<Spec>, Error> {
        let id = self.id;
        let spec = self.owner.shared.query(move |engine| engine.machine().spec(id))?;
        spec.ok_or(Error::Refused(Refusal::NotFound))
    }

    /// What its tree uses of the host; `None` when it does not run. Without cgroups this reads all of `/proc`, on the
    /// calling thread. Rates are the difference between two of them.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when it was deleted; [`Error::Ended`] when the supervisor has ended. What cannot be read on
    /// this host is no error: it is missing.
    pub fn usage(&self) -> Result<Option<Usage>, Error> {
        let id = self.id;
        let found = self.owner.shared.query(move |engine| engine.machine().status(id).map(|_| engine.gauge(id)))?;
        let gauge = found.ok_or(Error::Refused(Refusal::NotFound))?;
        Ok(gauge.and_then(|gauge| gauge.read().ok()))
    }

    /// Its listeners, in the order of its spec.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when it was deleted; [`Error::Ended`] when the supervisor has ended.
    pub fn listeners(&self) -> Result<Vec<ListenerState>, Error> {
        let id = self.id;
        let found = self.owner.shared.query(move |engine| engine.machine().status(id).map(|_| engine.listeners(id)))?;
        found.ok_or(Error::Refused(Refusal::NotFound))
    }

    /// Who sees to each limit that its spec has; before it runs for the first time, who would.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when it was deleted; [`Error::Ended`] when the supervisor has ended.
    pub fn limits(&self) -> Result<Vec<LimitState>, Error> {
        let id = self.id;
        let found = self.owner.shared.query(move |engine| engine.limits(id))?;
        found.ok_or(Error::Refused(Refusal::NotFound))
    }

    /// What another program is to be executed with, to be beside it. May block for as long as disks do.
    #[cfg(feature = "grpc")]
    pub(crate) fn beside(&self) -> Result<(Arc<Spec>, Beside), Error> {
        let spec = self.spec()?;
        let surroundings = self.owner.shared.query(|engine| engine.surroundings())?;
        let failed = |error: SpawnError| Refusal::Failed { name: self.name.clone(), reason: error.message };
        Ok((spec.clone(), beside(&spec, &surroundings).map_err(failed)?))
    }

    /// Answers when it is in this state (at once when it is already). A state that it passes through in between two
    /// looks is not missed.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when it is, or is being, deleted; [`Error::Ended`] when the supervisor ends first.
    pub fn wait(&self, state: StateName) -> Pending<Status> {
        let (answer, receiver) = oneshot::channel();
        match self.owner.shared.mailbox.post(Message::Wait { process: self.id, state, answer }) {
            Ok(()) => Pending::new(
                receiver,
                |answer| match answer {
                    Answer::Status(status) => Some(*status),
                    _ => None,
                },
                &self.owner.shared,
                None,
            ),
            Err(_) => Pending::ready(Err(Error::Ended)),
        }
    }

    /// The last lines it printed, oldest first, from all runs, as far back as its ring reaches. What it printed before
    /// it ended is there once its end is known. Waits for the log thread.
    pub fn logs(&self, lines: usize) -> Vec<Line> {
        let id = self.id;
        match self.owner.shared.query(move |engine| engine.tail(id)) {
            Ok(Some(tail)) => tail.last(lines),
            _ => Vec::new(),
        }
    }

    /// Reads its log file, and the files that were rotated away from it; `None` when it has none (before its first start
    /// it has not). Lines that were printed just now may be on their way there: see [`flush_log`](Process::flush_log).
    ///
    /// ```
    /// use neap::{LogFrom, Supervisor, spec::{LogSettings, Spec}};
    ///
    /// # let dir = std::env::temp_dir().join(format!("neap-doc-{}", std::process::id()));
    /// # std::fs::create_dir_all(&dir)?;
    /// let supervisor = Supervisor::builder().base_dir(&dir).build()?;
    /// let log = LogSettings { file: Some("hello.log".into()), ..LogSettings::default() };
    /// let hello = supervisor.add(Spec::new("hello", ["echo", "hello there"]).oneshot().log(log))?;
    /// hello.start_blocking()?;
    /// hello.flush_log();
    /// let mut reader = hello.read_log(LogFrom::Tail(10))?.ok_or("it has a log file")?;
    /// assert_eq!(reader.next_batch(10)?.lines[0].text, b"hello there");
    /// # std::fs::remove_dir_all(&dir)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// What the file or its folder say.
    pub fn read_log(&self, from: LogFrom) -> std::io::Result<Option<LogReader>> {
        let id = self.id;
        match self.owner.shared.query(move |engine| engine.tail(id)) {
            Ok(Some(tail)) => tail.reader(from),
            _ => Ok(None),
        }
    }

    /// Waits until all that it printed so far is in its log file, but no longer than a second or two.
    pub fn flush_log(&self) {
        let id = self.id;
        if let Ok(Some(tail)) = self.owner.shared.query(move |engine| engine.tail(id)) {
            tail.flush();
        }
    }

    /// How many lines its ring has dropped to make room for newer ones.
    pub fn dropped_lines(&self) -> u64 {
        let id = self.id;
        self.owner.shared.query(move |engine| engine.tail(id)).ok().flatten().map_or(0, |tail| tail.dropped())
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("name", &self.name).field("id", &self.id).finish_non_exhaustive()
    }
}

fn read_state(answer: Answer) -> Option<StateName> {
    match answer {
        Answer::Done(Done::State(state)) => Some(state),
        _ => None,
    }
}

fn read_unit(answer: Answer) -> Option<()> {
    match answer {
        Answer::Done(Done::Sent | Done::Deleted) => Some(()),
        _ => None,
    }
}
