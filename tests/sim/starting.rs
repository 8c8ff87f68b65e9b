//! Starts: types, what is needed, what is wanted, and in which order.

use neap::core::{
    Cause, Done, EventKind, HoldKind, HookKind, Notification, Refusal, RelationKind, SpawnError, SpawnStep,
    StateName::*, Want,
};
use neap::core::{Input, Pid};
use neap::sim::{Behaviour, Preparation};
use neap::spec::{Conditions, Hook, ListenAddress, Listener, Ready, Restart, RestartPolicy};

use super::harness::*;

fn cannot_exec() -> SpawnError {
    SpawnError {
        step: SpawnStep::Exec,
        errno: Some(2),
        message: "cannot execute `/opt/program`: no such file or directory".into(),
    }
}

#[test]
fn a_simple_process_is_ready_once_executed() {
    let mut s = Scenario::with([spec("web")]);
    s.is("web", Created);
    let start = s.start("web");
    s.came_to(start, Running);
    assert_eq!(s.story("web"), [Starting, Running]);
    assert!(s.status("web").pid.is_some());
    assert_eq!(s.status("web").run_count, 1);
}

#[test]
fn a_process_that_starts_by_itself_is_started_by_the_plan() {
    let s = Scenario::with([spec("web").auto_start(true), spec("idle")]);
    s.is("web", Running);
    s.is("idle", Created);
}

#[test]
fn an_exec_failure_is_a_failed_start_that_says_where_and_why() {
    let mut s = Scenario::with([once("web")]);
    s.behave("web", Behaviour { spawn_error: Some(cannot_exec()), ..Behaviour::default() });
    let start = s.start("web");
    s.is("web", Failed);
    match s.refused(start) {
        Refusal::StartFailed { name, reason, retry_in: None } => {
            assert_eq!(&*name, "web");
            assert!(reason.contains("no such file"), "{reason}");
        }
        other => s.fail(&format!("answered with {other:?}")),
    }
}

#[test]
fn a_first_start_that_fails_is_retried_like_any_other_and_the_caller_is_told() {
    let mut s = Scenario::with([spec("web")]);
    s.behave("web", Behaviour { spawn_error: Some(cannot_exec()), ..Behaviour::default() });
    let start = s.start("web");
    s.is("web", Backoff);
    match s.refused(start) {
        Refusal::StartFailed { retry_in: Some(delay), .. } => assert_eq!(delay, secs(1)),
        other => s.fail(&format!("answered with {other:?}")),
    }
    s.behave("web", Behaviour::default());
    s.pass(secs(1));
    s.is("web", Running);
}

#[test]
fn a_oneshot_is_starting_while_it_runs_and_exited_when_it_ended_well() {
    let mut s = Scenario::with([oneshot("migrate")]);
    s.behave("migrate", ends(secs(5), OK));
    let start = s.start("migrate");
    s.is("migrate", Starting);
    assert!(s.is_open(start));
    s.pass(secs(5));
    s.came_to(start, Exited);
}

#[test]
fn a_oneshot_that_remains_is_running_without_a_pid_until_it_is_stopped() {
    let mut s = Scenario::with([oneshot("mount").remain(true)]);
    s.behave("mount", ends(secs(1), OK));
    let start = s.start("mount");
    s.pass(secs(1));
    s.came_to(start, Running);
    assert_eq!(s.status("mount").pid, None);
    let stop = s.stop("mount");
    s.came_to(stop, Stopped);
}

#[test]
fn a_oneshot_that_fails_is_failed() {
    let mut s = Scenario::with([oneshot("migrate").remain(true)]);
    s.behave("migrate", ends(secs(1), BAD));
    let start = s.start("migrate");
    s.pass(secs(1));
    s.is("migrate", Failed);
    assert!(matches!(s.refused(start), Refusal::StartFailed { retry_in: None, .. }));
}

#[test]
fn a_notify_process_is_ready_when_it_says_so() {
    let mut s = Scenario::with([notify("db")]);
    s.behave("db", Behaviour { ready_after: Some(secs(3)), ..Behaviour::default() });
    let start = s.start("db");
    s.pass(secs(2));
    s.is("db", Starting);
    assert!(s.is_open(start));
    s.pass(secs(1));
    s.came_to(start, Running);
}

