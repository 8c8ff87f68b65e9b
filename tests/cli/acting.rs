//! Commands that act on a running instance: they wait, say what happened, and may be said twice.

use std::net::{TcpListener, TcpStream};
use std::path::Path;

use nix::sys::signal::Signal;

use crate::common::write_program;
use crate::instance::{Instance, pid};

const PAIR: &str = r#"
local neap = require "neap"
local db = neap.process "db" { command = { "sleep", "1000" }, auto_start = false }
neap.process "api" { command = { "sleep", "1000" }, requires = db, auto_start = false, reload = { signal = "URG" } }
neap.process "job" { shell = "true", type = "oneshot", auto_start = false }
neap.process "bad" { command = { "/no/such/program" }, restart = "never", auto_start = false }
"#;

#[test]
fn start_stop_and_restart_say_what_happened_and_may_be_said_twice() {
    let pair = Instance::start(PAIR);
    let said = pair.ok(&["start", "api"]);
    let api = pid(&pair.process("api"));
    assert!(said.starts_with(&format!("api: running (pid {api}), ready after ")), "{said}");
    assert_eq!(pair.process("db")["state"], "running", "what it requires was started, too");
    let said = pair.ok(&["start", "api", "db"]);
    assert!(said.contains(&format!("api: already running (pid {api})")), "{said}");
    assert_eq!(said.lines().count(), 2);

    let said = pair.ok(&["restart", "db"]);
    assert!(said.contains("db: running (pid ") && said.contains("; with api"), "{said}");
    let other = pid(&pair.process("api"));
    assert_ne!(other, api, "what the restart took down came back");

    assert_eq!(pair.ok(&["stop", "db", "--dry-run"]), "db: would be stopped; with api\n");
    assert_eq!(pair.process("db")["state"], "running");
    let said = pair.ok(&["stop", "db"]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "api: stopping, too: requires `db`");
    assert!(lines[1].starts_with("db: stopped after ") && lines[1].ends_with("; with api"), "{said}");
    assert!(pair.ok(&["stop", "db"]).starts_with("db: already stopped"));
    assert!(pair.ok(&["stop", "bad"]).starts_with("bad: not running: created"));

    assert!(pair.ok(&["start", "job"]).starts_with("job: done after "));
    let outcomes = pair.json(&["start", "d*", "api", "--json"]);
    assert_eq!(outcomes["outcomes"].as_array().unwrap().len(), 2);
    assert_eq!(outcomes["outcomes"][0]["changed"], true);
}

#[test]
fn one_that_fails_is_told_and_the_others_are_done() {
    let pair = Instance::start(PAIR);
    let ended = pair.fails(1, &["start", "db", "bad"]);
    assert!(ended.stdout.starts_with("db: running"), "{ended:?}");
    assert!(ended.stderr.contains("/no/such/program"), "{ended:?}");
    let object = pair.refusal(1, &["start", "bad", "db", "--json"]);
    assert!(object["message"].as_str().unwrap().contains("/no/such/program"));
    assert_eq!(object["outcomes"].as_array().unwrap().len(), 2);
}

#[test]
fn signals_and_reloads_reach_the_process() {
    let pair = Instance::start(PAIR);
    pair.ok(&["start", "api"]);
    assert!(pair.ok(&["reload", "api"]).starts_with("api: has read its configuration again"));
    assert_eq!(pair.ok(&["signal", "api", "kill"]), "api: sent SIGKILL\n");
    pair.ok(&["wait", "api", "--state", "running,backoff,failed"]);
    let ended = pair.ok(&["events", "api"]);
    assert!(ended.contains("SIGKILL"), "{ended}");
    assert!(pair.fails(1, &["signal", "db", "NOPE"]).stderr.contains("NOPE"));
}

#[test]
fn ctrl_c_gives_up_the_waiting_and_not_the_stop() {
    let slow = Instance::start(
        r#"
        local neap = require "neap"
        neap.process "slow" {
          shell = "trap 'until [ -e go ]; do sleep 0.05; done; exit 0' TERM; echo on; while :; do sleep 0.05; done",
          ready = neap.logline "on",
          stop = { timeout = "60s", mode = "mixed" },
        }
        "#,
    );
    slow.ok(&["wait", "slow"]);
    let stop = slow.neap(&["stop", "slow"]).start();
    slow.ok(&["wait", "slow", "--state", "stopping"]);
    stop.signal(Signal::SIGINT);
    let ended = stop.end().expect_code(130);
    assert_eq!(ended.stderr, "neap: no longer waiting for slow; the stop goes on\n");
    assert_eq!(slow.process("slow")["state"], "stopping");
    // Its time is up before it has stopped; what was asked for goes on all the same.
    assert!(slow.ok(&["restart", "slow", "--no-wait"]).starts_with("slow: stopping"));
    std::fs::write(slow.path().join("go"), "").unwrap();
    slow.ok(&["wait", "slow", "--state", "running"]);
}

