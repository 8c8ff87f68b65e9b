//! Stops: ladders, modes, commands, hooks, what is left, what will not go.

use std::time::Duration;

use neap::core::{Done, EventKind, HookKind, Input, Notification, Refusal, Scope, SpawnError, SpawnStep, StateName::*};
use neap::sim::{Behaviour, Killing};
use neap::spec::{Hook, ListenAddress, Listener, Signal, Stop, StopMode, StopStep};

use super::harness::*;

#[test]
fn a_stop_is_answered_when_the_tree_is_empty_and_not_when_the_leader_ended() {
    let mut s = Scenario::with([spec("web")]);
    s.behave(
        "web",
        Behaviour { helpers: 1, helpers_linger: Some(secs(3)), helpers_obey: false, ..Behaviour::default() },
    );
    s.start("web");
    let stop = s.stop("web");
    s.is("web", Stopping);
    assert!(s.is_open(stop));
    assert_eq!(s.world.members("web").len(), 1);
    s.pass(secs(3));
    s.came_to(stop, Stopped);
}

#[test]
fn the_ladder_sends_each_signal_waits_and_ends_with_sigkill() {
    let ladder = Stop {
        sequence: vec![
            StopStep { signal: Signal::INT, wait: secs(5) },
            StopStep { signal: Signal::TERM, wait: secs(10) },
        ],
        ..Stop::default()
    };
    let mut s = Scenario::with([spec("web").stop(ladder)]);
    s.behave("web", stubborn());
    s.start("web");
    let begin = s.world.now();
    let stop = s.stop("web");
    s.pass(secs(15));
    s.came_to(stop, Stopped);
    let sent: Vec<(u64, Sent)> =
        s.sent_at("web").into_iter().map(|(at, sent)| (at.since(begin).as_secs(), sent)).collect();
    assert_eq!(sent, [(0, Sent::Signal(Signal::INT, Scope::Tree)), (5, TERM), (15, Sent::KillTree)]);
}

#[test]
fn the_kill_timer_goes_on_when_the_leader_ended_and_members_are_left() {
    let mut s = Scenario::with([spec("web").stop(term_within(5))]);
    s.behave("web", Behaviour { helpers: 2, helpers_linger: None, helpers_obey: false, ..Behaviour::default() });
    s.start("web");
    let stop = s.stop("web");
    s.pass(secs(4));
    assert_eq!(s.world.members("web").len(), 2);
    s.pass(secs(1));
    assert_eq!(s.world.members("web"), []);
    s.came_to(stop, Stopped);
}

#[test]
fn each_mode_signals_whom_it_says() {
    let cases = [
        (StopMode::ControlGroup, Scope::Tree),
        (StopMode::ProcessGroup, Scope::Group),
        (StopMode::Process, Scope::Main),
        (StopMode::Mixed, Scope::Main),
    ];
    for (mode, scope) in cases {
        let mut s = Scenario::with([spec("web").stop(term_within(5).mode(mode))]);
        s.start("web");
        let stop = s.stop("web");
        s.came_to(stop, Stopped);
        assert_eq!(s.sent("web"), [Sent::Signal(Signal::TERM, scope)], "{mode:?}");
    }
}

#[test]
fn mode_mixed_kills_what_is_left_once_the_main_process_ended() {
    let mut s = Scenario::with([spec("web").stop(term_within(5).mode(StopMode::Mixed))]);
    s.behave("web", Behaviour { helpers: 2, helpers_linger: None, ..Behaviour::default() });
    s.start("web");
    let stop = s.stop("web");
    s.came_to(stop, Stopped);
    assert_eq!(s.sent("web"), [Sent::Signal(Signal::TERM, Scope::Main), Sent::KillTree]);
}

#[test]
fn mode_process_leaves_alone_what_the_main_process_leaves_behind() {
    let mut s = Scenario::with([spec("web").stop(term_within(5).mode(StopMode::Process))]);
    s.behave("web", Behaviour { helpers: 2, helpers_linger: None, ..Behaviour::default() });
    s.start("web");
    let stop = s.stop("web");
    s.came_to(stop, Stopped);
    assert_eq!(s.world.members("web").len(), 2);
    assert_eq!(s.sent("web"), [Sent::Signal(Signal::TERM, Scope::Main)]);
}

