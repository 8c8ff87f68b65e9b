//! A supervisor in a process of its own (tests/bin/keeper.rs) under its anchor, to be killed and asked.

use std::cell::Cell;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use neap::core::{Event, EventKind, ExitStatus, Pid, StateName, Status};
use neap::driver::identity::Identity;
use neap::spec::{Signal, Spec};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{self, kill};
use serde_json::{Value, json};

use crate::support::{Epilogue, TempDir, example, wait_until};

/// The supervisor, its anchor, and their folder. When dropped everything is stopped, and nothing is left.
pub struct Kept {
    pub dir: TempDir,
    anchor: Child,
    /// Whether the anchor was killed.
    alone: Cell<bool>,
    _epilogue: Epilogue,
}

fn keeper() -> &'static Path {
    static KEEPER: OnceLock<PathBuf> = OnceLock::new();
    KEEPER.get_or_init(|| example("keeper"))
}

impl Kept {
    pub fn new(options: &[&str]) -> Kept {
        let (epilogue, dir) = (Epilogue::new(), TempDir::new());
        let mut command = Command::new(keeper());
        command.arg(dir.path()).args(options);
        Kept::launch(epilogue, dir, command)
    }

    /// One that a service manager passes a listener to (LISTEN_FDS). It is opened once the test is alone.
    pub fn passed(open: impl FnOnce() -> TcpListener) -> (Kept, TcpListener) {
        let (epilogue, dir) = (Epilogue::new(), TempDir::new());
        let listener = open();
        // Its pid is known only after the fork: a shell says it, and executes. What it is to pass on it opens itself: bash,
        // since the least of shells knows no descriptors of two digits.
        let script = format!("LISTEN_PID=$$ exec \"$0\" \"$@\" 3<&{}", listener.as_raw_fd());
        let mut command = Command::new("bash");
        command.args(["-c", &script]).arg(keeper()).arg(dir.path()).env("LISTEN_FDS", "1");
        let inherited = |flag| fcntl(&listener, FcntlArg::F_SETFD(flag)).expect("a flag");
        inherited(FdFlag::empty());
        let kept = Kept::launch(epilogue, dir, command);
        inherited(FdFlag::FD_CLOEXEC);
        (kept, listener)
    }

    fn launch(epilogue: Epilogue, dir: TempDir, mut command: Command) -> Kept {
        let anchor = command.stdin(Stdio::null()).spawn().expect("it runs");
        let kept = Kept { dir, anchor, alone: Cell::new(false), _epilogue: epilogue };
        kept.await_life(1);
        kept
    }

