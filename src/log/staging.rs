//! The way from the log thread to a file: a pipe of our own, so that a slow disk holds up nobody.
//!
//! Bytes go by splice(2) from a process's pipe to this one, and from this one to the file: each time consuming and
//! writing is one system call, so a crash loses and doubles nothing as long as somebody keeps the pipes. It is not
//! one step, because the kernel locks the process's pipe for as long as the file takes.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SpliceFFlags, fcntl, splice};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::watch;

use super::file::LogFile;
use crate::driver::Pool;
use crate::driver::sys;

/// What the pipe may hold, where the kernel lets us: all pipes of a user share 64 MiB, unless that is root.
const SIZE: i32 = 256 << 10;
/// Records are no longer than this.
const GRAIN: usize = 64 << 10;
/// A file that failed is tried again after this long.
pub(super) const RETRY: Duration = Duration::from_secs(1);

/// What stands in line for the file.
enum Record {
    /// So many bytes of the pipe.
    Bytes(usize),
    /// The end of a line of which only the beginning found room in the pipe.
    Text(Vec<u8>),
    /// Lines and bytes that nobody waited for any longer.
    Lost(u64, u64),
    /// Another file from here on.
    File(Box<LogFile>),
    /// Another run from here on, by the process's tag and its number; and whether it begins here.
    Run((u32, u32), bool),
}

/// What the writer tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// There is room again.
    Room,
    /// The file failed, and is to be tried again after [`RETRY`].
    Failing,
    /// The file is copied to: a crash may lose or double what is in flight.
    Copies(String),
}

/// The log thread's side of one process's staging pipe. Writing is a job of the pool's, one at a time for a file.
pub(super) struct Staging {
    write: OwnedFd,
    inner: Arc<Inner>,
    grain: AtomicUsize,
}

struct Inner {
    read: OwnedFd,
    state: Mutex<State>,
    idle: Condvar,
    pool: Pool,
    tell: Box<dyn Fn(News) + Send + Sync>,
    /// How often something was written: what readers of the file wait for.
    written: watch::Sender<u64>,
}

struct State {
    /// Not here while it is being written to.
    file: Option<Box<LogFile>>,
    records: VecDeque<Record>,
    /// Whose run it is that is printing.
    run: Option<(u32, u32)>,
    writing: bool,
    told_full: bool,
    told_copies: bool,
    /// Why the file failed, and when it may be tried again.
    failing: Option<(String, Instant)>,
}

/// The two ends of a new staging pipe.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = sys::pipe()?;
    // Smaller is slower, nothing else.
    let _ = fcntl(&write, FcntlArg::F_SETPIPE_SZ(SIZE));
    Ok((sys::high_fd(read), sys::high_fd(write)))
}

impl fmt::Debug for Staging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Staging")
    }
}

impl Staging {
    /// The staging pipe with these ends, empty, towards this file. `tell` is called from any thread.
    pub fn new(
        ends: (OwnedFd, OwnedFd),
        file: Box<LogFile>,
        pool: Pool,
        tell: impl Fn(News) + Send + Sync + 'static,
    ) -> Self {
        let grain = grain(&file);
        let state = State {
            file: Some(file),
            records: VecDeque::new(),
            run: None,
            writing: false,
            told_full: false,
            told_copies: false,
            failing: None,
        };
        let inner = Inner {
            read: ends.0,
            state: Mutex::new(state),
            idle: Condvar::new(),
            pool,
            tell: Box::new(tell),
            written: watch::Sender::new(0),
        };
        Staging { write: ends.1, inner: Arc::new(inner), grain: AtomicUsize::new(grain) }
    }

    /// What to wait by for the file to grow.
    pub fn growth(&self) -> watch::Receiver<u64> {
        self.inner.written.subscribe()
    }

    /// The longest record: a file is rotated between two of them.
    pub fn grain(&self) -> usize {
        self.grain.load(Ordering::Relaxed)
    }

