//! Health of real processes, by every kind of probe: who is restarted, who stays, and what is said of them.

use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use neap::Process;
use neap::core::{EventKind, HealthStatus, Pid, StateName};
use neap::spec::{FunctionId, Health, Probe, ProbeTarget, ProcessType, Ready, Spec};

use crate::support::{DEADLINE, free_port, wait_until};
use crate::world::{World, at_once, does, done, is_dead, pid};

const OFTEN: Duration = Duration::from_millis(5);

/// The kinds of probes; each asks a process that is well while there is a file `well`.
const KINDS: [&str; 5] = ["http", "http over a socket", "tcp", "exec", "function"];

/// A world whose function 1 looks for the file.
fn world() -> World {
    let place: Arc<Mutex<Option<std::path::PathBuf>>> = Arc::default();
    let looked = place.clone();
    let world = World::with(|builder| {
        builder.function(FunctionId(1), move |_| match looked.lock().unwrap().as_ref() {
            Some(file) if file.exists() => Ok(()),
            _ => Err("not well".into()),
        })
    });
    *place.lock().unwrap() = Some(world.dir.join("well"));
    world
}

/// A process with a health check of this kind, and what is said when that fails.
fn of_kind(kind: &str, world: &World, change: impl FnOnce(&mut Health)) -> (Spec, &'static str) {
    let port = free_port();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (well, socket) = (text(&world.dir.join("well")), text(&world.dir.join("socket")));
    let (words, target, said) = match kind {
        "http" => (
            ["pretend", "http", &port.to_string(), &well].map(String::from).to_vec(),
            ProbeTarget::http(format!("http://127.0.0.1:{port}/")),
            "status 503, expected 200 to 299",
        ),
        "http over a socket" => (
            ["pretend", "http", &socket, &well].map(String::from).to_vec(),
            ProbeTarget::http(format!("unix:{socket}:/health")),
            "status 503, expected 200 to 299",
        ),
        "tcp" => (
            ["pretend", "tcp", &port.to_string(), &well].map(String::from).to_vec(),
            ProbeTarget::Tcp { host: "127.0.0.1".into(), port },
            "connection refused",
        ),
        "exec" => {
            (vec!["wait".into()], ProbeTarget::Exec(["test", "-e", &well].map(String::from).to_vec()), "exit code 1")
        }
        "function" => (vec!["wait".into()], ProbeTarget::Function(FunctionId(1)), "not well"),
        other => panic!("{other}"),
    };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut health = Health::new(target);
    (health.interval, health.timeout, health.retries) = (OFTEN, DEADLINE, 2);
    change(&mut health);
    (does("web", &words).health(health).ready(Ready::Health).restart(at_once()), said)
}

fn well(world: &World, well: bool) {
    let file = world.dir.join("well");
    if well { std::fs::write(file, "all is well").unwrap() } else { std::fs::remove_file(file).unwrap() }
}

/// The next time that its health becomes this; with the reason.
fn await_health(world: &mut World, wanted: HealthStatus) -> String {
    world.await_event(&format!("it is {wanted:?}"), |event| match &event.kind {
        EventKind::Health { to, reason, .. } if *to == wanted => Some(reason.clone()),
        _ => None,
    })
}

fn failures(process: &Process) -> u32 {
    process.status().unwrap().health_failures
}

#[test]
fn whatever_the_probe_a_sick_process_is_restarted_after_as_many_failures_as_it_says_and_says_why() {
    for kind in KINDS {
        let mut world = world();
        well(&world, true);
        let (spec, said) = of_kind(kind, &world, |health| health.restart_after = 3);
        let process = world.start(spec);
        let first = world.await_executed("web");
        await_health(&mut world, HealthStatus::Healthy);
        well(&world, false);
        let reason = await_health(&mut world, HealthStatus::Unhealthy);
        assert!(reason.ends_with(said), "{kind}: {reason}");
        world.await_state("web", StateName::Stopping);
        let second = world.await_executed("web");
        assert_ne!(first, second, "{kind}");
        let why = process.why().unwrap();
        assert!(why.summary().contains("unhealthy") && why.summary().contains(said), "{kind}: {}", why.summary());
        well(&world, true);
        await_health(&mut world, HealthStatus::Healthy);
        assert_eq!(done(process.wait(StateName::Running)).unwrap().pid, Some(second), "{kind}");
    }
}

#[test]
fn whatever_the_probe_with_a_restart_after_of_0_the_pid_stays_and_recovery_is_seen() {
    for kind in KINDS {
        let mut world = world();
        well(&world, true);
        let (spec, said) = of_kind(kind, &world, |_| {});
        let process = world.start(spec);
        let first = pid(&process);
        for _ in 0..2 {
            await_health(&mut world, HealthStatus::Healthy);
            well(&world, false);
            await_health(&mut world, HealthStatus::Unhealthy);
            wait_until("it failed many times", || failures(&process) >= 10);
            let status = process.status().unwrap();
            assert_eq!((status.pid, status.run_count, status.state), (Some(first), 1, StateName::Running), "{kind}");
            assert!(status.reason.ends_with(said), "{kind}: {}", status.reason);
            well(&world, true);
        }
        await_health(&mut world, HealthStatus::Healthy);
        let status = process.status().unwrap();
        assert_eq!((status.pid, status.run_count), (Some(first), 1), "{kind}");
        assert_eq!(status.reason, "", "{kind}");
    }
}

