//! The example, run whole: the agent's programs from Lua and from YAML, of the same meaning.

use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};

use crate::support::{Daemon, pid};
use crate::world::{World, has_python, root, standins};

const PROGRAMS: [&str; 5] = ["agent", "trace-agent", "process-agent", "dogstatsd", "system-probe"];

/// Each thing that the example shows, one after the other.
fn shows_what_it_says(world: &World, daemon: Daemon<'_>, falls_back: bool) {
    let port = world.port;
    world.wait_for(&PROGRAMS, "running");
    assert_eq!(world.states(&["agent-exp", "process-agent-exp"]), ["created", "created"]);

    // Its sockets: who may use them, and that something comes of it.
    world.is_ours(&world.socket("apm.socket"), 0o722);
    world.is_ours(&world.socket("dsd.socket"), 0o722);
    let first = world.list()["trace-agent"]["pid"].clone();
    let (status, info) = world.info().unwrap_or_else(|| panic!("nobody at {port}"));
    assert_eq!((status, &info["pid"]), (200, &first), "{info}");
    assert_eq!(world.info_over_unix().unwrap().1["pid"], first);
    world.count("orders:1|c\norders:2|c");
    world.wait_for_line("dogstatsd", "2 metrics; got orders:1|c, orders:2|c");

    // Killed, it is back, and what came meanwhile is answered by the next run.
    let killed = world.list();
    kill(pid(&killed["trace-agent"]), Signal::SIGKILL).unwrap();
    world.wait_until("trace-agent and what is bound to it are back", |all| {
        let back = |name: &str| all[name]["state"] == "running" && all[name]["pid"] != killed[name]["pid"];
        back("trace-agent") && back("dogstatsd")
    });
    assert_eq!(world.info().unwrap().0, 200);

    // Sick, it fails three probes and is restarted.
    let sick = world.neap(&["list", "--json", "trace-agent"]);
    world.wait_for_line("trace-agent", &format!("a stand-in, pid {}", world.list()["trace-agent"]["pid"]));
    world.neap(&["signal", "trace-agent", "USR1"]);
    world.wait_until("trace-agent is well again, as another process", |all| {
        let now = &all["trace-agent"];
        now["state"] == "running" && !sick.contains(&format!("\"pid\":{}", now["pid"])) && now["health"] == "healthy"
    });
    let story = world.neap(&["events", "trace-agent"]);
    assert!(story.contains("503"), "{story}");

    world.wait_for(&["dogstatsd"], "running");

    // Stopped, it takes what is bound to it; a start brings it back.
    world.neap(&["stop", "trace-agent"]);
    assert_eq!(world.states(&["trace-agent", "dogstatsd", "agent"]), ["stopped", "stopped", "running"]);
    world.neap(&["start", "dogstatsd"]);
    assert_eq!(world.states(&["trace-agent", "dogstatsd"]), ["running", "running"]);

    // Stable and experimental are never up at once, and traces are taken all the while.
    let stable = ["agent", "process-agent"];
    let experimental = ["agent-exp", "process-agent-exp"];
    let steady = world.list()["trace-agent"]["pid"].clone();
    world.neap(&["start", "agent-exp"]);
    world.wait_for(&experimental, "running");
    assert_eq!(world.states(&stable), ["stopped", "stopped"]);
    world.neap(&["start", "agent"]);
    world.wait_for(&stable, "running");
    assert_eq!(world.states(&experimental), ["stopped", "stopped"]);

    // An experiment that fails gives way to the stable one, where a function says so, or a person.
    world.neap(&["start", "agent-exp"]);
    world.wait_for(&experimental, "running");
    kill(pid(&world.list()["agent-exp"]), Signal::SIGKILL).unwrap();
    world.wait_for(&["agent-exp"], "failed");
    if !falls_back {
        world.neap(&["start", "agent"]);
    }
    world.wait_for(&stable, "running");
    assert_eq!(world.states(&["agent-exp"]), ["failed"]);
    assert_eq!(world.list()["trace-agent"]["pid"], steady);

    // What is over is over.
    world.neap(&["down"]);
    let (status, said) = daemon.end();
    assert_eq!(status.code(), Some(0), "{said}");
    for left in ["apm.socket", "dsd.socket", "sysprobe.sock"] {
        assert!(!world.socket(left).exists(), "{left} is left");
    }
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err(), "somebody listens at {port}");
}

