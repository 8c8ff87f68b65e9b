//! How much memory the anchor takes.

use std::fs;

use crate::common::Epilogue;
use crate::support::Anchor;

#[test]
fn it_takes_less_than_a_megabyte_of_memory_whatever_it_holds() {
    let _epilogue = Epilogue::new();
    let mut anchor = Anchor::start();
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
    again.does("ready");
    // The answer to a second one says that the first was heard.
    again.ask("hello");
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