#[test]
fn whatever_the_probe_recovery_makes_failures_count_from_the_beginning() {
    for kind in KINDS {
        let mut world = world();
        well(&world, true);
        // Far more than fail in a row here, and fewer than fail in all.
        let (spec, _) = of_kind(kind, &world, |health| health.restart_after = 100_000);
        let process = world.start(spec);
        for _ in 0..2 {
            await_health(&mut world, HealthStatus::Healthy);
            well(&world, false);
            await_health(&mut world, HealthStatus::Unhealthy);
            wait_until("it fails", || failures(&process) >= 3);
            well(&world, true);
            wait_until("it is well", || failures(&process) == 0);
        }
        assert_eq!(process.status().unwrap().run_count, 1, "{kind}");
    }
}

#[test]
fn failures_and_successes_are_counted_exactly() {
    // Failures, successes, and the end: the third failure in a row is the ninth answer.
    const ANSWERS: &[u8] = b"FFTFFTFFF";
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    let mut world = World::with(|builder| {
        builder.function(FunctionId(1), move |_| {
            let number = count.fetch_add(1, Ordering::SeqCst) as usize;
            if ANSWERS.get(number) == Some(&b'F') { Err(format!("no {number}")) } else { Ok(()) }
        })
    });
    let mut health = Health::new(ProbeTarget::Function(FunctionId(1)));
    (health.interval, health.timeout, health.retries, health.restart_after) = (OFTEN, DEADLINE, 2, 3);
    world.start(does("web", &["wait"]).health(health).restart(at_once()));
    let reasons = [(); 3].map(|()| await_health(&mut world, HealthStatus::Unhealthy));
    assert_eq!(reasons, ["no 1", "no 4", "no 7"]);
    let reason = world.await_state("web", StateName::Stopping);
    assert!(reason.is_empty() || reason.contains("no 8"), "{reason}");
    world.await_executed("web");
}

#[test]
fn a_process_that_stops_reporting_to_its_watchdog_is_restarted_and_one_that_reports_stays() {
    let mut world = World::new();
    let file = world.dir.join("well");
    let file = file.to_str().unwrap();
    let words = ["notify", "READY=1", "while", file, "{", "notify", "WATCHDOG=1", "sleep", "0.01", "}", "wait"];
    std::fs::write(file, "").unwrap();
    let spec = does("web", &words).process_type(ProcessType::Notify);
    let process = world.start(spec.watchdog(Duration::from_secs(1)).restart(at_once()));
    let first = world.await_executed("web");
    assert_eq!(pid(&process), first);
    std::fs::remove_file(file).unwrap();
    world.await_event("its watchdog is missed", |event| match &event.kind {
        EventKind::ProcessExited { pid, .. } if *pid == first => Some(()),
        _ => None,
    });
    std::fs::write(file, "").unwrap();
    let why = process.why().unwrap().summary();
    assert!(why.contains("watchdog"), "{why}");
    let second = world.await_executed("web");
    assert_ne!(first, second);
    world.await_state("web", StateName::Running);
}

#[test]
fn a_liveness_check_and_a_ready_check_are_apart() {
    let mut world = World::new();
    let (alive, ready) = (world.dir.join("alive"), world.dir.join("ready"));
    let exists = |path: &Path| ProbeTarget::Exec(vec!["test".into(), "-e".into(), path.to_str().unwrap().into()]);
    let mut health = Health::new(exists(&alive));
    (health.interval, health.timeout, health.retries, health.restart_after) = (OFTEN, DEADLINE, 1, 0);
    let by = Probe { target: exists(&ready), interval: Some(OFTEN), timeout: Some(DEADLINE) };
    let process = world.add(does("web", &["wait"]).health(health).ready(Ready::Probe(by)));
    let started = process.start();
    world.await_executed("web");
    wait_until("it was asked whether it is ready", || !process.status().unwrap().reason.is_empty());
    let status = process.status().unwrap();
    assert_eq!((status.state, status.health, status.health_failures), (StateName::Starting, HealthStatus::Unknown, 0));
    std::fs::write(&ready, "").unwrap();
    assert_eq!(done(started), Ok(StateName::Running), "who is not alive may be ready");
    await_health(&mut world, HealthStatus::Unhealthy);
    std::fs::remove_file(&ready).unwrap();
    std::fs::write(&alive, "").unwrap();
    await_health(&mut world, HealthStatus::Healthy);
    let status = process.status().unwrap();
    assert_eq!((status.state, status.run_count), (StateName::Running, 1), "who was ready is not asked again");
}

