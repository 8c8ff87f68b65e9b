//! A new binary, and the way back.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::signal::Signal;

use crate::common::{Epilogue, wait_until, write_program};
use crate::support::{Anchor, Supervisor, anchored, signal_to, value};

/// Another name of the binary, until the end of the test.
struct Linked(PathBuf);

impl Linked {
    fn new() -> Linked {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = anchored().with_file_name(format!("anchored.{}.{n}", std::process::id()));
        fs::hard_link(anchored(), &path).unwrap();
        Linked(path)
    }
}

impl Deref for Linked {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Linked {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// An anchor with a supervisor that is ready and has something held, and a second binary.
fn begin() -> (Anchor, Supervisor, Linked) {
    let anchor = Anchor::start();
    let new = Linked::new();
    let mut supervisor = anchor.next();
    supervisor.ask("hello");
    supervisor.does("hold 5 kept");
    supervisor.does("ready");
    (anchor, supervisor, new)
}

fn finish(mut anchor: Anchor, mut supervisor: Supervisor) {
    assert_eq!(supervisor.ask("read 5"), "kept");
    supervisor.does("finished 0");
    supervisor.last("exit 0");
    assert_eq!(anchor.end(), Some(0));
}

#[test]
fn a_new_binary_takes_over_and_is_the_one_from_then_on() {
    let _epilogue = Epilogue::new();
    let (anchor, mut supervisor, new) = begin();
    supervisor.does(&format!("upgrade {} 60000", new.display()));
    supervisor.last("exit 0");
    let mut next = anchor.next();
    let hello = next.ask("hello");
    assert_eq!((value(&hello, "lives"), value(&hello, "upgrade"), value(&hello, "held")), ("2", "Done", "5"));
    assert_eq!(next.value("who", "exe"), new.to_str().unwrap());
    next.does("ready");
    next.last("die SIGKILL");
    let mut after = anchor.next();
    assert_eq!(after.value("who", "exe"), new.to_str().unwrap());
    assert_eq!(after.value("hello", "upgrade"), "none");
    assert_eq!(anchor.said().lines().count(), 1, "the upgrade itself is nothing to complain about");
    finish(anchor, after);
}

#[test]
fn a_new_binary_that_is_not_ready_in_time_is_ended_and_the_old_one_goes_on() {
    let _epilogue = Epilogue::new();
    let (anchor, mut supervisor, new) = begin();
    supervisor.does(&format!("upgrade {} 500", new.display()));
    supervisor.last("exit 0");
    let mut next = anchor.next();
    assert_eq!(next.value("who", "exe"), new.to_str().unwrap());
    next.gone();
    let mut old = anchor.next();
    assert_eq!(old.value("who", "exe"), anchored().to_str().unwrap());
    assert_eq!(old.value("hello", "upgrade"), "Late");
    assert_eq!(anchor.said(), "neap: the new binary was not ready in time: the old one is started again\n");
    old.does("ready");
    signal_to(old.pid(), Signal::SIGKILL);
    old.gone();
    let mut again = anchor.next();
    assert_eq!(again.value("hello", "upgrade"), "none", "told once");
    finish(anchor, again);
}

#[test]
fn a_new_binary_that_crashes_or_cannot_be_executed_is_followed_by_the_old_one() {
    let _epilogue = Epilogue::new();
    let (anchor, mut supervisor, new) = begin();
    let text = anchor.path("text");
    write_program(&text, "no program");
    for (binary, why) in [
        (new.to_path_buf(), "was killed by SIGKILL"),
        (PathBuf::from("/bin/false"), "exited with 1"),
        (text, "exited with 127"),
        (PathBuf::from("/etc/passwd"), "exited with 127"),
    ] {
        supervisor.does(&format!("upgrade {} 60000", binary.display()));
        supervisor.last("exit 0");
        if why.contains("SIGKILL") {
            let mut next = anchor.next();
            next.ask("hello");
            next.last("die SIGKILL");
        }
        supervisor = anchor.next();
        assert_eq!(supervisor.value("who", "exe"), anchored().to_str().unwrap());
        assert_eq!(supervisor.value("hello", "upgrade"), "Failed");
        supervisor.does("ready");
        let said = format!("neap: the new binary {why} before it was ready: the old one is started again");
        wait_until("it is said", || anchor.said().contains(&said));
    }
    finish(anchor, supervisor);
}

#[test]
fn a_new_binary_that_gives_up_does_not_end_what_the_old_one_supervised() {
    let _epilogue = Epilogue::new();
    let (anchor, mut supervisor, new) = begin();
    supervisor.does(&format!("upgrade {} 60000", new.display()));
    supervisor.last("exit 0");
    let mut next = anchor.next();
    next.ask("hello");
    anchor.signal(Signal::SIGHUP);
    assert_eq!(next.ask("signal"), "SIGHUP");
    next.does("finished 3");
    next.last("exit 3");
    let mut old = anchor.next();
    assert_eq!(old.value("hello", "upgrade"), "Failed");
    assert_eq!(old.ask("signal"), "SIGHUP", "what the new one was asked is asked of the old one");
    finish(anchor, old);
}
