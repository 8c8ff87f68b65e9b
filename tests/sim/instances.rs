//! One instance a connection, and processes that are stopped while they have none.

use neap::core::StateName::*;
use neap::core::{Cause, Command, Ending, Event, EventKind, HookKind, Input, Output, ProcessId, Refusal, StateName};
use neap::sim::{Behaviour, Death, Killing, Preparation};
use neap::spec::{Conditions, Health, Hook, ListenAddress, Listener, ProbeTarget, Restart, Spec};

use super::harness::*;

/// It has at most this many instances.
fn each(name: &str, most: u32) -> Spec {
    let listener = Listener { accept: Some(most), ..Listener::new(ListenAddress::Tcp("127.0.0.1:8080".into())) };
    spec(name).listen(listener).auto_start(false)
}

/// It is stopped after it had no connection for a minute.
fn idle(name: &str) -> Spec {
    let idle_stop = Some(secs(60));
    let listener = Listener { idle_stop, ..Listener::new(ListenAddress::Tcp("127.0.0.1:8080".into())) };
    spec(name).listen(listener).auto_start(false)
}

fn connect(s: &mut Scenario, name: &str) {
    if let Err(failure) = s.world.connect(name) {
        panic!("{failure}");
    }
    s.settle();
}

fn dies(s: &mut Scenario, gap: u64) {
    if let Err(failure) = s.world.dies(Death { gap: secs(gap), anchor: true }) {
        panic!("{failure}");
    }
    s.settle();
}

fn there(s: &Scenario) -> Vec<String> {
    let machine = s.world.machine();
    let names = machine.processes().into_iter().filter_map(|id| machine.name(id));
    names.map(|name| name.to_string()).filter(|name| name.contains('@')).collect()
}

fn prepared_with_connections(s: &Scenario) -> usize {
    let with = |output: &Output| matches!(output, Output::Prepare { connection: Some(_), .. });
    s.since().iter().filter(|(_, output)| with(output)).count()
}

// One instance a connection.

#[test]
fn each_connection_has_an_instance_of_its_own_which_is_forgotten_when_it_is_over() {
    let mut s = Scenario::with([each("echo", 64)]);
    s.is("echo", Waiting);
    connect(&mut s, "echo");
    connect(&mut s, "echo");
    assert_eq!(there(&s), ["echo@1", "echo@2"]);
    s.are(&["echo@1", "echo@2"], Running);
    s.is("echo", Waiting);
    assert_eq!(s.status("echo@2").instance_of.as_deref(), Some("echo"));
    assert_eq!(s.world.machine().instances(s.id("echo")).len(), 2);
    assert_eq!(prepared_with_connections(&s), 2);
    s.exit("echo@1", OK);
    assert_eq!(there(&s), ["echo@2"]);
    s.exit("echo@2", BAD);
    assert_eq!(there(&s), [""; 0]);
    assert_eq!(s.world.accepted(), 0);
    connect(&mut s, "echo");
    assert_eq!(there(&s), ["echo@3"], "a number is not used twice");
}

#[test]
fn an_instance_names_the_connection_as_its_cause() {
    let mut s = Scenario::with([each("echo", 64)]);
    connect(&mut s, "echo");
    let told: Vec<&Event> = s.events("echo@1");
    assert_eq!(told[0].kind, EventKind::Defined);
    assert_eq!(told[0].cause, Cause::Connection("127.0.0.1:40001".into()));
    assert!(matches!(told[1].kind, EventKind::State { to: Starting, .. }));
    assert_eq!(told[1].cause.to_string(), "a connection came from 127.0.0.1:40001");
    let why = s.world.explain(s.id("echo@1")).expect("it is explained");
    assert_eq!(why.summary(), "echo@1 is running: a connection came from 127.0.0.1:40001");
    assert_eq!(why.cut, None);
}