#[test]
fn a_stop_command_takes_the_place_of_the_first_signal_and_is_let_finish() {
    let mut stop = term_within(5);
    stop.command = Some(vec!["/opt/stop".into()]);
    let mut s = Scenario::with([spec("web").stop(stop)]);
    let hooks = [(HookKind::StopCommand, (secs(2), Ok(())))].into();
    s.behave("web", Behaviour { hooks, ..Behaviour::default() });
    s.start("web");
    let stop = s.stop("web");
    assert_eq!(s.hooks("web"), [HookKind::StopCommand]);
    assert_eq!(s.sent("web"), []);
    s.exit("web", OK);
    s.pass(secs(2));
    s.came_to(stop, Stopped);
    assert_eq!(s.sent("web"), []);
}

#[test]
fn the_first_signal_follows_a_stop_command_that_did_not_end_it_or_failed_or_hung() {
    for (time, result) in [(secs(1), Ok(())), (secs(1), Err("exit code 1".to_owned())), (Duration::MAX, Ok(()))] {
        let mut stop = term_within(5);
        stop.command = Some(vec!["/opt/stop".into()]);
        let mut s = Scenario::with([spec("web").stop(stop)]);
        let hooks = [(HookKind::StopCommand, (time, result))].into();
        s.behave("web", Behaviour { hooks, ..Behaviour::default() });
        s.start("web");
        let stop = s.stop("web");
        s.pass(secs(12));
        s.came_to(stop, Stopped);
        assert_eq!(s.sent("web"), [TERM]);
    }
}

#[test]
fn a_before_stop_hook_runs_before_the_first_signal_and_its_failure_changes_nothing() {
    for result in [Ok(()), Err("exit code 1".to_owned())] {
        let mut s = Scenario::with([spec("web").before_stop(Hook::command(["/opt/hook"]))]);
        let hooks = [(HookKind::BeforeStop, (secs(2), result))].into();
        s.behave("web", Behaviour { hooks, ..Behaviour::default() });
        s.start("web");
        let stop = s.stop("web");
        assert_eq!(s.sent("web"), []);
        s.is("web", Stopping);
        s.pass(secs(2));
        assert_eq!(s.sent("web"), [TERM]);
        s.came_to(stop, Stopped);
    }
}

#[test]
fn a_before_stop_hook_that_hangs_is_given_up_after_its_timeout() {
    let mut s = Scenario::with([spec("web").before_stop(Hook::command(["/opt/hook"]).timeout(secs(7)))]);
    let hooks = [(HookKind::BeforeStop, (Duration::MAX, Ok(())))].into();
    s.behave("web", Behaviour { hooks, ..Behaviour::default() });
    s.start("web");
    let stop = s.stop("web");
    s.pass(secs(7));
    s.came_to(stop, Stopped);
}

#[test]
fn the_stop_is_over_when_its_after_stop_hook_is() {
    let mut s = Scenario::with([spec("web").after_stop(Hook::command(["/opt/hook"]))]);
    let hooks = [(HookKind::AfterStop, (secs(2), Ok(())))].into();
    s.behave("web", Behaviour { hooks, ..Behaviour::default() });
    s.start("web");
    let stop = s.stop("web");
    s.is("web", Stopping);
    assert_eq!(s.world.members("web"), []);
    s.pass(secs(2));
    s.came_to(stop, Stopped);
}

#[test]
fn a_second_stop_escalates() {
    let mut s = Scenario::with([spec("web").stop(term_within(90))]);
    s.behave("web", stubborn());
    s.start("web");
    let first = s.stop("web");
    s.pass(secs(1));
    assert!(s.is_open(first));
    let second = s.stop("web");
    s.came_to(first, Stopped);
    s.came_to(second, Stopped);
    assert_eq!(s.sent("web"), [TERM, Sent::KillTree]);
}

