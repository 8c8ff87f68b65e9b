//! The log thread: reads all pipes in turns and hands lines to rings, followers, files and watches.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::unistd::read;
use regex::bytes::Regex;

use super::file::LogFile;
use super::frame::Framer;
use super::line::{Line, StreamKind};
use super::ring::Ring;
use super::sink::{Sink, Space};
use super::stream::ProcessLog;
use crate::core::RunId;
use crate::driver::Pool;
use crate::events::Hub;
use crate::mailbox::Mailbox;

/// Longer lines are cut.
const MAX_LINE: usize = 16 << 10;
/// What one pipe may hand over before the next has its turn; also what a pipe holds.
const TURN: usize = 64 << 10;
/// A process whose file does not keep up is held up for no longer than this.
const PATIENCE: Duration = Duration::from_secs(5);
const BELL: u64 = u64::MAX;

/// Where followers get lines from.
pub(crate) type LineHub = Hub<Line>;

/// One process's place in the log thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TargetId(u64);

/// What the log thread is told.
pub(super) enum Order {
    Target(TargetId, Arc<str>, Arc<Mutex<Ring>>),
    Pipe(TargetId, StreamKind, OwnedFd, bool),
    Room(TargetId),
    File(TargetId, Option<Box<LogFile>>),
    Watch(TargetId, RunId, Regex),
    WatchOn(TargetId, RunId, Regex),
    Unwatch(TargetId),
    EndRun(TargetId),
    Sync(TargetId, Sender<()>),
    Remove(TargetId),
    Stop,
}

/// What the log thread tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// All that older runs printed is read, and lines of this one are watched.
    Watching(RunId),
    /// The awaited line was printed.
    Matched(RunId),
}

/// A handle on the log thread.
#[derive(Clone)]
pub(crate) struct Logs {
    mailbox: Arc<Mailbox<Order>>,
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
        let mut thread = Reader {
            mailbox: mailbox.clone(),
            epoll,
            hub,
            tell: Box::new(tell),
            targets: HashMap::new(),
            pipes: HashMap::new(),
            paused: Vec::new(),
            pool,
            next_pipe: 0,
            buffer: vec![0; TURN],
        };
        let join = std::thread::Builder::new().name("neap-log".into()).spawn(move || thread.run())?;
        Ok((Logs { mailbox, next: Arc::default() }, join))
    }

    /// A place for one process's output, of which `ring` bytes are kept.
    pub fn open(&self, process: Arc<str>, ring: usize) -> ProcessLog {
        let id = TargetId(self.next.fetch_add(1, Ordering::Relaxed));
        let ring = Arc::new(Mutex::new(Ring::new(ring)));
        self.order(Order::Target(id, process, ring.clone()));
        ProcessLog::new(id, self.clone(), ring)
    }

    /// Has the rest read, and ends the thread and the followers' streams.
    pub fn stop(&self) {
        self.order(Order::Stop);
    }

    /// Tells the thread something; false when it has ended.
    pub(super) fn order(&self, order: Order) -> bool {
        self.mailbox.post(order).is_ok()
    }
}

struct Target {
    name: Arc<str>,
    ring: Arc<Mutex<Ring>>,
    sink: Option<Sink>,
    pause: Pause,
    /// The stream whose unended line the file's last bytes are.
    file_open: Option<StreamKind>,
    watch: Option<(RunId, Regex)>,
    pipes: Vec<u64>,
}

/// What is done when a target's file does not keep up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pause {
    /// It does.
    None,
    /// Its pipes are not read, until there is room or this moment has come.
    Until(Instant),
    /// Too long has passed: its pipes are read on, and lines that find no room are counted instead of written.
    Dropping,
}

struct Pipe {
    target: TargetId,
    stream: StreamKind,
    fd: OwnedFd,
    framer: Framer,
}

struct Reader {
    mailbox: Arc<Mailbox<Order>>,
    epoll: Epoll,
    hub: Arc<LineHub>,
    tell: Box<dyn Fn(Told) + Send>,
    targets: HashMap<TargetId, Target>,
    pipes: HashMap<u64, Pipe>,
    /// Targets whose pipes are not read for now.
    paused: Vec<TargetId>,
    pool: Pool,
    next_pipe: u64,
    buffer: Vec<u8>,
}

impl Reader {
    fn run(&mut self) {
        let mut events = [EpollEvent::empty(); 64];
        let mut orders = VecDeque::new();
        loop {
            let count = match self.epoll.wait(&mut events, self.timeout()) {
                Ok(count) => count,
                Err(Errno::EINTR) => continue,
                Err(_) => break,
            };
            for event in events.iter().take(count) {
                match event.data() {
                    BELL => self.mailbox.quiet(),
                    pipe => {
                        self.turn(pipe);
                    }
                }
            }
            self.give_up_waiting();
            self.mailbox.take(&mut orders);
            for order in orders.drain(..) {
                if matches!(order, Order::Stop) {
                    self.stop();
                    return;
                }
                self.obey(order);
            }
        }
        self.stop();
    }

