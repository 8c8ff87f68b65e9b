//! Descriptors that are held.

use std::io::Write;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::process::CommandExt;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::dup2_raw;
use std::io;
use std::os::fd::AsFd;

use crate::common::{Epilogue, descriptors};
use crate::support::{Anchor, value};

#[test]
fn what_was_in_a_pipe_survives_who_read_it() {
    let _epilogue = Epilogue::new();
    let mut anchor = Anchor::start();
    let mut supervisor = anchor.next();
    supervisor.ask("hello");
    supervisor.does("hold 11 first");
    supervisor.does("hold 12 second");
    supervisor.does("hold 13 third");
    supervisor.does("hold 12 in place of the second");
    supervisor.does("let-go 13");
    supervisor.does("let-go 99");
    supervisor.does("ready");
    for life in 2..=3 {
        supervisor.last("die SIGKILL");
        supervisor = anchor.next();
        let hello = supervisor.ask("hello");
        assert_eq!((value(&hello, "lives"), value(&hello, "held")), (&*life.to_string(), "11,12"));
        supervisor.does("ready");
    }
    assert_eq!(supervisor.ask("read 11"), "first");
    assert_eq!(supervisor.ask("read 12"), "in place of the second");
    supervisor.does("finished 0");
    supervisor.last("exit 0");
    assert_eq!(anchor.end(), Some(0));
}

#[test]
fn an_anchor_without_room_says_so_and_lives_on() {
    let _epilogue = Epilogue::new();
    let mut anchor = Anchor::start_with(|command| {
        // SAFETY: one system call between fork and exec.
        unsafe { command.pre_exec(|| Ok(setrlimit(Resource::RLIMIT_NOFILE, 200, 200)?)) };
    });
    let mut supervisor = anchor.next();
    supervisor.ask("hello");
    supervisor.does("ready");
    supervisor.does("hold-many 1 137");
    assert_eq!(supervisor.ask("news 1"), "error: not held: 137", "64 of 200 are its own");
    supervisor.last("die SIGKILL");
    let mut again = anchor.next();
    let hello = again.ask("hello");
    assert_eq!(value(&hello, "held").split(',').count(), 136);
    assert_eq!(value(&hello, "missing"), "");
    again.does("finished 0");
    again.last("exit 0");
    assert_eq!(anchor.end(), Some(0));
}

#[test]
fn a_supervisor_without_room_learns_what_it_misses() {
    let _epilogue = Epilogue::new();
    let mut anchor = Anchor::start_with(|command| {
        // SAFETY: one system call between fork and exec.
        unsafe { command.pre_exec(|| Ok(setrlimit(Resource::RLIMIT_NOFILE, 50, 4096)?)) };
    });
    let mut supervisor = anchor.next();
    supervisor.ask("hello");
    supervisor.does("hold-many 1 1000");
    supervisor.does("ready");
    supervisor.last("die SIGKILL");
    let mut again = anchor.next();
    let hello = again.ask("hello");
    let count = |name| value(&hello, name).split(',').filter(|key| !key.is_empty()).count();
    assert!((20..50).contains(&count("held")), "{hello}");
    assert_eq!(count("held") + count("missing"), 1000);
    again.does("finished 0");
    again.last("exit 0");
    assert_eq!(anchor.end(), Some(0));
}

#[test]
fn eight_thousand_descriptors_are_handed_on() {
    let _epilogue = Epilogue::new();
    let name = "eight_thousand_descriptors_are_handed_on";
    let (_, hard) = nix::sys::resource::getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    if hard < 9000 {
        return crate::common::skipped(name, "needs a hard limit of 9,000 open files");
    }
    let mut anchor = Anchor::start_with(|command| {
        // SAFETY: one system call between fork and exec.
        unsafe { command.pre_exec(move || Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)) };
    });
    let mut supervisor = anchor.next();
    supervisor.ask("hello");
    supervisor.does("ready");
    supervisor.does("hold-many 1 8193");
    assert_eq!(supervisor.ask("news 1"), "error: not held: 8193");
    supervisor.last("die SIGKILL");
    let mut again = anchor.next();
    let hello = again.ask("hello");
    assert_eq!((value(&hello, "held").split(',').count(), value(&hello, "missing")), (8192, ""));
    again.does("finished 0");
    again.last("exit 0");
    assert_eq!(anchor.end(), Some(0));
}

#[test]
fn what_a_service_manager_passes_in_is_kept_for_every_supervisor_and_leaked_to_none() {
    let _epilogue = Epilogue::new();
    let (reader, mut writer) = io::pipe().unwrap();
    writer.write_all(b"from outside").unwrap();
    drop(writer);
    let (other, _) = io::pipe().unwrap();
    // LISTEN_PID is known only after the fork: a shell sets it, and executes.
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=web:admin exec \"$0\" \"$@\""]);
    shell.arg(crate::support::anchored());
    let (first, second) = (reader.as_raw_fd(), other.as_raw_fd());
    let mut anchor = Anchor::start_as(shell, |command| {
        // SAFETY: system calls alone between fork and exec; high numbers first, so that neither is overwritten.
        unsafe {
            command.pre_exec(move || {
                let move_up = |fd| fcntl(std::os::fd::BorrowedFd::borrow_raw(fd), FcntlArg::F_DUPFD_CLOEXEC(100));
                let (first, second) = (move_up(first)?, move_up(second)?);
                for (from, to) in [(first, 3), (second, 4)] {
                    let fd = dup2_raw(std::os::fd::BorrowedFd::borrow_raw(from), to)?;
                    fcntl(fd.as_fd(), FcntlArg::F_SETFD(FdFlag::empty()))?;
                    let _ = fd.into_raw_fd();
                }
                Ok(())
            });
        }
    });
    drop((reader, other));
    let mut supervisor = anchor.next();
    let keys = [neap::anchor::Key::inherited(0).0, neap::anchor::Key::inherited(1).0];
    let expected = format!("{},{}", keys[0], keys[1]);
    assert_eq!(supervisor.value("hello", "held"), expected);
    assert_eq!(supervisor.ask("env LISTEN_FDNAMES"), "web:admin");
    supervisor.does("ready");
    supervisor.last("die SIGKILL");
    let mut again = anchor.next();
    let pid = again.pid();
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    assert_eq!(again.value("hello", "held"), expected);
    let more = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    assert_eq!(more, open + 2, "they come with the welcome, and not before: {:?}", descriptors());
    assert_eq!(again.ask(&format!("read {}", keys[0])), "from outside");
    again.does("finished 0");
    again.last("exit 0");
    assert_eq!(anchor.end(), Some(0));
}