#[test]
fn what_survives_sigkill_keeps_it_stopping_and_the_command_names_the_pids() {
    let mut s = Scenario::with([spec("web").stop(term_within(1))]);
    s.behave("web", Behaviour { obeys: None, killing: Killing::Never, ..Behaviour::default() });
    s.start("web");
    let pid = s.pid("web");
    let stop = s.stop("web");
    s.pass(secs(60));
    s.is("web", Stopping);
    match s.refused(stop) {
        Refusal::Stuck { name, pids } => assert_eq!((&*name, pids), ("web", vec![pid])),
        other => s.fail(&format!("answered with {other:?}")),
    }
    assert!(s.events("web").iter().any(|event| event.kind == EventKind::Stuck { pids: vec![pid] }));
    let start = s.start("web");
    assert!(matches!(s.refused(start), Refusal::State { state: Stopping, .. } | Refusal::Stuck { .. }));
    assert_eq!(s.attempts("web"), 1);
}

#[test]
fn what_was_stuck_and_dies_later_is_stopped_then() {
    let mut s = Scenario::with([spec("web").stop(term_within(1))]);
    s.behave("web", Behaviour { obeys: None, killing: Killing::StuckFor(secs(120)), ..Behaviour::default() });
    s.start("web");
    s.stop("web");
    s.pass(secs(100));
    s.is("web", Stopping);
    s.pass(secs(100));
    s.is("web", Stopped);
    s.behave("web", Behaviour::default());
    let start = s.start("web");
    s.came_to(start, Running);
}

#[test]
fn a_stop_of_what_is_down_is_answered_at_once_with_what_it_is() {
    let mut s = Scenario::with([once("web")]);
    let stop = s.stop("web");
    assert!(matches!(s.reply(stop), Ok(Done::State(Created | Stopped))));
    s.start("web");
    s.exit("web", BAD);
    let stop = s.stop("web");
    assert!(matches!(s.reply(stop), Ok(Done::State(Failed | Stopped))));
}

#[test]
fn a_stop_while_preparing_starts_nothing() {
    let mut s = Scenario::with([spec("web")]);
    s.behave("web", Behaviour { prepare_time: secs(5), ..Behaviour::default() });
    let start = s.start("web");
    s.is("web", Starting);
    let stop = s.stop("web");
    s.pass(secs(10));
    s.came_to(stop, Stopped);
    assert!(matches!(s.refused(start), Refusal::Superseded { by: "a stop", .. }));
    assert_eq!(s.status("web").run_count, 0);
}

#[test]
fn a_stop_between_clone_and_exec_leaves_nothing_behind() {
    let mut s = Scenario::with([spec("web").stop(term_within(5))]);
    s.behave("web", Behaviour { exec_time: secs(3600), ..Behaviour::default() });
    s.start("web");
    assert_eq!(s.world.members("web").len(), 1);
    let stop = s.stop("web");
    s.pass(secs(60));
    s.came_to(stop, Stopped);
    assert_eq!(s.world.members("web"), []);
}

#[test]
fn a_stop_during_a_before_start_hook_kills_the_hook() {
    let mut s = Scenario::with([spec("web").before_start(Hook::command(["/opt/hook"]))]);
    let hooks = [(HookKind::BeforeStart, (Duration::MAX, Ok(())))].into();
    s.behave("web", Behaviour { hooks, ..Behaviour::default() });
    s.start("web");
    s.is("web", Starting);
    let stop = s.stop("web");
    s.came_to(stop, Stopped);
    assert_eq!(s.world.members("web"), []);
}

#[test]
fn a_stop_while_waiting_gives_up_the_start() {
    let mut s = Scenario::with([notify("db"), spec("web").requires("db")]);
    s.behave("db", silent());
    let start = s.start("web");
    s.is("web", Waiting);
    let stop = s.stop("web");
    s.came_to(stop, Stopped);
    s.refused(start);
    let db = s.run("db");
    s.hear(Input::Notified(db, Notification::Ready));
    s.is("db", Running);
    s.is("web", Stopped);
}

