//! Stand-ins of the agent's programs in a home of the test's own, and how the world talks to them.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::common::{self, skipped};
use crate::support::{Daemon, Home};

/// The project's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where the stand-ins are.
pub fn standins() -> PathBuf {
    root().join("dist/datadog-agent/standins")
}

/// Whether Python is there; else it is said that the test is skipped.
pub fn has_python(test: &str) -> bool {
    let there = Command::new("python3").arg("--version").output().is_ok();
    if !there {
        skipped(test, "no python3");
    }
    there
}

/// A home with stand-ins, and what of the world they use: a port that nobody has, and a folder for sockets.
pub struct World {
    pub home: Home,
    pub port: u16,
    pub owner: String,
}

impl World {
    pub fn new() -> World {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        // Sockets may only be given away by root.
        let owner = if nix::unistd::geteuid().is_root() { "daemon".to_owned() } else { whoami() };
        World { home: Home::new(), port, owner }
    }

    /// Below the folder of sockets.
    pub fn socket(&self, name: &str) -> PathBuf {
        self.home.path("sockets").join(name)
    }

    /// Writes a configuration of YAML with what is this world's in place of what it says: a test that replaces nothing fails.
    pub fn write(&self, name: &str, text: &str, replaced: &[(&str, &str)]) -> PathBuf {
        let mut text = text.to_owned();
        for (from, to) in replaced {
            assert!(text.contains(from), "`{from}` is not in it: {text}");
            text = text.replace(from, to);
        }
        let path = self.home.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Starts the daemon of a configuration, and waits until it is ready.
    pub fn start(&self, file: &Path) -> Daemon<'_> {
        let mut command = self.command(&["daemon", file.to_str().unwrap()]);
        command.env("DD_BIN", standins()).env("DD_RUN", self.home.path("sockets")).env("DD_AGENT_USER", &self.owner);
        command.env("DD_APM_RECEIVER_PORT", self.port.to_string()).env("DD_HEALTH_INTERVAL", "100ms");
        command.env("DD_DOGSTATSD_PORT", "0").env("DD_STANDIN_FAIL", self.home.path("fail"));
        let daemon = self.home.start(command);
        daemon.wait_for("neap: ready;");
        daemon
    }

    /// `neap` with these arguments, about this world's instance, wherever its configuration is.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.home.command(["--socket", "run/neap.sock"]);
        command.args(args);
        command
    }

    /// A client's call, which must succeed.
    #[track_caller]
    pub fn neap(&self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What `list --json` says, by name.
    #[track_caller]
    pub fn list(&self) -> BTreeMap<String, Value> {
        let all: Vec<Value> = serde_json::from_str(&self.neap(&["list", "--json"])).unwrap();
        all.into_iter().map(|one| (one["name"].as_str().unwrap().to_owned(), one)).collect()
    }

    /// Waits until all of `list` is so.
    #[track_caller]
    pub fn wait_until(&self, what: &str, met: impl Fn(&BTreeMap<String, Value>) -> bool) {
        common::wait_for(what, || {
            let all = self.list();
            if met(&all) { Ok(()) } else { Err(format!("{all:#?}")) }
        });
    }

    /// What the trace-agent answers to a request for /info over TCP: the status and the JSON, or nothing if nobody answers.
    pub fn info(&self) -> Option<(u16, Value)> {
        ask(TcpStream::connect(("127.0.0.1", self.port)).ok()?)
    }

    /// The same over its Unix socket.
    pub fn info_over_unix(&self) -> Option<(u16, Value)> {
        ask(UnixStream::connect(self.socket("apm.socket")).ok()?)
    }

    /// Sends a metric to dogstatsd.
    pub fn count(&self, metric: &str) {
        UnixDatagram::unbound().unwrap().send_to(metric.as_bytes(), self.socket("dsd.socket")).unwrap();
    }

    /// Waits until a process printed this.
    #[track_caller]
    pub fn wait_for_line(&self, process: &str, text: &str) {
        common::wait_for(&format!("{process} printed `{text}`"), || {
            let lines = self.neap(&["logs", "-n", "1000", process]);
            if lines.contains(text) { Ok(()) } else { Err(lines) }
        });
    }

    /// Waits until each is in this state.
    #[track_caller]
    pub fn wait_for(&self, names: &[&str], state: &str) {
        self.wait_until(&format!("{names:?} are {state}"), |all| names.iter().all(|name| all[*name]["state"] == state));
    }

    /// The states of these.
    #[track_caller]
    pub fn states(&self, names: &[&str]) -> Vec<String> {
        let all = self.list();
        names.iter().map(|name| all[*name]["state"].as_str().unwrap().to_owned()).collect()
    }

    /// That the path is a socket of this mode, and whose it should be.
    #[track_caller]
    pub fn is_ours(&self, path: &Path, mode: u32) {
        let found = std::fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let owner = nix::unistd::User::from_name(&self.owner).unwrap().unwrap();
        assert!(found.file_type().is_socket(), "{}", path.display());
        assert_eq!((found.mode() & 0o7777, found.uid()), (mode, owner.uid.as_raw()), "{}", path.display());
    }
}

/// Who runs the tests.
fn whoami() -> String {
    nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name
}

fn ask(mut stream: impl Read + Write) -> Option<(u16, Value)> {
    stream.write_all(b"GET /info HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, serde_json::from_str(body).ok()?))
}
