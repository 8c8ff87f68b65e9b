//! Where a daemon has limits: wherever a cgroup is its own.

use crate::ground::{Ground, folders, read};

/// One process for each limit that ends somebody, and one that nothing ends.
const ALL: &str = "
    neap.process 'other' { command = { 'ACTOR', 'wait' } }
    neap.process 'eater' {
        command = { 'ACTOR', 'eat', '200000000', 'wait' }, limits = { memory = '32MiB' }, restart = 'never',
    }
    neap.process 'forker' {
        command = { 'ACTOR', 'fork', '{', 'wait', '}', 'try-fork', 'exit', '3' }, limits = { pids = 2 }, restart = 'never',
    }
    neap.process 'slow' { command = { 'ACTOR', 'burn' }, limits = { cpu = 0.1, cpu_weight = 50 } }
";

/// All of them bite, and this is told.
#[track_caller]
fn bite(ground: &Ground) {
    ground.once_is("slow", "running");
    let slow = ground.folder("slow");
    assert_eq!((read(&slow, "cpu.max"), read(&slow, "cpu.weight")), ("10000 100000".into(), "50".into()));
    let eater = ground.once_is("eater", "failed");
    assert!(eater["reason"].as_str().unwrap().contains("oom"), "{eater}");
    let forker = ground.once_is("forker", "failed");
    assert!(forker["reason"].as_str().unwrap().contains("pids limit"), "{forker}");
    for name in ["eater", "forker", "slow"] {
        let enforcers = ground.enforcers(name);
        assert!(!enforcers.is_empty() && enforcers.values().all(|by| by == "cgroup2"), "{name}: {enforcers:?}");
    }
    let status = ground.home.status();
    let promises = status["promises"].as_array().unwrap();
    let limits: Vec<_> = promises.iter().filter(|one| one["what"].as_str().unwrap().starts_with("limits.")).collect();
    assert_eq!(limits.len(), 7, "{status}");
    assert!(
        limits.iter().all(|one| one["kept"] == true && one["why"].as_str().unwrap().contains("cgroup2")),
        "{status}"
    );
    assert_eq!(ground.home.list()["other"]["state"], "running");
    // Nobody lives in the cgroup itself: the kernel would give nothing to what is below.
    assert_eq!(read(&ground.cgroup, "cgroup.procs"), "");
    assert!(folders(&ground.cgroup).iter().any(|folder| folder.ends_with("neap-supervisor")));
}

#[test]
fn in_a_cgroup_that_was_delegated_to_it() {
    let Some(ground) = Ground::new("in_a_cgroup_that_was_delegated_to_it") else { return };
    ground.configure(ALL);
    let daemon = ground.daemon();
    bite(&ground);
    daemon.stop();
}

#[test]
fn as_a_user_to_whom_a_cgroup_was_delegated() {
    let Some(ground) = Ground::new("as_a_user_to_whom_a_cgroup_was_delegated") else { return };
    ground.configure(ALL);
    let daemon = ground.daemon_of(1000);
    bite(&ground);
    daemon.stop();
}

#[test]
fn as_the_first_process_of_a_container() {
    let Some(ground) = Ground::new("as_the_first_process_of_a_container") else { return };
    ground.configure(ALL);
    let daemon = ground.container("rw");
    bite(&ground);
    // What stands outside passes no signals on.
    ground.home.neap(["down", "-q"]);
    let (status, said) = daemon.end();
    assert!(status.success(), "{said}");
}

#[test]
fn in_a_container_that_may_not_write_cgroups_limits_are_resource_limits_and_this_is_told() {
    let test = "in_a_container_that_may_not_write_cgroups_limits_are_resource_limits_and_this_is_told";
    let Some(ground) = Ground::new(test) else { return };
    ground.configure(ALL);
    let daemon = ground.container("ro");
    for name in ["other", "slow"] {
        ground.once_is(name, "running");
    }
    // An allocation failed: how that ends is the program's own affair.
    let eater = ground.once("eater", "is over", |row| row["state"] == "failed");
    assert!(!eater["reason"].as_str().unwrap().contains("oom"), "{eater}");
    assert_eq!(ground.enforcers("eater")["memory"], "rlimit");
    assert_eq!(ground.enforcers("slow")["cpu"], "none");
    let status = ground.home.status().to_string();
    assert!(status.contains("is not ours to use: Read-only file system"), "{status}");
    ground.home.neap(["down", "-q"]);
    let (status, said) = daemon.end();
    assert!(status.success() && said.contains("limits.cpu is not enforced here: "), "{said}");
}
