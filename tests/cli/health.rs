//! `examples/health.lua` with real servers; what is said of a process that is not well; and a supervisor that was held up.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::instance::{Instance, pid};
use crate::support::{DEADLINE, Neap};

const EXAMPLE: &str = include_str!("../../examples/health.lua");

/// The process once it is so.
#[track_caller]
fn once(instance: &Instance, name: &str, met: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + DEADLINE;
    loop {
        let process = instance.process(name);
        if met(&process) {
            return process;
        }
        assert!(Instant::now() < end, "in vain: {process}");
        std::thread::yield_now();
    }
}

#[test]
fn the_example_of_health_finds_out_who_is_up_and_not_well() {
    const NAME: &str = "the_example_of_health_finds_out_who_is_up_and_not_well";
    for program in ["/usr/bin/redis-server", "/usr/bin/redis-cli", "/usr/bin/python3"] {
        if !Path::new(program).exists() {
            return println!("skipped: {NAME}: no {program}");
        }
    }
    let mut text = EXAMPLE.replace("\"python3\"", "\"/usr/bin/python3\"");
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    for (port, listener) in ["16395", "18095"].iter().zip(&listeners) {
        assert!(text.contains(port), "{port} is not in the example");
        text = text.replace(port, &listener.local_addr().unwrap().port().to_string());
    }
    drop(listeners);
    let instance = Instance::start(&text);
    assert_eq!(instance.ok(&["health", "--wait", "--timeout", "60s"]), "the instance is well\n");
    for name in ["cache", "web", "shop"] {
        assert_eq!(instance.process(name)["health"], "healthy", "{name}");
    }
    let (cache, web) = (instance.process("cache"), instance.process("web"));

    // What hangs is found by its health alone.
    kill(pid(&cache), Signal::SIGSTOP).unwrap();
    once(&instance, "cache", |process| process["health_failures"].as_u64() > Some(0));
    let why = instance.ok(&["why", "cache"]);
    assert!(why.contains("not done within 500ms") || !why.contains("is running"), "{why}");
    once(&instance, "cache", |now| now["pid"] != cache["pid"] && now["health"] == "healthy");
    let events = instance.ok(&["events", "cache"]);
    assert!(events.contains("unhealthy: not done within 500ms"), "{events}");

    // Who says itself that it is not well, and is to be left alone, stays.
    instance.ok(&["stop", "cache"]);
    let sick = once(&instance, "web", |process| process["health"] == "unhealthy");
    assert_eq!(sick["pid"], web["pid"]);
    let said = "status 503, expected 200 to 299";
    assert!(sick["reason"].as_str().unwrap().ends_with(said), "{sick}");
    let health = instance.fails(1, &["health", "web"]).stdout;
    assert!(health.starts_with("web is unhealthy: GET http://") && health.trim_end().ends_with(said), "{health}");
    let (status, why) = (instance.ok(&["status", "web"]), instance.ok(&["why", "web"]));
    assert!(status.contains("health  unhealthy, ") && status.contains(" in a row, checked "), "{status}");
    assert!(why.contains("  health: unhealthy, ") && why.contains(said) && why.contains("(health probe)"), "{why}");
    let shop = once(&instance, "shop", |process| process["health"] == "unhealthy");
    assert_eq!(shop["reason"], "no cache");
    instance.ok(&["start", "cache"]);
    assert_eq!(instance.ok(&["health", "web", "shop", "cache", "--wait"]), "each of 3 processes is well\n");
    assert_eq!(instance.process("web")["pid"], web["pid"]);
    assert_eq!(instance.process("web")["run_count"], 1);

    // Who does not report any more is ended.
    let worker = instance.process("worker");
    kill(pid(&worker), Signal::SIGSTOP).unwrap();
    once(&instance, "worker", |now| now["state"] == "running" && now["pid"] != worker["pid"]);
    let why = instance.ok(&["why", "worker"]);
    assert!(why.contains("watchdog"), "{why}");
}

