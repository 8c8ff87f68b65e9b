//! Why a process is as it is: the causes down to the first, what is waited for, and for how long still.

use std::time::Duration;

use neap::core::{Blocker, Command, Explanation, HoldKind, HookKind, StateName::*, Timer};
use neap::sim::{Behaviour, Death, Preparation};
use neap::spec::{Hook, Restart, Signal, Stop, StopStep};

use super::harness::*;

const ANA: &str = "user ana (uid 7), pid 4711";

impl Scenario {
    fn why(&self, name: &str) -> Explanation {
        let id = self.id(name);
        self.world.explain(id).unwrap_or_else(|| self.fail(&format!("`{name}` has no explanation")))
    }

    /// Somebody of whom it is known who they are asks for something.
    fn asks(&mut self, command: Command) {
        let given = self.world.command_by(Some(ANA.into()), command);
        given.unwrap_or_else(|failure| panic!("{failure}"));
        self.settle();
    }

    /// The chain, as people read it.
    fn told(&self, name: &str) -> Vec<String> {
        let why = self.why(name);
        why.chain.iter().map(|reason| format!("{} {}", reason.of, reason.full_text()).trim().to_owned()).collect()
    }

    #[track_caller]
    fn tells(&self, name: &str, expected: &[&str]) {
        assert_eq!(self.told(name), expected, "{}", self.world.tail(60).join("\n"));
        assert_eq!(self.why(name).cut, None);
    }
}

fn timer(what: &str, remaining: Duration, then: &str) -> Timer {
    Timer { what: what.into(), remaining, then: then.into() }
}

#[test]
fn what_was_never_started_says_so() {
    let s = Scenario::with([spec("web")]);
    s.tells(
        "web",
        &[
            "web was defined, and not started yet: it is in the configuration",
            "the configuration was applied (1 added, 0 removed, 0 changed): asked for (apply)",
        ],
    );
}

#[test]
fn what_somebody_started_runs_because_they_did() {
    let mut s = Scenario::with([spec("db"), spec("web").requires("db")]);
    let web = s.id("web");
    s.asks(Command::Start(web));
    s.is("web", Running);
    s.tells("web", &["web was started: asked for by user ana (uid 7), pid 4711 (start)"]);
    s.tells(
        "db",
        &["db was started: web requires it", "web was started: asked for by user ana (uid 7), pid 4711 (start)"],
    );
    assert_eq!(s.why("db").chain[1].caller.as_deref(), Some(ANA));
    s.asks(Command::Restart(web));
    s.tells("web", &["web was restarted: asked for by user ana (uid 7), pid 4711 (restart)"]);
}

#[test]
fn what_starts_by_itself_does_so_for_the_configuration() {
    let s = Scenario::with([spec("web").auto_start(true)]);
    s.tells(
        "web",
        &[
            "web was started: it starts by itself",
            "the configuration was applied (1 added, 0 removed, 0 changed): asked for (apply)",
        ],
    );
}

#[test]
fn a_stop_that_was_asked_for_is_the_first_cause() {
    let mut s = Scenario::with([spec("db"), spec("web").requires("db")]);
    s.start("web");
    let db = s.id("db");
    s.asks(Command::Stop(db));
    s.are(&["db", "web"], Stopped);
    let asked = "db was stopped: asked for by user ana (uid 7), pid 4711 (stop)";
    s.tells("db", &[asked]);
    s.tells("web", &["web was stopped: it requires db", asked]);
    assert_eq!(s.why("web").summary(), format!("web is stopped: it requires db; {asked}"));
}

#[test]
fn a_bond_leads_to_the_failure_that_broke_it_with_what_the_policy_made_of_that() {
    let limited = Restart::on_failure().jitter(0.0).factor(1.0).limit(2, secs(300));
    let mut s = Scenario::with([spec("db").restart(limited), spec("web").binds_to("db")]);
    let (db, web) = (s.id("db"), s.id("web"));
    s.asks(Command::Start(db));
    for _ in 0..3 {
        s.asks(Command::Start(web));
        s.is("web", Running);
        s.exit("db", BAD);
        s.is("web", Stopped);
        s.pass(secs(1));
    }
    s.is("db", Crashed);
    s.tells(
        "web",
        &[
            "web was stopped: it binds to db",
            "db failed too often, the last time by exit code 1; its restart policy is on-failure, and the limit of 2 \
             restarts in 5m is used up",
            "db was started: asked for by user ana (uid 7), pid 4711 (start)",
        ],
    );
    // Long after, when the other has moved on, it is known still.
    for _ in 0..40 {
        s.start("db");
        s.stop("db");
    }
    s.is("web", Stopped);
    let told = s.told("web");
    assert_eq!(told[0], "web was stopped: it binds to db");
    assert!(told[1].starts_with("db ended: exit code 1") && told.len() == 3, "{told:?}");
}

