//! C1, C2: a tree is all that a run started, and is over when nothing of it is left.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

use neap::core::{ExitStatus, Pid, RunId};
use neap::driver::contain::{Tree, TreeKind, Trees};
use neap::driver::exit;
use neap::driver::identity::Stat;
use neap::driver::spawn::{Child, Launcher, RlimitSet, Stdio};
use neap::driver::sys::fault::{self, Call};
use neap::spec::Signal;
use nix::errno::Errno;

use crate::run::{actor_launch, await_any, output_pipe, start};
use crate::support::{Epilogue, TempDir, c, skipped, wait_until};

/// Trees of each kind that this machine has.
fn kinds(test: &str) -> Vec<Trees> {
    let cgroups = Trees::new();
    let groups = Trees::groups("asked for by a test");
    match cgroups.kind() {
        TreeKind::Cgroup => vec![cgroups, groups],
        TreeKind::Group => {
            skipped(test, &format!("its half with cgroups: {}", cgroups.reason()));
            vec![groups]
        }
    }
}

/// A tree led by the actor with these words.
fn grow(launcher: &Launcher, trees: &Trees, words: &[&str]) -> (Tree, Child) {
    let mut tree = trees.create("actor", RunId(1)).expect("a tree");
    let mut launch = actor_launch(words);
    launch.cgroup = tree.cgroup().expect("its folder");
    launch.env.extend(tree.mark().map(c));
    let in_flight = launcher.launch(launch).expect("a child");
    tree.set_leader(in_flight.pid());
    let child = crate::run::finish(in_flight).expect("is executed");
    (tree, child)
}

/// Waits for the leader's end; leaves it a zombie where it names its group.
fn await_leader(tree: &Tree, child: &Child) -> ExitStatus {
    loop {
        await_any(&[&child.pidfd]);
        let asked = if tree.pins_leader() { exit::peek(child.pidfd.as_fd()) } else { exit::reap(child.pidfd.as_fd()) };
        if let Some(status) = asked.expect("waitid works") {
            return status;
        }
    }
}

/// Kills what is left, and gives everything back.
fn fell(tree: Tree, child: &Child) {
    wait_until("the tree is empty", || {
        tree.kill().expect("may be killed");
        tree.is_empty().expect("can be asked")
    });
    await_any(&[&child.pidfd]);
    let _ = exit::reap(child.pidfd.as_fd());
    wait_until("orphans are reaped by whoever has them", || tree.members().is_ok_and(|m| m.is_empty()));
    tree.remove().expect("is empty");
}

fn read_pid(path: &Path) -> Pid {
    wait_until("a pid is written", || fs::read_to_string(path).is_ok_and(|t| t.ends_with('\n')));
    Pid(fs::read_to_string(path).unwrap().trim().parse().unwrap())
}

#[test]
fn no_orphan_survives() {
    let _epilogue = Epilogue::new();
    let launcher = Launcher::new();
    for trees in kinds("no_orphan_survives") {
        let folder = TempDir::new();
        let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        let words = [
            "trap",
            "TERM=exit:0",
            "orphan",
            "{",
            "ignore",
            "TERM",
            "ignore",
            "HUP",
            "rename",
            "innocent",
            "close-fds",
            "pidfile",
            &path("orphan"),
            "wait",
            "}",
            "fork",
            "{",
            "ignore",
            "TERM",
            "setpgid",
            "pidfile",
            &path("group"),
            "wait",
            "}",
            "fork",
            "{",
            "setsid",
            "ignore",
            "TERM",
            "pidfile",
            &path("session"),
            "fork",
            "{",
            "ignore",
            "TERM",
            "pidfile",
            &path("deep"),
            "wait",
            "}",
            "wait",
            "}",
            "pidfile",
            &path("leader"),
            "wait",
        ];
        let (tree, child) = grow(&launcher, &trees, &words);
        let pids: Vec<Pid> =
            ["orphan", "group", "session", "deep", "leader"].iter().map(|n| read_pid(&folder.join(n))).collect();
        let mut expected = pids.clone();
        expected.sort();
        assert_eq!(tree.members().unwrap(), expected, "{:?}", tree.kind());
        assert!(expected.iter().all(|pid| tree.contains(*pid).unwrap()));
        assert!(!tree.contains(Pid(std::process::id())).unwrap());
        assert_eq!(tree.signal_all(Signal::TERM).unwrap(), 5);
        assert_eq!(await_leader(&tree, &child), ExitStatus::Code(0));
        assert!(!tree.is_empty().unwrap(), "the leader ended well, but not the rest");
        let mut left = expected.clone();
        left.retain(|pid| *pid != child.pid);
        assert_eq!(tree.members().unwrap(), left);
        fell(tree, &child);
        assert!(pids.iter().all(|pid| Stat::of(*pid).map_or(true, |s| s.is_zombie())));
    }
}

