//! The page of metrics and the datagrams of a daemon: what each count counts.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use regex::Regex;

use crate::common::{wait_for, wait_until};
use crate::support::{DEADLINE, Daemon, Home};

/// What comes of a request.
struct Answer {
    head: String,
    body: String,
}

fn ask(mut stream: impl Read + Write, method: &str, path: &str, accept: &str) -> Answer {
    let request = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\naccept: {accept}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text}"));
    Answer { head: head.to_owned(), body: body.to_owned() }
}

/// A page that was read.
struct Page(String);

impl Page {
    fn of(socket: &Path) -> Page {
        let answer = ask(UnixStream::connect(socket).unwrap(), "GET", "/metrics", "*/*");
        assert!(answer.head.starts_with("HTTP/1.1 200"), "{}", answer.head);
        assert!(answer.body.ends_with("# EOF\n"), "{}", answer.body);
        Page(answer.body)
    }

    /// The value of a sample, as it is written with its labels.
    fn value(&self, sample: &str) -> Option<f64> {
        let found = self.0.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        found.map(|value| value.parse().unwrap_or_else(|_| panic!("{sample} {value}")))
    }

    fn of_process(&self, name: &str, process: &str) -> f64 {
        self.value(&format!("neap_process_{name}{{process=\"{process}\"}}")).unwrap_or(0.0)
    }

    fn exits(&self, process: &str) -> BTreeMap<String, u64> {
        let shape = format!("neap_process_exits_total\\{{process=\"{process}\",reason=\"(\\w+)\"\\}} (\\d+)");
        let shape = Regex::new(&shape).unwrap();
        shape.captures_iter(&self.0).map(|found| (found[1].to_owned(), found[2].parse().unwrap())).collect()
    }

    fn state(&self, process: &str) -> String {
        let shape = format!("neap_process_state\\{{process=\"{process}\",state=\"(\\w+)\"\\}} 1\n");
        let states: Vec<_> =
            Regex::new(&shape).unwrap().captures_iter(&self.0).map(|found| found[1].to_owned()).collect();
        assert_eq!(states.len(), 1, "{process}: {states:?}");
        states[0].clone()
    }
}

