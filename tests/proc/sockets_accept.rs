//! One instance a connection; and processes that are stopped while nobody needs them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use neap::core::{Pid, StateName};
use neap::driver::sys::fault::{self, Call};
use neap::spec::{Listener, Spec};
use nix::errno::Errno;

use crate::kept::Kept;
use crate::sockets::{address, arm, both, line, on_demand, tcp, unix};
use crate::support::wait_until;
use crate::world::{World, done, is_dead, pid};

/// Each instance says what its variables are and which descriptors it has, then sends back what it is sent.
const SAYS_AND_ECHOES: &str =
    "env >&3; for fd in /proc/$$/fd/*; do echo fd ${fd##*/}; done >&3; echo done >&3; exec cat <&3 >&3";

fn echo(name: &str) -> Spec {
    Spec::new(name, ["sh", "-c", SAYS_AND_ECHOES])
}

/// What an instance said before it echoes: its variables, and `fd N` for its descriptors.
fn said(client: impl Read) -> (BTreeMap<String, String>, Vec<String>) {
    let (mut variables, mut fds) = (BTreeMap::new(), Vec::new());
    for line in BufReader::new(client).lines().map(|line| line.expect("it goes on")).take_while(|line| line != "done") {
        match (line.split_once('='), line.strip_prefix("fd ")) {
            (Some((name, value)), _) => drop(variables.insert(name.to_owned(), value.to_owned())),
            (None, Some(fd)) => fds.push(fd.to_owned()),
            (None, None) => {}
        }
    }
    (variables, fds)
}

fn echoes<S>(client: &S, text: &str)
where
    for<'a> &'a S: Read + Write,
{
    let mut client = client;
    client.write_all(text.as_bytes()).unwrap();
    let mut back = vec![0; text.len()];
    client.read_exact(&mut back).unwrap();
    assert_eq!(String::from_utf8_lossy(&back), text);
}

/// The names of the instances that are there, with their pids.
fn instances(world: &World) -> Vec<(String, Option<Pid>)> {
    let all = world.supervisor.list().unwrap();
    all.into_iter().filter(|s| s.name.contains('@')).map(|s| (s.name.to_string(), s.pid)).collect()
}

#[test]
fn each_connection_has_an_instance_that_is_told_who_connected() {
    let mut world = World::new();
    let spec = echo("echo")
        .listen(Listener::tcp("127.0.0.1:0").accept(8).client_fd_env("CLIENT"))
        .listen(Listener::unix("echo.sock").accept(8))
        .listen(Listener::tcp("[::1]:0").accept(8));
    let process = arm(&mut world, spec);
    let first = tcp(address(&process, 0)).unwrap();
    let (variables, fds) = said(&first);
    let told = |name: &str| variables.get(name).map(String::as_str);
    let (ours, pid) = (first.local_addr().unwrap(), told("LISTEN_PID").unwrap().to_owned());
    assert_eq!((told("REMOTE_ADDR"), told("REMOTE_PORT")), (Some("127.0.0.1"), Some(&*ours.port().to_string())));
    assert_eq!(
        (told("LISTEN_FDS"), told("LISTEN_FDNAMES"), told("CLIENT")),
        (Some("1"), Some("connection"), Some("3"))
    );
    // The last is the folder that the shell looks through; it keeps those of a redirection from 10 on.
    assert_eq!(fds.iter().filter(|fd| fd.len() == 1).collect::<Vec<_>>(), ["0", "1", "2", "3", "4"]);
    echoes(&first, "one\n");
    assert_eq!(instances(&world), [("echo@1".to_owned(), Some(Pid(pid.parse().unwrap())))]);
    let status = process.status().unwrap();
    assert_eq!((status.state, status.pid), (StateName::Waiting, None), "the process itself never runs");

    let second = unix(world.dir.join("echo.sock")).unwrap();
    let (variables, _) = said(&second);
    assert!(!variables.contains_key("REMOTE_ADDR") && !variables.contains_key("REMOTE_PORT"), "{variables:?}");
    assert!(!variables.contains_key("CLIENT"), "that is for the other listener");
    let third = tcp(address(&process, 2)).unwrap();
    assert_eq!(said(&third).0.get("REMOTE_ADDR").map(String::as_str), Some("::1"));
    echoes(&second, "two\n");
    echoes(&third, "three\n");
    echoes(&first, "one again\n");
    assert_eq!(instances(&world).len(), 3);
    let accepted: Vec<_> = process.listeners().unwrap().iter().map(|listener| listener.accepted).collect();
    assert_eq!(accepted, [Some(1), Some(1), Some(1)]);

    // Whoever is served by a program that ends sees the end: nobody else has the connection.
    first.shutdown(Shutdown::Write).unwrap();
    assert_eq!((&first).read(&mut [0; 1]).unwrap(), 0);
    wait_until("its instance is forgotten", || instances(&world).len() == 2);
}