#[test]
fn the_group_gets_what_the_group_is_sent_and_nobody_else() {
    let _epilogue = Epilogue::new();
    let launcher = Launcher::new();
    for trees in kinds("the_group_gets_what_the_group_is_sent_and_nobody_else") {
        let folder = TempDir::new();
        let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        let words = [
            "fork",
            "{",
            "pidfile",
            &path("same"),
            "wait",
            "}",
            "fork",
            "{",
            "setpgid",
            "pidfile",
            &path("other"),
            "wait",
            "}",
            "wait",
        ];
        let (tree, child) = grow(&launcher, &trees, &words);
        read_pid(&folder.join("same"));
        let other = read_pid(&folder.join("other"));
        assert_eq!(tree.signal_group(Signal::TERM).unwrap(), 2);
        assert_eq!(await_leader(&tree, &child), ExitStatus::Signal { signal: Signal::TERM, core: false });
        wait_until("only the other group is left", || tree.members().unwrap() == [other]);
        fell(tree, &child);
    }
}

#[test]
fn a_fork_bomb_is_over_with_one_kill() {
    let test = "a_fork_bomb_is_over_with_one_kill";
    let _epilogue = Epilogue::new();
    let trees = Trees::new();
    if trees.kind() != TreeKind::Cgroup {
        return skipped(test, trees.reason());
    }
    let launcher = Launcher::new();
    let mut tree = trees.create("bomb", RunId(1)).unwrap();
    let mut launch = actor_launch(&["forkbomb"]);
    launch.cgroup = tree.cgroup().unwrap();
    launch.nice = Some(19);
    // It cannot take the machine down should the kill fail: as somebody else, with few processes.
    if nix::unistd::geteuid().is_root() {
        launch.ids = Some(neap::driver::spawn::Ids { uid: 54_321, gid: 54_321, groups: vec![], label: "bomb".into() });
        launch.rlimits = vec![neap::driver::spawn::RlimitSet {
            resource: neap::driver::limits::resource("nproc").unwrap(),
            soft: 200,
            hard: 200,
        }];
    }
    let child = start(&launcher, launch).unwrap();
    tree.set_leader(child.pid);
    wait_until("it forks", || tree.members().unwrap().len() > 20);
    tree.kill().unwrap();
    wait_until("all are gone, without another kill", || tree.is_empty().unwrap());
    assert_eq!(await_leader(&tree, &child), ExitStatus::Signal { signal: Signal::KILL, core: false });
    tree.remove().unwrap();
}

