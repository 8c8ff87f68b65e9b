//! `logs --since` and `--run`: what one run printed, and what was printed from a moment on, in files and in memory.

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::instance::Instance;

const RUNS: &str = r#"
local neap = require "neap"
neap.process "web" { shell = "echo begun $$; echo at work; exec sleep 1000", ready = neap.logline "at work" }
neap.process "db" { shell = "echo listening; exec sleep 1000", ready = neap.logline "listening" }
"#;

/// What `web` printed in one of its runs.
fn run(instance: &Instance, number: &str) -> String {
    instance.ok(&["logs", "web", "--run", number])
}

#[test]
fn each_run_of_a_process_is_found_by_its_number_over_the_supervisors_death() {
    let instance = Instance::start(RUNS);
    instance.ok(&["wait", "web"]);
    let first = run(&instance, "1");
    assert!(first.starts_with("begun ") && first.ends_with("\nat work\n"), "{first}");
    instance.ok(&["restart", "web"]);
    let second = run(&instance, "last");
    instance.crash();
    instance.ok(&["wait", "web"]);
    assert_eq!(run(&instance, "2"), second, "it went on: no new run");
    assert_eq!(run(&instance, "0"), second);
    instance.ok(&["restart", "web"]);
    let third = run(&instance, "3");
    assert!(first != second && second != third, "{first}{second}{third}");
    assert_eq!([run(&instance, "0"), run(&instance, "-1"), run(&instance, "-2")], [&*third, &*second, &*first]);
    assert_eq!(instance.ok(&["logs", "web", "--run", "2", "-n", "1"]), "at work\n");
    assert_eq!(instance.ok(&["logs", "web"]), format!("{first}{second}{third}"));
    let lines = instance.ok(&["logs", "web", "--json"]);
    let runs: Vec<u64> =
        lines.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["run"].as_u64().unwrap()).collect();
    assert_eq!(runs, [1, 1, 2, 2, 3, 3]);
    let unknown = instance.fails(4, &["logs", "web", "--run", "9"]);
    assert!(
        unknown.stderr.contains("the log of web knows of no run 9; it knows the last 3, from 1 to 3"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn lines_are_shown_from_a_moment_on() {
    let instance = Instance::start(RUNS);
    instance.ok(&["wait", "web", "db"]);
    let all = instance.ok(&["logs"]);
    assert_eq!(all.lines().count(), 3, "{all}");
    for since in ["10m", "1h30m ago", "yesterday", "2020-01-01", "2020-01-01T00:00:00Z"] {
        assert_eq!(instance.ok(&["logs", "--since", since]).lines().count(), 3, "{since}");
    }
    assert_eq!(instance.ok(&["logs", "--since", "2199-01-01"]), "");
    assert_eq!(instance.ok(&["logs", "--since", "10m", "-n", "1", "web"]), "at work\n");
    let line: Value = serde_json::from_str(instance.ok(&["logs", "web", "-n", "1", "--json"]).trim()).unwrap();
    let time = line["time"].as_str().unwrap().to_owned();
    assert_eq!(instance.ok(&["logs", "web", "--since", &time, "-n", "1"]), "at work\n");
    let wrong = instance.fails(2, &["logs", "--since", "soon"]);
    assert!(wrong.stderr.contains("`soon` is no time"), "{}", wrong.stderr);
}

#[test]
fn who_follows_one_run_is_done_when_the_next_begins() {
    let instance = Instance::start(RUNS);
    instance.ok(&["wait", "web"]);
    let follower = instance.neap(&["logs", "-f", "--run", "0", "web"]).start();
    follower.wait_for(|line| line == "at work");
    instance.crash();
    instance.ok(&["restart", "web"]);
    let ended = follower.end();
    ended.expect_code(0);
    // And from a moment on, over the next run.
    let follower = instance.neap(&["logs", "-f", "--since", "10m", "web"]).start();
    for _ in 0..2 {
        follower.wait_for(|line| line == "at work");
    }
    instance.ok(&["restart", "web"]);
    follower.wait_for(|line| line == "at work");
    follower.signal(Signal::SIGTERM);
    follower.end();
}
