//! Ready by tcp, http, exec, log line, notification and function; health; watchdog.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use neap::Error;
use neap::core::{EventKind, HealthStatus, Refusal, StateName};
use neap::spec::{FunctionId, Health, Probe, ProbeTarget, Ready, Signal, Spec, Stop};

use crate::support::DEADLINE;
use crate::world::{World, at_once, await_lines, does, done, pid};

fn probe(target: ProbeTarget) -> Ready {
    Ready::Probe(Probe { target, interval: Some(Duration::from_millis(5)), timeout: Some(DEADLINE) })
}

/// Starts it, sees that it is not ready yet, lets `make` make it so, and sees that it is.
fn becomes_ready(world: &mut World, spec: Spec, make: impl FnOnce(&World)) {
    let name = spec.name.clone();
    let process = world.add(spec);
    let answer = process.start();
    world.await_executed(&name);
    assert_eq!(process.status().unwrap().state, StateName::Starting);
    make(world);
    assert_eq!(done(answer), Ok(StateName::Running));
    assert_eq!(process.status().unwrap().reason, "", "why it was not ready yet is over");
}

#[test]
fn ready_once_its_port_accepts() {
    let mut world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    std::fs::write(world.dir.join("block"), "").unwrap();
    let words = ["gone", "block", "listen", &port.to_string()];
    let target = ProbeTarget::Tcp { host: "127.0.0.1".into(), port };
    let spec = does("web", &words).ready(probe(target));
    becomes_ready(&mut world, spec, |world| std::fs::remove_file(world.dir.join("block")).unwrap());
}

#[test]
fn ready_once_an_http_request_is_answered_well() {
    let mut world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/health", listener.local_addr().unwrap());
    let spec = does("web", &["wait"]).ready(probe(ProbeTarget::http(url)));
    becomes_ready(&mut world, spec, |_| {
        std::thread::spawn(move || {
            for answer in
                ["HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"]
            {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 1024]);
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
    });
}

#[test]
fn ready_once_a_command_succeeds() {
    let mut world = World::new();
    let spec = does("web", &["wait"]).ready(probe(ProbeTarget::Exec(vec!["test".into(), "-e".into(), "flag".into()])));
    becomes_ready(&mut world, spec, |world| std::fs::write(world.dir.join("flag"), "").unwrap());
}

#[test]
fn ready_once_a_line_says_so_of_this_run_and_no_other() {
    let mut world = World::new();
    std::fs::write(world.dir.join("block"), "").unwrap();
    let words = ["say", "not yet", "gone", "block", "complain", "now accepting on 80", "wait"];
    let spec = does("web", &words).ready(Ready::logline(r"accepting on \d+$")).restart(at_once());
    becomes_ready(&mut world, spec, |world| std::fs::remove_file(world.dir.join("block")).unwrap());
    std::fs::write(world.dir.join("block"), "").unwrap();
    let process = world.supervisor.get("web").unwrap();
    done(process.signal(Signal::KILL)).unwrap();
    world.await_executed("web");
    await_lines(&process, 3);
    assert_eq!(process.status().unwrap().state, StateName::Starting, "the old run's line does not count");
    std::fs::remove_file(world.dir.join("block")).unwrap();
    assert_eq!(done(process.wait(StateName::Running)).unwrap().state, StateName::Running);
}

#[test]
fn ready_once_a_function_says_so() {
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    let mut world = World::with(|builder| {
        builder.function(FunctionId(7), move |call| {
            assert_eq!(&*call.process, "web");
            match count.fetch_add(1, Ordering::Relaxed) {
                0 => Err("too early".into()),
                1 => panic!("a function that panics has failed"),
                _ => Ok(()),
            }
        })
    });
    let spec = does("web", &["wait"]).ready(probe(ProbeTarget::Function(FunctionId(7))));
    becomes_ready(&mut world, spec, |_| {});
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}

#[test]
fn who_does_not_become_ready_in_time_is_ended_and_says_why() {
    let world = World::new();
    let spec = does("web", &["wait"])
        .ready(probe(ProbeTarget::Exec(vec!["false".into()])))
        .start_timeout(Duration::from_millis(2000));
    let process = world.add(spec);
    match done(process.start()) {
        Err(Error::Refused(Refusal::StartFailed { reason, .. })) => {
            assert!(reason.ends_with("within its start timeout: exit code 1"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(process.status().unwrap().pid, None);
}

#[test]
fn a_failing_health_check_restarts_it_where_asked() {
    let mut world = World::new();
    std::fs::write(world.dir.join("well"), "").unwrap();
    let mut health = Health::new(ProbeTarget::Exec(vec!["test".into(), "-e".into(), "well".into()]));
    (health.interval, health.timeout, health.retries, health.restart_after) =
        (Duration::from_millis(5), DEADLINE, 1, 2);
    let process = world.start(does("web", &["wait"]).health(health).restart(at_once()).ready(Ready::Health));
    world.await_executed("web");
    let first = pid(&process);
    std::fs::remove_file(world.dir.join("well")).unwrap();
    world.await_event("it is unhealthy", |event| match &event.kind {
        EventKind::Health { to: HealthStatus::Unhealthy, reason, .. } => {
            assert!(reason.contains("exit code 1"), "{reason}");
            Some(())
        }
        _ => None,
    });
    world.await_state("web", StateName::Stopping);
    std::fs::write(world.dir.join("well"), "").unwrap();
    let second = world.await_executed("web");
    assert_ne!(second, first);
    done(process.wait(StateName::Running)).unwrap();
}

#[test]
fn a_missed_watchdog_ends_it_and_a_kept_one_does_not() {
    let mut world = World::new();
    let spec = does("web", &["env", "notify", "READY=1", "wait"])
        .process_type(neap::spec::ProcessType::Notify)
        .watchdog(Duration::from_millis(100))
        .stop(Stop::signal(Signal::TERM, DEADLINE));
    let process = world.start(spec);
    assert!(await_lines(&process, 2).contains(&"WATCHDOG_USEC=100000".to_owned()));
    let reason = world.await_state("web", StateName::Failed);
    assert!(reason.contains("watchdog"), "{reason}");
    let kept = does(
        "kept",
        &["notify", "READY=1", "repeat", "20", "{", "notify", "WATCHDOG=1", "sleep", "0.01", "}", "exit", "0"],
    )
    .process_type(neap::spec::ProcessType::Notify)
    .watchdog(Duration::from_secs(20));
    world.start(kept);
    world.await_state("kept", StateName::Exited);
}

#[test]
fn a_probe_in_flight_at_the_end_leaves_nothing() {
    for _ in 0..5 {
        let mut world = World::new();
        let actor = crate::support::actor().to_str().unwrap().to_owned();
        std::fs::write(world.dir.join("block"), "").unwrap();
        let mark = world.dir.join("probing");
        let words = [actor, "out".into(), mark.to_str().unwrap().into(), "say".into(), "x".into(), "wait".into()];
        let target = ProbeTarget::Exec(words.to_vec());
        let spec = does("web", &["gone", "block", "exit", "3"]).ready(probe(target)).critical(true);
        let process = world.add(spec);
        drop(process.start());
        world.await_executed("web");
        crate::support::wait_until("it is probed", || mark.exists());
        std::fs::remove_file(world.dir.join("block")).unwrap();
        assert_eq!(done(world.supervisor.ended()).unwrap().code, Some(3));
    }
}
