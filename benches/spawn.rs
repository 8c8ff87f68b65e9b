//! From the wish to a reaped child, beside a bare vfork and exec loop in C: interleaved rounds, medians, ratios.
//! Criterion then measures ours alone, with and without a tree.

mod floor;

use std::ffi::CString;
use std::hint::black_box;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use criterion::Criterion;
use neap::core::RunId;
use neap::driver::contain::Trees;
use neap::driver::exit::reap;
use neap::driver::spawn::{Finish, InFlight, Launch, Launcher};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

const ROUNDS: usize = 30;
const EACH: usize = 20;

fn readable(fd: BorrowedFd<'_>) {
    let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
    while poll(&mut fds, PollTimeout::NONE).is_err() {}
}

fn launch_of(program: &Path) -> Launch {
    let path = CString::new(program.as_os_str().as_bytes()).expect("no NUL in a path");
    Launch::new(vec![path.clone()], vec![path, CString::new("nop").expect("no NUL")])
}

/// Waits until it was executed and has ended.
fn see_out(mut child: InFlight) {
    let child = loop {
        readable(child.exec_pipe());
        match child.finish() {
            Finish::Pending(still) => child = still,
            Finish::Executed(child) => break child,
            Finish::Failed(error) => panic!("not executed: {}", error.message),
        }
    };
    readable(child.pidfd.as_fd());
    black_box(reap(child.pidfd.as_fd()).expect("it is ours"));
}

fn ours(launcher: &Launcher, launch: &Launch) -> u64 {
    let from = Instant::now();
    see_out(launcher.launch(launch.clone()).expect("it can be spawned"));
    u64::try_from(from.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

fn ours_in_a_tree(launcher: &Launcher, trees: &Trees, launch: &Launch, run: u64) -> u64 {
    let mut launch = launch.clone();
    let from = Instant::now();
    let tree = trees.create("bench", RunId(run)).expect("a tree can be made");
    launch.cgroup = tree.cgroup().expect("its folder can be opened");
    see_out(launcher.launch(launch).expect("it can be spawned"));
    let _removed_later = tree.remove();
    u64::try_from(from.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

fn theirs(floor: &Path, mib: usize) -> Vec<u64> {
    let output =
        Command::new(floor).args(["spawn", &mib.to_string(), &EACH.to_string()]).output().expect("the floor runs");
    String::from_utf8_lossy(&output.stdout).lines().filter_map(|line| line.parse().ok()).collect()
}

fn compare(floor: &Path, mib: usize) {
    let mut ballast = vec![0_u8; mib << 20];
    for page in ballast.chunks_mut(4096) {
        page[0] = 1;
    }
    let (launcher, trees, launch) = (Launcher::new(), Trees::new(), launch_of(floor));
    let (mut floors, mut plain, mut in_tree) = (Vec::new(), Vec::new(), Vec::new());
    let mut run = 0;
    for _ in 0..ROUNDS {
        floors.extend(theirs(floor, mib));
        plain.extend((0..EACH).map(|_| ours(&launcher, &launch)));
        in_tree.extend((0..EACH).map(|_| {
            run += 1;
            ours_in_a_tree(&launcher, &trees, &launch, run)
        }));
    }
    black_box(&ballast);
    let (base, plain, in_tree) = (floor::median(floors), floor::median(plain), floor::median(in_tree));
    let ratio = |value: u64| value as f64 / base.max(1) as f64;
    println!(
        "spawn, {mib} MB: vfork loop {} µs; neap {} µs ({:.2}); neap in a tree of its own {} µs ({:.2})",
        base / 1000,
        plain / 1000,
        ratio(plain),
        in_tree / 1000,
        ratio(in_tree),
    );
}

fn main() {
    let floor = floor::build("floor.c");
    for mib in [10, 300] {
        compare(&floor, mib);
    }
    let mut criterion = Criterion::default().configure_from_args().measurement_time(Duration::from_secs(3));
    let (launcher, launch) = (Launcher::new(), launch_of(&floor));
    criterion.bench_function("spawn to reaped", |b| b.iter(|| ours(&launcher, &launch)));
    criterion.final_summary();
    let _gone = std::fs::remove_file(&floor);
}
