//! Listeners as their users see them: whatever dies, no connection is refused.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::common::{free_port, wait_until};
use crate::support::{DEADLINE, Daemon, Home, is, pid};

/// How often a service is killed.
const TIMES: usize = 20;

/// A program of this test's folder.
pub fn program(name: &str) -> String {
    format!("{}/tests/daemon/programs/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A process `NAME` that runs a program of the folder behind these listeners.
pub fn python(name: &str, file: &str, rest: &str) -> String {
    let program = program(file);
    format!("neap.process '{name}' {{ command = {{ 'python3', '{program}' }}, {rest} }}\n")
}

/// The echo behind these listeners; as often as it is killed, it is started anew.
pub fn echo(rest: &str) -> String {
    python(
        "echo",
        "echo.py",
        &format!("restart = {{ policy = 'always', delay = '10ms', factor = 1, limit = {{ burst = 1000 }} }}, {rest}"),
    )
}

/// Whether there is a Python; else why a test of it is skipped.
pub fn has(program: &str, test: &str) -> bool {
    let found =
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|dir| dir.join(program).exists());
    if !found {
        println!("skipped: {test}: no {program}");
    }
    found
}

/// Starts a daemon, and waits until its listeners are bound: that it is ready says that it has its configuration.
#[track_caller]
pub fn ready(home: &Home) -> Daemon<'_> {
    let daemon = home.ready();
    bound(home);
    daemon
}

/// Waits until no listener is being bound.
#[track_caller]
pub fn bound(home: &Home) {
    home.wait_until("all listeners are bound", |all| all.values().all(|row| row["reason"] != "for its sockets"));
}

/// Where somebody listens.
#[derive(Clone)]
pub enum At {
    Tcp(u16),
    Unix(PathBuf),
}

pub trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

impl At {
    pub fn connect(&self, patience: Duration) -> std::io::Result<Box<dyn Stream>> {
        Ok(match self {
            At::Tcp(port) => {
                let stream = TcpStream::connect(("127.0.0.1", *port))?;
                stream.set_read_timeout(Some(patience))?;
                Box::new(stream)
            }
            At::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(patience))?;
                Box::new(stream)
            }
        })
    }

    /// The pid that answers there; nothing if who took the call died over it.
    pub fn call(&self, patience: Duration) -> std::io::Result<Option<Pid>> {
        let mut stream = self.connect(patience)?;
        let mut line = String::new();
        let answered = stream.write_all(b"hello\n").and_then(|()| BufReader::new(stream).read_line(&mut line));
        let pid = line.strip_suffix(" hello\n").and_then(|pid| pid.parse().ok());
        Ok(pid.filter(|_| answered.is_ok()).map(Pid::from_raw))
    }

    /// The pid that answers there, which somebody must.
    #[track_caller]
    pub fn answer(&self) -> Pid {
        self.call(DEADLINE).unwrap().expect("an answer")
    }
}

/// What clients met with.
#[derive(Default)]
struct Met {
    /// Who answered last.
    last: Option<Pid>,
    answers: usize,
    connections: usize,
    refused: Vec<String>,
}