#[test]
fn a_loop_of_restarts_makes_no_endless_chain() {
    let mut s = Scenario::with([spec("web").restart(Restart::always().jitter(0.0).factor(1.0).limit(0, secs(1)))]);
    let web = s.id("web");
    s.asks(Command::Start(web));
    for _ in 0..100 {
        s.exit("web", BAD);
        s.is("web", Backoff);
        let why = s.why("web");
        assert_eq!(why.chain.len(), 2, "{why:#?}");
        assert_eq!(why.timers, [timer("backoff", secs(1), "it is started again")]);
        s.pass(secs(1));
    }
    s.tells(
        "web",
        &[
            "web was started again: its restart policy is always",
            "web ended: exit code 1",
            "web was started: asked for by user ana (uid 7), pid 4711 (start)",
        ],
    );
    s.exit("web", BAD);
    let told = s.told("web");
    assert_eq!(told[0], "web ended: exit code 1, for the 101st time in a row");
}

#[test]
fn a_failed_need_is_followed_to_its_exit() {
    let mut s = Scenario::with([
        notify("db").restart(Restart::never()),
        spec("web").requires("db"),
        spec("edge").requires("web"),
    ]);
    s.behave("db", Behaviour { exits: Some((Duration::ZERO, BAD)), ready_after: None, ..Behaviour::default() });
    let edge = s.id("edge");
    s.asks(Command::Start(edge));
    s.pass(secs(1));
    s.are(&["db", "edge"], Failed);
    let told = s.told("edge");
    assert!(told[0].starts_with("edge failed: needs `web`, which failed"), "{told:?}");
    assert!(told[1].starts_with("web failed: needs `db`, which failed"), "{told:?}");
    assert!(told[2].starts_with("db failed: exit code 1; its restart policy is never"), "{told:?}");
    assert_eq!(told[3], "db was started: web requires it");
    assert_eq!(
        told.last().map(String::as_str),
        Some("edge was to start: asked for by user ana (uid 7), pid 4711 (start)")
    );
    assert_eq!(s.why("edge").cut, None);
}

#[test]
fn a_success_that_is_not_followed_by_a_run_says_why() {
    let mut s = Scenario::with([spec("web"), oneshot("job")]);
    s.start("web");
    s.exit("web", OK);
    s.is("web", Exited);
    let told = s.told("web");
    assert_eq!(
        told[0],
        "web ended: exit code 0; its restart policy, on-failure, does not bring it back after a success"
    );
    s.behave("job", ends(Duration::ZERO, OK));
    s.start("job");
    s.is("job", Exited);
    assert_eq!(s.told("job")[0], "job ended: exit code 0");
}

#[test]
fn an_end_that_somebody_s_signal_brought_about_names_them() {
    let mut s = Scenario::with([once("web")]);
    s.start("web");
    let web = s.id("web");
    s.asks(Command::Signal(web, Signal::KILL));
    s.pass(secs(1));
    s.is("web", Failed);
    let told = s.told("web");
    assert!(told[0].starts_with("web failed: killed by SIGKILL"), "{told:?}");
    assert_eq!(told[1], "web was sent SIGKILL: asked for by user ana (uid 7), pid 4711 (signal)");
    assert_eq!(told.len(), 2);
}

#[test]
fn a_skipped_start_says_which_condition_and_who_wanted_it() {
    let mut s = Scenario::with([spec("web")]);
    s.behave("web", Behaviour { preparation: Preparation::Unmet("path_exists=/x".into()), ..Behaviour::default() });
    let web = s.id("web");
    s.asks(Command::Start(web));
    s.is("web", Created);
    s.tells(
        "web",
        &[
            "web was not started: condition path_exists=/x does not hold",
            "web was started: asked for by user ana (uid 7), pid 4711 (start)",
        ],
    );
}

