//! B2, B3, B4, B10, B11: what a child is given, and what an error says.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use neap::core::{ExitStatus, SpawnError, SpawnStep};
use neap::driver::limits;
use neap::driver::spawn::{Launch, Launcher, RlimitSet, Stdio, candidates};
use nix::errno::Errno;

use crate::run::{actor_launch, both_ways, output_pipe, run, run_actor, start};
use crate::support::{Epilogue, TempDir, actor, c, root_or_skip, write_program};

fn lines(text: &str) -> BTreeMap<&str, &str> {
    text.lines().filter_map(|l| l.split_once('=')).collect()
}

#[test]
fn a_child_runs_and_its_status_is_known() {
    let _epilogue = Epilogue::new();
    for launcher in both_ways() {
        let (status, text) = run_actor(&launcher, &["say", "hello", "exit", "7"]);
        assert_eq!((status, text.as_str()), (ExitStatus::Code(7), "hello\n"));
    }
}

#[test]
fn a_child_has_a_session_of_its_own_and_no_trace_of_our_signals() {
    let _epilogue = Epilogue::new();
    for launcher in both_ways() {
        let (_, text) = run_actor(&launcher, &["state", "fds"]);
        let state = lines(&text);
        assert_eq!(state["sid"], state["Pid"]);
        assert_eq!(state["pgid"], state["Pid"]);
        assert_eq!(state["PPid"], std::process::id().to_string());
        for set in ["SigBlk", "SigIgn", "SigCgt", "CapAmb"] {
            assert_eq!(state[set], "0000000000000000", "{set}");
        }
        let fds: Vec<&str> = text.lines().skip_while(|l| !l.starts_with("0 ")).collect();
        assert_eq!(fds.len(), 3, "{fds:?}");
        assert_eq!(fds[0], "0 /dev/null");
        assert!(fds[1].starts_with("1 pipe:"), "{fds:?}");
        assert_eq!(fds[2], "2 /dev/null");
    }
}

#[test]
fn a_supervisor_in_a_bad_state_passes_nothing_of_it_on() {
    let _epilogue = Epilogue::new();
    let folder = TempDir::new();
    let out = folder.join("out");
    let words = [
        "ignore",
        "CHLD",
        "ignore",
        "HUP",
        "ignore",
        "PIPE",
        "block",
        "TERM",
        "block",
        "CHLD",
        "umask",
        "0",
        "inherit-fds",
        "200",
        "close-fds",
        "supervise",
        "{",
        "out",
        out.to_str().unwrap(),
        "state",
        "fds",
        "exit",
        "4",
        "}",
    ];
    let launcher = Launcher::new();
    let (status, _) = run_actor(&launcher, &words);
    assert_eq!(status, ExitStatus::Code(0), "what it prints after it closed its stdout is lost, and no error");
    let text = fs::read_to_string(&out).unwrap();
    let state = lines(&text);
    for set in ["SigBlk", "SigIgn", "SigCgt"] {
        assert_eq!(state[set], "0000000000000000", "{set}");
    }
    assert_eq!(state["Umask"], "0000", "no umask was asked for");
    let fds: Vec<&str> = text.lines().skip_while(|l| !l.starts_with("0 ")).collect();
    assert_eq!(fds, ["0 /dev/null", &format!("1 {}", out.display()), "2 /dev/null"]);
}

#[test]
fn a_child_gets_exactly_the_environment_that_was_given() {
    let _epilogue = Epilogue::new();
    for launcher in both_ways() {
        let mut launch = actor_launch(&["env"]);
        launch.env = vec![c("A=1"), c("B=x=y"), c("EMPTY="), c("SPACE= a\tb ")];
        launch.pid_env = vec![c("LISTEN_PID")];
        let (read, write) = output_pipe();
        launch.stdio[1] = Stdio::Fd(write);
        let child = start(&launcher, launch).unwrap();
        let text = std::io::read_to_string(read).unwrap();
        assert_eq!(text, format!("A=1\nB=x=y\nEMPTY=\nSPACE= a\tb \nLISTEN_PID={}\n", child.pid));
        crate::run::reap(&child);
    }
}

#[test]
fn arguments_arrive_byte_for_byte() {
    let _epilogue = Epilogue::new();
    let hostile: Vec<&OsStr> = [
        &b"plain"[..],
        b"",
        b" two words ",
        b"\"quoted\"",
        b"'",
        b"new\nline",
        b"%s%n",
        b"$HOME `id` $(id)",
        b"*",
        b"~",
        b"\\",
        b"\xff\xfe not utf-8",
        b"-",
        b"--",
        b"caf\xc3\xa9",
        b"; exit 9",
    ]
    .map(OsStr::from_bytes)
    .to_vec();
    let words: Vec<&OsStr> = [OsStr::new("args")].into_iter().chain(hostile.iter().copied()).collect();
    let (_, text) = run(&Launcher::new(), actor_launch(&words)).unwrap();
    let expected: String = hostile.iter().map(|w| format!("{w:?}\n")).collect();
    assert_eq!(text, expected);
}

