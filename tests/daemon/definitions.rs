//! What is made at run time: what it outlives, and what becomes of files that cannot be used.

use std::path::PathBuf;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::{DEADLINE, Home, identity, is, pid};

const BASE: &str = "neap.process 'base' { shell = 'exec sleep 100000' }";

/// The files of definitions, by name.
fn files(home: &Home) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder(home))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn folder(home: &Home) -> PathBuf {
    let instances = std::fs::read_dir(home.path("state/neap")).unwrap();
    instances.map(|entry| entry.unwrap().path().join("definitions")).find(|path| path.is_dir()).unwrap()
}

fn degraded(home: &Home) -> String {
    let status = home.status();
    let all = status["degraded"].as_array().unwrap().iter();
    all.map(|one| one.as_str().unwrap().to_owned()).collect::<Vec<_>>().join("\n")
}

fn spec(home: &Home, name: &str) -> Value {
    let described: Value = serde_json::from_str(&home.neap(["describe", name, "--json"])).unwrap();
    described["spec"].clone()
}

#[test]
fn what_is_made_at_run_time_survives_its_supervisor_with_its_pid() {
    let home = Home::new();
    home.config(BASE);
    let daemon = home.ready();
    home.neap(["create", "web", "--auto-start", "--requires", "base", "--env", "A=1", "--", "sleep", "100000"]);
    home.neap(["create", "short", "--auto-start", "--volatile", "--", "sleep", "100000"]);
    home.neap(["create", "idle", "--", "sleep", "100000"]);
    home.neap(["update", "web", "--restart-delay", "7s"]);
    let before = home.list();
    daemon.crash();
    let after = home.list();
    for name in ["web", "short"] {
        assert_eq!(identity(pid(&after[name])), identity(pid(&before[name])), "{}", daemon.said());
        assert_eq!(after[name]["runtime"], true);
    }
    assert!(is(&after["idle"], "created"));
    assert_eq!(spec(&home, "web")["restart"]["delay"], 7_000);
    assert_eq!(files(&home), ["idle.json", "web.json"]);
    // What the one before wrote is forgotten by the one that goes on.
    home.neap(["delete", "web", "--force"]);
    assert_eq!(files(&home), ["idle.json"]);
    daemon.stop();
}

#[test]
fn what_is_made_at_run_time_is_there_again_with_the_next_instance_and_what_is_volatile_is_not() {
    let home = Home::new();
    home.config(BASE);
    let daemon = home.ready();
    // Each needs one that comes after it by name.
    home.neap(["create", "zoo", "--auto-start", "--env", "A=1", "--", "sleep", "100000"]);
    home.neap(["create", "mid", "--requires", "zoo", "--", "sleep", "100000"]);
    home.neap(["create", "api", "--auto-start", "--requires", "mid,base", "--", "sleep", "100000"]);
    home.neap(["create", "short", "--auto-start", "--volatile", "--", "sleep", "100000"]);
    home.neap(["create", "gone", "--", "sleep", "100000"]);
    home.neap(["delete", "gone"]);
    home.neap(["update", "zoo", "--env", "B=2", "--restart-process"]);
    home.neap(["update", "base", "--description", "overridden"]);
    home.neap(["stop", "zoo"]);
    home.neap(["down"]);
    daemon.end();

    let daemon = home.ready();
    let all = home.wait_until("api runs", |all| is(&all["api"], "running"));
    assert_eq!(all.keys().collect::<Vec<_>>(), ["api", "base", "mid", "zoo"], "{}", daemon.said());
    assert!(is(&all["zoo"], "running"), "a stop by hand does not survive the end of the instance");
    assert_eq!(all["base"]["overridden"], false);
    let env = spec(&home, "zoo")["env"].clone();
    assert_eq!((env["A"].as_str(), env["B"].as_str()), (Some("1"), Some("2")));
    assert_eq!(degraded(&home), "");
    daemon.stop();
    assert_eq!(files(&home), ["api.json", "mid.json", "zoo.json"]);
}

#[test]
fn what_is_made_at_run_time_is_there_again_after_the_machine_went_down() {
    let home = Home::new();
    home.config(BASE);
    let daemon = home.ready();
    home.neap([
        "create",
        "web",
        "--auto-start",
        "--env",
        "TOKEN=s3cret",
        "--secret-env",
        "TOKEN",
        "--",
        "sleep",
        "100000",
    ]);
    assert!(!home.neap(["describe", "web", "--json"]).contains("s3cret"));
    // All of it at once, and nothing of the runtime folder.
    let supervisor = daemon.supervisor();
    let processes: Vec<Pid> = home.list().values().map(pid).collect();
    let all: Vec<Pid> = [daemon.anchor(), supervisor].into_iter().chain(processes).collect();
    all.iter().for_each(|pid| kill(*pid, Signal::SIGKILL).unwrap());
    let began = Instant::now();
    while all.iter().any(|pid| std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|read| !read.is_empty())) {
        assert!(began.elapsed() < DEADLINE, "{all:?} do not die");
        std::thread::yield_now();
    }
    daemon.end();
    std::fs::remove_dir_all(home.path("run/neap")).unwrap();

    let daemon = home.ready();
    let all = home.wait_until("web runs", |all| is(&all["web"], "running"));
    let environ = std::fs::read(format!("/proc/{}/environ", pid(&all["web"]))).unwrap();
    assert!(environ.split(|byte| *byte == 0).any(|variable| variable == b"TOKEN=s3cret"));
    assert!(!home.neap(["describe", "web", "--json"]).contains("s3cret"));
    daemon.stop();
}