#[test]
fn ready_may_arrive_before_the_execution_is_known() {
    let mut s = Scenario::with([notify("db")]);
    s.behave("db", Behaviour { exec_time: secs(5), ..silent() });
    let start = s.start("db");
    let run = s.run("db");
    s.hear(Input::Notified(run, Notification::Ready));
    s.pass(secs(5));
    s.came_to(start, Running);
}

#[test]
fn an_exit_may_arrive_before_the_execution_is_known() {
    let mut s = Scenario::with([once("web")]);
    s.behave("web", Behaviour { exec_time: secs(5), ..Behaviour::default() });
    s.start("web");
    let (run, pid) = (s.run("web"), s.world.main_pid("web").expect("a child"));
    s.world.behave_now("web", |does| does.exits = Some((secs(0), BAD)));
    s.hear(Input::Exited(run, pid, BAD));
    s.is("web", Starting);
    s.pass(secs(5));
    s.is("web", Failed);
    assert_eq!(s.status("web").exit, Some(BAD));
}

#[test]
fn a_start_that_takes_too_long_is_ended_and_retried() {
    let mut s = Scenario::with([notify("db").start_timeout(secs(10))]);
    s.behave("db", silent());
    let start = s.start("db");
    s.pass(secs(10));
    assert!(matches!(s.refused(start), Refusal::StartFailed { .. }));
    s.is("db", Backoff);
    assert_eq!(s.sent("db"), [TERM]);
}

#[test]
fn extend_timeout_moves_the_start_deadline() {
    let mut s = Scenario::with([notify("db").start_timeout(secs(10))]);
    s.behave("db", silent());
    s.start("db");
    s.pass(secs(9));
    let run = s.run("db");
    s.hear(Input::Notified(run, Notification::ExtendTimeout(secs(30))));
    s.pass(secs(29));
    s.is("db", Starting);
    s.pass(millis(1500));
    s.is("db", Backoff);
}

#[test]
fn a_forking_process_is_ready_when_its_daemon_is_known_and_is_followed_then() {
    let mut s = Scenario::with([spec("nginx").process_type(neap::spec::ProcessType::Forking)]);
    s.behave("nginx", Behaviour { ready_after: Some(secs(2)), ..Behaviour::default() });
    let start = s.start("nginx");
    let parent = s.pid("nginx");
    s.pass(secs(2));
    s.came_to(start, Running);
    let daemon = s.pid("nginx");
    assert_ne!(parent, daemon);
    s.exit("nginx", BAD);
    s.is("nginx", Backoff);
}

#[test]
fn a_forking_process_whose_parent_ends_badly_has_failed() {
    let mut s = Scenario::with([once("nginx").process_type(neap::spec::ProcessType::Forking)]);
    s.behave("nginx", Behaviour { ready_after: None, exits: Some((secs(1), BAD)), ..Behaviour::default() });
    let start = s.start("nginx");
    s.pass(secs(1));
    s.is("nginx", Failed);
    assert!(matches!(s.refused(start), Refusal::StartFailed { .. }));
}

#[test]
fn a_forking_process_without_a_daemon_has_failed() {
    let mut s = Scenario::with([once("nginx").process_type(neap::spec::ProcessType::Forking)]);
    s.behave("nginx", Behaviour { daemonises: false, ..Behaviour::default() });
    let start = s.start("nginx");
    s.is("nginx", Failed);
    assert!(matches!(s.refused(start), Refusal::StartFailed { .. }));
}

#[test]
fn mainpid_makes_another_process_the_main_one() {
    let mut s = Scenario::with([notify("web")]);
    s.start("web");
    let (run, old) = (s.run("web"), s.pid("web"));
    s.hear(Input::Notified(run, Notification::MainPid(Pid(4711))));
    assert_eq!(s.pid("web"), Pid(4711));
    s.hear(Input::Exited(run, old, OK));
    s.is("web", Running);
}

#[test]
fn a_probe_that_passes_makes_it_ready() {
    let mut s = Scenario::with([spec("web").ready(Ready::tcp(8080))]);
    s.behave("web", Behaviour { probes: (secs(0), Err("connection refused".into())), ..Behaviour::default() });
    let start = s.start("web");
    s.pass(secs(5));
    s.is("web", Starting);
    s.world.behave_now("web", |does| does.probes = (millis(1), Ok(())));
    s.pass(secs(2));
    s.came_to(start, Running);
}

