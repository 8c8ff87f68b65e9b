//! E1, E3, D1: a supervisor is killed, and its successor goes on as if nothing had been.

use std::fs;
use std::time::Duration;

use neap::core::{ExitStatus, StateName};
use neap::spec::{Health, Hook, ProbeTarget, ProcessType, Ready, Restart, Signal, Spec, Stop, StopMode};

use serde_json::json;

use crate::kept::{Kept, identity, send};
use crate::support::wait_until;
use crate::world::{at_once, does, is_dead, is_gone};

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
        let words = ["orphan", "{", "ignore", "TERM", "wait", "}", "fork", "{", "wait", "}", "wait"];
        kept.start(&does("web", &words).stop(Stop::signal(Signal::TERM, Duration::from_millis(100))));
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

#[test]
fn ready_that_is_told_while_there_is_no_supervisor_is_heard() {
    both(|options| {
        let kept = Kept::new(options);
        let gate = kept.dir.join("gate");
        std::fs::write(&gate, "").unwrap();
        kept.begin(
            &does("db", &["gone", gate.to_str().unwrap(), "notify", "READY=1\\nSTATUS=up", "wait"])
                .ready(Ready::Notify),
        );
        let pid = kept.await_status("db", "is executed", |s| s.pid.is_some()).pid;
        kept.kill_and(|| {
            std::fs::remove_file(&gate).unwrap();
            // It says so before it waits; a moment later is as good for this test.
            wait_until("it waits", || {
                std::fs::read_to_string(format!("/proc/{}/syscall", pid.unwrap())).is_ok_and(|s| s.starts_with("34 "))
                    || std::fs::read_to_string(format!("/proc/{}/wchan", pid.unwrap()))
                        .is_ok_and(|s| s.contains("pause"))
                    || !gate.exists()
            });
        });
        let status = kept.await_state("db", StateName::Running);
        assert_eq!((status.pid, status.run_count), (pid, 1));
        kept.await_status("db", "told its status", |s| s.status_text.as_deref() == Some("up"));
    });
}

#[test]
fn a_health_check_goes_on_after_an_adoption_and_what_it_started_before_is_gone() {
    both(|options| {
        let kept = Kept::new(options);
        let sick = kept.dir.join("sick");
        let actor = crate::support::actor().to_str().unwrap();
        // Hangs until it is told to be well.
        std::fs::write(&sick, "").unwrap();
        let words = [actor, "gone", sick.to_str().unwrap()].map(str::to_owned);
        let mut probe = Health::new(ProbeTarget::Exec(words.to_vec()));
        probe.timeout = crate::support::DEADLINE;
        probe.interval = Duration::from_millis(50);
        let mut spec = does("web", &["wait"]);
        spec.health = Some(probe);
        kept.start(&spec);
        wait_until("the first check hangs", || crate::support::descendants().len() == 4);
        kept.kill_and(|| std::fs::remove_file(&sick).unwrap());
        kept.await_status("web", "is healthy", |s| s.health == neap::core::HealthStatus::Healthy);
        assert_eq!(kept.status("web").run_count, 1);
    });
}

#[test]
fn a_hook_that_ran_when_its_supervisor_was_killed_is_killed_and_run_again() {
    both(|options| {
        let kept = Kept::new(options);
        let (gate, ran) = (kept.dir.join("gate"), kept.dir.join("ran"));
        std::fs::write(&gate, "").unwrap();
        let actor = crate::support::actor().to_str().unwrap();
        let mut spec = does("web", &["wait"]);
        let words = [actor, "out", ran.to_str().unwrap(), "pid", "gone", gate.to_str().unwrap()];
        spec.hooks.before_start.push(Hook::command(words));
        kept.begin(&spec);
        let pids = || std::fs::read_to_string(&ran).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
        wait_until("the hook runs", || pids().len() == 1);
        kept.kill();
        wait_until("the hook runs again", || pids().len() == 2);
        let first = neap::core::Pid(pids()[0].parse().unwrap());
        assert!(is_dead(first), "two hooks at a time");
        std::fs::remove_file(&gate).unwrap();
        kept.await_state("web", StateName::Running);
        assert_eq!(kept.status("web").run_count, 1);
        wait_until("it was told", || kept.warnings().iter().any(|w| w.contains(&first.to_string())));
    });
}

