//! Limits that bite: memory, processor time, processes. By whichever cgroups this host has.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use neap::core::{EventKind, ExitStatus, Pid, StateName};
use neap::spec::{Limits, Signal, Spec, Stop};
use neap::{Enforcer, Limit, Process};

use crate::kept::Kept;
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
    assert!(reason.contains("exit code 3") && reason.contains("pids limit"), "{reason}");
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

#[test]
fn a_worker_that_is_killed_for_its_memory_is_told_of_and_is_not_the_end() {
    let mut world = World::new();
    if !has(&world, "a_worker_that_is_killed_for_its_memory_is_told_of_and_is_not_the_end", Limit::Memory) {
        return;
    }
    let words = ["fork", "{", "eat", "200000000", "wait", "}", "wait"];
    let master = world.start(limited("master", &words, memory(48 * MIB)));
    let first = pid(&master);
    world.await_event("the worker is killed", |event| matches!(event.kind, EventKind::Oom).then_some(()));
    let status = master.status().unwrap();
    assert_eq!((status.state, status.pid), (StateName::Running, Some(first)));
    done(master.stop()).unwrap();
    let reason = master.status().unwrap().reason;
    assert!(!reason.contains("oom"), "{reason}");
}

#[test]
fn a_refused_process_is_told_of_while_its_parent_goes_on() {
    let mut world = World::new();
    let test = "a_refused_process_is_told_of_while_its_parent_goes_on";
    if !has(&world, test, Limit::Pids) {
        return;
    }
    let process = world.start(limited("forker", &["fork", "{", "wait", "}", "try-fork", "wait"], pids(2)));
    if enforcer(&process, Limit::Pids) == Enforcer::Cgroup1 {
        return skipped(test, "version 1 of cgroups counts refusals, and tells nobody");
    }
    world.await_event("it is refused", |event| matches!(event.kind, EventKind::PidsLimit).then_some(()));
    assert_eq!(process.status().unwrap().state, StateName::Running);
}

#[test]
fn limits_are_changed_while_a_process_runs() {
    let world = World::new();
    let test = "limits_are_changed_while_a_process_runs";
    if !has(&world, test, Limit::Pids) || !has(&world, test, Limit::Cpu) {
        return;
    }
    let go = world.dir.join("go");
    fs::write(&go, "").unwrap();
    let words = ["fork", "{", "burn", "}", "gone", go.to_str().unwrap(), "try-fork", "wait"];
    let spec = does("worker", &words);
    let process = world.start(spec.clone());
    let first = pid(&process);
    let both = Limits { pids: Some(2), cpu_millis: Some(100), ..Limits::default() };
    done(process.update(spec.clone().limits(both))).unwrap();
    wait_until("both are in force", || {
        enforcer(&process, Limit::Pids).is_cgroup() && enforcer(&process, Limit::Cpu).is_cgroup()
    });
    let (of_cpu, of_pids) = (folder_with(first, "cpu.stat"), folder_with(first, "pids.max"));
    wait_until("it is throttled", || count(&of_cpu, "cpu.stat", "nr_throttled ") > 0);
    fs::remove_file(&go).unwrap();
    assert!(await_lines(&process, 1)[0].starts_with("refused"));
    // What is no longer wanted is lifted, and no process is replaced.
    done(process.update(spec.limits(pids(500)))).unwrap();
    wait_until("one is changed, the other lifted", || {
        let pids = fs::read_to_string(of_pids.join("pids.max")).unwrap();
        process.limits().unwrap().len() == 1 && pids.trim() == "500"
    });
    let quota = ["cpu.cfs_quota_us", "cpu.max"].iter().find_map(|file| fs::read_to_string(of_cpu.join(file)).ok());
    assert!(quota.is_some_and(|text| text.starts_with("-1") || text.starts_with("max")));
    assert_eq!(pid(&process), first);
}

