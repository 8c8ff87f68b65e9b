//! A running `neap` of a test: its output as lines that can be waited for, and an end that leaves nothing.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Only fails: nothing waits for this to pass.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// What each process started by a test has in its environment.
const MARK: &str = "TIDE_MARK";

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A folder of the test's own, removed at its end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("neap-cli-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file into it.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// `neap` with these arguments, in an empty home.
pub struct Neap {
    command: Command,
    mark: String,
    home: Folder,
}

/// How it ended, and what it printed.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "{self:?}");
        self
    }
}

impl Neap {
    pub fn new<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mark = format!("{}-{number}", std::process::id());
        let home = Folder::new();
        let mut command = Command::new(env!("CARGO_BIN_EXE_neap"));
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env(MARK, &mark).env("HOME", home.path()).env("XDG_CONFIG_HOME", home.path().join("config"));
        // Not this machine's: an instance keeps its lock, its ledger and its socket there.
        let runtime = home.path().join("run");
        std::fs::create_dir(&runtime).unwrap();
        command.env("XDG_RUNTIME_DIR", &runtime).env("XDG_STATE_HOME", home.path().join("state"));
        command.env_remove("NO_COLOR").env_remove("NEAP_SOCKET");
        Neap { command, mark, home }
    }

    pub fn dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// As this user, in a home of its own; for tests that root runs.
    pub fn user(mut self, uid: u32) -> Self {
        let folders = [self.home.path().to_owned(), self.home.path().join("run")];
        for folder in folders {
            std::os::unix::fs::chown(folder, Some(uid), Some(uid)).unwrap();
        }
        self.command.uid(uid).gid(uid);
        self
    }

    /// The user's configuration.
    pub fn users_config(self, text: &str) -> Self {
        self.home.write("config/neap/neap.lua", text);
        self
    }

    /// Runs it to its end.
    pub fn end(self) -> Ended {
        self.start().end()
    }

    /// Starts it.
    pub fn start(mut self) -> Running {
        let mut child = self.command.spawn().unwrap();
        let (sender, lines) = channel();
        let seen = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&seen);
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let out = std::thread::spawn(move || {
            for line in stdout.split(b'\n') {
                let Ok(line) = line else { return };
                let line = String::from_utf8_lossy(&line).into_owned();
                kept.lock().unwrap().push_str(&format!("{line}\n"));
                let _ = sender.send(line);
            }
        });
        let mut stderr = child.stderr.take().unwrap();
        let err = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Running { child, lines, seen, out: Some(out), err: Some(err), mark: self.mark, _home: self.home }
    }
}

/// One that was started. Dropped, it is ended, and nothing that it started may be left.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Arc<Mutex<String>>,
    out: Option<JoinHandle<()>>,
    err: Option<JoinHandle<String>>,
    mark: String,
    _home: Folder,
}

impl Running {
    /// The next line of its output for which this holds.
    #[track_caller]
    pub fn wait_for(&self, what: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if what(&line) => return line,
                Ok(_) => {}
                Err(_) => panic!("it never came; so far:\n{}", self.seen.lock().unwrap()),
            }
        }
    }

    /// The next line that contains this.
    #[track_caller]
    pub fn wait_for_text(&self, text: &str) -> String {
        self.wait_for(|line| line.contains(text))
    }

    /// The pid that this process was last said to run as.
    #[track_caller]
    pub fn current_pid(&self, name: &str) -> Pid {
        let seen = self.seen.lock().unwrap();
        let said = |line: &&str| line.starts_with(name) && line.contains("* running (pid ");
        let line = seen.lines().rfind(said).unwrap_or_else(|| panic!("{name} never ran:\n{seen}"));
        let digits = line.split("(pid ").nth(1).unwrap().split([',', ')']).next().unwrap();
        Pid::from_raw(digits.parse().unwrap())
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The supervisor's pid, below the anchor.
    #[track_caller]
    pub fn supervisor(&self) -> Pid {
        let anchor = self.pid();
        let children = std::fs::read_to_string(format!("/proc/{anchor}/task/{anchor}/children")).unwrap();
        let is_ours =
            |pid: &&str| std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "neap\n");
        let pid = children.split_whitespace().find(is_ours).unwrap_or_else(|| panic!("none among {children:?}"));
        Pid::from_raw(pid.parse().unwrap())
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Waits for its end; fails if a process of it is left.
    #[track_caller]
    pub fn end(mut self) -> Ended {
        let status = self.wait();
        let left = marked(&self.mark);
        let told = |pid: &i32| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            status.lines().take(8).collect::<Vec<_>>().join(", ")
        };
        let told: Vec<String> = left.iter().map(told).collect();
        assert!(left.is_empty(), "left behind: {left:?} {told:?}\n{}", self.seen.lock().unwrap());
        self.out.take().unwrap().join().unwrap();
        let stderr = self.err.take().unwrap().join().unwrap();
        let stdout = self.seen.lock().unwrap().clone();
        Ended { status, stdout, stderr }
    }

    /// Until it has closed its output, which it does at its end alone.
    #[track_caller]
    fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().unwrap(),
                Err(RecvTimeoutError::Timeout) => panic!("it does not end; so far:\n{}", self.seen.lock().unwrap()),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only after a failed assertion is there anything left to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in marked(&self.mark) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// Processes that have this mark in their environment.
pub fn marked(mark: &str) -> Vec<i32> {
    let wanted = format!("{MARK}={mark}");
    let entries = std::fs::read_dir("/proc").unwrap();
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environ.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
    })
    .collect()
}
