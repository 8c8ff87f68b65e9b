//! A new binary takes over.

use std::process::Stdio;

use crate::common::{copy_program, write_program};
use crate::support::{Home, identity, pid};

#[test]
fn e8_a_new_binary_takes_over_without_touching_a_process() {
    let home = Home::new();
    home.config("for n = 1, 10 do neap.process('p' .. n) { shell = 'exec sleep 100000' } end");
    let daemon = home.ready();
    home.neap(["wait", "p*"]);
    let before: Vec<_> = home.list().values().map(|row| identity(pid(row))).collect();
    let new = home.path("new-neap");
    copy_program(env!("CARGO_BIN_EXE_neap"), &new);
    let old = daemon.supervisor();
    home.neap(["upgrade", new.to_str().unwrap()]);
    assert_ne!(daemon.supervisor(), old);
    assert_eq!(std::fs::read_link(format!("/proc/{}/exe", daemon.supervisor())).unwrap(), new);
    let after: Vec<_> = home.list().values().map(|row| identity(pid(row))).collect();
    assert_eq!(after, before, "{}", daemon.said());
    assert!(home.list().values().all(|row| row["run_count"] == 1));
    daemon.stop();
}

#[test]
fn a_binary_that_does_not_come_up_leaves_the_old_one_in_charge() {
    let home = Home::new();
    home.config("neap.process 'a' { shell = 'exec sleep 100000' }");
    let daemon = home.ready();
    home.neap(["wait", "a"]);
    let before = identity(pid(&home.list()["a"]));
    let bad = home.path("bad-neap");
    write_program(&bad, "#!/bin/sh\n[ \"$1\" = --version ] && echo neap 99 && exit 0\nexit 1\n");
    let failed = home.ask(["upgrade", bad.to_str().unwrap()]);
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
    assert!(String::from_utf8_lossy(&failed.stderr).contains("the upgrade failed"), "{failed:?}");
    assert_eq!(identity(pid(&home.list()["a"])), before, "{}", daemon.said());
    assert_eq!(home.list()["a"]["run_count"], 1);
    daemon.stop();
}

#[test]
fn upgrades_that_are_asked_for_at_once_leave_nothing_behind() {
    let home = Home::new();
    home.config("neap.process 'a' { shell = 'exec sleep 100000' }");
    let daemon = home.ready();
    home.neap(["wait", "a"]);
    let before = identity(pid(&home.list()["a"]));
    for _ in 0..5 {
        let ask = |_| home.command(["upgrade", env!("CARGO_BIN_EXE_neap")]).stderr(Stdio::null()).spawn().unwrap();
        let asked: Vec<_> = (0..4).map(ask).collect();
        let codes: Vec<_> = asked.into_iter().map(|mut one| one.wait().unwrap().code()).collect();
        assert_eq!(identity(pid(&home.list()["a"])), before, "{codes:?}: {}", daemon.said());
    }
    daemon.stop();
}

#[test]
fn what_is_no_neap_is_refused_before_anything_is_changed() {
    let home = Home::new();
    home.config("neap.process 'a' { shell = 'exec sleep 100000' }");
    let daemon = home.ready();
    let supervisor = daemon.supervisor();
    let other = home.path("other");
    copy_program("/bin/echo", &other);
    let refused = home.ask(["upgrade", other.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("does not answer as a neap"), "{refused:?}");
    assert_eq!(daemon.supervisor(), supervisor);
    daemon.stop();
}
