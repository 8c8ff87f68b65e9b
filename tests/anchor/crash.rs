//! Supervisors that crash.

use std::time::Instant;

use nix::sys::signal::Signal;

use crate::common::{Epilogue, actor};
use crate::support::{Anchor, signal_to, value};

#[test]
fn a_supervisor_that_is_killed_is_started_again_and_its_children_go_on() {
    let _epilogue = Epilogue::new();
    let mut anchor = Anchor::start();
    let mut supervisor = anchor.next();
    supervisor.ask("hello");
    supervisor.does("ready");
    let child = supervisor.ask(&format!("spawn {} wait", actor().display()));
    let (child, start) = child.split_once(' ').unwrap();
    for life in 2..=20 {
        let pid = supervisor.pid();
        signal_to(pid, Signal::SIGKILL);
        supervisor.gone();
        supervisor = anchor.next();
        assert_ne!(supervisor.pid(), pid);
        assert_eq!(
            supervisor.ask("hello"),
            format!("lives={life} anchor={} upgrade=none held= missing= ended=", anchor.pid())
        );
        supervisor.does("ready");
    }
    assert!(anchor.said().lines().all(|line| line.contains("was killed by SIGKILL: it is started again")));
    assert_eq!(anchor.said().lines().count(), 19);
    signal_to(child.parse().unwrap(), Signal::SIGTERM);
    assert_eq!(supervisor.ask("news 1"), format!("{child}:{start}:SIGTERM"));
    supervisor.does("finished 0");
    supervisor.last("exit 0");
    assert_eq!(anchor.end(), Some(0));
}

#[test]
fn one_that_closes_its_link_is_left_alone_until_it_ends() {
    let _epilogue = Epilogue::new();
    let anchor = Anchor::start();
    let mut supervisor = anchor.next();
    supervisor.ask("hello");
    supervisor.does("ready");
    supervisor.does("close");
    assert_ne!(supervisor.pid(), 0);
    supervisor.last("exit 0");
    let mut again = anchor.next();
    assert_eq!(value(&again.ask("hello"), "lives"), "2");
    again.does("finished 0");
    again.last("exit 0");
}

/// Sixteen seconds of back-off: 50 ms, doubled each time, 5 s at most.
#[test]
fn one_that_never_comes_up_is_tried_ten_times_ever_later_and_then_everything_is_stopped() {
    let _epilogue = Epilogue::new();
    let mut anchor = Anchor::start();
    let mut first = anchor.next();
    first.ask("hello");
    let child = first.ask(&format!("spawn {} wait", actor().display()));
    let child: u32 = child.split_once(' ').unwrap().0.parse().unwrap();
    let began = Instant::now();
    first.last("exit 3");
    for _ in 2..=10 {
        anchor.next().last("exit 3");
    }
    assert_eq!(anchor.end(), Some(1));
    assert!(began.elapsed().as_millis() >= 16_350, "it waited less than it should");
    let said = anchor.said();
    let last = said.lines().last().unwrap();
    assert_eq!(
        last,
        "neap: the supervisor did not come up 10 times in a row, and last exited with 3: everything is stopped"
    );
    assert!(!std::path::Path::new(&format!("/proc/{child}")).exists(), "what it had is gone");
}
