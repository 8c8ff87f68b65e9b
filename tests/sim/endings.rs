//! Ends and what follows: every policy and every ending, delays, limits, health, watchdog.

use std::time::Duration;

use neap::core::{
    EventKind, ExitStatus, HealthStatus, HookKind, Input, Notification, Refusal, StateName, StateName::*, Time,
};
use neap::sim::Behaviour;
use neap::spec::{Health, Hook, ProbeTarget, ProcessType, Restart, RestartPolicy, Signal, Spec};

use super::harness::*;

const POLICIES: [RestartPolicy; 7] = [
    RestartPolicy::Never,
    RestartPolicy::Always,
    RestartPolicy::OnFailure,
    RestartPolicy::OnSuccess,
    RestartPolicy::OnAbnormal,
    RestartPolicy::OnAbort,
    RestartPolicy::OnWatchdog,
];

fn with_policy(spec: Spec, policy: RestartPolicy) -> Spec {
    spec.restart(Restart { policy, jitter: 0.0, ..Restart::default() })
}

/// Runs it under every policy, ends it, and says under which it starts again and as what it rests under the others.
fn restarted_by(
    make: impl Fn() -> Spec,
    does: &Behaviour,
    end: impl Fn(&mut Scenario),
) -> (Vec<RestartPolicy>, Vec<StateName>) {
    let (mut restarts, mut rests) = (Vec::new(), Vec::new());
    for policy in POLICIES {
        let mut s = Scenario::with([with_policy(make(), policy)]);
        s.behave("it", does.clone());
        s.start("it");
        end(&mut s);
        match s.state("it") {
            Backoff => restarts.push(policy),
            rest => rests.push(rest),
        }
    }
    rests.sort();
    rests.dedup();
    (restarts, rests)
}

#[test]
fn a_clean_end_is_followed_by_another_run_on_always_and_on_success() {
    let clean = [
        OK,
        ExitStatus::Code(7),
        killed_by(Signal::TERM),
        killed_by(Signal::HUP),
        killed_by(Signal::INT),
        killed_by(Signal::PIPE),
    ];
    for status in clean {
        let (restarts, rests) =
            restarted_by(|| spec("it").success_exit_status(7), &Behaviour::default(), |s| s.exit("it", status));
        assert_eq!(restarts, [RestartPolicy::Always, RestartPolicy::OnSuccess], "{status:?}");
        assert_eq!(rests, [Exited], "{status:?}");
    }
}

#[test]
fn a_bad_exit_code_is_followed_by_another_run_on_always_and_on_failure() {
    let (restarts, rests) = restarted_by(|| spec("it"), &Behaviour::default(), |s| s.exit("it", BAD));
    assert_eq!(restarts, [RestartPolicy::Always, RestartPolicy::OnFailure]);
    assert_eq!(rests, [Failed]);
}

#[test]
fn an_unclean_signal_is_also_an_abnormal_end_and_an_abort() {
    let segv = Signal::from_number(11).expect("a signal");
    for status in [ExitStatus::Signal { signal: segv, core: true }, killed_by(Signal::KILL), killed_by(Signal::ABRT)] {
        let (restarts, rests) = restarted_by(|| spec("it"), &Behaviour::default(), |s| s.exit("it", status));
        let expected =
            [RestartPolicy::Always, RestartPolicy::OnFailure, RestartPolicy::OnAbnormal, RestartPolicy::OnAbort];
        assert_eq!(restarts, expected, "{status:?}");
        assert_eq!(rests, [Failed], "{status:?}");
    }
}

#[test]
fn a_status_that_nobody_could_learn_counts_as_a_failure_and_as_an_abnormal_end() {
    let (restarts, rests) = restarted_by(|| spec("it"), &Behaviour::default(), |s| s.exit("it", ExitStatus::Unknown));
    assert_eq!(restarts, [RestartPolicy::Always, RestartPolicy::OnFailure, RestartPolicy::OnAbnormal]);
    assert_eq!(rests, [Failed]);
}

