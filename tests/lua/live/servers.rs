//! The recipes with the real servers. A test that lacks one says so.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use neap::core::StateName;

use crate::live::Live;
use crate::support::{skipped, wait_until};

fn installed(test: &str, programs: &[&str]) -> bool {
    for pattern in programs {
        let found = match pattern.split_once('*') {
            None => Path::new(pattern).exists(),
            Some((folder, rest)) => Path::new(folder)
                .read_dir()
                .is_ok_and(|mut all| all.any(|entry| entry.is_ok_and(|e| e.path().join(rest).exists()))),
        };
        if !found {
            skipped(test, &format!("{pattern} is not installed"));
            return false;
        }
    }
    true
}

const NGINX: &str = "/usr/sbin/nginx";
const REDIS: &str = "/usr/bin/redis-server";
const POSTGRES: &str = "/usr/lib/postgresql/*bin/postgres";

/// What a server answers to this.
fn ask(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    stream.write_all(request.as_bytes()).expect("a request");
    stream.shutdown(std::net::Shutdown::Write).expect("the end of the request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn nginx_serves_a_folder_and_reads_its_configuration_again() {
    if !installed("nginx_serves_a_folder_and_reads_its_configuration_again", &[NGINX]) {
        return;
    }
    let live = Live::new(
        r#"
        local nginx = require "nginx"
        nginx "web" {
          port = 28081, root = "public",
          hooks = { before_start = { "sh", "-c", "mkdir -p public && echo hello > public/index.html" } },
        }
        "#,
    );
    live.reaches("web", StateName::Running);
    assert!(ask(28081, "GET / HTTP/1.0\r\n\r\n").ends_with("hello\n"));
    live.supervisor.get("web").expect("web").reload().wait().expect("a reload");
    assert!(ask(28081, "GET / HTTP/1.0\r\n\r\n").ends_with("hello\n"));
    live.shut_down();
}

#[test]
fn redis_says_that_it_is_ready_and_keeps_its_data() {
    if !installed("redis_says_that_it_is_ready_and_keeps_its_data", &[REDIS]) {
        return;
    }
    let live = Live::new(r#"require "redis" "cache" { port = 28082, settings = { maxmemory = "32mb" } }"#);
    live.reaches("cache", StateName::Running);
    assert_eq!(ask(28082, "SET a 1\r\nQUIT\r\n"), "+OK\r\n+OK\r\n");
    live.supervisor.get("cache").expect("cache").restart().wait().expect("a restart");
    assert_eq!(ask(28082, "GET a\r\nQUIT\r\n"), "$1\r\n1\r\n+OK\r\n");
    live.shut_down();
}

#[test]
fn postgres_makes_its_cluster_and_says_that_it_is_ready() {
    if !installed("postgres_makes_its_cluster_and_says_that_it_is_ready", &[POSTGRES]) {
        return;
    }
    let live = Live::new(r#"require "postgres" "db" { port = 28083, settings = { shared_buffers = "16MB" } }"#);
    live.reaches("db", StateName::Running);
    TcpStream::connect(("127.0.0.1", 28083)).expect("a connection");
    live.supervisor.get("db").expect("db").stop().wait().expect("a stop");
    let lines = live.supervisor.get("db").expect("db").logs(50);
    let text: Vec<String> = lines.iter().map(|line| String::from_utf8_lossy(&line.text).into_owned()).collect();
    assert!(text.iter().any(|line| line.contains("received fast shutdown request")), "{text:#?}");
    assert!(text.iter().any(|line| line.contains("database system is shut down")), "{text:#?}");
    live.shut_down();
}

#[test]
fn the_stack_of_the_examples_comes_up_and_comes_back_after_a_kill() {
    if !installed("the_stack_of_the_examples_comes_up_and_comes_back_after_a_kill", &[NGINX, REDIS, POSTGRES]) {
        return;
    }
    let live = Live::file(Path::new("examples/stack.lua"), "STACK_STATE");
    live.reaches("nginx", StateName::Running);
    for name in ["redis", "postgres", "nginx"] {
        let process = live.supervisor.get(name).expect("the process");
        let status = process.status().expect("its status");
        assert_eq!(status.state, StateName::Running, "{name}");
        process.signal(neap::spec::Signal::KILL).wait().expect("a signal");
        wait_until(&format!("{name} is back"), || {
            let now = process.status().expect("its status");
            now.run_count > status.run_count && now.state == StateName::Running
        });
        live.reaches("nginx", StateName::Running);
    }
    assert!(ask(18080, "GET / HTTP/1.0\r\n\r\n").ends_with("ok\n"));
    live.shut_down();
}
