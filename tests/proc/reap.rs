//! D1 to D5, D7, D8: exits are learnt from pidfds, of our own children, exactly; and no pid is taken for another.

use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::process::{Command, Stdio as HostStdio};
use std::thread;

use neap::core::{ExitStatus, Pid, RunId};
use neap::driver::contain::Trees;
use neap::driver::identity::{self, Identity, Stat};
use neap::driver::spawn::{Child, Launcher, RlimitSet};
use neap::driver::{exit, limits};
use neap::spec::Signal;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, sigaction, sigprocmask};
use nix::sys::wait::{WaitPidFlag, waitpid};

use crate::run::{actor_launch, await_any, in_a_process_of_its_own, reap, start};
use crate::support::{Epilogue, root_or_skip, skipped};

#[test]
fn every_exit_code_and_signal_is_told_exactly() {
    let _epilogue = Epilogue::new();
    let launcher = Launcher::new();
    let children: Vec<Child> =
        (0..=255).map(|code| start(&launcher, actor_launch(&["exit", &code.to_string()])).unwrap()).collect();
    for (code, child) in (0..).zip(&children) {
        assert_eq!(reap(child), ExitStatus::Code(code));
    }
    let fatal = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 24, 25, 26, 27, 29, 30, 31, 34, 64];
    for number in fatal {
        let mut launch = actor_launch(&["kill-self", &number.to_string()]);
        launch.rlimits = vec![RlimitSet { resource: limits::resource("core").unwrap(), soft: 0, hard: 0 }];
        let status = reap(&start(&launcher, launch).unwrap());
        assert_eq!(status, ExitStatus::Signal { signal: Signal::from_number(number).unwrap(), core: false });
    }
}

#[test]
fn a_core_dump_is_told() {
    let test = "a_core_dump_is_told";
    let _epilogue = Epilogue::new();
    let folder = crate::support::TempDir::new();
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    let mut launch = actor_launch(&["kill-self", "SEGV"]);
    launch.directory = Some(crate::support::c(folder.path()));
    launch.rlimits = vec![RlimitSet { resource: limits::resource("core").unwrap(), soft: 1 << 30, hard: u64::MAX }];
    let child = match start(&Launcher::new(), launch) {
        Ok(child) => child,
        Err(e) => return skipped(test, &e.message),
    };
    match reap(&child) {
        ExitStatus::Signal { signal, core: true } => assert_eq!(signal.to_string(), "SIGSEGV"),
        other if pattern.starts_with(['|', '/']) => {
            assert!(matches!(other, ExitStatus::Signal { .. }));
            skipped(test, &format!("cores go to {}", pattern.trim()));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_signal_on_the_way_to_the_program_ends_the_child_without_a_core_dump() {
    let _epilogue = Epilogue::new();
    // So many places to look in that the signal comes before the program.
    let mut launch = actor_launch(&["wait"]);
    let nowhere = crate::support::c("/nowhere/program");
    launch.programs.splice(0..0, vec![nowhere; 200_000]);
    let launcher = Launcher::new();
    let flight = launcher.launch(launch).unwrap();
    assert!(identity::signal(flight.pidfd(), Signal::from_name("QUIT").unwrap()).unwrap());
    match crate::run::finish(flight) {
        Ok(child) => assert_eq!(reap(&child), ExitStatus::Signal { signal: Signal::KILL, core: false }),
        Err(e) => assert!(e.message.contains("SIGKILL"), "{e:?}"),
    }
}

#[test]
fn a_peek_leaves_the_zombie_and_a_stop_is_no_exit() {
    let _epilogue = Epilogue::new();
    let child = start(&Launcher::new(), actor_launch(&["wait"])).unwrap();
    let pidfd = child.pidfd.as_fd();
    assert_eq!(exit::peek(pidfd).unwrap(), None);
    for signal in ["STOP", "CONT"] {
        assert!(identity::signal(pidfd, Signal::from_name(signal).unwrap()).unwrap());
        assert_eq!(exit::reap(pidfd).unwrap(), None, "{signal}");
    }
    assert!(identity::signal(pidfd, Signal::TERM).unwrap());
    await_any(&[&pidfd]);
    let ended = Some(ExitStatus::Signal { signal: Signal::TERM, core: false });
    assert_eq!(exit::peek(pidfd).unwrap(), ended);
    assert!(Stat::of(child.pid).unwrap().is_zombie());
    assert!(identity::signal(pidfd, Signal::TERM).unwrap(), "a zombie can still be signalled");
    assert_eq!(exit::reap(pidfd).unwrap(), ended);
    assert!(!identity::signal(pidfd, Signal::TERM).unwrap(), "it is gone");
}

#[test]
fn children_that_end_together_are_all_told_while_their_signal_is_blocked() {
    let _epilogue = Epilogue::new();
    let mut blocked = SigSet::empty();
    blocked.add(nix::sys::signal::Signal::SIGCHLD);
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&blocked), None).unwrap();
    let launcher = Launcher::new();
    let mut children: Vec<(i32, Child)> = (0..300)
        .map(|n| {
            (n % 256, start(&launcher, actor_launch(&["trap", &format!("TERM=exit:{}", n % 256), "wait"])).unwrap())
        })
        .collect();
    for (_, child) in &children {
        crate::support::wait_until("it traps the signal", || {
            fs::read_to_string(format!("/proc/{}/status", child.pid))
                .is_ok_and(|s| s.lines().any(|l| l.starts_with("SigCgt:") && l.ends_with("4000")))
        });
    }
    for (_, child) in &children {
        assert!(identity::signal(child.pidfd.as_fd(), Signal::TERM).unwrap());
    }
    children.drain(..).for_each(|(code, child)| assert_eq!(reap(&child), ExitStatus::Code(code)));
    sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&blocked), None).unwrap();
}

