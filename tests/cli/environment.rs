//! What a process finds around it, and whether it is started at all: conditions, directories, success and criticality.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Instant;

use crate::instance::Instance;
use crate::support::{DEADLINE, Ended, Folder, Neap};

#[test]
fn the_example_of_environments_does_what_it_says() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/environment.lua")).unwrap();
    assert!(text.lines().count() < 60);
    let instance = Instance::start_with(&text, |folder| {
        folder.write("environment.d/10-greeting.env", "# a comment\nGREETING=\"hello, \\\"you\\\"\" \nMODE=file\n");
    });
    instance.ok(&["wait", "web", "extra"]);
    let state = instance.path().join("state/environment-web");
    let logs = instance.ok(&["logs", "web"]);
    assert!(logs.contains("hello, \"you\" (example)"), "{logs}");
    assert!(logs.contains(&format!("data below {}", state.display())), "{logs}");
    assert_eq!(std::fs::metadata(&state).unwrap().permissions().mode() & 0o7777, 0o750);
    let runtime = logs.split("sockets below ").nth(1).unwrap().split(',').next().unwrap().to_owned();
    assert!(Path::new(&runtime).is_dir(), "{runtime}");
    instance.ok(&["stop", "extra", "web"]);
    let began = Instant::now();
    while Path::new(&runtime).exists() {
        assert!(began.elapsed() < DEADLINE, "its runtime directory is still there");
        std::thread::yield_now();
    }
    assert!(state.join("started").exists() && !instance.path().join("environment-web.pid").exists());
    let ended = instance.fails(4, &["start", "extra"]);
    assert!(ended.stderr.contains("check (web is stopped) does not hold"), "{ended:?}");
    let why = instance.ok(&["why", "extra"]);
    assert!(why.contains("web is stopped") && why.contains("starts it once the condition holds"), "{why}");
}

#[test]
fn a_start_that_a_condition_skips_is_exit_code_4_and_holds_nobody_else_up() {
    let instance = Instance::start(
        r#"
        local neap = require "neap"
        local gone = neap.process "gone" {
          command = { "sleep", "1000" }, auto_start = false,
          conditions = { path_exists = "flag", check = function(p) return p.name == "gone", "no" end },
        }
        neap.process "needs" { command = { "sleep", "1000" }, requires = gone, auto_start = false }
        neap.process "bound" { command = { "sleep", "1000" }, binds_to = gone, auto_start = false }
        neap.process "odd" { command = { "sleep", "1000" }, auto_start = false, restart = "never",
          conditions = { check = function() error "broken" end } }
        "#,
    );
    let refused = instance.refusal(4, &["start", "gone", "--json"]);
    assert!(refused["message"].as_str().unwrap().contains("path_exists"), "{refused}");
    let gone = instance.process("gone");
    assert_eq!(gone["state"], "created");
    assert!(gone["reason"].as_str().unwrap().starts_with("skipped: condition path_exists"), "{gone}");
    assert!(instance.ok(&["start", "needs"]).starts_with("needs: running"));
    let why = instance.ok(&["why", "gone", "needs"]);
    assert!(why.contains("gone is created") && why.contains("\n\nneeds is running"), "{why}");
    let why = instance.json(&["why", "gone", "needs", "--json"]);
    assert_eq!((&why[0]["process"]["name"], &why[1]["process"]["name"]), (&"gone".into(), &"needs".into()), "{why}");
    assert_eq!(instance.json(&["why", "gone", "--json"])["process"]["name"], "gone");
    assert!(instance.fails(4, &["start", "bound"]).stderr.contains("path_exists"));
    let odd = instance.fails(1, &["start", "odd"]);
    assert!(odd.stderr.contains("came to no answer") && odd.stderr.contains("neap.lua:10: broken"), "{odd:?}");
    std::fs::write(instance.path().join("flag"), "").unwrap();
    assert!(instance.ok(&["start", "bound"]).starts_with("bound: running"));
    assert_eq!(instance.process("gone")["state"], "running");
}

/// `neap up` of these processes, to its end.
fn up(processes: &str) -> Ended {
    let folder = Folder::new();
    let file = folder.write("neap.lua", &format!("local neap = require \"neap\"\n{processes}"));
    Neap::new(["up", file.to_str().unwrap()]).end()
}

#[test]
fn codes_and_signals_that_are_a_success_are_no_reason_to_restart_and_no_failure() {
    let ended = up("neap.process 'code' { shell = 'exit 3', success_exit_status = { 3, 4 }, restart = 'on-failure' }
         neap.process 'signal' { shell = 'kill -USR1 $$', success_exit_status = 'USR1', restart = 'on-failure' }
         neap.process 'other' { shell = 'exit 5', success_exit_status = 3, restart = 'on-success' }");
    let ended = ended.expect_code(1);
    assert!(ended.stderr.contains("other failed: exit code 5"), "{ended:?}");
    assert!(!ended.stderr.contains("code failed") && !ended.stderr.contains("signal failed"), "{ended:?}");
    assert!(!ended.stdout.contains("starts again"), "{ended:?}");
    let _ = up("neap.process 'code' { shell = 'exit 3', success_exit_status = 3 }
         neap.process 'signal' { shell = 'kill -USR1 $$', success_exit_status = 'USR1' }")
    .expect_code(0);
}

#[test]
fn a_critical_process_ends_the_instance_when_it_is_over_for_good_and_not_before() {
    let others = "neap.process 'side' { command = { 'sleep', '1000' } }";
    let cases = [
        // A success of one that is no oneshot is the end, too.
        ("{ shell = 'exit 0', critical = true }", 0),
        ("{ shell = 'exit 3', critical = true, success_exit_status = 3 }", 3),
        ("{ shell = 'kill -KILL $$', critical = true, restart = 'never' }", 137),
        ("{ command = { '/no/such/program' }, critical = true, restart = 'never' }", 1),
        // Restarts come first.
        ("{ shell = 'exit 7', critical = true, restart = { delay = '10ms', jitter = 0, limit = { burst = 3 } } }", 7),
        ("{ shell = 'exit 9', critical = true, type = 'oneshot' }", 9),
    ];
    for (main, code) in cases {
        let ended = up(&format!("neap.process 'main' {main}\n{others}"));
        assert_eq!(ended.status.code(), Some(code), "{main}: {ended:?}");
    }
}

#[test]
fn the_success_of_a_critical_oneshot_is_no_end_nor_is_a_start_that_is_skipped() {
    let instance = Instance::start(
        r#"
        local neap = require "neap"
        local job = neap.process "job" { shell = "true", type = "oneshot", critical = true }
        neap.process "skipped" { shell = "true", critical = true, conditions = { path_exists = "/nowhere" } }
        neap.process "side" { command = { "sleep", "1000" }, requires = job }
        "#,
    );
    instance.ok(&["wait", "side"]);
    assert_eq!(instance.process("job")["state"], "exited");
    assert_eq!(instance.process("skipped")["state"], "created");
    instance.ok(&["signal", "side", "KILL"]);
    instance.ok(&["wait", "side", "--state", "running"]);
}
