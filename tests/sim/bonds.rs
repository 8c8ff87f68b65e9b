//! What one process's life does to another's: binds_to, part_of, follows, conflicts.

use std::time::Duration;

use neap::core::{HoldKind, Refusal, SpawnError, SpawnStep, StateName::*};
use neap::sim::{Behaviour, Killing, Preparation};
use neap::spec::Restart;

use super::harness::*;

#[test]
fn binds_to_starts_the_other_and_waits_for_it() {
    let mut s = Scenario::with([notify("db"), spec("web").binds_to("db")]);
    s.behave("db", Behaviour { ready_after: Some(secs(2)), ..Behaviour::default() });
    let start = s.start("web");
    s.is("web", Waiting);
    assert_eq!(s.status("web").holds[0].kind, HoldKind::BindsTo);
    s.pass(secs(2));
    s.came_to(start, Running);
}

#[test]
fn what_binds_to_another_stops_whenever_that_leaves_running() {
    for (how, end) in [("failure", BAD), ("success", OK)] {
        let mut s = Scenario::with([spec("db"), spec("web").binds_to("db")]);
        s.start("web");
        s.exit("db", end);
        s.assert(s.state("web") == Stopped, how);
        s.pass(secs(100));
        s.is("web", Stopped);
    }
    let mut s = Scenario::with([spec("db"), spec("web").binds_to("db")]);
    s.start("web");
    s.stop("db");
    s.are(&["db", "web"], Stopped);
    assert_eq!(s.order_of(Stopped), ["web", "db"]);
}

#[test]
fn what_binds_stays_stopped_unless_it_also_follows() {
    let mut s = Scenario::with([spec("db"), spec("bound").binds_to("db"), spec("both").binds_to("db").follows("db")]);
    s.start("bound");
    s.start("both");
    s.exit("db", BAD);
    s.are(&["bound", "both"], Stopped);
    s.pass(secs(1));
    s.is("db", Running);
    s.is("bound", Stopped);
    s.is("both", Running);
}

#[test]
fn a_chain_of_binds_to_and_follows_comes_back_in_order() {
    let mut s = Scenario::with([
        spec("a"),
        spec("b").binds_to("a").follows("a"),
        spec("c").binds_to("b").follows("b"),
        spec("d").binds_to("c").follows("c"),
    ]);
    s.start("d");
    s.are(&["a", "b", "c", "d"], Running);
    s.mark();
    s.exit("a", BAD);
    s.are(&["b", "c", "d"], Stopped);
    s.is("a", Backoff);
    s.pass(secs(1));
    s.are(&["a", "b", "c", "d"], Running);
    assert_eq!(s.order_of(Running), ["a", "b", "c", "d"]);
    s.mark();
    s.exit("b", BAD);
    s.is("a", Running);
    s.pass(secs(1));
    s.are(&["a", "b", "c", "d"], Running);
    assert_eq!(s.order_of(Running), ["b", "c", "d"]);
}

#[test]
fn follows_restarts_me_when_the_other_comes_back_after_a_failure() {
    let mut s = Scenario::with([spec("db"), spec("web").follows("db")]);
    s.start("db");
    s.start("web");
    let run = s.run("web");
    s.exit("db", BAD);
    s.is("web", Running);
    assert_eq!(s.run("web"), run, "it goes on until the other is back");
    s.pass(secs(1));
    s.are(&["db", "web"], Running);
    assert_ne!(s.run("web"), run);
}

#[test]
fn follows_restarts_me_when_the_other_is_restarted() {
    let mut s = Scenario::with([spec("db"), spec("web").follows("db")]);
    s.start("db");
    s.start("web");
    let run = s.run("web");
    let restart = s.restart("db");
    s.came_to(restart, Running);
    s.pass(Duration::ZERO);
    s.are(&["db", "web"], Running);
    assert_ne!(s.run("web"), run);
}

#[test]
fn follows_does_not_start_what_a_person_stopped() {
    let mut s = Scenario::with([spec("db"), spec("web").binds_to("db").follows("db")]);
    s.start("web");
    s.stop("web");
    s.exit("db", BAD);
    s.pass(secs(10));
    s.is("db", Running);
    s.is("web", Stopped);
}

#[test]
fn part_of_is_stopped_and_restarted_with_the_whole() {
    let mut s = Scenario::with([spec("agent"), spec("part").part_of("agent"), spec("alone")]);
    for name in ["agent", "part", "alone"] {
        s.start(name);
    }
    let run = s.run("part");
    let restart = s.restart("agent");
    s.came_to(restart, Running);
    s.pass(Duration::ZERO);
    s.are(&["agent", "part", "alone"], Running);
    assert_ne!(s.run("part"), run);
    s.stop("agent");
    s.are(&["agent", "part"], Stopped);
    s.is("alone", Running);
}