#[test]
fn a_limit_that_is_below_what_is_used_is_told_of_and_the_one_before_goes_on() {
    let mut world = World::new();
    let test = "a_limit_that_is_below_what_is_used_is_told_of_and_the_one_before_goes_on";
    if !has(&world, test, Limit::Memory) {
        return;
    }
    let spec = limited("eater", &["eat", "20000000", "say", "done", "wait"], memory(64 * MIB));
    let process = world.start(spec.clone());
    await_lines(&process, 1);
    if enforcer(&process, Limit::Memory) == Enforcer::Cgroup2 {
        return skipped(test, "version 2 of cgroups ends what uses more than a new limit");
    }
    let folder = folder_with(pid(&process), "memory.limit_in_bytes");
    done(process.update(spec.limits(memory(MIB)))).unwrap();
    let text = world.await_event("the warning", |event| match &event.kind {
        EventKind::Warning { text } => Some(text.clone()),
        _ => None,
    });
    assert!(text.contains("more than that is in use") && text.ends_with("what it was before still counts"), "{text}");
    let limit = fs::read_to_string(folder.join("memory.limit_in_bytes")).unwrap();
    assert_eq!(limit.trim(), (64 * MIB).to_string());
    assert_eq!(process.status().unwrap().state, StateName::Running);
}

#[test]
fn what_a_limited_process_uses_is_counted_with_its_limits() {
    let world = World::new();
    let test = "what_a_limited_process_uses_is_counted_with_its_limits";
    if !has(&world, test, Limit::Memory) || !has(&world, test, Limit::Pids) {
        return;
    }
    let limits = Limits { pids: Some(9), ..memory(64 * MIB) };
    let process = world.start(limited("eater", &["eat", "8000000", "say", "done", "wait"], limits));
    await_lines(&process, 1);
    let usage = process.usage().unwrap().expect("it runs");
    assert_eq!((usage.memory_limit, usage.pids_limit), (Some(64 * MIB), Some(9)));
    assert!(usage.memory.is_some_and(|bytes| bytes > 7_000_000 && bytes < 64 * MIB), "{usage:?}");
    assert_eq!(usage.pids, Some(1));
    if !has(&world, test, Limit::Cpu) {
        return;
    }
    let slow = world.start(limited("slow", &["burn"], cpu(200)));
    assert_eq!(slow.usage().unwrap().expect("it runs").cpu_limit_millis, Some(200));
    wait_until("it was throttled", || {
        slow.usage().unwrap().expect("it runs").cpu_throttled.is_some_and(|time| !time.is_zero())
    });
}

#[test]
fn limits_outlive_the_supervisor_and_go_away_with_the_process() {
    let test = "limits_outlive_the_supervisor_and_go_away_with_the_process";
    // Gone before the next one: each looks for what it left behind.
    if ![Limit::Memory, Limit::Pids].into_iter().all(|limit| has(&World::new(), test, limit)) {
        return;
    }
    let kept = Kept::new(&[]);
    let go = kept.dir.join("go");
    fs::write(&go, "").unwrap();
    let words = ["fork", "{", "gone", go.to_str().unwrap(), "eat", "200000000", "wait", "}", "wait"];
    kept.start(&limited("web", &words, Limits { pids: Some(4), ..memory(48 * MIB) }));
    let first = kept.pid("web");
    let folders = [folder_with(first, "memory.stat"), folder_with(first, "pids.max")];
    kept.kill();
    assert_eq!(kept.await_state("web", StateName::Running).pid, Some(first));
    assert!(folders.iter().all(|folder| is_in(folder, first)));
    // The new supervisor hears of what they do.
    fs::remove_file(&go).unwrap();
    wait_until("the worker's end is told", || kept.events().iter().any(|event| event.kind == EventKind::Oom));
    kept.stop("web");
    wait_until("its folders are gone", || folders.iter().all(|folder| !folder.exists()));
}