#[test]
fn a_line_of_output_makes_it_ready() {
    let mut s = Scenario::with([spec("web").ready(Ready::logline("listening"))]);
    s.behave("web", Behaviour { ready_after: Some(secs(1)), ..Behaviour::default() });
    let start = s.start("web");
    s.is("web", Starting);
    s.pass(secs(1));
    s.came_to(start, Running);
}

#[test]
fn starting_me_starts_what_i_require_and_i_wait_until_it_is_ready() {
    let mut s = Scenario::with([notify("db"), spec("web").requires("db")]);
    s.behave("db", Behaviour { ready_after: Some(secs(3)), ..Behaviour::default() });
    let start = s.start("web");
    s.is("db", Starting);
    s.is("web", Waiting);
    let holds = s.status("web").holds;
    assert_eq!(holds.len(), 1);
    assert_eq!((holds[0].kind, &*holds[0].name), (HoldKind::Requires, "db"));
    s.pass(secs(3));
    s.came_to(start, Running);
    assert_eq!(s.order_of(Running), ["db", "web"]);
}

#[test]
fn if_what_i_require_cannot_start_i_fail() {
    let mut s = Scenario::with([once("db"), spec("web").requires("db")]);
    s.behave("db", Behaviour { spawn_error: Some(cannot_exec()), ..Behaviour::default() });
    let start = s.start("web");
    s.is("db", Failed);
    s.is("web", Failed);
    match s.refused(start) {
        Refusal::StartFailed { reason, .. } => assert!(reason.contains("`db`"), "{reason}"),
        other => s.fail(&format!("answered with {other:?}")),
    }
    assert_eq!(s.attempts("web"), 0);
}

#[test]
fn requires_waits_through_the_retries_of_what_it_requires() {
    let mut s = Scenario::with([spec("db"), spec("web").requires("db")]);
    s.behave("db", Behaviour { spawn_error: Some(cannot_exec()), ..Behaviour::default() });
    let start = s.start("web");
    s.is("db", Backoff);
    s.is("web", Waiting);
    assert!(s.is_open(start));
    s.behave("db", Behaviour::default());
    s.pass(secs(1));
    s.came_to(start, Running);
}

#[test]
fn what_i_require_may_crash_without_taking_me_down() {
    let mut s = Scenario::with([once("db"), spec("web").requires("db")]);
    s.start("web");
    s.exit("db", BAD);
    s.is("db", Failed);
    s.is("web", Running);
}

#[test]
fn an_explicit_stop_of_what_i_require_stops_me_first() {
    let mut s = Scenario::with([spec("db"), spec("web").requires("db")]);
    s.start("web");
    s.mark();
    let stop = s.stop("db");
    s.came_to(stop, Stopped);
    assert_eq!(s.order_of(Stopped), ["web", "db"]);
    let cause =
        s.events("web").into_iter().find(|e| matches!(e.kind, EventKind::State { to: Stopping, .. })).map(|e| &e.cause);
    assert_eq!(cause, Some(&Cause::Relation(RelationKind::Requires, "db".into())));
}

#[test]
fn a_restart_of_what_i_require_brings_me_back() {
    let mut s = Scenario::with([spec("db"), spec("web").requires("db"), spec("other").requires("db")]);
    s.start("web");
    s.mark();
    let restart = s.restart("db");
    s.came_to(restart, Running);
    s.are(&["db", "web"], Running);
    s.is("other", Created);
    assert_eq!(s.order_of(Running), ["db", "web"]);
}

#[test]
fn starting_me_starts_what_i_want_and_its_failure_does_not_matter() {
    let mut s = Scenario::with([once("cache"), spec("web").wants("cache")]);
    s.behave("cache", Behaviour { spawn_error: Some(cannot_exec()), ..Behaviour::default() });
    let start = s.start("web");
    s.came_to(start, Running);
    s.is("cache", Failed);
}

#[test]
fn wants_alone_orders_nothing() {
    let mut s = Scenario::with([notify("cache"), spec("web").wants("cache")]);
    s.behave("cache", silent());
    let start = s.start("web");
    s.came_to(start, Running);
    s.is("cache", Starting);
}

#[test]
fn after_means_after_ready() {
    let s = Scenario::with([notify("a").auto_start(true), spec("b").after("a").auto_start(true)]);
    s.is("a", Running);
    s.is("b", Running);
    assert_eq!(s.order_of(Running), ["a", "b"]);
}