#[test]
fn a_start_during_a_stop_starts_again_once_the_old_run_is_gone() {
    let mut s = Scenario::with([spec("web").stop(term_within(10))]);
    s.behave("web", Behaviour { obeys: Some(secs(3)), ..Behaviour::default() });
    s.start("web");
    let old = s.run("web");
    let stop = s.stop("web");
    let start = s.start("web");
    s.is("web", Stopping);
    s.pass(secs(3));
    s.came_to(start, Running);
    assert_ne!(s.run("web"), old);
    assert!(matches!(s.reply(stop), Err(Refusal::Superseded { .. }) | Ok(Done::State(_))));
}

#[test]
fn a_restart_keeps_the_order_of_stop_before_start() {
    let mut s = Scenario::with([spec("web")]);
    s.behave("web", Behaviour { obeys: Some(secs(2)), ..Behaviour::default() });
    s.start("web");
    s.mark();
    let restart = s.restart("web");
    s.pass(secs(2));
    s.came_to(restart, Running);
    let story = s.story("web");
    assert_eq!(story.first(), Some(&Stopping));
    assert_eq!(story.last(), Some(&Running));
}

#[test]
fn a_restart_of_what_is_down_starts_it() {
    let mut s = Scenario::with([spec("web")]);
    let restart = s.restart("web");
    s.came_to(restart, Running);
}

#[test]
fn a_restart_of_a_stubborn_process_waits_for_its_ladder() {
    let mut s = Scenario::with([spec("web").stop(term_within(5))]);
    s.behave("web", stubborn());
    s.start("web");
    let old = s.run("web");
    let restart = s.restart("web");
    s.pass(secs(4));
    s.is("web", Stopping);
    s.pass(secs(1));
    s.came_to(restart, Running);
    assert_ne!(s.run("web"), old);
}

#[test]
fn stopping_a_process_with_a_listener_that_runs_leaves_it_stopped() {
    let listener = Listener::new(ListenAddress::Unix("/run/web.sock".into()));
    let mut s = Scenario::with([spec("web").listen(listener).auto_start(false)]);
    let web = s.id("web");
    s.hear(Input::SocketReadable(web));
    s.is("web", Running);
    s.stop("web");
    s.is("web", Stopped);
    s.hear(Input::SocketReadable(web));
    s.pass(secs(10));
    s.is("web", Stopped);
}

#[test]
fn a_listening_process_is_armed_again_when_its_run_ended() {
    let listener = Listener::new(ListenAddress::Unix("/run/web.sock".into()));
    let mut s = Scenario::with([spec("web").listen(listener).auto_start(false)]);
    let web = s.id("web");
    s.hear(Input::SocketReadable(web));
    s.exit("web", OK);
    s.pass(secs(5));
    s.assert(s.state("web") == Waiting, "it waits for the next connection");
    s.hear(Input::SocketReadable(web));
    s.is("web", Running);
    assert_eq!(s.attempts("web"), 2);
}

#[test]
fn a_signal_goes_to_the_main_process_and_is_refused_when_there_is_none() {
    let mut s = Scenario::with([spec("web")]);
    let web = s.id("web");
    let refused = s.command(neap::core::Command::Signal(web, Signal::USR1));
    assert!(matches!(s.refused(refused), Refusal::State { state: Created, .. }));
    s.start("web");
    let sent = s.command(neap::core::Command::Signal(web, Signal::USR1));
    assert_eq!(s.reply(sent), Ok(Done::Sent));
    assert_eq!(s.sent("web"), [Sent::Signal(Signal::USR1, Scope::Main)]);
}