#[test]
fn a_start_timeout_is_an_abnormal_end() {
    let make = || spec("it").process_type(ProcessType::Notify).start_timeout(secs(5));
    let (restarts, rests) = restarted_by(make, &silent(), |s| s.pass(secs(5)));
    assert_eq!(restarts, [RestartPolicy::Always, RestartPolicy::OnFailure, RestartPolicy::OnAbnormal]);
    assert_eq!(rests, [Failed]);
}

#[test]
fn a_missed_watchdog_is_an_abnormal_end_and_aborts_the_process() {
    let make = || spec("it").watchdog(secs(5));
    let (restarts, rests) = restarted_by(make, &Behaviour::default(), |s| {
        s.pass(secs(5));
        assert_eq!(s.sent("it").first(), Some(&Sent::Signal(Signal::ABRT, neap::core::Scope::Main)));
    });
    let expected =
        [RestartPolicy::Always, RestartPolicy::OnFailure, RestartPolicy::OnAbnormal, RestartPolicy::OnWatchdog];
    assert_eq!(restarts, expected);
    assert_eq!(rests, [Failed]);
}

#[test]
fn a_oneshot_that_succeeded_rests_under_every_policy_it_may_have() {
    for policy in [RestartPolicy::Never, RestartPolicy::OnFailure, RestartPolicy::OnAbnormal] {
        let mut s = Scenario::with([with_policy(oneshot("it"), policy)]);
        s.behave("it", ends(secs(1), OK));
        s.start("it");
        s.pass(secs(1));
        s.is("it", Exited);
    }
}

#[test]
fn a_restarted_process_comes_back_after_its_delay_and_not_before() {
    let mut s = Scenario::with([spec("web").restart(Restart::on_failure().jitter(0.0).delay(secs(3)))]);
    s.start("web");
    s.exit("web", BAD);
    let retry_at = s.status("web").retry_at.expect("a time");
    assert_eq!(retry_at, s.world.now().after(secs(3)));
    s.pass(secs(3) - millis(1));
    s.is("web", Backoff);
    s.pass(millis(1));
    s.is("web", Running);
}

#[test]
fn delays_grow_by_their_factor_up_to_their_maximum() {
    let restart = Restart::always().jitter(0.0).delay(secs(1)).factor(2.0).max_delay(secs(5)).limit(0, secs(1));
    let mut s = Scenario::with([spec("web").restart(restart)]);
    s.behave("web", ends(Duration::ZERO, BAD));
    s.start("web");
    s.pass(secs(30));
    let times = s.attempt_times("web");
    let gaps: Vec<u64> = times.windows(2).map(|pair| pair[1].since(pair[0]).as_secs()).collect();
    assert_eq!(gaps[..6], [1, 2, 4, 5, 5, 5]);
}

#[test]
fn jitter_comes_from_the_seed_and_stays_within_its_share() {
    let restart = Restart::always().jitter(0.5).delay(secs(10)).factor(1.0).limit(0, secs(1));
    let lives: Vec<Vec<Time>> = (0..2)
        .map(|_| {
            let mut s = Scenario::with([spec("web").restart(restart.clone())]);
            s.behave("web", ends(Duration::ZERO, BAD));
            s.start("web");
            s.pass(secs(500));
            s.attempt_times("web")
        })
        .collect();
    assert_eq!(lives[0], lives[1]);
    let gaps: Vec<Duration> = lives[0].windows(2).map(|pair| pair[1].since(pair[0])).collect();
    assert!(gaps.iter().all(|gap| (secs(5)..=secs(15)).contains(gap)), "{gaps:?}");
    assert!(gaps.windows(2).any(|pair| pair[0] != pair[1]), "it varies: {gaps:?}");
}

#[test]
fn the_start_limit_ends_in_crashed_after_exactly_its_burst_of_automatic_restarts() {
    let mut s =
        Scenario::with([spec("web").restart(Restart::on_failure().jitter(0.0).factor(1.0).limit(3, secs(600)))]);
    s.behave("web", ends(Duration::ZERO, BAD));
    s.start("web");
    s.pass(secs(600));
    s.is("web", Crashed);
    assert_eq!(s.attempts("web"), 1 + 3);
}

