//! Starting, stopping, crashing and coming back, with real processes.

use std::time::Duration;

use neap::Error;
use neap::core::{ChangeKind, EventKind, ExitStatus, Refusal, StateName};
use neap::spec::{Plan, Restart, Signal, Spec};

use crate::support::wait_until;
use crate::world::{World, at_once, await_lines, does, done, is_gone, pid};

#[test]
fn a_process_starts_prints_and_stops() {
    let world = World::new();
    let process = world.add(does("web", &["say", "hello", "complain", "careful", "wait"]));
    assert_eq!(process.status().unwrap().state, StateName::Created);
    assert_eq!(done(process.start()), Ok(StateName::Running));
    let status = process.status().unwrap();
    assert_eq!((status.state, status.run_count), (StateName::Running, 1));
    let mut printed = await_lines(&process, 2);
    printed.sort();
    assert_eq!(printed, ["careful", "hello"]);
    let pid = pid(&process);
    assert_eq!(done(process.stop()), Ok(StateName::Stopped));
    assert!(is_gone(pid));
    let status = process.status().unwrap();
    assert_eq!((status.pid, status.exit), (None, Some(ExitStatus::Signal { signal: Signal::TERM, core: false })));
}

#[test]
fn starting_and_stopping_again_is_answered_at_once_and_changes_nothing() {
    let world = World::new();
    let process = world.start(does("web", &["wait"]));
    let first = pid(&process);
    assert_eq!(done(process.start()), Ok(StateName::Running));
    assert_eq!(pid(&process), first);
    done(process.stop()).unwrap();
    assert_eq!(done(process.stop()), Ok(StateName::Stopped));
}

#[test]
fn a_killed_process_comes_back_at_once_with_a_new_run() {
    for cgroups in [true, false] {
        let mut world = World::with(|builder| builder.cgroups(cgroups));
        let process = world.start(does("web", &["wait"]).restart(at_once()));
        let mut old = world.await_executed("web");
        for count in 2..8 {
            let killed = process.status().unwrap().run;
            done(process.signal(Signal::KILL)).unwrap();
            assert_eq!(world.await_exit("web"), ExitStatus::Signal { signal: Signal::KILL, core: false });
            let new = world.await_executed("web");
            assert_ne!(new, old);
            let status = process.status().unwrap();
            assert_eq!((status.state, status.pid, status.run_count), (StateName::Running, Some(new), count));
            assert!(status.run > killed);
            old = new;
        }
    }
}

#[test]
fn a_stop_during_backoff_wins() {
    let mut world = World::new();
    let slow = Restart::always().delay(Duration::from_secs(3600)).jitter(0.0);
    let process = world.start(does("web", &["exit", "3"]).restart(slow));
    world.await_state("web", StateName::Backoff);
    assert!(process.status().unwrap().retry_at.is_some());
    assert_eq!(done(process.stop()), Ok(StateName::Stopped));
    assert_eq!(process.status().unwrap().run_count, 1);
}

#[test]
fn too_many_restarts_end_in_crashed_until_somebody_starts_it() {
    let mut world = World::new();
    let limited = at_once().limit(3, Duration::from_secs(600));
    let process = world.start(does("web", &["exit", "3"]).restart(limited));
    world.await_state("web", StateName::Crashed);
    let status = process.status().unwrap();
    assert_eq!(status.run_count, 4, "one start and three restarts");
    assert!(status.reason.contains("exit code 3"), "{}", status.reason);
    let _answer = process.start();
    world.await_state("web", StateName::Crashed);
    assert_eq!(process.status().unwrap().run_count, 8);
}