#[test]
fn the_end_of_a_tree_is_noticed() {
    let test = "the_end_of_a_tree_is_noticed";
    let _epilogue = Epilogue::new();
    let trees = Trees::new();
    if trees.kind() != TreeKind::Cgroup {
        return skipped(test, trees.reason());
    }
    let launcher = Launcher::new();
    let folder = TempDir::new();
    let left = folder.join("left");
    let words = ["fork", "{", "pidfile", left.to_str().unwrap(), "wait", "}", "exit", "3"];
    let (tree, child) = grow(&launcher, &trees, &words);
    assert_eq!(await_leader(&tree, &child), ExitStatus::Code(3));
    let left = read_pid(&left);
    tree.watch().unwrap();
    assert!(!tree.is_empty().unwrap());
    let members = tree.open_members().unwrap();
    assert_eq!(members.iter().map(|m| m.0).collect::<Vec<_>>(), [left]);
    assert_eq!(tree.signal_all(Signal::KILL).unwrap(), 1);
    await_any(&[&members[0].1]);
    let notices = trees.notices().unwrap();
    while !tree.is_empty().unwrap() {
        await_any(&[&notices]);
        assert!(trees.read_notices().iter().all(|run| *run == RunId(1)));
    }
    tree.remove().unwrap();
}

#[test]
fn folders_are_named_after_process_and_run_and_go_away() {
    let test = "folders_are_named_after_process_and_run_and_go_away";
    let _epilogue = Epilogue::new();
    let trees = Trees::new();
    if trees.kind() != TreeKind::Cgroup {
        return skipped(test, trees.reason());
    }
    let launcher = Launcher::new();
    let tree = trees.create("we/b", RunId(7)).unwrap();
    let hook = trees.create("we/b", RunId(7)).unwrap();
    let mut launch = actor_launch(&["state"]);
    launch.cgroup = tree.cgroup().unwrap();
    let (_, text) = crate::run::run(&launcher, launch).unwrap();
    let state: BTreeMap<&str, &str> = text.lines().filter_map(|l| l.split_once('=')).collect();
    let name = state["cgroup"].to_owned();
    assert!(name.ends_with("/we%2Fb.r7") && name.contains(&format!("/neap.{}.", std::process::id())), "{name}");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let at = mounts.lines().find(|l| l.contains(" - cgroup2 ")).and_then(|l| l.split(' ').nth(4)).unwrap().to_owned();
    let place = format!("{at}{name}");
    let base = Path::new(&place).parent().unwrap().to_owned();
    let there = || Path::new(&place).exists();
    if !there() {
        return skipped(test, "its second half: the mount shows only a part of the hierarchy");
    }
    tree.remove().unwrap();
    assert!(!there());
    drop(hook);
    assert!(base.exists());
    drop(trees);
    assert!(!base.exists(), "the instance's folder goes with its owner");
}

#[test]
fn a_tree_with_cgroups_of_its_own_is_still_one_tree() {
    let test = "a_tree_with_cgroups_of_its_own_is_still_one_tree";
    let _epilogue = Epilogue::new();
    let trees = Trees::new();
    if trees.kind() != TreeKind::Cgroup {
        return skipped(test, trees.reason());
    }
    let launcher = Launcher::new();
    let (tree, child) = grow(&launcher, &trees, &["wait"]);
    let folder = tree.cgroup().unwrap().unwrap();
    let below = format!("/proc/self/fd/{}/inner", std::os::fd::AsRawFd::as_raw_fd(&*folder));
    fs::create_dir(&below).unwrap();
    fs::write(format!("{below}/cgroup.procs"), child.pid.to_string()).unwrap();
    drop(folder);
    assert_eq!(tree.members().unwrap(), [child.pid]);
    assert!(tree.contains(child.pid).unwrap() && !tree.is_empty().unwrap());
    assert_eq!(tree.signal_all(Signal::TERM).unwrap(), 1);
    assert_eq!(await_leader(&tree, &child), ExitStatus::Signal { signal: Signal::TERM, core: false });
    wait_until("it is empty", || tree.is_empty().unwrap());
    tree.remove().unwrap();
}

