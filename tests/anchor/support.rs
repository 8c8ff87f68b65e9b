//! An anchor with supervisors that do what the test says.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::{TempDir, wait_until};

/// How long anything may take: only a failure takes so long.
const PATIENCE: u16 = 60_000;

/// The program that is both (tests/bin/anchored.rs).
pub fn anchored() -> &'static Path {
    static ANCHORED: OnceLock<PathBuf> = OnceLock::new();
    ANCHORED.get_or_init(|| crate::common::example("anchored"))
}

/// An anchor, until it has ended.
pub struct Anchor {
    child: Child,
    listener: UnixListener,
    folder: TempDir,
}

impl Anchor {
    /// With a supervisor that asks the test what to do.
    pub fn start() -> Anchor {
        Anchor::start_with(|_| ())
    }

    /// The same, started in another way.
    pub fn start_with(change: impl FnOnce(&mut Command)) -> Anchor {
        Anchor::start_as(Command::new(anchored()), change)
    }

    /// As the last arguments of this command.
    pub fn start_as(mut command: Command, change: impl FnOnce(&mut Command)) -> Anchor {
        let folder = TempDir::new();
        let listener = UnixListener::bind(folder.join("test.sock")).expect("a socket");
        let said = File::create(folder.join("stderr")).expect("a file");
        command
            .arg(folder.join("test.sock"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .current_dir(folder.path());
        change(&mut command);
        let child = command.spawn().expect("the anchor starts");
        Anchor { child, listener, folder }
    }

    /// Its pid; that of `unshare` where it is in a namespace of its own.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A path in a folder of the test's own.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The next supervisor that it starts.
    pub fn next(&self) -> Supervisor {
        let mut polled = [PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
        let came = poll(&mut polled, PollTimeout::from(PATIENCE)).expect("poll");
        assert!(came > 0, "no supervisor came; the anchor said: {}", self.said());
        let (stream, _) = self.listener.accept().expect("a connection");
        let lines = BufReader::new(stream.try_clone().expect("a duplicate"));
        Supervisor { stream, lines }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        signal_to(self.pid(), signal);
    }

    /// What it, and its supervisors, said on stderr.
    pub fn said(&self) -> String {
        fs::read_to_string(self.folder.join("stderr")).unwrap_or_default()
    }

    /// Waits until it ends: its code.
    pub fn end(&mut self) -> Option<i32> {
        let mut status = None;
        wait_until("the anchor ends", || {
            status = self.child.try_wait().expect("our child");
            status.is_some()
        });
        status.and_then(|status| status.code())
    }
}

impl Drop for Anchor {
    fn drop(&mut self) {
        // Its supervisor ends with our socket; what that left is ours only where the test went wrong.
        let left = if std::thread::panicking() { below(self.pid()) } else { Vec::new() };
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in left {
            let _ = kill(Pid::from_raw(pid as i32), Signal::SIGKILL);
        }
    }
}

/// Children, and theirs, of a child of ours that is not reaped.
fn below(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    children.flat_map(|child| below(child).into_iter().chain([child])).collect()
}

/// A supervisor; ends with this.
pub struct Supervisor {
    stream: UnixStream,
    lines: BufReader<UnixStream>,
}

impl Supervisor {
    /// Has it do something: its answer.
    pub fn ask(&mut self, line: &str) -> String {
        self.tell(line);
        let mut answer = String::new();
        self.lines.read_line(&mut answer).expect("an answer");
        assert!(answer.ends_with('\n'), "no answer to `{line}`: it has ended");
        answer.pop();
        answer
    }

    /// The same, where it is to be done and no more.
    pub fn does(&mut self, line: &str) {
        assert_eq!(self.ask(line), "ok", "`{line}`");
    }

    /// Has it do its last thing, and waits until it has ended.
    pub fn last(mut self, line: &str) {
        self.tell(line);
        self.gone();
    }

    /// Waits until it has ended.
    pub fn gone(mut self) {
        let mut rest = String::new();
        // One that is killed with something unread has its connection reset.
        let _ = self.lines.read_line(&mut rest);
        assert_eq!(rest, "", "it did not end");
    }

    /// One of the values that `who` and `hello` have.
    pub fn value(&mut self, line: &str, name: &str) -> String {
        value(&self.ask(line), name).to_owned()
    }

    /// Its pid.
    pub fn pid(&mut self) -> u32 {
        self.value("who", "pid").parse().expect("a pid")
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.stream, "{line}").expect("it listens");
    }
}

/// The value of `name=value` in a line.
pub fn value<'a>(line: &'a str, name: &str) -> &'a str {
    let word = line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    word.unwrap_or_else(|| panic!("no {name} in `{line}`"))
}

/// Sends a signal to a process that this test started.
pub fn signal_to(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid as i32), signal).expect("it is there");
}
