//! `neap run`.

use nix::sys::signal::Signal;

use crate::support::{Folder, Neap};

fn sh(script: &str) -> Neap {
    Neap::new(["run", "--", "sh", "-c", script])
}

#[test]
fn run_exits_with_the_commands_code() {
    for code in [0, 1, 7, 255] {
        let ended = sh(&format!("echo out; echo err >&2; exit {code}")).end().expect_code(code);
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("out\n", "err\n"));
    }
}

#[test]
fn run_exits_with_128_and_the_signal() {
    let _ = sh("kill -KILL $$").end().expect_code(137);
    let _ = sh("kill -SEGV $$").end().expect_code(139);
}

#[test]
fn run_says_127_when_there_is_no_such_program() {
    let ended = Neap::new(["run", "--", "no-such-program-anywhere"]).end().expect_code(127);
    assert!(ended.stderr.contains("no-such-program-anywhere"), "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
    let ended = Neap::new(["run", "--", "/no/such/program"]).end().expect_code(127);
    assert!(ended.stderr.contains("/no/such/program"), "{}", ended.stderr);
}

#[test]
fn run_says_126_when_it_cannot_be_executed() {
    let folder = Folder::new();
    let file = folder.write("plain", "not a program\n");
    let ended = Neap::new(["run", "--", file.to_str().unwrap()]).end().expect_code(126);
    assert!(ended.stderr.contains("plain"), "{}", ended.stderr);
    let _ = Neap::new(["run", "--", folder.path().to_str().unwrap()]).end().expect_code(126);
}

#[test]
fn run_says_125_when_the_fault_is_its_own() {
    let ended = Neap::new(["run", "--name", "not a name", "--", "true"]).end().expect_code(125);
    assert!(ended.stderr.contains("not a name"), "{}", ended.stderr);
}

#[test]
fn run_without_a_command_is_a_usage_error() {
    let _ = Neap::new(["run"]).end().expect_code(2);
    let _ = Neap::new(["no-such-command"]).end().expect_code(2);
}

#[test]
fn run_stops_the_command_on_term_and_takes_its_code() {
    let neap = sh("trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.05; done").start();
    neap.wait_for_text("up");
    neap.signal(Signal::SIGTERM);
    let ended = neap.end().expect_code(5);
    assert_eq!(ended.stdout, "up\nbye\n");
    let neap = sh("echo up; exec sleep 1000").start();
    neap.wait_for_text("up");
    neap.signal(Signal::SIGINT);
    let _ = neap.end().expect_code(143);
}

#[test]
fn run_passes_usr1_on() {
    let neap = sh("trap 'echo got it; exit 0' USR1; echo up; while :; do sleep 0.05; done").start();
    neap.wait_for_text("up");
    neap.signal(Signal::SIGUSR1);
    let ended = neap.end().expect_code(0);
    assert_eq!(ended.stdout, "up\ngot it\n");
}

#[test]
fn run_brings_a_command_back_when_asked_to() {
    let folder = Folder::new();
    let script = format!("echo again >> {0}/runs; [ $(wc -l < {0}/runs) -ge 2 ]", folder.path().display());
    let ended = Neap::new(["run", "--restart", "on-failure", "--name", "phoenix", "--", "sh", "-c", &script]).end();
    let ended = ended.expect_code(0);
    assert!(ended.stderr.contains("phoenix") && ended.stderr.contains("starts again in"), "{}", ended.stderr);
}

#[test]
fn run_leaves_nothing_that_the_command_started() {
    let _ = sh("setsid sleep 1000 & echo up").end().expect_code(0);
}

#[test]
fn run_learns_the_code_although_sigchld_was_ignored() {
    let command = format!("trap '' CHLD; exec {} run -- sh -c 'exit 7'", env!("CARGO_BIN_EXE_neap"));
    let status = std::process::Command::new("sh").args(["-c", &command]).status().unwrap();
    assert_eq!(status.code(), Some(7));
}
