//! What a spawn costs beside its floor, a bare loop of vfork, execve and waitpid: at 10 and at 300 MB, with and without
//! a cgroup, as root to another user, and among many open descriptors.
//!
//! ```text
//! cargo bench --bench spawn [-- ROUNDS]
//! ```
//!
//! The ways take turns within each round, so that what else the machine does falls on all of them; the figures are
//! medians, and ratios to the floor of the same round.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::hint::black_box;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use neap::core::RunId;
use neap::driver::contain::{TreeKind, Trees};
use neap::driver::spawn::{Finish, Ids, Launch, Launcher};
use neap::driver::{exit, sys};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Children of each kind in a round.
const BATCH: usize = 40;

fn main() {
    let rounds = std::env::args().filter_map(|a| a.parse().ok()).next().unwrap_or(25);
    let folder = std::env::temp_dir().join(format!("neap-bench-{}", std::process::id()));
    std::fs::create_dir(&folder).expect("a temporary folder");
    let program = smallest_program(&folder);
    println!("program: {}; {rounds} rounds of {BATCH}", program.to_string_lossy());
    println!("launcher: {:?}", Launcher::new().status());
    for megabytes in [10, 300] {
        let memory = resident(megabytes);
        measure(&format!("{megabytes} MB"), rounds, &program);
        black_box(&memory);
    }
    let many: Vec<_> = (0..5_000).map_while(|_| File::open("/dev/null").ok()).map(|f| sys::high_fd(f.into())).collect();
    measure(&format!("{} more descriptors", many.len()), rounds, &program);
    let _ = std::fs::remove_dir_all(&folder);
}

/// A program that does nothing, linked statically where there is a C compiler; else `true`.
fn smallest_program(folder: &Path) -> CString {
    let (source, program) = (folder.join("nop.c"), folder.join("nop"));
    let built = std::fs::write(&source, "int main(void) { return 0; }\n").is_ok()
        && Command::new("cc")
            .args(["-O2", "-static", "-o"])
            .args([&program, &source])
            .status()
            .is_ok_and(|s| s.success());
    let path = if built { program.into_os_string().into_string().expect("plain text") } else { "/bin/true".to_owned() };
    CString::new(path).expect("no NUL")
}

/// Memory that is really there.
fn resident(megabytes: usize) -> Vec<u8> {
    let mut memory = vec![0; megabytes << 20];
    memory.iter_mut().step_by(4096).for_each(|b| *b = 1);
    memory
}

fn measure(what: &str, rounds: usize, program: &CStr) {
    let launcher = Launcher::new();
    let trees = Trees::new();
    let cgroups = trees.kind() == TreeKind::Cgroup;
    let root = nix::unistd::geteuid().is_root();
    let plain = || launch(program);
    let as_nobody = || {
        let mut launch = launch(program);
        launch.ids = Some(Ids { uid: 65_534, gid: 65_534, groups: vec![], label: "nobody".into() });
        launch
    };
    type Way<'a> = (&'a str, bool, Box<dyn Fn() + 'a>);
    let ways: [Way<'_>; 5] = [
        ("vfork, execve, waitpid", true, Box::new(|| bare(program))),
        ("launch", true, Box::new(|| once(&launcher, plain()))),
        ("launch in a cgroup of its own", cgroups, Box::new(|| in_tree(&launcher, &trees, plain()))),
        ("launch as another user", root, Box::new(|| once(&launcher, as_nobody()))),
        ("std::process::Command", true, Box::new(|| std_command(program))),
    ];
    let mut times: Vec<Vec<Duration>> = ways.iter().map(|_| Vec::new()).collect();
    let mut ratios: Vec<Vec<f64>> = ways.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        let mut medians = Vec::new();
        for ((_, there, way), times) in ways.iter().zip(&mut times) {
            let mut batch: Vec<Duration> = (0..if *there { BATCH } else { 0 })
                .map(|_| {
                    let start = Instant::now();
                    way();
                    start.elapsed()
                })
                .collect();
            batch.sort();
            medians.push(batch.get(batch.len() / 2).copied().unwrap_or_default());
            times.extend(batch);
        }
        for (median, ratios) in medians.iter().zip(&mut ratios) {
            ratios.push(median.as_secs_f64() / medians[0].as_secs_f64());
        }
    }
    println!("{what}");
    for (((name, there, _), times), ratios) in ways.iter().zip(&mut times).zip(&mut ratios) {
        if *there {
            times.sort();
            ratios.sort_by(f64::total_cmp);
            let at = |part: usize| times[times.len() * part / 100].as_micros();
            println!(
                "  {name:32} p50 {:6} µs  p90 {:6} µs  to the floor {:.2} ({:.2} to {:.2})",
                at(50),
                at(90),
                ratios[ratios.len() / 2],
                ratios[ratios.len() / 10],
                ratios[ratios.len() * 9 / 10],
            );
        }
    }
}

fn launch(program: &CStr) -> Launch {
    Launch::new(vec![program.to_owned()], vec![program.to_owned()])
}

/// From the launch to the end reaped.
fn once(launcher: &Launcher, launch: Launch) {
    let mut flight = launcher.launch(launch).expect("a child");
    let child = loop {
        await_any(&[&flight.exec_pipe(), &flight.pidfd()]);
        match flight.finish() {
            Finish::Pending(again) => flight = again,
            Finish::Executed(child) => break child,
            Finish::Failed(e) => panic!("{}", e.message),
        }
    };
    while exit::reap(child.pidfd.as_fd()).expect("is ours").is_none() {
        await_any(&[&child.pidfd]);
    }
}

fn in_tree(launcher: &Launcher, trees: &Trees, mut launch: Launch) {
    let tree = trees.create("bench", RunId(1)).expect("a tree");
    launch.cgroup = tree.cgroup().expect("its folder");
    once(launcher, launch);
    assert!(tree.is_empty().expect("can be asked"));
    tree.remove().expect("is empty");
}

fn await_any(fds: &[&dyn AsFd]) {
    let mut polled: Vec<PollFd<'_>> = fds.iter().map(|f| PollFd::new(f.as_fd(), PollFlags::POLLIN)).collect();
    poll(&mut polled, PollTimeout::NONE).expect("poll works");
}

fn std_command(program: &CStr) {
    let mut command = Command::new(OsStr::new(program.to_str().expect("plain text")));
    command.status().expect("runs");
}

#[allow(deprecated, reason = "the floor is what vfork costs, and its child does nothing but execute")]
fn bare(program: &CStr) {
    let arguments = [program.as_ptr(), std::ptr::null()];
    let environment = [std::ptr::null()];
    let mut status = 0;
    // SAFETY: the child only executes the program, or ends; the arrays end with a null.
    unsafe {
        let pid = libc::vfork();
        if pid == 0 {
            libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr());
            libc::_exit(127);
        }
        libc::waitpid(pid, &raw mut status, 0);
    }
    assert_eq!(status, 0);
}
