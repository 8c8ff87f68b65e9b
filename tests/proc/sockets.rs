//! H8: sockets that are held for processes, bound before anybody needs them, and never refused.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;

use neap::Process;
use neap::core::{EventKind, StateName};
use neap::spec::{Listener, Restart, Signal, Spec};
use serde_json::json;

use crate::kept::{Kept, send};
use crate::support::{DEADLINE, free_port, root_or_skip, wait_until};
use crate::world::{World, at_once, await_lines, does, done, pid};

/// A process that is started by the first connection.
pub fn on_demand(name: &str, words: &[&str]) -> Spec {
    does(name, words).restart(at_once())
}

/// Adds it, and waits until it is listened for it.
pub fn arm(world: &mut World, spec: Spec) -> Process {
    let name = spec.name.clone();
    let process = world.add(spec);
    await_listening(world, &name);
    assert!(process.listeners().unwrap().iter().all(|listener| listener.bound));
    process
}

fn await_listening(world: &mut World, name: &str) {
    world.await_event(&format!("{name} is listened for"), |event| {
        let listens = matches!(event.kind, EventKind::Listening { .. });
        (listens && event.name.as_deref() == Some(name)).then_some(())
    });
}

/// Where a TCP listener of a process is.
pub fn address(process: &Process, at: usize) -> SocketAddr {
    let listeners = process.listeners().unwrap();
    listeners[at].address.strip_prefix("tcp:").expect("a TCP listener").parse().unwrap()
}

/// Connects; nothing is waited for without end.
pub fn tcp(to: impl ToSocketAddrs) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    Ok(stream)
}

pub fn unix(path: impl AsRef<Path>) -> std::io::Result<UnixStream> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    Ok(stream)
}

/// What a server says in its first line.
pub fn line(stream: impl std::io::Read) -> String {
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
        on_demand("web", &["sockets", "env", "greet", "4"])
            .listen(Listener::tcp("127.0.0.1:0").name("http").fd_env("HTTP_FD"))
            .listen(Listener::unix("web.sock").mode(0o600).fd_env("ADMIN_FD"))
            .env("LISTEN_FDS", "99"),
    );
    let listeners = process.listeners().unwrap();
    assert_eq!((&*listeners[0].name, &*listeners[1].name), ("http", "web"));
    let told = fs::metadata(&path).unwrap();
    assert_eq!(told.permissions().mode() & 0o7777, 0o600);
    assert!(process.status().unwrap().pid.is_none(), "nobody has connected");
    let answer = line(unix(&path).unwrap());
    world.await_state("web", StateName::Running);
    assert_eq!(answer, pid(&process).to_string());
    let lines = await_lines(&process, 3);
    assert_eq!(lines[..3], ["2 of ours", "3 http stream listens blocks", "4 web stream listens blocks"]);
    for variable in ["LISTEN_FDS=2", "LISTEN_FDNAMES=http:web", "HTTP_FD=3", "ADMIN_FD=4"] {
        wait_until("it printed its variables", || crate::world::lines(&process).iter().any(|line| line == variable));
    }
    // Bound, so that a client waits rather than is refused.
    tcp(address(&process, 0)).unwrap();
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
    let process = arm(&mut world, on_demand("web", &["greet", "3"]).listen(Listener::tcp("127.0.0.1:0")));
    let address = address(&process, 0);
    let clients = Clients::new(move || tcp(address));
    for _ in 0..20 {
        let pid = world.await_executed("web");
        // Somebody is served by this one.
        wait_until("this one answers", || line(tcp(address).unwrap()) == pid.to_string());
        send(pid, Signal::KILL);
    }
    world.await_executed("web");
    assert!(clients.end() >= 20);
    assert_eq!(process.status().unwrap().run_count, 21);
}

/// The path of a listener as the specs take it.
fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