#[test]
fn a_failure_of_the_whole_leaves_its_part_alone() {
    let mut s = Scenario::with([once("agent"), spec("part").part_of("agent")]);
    s.start("agent");
    s.start("part");
    s.exit("agent", BAD);
    s.is("agent", Failed);
    s.is("part", Running);
}

#[test]
fn starting_the_whole_does_not_start_its_part() {
    let mut s = Scenario::with([spec("agent"), spec("part").part_of("agent")]);
    s.start("agent");
    s.is("part", Created);
}

#[test]
fn a_conflict_is_stopped_and_gone_before_i_start_whoever_declared_it() {
    for (old, new) in [(spec("old").conflicts("new"), spec("new")), (spec("old"), spec("new").conflicts("old"))] {
        let mut s = Scenario::with([old.stop(term_within(5)), new]);
        s.behave("old", Behaviour { obeys: Some(secs(2)), ..Behaviour::default() });
        s.start("old");
        let start = s.start("new");
        s.is("old", Stopping);
        s.is("new", Waiting);
        assert_eq!(s.status("new").holds[0].kind, HoldKind::Conflict);
        s.pass(secs(2));
        s.is("old", Stopped);
        s.came_to(start, Running);
    }
}

#[test]
fn a_conflict_that_cannot_be_ended_keeps_me_from_starting() {
    let mut s = Scenario::with([spec("old"), spec("new").conflicts("old")]);
    s.behave("old", Behaviour { obeys: None, killing: Killing::Never, ..Behaviour::default() });
    s.start("old");
    let start = s.start("new");
    s.pass(secs(60));
    s.is("old", Stopping);
    s.is("new", Failed);
    assert_eq!(s.attempts("new"), 0);
    match s.refused(start) {
        Refusal::StartFailed { reason, .. } => assert!(reason.contains("`old`"), "{reason}"),
        other => s.fail(&format!("answered with {other:?}")),
    }
}

#[test]
fn what_was_stopped_by_a_conflict_does_not_come_back_by_itself() {
    let mut s = Scenario::with([spec("old").restart(Restart::always()), spec("new").conflicts("old")]);
    s.start("old");
    s.start("new");
    s.is("old", Stopped);
    s.stop("new");
    s.pass(secs(100));
    s.is("old", Stopped);
}

#[test]
fn a_conflict_in_backoff_is_stopped_too() {
    let mut s = Scenario::with([spec("old"), spec("new").conflicts("old")]);
    s.start("old");
    s.exit("old", BAD);
    s.is("old", Backoff);
    let start = s.start("new");
    s.came_to(start, Running);
    s.is("old", Stopped);
    s.pass(secs(10));
    s.is("old", Stopped);
}

#[test]
fn two_that_conflict_and_start_by_themselves_are_refused() {
    let mut s = Scenario::empty();
    let both = plan([spec("a").auto_start(true), spec("b").conflicts("a").auto_start(true)]);
    let apply = s.command(neap::core::Command::Apply(Box::new(both)));
    assert!(matches!(s.refused(apply), Refusal::Invalid(_)));
    assert_eq!(s.world.find("a"), None);
}

#[test]
fn what_requires_goes_down_with_an_explicit_stop_through_a_chain() {
    let mut s =
        Scenario::with([spec("a"), spec("b").requires("a"), spec("c").requires("b"), spec("d").wants("c").after("c")]);
    s.start("c");
    s.start("d");
    s.mark();
    s.stop("a");
    s.are(&["a", "b", "c"], Stopped);
    s.is("d", Running);
    assert_eq!(s.order_of(Stopped), ["c", "b", "a"]);
}

#[test]
fn a_restart_brings_back_a_whole_chain_that_its_stop_took_down() {
    let mut s = Scenario::with([spec("a"), spec("b").requires("a"), spec("c").binds_to("b"), spec("d").part_of("a")]);
    s.start("c");
    s.start("d");
    s.mark();
    let restart = s.restart("a");
    s.came_to(restart, Running);
    s.pass(Duration::ZERO);
    s.are(&["a", "b", "c", "d"], Running);
    assert_eq!(s.attempts("c"), 1);
}

