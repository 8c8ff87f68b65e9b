//! SIGKILL of a supervised program to the first line of its successor's `main()`, beside the least C supervisor: interleaved rounds,
//! medians, ratio. Once as a part of another program, and once as under `neap daemon`: with a ledger, and a log file. (The
//! anchor has no part in a restart: it holds the pipes from the first run on.) Criterion then measures ours alone.

mod floor;
#[path = "floor/reports.rs"]
mod reports;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use criterion::Criterion;
use neap::driver::Keep;
use neap::ledger::Ledger;
use neap::spec::{Restart, Spec};
use neap::{Builder, Supervisor};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reports::Reports;

const ROUNDS: usize = 300;

fn their_supervisor(floor: &Path, path: &Path) -> Child {
    Command::new(floor).arg("supervise").arg(path).stdin(Stdio::null()).spawn().expect("the floor runs")
}

/// A supervisor of ours with one program that reports there.
fn our_supervisor(floor: &Path, path: &Path, build: impl FnOnce(Builder) -> Builder) -> Supervisor {
    let supervisor = build(Supervisor::builder()).build().expect("a supervisor");
    let command = [floor.display().to_string(), "report".into(), path.display().to_string()];
    let restart = Restart::always().delay(Duration::ZERO).limit(0, Duration::from_secs(1));
    let process = supervisor.add(Spec::new("report", command).restart(restart)).expect("a good spec");
    process.start_blocking().expect("it starts");
    supervisor
}

fn main() {
    let floor = floor::build("floor.c");
    let folder = std::env::temp_dir().join(format!("neap-restart-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    let (theirs_path, ours_path, kept_path) = (folder.join("theirs"), folder.join("ours"), folder.join("kept"));
    let (mut theirs, mut ours) = (Reports::at(&theirs_path), Reports::at(&ours_path));
    let mut kept = Reports::at(&kept_path);

    let mut child = their_supervisor(&floor, &theirs_path);
    theirs.next();

    let supervisor = our_supervisor(&floor, &ours_path, |builder| builder);
    ours.next();
    let instance = format!("bench-{}", std::process::id());
    let (ledger, records, _) = Ledger::open(&folder.join("ledger"), &instance).expect("a ledger");
    let keep = Keep::alone(Box::new(ledger), records.current, &instance);
    let keeper = our_supervisor(&floor, &kept_path, |builder| builder.keep(keep).log_dir(folder.join("log")));
    kept.next();

    let (mut base, mut own, mut durable) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        base.push(theirs.kill_and_wait());
        own.push(ours.kill_and_wait());
        durable.push(kept.kill_and_wait());
    }
    let (base, own, durable) = (floor::median(base), floor::median(own), floor::median(durable));
    let ratio = |time: u64| time as f64 / base.max(1) as f64;
    println!(
        "restart: C supervisor {} µs; neap {} µs ({:.2}); with ledger and log file {} µs ({:.2})",
        base / 1000,
        own / 1000,
        ratio(own),
        durable / 1000,
        ratio(durable)
    );

    let mut criterion = Criterion::default().configure_from_args().measurement_time(Duration::from_secs(3));
    criterion.bench_function("kill to main", |b| {
        b.iter_custom(|rounds| (0..rounds).map(|_| Duration::from_nanos(ours.kill_and_wait())).sum());
    });
    criterion.final_summary();

    let _ended = supervisor.shutdown().wait();
    let _ended = keeper.shutdown().wait();
    kill(Pid::from_raw(i32::try_from(child.id()).expect("a pid")), Signal::SIGTERM).expect("the floor runs");
    let _ended = child.wait();
    let _gone = (std::fs::remove_dir_all(&folder), std::fs::remove_file(&floor));
}
