//! The supervisor dies and another takes its place (E1 to E3, as far as the machine goes): nothing that lives is forgotten,
//! doubled or counted twice, ends are told exactly, and what was under way goes on.

use std::time::Duration;

use neap::core::{
    Applied, ChangeKind, Command, Done, EventKind, ExitStatus, HealthStatus, HookKind, Machine, Now, Output, Scope,
    StateName::*, Status, Time, WallTime,
};
use neap::sim::{Behaviour, Death};
use neap::spec::{
    Health, Hook, ListenAddress, Listener, ProbeTarget, ProcessType, Ready, Reload, Restart, Signal, Stop, StopStep,
};

use super::harness::*;

const AT_ONCE: Death = Death { gap: Duration::ZERO, anchor: true };
fn segv() -> ExitStatus {
    ExitStatus::Signal { signal: Signal::from_number(11).expect("SIGSEGV"), core: true }
}

fn away(seconds: u64) -> Death {
    Death { gap: secs(seconds), anchor: true }
}

fn dies(s: &mut Scenario, death: Death) {
    if let Err(failure) = s.world.dies(death) {
        panic!("{failure}");
    }
    s.settle();
}

/// Asks for something, and once more if the supervisor died of it: it may have been lost.
fn insist(s: &mut Scenario, command: Command) {
    let deaths = s.world.deaths();
    s.command(command.clone());
    if deaths != s.world.deaths() {
        s.command(command);
    }
}

fn hooked(mut spec: neap::spec::Spec) -> neap::spec::Spec {
    spec.hooks.before_start = vec![Hook::command(["/bin/a"]), Hook::command(["/bin/b"])];
    spec.hooks.after_start = vec![Hook::command(["/bin/c"])];
    spec.hooks.before_stop = vec![Hook::command(["/bin/d"])];
    spec.hooks.after_stop = vec![Hook::command(["/bin/e"])];
    spec.hooks.on_failure = vec![Hook::command(["/bin/f"])];
    spec
}

fn listening(name: &str) -> neap::spec::Spec {
    let mut spec = spec(name);
    spec.listen = vec![Listener {
        name: None,
        address: ListenAddress::Tcp("127.0.0.1:1".into()),
        accept: None,
        idle_stop: None,
        mode: 0o660,
        user: None,
        group: None,
        backlog: 16,
        fd_env: None,
        client_fd_env: None,
    }];
    spec
}

/// A program whose every step takes a moment, so that a death may fall into each.
fn slow() -> Behaviour {
    let mut does = Behaviour {
        prepare_time: millis(3),
        exec_time: millis(3),
        ready_after: Some(millis(3)),
        obeys: Some(millis(3)),
        helpers: 1,
        helpers_linger: Some(millis(3)),
        probes: (millis(3), Ok(())),
        ..Behaviour::default()
    };
    for kind in [
        HookKind::BeforeStart,
        HookKind::AfterStart,
        HookKind::BeforeStop,
        HookKind::StopCommand,
        HookKind::AfterStop,
        HookKind::OnFailure,
        HookKind::Reload,
    ] {
        does.hooks.insert(kind, (millis(3), Ok(())));
    }
    does
}

/// `web` binds to `db`; both have all that a life can have.
fn pair() -> Vec<neap::spec::Spec> {
    let mut db = hooked(notify("db")).auto_start(true);
    db.stop.command = Some(vec!["/bin/stop".into()]);
    db.restart = Restart::always().jitter(0.0).factor(1.0);
    let mut web = hooked(spec("web")).auto_start(true).binds_to("db").follows("db");
    web.ready = Ready::tcp(80);
    web.health = Some(Health::new(ProbeTarget::Tcp { host: "127.0.0.1".into(), port: 80 }));
    web.reload = Some(Reload::Command(vec!["/bin/reload".into()]));
    vec![db, web]
}

