//! The supervisor's death, and the anchor's.

use std::collections::BTreeMap;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use serde_json::Value;

use crate::common::{actor, wait_until};
use crate::support::{Daemon, Home, identity, is, pid, wait_for_file};

/// Of each kind this many.
const EACH: usize = 10;
/// How often the supervisor is killed.
const TIMES: usize = 50;

/// A hundred processes in ten states that last, or are left only when the test says so.
fn mixed() -> String {
    let kinds = [
        ("simple", "shell = 'exec sleep 100000'".to_owned()),
        ("lines", "shell = 'echo up; exec sleep 100000', ready = neap.logline 'up'".to_owned()),
        ("notify", format!("type = 'notify', command = {{ '{}', 'notify', 'READY=1', 'wait' }}", actor().display())),
        ("tree", "shell = 'sleep 100000 & sleep 100000 & exec sleep 100000'".to_owned()),
        ("starting", "shell = 'exec sleep 100000', ready = neap.logline 'never', start_timeout = '10h'".to_owned()),
        ("done", "type = 'oneshot', remain = true, command = 'true'".to_owned()),
        ("failed", "shell = 'exit 3', restart = 'never'".to_owned()),
        ("backoff", "shell = 'exit 4', restart = { policy = 'always', delay = '10h', max_delay = '10h' }".to_owned()),
        ("created", "shell = 'exec sleep 100000', auto_start = false".to_owned()),
        ("stopping", "shell = [[trap '' TERM; echo deaf; exec sleep 100000]], ready = neap.logline 'deaf', stop = { timeout = '10h' }".to_owned()),
    ];
    let mut text = String::new();
    for (name, spec) in kinds {
        (0..EACH).for_each(|n| text += &format!("neap.process '{name}-{n}' {{ {spec} }}\n"));
    }
    text
}

fn settled(all: &BTreeMap<String, Value>) -> bool {
    let expected = [
        ("simple", "running"),
        ("lines", "running"),
        ("notify", "running"),
        ("tree", "running"),
        ("starting", "starting"),
        ("done", "running"),
        ("failed", "failed"),
        ("backoff", "backoff"),
        ("created", "created"),
        ("stopping", "stopping"),
    ];
    let has = |kind: &str, state: &str| (0..EACH).all(|n| is(&all[&format!("{kind}-{n}")], state));
    all.len() == EACH * expected.len() && expected.iter().all(|(kind, state)| has(kind, state))
}

/// A process's name, state, pid with start time, and how often it was run.
type Print = (String, String, Option<(i32, u64)>, u64);

/// What must not change.
fn fingerprint(all: &BTreeMap<String, Value>) -> Vec<Print> {
    all.iter()
        .map(|(name, row)| {
            let process = row["pid"].is_number().then(|| identity(pid(row)));
            (name.clone(), row["state"].to_string(), process, row["run_count"].as_u64().unwrap())
        })
        .collect()
}

#[test]
fn e1_a_supervisor_killed_fifty_times_loses_and_doubles_none_of_a_hundred() {
    let home = Home::new();
    home.config(&mixed());
    let daemon = home.ready();
    home.wait_until("all are in their states but one kind", |all| {
        all.iter().all(|(name, row)| !name.starts_with("stopping") || is(row, "running"))
            && all.iter().all(|(name, row)| !name.starts_with("backoff") || is(row, "backoff"))
    });
    home.neap(["stop", "--no-wait", "stopping-*"]);
    let before = fingerprint(&home.wait_until("all are in their states", settled));
    let mut random: u64 = 0x9e37_79b9_7f4a_7c15;
    for time in 0..TIMES {
        daemon.crash();
        let after = fingerprint(&home.list());
        assert_eq!(after, before, "after kill {time}\n{}", daemon.said());
        // The next at some other moment of its life.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_millis(random >> 58));
    }
    daemon.stop_by_force();
}

#[test]
fn a_supervisor_killed_before_it_is_ready_is_taken_over_all_the_same() {
    let home = Home::new();
    home.config(&mixed());
    let daemon = home.ready();
    home.wait_until("those that run do", |all| (0..EACH).all(|n| is(&all[&format!("lines-{n}")], "running")));
    let before: Vec<_> = (0..EACH).map(|n| identity(pid(&home.list()[&format!("simple-{n}")]))).collect();
    kill(daemon.supervisor(), Signal::SIGKILL).unwrap();
    for _ in 0..3 {
        daemon.wait_for("it is started again");
        let next = only_child_of(&daemon);
        kill(next, Signal::SIGKILL).unwrap();
    }
    daemon.wait_for("neap: ready;");
    let after: Vec<_> = (0..EACH).map(|n| identity(pid(&home.list()[&format!("simple-{n}")]))).collect();
    assert_eq!(after, before);
    daemon.stop_by_force();
}

