//! A daemon of a test: in a home of its own, its messages as lines that can be waited for, and an end that leaves nothing.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use neap::driver::identity::Stat;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

pub use crate::common::DEADLINE;
use crate::common::{TempDir, wait_for};

/// What each process started by a test has in its environment.
const MARK: &str = "TIDE_MARK";
/// Before each configuration.
const PRELUDE: &str = "local neap = require \"neap\"\n";

/// A user's home, with nothing of this machine in it.
pub struct Home {
    dir: TempDir,
    mark: String,
}

impl Home {
    pub fn new() -> Home {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mark = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = TempDir::new();
        for (name, mode) in [("run", 0o711), ("state", 0o700), ("config", 0o700)] {
            std::fs::create_dir(dir.join(name)).unwrap();
            std::fs::set_permissions(dir.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
        }
        Home { dir, mark }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Writes a configuration, `neap.lua`.
    pub fn config(&self, text: &str) -> PathBuf {
        let path = self.dir.join("neap.lua");
        std::fs::write(&path, format!("{PRELUDE}{text}")).unwrap();
        path
    }

    /// `neap` with these arguments, here.
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_neap"));
        self.surround(&mut command);
        command.args(args);
        command
    }

    /// Gives a command this home and the test's mark.
    pub fn surround(&self, command: &mut Command) {
        command.current_dir(self.dir.path()).env(MARK, &self.mark).env("HOME", self.dir.path());
        command.env("XDG_RUNTIME_DIR", self.dir.join("run")).env("XDG_STATE_HOME", self.dir.join("state"));
        command.env("XDG_CONFIG_HOME", self.dir.join("config")).stdin(Stdio::null());
        for name in ["NO_COLOR", "NEAP_SOCKET", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS"] {
            command.env_remove(name);
        }
    }

    /// A client's call, which must succeed.
    #[track_caller]
    pub fn neap<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        let output = self.command(args).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// A client's call that may fail.
    pub fn ask<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Output {
        self.command(args).output().unwrap()
    }

    /// What `list --json` says, by name.
    #[track_caller]
    pub fn list(&self) -> BTreeMap<String, Value> {
        let all: Vec<Value> = serde_json::from_str(&self.neap(["list", "--json"])).unwrap();
        all.into_iter().map(|one| (one["name"].as_str().unwrap().to_owned(), one)).collect()
    }

    /// What `status --json` says.
    #[track_caller]
    pub fn status(&self) -> Value {
        serde_json::from_str(&self.neap(["status", "--json"])).unwrap()
    }

    /// Waits until all of `list` is so.
    #[track_caller]
    pub fn wait_until(&self, what: &str, met: impl Fn(&BTreeMap<String, Value>) -> bool) -> BTreeMap<String, Value> {
        wait_for(what, || {
            let all = self.list();
            if met(&all) { Ok(all) } else { Err(format!("{all:#?}")) }
        })
    }

    /// Starts a daemon of the configuration here.
    pub fn daemon(&self) -> Daemon<'_> {
        self.start(self.command(["daemon", "neap.lua"]))
    }

    /// Starts one, and waits until it is ready.
    #[track_caller]
    pub fn ready(&self) -> Daemon<'_> {
        let daemon = self.daemon();
        daemon.wait_for("neap: ready;");
        daemon
    }

    pub fn start(&self, mut command: Command) -> Daemon<'_> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let seen = Arc::new(Mutex::new(String::new()));
        let sources: [Box<dyn std::io::Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for source in sources {
            let (sender, seen) = (sender.clone(), Arc::clone(&seen));
            std::thread::spawn(move || {
                for line in BufReader::new(source).split(b'\n') {
                    let Ok(line) = line else { return };
                    let line = String::from_utf8_lossy(&line).into_owned();
                    seen.lock().unwrap().push_str(&format!("{line}\n"));
                    let _ = sender.send(line);
                }
            });
        }
        Daemon { child, lines, seen, home: self }
    }
}

/// The processes of this test that are left, but for zombies that wait for their parent.
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

impl Drop for Home {
    fn drop(&mut self) {
        // Only after a failed assertion is there anything left to end.
        let left = marked(&self.mark);
        for pid in &left {
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        assert!(left.is_empty() || std::thread::panicking(), "left behind: {left:?}");
    }
}

/// One that was started.
pub struct Daemon<'a> {
    child: Child,
    lines: Receiver<String>,
    seen: Arc<Mutex<String>>,
    home: &'a Home,
}

impl Daemon<'_> {
    /// The anchor's pid.
    pub fn anchor(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// The next line that contains this.
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(text) => return line,
                Ok(_) => {}
                Err(_) => panic!("`{text}` never came; so far:\n{}", self.said()),
            }
        }
    }

    /// All that it said so far.
    pub fn said(&self) -> String {
        self.seen.lock().unwrap().clone()
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.anchor(), signal).unwrap();
    }

    /// The supervisor's pid.
    #[track_caller]
    pub fn supervisor(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.home.status()["pid"].as_i64().unwrap()).unwrap())
    }

    /// Kills the supervisor, and waits for the next to be ready.
    #[track_caller]
    pub fn crash(&self) {
        kill(self.supervisor(), Signal::SIGKILL).unwrap();
        self.wait_for("neap: ready;");
    }

    /// The same for one whose control socket is elsewhere.
    #[track_caller]
    pub fn crash_at(&self, socket: &str) {
        let status: Value = serde_json::from_str(&self.home.neap(["--socket", socket, "status", "--json"])).unwrap();
        kill(Pid::from_raw(i32::try_from(status["pid"].as_i64().unwrap()).unwrap()), Signal::SIGKILL).unwrap();
        self.wait_for("neap: ready;");
    }

    /// Waits for its end; nothing of the test may be left.
    #[track_caller]
    pub fn end(mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end; so far:\n{}", self.said()),
            }
        }
        let status = self.child.wait().unwrap();
        let left = marked(&self.home.mark);
        assert!(left.is_empty(), "left behind: {left:?}\n{}", self.said());
        (status, self.said())
    }

    /// Ends it, whatever does not heed TERM by force.
    #[track_caller]
    pub fn stop_by_force(self) {
        self.signal(Signal::SIGTERM);
        self.wait_for("neap: waiting for ");
        self.signal(Signal::SIGTERM);
        let (status, said) = self.end();
        assert_eq!(status.code(), Some(0), "{said}");
    }

    /// Ends it in order.
    #[track_caller]
    pub fn stop(self) -> String {
        self.signal(Signal::SIGTERM);
        let (status, said) = self.end();
        assert_eq!(status.code(), Some(0), "{said}");
        said
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The pid of a row.
#[track_caller]
pub fn pid(row: &Value) -> Pid {
    Pid::from_raw(i32::try_from(row["pid"].as_i64().unwrap_or_else(|| panic!("no pid: {row}"))).unwrap())
}

/// Which process has this pid: the pid and when it started.
#[track_caller]
pub fn identity(pid: Pid) -> (i32, u64) {
    let stat = Stat::of(neap::core::Pid(pid.as_raw().cast_unsigned()));
    (pid.as_raw(), stat.unwrap_or_else(|error| panic!("{pid}: {error}")).start_time)
}

/// Whether the row is in this state.
pub fn is(row: &Value, state: &str) -> bool {
    row["state"] == state
}

/// Waits until the file has this in it.
#[track_caller]
pub fn wait_for_file(path: &Path, met: impl Fn(&str) -> bool) -> String {
    wait_for(&format!("{} has it", path.display()), || {
        let text = std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        if met(&text) { Ok(text) } else { Err(text) }
    })
}
