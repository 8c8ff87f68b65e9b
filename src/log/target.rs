//! One process's output on the log thread: its pipes, what of them is on its way to the file, and who gets lines.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use regex::bytes::Regex;

use super::frame::Framer;
use super::index::now;
use super::line::{Line, StreamKind};
use super::ring::Ring;
use super::staging::Staging;
use super::thread::{LineHub, TargetId, Told};
use crate::core::{RunId, WallTime};
use crate::driver::sys;

/// Longer lines are cut.
pub(super) const MAX_LINE: usize = 16 << 10;

/// One process's place in the log thread.
pub(super) struct Target {
    pub name: Arc<str>,
    pub ring: Arc<Mutex<Ring>>,
    pub staging: Option<Arc<Staging>>,
    pub pause: Pause,
    /// The stream whose unended line is the last in the file, or on its way there.
    pub open: Option<StreamKind>,
    /// The stream of which only the beginning of a piece found room: nothing else may come in between.
    pub torn: Option<StreamKind>,
    pub watch: Option<(RunId, Regex)>,
    pub pipes: Vec<u64>,
    /// The reading ends. The one whose stream was staged last has a mark, which a supervisor after us finds.
    pub ends: Vec<(StreamKind, Arc<OwnedFd>)>,
    pub last: Option<StreamKind>,
    /// What has to wait until the file is known, for pipes that a supervisor before us left.
    pub held: Option<Held>,
    /// The number of the run that prints; 0 before the first.
    pub run: u32,
}

/// What was asked for while the pipes are not read.
#[derive(Default)]
pub(super) struct Held {
    pub end_run: bool,
    pub syncs: Vec<Sender<()>>,
}

/// What is done when a target's file does not keep up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pause {
    /// It does.
    None,
    /// Its pipes are not read, until there is room or this moment has come.
    Until(Instant),
    /// The awaited line was printed, and stays in its pipe until whoever waited has written that down, or this moment
    /// has come: a supervisor after us would not hear of it else.
    Unheard(Instant),
    /// Too long has passed: its pipes are read on, and what finds no room is counted instead of written.
    Dropping,
}

/// How a pipe is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watched {
    No,
    /// While there is something in it.
    Level,
    /// When something is added: what is in it waits for the end of its line.
    Edge,
}

/// What has been handed out as lines and has yet to be staged.
pub(super) enum Owed {
    /// So many bytes that are still in the pipe, and whether they end a line.
    Piped(usize, bool),
    /// Bytes of ours.
    Text(Vec<u8>),
}

pub(super) struct Pipe {
    pub target: TargetId,
    pub stream: StreamKind,
    pub fd: Arc<OwnedFd>,
    pub framer: Framer,
    pub watched: Watched,
    pub owed: VecDeque<Owed>,
    /// How many bytes at the start of the pipe are owed.
    pub owed_bytes: usize,
    /// Since when a line without an end waits in it, or it could not be looked into.
    pub since: Option<Instant>,
    /// Whether looking into it failed the last time.
    pub ails: bool,
}

impl Pipe {
    pub fn new(target: TargetId, stream: StreamKind, fd: Arc<OwnedFd>) -> Self {
        Pipe {
            target,
            stream,
            fd,
            framer: Framer::new(MAX_LINE),
            watched: Watched::No,
            owed: VecDeque::new(),
            owed_bytes: 0,
            since: None,
            ails: false,
        }
    }

    /// Owes the file these bytes, which come next in the pipe.
    pub fn owe(&mut self, mut bytes: &[u8], grain: usize) {
        self.owed_bytes += bytes.len();
        while !bytes.is_empty() {
            let count = record(bytes, grain);
            let (now, later) = bytes.split_at(count);
            self.owed.push_back(Owed::Piped(count, now.ends_with(b"\n")));
            bytes = later;
        }
    }

    /// Whether the line that was owed last has no end.
    pub fn owes_open_line(&self) -> Option<bool> {
        self.owed.back().map(|owed| match owed {
            Owed::Piped(_, whole) => !whole,
            Owed::Text(text) => !text.ends_with(b"\n"),
        })
    }

    /// Forgets what is owed.
    pub fn forgive(&mut self) {
        self.owed.clear();
        self.owed_bytes = 0;
    }
}

/// How much of these bytes makes a record: whole lines of no more than `grain`, or else one line, or all.
pub(super) fn record(bytes: &[u8], grain: usize) -> usize {
    if bytes.len() <= grain {
        return memchr::memrchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
    }
    let (head, tail) = bytes.split_at(grain);
    match memchr::memrchr(b'\n', head) {
        Some(at) => at + 1,
        None => memchr::memchr(b'\n', tail).map_or(bytes.len(), |at| grain + at + 1),
    }
}