#[test]
fn a_process_killed_for_its_memory_in_the_gap_between_two_supervisors_failed_by_oom() {
    let test = "a_process_killed_for_its_memory_in_the_gap_between_two_supervisors_failed_by_oom";
    // Gone before the next one: each looks for what it left behind.
    if ![Limit::Memory].into_iter().all(|limit| has(&World::new(), test, limit)) {
        return;
    }
    let kept = Kept::new(&[]);
    let go = kept.dir.join("go");
    fs::write(&go, "").unwrap();
    let words = ["gone", go.to_str().unwrap(), "eat", "200000000", "wait"];
    kept.start(&limited("web", &words, memory(48 * MIB)));
    let first = kept.pid("web");
    kept.kill_and(|| {
        fs::remove_file(&go).unwrap();
        // Its anchor, which would take note, sleeps.
        let stat = format!("/proc/{first}/stat");
        wait_until("it is killed", || fs::read_to_string(&stat).is_ok_and(|text| text.contains(") Z ")));
    });
    let status = kept.await_state("web", StateName::Failed);
    assert!(status.reason.contains("oom"), "{}", status.reason);
}

#[test]
fn without_cgroups_memory_is_limited_for_each_process_and_the_rest_is_told() {
    let mut world = World::with(|builder| builder.cgroups(false));
    let limits = Limits { cpu_millis: Some(500), ..memory(1 << 30) };
    let spec = limited("web", &["wait"], limits);
    let process = world.start(spec.clone());
    let text = world.await_event("the warning", |event| match &event.kind {
        EventKind::Warning { text } => Some(text.clone()),
        _ => None,
    });
    assert!(text.starts_with("limits.cpu is not enforced here: "), "{text}");
    let of = |limit| enforcer(&process, limit);
    assert_eq!((of(Limit::Memory), of(Limit::Cpu)), (Enforcer::Rlimit, Enforcer::None));
    let space = || address_space(pid(&process));
    assert_eq!(space(), (1_u64 << 30).to_string());
    done(process.update(spec.limits(memory(1 << 29)))).unwrap();
    wait_until("it is changed", || space() == (1_u64 << 29).to_string());
}

/// How much address space a process may have, soft limit.
fn address_space(pid: Pid) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = text.lines().find(|line| line.starts_with("Max address space")).unwrap();
    line.split_whitespace().nth(3).unwrap().to_owned()
}

#[test]
fn without_cgroups_other_limits_leave_a_process_no_more_than_its_own_rlimits() {
    let world = World::with(|builder| builder.cgroups(false));
    let spec = does("web", &["wait"]).rlimit_pair("as", Some(1 << 29), Some(1 << 31));
    let process = world.start(spec.clone());
    let space = || address_space(pid(&process));
    assert_eq!(space(), (1_u64 << 29).to_string());
    let change = |limits: Limits| {
        let value = limits.memory;
        done(process.update(spec.clone().limits(limits))).unwrap();
        wait_until("it is changed", || process.limits().unwrap().first().and_then(|state| state.value) == value);
    };
    change(memory(1 << 30));
    assert_eq!(space(), (1_u64 << 29).to_string());
    change(memory(1 << 27));
    assert_eq!(space(), (1_u64 << 27).to_string());
}

#[test]
fn a_fork_bomb_under_a_limit_is_emptied_by_a_stop_and_others_are_unharmed() {
    let world = World::new();
    if !has(&world, "a_fork_bomb_under_a_limit_is_emptied_by_a_stop_and_others_are_unharmed", Limit::Pids) {
        return;
    }
    let other = world.start(does("other", &["wait"]));
    let spec = limited("bomb", &["ignore", "TERM", "forkbomb"], pids(40));
    let bomb = world.start(spec.nice(19).stop(Stop::signal(Signal::TERM, Duration::from_millis(50))));
    wait_until("it is as large as it may be", || {
        bomb.usage().ok().flatten().and_then(|usage| usage.pids).is_some_and(|pids| pids >= 40)
    });
    let before = pid(&other);
    let folder = folder_with(pid(&bomb), "pids.max");
    assert_eq!(done(bomb.stop()), Ok(StateName::Stopped));
    wait_until("its folder is gone", || !folder.exists());
    assert_eq!((other.status().unwrap().state, pid(&other)), (StateName::Running, before));
}
