//! Supervisors that say anything.

use nix::sys::signal::Signal;

use crate::common::{Epilogue, actor, wait_until};
use crate::support::{Anchor, value};

#[test]
fn nonsense_is_dropped_and_the_anchor_lives_on() {
    let _epilogue = Epilogue::new();
    let mut anchor = Anchor::start();
    let mut supervisor = anchor.next();
    supervisor.ask("hello");
    supervisor.does("ready");
    supervisor.does("nonsense 30000");
    supervisor.last("die SIGKILL");
    let mut again = anchor.next();
    assert_eq!(again.value("hello", "lives"), "2");
    again.does("hold 1 x");
    again.does("finished 9");
    again.last("exit 0");
    assert_eq!(anchor.end(), Some(9));
}

#[test]
fn a_supervisor_of_another_version_is_refused_and_costs_nothing() {
    let _epilogue = Epilogue::new();
    let mut anchor = Anchor::start();
    let mut supervisor = anchor.next();
    supervisor.ask("hello");
    supervisor.does("hold 1 x");
    supervisor.does("ready");
    supervisor.last("die SIGKILL");
    let mut other = anchor.next();
    // Version 1, refused (105).
    assert_eq!(other.ask("version 9"), "[1, 0, 105, 0]");
    wait_until("it is said", || {
        anchor.said().contains("speaks version 9 of the anchor's protocol, this anchor version 1")
    });
    other.last("exit 1");
    let mut again = anchor.next();
    assert_eq!(again.value("hello", "held"), "1");
    again.does("finished 0");
    again.last("exit 0");
    assert_eq!(anchor.end(), Some(0));
}

#[test]
fn one_that_hears_nothing_holds_up_nobody_and_loses_no_status() {
    let _epilogue = Epilogue::new();
    let mut anchor = Anchor::start();
    let mut supervisor = anchor.next();
    supervisor.ask("hello");
    supervisor.does("ready");
    let done = anchor.path("done");
    // More than fit into the socket; none is heard until all have ended.
    let words = format!("repeat 1500 {{ orphan {{ exit 3 }} }} touch {} exit 4", done.display());
    supervisor.ask(&format!("spawn {} {words}", actor().display()));
    wait_until("all have ended", || done.exists());
    supervisor.last("die SIGKILL");
    let mut again = anchor.next();
    let hello = again.ask("hello");
    let mut ends: Vec<&str> = value(&hello, "ended").split(',').filter(|end| !end.is_empty()).collect();
    let more = 1501 - ends.len();
    let rest = again.ask(&format!("news {more}"));
    ends.extend(rest.split(',').filter(|end| !end.is_empty()));
    let with = |status: &str| ends.iter().filter(|end| end.ends_with(status)).count();
    assert_eq!((ends.len(), with(":3"), with(":4")), (1501, 1500, 1));
    anchor.signal(Signal::SIGTERM);
    assert_eq!(again.ask("signal"), "SIGTERM");
    again.does("finished 0");
    again.last("exit 0");
    assert_eq!(anchor.end(), Some(0));
}