    fn stop(&mut self) {
        // Whoever still waits for a sync sees its sender dropped.
        drop(self.mailbox.close());
        let targets: Vec<TargetId> = self.targets.keys().copied().collect();
        for target in targets {
            self.drain(target);
            self.end_lines(target);
        }
        self.hub.close();
        let end = Instant::now() + PATIENCE;
        for sink in self.targets.values().filter_map(|target| target.sink.as_ref()) {
            sink.flush(end.saturating_duration_since(Instant::now()));
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Target(id, name, ring) => {
                let target = Target {
                    name,
                    ring,
                    sink: None,
                    pause: Pause::None,
                    file_open: None,
                    watch: None,
                    pipes: Vec::new(),
                };
                self.targets.insert(id, target);
            }
            Order::Pipe(id, stream, fd, _awaits_file) => self.add_pipe(id, stream, fd),
            Order::File(id, file) => {
                self.drain(id);
                let mailbox = self.mailbox.clone();
                let sink =
                    file.map(|file| Sink::new(file, self.pool.clone(), move || drop(mailbox.post(Order::Room(id)))));
                self.resume(id, Pause::None);
                if let Some(target) = self.targets.get_mut(&id) {
                    target.sink = sink;
                    target.file_open = None;
                }
            }
            Order::Room(id) => self.resume(id, Pause::None),
            Order::Watch(id, run, pattern) => {
                self.drain(id);
                self.end_lines(id);
                self.watch(id, run, pattern);
                (self.tell)(Told::Watching(run));
            }
            Order::WatchOn(id, run, pattern) => self.watch(id, run, pattern),
            Order::Unwatch(id) => {
                if let Some(target) = self.targets.get_mut(&id) {
                    target.watch = None;
                }
            }
            Order::EndRun(id) => {
                self.drain(id);
                self.end_lines(id);
            }
            Order::Sync(id, done) => {
                self.drain(id);
                let _ = done.send(());
            }
            Order::Remove(id) => {
                self.drain(id);
                self.end_lines(id);
                self.resume(id, Pause::None);
                for pipe in self.targets.remove(&id).into_iter().flat_map(|t| t.pipes) {
                    self.close(pipe);
                }
            }
            Order::Stop => {}
        }
    }

    fn watch(&mut self, id: TargetId, run: RunId, pattern: Regex) {
        if let Some(target) = self.targets.get_mut(&id) {
            target.watch = Some((run, pattern));
        }
    }

    fn add_pipe(&mut self, id: TargetId, stream: StreamKind, fd: OwnedFd) {
        let Some(target) = self.targets.get_mut(&id) else { return };
        self.next_pipe += 1;
        if self.epoll.add(&fd, EpollEvent::new(EpollFlags::EPOLLIN, self.next_pipe)).is_err() {
            // Closing the reading end is the one honest answer: the child gets EPIPE rather than blocking for ever.
            return;
        }
        target.pipes.push(self.next_pipe);
        self.pipes.insert(self.next_pipe, Pipe { target: id, stream, fd, framer: Framer::new(MAX_LINE) });
    }

    /// Stops reading a target's pipes when its file has fallen behind.
    fn pause_if_full(&mut self, id: TargetId) {
        let Some(target) = self.targets.get(&id) else { return };
        if !matches!(target.pause, Pause::Until(_)) || self.paused.contains(&id) {
            return;
        }
        self.paused.push(id);
        for pipe in target.pipes.iter().filter_map(|pipe| self.pipes.get(pipe)) {
            let _ = self.epoll.delete(&pipe.fd);
        }
    }

    /// Reads a target's pipes again.
    fn resume(&mut self, id: TargetId, pause: Pause) {
        let Some(target) = self.targets.get_mut(&id) else { return };
        target.pause = pause;
        let Some(place) = self.paused.iter().position(|paused| *paused == id) else { return };
        self.paused.swap_remove(place);
        for number in &target.pipes {
            if let Some(pipe) = self.pipes.get(number) {
                let _ = self.epoll.add(&pipe.fd, EpollEvent::new(EpollFlags::EPOLLIN, *number));
            }
        }
    }

    /// Until when a paused target is waited for.
    fn timeout(&self) -> EpollTimeout {
        let until = |id: &TargetId| match self.targets.get(id)?.pause {
            Pause::Until(moment) => Some(moment),
            _ => None,
        };
        match self.paused.iter().filter_map(until).min() {
            // Rounded up, so as not to wake a moment too early again and again.
            Some(moment) => (moment.saturating_duration_since(Instant::now()) + Duration::from_millis(1))
                .try_into()
                .unwrap_or(EpollTimeout::MAX),
            None => EpollTimeout::NONE,
        }
    }

