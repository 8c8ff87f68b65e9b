//! Health: how often a process is asked, what counts, and what follows.

use std::collections::BTreeMap;
use std::time::Duration;

use neap::core::{
    Command, CommandId, EventKind, HealthStatus, Input, Machine, Notification, Now, Output, Pid, ProbeKind, RunId,
    Settings, StateName::*, Time, WallTime,
};
use neap::sim::Behaviour;
use neap::spec::{Health, Probe, ProbeTarget, Ready, Spec};

use super::harness::*;

fn asked(health: impl FnOnce(&mut Health)) -> Spec {
    let mut it = Health::new(ProbeTarget::http("http://127.0.0.1/health"));
    health(&mut it);
    spec("web").health(it)
}

/// When its health was asked for since the mark.
fn probes(s: &Scenario) -> Vec<(Time, RunId)> {
    let probe = |(at, output): &(Time, Output)| match output {
        Output::StartProbe { run, kind: ProbeKind::Health, .. } => Some((*at, *run)),
        _ => None,
    };
    s.since().iter().filter_map(probe).collect()
}

/// The next probe comes to this.
fn answers(s: &mut Scenario, answer: Result<(), String>) {
    s.world.behave_now("web", |does| does.probes = (Duration::ZERO, answer));
    let before = probes(s).len();
    while probes(s).len() == before {
        s.world.step().unwrap();
    }
    s.settle();
}

fn fails(s: &mut Scenario, times: u32) {
    (0..times).for_each(|_| answers(s, Err("503".into())));
}

fn passes(s: &mut Scenario, times: u32) {
    (0..times).for_each(|_| answers(s, Ok(())));
}

#[test]
fn a_success_makes_failures_count_from_the_beginning() {
    let mut s = Scenario::with([asked(|health| (health.retries, health.restart_after) = (2, 3))]);
    s.start("web");
    let run = s.run("web");
    for _ in 0..5 {
        fails(&mut s, 2);
        assert_eq!((s.health("web"), s.status("web").health_failures), (HealthStatus::Unhealthy, 2));
        passes(&mut s, 1);
        assert_eq!((s.health("web"), s.status("web").health_failures), (HealthStatus::Healthy, 0));
        assert_eq!(s.status("web").reason, "");
    }
    fails(&mut s, 2);
    assert_eq!(s.run("web"), run, "two in a row are not three");
    fails(&mut s, 1);
    assert_ne!(s.status("web").state, Running, "three are");
}

#[test]
fn with_a_restart_after_of_0_it_stays_however_long_it_is_sick() {
    let mut s = Scenario::with([asked(|health| health.restart_after = 0)]);
    s.start("web");
    let run = s.run("web");
    fails(&mut s, 200);
    assert_eq!((s.run("web"), s.state("web")), (run, Running));
    assert_eq!(s.status("web").health_failures, 200);
}

#[test]
fn it_is_healthy_again_after_as_many_successes_as_it_says() {
    let mut s = Scenario::with([asked(|health| (health.retries, health.successes) = (1, 3))]);
    s.start("web");
    passes(&mut s, 2);
    assert_eq!(s.health("web"), HealthStatus::Starting);
    passes(&mut s, 1);
    assert_eq!(s.health("web"), HealthStatus::Healthy);
    fails(&mut s, 1);
    assert_eq!(s.health("web"), HealthStatus::Unhealthy);
    passes(&mut s, 2);
    fails(&mut s, 1);
    passes(&mut s, 2);
    assert_eq!(s.health("web"), HealthStatus::Unhealthy, "in a row");
    passes(&mut s, 1);
    assert_eq!(s.health("web"), HealthStatus::Healthy);
}

#[test]
fn who_is_restarted_for_its_health_was_said_to_be_unhealthy_before() {
    let mut s = Scenario::with([asked(|health| (health.retries, health.restart_after) = (3, 1))]);
    s.start("web");
    passes(&mut s, 1);
    s.mark();
    fails(&mut s, 1);
    let told: Vec<String> = s
        .events("web")
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Health { to, reason, .. } => Some(format!("{} {reason}", to.as_str())),
            EventKind::State { to, .. } => Some(to.to_string()),
            _ => None,
        })
        .take(2)
        .collect();
    assert_eq!(told, ["unhealthy 503", "stopping"]);
}

#[test]
fn what_failed_within_the_start_period_is_shown_though_it_does_not_count() {
    let mut s = Scenario::with([asked(|health| health.start_period = secs(600))]);
    s.start("web");
    fails(&mut s, 10);
    let status = s.status("web");
    assert_eq!((status.health, status.health_failures, &*status.reason), (HealthStatus::Starting, 0, "503"));
    passes(&mut s, 1);
    fails(&mut s, 1);
    assert_eq!(s.status("web").health_failures, 1, "once it was well, they count");
}

#[test]
fn a_slow_probe_ends_at_its_timeout_and_the_next_one_comes_an_interval_later() {
    let mut s = Scenario::with([asked(|health| (health.interval, health.timeout) = (secs(10), secs(5)))]);
    s.behave("web", Behaviour { probes: (secs(3600), Ok(())), ..Behaviour::default() });
    s.start("web");
    s.mark();
    s.pass(secs(150));
    let count = probes(&s).len();
    assert!((9..=11).contains(&count), "15 s apart: {count}");
    assert!(s.status("web").reason.contains("no answer within"), "{}", s.status("web").reason);
    s.stop("web");
    s.mark();
    s.pass(secs(100));
    assert_eq!(probes(&s).len(), 0, "who is stopped is not asked");
}