/// The anchor's supervisor, also before it answers: the child that is called as it was.
fn only_child_of(daemon: &Daemon<'_>) -> nix::unistd::Pid {
    let anchor = daemon.anchor().as_raw().cast_unsigned();
    let mut found = None;
    wait_until("there is a supervisor", || {
        found = crate::common::processes().find(|pid| {
            let stat = neap::driver::identity::Stat::of(neap::core::Pid(*pid));
            stat.is_ok_and(|stat| stat.parent.0 == anchor)
                && crate::common::command_line(*pid).contains("daemon neap.lua")
        });
        found.is_some()
    });
    nix::unistd::Pid::from_raw(found.unwrap().cast_signed())
}

#[test]
fn e3_what_ended_while_there_was_no_supervisor_is_told_exactly() {
    let home = Home::new();
    let waits = "echo up; until [ -e $HOME/gate ]; do sleep 0.05; done; exit";
    home.config(&format!(
        "local function p(name, code)
           neap.process(name) {{ shell = [[{waits} ]] .. code, ready = neap.logline 'up', restart = 'never' }}
         end
         p('zero', 0) p('seven', 7)
         neap.process 'segv' {{ shell = 'exec sleep 100000', restart = 'never' }}
         neap.process 'again' {{ shell = 'exec sleep 100000', restart = {{ delay = '10ms' }} }}"
    ));
    let daemon = home.ready();
    home.neap(["wait", "zero", "seven", "segv", "again"]);
    let all = home.list();
    let supervisor = daemon.supervisor();
    // Nobody starts the supervisor again meanwhile.
    daemon.signal(Signal::SIGSTOP);
    kill(supervisor, Signal::SIGKILL).unwrap();
    wait_until("it is dead", || crate::common::command_line(supervisor.as_raw().cast_unsigned()).is_empty());
    kill(pid(&all["segv"]), Signal::SIGSEGV).unwrap();
    kill(pid(&all["again"]), Signal::SIGKILL).unwrap();
    std::fs::write(home.path("gate"), "").unwrap();
    let ended = |name: &&str| crate::common::command_line(pid(&all[*name]).as_raw().cast_unsigned()).is_empty();
    wait_until("all have ended", || ["zero", "seven", "segv", "again"].iter().all(ended));
    daemon.signal(Signal::SIGCONT);
    daemon.wait_for("neap: ready;");
    let all = home.wait_until("it is up again", |all| is(&all["again"], "running") && all["again"]["run_count"] == 2);
    assert!(is(&all["zero"], "exited") && all["zero"]["exit_code"] == 0, "{}", all["zero"]);
    assert!(is(&all["seven"], "failed") && all["seven"]["exit_code"] == 7, "{}", all["seven"]);
    assert!(is(&all["segv"], "failed") && all["segv"]["signal"] == "SIGSEGV", "{}", all["segv"]);
    daemon.stop();
}

#[test]
fn e7_without_its_anchor_it_goes_on_and_says_so() {
    let home = Home::new();
    home.config("neap.process 'a' { shell = 'exec sleep 100000' }");
    let daemon = home.ready();
    home.neap(["wait", "a"]);
    let before = identity(pid(&home.list()["a"]));
    let supervisor = daemon.supervisor();
    daemon.signal(Signal::SIGKILL);
    wait_until("status says so", || home.neap(["status"]).contains("the anchor is gone"));
    assert_eq!(identity(pid(&home.list()["a"])), before);
    kill(supervisor, Signal::SIGTERM).unwrap();
    let (_, said) = daemon.end();
    assert!(said.contains("a: stopped"), "{said}");
}

#[test]
fn when_both_are_killed_the_next_start_finds_what_runs() {
    let home = Home::new();
    home.config("neap.process 'a' { shell = 'exec sleep 100000' }\nneap.process 'b' { shell = 'exec sleep 100000' }");
    let daemon = home.ready();
    home.neap(["wait", "a", "b"]);
    let before = identity(pid(&home.list()["a"]));
    let supervisor = daemon.supervisor();
    daemon.signal(Signal::SIGSTOP);
    kill(supervisor, Signal::SIGKILL).unwrap();
    daemon.signal(Signal::SIGKILL);
    drop(daemon);
    home.config("neap.process 'a' { shell = 'exec sleep 100000' }\nneap.process 'c' { shell = 'exec sleep 100000' }");
    let daemon = home.ready();
    home.neap(["wait", "c"]);
    let all = home.wait_until("what is not declared any more is gone", |all| !all.contains_key("b"));
    assert_eq!(identity(pid(&all["a"])), before, "{}", daemon.said());
    daemon.stop();
}

