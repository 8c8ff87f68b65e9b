//! The anchor as a program of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{Epilogue, skipped};
use crate::support::{Anchor, anchored};

/// A folder with the supervisor's program and the anchor's, linked; and without them in the end.
struct Installed(PathBuf);

impl Installed {
    fn new(name: &str) -> Option<Installed> {
        let Some(small) = option_env!("CARGO_BIN_EXE_neap-anchor") else {
            skipped(name, "this build has no anchor of its own");
            return None;
        };
        let folder = anchored().with_file_name(format!("{name}.{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        fs::hard_link(anchored(), folder.join("anchored")).unwrap();
        fs::hard_link(small, folder.join("neap-anchor")).unwrap();
        Some(Installed(folder))
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn program_of(pid: u32) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/exe")).unwrap()
}

fn ends_well(mut anchor: Anchor, small: &Path, installed: &Installed) {
    let mut supervisor = anchor.next();
    assert_eq!(supervisor.value("hello", "anchor"), anchor.pid().to_string());
    assert_eq!(program_of(anchor.pid()), small);
    assert_eq!(supervisor.value("who", "exe"), installed.0.join("anchored").to_str().unwrap());
    assert_eq!(
        (supervisor.value("who", "name"), supervisor.ask("env NEAP_IMAGE")),
        ("neap".to_owned(), "-".to_owned())
    );
    supervisor.does("ready");
    supervisor.last("die SIGKILL");
    let mut again = anchor.next();
    assert_eq!(again.value("hello", "lives"), "2");
    again.does("finished 6");
    again.last("exit 0");
    assert_eq!(anchor.end(), Some(6));
}

#[test]
fn an_anchor_that_lies_beside_the_program_is_the_one_that_is_executed() {
    let _epilogue = Epilogue::new();
    let Some(installed) = Installed::new("an_anchor_that_lies_beside_the_program") else { return };
    let anchor = Anchor::start_as(Command::new(installed.0.join("anchored")), |_| ());
    ends_well(anchor, &installed.0.join("neap-anchor"), &installed);
}

#[test]
fn one_of_another_version_lets_the_program_be_its_own_anchor() {
    let _epilogue = Epilogue::new();
    let Some(installed) = Installed::new("one_of_another_version") else { return };
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec 9<\"$0/anchored\"; NEAP_IMAGE=9:0.0.0 exec \"$0/neap-anchor\" \"$@\""]).arg(&installed.0);
    ends_well(Anchor::start_as(shell, |_| ()), &installed.0.join("anchored"), &installed);
}

#[test]
fn started_by_hand_it_says_what_to_start_instead() {
    let _epilogue = Epilogue::new();
    let Some(installed) = Installed::new("started_by_hand") else { return };
    let mut anchor = Anchor::start_as(Command::new(installed.0.join("neap-anchor")), |_| ());
    assert_eq!(anchor.end(), Some(2));
    assert_eq!(
        anchor.said(),
        "neap: neap-anchor is a part of Neap and started by it: run `neap daemon` or `neap up`\n"
    );
}

#[test]
fn it_takes_less_than_a_megabyte_of_memory_whatever_it_holds() {
    let _epilogue = Epilogue::new();
    let Some(installed) = Installed::new("it_takes_less_than_a_megabyte") else { return };
    let mut anchor = Anchor::start_as(Command::new(installed.0.join("anchored")), |_| ());
    let mut supervisor = anchor.next();
    supervisor.ask("hello");
    supervisor.does("ready");
    let kilobytes = |name: &str| -> u64 {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", anchor.pid())).unwrap();
        let line = rollup.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    let before = (kilobytes("Pss:"), kilobytes("Pss_Dirty:"));
    supervisor.does("hold-many 1 500");
    let words = "repeat 500 { orphan { exit 3 } } touch done wait";
    let child = supervisor.ask(&format!("spawn {} {words}", crate::common::actor().display()));
    crate::common::wait_until("all have ended", || anchor.path("done").exists());
    supervisor.last("die SIGKILL");
    let mut again = anchor.next();
    let hello = again.ask("hello");
    let after = (kilobytes("Pss:"), kilobytes("Pss_Dirty:"));
    println!("Pss and dirty: {before:?} kB; with 500 descriptors and 500 ends {after:?} kB");
    assert!(after.0 < 1024, "{after:?} kB");
    assert_eq!(crate::support::value(&hello, "held").split(',').count(), 500);
    let pid = child.split_once(' ').unwrap().0.parse().unwrap();
    crate::support::signal_to(pid, nix::sys::signal::Signal::SIGKILL);
    again.does("finished 0");
    again.last("exit 0");
    assert_eq!(anchor.end(), Some(0));
}
