//! Start, reload, stop; one instance a configuration.

use nix::sys::signal::Signal;

use crate::support::{Home, identity, is, pid, wait_for_file};

const LOOP: &str = "trap 'echo bye; exit 0' TERM; echo hello; while :; do sleep 0.05; done";

fn process(name: &str, more: &str) -> String {
    format!("neap.process '{name}' {{ shell = [[{LOOP}]], ready = neap.logline 'hello', {more} }}\n")
}

#[test]
fn term_stops_in_reverse_order() {
    let home = Home::new();
    home.config(&(process("a", "") + &process("b", "requires = 'a'")));
    let daemon = home.ready();
    home.neap(["wait", "b"]);
    let said = daemon.stop();
    let place = |text: &str| said.find(text).unwrap_or_else(|| panic!("no `{text}` in:\n{said}"));
    assert!(place("a: running") < place("b: starting"), "{said}");
    assert!(place("b: stopped") < place("a: stopping: sent SIGTERM"), "{said}");
    assert!(std::fs::read_dir(home.path("run/neap")).unwrap().all(|instance| {
        let instance = instance.unwrap().path();
        !instance.join("neap.sock").exists() && !instance.join("ledger").exists()
    }));
}

#[test]
fn a_second_instance_is_refused_and_names_the_first() {
    let home = Home::new();
    home.config(&process("a", ""));
    let daemon = home.ready();
    for command in ["daemon", "up"] {
        let second = home.ask([command, "neap.lua"]);
        assert_eq!(second.status.code(), Some(4), "{second:?}");
        let said = String::from_utf8(second.stderr).unwrap();
        assert!(said.contains(&format!("process {}, which runs ", daemon.anchor())), "{said}");
        assert!(said.contains("`neap apply`") && said.contains("`neap logs -f`"), "{said}");
    }
    daemon.stop();
}

#[test]
fn hup_applies_and_what_did_not_change_goes_on() {
    let home = Home::new();
    home.config(&process("a", ""));
    let daemon = home.ready();
    home.neap(["wait", "a"]);
    let before = identity(pid(&home.list()["a"]));
    home.config(&(process("a", "") + &process("b", "")));
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("the configuration is applied: 1 added, 1 unchanged");
    home.neap(["wait", "b"]);
    assert_eq!(identity(pid(&home.list()["a"])), before);
    assert_eq!(home.status()["generation"], 2);
    daemon.stop();
}

#[test]
fn a_configuration_that_is_refused_changes_nothing_and_is_told() {
    let home = Home::new();
    let hears = "neap.on('config.refused', function(ev) neap.log.info('the handler heard: ' .. ev.reason) end)\n";
    home.config(&(hears.to_owned() + &process("a", "")));
    let daemon = home.ready();
    home.neap(["wait", "a"]);
    let before = identity(pid(&home.list()["a"]));
    home.config("neap.process 'a' { shel = 'true' }");
    daemon.signal(Signal::SIGHUP);
    let told = ["the handler heard: neap.lua:2: ", "the configuration is refused; nothing was changed"];
    crate::common::wait_until("it is told", || told.iter().all(|text| daemon.said().contains(text)));
    let status = home.status();
    assert!(status["refused"].as_str().unwrap().contains("neap.lua:2: "), "{status}");
    assert_eq!(status["generation"], 1);
    assert_eq!(identity(pid(&home.list()["a"])), before);
    home.config(&process("a", ""));
    home.neap(["apply"]);
    assert_eq!(home.status()["refused"], serde_json::Value::Null);
    daemon.stop();
}

#[test]
fn a_configuration_that_does_not_evaluate_starts_nothing() {
    let home = Home::new();
    home.config("neap.process 'a' { shel = 'true' }");
    let (status, said) = home.daemon().end();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("neap.lua:2: ") && said.contains("nothing was started"), "{said}");
}

#[test]
fn without_a_configuration_it_starts_empty() {
    let home = Home::new();
    let daemon = home.start(home.command(["daemon"]));
    let ready = daemon.wait_for("neap: ready;");
    assert!(ready.contains("0 processes") && ready.contains("default/neap.sock"), "{ready}");
    assert!(home.list().is_empty());
    daemon.stop();
}

#[test]
fn hup_applies_under_nohup_too() {
    let home = Home::new();
    home.config(&process("a", ""));
    let mut nohup = std::process::Command::new("nohup");
    home.surround(&mut nohup);
    nohup.args([env!("CARGO_BIN_EXE_neap"), "daemon", "neap.lua"]);
    let daemon = home.start(nohup);
    daemon.wait_for("neap: ready;");
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("the configuration is applied: 1 unchanged");
    daemon.stop();
}