#[test]
fn beyond_the_limit_connections_queue_until_an_instance_ends() {
    let mut s = Scenario::with([each("echo", 2)]);
    for _ in 0..4 {
        connect(&mut s, "echo");
    }
    assert_eq!(there(&s), ["echo@1", "echo@2"]);
    assert_eq!(s.status("echo").reason, "for one of its 2 instances to end");
    assert_eq!(s.world.unserved(), 0, "nobody is accepted whom nobody serves");
    s.exit("echo@1", OK);
    assert_eq!(there(&s), ["echo@2", "echo@3"]);
    s.exit("echo@3", OK);
    s.exit("echo@2", OK);
    assert_eq!(there(&s), ["echo@4"]);
    assert_eq!(s.status("echo").reason, "for a connection on tcp:127.0.0.1:8080");
}

#[test]
fn a_connection_that_comes_when_none_is_wanted_is_closed() {
    let mut s = Scenario::with([each("echo", 1), spec("other")]);
    let stray = |s: &mut Scenario, process: ProcessId, number: u64| {
        let connection = neap::core::ConnectionId(number);
        s.world.accept(connection, process);
        s.mark();
        s.hear(Input::Connection { process, connection, peer: "somebody".into() });
        let dropped = s.since().iter().any(|(_, output)| *output == Output::DropConnection(connection));
        assert!(dropped, "{number}");
    };
    connect(&mut s, "echo");
    let (echo, other) = (s.id("echo"), s.id("other"));
    stray(&mut s, echo, 101);
    stray(&mut s, other, 102);
    stray(&mut s, ProcessId(99), 103);
    s.stop("echo");
    stray(&mut s, echo, 104);
    assert_eq!(there(&s), [""; 0]);
}

#[test]
fn an_instance_is_as_its_process_was_when_the_connection_came_and_never_restarted() {
    let mut parent = each("echo", 3).restart(Restart::always());
    parent.limits.pids = Some(3);
    parent.follows = vec!["db".into()];
    let mut s = Scenario::with([spec("db").auto_start(true), parent.requires("db")]);
    connect(&mut s, "echo");
    let made = s.world.machine().spec(s.id("echo@1")).expect("it has a spec");
    assert_eq!((made.limits.pids, made.listen.len()), (Some(3), 0));
    assert_eq!((&made.requires, &made.part_of), (&vec!["db".to_owned()], &vec!["echo".to_owned()]));
    assert_eq!(made.follows, [""; 0]);
    s.mark();
    s.exit("echo@1", BAD);
    assert_eq!(s.story("echo@1"), [Stopping, Failed]);
    s.pass(secs(600));
    assert_eq!((there(&s), s.attempts("echo@1")), (vec![], 0));
    s.is("echo", Waiting);
}

#[test]
fn an_instance_that_is_unhealthy_for_too_long_ends_and_stays_away() {
    let mut health = Health::new(ProbeTarget::http("http://127.0.0.1:8080/"));
    (health.restart_after, health.retries) = (1, 1);
    let mut parent = each("echo", 3);
    parent.health = Some(health);
    let mut s = Scenario::with([parent]);
    s.behave("echo", Behaviour { probes: (secs(0), Err("refused".into())), ..Behaviour::default() });
    connect(&mut s, "echo");
    s.pass(secs(120));
    assert_eq!(there(&s), [""; 0]);
    assert_eq!(s.attempts("echo@1"), 1);
}

#[test]
fn an_instance_that_cannot_be_spawned_gives_its_connection_up() {
    let mut s = Scenario::with([each("echo", 1)]);
    let error = neap::core::SpawnError {
        step: neap::core::SpawnStep::Clone,
        errno: Some(11),
        message: "cannot make a process".into(),
    };
    s.behave("echo", Behaviour { spawn_error: Some(error), ..Behaviour::default() });
    connect(&mut s, "echo");
    assert_eq!((there(&s), s.world.accepted()), (vec![], 0));
    s.behave("echo", Behaviour::default());
    connect(&mut s, "echo");
    assert_eq!(there(&s), ["echo@2"]);
}

#[test]
fn an_instance_whose_condition_does_not_hold_gives_its_connection_up() {
    let conditions = Conditions { path_exists: vec!["/x".into()], ..Conditions::default() };
    let mut s = Scenario::with([each("echo", 1).conditions(conditions)]);
    let unmet = Preparation::Unmet("path_exists: /x".into());
    s.behave("echo", Behaviour { preparation: unmet, ..Behaviour::default() });
    connect(&mut s, "echo");
    assert_eq!((there(&s), s.world.accepted()), (vec![], 0));
    let last = s.events("echo@1").into_iter().rev().find(|event| matches!(event.kind, EventKind::State { .. }));
    let EventKind::State { to, reason, .. } = &last.expect("it had states").kind else { panic!("{last:?}") };
    assert_eq!((*to, reason.as_str()), (Failed, "condition path_exists: /x does not hold"));
}

