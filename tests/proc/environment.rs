//! B3: a child's environment is what the spec says, and nothing else.

use std::ffi::OsString;

use neap::Process;
use neap::core::{EventKind, StateName};
use neap::spec::{Hook, Secret, Spec};

use crate::support::root_or_skip;
use crate::world::{World, await_lines, does, done, lines};

fn world() -> World {
    World::with(|builder| {
        let env = [
            ("PATH", "/usr/bin:/bin"),
            ("LANG", "C"),
            ("SHARED", "inherited"),
            ("NEAP_TOKEN", "x"),
            ("LISTEN_FDS", "3"),
            ("NOTIFY_SOCKET", "/run/host"),
            ("STATE_DIRECTORY", "/var/lib/host"),
        ];
        builder.env(env.map(|(name, value)| (OsString::from(name), OsString::from(value))))
    })
}

/// What it was given, without the run's mark, sorted.
fn env_of(world: &mut World, process: &Process) -> Vec<String> {
    world.await_state(process.name(), StateName::Exited);
    let mut env = lines(process);
    env.sort();
    let marks = env.iter().filter(|l| l.starts_with("NEAP_RUN=")).count();
    assert_eq!(marks, 1, "{env:?}");
    env.retain(|l| !l.starts_with("NEAP_RUN="));
    env
}

fn run(world: &mut World, spec: Spec) -> Vec<String> {
    let process = world.start(spec);
    env_of(world, &process)
}

#[test]
fn b3_the_environment_is_inherited_less_the_supervisors_own_then_files_then_the_specs() {
    let mut world = world();
    assert_eq!(run(&mut world, does("plain", &["env"])), ["LANG=C", "PATH=/usr/bin:/bin", "SHARED=inherited"]);
    assert_eq!(run(&mut world, does("clear", &["env"]).clear_env(true)), [] as [&str; 0]);
    std::fs::write(world.dir.join("a.env"), "# comment\nSHARED=file\nONE='from a'\nTWO=\"from a\"\n").unwrap();
    std::fs::write(world.dir.join("b.env"), "TWO=from\\ b\nTHREE=from b\n").unwrap();
    let mut spec =
        does("files", &["env"]).env_file("a.env").env_file("b.env").env_file("-missing.env").env("THREE", "spec");
    spec.secret_env.insert("TOKEN".into(), Secret::new("hush"));
    let expected =
        ["LANG=C", "ONE=from a", "PATH=/usr/bin:/bin", "SHARED=file", "THREE=spec", "TOKEN=hush", "TWO=from b"];
    assert_eq!(run(&mut world, spec), expected);
}

#[test]
fn b3_env_files_are_read_at_each_start() {
    let mut world = world();
    let process = world.add(does("web", &["env"]).clear_env(true).env_file("a.env"));
    for value in ["1", "2"] {
        std::fs::write(world.dir.join("a.env"), format!("VALUE={value}\n")).unwrap();
        done(process.start()).unwrap();
        world.await_state("web", StateName::Exited);
    }
    let values: Vec<String> = lines(&process).into_iter().filter(|l| l.starts_with("VALUE=")).collect();
    assert_eq!(values, ["VALUE=1", "VALUE=2"]);
}

#[test]
fn b3_descriptors_session_signals_and_directory_are_clean() {
    let mut world = world();
    let process = world.start(does("web", &["fds", "state"]));
    world.await_state("web", StateName::Exited);
    let lines = lines(&process);
    let fds: Vec<&String> = lines.iter().filter(|l| l.starts_with(|c: char| c.is_ascii_digit())).collect();
    assert_eq!(fds.len(), 3, "{fds:?}");
    assert_eq!(fds[0], "0 /dev/null");
    let value = |key: &str| lines.iter().find_map(|l| l.strip_prefix(&format!("{key}="))).unwrap().to_owned();
    assert_eq!((value("SigBlk"), value("SigIgn")), ("0000000000000000".into(), "0000000000000000".into()));
    assert_eq!(value("sid"), value("Pid"));
    assert_eq!(value("cwd"), world.dir.path().to_string_lossy());
}