#[test]
fn a_host_that_ignores_sigchld_or_reaps_everything_hangs_nothing() {
    let _epilogue = Epilogue::new();
    in_a_process_of_its_own(&["env"], "reap::inside_a_host_that_steals_statuses");
}

#[test]
#[ignore = "run in a process of its own by another test"]
fn inside_a_host_that_steals_statuses() {
    let launcher = Launcher::new();
    let told = |status| {
        // A kernel that keeps the status with the pidfd still tells it.
        assert!(matches!(status, ExitStatus::Code(7) | ExitStatus::Unknown), "{status:?}");
    };
    assert!(!exit::statuses_may_be_lost());
    let child = start(&launcher, actor_launch(&["exit", "7"])).unwrap();
    assert_eq!(waitpid(None, None).unwrap().pid().unwrap().as_raw() as u32, child.pid.0, "the host reaps it");
    told(reap(&child));
    let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    // SAFETY: no handler is installed.
    unsafe { sigaction(nix::sys::signal::Signal::SIGCHLD, &ignore) }.unwrap();
    assert!(exit::statuses_may_be_lost());
    told(reap(&start(&launcher, actor_launch(&["exit", "7"])).unwrap()));
    let failed =
        launcher.launch(neap::driver::spawn::Launch::new(vec![c"/no/such".into()], vec![c"x".into()])).unwrap();
    assert_eq!(crate::run::finish(failed).unwrap_err().errno, Some(2));
}

#[test]
fn the_hosts_own_children_are_the_hosts() {
    let _epilogue = Epilogue::new();
    let launcher = Launcher::new();
    let mut theirs: Vec<_> =
        (0..20).map(|n| Command::new("/bin/sh").args(["-c", &format!("exit {n}")]).spawn().unwrap()).collect();
    for n in 0..20 {
        assert_eq!(reap(&start(&launcher, actor_launch(&["exit", "1"])).unwrap()), ExitStatus::Code(1), "{n}");
    }
    for (n, child) in (0..).zip(&mut theirs) {
        assert_eq!(child.wait().unwrap().code(), Some(n));
    }
}

#[test]
fn a_pid_given_to_a_stranger_is_left_alone() {
    if !root_or_skip("a_pid_given_to_a_stranger_is_left_alone") {
        return;
    }
    let _epilogue = Epilogue::new();
    let wrapper = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
    in_a_process_of_its_own(&wrapper, "reap::inside_a_pid_namespace");
}

/// Makes the next process of this namespace get this pid.
fn next_pid(pid: Pid) -> bool {
    fs::write("/proc/sys/kernel/ns_last_pid", (pid.0 - 1).to_string()).is_ok()
}