/// Clients that connect without a pause until they are told to end.
struct Clients {
    met: Arc<(Mutex<Met>, Condvar)>,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Clients {
    /// Two that wait for their answer, and one that gives up and connects anew.
    fn of(at: &At) -> Clients {
        let (met, over) = (Arc::new((Mutex::new(Met::default()), Condvar::new())), Arc::new(AtomicBool::new(false)));
        let patience = [DEADLINE, DEADLINE, Duration::from_millis(20)];
        let threads = patience.map(|patience| {
            let (at, met, over) = (at.clone(), Arc::clone(&met), Arc::clone(&over));
            std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let called = at.call(patience);
                    let mut met_now = met.0.lock().unwrap();
                    met_now.connections += 1;
                    match called {
                        Ok(Some(pid)) => {
                            met_now.last = Some(pid);
                            met_now.answers += 1;
                            met.1.notify_all();
                        }
                        Ok(None) => {}
                        Err(error) => met_now.refused.push(error.to_string()),
                    }
                }
            })
        });
        Clients { met, over, threads: threads.into() }
    }

    /// Waits until somebody else than this one answers.
    #[track_caller]
    fn served_by_other_than(&self, old: Option<Pid>) -> Pid {
        let met = self.met.0.lock().unwrap();
        let other = |met: &mut Met| met.refused.is_empty() && (met.last.is_none() || met.last == old);
        let (met, waited) = self.met.1.wait_timeout_while(met, DEADLINE, other).unwrap();
        assert!(met.refused.is_empty(), "refused: {:?}", met.refused);
        assert!(!waited.timed_out(), "nobody but {old:?} answers");
        met.last.unwrap()
    }

    /// Ends them; nobody was refused.
    #[track_caller]
    fn end(mut self) -> (usize, usize) {
        self.over.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
        let met = self.met.0.lock().unwrap();
        assert!(met.refused.is_empty(), "refused: {:?}", met.refused);
        (met.connections, met.answers)
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// What `describe --json` says of a process.
#[track_caller]
pub fn described(home: &Home, name: &str) -> Value {
    serde_json::from_str(&home.neap(["describe", name, "--json"])).unwrap()
}

fn killed_twenty_times_behind(home: &Home, at: &At) {
    let clients = Clients::of(at);
    let mut killed = None;
    for _ in 0..TIMES {
        let pid = clients.served_by_other_than(killed);
        kill(pid, Signal::SIGKILL).unwrap();
        killed = Some(pid);
    }
    clients.served_by_other_than(killed);
    let (connections, answers) = clients.end();
    assert!(connections > TIMES && answers > TIMES, "{connections} connections, {answers} answers");
    let row = &home.list()["echo"];
    assert_eq!(row["run_count"].as_u64(), Some(TIMES as u64 + 1), "{row}");
}

#[test]
fn a_service_killed_twenty_times_behind_its_listener_refuses_no_connection() {
    if !has("python3", "a_service_killed_twenty_times_behind_its_listener_refuses_no_connection") {
        return;
    }
    for unix in [false, true] {
        let home = Home::new();
        let (at, listener) = match unix {
            true => (At::Unix(home.path("echo.sock")), "unix = 'echo.sock'".to_owned()),
            false => {
                let port = free_port();
                (At::Tcp(port), format!("tcp = {port}"))
            }
        };
        home.config(&echo(&format!("listen = neap.listen {{ {listener} }}")));
        let daemon = ready(&home);
        assert!(is(&home.list()["echo"], "waiting"), "nobody connected yet");
        killed_twenty_times_behind(&home, &at);
        daemon.stop();
    }
}

#[test]
fn a_handler_hears_when_a_process_listens() {
    let home = Home::new();
    let handler =
        "neap.on('process.listening', function(event) neap.log.info(event.process .. ' ' .. event.reason) end)";
    let listen = "listen = neap.listen { unix = 'x.sock' }";
    home.config(&format!("{handler}\nneap.process('web', {{ command = {{ 'sleep', '1000' }}, {listen} }})"));
    let daemon = home.daemon();
    let heard = daemon.wait_for("web for a connection on ");
    assert!(heard.contains("x.sock"), "{heard}");
    wait_until("it is ready", || daemon.said().contains("neap: ready;"));
    daemon.stop();
}

#[test]
fn a_supervisor_that_is_killed_and_replaced_meanwhile_refuses_no_connection() {
    if !has("python3", "a_supervisor_that_is_killed_and_replaced_meanwhile_refuses_no_connection") {
        return;
    }
    let home = Home::new();
    let port = free_port();
    home.config(&echo(&format!("listen = {{ neap.listen {{ tcp = {port} }}, neap.listen {{ unix = 'echo.sock' }} }}")));
    let daemon = ready(&home);
    // While it waits for its first connection, too.
    daemon.crash();
    let all = home.list();
    assert!(is(&all["echo"], "waiting"), "{all:?}");
    let clients = [Clients::of(&At::Tcp(port)), Clients::of(&At::Unix(home.path("echo.sock")))];
    let served = clients[0].served_by_other_than(None);
    for round in 0..4 {
        match round % 2 {
            0 => daemon.crash(),
            _ => {
                home.neap(["upgrade"]);
            }
        }
        assert_eq!(At::Tcp(port).answer(), served, "the run goes on");
    }
    // The next supervisor can start it behind the listeners of the one before.
    let mut killed = served;
    for _ in 0..3 {
        kill(killed, Signal::SIGKILL).unwrap();
        killed = clients[0].served_by_other_than(Some(killed));
        assert_eq!(clients[1].met.0.lock().unwrap().refused, [""; 0]);
        daemon.crash();
    }
    clients.into_iter().for_each(|clients| assert!(clients.end().0 > 0));
    daemon.stop();
    assert!(!home.path("echo.sock").exists(), "its path is gone with it");
}

#[test]
fn an_apply_keeps_the_listeners_that_stay_and_closes_those_that_go() {
    if !has("python3", "an_apply_keeps_the_listeners_that_stay_and_closes_those_that_go") {
        return;
    }
    let home = Home::new();
    let (port, other) = (free_port(), home.path("echo.sock"));
    let tcp = format!("neap.listen {{ tcp = {port} }}");
    let both = format!("listen = {{ {tcp}, neap.listen {{ unix = 'echo.sock', mode = '0600' }} }}");
    home.config(&echo(&format!("listen = {tcp}")));
    let daemon = ready(&home);
    let clients = Clients::of(&At::Tcp(port));
    let first = clients.served_by_other_than(None);
    // What restarts it.
    home.config(&echo(&format!("env = {{ A = '1' }}, listen = {tcp}")));
    home.neap(["apply"]);
    let second = clients.served_by_other_than(Some(first));
    // One more, beside the one that stays.
    home.config(&echo(&both));
    home.neap(["apply"]);
    let third = clients.served_by_other_than(Some(second));
    assert_eq!(At::Unix(other.clone()).answer(), third);
    assert_eq!(mode(&other), 0o600);
    // Another mode of the same path.
    home.config(&echo(&both.replace("0600", "0666")));
    home.neap(["apply"]);
    clients.served_by_other_than(Some(third));
    At::Unix(other.clone()).answer();
    assert_eq!(mode(&other), 0o666);
    clients.end();
    // One less.
    home.config(&echo("listen = neap.listen { unix = 'echo.sock', mode = '0666' }"));
    home.neap(["apply"]);
    At::Unix(other.clone()).answer();
    let refused = At::Tcp(port).call(DEADLINE);
    assert_eq!(refused.map_err(|error| error.kind()), Err(ErrorKind::ConnectionRefused));
    // And none.
    home.config("");
    home.neap(["apply"]);
    assert!(!other.exists(), "its path is gone with it");
    daemon.stop();
}

fn mode(path: &Path) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions()) & 0o7777
}