impl Target {
    pub fn new(name: Arc<str>, ring: Arc<Mutex<Ring>>) -> Self {
        Target {
            name,
            ring,
            staging: None,
            pause: Pause::None,
            open: None,
            torn: None,
            watch: None,
            pipes: Vec::new(),
            ends: Vec::new(),
            last: None,
            held: None,
            run: 0,
        }
    }

    /// Hands out the lines in these bytes. Whether the awaited one was among them.
    pub fn deliver(&mut self, pipe: &mut Pipe, bytes: &[u8], hub: &LineHub, tell: &(dyn Fn(Told) + Send)) -> bool {
        let mut bytes = bytes;
        if self.watch.is_none() && !hub.is_read() {
            // Nobody but the ring wants them, which would lose the first ones at once.
            let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
            let (skipped, kept) = bytes.split_at(ring.keeps_from(bytes));
            let mut lines = 0;
            pipe.framer.push(skipped, |_, _| lines += 1);
            if lines > 0 {
                ring.skip(lines);
            }
            bytes = kept;
        }
        let mut batch = Batch::new(&self.name, pipe.stream, self.run);
        pipe.framer.push(bytes, |text, partial| batch.line(text, partial));
        self.hand_out(batch, hub, tell)
    }

    /// Hands out the line that got no end.
    pub fn deliver_rest(&mut self, pipe: &mut Pipe, hub: &LineHub, tell: &(dyn Fn(Told) + Send)) {
        let mut batch = Batch::new(&self.name, pipe.stream, self.run);
        pipe.framer.finish(|text, partial| batch.line(text, partial));
        self.hand_out(batch, hub, tell);
    }

    fn hand_out(&mut self, batch: Batch, hub: &LineHub, tell: &(dyn Fn(Told) + Send)) -> bool {
        if batch.lines.is_empty() {
            return false;
        }
        let mut matched = false;
        if let Some((run, pattern)) = &self.watch
            && batch.lines.iter().any(|line| pattern.is_match(&line.text))
        {
            tell(Told::Matched(*run));
            (self.watch, matched) = (None, true);
        }
        if hub.is_read() {
            hub.publish(batch.lines.iter().map(|line| (line.clone(), line.text.len())));
        }
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        batch.lines.into_iter().for_each(|line| ring.push(line));
        matched
    }

    /// Stages what is owed, as far as there is room. Whether all of it was.
    pub fn stage(&mut self, pipe: &mut Pipe) -> bool {
        let Some(staging) = &self.staging else { return true };
        if self.torn.is_some_and(|stream| stream != pipe.stream) {
            return false;
        }
        while let Some(first) = pipe.owed.front_mut() {
            if self.open.is_some_and(|stream| stream != pipe.stream) {
                match staging.write(b"\n") {
                    Ok(1) => self.open = None,
                    _ => return false,
                }
            }
            if self.last != Some(pipe.stream) {
                // The file ends with a whole line now, so it does not matter who is marked if we die in between.
                self.ends.iter().for_each(|(stream, fd)| sys::set_mark(fd.as_fd(), *stream == pipe.stream));
                self.last = Some(pipe.stream);
            }
            let staged = match first {
                Owed::Piped(count, _) => staging.take(pipe.fd.as_fd(), *count),
                Owed::Text(text) => staging.write(text),
            };
            let Ok(staged) = staged else {
                // Somebody else has read them, or the staging pipe is broken: there is nothing to be owed any more.
                pipe.forgive();
                self.torn = None;
                return true;
            };
            let (left, whole) = match first {
                Owed::Piped(count, whole) => {
                    *count -= staged;
                    pipe.owed_bytes -= staged;
                    (*count, *whole)
                }
                Owed::Text(text) => {
                    let whole = text.ends_with(b"\n");
                    text.drain(..staged);
                    (text.len(), whole)
                }
            };
            if left > 0 {
                if staged > 0 {
                    (self.open, self.torn) = (Some(pipe.stream), Some(pipe.stream));
                }
                return false;
            }
            self.open = if whole { None } else { Some(pipe.stream) };
            self.torn = None;
            pipe.owed.pop_front();
        }
        true
    }
}

/// The lines of one turn, handed out together.
struct Batch {
    name: Arc<str>,
    stream: StreamKind,
    run: u32,
    time: WallTime,
    lines: Vec<Arc<Line>>,
}

impl Batch {
    fn new(name: &Arc<str>, stream: StreamKind, run: u32) -> Self {
        Batch { name: name.clone(), stream, run, time: now(), lines: Vec::new() }
    }

    fn line(&mut self, text: &[u8], partial: bool) {
        let line = Line {
            process: self.name.clone(),
            stream: self.stream,
            text: text.to_vec(),
            partial,
            time: Some(self.time),
            run: self.run,
        };
        self.lines.push(Arc::new(line));
    }
}
