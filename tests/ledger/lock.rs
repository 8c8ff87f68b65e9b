//! Case E6: one instance a state folder, proved by the kernel and not by a number in a file.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::thread;

use neap::ledger::{Lock, LockError, Owner};

use crate::support::{Folder, inner};

fn owner(config: &str) -> Owner {
    Owner { pid: std::process::id(), config: config.to_owned(), started_at: 1_700_000_000 }
}

fn lock_path() -> PathBuf {
    PathBuf::from(std::env::var_os("LOCK").expect("a path"))
}

/// A process that holds the lock until it is killed.
struct Holder(Child);

impl Holder {
    fn start(mut command: Command, path: &Path) -> Holder {
        let mut child = command.env("LOCK", path).stdout(Stdio::piped()).spawn().expect("runs");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        assert!(lines.any(|line| line.expect("text").contains("it is held")), "the lock was not taken");
        // It holds on until it is killed; what it prints is not read any more.
        Holder(child)
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn kill(mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("reaped");
    }
}

fn hold_on() {
    println!("it is held");
    loop {
        thread::park();
    }
}

#[test]
#[ignore = "run in a process of its own by another test"]
fn inside_a_holder() {
    let _lock = Lock::take(&lock_path(), &owner("/etc/held.lua")).expect("a lock");
    hold_on();
}

#[test]
#[ignore = "run in a process of its own by another test"]
fn inside_an_anchor() {
    // As the anchor hands it to the next supervisor: a descriptor, which came here as standard input.
    let fd = std::io::stdin().as_fd().try_clone_to_owned().expect("a descriptor");
    let lock = Lock::inherited(fd).expect("the lock is ours");
    assert_eq!(lock.owner().expect("an owner").config, "/etc/first.lua");
    lock.say(&owner("/etc/held.lua")).expect("written");
    hold_on();
}

#[test]
fn e6_a_second_instance_is_refused_and_told_who_the_first_is_until_that_is_dead() {
    let folder = Folder::new();
    let path = folder.path("lock");
    let holder = Holder::start(inner(&["env"], "lock::inside_a_holder"), &path);
    let refused = Lock::take(&path, &owner("/etc/second.lua")).expect_err("held");
    let LockError::Held { by: Some(by), .. } = &refused else { panic!("{refused:?}") };
    assert_eq!((by.pid, by.config.as_str(), by.started_at), (holder.pid(), "/etc/held.lua", 1_700_000_000));
    let text = refused.to_string();
    let place = folder.path("").display().to_string();
    assert!(text.contains(&format!("process {}, which runs /etc/held.lua", holder.pid())), "{text}");
    assert!(text.contains(place.trim_end_matches('/')), "{text}");

    holder.kill();
    let lock = Lock::take(&path, &owner("/etc/second.lua")).expect("nobody holds it");
    assert_eq!(lock.owner(), Some(owner("/etc/second.lua")));
}

#[test]
fn e6_who_keeps_the_descriptor_keeps_the_lock_over_the_death_of_who_took_it() {
    let folder = Folder::new();
    let path = folder.path("lock");
    let lock = Lock::take(&path, &owner("/etc/first.lua")).expect("a lock");
    let mut command = inner(&["env"], "lock::inside_an_anchor");
    command.stdin(lock.as_fd().try_clone_to_owned().expect("a descriptor"));
    let anchor = Holder::start(command, &path);
    drop(lock);
    let refused = Lock::take(&path, &owner("/etc/second.lua")).expect_err("held");
    assert!(refused.to_string().contains(&format!("process {}", anchor.pid())), "{refused}");
    anchor.kill();
    Lock::take(&path, &owner("/etc/second.lua")).expect("nobody holds it");
}

#[test]
fn e6_what_stands_in_a_stale_file_keeps_nobody_out() {
    let folder = Folder::new();
    // A pid that is taken again, by us; a text that is none; nothing.
    let ours = serde_json::to_string(&owner("/etc/dead.lua")).expect("text");
    for (index, stale) in [ours.as_str(), "garbage", ""].into_iter().enumerate() {
        // One for each: a child that another test is making may hold the one before for a moment.
        let path = folder.path(&format!("lock-{index}"));
        fs::write(&path, stale).expect("a file");
        let lock = Lock::take(&path, &owner("/etc/neap.lua")).expect("nobody holds it");
        assert_eq!(lock.owner(), Some(owner("/etc/neap.lua")));
        // Who has not said who it is yet, holds it all the same.
        fs::write(&path, "").expect("a file");
        let refused = Lock::take(&path, &owner("/etc/second.lua")).expect_err("held").to_string();
        assert!(refused.contains("it has not said which process it is"), "{refused}");
    }
}

#[test]
fn e6_of_many_at_once_one_gets_it() {
    let folder = Folder::new();
    for round in 0..50 {
        let path = folder.path(&format!("lock-{round}"));
        let barrier = Barrier::new(8);
        let taken: Vec<Option<Lock>> = thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        Lock::take(&path, &owner("/etc/neap.lua")).ok()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("ended")).collect()
        });
        assert_eq!(taken.iter().flatten().count(), 1);
    }
}
