//! What the commands that look at a running instance print, and what they exit with when there is nothing to show.

use serde_json::Value;

use crate::instance::{Instance, first_words, pid};
use crate::support::Neap;

const SHOP: &str = r#"
local neap = require "neap"
local db = neap.process "db" {
  shell = "echo listening; exec sleep 1000",
  ready = neap.logline "^listening",
  description = "keeps what is sold",
}
neap.process "api" { command = { "sleep", "1000" }, requires = db, restart = { policy = "always", delay = "500ms" } }
neap.process "bad" { shell = "echo out of luck >&2; exit 3", restart = "never" }
neap.process "spare" { command = { "sleep", "1000" }, auto_start = false }
"#;

/// The shop, with nothing on its way any more.
fn shop() -> Instance {
    let instance = Instance::start(SHOP);
    instance.ok(&["wait", "db", "api"]);
    instance.ok(&["wait", "bad", "--state", "failed"]);
    instance
}

#[test]
fn list_has_a_line_or_an_object_for_each_process() {
    let shop = shop();
    let text = shop.ok(&["list"]);
    assert_eq!(first_words(&text), ["NAME", "api", "bad", "db", "spare"]);
    assert_eq!(shop.ok(&["ps", "spare", "--color", "never"]).lines().count(), 2);
    let bad = text.lines().find(|line| line.starts_with("bad")).unwrap();
    assert!(bad.contains("failed") && bad.ends_with("exit code 3"), "{bad}");

    let all = shop.json(&["list", "--json"]);
    let db = &all[2];
    assert_eq!((&db["name"], &db["state"], &db["reason"]), (&"db".into(), &"running".into(), &Value::Null));
    assert_eq!((&db["run_count"], &db["exit_code"], &db["signal"]), (&1.into(), &Value::Null, &Value::Null));
    assert_eq!(db["id"].as_str().unwrap().len(), 36);
    assert!(std::path::Path::new(&format!("/proc/{}", pid(db))).exists());
    let since = db["since"].as_str().unwrap();
    assert!(since.starts_with("20") && since.ends_with('Z'), "{since}");
    assert_eq!(all[1]["exit_code"], 3);

    assert_eq!(first_words(&shop.ok(&["list", "--state", "failed,created"])), ["NAME", "bad", "spare"]);
    assert_eq!(first_words(&shop.ok(&["list", "?p*", "db"])), ["NAME", "api", "db", "spare"]);
    assert_eq!(shop.json(&["list", "--state", "crashed", "--json"]), Value::Array(vec![]));
}

#[test]
fn status_shows_the_instance_and_one_process_with_its_last_lines() {
    let shop = shop();
    let text = shop.ok(&["status"]);
    for expected in ["neap ", ": ready, up ", "neap.lua, generation 1", "anchor ", "4: 2 running, 1 failed, 1 created"]
    {
        assert!(text.contains(expected), "{expected} in\n{text}");
    }
    assert!(text.contains("\nfailed\n  bad "), "{text}");
    let status = shop.json(&["status", "--json"]);
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&status["ready"], &status["generation"]), (&true.into(), &1.into()));
    assert_eq!((&status["total_processes"], &status["running_processes"]), (&4.into(), &2.into()));
    assert_eq!(status["failed_processes"], 1);
    assert_ne!(pid(&status).as_raw(), i32::try_from(status["anchor_pid"].as_i64().unwrap()).unwrap());

    let text = shop.ok(&["status", "bad"]);
    for expected in ["bad: failed for ", "reason    exit code 3", "last line\n  out of luck"] {
        assert!(text.contains(expected), "{expected} in\n{text}");
    }
    let bad = shop.json(&["status", "bad", "--json"]);
    assert_eq!((&bad["state"], &bad["lines"]), (&"failed".into(), &vec!["out of luck"].into()));
}

#[test]
fn describe_shows_the_configuration_too() {
    let shop = shop();
    let text = shop.ok(&["describe", "api"]);
    for expected in ["api\n", "  state  ", "command: [\"sleep\", \"1000\"]", "requires: [\"db\"]", "delay: 500ms"] {
        assert!(text.contains(expected), "{expected} in\n{text}");
    }
    assert!(shop.ok(&["describe", "db"]).contains("  required by "), "db is required by api");
    let db = shop.json(&["describe", "db", "--json"]);
    assert_eq!(db["process"]["name"], "db");
    assert_eq!(db["spec"]["description"], "keeps what is sold");
    assert_eq!(db["required_by"], Value::from(vec!["api"]));
    assert_eq!(shop.json(&["describe", "*", "--json"]).as_array().unwrap().len(), 4);
}

