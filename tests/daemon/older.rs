//! Neap by the names of the system that it follows: `dd-procmgrd` and `dd-procmgr`, links to it, with their variables.

use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Output};

use neap::rpc::proto::process_manager as pm;
use neap::rpc::proto::process_manager::process_manager_client::ProcessManagerClient;
use nix::sys::signal::{Signal, kill};
use tonic::Code;

use crate::common::{free_port, wait_until, write_program};
use crate::sockets::has;
use crate::support::{DEADLINE, Daemon, Home, is, pid};

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
    let web = pid(&older.wait_until("web", "it runs", |row| is(row, "running")));
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
    let web = pid(&older.wait_until("web", "it runs", |row| is(row, "running")));
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
    // What to call next is what this client has: `neap start` would ask another instance.
    let made = older.ok(&["create", "job", "--", "sh", "-c", "exit 3"]);
    assert_eq!(made, "job: created; `dd-procmgr start job` starts it\n");
    let taken = older.client(&["create", "job", "sleep", "1"]);
    assert!(said(&taken).contains("`dd-procmgr update job` changes it, `dd-procmgr delete job`"), "{taken:?}");
    let nothing = older.client(&["create", "none"]);
    assert!(said(&nothing).contains("`dd-procmgr create none -- PROGRAM"), "{nothing:?}");
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
    assert!(said(&gone).contains("start it with `dd-procmgrd`"), "{gone:?}");
}

/// `datadog.yaml` with stand-ins for its programs in a folder and their port; what is ours of it is as the Agent's guide has
/// it, with `more` below the health check.
fn datadog(older: &Older, port: u16, more: &str) -> String {
    let folder = older.home.path("standins").display().to_string();
    std::fs::create_dir_all(&folder).unwrap();
    write_program(older.home.path("standins/trace-agent"), TRACE_AGENT.replace("PORT", &port.to_string()));
    write_program(older.home.path("standins/dogstatsd"), "#!/bin/sh\nexec sleep 1000\n");
    let text = DATADOG.replace("/opt/datadog-agent/bin", &folder).replace("8126", &port.to_string());
    let text = text.replace("        interval: 30\n", &format!("        interval: 30\n{more}"));
    if more.contains("interval") { text.replace("        interval: 30\n", "") } else { text }
}

/// Answers 200 to `/info`, and 503 while there is a file `sick` beside it.
const TRACE_AGENT: &str = r#"#!/usr/bin/env python3
import http.server, os, sys

sick = os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), "sick")

class Info(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503 if os.path.exists(sick) else 200 if self.path == "/info" else 404)
        self.end_headers()

    def log_message(self, *args):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Info).serve_forever()
"#;

/// The file of the Agent's guide, with what else stands in such a file.
const DATADOG: &str = "\
api_key: 0123456789abcdef-S3CRET
site: datadoghq.eu
tags: [team:agent]
process_manager:
  enabled: true
  managed_processes:
    trace-agent:
      command: /opt/datadog-agent/bin/trace-agent
      restart_policy: always
      health_check:
        type: http
        endpoint: http://localhost:8126/info
        interval: 30
      auto_start: true
    dogstatsd:
      command: /opt/datadog-agent/bin/dogstatsd
      restart_policy: on-failure
      auto_start: true
      binds_to: [trace-agent]
logs_config:
  container_collect_all: true
";

impl Older {
    /// The daemon of `datadog.yaml`, and what it is told by.
    fn agents(&self, text: &str) -> Daemon<'_> {
        self.write("datadog.yaml", text);
        let (socket, file) =
            (self.socket().display().to_string(), self.home.path("datadog.yaml").display().to_string());
        let variables = [("DD_PM_GRPC_SOCKET", socket.as_str()), ("DD_PM_CONFIG_FILE", file.as_str())];
        let daemon = self.home.start(self.command("dd-procmgrd", &variables, &[]));
        daemon.wait_for("neap: ready;");
        daemon
    }

    /// Waits until a process is so, and returns its row.
    #[track_caller]
    fn wait_until(&self, name: &str, what: &str, met: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        let mut row = self.row(name);
        wait_until(what, || {
            row = self.row(name);
            met(&row)
        });
        row
    }
}

#[test]
fn the_agents_datadog_yaml_is_supervised_as_written() {
    if !has("python3", "the_agents_datadog_yaml_is_supervised_as_written") {
        return;
    }
    let older = Older::new();
    let daemon = older.agents(&datadog(&older, free_port(), ""));
    for name in ["trace-agent", "dogstatsd"] {
        older.wait_until(name, "both run", |row| is(row, "running"));
    }
    // Stopping trace-agent stops dogstatsd.
    let told = older.ok(&["stop", "trace-agent"]);
    assert!(told.contains("trace-agent: stopped") && told.contains("dogstatsd"), "{told}");
    assert!(is(&older.row("trace-agent"), "stopped") && is(&older.row("dogstatsd"), "stopped"));
    // What is bound brings up what it is bound to.
    older.ok(&["start", "dogstatsd"]);
    let first = pid(&older.wait_until("trace-agent", "it runs", |row| is(row, "running")));
    // Killing it brings it back; what is bound to it goes with it.
    kill(first, Signal::SIGKILL).unwrap();
    let back = older.wait_until("trace-agent", "it is back", |row| is(row, "running") && row["run_count"] == 3);
    assert_ne!(pid(&back), first);
    older.wait_until("dogstatsd", "it went with it", |row| is(row, "stopped"));
    older.ok(&["start", "dogstatsd"]);
    let bound = pid(&older.row("dogstatsd"));
    kill(bound, Signal::SIGKILL).unwrap();
    older.wait_until("dogstatsd", "it is back", |row| is(row, "running") && pid(row) != bound);
    daemon.stop();
}