fn counted(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
    pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

/// The socket of the page of a daemon that is started so.
fn with_page(home: &Home, config: &str) -> PathBuf {
    let socket = home.path("page/metrics.sock");
    home.config(&format!("neap.settings {{ metrics = 'unix:{}' }}\n{config}", socket.display()));
    socket
}

#[track_caller]
fn until(socket: &Path, what: &str, met: impl Fn(&Page) -> bool) -> Page {
    wait_for(what, || {
        let page = Page::of(socket);
        if met(&page) { Ok(page) } else { Err(page.0) }
    })
}

const WAYS_TO_END: &str = r#"
    neap.process "ok" { shell = "true", type = "oneshot" }
    neap.process "code" { shell = "exit 3", type = "oneshot" }
    neap.process "signal" { shell = "kill -9 $$; sleep 1000", restart = "never" }
    neap.process "spawn" { command = { "/nonexistent/program" }, restart = "never" }
    neap.process "late" { command = "sleep 1000", ready = neap.logline "never", start_timeout = "200ms", restart = "never" }
    neap.process "early" { shell = "true", ready = neap.logline "never", restart = "never" }
    neap.process "hooked" { command = "sleep 1000", hooks = { before_start = "false" }, restart = "never" }
    neap.process "needy" { command = "sleep 1000", requires = "code" }
    neap.process "skipped" { command = "sleep 1000", conditions = { path_exists = "/nonexistent" } }
    neap.process "dog" { command = "sleep 1000", watchdog = "200ms", restart = "never" }
    neap.process "ill" { command = "sleep 1000", health = neap.exec { command = "false", interval = "100ms", restart_after = 2 },
        restart = { policy = "never", limit = { burst = 1, interval = "1h" } } }
    neap.process "loop" { shell = "exit 1",
        restart = { policy = "always", delay = "10ms", max_delay = "10ms", limit = { burst = 3, interval = "1h" } } }
    neap.process "web" { command = "sleep 1000" }
"#;

#[test]
fn each_way_to_end_is_counted_by_its_reason() {
    let home = Home::new();
    let socket = with_page(&home, WAYS_TO_END);
    let daemon = home.ready();
    home.neap(["stop", "web"]);
    let at_rest = |page: &Page| {
        ["signal", "spawn", "late", "early", "hooked", "needy", "dog", "loop", "ill"]
            .into_iter()
            .all(|process| ["failed", "crashed"].contains(&page.state(process).as_str()))
            && page.state("ok") == "exited"
    };
    let page = until(&socket, "all has ended", at_rest);
    for (process, reasons) in [
        ("ok", &[("success", 1)][..]),
        ("code", &[("exit_code", 1)]),
        ("signal", &[("signal", 1)]),
        ("spawn", &[("spawn", 1)]),
        ("late", &[("start_timeout", 1)]),
        ("early", &[("not_ready", 1)]),
        ("hooked", &[("hook", 1)]),
        ("skipped", &[]),
        ("dog", &[("watchdog", 1)]),
        ("ill", &[("health", 2)]),
        ("loop", &[("exit_code", 4)]),
        ("web", &[("stopped", 1)]),
    ] {
        assert_eq!(page.exits(process), counted(reasons), "{process}");
    }
    let needy = page.exits("needy");
    assert!(needy.keys().eq(["dependency"]), "{needy:?}");
    // Executed are those that came so far.
    for (process, starts, restarts) in [
        ("ok", 1.0, 0.0),
        ("spawn", 0.0, 0.0),
        ("hooked", 0.0, 0.0),
        ("loop", 4.0, 3.0),
        ("ill", 2.0, 1.0),
        ("web", 1.0, 0.0),
    ] {
        let found = (page.of_process("starts_total", process), page.of_process("restarts_total", process));
        assert_eq!(found, (starts, restarts), "{process}");
        assert_eq!(page.of_process("runs", process), starts, "{process}");
    }
    assert_eq!(page.of_process("skipped_starts_total", "skipped"), 1.0);
    assert_eq!(page.value("neap_process_hook_failures_total{process=\"hooked\",hook=\"before_start\"}"), Some(1.0));
    assert_eq!(page.state("loop"), "crashed");
    assert_eq!(page.state("web"), "stopped");
    assert_eq!(page.value("neap_processes{state=\"crashed\"}"), Some(2.0));
    assert_eq!(page.value("neap_process_probe_failures_total{process=\"ill\",probe=\"health\"}"), Some(4.0));
    assert_eq!(page.value("neap_process_probe_duration_seconds_count{process=\"ill\",probe=\"health\"}"), Some(4.0));
    // By somebody, and not by its policy.
    home.neap(["start", "web"]);
    home.neap(["restart", "web"]);
    let page = Page::of(&socket);
    assert_eq!((page.of_process("starts_total", "web"), page.of_process("restarts_total", "web")), (3.0, 0.0));
    assert_eq!(page.exits("web"), counted(&[("stopped", 2)]));
    assert!(page.of_process("uptime_seconds", "web") < 3600.0 && page.of_process("up", "web") == 1.0);
    // The kernel may count the pages of what was executed just now a moment later.
    until(&socket, "its memory is counted", |page| {
        page.of_process("memory_bytes", "web") > 0.0 && page.of_process("tasks", "web") == 1.0
    });
    daemon.stop();
}

#[test]
fn health_that_fails_and_recovers_is_on_the_page_with_how_long_the_probes_took() {
    let home = Home::new();
    let sick = home.path("sick");
    let web = format!(
        "neap.process 'web' {{ command = 'sleep 1000', health = neap.exec {{ command = {{ 'test', '!', '-e', '{}' }}, interval = '50ms', retries = 2 }} }}",
        sick.display()
    );
    let socket = with_page(&home, &web);
    let daemon = home.ready();
    let status = |page: &Page, status: &str| {
        page.value(&format!("neap_process_health{{process=\"web\",status=\"{status}\"}}")) == Some(1.0)
    };
    let page = until(&socket, "it is healthy", |page| status(page, "healthy"));
    assert_eq!(page.value("neap_process_probe_failures_total{process=\"web\",probe=\"health\"}"), Some(0.0));
    std::fs::write(&sick, "").unwrap();
    let page = until(&socket, "it is unhealthy", |page| status(page, "unhealthy"));
    assert!(page.of_process("health_failures_in_a_row", "web") >= 2.0);
    std::fs::remove_file(&sick).unwrap();
    let page = until(&socket, "it is healthy again", |page| status(page, "healthy"));
    assert_eq!(page.of_process("health_failures_in_a_row", "web"), 0.0);
    let of_probes = |what: &str| {
        page.value(&format!("neap_process_probe_duration_seconds_{what}{{process=\"web\",probe=\"health\"}}")).unwrap()
    };
    let failed = page.value("neap_process_probe_failures_total{process=\"web\",probe=\"health\"}").unwrap();
    assert!(failed >= 2.0 && of_probes("count") > failed && of_probes("sum") > 0.0, "{}", page.0);
    assert!(page.value("neap_engine_lag_seconds_count").unwrap() > 0.0);
    assert!(page.value("neap_engine_turn_duration_seconds_count").unwrap() > 0.0);
    daemon.stop();
}

#[test]
fn configurations_and_processes_that_come_and_go_are_counted_and_what_is_gone_leaves_the_page() {
    let home = Home::new();
    let socket =
        with_page(&home, "neap.process 'a' { command = 'sleep 1000' }\nneap.process 'b' { command = 'sleep 1000' }");
    let config = std::fs::read_to_string(home.path("neap.lua")).unwrap();
    let daemon = home.ready();
    let counts = || {
        let page = Page::of(&socket);
        [
            "processes_defined_total",
            "processes_deleted_total",
            "config_applied_total",
            "config_refused_total",
            "config_generation",
        ]
        .map(|name| page.value(&format!("neap_{name}")).unwrap())
    };
    assert_eq!(counts(), [2.0, 0.0, 1.0, 0.0, 1.0]);
    home.config("neap.process 'a' { comand = 'sleep 1000' }");
    assert_eq!(home.ask(["apply"]).status.code(), Some(1));
    assert_eq!(counts(), [2.0, 0.0, 1.0, 1.0, 1.0]);
    home.neap(["create", "guest", "--", "sleep", "1000"]);
    assert!(Page::of(&socket).0.contains("process=\"guest\""));
    assert_eq!(counts(), [3.0, 0.0, 1.0, 1.0, 1.0]);
    home.neap(["delete", "--force", "guest"]);
    assert!(!Page::of(&socket).0.contains("process=\"guest\""));
    // The same again begins at nothing.
    std::fs::write(home.path("neap.lua"), config.replace("neap.process 'b'", "neap.process 'c'")).unwrap();
    home.neap(["apply"]);
    let [defined, deleted, applied, refused, _] = counts();
    assert_eq!((defined, deleted, applied, refused), (4.0, 2.0, 2.0, 1.0));
    let page = Page::of(&socket).0;
    assert!(!page.contains("process=\"b\"") && page.contains("process=\"c\""), "{page}");
    daemon.stop();
}

/// Whether something here enforces this limit.
fn is_enforced(home: &Home, test: &str, limit: &str) -> bool {
    let what = format!("limits.{limit} is enforced");
    let promises = home.status()["promises"].as_array().cloned().unwrap_or_default();
    let kept = promises.iter().any(|promise| promise["what"] == what.as_str() && promise["kept"] == true);
    if !kept {
        eprintln!("skipped: {test}: {what} by nobody here");
    }
    kept
}

#[test]
fn limits_that_bite_are_counted() {
    let home = Home::new();
    let socket = with_page(
        &home,
        "neap.process 'eater' { command = { 'tail', '/dev/zero' }, limits = { memory = '16MiB' }, restart = 'never', auto_start = false }
         neap.process 'forker' { shell = 'for i in 1 2 3 4 5 6; do sleep 1000 & done; exit 1', limits = { pids = 3 }, restart = 'never', auto_start = false }",
    );
    let daemon = home.ready();
    if is_enforced(&home, "limits_that_bite_are_counted", "memory") {
        // It may have been killed before it is answered that it was started.
        home.ask(["start", "eater"]);
        let page = until(&socket, "it has failed", |page| page.state("eater") == "failed");
        assert_eq!(page.exits("eater"), counted(&[("oom", 1)]));
        assert!(page.of_process("oom_kills_total", "eater") >= 1.0);
    }
    if is_enforced(&home, "limits_that_bite_are_counted", "pids") {
        home.ask(["start", "forker"]);
        let page = until(&socket, "it has failed", |page| page.state("forker") == "failed");
        assert_eq!(page.exits("forker"), counted(&[("pids_limit", 1)]));
        assert_eq!(page.of_process("pids_limit_hits_total", "forker"), 1.0);
    }
    daemon.stop();
}

#[test]
fn instances_for_connections_count_for_the_process_that_listens() {
    let home = Home::new();
    let echo = home.path("echo.sock");
    let socket = with_page(
        &home,
        &format!(
            "neap.process 'cat' {{ shell = 'exec cat <&3 >&3', listen = neap.listen {{ unix = '{}', accept = 4 }} }}",
            echo.display()
        ),
    );
    let daemon = home.ready();
    wait_until("it listens", || echo.exists());
    let mut streams: Vec<UnixStream> = (0..3).map(|_| UnixStream::connect(&echo).unwrap()).collect();
    for stream in &mut streams {
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
    let page = Page::of(&socket);
    assert_eq!((page.of_process("connections_total", "cat"), page.of_process("instances", "cat")), (3.0, 3.0));
    assert!(page.of_process("tasks", "cat") >= 3.0 && page.of_process("starts_total", "cat") == 3.0, "{}", page.0);
    drop(streams);
    let page = until(&socket, "they have ended", |page| page.exits("cat") == counted(&[("success", 3)]));
    assert_eq!((page.of_process("connections_total", "cat"), page.of_process("instances", "cat")), (3.0, 0.0));
    assert!(!page.0.contains("cat@"), "{}", page.0);
    daemon.stop();
}

/// The blocks of the page about this, in this language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    page.split(fence.as_str()).skip(1).map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn the_commands_of_the_page_about_telemetry_print_what_it_says() {
    if !Command::new("curl").arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
        return eprintln!("skipped: the_commands_of_the_page_about_telemetry_print_what_it_says: no curl");
    }
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/telemetry.md")).unwrap();
    let home = Home::new();
    std::fs::write(home.path("neap.lua"), &blocks(&text, "lua")[0]).unwrap();
    let daemon = home.ready();
    home.neap(["wait", "web"]);
    let numbers = Regex::new(r"\d+(\.\d+)?").unwrap();
    let mut commands = 0;
    for block in blocks(&text, "console") {
        for part in block.split("$ ").filter(|part| !part.is_empty()) {
            let (command, said) = part.split_once('\n').unwrap();
            let mut shell = Command::new("sh");
            home.surround(&mut shell);
            let binaries = Path::new(env!("CARGO_BIN_EXE_neap")).parent().unwrap().display().to_string();
            let path = format!("{binaries}:{}", std::env::var("PATH").unwrap());
            let output = shell.args(["-c", command]).env("PATH", path).output().unwrap();
            let printed = String::from_utf8(output.stdout.clone()).unwrap();
            assert_eq!(numbers.replace_all(&printed, "#"), numbers.replace_all(said, "#"), "{command}: {output:?}");
            commands += 1;
        }
    }
    assert!(commands >= 3);
    daemon.stop();
}