#[test]
fn the_whole_set_up_is_applied() {
    if !root_or_skip("the_whole_set_up_is_applied") {
        return;
    }
    let _epilogue = Epilogue::new();
    let folder = TempDir::new();
    for launcher in both_ways() {
        let mut launch = actor_launch(&["state"]);
        launch.directory = Some(c(folder.path()));
        launch.umask = Some(0o027);
        launch.nice = Some(11);
        launch.oom_score_adj = Some(321);
        launch.no_new_privs = true;
        launch.rlimits = vec![
            RlimitSet { resource: limits::resource("nofile").unwrap(), soft: 64, hard: 128 },
            RlimitSet { resource: limits::resource("core").unwrap(), soft: 0, hard: 0 },
        ];
        let (_, text) = run(&launcher, launch).unwrap();
        let state = lines(&text);
        assert_eq!(state["cwd"], folder.path().to_str().unwrap());
        assert_eq!(state["Umask"], "0027");
        assert_eq!(state["nice"], "11");
        assert_eq!(state["oom_score_adj"], "321");
        assert_eq!(state["NoNewPrivs"], "1");
        assert_eq!(state["limit.max_open_files"], "64:128");
        assert_eq!(state["limit.max_core_file_size"], "0:0");
    }
}

#[test]
fn an_oom_score_is_the_childs_alone() {
    let _epilogue = Epilogue::new();
    let ours = || fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    let before = ours();
    for launcher in both_ways() {
        let mut launch = actor_launch(&["state"]);
        launch.oom_score_adj = Some(777);
        let (_, text) = run(&launcher, launch).unwrap();
        assert_eq!(lines(&text)["oom_score_adj"], "777");
        assert_eq!(ours(), before);
    }
}

#[test]
fn descriptors_arrive_under_their_numbers_whatever_ours_are() {
    let _epilogue = Epilogue::new();
    let folder = TempDir::new();
    let files: Vec<Arc<OwnedFd>> =
        (0..5).map(|n| Arc::new(OwnedFd::from(fs::File::create(folder.join(format!("f{n}"))).unwrap()))).collect();
    for launcher in both_ways() {
        let mut launch = actor_launch(&["fds"]);
        // Whatever numbers the files have here, some of them are targets of others.
        launch.fds = files.iter().rev().zip(3..).map(|(f, target)| (f.clone(), target)).collect();
        let (_, text) = run(&launcher, launch).unwrap();
        let listed: Vec<&str> = text.lines().skip(3).collect();
        let expected: Vec<String> =
            (0..5).map(|n| format!("{} {}", n + 3, folder.join(format!("f{}", 4 - n)).display())).collect();
        assert_eq!(listed, expected);
    }
}

fn failure(launcher: &Launcher, launch: Launch) -> SpawnError {
    start(launcher, launch).map(drop).expect_err("is not to be executed")
}

