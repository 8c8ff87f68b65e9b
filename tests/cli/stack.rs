//! `examples/stack.lua`: real servers, from the first start to the last process gone.

use std::net::TcpListener;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Folder, Neap, Running};

/// The servers that are not installed here.
fn missing() -> Vec<&'static str> {
    let installed = |name: &str| ["/usr/bin", "/usr/sbin"].iter().any(|dir| Path::new(dir).join(name).exists());
    let mut missing: Vec<&str> = ["nginx", "redis-server"].into_iter().filter(|name| !installed(name)).collect();
    if !Path::new("/usr/lib/postgresql").exists() {
        missing.push("postgres");
    }
    missing
}

/// The example with ports that nobody has.
fn configuration() -> String {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/stack.lua");
    let mut text = std::fs::read_to_string(file).unwrap();
    let listeners: Vec<TcpListener> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    for (port, listener) in ["16390", "15433", "18080"].iter().zip(&listeners) {
        assert!(text.contains(port), "{port} is not in the example");
        text = text.replace(port, &listener.local_addr().unwrap().port().to_string());
    }
    text
}

/// Waits until this one runs, and gives its pid.
fn runs(neap: &Running, name: &str) -> Pid {
    neap.wait_for(|line| line.starts_with(name) && line.contains("* running (pid "));
    neap.current_pid(name)
}

#[test]
fn real_servers_come_up_in_order_come_back_and_leave_nothing() {
    let missing = missing();
    if !missing.is_empty() {
        println!("skipped: real_servers_come_up_in_order_come_back_and_leave_nothing: no {}", missing.join(", "));
        return;
    }
    let folder = Folder::new();
    let file = folder.write("stack.lua", &configuration());
    let state = folder.path().join("state");
    std::fs::create_dir(&state).unwrap();
    let neap = Neap::new(["up", file.to_str().unwrap()]).env("STACK_STATE", state.to_str().unwrap()).start();
    // nginx is the last: it requires both others.
    runs(&neap, "nginx");
    for name in ["redis", "postgres", "nginx"] {
        let pid = neap.current_pid(name);
        kill(pid, Signal::SIGKILL).unwrap();
        neap.wait_for(|line| line.starts_with(name) && line.contains("killed by SIGKILL; starts again in"));
        assert_ne!(runs(&neap, name), pid, "{name} came back as another process");
    }
    neap.signal(Signal::SIGINT);
    let ended = neap.end().expect_code(0);
    let place = |text: &str| ended.stdout.lines().position(|line| line == text).unwrap_or_else(|| panic!("no {text}"));
    let nginx_stopped = place("nginx    * stopped");
    assert!(nginx_stopped < place("redis    * stopped") && nginx_stopped < place("postgres * stopped"));
}