#[test]
fn liveness_is_asked_for_once_it_is_ready_by_something_else() {
    let mut spec = asked(|health| (health.retries, health.restart_after) = (1, 0));
    spec.ready = Ready::LogLine(neap::spec::LogLine { pattern: "ready".into() });
    let mut s = Scenario::with([spec, once("api").requires("web")]);
    s.behave("web", silent());
    s.start("api");
    s.pass(secs(60));
    s.is("web", Starting);
    assert_eq!(probes(&s).len(), 0);
    let run = s.run("web");
    s.hear(Input::LogLine(run));
    s.are(&["web", "api"], Running);
    fails(&mut s, 3);
    assert_eq!(s.health("web"), HealthStatus::Unhealthy);
    s.are(&["web", "api"], Running);
}

#[test]
fn a_ready_probe_and_a_health_check_are_two_things() {
    let mut spec = asked(|health| health.interval = secs(10));
    let target = ProbeTarget::Tcp { host: "127.0.0.1".into(), port: 80 };
    spec.ready = Ready::Probe(Probe { target: target.clone(), interval: None, timeout: None });
    let mut s = Scenario::with([spec]);
    s.behave("web", Behaviour { probes: (Duration::ZERO, Err("refused".into())), ..Behaviour::default() });
    s.start("web");
    s.pass(secs(5));
    let kinds = |s: &Scenario| {
        let kind = |(_, output): &(Time, Output)| match output {
            Output::StartProbe { kind, probe, .. } => Some((*kind, probe.target == target)),
            _ => None,
        };
        s.since().iter().filter_map(kind).collect::<Vec<_>>()
    };
    assert!(kinds(&s).len() > 3 && kinds(&s).iter().all(|asked| *asked == (ProbeKind::Ready, true)));
    s.world.behave_now("web", |does| does.probes = (Duration::ZERO, Ok(())));
    s.pass(secs(2));
    s.is("web", Running);
    assert_eq!((s.health("web"), &*s.status("web").reason), (HealthStatus::Starting, ""));
    s.mark();
    s.pass(secs(40));
    assert!(kinds(&s).len() >= 3 && kinds(&s).iter().all(|asked| *asked == (ProbeKind::Health, false)));
}

#[test]
fn a_thousand_started_at_once_are_not_asked_in_the_same_instant() {
    const COUNT: usize = 1000;
    let specs = (0..COUNT).map(|n| {
        let mut health = Health::new(ProbeTarget::http("http://127.0.0.1/health"));
        health.interval = secs(1);
        spec(&format!("p{n}")).health(health).auto_start(true)
    });
    // The machine alone: all that it asks for is done at once, and well.
    let mut machine = Machine::new(Settings::default());
    let begin = Time(1_000_000_000);
    let mut now = Now { mono: begin, wall: WallTime(0) };
    let apply = Command::Apply(Box::new(plan(specs)));
    machine.handle(now, Input::Command { id: CommandId(1), command: apply, caller: None });
    let mut an_instant: BTreeMap<u64, usize> = BTreeMap::new();
    loop {
        while let Some(output) = machine.poll_output() {
            let input = match output {
                Output::Prepare { run, .. } => Input::Prepared(run),
                Output::Spawn(run) => Input::Executed(run, Pid(u32::try_from(run.0).unwrap())),
                Output::StartProbe { run, kind, .. } => {
                    *an_instant.entry(now.mono.since(begin).as_millis() as u64).or_default() += 1;
                    Input::Probed(run, kind, Ok(()))
                }
                _ => continue,
            };
            machine.handle(now, input);
        }
        match machine.poll_timeout() {
            Some(at) if at < begin.after(secs(10)) => now.mono = at,
            _ => break,
        }
        machine.handle(now, Input::Timeout);
    }
    let total: usize = an_instant.values().sum();
    assert!((8 * COUNT..=11 * COUNT).contains(&total), "{total}");
    let most = an_instant.values().max().copied().unwrap_or_default();
    assert!(most <= 25, "{most} within a millisecond, where 5 are to be expected at first");
    // Each wait is spread anew, so they drift apart.
    let late = an_instant.iter().filter(|(at, _)| **at >= 8_000).map(|(_, count)| *count).max().unwrap_or_default();
    assert!(late < most, "{late} after eight waits, {most} at most");
}

#[test]
fn who_is_noticed_late_to_miss_its_watchdog_has_another_half_of_its_time() {
    let silent = || {
        let mut s = Scenario::with([spec("web").watchdog(secs(10))]);
        s.behave("web", Behaviour { pings: None, ..Behaviour::default() });
        s.start("web");
        s
    };
    let mut s = silent();
    let run = s.run("web");
    let due = s.world.machine().poll_timeout().expect("the watchdog's");
    // Nobody came to look for a minute.
    s.world.sleep_through(due.after(secs(60)));
    s.settle();
    assert_eq!(s.run("web"), run);
    s.hear(Input::Notified(run, Notification::Watchdog));
    s.pass(secs(9));
    assert_eq!(s.run("web"), run);
    s.pass(secs(2));
    assert_ne!(s.status("web").run, Some(run), "missed, and nobody slept");
    let mut s = silent();
    let due = s.world.machine().poll_timeout().expect("the watchdog's");
    s.world.sleep_through(due.after(secs(60)));
    s.settle();
    let run = s.run("web");
    s.pass(secs(10));
    assert_ne!(s.status("web").run, Some(run), "it did not use the half");
}