#[test]
fn an_instance_waits_with_its_connection_for_what_it_requires() {
    let mut s = Scenario::with([notify("db"), each("echo", 2).requires("db")]);
    s.behave("db", Behaviour { ready_after: Some(secs(5)), ..Behaviour::default() });
    connect(&mut s, "echo");
    s.is("echo@1", Waiting);
    assert_eq!(s.world.unserved(), 1);
    s.pass(secs(5));
    s.is("echo@1", Running);
    assert_eq!(s.world.unserved(), 0);

    // If that cannot be had, the connection is closed.
    let mut s = Scenario::with([once("db"), each("echo", 2).requires("db")]);
    let error = neap::core::SpawnError { step: neap::core::SpawnStep::Exec, errno: Some(2), message: "no".into() };
    s.behave("db", Behaviour { spawn_error: Some(error), ..Behaviour::default() });
    connect(&mut s, "echo");
    assert_eq!((there(&s), s.world.accepted()), (vec![], 0));
}

#[test]
fn the_on_failure_hooks_of_an_instance_run_before_it_is_forgotten() {
    let mut s = Scenario::with([each("echo", 2).on_failure(Hook::command(["/opt/alarm"]))]);
    let hooks = [(HookKind::OnFailure, (secs(3), Ok(())))].into();
    s.behave("echo", Behaviour { hooks, ..Behaviour::default() });
    connect(&mut s, "echo");
    s.exit("echo@1", BAD);
    s.is("echo@1", Failed);
    s.pass(secs(3));
    assert_eq!(there(&s), [""; 0]);
}

#[test]
fn a_connection_that_comes_to_nothing_is_closed_before_the_on_failure_hooks_and_once() {
    let once_db = || [once("db"), each("echo", 2).requires("db").on_failure(Hook::command(["/opt/alarm"]))];
    let mut s = Scenario::with(once_db());
    let error = neap::core::SpawnError { step: neap::core::SpawnStep::Exec, errno: Some(2), message: "no".into() };
    s.behave("db", Behaviour { spawn_error: Some(error), ..Behaviour::default() });
    let hooks = [(HookKind::OnFailure, (secs(3), Ok(())))].into();
    s.behave("echo", Behaviour { hooks, ..Behaviour::default() });
    connect(&mut s, "echo");
    s.is("echo@1", Failed);
    assert_eq!(s.world.accepted(), 0);
    s.mark();
    dies(&mut s, 1);
    s.pass(secs(10));
    assert_eq!(there(&s), [""; 0]);
    assert!(!s.since().iter().any(|(_, output)| matches!(output, Output::DropConnection(_))));
}

// What is asked of them.

#[test]
fn a_start_of_one_with_an_instance_a_connection_has_it_listen_and_is_answered_then() {
    let mut s = Scenario::with([notify("db"), each("echo", 2).requires("db")]);
    s.behave("db", Behaviour { ready_after: Some(secs(5)), ..Behaviour::default() });
    s.stop("echo");
    let start = s.start("echo");
    s.is("echo", Waiting);
    assert!(s.is_open(start));
    s.pass(secs(5));
    s.came_to(start, Waiting);
    let again = s.start("echo");
    s.came_to(again, Waiting);
    assert_eq!(s.attempts("echo"), 0);
}

#[test]
fn one_with_an_instance_a_connection_that_starts_by_itself_listens() {
    let mut s = Scenario::with([each("echo", 2).auto_start(true), spec("later").after("echo").auto_start(true)]);
    s.is("echo", Waiting);
    s.is("later", Running);
    connect(&mut s, "echo");
    s.is("echo@1", Running);
}