#[test]
fn a_client_with_a_name_is_told_by_it() {
    let mut world = World::new();
    let process = arm(&mut world, echo("echo").listen(Listener::unix("@neap-test-named").accept(1)));
    assert!(process.listeners().unwrap()[0].bound);
    let name = std::os::unix::net::SocketAddr::from_abstract_name(b"neap-test-named").unwrap();
    let ours = nix::sys::socket::UnixAddr::new_abstract(b"neap-test-client").unwrap();
    let fd = nix::sys::socket::socket(
        nix::sys::socket::AddressFamily::Unix,
        nix::sys::socket::SockType::Stream,
        nix::sys::socket::SockFlag::SOCK_CLOEXEC,
        None,
    )
    .unwrap();
    nix::sys::socket::bind(std::os::fd::AsRawFd::as_raw_fd(&fd), &ours).unwrap();
    let theirs = nix::sys::socket::UnixAddr::new_abstract(name.as_abstract_name().unwrap()).unwrap();
    nix::sys::socket::connect(std::os::fd::AsRawFd::as_raw_fd(&fd), &theirs).unwrap();
    let client = UnixStream::from(fd);
    assert_eq!(said(&client).0.get("REMOTE_ADDR").map(String::as_str), Some("@neap-test-client"));
}

#[test]
fn beyond_the_limit_connections_wait_in_the_queue_until_an_instance_ends() {
    let mut world = World::new();
    let process = arm(&mut world, echo("echo").listen(Listener::tcp("127.0.0.1:0").accept(2)));
    let address = address(&process, 0);
    let clients: Vec<_> = (0..4).map(|_| tcp(address).unwrap()).collect();
    said(&clients[0]);
    said(&clients[1]);
    assert_eq!(instances(&world).len(), 2);
    assert_eq!(process.listeners().unwrap()[0].accepted, Some(2), "the others wait in the queue");
    clients[0].shutdown(Shutdown::Write).unwrap();
    said(&clients[2]);
    assert_eq!(process.listeners().unwrap()[0].accepted, Some(3));
    clients[1].shutdown(Shutdown::Write).unwrap();
    said(&clients[3]);
    echoes(&clients[2], "three");
    echoes(&clients[3], "four");
}

#[test]
fn a_stop_ends_the_instances_and_a_delete_closes_the_listener() {
    let mut world = World::new();
    let process = arm(&mut world, echo("echo").listen(Listener::tcp("127.0.0.1:0").accept(4)));
    let address = address(&process, 0);
    let client = tcp(address).unwrap();
    said(&client);
    let pid = instances(&world)[0].1.expect("a pid");
    done(process.stop()).unwrap();
    assert!(is_dead(pid));
    assert_eq!((&client).read(&mut [0; 1]).unwrap_or(0), 0);
    done(process.delete(true)).unwrap();
    wait_until("the port is closed", || tcp(address).is_err());
}

#[test]
fn without_descriptors_connections_wait_until_there_are_some() {
    let mut world = World::new();
    let process = arm(&mut world, echo("echo").listen(Listener::tcp("127.0.0.1:0").accept(4)));
    let _fault = fault::everywhere(Call::Accept, 0, 1, Errno::EMFILE as i32);
    let client = tcp(address(&process, 0)).unwrap();
    said(&client);
    echoes(&client, "served");
    let warned = world.await_event("a warning", |event| match &event.kind {
        neap::core::EventKind::Warning { text } => Some(text.clone()),
        _ => None,
    });
    assert!(warned.starts_with("cannot accept connections for now: ") && warned.ends_with("; they wait"), "{warned}");
}