#[test]
fn a_bound_process_that_is_starting_is_stopped_when_the_other_ends() {
    let mut s = Scenario::with([once("db"), notify("web").binds_to("db")]);
    s.behave("web", silent());
    let start = s.start("web");
    s.is("web", Starting);
    s.exit("db", BAD);
    s.assert(matches!(s.state("web"), Stopped | Failed), "it is down");
    s.refused(start);
    assert_eq!(s.world.members("web"), []);
}

#[test]
fn what_waits_for_a_failure_fails_with_its_reason_and_starts_nothing() {
    let mut s = Scenario::with([once("a"), once("b").requires("a"), once("c").requires("b")]);
    let error =
        SpawnError { step: SpawnStep::Prepare, errno: None, message: "user `nobody-here` does not exist".into() };
    s.behave("a", Behaviour { preparation: Preparation::Fails(error), ..Behaviour::default() });
    let start = s.start("c");
    s.are(&["a", "b", "c"], Failed);
    s.refused(start);
    assert_eq!((s.attempts("b"), s.attempts("c")), (0, 0));
    assert!(s.status("a").reason.contains("nobody-here"));
}

#[test]
fn of_two_that_conflict_the_one_that_was_asked_for_last_wins() {
    let mut s = Scenario::with([spec("old").stop(term_within(5)), spec("new").conflicts("old")]);
    s.behave("old", Behaviour { obeys: Some(secs(2)), ..Behaviour::default() });
    s.start("old");
    let new = s.start("new");
    s.is("new", Waiting);
    let old = s.restart("old");
    s.pass(secs(5));
    s.came_to(old, Running);
    assert!(matches!(s.refused(new), Refusal::Superseded { .. }));
    s.is("new", Stopped);
}

#[test]
fn of_two_that_conflict_and_are_started_together_one_runs() {
    let mut s = Scenario::with([spec("a"), spec("b").conflicts("a"), spec("both").wants("a").wants("b")]);
    let start = s.start("both");
    s.came_to(start, Running);
    let up = ["a", "b"].into_iter().filter(|name| s.state(name) == Running).count();
    assert_eq!(up, 1);
}

#[test]
fn who_needs_what_would_not_die_fails_at_once_and_does_not_wait_for_ever() {
    let mut s = Scenario::with([spec("db").stop(term_within(1)), spec("web").requires("db")]);
    s.behave("db", Behaviour { obeys: None, killing: Killing::Never, ..Behaviour::default() });
    s.start("db");
    let restart = s.restart("db");
    s.pass(secs(60));
    assert!(matches!(s.refused(restart), Refusal::Stuck { .. }));
    let web = s.start("web");
    match s.refused(web) {
        Refusal::StartFailed { reason, .. } => assert!(reason.contains("`db`"), "{reason}"),
        other => s.fail(&format!("answered with {other:?}")),
    }
}

#[test]
fn a_need_that_is_lost_while_another_is_waited_for_is_waited_for_again() {
    let mut s = Scenario::with([spec("db"), notify("cache"), spec("web").requires("db").requires("cache")]);
    s.behave("cache", silent());
    s.start("db");
    let web = s.start("web");
    s.exit("db", BAD);
    s.is("db", Backoff);
    let cache = s.run("cache");
    s.hear(neap::core::Input::Notified(cache, neap::core::Notification::Ready));
    s.is("web", Waiting);
    assert_eq!(s.attempts("web"), 0);
    s.pass(secs(1));
    s.came_to(web, Running);
    assert_eq!(s.order_of(Running).last().map(String::as_str), Some("web"));
}

#[test]
fn a_person_s_stop_of_what_is_down_already_keeps_it_down() {
    let mut s = Scenario::with([spec("db"), spec("web").binds_to("db").follows("db")]);
    s.start("web");
    s.exit("db", BAD);
    s.is("web", Stopped);
    s.is("db", Backoff);
    let stop = s.stop("web");
    s.came_to(stop, Stopped);
    s.pass(secs(10));
    s.is("db", Running);
    s.is("web", Stopped);
}

#[test]
fn a_follower_that_needs_two_that_conflict_does_not_make_them_take_turns() {
    let mut s = Scenario::with([
        spec("a").conflicts("b"),
        spec("b"),
        spec("torn").requires("a").requires("b").follows("a").follows("b"),
    ]);
    s.start("a");
    s.start("torn");
    s.start("b");
    s.pass(secs(60));
    let up = ["a", "b"].into_iter().filter(|name| s.state(name) == Running).count();
    assert!(up <= 1);
    s.assert(s.world.outputs().len() < 500, "it comes to rest");
}
