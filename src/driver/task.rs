//! Tasks: runs that are futures of the program's own. What a child's exit is for a process, the dropping of its future is
//! for a task: whoever takes the future out of its slot drops it, and then tells once how it ended.

use std::any::Any;
use std::cell::Cell;
use std::collections::HashMap;
use std::error::Error;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::engine::{Engine, HelperDone};
use super::flight::{RunChild, system_error};
use super::sources::{Clock, Moment};
use super::workers::{Busy, Workers};
use crate::core::{
    CommandId, Done, ExitStatus, Input, Notification, Pid, ProcessId, Reply, RunId, SpawnError, SpawnStep,
};
use crate::spec::{Signal, Stream};
use crate::supervisor::{Message, Shared, Task, TaskResult};

/// How long its runtime has for dropping a task before we do it.
const ITS_OWN: Duration = Duration::from_millis(100);
/// A task that could not be dropped for this long is stuck.
const STUCK: Duration = Duration::from_secs(2);
/// What is kept of the text of a failure.
const MAX_REASON: usize = 4096;

pub(crate) type TaskFuture = Pin<Box<dyn Future<Output = TaskResult> + Send>>;
pub(crate) type TaskFunction = Arc<dyn Fn(Task) -> TaskFuture + Send + Sync>;

/// How a run of a task ended.
#[derive(Debug)]
pub(crate) enum TaskEnd {
    Done,
    Failed(String),
    Panicked(String),
    /// Its future was dropped, as was asked for.
    Dropped,
}

/// The functions of all tasks, and where they run.
pub(crate) struct Tasks {
    functions: HashMap<ProcessId, TaskFunction>,
    /// Those whose tasks are being made.
    expected: HashMap<CommandId, TaskFunction>,
    workers: Arc<Workers>,
}

impl Tasks {
    pub fn new(workers: Arc<Workers>) -> Tasks {
        Tasks { functions: HashMap::new(), expected: HashMap::new(), workers }
    }

    /// This command makes a task with this function.
    pub fn expect(&mut self, command: CommandId, function: TaskFunction) {
        self.expected.insert(command, function);
    }

    /// What a command came to.
    pub fn answered(&mut self, command: CommandId, reply: &Reply) {
        if self.expected.is_empty() {
            return;
        }
        match (self.expected.remove(&command), reply) {
            (Some(function), Ok(Done::Created(process))) => drop(self.functions.insert(*process, function)),
            (Some(function), _) => drop_quietly(function),
            (None, _) => {}
        }
    }

    /// Forgets everything, and ends our own threads.
    pub fn clear(&mut self) {
        self.functions.drain().for_each(|(_, function)| drop_quietly(function));
        self.workers.stop();
    }
}

/// One run of a task, as the engine holds it.
pub(super) struct TaskRun {
    slot: Arc<Slot>,
    cancel: watch::Sender<bool>,
    abort: AbortHandle,
    /// How often it was tried to drop it.
    drops: u32,
}

impl TaskRun {
    /// Nobody asks for it any more.
    pub fn give_up(self) {
        self.slot.killed.store(true, Ordering::SeqCst);
        self.abort.abort();
    }
}

/// Where the future of a run is, until somebody takes it out.
struct Slot {
    run: RunId,
    shared: Arc<Shared>,
    /// Locked while it is polled.
    future: Mutex<Option<TaskFuture>>,
    killed: AtomicBool,
    busy: Option<Arc<Busy>>,
    runtime: Handle,
}

/// What a runtime polls.
struct Runner(Arc<Slot>);

