//! What each limit does.

use crate::common::wait_until;
use crate::ground::{Ground, count, folders, read};

/// Somebody whom nothing that others do may harm.
const OTHER: &str = "neap.process 'other' { command = { 'ACTOR', 'wait' } }\n";

#[test]
fn memory_beyond_the_limit_is_an_end_by_oom_and_others_go_on() {
    let Some(ground) = Ground::new("memory_beyond_the_limit_is_an_end_by_oom_and_others_go_on") else { return };
    ground.configure(&format!(
        "{OTHER}neap.process 'eater' {{
            command = {{ 'ACTOR', 'eat', '200000000', 'wait' }}, limits = {{ memory = '32MiB' }}, restart = 'never',
        }}"
    ));
    let daemon = ground.daemon();
    let other = ground.once_is("other", "running");
    let row = ground.once_is("eater", "failed");
    assert!(row["reason"].as_str().unwrap().contains("oom"), "{row}");
    assert_eq!(ground.enforcers("eater")["memory"], "cgroup2");
    let why = ground.home.neap(["why", "eater"]);
    assert!(why.contains("oom"), "{why}");
    assert_eq!(ground.home.list()["other"]["pid"], other["pid"]);
    daemon.stop();
}

#[test]
fn a_child_that_the_kernel_kills_for_memory_is_an_event_and_no_end() {
    let Some(ground) = Ground::new("a_child_that_the_kernel_kills_for_memory_is_an_event_and_no_end") else { return };
    let words = "'fork', '{', 'eat', '200000000', 'wait', '}', 'wait'";
    ground.configure(&format!(
        "neap.process 'master' {{ command = {{ 'ACTOR', {words} }}, limits = {{ memory = '32MiB' }} }}"
    ));
    let daemon = ground.daemon();
    let master = ground.once_is("master", "running");
    wait_until("the kernel killed the child", || {
        folders(&ground.cgroup).iter().any(|folder| count(folder, "memory.events", "oom_kill") > 0)
    });
    let row = ground.home.list()["master"].clone();
    assert_eq!(
        (&row["pid"], &row["state"], &row["run_count"]),
        (&master["pid"], &"running".into(), &1.into()),
        "{row}"
    );
    daemon.stop();
}

#[test]
fn memory_high_slows_down_and_kills_nobody() {
    let Some(ground) = Ground::new("memory_high_slows_down_and_kills_nobody") else { return };
    ground.configure(
        "neap.process 'heavy' { command = { 'ACTOR', 'eat', '30000000', 'wait' }, limits = { memory_high = '16MiB' } }",
    );
    let daemon = ground.daemon();
    ground.once_is("heavy", "running");
    let folder = ground.folder("heavy");
    wait_until("it was slowed down", || count(&folder, "memory.events", "high") > 0);
    assert_eq!(count(&folder, "memory.events", "oom_kill"), 0);
    assert_eq!(ground.enforcers("heavy")["memory_high"], "cgroup2");
    assert_eq!(ground.home.list()["heavy"]["state"], "running");
    // It is on its way back to user space, which may take its time.
    ground.update("heavy", &["--limits-memory-high", "64MiB"]);
    daemon.stop();
}

#[test]
fn one_process_too_many_is_refused_and_the_reason_says_pids_limit() {
    let Some(ground) = Ground::new("one_process_too_many_is_refused_and_the_reason_says_pids_limit") else { return };
    let words = "'fork', '{', 'wait', '}', 'try-fork', 'exit', '3'";
    ground.configure(&format!(
        "neap.process 'forker' {{ command = {{ 'ACTOR', {words} }}, limits = {{ pids = 2 }}, restart = 'never' }}"
    ));
    let daemon = ground.daemon();
    let row = ground.once_is("forker", "failed");
    let reason = row["reason"].as_str().unwrap();
    assert!(reason.contains("exit code 3") && reason.contains("pids limit"), "{row}");
    daemon.stop();
}

#[test]
fn a_fork_bomb_under_a_limit_is_gone_when_its_stop_is_over_and_others_are_unharmed() {
    let test = "a_fork_bomb_under_a_limit_is_gone_when_its_stop_is_over_and_others_are_unharmed";
    let Some(ground) = Ground::new(test) else { return };
    ground.configure(&format!(
        "{OTHER}neap.process 'bomb' {{
            command = {{ 'ACTOR', 'ignore', 'TERM', 'forkbomb' }}, limits = {{ pids = 60 }}, nice = 19,
            stop = {{ timeout = '100ms' }},
        }}"
    ));
    let daemon = ground.daemon();
    let other = ground.once_is("other", "running");
    ground.once_is("bomb", "running");
    let folder = ground.folder("bomb");
    wait_until("it is at its limit", || count(&folder, "pids.events", "max") > 0);
    assert!(read(&folder, "pids.peak").is_empty() || read(&folder, "pids.peak") == "60");
    // Beside it there is room for others.
    ground.home.neap(["restart", "other"]);
    let restarted = ground.once_is("other", "running");
    assert_ne!(restarted["pid"], other["pid"]);
    ground.home.neap(["stop", "bomb"]);
    assert_eq!(read(&folder, "cgroup.procs"), "");
    assert_eq!(ground.home.list()["bomb"]["state"], "stopped");
    assert_eq!(ground.home.list()["other"]["pid"], restarted["pid"]);
    daemon.stop();
}