#[test]
fn three_failed_probes_restart_trace_agent_which_the_agent_asks_by_the_name_localhost() {
    let test = "three_failed_probes_restart_trace_agent_which_the_agent_asks_by_the_name_localhost";
    if !has("python3", test) {
        return;
    }
    let older = Older::new();
    let more = "        interval: 1\n        restart_after: 3\n";
    let daemon = older.agents(&datadog(&older, free_port(), more));
    let well = older.wait_until("trace-agent", "it is well", |row| row["health"] == "healthy");
    older.write("standins/sick", "");
    let again = older.wait_until("trace-agent", "it is restarted", |row| row["run_count"] == 2);
    std::fs::remove_file(older.home.path("standins/sick")).unwrap();
    let back = older.wait_until("trace-agent", "it is well again", |row| row["health"] == "healthy");
    assert_ne!(pid(&back), pid(&well), "{again}");
    let why = older.home.neap(["--socket", older.socket().to_str().unwrap(), "why", "trace-agent"]);
    assert!(why.contains("status 503, expected 200"), "{why}");
    daemon.stop();
}

#[test]
fn what_is_switched_off_starts_nothing_and_what_is_wrong_is_told_without_the_agents_secrets() {
    let older = Older::new();
    let good = datadog(&older, free_port(), "");
    let daemon = older.agents(&good.replace("enabled: true", "enabled: false"));
    assert!(daemon.said().contains("process_manager.enabled: is false"), "{}", daemon.said());
    assert_eq!(older.ok(&["list", "--json"]).trim(), "[]");
    let mut all = String::new();
    for (text, words) in [
        (
            good.replace("restart_policy: on-failure", "restart_polcy: x"),
            "datadog.yaml:17: process `dogstatsd`: restart_polcy: there is no such key; did you mean `restart_policy`?",
        ),
        (
            good.replace("enabled: true", "enabled: maybe"),
            "datadog.yaml:5: process_manager.enabled: expected true or false",
        ),
        (good.replace("process_manager:", "proces_manager:"), "did you mean `process_manager`?"),
        (good.replace("api_key: ", "api_key: \""), "datadog.yaml:"),
        (good.replace("S3CRET", "S3CRET: x: ["), "datadog.yaml:1:"),
        (good.replace("api_key: 0123456789abcdef-", "api_key: *"), "datadog.yaml:1:"),
        (good.replace("api_key: 0123456789abcdef-", "api_key: @"), "datadog.yaml:1:"),
    ] {
        older.write("datadog.yaml", &text);
        let refused = older.client(&["reload-config"]);
        assert_eq!(refused.status.code(), Some(1), "{text}: {refused:?}");
        assert!(said(&refused).contains(words), "{text}: {}", said(&refused));
        all += &said(&refused);
        all += &said(&older.client(&["reload-config", "--json"]));
        let socket = older.socket().display().to_string();
        for asked in [
            &["status"][..],
            &["events"],
            &["check", "datadog.yaml"],
            &["eval", "neap.apply()"],
            &["plan"],
            &["import", "datadog.yaml"],
        ] {
            all += &said(&older.home.ask([&["--socket", &socket], asked].concat()));
        }
    }
    older.write("datadog.yaml", "api_key: S3CRET\n");
    let nothing = older.client(&["reload-config"]);
    assert!(nothing.status.success() && said(&nothing).contains("so nothing of this file is started"), "{nothing:?}");
    all += &said(&nothing);
    older.write("datadog.yaml", &good);
    older.ok(&["reload-config"]);
    older.wait_until("dogstatsd", "it runs", |row| is(row, "running"));
    all += &older.ok(&["describe", "trace-agent", "dogstatsd"]);
    all += &daemon.stop();
    assert!(!all.contains("S3CRET"), "{all}");
}

#[test]
fn an_older_client_reloads_the_configuration_and_is_told_by_a_status_what_is_wrong_with_it() {
    let older = Older::new();
    let folder = older.home.path("processes.d");
    older.write("processes.d/web.yaml", "command: sleep 1000\nauto_start: true\n");
    older.write("processes.d/bad.yaml", "comand: sleep 1000\n");
    let daemon = older.daemon(&[]);
    assert!(daemon.said().contains("bad.yaml:1"), "{}", daemon.said());
    older.wait_until("web", "it runs", |row| is(row, "running"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let channel = neap::rpc::connect(&older.socket(), DEADLINE).await.unwrap();
        let mut client = ProcessManagerClient::new(channel);
        let status = client.get_status(pm::GetStatusRequest {}).await.unwrap().into_inner();
        assert_eq!((status.config_path, status.running_processes), (folder.display().to_string(), 1));
        let refused = client.reload_config(pm::ReloadConfigRequest {}).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        assert!(refused.message().contains("bad.yaml:1: "), "{refused:?}");
        assert!(refused.message().contains("did you mean `command`?"), "{refused:?}");
        older.write("processes.d/bad.yaml", "command: sleep 1000\n");
        client.reload_config(pm::ReloadConfigRequest {}).await.unwrap();
        let list = client.list(pm::ListRequest {}).await.unwrap().into_inner().processes;
        let states: Vec<_> = list.iter().map(|process| (process.name.as_str(), process.state())).collect();
        assert_eq!(states, [("bad", pm::ProcessState::Created), ("web", pm::ProcessState::Running)]);
    });
    drop(runtime);
    daemon.stop();
}