#[test]
fn a_stop_stops_the_instances_and_is_answered_once_they_are_gone() {
    let mut s = Scenario::with([each("echo", 2).stop(term_within(30))]);
    s.behave("echo", Behaviour { obeys: Some(secs(5)), ..Behaviour::default() });
    connect(&mut s, "echo");
    connect(&mut s, "echo");
    let stop = s.stop("echo");
    s.is("echo", Stopped);
    s.are(&["echo@1", "echo@2"], Stopping);
    assert!(s.is_open(stop));
    s.pass(secs(5));
    s.came_to(stop, Stopped);
    assert_eq!(there(&s), [""; 0]);
    s.start("echo");
    connect(&mut s, "echo");
    s.is("echo@3", Running);
}

#[test]
fn a_second_stop_kills_the_instances() {
    let mut s = Scenario::with([each("echo", 2).stop(term_within(90))]);
    s.behave("echo", stubborn());
    connect(&mut s, "echo");
    let first = s.stop("echo");
    assert!(s.is_open(first));
    let second = s.stop("echo");
    s.came_to(first, Stopped);
    s.came_to(second, Stopped);
    assert_eq!(there(&s), [""; 0]);
}

#[test]
fn an_instance_that_would_not_die_fails_the_stop_and_is_named() {
    let mut s = Scenario::with([each("echo", 2).stop(term_within(1))]);
    s.behave("echo", Behaviour { obeys: None, killing: Killing::Never, ..Behaviour::default() });
    connect(&mut s, "echo");
    let stop = s.stop("echo");
    s.pass(secs(60));
    match s.refused(stop) {
        Refusal::Stuck { name, .. } => assert_eq!(&*name, "echo@1"),
        other => s.fail(&format!("answered with {other:?}")),
    }
    let again = s.stop("echo");
    assert!(matches!(s.refused(again), Refusal::Stuck { .. }));
    let process = s.id("echo@1");
    let delete = s.command(Command::Delete { process, force: true });
    assert!(matches!(s.refused(delete), Refusal::Stuck { .. }));
}

#[test]
fn an_instance_is_stopped_alone_and_neither_started_nor_restarted_nor_updated() {
    let mut s = Scenario::with([each("echo", 2)]);
    connect(&mut s, "echo");
    connect(&mut s, "echo");
    let start = s.start("echo@1");
    s.came_to(start, Running);
    let restart = s.restart("echo@1");
    assert!(matches!(s.refused(restart), Refusal::State { .. }));
    let process = s.id("echo@1");
    let spec = Box::new(Spec::clone(&s.world.machine().spec(process).expect("it has one")).description("other"));
    let update = s.command(Command::Update { process, spec, restart: false, dry_run: false });
    assert!(matches!(s.refused(update), Refusal::State { .. }));
    let stop = s.stop("echo@1");
    s.came_to(stop, Stopped);
    assert_eq!(there(&s), ["echo@2"]);
    s.is("echo", Waiting);
    let delete = s.delete("echo@2", false);
    assert!(matches!(s.refused(delete), Refusal::State { .. }));
    let delete = s.delete("echo@2", true);
    assert_eq!(s.reply(delete), Ok(neap::core::Done::Deleted));
    assert_eq!(there(&s), [""; 0]);
}

#[test]
fn a_restart_ends_the_instances_and_listens_on() {
    let mut s = Scenario::with([each("echo", 2)]);
    connect(&mut s, "echo");
    let restart = s.restart("echo");
    s.came_to(restart, Waiting);
    assert_eq!(there(&s), [""; 0]);
    connect(&mut s, "echo");
    s.is("echo@2", Running);
}

#[test]
fn a_restart_of_what_it_requires_ends_the_instances_and_it_listens_on() {
    let mut s = Scenario::with([spec("db").auto_start(true), each("echo", 2).requires("db")]);
    connect(&mut s, "echo");
    s.mark();
    let restart = s.restart("db");
    s.came_to(restart, Running);
    assert_eq!(there(&s), [""; 0]);
    assert_eq!(s.attempts("echo@1"), 0, "its connection is gone");
    s.is("echo", Waiting);
    connect(&mut s, "echo");
    s.is("echo@2", Running);
}

