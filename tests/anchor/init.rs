//! As PID 1 of a namespace of pids.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::common::{Epilogue, actor, root_or_skip, skipped};
use crate::support::{Anchor, anchored, signal_to};

/// One in a namespace of its own; `None`, said, where that cannot be.
fn start(test: &str) -> Option<Anchor> {
    if !root_or_skip(test) {
        return None;
    }
    let unshare = || {
        let mut unshare = Command::new("unshare");
        unshare.args(["--pid", "--fork", "--mount-proc"]);
        unshare
    };
    if !unshare().arg("true").status().is_ok_and(|status| status.success()) {
        skipped(test, "unshare(1) cannot make a namespace of pids");
        return None;
    }
    let mut command = unshare();
    command.arg(anchored());
    Some(Anchor::start_as(command, |_| ()))
}

/// Its pid outside.
fn outside(anchor: &Anchor) -> u32 {
    let pid = anchor.pid();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn as_pid_1_it_reaps_ten_thousand_orphans_with_their_statuses() {
    let _epilogue = Epilogue::new();
    let Some(mut anchor) = start("as_pid_1_it_reaps_ten_thousand_orphans_with_their_statuses") else { return };
    let mut supervisor = anchor.next();
    assert_eq!(supervisor.value("hello", "anchor"), "1");
    supervisor.does("ready");
    let done = anchor.path("done");
    let words = format!("repeat 10000 {{ orphan {{ exit 3 }} }} touch {} wait", done.display());
    supervisor.ask(&format!("spawn {} {words}", actor().display()));
    // More than are remembered end before one is heard: the rest waits with the kernel.
    // Twenty thousand forks take their time on a busy machine.
    let end = Instant::now() + Duration::from_secs(300);
    while !done.exists() {
        assert!(Instant::now() < end, "they do not end; the anchor said: {}", anchor.said());
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(supervisor.ask("count 10000"), "10000 0 {\"3\": 10000}");
    assert_eq!(supervisor.ask("more"), "");
    supervisor.does("finished 42");
    supervisor.last("exit 0");
    assert_eq!(anchor.end(), Some(42), "and what is left ends with its namespace");
}

#[test]
fn as_pid_1_it_passes_on_term_and_ends_with_the_code_it_is_told() {
    let _epilogue = Epilogue::new();
    let Some(mut anchor) = start("as_pid_1_it_passes_on_term_and_ends_with_the_code_it_is_told") else { return };
    let mut supervisor = anchor.next();
    supervisor.ask("hello");
    supervisor.does("ready");
    supervisor.last("die SIGKILL");
    let mut supervisor = anchor.next();
    assert_eq!(supervisor.value("hello", "lives"), "2");
    supervisor.does("ready");
    for signal in [Signal::SIGHUP, Signal::SIGTERM] {
        signal_to(outside(&anchor), signal);
        assert_eq!(supervisor.ask("signal"), signal.as_str());
    }
    supervisor.does("finished 17");
    supervisor.last("exit 0");
    assert_eq!(anchor.end(), Some(17));
}

#[test]
fn as_pid_1_it_stops_everything_when_no_supervisor_comes_up() {
    let _epilogue = Epilogue::new();
    let Some(mut anchor) = start("as_pid_1_it_stops_everything_when_no_supervisor_comes_up") else { return };
    let mut supervisor = anchor.next();
    supervisor.ask("hello");
    supervisor.does("ready");
    supervisor.ask(&format!("spawn {} trap TERM=exit:0 fork {{ wait }} wait", actor().display()));
    signal_to(outside(&anchor), Signal::SIGTERM);
    assert_eq!(supervisor.ask("signal"), "SIGTERM");
    supervisor.last("die SIGKILL");
    let mut supervisor = anchor.next();
    supervisor.ask("hello");
    assert_eq!(supervisor.ask("signal"), "SIGTERM");
    supervisor.last("die SIGKILL");
    assert_eq!(anchor.end(), Some(143));
}
