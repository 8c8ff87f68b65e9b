//! E1, E3, D1: a supervisor is killed, and its successor goes on as if nothing had been.

use std::time::Duration;

use neap::core::{ExitStatus, StateName};
use neap::spec::{Ready, Restart, Signal};

use crate::kept::{Kept, identity, send};
use crate::support::wait_until;
use crate::world::{does, is_dead, is_gone};

/// With cgroups where the host has them, and without.
fn both(test: impl Fn(&[&str])) {
    test(&[]);
    test(&["groups"]);
}

#[test]
fn what_runs_when_its_supervisor_is_killed_runs_on_and_is_no_new_run() {
    both(|options| {
        let kept = Kept::new(options);
        kept.start(&does("web", &["wait"]).restart(Restart::always()));
        kept.start(&does("db", &["notify", "READY=1", "wait"]).ready(Ready::Notify));
        let before = kept.list();
        let identities: Vec<_> = before.iter().map(|status| identity(status.pid.unwrap())).collect();
        for _ in 0..3 {
            kept.kill();
            for (status, was) in kept.list().iter().zip(&before) {
                assert_eq!((&status.name, status.state, status.pid), (&was.name, StateName::Running, was.pid));
                assert_eq!((status.run, status.run_count, status.restarts), (was.run, 1, 0));
                assert_eq!(status.started_at, was.started_at);
            }
        }
        assert!(identities.iter().all(|identity| identity.holds()));
        assert_eq!(kept.warnings(), Vec::<String>::new());
    });
}

#[test]
fn a_stop_after_an_adoption_leaves_nothing_of_the_tree() {
    both(|options| {
        let kept = Kept::new(options);
        kept.start(&does("web", &["orphan", "{", "ignore", "TERM", "wait", "}", "fork", "{", "wait", "}", "wait"]));
        wait_until("all of it is there", || crate::support::descendants().len() >= 5);
        kept.kill();
        let pid = kept.pid("web");
        kept.stop("web");
        assert!(is_gone(pid));
        wait_until("nothing but the supervisor and its anchor is left", || crate::support::descendants().len() == 2);
        assert_eq!(kept.status("web").state, StateName::Stopped);
    });
}

#[test]
fn what_ends_while_there_is_no_supervisor_is_told_exactly() {
    both(|options| {
        let kept = Kept::new(options);
        let ways = [
            ("zero", "exit:0", ExitStatus::Code(0)),
            ("seven", "exit:7", ExitStatus::Code(7)),
            ("fault", "default", ExitStatus::Signal { signal: Signal::from_name("SEGV").unwrap(), core: false }),
        ];
        for (name, action, _) in ways {
            let trap = format!("USR1={action}");
            let words = ["trap", trap.as_str(), "notify", "READY=1", "wait"];
            let mut spec = does(name, &words).ready(Ready::Notify);
            spec.rlimits.insert("core".into(), neap::spec::Rlimit { soft: Some(0), hard: Some(0) });
            kept.start(&spec);
        }
        kept.kill_and(|| {
            for (name, action, _) in ways {
                let pid = kept_pid(&kept, name);
                let signal = if action == "default" { "SEGV" } else { "USR1" };
                send(pid, Signal::from_name(signal).unwrap());
                wait_until("it has ended", || is_dead(pid));
            }
        });
        for (name, _, status) in ways {
            kept.await_status(name, "has ended", |s| s.exit.is_some());
            assert_eq!(kept.status(name).exit, Some(status), "{name} {options:?}");
            wait_until("it is told", || kept.exits(name) == [status]);
        }
    });
}

/// The pid that was last told of a process, while nobody can be asked.
fn kept_pid(kept: &Kept, name: &str) -> neap::core::Pid {
    let executed = |event: neap::core::Event| match event.kind {
        neap::core::EventKind::Executed { pid } if event.name.as_deref() == Some(name) => Some(pid),
        _ => None,
    };
    kept.events().into_iter().filter_map(executed).last().expect("it was executed")
}

#[test]
fn a_restart_that_is_due_after_a_while_comes_although_another_supervisor_planned_it() {
    let kept = Kept::new(&[]);
    let mut restart = Restart::always();
    restart.delay = Duration::from_millis(700);
    restart.jitter = 0.0;
    kept.start(&does("web", &["wait"]).restart(restart));
    send(kept.pid("web"), Signal::KILL);
    kept.await_state("web", StateName::Backoff);
    kept.kill();
    let status = kept.await_state("web", StateName::Running);
    assert_eq!((status.run_count, status.restarts), (2, 1));
}