#[test]
fn the_page_outlives_the_supervisor_whose_counts_begin_anew_while_run_counts_go_on() {
    let home = Home::new();
    home.config("neap.process 'web' { command = 'sleep 1000' }");
    let socket = home.path("page/metrics.sock");
    let unix = format!("unix:{}", socket.display());
    let daemon = home.start(home.command(["daemon", "neap.lua", "--metrics", &unix, "--metrics", "tcp:127.0.0.1:0"]));
    let ready = daemon.wait_for("neap: ready;");
    let at = Regex::new("http://(127.0.0.1:\\d+)/metrics").unwrap().captures(&ready).expect(&ready)[1].to_owned();
    home.neap(["restart", "web"]);
    let before = Page::of(&socket);
    assert_eq!((before.of_process("starts_total", "web"), before.of_process("runs", "web")), (2.0, 2.0));
    assert_eq!(before.value("neap_supervisor_lives"), Some(1.0));
    nix::sys::signal::kill(daemon.supervisor(), nix::sys::signal::Signal::SIGKILL).unwrap();
    // Nobody is refused meanwhile: the anchor holds the listener.
    let after = Page::of(&socket);
    daemon.wait_for("neap: ready;");
    assert_eq!(after.value("neap_supervisor_lives"), Some(2.0));
    assert_eq!((after.of_process("starts_total", "web"), after.of_process("runs", "web")), (0.0, 2.0));
    assert_eq!(after.state("web"), "running");
    assert!(after.value("neap_supervisor_start_time_seconds") > before.value("neap_supervisor_start_time_seconds"));
    assert_eq!(after.value("neap_instance_start_time_seconds"), before.value("neap_instance_start_time_seconds"));
    let started = |page: &Page| page.of_process("start_time_seconds", "web");
    assert_eq!(started(&after), started(&before));
    let over_tcp = ask(TcpStream::connect(&at).unwrap(), "GET", "/metrics", "");
    assert!(over_tcp.body.contains("neap_process_up{process=\"web\"} 1\n"), "{}", over_tcp.body);
    daemon.stop();
    assert!(!socket.exists());
    assert!(TcpStream::connect(&at).is_err());
}

