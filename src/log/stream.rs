//! One process's output: its pipes, kept over its runs, and its ring.

use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{Gid, Uid, fchown, getegid, geteuid, pipe2};
use regex::bytes::Regex;

use super::back::{LogFrom, LogReader};
use super::file::{LogFile, LogPlace};
use super::ring::Ring;
use super::staging::{self, Staging};
use super::thread::{Filing, Logs, Order, TargetId};
use super::voice::Voice;
use crate::core::RunId;
use crate::driver::sys::{self, high_fd};
use crate::log::{Line, StreamKind};

/// A reader of logs waits this long for the newest lines; then it gets what is there.
const SYNC: Duration = Duration::from_secs(1);

/// The output of one process. Dropping it has the rest read, then the pipes closed.
#[derive(Debug)]
pub(crate) struct ProcessLog {
    id: TargetId,
    name: Arc<str>,
    logs: Logs,
    ring: Arc<Mutex<Ring>>,
    stdout: Option<Writer>,
    stderr: Option<Writer>,
    /// The way to the file, from the first file on.
    staging: Option<Arc<Staging>>,
    /// The ends of a staging pipe that a supervisor before us left.
    staged: Option<(OwnedFd, OwnedFd)>,
    /// Whether a supervisor before us began this log, and its file is yet to come.
    inherited: bool,
    filed: Arc<Mutex<Option<Filed>>>,
    /// The program's own way into it, once there is one.
    voice: Option<Arc<Voice>>,
}

/// Which file there is now, and the way there.
#[derive(Debug)]
struct Filed {
    place: LogPlace,
    staging: Arc<Staging>,
}

/// The writing end of a pipe.
#[derive(Debug)]
struct Writer {
    fd: Arc<OwnedFd>,
    owner: Option<(u32, u32)>,
}

impl ProcessLog {
    pub(super) fn new(id: TargetId, name: Arc<str>, logs: Logs, ring: Arc<Mutex<Ring>>) -> Self {
        ProcessLog {
            id,
            name,
            logs,
            ring,
            stdout: None,
            stderr: None,
            staging: None,
            staged: None,
            inherited: false,
            filed: Arc::default(),
            voice: None,
        }
    }