#[test]
fn the_agents_programs_run_from_lua_as_the_example_says() {
    if !has_python("the_agents_programs_run_from_lua_as_the_example_says") {
        return;
    }
    let world = World::new();
    let daemon = world.start(&root().join("examples/datadog-agent.lua"));
    shows_what_it_says(&world, daemon, true);
}

/// The example in YAML with what is this world's: its folder, its port, the owner of its sockets.
pub fn example(world: &World) -> PathBuf {
    let example = std::fs::read_to_string(root().join("examples/yaml/datadog-agent.yaml")).unwrap();
    let (folder, sockets) = (standins(), world.home.path("sockets"));
    world.write(
        "datadog.yaml",
        &example,
        &[
            ("../../dist/datadog-agent/standins", folder.to_str().unwrap()),
            ("/tmp/neap-datadog-agent", sockets.to_str().unwrap()),
            ("127.0.0.1:8126", &format!("127.0.0.1:{}", world.port)),
            ("interval: 10", "interval: 100ms"),
            ("socket_user: daemon", &format!("socket_user: {}", world.owner)),
        ],
    )
}

#[test]
fn the_agents_programs_run_from_yaml_as_the_example_says() {
    if !has_python("the_agents_programs_run_from_yaml_as_the_example_says") {
        return;
    }
    let world = World::new();
    let file = example(&world);
    let daemon = world.start(&file);
    // Imported, it is the same: the plan of that has nothing to do, which `--exit-code` says by success.
    let lua = file.with_extension("lua");
    let (yaml, lua) = (file.to_str().unwrap(), lua.to_str().unwrap());
    world.neap(&["import", yaml, "-o", lua]);
    world.neap(&["plan", "--exit-code", lua]);
    shows_what_it_says(&world, daemon, false);
}

/// As the Agent team wrote it; the two programs are stand-ins.
const DATADOG_YAML: &str = "\
process_manager:
  enabled: true
  managed_processes:
    trace-agent:
      command: /opt/datadog-agent/bin/trace-agent
      restart_policy: always
      health_check:
        type: http
        endpoint: http://localhost:8126/info
        interval: 30
      auto_start: true
    dogstatsd:
      command: /opt/datadog-agent/bin/dogstatsd
      restart_policy: on-failure
      auto_start: true
      binds_to: [trace-agent]
";

#[test]
fn the_agents_own_datadog_yaml_does_what_it_says() {
    if !has_python("the_agents_own_datadog_yaml_does_what_it_says") {
        return;
    }
    let world = World::new();
    let (folder, pair) = (standins(), ["trace-agent", "dogstatsd"]);
    let file = world.write(
        "datadog.yaml",
        DATADOG_YAML,
        &[
            ("/opt/datadog-agent/bin", folder.to_str().unwrap()),
            ("localhost:8126", &format!("localhost:{}", world.port)),
            // It is not waited for half a minute; three failures are not only told, and count once it was well.
            ("interval: 30", "interval: 100ms\n        restart_after: 3\n        start_period: 60"),
            ("restart_policy: always", "restart_policy: always\n      restart_sec: 100ms"),
        ],
    );
    let daemon = world.start(&file);
    world.wait_until("both run, and one is well", |all| {
        pair.iter().all(|name| all[*name]["state"] == "running") && all["trace-agent"]["health"] == "healthy"
    });

    // Stopping trace-agent stops dogstatsd.
    world.neap(&["stop", "trace-agent"]);
    assert_eq!(world.states(&pair), ["stopped", "stopped"]);
    world.neap(&["start", "dogstatsd"]);
    assert_eq!(world.states(&pair), ["running", "running"]);

    // Three failed probes restart it.
    world.wait_until("it is well", |all| all["trace-agent"]["health"] == "healthy");
    let before = world.list()["trace-agent"]["pid"].clone();
    world.neap(&["signal", "trace-agent", "USR1"]);
    world.wait_until("it is well again, as another process", |all| {
        let now = &all["trace-agent"];
        now["health"] == "healthy" && now["state"] == "running" && now["pid"] != before
    });

    // Killing it brings it back.
    let before = world.list()["trace-agent"]["pid"].clone();
    kill(pid(&world.list()["trace-agent"]), Signal::SIGKILL).unwrap();
    world.wait_until("it is back", |all| {
        let now = &all["trace-agent"];
        now["state"] == "running" && now["pid"] != before && !now["pid"].is_null()
    });
    world.neap(&["down"]);
    let (status, said) = daemon.end();
    assert_eq!(status.code(), Some(0), "{said}");
}
