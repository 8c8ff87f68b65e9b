//! `neap create`, `update` and `delete`: a process that no configuration has, from its making to its end.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};

use crate::instance::{Instance, pid};
use crate::support::DEADLINE;

const ONE: &str = r#"
local neap = require "neap"
neap.process "base" { command = { "sleep", "1000" } }
"#;

#[test]
fn a_process_is_made_changed_and_forgotten_and_each_says_what_happened() {
    let one = Instance::start(ONE);
    let said = one.ok(&["create", "web", "--auto-start", "--requires", "base", "--", "sleep", "1000"]);
    let web = pid(&one.process("web"));
    assert!(said.starts_with(&format!("web: created, running (pid {web})")), "{said}");
    assert!(one.ok(&["list"]).contains("made at run time"));
    assert_eq!(one.ok(&["create", "idle", "--", "sleep", "1000"]), "idle: created; `neap start idle` starts it\n");
    assert_eq!(one.ok(&["create", "x", "--dry-run", "--", "true"]), "x: would be created\n");
    assert!(
        one.ok(&["create", "y", "--auto-start", "--no-wait", "--", "sleep", "1"]).contains("created, and starting")
    );
    let created = one.json(&["create", "json", "--json", "--", "true"]);
    assert_eq!(created["process"]["name"], "json");

    let ended = one.fails(4, &["create", "web", "--", "true"]);
    assert!(ended.stderr.contains("there is a `web` already, made at run time, running"), "{ended:?}");
    let ended = one.fails(4, &["create", "base", "--", "true"]);
    assert!(ended.stderr.contains("there is a `base` already, of the configuration, running"), "{ended:?}");
    let ended = one.fails(1, &["create", "bad", "--auto-start", "--", "/no/such/program"]);
    assert!(ended.stderr.contains("/no/such/program"), "{ended:?}");
    let ended = one.fails(2, &["create", "bad2"]);
    assert!(ended.stderr.contains("what is to be run?"), "{ended:?}");

    let ended = one.fails(4, &["delete", "base"]);
    assert!(ended.stderr.contains("part of the configuration"), "{ended:?}");
    let ended = one.fails(4, &["delete", "web"]);
    assert!(ended.stderr.contains("stop it first, or use"), "{ended:?}");
    assert_eq!(one.ok(&["delete", "web", "--force"]), "web: deleted\n");
    one.fails(3, &["delete", "web"]);
    one.ok(&["delete", "idle", "bad", "json"]);
    one.ok(&["delete", "y", "--force"]);
    assert_eq!(one.json(&["list", "--json"]).as_array().unwrap().len(), 1);
}

#[test]
fn what_is_wrong_is_told_with_the_flag_that_was_typed() {
    let one = Instance::start(ONE);
    for (args, expected) in [
        (&["--restart-delay", "soon"][..], "--restart-delay: expected a duration"),
        (&["--restart-sec", "soon"], "--restart-sec: expected a duration"),
        (&["--requires", "base,bas"], "--requires: there is no process \"bas\"; did you mean `base`?"),
        (&["--health-port", "99999"], "--health-port: expected a whole number from 1 to 65535"),
        (&["--user", "no such user"], "--user: "),
    ] {
        let args = [&["create", "web"], args, &["--", "sleep", "1"]].concat();
        let ended = one.fails(1, &args);
        assert!(ended.stderr.contains(expected), "{args:?}: {ended:?}");
    }
    let ended = one.fails(2, &["create", "web", "--restart-dely", "1s", "--", "true"]);
    assert!(ended.stderr.contains("'--restart-delay'"), "{ended:?}");
    let object = one.refusal(1, &["create", "web", "--json", "--stop-timeout", "-", "--", "sleep", "1"]);
    assert_eq!(object["field"], "stop.timeout");
    assert!(object["message"].as_str().unwrap().starts_with("--stop-timeout: "), "{object}");
    let ended = one.fails(3, &["update", "none", "--description", "x"]);
    assert!(ended.stderr.contains("none"), "{ended:?}");
    one.fails(2, &["update", "base"]);
}