    /// The writing end of a stream's pipe, which is made when there is none yet, and given to this user: a process could
    /// not open its own `/dev/stdout` else. Whoever keeps the reading end over our death is shown it before any child
    /// has the pipe.
    pub fn writer(
        &mut self,
        stream: StreamKind,
        owner: Option<(u32, u32)>,
        hold: impl FnOnce(BorrowedFd<'_>),
    ) -> io::Result<Arc<OwnedFd>> {
        let slot = match stream {
            StreamKind::Stdout => &mut self.stdout,
            StreamKind::Stderr => &mut self.stderr,
        };
        let pipe = match slot {
            Some(pipe) => pipe,
            None => {
                let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
                fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
                hold(read.as_fd());
                self.logs.order(Order::Pipe(self.id, stream, high_fd(read), false));
                slot.insert(Writer { fd: Arc::new(high_fd(write)), owner: None })
            }
        };
        if pipe.owner != owner {
            let (uid, gid) = owner.unwrap_or((geteuid().as_raw(), getegid().as_raw()));
            fchown(&pipe.fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
            pipe.owner = owner;
        }
        Ok(pipe.fd.clone())
    }

    /// Goes on with a pipe of a supervisor before us, of which this is the reading end. With `awaits_file` nothing is
    /// read of it before [`set_file`](ProcessLog::set_file).
    pub fn inherit(&mut self, stream: StreamKind, read: OwnedFd, awaits_file: bool) -> io::Result<()> {
        let write = high_fd(sys::open_pipe_for_writing(read.as_fd())?);
        let slot = match stream {
            StreamKind::Stdout => &mut self.stdout,
            StreamKind::Stderr => &mut self.stderr,
        };
        // Whose it was is not known: the next run's user is set again.
        *slot = Some(Writer { fd: Arc::new(write), owner: Some((u32::MAX, u32::MAX)) });
        self.inherited |= awaits_file;
        fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        self.logs.order(Order::Pipe(self.id, stream, high_fd(read), awaits_file));
        Ok(())
    }

    /// Goes on with the staging pipe of a supervisor before us, of which this is the reading end: what is in it belongs
    /// into the file that comes by [`set_file`](ProcessLog::set_file).
    pub fn inherit_staged(&mut self, read: OwnedFd) -> io::Result<()> {
        let write = high_fd(sys::open_pipe_for_writing(read.as_fd())?);
        fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        fcntl(&write, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        self.staged = Some((high_fd(read), write));
        self.inherited = true;
        Ok(())
    }

    /// The program's own way into it, the same over all runs.
    pub fn voice(&mut self) -> Arc<Voice> {
        let (id, logs) = (self.id, &self.logs);
        self.voice.get_or_insert_with(|| Arc::new(Voice::new(id, logs.clone()))).clone()
    }

    /// Keeps this many bytes from now on.
    pub fn resize(&self, bytes: usize) {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).resize(bytes);
    }

    /// Appends lines to this file too, or to none. Whoever keeps the reading end of a new staging pipe over our death is
    /// shown it.
    pub fn set_file(&mut self, file: Option<LogFile>, hold: impl FnOnce(BorrowedFd<'_>)) -> io::Result<()> {
        let inherited = mem::take(&mut self.inherited);
        let staged = self.staged.take();
        let Some(mut file) = file else {
            *self.filed() = None;
            self.logs.order(Order::File(self.id, None));
            return Ok(());
        };
        if inherited {
            file.go_on();
        }
        let (place, tail) = (file.place().clone(), file.take_tail());
        let (staging, next) = match &self.staging {
            Some(staging) => (staging.clone(), Some(Box::new(file))),
            None => {
                let ends = match staged {
                    Some(ends) => ends,
                    None => {
                        let ends = staging::pipe()?;
                        hold(ends.0.as_fd());
                        ends
                    }
                };
                (Arc::new(self.logs.stage(self.id, ends, file)), None)
            }
        };
        self.staging = Some(staging.clone());
        *self.filed() = Some(Filed { place, staging: staging.clone() });
        self.logs.order(Order::File(self.id, Some(Filing { staging, file: next, tail })));
        Ok(())
    }

    fn filed(&self) -> MutexGuard<'_, Option<Filed>> {
        self.filed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what older runs printed; then tells that it is watching, and from then on when a line matches. False when
    /// the log thread has ended.
    pub fn watch(&self, run: RunId, pattern: Regex) -> bool {
        self.logs.order(Order::Watch(self.id, run, pattern))
    }

    /// Goes on watching after a line that did not count.
    pub fn watch_on(&self, run: RunId, pattern: Regex) {
        self.logs.order(Order::WatchOn(self.id, run, pattern));
    }

    /// Says that a successor of ours will know that the awaited line was printed. Until then, or for some seconds, it
    /// stays in the pipe, where a successor would find it.
    pub fn heard(&self) {
        self.logs.order(Order::Heard(self.id));
    }

    /// Ends the watch.
    pub fn unwatch(&self) {
        self.logs.order(Order::Unwatch(self.id));
    }

    /// What is printed from now on is this run's, by its number. It may have begun under a supervisor before us.
    pub fn set_run(&self, run: u32, begins: bool) {
        self.logs.order(Order::Run(self.id, run, begins));
    }

    /// Says that a run and its tree are gone: a line without an end gets none any more.
    pub fn end_run(&self) {
        self.logs.order(Order::EndRun(self.id));
    }

    /// What a handle reads the tail by.
    pub fn tail(&self) -> Tail {
        let (logs, ring, filed) = (self.logs.clone(), self.ring.clone(), self.filed.clone());
        Tail { id: self.id, name: self.name.clone(), logs, ring, filed }
    }
}

impl Drop for ProcessLog {
    fn drop(&mut self) {
        // Whoever waits for the file to grow learns that it will not.
        *self.filed() = None;
        self.logs.order(Order::Remove(self.id));
    }
}

/// Reads the newest lines of a process.
#[derive(Clone, Debug)]
pub(crate) struct Tail {
    id: TargetId,
    name: Arc<str>,
    logs: Logs,
    ring: Arc<Mutex<Ring>>,
    filed: Arc<Mutex<Option<Filed>>>,
}

impl Tail {
    /// The newest lines, oldest first, with all that was printed before this call.
    pub fn last(&self, lines: usize) -> Vec<Line> {
        self.sync();
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).last(lines)
    }

    /// The newest lines as they are kept, oldest first, with all that was printed before this call.
    #[cfg(feature = "grpc")]
    pub fn last_shared(&self, lines: usize) -> Vec<Arc<Line>> {
        self.sync();
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).last_shared(lines)
    }

    fn sync(&self) {
        Tail::sync_all(std::slice::from_ref(self));
    }

    /// Waits until all that these processes printed before this call is handed out, if that does not take too long.
    pub fn sync_all(tails: &[Tail]) {
        let (done, wait) = mpsc::channel();
        for tail in tails {
            tail.logs.order(Order::Sync(tail.id, done.clone()));
        }
        drop(done);
        let until = Instant::now() + SYNC;
        // Until nobody is left who could answer.
        while wait.recv_timeout(until.saturating_duration_since(Instant::now())).is_ok() {}
    }

    /// A reader of the log file; `None` when there is none.
    pub fn reader(&self, from: LogFrom) -> io::Result<Option<LogReader>> {
        let filed = self.filed.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((place, growth)) = filed.as_ref().map(|f| (f.place.clone(), f.staging.growth())) else {
            return Ok(None);
        };
        drop(filed);
        LogReader::open(place, Some(growth), from, &self.name).map(Some)
    }

    /// The same, of one run alone.
    #[cfg(feature = "grpc")]
    pub fn reader_of(&self, from: LogFrom, run: i64) -> io::Result<Option<LogReader>> {
        let mut reader = self.reader(from)?;
        if let Some(reader) = &mut reader {
            reader.only(run, &self.name)?;
        }
        Ok(reader)
    }

    /// Has all that was printed before this call written to the log file, if that does not take too long.
    pub fn flush(&self) {
        self.sync();
        let staging = self.filed.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|f| f.staging.clone());
        if let Some(staging) = staging {
            staging.flush(SYNC);
        }
    }