#[test]
fn before_is_after_seen_from_the_other_side() {
    let s = Scenario::with([spec("z").before("a").auto_start(true), spec("a").auto_start(true)]);
    assert_eq!(s.order_of(Running), ["z", "a"]);
}

#[test]
fn plain_order_starts_nothing() {
    let mut s = Scenario::with([spec("a"), spec("b").after("a")]);
    let start = s.start("b");
    s.came_to(start, Running);
    s.is("a", Created);
}

#[test]
fn plain_order_ends_with_the_others_first_failure() {
    let mut s = Scenario::empty();
    s.behave("a", Behaviour { spawn_error: Some(cannot_exec()), ..Behaviour::default() });
    s.apply([spec("a").auto_start(true), spec("b").after("a").auto_start(true)]);
    s.is("a", Backoff);
    s.is("b", Running);
}

#[test]
fn plain_order_ends_when_the_other_is_skipped() {
    let mut s = Scenario::empty();
    s.behave("a", Behaviour { preparation: Preparation::Unmet("path_exists: /x".into()), ..Behaviour::default() });
    s.apply([spec("a").auto_start(true), spec("b").after("a").auto_start(true)]);
    s.is("a", Created);
    s.is("b", Running);
}

#[test]
fn plain_order_ends_with_an_armed_listener() {
    let listener = Listener::new(ListenAddress::Tcp("127.0.0.1:8080".into()));
    let s = Scenario::with([spec("a").listen(listener).auto_start(false), spec("b").after("a").auto_start(true)]);
    s.is("a", Waiting);
    s.is("b", Running);
}

#[test]
fn an_explicit_order_of_a_pair_overrides_the_implied_one() {
    let mut s = Scenario::with([notify("db").after("web"), spec("web").requires("db")]);
    s.behave("db", silent());
    let start = s.start("web");
    s.came_to(start, Running);
    assert_eq!(s.order_of(Running), ["web"]);
    s.is("db", Starting);
}

#[test]
fn requires_binds_to_and_follows_imply_after() {
    for other in [spec("b").requires("a"), spec("b").binds_to("a"), spec("b").follows("a")] {
        let mut s = Scenario::empty();
        s.behave("a", silent());
        s.apply([notify("a").auto_start(true), other.auto_start(true)]);
        s.is("a", Starting);
        s.is("b", Waiting);
    }
}

#[test]
fn starts_run_as_wide_as_the_graph_allows() {
    let mut s = Scenario::empty();
    for name in ["a", "b", "c"] {
        s.behave(name, Behaviour { ready_after: Some(secs(2)), ..Behaviour::default() });
    }
    s.apply([
        notify("a").auto_start(true),
        notify("b").auto_start(true),
        notify("c").auto_start(true),
        spec("d").requires("a").requires("b").requires("c").auto_start(true),
    ]);
    s.are(&["a", "b", "c"], Starting);
    s.pass(secs(2));
    s.are(&["a", "b", "c", "d"], Running);
}

#[test]
fn a_wanted_process_may_bind_to_its_wanter() {
    let mut s = Scenario::with([spec("agent").wants("trace"), spec("trace").binds_to("agent")]);
    let start = s.start("agent");
    s.came_to(start, Running);
    s.is("trace", Running);
    s.exit("agent", BAD);
    s.is("agent", Backoff);
    s.is("trace", Stopped);
    let stop = s.stop("agent");
    s.came_to(stop, Stopped);
}

#[test]
fn a_wanted_process_that_binds_to_its_wanter_and_follows_it_comes_back_with_it() {
    let mut s = Scenario::with([spec("agent").wants("trace"), spec("trace").binds_to("agent").follows("agent")]);
    s.start("agent");
    s.is("trace", Running);
    s.exit("agent", BAD);
    s.is("trace", Stopped);
    s.pass(secs(1));
    s.are(&["agent", "trace"], Running);
}