    /// Asks; `None` when it died before it answered.
    pub fn try_ask(&self, question: &Value) -> Option<Value> {
        let mut stream = UnixStream::connect(self.dir.join("control")).ok()?;
        writeln!(stream, "{question}").ok()?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).ok()?;
        serde_json::from_str(&answer).ok()
    }

    pub fn ask(&self, question: Value) -> Value {
        self.try_ask(&question).unwrap_or_else(|| panic!("no answer to {question}"))
    }

    /// The same, of whichever supervisor lives.
    pub fn ask_some(&self, question: Value) -> Value {
        let mut answer = None;
        wait_until("a supervisor answers", || {
            answer = self.try_ask(&question);
            answer.is_some()
        });
        answer.expect("an answer")
    }

    fn done(&self, question: Value) {
        let answer = self.ask(question.clone());
        assert!(answer.get("error").is_none(), "{question}: {answer}");
    }

    pub fn add(&self, spec: &Spec) {
        self.done(json!({"do": "add", "spec": spec}));
    }

    pub fn start(&self, spec: &Spec) {
        self.add(spec);
        self.done(json!({"do": "start", "name": spec.name}));
    }

    /// Has it started, and does not wait.
    pub fn begin(&self, spec: &Spec) {
        self.add(spec);
        self.done(json!({"do": "begin", "name": spec.name}));
    }

    pub fn stop(&self, name: &str) {
        self.done(json!({"do": "stop", "name": name}));
    }

    pub fn update(&self, spec: &Spec) {
        self.done(json!({"do": "update", "name": spec.name, "spec": spec}));
    }

    pub fn delete(&self, name: &str) {
        self.done(json!({"do": "delete", "name": name}));
    }

    pub fn list(&self) -> Vec<Status> {
        serde_json::from_value(self.ask_some(json!({"do": "status"}))).expect("statuses")
    }

    pub fn status(&self, name: &str) -> Status {
        self.list().into_iter().find(|status| &*status.name == name).expect("a process of this name")
    }

    pub fn pid(&self, name: &str) -> Pid {
        self.status(name).pid.expect("a main process")
    }

    pub fn lines(&self, name: &str) -> Vec<String> {
        serde_json::from_value(self.ask_some(json!({"do": "lines", "name": name}))).expect("lines")
    }

    pub fn await_status(&self, name: &str, what: &str, mut met: impl FnMut(&Status) -> bool) -> Status {
        let mut last = None;
        wait_until(&format!("{name} {what}"), || {
            let status = self.status(name);
            let is = met(&status);
            last = Some(status);
            is
        });
        last.expect("a status")
    }

    pub fn await_state(&self, name: &str, state: StateName) -> Status {
        self.await_status(name, &format!("is {state}"), |status| status.state == state)
    }

    /// The supervisor's pid, and the number of its life.
    pub fn life(&self) -> (u32, u64) {
        let life = self.ask_some(json!({"do": "life"}));
        (life["pid"].as_u64().expect("a pid") as u32, life["lives"].as_u64().expect("a number"))
    }

    pub fn await_life(&self, number: u64) {
        wait_until(&format!("supervisor {number} answers"), || {
            self.try_ask(&json!({"do": "life"})).is_some_and(|life| life["lives"].as_u64() >= Some(number))
        });
    }

    /// Removes the folders of cgroups that nobody is left to remove: whoever would have was killed.
    fn remove_cgroups(&self) {
        let name = format!("neap.test-{}", self.dir.path().display()).replace('/', "-");
        let ours = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let ours: Vec<_> = ours.lines().filter_map(|line| line.splitn(3, ':').nth(2)).collect();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let cgroups = mounts.lines().filter_map(|line| line.split_once(" - cgroup")?.0.split(' ').nth(4));
        for folder in cgroups.flat_map(|at| ours.iter().map(move |own| format!("{at}{own}"))) {
            let base = Path::new(&folder).join(&name);
            for tree in fs::read_dir(&base).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir()) {
                let _ = fs::remove_dir(tree.path());
            }
            let _ = fs::remove_dir(&base);
        }
    }

    /// Kills the supervisor, and does this before the next one can be there: the anchor sleeps meanwhile.
    pub fn kill_and(&self, in_the_gap: impl FnOnce()) {
        let (pid, life) = self.life();
        let anchor = self.anchor_pid();
        kill(anchor, signal::Signal::SIGSTOP).expect("it lives");
        kill(nix::unistd::Pid::from_raw(pid as i32), signal::Signal::SIGKILL).expect("it lives");
        in_the_gap();
        kill(anchor, signal::Signal::SIGCONT).expect("it lives");
        self.await_life(life + 1);
    }

    /// Kills this process and the supervisor, and does something once the anchor has reaped both and before the next
    /// supervisor looks.
    pub fn kill_and_take(&self, pid: Pid, taken: impl FnOnce()) {
        let (supervisor, life) = self.life();
        fs::write(self.dir.join("hold"), "").expect("written");
        kill(nix::unistd::Pid::from_raw(supervisor as i32), signal::Signal::SIGKILL).expect("it lives");
        wait_until("the supervisor is dead", || Identity::of(Pid(supervisor)).is_err());
        send(pid, Signal::KILL);
        wait_until("it is reaped", || Identity::of(pid).is_err());
        taken();
        fs::remove_file(self.dir.join("hold")).expect("it is there");
        self.await_life(life + 1);
    }

    /// Kills the anchor.
    pub fn kill_anchor(&self) {
        self.alone.set(true);
        kill(self.anchor_pid(), signal::Signal::SIGKILL).expect("it lives");
    }

    pub fn kill(&self) {
        let (pid, life) = self.life();
        kill(nix::unistd::Pid::from_raw(pid as i32), signal::Signal::SIGKILL).expect("it lives");
        self.await_life(life + 1);
    }

    pub fn anchor_pid(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(self.anchor.id() as i32)
    }

    /// All events so far, of all supervisors, as far as they were told.
    pub fn events(&self) -> Vec<Event> {
        let text = fs::read_to_string(self.dir.join("events")).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    pub fn exits(&self, name: &str) -> Vec<ExitStatus> {
        let of = |event: Event| match event.kind {
            EventKind::ProcessExited { status, .. } if event.name.as_deref() == Some(name) => Some(status),
            _ => None,
        };
        self.events().into_iter().filter_map(of).collect()
    }

    pub fn warnings(&self) -> Vec<String> {
        let of = |event: Event| match event.kind {
            EventKind::Warning { text } => Some(text),
            _ => None,
        };
        self.events().into_iter().filter_map(of).collect()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for pid in crate::support::descendants() {
                let _ = kill(nix::unistd::Pid::from_raw(pid as i32), signal::Signal::SIGKILL);
            }
            let _ = self.anchor.wait();
            return self.remove_cgroups();
        }
        let mut status = None;
        wait_until("the anchor has ended", || {
            // One that dies before it wrote that down does not know of it any more.
            let _ = self.try_ask(&json!({"do": "shutdown"}));
            status = self.anchor.try_wait().expect("it is our child");
            status.is_some()
        });
        let status = status.expect("a status");
        self.remove_cgroups();
        assert!(status.success() || self.alone.get(), "the anchor ended with {status}");
    }
}

/// What makes a process itself.
pub fn identity(pid: Pid) -> Identity {
    Identity::of(pid).expect("it lives")
}

/// Sends a signal to a process of a test's.
pub fn send(pid: Pid, signal: Signal) {
    let fd = neap::driver::identity::open(pid).expect("a pidfd").expect("it lives");
    neap::driver::identity::signal(std::os::fd::AsFd::as_fd(&fd), signal).expect("sent");
}