#[test]
fn apply_says_what_changed_and_shows_what_is_wrong_as_check_does() {
    let pair = Instance::start(PAIR);
    pair.folder.write("neap.lua", &PAIR.replace("\"job\"", "\"task\""));
    let said = pair.ok(&["apply"]);
    let expected = "- job: removed (created, neap.lua:5)\n+ task: added (neap.lua:5)\n    + command = { \"/bin/sh\", \"-c\", \"true\" }\n    \
        + type = \"oneshot\"\n    + auto_start = false\ngeneration 2: 2 changes: 1 added, 1 removed; 3 unchanged\njob: gone after ";
    assert!(said.starts_with(expected) && said.lines().count() == 7, "{said}");
    assert_eq!(pair.json(&["apply", "--json"])["unchanged"].as_array().unwrap().len(), 4);

    pair.folder.write("neap.lua", &PAIR.replace("\"job\" {", "\"job\" { restart = { delay = \"5 parsecs\" },"));
    let applied = pair.fails(1, &["apply"]);
    let checked = pair.fails(1, &["check"]);
    let place = |text: &str| text.lines().next().unwrap().split_once("neap.lua:").unwrap().1.to_owned();
    assert_eq!(place(&applied.stderr), place(&checked.stderr));
    assert!(applied.stderr.ends_with("neap: 1 error\n"), "{applied:?}");
    let object = pair.refusal(1, &["apply", "--json"]);
    assert_eq!((&object["line"], &object["field"]), (&5.into(), &"restart.delay".into()));
    assert!(pair.ok(&["status"]).contains("refused "), "status says why");
    assert_eq!(pair.process("task")["name"], "task", "nothing was changed");
}

#[test]
fn a_new_binary_takes_over_and_no_process_notices() {
    let pair = Instance::start(PAIR);
    pair.ok(&["start", "api"]);
    let (supervisor, api, db) = (pair.supervisor(), pair.process("api"), pair.process("db"));
    let said = pair.ok(&["upgrade"]);
    assert!(said.starts_with("upgraded: "), "{said}");
    assert_ne!(pair.supervisor(), supervisor);
    for (before, name) in [(api, "api"), (db, "db")] {
        let after = pair.process(name);
        assert_eq!((&after["pid"], &after["run_count"]), (&before["pid"], &before["run_count"]), "{name}");
    }
}

#[test]
fn a_binary_that_does_not_come_up_leaves_the_old_one_at_work() {
    let pair = Instance::start(PAIR);
    pair.ok(&["start", "api"]);
    let api = pair.process("api");
    assert!(pair.fails(4, &["upgrade", "/bin/false"]).stderr.contains("nothing was changed"));
    let script = "#!/bin/sh\nif [ \"$1\" = --version ]; then echo neap 9.9.9; else exit 1; fi\n";
    write_program(pair.folder.path().join("fake"), script);
    let ended = pair.fails(1, &["upgrade", "fake"]);
    assert!(ended.stderr.contains("the upgrade failed") && ended.stderr.contains("the old one goes on"), "{ended:?}");
    assert_eq!(pair.process("api")["pid"], api["pid"]);
}

#[test]
fn down_stops_everything_and_ends_the_instance() {
    let pair = Instance::start(PAIR);
    pair.ok(&["start", "api"]);
    let said = pair.ok(&["down"]);
    let place = |text: &str| said.lines().position(|line| line.starts_with(text)).unwrap_or_else(|| panic!("{said}"));
    assert!(place("api: stopped") < place("db: stopped") && place("db: stopped") < place("down after "), "{said}");
    pair.fails(5, &["list"]);
    pair.end().expect_code(0);
}

#[test]
fn a_real_server_is_started_restarted_and_stopped() {
    if !["/usr/bin", "/usr/sbin", "/usr/local/bin"].iter().any(|dir| Path::new(dir).join("redis-server").exists()) {
        println!("skipped: a_real_server_is_started_restarted_and_stopped: no redis-server");
        return;
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let redis = Instance::start(&format!(
        r#"
        local neap = require "neap"
        neap.process "cache" {{
          command = {{ "redis-server", "--port", "{port}", "--bind", "127.0.0.1", "--save", "" }},
          ready = neap.tcp {{ port = {port} }},
          auto_start = false,
        }}
        "#
    ));
    let answers = || TcpStream::connect(("127.0.0.1", port)).is_ok();
    assert!(!answers());
    redis.ok(&["start", "cache"]);
    assert!(answers());
    let before = pid(&redis.process("cache"));
    let said = redis.ok(&["restart", "cache"]);
    let after = pid(&redis.process("cache"));
    assert!(after != before && said.contains(&after.to_string()), "{said}");
    assert!(answers());
    assert!(redis.ok(&["logs", "cache"]).contains("Ready to accept connections"));
    redis.ok(&["stop", "cache"]);
    assert!(!answers());
}
