//! Daemons that put themselves into the background: found by their pid file or in their tree, then followed like any other.

use std::time::Duration;

use neap::Error;
use neap::core::{EventKind, Pid, Refusal, StateName};
use neap::spec::{ProcessType, Restart, Signal, Spec};

use crate::support::wait_until;
use crate::world::{World, at_once, await_lines, does, done, is_dead, pid};

fn forking(name: &str, words: &[&str]) -> Spec {
    does(name, words).process_type(ProcessType::Forking)
}

#[test]
fn a_daemon_is_found_by_its_pid_file_and_its_end_is_noticed() {
    for cgroups in [true, false] {
        let mut world = World::with(|builder| builder.cgroups(cgroups));
        let process =
            world.start(forking("web", &["daemonize", "pidfile", "web.pid", "pid", "wait"]).pidfile("web.pid"));
        let daemon = Pid(await_lines(&process, 1)[0].parse().unwrap());
        assert_eq!(pid(&process), daemon);
        let parent = world.await_executed("web");
        assert_ne!(parent, daemon);
        done(process.signal(Signal::KILL)).unwrap();
        world.await_state("web", StateName::Failed);
        assert!(is_dead(daemon));
        wait_until("its pid file is gone", || !world.dir.join("web.pid").exists());
    }
}

#[test]
fn a_daemon_without_a_pid_file_is_the_oldest_process_left() {
    for cgroups in [true, false] {
        let mut world = World::with(|builder| builder.cgroups(cgroups));
        let words = ["daemonize", "pid", "fork", "{", "wait", "}", "wait"];
        let process = world.start(forking("web", &words).restart(at_once()));
        let first = Pid(await_lines(&process, 1)[0].parse().unwrap());
        assert_eq!(pid(&process), first);
        done(process.signal(Signal::KILL)).unwrap();
        let second = world.await_event("the second daemon is known", |event| match event.kind {
            EventKind::MainPid { pid } if pid != first => Some(pid),
            _ => None,
        });
        done(process.wait(StateName::Running)).unwrap();
        assert_eq!(pid(&process), second);
        assert_eq!(done(process.stop()), Ok(StateName::Stopped));
        wait_until("the daemon is gone", || is_dead(second));
    }
}

#[test]
fn a_parent_that_leaves_no_daemon_is_a_failed_start() {
    let world = World::new();
    let process = world.add(forking("web", &["exit", "0"]));
    match done(process.start()) {
        Err(Error::Refused(Refusal::StartFailed { reason, .. })) => assert!(reason.contains("daemon"), "{reason}"),
        other => panic!("{other:?}"),
    }
    let process = world.add(forking("other", &["exit", "3"]));
    match done(process.start()) {
        Err(Error::Refused(Refusal::StartFailed { reason, .. })) => assert!(reason.contains('3'), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_pid_file_that_names_a_stranger_is_not_believed() {
    let world = World::new();
    let pidfile = world.dir.join("web.pid");
    let spec = forking("web", &["daemonize", "say", "up", "wait"])
        .pidfile("web.pid")
        .restart(Restart::never())
        .start_timeout(Duration::from_millis(400));
    std::fs::write(&pidfile, "1\n").unwrap();
    let process = world.add(spec);
    let answer = process.start();
    await_lines(&process, 1);
    std::fs::write(&pidfile, format!("{}\n", std::process::id())).unwrap();
    match done(answer) {
        Err(Error::Refused(Refusal::StartFailed { reason, .. })) => assert!(reason.contains("timeout"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn others_have_their_pid_file_written_and_removed() {
    let world = World::new();
    let process = world.start(does("web", &["wait"]).pidfile("web.pid"));
    let path = world.dir.join("web.pid");
    let expected = format!("{}\n", pid(&process));
    wait_until("its pid file is written", || std::fs::read_to_string(&path).is_ok_and(|text| text == expected));
    done(process.stop()).unwrap();
    wait_until("its pid file is gone", || !path.exists());
    done(process.start()).unwrap();
    wait_until("its pid file is written", || path.exists());
    done(world.supervisor.shutdown()).unwrap();
    assert!(!path.exists(), "nothing is left when all is down");
}

#[test]
fn a_pid_file_that_cannot_be_written_is_a_warning_and_the_process_runs() {
    let mut world = World::new();
    let process = world.start(does("web", &["wait"]).pidfile("nowhere/web.pid"));
    let warning = world.await_event("a warning", |event| match &event.kind {
        EventKind::Warning { text } => Some(text.clone()),
        _ => None,
    });
    assert!(warning.contains("cannot write the pid file") && warning.contains("nowhere/web.pid"), "{warning}");
    assert_eq!(process.status().unwrap().state, StateName::Running);
}
