//! What `neap check` knows of the host: accounts, programs, folders, socket paths.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use crate::common::wait_for;
use crate::support::{Ended, Folder, Neap};

/// Checks this process in a folder of its own.
fn check(folder: &Folder, process: &str, flags: &[&str]) -> Ended {
    folder.write("neap.lua", &format!("require(\"neap\").process \"web\" {{\n  {process},\n}}\n"));
    Neap::new(["check"].iter().chain(flags)).dir(folder.path()).end()
}

#[test]
fn accounts_that_do_not_exist_are_errors_with_their_lines() {
    let folder = Folder::new();
    for (key, field, message) in [
        ("user = \"nobody-here\"", "user", "user `nobody-here` does not exist; create it, or name another"),
        ("group = \"nobody-here\"", "group", "group `nobody-here` does not exist"),
        ("groups = { \"root\", \"nobody-here\" }", "groups[2]", "group `nobody-here` does not exist"),
        ("user = \"3999999999\"", "user", "user 3999999999 has no entry in the user database"),
        (
            "hooks = { after_stop = { command = { \"true\" }, user = \"nobody-here\" } }",
            "hooks.after_stop.user",
            "user `nobody-here` does not exist",
        ),
        (
            "listen = { unix = \"a.sock\", group = \"nobody-here\" }",
            "listen.group",
            "group `nobody-here` does not exist",
        ),
    ] {
        let ended = check(&folder, &format!("command = {{ \"true\" }},\n  {key}"), &[]).expect_code(1);
        let expected = format!("neap.lua:3: process `web`: {field}: {message}");
        assert!(ended.stderr.contains(&expected), "{expected} in {}", ended.stderr);
        assert!(ended.stderr.contains(&format!("     3 |   {key},")), "{}", ended.stderr);
        assert!(ended.stderr.contains("1 error"), "{}", ended.stderr);
    }
}