    /// Lets go on who was held up for too long; from now on what finds no room is dropped.
    fn give_up_waiting(&mut self) {
        if self.paused.is_empty() {
            return;
        }
        let now = Instant::now();
        for id in self.paused.clone() {
            if let Some(Target { pause: Pause::Until(moment), .. }) = self.targets.get(&id)
                && *moment <= now
            {
                self.resume(id, Pause::Dropping);
            }
        }
    }

    fn close(&mut self, pipe: u64) {
        if let Some(pipe) = self.pipes.remove(&pipe) {
            let _ = self.epoll.delete(&pipe.fd);
        }
    }

    /// Reads what was in the target's pipes when this was called.
    fn drain(&mut self, id: TargetId) {
        let pipes = self.targets.get(&id).map(|t| t.pipes.clone()).unwrap_or_default();
        for pipe in pipes {
            let mut total = 0;
            while total < TURN {
                match self.turn(pipe) {
                    0 => break,
                    count => total += count,
                }
            }
        }
    }

    /// Reads once from a pipe; returns how much.
    fn turn(&mut self, id: u64) -> usize {
        let Some(pipe) = self.pipes.get_mut(&id) else { return 0 };
        let count = match read(pipe.fd.as_fd(), &mut self.buffer) {
            Ok(0) => None,
            Ok(count) => Some(count),
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ENOMEM) => return 0,
            Err(_) => None,
        };
        let Some(target) = self.targets.get_mut(&pipe.target) else { return 0 };
        let Some(count) = count else {
            // Nobody holds the writing end any more, or the pipe is broken: nothing may keep it open unread.
            target.pipes.retain(|p| *p != id);
            let mut batch = Batch::new(target, pipe.stream);
            pipe.framer.finish(|text, partial| batch.line(text, partial));
            batch.deliver(target, &self.hub, &*self.tell);
            self.close(id);
            return 0;
        };
        let mut batch = Batch::new(target, pipe.stream);
        pipe.framer.push(self.buffer.get(..count).unwrap_or_default(), |text, partial| batch.line(text, partial));
        batch.deliver(target, &self.hub, &*self.tell);
        let target = pipe.target;
        self.pause_if_full(target);
        count
    }

    /// Hands out the lines that got no end.
    fn end_lines(&mut self, id: TargetId) {
        let Some(target) = self.targets.get_mut(&id) else { return };
        for pipe in target.pipes.clone() {
            let Some(pipe) = self.pipes.get_mut(&pipe) else { continue };
            if pipe.framer.is_open() {
                let mut batch = Batch::new(target, pipe.stream);
                pipe.framer.finish(|text, partial| batch.line(text, partial));
                batch.deliver(target, &self.hub, &*self.tell);
            }
        }
    }
}

/// The lines of one turn, delivered together.
struct Batch {
    name: Arc<str>,
    stream: StreamKind,
    lines: Vec<Arc<Line>>,
}

impl Batch {
    fn new(target: &Target, stream: StreamKind) -> Self {
        Batch { name: target.name.clone(), stream, lines: Vec::new() }
    }

    fn line(&mut self, text: &[u8], partial: bool) {
        let line = Line { process: self.name.clone(), stream: self.stream, text: text.to_vec(), partial };
        self.lines.push(Arc::new(line));
    }

    fn deliver(self, target: &mut Target, hub: &LineHub, tell: &(dyn Fn(Told) + Send)) {
        if self.lines.is_empty() {
            return;
        }
        if let Some((run, pattern)) = &target.watch
            && self.lines.iter().any(|line| pattern.is_match(&line.text))
        {
            tell(Told::Matched(*run));
            target.watch = None;
        }
        if let Some(sink) = &target.sink {
            let mut bytes = Vec::new();
            for line in &self.lines {
                if target.file_open.is_some_and(|stream| stream != self.stream) {
                    bytes.push(b'\n');
                }
                bytes.extend_from_slice(&line.text);
                if !line.partial {
                    bytes.push(b'\n');
                }
                target.file_open = line.partial.then_some(self.stream);
            }
            let space = sink.append(&bytes, target.pause == Pause::Dropping);
            if space == Space::Full && target.pause == Pause::None {
                target.pause = Pause::Until(Instant::now() + PATIENCE);
            }
        }
        if hub.is_read() {
            hub.publish(self.lines.iter().map(|line| (line.clone(), line.text.len())));
        }
        let mut ring = target.ring.lock().unwrap_or_else(PoisonError::into_inner);
        self.lines.into_iter().for_each(|line| ring.push(line));
    }
}