#[test]
fn sockets_of_every_kind_are_passed_and_what_was_sent_before_the_start_is_received() {
    let mut world = World::new();
    let dir = world.dir.path().to_owned();
    let words = ["sockets", "receive", "3", "receive", "4", "receive", "6", "wait"];
    let process = arm(
        &mut world,
        on_demand("all", &words)
            .listen(Listener::udp("127.0.0.1:0").name("udp"))
            .listen(Listener::unix_dgram("sub/dgram").name("dgram"))
            .listen(Listener::unix_seqpacket("seqpacket").name("seqpacket"))
            .listen(Listener::fifo("fifo").name("fifo").mode(0o620))
            .listen(Listener::tcp("[::1]:0").name("six"))
            .listen(Listener::unix(format!("@{}", text(&dir.join("abstract")))).name("abstract")),
    );
    let listeners = process.listeners().unwrap();
    assert!(listeners[4].address.starts_with("tcp:[::1]:") && !listeners[4].address.ends_with(":0"), "{listeners:?}");
    let mode = |name: &str| fs::metadata(dir.join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!([mode("sub"), mode("sub/dgram"), mode("seqpacket"), mode("fifo")], [0o755, 0o660, 0o660, 0o620]);
    // A FIFO has a reader and a writer already: to open it for writing does not wait.
    fs::OpenOptions::new().write(true).open(dir.join("fifo")).unwrap().write_all(b"fifo").unwrap();
    let udp: SocketAddr = listeners[0].address.strip_prefix("udp:").unwrap().parse().unwrap();
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"udp", udp).unwrap();
    UnixDatagram::unbound().unwrap().send_to(b"dgram", dir.join("sub/dgram")).unwrap();
    let lines = await_lines(&process, 10);
    let expected = [
        "6 of ours",
        "3 udp dgram blocks",
        "4 dgram dgram blocks",
        "5 seqpacket seqpacket listens blocks",
        "6 fifo file blocks",
        "7 six stream listens blocks",
        "8 abstract stream listens blocks",
        "got udp",
        "got dgram",
        "got fifo",
    ];
    assert_eq!(lines, expected);
    world.await_state("all", StateName::Running);
    assert_eq!(process.status().unwrap().run_count, 1);
    done(world.supervisor.shutdown()).unwrap();
    let left: Vec<_> = ["sub/dgram", "seqpacket", "fifo"].into_iter().filter(|name| dir.join(name).exists()).collect();
    assert_eq!(left, Vec::<&str>::new(), "paths of listeners that are closed");
}

/// Why a process with this listener does not start.
fn refusal(world: &World, listener: Listener) -> String {
    static NAMES: AtomicU32 = AtomicU32::new(0);
    let name = format!("refused-{}", NAMES.fetch_add(1, Ordering::Relaxed));
    let process = world.add(does(&name, &["wait"]).auto_start(true).listen(listener));
    let error = done(process.start()).expect_err("it does not start");
    done(process.delete(true)).unwrap();
    error.to_string()
}

#[test]
fn an_address_that_cannot_be_had_fails_the_start_with_the_reason_and_touches_nothing() {
    let world = World::new();
    let dir = world.dir.path();
    let name = fs::read_to_string("/proc/self/comm").unwrap();
    let us = format!("{} (pid {})", name.trim_end(), std::process::id());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    let why = refusal(&world, Listener::tcp(at.to_string()));
    assert!(
        why.contains(&format!("cannot listen at `tcp:{at}`: it is in use by another program, {us}: end that, or")),
        "{why}"
    );
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    let why = refusal(&world, Listener::udp(at.to_string()));
    assert!(why.contains(&format!("cannot listen at `udp:{at}`: it is in use by another program")), "{why}");
    let why = refusal(&world, Listener::tcp("192.0.2.1:8080"));
    assert!(why.contains("cannot listen at `tcp:192.0.2.1:8080`: this host does not have that address"), "{why}");

    fs::write(dir.join("file"), "a stranger's").unwrap();
    let why = refusal(&world, Listener::unix("file"));
    assert!(
        why.contains("cannot listen at `unix:file`: what is there is no socket, and is a file that is not ours"),
        "{why}"
    );
    let why = refusal(&world, Listener::fifo("file"));
    assert!(
        why.contains("cannot listen at `fifo:file`: what is there is no FIFO, and is a file that is not ours"),
        "{why}"
    );
    assert_eq!(fs::read_to_string(dir.join("file")).unwrap(), "a stranger's");
    std::os::unix::fs::symlink(dir.join("file"), dir.join("link")).unwrap();
    let why = refusal(&world, Listener::unix_dgram("link"));
    assert!(why.contains("what is there is no socket"), "{why}");
    let why = refusal(&world, Listener::unix("file/below"));
    assert!(why.contains("cannot listen at `unix:file/below`: cannot make its folder"), "{why}");

    let live = UnixListener::bind(dir.join("live")).unwrap();
    let why = refusal(&world, Listener::unix("live"));
    assert!(
        why.contains(&format!("cannot listen at `unix:live`: it is in use by another program, {us}: end that, or")),
        "{why}"
    );
    let why = refusal(&world, Listener::unix_seqpacket("live"));
    assert!(why.contains("cannot listen at `unix_seqpacket:live`: it is in use by another program"), "{why}");
    drop(live);
    let why = refusal(&world, Listener::unix("owned").user("nobody-of-this-name"));
    assert!(why.contains("user `nobody-of-this-name` does not exist"), "{why}");
    assert!(!dir.join("owned").exists());
}

