//! A running instance of a test's own, and clients of it.

use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::{DEADLINE, Ended, Folder, Neap, Running};

/// `neap daemon` with this configuration. Dropped, it is ended, and nothing of it may be left.
pub struct Instance {
    pub folder: Folder,
    running: Option<Running>,
}

impl Instance {
    /// One that is ready.
    #[track_caller]
    pub fn start(configuration: &str) -> Instance {
        Instance::start_with(configuration, |_| {})
    }

    /// One that is ready, with other files beside its configuration.
    #[track_caller]
    pub fn start_with(configuration: &str, prepare: impl FnOnce(&Folder)) -> Instance {
        let folder = Folder::new();
        prepare(&folder);
        folder.write("neap.lua", configuration);
        let notify = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        notify.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut instance = Instance { folder, running: None };
        let notify_path = instance.folder.path().join("notify");
        let neap = instance.neap(&["daemon", "neap.lua"]).env("NOTIFY_SOCKET", notify_path.to_str().unwrap());
        let running = neap.start();
        let mut buffer = [0; 4096];
        loop {
            let Ok(length) = notify.recv(&mut buffer) else { panic!("never ready: {:?}", running.end()) };
            if String::from_utf8_lossy(&buffer[..length]).lines().any(|line| line == "READY=1") {
                instance.running = Some(running);
                return instance;
            }
        }
    }

    fn places(&self) -> [(&'static str, PathBuf); 3] {
        let home = self.folder.path();
        [("HOME", home.to_owned()), ("XDG_RUNTIME_DIR", home.join("run")), ("XDG_STATE_HOME", home.join("state"))]
    }

    /// `neap` with these arguments, in the folder of the configuration.
    pub fn neap(&self, args: &[&str]) -> Neap {
        let neap = Neap::new(args).dir(self.folder.path());
        self.places().into_iter().fold(neap, |neap, (name, path)| neap.env(name, path.to_str().unwrap()))
    }

    /// The same as a plain command.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_neap"));
        command.args(args).envs(self.places()).current_dir(self.folder.path());
        command.env_remove("NO_COLOR").env_remove("NEAP_SOCKET");
        command
    }

    /// What becomes of it with this on stdin.
    pub fn fed(&self, args: &[&str], input: &str) -> Output {
        let mut command = self.command(args);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        // It may end before it has read all of it.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// The same as a plain child, with pipes.
    pub fn child(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// What it prints, if it exits with 0.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> String {
        let ended = self.neap(args).end().expect_code(0);
        assert_eq!(ended.stderr, "");
        ended.stdout
    }

    /// What it prints as JSON, if it exits with 0.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(args)).unwrap()
    }

    /// What it says when it exits with this code.
    #[track_caller]
    pub fn fails(&self, code: i32, args: &[&str]) -> Ended {
        self.neap(args).end().expect_code(code)
    }

    /// The one object that it puts on stderr when it exits with this code.
    #[track_caller]
    pub fn refusal(&self, code: i32, args: &[&str]) -> Value {
        let ended = self.fails(code, args);
        assert_eq!(ended.stdout, "");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
        let object: Value = serde_json::from_str(&ended.stderr).unwrap();
        assert_eq!(object["code"], code);
        for field in ["message", "file", "line", "field"] {
            assert!(object.get(field).is_some(), "{field} in {object}");
        }
        object
    }

    /// One process, as `list` has it.
    #[track_caller]
    pub fn process(&self, name: &str) -> Value {
        self.json(&["list", name, "--json"])[0].take()
    }

    /// The supervisor's pid.
    pub fn supervisor(&self) -> Pid {
        pid(&self.json(&["status", "--json"]))
    }

    /// Kills the supervisor as a crash would.
    pub fn crash(&self) {
        kill(self.supervisor(), Signal::SIGKILL).unwrap();
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Waits for the daemon's end.
    #[track_caller]
    pub fn end(mut self) -> Ended {
        self.running.take().unwrap().end()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let Some(running) = self.running.take() else { return };
        if !std::thread::panicking() {
            self.ok(&["down", "-q"]);
            running.end().expect_code(0);
        }
    }
}

/// The pid in an object.
#[track_caller]
pub fn pid(object: &Value) -> Pid {
    Pid::from_raw(i32::try_from(object["pid"].as_i64().unwrap_or_else(|| panic!("no pid: {object}"))).unwrap())
}

/// The first word of each line.
pub fn first_words(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.split_whitespace().next()).collect()
}