#[test]
fn a_limit_on_the_processor_throttles_and_stats_tell_it() {
    let Some(ground) = Ground::new("a_limit_on_the_processor_throttles_and_stats_tell_it") else { return };
    ground.configure(
        "neap.process 'burner' { command = { 'ACTOR', 'burn' }, limits = { cpu = 0.2, memory = '64MiB', pids = 5 } }",
    );
    let daemon = ground.daemon();
    ground.once_is("burner", "running");
    let folder = ground.folder("burner");
    assert_eq!(read(&folder, "cpu.max"), "20000 100000");
    wait_until("it was held back", || ground.stats("burner")["cpu_throttled_usec"].as_u64() > Some(0));
    let stats = ground.stats("burner");
    assert_eq!((&stats["source"], &stats["cpu_limit"]), (&"cgroup".into(), &0.2.into()), "{stats}");
    assert_eq!((&stats["memory_limit"], &stats["pids_limit"]), (&(64 << 20).into(), &5.into()), "{stats}");
    assert_eq!(stats["pids"], 1, "{stats}");
    assert!(stats["memory"].as_u64() > Some(10_000) && stats["cpu"].is_f64(), "{stats}");
    let text = ground.home.neap(["stats", "burner"]);
    assert!(text.contains(" % of 20.0 %") && text.contains("of 64.0MiB") && text.contains("1 of 5"), "{text}");
    daemon.stop();
}

#[test]
fn weights_and_kept_memory_stand_in_the_cgroups_files() {
    let Some(ground) = Ground::new("weights_and_kept_memory_stand_in_the_cgroups_files") else { return };
    ground.configure(
        "neap.process 'light' {
            command = { 'ACTOR', 'wait' }, limits = { cpu_weight = 20, io_weight = 30, memory_low = '4MiB' },
        }",
    );
    let daemon = ground.daemon();
    ground.once_is("light", "running");
    let folder = ground.folder("light");
    assert_eq!(read(&folder, "cpu.weight"), "20");
    assert_eq!(read(&folder, "io.weight"), "default 30");
    assert_eq!(read(&folder, "memory.low"), (4 << 20).to_string());
    let enforcers = ground.enforcers("light");
    assert!(enforcers.len() == 3 && enforcers.values().all(|enforcer| enforcer == "cgroup2"), "{enforcers:?}");
    daemon.stop();
}

#[test]
fn limits_change_while_a_process_runs_and_bite_at_once() {
    let Some(ground) = Ground::new("limits_change_while_a_process_runs_and_bite_at_once") else { return };
    ground.configure(
        "neap.process 'web' {
            command = { 'ACTOR', 'eat', '30000000', 'say', 'full', 'wait' }, ready = neap.logline 'full',
            limits = { memory = '64MiB' }, restart = 'never',
        }",
    );
    let daemon = ground.daemon();
    ground.once_is("web", "running");
    let folder = ground.folder("web");
    assert_eq!(read(&folder, "pids.max"), "", "nobody asked for that controller yet");
    ground.update("web", &["--limits-pids", "7", "--limits-cpu", "0.5", "--limits-memory", "128MiB"]);
    wait_until("all of it is written", || {
        let files = ["pids.max", "cpu.max", "memory.max"].map(|file| read(&folder, file));
        files == ["7", "50000 100000", "134217728"]
    });
    assert!(ground.enforcers("web").values().all(|enforcer| enforcer == "cgroup2"));
    ground.update("web", &["--unset", "limits.pids", "--unset", "limits.cpu"]);
    wait_until("they are lifted", || {
        read(&folder, "pids.max") == "max" && read(&folder, "cpu.max").starts_with("max ")
    });
    // Below what it has.
    ground.home.neap(["update", "web", "--limits-memory", "8MiB"]);
    let row = ground.once_is("web", "failed");
    assert!(row["reason"].as_str().unwrap().contains("oom"), "{row}");
    daemon.stop();
}

#[test]
fn limits_outlive_the_supervisor_and_the_next_one_tells_what_they_did() {
    let Some(ground) = Ground::new("limits_outlive_the_supervisor_and_the_next_one_tells_what_they_did") else {
        return;
    };
    std::fs::write(ground.home.path("block"), "").unwrap();
    ground.configure(
        "neap.process 'web' {
            command = { 'ACTOR', 'gone', 'FOLDER/block', 'eat', '200000000', 'wait' },
            limits = { memory = '32MiB', pids = 9 }, restart = 'never',
        }",
    );
    let daemon = ground.daemon();
    let before = ground.once_is("web", "running");
    daemon.crash();
    let after = ground.once_is("web", "running");
    assert_eq!(before["pid"], after["pid"]);
    let enforcers = ground.enforcers("web");
    assert!(enforcers.len() == 2 && enforcers.values().all(|enforcer| enforcer == "cgroup2"), "{enforcers:?}");
    ground.update("web", &["--limits-pids", "11"]);
    wait_until("the limit is another", || read(&ground.folder("web"), "pids.max") == "11");
    std::fs::remove_file(ground.home.path("block")).unwrap();
    let row = ground.once_is("web", "failed");
    assert!(row["reason"].as_str().unwrap().contains("oom"), "{row}");
    daemon.stop();
}
