//! C1 to C8: a stop is over when nothing of the process is left.

use std::time::Duration;

use neap::core::{EventKind, ExitStatus, Pid, StateName};
use neap::spec::{Hook, Signal, Stop, StopMode};

use crate::support::{DEADLINE, skipped, wait_until};
use crate::world::{World, at_once, await_lines, does, done, is_dead, is_gone, lines, pid};

fn pids(text: &[String]) -> Vec<Pid> {
    text.iter().map(|line| Pid(line.parse().expect("a pid"))).collect()
}

#[test]
fn the_host_report_says_what_holds_trees_together_and_why_not_better() {
    let world = World::with(|builder| builder.cgroups(false));
    let report = world.supervisor.host();
    assert_eq!(report.trees, neap::TreeKind::Group);
    assert!(report.trees_reason.contains("asked"), "{report:?}");
}

#[test]
fn c1_no_orphan_survives_a_stop() {
    for cgroups in [true, false] {
        let world = World::with(|builder| builder.cgroups(cgroups));
        let hostile = "orphan { ignore TERM rename kworker pid close-fds wait } fork { ignore TERM setpgid pid wait } \
                       fork { setsid ignore TERM pid wait } trap TERM=exit:0 pid wait";
        let words: Vec<&str> = hostile.split_whitespace().collect();
        let spec = does("web", &words).stop(Stop::signal(Signal::TERM, Duration::from_millis(200)));
        let process = world.start(spec);
        let all = pids(&await_lines(&process, 4));
        assert_eq!(done(process.stop()), Ok(StateName::Stopped));
        assert!(all.iter().all(|pid| is_dead(*pid)), "{all:?}");
    }
}

#[test]
fn c1_what_a_leader_leaves_behind_is_ended_before_it_is_started_again() {
    for cgroups in [true, false] {
        let mut world = World::with(|builder| builder.cgroups(cgroups));
        let words = ["orphan", "{", "ignore", "TERM", "pid", "wait", "}", "gone", "block"];
        std::fs::write(world.dir.join("block"), "").unwrap();
        let spec = does("web", &words).restart(at_once()).stop(Stop::signal(Signal::TERM, Duration::from_millis(100)));
        let process = world.start(spec);
        let orphan = pids(&await_lines(&process, 1))[0];
        world.await_executed("web");
        std::fs::remove_file(world.dir.join("block")).unwrap();
        assert_eq!(world.await_exit("web"), ExitStatus::Code(0));
        std::fs::write(world.dir.join("block"), "").unwrap();
        world.await_executed("web");
        assert!(is_dead(orphan));
    }
}

#[test]
fn c3_who_ignores_term_is_killed_after_its_time() {
    for cgroups in [true, false] {
        let mut world = World::with(|builder| builder.cgroups(cgroups));
        let spec = does("web", &["ignore", "TERM", "say", "deaf", "wait"])
            .stop(Stop::signal(Signal::TERM, Duration::from_millis(200)));
        let process = world.start(spec);
        await_lines(&process, 1);
        assert_eq!(done(process.stop()), Ok(StateName::Stopped));
        let mut signals = Vec::new();
        world.await_state("web", StateName::Stopping);
        world.await_event("its end", |event| match event.kind {
            EventKind::Signalled { signal } => {
                signals.push(signal);
                None
            }
            EventKind::ProcessExited { status, .. } => {
                assert_eq!(status, ExitStatus::Signal { signal: Signal::KILL, core: false });
                Some(())
            }
            _ => None,
        });
        assert_eq!(signals, [Signal::TERM, Signal::KILL]);
    }
}

#[test]
fn c3_a_second_stop_does_not_wait() {
    let world = World::new();
    let process = world.start(does("web", &["ignore", "TERM", "say", "deaf", "wait"]));
    await_lines(&process, 1);
    let first = process.stop();
    assert_eq!(done(process.stop()), Ok(StateName::Stopped));
    assert_eq!(done(first), Ok(StateName::Stopped));
}

#[test]
fn c4_a_stopped_process_still_ends_by_term() {
    for cgroups in [true, false] {
        let world = World::with(|builder| builder.cgroups(cgroups));
        let process = world.start(does("web", &["trap", "TERM=exit:5", "say", "ready", "wait"]));
        await_lines(&process, 1);
        let pid = pid(&process);
        done(process.signal(Signal::from_name("STOP").unwrap())).unwrap();
        wait_until("it is stopped", || neap::driver::identity::Stat::of(pid).is_ok_and(|stat| stat.state == b'T'));
        assert_eq!(done(process.stop()), Ok(StateName::Stopped));
        assert_eq!(process.status().unwrap().exit, Some(ExitStatus::Code(5)));
    }
}

#[test]
fn c6_a_stop_command_that_hangs_or_fails_does_not_hold_up_the_ladder() {
    let world = World::new();
    let actor = crate::support::actor().to_str().unwrap();
    for (name, words) in [("hangs", ["wait", "", ""]), ("fails", ["exit", "3", ""]), ("lives", ["orphan", "{", "wait"])]
    {
        let mut command: Vec<String> = vec![actor.into()];
        command.extend(words.iter().filter(|w| !w.is_empty()).map(|w| (*w).to_owned()));
        if name == "lives" {
            command.push("}".into());
        }
        let mut stop = Stop::signal(Signal::TERM, Duration::from_millis(100));
        stop.command = Some(command);
        let process = world.start(does(name, &["wait"]).stop(stop));
        let pid = pid(&process);
        assert_eq!(done(process.stop()), Ok(StateName::Stopped), "{name}");
        assert!(is_gone(pid));
    }
}