#[test]
fn a_definition_that_cannot_be_used_is_named_and_costs_the_others_nothing() {
    let home = Home::new();
    home.config(BASE);
    let daemon = home.ready();
    for name in ["damaged", "newer", "taken", "needy", "well"] {
        home.neap(["create", name, "--auto-start", "--requires", "base", "--", "sleep", "100000"]);
    }
    home.neap(["update", "needy", "--requires", "well"]);
    home.neap(["update", "well", "--unset", "requires"]);
    home.neap(["create", "orphan", "--requires", "base", "--", "sleep", "100000"]);
    home.neap(["down"]);
    daemon.end();
    std::fs::write(folder(&home).join("damaged.json"), "{").unwrap();
    std::fs::write(folder(&home).join("newer.json"), "{\"version\": 99}").unwrap();
    // What `orphan` needs is gone, and `taken` is configured now.
    home.config("neap.process 'taken' { shell = 'exec sleep 100000' }");

    let daemon = home.ready();
    let all = home.wait_until("needy runs", |all| is(&all["needy"], "running"));
    assert_eq!(all.keys().collect::<Vec<_>>(), ["needy", "taken", "well"], "{}", daemon.said());
    assert_eq!(all["taken"]["runtime"], false);
    let why = degraded(&home);
    for text in [
        "damaged.json is damaged",
        "newer.json has format 99",
        "`taken` was made at run time and is in the configuration now",
        "process `orphan`: requires: there is no process \"base\"",
    ] {
        assert!(why.contains(text), "{text}: {why}");
    }
    // Nothing is thrown away: neither now, nor by a supervisor that takes over.
    daemon.crash();
    assert!(degraded(&home).contains("orphan"), "{}", degraded(&home));
    let left = files(&home);
    assert_eq!(left, ["damaged.json.damaged", "needy.json", "newer.json", "orphan.json", "taken.json", "well.json"]);
    daemon.stop();
}

#[test]
fn what_a_script_makes_keeps_its_functions_through_applies_and_is_kept_without_them() {
    let home = Home::new();
    home.config(BASE);
    let daemon = home.ready();
    let hook = "hooks = { after_stop = function() neap.log.info('the hook was called') end }";
    let make = |name: &str, more: &str| format!("neap.process '{name}' {{ shell = 'exec sleep 100000', {more} }}");
    home.neap(["eval", &make("short", &format!("volatile = true, {hook}"))]);
    home.neap(["eval", &make("kept", "env = { A = '1' }")]);
    let refused = home.ask(["eval", &make("neither", hook)]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("volatile"), "{refused:?}");
    for round in 1..=3 {
        home.config(&format!("{BASE}\n-- {round}"));
        home.neap(["apply"]);
    }
    home.neap(["wait", "short", "kept"]);
    home.neap(["stop", "short"]);
    daemon.wait_for("the hook was called");
    home.neap(["delete", "short"]);
    home.neap(["down"]);
    daemon.end();

    let daemon = home.ready();
    let all = home.wait_until("kept runs", |all| is(&all["kept"], "running"));
    assert_eq!(all.keys().collect::<Vec<_>>(), ["base", "kept"], "{}", daemon.said());
    daemon.stop();
}

#[test]
fn an_apply_leaves_alone_what_was_made_at_run_time() {
    let home = Home::new();
    home.config(BASE);
    let daemon = home.ready();
    home.neap(["create", "web", "--auto-start", "--requires", "base", "--", "sleep", "100000"]);
    let before = home.list();
    home.config(&format!("{BASE}\nneap.process 'more' {{ shell = 'exec sleep 100000' }}"));
    home.neap(["apply"]);
    let after = home.list();
    assert_eq!(pid(&after["web"]), pid(&before["web"]));
    assert!(is(&after["more"], "running"));
    // Without what it needs it could not be: refused, and nothing is changed.
    home.config("neap.process 'more' { shell = 'exec sleep 100000' }");
    let refused = home.ask(["apply"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("process `web`: requires"), "{refused:?}");
    // One of that name in the configuration is refused as long as this one is there.
    home.config(&format!("{BASE}\nneap.process 'web' {{ shell = 'exec sleep 100000' }}"));
    let refused = home.ask(["apply"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("made at run time has this name"), "{refused:?}");
    home.neap(["delete", "web", "--force"]);
    home.neap(["apply"]);
    assert_eq!(home.list()["web"]["runtime"], false);
    daemon.stop();
}
