//! The service manager's side.

use std::io::IoSliceMut;
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, setsockopt, sockopt};

use crate::common::{Epilogue, TempDir};
use crate::support::{Anchor, anchored};

/// A text, and the pid that the kernel says it is from.
fn next(socket: &UnixDatagram) -> (String, i32) {
    let mut buffer = [0; 8192];
    let mut parts = [IoSliceMut::new(&mut buffer)];
    let mut control = nix::cmsg_space!(nix::sys::socket::UnixCredentials);
    let message =
        recvmsg::<UnixAddr>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty()).expect("a datagram");
    let from = message.cmsgs().unwrap().find_map(|control| match control {
        ControlMessageOwned::ScmCredentials(who) => Some(who.pid()),
        _ => None,
    });
    let length = message.bytes;
    (String::from_utf8_lossy(&buffer[..length]).into_owned(), from.expect("credentials"))
}

fn listening(address: &SocketAddr) -> UnixDatagram {
    let socket = UnixDatagram::bind_addr(address).unwrap();
    setsockopt(&socket, sockopt::PassCred, &true).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    socket
}

#[test]
fn what_a_supervisor_says_to_the_service_manager_comes_from_its_main_process() {
    let _epilogue = Epilogue::new();
    let folder = TempDir::new();
    let path = folder.join("notify");
    let name = format!("neap-test-{}", std::process::id());
    let by_path = (SocketAddr::from_pathname(&path).unwrap(), path.to_str().unwrap().to_owned());
    let by_name = (SocketAddr::from_abstract_name(&name).unwrap(), format!("@{name}"));
    for (address, variable) in [by_path, by_name] {
        let socket = listening(&address);
        let mut anchor = Anchor::start_with(|command| _ = command.env("NOTIFY_SOCKET", variable));
        let mut supervisor = anchor.next();
        assert_eq!(supervisor.ask("env NOTIFY_SOCKET"), "-", "one way is enough");
        supervisor.ask("hello");
        supervisor.does("notify READY=1\\nSTATUS=ready");
        supervisor.does("notify WATCHDOG=1");
        assert_eq!(next(&socket), ("READY=1\nSTATUS=ready".to_owned(), anchor.pid() as i32));
        assert_eq!(next(&socket), ("WATCHDOG=1".to_owned(), anchor.pid() as i32));
        drop(socket);
        supervisor.does("notify to nobody");
        supervisor.does("finished 0");
        supervisor.last("exit 0");
        assert_eq!(anchor.end(), Some(0));
    }
}

#[test]
fn a_watchdog_that_is_meant_for_us_reaches_the_supervisor_and_another_does_not() {
    let _epilogue = Epilogue::new();
    for (script, expected) in [
        ("WATCHDOG_PID=$$ WATCHDOG_USEC=30000000 exec \"$0\" \"$@\"", "30000000"),
        ("unset WATCHDOG_PID; WATCHDOG_USEC=30000000 exec \"$0\" \"$@\"", "30000000"),
        ("WATCHDOG_PID=1 WATCHDOG_USEC=30000000 exec \"$0\" \"$@\"", "-"),
    ] {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).arg(anchored());
        let mut anchor = Anchor::start_as(shell, |_| ());
        let mut supervisor = anchor.next();
        assert_eq!(supervisor.ask("env WATCHDOG_USEC"), expected);
        assert_eq!(supervisor.ask("env WATCHDOG_PID"), "-");
        supervisor.does("finished 0");
        supervisor.last("exit 0");
        assert_eq!(anchor.end(), Some(0));
    }
}

#[test]
fn a_supervisor_that_no_longer_says_that_all_is_well_is_killed_before_the_service_manager_ends_everything() {
    let _epilogue = Epilogue::new();
    let folder = TempDir::new();
    for says in ["WATCHDOG=1", "READY=1"] {
        is_killed_when_it_says_no_more_than(says, &folder.join(says));
    }
}

fn is_killed_when_it_says_no_more_than(says: &str, path: &Path) {
    let socket = listening(&SocketAddr::from_pathname(path).unwrap());
    let mut anchor = Anchor::start_with(|command| {
        command.env("NOTIFY_SOCKET", path).env("WATCHDOG_USEC", "500000").env_remove("WATCHDOG_PID");
    });
    let mut supervisor = anchor.next();
    supervisor.ask("hello");
    supervisor.does("ready");
    let pid = supervisor.pid();
    supervisor.does(&format!("notify {says}"));
    supervisor.gone();
    let mut again = anchor.next();
    assert_eq!(again.value("hello", "lives"), "2");
    assert!(anchor.said().starts_with(&format!("neap: the supervisor (pid {pid}) hangs: it is killed\n")));
    for (text, from) in [(says, "the supervisor"), ("WATCHDOG=1", "the anchor, for the time that the next one takes")] {
        assert_eq!(next(&socket), (text.to_owned(), anchor.pid() as i32), "{from}");
    }
    again.does("finished 0");
    again.last("exit 0");
    assert_eq!(anchor.end(), Some(0));
}

#[test]
fn a_watchdogs_abort_stops_everything() {
    let _epilogue = Epilogue::new();
    let mut anchor = Anchor::start();
    let mut supervisor = anchor.next();
    supervisor.ask("hello");
    supervisor.does("ready");
    supervisor.ask(&format!("spawn {} wait", crate::common::actor().display()));
    anchor.signal(nix::sys::signal::Signal::SIGABRT);
    assert_eq!(anchor.end(), Some(134));
    supervisor.gone();
    assert_eq!(anchor.said(), "neap: SIGABRT, as of a watchdog: everything is stopped\n");
}