#[test]
fn restarts_outside_the_window_do_not_count_against_the_limit() {
    let restart = Restart::always().jitter(0.0).factor(1.0).delay(secs(1)).limit(2, secs(10)).reset_after(secs(3600));
    let mut s = Scenario::with([spec("web").restart(restart)]);
    s.behave("web", ends(secs(5), BAD));
    s.start("web");
    s.pass(secs(120));
    s.assert(s.attempts("web") > 15, "one restart in six seconds is within two in ten");
}

#[test]
fn a_start_by_a_person_resets_the_limit() {
    let mut s =
        Scenario::with([spec("web").restart(Restart::on_failure().jitter(0.0).factor(1.0).limit(2, secs(600)))]);
    s.behave("web", ends(Duration::ZERO, BAD));
    s.start("web");
    s.pass(secs(10));
    s.is("web", Crashed);
    s.mark();
    s.start("web");
    s.pass(secs(10));
    s.is("web", Crashed);
    assert_eq!(s.attempts("web"), 1 + 2);
}

#[test]
fn restarts_by_a_person_do_not_count_against_the_limit() {
    let mut s = Scenario::with([spec("web").restart(Restart::on_failure().jitter(0.0).limit(1, secs(600)))]);
    s.start("web");
    for _ in 0..10 {
        let restart = s.restart("web");
        s.came_to(restart, Running);
    }
    s.exit("web", BAD);
    s.is("web", Backoff);
}

#[test]
fn a_life_of_reset_after_resets_delay_and_limit() {
    let restart = Restart::always().jitter(0.0).factor(2.0).delay(secs(1)).limit(2, secs(600)).reset_after(secs(30));
    let mut s = Scenario::with([spec("web").restart(restart)]);
    s.behave("web", ends(secs(31), BAD));
    s.start("web");
    s.pass(secs(319));
    assert_eq!(s.attempts("web"), 10);
    let gaps: Vec<u64> = s.attempt_times("web").windows(2).map(|pair| pair[1].since(pair[0]).as_secs()).collect();
    assert!(gaps.iter().all(|gap| *gap == 32), "{gaps:?}");
}

#[test]
fn a_crashed_process_says_why() {
    let mut s = Scenario::with([spec("web").restart(Restart::on_failure().jitter(0.0).limit(1, secs(600)))]);
    s.behave("web", ends(Duration::ZERO, ExitStatus::Code(42)));
    s.start("web");
    s.pass(secs(10));
    s.is("web", Crashed);
    let reason = s.status("web").reason;
    assert!(reason.contains("42"), "{reason}");
}

#[test]
fn on_failure_hooks_run_when_no_restart_is_due_and_not_before() {
    let restart = Restart::on_failure().jitter(0.0).factor(1.0).limit(1, secs(600));
    let mut s = Scenario::with([spec("web").restart(restart).on_failure(Hook::command(["/opt/alarm"]))]);
    s.start("web");
    s.exit("web", BAD);
    s.is("web", Backoff);
    assert_eq!(s.hooks("web"), []);
    s.pass(secs(1));
    s.exit("web", BAD);
    s.is("web", Crashed);
    assert_eq!(s.hooks("web"), [HookKind::OnFailure]);
}

#[test]
fn after_stop_hooks_run_however_a_run_ended() {
    let mut s = Scenario::with([spec("web").after_stop(Hook::command(["/opt/clean"]))]);
    s.start("web");
    s.exit("web", BAD);
    assert_eq!(s.hooks("web"), [HookKind::AfterStop]);
    s.pass(secs(1));
    s.is("web", Running);
    s.stop("web");
    assert_eq!(s.hooks("web"), [HookKind::AfterStop; 2]);
    s.start("web");
    s.exit("web", OK);
    assert_eq!(s.hooks("web"), [HookKind::AfterStop; 3]);
}

fn with_health(restart_after: u32) -> Spec {
    let mut health = Health::new(ProbeTarget::http("http://127.0.0.1/health"));
    health.interval = secs(10);
    health.retries = 3;
    health.restart_after = restart_after;
    spec("web").health(health)
}