#[test]
fn of_several_listeners_all_are_bound_or_none() {
    let world = World::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let process = world.add(
        does("web", &["wait"])
            .listen(Listener::unix("first"))
            .listen(Listener::fifo("second"))
            .listen(Listener::tcp(taken.local_addr().unwrap().to_string())),
    );
    done(process.start()).expect_err("a port in use");
    assert!(!world.dir.join("first").exists() && !world.dir.join("second").exists());
    drop(taken);
    done(process.start()).unwrap();
    assert!(process.listeners().unwrap().iter().all(|listener| listener.bound));
}

#[test]
fn a_socket_that_a_dead_program_left_is_bound_anew() {
    let mut world = World::new();
    for (name, listener) in [
        ("stream", Listener::unix("stream")),
        ("dgram", Listener::unix_dgram("dgram")),
        ("seqpacket", Listener::unix_seqpacket("seqpacket")),
        ("fifo", Listener::fifo("fifo")),
    ] {
        let path = world.dir.join(name);
        match name {
            "fifo" => nix::unistd::mkfifo(&path, nix::sys::stat::Mode::empty()).unwrap(),
            "dgram" => drop(UnixDatagram::bind(&path).unwrap()),
            _ => drop(UnixListener::bind(&path).unwrap()),
        }
        assert!(path.exists());
        let process = arm(&mut world, on_demand(name, &["wait"]).listen(listener));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o660);
        done(process.delete(true)).unwrap();
        wait_until("its path is gone", || !path.exists());
    }
}

#[test]
fn a_path_belongs_to_the_user_and_group_that_are_named() {
    if !root_or_skip("a_path_belongs_to_the_user_and_group_that_are_named") {
        return;
    }
    let mut world = World::new();
    let owned = |listener: Listener| listener.user("65534").group("12345").mode(0o640);
    let spec =
        on_demand("web", &["wait"]).listen(owned(Listener::unix("socket"))).listen(owned(Listener::fifo("fifo")));
    let process = arm(&mut world, spec.clone());
    for name in ["socket", "fifo"] {
        let metadata = fs::metadata(world.dir.join(name)).unwrap();
        assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777), (65534, 12345, 0o640), "{name}");
    }
    // What is bound is kept, and given to another.
    let inode = fs::metadata(world.dir.join("socket")).unwrap().ino();
    let mut other = spec;
    for listener in &mut other.listen {
        (listener.user, listener.mode) = (Some("0".into()), 0o600);
    }
    done(process.update(other)).unwrap();
    let path = world.dir.join("socket");
    wait_until("it is given to the other", || {
        let metadata = fs::metadata(&path).unwrap();
        (metadata.uid(), metadata.mode() & 0o7777, metadata.ino()) == (0, 0o600, inode)
    });
    await_listening(&mut world, "web");
}

#[test]
fn listeners_are_kept_over_stops_restarts_and_updates_that_leave_them_alone() {
    let mut world = World::new();
    let mut spec = on_demand("web", &["fork", "{", "greet", "4", "}", "greet", "3"])
        .listen(Listener::tcp("127.0.0.1:0"))
        .listen(Listener::unix("gone"))
        .listen(Listener::tcp("127.0.0.2:0").name("other").backlog(7));
    let process = arm(&mut world, spec.clone());
    let (first, last) = (address(&process, 0), address(&process, 2));
    done(process.start()).unwrap();
    done(process.restart()).unwrap();
    let clients = Clients::new(move || tcp(first));
    for _ in 0..5 {
        done(process.restart()).unwrap();
    }
    assert_eq!((address(&process, 0), address(&process, 2)), (first, last));
    spec.listen.remove(1);
    spec.listen.reverse();
    done(process.update_and_restart(spec)).unwrap();
    world.await_executed("web");
    wait_until("it listens at what is left", || process.listeners().unwrap().iter().all(|l| l.bound));
    assert_eq!((address(&process, 1), address(&process, 0)), (first, last));
    wait_until("the path is gone", || !world.dir.join("gone").exists());
    tcp(last).unwrap();
    clients.end();
}

