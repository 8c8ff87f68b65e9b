//! What processes use, whether they are well, and commands beside them.

use std::io::{BufRead, BufReader};

use nix::unistd::geteuid;
use serde_json::Value;

use crate::instance::{Instance, pid};
use crate::support::DEADLINE;

const SHOP: &str = r#"
local neap = require "neap"
neap.process "busy" { shell = "while :; do :; done", nice = 10 }
neap.process "web" {
  shell = "sleep 1000 & exec sleep 1000",
  env = { PORT = "8080" },
  env_file = "web.env",
  working_dir = "www",
  umask = "0077",
}
neap.process "check" {
  command = { "sleep", "1000" },
  health = neap.exec { command = { "test", "-e", neap.path "well" }, interval = "100ms", retries = 1 },
}
neap.process "spare" { command = { "sleep", "1000" }, auto_start = false }
"#;

fn shop() -> Instance {
    let instance = Instance::start_with(SHOP, |folder| {
        folder.write("web.env", "FROM_FILE=yes\nPATH_TO='a b'\n");
        folder.write("www/index.html", "hello");
    });
    instance.ok(&["wait", "busy", "web", "check"]);
    instance
}

#[test]
fn stats_tell_what_a_whole_tree_uses_and_how_fast() {
    let shop = shop();
    let all = shop.json(&["stats", "--json", "--interval", "1s"]);
    let of = |name: &str| all.as_array().unwrap().iter().find(|usage| usage["name"] == name).unwrap().clone();
    let (busy, web, spare) = (of("busy"), of("web"), of("spare"));
    // Something of a core; how much, the machine decides.
    assert!(busy["cpu"].as_f64().is_some_and(|cores| cores > 0.01), "{busy}");
    assert!(busy["cpu_usage_usec"].as_u64().is_some_and(|micros| micros > 0), "{busy}");
    assert_eq!(web["pids"], 2, "{web}");
    assert!(web["memory"].as_u64().is_some_and(|bytes| bytes > 10_000), "{web}");
    assert!(["cgroup", "proc"].contains(&web["source"].as_str().unwrap()), "{web}");
    assert_eq!((&spare["memory"], &spare["cpu"], &spare["pid"]), (&Value::Null, &Value::Null, &Value::Null));
    let text = shop.ok(&["stats", "web", "spare", "--interval", "0"]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("NAME") && lines.len() == 3, "{text}");
    assert!(lines[2].starts_with("web") || lines[1].starts_with("web"), "{text}");
    shop.fails(3, &["stats", "nobody"]);
    shop.fails(1, &["stats", "--interval", "5m"]);
}