#[test]
fn an_unmet_condition_skips_the_start_and_leaves_the_state_as_it_was() {
    let unmet = Behaviour { preparation: Preparation::Unmet("path_exists: /x".into()), ..Behaviour::default() };
    let conditions = Conditions { path_exists: vec!["/x".into()], ..Conditions::default() };
    let mut s = Scenario::with([spec("web").conditions(conditions)]);
    s.behave("web", unmet.clone());
    let start = s.start("web");
    s.is("web", Created);
    match s.refused(start) {
        Refusal::Skipped { name, condition } => assert_eq!((&*name, &*condition), ("web", "path_exists: /x")),
        other => s.fail(&format!("answered with {other:?}")),
    }
    assert!(s.events("web").iter().any(|e| matches!(e.kind, EventKind::Skipped { .. })));
    s.behave("web", Behaviour::default());
    let start = s.start("web");
    s.came_to(start, Running);
    s.stop("web");
    s.behave("web", unmet);
    let start = s.start("web");
    s.is("web", Stopped);
    assert!(matches!(s.refused(start), Refusal::Skipped { .. }));
}

#[test]
fn requires_and_wants_go_on_when_the_other_is_skipped_and_binds_to_does_not() {
    let unmet = Behaviour { preparation: Preparation::Unmet("path_exists: /x".into()), ..Behaviour::default() };
    let mut s = Scenario::with([
        spec("gone"),
        spec("requires").requires("gone"),
        spec("wants").wants("gone").after("gone"),
        spec("binds").binds_to("gone"),
    ]);
    s.behave("gone", unmet);
    let (requires, wants, binds) = (s.start("requires"), s.start("wants"), s.start("binds"));
    s.came_to(requires, Running);
    s.came_to(wants, Running);
    assert!(matches!(s.refused(binds), Refusal::Skipped { .. }));
    assert_eq!(s.attempts("binds"), 0);
    assert!(s.events("binds").iter().any(|event| matches!(event.kind, EventKind::Skipped { .. })));
}

#[test]
fn lack_of_resources_backs_off_without_counting_as_a_crash() {
    for errno in [11, 12, 24] {
        let mut s = Scenario::with([spec("web").restart(Restart::on_failure().jitter(0.0).limit(1, secs(600)))]);
        let error = SpawnError { step: SpawnStep::Clone, errno: Some(errno), message: "cannot make a process".into() };
        s.behave("web", Behaviour { spawn_error: Some(error), ..Behaviour::default() });
        s.start("web");
        s.pass(secs(300));
        s.assert(s.attempts("web") >= 4, "it is tried again and again");
        assert!(matches!(s.state("web"), Backoff | Starting));
        assert_eq!(s.status("web").restarts, 0);
        s.behave("web", Behaviour::default());
        s.pass(secs(120));
        s.is("web", Running);
    }
}

#[test]
fn lack_of_resources_is_retried_even_by_a_process_that_never_restarts() {
    let mut s = Scenario::with([once("web")]);
    let error = SpawnError { step: SpawnStep::Clone, errno: Some(11), message: "cannot make a process".into() };
    s.behave("web", Behaviour { spawn_error: Some(error), ..Behaviour::default() });
    s.start("web");
    s.is("web", Backoff);
    s.behave("web", Behaviour::default());
    s.pass(secs(120));
    s.is("web", Running);
}

#[test]
fn with_listen_it_starts_on_the_first_connection() {
    let listener = Listener::new(ListenAddress::Tcp("127.0.0.1:8080".into()));
    let mut s = Scenario::with([spec("web").listen(listener).auto_start(false)]);
    s.is("web", Waiting);
    assert_eq!(s.attempts("web"), 0);
    let web = s.id("web");
    s.hear(Input::SocketReadable(web));
    s.is("web", Running);
    s.hear(Input::SocketReadable(web));
    assert_eq!(s.attempts("web"), 1);
}

#[test]
fn stopping_a_listening_process_disarms_it_until_it_is_started_again() {
    let listener = Listener::new(ListenAddress::Tcp("127.0.0.1:8080".into()));
    let mut s = Scenario::with([spec("web").listen(listener).auto_start(false)]);
    let web = s.id("web");
    let stop = s.stop("web");
    s.came_to(stop, Stopped);
    s.hear(Input::SocketReadable(web));
    s.is("web", Stopped);
    assert_eq!(s.attempts("web"), 0);
    s.start("web");
    s.is("web", Running);
    s.exit("web", OK);
    s.is("web", Waiting);
}

#[test]
fn stopping_what_a_listening_process_requires_disarms_it() {
    let listener = Listener::new(ListenAddress::Tcp("127.0.0.1:8080".into()));
    let mut s =
        Scenario::with([spec("db").auto_start(true), spec("web").requires("db").listen(listener).auto_start(false)]);
    let web = s.id("web");
    s.is("web", Waiting);
    s.stop("db");
    s.is("web", Stopped);
    s.hear(Input::SocketReadable(web));
    s.is("web", Stopped);
}