#[test]
fn health_follows_its_thresholds() {
    let mut s = Scenario::with([with_health(0)]);
    s.start("web");
    assert_eq!(s.health("web"), HealthStatus::Starting);
    // Intervals of ten seconds are spread by a tenth, so that not all processes are asked at once.
    s.pass(secs(11));
    assert_eq!(s.health("web"), HealthStatus::Healthy);
    s.world.behave_now("web", |does| does.probes = (Duration::ZERO, Err("503".into())));
    s.pass(secs(24));
    assert_eq!(s.health("web"), HealthStatus::Healthy, "two failures are not three");
    s.pass(secs(11));
    assert_eq!(s.health("web"), HealthStatus::Unhealthy);
    s.pass(secs(100));
    s.is("web", Running);
    s.world.behave_now("web", |does| does.probes = (Duration::ZERO, Ok(())));
    s.pass(secs(11));
    assert_eq!(s.health("web"), HealthStatus::Healthy);
}

#[test]
fn an_unhealthy_process_is_restarted_after_as_many_failures_as_it_says() {
    let mut s = Scenario::with([with_health(4)]);
    s.start("web");
    let run = s.run("web");
    s.world.behave_now("web", |does| does.probes = (Duration::ZERO, Err("503".into())));
    s.pass(secs(60));
    s.is("web", Running);
    assert_ne!(s.run("web"), run);
    let unhealthy = s.events("web").iter().any(|event| {
        matches!(&event.kind, EventKind::State { to: Backoff | Stopping, .. })
            && format!("{:?}", event.cause).contains("Unhealthy")
    });
    s.assert(unhealthy, "the events say that it was unhealthy");
}

#[test]
fn failures_within_the_start_period_do_not_count() {
    let mut spec = with_health(1);
    if let Some(health) = &mut spec.health {
        health.start_period = secs(60);
        health.retries = 1;
    }
    let mut s = Scenario::with([spec]);
    s.behave("web", Behaviour { probes: (Duration::ZERO, Err("503".into())), ..Behaviour::default() });
    s.start("web");
    let run = s.run("web");
    s.pass(secs(59));
    assert_eq!(s.run("web"), run);
    s.pass(secs(40));
    s.assert(s.attempts("web") == 2, "after the start period it is restarted");
}

#[test]
fn pings_keep_the_watchdog_quiet() {
    let mut s = Scenario::with([spec("web").watchdog(secs(10))]);
    s.behave("web", Behaviour { pings: Some(secs(5)), ..Behaviour::default() });
    s.start("web");
    let run = s.run("web");
    s.pass(secs(300));
    assert_eq!(s.run("web"), run);
    s.world.behave_now("web", |does| does.pings = None);
    s.pass(secs(20));
    assert_ne!(s.status("web").run, Some(run));
}

#[test]
fn a_program_may_trigger_its_own_watchdog() {
    let mut s = Scenario::with([spec("web").watchdog(secs(10))]);
    s.behave("web", Behaviour { pings: Some(secs(5)), ..Behaviour::default() });
    s.start("web");
    let run = s.run("web");
    s.hear(Input::Notified(run, Notification::WatchdogTrigger));
    s.is("web", Backoff);
}

#[test]
fn what_the_leader_leaves_behind_is_ended_before_the_next_run() {
    let mut s = Scenario::with([spec("web")]);
    s.behave("web", Behaviour { helpers: 2, helpers_linger: None, helpers_obey: false, ..Behaviour::default() });
    s.start("web");
    s.exit("web", BAD);
    s.is("web", Stopping);
    assert_eq!(s.world.members("web").len(), 2);
    s.pass(secs(10));
    assert_eq!(s.world.members("web"), []);
    s.is("web", Backoff);
    assert_eq!(s.sent("web"), [TERM, Sent::KillTree]);
}