#[test]
fn a_run_that_made_its_listener_non_blocking_leaves_the_next_one_a_blocking_one() {
    let mut world = World::new();
    let words = ["sockets", "unblock", "3", "wait"];
    let process = arm(&mut world, on_demand("web", &words).listen(Listener::tcp("127.0.0.1:0")));
    for run in 1..3 {
        done(if run == 1 { process.start() } else { process.restart() }).unwrap();
        let lines = await_lines(&process, run * 2);
        assert_eq!(lines[run * 2 - 1], "3 web stream listens blocks");
    }
}

#[test]
fn nobody_else_inherits_a_listener() {
    let mut world = World::new();
    let process = arm(&mut world, on_demand("web", &["wait"]).listen(Listener::tcp("127.0.0.1:0")));
    let other = world.start(does("other", &["fds", "say", "done", "wait"]));
    wait_until("it printed them", || crate::world::lines(&other).iter().any(|line| line == "done"));
    let lines = crate::world::lines(&other);
    assert!(!lines.iter().any(|line| line.contains("socket:")), "{lines:?}");
    done(process.start()).unwrap();
}

#[test]
fn a_path_that_was_removed_by_somebody_is_bound_anew_by_the_next_start() {
    let mut world = World::new();
    let process = arm(&mut world, on_demand("web", &["greet", "3"]).listen(Listener::unix("web.sock")));
    let path = world.dir.join("web.sock");
    line(unix(&path).unwrap());
    fs::remove_file(&path).unwrap();
    done(process.restart()).unwrap();
    assert_eq!(line(unix(&path).unwrap()), pid(&process).to_string());
}

#[test]
fn the_first_connection_is_handed_over_with_the_listener_where_that_is_wanted() {
    let mut world = World::new();
    let spec = on_demand("web", &["env", "say", "printed", "answer", "4", "greet", "3"])
        .listen(Listener::tcp("127.0.0.1:0").client_fd_env("CLIENT_FD").fd_env("LISTENER_FD"));
    let process = arm(&mut world, spec);
    let answer = line(tcp(address(&process, 0)).unwrap());
    assert_eq!(answer, pid(&process).to_string());
    let lines = crate::world::lines(&process);
    let has = |wanted: &str| lines.iter().any(|line| line == wanted);
    assert!(has("CLIENT_FD=4") && has("LISTENER_FD=3") && has("LISTEN_FDS=1"), "{lines:?}");
    // Started by a person there is no connection, and no variable.
    done(process.stop()).unwrap();
    done(
        process.update(
            on_demand("web", &["env", "say", "again", "wait"])
                .listen(Listener::tcp("127.0.0.1:0").client_fd_env("CLIENT_FD")),
        ),
    )
    .unwrap();
    done(process.start()).unwrap();
    wait_until("it printed its environment", || crate::world::lines(&process).iter().any(|line| line == "again"));
    let lines = crate::world::lines(&process);
    let printed = lines.iter().position(|line| line == "printed").unwrap();
    assert!(!lines[printed..].iter().any(|line| line.starts_with("CLIENT_FD=")), "{lines:?}");
}

#[test]
fn a_client_that_was_accepted_for_a_run_whose_program_cannot_be_executed_is_the_next_runs() {
    let mut world = World::new();
    let program = world.dir.join("server");
    let spec = Spec::new("web", [text(&program), "answer", "4", "wait"])
        .restart(Restart::never())
        .listen(Listener::unix("web.sock").client_fd_env("CLIENT_FD"));
    let process = arm(&mut world, spec);
    let client = unix(world.dir.join("web.sock")).unwrap();
    // It is started again for the client that waits, until that was too often.
    world.await_state("web", StateName::Crashed);
    std::os::unix::fs::symlink(crate::support::actor(), &program).unwrap();
    done(process.start()).unwrap();
    assert_eq!(line(&client), pid(&process).to_string());
    // And is no other run's.
    drop(client);
    done(process.stop()).unwrap();
    done(
        process.update(
            on_demand("web", &["env", "say", "printed", "wait"])
                .listen(Listener::unix("web.sock").client_fd_env("CLIENT_FD")),
        ),
    )
    .unwrap();
    done(process.start()).unwrap();
    wait_until("it printed its environment", || crate::world::lines(&process).iter().any(|line| line == "printed"));
    let lines = crate::world::lines(&process);
    assert!(!lines.iter().any(|line| line.starts_with("CLIENT_FD=")), "{lines:?}");
}