/// What is done, and what everything has come to long after, whenever the supervisor died.
type Story = (&'static str, fn(&mut Scenario), fn(&Scenario));

fn are_up(s: &Scenario) {
    s.are(&["db", "web"], Running);
    for name in ["db", "web"] {
        assert_eq!(s.world.members(name).len(), 2, "`{name}`: its main process and its helper, and nothing twice");
        assert!(s.world.members(name).contains(&s.pid(name)), "`{name}`");
    }
}

fn stories() -> Vec<Story> {
    vec![
        (
            "a start",
            |_| {},
            |s| {
                are_up(s);
                for name in ["db", "web"] {
                    assert_eq!(
                        (s.status(name).run_count, s.status(name).restarts),
                        (1, 0),
                        "`{name}` was executed once"
                    );
                }
            },
        ),
        (
            "a stop",
            |s| {
                s.pass(secs(1));
                let command = Command::Stop(s.id("db"));
                insist(s, command);
            },
            |s| {
                s.are(&["db", "web"], Stopped);
                assert!(s.status("db").run_count <= 1 && s.status("web").run_count <= 1);
            },
        ),
        (
            "a crash and its restart",
            |s| {
                s.pass(secs(1));
                if s.world.live_run("db").is_some() {
                    s.exit("db", segv());
                }
            },
            |s| {
                are_up(s);
                assert!((1..=2).contains(&s.status("db").run_count));
            },
        ),
        (
            "a restart by a person",
            |s| {
                s.pass(secs(1));
                let command = Command::Restart(s.id("db"));
                insist(s, command);
            },
            |s| {
                are_up(s);
                // A child that the death took is made once more, and the restart may come before that; or be asked for twice.
                assert!((1..=3).contains(&s.status("db").run_count) && (1..=3).contains(&s.status("web").run_count));
            },
        ),
        (
            "a reload",
            |s| {
                s.pass(secs(1));
                let command = Command::Reload(s.id("web"));
                insist(s, command);
            },
            are_up,
        ),
        (
            "a plan that changes, adds and removes",
            |s| {
                s.pass(secs(1));
                let mut specs = pair();
                specs.remove(1);
                specs[0] = specs[0].clone().env("LEVEL", "2");
                specs.push(spec("new").auto_start(true).after("db"));
                let mut plan = plan(specs);
                plan.generation = 7;
                insist(s, Command::Apply(Box::new(plan)));
            },
            |s| {
                s.are(&["db", "new"], Running);
                assert_eq!((s.world.find("web"), s.world.machine().generation()), (None, 7));
                assert_eq!(s.world.members("web"), []);
            },
        ),
        (
            "a failure for good",
            |s| {
                s.behave("web", Behaviour { exits: Some((secs(5), BAD)), ..slow() });
                let spec = Box::new(hooked(spec("web")).auto_start(true).restart(Restart::never()));
                let command = Command::Update { process: s.id("web"), spec, restart: true, dry_run: false };
                insist(s, command);
            },
            |s| {
                s.is("web", Failed);
                assert_eq!(s.world.members("web"), []);
            },
        ),
        (
            "a shutdown",
            |s| {
                s.pass(secs(1));
                insist(s, Command::Shutdown);
            },
            |s| {
                s.are(&["db", "web"], Stopped);
                assert!(s.world.finished());
            },
        ),
    ]
}

/// E2: at each moment of each of these, once with nobody missing and once with some time between, with an anchor and without.
#[test]
fn e2_a_crash_at_every_step_of_a_life_forgets_and_doubles_nothing() {
    let deaths = [AT_ONCE, away(3), Death { gap: secs(3), anchor: false }];
    let mut moments = 0;
    for (story, act, outcome) in stories() {
        for death in deaths {
            for moment in 1.. {
                let mut s = Scenario::empty();
                s.world.dies_at(moment, death);
                for name in ["db", "web"] {
                    s.behave(name, slow());
                }
                insist(&mut s, Command::Apply(Box::new(plan(pair()))));
                act(&mut s);
                s.pass(secs(300));
                outcome(&s);
                if s.world.deaths() == 0 {
                    assert!(moment > 20, "{story} has only {moment} moments");
                    break;
                }
                moments += 1;
            }
        }
    }
    assert!(moments > 1_000, "{moments}");
}

/// E1: in all states at once.
#[test]
fn e1_what_lives_goes_on_under_the_next_supervisor_as_if_nothing_had_been() {
    let healthy = |name: &str| {
        let mut spec = spec(name);
        let mut health = Health::new(ProbeTarget::Tcp { host: "127.0.0.1".into(), port: 1 });
        health.interval = secs(5);
        spec.health = Some(health);
        spec
    };
    let mut s = Scenario::with([
        spec("plain").auto_start(true),
        notify("notifies").auto_start(true),
        healthy("healthy").auto_start(true),
        oneshot("done").remain(true).auto_start(true),
        spec("bound").binds_to("plain").auto_start(true),
        notify("starting").start_timeout(secs(60)).auto_start(false),
        spec("waiting").requires("starting"),
        spec("broken").restart(Restart::always().delay(secs(30)).jitter(0.0)).auto_start(true),
        spec("stopping").stop(term_within(60)).auto_start(true),
        listening("armed"),
        spec("never"),
    ]);
    s.behave("starting", Behaviour { ready_after: Some(secs(20)), ..Behaviour::default() });
    s.start("waiting");
    s.exit("broken", BAD);
    s.world.behave_now("stopping", |does| does.obeys = Some(secs(20)));
    s.stop("stopping");
    s.pass(secs(10));
    let names: Vec<String> = s
        .world
        .machine()
        .processes()
        .iter()
        .filter_map(|id| s.world.machine().name(*id))
        .map(|n| n.to_string())
        .collect();
    // When its health was last asked for may be later: it is asked again where nobody heard the answer.
    let look = |s: &Scenario, name: &String| Status { health_checked_at: None, ..s.status(name) };
    let before: Vec<_> = names.iter().map(|name| look(&s, name)).collect();
    let members: Vec<_> = names.iter().map(|name| s.world.members(name)).collect();

    s.mark();
    for _ in 0..5 {
        dies(&mut s, AT_ONCE);
    }
    dies(&mut s, away(3));
    assert_eq!(names.iter().map(|name| look(&s, name)).collect::<Vec<_>>(), before);
    assert_eq!(names.iter().map(|name| s.world.members(name)).collect::<Vec<_>>(), members);
    let started = s.since().iter().any(|(_, output)| matches!(output, Output::Prepare { .. } | Output::Spawn(_)));
    assert!(!started, "nothing was started");
    let adopted = s.since().iter().filter(|(_, output)| {
        matches!(output, Output::Emit(event) if matches!(event.kind, EventKind::Adopted { pid: Some(_) }))
    });
    assert_eq!(adopted.count(), 6 * 6, "each of the six with a main process, each time");

    // And what was to come comes when it was to come.
    s.pass(secs(6));
    s.is("starting", Starting);
    s.is("stopping", Stopping);
    s.pass(secs(1));
    s.are(&["starting", "waiting"], Running);
    s.is("stopping", Stopped);
    s.is("broken", Backoff);
    s.pass(secs(10));
    s.is("broken", Running);
    assert_eq!(s.status("broken").restarts, 1);
    assert_eq!(s.health("healthy"), HealthStatus::Healthy);
}

/// E3.
#[test]
fn e3_what_ends_while_nobody_is_there_is_told_with_its_status_and_restarted_once() {
    for anchor in [true, false] {
        let mut s = Scenario::with([spec("zero"), spec("seven"), spec("segv"), spec("lives")]);
        for (name, status) in [("zero", OK), ("seven", ExitStatus::Code(7)), ("segv", segv())] {
            s.behave(name, ends(secs(1), status));
            s.start(name);
            s.behave(name, Behaviour::default());
        }
        s.start("lives");
        s.mark();
        dies(&mut s, Death { gap: secs(2), anchor });
        let exit = |name: &str| s.status(name).exit;
        if anchor {
            assert_eq!(
                (exit("zero"), exit("seven"), exit("segv")),
                (Some(OK), Some(ExitStatus::Code(7)), Some(segv()))
            );
            s.is("zero", Exited);
        } else {
            assert_eq!((exit("zero"), exit("seven")), (Some(ExitStatus::Unknown), Some(ExitStatus::Unknown)));
            s.is("zero", Backoff);
        }
        s.are(&["seven", "segv"], Backoff);
        s.is("lives", Running);
        s.pass(secs(10));
        for name in ["seven", "segv"] {
            s.is(name, Running);
            assert_eq!((s.status(name).run_count, s.status(name).restarts, s.attempts(name)), (2, 1, 1), "{name}");
        }
        assert_eq!((s.status("lives").run_count, s.attempts("lives")), (1, 0));
    }
}

#[test]
fn clients_of_the_supervisor_that_died_are_never_answered_and_what_they_asked_for_is_done() {
    let mut s = Scenario::with([notify("web")]);
    s.behave("web", Behaviour { ready_after: Some(secs(5)), ..Behaviour::default() });
    let start = s.start("web");
    dies(&mut s, AT_ONCE);
    s.pass(secs(10));
    s.is("web", Running);
    assert!(s.is_open(start));
    let again = s.start("web");
    s.came_to(again, Running);
}

#[test]
fn the_rung_that_a_stop_stands_on_is_felt_again_and_its_deadline_stays() {
    let mut ladder = Stop::signal(Signal::INT, secs(10));
    ladder.sequence.push(StopStep { signal: Signal::TERM, wait: secs(10) });
    let mut s = Scenario::with([spec("web").stop(ladder).auto_start(true)]);
    s.world.behave_now("web", |does| does.obeys = None);
    s.stop("web");
    s.mark();
    dies(&mut s, away(4));
    assert_eq!(s.sent("web"), [Sent::Signal(Signal::INT, Scope::Tree)]);
    s.pass(secs(6));
    assert_eq!(s.sent("web").last(), Some(&Sent::Signal(Signal::TERM, Scope::Tree)));
    s.mark();
    // The gap outlasts the rung: its signal is sent once more, and felt before the next.
    dies(&mut s, away(60));
    assert_eq!(s.sent("web"), [Sent::Signal(Signal::TERM, Scope::Tree)]);
    s.pass(secs(1));
    assert_eq!(s.sent("web").last(), Some(&Sent::KillTree));
    s.is("web", Stopped);
}

#[test]
fn a_gap_longer_than_the_watchdogs_interval_ends_nobody() {
    let mut s = Scenario::with([spec("web").watchdog(secs(4)).auto_start(true)]);
    s.pass(secs(3));
    s.mark();
    dies(&mut s, away(30));
    s.pass(secs(30));
    s.is("web", Running);
    assert_eq!(s.attempts("web"), 0);
}

#[test]
fn what_was_said_in_the_gap_is_heard_before_a_deadline_that_passed_in_it() {
    let mut s = Scenario::with([notify("web").start_timeout(secs(10))]);
    s.behave("web", Behaviour { ready_after: Some(secs(8)), ..Behaviour::default() });
    s.start("web");
    s.mark();
    dies(&mut s, away(20));
    s.pass(secs(5));
    s.is("web", Running);
    assert_eq!(s.attempts("web"), 0);
}

#[test]
fn a_search_for_a_daemon_goes_on_and_a_parent_that_ended_in_the_gap_is_searched_behind() {
    let mut s = Scenario::with([spec("web").process_type(ProcessType::Forking)]);
    s.behave("web", Behaviour { ready_after: Some(secs(1)), ..Behaviour::default() });
    s.start("web");
    dies(&mut s, away(2));
    s.is("web", Running);
    assert_eq!(s.world.members("web"), [s.pid("web")]);
    assert_eq!(s.status("web").run_count, 1);
}

#[test]
fn armed_sockets_are_armed_again() {
    let mut s = Scenario::with([listening("web")]);
    s.is("web", Waiting);
    s.mark();
    dies(&mut s, AT_ONCE);
    let armed = s.since().iter().filter(|(_, output)| matches!(output, Output::ArmSockets(..)));
    assert_eq!(armed.count(), 1);
    s.hear(neap::core::Input::SocketReadable(s.id("web")));
    s.is("web", Running);
}

#[test]
fn the_end_of_a_shutdown_is_told_again_with_its_code() {
    for moment in 1.. {
        let mut s = Scenario::empty();
        s.world.dies_at(moment, AT_ONCE);
        s.behave("web", ends(secs(5), ExitStatus::Code(3)));
        let web = spec("web").critical(true).restart(Restart::never()).auto_start(true);
        insist(&mut s, Command::Apply(Box::new(plan([web]))));
        s.pass(secs(60));
        let ends: Vec<&Output> = s.since().iter().map(|(_, output)| output).collect();
        let told = ends.iter().filter(|output| matches!(output, Output::Finished { code: Some(3), .. }));
        assert_eq!(told.count(), 1, "{moment}");
        if s.world.deaths() == 0 {
            break;
        }
    }
}

#[test]
fn a_clock_that_went_back_over_the_gap_is_not_believed() {
    let mut s = Scenario::with([notify("web").start_timeout(secs(10))]);
    s.behave("web", silent());
    s.start("web");
    s.pass(secs(5));
    let mut machine = Machine::from_records(s.world.machine().records()).expect("its own records");
    let due = machine.poll_timeout();
    machine.resume(Now { mono: Time(1), wall: WallTime(0) });
    assert_eq!(machine.poll_timeout(), due);
    machine.check().expect("it holds together");
}

#[test]
fn the_generation_of_the_last_plan_is_kept_and_is_no_difference() {
    let mut s = Scenario::empty();
    let generation = |number: u64| {
        let mut plan = plan([spec("web").auto_start(true)]);
        plan.generation = number;
        plan
    };
    s.command(Command::Apply(Box::new(generation(1))));
    assert_eq!(generation(1), generation(2));
    let again = s.command(Command::Apply(Box::new(generation(2))));
    let unchanged = |applied: &Applied| applied.changes.iter().all(|change| change.kind == ChangeKind::Unchanged);
    assert!(matches!(s.reply(again), Ok(Done::Applied(applied)) if unchanged(&applied)));
    dies(&mut s, AT_ONCE);
    assert_eq!(s.world.machine().generation(), 2);
}