#[test]
fn a_crash_is_no_reload_of_a_file_that_is_half_edited() {
    let home = Home::new();
    let file = home.path("called");
    let config = format!(
        "neap.process 'a' {{ shell = 'exec sleep 100000', hooks = {{ before_stop = function() neap.log.info 'hook ran' end }} }}
         neap.process 'b' {{ type = 'oneshot', shell = 'touch {}', auto_start = false }}",
        file.display()
    );
    home.config(&config);
    let daemon = home.ready();
    home.neap(["wait", "a"]);
    home.config("neap.process 'a' { this is half");
    daemon.crash();
    assert_eq!(home.status()["generation"], 1);
    assert_eq!(home.list().len(), 2);
    // Its functions are those of what is in force.
    home.neap(["stop", "a"]);
    daemon.wait_for("hook ran");
    home.neap(["start", "b"]);
    wait_for_file(&file, |_| file.exists());
    daemon.stop();
}

#[test]
fn a_link_to_its_configuration_that_leads_elsewhere_makes_no_other_instance_of_it() {
    let home = Home::new();
    for (version, seconds) in [("v1", 100_000), ("v2", 200_000)] {
        std::fs::create_dir(home.path(version)).unwrap();
        let text = format!("command: sleep {seconds}\nauto_start: true\n");
        std::fs::write(home.path(version).join("a.yaml"), text).unwrap();
    }
    let link = home.path("d");
    let at = |words: &[&str]| home.neap(["--socket", "s.sock"].iter().chain(words));
    let status = || serde_json::from_str::<Value>(&at(&["status", "--json"])).unwrap();
    let a = || serde_json::from_str::<Vec<Value>>(&at(&["list", "--json"])).unwrap().remove(0);
    for words in [["daemon", "--config-dir", "d"].as_slice(), &["up", "d"]] {
        std::os::unix::fs::symlink("v1", &link).unwrap();
        let daemon = home.start(home.command(["--socket", "s.sock"].iter().chain(words)));
        wait_until("it is ready", || home.ask(["--socket", "s.sock", "wait", "a"]).status.success());
        let (before, place) = (identity(pid(&a())), status()["state_dir"].clone());
        let goes_on = |what: &str, end: &dyn Fn(nix::unistd::Pid)| {
            let old = status()["pid"].clone();
            end(nix::unistd::Pid::from_raw(i32::try_from(old.as_i64().unwrap()).unwrap()));
            wait_until("there is another supervisor", || {
                // The one that was killed may still have taken the connection.
                let answer = home.ask(["--socket", "s.sock", "status", "--json"]).stdout;
                serde_json::from_slice::<Value>(&answer).is_ok_and(|now| now["pid"] != old && now["ready"] == true)
            });
            let said = daemon.said();
            assert_eq!((identity(pid(&a())), &status()["state_dir"]), (before, &place), "{words:?}: {what}: {said}");
            assert!(!said.contains("the ledger is gone"), "{words:?}: {what}: {said}");
        };
        let crash = |supervisor| kill(supervisor, Signal::SIGKILL).unwrap();
        std::fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink("v2", &link).unwrap();
        goes_on("elsewhere", &crash);
        std::fs::remove_file(&link).unwrap();
        goes_on("gone", &crash);
        goes_on("gone, with a new binary", &|_| drop(at(&["upgrade"])));
        // It is followed where that is asked for.
        std::os::unix::fs::symlink("v2", &link).unwrap();
        at(&["apply"]);
        assert_ne!(identity(pid(&a())), before, "{words:?}");
        at(&["down"]);
        let (ended, said) = daemon.end();
        assert_eq!(ended.code(), Some(0), "{words:?}: {said}");
        std::fs::remove_file(&link).unwrap();
    }
}

#[test]
fn files_that_are_wrong_when_both_were_killed_end_nothing_that_runs() {
    let home = Home::new();
    let sleeper = "command: sleep 100000\nauto_start: true\n";
    std::fs::create_dir(home.path("d")).unwrap();
    std::fs::write(home.path("d/other.yaml"), sleeper).unwrap();
    for (config, file) in [("d", "d/a.yaml"), ("a.yaml", "a.yaml")] {
        std::fs::write(home.path(file), sleeper).unwrap();
        let at = |words: &[&str]| home.neap(["--instance", config].iter().chain(words));
        let status = || serde_json::from_str::<Value>(&at(&["status", "--json"])).unwrap();
        let pids = || {
            let all: Vec<Value> = serde_json::from_str(&at(&["list", "--json"])).unwrap();
            all.iter().map(|row| identity(pid(row))).collect::<Vec<_>>()
        };
        let start = || {
            let daemon = home.start(home.command(["daemon", config]));
            daemon.wait_for("neap: ready;");
            daemon
        };
        let daemon = start();
        let before = pids();
        let supervisor = nix::unistd::Pid::from_raw(i32::try_from(status()["pid"].as_i64().unwrap()).unwrap());
        daemon.signal(Signal::SIGSTOP);
        kill(supervisor, Signal::SIGKILL).unwrap();
        daemon.signal(Signal::SIGKILL);
        drop(daemon);
        std::fs::write(home.path(file), "command: sleep 1\nrestart_polcy: always\n").unwrap();
        let daemon = start();
        assert_eq!(pids(), before, "{}", daemon.said());
        let told = status();
        let why = told["degraded"].to_string();
        assert!(why.contains(&format!("{file}:2: ")) && why.contains("what was in force before goes on"), "{told:#}");
        assert!(told["refused"].to_string().contains("restart_polcy"), "{told:#}");
        // Mended, it is in force, and all is well.
        std::fs::write(home.path(file), sleeper).unwrap();
        at(&["apply"]);
        assert_eq!(pids(), before, "{}", daemon.said());
        let told = status();
        assert!(told["degraded"].as_array().is_none_or(Vec::is_empty) && told["refused"].is_null(), "{told:#}");
        daemon.stop();
    }
}

