//! The way from the log thread to a file: queued, so that a slow disk holds up nobody but, for a while, who writes to it.

use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::file::LogFile;
use crate::driver::Pool;

/// Bytes that may wait for one file.
const FULL: usize = 1 << 20;
/// Room is told of again when no more than this waits.
const ROOM: usize = FULL / 2;

/// A file's queue. Writing is a job of the pool's, one at a time for a file.
#[derive(Clone)]
pub(super) struct Sink(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    idle: Condvar,
    pool: Pool,
    /// Tells that there is room again.
    room: Box<dyn Fn() + Send + Sync>,
}

struct State {
    /// Not here while it is being written to.
    file: Option<Box<LogFile>>,
    queue: Vec<u8>,
    writing: bool,
    told_full: bool,
    lost: (u64, u64),
}

/// Whether the writer should go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Space {
    Room,
    /// So much waits that the source should pause; `room` is called once it need not.
    Full,
}

impl Sink {
    /// A queue for this file. `room` is called, from any thread, when it was full and is not any more.
    pub fn new(file: Box<LogFile>, pool: Pool, room: impl Fn() + Send + Sync + 'static) -> Self {
        let state = State { file: Some(file), queue: Vec::new(), writing: false, told_full: false, lost: (0, 0) };
        Sink(Arc::new(Inner { state: Mutex::new(state), idle: Condvar::new(), pool, room: Box::new(room) }))
    }

    /// Queues bytes. While the queue is full those that `may_drop` are counted and forgotten.
    pub fn append(&self, bytes: &[u8], may_drop: bool) -> Space {
        let mut state = self.lock();
        if may_drop && state.queue.len() >= FULL {
            state.lost.0 += bytes.iter().filter(|b| **b == b'\n').count() as u64;
            state.lost.1 += bytes.len() as u64;
        } else {
            state.queue.extend_from_slice(bytes);
        }
        if !state.writing && !state.queue.is_empty() {
            state.writing = true;
            let inner = self.0.clone();
            // Without a thread it stays queued, and the next bytes try again.
            state.writing = self.0.pool.run(move || inner.write()).is_ok();
        }
        state.told_full |= state.queue.len() >= FULL;
        if state.queue.len() >= FULL { Space::Full } else { Space::Room }
    }

    /// Waits until all is written, but no longer than this.
    pub fn flush(&self, patience: Duration) {
        let state = self.lock();
        drop(self.0.idle.wait_timeout_while(state, patience, |state| state.writing));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) {
        loop {
            let mut state = self.lock();
            let bytes = mem::take(&mut state.queue);
            let (lines, lost) = mem::take(&mut state.lost);
            let work = !bytes.is_empty() || lost > 0;
            let file = if work { state.file.take() } else { None };
            let Some(mut file) = file else {
                state.writing = false;
                self.idle.notify_all();
                return;
            };
            drop(state);
            file.append(&bytes);
            if lost > 0 {
                // They found the queue full, so they came after what was in it.
                file.note_lost(lines, lost, "the file was too slow");
                file.tell_lost();
            }
            let mut state = self.lock();
            state.file = Some(file);
            let room = state.told_full && state.queue.len() <= ROOM;
            if room {
                state.told_full = false;
            }
            drop(state);
            if room {
                (self.room)();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::{FULL, Sink, Space};
    use crate::driver::Pool;
    use crate::log::{LogFile, LogPlace};

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn a_slow_file_is_waited_for_then_dropped_for_and_the_gap_is_told_in_it() {
        let path = std::env::temp_dir().join(format!("neap-sink-{}.log", std::process::id()));
        let pool = Pool::new();
        // Both prompt threads, and the next, are held up as by a disk that does not answer.
        let mut held_up = Vec::new();
        for _ in 0..200 {
            let (release, wait) = mpsc::channel::<()>();
            pool.run(move || wait.iter().for_each(drop)).unwrap();
            held_up.push(release);
        }
        let (room, rooms) = mpsc::channel();
        let file = LogFile::open(LogPlace { path: path.clone(), max_size: 1 << 30, keep: 0 }).unwrap();
        let sink = Sink::new(Box::new(file), pool.clone(), move || room.send(()).unwrap());
        let line = [b"x".repeat(999), b"\n".to_vec()].concat();
        let mut kept = 0;
        while sink.append(&line, false) == Space::Room {
            kept += 1;
        }
        kept += 1;
        assert_eq!(kept, FULL.div_ceil(line.len()));
        for _ in 0..7 {
            assert_eq!(sink.append(&line, true), Space::Full);
        }
        drop(held_up);
        rooms.recv_timeout(PATIENCE).unwrap();
        assert_eq!(sink.append(b"on again\n", true), Space::Room);
        sink.flush(PATIENCE);
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.iter().filter(|l| l.starts_with('x')).count(), kept);
        assert!(text.contains("neap: 7 lines (7000 bytes) are missing here: the file was too slow\n"));
        assert_eq!(lines.last(), Some(&"on again"));
        pool.close();
        fs::remove_file(path).unwrap();
    }
}