#[test]
fn an_update_keeps_the_pid_where_it_can_and_says_where_it_cannot() {
    let one = Instance::start(ONE);
    one.ok(&["create", "web", "--auto-start", "--env", "A=1", "--health-exec", "true", "--", "sleep", "1000"]);
    let web = pid(&one.process("web"));
    for args in [
        &["--restart", "always", "--restart-delay", "50ms"][..],
        &["--restart-limit-burst", "3", "--stop-timeout", "5s"],
        &["--health-interval", "2s"],
        &["--health-exec", "true --really"],
        &["--unset", "health"],
        &["--limits-memory", "100M", "--limits-pids", "20"],
        &["--unset", "limits.memory"],
    ] {
        let said = one.ok(&[&["update", "web"], args].concat());
        assert!(said.ends_with("web: updated\n"), "{args:?}: {said}");
        assert_eq!(pid(&one.process("web")), web, "{args:?}");
    }
    let said = one.ok(&["update", "web", "--env", "B=2", "--dry-run"]);
    assert!(said.contains("in force after a restart: env.B (--restart-process gives it)"), "{said}");
    let said = one.ok(&["update", "web", "--env", "B=2"]);
    assert!(said.contains("web: updated; in force after `neap restart web`: env.B"), "{said}");
    assert_eq!(pid(&one.process("web")), web);
    let environ = |pid: nix::unistd::Pid| std::fs::read(format!("/proc/{pid}/environ")).unwrap();
    let has = |pid, variable: &str| environ(pid).split(|byte| *byte == 0).any(|found| found == variable.as_bytes());
    assert!(has(web, "A=1") && !has(web, "B=2"));
    let said = one.ok(&["update", "web", "--env", "C=3", "--restart-process"]);
    assert!(said.contains("web: updated and restarted: running (pid "), "{said}");
    let new = pid(&one.process("web"));
    assert!(new != web && has(new, "A=1") && has(new, "B=2") && has(new, "C=3"));
    assert!(one.ok(&["update", "web", "--env", "C=3", "--restart-process"]).contains("nothing changes"));
    assert_eq!(pid(&one.process("web")), new);

    let said = one.ok(&["update", "base", "--restart", "never"]);
    assert!(said.contains("other than its configuration says, until the next `neap apply`"), "{said}");
    assert!(one.ok(&["list"]).contains("overridden"));
    one.ok(&["apply"]);
    assert!(!one.ok(&["list"]).contains("overridden"));
    let updated = one.json(&["update", "web", "--description", "x", "--json"]);
    assert_eq!(updated["change"]["fields"][0]["path"], "description");
}

#[test]
fn a_real_server_is_made_with_flags_alone() {
    if !Path::new("/usr/bin/redis-server").exists() {
        eprintln!("skipped: a_real_server_is_made_with_flags_alone: there is no redis-server");
        return;
    }
    let one = Instance::start("");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let dir = one.folder.path().display().to_string();
    let ended = one
        .neap(&[
            "create",
            "cache",
            "--auto-start",
            "--restart",
            "always",
            "--restart-delay",
            "100ms",
            "--working-dir",
            &dir,
            "--ready-tcp",
            &port,
            "--health-tcp",
            &port,
            "--health-interval",
            "200ms",
            "--health-restart-after",
            "3",
            "--limits-memory",
            "256MiB",
            "--rlimits-nofile",
            "4096",
            "--log-stdout",
            "capture",
            "--log-stderr",
            "capture",
            "--",
            "redis-server",
            "--port",
            &port,
            "--save",
            "",
            "--bind",
            "127.0.0.1",
        ])
        .end()
        .expect_code(0);
    assert!(ended.stdout.contains("cache: created, running (pid "), "{ended:?}");
    let redis = |args: &[&str]| {
        let output = Command::new("redis-cli").args(["-p", &port]).args(args).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(redis(&["set", "a", "b"]), "OK\n");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", pid(&one.process("cache")))).unwrap();
    assert!(limits.lines().any(|line| line.starts_with("Max open files") && line.contains("4096")), "{limits}");
    one.ok(&["health", "cache", "--wait"]);

    let before = pid(&one.process("cache"));
    kill(before, Signal::SIGKILL).unwrap();
    let began = Instant::now();
    loop {
        let cache = one.process("cache");
        if cache["run_count"] == 2 && cache["state"] == "running" {
            break;
        }
        assert!(began.elapsed() < DEADLINE, "it does not come back: {cache}");
    }
    let said = one.ok(&["update", "cache", "--env", "X=1", "--restart-process"]);
    assert!(said.contains("updated and restarted: running"), "{said}");
    assert_eq!(redis(&["ping"]), "PONG\n");
    assert!(one.ok(&["logs", "cache"]).contains("Ready to accept connections"));
    assert_eq!(one.ok(&["delete", "cache", "--force"]), "cache: deleted\n");
    assert_eq!(redis(&["ping"]), "");
}
