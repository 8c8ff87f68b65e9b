//! Reading pipes in turns: lines to whoever wants them, bytes on their way to the file.
//!
//! Without a file a pipe is read. With one it is looked into, and what makes whole lines is moved on without passing
//! through our memory (`staging`); a line without an end stays in the pipe until its end comes, it gets long, or old.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::Sender;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags, EpollTimeout};
use nix::unistd::read;
use regex::bytes::Regex;

use super::frame::Framer;
use super::index::tag;
use super::line::{Line, StreamKind};
use super::peek::{Peek, VIEW};
use super::staging::Staging;
use super::target::{MAX_LINE, Owed, Pause, Pipe, Target, Watched, record};
use super::thread::{Filing, LineHub, TargetId, Told};
use crate::core::RunId;
use crate::driver::sys;
use crate::driver::sys::fault::{self, Call};

/// A process whose file does not keep up is held up for no longer than this.
const PATIENCE: Duration = Duration::from_secs(5);
/// A line without an end is written to the file after this long: people look at prompts.
const OPEN_LINE: Duration = Duration::from_secs(1);

/// All targets and their pipes.
pub(super) struct Pump {
    epoll: Epoll,
    hub: Arc<LineHub>,
    tell: Box<dyn Fn(Told) + Send>,
    pub targets: HashMap<TargetId, Target>,
    pipes: HashMap<u64, Pipe>,
    /// Targets whose pipes are not read for now.
    paused: Vec<TargetId>,
    /// Pipes in which a line without an end waits, or that could not be looked into.
    open: Vec<u64>,
    next_pipe: u64,
    peek: Peek,
    buffer: Vec<u8>,
}

/// What a look into a pipe showed.
enum Look {
    /// So many bytes that have not been handed out, after so many that have.
    Bytes { handed_out: usize, new: usize },
    /// Nothing for now.
    Nothing,
    /// Nobody holds the writing end any more.
    Over,
    /// It cannot be looked into for now.
    Failed,
}

impl Pump {
    pub fn new(epoll: Epoll, hub: Arc<LineHub>, tell: Box<dyn Fn(Told) + Send>) -> io::Result<Self> {
        Ok(Pump {
            epoll,
            hub,
            tell,
            targets: HashMap::new(),
            pipes: HashMap::new(),
            paused: Vec::new(),
            open: Vec::new(),
            next_pipe: 0,
            peek: Peek::new()?,
            buffer: vec![0; VIEW],
        })
    }

    pub fn wait(&self, events: &mut [EpollEvent], timeout: EpollTimeout) -> nix::Result<usize> {
        self.epoll.wait(events, timeout)
    }

    pub fn tell(&self, told: Told) {
        (self.tell)(told);
    }

