//! Listeners: bound before anybody counts on them, tried again when they cannot be, and armed again after a run.

use neap::core::StateName::*;
use neap::core::{EventKind, Input, Output, SpawnError, SpawnStep};
use neap::sim::Death;
use neap::spec::{Hook, ListenAddress, Listener, Restart, Spec};

use super::harness::*;

fn listening(name: &str) -> Spec {
    spec(name).listen(Listener::new(ListenAddress::Tcp("127.0.0.1:8080".into()))).auto_start(false)
}

fn in_use() -> SpawnError {
    SpawnError { step: SpawnStep::Socket, errno: Some(98), message: "127.0.0.1:8080 is in use".into() }
}

/// `web` cannot bind its listeners, and others were defined with it.
fn with_a_port_in_use(specs: impl IntoIterator<Item = Spec>) -> Scenario {
    let mut s = Scenario::empty();
    s.world.unbindable("web", Some(in_use()));
    s.apply(specs);
    s
}

fn connect(s: &mut Scenario, name: &str) {
    let id = s.id(name);
    s.hear(Input::SocketReadable(id));
}

fn armings(s: &Scenario) -> usize {
    s.since().iter().filter(|(_, output)| matches!(output, Output::ArmSockets(..))).count()
}

#[test]
fn listeners_that_are_bound_are_told_of() {
    let s = Scenario::with([listening("web")]);
    s.is("web", Waiting);
    assert_eq!(s.status("web").reason, "for a connection on tcp:127.0.0.1:8080");
    let told = EventKind::Listening { at: "tcp:127.0.0.1:8080".into() };
    assert!(s.events("web").iter().any(|event| event.kind == told));
}

#[test]
fn what_is_ordered_after_a_listener_waits_until_that_is_bound() {
    let mut s = with_a_port_in_use([
        listening("web"),
        spec("client").requires("web").auto_start(true),
        spec("later").after("web").auto_start(true),
    ]);
    s.is("web", Backoff);
    s.is("client", Waiting);
    s.is("later", Running);
    s.world.unbindable("web", None);
    s.pass(secs(1));
    assert_eq!(s.status("web").reason, "for a connection on tcp:127.0.0.1:8080");
    s.is("client", Running);
}

#[test]
fn a_listener_that_cannot_be_bound_is_tried_again_by_the_restart_policy() {
    let mut s = with_a_port_in_use([listening("web")]);
    s.is("web", Backoff);
    assert!(s.status("web").reason.starts_with("127.0.0.1:8080 is in use"), "{}", s.status("web").reason);
    let explained = s.world.explain(s.id("web")).expect("it is explained");
    assert_eq!(explained.timers[0].then, "its sockets are tried again");
    s.pass(secs(1));
    s.is("web", Backoff);
    assert_eq!(armings(&s), 2);
    s.world.unbindable("web", None);
    s.pass(secs(1));
    s.is("web", Waiting);
    assert_eq!(s.attempts("web"), 0, "nobody connected");
    connect(&mut s, "web");
    s.is("web", Running);
}

#[test]
fn a_listener_that_can_never_be_bound_fails_or_is_given_up_as_the_policy_says() {
    let s = with_a_port_in_use([listening("web").restart(Restart::never())]);
    s.is("web", Failed);
    assert_eq!(s.status("web").reason, "127.0.0.1:8080 is in use");
    assert_eq!(armings(&s), 1);

    let restart = Restart::on_failure().jitter(0.0).factor(1.0).limit(3, secs(600));
    let mut s = with_a_port_in_use([listening("web").restart(restart)]);
    s.pass(secs(60));
    s.is("web", Crashed);
    assert_eq!(armings(&s), 4);
}

#[test]
fn one_that_failed_for_its_listener_is_started_by_hand_all_the_same() {
    let mut s = with_a_port_in_use([listening("web").restart(Restart::never())]);
    s.is("web", Failed);
    let start = s.start("web");
    s.came_to(start, Running);
}

#[test]
fn a_stop_ends_the_tries_to_bind() {
    let mut s = with_a_port_in_use([listening("web")]);
    s.is("web", Backoff);
    let stop = s.stop("web");
    s.came_to(stop, Stopped);
    s.mark();
    s.pass(secs(600));
    assert_eq!(armings(&s), 0);
}

