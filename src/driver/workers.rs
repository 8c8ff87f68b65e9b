//! Where tasks run: on the program's runtime, or on threads of our own, each with a small one.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// A thread that has been at one task for this long is left to it: others are begun elsewhere.
const BLOCKED: Duration = Duration::from_millis(250);
/// Threads that there may be.
const MOST: usize = 16;

/// The runtimes for a supervisor's tasks.
pub(crate) struct Workers {
    host: Option<Handle>,
    own: Mutex<Vec<Worker>>,
    /// The thread that polled a task last, where that is always the same one.
    thread: Mutex<Option<ThreadId>>,
    deaf: AtomicBool,
}

/// A thread with a runtime. It ends when this is dropped.
struct Worker {
    handle: Handle,
    busy: Arc<Busy>,
    _stop: oneshot::Sender<()>,
}

/// Since when a thread has been at one task.
#[derive(Default)]
pub(super) struct Busy(AtomicU64);

impl Busy {
    pub fn begin(&self) {
        self.0.store(millis() + 1, Ordering::Relaxed);
    }

    pub fn end(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    fn is_blocked(&self) -> bool {
        match self.0.load(Ordering::Relaxed) {
            0 => false,
            since => Duration::from_millis((millis() + 1).saturating_sub(since)) >= BLOCKED,
        }
    }
}

/// Milliseconds since somebody first asked.
fn millis() -> u64 {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    u64::try_from(BEGIN.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl Workers {
    /// On this runtime, or on threads of our own once there is a task.
    pub fn new(host: Option<Handle>) -> Workers {
        Workers { host, own: Mutex::default(), thread: Mutex::default(), deaf: AtomicBool::new(false) }
    }

    /// Where the next task is to run.
    pub(super) fn pick(&self) -> io::Result<(Handle, Option<Arc<Busy>>)> {
        if let Some(host) = &self.host {
            return Ok((host.clone(), None));
        }
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let free = own.iter().position(|worker| !worker.busy.is_blocked());
        let place = match free {
            Some(place) => place,
            None if own.len() < MOST => {
                own.push(Worker::start()?);
                own.len() - 1
            }
            None => 0,
        };
        own.get(place)
            .map(|worker| (worker.handle.clone(), Some(worker.busy.clone())))
            .ok_or_else(|| io::Error::other("there is no thread for tasks"))
    }

    /// A task is being polled by this thread.
    pub(super) fn polls_here(&self) {
        if self.has_one_thread() {
            *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(std::thread::current().id());
        }
    }

    fn has_one_thread(&self) -> bool {
        self.host.as_ref().is_some_and(|host| host.metrics().num_workers() == 1)
    }

    /// Called by who is about to wait for the end of all tasks: if that is the thread that would have to poll them, they
    /// will not hear that they are to end, and are dropped instead.
    pub fn nobody_polls_while_we_wait(&self) {
        let here = |host: &Handle| Handle::try_current().is_ok_and(|current| current.id() == host.id());
        if !self.has_one_thread() || !self.host.as_ref().is_some_and(here) {
            return;
        }
        let thread = *self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none_or(|thread| thread == std::thread::current().id()) {
            self.deaf.store(true, Ordering::SeqCst);
        }
    }

    /// Whether tasks do not hear that they are to end.
    pub(super) fn are_deaf(&self) -> bool {
        self.deaf.load(Ordering::SeqCst)
    }

    /// Ends our own threads, each when the task that it is at yields.
    pub(super) fn stop(&self) {
        self.own.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Worker {
    fn start() -> io::Result<Worker> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        std::thread::Builder::new().name("neap-task".into()).spawn(move || {
            let _ = runtime.block_on(stopped);
            // Threads that tasks began for what blocks are not waited for.
            runtime.shutdown_background();
        })?;
        Ok(Worker { handle, busy: Arc::default(), _stop: stop })
    }
}
