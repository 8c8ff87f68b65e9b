//! H6, H7: what is said over a notify socket, by whom, and what is not believed.

use std::io::{IoSlice, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use neap::Process;
use neap::core::{EventKind, ExitStatus, StateName};
use neap::spec::{ProcessType, Signal, Spec};

use crate::support::{root_or_skip, wait_until};
use crate::world::{World, at_once, await_lines, does, done, pid};

fn notify(name: &str, words: &[&str]) -> Spec {
    does(name, words).process_type(ProcessType::Notify)
}

/// The path that the process was given, which it must print first.
fn socket_of(process: &Process) -> String {
    wait_until("it printed its environment", || crate::world::lines(process).iter().any(|l| l == "printed"));
    let lines = crate::world::lines(process);
    lines.iter().find_map(|l| l.strip_prefix("NOTIFY_SOCKET=")).expect("a NOTIFY_SOCKET").to_owned()
}

#[test]
fn ready_and_status_are_believed_when_they_come_from_the_tree() {
    let world = World::new();
    let words = ["notify", "STATUS=loading", "fork", "{", "notify", "STATUS=all well\\nREADY=1", "}", "wait"];
    let process = world.start(notify("web", &words));
    wait_until("its status is known", || process.status().unwrap().status_text.as_deref() == Some("all well"));
}

#[test]
fn strangers_garbage_and_floods_are_dropped_and_the_process_is_still_heard() {
    let mut world = World::new();
    std::fs::write(world.dir.join("block"), "").unwrap();
    let process = world.add(notify("web", &["env", "say", "printed", "gone", "block", "notify", "READY=1", "wait"]));
    let answer = process.start();
    world.await_executed("web");
    let stranger = UnixDatagram::unbound().unwrap();
    stranger.connect(socket_of(&process)).unwrap();
    stranger.send(b"").unwrap();
    stranger.send(b"READY=1").unwrap();
    let big = vec![b'x'; 150_000];
    stranger.send(&big).unwrap();
    for _ in 0..20_000 {
        stranger.send(b"READY=1\nSTATUS=taken over\nMAINPID=1").unwrap();
    }
    let status = process.status().unwrap();
    assert_eq!((status.state, status.status_text), (StateName::Starting, None));
    std::fs::remove_file(world.dir.join("block")).unwrap();
    assert_eq!(done(answer), Ok(StateName::Running));
    assert_eq!(pid(&process), world.supervisor.get("web").unwrap().status().unwrap().pid.unwrap());
}

/// A descriptor whose last close waits for half a minute: what it sent is never taken.
fn slow_to_close() -> (std::net::TcpStream, std::net::TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let near = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    near.set_nonblocking(true).unwrap();
    while (&near).write(&[0; 65536]).is_ok() {}
    near.set_nonblocking(false).unwrap();
    let linger = nix::libc::linger { l_onoff: 1, l_linger: 30 };
    nix::sys::socket::setsockopt(&near, nix::sys::socket::sockopt::Linger, &linger).unwrap();
    (near, far)
}

#[test]
fn a_descriptor_that_is_slow_to_close_holds_nobody_up() {
    let mut world = World::new();
    std::fs::write(world.dir.join("block"), "").unwrap();
    let process = world.add(notify("web", &["env", "say", "printed", "gone", "block", "notify", "READY=1", "wait"]));
    let answer = process.start();
    world.await_executed("web");
    let sender = UnixDatagram::unbound().unwrap();
    sender.connect(socket_of(&process)).unwrap();
    let (near, far) = slow_to_close();
    let (fds, parts) = ([near.as_raw_fd()], [IoSlice::new(b"X=1")]);
    sendmsg::<()>(sender.as_raw_fd(), &parts, &[ControlMessage::ScmRights(&fds)], MsgFlags::empty(), None).unwrap();
    drop(near);
    std::thread::sleep(Duration::from_millis(100));
    let begun = Instant::now();
    assert_eq!(world.supervisor.list().unwrap().len(), 1);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    // Read to its end it closes, and the socket is heard again.
    drop(far);
    std::fs::remove_file(world.dir.join("block")).unwrap();
    assert_eq!(done(answer).unwrap(), StateName::Running);
}

#[test]
fn who_says_ready_and_exits_at_once_was_ready() {
    let mut world = World::new();
    for _ in 0..20 {
        let process = world.add(notify("web", &["notify", "READY=1", "exit", "0"]));
        assert_eq!(done(process.start()), Ok(StateName::Running));
        world.await_state("web", StateName::Exited);
        done(process.delete(false)).unwrap();
    }
}

#[test]
fn a_main_pid_that_is_no_member_of_the_tree_is_not_believed() {
    let mut world = World::new();
    let stranger = std::process::id();
    let words = ["notify", "MAINPID=1", "notify", &format!("MAINPID={stranger}"), "notify", "READY=1", "wait"];
    let process = world.start(notify("web", &words));
    assert_eq!(pid(&process), world.await_executed("web"));
}

#[test]
fn a_fork_that_announces_itself_becomes_the_main_process() {
    let mut world = World::new();
    // A shell knows its own pid and its child's.
    let script = "sleep 1000 & child=$!; \
                  python3 -c 'import os,socket,sys; s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM); \
                  s.connect(os.environ[\"NOTIFY_SOCKET\"]); s.send((\"MAINPID=\"+sys.argv[1]+\"\\nREADY=1\").encode())' $child; \
                  exit 0";
    if std::process::Command::new("python3").arg("--version").output().is_err() {
        return crate::support::skipped("a_fork_that_announces_itself_becomes_the_main_process", "needs python3");
    }
    let process = world.start(Spec::shell("web", script).process_type(ProcessType::Notify));
    let shell = world.await_executed("web");
    let main = world.await_event("the main pid is told", |event| match event.kind {
        EventKind::MainPid { pid } => Some(pid),
        _ => None,
    });
    assert_ne!(main, shell);
    assert_eq!(pid(&process), main);
    assert_eq!(world.await_exit("web"), ExitStatus::Code(0), "the shell's end is not the process's");
    assert_eq!(process.status().unwrap().state, StateName::Running);
    done(process.signal(Signal::KILL)).unwrap();
    world.await_state("web", StateName::Backoff);
    done(process.stop()).unwrap();
}

#[test]
fn the_next_run_is_heard_too_and_hears_nothing_of_the_last() {
    let mut world = World::new();
    let process = world.start(notify("web", &["say", "up", "notify", "READY=1", "wait"]).restart(at_once()));
    world.await_executed("web");
    for _ in 0..5 {
        done(process.signal(Signal::KILL)).unwrap();
        world.await_executed("web");
        world.await_state("web", StateName::Running);
    }
    await_lines(&process, 6);
}

#[test]
fn another_user_reaches_its_own_socket() {
    if !root_or_skip("another_user_reaches_its_own_socket") {
        return;
    }
    let world = World::new();
    let process = world.start(notify("web", &["env", "say", "printed", "notify", "READY=1", "wait"]).user("nobody"));
    let path = socket_of(&process);
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(path).unwrap());
    assert_ne!(owner, 0);
}