/// The pids that were written into a file, a line each.
fn pids(file: &Path) -> Vec<Pid> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).map(Pid).collect()
}

#[test]
fn a_command_that_is_too_slow_is_killed_with_all_that_it_started_before_the_next_one_begins() {
    let world = World::new();
    let (seen, overlaps) = (world.dir.join("seen"), world.dir.join("overlaps"));
    // Whoever begins while one that was seen before still has memory, and so a command line, says so.
    let script = format!(
        "for p in $(cat {seen} 2>/dev/null); do \
           [ -n \"$(tr -d '\\0' 2>/dev/null < /proc/$p/cmdline)\" ] 2>/dev/null && echo $p >> {overlaps}; done; \
         sleep 1000 & echo $! >> {seen}; echo $$ >> {seen}; wait",
        seen = seen.display(),
        overlaps = overlaps.display()
    );
    let mut health = Health::new(ProbeTarget::Exec(vec!["sh".into(), "-c".into(), script]));
    (health.interval, health.timeout, health.retries) = (OFTEN, Duration::from_millis(200), 1);
    let process = world.start(does("web", &["wait"]).health(health));
    wait_until("it was asked often", || pids(&seen).len() >= 8);
    assert!(process.status().unwrap().reason.contains("not done within 200ms"), "{:?}", process.status());
    assert_eq!(pids(&overlaps), [], "probes that lived beside their successor");
    done(process.stop()).unwrap();
    wait_until("nothing of a probe is left", || pids(&seen).iter().all(|pid| is_dead(*pid)));
    let asked = pids(&seen).len();
    done(world.supervisor.get("web").unwrap().start()).unwrap();
    wait_until("it is asked again", || pids(&seen).len() > asked);
}

#[test]
fn a_function_that_does_not_return_is_not_called_again_before_it_does() {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let (held, calls) = (gate.clone(), Arc::new(AtomicU32::new(0)));
    let count = calls.clone();
    let mut world = World::with(|builder| {
        builder.function(FunctionId(1), move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            let mut open = held.0.lock().unwrap();
            while !*open {
                open = held.1.wait(open).unwrap();
            }
            Ok(())
        })
    });
    let mut health = Health::new(ProbeTarget::Function(FunctionId(1)));
    (health.interval, health.timeout, health.retries) = (OFTEN, Duration::from_millis(20), 1);
    let process = world.start(does("web", &["wait"]).health(health));
    let reason = await_health(&mut world, HealthStatus::Unhealthy);
    assert_eq!(reason, "not done within 20ms");
    wait_until("it failed many times", || failures(&process) >= 10);
    assert!(process.status().unwrap().reason.contains("has not come back yet"), "{:?}", process.status());
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    await_health(&mut world, HealthStatus::Healthy);
}

#[test]
fn who_is_stopped_has_no_probe() {
    // First: it has what this test opens counted as its own, and not as another's.
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, connections) = std::sync::mpsc::channel();
    let accepting = std::thread::spawn(move || {
        for stream in listener.incoming() {
            // The last one is ours.
            if sender.send(stream.unwrap().peer_addr().unwrap()).is_err() {
                return;
            }
        }
    });
    let mut health = Health::new(ProbeTarget::Tcp { host: "127.0.0.1".into(), port });
    (health.interval, health.timeout) = (OFTEN, DEADLINE);
    let process = world.start(does("web", &["wait"]).health(health));
    for _ in 0..5 {
        connections.recv_timeout(DEADLINE).unwrap();
    }
    done(process.stop()).unwrap();
    while connections.try_recv().is_ok() {}
    // One that was being called off may still come; no other does.
    let mut strays = 0;
    for _ in 0..2 {
        let ours = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap().local_addr().unwrap();
        while connections.recv_timeout(DEADLINE).unwrap() != ours {
            strays += 1;
        }
    }
    assert!(strays <= 1, "{strays}");
    let status = process.status().unwrap();
    assert_eq!((status.health, status.health_failures), (HealthStatus::Unknown, 0));
    drop(connections);
    drop(std::net::TcpStream::connect(("127.0.0.1", port)));
    accepting.join().unwrap();
}

#[test]
fn a_health_check_that_is_changed_is_used_at_once_and_the_pid_stays() {
    let mut world = World::new();
    std::fs::write(world.dir.join("well"), "").unwrap();
    let (spec, _) = of_kind("exec", &world, |health| health.retries = 1);
    let process = world.start(spec.ready(Ready::Executed));
    await_health(&mut world, HealthStatus::Healthy);
    let first = pid(&process);
    let mut health = Health::new(ProbeTarget::Exec(vec!["false".into()]));
    (health.interval, health.timeout, health.retries) = (OFTEN, DEADLINE, 1);
    let changed = Spec { health: Some(health), ..(*process.spec().unwrap()).clone() };
    done(process.update(changed)).unwrap();
    await_health(&mut world, HealthStatus::Unhealthy);
    assert_eq!(pid(&process), first);
}
