//! The example, run whole: the agent's programs from Lua and from YAML, of the same meaning.

use nix::sys::signal::{Signal, kill};

use crate::support::{Daemon, pid};
use crate::world::{World, has_python, root};

const PROGRAMS: [&str; 5] = ["agent", "trace-agent", "process-agent", "dogstatsd", "system-probe"];

/// Each thing that the example shows, one after the other.
fn shows_what_it_says(world: &World, daemon: Daemon<'_>) {
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

    // An experiment that fails gives way to the stable one.
    world.neap(&["start", "agent-exp"]);
    world.wait_for(&experimental, "running");
    kill(pid(&world.list()["agent-exp"]), Signal::SIGKILL).unwrap();
    world.wait_for(&stable, "running");
    assert_eq!(world.states(&["agent-exp"]), ["failed"]);
    assert_eq!(world.list()["trace-agent"]["pid"], steady);

    // What is over is over.
    world.neap(&["down"]);
    let (status, said) = daemon.end();
    assert_eq!(status.code(), Some(0), "{said}");
    for left in ["apm.socket", "dsd.socket"] {
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
    shows_what_it_says(&world, daemon);
}