/// E2: the supervisor is killed at one after another of the calls by which it makes, watches, stops and records.
#[test]
fn a_supervisor_killed_at_any_call_forgets_nothing_and_doubles_nothing() {
    // All of them with NEAP_ALL=1, which takes minutes; else some, others in each mode.
    let step = if std::env::var_os("NEAP_ALL").is_some() { 1 } else { 9 };
    let only: Option<usize> = std::env::var("NEAP_AT").ok().and_then(|at| at.parse().ok());
    for (options, first) in [(&[][..], 1), (&["groups"][..], 4)] {
        let mut at = only.unwrap_or(first);
        let mut died = 0;
        loop {
            let kept = Kept::new(options);
            if !live_and_die(&kept, at) {
                break;
            }
            died += 1;
            at += step;
        }
        assert!(died >= 3 || only.is_some(), "{died} calls to die at are too few to mean something");
    }
}

/// Starts, restarts and stops a process; the supervisor dies at this call. Whether it came so far.
fn live_and_die(kept: &Kept, at: usize) -> bool {
    let spec = does("web", &["say", "here", "wait"]).restart(at_once());
    let alone = || crate::support::descendants().len() == 2;
    let one = |status: &neap::core::Status| {
        status.state == StateName::Running
            && status.pid.is_some_and(|pid| crate::support::descendants().contains(&pid.0))
            && crate::support::descendants().len() == 3
    };
    kept.ask(json!({"do": "die-at", "at": at}));
    let again = |question: serde_json::Value, done: &dyn Fn() -> bool| {
        wait_until(&format!("{question} is done, with a death at {at}"), || {
            // Who asked a supervisor that died asks the next one.
            kept.try_ask(&question).is_some() && done()
        });
    };
    again(json!({"do": "add", "spec": spec}), &|| kept.list().len() == 1);
    again(json!({"do": "start", "name": "web"}), &|| one(&kept.status("web")));
    let first = kept.await_status("web", &format!("runs, once, with a death at {at}"), one);
    send(first.pid.unwrap(), Signal::KILL);
    let second = kept.await_status("web", &format!("runs again, once, with a death at {at}"), |s| {
        s.run_count > first.run_count && one(s)
    });
    assert_ne!(first.pid, second.pid);
    again(json!({"do": "stop", "name": "web"}), &|| kept.status("web").state == StateName::Stopped);
    wait_until(&format!("nothing is left, with a death at {at}"), alone);
    kept.life().1 > 1
}

#[test]
fn what_a_stop_leaves_behind_on_purpose_is_left_alone_by_later_supervisors_too() {
    both(|options| {
        let kept = Kept::new(options);
        let left = kept.dir.join("left");
        let words = ["fork", "{", "out", left.to_str().unwrap(), "pid", "wait", "}", "wait"];
        let mut spec = does("web", &words);
        spec.stop.mode = StopMode::Process;
        kept.start(&spec);
        let pid = || std::fs::read_to_string(&left).ok().and_then(|text| text.trim().parse().ok()).map(neap::core::Pid);
        wait_until("it has forked", || pid().is_some());
        let was = identity(pid().unwrap());
        kept.stop("web");
        kept.kill();
        kept.kill();
        assert!(was.holds());
        assert_eq!(kept.warnings(), Vec::<String>::new());
        send(was.pid, Signal::KILL);
        wait_until("it is dead", || is_dead(was.pid));
    });
}

/// D1: its pid is a stranger's by the time it is looked for.
#[test]
fn a_stranger_with_the_pid_of_what_ended_is_not_adopted_and_lives() {
    let test = "a_stranger_with_the_pid_of_what_ended_is_not_adopted_and_lives";
    if !crate::support::root_or_skip(test) {
        return;
    }
    let _ = (crate::support::actor(), crate::support::example("keeper"));
    let wrapper = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
    crate::run::in_a_process_of_its_own(&wrapper, "adoption::inside_a_pid_namespace");
}

