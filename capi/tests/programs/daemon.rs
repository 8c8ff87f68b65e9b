//! C programs and a running instance.

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::Value;

use super::support::{Place, neap, package, program, succeed, under_valgrind};

/// A running instance. Ended in the end.
struct Daemon {
    child: Child,
    place: Place,
    neap: PathBuf,
}

impl Daemon {
    fn start(test: &str) -> Option<Daemon> {
        let Some(neap) = neap() else {
            println!("skipped: {test}: there is no `neap` beside the tests; `cargo build` makes it");
            return None;
        };
        let place = Place::new();
        let told = UnixDatagram::bind(place.path("notify")).unwrap();
        told.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut command = Command::new(&neap);
        command.arg("daemon").env("NOTIFY_SOCKET", place.path("notify"));
        at_home(&mut command, &place);
        let daemon = Daemon { child: command.stderr(Stdio::null()).spawn().unwrap(), place, neap };
        let mut message = [0; 4096];
        loop {
            let length = told.recv(&mut message).expect("the daemon is ready within a minute");
            if message[..length].starts_with(b"READY=1") {
                return Some(daemon);
            }
        }
    }

    fn neap(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.neap);
        at_home(&mut command, &self.place);
        command.args(arguments);
        command
    }

    fn socket(&self) -> String {
        self.place.path("run/neap/default/neap.sock").to_str().unwrap().to_owned()
    }

    /// The answer to a C program, as JSON, with what the program returns.
    fn call(&self, call: &std::path::Path, arguments: &[&str]) -> (i32, Value) {
        let mut command = program(call);
        at_home(&mut command, &self.place);
        let output = command.args(arguments).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let json = serde_json::from_str(&said);
        (output.status.code().unwrap(), json.unwrap_or_else(|_| panic!("{said} {:?}", output.stderr)))
    }
}

fn at_home(command: &mut Command, place: &Place) {
    for (name, folder) in
        [("HOME", "home"), ("XDG_RUNTIME_DIR", "run"), ("XDG_STATE_HOME", "state"), ("XDG_CONFIG_HOME", "config")]
    {
        std::fs::create_dir_all(place.path(folder)).unwrap();
        command.env(name, place.path(folder));
    }
    command.env_remove("NEAP_SOCKET").current_dir(place.path("home"));
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.neap(&["down", "-q"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }
}

/// The lines that a program prints.
fn lines(command: &mut Command) -> (Child, Receiver<String>) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let (sender, lines) = channel();
    std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    (child, lines)
}

#[test]
fn a_c_program_and_neap_events_see_the_same_events_in_the_same_order() {
    let Some(daemon) = Daemon::start("a_c_program_and_neap_events_see_the_same_events_in_the_same_order") else {
        return;
    };
    let example = daemon.place.compile(&package().join("examples/supervise.c"));
    let watcher = daemon.place.compile(&package().join("tests/c/events.c"));
    let (mut in_c, from_c) = lines(program(&watcher).args([&daemon.socket(), "sleeper"]));
    let (mut follower, followed) = lines(&mut daemon.neap(&["events", "-f", "--json"]));
    // It follows once it has told of something.
    let mut seen = Vec::new();
    for tick in 0.. {
        let name = format!("tick-{tick}");
        succeed(&mut daemon.neap(&["create", &name, "--", "true"]));
        match followed.recv_timeout(Duration::from_millis(200)) {
            Ok(line) => {
                seen.push(line);
                break;
            }
            Err(RecvTimeoutError::Timeout) if tick < 300 => {}
            Err(error) => panic!("neap events shows nothing: {error}"),
        }
    }
    // The example starts, watches and stops a process in the running instance.
    let said = succeed(program(&example).arg(daemon.socket()));
    assert!(said.contains("\"kind\":\"process.running\"") && said.ends_with("done, after some events\n"), "{said}");
    let is_last = |line: &str| line.contains("\"kind\":\"process.deleted\",\"process\":\"sleeper\"");
    while !is_last(seen.last().unwrap()) {
        seen.push(followed.recv_timeout(Duration::from_secs(60)).unwrap());
    }
    follower.kill().unwrap();
    follower.wait().unwrap();
    assert!(in_c.wait().unwrap().success());
    let in_c: Vec<String> = from_c.iter().collect();
    assert_eq!(in_c[in_c.len() - seen.len()..], seen, "beside each other");
    let shown = succeed(&mut daemon.neap(&["events", "--json"]));
    let shown: Vec<&str> = shown.lines().take(in_c.len()).collect();
    assert_eq!(in_c, shown, "and afterwards");
    assert!(in_c[0].starts_with("{\"sequence\":1,"), "{}", in_c[0]);
    // What the example read from poll to poll is a part of the same.
    let example: Vec<&str> = said.lines().filter(|line| line.starts_with('{')).collect();
    let from = in_c.iter().position(|line| line == example[0]).unwrap();
    assert_eq!(in_c[from..from + example.len()], example);
}