    /// The reading end, which nobody but the writer may read.
    pub fn reading_end(&self) -> BorrowedFd<'_> {
        self.inner.read.as_fd()
    }

    /// Has the following go to another file.
    pub fn set_file(&self, file: Box<LogFile>) {
        self.grain.store(grain(&file), Ordering::Relaxed);
        let mut state = self.inner.lock();
        state.records.push_back(Record::File(file));
        // The old one may be why it is changed.
        state.failing = None;
        self.inner.begin(state);
    }

    /// What follows was printed by this run, which may begin here.
    pub fn set_run(&self, run: (u32, u32), begins: bool) {
        let mut state = self.inner.lock();
        state.run = Some(run);
        state.records.push_back(Record::Run(run, begins));
        self.inner.begin(state);
    }

    /// Moves so many bytes from a pipe, as far as there is room, and tells how many; what found none is told of by
    /// [`News::Room`]. An error means that they are not in the pipe any more.
    pub fn take(&self, from: BorrowedFd<'_>, count: usize) -> io::Result<usize> {
        let mut done = 0;
        while done < count {
            match splice(from, None, &self.write, None, count - done, SpliceFFlags::SPLICE_F_NONBLOCK) {
                Ok(some) if some > 0 => {
                    done += some;
                    self.stand_in_line(some);
                }
                Err(Errno::EINTR) => {}
                Ok(_) | Err(Errno::EAGAIN) if !is_ready(from, PollFlags::POLLIN) => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Ok(_) | Err(Errno::EAGAIN) if self.is_full()? => break,
                Ok(_) | Err(Errno::EAGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(done)
    }

    /// The same with bytes of ours.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            match nix::unistd::write(&self.write, rest) {
                Ok(some) => {
                    done += some;
                    self.stand_in_line(some);
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) if self.is_full()? => break,
                Err(Errno::EAGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(done)
    }

    fn stand_in_line(&self, count: usize) {
        let mut state = self.inner.lock();
        state.records.push_back(Record::Bytes(count));
        self.inner.begin(state);
    }

    /// Whether there is no room, and will be told of when there is.
    fn is_full(&self) -> io::Result<bool> {
        let mut state = self.inner.lock();
        if state.records.iter().any(|record| matches!(record, Record::Bytes(_))) {
            // Whatever is still in line will tell of its going.
            state.told_full = true;
            self.inner.begin(state);
            return Ok(true);
        }
        // All of it was written in the meantime. Then there is room, unless a stranger filled it.
        drop(state);
        if is_ready(self.write.as_fd(), PollFlags::POLLOUT) {
            Ok(false)
        } else {
            Err(io::ErrorKind::StorageFull.into())
        }
    }

    /// Counts what was thrown away, to be told at this place of the file, after the end of the line that was begun.
    pub fn lost(&self, line_end: Vec<u8>, lines: u64, bytes: u64) {
        let mut state = self.inner.lock();
        if !line_end.is_empty() {
            state.records.push_back(Record::Text(line_end));
        }
        match state.records.back_mut() {
            _ if bytes == 0 => {}
            Some(Record::Lost(more, longer)) => (*more, *longer) = (*more + lines, *longer + bytes),
            _ => state.records.push_back(Record::Lost(lines, bytes)),
        }
        self.inner.begin(state);
    }

    /// Stands these bytes in line, which are in the pipe already: a supervisor before us put them there.
    pub fn found(&self, count: usize) {
        let mut state = self.inner.lock();
        if count > 0 {
            state.records.push_back(Record::Bytes(count));
        }
        self.inner.begin(state);
    }

    /// Takes out what is in the pipe, and stands it in line as bytes of ours: for when it cannot be looked into.
    pub fn found_some(&self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(count) = nix::unistd::read(&self.inner.read, &mut buffer) {
            if count == 0 {
                break;
            }
            all.extend_from_slice(buffer.get(..count).unwrap_or_default());
        }
        let mut state = self.inner.lock();
        if !all.is_empty() {
            state.records.push_back(Record::Text(all.clone()));
        }
        self.inner.begin(state);
        all
    }

    /// Tries a file that failed again, if it is time.
    pub fn try_again(&self) {
        self.inner.begin(self.inner.lock());
    }

    /// Waits until all is written or the file fails, but no longer than this. Whether all is written.
    pub fn flush(&self, patience: Duration) -> bool {
        let state = self.inner.lock();
        let busy = |state: &mut State| state.writing || !state.records.is_empty() && state.failing.is_none();
        let wait = self.inner.idle.wait_timeout_while(state, patience, busy);
        wait.unwrap_or_else(PoisonError::into_inner).0.records.is_empty()
    }
}

/// So that a file is nearly full when the next record does not fit.
fn grain(file: &LogFile) -> usize {
    let max = usize::try_from(file.place().max_size).unwrap_or(usize::MAX);
    if max == 0 { GRAIN } else { (max / 16).clamp(4 << 10, GRAIN).min(max) }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has what is in line written, unless that is being done, or the file is to be left alone for now.
    fn begin(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        let wait = state.failing.as_ref().is_some_and(|(_, until)| Instant::now() < *until);
        if state.writing || wait || state.records.is_empty() {
            return;
        }
        state.writing = true;
        let inner = self.clone();
        if self.pool.run(move || inner.work()).is_err() {
            // Without a thread it stays in line.
            state.writing = false;
            drop(state);
            (self.tell)(News::Failing);
        }
    }

    fn work(&self) {
        while self.work_once() {}
    }

    /// Writes what is first in line. False when there is nothing, or that failed.
    fn work_once(&self) -> bool {
        let mut state = self.lock();
        if let Some(Record::File(_)) = state.records.front()
            && let Some(Record::File(file)) = state.records.pop_front()
        {
            let (run, mut file) = (state.run, file);
            drop(state);
            if let Some(run) = run {
                file.set_run(run, true);
            }
            self.lock().file = Some(file);
            return true;
        }
        let run = match state.records.front() {
            Some(Record::Run(run, begins)) => Some((*run, *begins)),
            _ => None,
        };
        let (text, lost) = match state.records.front() {
            Some(Record::Text(text)) => (Some(text.clone()), None),
            Some(Record::Lost(lines, bytes)) => (None, Some((*lines, *bytes))),
            _ => (None, None),
        };
        let file = if state.records.is_empty() { None } else { state.file.take() };
        let Some(mut file) = file else {
            state.writing = false;
            self.idle.notify_all();
            return false;
        };
        let count = run_of_bytes(&state.records, file.room());
        if let Some((run, begins)) = run {
            state.records.pop_front();
            drop(state);
            file.set_run(run, begins);
            self.lock().file = Some(file);
            return true;
        }
        let why = state.failing.as_ref().map_or("the file was too slow", |(why, _)| why).to_owned();
        drop(state);

        let result = match (&text, lost) {
            (Some(text), _) => file.append(text),
            (_, Some((lines, bytes))) => file.note_lost(lines, bytes, &why).map_err(|error| (0, error)),
            _ => file.take(self.read.as_fd(), count),
        };
        let (copies, path) = (file.copies(), file.place().path.clone());
        let mut state = self.lock();
        state.file = Some(file);
        let goes_on = match (result, lost) {
            (Ok(()), lost) => {
                match lost {
                    Some(lost) => forget_lost(&mut state.records, lost),
                    None => consume(&mut state.records, text.map_or(count, |text| text.len())),
                }
                // The reason is told with what was lost for it, which may still stand in line.
                if !state.records.iter().any(|record| matches!(record, Record::Lost(..))) {
                    state.failing = None;
                }
                true
            }
            (Err((done, error)), _) => {
                consume(&mut state.records, done);
                state.failing = Some((error.to_string(), Instant::now() + RETRY));
                // Another file that waits is taken at once, and gets the rest.
                let other = state.records.iter().position(|record| matches!(record, Record::File(_)));
                match other.and_then(|at| state.records.remove(at)) {
                    Some(Record::File(file)) => {
                        state.file = Some(file);
                        true
                    }
                    _ => false,
                }
            }
        };
        let room = goes_on && std::mem::take(&mut state.told_full);
        let tell_copies = copies && !std::mem::replace(&mut state.told_copies, true);
        if !goes_on {
            state.writing = false;
            self.idle.notify_all();
        }
        drop(state);
        self.written.send_modify(|n| *n += 1);
        if tell_copies {
            (self.tell)(News::Copies(path.display().to_string()));
        }
        if room {
            (self.tell)(News::Room);
        }
        if !goes_on {
            (self.tell)(News::Failing);
        }
        goes_on
    }
}

fn is_ready(fd: BorrowedFd<'_>, what: PollFlags) -> bool {
    let mut fds = [PollFd::new(fd, what)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|count| count > 0)
}

/// What was told of is forgotten; more may have been lost meanwhile.
fn forget_lost(records: &mut VecDeque<Record>, (lines, bytes): (u64, u64)) {
    if let Some(Record::Lost(more, longer)) = records.front_mut() {
        (*more, *longer) = (*more - lines, *longer - bytes);
        if *longer == 0 {
            records.pop_front();
        }
    }
}

/// How many bytes in line may be written at once: as many as fit, and one record at least.
fn run_of_bytes(records: &VecDeque<Record>, room: u64) -> usize {
    let mut sum = 0;
    for record in records {
        match record {
            Record::Bytes(count) if sum == 0 || (sum + count) as u64 <= room => sum += count,
            _ => break,
        }
    }
    sum
}

/// Forgets so many bytes at the front of the line.
fn consume(records: &mut VecDeque<Record>, mut count: usize) {
    while let Some(first) = records.front_mut() {
        let there = match first {
            Record::Bytes(there) => *there,
            Record::Text(text) => text.len(),
            Record::Lost(..) | Record::File(_) | Record::Run(..) => return,
        };
        if there > count {
            match first {
                Record::Bytes(there) => *there -= count,
                Record::Text(text) => drop(text.drain(..count)),
                Record::Lost(..) | Record::File(_) | Record::Run(..) => {}
            }
            return;
        }
        count -= there;
        records.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::path::PathBuf;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::{News, Staging, pipe};
    use crate::driver::Pool;
    use crate::log::{LogFile, LogPlace};

    const PATIENCE: Duration = Duration::from_secs(20);

    fn file(name: &str) -> (PathBuf, LogPlace) {
        let folder = std::env::temp_dir().join(format!("neap-staging-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        (folder.clone(), LogPlace { path: folder.join("x.log"), max_size: 0, keep: 0 })
    }

    fn staging(file: LogFile, pool: &Pool) -> (Staging, mpsc::Receiver<News>) {
        let (tell, news) = mpsc::channel();
        let tell = move |item| drop(tell.send(item));
        (Staging::new(pipe().unwrap(), Box::new(file), pool.clone(), tell), news)
    }

    #[test]
    fn what_a_slow_file_has_no_room_for_is_told_in_its_place() {
        let (folder, place) = file("slow");
        let pool = Pool::new();
        // Both prompt threads, and the next, are held up as by a disk that does not answer.
        let mut held_up = Vec::new();
        for _ in 0..200 {
            let (release, wait) = mpsc::channel::<()>();
            pool.run(move || wait.iter().for_each(drop)).unwrap();
            held_up.push(release);
        }
        let (staging, news) = staging(LogFile::open(place.clone()).unwrap(), &pool);
        let (read, mut write) = std::io::pipe().unwrap();
        let line = [b"x".repeat(999), b"\n".to_vec()].concat();
        let (mut kept, mut begun) = (0, 0);
        while begun == 0 {
            write.write_all(&line).unwrap();
            match staging.take(read.as_fd(), line.len()).unwrap() {
                1000 => kept += 1,
                // The beginning of a line found room.
                some => begun = if some == 0 { 1000 } else { some },
            }
        }
        staging.lost(line[begun..].to_vec(), 0, 0);
        (0..7).for_each(|_| staging.lost(Vec::new(), 1, 1000));
        drop(held_up);
        assert_eq!(news.recv_timeout(PATIENCE), Ok(News::Room));
        assert!(staging.flush(PATIENCE));
        assert_eq!(staging.write(b"on again\n").unwrap(), 9);
        assert!(staging.flush(PATIENCE));
        let text = fs::read_to_string(&place.path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let whole = kept + usize::from(begun < 1000);
        assert_eq!(lines.len(), whole + 2);
        assert!(lines.iter().take(whole).all(|line| line.len() == 999));
        assert_eq!(lines[whole], "neap: 7 lines (7000 bytes) are missing here: the file was too slow");
        assert_eq!(lines[whole + 1], "on again");
        pool.close();
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_a_file_refuses_goes_to_the_next_one() {
        let (folder, place) = file("refused");
        let pool = Pool::new();
        let missing = LogPlace { path: folder.join("missing/x.log"), ..place.clone() };
        let (staging, news) = staging(LogFile::later(missing), &pool);
        assert_eq!(staging.write(b"one\n").unwrap(), 4);
        assert_eq!(news.recv_timeout(PATIENCE), Ok(News::Failing));
        assert!(!staging.flush(PATIENCE));
        staging.set_file(Box::new(LogFile::open(place.clone()).unwrap()));
        assert_eq!(staging.write(b"two\n").unwrap(), 4);
        assert!(staging.flush(PATIENCE));
        assert_eq!(fs::read_to_string(&place.path).unwrap(), "one\ntwo\n");
        pool.close();
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn bytes_that_somebody_else_has_read_are_not_waited_for() {
        let (folder, place) = file("stolen");
        let pool = Pool::new();
        let (staging, _news) = staging(LogFile::open(place).unwrap(), &pool);
        let (read, mut write) = std::io::pipe().unwrap();
        write.write_all(b"half").unwrap();
        assert!(staging.take(read.as_fd(), 8).is_err());
        pool.close();
        fs::remove_dir_all(folder).unwrap();
    }
}