#[test]
fn a_listener_that_its_program_shut_down_listens_again_for_the_next_run() {
    let mut world = World::new();
    let listeners = |spec: Spec| {
        spec.listen(Listener::tcp("127.0.0.1:0"))
            .listen(Listener::unix("web.sock"))
            .listen(Listener::unix_seqpacket("seqpacket"))
            .listen(Listener::unix_dgram("dgram"))
    };
    let process = arm(
        &mut world,
        listeners(on_demand("web", &["shut", "3", "shut", "4", "shut", "5", "shut", "6"]).restart(Restart::never())),
    );
    let (address, path) = (address(&process, 0), world.dir.join("web.sock"));
    drop(tcp(address).unwrap());
    // It ends with success, and is listened for again.
    world.await_executed("web");
    await_listening(&mut world, "web");
    assert_eq!(process.status().unwrap().run_count, 1, "nobody connected since");
    let _clients = (tcp(address).unwrap(), unix(&path).unwrap());
    UnixDatagram::unbound().unwrap().send_to(b"dgram", world.dir.join("dgram")).unwrap();
    // So it is for a run that is started by hand.
    done(process.stop()).unwrap();
    let greets = ["sockets", "fork", "{", "greet", "4", "}", "greet", "3"];
    done(process.update(listeners(on_demand("web", &greets)))).unwrap();
    done(process.start()).unwrap();
    let said = [line(tcp(address).unwrap()), line(unix(&path).unwrap())];
    assert!(said.iter().all(|pid| !pid.is_empty()), "{said:?}");
}

/// With cgroups where the host has them, and without.
pub fn both(test: impl Fn(&[&str])) {
    test(&[]);
    test(&["groups"]);
}

#[test]
fn a_service_and_its_supervisor_killed_by_turns_refuse_no_connection() {
    both(|options| {
        let kept = Kept::new(options);
        let (path, port) = (kept.dir.join("web.sock"), free_port());
        let spec = on_demand("web", &["fork", "{", "greet", "4", "}", "greet", "3"])
            .listen(Listener::unix(text(&path)))
            .listen(Listener::tcp(format!("127.0.0.1:{port}")));
        kept.add(&spec);
        kept.await_status("web", "is listened for", |status| status.reason.starts_with("for a connection"));
        let unix_clients = Clients::new({
            let path = path.clone();
            move || unix(&path)
        });
        let tcp_clients = Clients::new(move || tcp(("127.0.0.1", port)));
        let mut killed = neap::core::Pid(0);
        for turn in 0..10 {
            let running = kept.await_status("web", "runs", |status| status.pid.is_some_and(|pid| pid != killed));
            let pid = running.pid.expect("a pid");
            wait_until("it answers", || !line(unix(&path).unwrap()).is_empty());
            match turn % 3 {
                0 => kept.kill(),
                1 => send(pid, Signal::KILL),
                _ => kept.kill_and(|| send(pid, Signal::KILL)),
            }
            killed = if turn % 3 == 0 { killed } else { pid };
        }
        kept.await_state("web", StateName::Running);
        assert!(unix_clients.end() > 5);
        assert!(tcp_clients.end() > 5);
        assert_eq!(kept.warnings(), Vec::<String>::new());
        kept.stop("web");
    });
}

#[test]
fn a_successor_takes_up_what_is_armed_and_its_first_connection_starts_the_process() {
    both(|options| {
        let kept = Kept::new(options);
        let path = kept.dir.join("web.sock");
        kept.add(&on_demand("web", &["greet", "3"]).listen(Listener::unix(text(&path))));
        wait_until("it is listened for", || path.exists());
        kept.await_state("web", StateName::Waiting);
        let inode = fs::metadata(&path).unwrap().ino();
        let mut waiting = None;
        kept.kill_and(|| waiting = Some(unix(&path).unwrap()));
        let answer = line(waiting.expect("it was connected"));
        kept.await_state("web", StateName::Running);
        assert_eq!(answer, kept.pid("web").to_string());
        assert_eq!(fs::metadata(&path).unwrap().ino(), inode, "it was not bound anew");
    });
}