#[test]
fn a_stop_lets_connections_queue_and_a_start_serves_them() {
    if !has("python3", "a_stop_lets_connections_queue_and_a_start_serves_them") {
        return;
    }
    let home = Home::new();
    let port = free_port();
    home.config(&echo(&format!("listen = neap.listen {{ tcp = {port}, name = 'http' }}")));
    let daemon = ready(&home);
    let at = At::Tcp(port);
    let first = at.answer();
    // That the instance itself has the port is in nobody's way.
    home.neap(["check", "--strict"]);
    home.neap(["stop", "echo"]);
    let queued: Vec<_> = (0..3)
        .map(|_| {
            let at = at.clone();
            std::thread::spawn(move || at.answer())
        })
        .collect();
    // What came meanwhile starts nothing: only a start does.
    assert_eq!(at.call(Duration::from_millis(50)).unwrap(), None);
    assert!(is(&home.list()["echo"], "stopped"));
    home.neap(["start", "echo"]);
    let second = pid(&home.list()["echo"]);
    for thread in queued {
        assert_eq!(thread.join().unwrap(), second);
    }
    assert_ne!(first, second);
    daemon.stop();
}

#[test]
fn who_was_not_asked_for_is_stopped_again_and_the_next_connection_starts_it() {
    let test = "who_was_not_asked_for_is_stopped_again_and_the_next_connection_starts_it";
    if !has("python3", test) {
        return;
    }
    let home = Home::new();
    home.config(&echo("listen = neap.listen { unix = 'echo.sock', idle_stop = '400ms' }"));
    let daemon = ready(&home);
    let at = At::Unix(home.path("echo.sock"));
    // An open connection is not idle, however quiet.
    let mut open = at.connect(DEADLINE).unwrap();
    open.write_all(b"hello\n").unwrap();
    let first = at.answer();
    let idle = |what: &str| {
        home.wait_until(what, |all| is(&all["echo"], "waiting"));
        daemon.wait_for("echo: waiting for a connection on unix:");
    };
    drop(open);
    idle("nobody is connected");
    let second = at.answer();
    assert_ne!(first, second);
    idle("nobody is connected again");
    daemon.stop();
}