    /// A pipe has something to say.
    pub fn ready(&mut self, pipe: u64, what: EpollFlags) {
        let over = what.intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR);
        if self.turn(pipe, over) == 0 && over {
            // What was left is taken; now its end shows.
            self.turn(pipe, true);
        }
    }

    /// The moment by which [`do_what_is_due`](Pump::do_what_is_due) is to be called.
    pub fn due(&self) -> Option<Instant> {
        let paused = self.paused.iter().filter_map(|id| match self.targets.get(id)?.pause {
            Pause::Until(moment) | Pause::Unheard(moment) => Some(moment),
            _ => None,
        });
        let open = self.open.iter().filter_map(|id| Some(self.pipes.get(id)?.since? + OPEN_LINE));
        paused.chain(open).min()
    }

    /// Writes out lines that waited too long for their end, and lets go on who was held up for too long.
    pub fn do_what_is_due(&mut self) {
        if self.paused.is_empty() && self.open.is_empty() {
            return;
        }
        let now = Instant::now();
        self.open.retain(|id| self.pipes.get(id).is_some_and(|pipe| pipe.since.is_some()));
        for pipe in self.open.clone() {
            if !self.is_old(pipe, now) {
                continue;
            }
            // Its end may have come while we were slow, not the process.
            self.turn(pipe, false);
            if self.is_old(pipe, now) {
                self.turn(pipe, true);
            }
        }
        for id in self.paused.clone() {
            let Some(target) = self.targets.get_mut(&id) else { continue };
            target.pause = match target.pause {
                Pause::Until(moment) if moment <= now => Pause::Dropping,
                Pause::Unheard(moment) if moment <= now => Pause::None,
                _ => continue,
            };
            self.read_on(id);
        }
    }

    /// Whether a line without an end, or what could not be looked into, has waited in a pipe for long enough.
    fn is_old(&self, pipe: u64, now: Instant) -> bool {
        self.pipes.get(&pipe).and_then(|pipe| pipe.since).is_some_and(|since| since + OPEN_LINE <= now)
    }

    pub fn add_pipe(&mut self, id: TargetId, stream: StreamKind, fd: OwnedFd, held: bool) {
        let Some(target) = self.targets.get_mut(&id) else { return };
        self.next_pipe += 1;
        let fd = Arc::new(fd);
        target.pipes.push(self.next_pipe);
        target.ends.push((stream, fd.clone()));
        self.pipes.insert(self.next_pipe, Pipe::new(id, stream, fd));
        if held {
            target.held.get_or_insert_default();
        } else if !self.paused.contains(&id) {
            self.set_watched(self.next_pipe, Watched::Level);
        }
    }

    pub fn set_file(&mut self, id: TargetId, filing: Option<Filing>) {
        self.drain(id);
        let Some(target) = self.targets.get_mut(&id) else { return };
        let held = target.held.take();
        match (filing, target.staging.take()) {
            (Some(Filing { staging, file, tail }), before) => {
                if let Some(file) = file {
                    staging.set_file(file);
                }
                if held.is_some() {
                    self.take_over(id, &staging, &tail);
                } else if before.is_none() {
                    self.owe_what_was_read(id);
                }
                if let Some(target) = self.targets.get_mut(&id) {
                    if target.run > 0 && before.is_none() {
                        // One that a supervisor before us saw begin goes on.
                        staging.set_run((tag(&target.name), target.run), held.is_none());
                    }
                    (target.staging, target.pause) = (Some(staging), Pause::None);
                }
            }
            (None, before) => {
                target.staging = before;
                self.drop_owed(id);
                if let Some(target) = self.targets.get_mut(&id) {
                    (target.staging, target.open, target.pause) = (None, None, Pause::None);
                }
            }
        }
        if held.is_some() {
            self.finish_open_line(id);
        }
        self.read_on(id);
        if let Some(held) = held {
            if held.end_run {
                self.end_run(id);
            }
            self.drain(id);
            for done in held.syncs {
                let _ = done.send(());
            }
        }
    }

    /// Goes on where a supervisor before us ended: what it staged is in line again, the ring gets the newest lines, and
    /// a line without an end is known as such.
    fn take_over(&mut self, id: TargetId, staging: &Staging, tail: &[u8]) {
        let staged = match Peek::all(staging.reading_end()) {
            Ok(staged) => {
                let mut rest = staged.as_slice();
                while !rest.is_empty() {
                    let (now, later) = rest.split_at(record(rest, staging.grain()));
                    staging.found(now.len());
                    rest = later;
                }
                staged
            }
            Err(_) => staging.found_some(),
        };
        let text = [tail, &staged].concat();
        let Some(target) = self.targets.get_mut(&id) else { return };
        let line = |text: &[u8], partial| {
            let (process, stream) = (target.name.clone(), StreamKind::Stdout);
            Arc::new(Line { process, stream, text: text.to_vec(), partial, time: None, run: 0 })
        };
        let mut framer = Framer::new(MAX_LINE);
        let mut ring = target.ring.lock().unwrap_or_else(PoisonError::into_inner);
        framer.push(&text, |text, partial| ring.push(line(text, partial)));
        drop(ring);
        if text.is_empty() || text.ends_with(b"\n") {
            return;
        }
        // Whose it is was marked; of two without a mark, the first.
        let marked = target.ends.iter().find(|(_, fd)| sys::has_mark(fd.as_fd())).or(target.ends.first());
        (target.open, target.last) = (marked.map(|(stream, _)| *stream), None);
        let (open, pipes) = (target.open, target.pipes.clone());
        for pipe in pipes {
            if let Some(pipe) = self.pipes.get_mut(&pipe)
                && Some(pipe.stream) == open
            {
                pipe.framer = framer;
                return;
            }
        }
    }

    /// A supervisor before us may have died in the middle of a line: its rest goes on before anything else does, if it is
    /// there.
    fn finish_open_line(&mut self, id: TargetId) {
        let Some(target) = self.targets.get(&id) else { return };
        let is_open = |number: &u64| self.pipes.get(number).is_some_and(|pipe| Some(pipe.stream) == target.open);
        if let Some(number) = target.pipes.iter().copied().find(is_open) {
            self.turn(number, false);
        }
    }

    /// The beginnings of lines that are in memory already belong into a file that is new to the process.
    fn owe_what_was_read(&mut self, id: TargetId) {
        for pipe in self.targets.get(&id).map(|t| t.pipes.clone()).unwrap_or_default() {
            if let Some(pipe) = self.pipes.get_mut(&pipe)
                && !pipe.framer.rest().is_empty()
            {
                pipe.owed.push_back(Owed::Text(pipe.framer.rest().to_vec()));
            }
        }
    }

    pub fn room(&mut self, id: TargetId) {
        if let Some(target) = self.targets.get_mut(&id)
            && !matches!(target.pause, Pause::Unheard(_))
        {
            target.pause = Pause::None;
            self.read_on(id);
        }
    }

    pub fn warn_of_copies(&self, id: TargetId, file: &str) {
        let name = self.targets.get(&id).map_or("?", |target| &target.name);
        self.tell(Told::Warning(format!(
            "the log file `{file}` of {name} cannot be spliced to: a crash of the supervisor may lose or double the \
             lines that are being written just then"
        )));
    }

    pub fn watch(&mut self, id: TargetId, run: RunId, pattern: Regex) {
        if let Some(target) = self.targets.get_mut(&id) {
            target.watch = Some((run, pattern));
        }
        self.heard(id);
    }

    pub fn unwatch(&mut self, id: TargetId) {
        if let Some(target) = self.targets.get_mut(&id) {
            target.watch = None;
        }
        self.heard(id);
    }

    /// What is printed from now on is this run's.
    pub fn set_run(&mut self, id: TargetId, run: u32, begins: bool) {
        self.drain(id);
        let Some(target) = self.targets.get_mut(&id) else { return };
        target.run = run;
        if let Some(staging) = &target.staging {
            staging.set_run((tag(&target.name), run), begins);
        }
    }

    /// A run and its tree are gone: a line without an end gets none any more.
    pub fn end_run(&mut self, id: TargetId) {
        if let Some(held) = self.targets.get_mut(&id).and_then(|target| target.held.as_mut()) {
            held.end_run = true;
            return;
        }
        self.drain(id);
        self.end_lines(id);
    }

    /// Answers once all that was printed before is handed out.
    pub fn sync(&mut self, id: TargetId, done: Sender<()>) {
        if let Some(held) = self.targets.get_mut(&id).and_then(|target| target.held.as_mut()) {
            held.syncs.push(done);
            return;
        }
        self.drain(id);
        let _ = done.send(());
    }

    pub fn remove(&mut self, id: TargetId) {
        self.drain(id);
        self.end_lines(id);
        self.drop_owed(id);
        self.paused.retain(|paused| *paused != id);
        for pipe in self.targets.remove(&id).into_iter().flat_map(|t| t.pipes) {
            self.close(pipe);
        }
    }

    /// Reads and writes what is left, as far as that is possible in time, and ends the followers' streams.
    pub fn finish(&mut self) {
        let end = Instant::now() + PATIENCE;
        let targets: Vec<TargetId> = self.targets.keys().copied().collect();
        for id in &targets {
            self.heard(*id);
            self.drain(*id);
            self.end_lines(*id);
            self.heard(*id);
        }
        self.hub.close();
        for id in targets {
            while let Some(staging) = self.targets.get(&id).and_then(|target| target.staging.clone()) {
                let written = staging.flush(end.saturating_duration_since(Instant::now()));
                let owes = |id| self.pipes.get(id).is_some_and(|pipe: &Pipe| !pipe.owed.is_empty());
                let owes = self.targets.get(&id).is_some_and(|target| target.pipes.iter().any(owes));
                if !owes || !written || Instant::now() >= end {
                    break;
                }
                self.room(id);
            }
        }
    }

    /// Ends the followers' streams, and nothing else: somebody after us goes on with all that there is.
    pub fn leave(&self) {
        self.hub.close();
    }

    /// Hands out what was in the target's pipes when this was called.
    pub fn drain(&mut self, id: TargetId) {
        let Some(target) = self.targets.get(&id) else { return };
        for pipe in target.pipes.clone() {
            let mut total = 0;
            while total < VIEW {
                match self.turn(pipe, false) {
                    0 => break,
                    count => total += count,
                }
            }
        }
    }

    /// Hands out the lines that got no end, and ends them in the file.
    pub fn end_lines(&mut self, id: TargetId) {
        let Some(target) = self.targets.get(&id).filter(|target| target.held.is_none()) else { return };
        for number in target.pipes.clone() {
            self.turn(number, true);
            let (Some(target), Some(pipe)) = (self.targets.get_mut(&id), self.pipes.get_mut(&number)) else { continue };
            target.deliver_rest(pipe, &self.hub, &*self.tell);
            if target.staging.is_some() && pipe.owes_open_line().unwrap_or(target.open == Some(pipe.stream)) {
                pipe.owed.push_back(Owed::Text(b"\n".to_vec()));
                self.stage(number);
            }
        }
    }

    /// Looks into a pipe once and hands out lines, with `all` the beginning of one too. Returns of how many bytes.
    fn turn(&mut self, number: u64, all: bool) -> usize {
        let Some(pipe) = self.pipes.get_mut(&number) else { return 0 };
        let Some(target) = self.targets.get_mut(&pipe.target).filter(|target| target.held.is_none()) else { return 0 };
        let filed = target.staging.is_some();
        let looked = if filed {
            self.peek.look(pipe.fd.as_fd()).map(<[u8]>::len)
        } else {
            fault::point(Call::OutputRead).and_then(|()| Ok(read(pipe.fd.as_fd(), &mut self.buffer)?))
        };
        let (handed_out, new) = match look(looked, pipe.owed_bytes) {
            Look::Bytes { handed_out, new } => (handed_out, new),
            Look::Nothing => {
                pipe.since = None;
                if std::mem::take(&mut pipe.ails) && target.pause == Pause::None {
                    self.set_watched(number, Watched::Level);
                }
                return 0;
            }
            Look::Over => {
                self.end_pipe(number);
                return 0;
            }
            Look::Failed => {
                // It is neither left alone for good nor asked all the time: whoever writes to it must not wait for ever.
                (pipe.ails, pipe.since) = (true, Some(Instant::now()));
                self.note_since(number);
                self.set_watched(number, Watched::No);
                return 0;
            }
        };
        let recovered = std::mem::take(&mut pipe.ails);
        let view = if filed { self.peek.seen() } else { &self.buffer };
        let new = view.get(handed_out..handed_out + new).unwrap_or_default();
        let count = if all || !filed { new.len() } else { whole_lines(new, pipe.framer.rest().len()) };
        let rest = new.len() - count;
        let new = new.get(..count).unwrap_or_default();
        let awaited = target.deliver(pipe, new, &self.hub, &*self.tell);
        if !filed {
            pipe.since = None;
            if recovered {
                self.set_watched(number, Watched::Level);
            }
            return count;
        }
        if let Some(staging) = &target.staging {
            pipe.owe(new, staging.grain());
        }
        pipe.since = match (rest, pipe.since) {
            (0, _) => None,
            _ if matches!(target.pause, Pause::Until(_) | Pause::Unheard(_)) => None,
            (_, Some(since)) if count == 0 => Some(since),
            _ => Some(Instant::now()),
        };
        let wanted = if count == 0 && rest > 0 { Watched::Edge } else { Watched::Level };
        let (id, flows) = (pipe.target, target.pause == Pause::None);
        if pipe.watched != Watched::No || recovered && flows {
            self.set_watched(number, wanted);
        }
        if awaited && flows {
            self.pause(id, Pause::Unheard(Instant::now() + PATIENCE));
        }
        self.note_since(number);
        self.stage(number);
        count
    }

    /// Sees to it that a pipe is looked at again when what waits in it is old.
    fn note_since(&mut self, number: u64) {
        if self.pipes.get(&number).is_some_and(|pipe| pipe.since.is_some()) && !self.open.contains(&number) {
            self.open.push(number);
        }
    }

    /// Stages what a pipe owes. What finds no room is waited for, or is dropped when that took too long.
    fn stage(&mut self, number: u64) {
        let Some(pipe) = self.pipes.get(&number) else { return };
        let (id, stream) = (pipe.target, pipe.stream);
        let Some(target) = self.targets.get(&id) else { return };
        // The rest of an open line that waits for room comes before anything of the other stream.
        let owes_rest = |other: &u64| {
            self.pipes.get(other).is_some_and(|other| Some(other.stream) == target.open && !other.owed.is_empty())
        };
        let torn = target.open.filter(|open| *open != stream && target.pipes.iter().any(owes_rest));
        let (Some(target), Some(pipe)) = (self.targets.get_mut(&id), self.pipes.get_mut(&number)) else { return };
        target.torn = target.torn.or(torn);
        if matches!(target.pause, Pause::Unheard(_)) || target.stage(pipe) {
            return;
        }
        match target.pause {
            Pause::None => self.pause(id, Pause::Until(Instant::now() + PATIENCE)),
            Pause::Until(_) | Pause::Unheard(_) => {}
            Pause::Dropping => self.drop_owed(id),
        }
    }

    /// Leaves a target's pipes alone for a while.
    fn pause(&mut self, id: TargetId, pause: Pause) {
        let Some(target) = self.targets.get_mut(&id) else { return };
        target.pause = pause;
        self.paused.push(id);
        for pipe in target.pipes.clone() {
            self.set_watched(pipe, Watched::No);
            // A line does not grow old while its end may be held up by us.
            if let Some(pipe) = self.pipes.get_mut(&pipe) {
                pipe.since = None;
            }
        }
    }

    /// That the awaited line was printed is known for good.
    pub fn heard(&mut self, id: TargetId) {
        if let Some(target) = self.targets.get_mut(&id)
            && matches!(target.pause, Pause::Unheard(_))
        {
            target.pause = Pause::None;
            self.read_on(id);
        }
    }

    /// Has a target's pipes read, once it has its file and is not waited for.
    fn read_on(&mut self, id: TargetId) {
        self.paused.retain(|paused| *paused != id);
        let Some(target) = self.targets.get(&id) else { return };
        let torn = target.torn;
        let mut pipes = target.pipes.clone();
        // A piece of which only the beginning is staged goes on first.
        pipes.sort_by_key(|pipe| self.pipes.get(pipe).map(|pipe| Some(pipe.stream)) != Some(torn));
        for pipe in &pipes {
            self.stage(*pipe);
        }
        if !self.paused.contains(&id) {
            pipes.iter().for_each(|pipe| self.set_watched(*pipe, Watched::Level));
        }
    }

    /// Counts what a target owes its file instead of writing it.
    fn drop_owed(&mut self, id: TargetId) {
        let Some(target) = self.targets.get_mut(&id) else { return };
        let (mut lines, mut bytes) = (0, 0);
        // A line of which the beginning is staged already gets its end.
        let mut line_end = Vec::new();
        for pipe in &target.pipes {
            let Some(pipe) = self.pipes.get_mut(pipe) else { continue };
            let mut torn = target.torn == Some(pipe.stream);
            while pipe.owed_bytes > 0 {
                let room = pipe.owed_bytes.min(self.buffer.len());
                match read(pipe.fd.as_fd(), self.buffer.get_mut(..room).unwrap_or_default()) {
                    Ok(count) if count > 0 => {
                        let mut read = self.buffer.get(..count).unwrap_or_default();
                        if let Some(end) = memchr::memchr(b'\n', read).filter(|_| std::mem::take(&mut torn)) {
                            let (line, rest) = read.split_at(end + 1);
                            (line_end, read) = (line.to_vec(), rest);
                        }
                        lines += memchr::memchr_iter(b'\n', read).count() as u64;
                        bytes += read.len() as u64;
                        pipe.owed_bytes -= count;
                    }
                    Err(Errno::EINTR) => {}
                    _ => break,
                }
            }
            pipe.forgive();
        }
        (target.open, target.torn) = (None, None);
        target.ring.lock().unwrap_or_else(PoisonError::into_inner).lose(lines);
        if let Some(staging) = target.staging.as_ref().filter(|_| bytes > 0 || !line_end.is_empty()) {
            staging.lost(line_end, lines, bytes);
        }
    }

    fn set_watched(&mut self, number: u64, wanted: Watched) {
        let Some(pipe) = self.pipes.get_mut(&number) else { return };
        let flags = match wanted {
            Watched::No | Watched::Level => EpollFlags::EPOLLIN,
            Watched::Edge => EpollFlags::EPOLLIN | EpollFlags::EPOLLET,
        };
        let mut event = EpollEvent::new(flags, number);
        let changed = match (pipe.watched, wanted) {
            (before, wanted) if before == wanted => return,
            (Watched::No, _) => self.epoll.add(&pipe.fd, event),
            (_, Watched::No) => self.epoll.delete(&pipe.fd),
            _ => self.epoll.modify(&pipe.fd, &mut event),
        };
        pipe.watched = wanted;
        if changed.is_err() && wanted != Watched::No {
            // Closing the reading end is the one honest answer: the child gets EPIPE rather than blocking for ever.
            pipe.watched = Watched::No;
            self.end_pipe(number);
        }
    }

    /// Nobody holds the writing end any more, or it cannot be watched: nothing may keep it open unread.
    fn end_pipe(&mut self, number: u64) {
        if let Some(pipe) = self.pipes.get_mut(&number)
            && let Some(target) = self.targets.get_mut(&pipe.target)
        {
            target.deliver_rest(pipe, &self.hub, &*self.tell);
            target.pipes.retain(|p| *p != number);
            target.ends.retain(|(_, fd)| !Arc::ptr_eq(fd, &pipe.fd));
            if target.torn == Some(pipe.stream) {
                target.torn = None;
            }
        }
        self.close(number);
    }

    fn close(&mut self, number: u64) {
        if let Some(pipe) = self.pipes.remove(&number)
            && pipe.watched != Watched::No
        {
            let _ = self.epoll.delete(&pipe.fd);
        }
    }
}

fn look(looked: io::Result<usize>, owed: usize) -> Look {
    match looked {
        Ok(0) => Look::Over,
        Ok(count) if count > owed => Look::Bytes { handed_out: owed, new: count - owed },
        Ok(_) => Look::Nothing,
        Err(error) => match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EAGAIN | Errno::EINTR) => Look::Nothing,
            _ => Look::Failed,
        },
    }
}

/// How many of these bytes are whole lines, or too many to wait for their end; `before` of the first line came earlier.
fn whole_lines(bytes: &[u8], before: usize) -> usize {
    let (whole, before) = memchr::memrchr(b'\n', bytes).map_or((0, before), |at| (at + 1, 0));
    if before + bytes.len() - whole >= MAX_LINE { bytes.len() } else { whole }
}
