//! What a supervisor starts with, and how it ends on purpose.

use std::fs;
use std::os::unix::process::CommandExt;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::common::{Epilogue, wait_until};
use crate::support::{Anchor, anchored, value};

#[test]
fn a_supervisor_is_a_child_with_its_arguments_a_group_of_its_own_and_the_limits_of_whoever_started_it() {
    let _epilogue = Epilogue::new();
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let mut anchor = Anchor::start_with(|command| {
        // SAFETY: one system call between fork and exec.
        unsafe { command.pre_exec(move || Ok(setrlimit(Resource::RLIMIT_NOFILE, 321, hard)?)) };
        command.env("NEAP_TEST", "kept").env("LISTEN_PID", "1").env("LISTEN_FDS", "3").env("LISTEN_FDNAMES", "a");
    });
    let mut supervisor = anchor.next();
    let who = supervisor.ask("who");
    assert_eq!(value(&who, "name"), "neap");
    assert_eq!(value(&who, "pid"), value(&who, "group"));
    assert_eq!(value(&who, "exe"), anchored().to_str().unwrap());
    assert_eq!(value(&who, "files"), "321");
    // Those that have a name: the C library's own are none of ours.
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let ours = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    let ours = u64::from_str_radix(ours.trim(), 16).unwrap();
    // What whoever runs the tests ignores is inherited, and no doing of the anchor's.
    let ignored = u64::from_str_radix(value(&who, "ignored"), 16).unwrap() & 0x7fff_ffff & !ours;
    let of = |signal: nix::sys::signal::Signal| 1 << (signal as i32 - 1);
    let terminal = of(nix::sys::signal::Signal::SIGTTIN) | of(nix::sys::signal::Signal::SIGTTOU);
    // The Rust runtime of the supervisor ignores SIGPIPE.
    assert_eq!(ignored & !of(nix::sys::signal::Signal::SIGPIPE), terminal & !ours);
    assert_eq!(supervisor.ask("env NEAP_TEST"), "kept");
    assert_eq!(supervisor.ask("env LISTEN_FDNAMES"), "a");
    assert_eq!((supervisor.ask("env LISTEN_PID"), supervisor.ask("env LISTEN_FDS")), ("-".into(), "-".into()));
    let anchors = fs::read_to_string(format!("/proc/{}/limits", anchor.pid())).unwrap();
    let files = anchors.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(files.split_whitespace().nth(3), Some(&*hard.to_string()), "its own limit is as high as it may be");
    assert_eq!(fs::read_to_string(format!("/proc/{}/comm", anchor.pid())).unwrap(), "neap-anchor\n");
    let hello = supervisor.ask("hello");
    assert_eq!(hello, format!("lives=1 anchor={} upgrade=none held= missing= ended=", anchor.pid()));
    supervisor.does("finished 7");
    supervisor.last("exit 0");
    assert_eq!(anchor.end(), Some(7));
    assert_eq!(anchor.said(), "");
}

#[test]
fn what_is_said_to_be_final_is_even_when_the_supervisor_is_killed_after_it() {
    let _epilogue = Epilogue::new();
    let mut anchor = Anchor::start();
    let mut supervisor = anchor.next();
    supervisor.ask("hello");
    supervisor.does("ready");
    supervisor.does("finished 200");
    supervisor.last("die SIGKILL");
    assert_eq!(anchor.end(), Some(200));
}

#[test]
fn a_first_supervisor_that_ends_by_itself_before_it_did_anything_is_final() {
    let _epilogue = Epilogue::new();
    for code in [0, 2] {
        let mut anchor = Anchor::start_with(|command| _ = command.arg(code.to_string()));
        assert_eq!(anchor.end(), Some(code));
        assert_eq!(anchor.said(), "");
    }
}

#[test]
fn one_that_left_something_behind_is_not_final() {
    let _epilogue = Epilogue::new();
    let anchor = Anchor::start();
    let mut supervisor = anchor.next();
    supervisor.ask("hello");
    supervisor.does("hold 1 x");
    supervisor.last("exit 2");
    let mut again = anchor.next();
    assert_eq!(again.value("hello", "lives"), "2");
    wait_until("the anchor says so", || anchor.said().contains("exited with 2: it is started again"));
    again.does("finished 0");
    again.last("exit 0");
}