#[test]
fn the_on_failure_hooks_of_a_listening_process_run_before_it_listens_again() {
    let hooked = listening("web").restart(Restart::never()).on_failure(Hook::command(["/opt/alarm"]));
    let mut s = Scenario::with([hooked]);
    let hooks = [(neap::core::HookKind::OnFailure, (secs(2), Ok(())))].into();
    s.behave("web", neap::sim::Behaviour { hooks, ..neap::sim::Behaviour::default() });
    connect(&mut s, "web");
    s.exit("web", BAD);
    s.is("web", Failed);
    assert!(!s.since().iter().any(|(_, output)| matches!(output, Output::CancelHook(..))));
    s.pass(secs(2));
    s.is("web", Waiting);
}

#[test]
fn what_listens_goes_on_listening_while_what_it_requires_is_restarted() {
    let mut s = Scenario::with([spec("db").auto_start(true), listening("web").requires("db")]);
    s.is("web", Waiting);
    s.mark();
    let restart = s.restart("db");
    s.came_to(restart, Running);
    s.is("web", Waiting);
    assert_eq!(s.story("web"), []);
    connect(&mut s, "web");
    s.is("web", Running);
}

#[test]
fn other_listeners_are_bound_anew_while_it_waits() {
    let mut s = Scenario::with([listening("web")]);
    let other = || spec("web").listen(Listener::new(ListenAddress::Tcp("127.0.0.1:9090".into()))).auto_start(false);
    s.mark();
    s.apply([other()]);
    s.is("web", Waiting);
    assert_eq!(armings(&s), 1);
    s.apply([spec("web")]);
    s.is("web", Stopped);
    s.apply([other()]);
    s.is("web", Stopped);
    s.start("web");
    s.exit("web", OK);
    s.is("web", Waiting);
}

#[test]
fn other_listeners_take_the_place_of_those_that_could_not_be_bound() {
    let mut s = with_a_port_in_use([listening("web").description("held up")]);
    s.is("web", Backoff);
    s.world.unbindable("web", None);
    let other = Listener::new(ListenAddress::Tcp("127.0.0.1:9090".into()));
    s.apply([spec("web").listen(other).auto_start(false)]);
    s.is("web", Waiting);

    // With none at all there is nothing to try.
    let mut s = with_a_port_in_use([listening("web")]);
    s.is("web", Backoff);
    s.apply([spec("web")]);
    s.is("web", Stopped);
    s.pass(secs(60));
    s.is("web", Stopped);
}

#[test]
fn a_process_at_rest_that_is_given_a_listener_listens() {
    let mut s = Scenario::with([spec("web")]);
    s.apply([listening("web")]);
    s.is("web", Waiting);
}

#[test]
fn the_next_supervisor_says_when_a_listener_cannot_be_had_any_more() {
    let mut s = Scenario::with([listening("web")]);
    s.world.unbindable("web", Some(in_use()));
    let died = s.world.dies(Death { gap: secs(1), anchor: false });
    died.unwrap_or_else(|failure| panic!("{failure}"));
    s.settle();
    s.is("web", Backoff);
    s.world.unbindable("web", None);
    s.pass(secs(1));
    s.is("web", Waiting);
}

#[test]
fn a_program_that_serves_one_connection_a_run_is_started_for_each() {
    let mut s = Scenario::with([listening("web")]);
    for _ in 0..50 {
        s.is("web", Waiting);
        connect(&mut s, "web");
        s.exit("web", OK);
        s.pass(millis(110));
    }
    s.is("web", Waiting);
    assert_eq!(s.attempts("web"), 50);
}

#[test]
fn a_program_that_ends_at_once_without_accepting_is_not_started_in_a_circle() {
    let mut s = Scenario::with([listening("web")]);
    let mut connections = 0;
    while s.status("web").state == Waiting && connections < 1000 {
        connect(&mut s, "web");
        if s.status("web").state == Running {
            s.exit("web", OK);
        }
        connections += 1;
    }
    s.is("web", Crashed);
    // The first followed nothing.
    assert_eq!((connections, s.attempts("web")), (22, 21));
    let start = s.start("web");
    s.came_to(start, Running);
    s.exit("web", OK);
    s.is("web", Waiting);
}

#[test]
fn failures_of_what_a_connection_started_count_against_the_start_limit() {
    let mut s = Scenario::with([listening("web").restart(Restart::never().limit(3, secs(60)))]);
    for _ in 0..4 {
        s.is("web", Waiting);
        connect(&mut s, "web");
        s.exit("web", BAD);
    }
    s.is("web", Waiting);
    connect(&mut s, "web");
    s.is("web", Crashed);
    assert_eq!(s.attempts("web"), 4);
}