#[test]
fn each_connection_gets_an_instance_and_at_most_so_many_do() {
    let home = Home::new();
    let port = free_port();
    let shell = "echo $REMOTE_ADDR is served; printf \"$REMOTE_ADDR \" >&3; exec cat <&3 >&3";
    home.config(&format!(
        "neap.process 'cat' {{ shell = [[{shell}]], listen = neap.listen {{ tcp = {port}, accept = 2 }} }}"
    ));
    let daemon = ready(&home);
    let at = At::Tcp(port);
    let said = |stream: &mut Box<dyn Stream>, words: &str| {
        stream.write_all(words.as_bytes()).unwrap();
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap()
    };
    let mut streams: Vec<_> = (0..3).map(|_| at.connect(DEADLINE).unwrap()).collect();
    for (number, stream) in streams.iter_mut().enumerate().take(2) {
        assert_eq!(said(stream, &format!("{number}\n")), format!("127.0.0.1 {number}\n"));
    }
    let instances = |home: &Home| home.list().keys().filter(|name| name.starts_with("cat@")).count();
    assert_eq!(instances(&home), 2);
    assert!(is(&home.list()["cat"], "waiting"));
    let why = home.neap(["why", "cat"]);
    assert!(why.contains("\n  for one of its 2 instances to end\n"), "{why}");
    // The third is served once there is room for it: when one is stopped, for example.
    let stopped = home.neap(["stop", "cat@1"]);
    assert!(stopped.starts_with("cat@1: stopped"), "{stopped}");
    streams.remove(0);
    assert_eq!(said(&mut streams[1], "2\n"), "127.0.0.1 2\n");
    let told = &described(&home, "cat")["listeners"][0];
    assert_eq!((&told["accepted"], &told["instances"]), (&3.into(), &2.into()), "{told}");
    // Over the supervisor's death, too.
    daemon.crash();
    assert_eq!(said(&mut streams[1], "3\n"), "3\n");
    drop(streams);
    home.wait_until("all instances are forgotten", |all| all.len() == 1);
    assert_eq!(home.neap(["logs", "cat"]), "127.0.0.1 is served\n".repeat(3));
    daemon.stop();
}

#[test]
fn the_first_connection_is_handed_over_with_the_listener() {
    if !has("python3", "the_first_connection_is_handed_over_with_the_listener") {
        return;
    }
    let home = Home::new();
    home.config(&echo("listen = neap.listen { unix = 'echo.sock', client_fd_env = 'CLIENT_FD' }"));
    let daemon = ready(&home);
    let at = At::Unix(home.path("echo.sock"));
    let first = at.answer();
    assert_eq!(at.answer(), first, "and the next comes to the listener");
    daemon.stop();
}

#[test]
fn a_path_that_is_anothers_fails_the_start_with_the_reason() {
    let home = Home::new();
    std::fs::write(home.path("taken"), "mine").unwrap();
    let live = std::os::unix::net::UnixListener::bind(home.path("live")).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let number = port.local_addr().unwrap().port();
    let listeners = ["unix = 'taken'".to_owned(), "unix = 'live'".to_owned(), format!("tcp = {number}")];
    let text: String = (listeners.iter().zip(["taken", "live", "port"]))
        .map(|(at, name)| {
            format!(
                "neap.process '{name}' {{ command = 'true', restart = 'never', listen = neap.listen {{ {at} }} }}\n"
            )
        })
        .collect();
    home.config(&text);
    let daemon = ready(&home);
    let all = home.wait_until("all failed", |all| all.values().all(|row| is(row, "failed")));
    let reason = |name: &str| all[name]["reason"].as_str().unwrap().to_owned();
    assert!(reason("taken").contains("is a file that is not ours"), "{}", reason("taken"));
    assert!(reason("live").contains("is in use by another program"), "{}", reason("live"));
    assert!(reason("port").contains("is in use by another program"), "{}", reason("port"));
    assert_eq!(std::fs::read_to_string(home.path("taken")).unwrap(), "mine");
    // One that nobody listens at any more is cleared away, and so is the trouble.
    drop((live, port));
    for name in ["live", "port"] {
        home.neap(["start", "--no-wait", name]);
    }
    daemon.stop();
}

#[test]
fn a_listener_is_made_changed_and_removed_at_run_time() {
    if !has("python3", "a_listener_is_made_changed_and_removed_at_run_time") {
        return;
    }
    let home = Home::new();
    home.config("");
    let daemon = ready(&home);
    let (path, program) = (home.path("made.sock"), program("echo.py"));
    let create = |name: &str| {
        let listen = format!("--listen-unix={}", path.display());
        home.ask(["create", name, &listen, "--listen-mode=0600", "--", "python3", &program])
    };
    let created = String::from_utf8(create("made").stdout).unwrap();
    assert_eq!(created, "made: created; a connection starts it\n");
    home.wait_until("it listens", |all| {
        all["made"]["reason"].as_str().is_some_and(|why| why.contains("for a connection on"))
    });
    assert_eq!(mode(&path), 0o600);
    let at = At::Unix(path.clone());
    let first = at.answer();
    // Of one address there is one listener.
    let refused = String::from_utf8(create("other").stderr).unwrap();
    assert!(refused.contains("--listen-unix: ") && refused.contains(" is listened at by `made`, too"), "{refused}");
    home.neap(["update", "made", "--listen-mode=0666", "--listen-name=x", "--restart-process"]);
    assert_eq!(mode(&path), 0o666);
    assert_ne!(at.answer(), first);
    let told = &described(&home, "made")["listeners"][0];
    assert_eq!((&told["name"], &told["bound"]), (&"x".into(), &true.into()), "{told}");
    home.neap(["delete", "--force", "made"]);
    assert!(!path.exists(), "its path is gone with it");
    daemon.stop();
}
