//! Things done at a process's turning points.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use neap::core::{EventKind, ExitStatus, HookKind, Refusal, StateName};
use neap::spec::{FunctionId, Hook, Signal};
use neap::{Error, FunctionCall, FunctionDone, FunctionHost, Purpose};

use crate::support::DEADLINE;
use crate::world::{World, at_once, await_lines, does, done, lines};

fn shell(line: &str) -> Hook {
    Hook::command(["sh", "-c", line])
}

#[test]
fn hooks_run_at_their_turning_points_and_in_order() {
    let mut world = World::new();
    let spec = does("web", &["trap", "TERM=exit:0", "say", "main", "wait"])
        .before_start(shell("echo before one"))
        .before_start(shell("echo before two"))
        .after_start(shell("echo after"))
        .before_stop(shell("echo stopping"))
        .after_stop(shell("echo stopped"));
    let process = world.start(spec);
    await_lines(&process, 4);
    done(process.stop()).unwrap();
    world.await_state("web", StateName::Stopped);
    let mut printed = lines(&process);
    // The main process and the hook after its start print side by side.
    printed[2..4].sort();
    assert_eq!(printed, ["before one", "before two", "after", "main", "stopping", "stopped"]);
}

#[test]
fn a_failing_before_start_fails_the_start_and_another_failure_is_an_event() {
    let mut world = World::new();
    let process = world.add(does("web", &["say", "never", "wait"]).before_start(shell("exit 3")));
    match done(process.start()) {
        Err(Error::Refused(Refusal::StartFailed { reason, .. })) => {
            assert!(reason.contains("before_start") && reason.contains("exit code 3"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    assert!(lines(&process).is_empty());
    let other = world.start(does("other", &["wait"]).after_start(Hook::command(["/nowhere/hook"])));
    let reason = world.await_event("the hook's failure", |event| match &event.kind {
        EventKind::HookFailed { hook: HookKind::AfterStart, reason } => Some(reason.clone()),
        _ => None,
    });
    assert!(reason.contains("/nowhere/hook"), "{reason}");
    assert_eq!(other.status().unwrap().state, StateName::Running);
}

#[test]
fn a_hook_that_takes_too_long_is_killed_and_has_failed() {
    let world = World::new();
    let hook = Hook::command(["sleep", "1000"]).timeout(Duration::from_millis(100));
    let process = world.add(does("web", &["wait"]).before_start(hook));
    let reason = done(process.start()).unwrap_err().to_string();
    assert!(reason.contains("100ms"), "{reason}");
}

#[test]
fn a_stop_during_a_hook_cancels_it() {
    let world = World::new();
    let process = world.add(does("web", &["wait"]).before_start(shell("echo hooked; sleep 1000")));
    let start = process.start();
    await_lines(&process, 1);
    assert!(matches!(done(process.stop()), Ok(StateName::Stopped)));
    assert!(matches!(done(start), Err(Error::Refused(Refusal::Superseded { .. }))));
    assert_eq!(process.status().unwrap().run_count, 0);
}

#[test]
fn functions_are_told_what_happened() {
    let calls: Arc<Mutex<Vec<FunctionCall>>> = Arc::default();
    let seen = calls.clone();
    let world = World::with(|builder| {
        builder.function(FunctionId(1), move |call| {
            seen.lock().unwrap().push(call.clone());
            Ok(())
        })
    });
    let spec = does("web", &["exit", "5"])
        .before_start(Hook::function(FunctionId(1)))
        .after_stop(Hook::function(FunctionId(1)))
        .on_failure(Hook::function(FunctionId(1)));
    world.start(spec);
    crate::support::wait_until("three calls were made", || calls.lock().unwrap().len() == 3);
    let calls = calls.lock().unwrap();
    let purposes: Vec<Purpose> = calls.iter().map(|c| c.purpose).collect();
    assert_eq!(purposes, [HookKind::BeforeStart, HookKind::AfterStop, HookKind::OnFailure].map(Purpose::Hook));
    assert_eq!(calls[0].exit, None);
    assert_eq!(calls[1].exit, Some(ExitStatus::Code(5)));
    assert_eq!(calls[0].run, calls[1].run);
}

/// A host that forgets some calls, never answers others, and panics.
struct Careless(Mutex<Vec<FunctionDone>>);

impl FunctionHost for Careless {
    fn call(&self, call: FunctionCall, done: FunctionDone) {
        match call.function.0 {
            1 => drop(done),
            2 => self.0.lock().unwrap().push(done),
            _ => panic!("on the engine's thread"),
        }
    }
}

#[test]
fn a_careless_function_host_fails_its_calls_and_nothing_else() {
    let mut world = World::with(|builder| builder.functions(Arc::new(Careless(Mutex::default()))));
    let bystander = world.start(does("bystander", &["wait"]).restart(at_once()));
    for (number, expected) in [(1, "given up"), (2, "50ms"), (3, "given up")] {
        let hook =
            Hook::function(FunctionId(number)).timeout(if number == 2 { Duration::from_millis(50) } else { DEADLINE });
        let process = world.add(does(&format!("web{number}"), &["wait"]).before_start(hook));
        let reason = done(process.start()).unwrap_err().to_string();
        assert!(reason.contains(expected), "{reason}");
    }
    world.await_executed("bystander");
    done(bystander.signal(Signal::KILL)).unwrap();
    world.await_executed("bystander");
}

#[test]
fn a_reload_command_or_signal_reaches_the_process() {
    let mut world = World::new();
    let by_signal =
        does("signal", &["trap", "HUP=exit:6", "say", "armed", "wait"]).reload(neap::spec::Reload::Signal(Signal::HUP));
    let process = world.start(by_signal);
    await_lines(&process, 1);
    done(process.reload()).unwrap();
    assert_eq!(world.await_exit("signal"), ExitStatus::Code(6));
    let by_command =
        does("command", &["wait"]).reload(neap::spec::Reload::Command(vec!["echo".into(), "reloaded".into()]));
    let process = world.start(by_command);
    done(process.reload()).unwrap();
    assert_eq!(await_lines(&process, 1), ["reloaded"]);
    let failing = world.start(does("failing", &["wait"]).reload(neap::spec::Reload::Command(vec!["false".into()])));
    assert!(done(failing.reload()).unwrap_err().to_string().contains("exit code 1"));
}