#[test]
#[ignore = "run in a pid namespace of its own by another test"]
fn inside_a_pid_namespace() {
    both(|options| {
        let kept = Kept::new(options);
        kept.start(&does("web", &["wait"]));
        let was = identity(kept.pid("web"));
        let mut stranger = None;
        kept.kill_and(|| {
            send(was.pid, Signal::KILL);
            wait_until("it is dead", || is_dead(was.pid));
        });
        // Adopted as ended: the anchor has reaped it by now, and its pid is free.
        kept.await_status("web", "has ended", |s| s.exit.is_some());
        kept.ask(json!({"do": "start", "name": "web"}));
        let was = identity(kept.pid("web"));
        let (pid, life) = kept.life();
        kept.kill_and_take(was.pid, || {
            let next = std::fs::write("/proc/sys/kernel/ns_last_pid", (was.pid.0 - 1).to_string());
            let child = std::process::Command::new(crate::support::actor()).arg("wait").spawn().unwrap();
            if next.is_err() || child.id() != was.pid.0 {
                crate::support::skipped("inside_a_pid_namespace", "the pid went to somebody else");
            }
            stranger = Some(child);
        });
        assert_ne!(kept.life(), (pid, life));
        let status = kept.await_status("web", "has ended", |s| s.pid.is_none());
        assert_eq!(status.exit, Some(ExitStatus::Signal { signal: Signal::KILL, core: false }), "{options:?}");
        let mut stranger = stranger.unwrap();
        kept.ask(json!({"do": "start", "name": "web"}));
        kept.stop("web");
        assert!(stranger.try_wait().unwrap().is_none(), "the stranger lives");
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    });
}

#[test]
fn a_ledger_that_cannot_be_written_is_told_once_and_stops_nothing() {
    let test = "a_ledger_that_cannot_be_written_is_told_once_and_stops_nothing";
    let kept = Kept::new(&[]);
    kept.start(&does("web", &["wait"]).restart(at_once()));
    let full = kept.dir.join("full");
    std::fs::write(&full, "").unwrap();
    for _ in 0..3 {
        let status = kept.status("web");
        send(status.pid.unwrap(), Signal::KILL);
        kept.await_status("web", "runs again", |s| s.run_count > status.run_count && s.state == StateName::Running);
    }
    wait_until("it was told", || kept.warnings().len() == 1);
    assert!(kept.ask(json!({"do": "host"})).to_string().contains("Failing"), "{test}");
    std::fs::remove_file(&full).unwrap();
    let pid = kept.pid("web");
    send(pid, Signal::KILL);
    kept.await_status("web", "runs again", |s| s.pid.is_some_and(|now| now != pid) && s.state == StateName::Running);
    wait_until("it was told", || kept.warnings().len() == 2);
    // What could not be written is in the ledger by now.
    let before = kept.status("web");
    kept.kill();
    let after = kept.status("web");
    assert_eq!((after.pid, after.run_count), (before.pid, before.run_count));
}

#[test]
fn a_supervisor_goes_on_without_its_anchor_and_says_so() {
    let kept = Kept::new(&[]);
    kept.start(&does("web", &["wait"]).restart(at_once()));
    let supervisor = identity(neap::core::Pid(kept.life().0));
    kept.kill_anchor();
    wait_until("it was told", || kept.warnings().len() == 1);
    assert!(kept.ask(json!({"do": "host"})).to_string().contains("anchor: Gone"));
    let first = kept.status("web");
    send(first.pid.unwrap(), Signal::KILL);
    kept.await_status("web", "runs again", |s| s.run_count > first.run_count && s.state == StateName::Running);
    kept.ask(json!({"do": "shutdown"}));
    wait_until("the supervisor has ended", || !supervisor.holds());
}

#[test]
fn a_supervisor_makes_way_for_another_and_no_child_notices() {
    both(|options| {
        let kept = Kept::new(options);
        kept.start(&does("web", &["wait"]));
        kept.start(&does("db", &["notify", "READY=1", "wait"]).ready(Ready::Notify));
        let before = kept.list();
        for life in 2..5 {
            let _ = kept.try_ask(&json!({"do": "hand-over"}));
            kept.await_life(life);
            for (now, was) in kept.list().iter().zip(&before) {
                assert_eq!((now.pid, now.run_count, now.state), (was.pid, 1, StateName::Running));
            }
        }
        kept.stop("db");
        assert_eq!(kept.warnings(), Vec::<String>::new());
    });
}

#[test]
fn e9_a_panic_of_the_engine_is_a_crash_that_another_supervisor_goes_on_after() {
    let kept = Kept::new(&[]);
    kept.start(&does("web", &["notify", "READY=1", "wait"]).ready(Ready::Notify));
    let before = kept.status("web");
    fs::write(kept.dir.join("panic"), "").unwrap();
    let _ = kept.try_ask(&json!({"do": "begin-stop", "name": "web"}));
    kept.await_life(2);
    let after = kept.status("web");
    assert_eq!((after.pid, after.run_count, after.state), (before.pid, 1, StateName::Running));
    kept.stop("web");
}

