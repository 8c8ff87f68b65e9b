//! Listeners and programs that others wrote: they take what they take from systemd.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use serde_json::Value;

use crate::common::free_port;
use crate::sockets::{At, bound, echo, has, program, python, ready};
use crate::support::{DEADLINE, Home, is, pid};

/// A child that is ended with the test, whatever becomes of it.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the program that shows what it was passed says to its first connection.
fn shown_over(mut stream: impl Read) -> Value {
    let mut text = String::new();
    BufReader::new(&mut stream).read_line(&mut text).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Connects until there is somebody.
fn connected(port: u16) -> TcpStream {
    let deadline = std::time::Instant::now() + DEADLINE;
    loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => return stream,
            Err(error) => assert!(std::time::Instant::now() < deadline, "{error}"),
        }
        std::thread::yield_now();
    }
}

/// What it is passed by systemd's own tool.
fn shown_by_systemd(home: &Home, options: &[&str]) -> Value {
    let port = free_port();
    let mut command = Command::new("systemd-socket-activate");
    command.arg("-l").arg(format!("127.0.0.1:{port}")).args(options).args(["python3", &program("show.py")]);
    home.surround(&mut command);
    let _reference = Ended(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    shown_over(connected(port))
}

fn shown_by_neap(home: &Home, options: &str) -> Value {
    let port = free_port();
    home.config(&python(
        "show",
        "show.py",
        &format!("restart = 'never', listen = neap.listen {{ tcp = {port}, {options} }}"),
    ));
    let daemon = ready(home);
    let shown = shown_over(connected(port));
    daemon.stop();
    shown
}

#[test]
fn a_child_gets_from_us_what_it_gets_from_systemd_socket_activate() {
    let test = "a_child_gets_from_us_what_it_gets_from_systemd_socket_activate";
    if !has("systemd-socket-activate", test) || !has("python3", test) {
        return;
    }
    let home = Home::new();
    let named = shown_by_systemd(&home, &["--fdname=http"]);
    assert_eq!(named["LISTEN_PID"], "mine", "{named}");
    assert_eq!(shown_by_neap(&home, "name = 'http'"), named);
    let accepted = shown_by_systemd(&home, &["--accept"]);
    let mut ours = shown_by_neap(&home, "accept = true");
    // The one variable more that systemd itself sets, and its tool may not.
    for name in ["REMOTE_ADDR", "REMOTE_PORT", "LISTEN_FDNAMES"] {
        if accepted.get(name).is_none() {
            assert!(ours.as_object_mut().unwrap().remove(name).is_some(), "{name}");
        } else if name == "REMOTE_PORT" {
            ours[name] = accepted[name].clone();
        }
    }
    assert_eq!(ours, accepted);
}

#[test]
fn listeners_of_every_kind_are_what_they_say() {
    if !has("python3", "listeners_of_every_kind_are_what_they_say") {
        return;
    }
    let home = Home::new();
    let port = free_port();
    let listeners = format!(
        "restart = 'never', listen = {{ neap.listen {{ unix_dgram = 'd.sock', name = 'd' }}, neap.listen {{ udp = {port} }}, \
         neap.listen {{ unix_seqpacket = 's.sock', name = 's' }}, neap.listen {{ unix = '@neap-test-{port}', name = 'a' }}, \
         neap.listen {{ fifo = 'f', name = 'f' }} }}"
    );
    home.config(&python("show", "show.py", &listeners));
    let daemon = ready(&home);
    let client = UnixDatagram::bind(home.path("client")).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    client.send_to(b"hello", home.path("d.sock")).unwrap();
    let mut answer = [0; 65_536];
    let length = client.recv(&mut answer).unwrap();
    let shown: Value = serde_json::from_slice(&answer[..length]).unwrap();
    assert_eq!((&shown["LISTEN_FDS"], &shown["LISTEN_FDNAMES"]), (&"5".into(), &"d:show:s:a:f".into()));
    let (unix, inet, stream, dgram, seqpacket) = (1, 2, 1, 2, 5);
    let expected = [(unix, dgram, false), (inet, dgram, false), (unix, seqpacket, true), (unix, stream, true)];
    for (fd, (family, kind, listens)) in (3..).zip(expected) {
        let one = &shown["descriptors"][fd.to_string()];
        assert_eq!((&one["socket"], &one["listens"]), (&serde_json::json!([family, kind]), &listens.into()), "{shown}");
    }
    let fifo = &shown["descriptors"]["7"];
    assert_eq!((&fifo["kind"], &fifo["access"]), (&0o010_000.into(), &2.into()), "{shown}");
    for fd in 3..8 {
        let one = &shown["descriptors"][fd.to_string()];
        assert_eq!((&one["nonblocking"], &one["cloexec"]), (&false.into(), &false.into()), "{shown}");
    }
    daemon.stop();
}

/// A web server of others: in a virtual environment that `.ci/run` made, or installed.
fn gunicorn() -> Option<PathBuf> {
    let made = std::env::var_os("NEAP_GUNICORN").map(PathBuf::from);
    let installed = ["/usr/bin/gunicorn", "/usr/local/bin/gunicorn"].map(PathBuf::from);
    made.into_iter().chain(installed).find(|path| path.exists())
}

/// Whether this is the one that we started.
fn is_master(home: &Home, server: i32) -> bool {
    home.list()["web"]["pid"] == server
}

/// The pid of the worker that answers, and of the server over it; nothing if it died over it.
fn asked(port: u16) -> Option<(i32, i32)> {
    // Whatever dies, nobody is refused.
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut text = String::new();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    stream.read_to_string(&mut text).ok()?;
    let (_, body) = text.split_once("\r\n\r\n")?;
    let (worker, server) = body.split_once(' ')?;
    Some((worker.parse().ok()?, server.parse().ok()?))
}

/// Asks until this is so: workers of a server that was killed answer until they are gone, too.
#[track_caller]
fn asked_until(port: u16, met: impl Fn(i32, i32) -> bool) -> (i32, i32) {
    let deadline = std::time::Instant::now() + DEADLINE;
    loop {
        if let Some((worker, server)) = asked(port).filter(|(worker, server)| met(*worker, *server)) {
            return (worker, server);
        }
        assert!(std::time::Instant::now() < deadline, "in vain");
    }
}

#[test]
fn gunicorn_serves_at_a_listener_of_ours_and_comes_back_behind_it() {
    let Some(gunicorn) = gunicorn() else {
        println!(
            "skipped: gunicorn_serves_at_a_listener_of_ours_and_comes_back_behind_it: no gunicorn (NEAP_GUNICORN)"
        );
        return;
    };
    let home = Home::new();
    let port = free_port();
    let app = "import os\ndef app(environ, start):\n    start('200 OK', [])\n    return [b'%d %d' % (os.getpid(), os.getppid())]\n";
    std::fs::write(home.path("app.py"), app).unwrap();
    home.config(&format!(
        "neap.process 'web' {{ command = {{ '{}', '--worker-tmp-dir', '.', 'app:app' }}, \
         restart = {{ policy = 'always', delay = '10ms' }}, listen = neap.listen {{ tcp = {port} }} }}",
        gunicorn.display()
    ));
    let daemon = ready(&home);
    let mut killed = 0;
    for _ in 0..3 {
        let (_, server) = asked_until(port, |_, server| server != killed && server > 1 && is_master(&home, server));
        kill(nix::unistd::Pid::from_raw(server), Signal::SIGKILL).unwrap();
        killed = server;
    }
    // A worker alone is replaced by the server itself.
    let (worker, server) = asked_until(port, |_, server| server != killed && is_master(&home, server));
    kill(nix::unistd::Pid::from_raw(worker), Signal::SIGKILL).unwrap();
    assert_eq!(asked_until(port, |other, _| other != worker).1, server);
    home.neap(["restart", "web"]);
    asked_until(port, |_, other| other != server && is_master(&home, other));
    daemon.stop();
}

#[test]
fn dbus_daemon_takes_its_bus_from_us() {
    let test = "dbus_daemon_takes_its_bus_from_us";
    if !has("dbus-daemon", test) || !has("dbus-send", test) {
        return;
    }
    let home = Home::new();
    home.config(
        "neap.process 'bus' { command = { 'dbus-daemon', '--session', '--address=systemd:', '--nofork', '--nopidfile' }, \
         restart = { policy = 'always', delay = '10ms' }, listen = neap.listen { unix = 'bus' } }",
    );
    let daemon = ready(&home);
    assert!(is(&home.list()["bus"], "waiting"));
    let names = || {
        let mut command = Command::new("dbus-send");
        command.arg(format!("--bus=unix:path={}", home.path("bus").display()));
        command.args(["--print-reply", "--dest=org.freedesktop.DBus", "/", "org.freedesktop.DBus.ListNames"]);
        home.surround(&mut command);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(names().contains("string \"org.freedesktop.DBus\""));
    kill(pid(&home.list()["bus"]), Signal::SIGKILL).unwrap();
    assert!(names().contains("string \"org.freedesktop.DBus\""));
    assert!(is(&home.list()["bus"], "running"));
    daemon.stop();
}

#[test]
fn the_example_of_sockets_does_what_it_says() {
    if !has("python3", "the_example_of_sockets_does_what_it_says") {
        return;
    }
    let home = Home::new();
    let (http, clock) = (free_port(), free_port());
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/sockets.lua");
    let mut text = std::fs::read_to_string(example).unwrap();
    for (there, here) in [("18090", http), ("18091", clock)] {
        assert!(text.contains(there));
        text = text.replace(there, &here.to_string());
    }
    std::fs::write(home.path("neap.lua"), text).unwrap();
    let mut command = home.command(["daemon", "neap.lua"]);
    command.env("SOCKETS_STATE", home.path("sockets"));
    let daemon = home.start(command);
    daemon.wait_for("neap: ready;");
    bound(&home);
    assert!(home.list().values().all(|row| is(row, "waiting")));
    let page = |mut stream: Box<dyn crate::sockets::Stream>| {
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    let by_tcp = page(At::Tcp(http).connect(DEADLINE).unwrap());
    assert!(by_tcp.ends_with("by http\n"), "{by_tcp}");
    let by_path = page(At::Unix(home.path("sockets/admin.sock")).connect(DEADLINE).unwrap());
    assert!(by_path.ends_with("by admin\n"), "{by_path}");
    kill(pid(&home.list()["web"]), Signal::SIGKILL).unwrap();
    assert!(page(At::Tcp(http).connect(DEADLINE).unwrap()).ends_with("by http\n"));
    for _ in 0..3 {
        let mut text = String::new();
        At::Tcp(clock).connect(DEADLINE).unwrap().read_to_string(&mut text).unwrap();
        assert!(text.starts_with("It is ") && text.ends_with(", 127.0.0.1.\n"), "{text:?}");
    }
    home.wait_until("no instance is left", |all| all.len() == 2);
    daemon.stop();
}

#[test]
fn a_peer_over_a_path_is_told_like_one_over_tcp() {
    let home = Home::new();
    let shell = "echo \"[$REMOTE_ADDR] [$REMOTE_PORT] $LISTEN_FDS $LISTEN_FDNAMES $CONNECTION\" >&3";
    home.config(&format!(
        "neap.process 'a' {{ shell = [[{shell}]], \
         listen = neap.listen {{ unix = 'a.sock', accept = true, client_fd_env = 'CONNECTION' }} }}"
    ));
    let daemon = ready(&home);
    let mut text = String::new();
    UnixStream::connect(home.path("a.sock")).unwrap().read_to_string(&mut text).unwrap();
    let (peer, rest) = text.split_once("] ").unwrap();
    assert!(peer.starts_with('['), "{text}");
    assert_eq!(rest, "[] 1 connection 3\n");
    daemon.stop();
}

#[test]
fn an_echo_answers_at_all_its_listeners_at_once() {
    if !has("python3", "an_echo_answers_at_all_its_listeners_at_once") {
        return;
    }
    let home = Home::new();
    let (one, other) = (free_port(), free_port());
    home.config(&echo(&format!(
        "listen = {{ neap.listen {{ tcp = {one}, name = 'one' }}, neap.listen {{ tcp = {other}, name = 'other' }}, \
         neap.listen {{ unix = 'echo.sock' }} }}"
    )));
    let daemon = ready(&home);
    let all = [At::Tcp(one), At::Tcp(other), At::Unix(home.path("echo.sock"))];
    let threads = all.map(|at| std::thread::spawn(move || at.answer()));
    let answered = threads.map(|thread| thread.join().unwrap());
    assert_eq!(answered, [pid(&home.list()["echo"]); 3]);
    let printed = home.neap(["logs", "echo"]);
    assert!(printed.contains("listens as one other echo"), "{printed}");
    daemon.stop();
}