#[test]
fn down_ends_it() {
    let home = Home::new();
    home.config(&process("a", ""));
    let daemon = home.ready();
    home.neap(["down"]);
    let (status, said) = daemon.end();
    assert_eq!(status.code(), Some(0), "{said}");
}

#[test]
fn a_critical_process_ends_it_with_its_code() {
    let home = Home::new();
    home.config("neap.process 'main' { shell = 'exit 9', restart = 'never', critical = true }");
    let (status, said) = home.daemon().end();
    assert_eq!(status.code(), Some(9), "{said}");
}

#[test]
fn what_processes_print_is_kept_in_files() {
    let home = Home::new();
    home.config("neap.process 'a' { shell = 'echo one; echo two >&2; exec sleep 1000' }");
    let daemon = home.ready();
    let state = home.status()["state_dir"].as_str().map(std::path::PathBuf::from);
    let log = state.expect("a state folder").join("log/a.log");
    wait_for_file(&log, |text| text.contains("one") && text.contains("two"));
    daemon.stop();
}

#[test]
fn messages_are_json_or_the_agents_when_asked() {
    let home = Home::new();
    home.config(&process("a", ""));
    let daemon = home.start(home.command(["daemon", "neap.lua", "--log-format", "json"]));
    let line = daemon.wait_for("ready; ");
    let message: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(message["level"], "info");
    daemon.stop();
    home.config(&("neap.settings { log_format = 'datadog' }\n".to_owned() + &process("a", "")));
    let daemon = home.daemon();
    let line = daemon.wait_for(" in neap) | ready; ");
    assert!(line.contains(" UTC | PROCMGR | INFO | (neap:"), "{line}");
    crate::common::wait_until("it is said to run", || daemon.said().contains(" in a) | process:a | running"));
    // What was in force says how, for the next supervisor, too.
    nix::sys::signal::kill(daemon.supervisor(), nix::sys::signal::Signal::SIGKILL).unwrap();
    daemon.wait_for(" in neap) | ready; ");
    daemon.stop();
}

#[test]
fn a_folder_that_others_may_write_to_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    home.config("");
    std::fs::create_dir(home.path("state/neap")).unwrap();
    std::fs::set_permissions(home.path("state/neap"), std::fs::Permissions::from_mode(0o777)).unwrap();
    let refused = home.ask(["daemon", "neap.lua"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(String::from_utf8(refused.stderr).unwrap().contains("others may write to it"));
}

#[test]
fn up_in_the_background_is_up_when_it_returns_and_applies_the_next_time() {
    let home = Home::new();
    home.config(&process("a", ""));
    let said = home.neap(["up", "--detach"]);
    assert!(said.contains("up in the background, as process "), "{said}");
    home.neap(["wait", "a"]);
    let before = identity(pid(&home.list()["a"]));
    home.config(&(process("a", "") + &process("b", "")));
    home.neap(["up", "--detach"]);
    home.neap(["wait", "b"]);
    assert_eq!(identity(pid(&home.list()["a"])), before);
    home.neap(["down"]);
    home.config("neap.process 'a' { shel = 'true' }");
    let refused = home.ask(["up", "--detach"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(String::from_utf8(refused.stderr).unwrap().contains("neap.lua:2: "));
    crate::common::wait_until("the daemon is gone", || home.ask(["status"]).status.code() == Some(5));
}

#[test]
fn children_get_the_limit_of_open_files_that_neap_was_started_with() {
    let home = Home::new();
    let file = home.path("limit");
    home.config(&format!("neap.process 'a' {{ type = 'oneshot', shell = 'ulimit -Sn > {}' }}", file.display()));
    let mut command = std::process::Command::new("sh");
    home.surround(&mut command);
    command.args(["-c", &format!("ulimit -Sn 300; exec {} daemon neap.lua", env!("CARGO_BIN_EXE_neap"))]);
    let daemon = home.start(command);
    assert_eq!(wait_for_file(&file, |text| !text.is_empty()).trim(), "300");
    daemon.stop();
}

#[test]
fn a_stop_by_hand_holds_until_it_is_started_again() {
    let home = Home::new();
    home.config(&process("a", ""));
    let daemon = home.ready();
    home.neap(["wait", "a"]);
    home.neap(["stop", "a"]);
    daemon.crash();
    assert!(is(&home.list()["a"], "stopped"));
    home.neap(["apply"]);
    assert!(is(&home.list()["a"], "stopped"));
    home.neap(["start", "a"]);
    assert!(is(&home.list()["a"], "running"));
    daemon.stop();
}
