//! F1: the reader of output is killed at any moment, and no line is lost or doubled.
//!
//! The test holds the pipes, as the anchor does, and starts itself again as the reader.

use std::fs;
use std::io::{self, BufWriter, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::{LineHub, LogFile, LogPlace, Logs, StreamKind};
use crate::driver::{Pool, sys};
use crate::events::{Bounds, Hub};

const DEADLINE: Duration = Duration::from_secs(60);
const JOB: &str = "NEAP_TEST_LOG_READER";

fn hub() -> Arc<LineHub> {
    Hub::new(Bounds { items: 100, weight: 1 << 20, replay: false }, 0)
}

/// Not a test: the reader that the tests start and kill. It ends when its standard input does.
#[test]
fn reader_that_tests_kill() {
    let Ok(job) = std::env::var(JOB) else { return };
    let words: Vec<&str> = job.splitn(6, ' ').collect();
    let fd = |n: usize| sys::received(words[n].parse().unwrap());
    let (logs, thread) = Logs::start(hub(), Pool::new(), |_| ()).unwrap();
    let mut log = logs.open("p".into(), 1 << 16);
    log.inherit(StreamKind::Stdout, fd(0), true).unwrap();
    log.inherit(StreamKind::Stderr, fd(1), true).unwrap();
    log.inherit_staged(fd(2)).unwrap();
    let place =
        LogPlace { max_size: words[3].parse().unwrap(), keep: words[4].parse().unwrap(), path: words[5].into() };
    log.set_file(Some(LogFile::open(place).unwrap()), |_| ()).unwrap();
    io::stdout().write_all(b"begun\n").unwrap();
    io::stdin().read_to_end(&mut Vec::new()).unwrap();
    if let Some(line) = log.tail().last(1).first() {
        println!("last: {}", String::from_utf8_lossy(&line.text));
    }
    logs.stop();
    thread.join().unwrap();
    std::process::exit(0);
}

/// What outlives the reader.
struct Kept {
    stdout: PipeReader,
    stderr: PipeReader,
    staged: OwnedFd,
    path: PathBuf,
    max_size: u64,
}

impl Kept {
    fn new(name: &str, max_size: u64) -> (Kept, PipeWriter, PipeWriter) {
        let folder = std::env::temp_dir().join(format!("neap-crash-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let ((stdout, out), (stderr, err)) = (io::pipe().unwrap(), io::pipe().unwrap());
        let (staged, _) = super::staging::pipe().unwrap();
        (Kept { stdout, stderr, staged, path: folder.join("x.log"), max_size }, out, err)
    }

    fn reader(&self) -> Child {
        let inherited = |fd: BorrowedFd<'_>| {
            let fd = fd.try_clone_to_owned().unwrap();
            fcntl(&fd, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
            fd
        };
        let fds = [self.stdout.as_fd(), self.stderr.as_fd(), self.staged.as_fd()].map(inherited);
        let numbers = fds.each_ref().map(|fd| fd.as_raw_fd().to_string()).join(" ");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "log::crash_tests::reader_that_tests_kill", "--nocapture", "--test-threads=1"])
            .env(JOB, format!("{numbers} {} 1000 {}", self.max_size, self.path.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut seen = Vec::new();
        let mut byte = [0];
        while !seen.ends_with(b"begun\n") {
            assert_eq!(
                child.stdout.as_mut().unwrap().read(&mut byte).unwrap(),
                1,
                "{}",
                String::from_utf8_lossy(&seen)
            );
            seen.push(byte[0]);
        }
        child
    }

    /// Has the reader end in order; returns what it says then.
    fn end(&self, mut reader: Child) -> String {
        drop(reader.stdin.take());
        let mut said = String::new();
        reader.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(reader.wait().unwrap().success());
        said
    }

    fn text(&self) -> String {
        let mut text = Vec::new();
        for n in (0..1000).rev() {
            text.extend(fs::read(numbered(&self.path, n)).unwrap_or_default());
        }
        String::from_utf8(text).unwrap()
    }

    fn await_text(&self, want: &str) {
        let end = Instant::now() + DEADLINE;
        while self.text() != want {
            assert!(Instant::now() < end, "{:?} instead of {want:?}", self.text());
            std::thread::yield_now();
        }
    }
}

fn numbered(path: &Path, n: u32) -> PathBuf {
    path.with_file_name(super::folder::numbered(path.file_name().unwrap(), n))
}

fn kill(mut reader: Child) {
    reader.kill().unwrap();
    reader.wait().unwrap();
}

/// How far the printing is, which the kills go by.
#[derive(Default)]
struct Progress {
    printed: AtomicU64,
    lock: Mutex<()>,
    changed: Condvar,
}

impl Progress {
    fn await_more_than(&self, count: u64) {
        let mut guard = self.lock.lock().unwrap();
        let end = Instant::now() + DEADLINE;
        while self.printed.load(Ordering::Relaxed) < count {
            assert!(Instant::now() < end, "nothing is printed any more: {}", self.printed.load(Ordering::Relaxed));
            guard = self.changed.wait_timeout(guard, DEADLINE).unwrap().0;
        }
    }
}

/// Numbers, as fast as they are taken, cut into writes without regard to lines.
fn print(pipe: PipeWriter, name: char, count: u64, progress: &Progress) {
    let mut pipe = BufWriter::with_capacity(1 << 12, pipe);
    for n in 1..=count {
        let pad = &"..............................................................."[..(n * 7 % 60) as usize];
        writeln!(pipe, "{name} {n} {pad}").unwrap();
        if n % 100 == 0 {
            if n % 1000 == 0 {
                pipe.flush().unwrap();
            }
            progress.printed.fetch_add(100, Ordering::Relaxed);
            drop(progress.lock.lock().unwrap());
            progress.changed.notify_all();
        }
    }
}

#[test]
fn f1_every_line_is_in_the_file_once_and_in_order_however_often_its_reader_is_killed() {
    const EACH: u64 = 500_000;
    let (kept, out, err) = Kept::new("kills", 300_000);
    let progress = Progress::default();
    let mut reader = Some(kept.reader());
    std::thread::scope(|scope| {
        scope.spawn(|| print(out, 'o', EACH, &progress));
        scope.spawn(|| print(err, 'e', EACH, &progress));
        let mut random = u64::from(std::process::id());
        let mut at = 0;
        for _ in 0..20 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            at += 1000 + (random >> 33) % 80_000;
            progress.await_more_than(at.min(2 * EACH));
            reader.take().into_iter().for_each(kill);
            reader = Some(kept.reader());
        }
    });
    kept.end(reader.unwrap());
    let text = kept.text();
    let mut next = [1, 1];
    for line in text.lines() {
        let mut words = line.splitn(3, ' ');
        let stream = usize::from(words.next() == Some("e"));
        assert_eq!(words.next(), Some(next[stream].to_string().as_str()), "{line}");
        assert_eq!(words.next().map(str::len), Some((next[stream] * 7 % 60) as usize), "{line}");
        next[stream] += 1;
    }
    assert_eq!(next, [EACH + 1, EACH + 1]);
    for n in 0..1000 {
        let size = fs::metadata(numbered(&kept.path, n)).map_or(0, |m| m.len());
        // A kill in the middle of a line leaves its rest, and what was staged with it, to be written to the same file.
        assert!(size <= kept.max_size + (64 << 10), "file {n} has {size} bytes");
    }
    assert!(numbered(&kept.path, 50).exists());
    fs::remove_dir_all(kept.path.parent().unwrap()).unwrap();
}

#[test]
fn a_line_that_is_half_written_when_the_reader_dies_is_gone_on_with_by_its_own_stream() {
    for stream in 0..2 {
        let (kept, out, err) = Kept::new(&format!("half{stream}"), 0);
        let (mut one, mut other) = if stream == 0 { (out, err) } else { (err, out) };
        let reader = kept.reader();
        other.write_all(b"before\n").unwrap();
        kept.await_text("before\n");
        one.write_all(b"half").unwrap();
        kept.await_text("before\nhalf");
        kill(reader);
        let reader = kept.reader();
        one.write_all(b" a line\nand a half").unwrap();
        kept.await_text("before\nhalf a line\nand a half");
        kill(reader);
        other.write_all(b"between\n").unwrap();
        let reader = kept.reader();
        kept.await_text("before\nhalf a line\nand a half\nbetween\n");
        one.write_all(b" more\n").unwrap();
        kept.await_text("before\nhalf a line\nand a half\nbetween\n more\n");
        let said = kept.end(reader);
        assert!(said.contains("last: and a half more") || said.contains("last:  more"), "{said}");
        fs::remove_dir_all(kept.path.parent().unwrap()).unwrap();
    }
}

#[test]
fn a_line_of_which_half_was_staged_is_ended_before_the_other_stream_goes_on() {
    for stream in 0..2 {
        let (kept, out, err) = Kept::new(&format!("torn{stream}"), 0);
        let (mut one, mut other) = if stream == 0 { (out, err) } else { (err, out) };
        // As a supervisor leaves it that is killed between two pages of a line.
        let marked = if stream == 0 { kept.stdout.as_fd() } else { kept.stderr.as_fd() };
        sys::set_mark(marked, true);
        let mut staged = fs::File::from(sys::open_pipe_for_writing(kept.staged.as_fd()).unwrap());
        staged.write_all(b"half").unwrap();
        one.write_all(b" a line\nand more\n").unwrap();
        other.write_all(b"other\n").unwrap();
        let reader = kept.reader();
        kept.await_text("half a line\nand more\nother\n");
        kept.end(reader);
        fs::remove_dir_all(kept.path.parent().unwrap()).unwrap();
    }
}

#[test]
fn the_newest_lines_are_in_the_ring_again() {
    let (kept, mut out, _err) = Kept::new("ring", 0);
    let reader = kept.reader();
    out.write_all(b"one\ntwo\n").unwrap();
    kept.await_text("one\ntwo\n");
    kill(reader);
    let said = kept.end(kept.reader());
    assert!(said.contains("last: two"), "{said}");
    fs::remove_dir_all(kept.path.parent().unwrap()).unwrap();
}