impl Future for Runner {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let slot = &self.0;
        let mut held = slot.future.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(future) = held.as_mut() else { return Poll::Ready(()) };
        slot.shared.workers.polls_here();
        let polled = slot.inside(|| future.as_mut().poll(cx));
        let end = match polled {
            Ok(Poll::Pending) => {
                drop(held);
                // Who wanted to drop it meanwhile found it locked.
                if slot.killed.load(Ordering::SeqCst) {
                    slot.take_out(TaskEnd::Dropped);
                }
                return Poll::Pending;
            }
            Ok(Poll::Ready(Ok(()))) => TaskEnd::Done,
            Ok(Poll::Ready(Err(error))) => TaskEnd::Failed(reason(&*error)),
            Err(words) => TaskEnd::Panicked(words),
        };
        let future = held.take();
        drop(held);
        slot.over(future, end);
        Poll::Ready(())
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        let asked = self.0.killed.load(Ordering::SeqCst);
        let gone = "the runtime that it ran on has ended";
        self.0.take_out(if asked { TaskEnd::Dropped } else { TaskEnd::Failed(gone.into()) });
    }
}

impl Slot {
    /// Takes the future out and drops it, unless somebody else did; then tells how it ended.
    fn take_out(&self, end: TaskEnd) {
        let future = match self.future.try_lock() {
            Ok(mut held) => held.take(),
            Err(TryLockError::Poisoned(held)) => held.into_inner().take(),
            // It is being polled, and whoever does that looks whether it was killed.
            Err(TryLockError::WouldBlock) => None,
        };
        if future.is_some() {
            self.over(future, end);
        }
    }

    fn over(&self, future: Option<TaskFuture>, end: TaskEnd) {
        let end = match self.inside(|| drop(future)) {
            Ok(()) => end,
            Err(words) => TaskEnd::Panicked(words),
        };
        let _ = self.shared.mailbox.post(Message::Helper(HelperDone::TaskEnded(self.run, end)));
    }

    /// Runs code of the program's; a panic comes back as its words.
    fn inside<T>(&self, run: impl FnOnce() -> T) -> Result<T, String> {
        let before = IN_TASK.replace(Arc::as_ptr(&self.shared) as usize);
        self.busy.iter().for_each(|busy| busy.begin());
        let result = catch_unwind(AssertUnwindSafe(run));
        self.busy.iter().for_each(|busy| busy.end());
        IN_TASK.set(before);
        result.map_err(words)
    }
}

thread_local! {
    /// Of which supervisor this thread runs a task just now; by address, 0 for none.
    static IN_TASK: Cell<usize> = const { Cell::new(0) };
}

/// Whether this thread is in the middle of one of this supervisor's tasks.
pub(crate) fn is_in_task(shared: &Arc<Shared>) -> bool {
    IN_TASK.get() == Arc::as_ptr(shared) as usize
}

impl Engine {
    /// Begins a run of a task.
    pub(super) fn begin_task(&mut self, run: RunId) {
        match self.try_begin(run) {
            Ok(()) => self.inputs.push_back(Input::Executed(run, Pid::TASK)),
            Err(error) => {
                if let Some(entry) = self.runs.get_mut(&run) {
                    entry.child = RunChild::Gone;
                }
                self.inputs.push_back(Input::SpawnFailed(run, error));
            }
        }
    }

    fn try_begin(&mut self, run: RunId) -> Result<(), SpawnError> {
        let no_function = || {
            let gone = io::Error::other("its function is gone");
            system_error(SpawnStep::Prepare, "cannot begin the task", &gone)
        };
        let entry = self.runs.get_mut(&run).ok_or_else(no_function)?;
        let place = self.places.get_mut(&entry.process).ok_or_else(no_function)?;
        let function = self.tasks.functions.get(&entry.process).ok_or_else(no_function)?.clone();
        let workers = &self.tasks.workers;
        let no_thread = |e: io::Error| system_error(SpawnStep::Prepare, "cannot start a thread for tasks", &e);
        let (runtime, busy) = workers.pick().map_err(no_thread)?;
        let (cancel, cancelled) = watch::channel(false);
        let voice = (entry.spec.log.stdout == Stream::Capture).then(|| place.log.voice());
        let task = Task::new(place.name.clone(), run, self.shared.clone(), cancelled, voice);
        // The function itself is called where it runs: it may block or panic, too.
        let future: TaskFuture = Box::pin(async move { function(task).await });
        let slot = Arc::new(Slot {
            run,
            shared: self.shared.clone(),
            future: Mutex::new(Some(future)),
            killed: AtomicBool::new(false),
            busy,
            runtime: runtime.clone(),
        });
        let abort = runtime.spawn(Runner(slot.clone())).abort_handle();
        entry.child = RunChild::Task(TaskRun { slot, cancel, abort, drops: 0 });
        Ok(())
    }