#[test]
fn a_conflict_names_who_was_started_instead_and_by_whom() {
    let mut s = Scenario::with([spec("blue"), spec("green").conflicts("blue")]);
    s.start("blue");
    s.pass(secs(5));
    let green = s.id("green");
    s.asks(Command::Start(green));
    s.is("blue", Stopped);
    s.tells(
        "blue",
        &[
            "blue was stopped: it conflicts with green",
            "green was started: asked for by user ana (uid 7), pid 4711 (start)",
        ],
    );
}

#[test]
fn a_shutdown_is_followed_to_who_asked_or_to_the_critical_process_that_ended() {
    let mut s = Scenario::with([spec("db"), spec("web").stop(Stop::signal(Signal::TERM, secs(30)))]);
    s.behave("web", stubborn());
    s.start("db");
    s.start("web");
    s.asks(Command::Shutdown);
    s.is("web", Stopping);
    s.tells(
        "web",
        &[
            "web is being stopped: the instance shuts down",
            "the instance began to shut down: asked for by user ana (uid 7), pid 4711 (down)",
        ],
    );
    assert_eq!(s.why("web").timers, [timer("stop", secs(30), "it is sent SIGKILL")]);

    let mut s = Scenario::with([once("core").critical(true), spec("web").stop(Stop::signal(Signal::TERM, secs(30)))]);
    s.behave("web", stubborn());
    s.start("web");
    s.start("core");
    s.exit("core", BAD);
    let told = s.told("web");
    assert_eq!(told[0], "web is being stopped: the instance shuts down");
    assert_eq!(told[1], "the instance began to shut down: core is critical: exit code 1");
    assert!(told[2].starts_with("core failed: exit code 1"), "{told:?}");
    assert_eq!(told[3], "core was started: asked for (start)");
}

#[test]
fn a_change_of_the_configuration_is_followed_to_who_applied_it() {
    let mut s = Scenario::empty();
    s.behave("old", stubborn());
    let old = spec("old").auto_start(true).stop(Stop::signal(Signal::TERM, secs(9)));
    s.apply([spec("web").auto_start(true), old]);
    s.pass(secs(5));
    s.asks(Command::Apply(Box::new(plan([spec("web").auto_start(true).env("A", "b")]))));
    let applied = "the configuration was applied (0 added, 1 removed, 1 changed): asked for by user ana (uid 7), pid 4711 (apply)";
    s.is("web", Running);
    s.tells("web", &["web was started: the configuration changed", applied]);
    s.is("old", Stopping);
    s.tells("old", &["old is being stopped: the configuration changed", applied]);
}

#[test]
fn what_follows_another_was_restarted_because_that_came_back() {
    let mut s = Scenario::with([spec("db"), spec("web").follows("db")]);
    s.start("db");
    s.start("web");
    s.pass(secs(100));
    s.exit("db", BAD);
    s.pass(secs(10));
    s.is("web", Running);
    s.tells(
        "web",
        &[
            "web was started: it follows db",
            "db was started again: its restart policy is on-failure",
            "db ended: exit code 1",
            "db was started: asked for (start)",
        ],
    );
}

#[test]
fn what_holds_up_a_start_is_followed_with_the_time_that_remains() {
    let mut s = Scenario::with([
        notify("db").start_timeout(secs(90)).restart(Restart::never()),
        spec("api").requires("db"),
        spec("web").requires("api").after("db"),
    ]);
    s.behave("db", silent());
    s.start("web");
    s.pass(secs(30));
    s.is("web", Waiting);
    let why = s.why("web");
    let names: Vec<(&str, HoldKind)> = why.blockers.iter().map(|it| (&*it.name, it.kind)).collect();
    assert_eq!(names, [("api", HoldKind::Requires), ("db", HoldKind::Order)]);
    let db: &Blocker = &why.blockers[1];
    assert_eq!((db.state, &*db.reason), (Starting, "not ready yet"));
    assert_eq!(db.timers, [timer("start_timeout", secs(60), "it counts as failed to start, and is ended")]);
    // It is told once what db waits for; that api waits for it, too, is said nevertheless.
    let api: &Blocker = &why.blockers[0];
    assert_eq!(api.blockers.iter().map(|it| &*it.name).collect::<Vec<_>>(), ["db"]);
    assert_eq!(why.chain[0].text, "is to start");
    s.pass(secs(60));
    s.is("web", Failed);
    assert!(s.why("web").blockers.is_empty());
}