#[test]
fn f1_each_line_is_in_the_files_once_and_in_order_through_rotation_apply_crashes_and_upgrade() {
    const LINES: usize = 1_000_000;
    let home = Home::new();
    let prints = "echo up; i=0; while [ $i -lt 200 ]; do seq $((i*5000+1)) $(((i+1)*5000)); i=$((i+1)); sleep 0.02; done; echo all";
    let config = format!(
        "neap.process 'a' {{ shell = [[{prints}]], restart = 'never', ready = neap.logline 'up', \
         log = {{ max_size = '256KiB', keep = 100 }} }}\n"
    );
    home.config(&config);
    let daemon = home.ready();
    home.neap(["wait", "a"]);
    daemon.crash();
    home.config(&(config + "neap.process 'b' { command = 'true', type = 'oneshot' }"));
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("the configuration is applied");
    daemon.crash();
    home.neap(["upgrade"]);
    daemon.crash();
    home.wait_until("it has printed all", |all| is(&all["a"], "exited"));
    assert_eq!(home.list()["a"]["run_count"], 1);
    let logs = std::path::PathBuf::from(home.status()["state_dir"].as_str().unwrap()).join("log");
    let said = daemon.stop();
    let mut files: Vec<(usize, std::path::PathBuf)> = std::fs::read_dir(&logs)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter_map(|path| {
            let rest = path.file_name()?.to_str()?.strip_prefix("a.log")?.to_owned();
            Some((rest.trim_start_matches('.').parse().unwrap_or(0), path))
        })
        .collect();
    files.sort();
    assert!(files.len() > 10, "it was rotated: {files:?}");
    let text: String = files.iter().rev().map(|(_, path)| std::fs::read_to_string(path).unwrap()).collect();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.first(), lines.last()), (Some(&"up"), Some(&"all")));
    let wrong = lines[1..lines.len() - 1].iter().enumerate().find(|(n, line)| line.parse() != Ok(n + 1));
    assert_eq!((wrong, lines.len()), (None, LINES + 2), "{said}");
}

#[test]
fn up_goes_on_printing_when_its_supervisor_is_killed() {
    let home = Home::new();
    home.config("neap.process 'a' { shell = 'while :; do echo tick; sleep 0.05; done' }");
    let up = home.start(home.command(["up"]));
    up.wait_for("a    | tick");
    // It is served once its first plan is in force, which may be after the first line.
    wait_until("it answers", || home.ask(["status"]).status.success());
    let before = identity(pid(&home.list()["a"]));
    kill(up.supervisor(), Signal::SIGKILL).unwrap();
    up.wait_for("the supervisor was started again; 1 process goes on");
    up.wait_for("a    | tick");
    assert_eq!(identity(pid(&home.list()["a"])), before);
    up.signal(Signal::SIGINT);
    let (status, said) = up.end();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains("a    * stopped"), "{said}");
}

#[test]
fn up_ends_in_order_when_its_anchor_is_killed() {
    let home = Home::new();
    home.config("neap.process 'a' { shell = 'while :; do echo tick; sleep 0.05; done' }");
    let up = home.start(home.command(["up"]));
    up.wait_for("a    | tick");
    up.signal(Signal::SIGKILL);
    let (_, said) = up.end();
    assert!(said.contains("a    * stopped"), "{said}");
}

#[test]
fn up_without_a_place_of_its_own_works_and_says_so() {
    let home = Home::new();
    home.config("neap.process 'a' { shell = 'echo hi', restart = 'never' }");
    let mut command = home.command(["up"]);
    // A file is no folder, for root neither.
    std::fs::write(home.path("state/neap"), "").unwrap();
    command.env("XDG_STATE_HOME", home.path("state"));
    let (status, said) = home.start(command).end();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains("a    | hi") && said.contains("it goes on without a control socket"), "{said}");
    let refused = home.ask(["daemon", "neap.lua"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
}
