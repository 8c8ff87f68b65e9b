//! The log thread: does what it is told, and has all pipes read in turns.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use regex::bytes::Regex;

use super::file::LogFile;
use super::line::{Line, StreamKind};
use super::pump::Pump;
use super::ring::Ring;
use super::staging::{News, RETRY, Staging};
use super::stream::ProcessLog;
use super::target::Target;
use crate::core::RunId;
use crate::driver::Pool;
use crate::events::Hub;
use crate::mailbox::Mailbox;

const BELL: u64 = u64::MAX;

/// Where followers get lines from.
pub(crate) type LineHub = Hub<Line>;

/// One process's place in the log thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TargetId(u64);

/// What the log thread is told.
pub(super) enum Order {
    Target(TargetId, Arc<str>, Arc<Mutex<Ring>>),
    /// A pipe's reading end, and whether it is not to be read before the file is known.
    Pipe(TargetId, StreamKind, OwnedFd, bool),
    /// Lines go to this file too from here on, or to none.
    File(TargetId, Option<Filing>),
    /// What a target's file has to say.
    News(TargetId, News),
    Watch(TargetId, RunId, Regex),
    WatchOn(TargetId, RunId, Regex),
    Unwatch(TargetId),
    /// That the awaited line was printed is written down.
    Heard(TargetId),
    /// The number of the run that prints from now on, and whether it begins now.
    Run(TargetId, u32, bool),
    EndRun(TargetId),
    Sync(TargetId, Sender<()>),
    Remove(TargetId),
    Stop,
    Leave,
}

/// Where a target's lines go besides memory.
pub(super) struct Filing {
    /// The way there.
    pub staging: Arc<Staging>,
    /// The file, if it is another one than the staging pipe leads to.
    pub file: Option<Box<LogFile>>,
    /// The end of the file, for a log that a supervisor before us began.
    pub tail: Vec<u8>,
}

/// What the log thread tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// All that older runs printed is read, and lines of this one are watched.
    Watching(RunId),
    /// The awaited line was printed.
    Matched(RunId),
    /// Something that people should know.
    Warning(String),
}

/// A handle on the log thread.
#[derive(Clone)]
pub(crate) struct Logs {
    mailbox: Arc<Mailbox<Order>>,
    /// Where files are written.
    pool: Pool,
    next: Arc<AtomicU64>,
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Logs")
    }
}

impl Logs {
    /// Starts the thread, from which `tell` is called. Files are written by the pool. It ends by [`stop`](Logs::stop).
    pub fn start(
        hub: Arc<LineHub>,
        pool: Pool,
        tell: impl Fn(Told) + Send + 'static,
    ) -> io::Result<(Logs, JoinHandle<()>)> {
        let mailbox = Arc::new(Mailbox::new()?);
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(mailbox.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, BELL))?;
        let pump = Pump::new(epoll, hub, Box::new(tell))?;
        let mut thread = LogThread { mailbox: mailbox.clone(), pump, retries: Vec::new() };
        let join = std::thread::Builder::new().name("neap-log".into()).spawn(move || thread.run())?;
        Ok((Logs { mailbox, pool, next: Arc::default() }, join))
    }

    /// A place for one process's output, of which `ring` bytes are kept.
    pub fn open(&self, process: Arc<str>, ring: usize) -> ProcessLog {
        let id = TargetId(self.next.fetch_add(1, Ordering::Relaxed));
        let ring = Arc::new(Mutex::new(Ring::new(ring)));
        self.order(Order::Target(id, process.clone(), ring.clone()));
        ProcessLog::new(id, process, self.clone(), ring)
    }

    /// Has the rest read, and ends the thread and the followers' streams.
    pub fn stop(&self) {
        self.order(Order::Stop);
    }

    /// Ends the thread and the followers' streams, and leaves what is in the pipes to a successor: so also the ends of
    /// lines.
    pub fn leave(&self) {
        self.order(Order::Leave);
    }

    /// The way to a file, by a staging pipe with these ends.
    pub(super) fn stage(&self, id: TargetId, ends: (OwnedFd, OwnedFd), file: LogFile) -> Staging {
        let mailbox = self.mailbox.clone();
        let tell = move |news| drop(mailbox.post(Order::News(id, news)));
        Staging::new(ends, Box::new(file), self.pool.clone(), tell)
    }

    /// Tells the thread something; false when it has ended.
    pub(super) fn order(&self, order: Order) -> bool {
        self.mailbox.post(order).is_ok()
    }
}

