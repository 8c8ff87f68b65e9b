//! Shutdown: in reverse order, as wide as the graph allows, and over when nothing is left.

use neap::core::{Command, Done, Input, Output, Refusal, Settings, StateName::*};
use neap::sim::{Behaviour, Hostility, Killing, World};
use neap::spec::{ListenAddress, Listener, Restart};

use super::harness::*;

#[test]
fn everything_is_stopped_in_reverse_order() {
    let mut s = Scenario::with([
        spec("db").auto_start(true),
        spec("api").requires("db").auto_start(true),
        spec("web").after("api").auto_start(true),
        spec("alone").auto_start(true),
    ]);
    for name in ["db", "api", "web", "alone"] {
        s.world.behave_now(name, |does| does.obeys = Some(secs(2)));
    }
    s.mark();
    let down = s.shutdown();
    assert_eq!(s.sent("web"), [TERM]);
    assert_eq!(s.sent("alone"), [TERM], "what nobody waits for goes at once");
    assert_eq!((s.sent("api"), s.sent("db")), (vec![], vec![]));
    s.pass(secs(2));
    assert_eq!((s.sent("api").len(), s.sent("db").len()), (1, 0));
    s.pass(secs(4));
    assert_eq!(s.reply(down), Ok(Done::ShutDown));
    assert!(s.world.finished());
    let order = s.order_of(Stopped);
    let place = |name: &str| order.iter().position(|it| it == name);
    assert!(place("web") < place("api") && place("api") < place("db"), "{order:?}");
}

#[test]
fn nothing_starts_once_the_shutdown_began() {
    let mut s =
        Scenario::with([spec("web").auto_start(true), spec("crashing").restart(Restart::always()), spec("idle")]);
    s.start("crashing");
    s.exit("crashing", BAD);
    s.is("crashing", Backoff);
    s.world.behave_now("web", |does| does.obeys = Some(secs(5)));
    s.mark();
    s.shutdown();
    let idle = s.id("idle");
    let start = s.command(Command::Start(idle));
    assert_eq!(s.refused(start), Refusal::ShuttingDown);
    let create = s.command(Command::Create { spec: Box::new(spec("new")), start: true });
    assert_eq!(s.refused(create), Refusal::ShuttingDown);
    let apply = s.command(Command::Apply(Box::new(plan([spec("new").auto_start(true)]))));
    assert_eq!(s.refused(apply), Refusal::ShuttingDown);
    s.pass(secs(60));
    assert!(s.world.finished());
    let prepared = s.since().iter().filter(|(_, output)| matches!(output, Output::Prepare { .. } | Output::Spawn(_)));
    assert_eq!(prepared.count(), 0);
}

#[test]
fn a_second_shutdown_escalates_every_stop_in_progress() {
    let mut s = Scenario::with([
        spec("db").auto_start(true).stop(term_within(90)),
        spec("web").requires("db").auto_start(true).stop(term_within(90)),
    ]);
    for name in ["db", "web"] {
        s.world.behave_now(name, |does| does.obeys = None);
    }
    let first = s.shutdown();
    s.pass(secs(1));
    assert!(s.is_open(first));
    let second = s.shutdown();
    s.pass(secs(1));
    assert!(s.world.finished());
    assert_eq!(s.reply(first), Ok(Done::ShutDown));
    assert_eq!(s.reply(second), Ok(Done::ShutDown));
}

#[test]
fn after_its_timeout_a_shutdown_escalates_by_itself() {
    let settings = Settings { seed: 1, shutdown_timeout: Some(secs(20)) };
    let mut world = World::new(1, Hostility::NONE, settings);
    world.behave("web", stubborn());
    let specs = plan([spec("web").auto_start(true).stop(term_within(3600))]);
    world.command(Command::Apply(Box::new(specs))).expect("a world");
    let begin = world.now();
    world.run_until(begin.after(secs(1))).expect("a world");
    world.command(Command::Shutdown).expect("a world");
    world.run_until(begin.after(secs(20))).expect("a world");
    assert!(!world.finished());
    world.run_until(begin.after(secs(22))).expect("a world");
    assert!(world.finished());
}

#[test]
fn what_will_not_die_is_named_and_does_not_hold_up_the_end() {
    let mut s = Scenario::with([
        spec("db").auto_start(true),
        spec("stuck").requires("db").auto_start(true).stop(term_within(1)),
    ]);
    s.world.behave_now("stuck", |does| {
        does.obeys = None;
        does.killing = Killing::Never;
    });
    let stuck = s.id("stuck");
    s.shutdown();
    s.pass(secs(120));
    assert!(s.world.finished());
    assert_eq!(s.world.members("db"), []);
    let named = s.since().iter().find_map(|(_, output)| match output {
        Output::Finished { stuck, .. } => Some(stuck.clone()),
        _ => None,
    });
    assert_eq!(named, Some(vec![stuck]));
}

#[test]
fn a_shutdown_of_nothing_is_over_at_once() {
    let mut s = Scenario::empty();
    let down = s.shutdown();
    assert_eq!(s.reply(down), Ok(Done::ShutDown));
    assert!(s.world.finished());
}

#[test]
fn whoever_waits_for_a_start_is_told_of_the_shutdown() {
    let mut s = Scenario::with([notify("db"), spec("web").requires("db")]);
    s.behave("db", silent());
    let (db, web) = (s.start("db"), s.start("web"));
    s.shutdown();
    s.pass(secs(60));
    for start in [db, web] {
        let refusal = s.refused(start);
        let told = matches!(refusal, Refusal::Superseded { by: "the shutdown", .. } | Refusal::ShuttingDown);
        s.assert(told, &format!("answered with {refusal:?}"));
    }
}

#[test]
fn a_connection_during_the_shutdown_starts_nothing() {
    let listener = Listener::new(ListenAddress::Unix("/run/web.sock".into()));
    let mut s = Scenario::with([spec("web").listen(listener).auto_start(false), spec("slow").auto_start(true)]);
    s.world.behave_now("slow", |does| does.obeys = Some(secs(5)));
    let web = s.id("web");
    s.shutdown();
    s.hear(Input::SocketReadable(web));
    s.pass(secs(60));
    assert!(s.world.finished());
    assert_eq!(s.attempts("web"), 0);
}

#[test]
fn a_shutdown_while_everything_starts_leaves_nothing() {
    let mut s = Scenario::empty();
    let slow =
        Behaviour { exec_time: secs(2), ready_after: Some(secs(2)), prepare_time: secs(1), ..Behaviour::default() };
    for name in ["a", "b", "c"] {
        s.behave(name, slow.clone());
    }
    s.apply([notify("a").auto_start(true), notify("b").after("a").auto_start(true), spec("c").auto_start(true)]);
    s.pass(millis(1500));
    s.shutdown();
    s.pass(secs(100));
    assert!(s.world.finished());
    for name in ["a", "b", "c"] {
        assert_eq!(s.world.members(name), []);
    }
}