#[test]
fn a_stop_of_what_it_requires_stops_it_with_its_instances() {
    let mut s = Scenario::with([spec("db").auto_start(true), each("echo", 2).requires("db")]);
    connect(&mut s, "echo");
    s.mark();
    s.stop("db");
    s.are(&["db", "echo"], Stopped);
    assert_eq!(there(&s), [""; 0]);
    let order = s.order_of(Stopped);
    let place = |name: &str| order.iter().position(|it| it == name);
    assert!(place("echo@1") < place("db"), "{order:?}");
}

#[test]
fn a_removal_waits_for_the_instances() {
    let mut s = Scenario::with([each("echo", 2).stop(term_within(30)), spec("other")]);
    s.behave("echo", Behaviour { obeys: Some(secs(5)), ..Behaviour::default() });
    connect(&mut s, "echo");
    s.apply([spec("other")]);
    s.is("echo", Stopped);
    s.is("echo@1", Stopping);
    let start = s.start("echo");
    assert!(matches!(s.refused(start), Refusal::State { .. }));
    s.pass(secs(5));
    assert_eq!((there(&s), s.world.find("echo")), (vec![], None));

    // One that comes back before that listens again.
    let mut s = Scenario::with([each("echo", 2).stop(term_within(30)), spec("other")]);
    s.behave("echo", Behaviour { obeys: Some(secs(5)), ..Behaviour::default() });
    connect(&mut s, "echo");
    s.apply([spec("other")]);
    s.apply([each("echo", 2).stop(term_within(30)), spec("other")]);
    s.is("echo", Waiting);
    s.pass(secs(5));
    assert_eq!(there(&s), [""; 0]);
    connect(&mut s, "echo");
    s.is("echo@2", Running);
}

#[test]
fn one_made_at_run_time_is_deleted_with_its_instances_by_force_alone() {
    let mut s = Scenario::empty();
    s.command(Command::Create { spec: Box::new(each("echo", 2)), start: true });
    connect(&mut s, "echo");
    let delete = s.delete("echo", false);
    assert!(matches!(s.refused(delete), Refusal::State { .. }));
    let delete = s.delete("echo", true);
    assert_eq!(s.reply(delete), Ok(neap::core::Done::Deleted));
    assert_eq!((there(&s), s.world.find("echo")), (vec![], None));
}

#[test]
fn an_apply_leaves_instances_alone_and_changes_how_many_there_may_be() {
    let mut s = Scenario::with([each("echo", 1)]);
    connect(&mut s, "echo");
    connect(&mut s, "echo");
    assert_eq!(there(&s), ["echo@1"]);
    s.apply([each("echo", 3)]);
    assert_eq!(there(&s), ["echo@1", "echo@2"]);
    s.apply([each("echo", 1)]);
    assert_eq!(there(&s), ["echo@1", "echo@2"]);
    assert_eq!(s.status("echo").reason, "for its instance to end");
    s.exit("echo@1", OK);
    connect(&mut s, "echo");
    assert_eq!(there(&s), ["echo@2"]);
    s.exit("echo@2", OK);
    assert_eq!(there(&s), ["echo@3"]);
}

#[test]
fn a_plan_may_not_take_the_name_of_an_instance() {
    let mut s = Scenario::with([each("echo", 1)]);
    connect(&mut s, "echo");
    let apply = s.command(Command::Apply(Box::new(plan([each("echo", 1), spec("echo@1")]))));
    let refusal = s.refused(apply).to_string();
    assert!(refusal.contains("it is the name of an instance of `echo`"), "{refusal}");
    let mut s = Scenario::with([each("echo", 1), spec("echo@1")]);
    connect(&mut s, "echo");
    s.is("echo@2", Running);
    s.is("echo@1", Created);
}

#[test]
fn a_shutdown_ends_the_instances() {
    let mut s = Scenario::with([each("echo", 2).stop(term_within(30))]);
    s.behave("echo", Behaviour { obeys: Some(secs(5)), ..Behaviour::default() });
    connect(&mut s, "echo");
    s.shutdown();
    assert!(!s.world.finished());
    connect(&mut s, "echo");
    s.pass(secs(5));
    assert!(s.world.finished());
    assert_eq!(there(&s), [""; 0]);
}

// The supervisor's death.