#[test]
fn a_program_that_cannot_be_executed_is_a_failed_start_that_names_it() {
    let world = World::new();
    let starts = |spec: Spec| match done(world.add(spec.restart(Restart::never())).start()) {
        Err(Error::Refused(Refusal::StartFailed { reason, retry_in: None, .. })) => reason,
        other => panic!("{other:?}"),
    };
    let reason = starts(Spec::new("a", ["/nowhere/program"]));
    assert!(reason.contains("/nowhere/program"), "{reason}");
    let reason = starts(Spec::new("b", ["no-such-program-anywhere"]));
    assert!(reason.contains("no-such-program-anywhere"), "{reason}");
    let reason = starts(Spec::new("c", ["/etc/passwd"]));
    assert!(reason.contains("/etc/passwd"), "{reason}");
    let reason = starts(does("d", &["wait"]).working_dir("/nowhere/at/all"));
    assert!(reason.contains("/nowhere/at/all"), "{reason}");
    let reason = starts(does("e", &["wait"]).user("nobody-of-that-name"));
    assert!(reason.contains("nobody-of-that-name"), "{reason}");
    let reason = starts(does("f", &["wait"]).env_file("missing.env"));
    assert!(reason.contains("missing.env"), "{reason}");
}

#[test]
fn a_oneshot_is_ready_when_it_ended_well() {
    let world = World::new();
    let good = world.add(does("good", &["exit", "0"]).oneshot());
    assert_eq!(done(good.start()), Ok(StateName::Exited));
    let bad = world.add(does("bad", &["exit", "9"]).oneshot());
    match done(bad.start()) {
        Err(Error::Refused(Refusal::StartFailed { reason, .. })) => assert!(reason.contains('9'), "{reason}"),
        other => panic!("{other:?}"),
    }
    let stays = world.add(does("stays", &["exit", "0"]).oneshot().remain(true));
    assert_eq!(done(stays.start()), Ok(StateName::Running));
    assert_eq!(stays.status().unwrap().pid, None);
    assert_eq!(done(stays.stop()), Ok(StateName::Stopped));
}