    /// How many lines made room for newer ones.
    pub fn dropped(&self) -> u64 {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).dropped()
    }

    /// How many lines its log file did not take in time.
    pub fn lost(&self) -> u64 {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).lost()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::sync::mpsc;
    use std::time::Duration;

    use crate::core::RunId;
    use crate::driver::Pool;
    use crate::events::{Bounds, Hub};
    use crate::log::peek::Peek;
    use crate::log::{LogFile, LogPlace, Logs, StreamKind, Told};

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn the_awaited_line_stays_in_its_pipe_until_it_is_known_for_good() {
        let folder = std::env::temp_dir().join(format!("neap-heard-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let place = LogPlace { path: folder.join("x.log"), max_size: 0, keep: 0 };
        let (tell, told) = mpsc::channel();
        let hub = Hub::new(Bounds { items: 9, weight: 999, replay: false }, 0);
        let (logs, thread) = Logs::start(hub, Pool::new(), move |news| drop(tell.send(news))).unwrap();
        let mut log = logs.open("p".into(), 1000);
        let mut held = None;
        let write =
            log.writer(StreamKind::Stdout, None, |read| held = Some(read.try_clone_to_owned().unwrap())).unwrap();
        log.set_file(Some(LogFile::open(place.clone()).unwrap()), |_| ()).unwrap();
        assert!(log.watch(RunId(1), regex::bytes::Regex::new("^ready").unwrap()));
        assert_eq!(told.recv_timeout(PATIENCE), Ok(Told::Watching(RunId(1))));
        let mut out = fs::File::from(write.try_clone().unwrap());
        out.write_all(b"ready to serve\n").unwrap();
        assert_eq!(told.recv_timeout(PATIENCE), Ok(Told::Matched(RunId(1))));
        assert_eq!(Peek::all(held.as_ref().unwrap().as_fd()).unwrap(), b"ready to serve\n");
        log.heard();
        log.tail().flush();
        assert_eq!(fs::read(&place.path).unwrap(), b"ready to serve\n");
        assert_eq!(log.tail().last(9).len(), 1);
        logs.stop();
        thread.join().unwrap();
        fs::remove_dir_all(folder).unwrap();
    }
}