#[test]
#[ignore = "run in a pid namespace of its own by another test"]
fn inside_a_pid_namespace() {
    let launcher = Launcher::new();
    let groups = Trees::groups("asked for by a test");
    for trees in [Trees::new(), groups] {
        let mut tree = trees.create("victim", RunId(3)).unwrap();
        let mut launch = actor_launch(&["exit", "0"]);
        launch.cgroup = tree.cgroup().unwrap();
        launch.env.extend(tree.mark().map(crate::support::c));
        let child = start(&launcher, launch).unwrap();
        tree.set_leader(child.pid);
        let identity = Identity::of(child.pid).unwrap();
        assert_eq!(reap(&child), ExitStatus::Code(0));
        // Not in the same clock tick, which is as fine as a start time is.
        let started = identity.start_time;
        crate::support::wait_until("the clock ticks", || Identity::of(Pid(1)).is_ok() && ticks() > started + 1);
        if !next_pid(child.pid) {
            return skipped("inside_a_pid_namespace", "ns_last_pid cannot be written");
        }
        let stranger = start(&launcher, actor_launch(&["wait"])).unwrap();
        if stranger.pid != child.pid {
            return skipped("inside_a_pid_namespace", "the pid went to somebody else");
        }
        assert!(!identity.holds());
        assert!(identity.open().unwrap().is_none());
        assert!(!identity::signal(child.pidfd.as_fd(), Signal::KILL).unwrap(), "the old pidfd is nobody's");
        let again = exit::reap(child.pidfd.as_fd()).unwrap();
        assert!(matches!(again, Some(ExitStatus::Code(0) | ExitStatus::Unknown)), "{again:?}");
        assert!(tree.is_empty().unwrap() && !tree.contains(stranger.pid).unwrap());
        assert_eq!(tree.signal_all(Signal::KILL).unwrap(), 0);
        assert_eq!(tree.signal_group(Signal::KILL).unwrap(), 0);
        tree.kill().unwrap();
        assert_eq!(exit::peek(stranger.pidfd.as_fd()).unwrap(), None, "the stranger lives");
        assert!(identity::signal(stranger.pidfd.as_fd(), Signal::KILL).unwrap());
        reap(&stranger);
        tree.remove().unwrap();
    }
}

/// The clock that start times are told by.
fn ticks() -> u64 {
    let text = fs::read_to_string("/proc/uptime").unwrap();
    let (seconds, _) = text.split_once(' ').unwrap();
    seconds.replace('.', "").parse().unwrap()
}

#[test]
fn a_debugger_on_a_child_makes_no_false_exit() {
    let test = "a_debugger_on_a_child_makes_no_false_exit";
    let _epilogue = Epilogue::new();
    let child = start(&Launcher::new(), actor_launch(&["wait"])).unwrap();
    let attach = ["-o", "/dev/null", "-p", &child.pid.to_string()].map(str::to_owned);
    let spawned = Command::new("strace").args(attach).stdin(HostStdio::null()).stderr(HostStdio::null()).spawn();
    let finish = |status: ExitStatus| assert_eq!(status, ExitStatus::Signal { signal: Signal::TERM, core: false });
    let Ok(mut strace) = spawned else {
        identity::signal(child.pidfd.as_fd(), Signal::TERM).unwrap();
        finish(reap(&child));
        return skipped(test, "needs strace");
    };
    let traced = || {
        fs::read_to_string(format!("/proc/{}/status", child.pid))
            .is_ok_and(|s| s.lines().any(|l| l.starts_with("TracerPid:") && !l.ends_with("\t0")))
    };
    crate::support::wait_until("strace has attached, or given up", || traced() || strace.try_wait().unwrap().is_some());
    let attached = traced();
    assert_eq!(exit::reap(child.pidfd.as_fd()).unwrap(), None);
    identity::signal(child.pidfd.as_fd(), Signal::TERM).unwrap();
    // The debugger hears of the end first: until it lets go there is no status, and there is none made up.
    let status = loop {
        await_any(&[&child.pidfd]);
        match exit::reap(child.pidfd.as_fd()).unwrap() {
            Some(status) => break status,
            None => thread::yield_now(),
        }
    };
    finish(status);
    let _ = strace.wait();
    if !attached {
        skipped(test, "strace may not attach here");
    }
    assert!(child.pidfd.as_raw_fd() > 2);
    let _ = waitpid(None, Some(WaitPidFlag::WNOHANG));
}