#[test]
fn reload_sends_its_signal_or_runs_its_command_or_says_that_there_is_none() {
    let mut s = Scenario::with([
        spec("signal").reload(neap::spec::Reload::Signal(Signal::HUP)),
        spec("command").reload(neap::spec::Reload::Command(vec!["/opt/reload".into()])),
        spec("none"),
    ]);
    for name in ["signal", "command", "none"] {
        s.start(name);
    }
    let reload = s.reload("signal");
    assert_eq!(s.reply(reload), Ok(Done::Sent));
    assert_eq!(s.sent("signal"), [Sent::Signal(Signal::HUP, Scope::Main)]);
    let reload = s.reload("command");
    assert_eq!(s.reply(reload), Ok(Done::Sent));
    assert_eq!(s.hooks("command"), [HookKind::Reload]);
    let reload = s.reload("none");
    s.refused(reload);
    s.are(&["signal", "command", "none"], Running);
}

#[test]
fn a_reload_command_that_fails_fails_the_reload_and_not_the_process() {
    let mut s = Scenario::with([spec("web").reload(neap::spec::Reload::Command(vec!["/opt/reload".into()]))]);
    let hooks = [(HookKind::Reload, (secs(1), Err("exit code 2".to_owned())))].into();
    s.behave("web", Behaviour { hooks, ..Behaviour::default() });
    s.start("web");
    let reload = s.reload("web");
    assert!(s.is_open(reload));
    s.pass(secs(1));
    match s.refused(reload) {
        Refusal::Failed { reason, .. } => assert!(reason.contains("exit code 2"), "{reason}"),
        other => s.fail(&format!("answered with {other:?}")),
    }
    s.is("web", Running);
}

#[test]
fn an_exit_during_a_stop_is_the_stop_and_no_crash() {
    let mut s = Scenario::with([spec("web").stop(term_within(10))]);
    s.behave("web", stubborn());
    s.start("web");
    let stop = s.stop("web");
    s.exit("web", killed_by(Signal::from_number(11).expect("a signal")));
    s.came_to(stop, Stopped);
    s.pass(secs(100));
    s.is("web", Stopped);
}

#[test]
fn a_stop_of_an_ending_run_wins_over_its_restart() {
    let mut s = Scenario::with([spec("web").stop(term_within(10))]);
    s.behave(
        "web",
        Behaviour { helpers: 1, helpers_linger: Some(secs(5)), helpers_obey: false, ..Behaviour::default() },
    );
    s.start("web");
    s.exit("web", BAD);
    s.is("web", Stopping);
    let stop = s.stop("web");
    s.pass(secs(30));
    s.came_to(stop, Stopped);
    assert_eq!(s.attempts("web"), 1);
}

#[test]
fn a_failed_spawn_is_no_reason_to_signal_anybody() {
    let mut s = Scenario::with([once("web")]);
    let error = SpawnError { step: SpawnStep::SetUid, errno: Some(1), message: "cannot become user `app`".into() };
    s.behave("web", Behaviour { spawn_error: Some(error), ..Behaviour::default() });
    s.start("web");
    s.is("web", Failed);
    assert_eq!(s.sent("web"), []);
}

#[test]
fn a_stop_during_a_reload_kills_the_reload_and_answers_it() {
    let mut s = Scenario::with([spec("web").reload(neap::spec::Reload::Command(vec!["/opt/reload".into()]))]);
    let hooks = [(HookKind::Reload, (secs(20), Ok(())))].into();
    s.behave("web", Behaviour { hooks, ..Behaviour::default() });
    s.start("web");
    let reload = s.reload("web");
    let stop = s.stop("web");
    s.came_to(stop, Stopped);
    assert!(matches!(s.refused(reload), Refusal::Failed { .. }));
}

#[test]
fn a_reload_under_way_is_shared_also_when_its_first_caller_went_away() {
    let mut s = Scenario::with([spec("web").reload(neap::spec::Reload::Command(vec!["/opt/reload".into()]))]);
    let hooks = [(HookKind::Reload, (secs(5), Ok(())))].into();
    s.behave("web", Behaviour { hooks, ..Behaviour::default() });
    s.start("web");
    let first = s.reload("web");
    assert!(s.world.abandon(first).is_ok());
    let second = s.reload("web");
    s.pass(secs(5));
    assert_eq!(s.reply(second), Ok(Done::Sent));
    assert_eq!(s.hooks("web"), [HookKind::Reload]);
}