#[test]
fn who_asks_for_something_else_is_told_so_and_who_reads_slowly_holds_up_nobody() {
    let home = Home::new();
    let socket = with_page(&home, "neap.process 'web' { command = 'sleep 1000' }");
    let daemon = home.ready();
    // These say nothing, or half of something, and stay; they are more than are served at a time.
    let mut slow: Vec<UnixStream> = (0..40).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    slow[39].write_all(b"GET /met").unwrap();
    let connect = || UnixStream::connect(&socket).unwrap();
    for (method, path, status) in
        [("GET", "/", "404"), ("GET", "/metrics/x", "404"), ("POST", "/metrics", "405"), ("HEAD", "/metrics", "200")]
    {
        let answer = ask(connect(), method, path, "");
        assert!(answer.head.starts_with(&format!("HTTP/1.1 {status}")), "{method} {path}: {}", answer.head);
        assert_eq!(answer.body.is_empty(), method == "HEAD", "{method} {path}: {}", answer.body);
        assert_eq!(answer.head.contains("allow: GET, HEAD"), status == "405", "{}", answer.head);
    }
    let page = ask(connect(), "GET", "/metrics?x", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
    assert!(
        page.head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "{}",
        page.head
    );
    let older = ask(connect(), "GET", "/metrics", "text/plain;version=0.0.4");
    assert!(older.head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{}", older.head);
    assert!(
        older.body.contains("# TYPE neap_process_starts_total counter\nneap_process_starts_total{"),
        "{}",
        older.body
    );
    assert!(older.body.contains("# TYPE neap_build_info gauge\n") && !older.body.contains("# EOF"), "{}", older.body);
    daemon.stop();
    drop(slow);
}

/// A Python with `prometheus_client`.
fn python() -> Option<PathBuf> {
    let known = std::env::var_os("NEAP_PROMETHEUS_CLIENT").map(PathBuf::from);
    let python = known.unwrap_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("python/bin/python"));
    let import = Command::new(&python).args(["-c", "import prometheus_client"]).stderr(Stdio::null()).status();
    import.is_ok_and(|status| status.success()).then_some(python)
}

const PARSE: &str = "
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
for family in text_string_to_metric_families(sys.stdin.read()):
    for sample in family.samples:
        print(json.dumps([family.name, family.type, family.unit, sample.name, sample.labels, sample.value]))
";

#[test]
fn a_strict_parser_takes_the_page() {
    let Some(python) = python() else {
        return eprintln!("skipped: a_strict_parser_takes_the_page: no Python with prometheus_client");
    };
    let home = Home::new();
    let socket = with_page(&home, WAYS_TO_END);
    let daemon = home.ready();
    let page = until(&socket, "it was ill", |page| page.state("ill") == "crashed");
    let mut parser =
        Command::new(python).args(["-c", PARSE]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    parser.stdin.take().unwrap().write_all(page.0.as_bytes()).unwrap();
    let output = parser.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", page.0);
    let parsed = String::from_utf8(output.stdout).unwrap();
    let samples = page.0.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(parsed.lines().count(), samples);
    let mut found: BTreeMap<String, (String, String)> = BTreeMap::new();
    for line in parsed.lines() {
        let (name, kind, unit, ..): (String, String, String, String, BTreeMap<String, String>, f64) =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        found.insert(name, (kind, unit));
    }
    let of = |name: &str| found.get(name).map(|(kind, unit)| (kind.as_str(), unit.as_str()));
    assert_eq!(of("neap_process_cpu_seconds"), Some(("counter", "seconds")));
    assert_eq!(of("neap_process_memory_bytes"), Some(("gauge", "bytes")));
    assert_eq!(of("neap_process_probe_duration_seconds"), Some(("histogram", "seconds")));
    assert_eq!(of("neap_build"), Some(("info", "")));
    daemon.stop();
}

/// What came over a socket for datagrams, line by line, each of which must be one.
#[derive(Default)]
struct Heard {
    /// The sums of counts, by name and tags.
    counts: BTreeMap<String, f64>,
    /// How many values distributions had.
    values: BTreeMap<String, f64>,
    gauges: BTreeMap<String, f64>,
    checks: BTreeMap<String, String>,
    events: Vec<String>,
}

impl Heard {
    fn hear(&mut self, datagram: &[u8], most: usize) {
        assert!(datagram.len() <= most, "{} bytes", datagram.len());
        let metric =
            Regex::new(r"^([a-z][a-z0-9_.]*):(-?\d+(?:\.\d+)?)\|([cgd])(?:\|@(0\.\d+))?(?:\|#([^|]+))?$").unwrap();
        let check = Regex::new(r"^_sc\|([a-z_.]+)\|([0-3])\|d:\d+\|#([^|]+)\|m:[^|]+$").unwrap();
        let event =
            Regex::new(r"^_e\{(\d+),(\d+)\}:(.*)\|d:\d+\|k:\S+\|s:neap\|t:(error|warning|success)\|#[^|]+$").unwrap();
        for line in std::str::from_utf8(datagram).unwrap().split('\n') {
            if let Some(found) = metric.captures(line) {
                let key = format!("{} {}", &found[1], found.get(5).map_or("", |tags| tags.as_str()));
                let value: f64 = found[2].parse().unwrap();
                let times = found.get(4).map_or(1.0, |rate| (1.0 / rate.as_str().parse::<f64>().unwrap()).floor());
                match &found[3] {
                    "c" => *self.counts.entry(key).or_default() += value,
                    "d" => *self.values.entry(key).or_default() += times,
                    _ => drop(self.gauges.insert(key, value)),
                }
            } else if let Some(found) = check.captures(line) {
                self.checks.insert(found[3].to_owned(), found[2].to_owned());
            } else if let Some(found) = event.captures(line) {
                let (title, text): (usize, usize) = (found[1].parse().unwrap(), found[2].parse().unwrap());
                assert_eq!((found[3].len(), &found[3][title..=title]), (title + 1 + text, "|"), "{line}");
                self.events.push(found[3].to_owned());
            } else {
                panic!("no line of DogStatsD: {line:?}");
            }
        }
    }

    fn count(&self, key: &str) -> f64 {
        self.counts.get(key).copied().unwrap_or(0.0)
    }
}

/// Hears until that is so, or until the daemon has said all.
fn hear(
    heard: &mut Heard,
    receive: &mut dyn FnMut(&mut [u8]) -> std::io::Result<usize>,
    most: usize,
    met: impl Fn(&Heard) -> bool,
) {
    let (deadline, mut room) = (Instant::now() + DEADLINE, vec![0; 65536]);
    while !met(heard) {
        match receive(&mut room) {
            Ok(length) => heard.hear(&room[..length], most),
            Err(_) => assert!(Instant::now() < deadline, "in vain: {:#?} {:#?}", heard.counts, heard.events),
        }
    }
}

fn all_is_told(daemon: Daemon<'_>, receive: &mut dyn FnMut(&mut [u8]) -> std::io::Result<usize>, most: usize) {
    const TAGS: &str = "env:prod,team:night_shift";
    let key = daemon_key(&daemon);
    let tags = |own: &str| format!("{own}{}instance:{key},{TAGS}", if own.is_empty() { "" } else { "," });
    let mut heard = Heard::default();
    hear(&mut heard, receive, most, |heard| {
        heard.gauges.get(&format!("my.processes {}", tags("state:crashed"))) == Some(&2.0)
            && heard.count(&format!("my.process.exits {}", tags("process:dog,reason:watchdog"))) == 1.0
    });
    let of = |heard: &Heard, name: &str, own: &str| heard.count(&format!("my.process.{name} {}", tags(own)));
    assert_eq!(of(&heard, "starts", "process:loop"), 4.0);
    assert_eq!(of(&heard, "restarts", "process:loop"), 3.0);
    assert_eq!(of(&heard, "exits", "process:loop,reason:exit_code"), 4.0);
    assert_eq!(of(&heard, "exits", "process:web,reason:stopped"), 0.0);
    assert_eq!(heard.gauges[&format!("my.process.up {}", tags("process:web"))], 1.0);
    assert_eq!(heard.gauges[&format!("my.process.state {}", tags("process:loop,state:crashed"))], 1.0);
    let probes = &heard.values[&format!("my.process.probe.duration {}", tags("process:ill,probe:health"))];
    assert_eq!(*probes, 4.0);
    assert_eq!((heard.checks[&tags("process:web")].as_str(), heard.checks[&tags("process:loop")].as_str()), ("0", "2"));
    assert!(heard.events.iter().any(|event| event == "code failed|exit code 3"), "{:?}", heard.events);
    // What happens at the end is told, too.
    daemon.stop();
    hear(&mut heard, receive, most, |heard| of(heard, "exits", "process:web,reason:stopped") == 1.0);
    assert_eq!(of(&heard, "exits", "process:loop,reason:exit_code"), 4.0);
}

fn daemon_key(daemon: &Daemon<'_>) -> String {
    let said = daemon.said();
    let socket = Regex::new("control socket is (\\S+)/neap.sock").unwrap().captures(&said).expect(&said)[1].to_owned();
    socket.rsplit('/').next().unwrap().to_owned()
}

fn sent_to(home: &Home, address: &str) {
    home.config(&format!(
        "neap.settings {{ dogstatsd = {{ address = '{address}', interval = '1s', prefix = 'my.', tags = {{ env = 'prod', team = 'night shift' }} }} }}\n{WAYS_TO_END}"
    ));
}

#[test]
fn dogstatsd_over_udp_has_all_counts_and_the_last_of_them_at_the_end() {
    let home = Home::new();
    let agent = UdpSocket::bind("127.0.0.1:0").unwrap();
    agent.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    sent_to(&home, &format!("udp:{}", agent.local_addr().unwrap()));
    all_is_told(home.ready(), &mut |room| agent.recv(room), 1432);
}

#[test]
fn dogstatsd_over_a_unix_socket_has_all_counts_and_goes_on_when_the_agent_is_back() {
    let home = Home::new();
    let path = home.path("dsd.sock");
    sent_to(&home, &format!("unix:{}", path.display()));
    // There is no agent yet, and then one that goes away: nothing is lost of the counts.
    let daemon = home.ready();
    let agent = UnixDatagram::bind(&path).unwrap();
    let mut first = [0; 8192];
    agent.recv(&mut first).unwrap();
    drop(agent);
    std::fs::remove_file(&path).unwrap();
    home.neap(["stop", "web"]);
    home.neap(["start", "web"]);
    let agent = UnixDatagram::bind(&path).unwrap();
    agent.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut heard = Heard::default();
    let key = daemon_key(&daemon);
    let web = format!("my.process.exits process:web,reason:stopped,instance:{key},env:prod,team:night_shift");
    hear(&mut heard, &mut |room| agent.recv(room), 8192, |heard| heard.count(&web) == 1.0);
    daemon.stop();
    hear(&mut heard, &mut |room| agent.recv(room), 8192, |heard| heard.count(&web) == 2.0);
}

#[test]
fn events_wait_for_an_agent_that_is_away_the_newest_of_them_in_their_order() {
    let home = Home::new();
    let (socket, path) = (home.path("page/metrics.sock"), home.path("dsd.sock"));
    home.config(&format!(
        "neap.settings {{ metrics = 'unix:{}', dogstatsd = {{ address = 'unix:{}', interval = '1s' }} }}
         for i = 1, 103 do neap.process('early' .. i, {{ command = 'false', type = 'oneshot' }}) end
         for _, name in ipairs {{ 'first', 'last' }} do
             neap.process(name, {{ command = 'false', type = 'oneshot', auto_start = false }})
         end",
        socket.display(),
        path.display()
    ));
    let daemon = home.ready();
    until(&socket, "they have failed", |page| page.value("neap_processes{state=\"failed\"}") == Some(103.0));
    home.ask(["start", "first"]);
    home.ask(["start", "last"]);
    let left_out = |page: &Page| page.value("neap_telemetry_events_dropped_total").unwrap();
    let page = until(&socket, "all but a hundred were left out", |page| left_out(page) == 5.0);
    // They were to be sent, in vain.
    let dropped = |page: &Page| page.value("neap_telemetry_datagrams_dropped_total").unwrap();
    until(&socket, "datagrams were dropped", |now| dropped(now) > dropped(&page));
    let agent = UnixDatagram::bind(&path).unwrap();
    agent.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut heard = Heard::default();
    let last = |heard: &Heard| heard.events.last().is_some_and(|event| event.starts_with("last failed"));
    hear(&mut heard, &mut |room| agent.recv(room), 8192, last);
    daemon.stop();
    // Each once, whatever comes after.
    let mut room = [0; 8192];
    while let Ok(length) = agent.recv(&mut room) {
        heard.hear(&room[..length], 8192);
    }
    let about = |event: &String| event.split_once('|').map(|(title, _)| title.to_owned()).unwrap();
    let told: Vec<String> = heard.events.iter().map(about).collect();
    let unlike: std::collections::BTreeSet<&String> = told.iter().collect();
    assert_eq!((told.len(), unlike.len()), (100, 100), "{told:?}");
    assert_eq!(told[98..], ["first failed", "last failed"]);
}

#[test]
fn an_agent_that_is_not_there_costs_datagrams_that_are_counted_and_nothing_else() {
    let home = Home::new();
    let (socket, agent) = (home.path("page/metrics.sock"), home.path("nobody.sock"));
    home.config("neap.process 'web' { command = 'sleep 1000' }");
    let (page, agent) = (format!("unix:{}", socket.display()), format!("unix:{}", agent.display()));
    let daemon = home.start(home.command(["daemon", "neap.lua", "--metrics", &page, "--dogstatsd", &agent]));
    daemon.wait_for("neap: ready;");
    until(&socket, "datagrams were dropped", |page| {
        page.value("neap_telemetry_datagrams_dropped_total").unwrap() > 0.0
    });
    assert_eq!(Page::of(&socket).value("neap_telemetry_datagrams_total"), Some(0.0));
    daemon.stop();
}

#[test]
fn addresses_for_figures_that_make_no_sense_are_refused_before_anything_is_started() {
    let home = Home::new();
    home.config("neap.process('web', { command = { 'touch', 'started' } })");
    for (args, code, said) in [
        (["--metrics", "nonsense"], 2, "--metrics: `nonsense` is no address: expected unix:PATH, tcp:HOST:PORT"),
        (["--metrics", "unix:@neap"], 2, "an abstract socket has no mode"),
        (["--metrics", "0.0.0.0:0"], 1, "give --metrics-beyond-loopback if that is meant"),
        (
            ["--dogstatsd", "127.0.0.1:8125"],
            2,
            "--dogstatsd: `127.0.0.1:8125` is no address of an agent: expected udp:HOST:PORT",
        ),
    ] {
        for command in ["daemon", "up"] {
            let output = home.command([command, "neap.lua"]).args(args).output().unwrap();
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(code), "{command} {args:?}: {told}");
            assert!(told.contains(said), "{command} {args:?}: {told}");
        }
    }
    for (settings, said) in [
        ("metrics = 5", "neap.lua:2: neap.settings: metrics: expected an address, or a list of them, found"),
        ("metrics = { 'unix:' }", "it lacks the path"),
        ("dogstatsd = { tags = { 'a' } }", "it lacks the address"),
        ("dogstatsd = { adress = 'x' }", "unknown key `adress`; did you mean `address`?"),
        ("dogstatsd = { address = 'udp:a:1', interval = '10ms' }", "interval: it is shorter than 1s"),
        ("dogstatsd = { address = 'udp:a:1', prefix = 'a b' }", "prefix: names begin with a letter"),
        ("dogstatsd = { address = 'udp:a:1', tags = { 'a,b' } }", "tags: a tag has no comma"),
        ("metrics_beyond_loopback = 'yes'", "expected true or false"),
    ] {
        home.config(&format!("neap.settings {{ {settings} }}"));
        let refused = home.ask(["check"]);
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(1) && told.contains(said), "{settings}: {told}");
    }
    assert!(!home.path("started").exists());
}