#[test]
fn a_stranger_with_the_leaders_old_group_is_no_member() {
    let _epilogue = Epilogue::new();
    let launcher = Launcher::new();
    let trees = Trees::groups("asked for by a test");
    let (tree, child) = grow(&launcher, &trees, &["exit", "0"]);
    assert_eq!(await_leader(&tree, &child), ExitStatus::Code(0));
    assert!(tree.is_empty().unwrap(), "a zombie is no live member");
    assert_eq!(tree.signal_all(Signal::KILL).unwrap(), 0);
    assert_eq!(exit::reap(child.pidfd.as_fd()).unwrap(), Some(ExitStatus::Code(0)));
    assert!(tree.is_empty().unwrap());
}

#[test]
fn what_left_group_and_session_is_found_by_its_mark() {
    let _epilogue = Epilogue::new();
    let launcher = Launcher::new();
    let trees = Trees::groups("asked for by a test");
    let (read, write) = output_pipe();
    let mut tree = trees.create("actor", RunId(9)).unwrap();
    assert!(tree.mark().unwrap().starts_with("NEAP_RUN=r9."));
    let mut launch = actor_launch(&["daemonize", "pid", "close-stdout", "wait"]);
    launch.env.extend(tree.mark().map(c));
    launch.stdio[1] = Stdio::Fd(write);
    let in_flight = launcher.launch(launch).unwrap();
    tree.set_leader(in_flight.pid());
    let child = crate::run::finish(in_flight).unwrap();
    let daemon = Pid(std::io::read_to_string(read).unwrap().trim().parse().unwrap());
    assert_eq!(await_leader(&tree, &child), ExitStatus::Code(0));
    assert_eq!(tree.members().unwrap(), [daemon]);
    assert_eq!(tree.signal_group(Signal::TERM).unwrap(), 0, "it left the group");
    fell(tree, &child);
}

/// A leader with two more in its group.
const THREE: [&str; 9] = ["fork", "{", "wait", "}", "fork", "{", "wait", "}", "wait"];

#[test]
fn a_signal_reaches_all_when_pidfds_run_out_for_a_while() {
    let _epilogue = Epilogue::new();
    let launcher = Launcher::new();
    for trees in kinds("a_signal_reaches_all_when_pidfds_run_out_for_a_while") {
        let (tree, child) = grow(&launcher, &trees, &THREE);
        wait_until("there are three", || tree.members().unwrap().len() == 3);
        // For the second of them, when all are opened at once.
        let fault = fault::here(Call::PidfdOpen, 1, 1, Errno::EMFILE as i32);
        assert_eq!(tree.signal_all(Signal::TERM).unwrap(), 3);
        drop(fault);
        assert_eq!(await_leader(&tree, &child), ExitStatus::Signal { signal: Signal::TERM, core: false });
        wait_until("nobody is left", || tree.is_empty().unwrap());
        fell(tree, &child);
    }
}

#[test]
fn a_signal_that_misses_somebody_is_an_error() {
    let _epilogue = Epilogue::new();
    let launcher = Launcher::new();
    for trees in kinds("a_signal_that_misses_somebody_is_an_error") {
        let (tree, child) = grow(&launcher, &trees, &THREE);
        wait_until("there are three", || tree.members().unwrap().len() == 3);
        let fault = fault::here(Call::PidfdOpen, 0, usize::MAX, Errno::EMFILE as i32);
        let missed = tree.signal_all(Signal::KILL).unwrap_err();
        assert_eq!(missed.raw_os_error(), Some(Errno::EMFILE as i32));
        assert_eq!(tree.members().unwrap().len(), 3);
        drop(fault);
        // All but one are told at once; that one the next time round.
        let fault = fault::here(Call::PidfdOpen, 0, 3, Errno::EMFILE as i32);
        assert_eq!(tree.signal_all(Signal::TERM).unwrap(), 3);
        drop(fault);
        fell(tree, &child);
    }
}