#[test]
fn a_before_start_hook_that_fails_fails_the_start() {
    let mut s = Scenario::with([once("web").before_start(Hook::command(["/opt/hook"]))]);
    let hooks = [(HookKind::BeforeStart, (secs(1), Err("exit code 3".to_owned())))].into();
    s.behave("web", Behaviour { hooks, ..Behaviour::default() });
    let start = s.start("web");
    s.is("web", Starting);
    s.pass(secs(1));
    s.is("web", Failed);
    match s.refused(start) {
        Refusal::StartFailed { reason, .. } => assert!(reason.contains("exit code 3"), "{reason}"),
        other => s.fail(&format!("answered with {other:?}")),
    }
    assert_eq!(s.world.members("web"), []);
}

#[test]
fn before_start_hooks_run_one_after_the_other_and_before_the_program() {
    let hook = || Hook::command(["/opt/hook"]);
    let mut s = Scenario::with([spec("web").before_start(hook()).before_start(hook()).after_start(hook())]);
    let hooks = [(HookKind::BeforeStart, (secs(1), Ok(())))].into();
    s.behave("web", Behaviour { hooks, ..Behaviour::default() });
    let start = s.start("web");
    s.pass(secs(1));
    assert_eq!(s.hooks("web"), [HookKind::BeforeStart; 2]);
    assert_eq!(s.world.members("web"), []);
    s.pass(secs(1));
    s.came_to(start, Running);
    assert_eq!(s.hooks("web"), [HookKind::BeforeStart, HookKind::BeforeStart, HookKind::AfterStart]);
}

#[test]
fn an_after_start_hook_that_fails_is_an_event_and_changes_nothing() {
    let mut s = Scenario::with([spec("web").after_start(Hook::command(["/opt/hook"]))]);
    let hooks = [(HookKind::AfterStart, (secs(0), Err("exit code 3".to_owned())))].into();
    s.behave("web", Behaviour { hooks, ..Behaviour::default() });
    s.start("web");
    s.is("web", Running);
    assert!(s.events("web").iter().any(|e| matches!(e.kind, EventKind::HookFailed { hook: HookKind::AfterStart, .. })));
}

#[test]
fn starting_what_runs_already_is_answered_at_once() {
    let mut s = Scenario::with([spec("web")]);
    s.start("web");
    let run = s.run("web");
    let again = s.start("web");
    assert_eq!(s.reply(again), Ok(Done::State(Running)));
    assert_eq!(s.run("web"), run);
}

#[test]
fn a_second_start_while_starting_waits_for_the_same_run() {
    let mut s = Scenario::with([notify("db")]);
    s.behave("db", Behaviour { ready_after: Some(secs(2)), ..Behaviour::default() });
    let (first, second) = (s.start("db"), s.start("db"));
    s.pass(secs(2));
    s.came_to(first, Running);
    s.came_to(second, Running);
    assert_eq!(s.attempts("db"), 1);
}

#[test]
fn an_abandoned_start_goes_on_without_an_answer() {
    let mut s = Scenario::with([notify("db")]);
    s.behave("db", Behaviour { ready_after: Some(secs(2)), ..Behaviour::default() });
    let start = s.start("db");
    assert!(s.world.abandon(start).is_ok());
    s.pass(secs(2));
    s.is("db", Running);
    assert!(s.is_open(start));
    assert_eq!(s.status("db").want, Want::Up);
}

#[test]
fn a_start_during_backoff_starts_at_once() {
    let mut s = Scenario::with([
        spec("web").restart(Restart { policy: RestartPolicy::Always, ..Restart::always().delay(secs(60)) })
    ]);
    s.start("web");
    s.exit("web", BAD);
    s.is("web", Backoff);
    let start = s.start("web");
    s.came_to(start, Running);
}

#[test]
fn the_after_start_hooks_of_a_oneshot_run_when_it_succeeded_and_before_it_counts_as_ended() {
    let mut s = Scenario::with([oneshot("migrate").after_start(Hook::command(["/opt/hook"]))]);
    s.behave("migrate", ends(secs(1), OK));
    let start = s.start("migrate");
    s.pass(secs(1));
    s.came_to(start, Exited);
    assert_eq!(s.hooks("migrate"), [HookKind::AfterStart]);
}