#[test]
fn an_end_for_lack_of_memory_says_so() {
    let mut s = Scenario::with([once("web")]);
    s.start("web");
    let run = s.run("web");
    s.hear(Input::Oom(run));
    s.exit("web", killed_by(Signal::KILL));
    s.is("web", Failed);
    let reason = s.status("web").reason;
    assert!(reason.contains("oom"), "{reason}");
}

#[test]
fn a_helper_killed_for_lack_of_memory_is_an_event_and_not_an_end() {
    let mut s = Scenario::with([spec("web")]);
    s.behave("web", Behaviour { helpers: 1, ..Behaviour::default() });
    s.start("web");
    let run = s.run("web");
    s.hear(Input::Oom(run));
    s.is("web", Running);
    assert!(s.events("web").iter().any(|event| event.kind == EventKind::Oom));
}

#[test]
fn a_critical_process_that_ends_for_good_ends_the_instance_with_its_code() {
    let mut s = Scenario::with([once("main").critical(true), spec("helper")]);
    s.start("helper");
    s.start("main");
    s.exit("main", ExitStatus::Code(3));
    assert!(s.world.finished());
    let finished = s.since().iter().find_map(|(_, output)| match output {
        neap::core::Output::Finished { code, .. } => Some(*code),
        _ => None,
    });
    assert_eq!(finished, Some(Some(3)));
    assert_eq!(s.world.members("helper"), []);
}

#[test]
fn a_critical_process_that_restarts_ends_nothing_until_its_limit_is_used_up() {
    let restart = Restart::on_failure().jitter(0.0).factor(1.0).limit(2, secs(600));
    let mut s = Scenario::with([spec("main").critical(true).restart(restart)]);
    s.behave("main", ends(Duration::ZERO, BAD));
    s.start("main");
    s.pass(secs(1));
    assert!(!s.world.finished());
    s.pass(secs(10));
    assert!(s.world.finished());
}

#[test]
fn the_success_of_a_critical_oneshot_ends_nothing() {
    let mut s = Scenario::with([oneshot("migrate").critical(true)]);
    s.behave("migrate", ends(secs(1), OK));
    s.start("migrate");
    s.pass(secs(10));
    s.is("migrate", Exited);
    assert!(!s.world.finished());
}

#[test]
fn stopping_a_critical_process_by_hand_ends_nothing() {
    let mut s = Scenario::with([spec("main").critical(true)]);
    s.start("main");
    let stop = s.stop("main");
    s.came_to(stop, Stopped);
    assert!(!s.world.finished());
}

#[test]
fn an_exit_while_starting_answers_who_waits_with_how_it_ended() {
    let mut s = Scenario::with([notify("db").restart(Restart::never())]);
    s.behave(
        "db",
        Behaviour { ready_after: None, exits: Some((secs(1), ExitStatus::Code(9))), ..Behaviour::default() },
    );
    let start = s.start("db");
    s.pass(secs(1));
    s.is("db", Failed);
    match s.refused(start) {
        Refusal::StartFailed { reason, .. } => assert!(reason.contains('9'), "{reason}"),
        other => s.fail(&format!("answered with {other:?}")),
    }
    assert_eq!(s.status("db").exit, Some(ExitStatus::Code(9)));
}

#[test]
fn what_a_run_said_of_its_failure_is_the_reason_of_its_end() {
    let mut s = Scenario::with([spec("web")]);
    s.start("web");
    let run = s.run("web");
    s.hear(Input::Notified(run, Notification::Failed("no letters".into())));
    s.is("web", Running);
    s.exit("web", BAD);
    s.is("web", Backoff);
    assert!(s.status("web").reason.starts_with("no letters; "), "{}", s.status("web").reason);
    // It is forgotten with its run, and an end that is a success needs no reason.
    s.pass(secs(10));
    s.exit("web", BAD);
    assert!(s.status("web").reason.starts_with("exit code "), "{}", s.status("web").reason);
    s.pass(secs(10));
    let run = s.run("web");
    s.hear(Input::Notified(run, Notification::Panicked("oh".into())));
    s.exit("web", ExitStatus::Code(0));
    assert_eq!(s.status("web").reason, "exit code 0");
}