#[test]
fn stats_go_on_until_nobody_reads_them() {
    let shop = shop();
    let mut child = shop.child(&["stats", "-f", "--json", "--interval", "50ms", "busy"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    let (first, second, third) = (next(), next(), next());
    for (before, after) in [(&first, &second), (&second, &third)] {
        assert!(before["time"].as_str() < after["time"].as_str(), "{before} {after}");
        assert!(before["cpu_usage_usec"].as_u64() <= after["cpu_usage_usec"].as_u64(), "{before} {after}");
        assert!(after["cpu"].is_f64() && after["name"] == "busy", "{after}");
    }
    drop(lines);
    assert!(child.wait().unwrap().success());
    let mut child = shop.child(&["stats", "-f", "--interval", "50ms", "busy", "web"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().starts_with("TIME "));
    assert!(lines.next().unwrap().contains("  busy  running  "));
    assert!(lines.next().unwrap().contains("  web   running  "));
    let refused = shop.fails(1, &["stats", "-f", "--interval", "0"]);
    assert!(refused.stderr.contains("--interval"), "{refused:?}");
    // With the instance it ends, too.
    shop.ok(&["down", "-q"]);
    lines.for_each(drop);
    assert!(child.wait().unwrap().success());
    shop.end().expect_code(0);
}

#[test]
fn health_is_an_exit_code_and_says_what_is_wrong() {
    let shop = shop();
    let wait = shop.child(&["health", "check", "--wait"]);
    shop.fails(7, &["health", "check", "--wait", "--timeout", "50ms"]);
    assert_eq!(shop.ok(&["health", "web"]), "web is well\n");
    let spare = shop.fails(1, &["health", "web", "spare"]);
    assert_eq!(spare.stdout, "spare is created\n");
    shop.fails(3, &["health", "nobody"]);
    shop.folder.write("well", "");
    let waited = wait.wait_with_output().unwrap();
    assert!(waited.status.success(), "{waited:?}");
    assert_eq!(shop.ok(&["health", "check"]), "check is well\n");
    assert_eq!(shop.ok(&["health"]), "the instance is well\n");
    assert_eq!(shop.json(&["health", "--json"]), serde_json::json!({ "healthy": true, "problems": [] }));
    std::fs::remove_file(shop.folder.path().join("well")).unwrap();
    let began = std::time::Instant::now();
    let sick = loop {
        let ended = shop.neap(&["health", "--json"]).end();
        if ended.status.code() == Some(1) {
            break ended;
        }
        assert!(began.elapsed() < DEADLINE, "never unhealthy: {ended:?}");
    };
    let sick: Value = serde_json::from_str(&sick.stdout).unwrap();
    assert_eq!((&sick["healthy"], &sick["problems"][0]["process"]), (&false.into(), &"check".into()));
}

#[test]
fn a_command_beside_a_process_has_its_environment_folder_and_umask() {
    let shop = shop();
    let www = shop.folder.path().join("www").canonicalize().unwrap();
    let script = "echo $PORT $FROM_FILE \"$PATH_TO\" $NOTIFY_SOCKET; pwd; umask";
    let told = shop.ok(&["exec", "web", "--", "sh", "-c", script]);
    assert_eq!(told, format!("8080 yes a b\n{}\n0077\n", www.display()));
    // Its code is the command's.
    shop.fails(42, &["exec", "web", "--", "sh", "-c", "exit 42"]);
    let missing = shop.fails(127, &["exec", "web", "--", "no-such-program"]);
    assert!(missing.stderr.contains("no such program"), "{missing:?}");
    shop.fails(126, &["exec", "web", "--", "/etc/passwd"]);
    shop.fails(3, &["exec", "nobody", "--", "true"]);
    // One that does not run has an environment, too.
    assert_eq!(shop.ok(&["exec", "spare", "--", "printf", "%s", "--quiet"]), "--quiet\n");
    // It is no part of the process: a restart does not notice.
    let before = pid(&shop.json(&["status", "web", "--json"]));
    shop.ok(&["exec", "web", "--", "true"]);
    assert_eq!(pid(&shop.json(&["status", "web", "--json"])), before);
}

#[test]
fn a_command_beside_a_process_is_its_user() {
    if !geteuid().is_root() {
        eprintln!("skipped: a_command_beside_a_process_is_its_user: only root may become another user");
        return;
    }
    let instance = Instance::start(
        r#"require("neap").process "web" { command = { "sleep", "1000" }, user = "nobody", working_dir = "/" }"#,
    );
    instance.ok(&["wait", "web"]);
    let told = instance.ok(&["exec", "web", "--", "sh", "-c", "id -u; id -G; echo $USER"]);
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines[0], nobody.uid.to_string());
    assert_eq!(lines[1], nobody.gid.to_string());
    assert_eq!(lines[2], "nobody");
}

#[test]
fn groups_of_the_configuration_are_shown_filtered_by_and_counted() {
    let instance = Instance::start(
        r#"
local neap = require "neap"
local function idle(name) return neap.process(name) { command = { "sleep", "1000" } } end
local web = { idle "web-1", idle "web-2" }
idle "db"
neap.group "front" (web)
neap.group "all" { "web-1", "db" }
"#,
    );
    instance.ok(&["wait", "*"]);
    let text = instance.ok(&["list"]);
    assert!(text.lines().any(|line| line.starts_with("web-1  all,front  running")), "{text}");
    let names = |args: &[&str]| {
        let all = instance.json(args);
        all.as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&["list", "--group", "front", "--json"]), ["web-1", "web-2"]);
    assert_eq!(names(&["list", "--group", "fr*,all", "--health", "unknown", "--json"]), ["db", "web-1", "web-2"]);
    assert!(names(&["list", "--health", "healthy", "--json"]).is_empty());
    let brief = instance.ok(&["list", "--brief"]);
    assert!(brief.contains("group front  1      1 running"), "{brief}");
}