#[test]
fn instances_and_the_room_for_more_survive_the_supervisor() {
    let mut s = Scenario::with([each("echo", 2)]);
    connect(&mut s, "echo");
    connect(&mut s, "echo");
    let pids = [s.pid("echo@1"), s.pid("echo@2")];
    dies(&mut s, 2);
    assert_eq!([s.pid("echo@1"), s.pid("echo@2")], pids);
    connect(&mut s, "echo");
    assert_eq!(there(&s), ["echo@1", "echo@2"]);
    assert_eq!(s.status("echo").reason, "for one of its 2 instances to end");
    s.exit("echo@1", OK);
    assert_eq!(there(&s), ["echo@2", "echo@3"]);
}

#[test]
fn a_connection_that_no_program_had_yet_is_given_up_when_the_supervisor_dies() {
    let mut s = Scenario::with([notify("db"), each("echo", 2).requires("db")]);
    s.behave("db", Behaviour { ready_after: Some(secs(5)), ..Behaviour::default() });
    connect(&mut s, "echo");
    s.is("echo@1", Waiting);
    dies(&mut s, 1);
    assert_eq!(there(&s), [""; 0]);
    s.is("echo", Waiting);

    let mut s = Scenario::with([each("echo", 2)]);
    s.behave("echo", Behaviour { prepare_time: secs(5), ..Behaviour::default() });
    connect(&mut s, "echo");
    s.is("echo@1", Starting);
    s.mark();
    dies(&mut s, 1);
    assert_eq!((there(&s), prepared_with_connections(&s)), (vec![], 0), "nobody's connection is given to another");
    let failed = s.events("echo@1").into_iter().any(
        |event| matches!(&event.cause, Cause::Ended(Ending::Spawn(error)) if error.message.contains("supervisor")),
    );
    assert!(failed);
}

#[test]
fn at_every_moment_of_a_connection_the_supervisor_may_die() {
    for moment in 1..200 {
        let mut s = Scenario::with([each("echo", 1)]);
        s.world.dies_at(moment, Death { gap: secs(1), anchor: true });
        connect(&mut s, "echo");
        connect(&mut s, "echo");
        s.pass(secs(2));
        let lives: Vec<String> = there(&s).into_iter().filter(|name| s.state(name) == Running).collect();
        assert!(lives.len() <= 1, "{lives:?}");
        for name in lives {
            s.exit(&name, OK);
        }
        s.pass(secs(2));
        connect(&mut s, "echo");
        s.pass(secs(2));
        let lives = there(&s).iter().any(|name| s.state(name) == Running);
        s.assert(lives, "whoever connects next is served");
        if s.world.deaths() == 0 {
            return;
        }
    }
    panic!("a connection has no end of moments");
}

// Idle.

#[test]
fn a_process_without_a_connection_for_its_idle_time_is_stopped_and_listens_again() {
    let mut s = Scenario::with([idle("web")]);
    connect(&mut s, "web");
    s.is("web", Running);
    s.mark();
    s.pass(secs(59));
    s.is("web", Running);
    s.pass(secs(20));
    s.is("web", Waiting);
    assert_eq!(s.status("web").reason, "for a connection on tcp:127.0.0.1:8080");
    assert_eq!(s.story("web"), [Stopping, Waiting]);
    assert_eq!(s.sent("web"), [TERM]);
    let stopping =
        s.events("web").into_iter().find(|event| matches!(event.kind, EventKind::State { to: Stopping, .. }));
    assert_eq!(stopping.map(|event| event.cause.clone()), Some(Cause::Idle));
    connect(&mut s, "web");
    s.is("web", Running);
}

#[test]
fn a_process_with_an_open_connection_is_not_idle() {
    let mut s = Scenario::with([idle("web")]);
    connect(&mut s, "web");
    s.world.keep_open("web", 1);
    s.pass(secs(3600));
    s.is("web", Running);
    s.world.keep_open("web", 0);
    s.mark();
    s.pass(secs(60));
    s.is("web", Running);
    s.pass(secs(30));
    s.is("web", Waiting);
}

#[test]
fn a_connection_that_came_and_went_between_two_counts_counts() {
    let mut s = Scenario::with([idle("web")]);
    connect(&mut s, "web");
    for _ in 0..20 {
        s.pass(secs(50));
        connect(&mut s, "web");
        s.is("web", Running);
    }
    s.pass(secs(90));
    s.is("web", Waiting);
}

