//! The end of everything.

use nix::sys::signal::Signal;

use crate::common::{Epilogue, actor};
use crate::support::Anchor;

#[test]
fn one_that_crashes_two_hundred_times_in_a_minute_is_the_last_and_nothing_is_left_whatever_it_ignores() {
    let _epilogue = Epilogue::new();
    let mut anchor = Anchor::start();
    let mut supervisor = anchor.next();
    supervisor.ask("hello");
    let stubborn = "ignore TERM orphan { ignore TERM wait } fork { wait } wait";
    supervisor.ask(&format!("spawn {} {stubborn}", actor().display()));
    for _ in 0..200 {
        supervisor.does("ready");
        supervisor.last("die SIGKILL");
        supervisor = anchor.next();
        supervisor.ask("hello");
    }
    supervisor.does("ready");
    supervisor.last("die SIGKILL");
    assert_eq!(anchor.end(), Some(1));
    let said = anchor.said();
    let last = said.lines().last().unwrap();
    assert_eq!(
        last,
        "neap: the supervisor crashed 201 times in 60 s, and last was killed by SIGKILL: everything is stopped"
    );
}

#[test]
fn a_second_request_does_not_wait_for_what_ignores_the_first() {
    let _epilogue = Epilogue::new();
    let mut anchor = Anchor::start();
    let mut supervisor = anchor.next();
    supervisor.ask("hello");
    supervisor.does("ready");
    supervisor.ask(&format!("spawn {} ignore TERM wait", actor().display()));
    anchor.signal(Signal::SIGTERM);
    supervisor.ask("signal");
    supervisor.last("die SIGKILL");
    let mut again = anchor.next();
    again.ask("hello");
    again.ask("signal");
    let began = std::time::Instant::now();
    again.last("die SIGKILL");
    crate::common::wait_until("it stops everything", || anchor.said().contains("everything is stopped"));
    anchor.signal(Signal::SIGTERM);
    assert_eq!(anchor.end(), Some(143));
    println!("after {:?}, where the first request alone takes 10 s", began.elapsed());
}

#[test]
fn a_supervisor_that_said_it_is_finished_and_stays_is_ended() {
    let _epilogue = Epilogue::new();
    let mut anchor = Anchor::start();
    let mut supervisor = anchor.next();
    supervisor.ask("hello");
    supervisor.does("finished 4");
    assert_eq!(anchor.end(), Some(4));
    supervisor.gone();
}
