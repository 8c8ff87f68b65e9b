//! Signals that the anchor gets.

use nix::sys::signal::Signal;

use crate::common::{Epilogue, actor, wait_until};
use crate::support::Anchor;

#[test]
fn signals_are_passed_on_to_the_supervisor() {
    let _epilogue = Epilogue::new();
    let mut anchor = Anchor::start();
    let mut supervisor = anchor.next();
    supervisor.ask("hello");
    supervisor.does("ready");
    for signal in [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGQUIT,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGWINCH,
        Signal::SIGTERM,
    ] {
        anchor.signal(signal);
        assert_eq!(supervisor.ask("signal"), signal.as_str());
    }
    // What would end or stop a program that takes no care does neither.
    for signal in [Signal::SIGPIPE, Signal::SIGALRM, Signal::SIGSEGV, Signal::SIGTTOU, Signal::SIGCONT] {
        anchor.signal(signal);
    }
    anchor.signal(Signal::SIGHUP);
    assert_eq!(supervisor.ask("signal"), "SIGHUP");
    supervisor.does("finished 0");
    supervisor.last("exit 0");
    assert_eq!(anchor.end(), Some(0));
}

#[test]
fn what_comes_before_a_supervisor_listens_waits_for_it() {
    let _epilogue = Epilogue::new();
    let mut anchor = Anchor::start();
    let mut supervisor = anchor.next();
    anchor.signal(Signal::SIGUSR1);
    anchor.signal(Signal::SIGTERM);
    let pending = |supervisor: u32| {
        let status = std::fs::read_to_string(format!("/proc/{supervisor}/status")).unwrap();
        status.lines().find_map(|line| line.strip_prefix("ShdPnd:")).unwrap().trim() != "0000000000000000"
    };
    let pid = supervisor.pid();
    wait_until("the anchor has taken both", || !pending(anchor.pid()));
    assert!(!pending(pid), "it would die of them");
    supervisor.ask("hello");
    let mut both = [supervisor.ask("signal"), supervisor.ask("signal")];
    both.sort();
    assert_eq!(both, ["SIGTERM", "SIGUSR1"]);
    supervisor.does("finished 0");
    supervisor.last("exit 0");
    assert_eq!(anchor.end(), Some(0));
}

#[test]
fn asked_twice_a_supervisor_that_does_not_listen_gets_it_all_the_same() {
    let _epilogue = Epilogue::new();
    let mut anchor = Anchor::start();
    let mut supervisor = anchor.next();
    anchor.signal(Signal::SIGTERM);
    anchor.signal(Signal::SIGINT);
    let first = supervisor.ask("signal");
    assert!(["SIGTERM", "SIGINT"].contains(&&*first));
    supervisor.last("die SIGTERM");
    assert_eq!(anchor.end(), Some(if first == "SIGTERM" { 143 } else { 130 }), "as it had not started");
    assert_eq!(anchor.said(), "");
}

#[test]
fn a_request_that_a_supervisor_crashed_on_is_made_again_to_the_next() {
    let _epilogue = Epilogue::new();
    let mut anchor = Anchor::start();
    let mut supervisor = anchor.next();
    supervisor.ask("hello");
    supervisor.does("ready");
    anchor.signal(Signal::SIGTERM);
    assert_eq!(supervisor.ask("signal"), "SIGTERM");
    supervisor.last("die SIGKILL");
    let mut again = anchor.next();
    again.ask("hello");
    assert_eq!(again.ask("signal"), "SIGTERM");
    again.does("finished 5");
    again.last("exit 0");
    assert_eq!(anchor.end(), Some(5));
}

#[test]
fn where_two_supervisors_crash_on_a_request_to_stop_the_anchor_stops_everything() {
    let _epilogue = Epilogue::new();
    let mut anchor = Anchor::start();
    let mut supervisor = anchor.next();
    supervisor.ask("hello");
    supervisor.does("ready");
    supervisor.ask(&format!("spawn {} wait", actor().display()));
    anchor.signal(Signal::SIGINT);
    assert_eq!(supervisor.ask("signal"), "SIGINT");
    supervisor.last("die SIGKILL");
    let mut again = anchor.next();
    again.ask("hello");
    assert_eq!(again.ask("signal"), "SIGINT");
    again.last("die SIGABRT");
    assert_eq!(anchor.end(), Some(130));
    assert!(anchor.said().ends_with("was killed by SIGABRT where SIGINT was to stop it: everything is stopped\n"));
}

#[test]
fn a_stop_is_gone_on_with_however_often_supervisors_that_are_at_work_are_killed_in_it() {
    let _epilogue = Epilogue::new();
    let mut anchor = Anchor::start();
    let mut supervisor = anchor.next();
    supervisor.ask("hello");
    supervisor.does("ready");
    anchor.signal(Signal::SIGTERM);
    for _ in 0..4 {
        assert_eq!(supervisor.ask("signal"), "SIGTERM");
        supervisor.last("die SIGKILL");
        supervisor = anchor.next();
        supervisor.ask("hello");
        supervisor.does("ready");
    }
    assert_eq!(supervisor.ask("signal"), "SIGTERM");
    supervisor.does("finished 0");
    supervisor.last("exit 0");
    assert_eq!(anchor.end(), Some(0));
}

#[test]
fn a_request_to_stop_while_no_supervisor_lives_stops_everything() {
    let _epilogue = Epilogue::new();
    let mut anchor = Anchor::start();
    let mut supervisor = anchor.next();
    supervisor.ask("hello");
    supervisor.ask(&format!("spawn {} wait", actor().display()));
    supervisor.last("exit 3");
    // The back-off doubles: after seven it is 3.2 s.
    for _ in 2..=7 {
        anchor.next().last("exit 3");
    }
    wait_until("it has noticed", || anchor.said().lines().count() == 7);
    anchor.signal(Signal::SIGTERM);
    assert_eq!(anchor.end(), Some(143));
    assert!(anchor.said().ends_with("neap: SIGTERM while no supervisor lives: everything is stopped\n"));
}

#[test]
fn ctrl_z_stops_the_anchor_alone_and_it_goes_on_where_it_was() {
    let _epilogue = Epilogue::new();
    let mut anchor = Anchor::start_with(|command| {
        // A group of its own, in our session: not an orphaned one, so that the kernel would stop it.
        std::os::unix::process::CommandExt::process_group(command, 0);
    });
    let mut supervisor = anchor.next();
    supervisor.ask("hello");
    supervisor.does("ready");
    anchor.signal(Signal::SIGTSTP);
    let state = |pid| neap::driver::identity::Stat::of(neap::core::Pid(pid)).unwrap().state;
    wait_until("it is stopped", || state(anchor.pid()) == b'T');
    assert_ne!(supervisor.pid(), 0);
    supervisor.last("die SIGKILL");
    anchor.signal(Signal::SIGCONT);
    let mut again = anchor.next();
    again.ask("hello");
    again.does("finished 0");
    again.last("exit 0");
    assert_eq!(anchor.end(), Some(0));
}