#[test]
fn who_waits_for_the_instance_to_be_well_waits_for_each_health_check() {
    let instance = Instance::start(
        r#"
local neap = require "neap"
local check = neap.exec { command = { "test", "-e", "well" }, interval = "20ms", retries = 100000 }
neap.process "first" { command = { "sleep", "1000" }, ready = neap.exec { command = { "test", "-e", "up" } } }
neap.process "late" { command = { "sleep", "1000" }, requires = "first", health = check }
neap.process "own" { command = { "sleep", "1000" }, health = check }
neap.process "off" { command = { "sleep", "1000" }, auto_start = false, health = check }
neap.process "idle" { command = { "sleep", "1000" }, listen = neap.listen { unix = "idle.sock" }, health = check }
"#,
    );
    // Nothing is wrong, and nothing is known to be well.
    instance.ok(&["health"]);
    let too_late = instance.fails(7, &["health", "--wait", "--timeout", "300ms"]);
    assert_eq!(too_late.stdout, "");
    let waiting = instance.child(&["health", "--wait"]);
    instance.folder.write("up", "");
    once(&instance, "late", |process| process["state"] == "running");
    instance.fails(7, &["health", "--wait", "--timeout", "300ms"]);
    instance.folder.write("well", "");
    let output = waiting.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &*output.stdout), (Some(0), &b"the instance is well\n"[..]), "{output:?}");
    for (name, health) in [("late", "healthy"), ("own", "healthy"), ("off", "unknown"), ("idle", "unknown")] {
        assert_eq!(instance.process(name)["health"], health, "{name}");
    }
}

#[test]
fn a_supervisor_that_was_held_up_accuses_nobody() {
    // Three that answer or report only while their supervisor cannot hear it.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let configuration = format!(
        r#"
local neap = require "neap"
local pace = {{ interval = "10ms", timeout = "2s", retries = 1, restart_after = 1 }}
local function with(keys) for key, value in pairs(pace) do keys[key] = value end return keys end
neap.process "web" {{
  command = {{ "sleep", "1000" }}, health = neap.http(with {{ url = "http://127.0.0.1:{port}/" }}),
}}
neap.process "job" {{
  command = {{ "sleep", "1000" }},
  health = neap.exec(with {{ command = {{ "sh", "-c", "touch asked; while [ ! -e stopped ]; do sleep 0.01; done; touch done" }} }}),
}}
neap.on("health.unhealthy", function(event) print("SICK " .. event.process .. " " .. event.reason) end)
neap.on("health.healthy", function(event) print("WELL " .. event.process) end)
"#
    );
    let folder = crate::support::Folder::new();
    let file = folder.write("neap.lua", &configuration);
    let (asked, was_asked) = channel();
    let (answer, may_answer) = channel::<()>();
    let server = std::thread::spawn(move || {
        let mut held = false;
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            if !held {
                held = true;
                asked.send(()).unwrap();
                may_answer.recv().unwrap();
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            if asked.send(()).is_err() {
                return;
            }
        }
    });
    let neap = Neap::new(["up", file.to_str().unwrap()]).dir(folder.path()).start();
    was_asked.recv_timeout(DEADLINE).unwrap();
    let until = |file: &str| {
        let end = Instant::now() + DEADLINE;
        while !folder.path().join(file).exists() {
            assert!(Instant::now() < end, "{file} never came");
            std::thread::yield_now();
        }
    };
    until("asked");
    // The supervisor stops; both answer; and its clock goes on until it is far beyond their time.
    let supervisor = Pid::from_raw(i32::try_from(neap.pid()).unwrap());
    kill(supervisor, Signal::SIGSTOP).unwrap();
    let stopped = Instant::now();
    folder.write("stopped", "");
    answer.send(()).unwrap();
    until("done");
    while stopped.elapsed() < Duration::from_secs(5) {
        std::thread::yield_now();
    }
    kill(supervisor, Signal::SIGCONT).unwrap();
    for _ in 0..2 {
        let line = neap.wait_for(|line| line.contains("WELL ") || line.contains("SICK "));
        assert!(line.contains("WELL "), "{line}");
    }
    drop(was_asked);
    neap.signal(Signal::SIGINT);
    neap.end().expect_code(0);
    drop(std::net::TcpStream::connect(("127.0.0.1", port)));
    server.join().unwrap();
}