#[test]
fn settings_that_the_next_supervisor_goes_by_are_warned_of_at_plan_and_apply() {
    let home = Home::new();
    let agent = UdpSocket::bind("127.0.0.1:0").unwrap();
    agent.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    home.config("neap.settings { log_level = 'debug' }\nneap.process 'web' { command = 'sleep 1000' }");
    let daemon = home.ready();
    let told = |args: &[&str]| {
        let output = home.ask(args.iter().copied());
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let late = "it changed, and the supervisor goes on with what it was: the next one reads it (`neap upgrade`";
    let unlike = |said: &str| said.matches(late).count();
    assert_eq!(unlike(&told(&["apply"]).1), 0);
    home.config(&format!(
        "neap.settings {{\n  dogstatsd = {{ address = 'udp:{}', interval = '1s' }},\n}}\nneap.process 'web' {{ command = 'sleep 1000' }}",
        agent.local_addr().unwrap()
    ));
    for command in ["plan", "apply"] {
        let (code, said) = told(&[command]);
        assert_eq!((code, unlike(&said)), (Some(0), 2), "{command}: {said}");
        // Of what was taken out there is no line.
        for place in
            ["neap.lua: warning: neap.settings: log_level: ", "neap.lua:3: warning: neap.settings: dogstatsd: "]
        {
            assert!(said.contains(&format!("{place}{late}")), "{command}: {said}");
        }
    }
    home.neap(["upgrade"]);
    let mut heard = Heard::default();
    hear(&mut heard, &mut |room| agent.recv(room), 1432, |heard| !heard.gauges.is_empty());
    let (code, said) = told(&["apply"]);
    assert_eq!((code, unlike(&said)), (Some(0), 0), "{said}");
    daemon.stop();
}

#[test]
fn up_shows_its_figures_like_a_daemon_also_in_the_background() {
    let home = Home::new();
    home.config("neap.process 'web' { command = 'sleep 1000' }");
    let socket = home.path("page/metrics.sock");
    home.neap(["up", "--detach", "--metrics", &format!("unix:{}", socket.display())]);
    assert_eq!(Page::of(&socket).state("web"), "running");
    home.neap(["down"]);
    let daemon = home.start(home.command(["up", "--metrics", &format!("unix:{}", socket.display())]));
    daemon.wait_for("metrics at ");
    until(&socket, "it runs", |page| page.0.contains("process=\"web\"") && page.state("web") == "running");
    daemon.stop();
    assert!(!socket.exists());
}