    /// Asks a run of a task to end.
    pub(super) fn cancel_task(&mut self, run: RunId) {
        let deaf = self.tasks.workers.are_deaf();
        if let Some(RunChild::Task(task)) = self.runs.get(&run).map(|entry| &entry.child) {
            task.cancel.send_replace(true);
            if deaf {
                self.kill_task(run);
            }
        }
    }

    /// Has the future of a run dropped: by its runtime, else by us.
    pub(super) fn kill_task(&mut self, run: RunId) {
        let deaf = self.tasks.workers.are_deaf();
        let Some(RunChild::Task(task)) = self.runs.get_mut(&run).map(|entry| &mut entry.child) else { return };
        if task.drops > 0 {
            return;
        }
        task.drops = 1;
        task.cancel.send_replace(true);
        task.slot.killed.store(true, Ordering::SeqCst);
        task.abort.abort();
        if deaf {
            self.drop_task(run);
        } else {
            self.clock.at(Clock::now().mono.after(ITS_OWN), Moment::DropTask(run));
        }
    }

    /// A task that was to be dropped still is not: we do it, or say that nobody can.
    pub(super) fn drop_task(&mut self, run: RunId) {
        let Some(RunChild::Task(task)) = self.runs.get_mut(&run).map(|entry| &mut entry.child) else { return };
        task.drops += 1;
        if task.drops > 2 {
            return self.inputs.push_back(Input::TreeStuck(run, vec![Pid::TASK]));
        }
        let slot = task.slot.clone();
        // Without a thread its runtime may still come to it.
        let _ = self.pool.run(move || {
            let _context = slot.runtime.enter();
            slot.take_out(TaskEnd::Dropped);
        });
        self.clock.at(Clock::now().mono.after(STUCK), Moment::DropTask(run));
    }

    /// The future of a run is gone.
    pub(super) fn task_ended(&mut self, run: RunId, end: TaskEnd) {
        let Some(entry) = self.runs.get_mut(&run) else { return };
        if !matches!(entry.child, RunChild::Task(_)) {
            return;
        }
        entry.child = RunChild::Gone;
        let (said, status) = match end {
            TaskEnd::Done => (None, ExitStatus::Code(0)),
            TaskEnd::Failed(text) => (Some(Notification::Failed(text)), ExitStatus::Code(1)),
            // As a Rust program that panics ends.
            TaskEnd::Panicked(text) => (Some(Notification::Panicked(text)), ExitStatus::Code(101)),
            TaskEnd::Dropped => (None, ExitStatus::Signal { signal: Signal::KILL, core: false }),
        };
        entry.exit = Some(status);
        self.inputs.extend(said.map(|said| Input::Notified(run, said)));
        self.inputs.push_back(Input::Exited(run, Pid::TASK, status));
        self.tree_emptied(run);
    }

    /// Forgets the function of a process that was deleted, which may take its time to be dropped.
    pub(super) fn forget_task(&mut self, process: ProcessId) {
        if let Some(function) = self.tasks.functions.remove(&process) {
            let _ = self.pool.run(move || drop_quietly(function));
        }
    }
}

/// The error with what caused it, in one line.
fn reason(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        // Many errors say what caused them themselves.
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    one_line(&text)
}

/// The words of a panic.
fn words(payload: Box<dyn Any + Send>) -> String {
    let text = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => one_line(text),
        (_, Some(text)) => one_line(text),
        _ => "without words".to_owned(),
    };
    drop_quietly(payload);
    text
}

/// Text for people as one line of no more than so many characters.
fn one_line(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() { "without words".to_owned() } else { lines.join("; ").chars().take(MAX_REASON).collect() }
}

/// Drops what is the program's, which may panic.
fn drop_quietly<T>(it: T) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(it)));
}