#[test]
fn what_holds_up_a_stop_names_the_step_it_stands_on_and_the_next_one() {
    let ladder = Stop {
        sequence: vec![
            StopStep { signal: Signal::INT, wait: secs(5) },
            StopStep { signal: Signal::TERM, wait: secs(10) },
        ],
        ..Stop::default()
    };
    let mut s = Scenario::with([spec("db"), spec("web").requires("db").stop(ladder)]);
    s.behave("web", stubborn());
    s.start("web");
    s.stop("db");
    s.pass(secs(2));
    let why = s.why("db");
    assert_eq!(why.blockers.len(), 1);
    assert_eq!((&*why.blockers[0].name, why.blockers[0].kind), ("web", HoldKind::Stop));
    assert_eq!(why.blockers[0].timers, [timer("stop", secs(3), "it is sent SIGTERM, and has 10s")]);
    s.pass(secs(5));
    assert_eq!(s.why("web").timers, [timer("stop", secs(8), "it is sent SIGKILL")]);
}

#[test]
fn hooks_that_are_waited_for_have_their_own_time() {
    let hook = || Hook::command(["/bin/hook"]).timeout(secs(20));
    let mut s = Scenario::with([spec("web").before_start(hook()).before_stop(hook())]);
    let slow = || (secs(15), Ok(()));
    let hooks = [(HookKind::BeforeStart, slow()), (HookKind::BeforeStop, slow())].into();
    s.behave("web", Behaviour { hooks, ..Behaviour::default() });
    s.start("web");
    s.pass(secs(5));
    let timers = s.why("web").timers;
    assert!(timers.contains(&timer("before_start hook", secs(15), "it is killed, and the start fails")), "{timers:?}");
    s.pass(secs(15));
    s.is("web", Running);
    s.stop("web");
    let timers = s.why("web").timers;
    assert_eq!(timers, [timer("before_stop hook", secs(20), "it is killed, and the stop goes on")]);
}

#[test]
fn after_a_take_over_it_is_said_where_the_knowledge_ends() {
    let mut s = Scenario::with([spec("db"), spec("web").requires("db"), spec("job")]);
    let (web, job) = (s.id("web"), s.id("job"));
    s.asks(Command::Start(web));
    s.start("job");
    s.exit("job", BAD);
    s.pass(secs(10));
    let held = s.world.dies(Death { gap: secs(1), anchor: true });
    held.unwrap_or_else(|failure| panic!("{failure}"));
    s.settle();
    // Who started it was recorded with it.
    s.tells("web", &["web was started: asked for by user ana (uid 7), pid 4711 (start)"]);
    assert_eq!(s.why("web").chain[0].sequence, None);
    s.tells(
        "db",
        &["db was started: web requires it", "web was started: asked for by user ana (uid 7), pid 4711 (start)"],
    );
    let why = s.why("job");
    assert_eq!(s.told("job"), ["job was started again: its restart policy is on-failure"]);
    assert!(why.cut.as_deref().is_some_and(|cut| cut.contains("the supervisor before this one")), "{:?}", why.cut);
    // From now on it knows.
    s.asks(Command::Stop(job));
    s.tells("job", &["job was stopped: asked for by user ana (uid 7), pid 4711 (stop)"]);
}

#[test]
fn a_stop_of_what_is_stopped_already_is_the_cause_from_then_on() {
    let mut s = Scenario::with([spec("db"), spec("web").binds_to("db")]);
    s.start("web");
    s.exit("db", BAD);
    s.is("web", Stopped);
    let web = s.id("web");
    s.asks(Command::Stop(web));
    s.tells("web", &["web was stopped: asked for by user ana (uid 7), pid 4711 (stop)"]);
}

#[test]
fn why_a_deleted_process_was_needed_is_known_after_it_is_gone() {
    let mut s = Scenario::empty();
    s.command(Command::Create { spec: Box::new(spec("db")), start: true });
    s.command(Command::Create { spec: Box::new(spec("web").binds_to("db")), start: true });
    let db = s.id("db");
    s.pass(secs(1));
    s.asks(Command::Delete { process: db, force: true });
    s.assert(s.world.find("db").is_none(), "it is gone");
    s.tells(
        "web",
        &["web was stopped: it binds to db", "db was stopped: asked for by user ana (uid 7), pid 4711 (delete)"],
    );
}