#[test]
fn b3_a_user_brings_its_own_home_and_name() {
    if !root_or_skip("b3_a_user_brings_its_own_home_and_name") {
        return;
    }
    let mut world = world();
    let process = world.start(does("web", &["env", "state"]).clear_env(true).user("daemon"));
    world.await_state("web", StateName::Exited);
    let lines = lines(&process);
    for expected in ["HOME=/usr/sbin", "USER=daemon", "LOGNAME=daemon", "SHELL=/usr/sbin/nologin", "Uid=1 1 1 1"] {
        assert!(lines.iter().any(|l| l == expected), "{expected} in {lines:?}");
    }
}

#[test]
fn runtime_directories_are_made_for_their_user_and_told() {
    let world = world();
    let spec = does("web", &["env", "wait"]).clear_env(true).runtime_directory("web").runtime_directory("web-cache");
    let lines = await_lines(&world.start(spec), 2);
    let folders = lines.iter().find_map(|line| line.strip_prefix("RUNTIME_DIRECTORY=")).unwrap();
    let folders: Vec<&str> = folders.split(':').collect();
    assert_eq!(folders.len(), 2);
    assert!(folders.iter().all(|folder| std::path::Path::new(folder).is_dir()), "{folders:?}");
}

#[test]
fn hooks_run_in_the_processs_environment_and_directory() {
    let mut world = world();
    std::fs::write(world.dir.join("a.env"), "FROM_FILE=yes\n").unwrap();
    let hook = Hook::command(["sh", "-c", "echo $FROM_FILE $FROM_SPEC; pwd"]);
    let process = world.start(does("web", &["exit", "0"]).env_file("a.env").env("FROM_SPEC", "too").before_start(hook));
    world.await_state("web", StateName::Exited);
    assert_eq!(lines(&process), ["yes too".to_owned(), world.dir.path().to_string_lossy().into_owned()]);
}

#[test]
fn an_env_file_that_cannot_be_is_a_failed_start_with_file_and_line() {
    let world = world();
    std::fs::write(world.dir.join("bad.env"), b"A=1\nTOKEN=\xffhush\n").unwrap();
    std::fs::create_dir(world.dir.join("folder")).unwrap();
    let cases = [
        ("missing.env", "missing.env`: No such file or directory"),
        ("bad.env", "bad.env:2: the value of `TOKEN` is not valid UTF-8"),
        ("-bad.env", "bad.env:2: "),
        ("-folder", "folder`: is a directory"),
        ("none-*.env", "none-*.env`: no file has such a name"),
    ];
    for (number, (file, expected)) in cases.into_iter().enumerate() {
        let process = world.add(does(&format!("web{number}"), &["env"]).env_file(file));
        let error = done(process.start()).unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains("hush"), "{file}: {error}");
        assert_eq!(process.status().unwrap().state, StateName::Failed);
    }
}

#[test]
fn env_files_by_a_pattern_are_read_in_order_and_odd_lines_are_told_without_their_values() {
    let mut world = world();
    std::fs::create_dir(world.dir.join("conf.d")).unwrap();
    std::fs::write(world.dir.join("conf.d/20.env"), "A=last\nexport B=hush\n").unwrap();
    std::fs::write(world.dir.join("conf.d/10.env"), "A=first\nC=c\r\n").unwrap();
    let process = world.start(does("web", &["env"]).clear_env(true).env_file("conf.d/*.env").env_file("-no/*.env"));
    let warning = world.await_event("a warning", |event| match &event.kind {
        EventKind::Warning { text } => Some(text.clone()),
        _ => None,
    });
    assert!(warning.contains("20.env:2: `export B` is no name of a variable"), "{warning}");
    assert!(!warning.contains("hush"), "{warning}");
    assert_eq!(env_of(&mut world, &process), ["A=last", "C=c"]);
}
