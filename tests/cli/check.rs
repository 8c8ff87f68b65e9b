//! `neap check`, and where a configuration is looked for.

use crate::support::{Folder, Neap};

const GOOD: &str = r#"
local neap = require "neap"
neap.process "web" { command = { "true" } }
neap.process "db" { command = { "true" } }
"#;

const BAD: &str = r#"
local neap = require "neap"
neap.process "web" {
  command = { "true" },
  restart = { delay = "5 parsecs" },
}
neap.process "db" { comand = { "true" } }
"#;

/// An unknown name in `wants` is a warning.
const DUBIOUS: &str = r#"
local neap = require "neap"
neap.process "web" { command = { "true" }, wants = "dv" }
neap.process "db" { command = { "true" } }
"#;

fn check(text: &str, flags: &[&str]) -> crate::support::Ended {
    let folder = Folder::new();
    folder.write("neap.lua", text);
    Neap::new(["check"].iter().chain(flags)).dir(folder.path()).end()
}

#[test]
fn check_accepts_a_good_one() {
    let ended = check(GOOD, &[]).expect_code(0);
    assert_eq!(ended.stdout, "neap.lua: 2 processes, no errors\n");
    assert_eq!(ended.stderr, "");
    assert_eq!(check(GOOD, &["-q"]).expect_code(0).stdout, "");
}

#[test]
fn check_shows_every_error_with_its_line() {
    let ended = check(BAD, &[]).expect_code(1);
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.contains("neap.lua:5: process `web`: restart.delay: "), "{}", ended.stderr);
    assert!(ended.stderr.contains("     5 |   restart = { delay = \"5 parsecs\" },"), "{}", ended.stderr);
    assert!(ended.stderr.contains("neap.lua:7: "), "{}", ended.stderr);
    assert!(ended.stderr.contains("`command`"), "the nearest key is named: {}", ended.stderr);
}

#[test]
fn check_strict_fails_on_warnings() {
    let ended = check(DUBIOUS, &[]).expect_code(0);
    assert!(ended.stderr.contains("neap.lua:3: warning: "), "{}", ended.stderr);
    let ended = check(DUBIOUS, &["--strict"]).expect_code(1);
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.contains("neap.lua:3: warning: "), "{}", ended.stderr);
}

#[test]
fn check_answers_as_json() {
    let ended = check(GOOD, &["--json"]).expect_code(0);
    let answer: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(answer["processes"], serde_json::json!(["db", "web"]));
    let ended = check(BAD, &["--json"]).expect_code(1);
    assert_eq!(ended.stdout, "");
    let refused: serde_json::Value = serde_json::from_str(&ended.stderr).unwrap();
    assert_eq!((&refused["code"], &refused["file"], &refused["line"]), (&1.into(), &"neap.lua".into(), &5.into()));
    assert_eq!(refused["field"], "restart.delay");
    assert!(refused["problems"].as_array().unwrap().len() >= 2, "{refused}");
}

#[test]
fn a_syntax_error_is_shown_with_its_line() {
    let ended = check("local neap = require \"neap\"\nneap.process(\n", &[]).expect_code(1);
    assert!(ended.stderr.contains("neap.lua:"), "{}", ended.stderr);
}

#[test]
fn a_script_that_loops_for_ever_is_refused() {
    let ended = check("while true do end\n", &[]).expect_code(1);
    assert!(ended.stderr.contains("neap.lua:1"), "{}", ended.stderr);
}

#[test]
fn without_a_configuration_both_places_are_named() {
    let folder = Folder::new();
    let ended = Neap::new(["check"]).dir(folder.path()).end().expect_code(1);
    assert!(ended.stderr.contains("./neap.lua") && ended.stderr.contains("config/neap/neap.lua"), "{}", ended.stderr);
}

#[test]
fn the_users_configuration_stands_in() {
    let folder = Folder::new();
    let ended = Neap::new(["check"]).dir(folder.path()).users_config(GOOD).end().expect_code(0);
    assert!(ended.stdout.contains("config/neap/neap.lua: 2 processes"), "{}", ended.stdout);
}

#[test]
fn a_file_or_a_folder_may_be_named() {
    let folder = Folder::new();
    let file = folder.write("conf/a.lua", "require(\"neap\").process \"a\" { command = { \"true\" } }\n");
    folder.write("conf/b.lua", "require(\"neap\").process \"b\" { command = { \"true\" } }\n");
    let ended = Neap::new(["check", file.to_str().unwrap()]).end().expect_code(0);
    assert!(ended.stdout.contains("1 process,"), "{}", ended.stdout);
    let ended = Neap::new(["check", folder.path().join("conf").to_str().unwrap()]).end().expect_code(0);
    assert!(ended.stdout.contains("2 processes,"), "{}", ended.stdout);
    let _ = Neap::new(["check", "/no/such/file.lua"]).end().expect_code(1);
}

#[test]
fn check_takes_the_yaml_of_the_folder_as_it_takes_its_lua_and_names_both_where_there_are_two() {
    let folder = Folder::new();
    folder.write("neap.yaml", "processes: { web: { command: 'true' } }");
    let check = || Neap::new(["check"]).dir(folder.path());
    assert_eq!(check().end().expect_code(0).stdout, "neap.yaml: 1 process, no errors\n");
    folder.write("neap.lua", GOOD);
    let ended = check().end().expect_code(1);
    assert!(ended.stderr.contains("both `neap.lua` and `neap.yaml` are there"), "{}", ended.stderr);
    let named = Neap::new(["check", "neap.yaml"]).dir(folder.path()).end().expect_code(0);
    assert_eq!(named.stdout, "neap.yaml: 1 process, no errors\n");
}