#[test]
fn a_tree_is_signalled_and_killed_without_a_free_descriptor() {
    let test = "a_tree_is_signalled_and_killed_without_a_free_descriptor";
    let _epilogue = Epilogue::new();
    for trees in kinds(test) {
        let kind = if trees.kind() == TreeKind::Cgroup { "cgroups" } else { "groups" };
        drop(trees);
        let mut words = vec!["starve", kind, "3", "{"];
        words.extend(THREE);
        words.push("}");
        let mut launch = actor_launch(&words);
        let resource = neap::driver::limits::resource("nofile").unwrap();
        launch.rlimits = vec![RlimitSet { resource, soft: 64, hard: 64 }];
        let (status, text) = crate::run::run(&Launcher::new(), launch).unwrap();
        assert_eq!((status, text.as_str()), (ExitStatus::Code(0), "told Ok(3)\nkilled Ok(())\n"), "{kind}");
    }
}

#[test]
fn a_tree_whose_leader_cannot_be_looked_at_is_not_empty() {
    let _epilogue = Epilogue::new();
    let launcher = Launcher::new();
    let trees = Trees::groups("asked for by a test");
    // No descriptor is left when it is told who leads.
    let mut tree = trees.create("actor", RunId(1)).unwrap();
    let mut launch = actor_launch(&["wait"]);
    launch.env.extend(tree.mark().map(c));
    let in_flight = launcher.launch(launch).unwrap();
    let fault = fault::here(Call::Stat, 0, usize::MAX, Errno::EMFILE as i32);
    tree.set_leader(in_flight.pid());
    assert_eq!(tree.is_empty().unwrap_err().raw_os_error(), Some(Errno::EMFILE as i32));
    assert!(tree.contains(in_flight.pid()).is_err() && tree.kill().is_err());
    drop(fault);
    let child = crate::run::finish(in_flight).unwrap();
    assert_eq!(tree.members().unwrap(), [child.pid]);
    // Nor later.
    let fault = fault::here(Call::Stat, 0, usize::MAX, Errno::ENFILE as i32);
    assert!(tree.is_empty().is_err());
    drop(fault);
    fell(tree, &child);
}

#[test]
fn the_environment_of_a_strangers_child_is_not_looked_at() {
    let _epilogue = Epilogue::new();
    let launcher = Launcher::new();
    let trees = Trees::groups("asked for by a test");
    let (tree, child) = grow(&launcher, &trees, &["wait"]);
    // The mark shows who is looked at. One has it from a child of ours, the other from somebody who is none of ours: an
    // orphan without the mark, which starts it anew.
    let folder = TempDir::new();
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (mark, near, far) = (tree.mark().unwrap(), file("near"), file("far"));
    let script = format!("echo $$ > {near}; exec env {mark} sleep 1000");
    let mut ours = std::process::Command::new("setsid").args(["sh", "-c", &script]).spawn().unwrap();
    let script = format!("(echo $$ > {far}; setsid env {mark} sleep 1000 & echo $! > {far}.child; wait) &");
    let orphan = format!("setsid sh -c '{script}'");
    assert!(std::process::Command::new("sh").args(["-c", &orphan]).status().unwrap().success());
    let near = read_pid(Path::new(&near));
    let far = read_pid(Path::new(&format!("{far}.child")));
    let marked = |pid: Pid| {
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|e| e.split(|b| *b == 0).any(|variable| variable == mark.as_bytes()))
    };
    wait_until("both carry the mark", || marked(near) && marked(far));
    let members = tree.members().unwrap();
    let adopted = crate::support::descendants().contains(&far.0);
    let (knows_near, knows_far) = (tree.contains(near).unwrap(), tree.contains(far).unwrap());
    for pid in [near, far] {
        if let Some(pidfd) = neap::driver::identity::open(pid).unwrap() {
            let _ = neap::driver::identity::signal(pidfd.as_fd(), Signal::KILL);
        }
    }
    let _ = ours.wait();
    let mut expected = vec![child.pid, near];
    expected.extend(adopted.then_some(far));
    expected.sort();
    assert_eq!(members, expected);
    assert_eq!((knows_near, knows_far), (true, adopted));
    fell(tree, &child);
}