#[test]
fn a_c_program_and_neap_logs_see_the_same_lines() {
    let Some(daemon) = Daemon::start("a_c_program_and_neap_logs_see_the_same_lines") else { return };
    let reader = daemon.place.compile(&package().join("tests/c/logs.c"));
    let read = |request: &str, last: &str| {
        let mut command = program(&reader);
        command.args([&daemon.socket(), request, last]);
        command
    };
    let gate = daemon.place.path("gate");
    succeed(Command::new("mkfifo").arg(&gate));
    let gate = gate.to_str().unwrap();
    // Each word that comes through the pipe is a line, by turns of one stream and of the other.
    let shell = format!("exec 3<>{gate}; echo up; while read one two <&3; do echo $one; echo $two >&2; done");
    let captured = ["--log-stdout", "capture", "--log-stderr", "capture", "--auto-start", "--"];
    for name in ["web", "db"] {
        let shell = if name == "web" { shell.as_str() } else { "echo here; exec sleep 1000" };
        succeed(daemon.neap(&["create", name]).args(captured).args(["sh", "-c", shell]));
    }
    let (mut in_c, from_c) = lines(&mut read(r#"{"names":["web"],"follow":true}"#, "fifth"));
    let (mut follower, followed) = lines(&mut daemon.neap(&["logs", "-f", "--json", "web"]));
    let next = |lines: &Receiver<String>| lines.recv_timeout(Duration::from_secs(60)).unwrap();
    let mut told = vec![(next(&from_c), next(&followed))];
    for words in ["first second\n", "third fourth\n", "fifth sixth\n"] {
        std::fs::write(gate, words).unwrap();
        told.push((next(&from_c), next(&followed)));
        if words != "fifth sixth\n" {
            told.push((next(&from_c), next(&followed)));
        }
    }
    for (in_c, shown) in &told {
        assert_eq!(in_c, shown, "beside each other");
    }
    assert!(told[0].0.contains(r#""text":"up""#), "{told:?}");
    assert!(in_c.wait().unwrap().success());
    next(&followed);
    follower.kill().unwrap();
    follower.wait().unwrap();
    for (request, arguments) in [
        ("{}", &["-n", "1000"][..]),
        (r#"{"names":["web"],"tail":2}"#, &["-n", "2", "web"]),
        (r#"{"names":["w*"],"run":0}"#, &["--run", "0", "w*"]),
        (r#"{"since":"2026-01-01T00:00:00Z"}"#, &["--since", "2026-01-01T00:00:00Z"]),
    ] {
        let shown = succeed(daemon.neap(&["logs", "--json"]).args(arguments));
        assert_eq!(succeed(&mut read(request, "nothing")), shown, "{request}");
        assert!(shown.lines().count() >= 2, "{shown}");
    }
    let output = read(r#"{"names":["wbe"]}"#, "").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("3: ") && said.contains("`web`"), "{said}");
}

#[test]
fn answers_in_c_are_what_the_command_line_prints() {
    let Some(daemon) = Daemon::start("answers_in_c_are_what_the_command_line_prints") else { return };
    let call = daemon.place.compile(&package().join("tests/c/call.c"));
    let restart = ["--restart", "always", "--env", "A=b"];
    succeed(daemon.neap(&["create", "web"]).args(restart).args(["--auto-start", "--", "sleep", "1000"]));
    succeed(&mut daemon.neap(&["create", "job", "--", "true"]));
    let socket = daemon.socket();
    for (what, name) in [("list", None), ("describe", Some("web")), ("why", Some("web"))] {
        let arguments: Vec<&str> = [what].into_iter().chain(name).collect();
        let shown = succeed(daemon.neap(&["--json"]).args(&arguments));
        let (code, told) = daemon.call(&call, &[&[socket.as_str()], &arguments[..]].concat());
        assert_eq!((code, told), (0, serde_json::from_str(&shown).unwrap()), "{what}");
    }
    // Time goes on between the two.
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let shown: Value = serde_json::from_str(&succeed(&mut daemon.neap(&["status", "--json"]))).unwrap();
    let (_, told) = daemon.call(&call, &["-", "status"]);
    assert_eq!(
        (keys(&told), &told["pid"]),
        (keys(&shown), &shown["pid"]),
        "the instance that nobody names is the user's"
    );
    let shown: Value = serde_json::from_str(&succeed(&mut daemon.neap(&["stats", "web", "--json"]))).unwrap();
    let (_, told) = daemon.call(&call, &[&socket, "stats", "web"]);
    assert_eq!((keys(&told[0]), &told[0]["pid"]), (keys(&shown[0]), &shown[0]["pid"]));
    let (code, told) = daemon.call(&call, &[&socket, "start", "wbe"]);
    assert_eq!((code, told["code"].as_i64(), told["process"].as_str()), (3, Some(3), Some("wbe")), "{told}");
    let (code, told) = daemon.call(&call, &[&socket, "start", "job"]);
    assert_eq!((code, &told["outcomes"][0]["name"]), (0, &"job".into()), "{told}");
}

#[test]
fn a_c_program_ends_an_instance_and_is_told_when_there_is_none() {
    let Some(mut daemon) = Daemon::start("a_c_program_ends_an_instance_and_is_told_when_there_is_none") else { return };
    let call = daemon.place.compile(&package().join("tests/c/call.c"));
    succeed(&mut daemon.neap(&["create", "web", "--auto-start", "--", "sleep", "1000"]));
    let (code, told) = daemon.call(&call, &[&daemon.socket(), "shutdown"]);
    assert_eq!((code, told["stuck"].as_array().map(Vec::len)), (0, Some(0)), "{told}");
    assert!(daemon.child.wait().unwrap().success());
    let mut again = program(&call);
    at_home(&mut again, &daemon.place);
    let output = again.args([&daemon.socket(), "list"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("5: nothing is served at ") && said.contains(&daemon.socket()), "{said}");
}

#[test]
fn a_connection_loses_no_memory() {
    let test = "a_connection_loses_no_memory";
    if !super::support::has("valgrind", test) {
        return;
    }
    let Some(daemon) = Daemon::start(test) else { return };
    let example = daemon.place.compile(&package().join("examples/supervise.c"));
    let said = under_valgrind(&example, &[&daemon.socket()]);
    assert!(said.ends_with("done, after some events\n"), "{said}");
}
