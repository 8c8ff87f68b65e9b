//! Neap by the names of the system that it follows: `dd-procmgrd` and `dd-procmgr`, links to it, with their variables.

use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::support::{Daemon, Home, is, pid};

/// A home with the two links, and no variable of this machine's.
struct Older {
    home: Home,
}

impl Older {
    fn new() -> Older {
        let home = Home::new();
        std::fs::create_dir(home.path("bin")).unwrap();
        for name in ["dd-procmgrd", "dd-procmgr"] {
            symlink(env!("CARGO_BIN_EXE_neap"), home.path("bin").join(name)).unwrap();
        }
        Older { home }
    }

    fn socket(&self) -> PathBuf {
        self.home.path("datadog/process-manager.sock")
    }

    /// One of the links, with these variables alone.
    fn command(&self, name: &str, variables: &[(&str, &str)], words: &[&str]) -> Command {
        let mut command = Command::new(self.home.path("bin").join(name));
        self.home.surround(&mut command);
        for (variable, _) in std::env::vars().filter(|(variable, _)| variable.starts_with("DD_PM_")) {
            command.env_remove(variable);
        }
        command.envs(variables.iter().copied()).args(words);
        command
    }

    /// The daemon of `processes.d`.
    fn daemon(&self, variables: &[(&str, &str)]) -> Daemon<'_> {
        let (socket, folder) =
            (self.socket().display().to_string(), self.home.path("processes.d").display().to_string());
        let usual = [("DD_PM_GRPC_SOCKET", socket.as_str()), ("DD_PM_CONFIG_DIR", folder.as_str())];
        let daemon = self.home.start(self.command("dd-procmgrd", &[&usual, variables].concat(), &[]));
        daemon.wait_for("neap: ready;");
        daemon
    }

    fn client(&self, words: &[&str]) -> Output {
        let socket = self.socket().display().to_string();
        self.command("dd-procmgr", &[("DD_PM_GRPC_SOCKET", &socket)], words).output().unwrap()
    }

    #[track_caller]
    fn ok(&self, words: &[&str]) -> String {
        let output = self.client(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn row(&self, name: &str) -> serde_json::Value {
        let all: Vec<serde_json::Value> = serde_json::from_str(&self.ok(&["list", "--json"])).unwrap();
        all.into_iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no {name}"))
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.home.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

const SLEEPER: &str = "require('neap').process('web', { command = { 'sleep', '1000' } })\n";

#[test]
fn dd_procmgrd_is_the_same_daemon_after_a_crash_and_an_upgrade() {
    let older = Older::new();
    older.write("processes.d/web.lua", SLEEPER);
    let daemon = older.daemon(&[]);
    let socket = older.socket();
    // The agent has other sockets in that folder, which its clients come to.
    assert_eq!(socket.parent().unwrap().metadata().unwrap().mode() & 0o7777, 0o755);
    assert_eq!(socket.metadata().unwrap().mode() & 0o7777, 0o600);
    let web = pid(&older.row("web"));
    daemon.crash_at(&socket.display().to_string());
    assert_eq!(pid(&older.row("web")), web);
    // What it was started with goes, and what runs does not.
    std::fs::remove_dir_all(older.home.path("processes.d")).unwrap();
    daemon.crash_at(&socket.display().to_string());
    assert_eq!(pid(&older.row("web")), web);
    older.write("processes.d/web.lua", SLEEPER);
    let folder = older.home.path("processes.d").display().to_string();
    let neap = |words: &[&str]| older.home.neap([&["--instance", &folder], words].concat());
    assert!(neap(&["upgrade"]).contains("upgraded: "), "the control socket is where it is for each instance");
    assert_eq!(pid(&older.row("web")), web);
    assert!(neap(&["status", "--json"]).contains(&folder));
    older.ok(&["stop", "web"]);
    assert!(is(&older.row("web"), "stopped"));
    daemon.stop();
    assert!(!socket.exists());
}

#[test]
fn dd_procmgrd_over_tcp_serves_loopback_and_its_control_socket() {
    let older = Older::new();
    older.write("one.lua", SLEEPER);
    let file = older.home.path("one.lua").display().to_string();
    let port = "21951";
    let variables = [
        ("DD_PM_TRANSPORT_MODE", "tcp"),
        ("DD_PM_GRPC_PORT", port),
        ("DD_PM_CONFIG_FILE", file.as_str()),
        ("DD_PM_LOG_LEVEL", "DEBUG"),
    ];
    let daemon = older.home.start(older.command("dd-procmgrd", &variables, &[]));
    let ready = daemon.wait_for("neap: ready;");
    assert!(ready.contains("and tcp:127.0.0.1:21951"), "{ready}");
    let client = |variables: &[(&str, &str)]| {
        let output = older.command("dd-procmgr", variables, &["describe", "web", "--json"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    client(&[("DD_PM_USE_TCP", "1"), ("DD_PM_DAEMON_PORT", port)]);
    client(&[("DD_PM_TRANSPORT_MODE", "tcp"), ("DD_PM_GRPC_PORT", port)]);
    assert!(older.home.neap(["--instance", file.as_str(), "list"]).contains("web"));
    assert!(!older.socket().exists());
    let told = daemon.stop();
    assert!(told.contains("web: executed as pid"), "not said at a lower level: {told}");
}

#[test]
fn a_wrong_variable_ends_it_with_2_before_anything_is_started() {
    let older = Older::new();
    older.write("processes.d/web.lua", "require('neap').process('web', { command = { 'touch', 'started' } })");
    let folder = older.home.path("processes.d").display().to_string();
    for (variables, words) in [
        (&[("DD_PM_CONFIG_DIR", folder.as_str()), ("DD_PM_CONFIG_FILE", "/x")][..], "DD_PM_CONFIG_FILE is \"/x\" and"),
        (
            &[("DD_PM_CONFIG_DIR", folder.as_str()), ("DD_PM_TRANSPORT_MODE", "pipe")],
            "DD_PM_TRANSPORT_MODE is \"pipe\"",
        ),
        (
            &[("DD_PM_CONFIG_DIR", folder.as_str()), ("DD_PM_GRPC_PORT", "-1")],
            "DD_PM_GRPC_PORT is \"-1\": expected a port",
        ),
    ] {
        let output = older.command("dd-procmgrd", variables, &[]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(said(&output).contains(words), "{output:?}");
    }
    let output = older.command("dd-procmgr", &[("DD_PM_USE_TCP", "2")], &["list", "--json"]).output().unwrap();
    let object: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!((output.status.code(), object["code"].as_i64()), (Some(2), Some(2)), "{object}");
    assert!(!older.home.path("started").exists());
}

#[test]
fn the_folder_that_is_the_default_need_not_be_there() {
    let older = Older::new();
    let folder = older.home.path("none.d");
    // As `dd-procmgrd` is started, with another folder than the machine's own.
    let socket = older.socket();
    let listen = format!("--listen=unix:{}", socket.display());
    let dir = format!("--config-dir={}", folder.display());
    let start = || older.home.start(older.home.command(["daemon", &listen, &dir, "--may-be-missing"]));
    let daemon = start();
    let warned = daemon.wait_for("starts empty");
    assert!(warned.contains("WARN") && warned.contains("none.d"), "{warned}");
    daemon.wait_for("neap: ready;");
    assert_eq!(older.ok(&["list", "--json"]).trim(), "[]");
    older.ok(&["reload-config"]);
    older.ok(&["create", "made", "sleep", "1000"]);
    older.write("none.d/web.lua", SLEEPER);
    older.ok(&["reload-config"]);
    let web = pid(&older.row("web"));
    // What is gone then is missed, and ends nothing.
    std::fs::remove_dir_all(&folder).unwrap();
    let refused = older.client(&["reload-config"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(said(&refused).contains("none.d"), "{refused:?}");
    assert_eq!(pid(&older.row("web")), web);
    older.ok(&["delete", "made"]);
    daemon.stop();
}

#[test]
fn dd_procmgr_makes_changes_and_forgets_processes_as_older_scripts_have_it() {
    let older = Older::new();
    older.write("processes.d/base.lua", &SLEEPER.replace("web", "base"));
    let daemon = older.daemon(&[]);
    older.ok(&["create", "web", "sleep", "1000", "--restart", "always", "--restart-sec", "5", "--auto-start"]);
    assert!(is(&older.row("web"), "running"));
    let id = older.row("web")["id"].as_str().unwrap().to_owned();
    assert!(older.ok(&["describe", &id]).contains("web"));
    assert!(older.ok(&["stats", &id]).contains("web"));
    assert!(older.ok(&["update", &id, "--env", "A=1", "--restart-process"]).contains("updated and restarted"));
    assert!(older.ok(&["update", "web", "--cpu-limit", "2", "--dry-run"]).contains("limits.cpu"));
    let refused = older.client(&["delete", "web"]);
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    assert!(said(&refused).starts_with("dd-procmgr: "), "{refused:?}");
    older.ok(&["remove", "web", "--force"]);
    older.ok(&["create", "job", "--", "sh", "-c", "exit 3"]);
    older.ok(&["update", "job", "--success-exit-status", "0,3", "--process-type", "oneshot"]);
    older.ok(&["start", "job"]);
    older.ok(&["health", "--wait", "--timeout", "60"]);
    assert!(older.ok(&["status", "--json"]).contains("\"ready\":true"));
    let missing = older.client(&["start", "nobody"]);
    assert_eq!(missing.status.code(), Some(3), "{missing:?}");
    daemon.stop();
    let gone = older.client(&["health"]);
    assert_eq!(gone.status.code(), Some(5), "{gone:?}");
    assert!(said(&gone).contains("dd-procmgr: cannot reach"), "{gone:?}");
}
