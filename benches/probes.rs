//! What a thousand health checks a second cost the supervision: SIGKILL of a supervised program to the first line of its
//! successor's `main()`, beside a thousand processes that are asked once a second, and beside the same thousand unasked. Rounds of
//! both take turns; medians, their ratio, and the checks that were answered. `--quick`: a hundred processes and fewer rounds.

mod floor;
#[path = "floor/reports.rs"]
mod reports;

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use neap::spec::{Health, ProbeTarget, Restart, Spec};
use neap::{Process, Supervisor};
use reports::Reports;

/// Counts what it accepts.
fn server() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = accepted.clone();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            count.fetch_add(usize::from(connection.is_ok()), Ordering::Relaxed);
        }
    });
    (port, accepted)
}

fn asked(processes: &[Process], health: Option<&Health>) {
    let change = |process: &Process| {
        let spec = Spec { health: health.cloned(), ..(*process.spec().expect("its spec")).clone() };
        process.update(spec)
    };
    for update in processes.iter().map(change).collect::<Vec<_>>() {
        update.wait().expect("health changes while it runs");
    }
}

fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick" || arg == "--test");
    let (count, blocks, rounds) = if quick { (100, 2, 20) } else { (1000, 10, 100) };
    let floor = floor::build("floor.c");
    let folder = std::env::temp_dir().join(format!("neap-probes-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    let path = folder.join("reports");
    let mut report = Reports::at(&path);
    let supervisor = Supervisor::builder().build().expect("a supervisor");
    let command = [floor.display().to_string(), "report".into(), path.display().to_string()];
    let restart = Restart::always().delay(Duration::ZERO).limit(0, Duration::from_secs(1));
    let process = supervisor.add(Spec::new("report", command).restart(restart)).expect("a good spec");
    process.start_blocking().expect("it starts");
    report.next();

    let add = |n: usize| supervisor.add(Spec::new(format!("p{n}"), ["sleep", "infinity"])).expect("a good spec");
    let others: Vec<Process> = (0..count).map(add).collect();
    for start in others.iter().map(Process::start).collect::<Vec<_>>() {
        start.wait().expect("it starts");
    }
    let (port, accepted) = server();
    let mut health = Health::new(ProbeTarget::Tcp { host: "127.0.0.1".into(), port });
    health.interval = Duration::from_secs(1);

    let (mut without, mut with, mut answered, mut took) = (Vec::new(), Vec::new(), 0, Duration::ZERO);
    // Rounds are spread over two seconds, so that they meet checks as they come.
    let mut block = |times: &mut Vec<u64>| {
        for _ in 0..rounds {
            times.push(report.kill_and_wait());
            std::thread::sleep(Duration::from_secs(2) / rounds);
        }
    };
    for _ in 0..blocks {
        block(&mut without);
        asked(&others, Some(&health));
        // From here on each of them is asked.
        let before = accepted.load(Ordering::Relaxed);
        while accepted.load(Ordering::Relaxed) < before + count {
            std::thread::sleep(Duration::from_millis(1));
        }
        let (before, began) = (accepted.load(Ordering::Relaxed), std::time::Instant::now());
        block(&mut with);
        answered += accepted.load(Ordering::Relaxed) - before;
        took += began.elapsed();
        asked(&others, None);
    }
    let p99 = |mut times: Vec<u64>| {
        times.sort_unstable();
        times.get(times.len() * 99 / 100).copied().unwrap_or_default()
    };
    let (slow_without, slow_with) = (p99(without.clone()), p99(with.clone()));
    let (without, with) = (floor::median(without), floor::median(with));
    println!(
        "probes: kill to main beside {count} processes: unasked {} µs, p99 {}; asked {:.0} times a second {} µs, p99 {}; ratio {:.2}",
        without / 1000,
        slow_without / 1000,
        answered as f64 / took.as_secs_f64(),
        with / 1000,
        slow_with / 1000,
        with as f64 / without.max(1) as f64
    );
    let _ended = supervisor.shutdown().wait();
    let _gone = (std::fs::remove_dir_all(&folder), std::fs::remove_file(&floor));
}
