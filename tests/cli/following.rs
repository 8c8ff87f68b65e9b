//! `logs` and `events`: what was, what comes, and nothing twice or lost when the supervisor dies in between.

use std::io::{BufRead, BufReader, Read};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::instance::Instance;

const COUNTERS: &str = r#"
local neap = require "neap"
neap.process "one" { shell = "i=0; while :; do i=$((i+1)); echo n $i; sleep 0.01; done" }
neap.process "two" { shell = "echo hello; echo oh >&2; exec sleep 1000" }
"#;

#[test]
fn logs_of_several_stand_behind_their_names_and_those_of_one_alone() {
    let counters = Instance::start(COUNTERS);
    counters.ok(&["wait", "one", "two"]);
    let follower = counters.neap(&["logs", "-f", "-n", "0", "one"]).start();
    follower.wait_for(|line| line.starts_with("n "));
    follower.signal(Signal::SIGTERM);
    follower.end();
    let alone = counters.ok(&["logs", "one", "-n", "2"]);
    assert_eq!(alone.lines().filter(|line| line.starts_with("n ")).count(), 2, "{alone}");
    let mut two: Vec<String> = counters.ok(&["logs", "two"]).lines().map(str::to_owned).collect();
    two.sort();
    assert_eq!(two, ["hello", "oh"]);
    let both = counters.ok(&["logs", "-n", "1"]);
    assert!(both.lines().all(|line| line.starts_with("one | n ") || line.starts_with("two | ")), "{both}");
    let line: Value = serde_json::from_str(counters.ok(&["logs", "two", "-n", "1", "--json"]).trim()).unwrap();
    assert_eq!(line["process"], "two");
}

#[test]
fn who_follows_lines_sees_each_once_though_the_supervisor_dies() {
    let counters = Instance::start(COUNTERS);
    let follower = counters.neap(&["logs", "-f", "one"]).start();
    let number = |line: &str| line.strip_prefix("n ").and_then(|number| number.parse::<u32>().ok());
    let mut last = number(&follower.wait_for(|_| true)).unwrap();
    for _ in 0..3 {
        counters.crash();
        // Long enough that the next supervisor is at work.
        for _ in 0..300 {
            let next = number(&follower.wait_for(|_| true)).unwrap();
            assert_eq!(next, last + 1);
            last = next;
        }
    }
    follower.signal(Signal::SIGTERM);
    follower.end();
}

#[test]
fn who_follows_events_sees_each_once_though_the_supervisor_dies() {
    let counters = Instance::start(COUNTERS);
    let follower = counters.neap(&["events", "-f", "--json"]).start();
    let mut last: Option<u64> = None;
    for round in 0..3 {
        counters.ok(&["restart", "two"]);
        let mut running = false;
        while !running {
            let event: Value = serde_json::from_str(&follower.wait_for(|_| true)).unwrap();
            let sequence = event["sequence"].as_u64().unwrap();
            assert!(last.is_none_or(|last| sequence == last + 1), "{sequence} after {last:?}");
            last = Some(sequence);
            running = event["process"] == "two" && event["kind"] == "process.running" && round < 3;
        }
        counters.crash();
    }
    follower.signal(Signal::SIGTERM);
    follower.end();
    let told = counters.ok(&["events", "two"]);
    assert!(told.lines().all(|line| line.contains(" two ")), "{told}");
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let counters = Instance::start(COUNTERS);
    counters.ok(&["wait", "two"]);
    // Nobody is told that nobody reads, whatever there is to write.
    for args in [&["list", "--json"][..], &["list"], &["logs"], &["events", "--json"], &["status", "two"]] {
        let mut writer = counters.child(args);
        drop(writer.stdout.take());
        assert_eq!(writer.wait().unwrap().code(), Some(0), "{args:?}");
        let mut said = String::new();
        writer.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(said, "", "{args:?}");
    }
    // There is nothing more to write for the one, and always for the other.
    for name in ["two", "one"] {
        let mut follower = counters.child(&["logs", "-f", name]);
        let mut line = String::new();
        let mut out = BufReader::new(follower.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        drop(out);
        assert_eq!(follower.wait().unwrap().code(), Some(0), "{name}");
        let mut said = String::new();
        follower.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(said, "");
    }
}

#[test]
fn following_ends_with_the_instance() {
    let counters = Instance::start(COUNTERS);
    let logs = counters.neap(&["logs", "-f"]).start();
    let events = counters.neap(&["events", "-f"]).start();
    logs.wait_for_text("one | n ");
    counters.ok(&["down"]);
    logs.end().expect_code(0);
    events.end().expect_code(0);
    counters.end().expect_code(0);
}