#[test]
fn what_may_be_there_by_the_time_of_a_start_is_a_warning() {
    let folder = Folder::new();
    folder.write("plain", "no program\n");
    folder.write("odd.env", "B=1\nexport A=1\n");
    for (keys, message) in [
        (
            "command = { \"no-such-program\" }",
            "2: warning: process `web`: command: there is no program \"no-such-program\" in PATH (",
        ),
        ("command = { \"./missing\" }", "2: warning: process `web`: command: the program \""),
        ("command = { \"./plain\" }", "/plain\" is not an executable file"),
        ("command = { \"/etc\" }", "command: \"/etc\" is not an executable file"),
        (
            "command = { \"true\" },\n  working_dir = \"nowhere\"",
            "3: warning: process `web`: working_dir: the folder \"",
        ),
        ("command = { \"true\" },\n  working_dir = \"plain\"", "/plain\" is not a folder"),
        (
            "command = { \"true\" },\n  env_file = \"nowhere.env\"",
            "3: warning: process `web`: env_file: cannot read the environment file `",
        ),
        ("command = { \"true\" },\n  env_file = \"none-*.env\"", "none-*.env`: no file has such a name"),
        ("command = { \"true\" },\n  env_file = \"-odd.env\"", "odd.env:2: `export A` is no name of a variable"),
        (
            "command = { \"true\" },\n  env = { PATH = \"/nowhere\" }",
            "command: there is no program \"true\" in PATH (/nowhere)",
        ),
        (
            "command = { \"true\" },\n  hooks = { before_start = { { \"true\" }, { \"no-such-program\" } } }",
            "hooks.before_start[2]: there is no program",
        ),
        (
            "command = { \"true\" },\n  health = require(\"neap\").exec { \"no-such-program\" }",
            "health.command: there is no program",
        ),
        (
            "command = { \"true\" },\n  reload = { command = { \"no-such-program\" } }",
            "reload.command: there is no program",
        ),
    ] {
        let ended = check(&folder, keys, &[]).expect_code(0);
        assert!(ended.stderr.contains(message), "{message} in {}", ended.stderr);
        assert!(check(&folder, keys, &["--strict"]).expect_code(1).stdout.is_empty());
    }
    // A program below the process's folder, and one that a file of variables may bring.
    folder.write("below/run", "#!/bin/sh\n");
    std::fs::set_permissions(folder.path().join("below/run"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    folder.write("path.env", "PATH=/elsewhere\n");
    for keys in [
        "command = { \"./run\" },\n  working_dir = \"below\"",
        "command = { \"elsewhere\" },\n  env_file = \"path.env\"",
        "command = { \"true\" },\n  env_file = { \"-nowhere.env\", \"-none-*.env\", \"p*.env\" }",
    ] {
        assert_eq!(check(&folder, keys, &["--strict"]).expect_code(0).stderr, "", "{keys}");
    }
}

#[test]
fn a_path_that_a_strangers_file_has_is_no_place_for_a_socket() {
    let folder = Folder::new();
    folder.write("data.sock", "precious\n");
    drop(UnixListener::bind(folder.path().join("old.sock")).unwrap());
    let with = |listen: &str| format!("command = {{ \"true\" }},\n  listen = {{ {listen} }}");
    let ended = check(&folder, &with("unix = \"data.sock\""), &["--json"]).expect_code(1);
    let refused: serde_json::Value = serde_json::from_str(&ended.stderr).unwrap();
    assert_eq!((&refused["line"], &refused["field"]), (&3.into(), &"listen".into()), "{refused}");
    assert!(refused["message"].as_str().unwrap().contains("/data.sock\" is there and is no socket: "), "{refused}");
    let ended = check(&folder, &with("fifo = \"old.sock\""), &[]).expect_code(1);
    assert!(ended.stderr.contains("is there and is no FIFO"), "{}", ended.stderr);
    assert_eq!(std::fs::read(folder.path().join("data.sock")).unwrap(), b"precious\n");
    // One of a run before may stay, a free path may be had, and names of no file are nobody's.
    for listen in ["unix = \"old.sock\"", "unix = \"new.sock\"", "unix = \"@web\"", "tcp = \"127.0.0.1:0\""] {
        assert_eq!(check(&folder, &with(listen), &["--strict"]).expect_code(0).stderr, "", "{listen}");
    }
}

#[test]
fn a_port_or_path_at_which_another_program_listens_is_refused_naming_it() {
    let folder = Folder::new();
    let with = |listen: &str| format!("command = {{ \"true\" }},\n  listen = {{ {listen} }}");
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let _unix = UnixListener::bind(folder.path().join("live.sock")).unwrap();
    let port = tcp.local_addr().unwrap().port();
    let at = [format!("tcp = {port}"), format!("tcp = \"0.0.0.0:{port}\""), "unix = \"live.sock\"".to_owned()];
    for listen in &at {
        let us = format!("(pid {}) listens there; end that, or choose another address", std::process::id());
        // What another test forks has all that we have until it becomes its program, and may be found first.
        wait_for("we are named", || {
            let said = check(&folder, &with(listen), &[]).expect_code(1).stderr;
            if said.contains(&us) { Ok(()) } else { Err(format!("{listen}: {said}")) }
        });
        // Of another host nothing is known here.
        check(&folder, &with(listen), &["--elsewhere"]).expect_code(0);
    }
    drop(tcp);
    wait_for("it is free", || {
        let ended = check(&folder, &with(&at[0]), &["--strict"]);
        if ended.status.success() { Ok(()) } else { Err(ended.stderr) }
    });
}

#[test]
fn what_is_for_another_host_is_not_looked_for_on_this_one() {
    let folder = Folder::new();
    folder.write("data.sock", "precious\n");
    let keys = "command = { \"no-such-program\" }, user = \"nobody-here\", working_dir = \"nowhere\",\n  listen = { unix = \"data.sock\" }";
    assert_eq!(check(&folder, keys, &["--strict", "--elsewhere"]).expect_code(0).stderr, "");
    assert!(check(&folder, keys, &[]).expect_code(1).stderr.contains("2 errors and 2 warnings"));
}

#[test]
fn unknown_capabilities_and_negative_limits_are_refused() {
    let folder = Folder::new();
    for (key, field) in [
        ("ambient_capabilities = \"fly\"", "ambient_capabilities"),
        ("bounding_capabilities = { \"chown\", \"fly\" }", "bounding_capabilities[2]"),
        ("rlimits = { nofile = -1 }", "rlimits.nofile"),
        ("limits = { memory = -1 }", "limits.memory"),
        ("limits = { cpu = -1 }", "limits.cpu"),
        ("limits = { pids = -1 }", "limits.pids"),
        ("limits = { oom_score_adj = -1001 }", "limits.oom_score_adj"),
        ("nice = -21", "nice"),
        ("umask = \"-1\"", "umask"),
    ] {
        let ended = check(&folder, &format!("command = {{ \"true\" }},\n  {key}"), &[]).expect_code(1);
        assert!(ended.stderr.contains(&format!("neap.lua:3: process `web`: {field}")), "{key}: {}", ended.stderr);
    }
}