#[test]
fn a_connection_is_served_on_while_the_supervisor_is_killed_and_the_next_is_served_by_its_successor() {
    both(|options| {
        let kept = Kept::new(options);
        let path = kept.dir.join("echo.sock");
        kept.add(&echo("echo").listen(Listener::unix(path.to_str().unwrap()).accept(2)));
        kept.await_state("echo", StateName::Waiting);
        wait_until("it is listened for", || unix(&path).is_ok());
        wait_until("that instance is over", || kept.list().len() == 1);
        let first = unix(&path).unwrap();
        said(&first);
        kept.kill_and(|| echoes(&first, "while nobody supervises"));
        echoes(&first, "and after");
        let second = unix(&path).unwrap();
        said(&second);
        let third = unix(&path).unwrap();
        wait_until("both instances are there", || kept.list().len() == 3);
        first.shutdown(Shutdown::Write).unwrap();
        // The first one's end makes room, although another supervisor started it.
        said(&third);
        echoes(&second, "two");
        echoes(&third, "three");
        kept.stop("echo");
    });
}

#[test]
fn a_process_that_has_no_connection_for_its_idle_time_is_stopped_until_the_next_one() {
    let mut world = World::new();
    let idle = Duration::from_millis(60);
    let spec = |name: &str, listener: Listener| on_demand(name, &["hold", "3"]).listen(listener.idle_stop(idle));
    let busy = arm(&mut world, spec("busy", Listener::tcp("127.0.0.1:0")));
    let (busy_address, path) = (address(&busy, 0), world.dir.join("calm.sock"));
    let open = tcp(busy_address).unwrap();
    world.await_state("busy", StateName::Running);
    let busy_pid = pid(&busy);
    let calm = arm(&mut world, spec("calm", Listener::unix("calm.sock")));
    for _ in 0..4 {
        let client = unix(&path).unwrap();
        world.await_state("calm", StateName::Running);
        drop(client);
        world.await_state("calm", StateName::Stopping);
        world.await_state("calm", StateName::Waiting);
    }
    assert_eq!(calm.status().unwrap().restarts, 0, "an idle stop is no failure");
    assert_eq!(
        (pid(&busy), busy.status().unwrap().run_count),
        (busy_pid, 1),
        "a connection that is open is no idleness"
    );
    drop(open);
    world.await_state("busy", StateName::Stopping);
    world.await_state("busy", StateName::Waiting);
    tcp(busy_address).unwrap();
    world.await_state("busy", StateName::Running);
}

#[test]
fn a_program_that_ends_without_accepting_is_not_started_in_a_circle() {
    let mut world = World::new();
    let restart = neap::spec::Restart::on_failure().limit(3, Duration::from_secs(600)).delay(Duration::ZERO);
    let process =
        arm(&mut world, on_demand("bad", &["exit", "0"]).restart(restart).listen(Listener::tcp("127.0.0.1:0")));
    let client = tcp(address(&process, 0)).unwrap();
    world.await_state("bad", StateName::Crashed);
    assert!(process.status().unwrap().run_count <= 21, "{:?}", process.status());
    // Still bound: who connects waits for somebody to mend it.
    tcp(address(&process, 0)).unwrap();
    drop((client, line(&b""[..])));
}

#[test]
fn what_instances_print_is_in_the_log_of_their_process() {
    let mut world = World::new();
    let file = world.dir.join("echo.log");
    let mut spec = Spec::new("echo", ["sh", "-c", "echo to $REMOTE_PORT; echo oops >&2; exec cat <&3 >&3"])
        .listen(Listener::tcp("127.0.0.1:0").accept(4));
    spec.log.file = Some(file.to_str().unwrap().to_owned());
    let process = arm(&mut world, spec);
    let clients: Vec<_> = (0..3).map(|_| tcp(address(&process, 0)).unwrap()).collect();
    clients.iter().for_each(|client| echoes(client, "x"));
    let mut expected: Vec<_> =
        clients.iter().map(|client| format!("to {}", client.local_addr().unwrap().port())).collect();
    expected.extend(["oops"; 3].map(str::to_owned));
    expected.sort();
    let sorted = |mut lines: Vec<String>| {
        lines.sort();
        lines
    };
    wait_until("all is in the ring", || sorted(crate::world::lines(&process)) == expected);
    let in_file = || std::fs::read_to_string(&file).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    let has_each = |lines: &[String]| expected.iter().all(|line| lines.iter().any(|found| found.contains(&**line)));
    wait_until("all is in the file", || in_file().len() == 6 && has_each(&in_file()));
    let instance = world.supervisor.get("echo@1").expect("it serves");
    assert_eq!(crate::world::lines(&instance).len(), 6, "an instance's log is that of its process");
    let files: Vec<_> = std::fs::read_dir(world.dir.path()).unwrap().flatten().map(|f| f.file_name()).collect();
    assert!(!files.iter().any(|name| name.to_string_lossy().contains('@')), "{files:?}");
}