#[test]
fn a_restart_gives_a_new_pid_and_a_signal_reaches_the_main_process() {
    let mut world = World::new();
    let process = world.start(does("web", &["trap", "USR1=exit:7", "say", "armed", "wait"]));
    await_lines(&process, 1);
    let old = pid(&process);
    assert_eq!(done(process.restart()), Ok(StateName::Running));
    assert_ne!(pid(&process), old);
    await_lines(&process, 2);
    done(process.signal(Signal::USR1)).unwrap();
    world.await_event("the handler's exit code", |event| match event.kind {
        EventKind::ProcessExited { status: ExitStatus::Code(7), .. } => Some(()),
        _ => None,
    });
    world.await_state("web", StateName::Failed);
    match done(process.signal(Signal::USR1)) {
        Err(Error::Refused(Refusal::State { state: StateName::Failed, .. })) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn deleting_is_refused_while_it_runs_unless_forced() {
    let world = World::new();
    let process = world.start(does("web", &["wait"]));
    assert!(matches!(done(process.delete(false)), Err(Error::Refused(Refusal::State { .. }))));
    let pid = pid(&process);
    assert_eq!(done(process.delete(true)), Ok(()));
    assert!(is_gone(pid));
    assert!(world.supervisor.get("web").is_none());
    assert_eq!(process.status(), Err(Error::Refused(Refusal::NotFound)));
    assert!(matches!(done(process.start()), Err(Error::Refused(Refusal::NotFound))));
    world.start(does("web", &["wait"]));
}

#[test]
fn an_update_is_applied_live_or_waits_for_a_restart_and_says_which() {
    let world = World::new();
    let process = world.start(does("web", &["wait"]));
    let first = pid(&process);
    let live = done(process.update(does("web", &["wait"]).description("a web server"))).unwrap();
    assert_eq!((live.fields(), live.needs_restart()), (vec!["description".to_owned()], vec![]));
    let dry = done(process.update_dry_run(does("web", &["say", "new", "wait"]))).unwrap();
    assert_eq!(dry.needs_restart(), ["command"]);
    assert_eq!(process.spec().unwrap().description.as_deref(), Some("a web server"));
    let changed = done(process.update_and_restart(does("web", &["say", "new", "wait"]))).unwrap();
    assert!(changed.restarted);
    assert_eq!(await_lines(&process, 1), ["new"]);
    assert_ne!(pid(&process), first);
}

#[test]
fn what_is_required_is_started_first_and_stopped_last() {
    let mut world = World::new();
    let db = world.add(does("db", &["wait"]));
    let web = world.start(does("web", &["wait"]).requires("db"));
    let mut executed = Vec::new();
    world.await_event("both run", |event| {
        if let EventKind::State { to: StateName::Running, .. } = event.kind {
            executed.extend(event.name.clone());
        }
        (executed.len() == 2).then_some(())
    });
    assert_eq!(executed.iter().map(|n| &**n).collect::<Vec<_>>(), ["db", "web"]);
    done(db.stop()).unwrap();
    assert_eq!(web.status().unwrap().state, StateName::Stopped);
    let mut stopped = Vec::new();
    world.await_event("both stop", |event| {
        if let EventKind::State { to: StateName::Stopped, .. } = event.kind {
            stopped.extend(event.name.clone());
        }
        (stopped.len() == 2).then_some(())
    });
    assert_eq!(stopped.iter().map(|n| &**n).collect::<Vec<_>>(), ["web", "db"]);
}

#[test]
fn a_critical_process_ends_the_supervisor_with_its_code() {
    let world = World::new();
    let other = world.start(does("other", &["wait"]));
    let other_pid = pid(&other);
    world.start(does("main", &["gone", "block", "exit", "42"]).critical(true));
    let ended = done(world.supervisor.ended()).unwrap();
    assert_eq!((ended.code, ended.stuck.len()), (Some(42), 0));
    assert!(is_gone(other_pid));
    assert_eq!(world.supervisor.list(), Err(Error::Ended));
    assert_eq!(done(other.start()), Err(Error::Ended));
}

#[test]
fn an_applied_plan_starts_what_starts_by_itself_and_leaves_the_unchanged_alone() {
    let world = World::new();
    let plan = |names: &[&str], late: &str| {
        let mut plan = Plan::new();
        for name in names {
            plan.insert(does(name, &["wait"])).unwrap();
        }
        plan.insert(does("late", &["say", late, "wait"]).auto_start(false)).unwrap();
        plan
    };
    let applied = done(world.supervisor.apply(plan(&["a", "b"], "1"))).unwrap();
    assert_eq!(applied.names(ChangeKind::Added).len(), 3);
    let a = world.supervisor.get("a").unwrap();
    done_waiting(&a, StateName::Running);
    done_waiting(&world.supervisor.get("b").unwrap(), StateName::Running);
    let (pid_a, pid_b) = (pid(&a), pid(&world.supervisor.get("b").unwrap()));
    let late = world.supervisor.get("late").unwrap();
    assert_eq!(late.status().unwrap().state, StateName::Created);
    let next = plan(&["a", "c"], "2");
    let diff = world.supervisor.plan(&next).unwrap();
    assert_eq!(world.supervisor.list().unwrap().len(), 3, "a plan changes nothing");
    let applied = done(world.supervisor.apply(next)).unwrap();
    assert_eq!(applied, diff);
    let names = |kind| applied.names(kind).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!((names(ChangeKind::Added), names(ChangeKind::Removed)), (vec!["c".into()], vec!["b".into()]));
    done_waiting(&world.supervisor.get("c").unwrap(), StateName::Running);
    assert_eq!(pid(&a), pid_a);
    wait_until("b is gone", || is_gone(pid_b));
    let mut bad = Plan::new();
    bad.insert(does("x", &["wait"]).requires("nobody")).unwrap();
    assert!(matches!(done(world.supervisor.apply(bad)), Err(Error::Refused(Refusal::Invalid(_)))));
    assert_eq!(pid(&a), pid_a);
}

fn done_waiting(process: &neap::Process, state: StateName) {
    assert_eq!(done(process.wait(state)).unwrap().state, state);
}

#[test]
fn conditions_are_looked_at_at_each_start() {
    let world = World::new();
    let process = world.add(does("web", &["wait"]).condition_path_exists("flag"));
    match done(process.start()) {
        Err(Error::Refused(Refusal::Skipped { condition, .. })) => assert!(condition.contains("flag"), "{condition}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(process.status().unwrap().state, StateName::Created);
    std::fs::write(world.dir.join("flag"), "").unwrap();
    assert_eq!(done(process.start()), Ok(StateName::Running));
}