struct LogThread {
    mailbox: Arc<Mailbox<Order>>,
    pump: Pump,
    /// Files that failed, and when each is tried again.
    retries: Vec<(Instant, TargetId)>,
}

impl LogThread {
    fn run(&mut self) {
        let mut events = [EpollEvent::empty(); 64];
        let mut orders = VecDeque::new();
        loop {
            let count = match self.pump.wait(&mut events, self.timeout()) {
                Ok(count) => count,
                Err(Errno::EINTR) => continue,
                Err(_) => break,
            };
            for event in events.iter().take(count) {
                match event.data() {
                    BELL => self.mailbox.quiet(),
                    pipe => self.pump.ready(pipe, event.events()),
                }
            }
            self.pump.do_what_is_due();
            self.try_again();
            self.mailbox.take(&mut orders);
            for order in orders.drain(..) {
                match order {
                    Order::Stop => return self.stop(),
                    Order::Leave => return self.leave(),
                    order => self.obey(order),
                }
            }
        }
        self.stop();
    }

    fn stop(&mut self) {
        // Whoever still waits for a sync sees its sender dropped.
        drop(self.mailbox.close());
        self.pump.finish();
    }

    fn leave(&mut self) {
        drop(self.mailbox.close());
        self.pump.leave();
    }

    fn obey(&mut self, order: Order) {
        let pump = &mut self.pump;
        match order {
            Order::Target(id, name, ring) => drop(pump.targets.insert(id, Target::new(name, ring))),
            Order::Pipe(id, stream, fd, held) => pump.add_pipe(id, stream, fd, held),
            Order::File(id, filing) => pump.set_file(id, filing),
            Order::News(id, News::Room) => pump.room(id),
            Order::News(id, News::Failing) => self.retries.push((Instant::now() + RETRY, id)),
            Order::News(id, News::Copies(file)) => pump.warn_of_copies(id, &file),
            Order::Watch(id, run, pattern) => {
                pump.drain(id);
                pump.end_lines(id);
                pump.watch(id, run, pattern);
                pump.tell(Told::Watching(run));
            }
            Order::WatchOn(id, run, pattern) => pump.watch(id, run, pattern),
            Order::Unwatch(id) => pump.unwatch(id),
            Order::Heard(id) => pump.heard(id),
            Order::Run(id, run, begins) => pump.set_run(id, run, begins),
            Order::EndRun(id) => pump.end_run(id),
            Order::Sync(id, done) => pump.sync(id, done),
            Order::Remove(id) => pump.remove(id),
            Order::Stop | Order::Leave => {}
        }
    }

    /// Until when nothing is due.
    fn timeout(&self) -> EpollTimeout {
        let retry = self.retries.iter().map(|(moment, _)| *moment).min();
        match self.pump.due().into_iter().chain(retry).min() {
            // Rounded up, so as not to wake a moment too early again and again.
            Some(moment) => (moment.saturating_duration_since(Instant::now()) + Duration::from_millis(1))
                .try_into()
                .unwrap_or(EpollTimeout::MAX),
            None => EpollTimeout::NONE,
        }
    }

    fn try_again(&mut self) {
        if self.retries.is_empty() {
            return;
        }
        let now = Instant::now();
        for (_, id) in self.retries.extract_if(.., |(moment, _)| *moment <= now) {
            if let Some(staging) = self.pump.targets.get(&id).and_then(|target| target.staging.as_ref()) {
                staging.try_again();
            }
        }
    }
}
