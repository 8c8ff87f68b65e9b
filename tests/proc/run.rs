//! A launch from its start to its end, for tests that have no engine.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use neap::core::{ExitStatus, SpawnError};
use neap::driver::exit;
use neap::driver::spawn::{Child, Finish, InFlight, Launch, Launcher, Method, Stdio};
use neap::driver::sys::fault::{self, Call};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::support::{DEADLINE, actor, c, skipped};

/// A launch of the actor with these words.
pub fn actor_launch<S: AsRef<OsStr>>(words: &[S]) -> Launch {
    let program = c(actor());
    let argv = [c("actor")].into_iter().chain(words.iter().map(c)).collect();
    Launch::new(vec![program], argv)
}

/// Waits until one of these is readable or hung up.
pub fn await_any(fds: &[&dyn AsFd]) {
    let end = Instant::now() + DEADLINE;
    let mut polled: Vec<PollFd<'_>> = fds.iter().map(|f| PollFd::new(f.as_fd(), PollFlags::POLLIN)).collect();
    let left = end.saturating_duration_since(Instant::now());
    let ready = poll(&mut polled, PollTimeout::try_from(left).expect("fits")).expect("poll works");
    assert!(ready > 0, "nothing happened for {DEADLINE:?}");
}

/// Waits until the child executed its program, or could not.
pub fn finish(mut child: InFlight) -> Result<Child, SpawnError> {
    loop {
        await_any(&[&child.exec_pipe(), &child.pidfd()]);
        match child.finish() {
            Finish::Pending(again) => child = again,
            Finish::Executed(child) => return Ok(child),
            Finish::Failed(e) => return Err(e),
        }
    }
}

/// Launches and waits until the program was executed.
pub fn start(launcher: &Launcher, launch: Launch) -> Result<Child, SpawnError> {
    finish(launcher.launch(launch)?)
}

/// Waits for a child's end and reaps it.
pub fn reap(child: &Child) -> ExitStatus {
    loop {
        await_any(&[&child.pidfd]);
        if let Some(status) = exit::reap(child.pidfd.as_fd()).expect("waitid works") {
            return status;
        }
    }
}

/// A pipe for a child's output: what is read, and the end for [`Stdio::Fd`].
pub fn output_pipe() -> (File, Arc<OwnedFd>) {
    let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).expect("a pipe");
    (File::from(read), Arc::new(write))
}

/// Runs a launch to its end with its output captured.
pub fn run(launcher: &Launcher, mut launch: Launch) -> Result<(ExitStatus, String), SpawnError> {
    let (mut read, write) = output_pipe();
    launch.stdio[1] = Stdio::Fd(write);
    let child = start(launcher, launch)?;
    let mut text = String::new();
    read.read_to_string(&mut text).expect("text");
    Ok((reap(&child), text))
}

/// Runs the actor with these words; its status and what it printed.
pub fn run_actor(launcher: &Launcher, words: &[&str]) -> (ExitStatus, String) {
    run(launcher, actor_launch(words)).expect("the actor runs")
}

/// A launcher for each way to make a child.
pub fn both_ways() -> [Launcher; 2] {
    let clone3 = Launcher::new();
    let refused = fault::here(Call::Clone3, 0, 1, Errno::ENOSYS as i32);
    let fork = Launcher::new();
    drop(refused);
    assert_eq!(fork.status().method, Method::Fork);
    [clone3, fork]
}

/// Runs an ignored test in a process of its own, through `wrapper`.
pub fn in_a_process_of_its_own(wrapper: &[&str], test: &str) {
    let us = std::env::current_exe().expect("our own path");
    let mut command = Command::new(wrapper[0]);
    command.args(&wrapper[1..]).arg(us).args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]);
    let output = command.stdin(std::process::Stdio::null()).output().expect("runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if text.contains("unshare:") && text.contains("Operation not permitted") {
        skipped(test, "may not make a pid namespace");
        return;
    }
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    text.lines().filter(|l| l.starts_with("skipped:")).for_each(|l| println!("{l}"));
}
