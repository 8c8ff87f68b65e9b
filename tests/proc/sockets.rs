//! H8: sockets that are held for processes, bound before anybody needs them, and never refused.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use neap::Process;
use neap::core::StateName;
use neap::spec::{Listener, Signal, Spec};

use crate::kept::send;
use crate::support::wait_until;
use crate::world::{World, at_once, await_lines, does, pid};

/// A process that is started by the first connection.
fn on_demand(name: &str, words: &[&str]) -> Spec {
    does(name, words).restart(at_once())
}

/// Adds it, and waits until it is listened for it.
fn arm(world: &mut World, spec: Spec) -> Process {
    let name = spec.name.clone();
    let process = world.add(spec);
    world.await_state(&name, StateName::Waiting);
    wait_until("its listeners are bound", || process.listeners().unwrap().iter().all(|listener| listener.bound));
    process
}

/// Where a TCP listener of a process is.
fn address(process: &Process, at: usize) -> SocketAddr {
    let listeners = process.listeners().unwrap();
    listeners[at].address.strip_prefix("tcp:").expect("a TCP listener").parse().unwrap()
}

/// What a server says in its first line.
fn line(stream: impl std::io::Read) -> String {
    let mut line = String::new();
    // Cut off is no answer.
    let _ = BufReader::new(stream).read_line(&mut line);
    line.trim_end().to_owned()
}

#[test]
fn the_first_connection_starts_the_process_which_is_given_its_listeners_by_number_and_name() {
    let mut world = World::new();
    let path = world.dir.join("web.sock");
    let process = arm(
        &mut world,
        on_demand("web", &["sockets", "env", "serve", "4"])
            .listen(Listener::tcp("127.0.0.1:0").name("http").fd_env("HTTP_FD"))
            .listen(Listener::unix("web.sock").mode(0o600).fd_env("ADMIN_FD"))
            .env("LISTEN_FDS", "99"),
    );
    let listeners = process.listeners().unwrap();
    assert_eq!((&*listeners[0].name, &*listeners[1].name), ("http", "web"));
    let told = fs::metadata(&path).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&told.permissions()) & 0o7777, 0o600);
    assert!(process.status().unwrap().pid.is_none(), "nobody has connected");
    let answer = line(UnixStream::connect(&path).unwrap());
    world.await_state("web", StateName::Running);
    assert_eq!(answer, pid(&process).to_string());
    let lines = await_lines(&process, 3);
    assert_eq!(lines[..3], ["2 of ours", "3 http stream listens blocks", "4 web stream listens blocks"]);
    for variable in ["LISTEN_FDS=2", "LISTEN_FDNAMES=http:web", "HTTP_FD=3", "ADMIN_FD=4"] {
        wait_until("it printed its variables", || crate::world::lines(&process).iter().any(|line| line == variable));
    }
    // Bound, so that a client waits rather than is refused.
    TcpStream::connect(address(&process, 0)).unwrap();
}

/// Clients that connect one after the other until this is dropped. A refusal is a failure; to be cut off is not.
struct Clients {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
}

impl Clients {
    fn new<S: std::io::Read>(connect: impl Fn() -> std::io::Result<S> + Send + 'static) -> Clients {
        let stop = Arc::new(AtomicBool::new(false));
        let ends = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut answered = 0;
            while !ends.load(Ordering::Relaxed) {
                let client = connect().unwrap_or_else(|error| panic!("a connection was refused: {error}"));
                let mut line = String::new();
                if BufReader::new(client).read_line(&mut line).is_ok() && !line.is_empty() {
                    answered += 1;
                }
            }
            answered
        });
        Clients { stop, thread: Some(thread) }
    }

    /// How many were answered. Fails if one was refused.
    fn end(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("a thread").join().expect("no connection was refused")
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_service_killed_twenty_times_behind_its_listener_refuses_no_connection() {
    let mut world = World::new();
    let process = arm(&mut world, on_demand("web", &["serve", "3"]).listen(Listener::tcp("127.0.0.1:0")));
    let address = address(&process, 0);
    let clients = Clients::new(move || TcpStream::connect(address));
    for _ in 0..20 {
        let pid = world.await_executed("web");
        // Somebody is served by this one.
        wait_until("this one answers", || line(TcpStream::connect(address).unwrap()) == pid.to_string());
        send(pid, Signal::KILL);
    }
    world.await_executed("web");
    assert!(clients.end() >= 20);
    assert_eq!(process.status().unwrap().run_count, 21);
}