fn script(path: &Path, text: &[u8], mode: u32) {
    write_program(path, text);
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_program_that_cannot_be_executed_is_told_with_path_and_reason() {
    let _epilogue = Epilogue::new();
    let folder = TempDir::new();
    let at = |name: &str| folder.join(name);
    script(&at("orphan"), b"#!/no/such/shell -x\n", 0o755);
    script(&at("text"), b"echo hello\n", 0o755);
    script(&at("plain"), b"#!/bin/sh\n", 0o644);
    // An ELF file for a machine of another kind.
    let mut elf = fs::read(actor()).unwrap();
    elf.truncate(4096);
    elf[18] = 0xf7;
    script(&at("alien"), &elf, 0o755);
    symlink(at("loop"), at("loop")).unwrap();
    fs::create_dir(at("dir")).unwrap();
    for launcher in both_ways() {
        let message = |path: &Path| {
            let e = failure(&launcher, Launch::new(vec![c(path)], vec![c("x")]));
            assert_eq!(e.step, SpawnStep::Exec);
            assert!(!e.is_resource(), "{e:?}");
            let errno = Errno::from_raw(e.errno.unwrap());
            (errno, e.message.replace(&format!("{}/", folder.path().display()), ""))
        };
        let told = |errno, text: &str| (errno, text.to_owned());
        assert_eq!(message(&at("none")), told(Errno::ENOENT, "cannot execute `none`: no such file or directory"));
        assert_eq!(
            message(&at("orphan")),
            told(Errno::ENOENT, "cannot execute `orphan`: its interpreter `/no/such/shell` does not exist")
        );
        let not_a_program = "neither a program for this machine nor a script that begins with `#!`";
        let expected = format!("cannot execute `text`: exec format error: {not_a_program}");
        assert_eq!(message(&at("text")), (Errno::ENOEXEC, expected));
        let expected = format!("cannot execute `alien`: exec format error: {not_a_program}");
        assert_eq!(message(&at("alien")), (Errno::ENOEXEC, expected));
        for name in ["plain", "dir"] {
            let text = "permission denied; is it a file with the right to be executed, in folders with the same?";
            assert_eq!(message(&at(name)), (Errno::EACCES, format!("cannot execute `{name}`: {text}")));
        }
        assert_eq!(
            message(&at("loop")),
            told(Errno::ELOOP, "cannot execute `loop`: too many levels of symbolic links")
        );
        assert_eq!(
            message(&at("plain/deeper")),
            told(Errno::ENOENT, "cannot execute `plain/deeper`: no such file or directory")
        );
    }
}

#[test]
fn too_long_a_command_line_is_told() {
    let _epilogue = Epilogue::new();
    let mut launch = actor_launch(&["exit", "0"]);
    launch.argv.push(CString::new(vec![b'x'; 4 << 20]).unwrap());
    let e = failure(&Launcher::new(), launch);
    assert_eq!((e.step, e.errno), (SpawnStep::Exec, Some(Errno::E2BIG as i32)));
}

#[test]
fn a_missing_directory_is_told() {
    let _epilogue = Epilogue::new();
    for launcher in both_ways() {
        let mut launch = actor_launch(&["exit", "0"]);
        launch.directory = Some(c("/no/such/place"));
        let e = failure(&launcher, launch);
        assert_eq!((e.step, e.errno), (SpawnStep::WorkingDirectory, Some(Errno::ENOENT as i32)));
        assert_eq!(e.message, "cannot enter directory `/no/such/place`: no such file or directory");
    }
}

#[test]
fn a_relative_program_is_looked_for_in_the_directory() {
    let _epilogue = Epilogue::new();
    let mut launch = actor_launch(&["exit", "3"]);
    launch.programs = vec![c("examples/actor")];
    launch.directory = Some(c(actor().parent().unwrap().parent().unwrap()));
    let (status, _) = run(&Launcher::new(), launch).unwrap();
    assert_eq!(status, ExitStatus::Code(3));
}

#[test]
fn path_is_searched_as_execvp_does() {
    let _epilogue = Epilogue::new();
    let folder = TempDir::new();
    for name in ["a", "b", "c"] {
        fs::create_dir(folder.join(name)).unwrap();
    }
    script(&folder.join("a/tool"), b"#!/bin/sh\nexit 1\n", 0o644);
    script(&folder.join("b/tool"), b"#!/bin/sh\nexit 2\n", 0o755);
    script(&folder.join("c/text"), b"exit 3\n", 0o755);
    let path = ["a", "none", "a/tool", "b", "c"].map(|n| folder.join(n).to_str().unwrap().to_owned()).join(":");
    let search = |name: &str| candidates(OsStr::new(name), Some(OsStr::new(&path))).unwrap();
    let launcher = Launcher::new();
    let (status, _) = run(&launcher, Launch::new(search("tool"), vec![c("tool")])).unwrap();
    assert_eq!(status, ExitStatus::Code(2), "what may not be executed is passed over");
    let e = failure(&launcher, Launch::new(search("nothing"), vec![c("x")]));
    assert_eq!(e.message, format!("cannot execute `nothing`: found nowhere in PATH ({path})"));
    fs::remove_file(folder.join("b/tool")).unwrap();
    let e = failure(&launcher, Launch::new(search("tool"), vec![c("x")]));
    assert_eq!(e.errno, Some(Errno::EACCES as i32), "what was found is told rather than what was not");
    assert!(e.message.contains("/a/tool`"), "{}", e.message);
    let e = failure(&launcher, Launch::new(search("text"), vec![c("x")]));
    assert_eq!(e.errno, Some(Errno::ENOEXEC as i32), "no shell is tried");
    assert_eq!(candidates(OsStr::new(""), None), None);
    assert_eq!(candidates(OsStr::from_bytes(b"a\0b"), None), None);
    assert_eq!(candidates(OsStr::new("x"), Some(OsStr::new("/a::b"))).unwrap(), [c("/a/x"), c("x"), c("b/x")]);
}

#[test]
fn a_program_replaced_at_the_last_moment_is_run_or_refused() {
    let _epilogue = Epilogue::new();
    let folder = TempDir::new();
    let tool = folder.join("tool");
    let launcher = Launcher::new();
    script(&tool, b"#!/bin/sh\nexit 1\n", 0o755);
    let prepared = Launch::new(vec![c(&tool)], vec![c("tool")]);
    script(&folder.join("new"), b"#!/bin/sh\nexit 2\n", 0o755);
    fs::rename(folder.join("new"), &tool).unwrap();
    assert_eq!(run(&launcher, prepared.clone()).unwrap().0, ExitStatus::Code(2));
    fs::remove_file(&tool).unwrap();
    assert_eq!(failure(&launcher, prepared).errno, Some(Errno::ENOENT as i32));
}