#[test]
fn what_is_wrong_has_its_exit_code_and_its_object() {
    let shop = shop();
    for args in [["list", "apii"], ["status", "apii"], ["describe", "apii"], ["start", "apii"], ["logs", "apii"]] {
        let ended = shop.fails(3, &args);
        assert_eq!(ended.stderr, "neap: there is no process `apii`; did you mean `api`?\n", "{args:?}");
        let object = shop.refusal(3, &[args[0], args[1], "--json"]);
        assert_eq!(object["message"], "there is no process `apii`; did you mean `api`?");
    }
    // One that does not run can be told nothing.
    shop.refusal(4, &["signal", "spare", "HUP", "--json"]);
    assert!(shop.fails(4, &["reload", "spare"]).stderr.contains("spare"));
    // A start that fails is a failure, not a refusal.
    assert!(shop.fails(1, &["wait", "bad"]).stderr.contains("exit code 3"));
    shop.refusal(7, &["wait", "spare", "--timeout", "10ms", "--json"]);
    // Wrong usage.
    assert!(shop.refusal(2, &["stop", "--json"])["message"].as_str().unwrap().contains("<NAME>"));
    shop.refusal(2, &["list", "--state", "asleep", "--json"]);
}

#[test]
fn an_instance_that_nobody_runs_cannot_be_reached() {
    let folder = crate::support::Folder::new();
    let config = folder.write("neap.lua", "");
    let deeper = folder.path().join("deep/down");
    std::fs::create_dir_all(&deeper).unwrap();
    let ended = Neap::new(["list"]).dir(&deeper).end().expect_code(5);
    let config = config.canonicalize().unwrap();
    for expected in ["cannot reach the instance of ", config.to_str().unwrap(), "neap.sock", "`neap up`"] {
        assert!(ended.stderr.contains(expected), "{expected} in {}", ended.stderr);
    }
    let socket = folder.path().join("nobody.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let ended = Neap::new(["status", "--json", "--socket", socket.to_str().unwrap()]).end().expect_code(5);
    let object: Value = serde_json::from_str(&ended.stderr).unwrap();
    assert_eq!((object["code"].as_i64(), ended.stdout.as_str()), (Some(5), ""));
    assert!(object["message"].as_str().unwrap().contains("nobody.sock"), "{object}");
}

#[test]
fn a_supervisor_that_does_not_answer_is_not_waited_for_without_end() {
    let shop = shop();
    let supervisor = shop.supervisor();
    nix::sys::signal::kill(supervisor, nix::sys::signal::Signal::SIGSTOP).unwrap();
    let ended = shop.neap(&["list"]).end();
    nix::sys::signal::kill(supervisor, nix::sys::signal::Signal::SIGCONT).unwrap();
    assert!(ended.expect_code(5).stderr.contains("has not answered for 10 s"));
}

#[test]
fn the_nearest_configuration_upwards_says_which_instance_is_meant() {
    let shop = shop();
    shop.folder.write("deep/down/file", "");
    let below = shop.neap(&["list", "db"]).dir(&shop.path().join("deep/down")).end().expect_code(0);
    assert_eq!(first_words(&below.stdout), ["NAME", "db"]);
    let elsewhere = shop.neap(&["list", "db", "--instance", shop.path().to_str().unwrap()]).dir("/".as_ref());
    assert_eq!(first_words(&elsewhere.end().expect_code(0).stdout), ["NAME", "db"]);
    // Another instance's configuration is nearer: that one is down, and no other is taken for it.
    shop.folder.write("deep/neap.lua", "");
    let other = shop.neap(&["list", "db"]).dir(&shop.path().join("deep/down")).end().expect_code(5);
    assert!(other.stderr.contains("deep/neap.lua"), "{other:?}");
}

#[test]
fn somebody_elses_instance_is_not_for_everybody() {
    let name = "somebody_elses_instance_is_not_for_everybody";
    let neap = env!("CARGO_BIN_EXE_neap");
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: {name}: it needs root, to be somebody else");
        return;
    }
    let shop = shop();
    let socket = shop.json(&["status", "--json"])["socket"].as_str().unwrap().to_owned();
    let mut command = std::process::Command::new(neap);
    std::os::unix::process::CommandExt::uid(&mut command, 65_534);
    let Ok(output) = command.args(["list", "--json", "--socket", &socket]).current_dir("/").output() else {
        println!("skipped: {name}: nobody may execute {neap}");
        return;
    };
    let object: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!((output.status.code(), &object["code"]), (Some(6), &6.into()), "{object}");
}

#[test]
fn a_thousand_processes_are_a_thousand_lines() {
    let many = Instance::start(
        r#"
        local neap = require "neap"
        for i = 1, 1000 do neap.process("p" .. i) { command = { "sleep", "1000" }, auto_start = false } end
        "#,
    );
    assert_eq!(many.ok(&["list"]).lines().count(), 1_001);
    assert_eq!(many.ok(&["list", "p99*"]).lines().count(), 12);
    assert_eq!(many.json(&["list", "--state", "created", "--json"]).as_array().unwrap().len(), 1_000);
}