#[test]
fn a_line_that_is_half_printed_when_a_supervisor_makes_way_stays_one_line() {
    let kept = Kept::new(&["logs"]);
    let gate = kept.dir.join("gate");
    fs::write(&gate, "").unwrap();
    let words = ["printraw", "half ", "notify", "READY=1", "gone", gate.to_str().unwrap(), "say", "whole", "wait"];
    kept.start(&does("web", &words).ready(Ready::Notify));
    let _ = kept.try_ask(&json!({"do": "hand-over"}));
    kept.await_life(2);
    fs::remove_file(gate).unwrap();
    wait_until("the line ends", || kept.lines("web").iter().any(|line| line.ends_with("whole")));
    assert_eq!(kept.lines("web"), ["half whole"]);
    assert_eq!(fs::read_to_string(kept.dir.join("log/web.log")).unwrap(), "half whole\n");
}

/// E1: many processes in many states, and a supervisor that is killed again and again.
#[test]
fn a_hundred_processes_live_through_many_deaths_of_their_supervisor() {
    let deaths = if std::env::var_os("NEAP_ALL").is_some() { 50 } else { 8 };
    let kept = Kept::new(&[]);
    let mut slow = Restart::always();
    (slow.delay, slow.max_delay) = (Duration::from_secs(3600), Duration::from_secs(3600));
    for n in 0..100 {
        let name = format!("p{n}");
        match n % 5 {
            0 => kept.start(&does(&name, &["wait"])),
            1 => kept.start(&does(&name, &["notify", "READY=1", "wait"]).ready(Ready::Notify)),
            2 => kept.start(&does(&name, &["fork", "{", "wait", "}", "say", "up", "wait"]).ready(Ready::logline("up"))),
            3 => {
                kept.begin(&does(&name, &["exit", "3"]).restart(slow.clone()));
                kept.await_state(&name, StateName::Backoff);
            }
            _ => kept.add(&does(&name, &["wait"])),
        }
    }
    let before = kept.list();
    for death in 0..deaths {
        kept.kill();
        for (now, was) in kept.list().iter().zip(&before) {
            assert_eq!(
                (now.state, now.pid, now.run_count),
                (was.state, was.pid, was.run_count),
                "{} {death}",
                now.name
            );
        }
    }
}

/// E4: without a ledger nobody knows what the trees are for.
#[test]
fn what_no_ledger_knows_is_killed_and_told() {
    both(|options| {
        let kept = Kept::new(options);
        kept.start(&does("web", &["orphan", "{", "wait", "}", "wait"]));
        wait_until("all of it is there", || crate::support::descendants().len() == 4);
        let was = identity(kept.pid("web"));
        kept.kill_and(|| std::fs::remove_file(kept.dir.join("ledger")).unwrap());
        assert_eq!(kept.list(), []);
        wait_until("nothing but the supervisor and its anchor is left", || crate::support::descendants().len() == 2);
        assert!(!was.holds());
        wait_until("it was told", || kept.warnings().iter().any(|text| text.contains(&was.pid.to_string())));
        // The numbers of its runs begin again, and mean others.
        kept.start(&does("web", &["wait"]));
        kept.kill();
        assert_eq!(kept.status("web").run_count, 1);
    });
}

#[test]
fn a_daemon_that_drops_its_environment_and_its_session_is_known_by_its_pid_file() {
    both(|options| {
        let kept = Kept::new(options);
        let file = kept.dir.join("web.pid");
        let script = format!("setsid env -i sleep 1000 & echo $! > {}; sleep 0.2; exit 0", file.display());
        let mut spec = Spec::shell("web", script).process_type(ProcessType::Forking).restart(Restart::never());
        spec.pidfile = Some(file.display().to_string());
        kept.start(&spec);
        let was = identity(kept.pid("web"));
        assert_eq!(std::fs::read_to_string(&file).unwrap().trim(), was.pid.to_string());
        kept.kill();
        let status = kept.status("web");
        assert_eq!((status.state, status.pid, status.run_count), (StateName::Running, Some(was.pid), 1), "{options:?}");
        assert!(was.holds());
        kept.stop("web");
        assert!(!was.holds());
    });
}