#[test]
fn a_restart_while_preparing_prepares_anew_and_is_answered_when_that_is_ready() {
    let mut s = Scenario::with([spec("web")]);
    s.behave("web", Behaviour { prepare_time: secs(5), ..Behaviour::default() });
    let start = s.start("web");
    let restart = s.restart("web");
    s.pass(secs(5));
    s.came_to(start, Running);
    s.came_to(restart, Running);
    assert_eq!((s.attempts("web"), s.status("web").run_count), (2, 1));
}

#[test]
fn whoever_waits_for_a_process_waits_on_when_that_is_restarted_while_it_starts() {
    for slow in [
        Behaviour { prepare_time: secs(5), ..Behaviour::default() },
        Behaviour { exec_time: secs(5), ..Behaviour::default() },
        Behaviour { ready_after: Some(secs(5)), ..Behaviour::default() },
        Behaviour { hooks: [(HookKind::BeforeStart, (secs(5), Ok(())))].into(), ..Behaviour::default() },
    ] {
        let db = notify("db").before_start(Hook::command(["/opt/hook"]));
        let mut s = Scenario::with([db, spec("web").requires("db")]);
        s.behave("db", slow);
        let web = s.start("web");
        s.pass(secs(1));
        let restart = s.restart("db");
        s.pass(secs(30));
        s.came_to(restart, Running);
        s.came_to(web, Running);
    }
}

#[test]
fn a_stop_while_the_daemon_of_a_forking_process_is_looked_for_leaves_nothing() {
    let mut s = Scenario::with([spec("nginx").process_type(neap::spec::ProcessType::Forking).stop(term_within(10))]);
    s.behave("nginx", silent());
    s.start("nginx");
    let (run, parent) = (s.run("nginx"), s.pid("nginx"));
    // The parent ends and leaves a daemon, but the search for it takes its time.
    s.hear(Input::Exited(run, parent, OK));
    let stop = s.stop("nginx");
    s.pass(secs(60));
    assert!(!s.is_open(stop));
    assert_eq!(s.world.members("nginx"), []);
    s.is("nginx", Stopped);
}

#[test]
fn an_after_stop_hook_that_is_given_up_is_given_up_once() {
    let mut s = Scenario::with([spec("web").after_stop(Hook::command(["/opt/hook"]))]);
    let hooks = [(HookKind::AfterStop, (secs(20), Ok(())))].into();
    s.behave("web", Behaviour { hooks, ..Behaviour::default() });
    s.start("web");
    let web = s.id("web");
    let stops: Vec<_> =
        (0..4).map(|_| s.world.command(neap::core::Command::Stop(web)).expect("no rule is broken")).collect();
    s.pass(secs(1));
    s.stop("web");
    s.pass(secs(1));
    for stop in stops {
        s.came_to(stop, Stopped);
    }
}

#[test]
fn extend_timeout_moves_the_deadline_of_a_stop_too() {
    let mut s = Scenario::with([notify("db").stop(term_within(5))]);
    s.behave("db", stubborn());
    s.start("db");
    let run = s.run("db");
    let stop = s.stop("db");
    s.pass(secs(4));
    s.hear(Input::Notified(run, Notification::ExtendTimeout(secs(30))));
    s.pass(secs(29));
    assert!(s.is_open(stop));
    s.pass(secs(1));
    s.came_to(stop, Stopped);
}

#[test]
fn a_listener_outlives_crashes_and_restarts_and_is_closed_with_the_process() {
    let listener = || Listener::new(ListenAddress::Unix("/run/web.sock".into()));
    let mut s = Scenario::with([spec("web").listen(listener()), spec("other")]);
    let web = s.id("web");
    s.hear(Input::SocketReadable(web));
    s.exit("web", BAD);
    s.pass(secs(1));
    s.restart("web");
    s.stop("web");
    let closed =
        |s: &Scenario| s.since().iter().any(|(_, output)| matches!(output, neap::core::Output::CloseSockets(_)));
    assert!(!closed(&s));
    s.apply([spec("other")]);
    assert!(closed(&s));
}
