//! Limits that bite: memory, processor time, processes. By whichever cgroups this host has.

use std::fs;
use std::path::{Path, PathBuf};

use neap::core::{EventKind, ExitStatus, Pid, StateName};
use neap::spec::{Limits, Signal, Spec};
use neap::{Enforcer, Limit, Process};

use crate::support::{skipped, wait_until};
use crate::world::{World, await_lines, does, done, pid};

const MIB: u64 = 1 << 20;

fn limited(name: &str, words: &[&str], limits: Limits) -> Spec {
    does(name, words).limits(limits)
}

fn memory(bytes: u64) -> Limits {
    Limits { memory: Some(bytes), ..Limits::default() }
}

fn pids(count: u64) -> Limits {
    Limits { pids: Some(count), ..Limits::default() }
}

fn cpu(millis: u64) -> Limits {
    Limits { cpu_millis: Some(millis), ..Limits::default() }
}

/// Whether a cgroup sees to this limit here; else says that the test is skipped.
fn has(world: &World, test: &str, limit: Limit) -> bool {
    let host = world.supervisor.host();
    let state = host.limits.iter().find(|state| state.limit == limit).expect("all limits are told of");
    let is_cgroup = matches!(state.enforcer, Enforcer::Cgroup1 | Enforcer::Cgroup2);
    if !is_cgroup {
        skipped(test, &state.why);
    }
    is_cgroup
}

/// The folder of a process's cgroup that has this controller's file.
fn folder_with(pid: Pid, file: &str) -> PathBuf {
    let memberships = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("it lives");
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    let places =
        mounts.lines().filter_map(|line| line.split_once(" - ")).filter(|(_, kind)| kind.starts_with("cgroup"));
    let points: Vec<&str> = places.filter_map(|(place, _)| place.split(' ').nth(4)).collect();
    let names = memberships.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    names
        .flat_map(|name| points.iter().map(move |point| Path::new(point).join(name.trim_start_matches('/'))))
        .find(|folder| folder.join(file).exists() && is_in(folder, pid))
        .unwrap_or_else(|| panic!("no cgroup of {pid} has {file}: {memberships}"))
}

fn is_in(folder: &Path, pid: Pid) -> bool {
    fs::read_to_string(folder.join("cgroup.procs")).is_ok_and(|text| text.lines().any(|line| line == pid.to_string()))
}

fn enforcer(process: &Process, limit: Limit) -> Enforcer {
    let states = process.limits().expect("it is there");
    states.iter().find(|state| state.limit == limit).map_or(Enforcer::None, |state| state.enforcer)
}

fn count(folder: &Path, file: &str, key: &str) -> u64 {
    let text = fs::read_to_string(folder.join(file)).expect("it is there");
    text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok()).unwrap_or_default()
}

#[test]
fn more_memory_than_its_limit_ends_a_process_and_the_reason_is_oom() {
    let mut world = World::new();
    if !has(&world, "more_memory_than_its_limit_ends_a_process_and_the_reason_is_oom", Limit::Memory) {
        return;
    }
    let others = world.start(does("other", &["wait"]));
    let eater = world.start(limited("eater", &["eat", "200000000", "wait"], memory(32 * MIB)));
    let reason = world.await_state("eater", StateName::Failed);
    assert!(reason.contains("oom"), "{reason}");
    let status = eater.status().unwrap();
    assert_eq!(status.exit, Some(ExitStatus::Signal { signal: Signal::KILL, core: false }));
    assert_eq!(others.status().unwrap().state, StateName::Running);
}

#[test]
fn a_process_below_its_limit_on_memory_is_left_alone() {
    let world = World::new();
    if !has(&world, "a_process_below_its_limit_on_memory_is_left_alone", Limit::Memory) {
        return;
    }
    let modest = world.start(limited("modest", &["eat", "4000000", "say", "done", "wait"], memory(64 * MIB)));
    await_lines(&modest, 1);
    assert_eq!(modest.status().unwrap().state, StateName::Running);
    // What kills it is no lack of memory.
    done(modest.signal(Signal::KILL)).unwrap();
    wait_until("it is down", || modest.status().unwrap().state == StateName::Failed);
    let reason = modest.status().unwrap().reason;
    assert!(!reason.contains("oom"), "{reason}");
}

#[test]
fn one_process_more_than_its_limit_is_refused_and_that_is_told() {
    let mut world = World::new();
    if !has(&world, "one_process_more_than_its_limit_is_refused_and_that_is_told", Limit::Pids) {
        return;
    }
    let words = ["fork", "{", "wait", "}", "try-fork", "exit", "3"];
    let process = world.start(limited("forker", &words, pids(2)));
    assert!(await_lines(&process, 1)[0].starts_with("refused: Resource temporarily unavailable"));
    world.await_exit("forker");
    let reason = world.await_state("forker", StateName::Failed);
    assert!(reason.contains("exit code 3"), "{reason}");
}

#[test]
fn a_limit_on_the_processor_throttles() {
    let world = World::new();
    if !has(&world, "a_limit_on_the_processor_throttles", Limit::Cpu) {
        return;
    }
    let process = world.start(limited("burner", &["burn"], cpu(100)));
    let folder = folder_with(pid(&process), "cpu.stat");
    wait_until("it is throttled", || count(&folder, "cpu.stat", "nr_throttled ") > 0);
    done(process.stop()).unwrap();
    wait_until("its folder is gone", || !folder.exists());
}

#[test]
fn a_process_without_limits_is_in_no_cgroup_made_for_them() {
    let world = World::new();
    let process = world.start(does("plain", &["wait"]));
    assert_eq!(process.limits().unwrap(), []);
    let told = fs::read_to_string(format!("/proc/{}/cgroup", pid(&process))).unwrap();
    let ours = fs::read_to_string("/proc/self/cgroup").unwrap();
    let of_one =
        |text: &str| text.lines().filter(|line| !line.starts_with("0::")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(of_one(&told), of_one(&ours));
}
