//! Conditions that are functions, and what a skipped start is to those that asked for it or depend on it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use neap::core::{EventKind, Refusal, StateName};
use neap::spec::{Conditions, FunctionId, Restart, Signal};
use neap::{Error, Process, Purpose};

use crate::world::{World, at_once, does, done};

const CHECK: FunctionId = FunctionId(7);

/// Why a start was skipped.
fn skipped_for(process: &Process) -> String {
    match done(process.start()) {
        Err(Error::Refused(Refusal::Skipped { condition, .. })) => condition,
        other => panic!("{other:?}"),
    }
}

/// A world whose function answers what it is given next, and how often it was asked.
fn asked(answers: Vec<Result<(), String>>) -> (World, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let (left, counted) = (Mutex::new(answers.into_iter()), count.clone());
    let world = World::with(|builder| {
        builder.function(CHECK, move |call| {
            assert_eq!((call.purpose, &*call.process), (Purpose::Condition, "web"));
            counted.fetch_add(1, Ordering::SeqCst);
            left.lock().unwrap().next().expect("an answer is left")
        })
    });
    (world, count)
}

#[test]
fn a_function_is_asked_at_each_start_once_all_else_holds_and_its_reason_is_told() {
    let (mut world, count) = asked(vec![Err("the disk is full".into()), Ok(())]);
    let spec = does("web", &["wait"]).condition_path_exists("flag").condition(CHECK).state_directory("never");
    let process = world.add(spec);
    assert_eq!(skipped_for(&process), "path_exists \"flag\"");
    assert_eq!(count.load(Ordering::SeqCst), 0, "nobody is asked when something else does not hold");
    std::fs::write(world.dir.join("flag"), "").unwrap();
    assert_eq!(skipped_for(&process), "check (the disk is full)");
    assert_eq!(process.status().unwrap().state, StateName::Created, "the state is what it was");
    let reason = world.await_event("the skip", |event| match &event.kind {
        EventKind::Skipped { condition } if condition.starts_with("check") => Some(condition.clone()),
        _ => None,
    });
    assert_eq!(reason, "check (the disk is full)");
}

#[test]
fn a_function_that_comes_to_no_answer_is_a_failed_start() {
    let world = World::with(|builder| builder.function(CHECK, |_| panic!("on purpose")));
    let process = world.add(does("web", &["wait"]).condition(CHECK));
    let error = done(process.start()).unwrap_err().to_string();
    assert!(error.contains("the condition's function came to no answer: the function panicked"), "{error}");
    let process = world.add(does("other", &["wait"]).condition(FunctionId(8)));
    let error = done(process.start()).unwrap_err().to_string();
    assert!(error.contains("nobody answers for functions here"), "{error}");
    assert_eq!(process.status().unwrap().state, StateName::Failed);
}

#[test]
fn a_stop_while_a_condition_is_asked_for_is_done_at_once_and_the_answer_means_nothing() {
    let (asked, begun): (Sender<()>, Receiver<()>) = channel();
    let (release, released) = channel::<()>();
    let (asked, released) = (Mutex::new(asked), Mutex::new(released));
    let world = World::with(|builder| {
        builder.function(CHECK, move |_| {
            asked.lock().unwrap().send(()).unwrap();
            let _ = released.lock().unwrap().recv();
            Ok(())
        })
    });
    let process = world.add(does("web", &["wait"]).condition(CHECK));
    let start = process.start();
    begun.recv().unwrap();
    done(process.stop()).unwrap();
    done(start).unwrap_err();
    assert_eq!(process.status().unwrap().state, StateName::Stopped);
    // It hangs: nobody is asked a second time meanwhile.
    let error = done(process.start()).unwrap_err().to_string();
    assert!(error.contains("has not come back yet"), "{error}");
    drop(release);
    // Whatever came of it has been heard by the time that another has run.
    let other = world.start(does("other", &["wait"]));
    done(other.stop()).unwrap();
    assert_eq!((process.status().unwrap().state, process.status().unwrap().run_count), (StateName::Failed, 0));
}

#[test]
fn a_condition_is_looked_at_before_a_restart_too_and_leaves_what_the_last_end_was() {
    let mut world = World::new();
    std::fs::write(world.dir.join("flag"), "").unwrap();
    let process = world.start(does("web", &["wait"]).condition_path_exists("flag").restart(at_once()));
    std::fs::remove_file(world.dir.join("flag")).unwrap();
    done(process.signal(Signal::KILL)).unwrap();
    let reason = world.await_event("the skip", |event| match &event.kind {
        EventKind::Skipped { condition } => Some(condition.clone()),
        _ => None,
    });
    assert_eq!(reason, "path_exists \"flag\"");
    let status = done(process.wait(StateName::Failed)).unwrap();
    assert!(status.reason.contains("skipped"), "{status:?}");
}

#[test]
fn who_requires_or_follows_what_is_skipped_goes_on_and_who_binds_to_it_does_not() {
    let world = World::new();
    world.add(does("gone", &["wait"]).condition_path_exists("nowhere"));
    let go_on = [does("requires", &["wait"]).requires("gone"), does("wants", &["wait"]).wants("gone").after("gone")];
    for spec in go_on {
        assert_eq!(done(world.add(spec).start()), Ok(StateName::Running));
    }
    let bound = world.add(does("bound", &["wait"]).binds_to("gone").restart(Restart::never()));
    let error = done(bound.start()).unwrap_err().to_string();
    assert!(error.contains("path_exists \"nowhere\""), "{error}");
    assert_eq!(bound.status().unwrap().state, StateName::Created);
}

#[test]
fn alternatives_hold_when_one_does_and_negated_ones_are_turned_round() {
    let world = World::with(|builder| builder.env([("MODE".into(), "prod".into()), ("EMPTY".into(), "".into())]));
    std::fs::write(world.dir.join("empty"), "").unwrap();
    std::os::unix::fs::symlink("nowhere", world.dir.join("dangling")).unwrap();
    let list = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
    let cases = [
        (
            Conditions {
                path_exists: list(&["|nowhere", "empty"]),
                env: list(&["|MODE=prod"]),
                ..Conditions::default()
            },
            None,
        ),
        (Conditions { env: list(&["EMPTY", "EMPTY=", "!MODE=dev"]), ..Conditions::default() }, None),
        (Conditions { path_exists: list(&["!dangling"]), ..Conditions::default() }, None),
        (
            Conditions { file_not_empty: list(&["!empty", "|empty"]), ..Conditions::default() },
            Some("file_not_empty \"|empty\""),
        ),
        (
            Conditions { path_executable: list(&["/bin/sh", "/bin"]), ..Conditions::default() },
            Some("path_executable \"/bin\""),
        ),
    ];
    for (number, (conditions, unmet)) in cases.into_iter().enumerate() {
        let process = world.add(does(&format!("web{number}"), &["wait"]).conditions(conditions));
        match unmet {
            None => assert_eq!(done(process.start()), Ok(StateName::Running), "{number}"),
            Some(unmet) => assert_eq!(skipped_for(&process), unmet),
        }
    }
}
