//! `neap plan` and `neap apply`: one diff, shown before it is done, done as a whole or not at all.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use crate::instance::{Instance, pid};
use crate::terminal::Terminal;

const BEFORE: &str = r#"local neap = require "neap"
local db = neap.process "db" { command = { "sleep", "1000" } }
neap.process "api" {
  command = { "sleep", "1000" }, requires = db, env = { PORT = "80", MODE = "old" }, restart = { delay = "1s" },
}
neap.process "old" { command = { "sleep", "1000" } }
neap.process "proxy" {
  command = { "sleep", "1000" }, reload = { signal = "URG", on_change = neap.read "proxy.conf" },
}
neap.process "spare" { command = { "sleep", "1000" }, auto_start = false }
neap.process "worker" { command = { "sleep", "1000" } }
"#;

const AFTER: &str = r#"local neap = require "neap"
local db = neap.process "db" { command = { "sleep", "1000" }, umask = "0077" }
neap.process "api" {
  command = { "sleep", "1000" }, requires = db, env = { PORT = "81", KEY = neap.secret { file = "key" } },
  restart = { delay = "2s" }, health = neap.tcp { port = 80, interval = "30s" },
  hooks = { after_stop = function() end },
}
neap.process "new" { command = "sleep 1000", description = "a \"new\" one" }
neap.process "proxy" {
  command = { "sleep", "1000" }, reload = { signal = "URG", on_change = neap.read "proxy.conf" },
}
neap.process "spare" { command = { "sleep", "1001" }, auto_start = false }
neap.process "worker" { command = { "sleep", "1000" } }
"#;

const GOLDEN: &str = r#"~ api: will be restarted (running, neap.lua:3)
    - env.MODE = "old"  (needs a restart)
    ~ env.PORT = "80" -> "81"  (needs a restart)
    + env.KEY = ***  (needs a restart)
    + health = neap.tcp { port = 80, interval = "30s" }  (live)
    ~ restart.delay = "1s" -> "2s"  (live)
    + hooks.after_stop = <function>  (live)
~ db: will be restarted (running, neap.lua:2)
    ~ umask = "0022" -> "0077"  (needs a restart)
+ new: will be added (neap.lua:8)
    + description = "a \"new\" one"
    + command = { "sleep", "1000" }
- old: will be removed (running, neap.lua:6)
~ proxy: will be updated in place (running, neap.lua:9)
    ~ reload.on_change = "mode = 1" -> "mode = 2"  (by reload)
~ spare: will be updated in place (created, neap.lua:12)
    ~ command = { "sleep", "1000" } -> { "sleep", "1001" }
6 changes: 1 to add, 1 to remove, 2 to restart, 2 to update in place; 1 unchanged
"#;

fn pids(instance: &Instance) -> BTreeMap<String, Value> {
    let all = instance.json(&["list", "--json"]);
    let all = all.as_array().unwrap().iter();
    all.map(|row| (row["name"].as_str().unwrap().to_owned(), row["pid"].clone())).collect()
}

fn changed() -> Instance {
    let instance = Instance::start_with(BEFORE, |folder| {
        folder.write("proxy.conf", "mode = 1");
        folder.write("key", "hunter2");
    });
    instance.ok(&["wait", "db", "api", "old", "proxy", "worker"]);
    instance.folder.write("neap.lua", AFTER);
    instance.folder.write("proxy.conf", "mode = 2");
    instance
}

