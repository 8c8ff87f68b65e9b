//! How processes ended while there was no supervisor, or that became the anchor's.

use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Command;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;

use crate::common::{Epilogue, TempDir, actor, wait_until};
use crate::support::{Anchor, Supervisor, signal_to, value};

fn spawn(supervisor: &mut Supervisor, words: &str) -> (u32, String) {
    let answer = supervisor.ask(&format!("spawn {} {words}", actor().display()));
    let (pid, start) = answer.split_once(' ').unwrap();
    (pid.parse().unwrap(), start.to_owned())
}

/// Whether a core dump would be left in this folder.
fn dumps_core(folder: &TempDir) -> bool {
    let mut one = Command::new(actor());
    one.args(["kill-self", "SEGV"]).current_dir(folder.path());
    // SAFETY: one system call between fork and exec.
    unsafe { one.pre_exec(raise_core) };
    one.status().unwrap().core_dumped()
}

fn raise_core() -> std::io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_CORE)?;
    Ok(setrlimit(Resource::RLIMIT_CORE, hard, hard)?)
}

#[test]
fn what_ends_in_the_gap_is_told_exactly_with_its_start_time() {
    let _epilogue = Epilogue::new();
    let folder = TempDir::new();
    let core = if dumps_core(&folder) { "SIGSEGV+core" } else { "SIGSEGV" };
    let mut anchor = Anchor::start_with(|command| {
        // SAFETY: two system calls between fork and exec.
        unsafe { command.pre_exec(raise_core) };
    });
    let mut supervisor = anchor.next();
    supervisor.ask("hello");
    supervisor.does("ready");
    let gate = folder.join("gate");
    File::create(&gate).unwrap();
    let mut expected = Vec::new();
    for code in [0, 1, 7, 255] {
        let (pid, start) = spawn(&mut supervisor, &format!("gone {} exit {code}", gate.display()));
        expected.push((pid, format!("{pid}:{start}:{code}")));
    }
    let mut killed = Vec::new();
    for (number, status) in [(9, "SIGKILL"), (15, "SIGTERM"), (11, core), (35, "SIGRTMIN+1")] {
        let (pid, start) = spawn(&mut supervisor, "rename (a)b)( wait");
        killed.push((pid, number));
        expected.push((pid, format!("{pid}:{start}:{status}")));
    }
    // Nobody takes them until all have ended.
    anchor.signal(Signal::SIGSTOP);
    signal_to(supervisor.pid(), Signal::SIGKILL);
    supervisor.gone();
    std::fs::remove_file(&gate).unwrap();
    for (pid, number) in killed {
        assert!(Command::new("kill").arg(format!("-{number}")).arg(pid.to_string()).status().unwrap().success());
    }
    let zombie = |pid| neap::driver::identity::Stat::of(neap::core::Pid(pid)).is_ok_and(|stat| stat.is_zombie());
    wait_until("all have ended", || expected.iter().all(|(pid, _)| zombie(*pid)));
    anchor.signal(Signal::SIGCONT);
    let mut supervisor = anchor.next();
    let mut ended: Vec<String> = value(&supervisor.ask("hello"), "ended").split(',').map(str::to_owned).collect();
    let mut expected: Vec<String> = expected.into_iter().map(|(_, line)| line).collect();
    ended.sort();
    expected.sort();
    assert_eq!(ended, expected);
    assert_eq!(supervisor.ask("more"), "", "what the welcome had does not come again");
    supervisor.does("finished 0");
    supervisor.last("exit 0");
    assert_eq!(anchor.end(), Some(0));
}

#[test]
fn what_ended_is_told_to_every_supervisor_until_one_has_dealt_with_it() {
    let _epilogue = Epilogue::new();
    let mut anchor = Anchor::start();
    let mut supervisor = anchor.next();
    supervisor.ask("hello");
    supervisor.does("ready");
    let children: Vec<(u32, String)> = (0..3).map(|_| spawn(&mut supervisor, "wait")).collect();
    let line = |n: usize| format!("{}:{}:SIGTERM", children[n].0, children[n].1);
    supervisor.last("die SIGKILL");
    let mut supervisor = anchor.next();
    supervisor.ask("hello");
    supervisor.does("ready");
    for (n, (pid, _)) in children.iter().enumerate() {
        signal_to(*pid, Signal::SIGTERM);
        assert_eq!(supervisor.ask("news 1"), line(n));
    }
    supervisor.last("die SIGKILL");
    let mut supervisor = anchor.next();
    assert_eq!(supervisor.value("hello", "ended"), format!("{},{},{}", line(0), line(1), line(2)));
    supervisor.does(&format!("forget {} 1 4000000", children[1].0));
    supervisor.does("ready");
    supervisor.last("die SIGKILL");
    let mut supervisor = anchor.next();
    assert_eq!(supervisor.value("hello", "ended"), format!("{},{}", line(0), line(2)));
    supervisor.does("finished 0");
    supervisor.last("exit 0");
    assert_eq!(anchor.end(), Some(0));
}

#[test]
fn orphans_of_orphans_become_the_anchors_and_are_told() {
    let _epilogue = Epilogue::new();
    let mut anchor = Anchor::start();
    let mut supervisor = anchor.next();
    supervisor.ask("hello");
    supervisor.does("ready");
    spawn(&mut supervisor, "repeat 500 { orphan { exit 3 } } wait");
    assert_eq!(supervisor.ask("count 500"), "500 0 {\"3\": 500}");
    supervisor.last("die SIGKILL");
    let mut supervisor = anchor.next();
    assert_eq!(supervisor.value("hello", "ended"), "", "all were forgotten");
    // Its child goes on: that is for its supervisor to decide.
    supervisor.does("finished 0");
    supervisor.last("exit 0");
    assert_eq!(anchor.end(), Some(0));
    for pid in crate::common::descendants() {
        if crate::common::command_line(pid).contains("repeat 500") {
            signal_to(pid, Signal::SIGKILL);
        }
    }
}