#[test]
fn c6_a_stop_command_that_works_needs_no_signal() {
    let mut world = World::new();
    std::fs::write(world.dir.join("block"), "").unwrap();
    let mut stop = Stop::signal(Signal::TERM, DEADLINE);
    stop.command = Some(vec!["rm".into(), "block".into()]);
    let process = world.start(does("web", &["ignore", "TERM", "say", "deaf", "gone", "block", "exit", "4"]).stop(stop));
    await_lines(&process, 1);
    assert_eq!(done(process.stop()), Ok(StateName::Stopped));
    assert_eq!(world.await_exit("web"), ExitStatus::Code(4));
}

#[test]
fn c7_a_stop_that_races_the_natural_end_has_one_outcome() {
    for cgroups in [true, false] {
        let world = World::with(|builder| builder.cgroups(cgroups));
        let process = world.add(does("web", &["repeat", "3", "{", "fork", "{", "exit", "0", "}", "}", "exit", "0"]));
        for _ in 0..60 {
            let start = process.start();
            let stop = process.stop();
            let stopped = done(stop);
            assert!(matches!(stopped, Ok(StateName::Stopped | StateName::Exited)), "{stopped:?}");
            let _ = done(start);
            let status = process.status().unwrap();
            assert!(matches!(status.state, StateName::Stopped | StateName::Exited), "{status:?}");
            assert_eq!(status.pid, None);
        }
    }
}

#[test]
fn c8_in_mode_process_what_is_left_behind_is_left_alone_and_read_on() {
    for cgroups in [true, false] {
        let mut world = World::with(|builder| builder.cgroups(cgroups));
        let words = ["fork", "{", "pid", "gone", "block", "say", "late", "}", "gone", "other"];
        std::fs::write(world.dir.join("block"), "").unwrap();
        std::fs::write(world.dir.join("other"), "").unwrap();
        let spec = does("web", &words).stop(Stop::signal(Signal::TERM, DEADLINE).mode(StopMode::Process));
        let process = world.start(spec);
        let left = pids(&await_lines(&process, 1))[0];
        assert_eq!(done(process.stop()), Ok(StateName::Stopped));
        assert!(!is_gone(left));
        assert_eq!(world.await_exit("web"), ExitStatus::Signal { signal: Signal::TERM, core: false });
        std::fs::remove_file(world.dir.join("block")).unwrap();
        wait_until("the one that was left alone has ended", || is_dead(left));
        assert_eq!(await_lines(&process, 2)[1], "late");
    }
}

#[test]
fn a_slow_stop_delays_nobody_else() {
    let mut world = World::new();
    let slow = world.start(does("slow", &["ignore", "TERM", "say", "deaf", "wait"]));
    await_lines(&slow, 1);
    let stop = slow.stop();
    let quick = world.start(does("quick", &["wait"]).restart(at_once()));
    world.await_executed("quick");
    done(quick.signal(Signal::KILL)).unwrap();
    world.await_executed("quick");
    assert_eq!(slow.status().unwrap().state, StateName::Stopping);
    assert_eq!(done(slow.stop()), Ok(StateName::Stopped));
    assert_eq!(done(stop), Ok(StateName::Stopped));
}

#[test]
fn what_a_hook_leaves_behind_is_killed_with_it() {
    for cgroups in [true, false] {
        let world = World::with(|builder| builder.cgroups(cgroups));
        let hook = Hook::command(["sh", "-c", "setsid sleep 1000 > /dev/null 2>&1 & echo $!"]);
        let process = world.start(does("web", &["say", "up", "wait"]).before_start(hook));
        let printed = await_lines(&process, 2);
        let left: Vec<Pid> = printed.iter().filter_map(|line| line.parse().ok()).map(Pid).collect();
        assert_eq!(left.len(), 1, "{printed:?}");
        assert!(is_dead(left[0]), "{:?}", lines(&process));
    }
}

#[test]
fn c2_a_fork_bomb_is_over_when_the_stop_is() {
    let world = World::new();
    if world.supervisor.host().trees != neap::TreeKind::Cgroup {
        return skipped("c2_a_fork_bomb_is_over_when_the_stop_is", "needs cgroups: without, a fork bomb may win");
    }
    let bystander = world.start(does("bystander", &["wait"]));
    // Bounded, so that a machine on which the test fails survives it.
    let spec = does("bomb", &["say", "lit", "forkbomb"]).rlimit("nproc", 400).user("nobody");
    let spec = spec.stop(Stop::signal(Signal::TERM, Duration::from_millis(50)));
    if !crate::support::root_or_skip("c2_a_fork_bomb_is_over_when_the_stop_is") {
        return;
    }
    let process = world.start(spec);
    await_lines(&process, 1);
    let leader = pid(&process);
    wait_until("it has multiplied", || crate::support::descendants().len() > 100);
    assert_eq!(done(process.stop()), Ok(StateName::Stopped));
    assert!(is_gone(leader));
    assert_eq!(bystander.status().unwrap().state, StateName::Running);
}