#[test]
fn a_plan_reads_like_a_version_control_diff_and_changes_nothing() {
    let instance = changed();
    let before = pids(&instance);
    assert_eq!(instance.ok(&["plan"]), GOLDEN);
    assert_eq!(instance.ok(&["apply", "--dry-run"]), GOLDEN);
    assert_eq!(pids(&instance), before);
    let whole = instance.ok(&["plan", "-v"]);
    assert!(whole.contains("  worker: unchanged (running, neap.lua:13)\n"), "{whole}");
    assert!(whole.contains("    - command = { \"sleep\", \"1000\" }\n"), "{whole}");
    let coloured = instance.ok(&["plan", "--color", "always"]);
    assert!(coloured.contains("\x1b[32m+ new\x1b[0m") && coloured.contains("\x1b[31m- old\x1b[0m"), "{coloured}");

    assert_eq!(instance.fails(1, &["plan", "--exit-code", "-q"]).stdout, "");
    let json = instance.json(&["plan", "--json"]);
    let actions: Vec<&str> =
        json["changes"].as_array().unwrap().iter().map(|c| c["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["restarted", "restarted", "added", "removed", "updated", "updated", "unchanged"]);
    let port = &json["changes"][0]["fields"][1];
    assert_eq!((&port["path"], &port["effect"]), (&"env.PORT".into(), &"restart".into()));
    assert_eq!((&port["before"], &port["after"]), (&"\"80\"".into(), &"\"81\"".into()));
    assert!(!json.to_string().contains("hunter2"));
}

#[test]
fn an_apply_shows_the_same_diff_waits_for_what_it_set_in_motion_and_leaves_nothing_to_do() {
    let instance = changed();
    let before = pids(&instance);
    // A plan uses up no generation.
    instance.ok(&["plan"]);
    let said = instance.ok(&["apply"]);
    let done = GOLDEN.replace(": will be ", ": ");
    let (diff, _) = done.trim_end().rsplit_once('\n').unwrap();
    let counts = "6 changes: 1 added, 1 removed, 2 restarted, 2 updated in place; 1 unchanged";
    let rest = said.strip_prefix(diff).unwrap_or_else(|| panic!("{said}"));
    let lines: Vec<&str> = rest.trim_start().lines().collect();
    assert_eq!(lines[0], format!("generation 2: {counts}"), "{said}");
    let (api, db, new) = (instance.process("api"), instance.process("db"), instance.process("new"));
    for (line, row) in lines[1..4].iter().zip([&api, &db, &new]) {
        let start = format!("{}: running (pid {}), ready after ", row["name"].as_str().unwrap(), pid(row));
        assert!(line.starts_with(&start), "{said}");
    }
    assert!(lines[4].starts_with("old: gone after "), "{said}");
    let after = pids(&instance);
    assert_eq!(after.get("old"), None);
    for name in ["proxy", "worker"] {
        assert_eq!(after[name], before[name], "{name}");
    }
    let reloads = instance.ok(&["events", "proxy"]);
    assert_eq!(reloads.matches("reads its configuration again").count(), 1, "{reloads}");
    assert_eq!(instance.ok(&["plan", "--exit-code"]), "no changes; 6 unchanged\n");
}

#[test]
fn an_apply_fails_when_what_it_starts_ends_badly_and_need_not_wait_for_it() {
    let instance = Instance::start("local neap = require 'neap'\n");
    let bad = "local neap = require 'neap'\nneap.process 'bad' { shell = 'exit 3', restart = 'never', ready = neap.tcp(1) }\n";
    instance.folder.write("neap.lua", bad);
    let ended = instance.fails(1, &["apply"]);
    assert!(
        ended.stderr.contains("`bad` was started, and is failed: ") && ended.stderr.contains("exit code 3"),
        "{ended:?}"
    );
    assert!(ended.stdout.contains("1 change: 1 added; 0 unchanged"), "{ended:?}");
    instance.folder.write("neap.lua", &bad.replace("exit 3", "exit 4").replace("'bad'", "'worse'"));
    let object = instance.refusal(1, &["apply", "--json"]);
    assert_eq!((&object["outcomes"][1]["name"], &object["applied"]["added"][0]), (&"worse".into(), &"worse".into()));
    instance.folder.write("neap.lua", bad);
    instance.ok(&["apply", "--no-wait"]);
}

#[test]
fn a_configuration_with_one_bad_process_changes_nothing_and_the_place_is_named() {
    let instance = changed();
    let before = pids(&instance);
    instance.folder.write("neap.lua", &AFTER.replace("umask = \"0077\"", "umask = 77"));
    for command in ["plan", "apply"] {
        let ended = instance.fails(1, &[command]);
        assert!(ended.stderr.contains("neap.lua:2: process `db`: umask: "), "{ended:?}");
        let object = instance.refusal(1, &[command, "--json"]);
        assert_eq!((&object["line"], &object["field"], &object["process"]), (&2.into(), &"umask".into(), &"db".into()));
    }
    assert_eq!(pids(&instance), before);
    let names: Vec<String> = pids(&instance).into_keys().collect();
    assert_eq!(names, ["api", "db", "old", "proxy", "spare", "worker"]);
}

#[test]
fn of_a_hundred_processes_an_apply_restarts_the_one_that_changed() {
    let mut text = "local neap = require 'neap'\n".to_owned();
    for index in 0..100 {
        let _ = writeln!(text, "neap.process 'p{index:03}' {{ command = {{ 'sleep', '1000' }} }}");
    }
    let instance = Instance::start(&text);
    instance.ok(&["wait", "p*"]);
    let before = pids(&instance);
    assert_eq!(before.len(), 100);
    instance.folder.write(
        "neap.lua",
        &text.replace("'p042' { command = { 'sleep', '1000' }", "'p042' { command = { 'sleep', '1001' }"),
    );
    let expected = "~ p042: will be restarted (running, neap.lua:44)\n    \
        ~ command = { \"sleep\", \"1000\" } -> { \"sleep\", \"1001\" }  (needs a restart)\n\
        1 change: 1 to restart; 99 unchanged\n";
    assert_eq!(instance.ok(&["plan"]), expected);
    let said = instance.ok(&["apply"]);
    assert_eq!(said.lines().count(), 4, "{said}");
    let after = pids(&instance);
    let moved: Vec<&String> = before.iter().filter(|(name, pid)| after[*name] != **pid).map(|(name, _)| name).collect();
    assert_eq!(moved, ["p042"]);
    assert!(after["p042"].is_number());
}

#[test]
fn an_override_is_marked_and_an_apply_takes_it_back() {
    let instance = Instance::start(BEFORE_OVERRIDE);
    instance.ok(&["wait", "web"]);
    let before = pids(&instance);
    instance.ok(&["update", "web", "--restart-delay", "5s"]);
    assert!(instance.ok(&["list"]).contains("overridden"));
    let expected = "~ web: will be updated in place (running, overridden, neap.lua:2)\n    \
        ~ restart.delay = \"5s\" -> \"1s\"  (live, was overridden)\n1 change: 1 to update in place; 0 unchanged\n";
    assert_eq!(instance.ok(&["plan"]), expected);
    instance.ok(&["apply"]);
    assert!(!instance.ok(&["list"]).contains("overridden"));
    assert_eq!(instance.json(&["describe", "web", "--json"])["spec"]["restart"]["delay"], 1000);
    assert_eq!(pids(&instance), before);
}

const BEFORE_OVERRIDE: &str = "local neap = require 'neap'\nneap.process 'web' { command = { 'sleep', '1000' } }\n";

#[test]
fn on_a_terminal_the_diff_is_shown_before_it_is_done() {
    let instance = Instance::start(BEFORE_OVERRIDE);
    let slow = "local neap = require 'neap'\nneap.process 'web' { command = { 'sleep', '1000' } }\n\
        neap.process 'slow' { shell = 'while ! [ -e go ]; do sleep 0.05; done; echo up; exec sleep 1000', ready = neap.logline 'up' }\n";
    instance.folder.write("neap.lua", slow);
    let Some(mut terminal) = Terminal::start(instance.command(&["apply"])) else { return };
    let shown = terminal.until("generation ");
    assert!(shown.contains("+ slow: will be added") && shown.contains("+ command = "), "{shown}");
    terminal.until("waiting for what has changed");
    std::fs::write(instance.path().join("go"), "").unwrap();
    terminal.until("slow: running (pid ");
    let (status, _) = terminal.end();
    assert!(status.success());
}