#[test]
fn one_that_has_no_idle_stop_is_never_counted() {
    let mut s = Scenario::with([spec("web").listen(Listener::new(ListenAddress::Tcp("127.0.0.1:80".into())))]);
    connect(&mut s, "web");
    s.pass(secs(3600));
    s.is("web", Running);
    assert!(!s.since().iter().any(|(_, output)| matches!(output, Output::CountConnections(..))));
}

#[test]
fn a_connection_that_comes_during_the_idle_stop_starts_it_again() {
    let mut s = Scenario::with([idle("web").stop(term_within(30))]);
    s.behave("web", Behaviour { obeys: Some(secs(5)), ..Behaviour::default() });
    connect(&mut s, "web");
    s.pass(secs(76));
    s.is("web", Stopping);
    s.mark();
    connect(&mut s, "web");
    s.is("web", Stopping);
    s.pass(secs(5));
    s.is("web", Running);
    assert_eq!(s.story("web"), [Waiting, Starting, Running]);
}

#[test]
fn an_idle_stop_takes_down_what_binds_to_it_and_not_what_requires_it() {
    let mut s = Scenario::with([
        idle("web"),
        spec("client").requires("web").auto_start(true),
        spec("bound").binds_to("web").auto_start(false),
    ]);
    connect(&mut s, "web");
    s.start("bound");
    s.are(&["client", "bound"], Running);
    s.pass(secs(120));
    s.is("web", Waiting);
    s.is("client", Running);
    s.is("bound", Stopped);
}

#[test]
fn a_stop_by_hand_during_an_idle_stop_is_the_last_word() {
    let mut s = Scenario::with([idle("web").stop(term_within(30))]);
    s.behave("web", Behaviour { obeys: Some(secs(5)), ..Behaviour::default() });
    connect(&mut s, "web");
    s.pass(secs(76));
    s.is("web", Stopping);
    let stop = s.stop("web");
    s.pass(secs(5));
    s.came_to(stop, Stopped);
    s.is("web", Stopped);

    // So is a start.
    s.start("web");
    s.pass(secs(76));
    s.is("web", Stopping);
    let start = s.start("web");
    s.pass(secs(5));
    s.came_to(start, Running);
}

#[test]
fn a_restart_of_what_it_requires_during_an_idle_stop_leaves_it_listening() {
    let mut s = Scenario::with([spec("db").auto_start(true), idle("web").requires("db").stop(term_within(30))]);
    s.behave("web", Behaviour { obeys: Some(secs(5)), ..Behaviour::default() });
    connect(&mut s, "web");
    s.pass(secs(76));
    s.is("web", Stopping);
    s.restart("db");
    s.pass(secs(10));
    s.is("db", Running);
    s.is("web", Waiting);
}

#[test]
fn the_next_supervisor_goes_on_counting_connections() {
    let mut s = Scenario::with([idle("web")]);
    connect(&mut s, "web");
    s.pass(secs(40));
    dies(&mut s, 1);
    s.is("web", Running);
    s.pass(secs(60));
    s.is("web", Waiting);
}

#[test]
fn a_connection_whose_start_meets_an_unmet_condition_is_not_tried_without_end() {
    let conditions = Conditions { path_exists: vec!["/x".into()], ..Conditions::default() };
    let mut s = Scenario::with([idle("web").conditions(conditions)]);
    let unmet = Preparation::Unmet("path_exists: /x".into());
    s.behave("web", Behaviour { preparation: unmet, ..Behaviour::default() });
    s.mark();
    connect(&mut s, "web");
    s.is("web", Backoff);
    assert!(
        s.status("web").reason.starts_with("condition path_exists: /x does not hold"),
        "{}",
        s.status("web").reason
    );
    assert_eq!(s.attempts("web"), 1);
    s.pass(secs(3));
    assert_eq!(s.attempts("web"), 4, "each try is a second after the last");
    s.pass(secs(3600));
    s.is("web", Crashed);
    let states: Vec<StateName> = s.story("web");
    assert!(!states.contains(&Running));
}
