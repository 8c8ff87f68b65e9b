//! Limits: changed while a run lives, and named where it ended at one.

use neap::core::StateName::*;
use neap::core::{Ending, EventKind, Input, Output};
use neap::sim::Death;
use neap::spec::{Restart, Signal, Spec};

use super::harness::*;

fn with_pids(name: &str, pids: u64) -> Spec {
    let mut spec = spec(name);
    spec.limits.pids = Some(pids);
    spec
}

fn pids(s: &Scenario, name: &str) -> Option<u64> {
    s.world.limits(name).and_then(|limits| limits.pids)
}

fn set(s: &Scenario) -> usize {
    s.since().iter().filter(|(_, output)| matches!(output, Output::SetLimits { .. })).count()
}

#[test]
fn limits_change_while_the_process_runs_and_it_keeps_its_pid() {
    let mut s = Scenario::with([with_pids("web", 10).auto_start(true)]);
    let pid = s.pid("web");
    assert_eq!(pids(&s, "web"), Some(10));
    let updated = s.update(with_pids("web", 20).auto_start(true), false);
    assert_eq!(updated.needs_restart(), Vec::<String>::new());
    assert_eq!(pids(&s, "web"), Some(20));
    s.apply([spec("web").auto_start(true)]);
    assert_eq!(pids(&s, "web"), None, "what is absent is lifted");
    assert_eq!(s.pid("web"), pid);
}

#[test]
fn limits_that_did_not_change_are_not_set_again() {
    let mut s = Scenario::with([with_pids("web", 10).auto_start(true)]);
    s.mark();
    s.update(with_pids("web", 10).auto_start(true).description("other"), false);
    let mut spec = with_pids("web", 10).auto_start(true).description("other");
    spec.limits.oom_score_adj = Some(100);
    let updated = s.update(spec, false);
    assert_eq!(updated.needs_restart(), ["limits.oom_score_adj"]);
    assert_eq!(set(&s), 0);
}

#[test]
fn limits_that_changed_are_in_force_under_the_next_supervisor_too() {
    let mut s = Scenario::with([with_pids("web", 10).auto_start(true), with_pids("db", 5).auto_start(true)]);
    s.update(with_pids("web", 20).auto_start(true), false);
    s.mark();
    let died = s.world.dies(Death { gap: secs(1), anchor: true });
    died.unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(set(&s), 1, "the other has the limits it was prepared with");
    assert_eq!(pids(&s, "web"), Some(20));
}

#[test]
fn a_run_that_ends_badly_at_its_pids_limit_says_so_and_keeps_its_exit_code() {
    let mut s = Scenario::with([with_pids("web", 10).restart(Restart::never()).auto_start(true)]);
    let run = s.run("web");
    s.mark();
    for _ in 0..3 {
        s.hear(Input::PidsLimit(run));
    }
    s.is("web", Running);
    let told = s.events("web").iter().filter(|event| event.kind == EventKind::PidsLimit).count();
    assert_eq!(told, 1, "a program that goes on trying is told of once");
    s.exit("web", BAD);
    s.is("web", Failed);
    assert_eq!(s.status("web").reason, "exit code 1, at its pids limit");
    assert_eq!(s.status("web").exit, Some(BAD));
    let why = s.world.explain(s.id("web")).expect("it is explained").summary();
    assert!(why.contains("pids limit"), "{why}");
}

#[test]
fn a_run_that_met_its_pids_limit_and_ended_well_has_ended_well() {
    let mut s = Scenario::with([with_pids("web", 10).auto_start(true)]);
    let run = s.run("web");
    s.hear(Input::PidsLimit(run));
    s.exit("web", OK);
    s.is("web", Exited);
    assert_eq!(s.status("web").reason, "exit code 0");
}

#[test]
fn the_next_run_is_not_blamed_for_the_pids_limit_of_the_last() {
    let mut s = Scenario::with([with_pids("web", 10).auto_start(true)]);
    let run = s.run("web");
    s.hear(Input::PidsLimit(run));
    s.exit("web", BAD);
    s.is("web", Backoff);
    s.pass(secs(1));
    s.exit("web", BAD);
    let reason = s.status("web").reason;
    assert!(!reason.contains("pids limit"), "{reason}");
}

#[test]
fn lack_of_memory_is_named_before_the_pids_limit() {
    let mut s = Scenario::with([with_pids("web", 10).restart(Restart::never()).auto_start(true)]);
    let run = s.run("web");
    s.hear(Input::PidsLimit(run));
    s.hear(Input::Oom(run));
    s.exit("web", killed_by(Signal::KILL));
    assert_eq!(s.status("web").reason, Ending::Oom.to_string());
}

#[test]
fn a_crash_at_the_pids_limit_is_restarted_as_any_crash_is() {
    let mut s = Scenario::with([with_pids("web", 10)
        .restart(Restart { policy: neap::spec::RestartPolicy::OnAbnormal, ..Restart::on_failure().jitter(0.0) })
        .auto_start(true)]);
    let run = s.run("web");
    s.hear(Input::PidsLimit(run));
    s.exit("web", killed_by(Signal::ABRT));
    s.is("web", Backoff);
    s.pass(secs(1));
    let run = s.run("web");
    s.hear(Input::PidsLimit(run));
    s.exit("web", BAD);
    s.is("web", Failed);
}