#[test]
fn a_listener_that_overlaps_with_the_one_it_replaces_is_bound() {
    both(|options| {
        let kept = Kept::new(options);
        let (port, path) = (free_port(), kept.dir.join("web.sock"));
        let whole = format!("0.0.0.0:{port}");
        let spec = |listener: Listener| on_demand("web", &["wait"]).listen(listener);
        kept.add(&spec(Listener::tcp(format!("127.0.0.1:{port}"))));
        kept.await_status("web", "is listened for", |status| status.reason.starts_with("for a connection"));
        // Of these some have no copy that can be shut down, and are bound once the anchor closed its own.
        for listener in [
            Listener::tcp(&*whole),
            Listener::tcp(format!("127.0.0.1:{port}")),
            Listener::unix(text(&path)),
            Listener::unix_dgram(text(&path)),
            Listener::unix_seqpacket(text(&path)),
            Listener::fifo(text(&path)),
            Listener::unix(text(&path)),
            Listener::udp(format!("127.0.0.1:{port}")),
            Listener::udp(&*whole),
        ] {
            let at = format!("for a connection on {}", listener.address);
            kept.update(&spec(listener));
            kept.await_status("web", &at, |status| status.reason == at);
        }
        UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"x", ("127.0.0.1", port)).unwrap();
        kept.await_state("web", StateName::Running);
        kept.stop("web");
    });
}

#[test]
fn a_listener_that_was_closed_is_in_nobodys_way() {
    let kept = Kept::new(&["groups"]);
    let (port, path) = (free_port(), kept.dir.join("web.sock"));
    let mut last = None;
    for turn in 0..20 {
        let name = format!("web-{turn}");
        let spec = does(&name, &["fork", "{", "greet", "4", "}", "greet", "3"])
            .listen(Listener::tcp(format!("127.0.0.1:{port}")))
            .listen(Listener::unix(text(&path)));
        if let Some(last) = last.replace(name.clone()) {
            kept.delete(&last);
        }
        // Never restarted: the first binding is the only one.
        kept.add(&spec);
        kept.await_status(&name, "is listened for", |status| {
            assert_ne!(status.state, StateName::Failed, "{}", status.reason);
            status.reason.starts_with("for a connection")
        });
        assert!(path.exists());
    }
    let said = [line(tcp(("127.0.0.1", port)).unwrap()), line(unix(&path).unwrap())];
    assert!(said.iter().all(|pid| !pid.is_empty()), "{said:?}");
    kept.stop(&last.expect("a name"));
}

#[test]
fn a_listener_that_a_service_manager_passed_is_used_where_its_address_is_asked_for() {
    let (kept, passed) = Kept::passed(|| TcpListener::bind("127.0.0.1:0").unwrap());
    let at = passed.local_addr().unwrap();
    // With the socket open in another program this cannot be bound anew.
    kept.add(&on_demand("web", &["greet", "3"]).listen(Listener::tcp(at.to_string())));
    kept.await_state("web", StateName::Waiting);
    for _ in 0..2 {
        let answer = line(tcp(at).unwrap());
        kept.await_state("web", StateName::Running);
        assert_eq!(answer, kept.pid("web").to_string());
        kept.kill();
    }
    kept.stop("web");
}

/// Has a process listened for, started by a connection, and stopped; the supervisor dies at this call. Whether it came so far.
fn listen_and_die(kept: &Kept, at: usize) -> bool {
    let path = kept.dir.join("web.sock");
    let spec = on_demand("web", &["greet", "3"]).listen(Listener::unix(text(&path)));
    kept.ask(json!({"do": "die-at", "at": at}));
    wait_until(&format!("it is defined, with a death at {at}"), || {
        kept.try_ask(&json!({"do": "add", "spec": spec})).is_some() && kept.list().len() == 1
    });
    let answer = || unix(&path).map(line).unwrap_or_default();
    let mut pid = String::new();
    for _ in 0..2 {
        wait_until(&format!("the next one answers, with a death at {at}"), || {
            let answer = answer();
            let is_new = !answer.is_empty() && answer != pid;
            pid = if is_new { answer } else { std::mem::take(&mut pid) };
            is_new
        });
        send(neap::core::Pid(pid.parse().unwrap()), Signal::KILL);
    }
    wait_until(&format!("it is stopped, with a death at {at}"), || {
        kept.try_ask(&json!({"do": "stop", "name": "web"})).is_some() && kept.status("web").state == StateName::Stopped
    });
    kept.life().1 > 1
}

#[test]
fn a_supervisor_that_dies_at_any_call_is_followed_by_one_that_listens() {
    // All of them with NEAP_ALL=1; else some.
    let step = if std::env::var_os("NEAP_ALL").is_some() { 1 } else { 9 };
    let mut at = 2;
    while listen_and_die(&Kept::new(&["groups"]), at) {
        at += step;
    }
    assert!(at > 12, "{at} calls to die at are too few to mean something");
}
