//! J: a supervisor is a guest in its program.

use std::process::Command;
use std::sync::{Arc, Mutex};

use neap::core::{EventKind, StateName};
use neap::spec::{FunctionId, Hook, Plan};
use neap::{Error, FunctionCall, FunctionDone, FunctionHost, Next, Supervisor, WeakSupervisor};

use crate::support::{DEADLINE, Epilogue, wait_until};
use crate::world::{World, at_once, does, done, is_gone, pid, within};

#[test]
fn j1_dropping_the_last_handle_stops_everything_and_leaves_nothing() {
    let _epilogue = Epilogue::new();
    let supervisor = Supervisor::builder().build().unwrap();
    let process = supervisor.add(does("web", &["wait"])).unwrap();
    process.start_blocking().unwrap();
    let pid = pid(&process);
    drop(supervisor);
    assert!(!is_gone(pid), "a process's handle is a handle, too");
    let mut events = {
        let other = process.clone();
        drop(process);
        assert!(!is_gone(pid));
        drop(other);
        assert!(is_gone(pid));
        Supervisor::builder().build().unwrap().events()
    };
    // A dropped supervisor's events end.
    while events.next_blocking().is_some() {}
}

#[test]
fn j2_two_supervisors_in_one_program_know_nothing_of_each_other() {
    let mut first = World::new();
    let second = Supervisor::builder().base_dir(first.dir.path()).build().unwrap();
    let a = first.start(does("web", &["say", "first", "wait"]).restart(at_once()));
    let b = second.add(does("web", &["say", "second", "wait"])).unwrap();
    done(b.start()).unwrap();
    let b_pid = pid(&b);
    first.await_executed("web");
    done(a.signal(neap::spec::Signal::KILL)).unwrap();
    first.await_executed("web");
    assert_eq!(pid(&b), b_pid);
    done(second.shutdown()).unwrap();
    assert_eq!(a.status().unwrap().state, StateName::Running);
    assert!(is_gone(b_pid));
}

#[test]
fn d5_the_programs_own_children_are_its_own() {
    let mut world = World::new();
    let process = world.start(does("web", &["wait"]).restart(at_once()));
    for code in 0..5 {
        let mut child = Command::new("sh").args(["-c", &format!("exit {code}")]).spawn().unwrap();
        world.await_executed("web");
        done(process.signal(neap::spec::Signal::KILL)).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code));
    }
}

#[test]
fn j6_it_works_from_a_current_thread_runtime() {
    let world = World::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(in_time(from_async(&world.supervisor)));
}

async fn in_time(work: impl Future<Output = ()>) {
    tokio::time::timeout(DEADLINE, work).await.expect("it does not hang");
}

#[test]
fn j6_it_works_from_a_multi_thread_runtime() {
    let world = World::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(in_time(from_async(&world.supervisor)));
    let supervisor = world.supervisor.clone();
    runtime.block_on(async move { tokio::spawn(async move { in_time(from_async(&supervisor)).await }).await.unwrap() });
}

async fn from_async(supervisor: &Supervisor) {
    let mut events = supervisor.events();
    let process = supervisor.add(does("web", &["wait"])).unwrap();
    assert_eq!(process.start().await, Ok(StateName::Running));
    let (stopping, restarted) = (process.wait(StateName::Stopping), process.restart());
    assert_eq!(stopping.await.map(|status| status.state), Ok(StateName::Stopping));
    assert_eq!(restarted.await, Ok(StateName::Running));
    // Blocking within a runtime blocks its thread, and does not panic.
    assert_eq!(process.stop_blocking(), Ok(StateName::Stopped));
    assert_eq!(process.delete(false).await, Ok(()));
    loop {
        if let Some(Next::Item(event)) = events.next().await
            && matches!(event.kind, EventKind::Deleted)
        {
            break;
        }
    }
}

#[test]
fn an_answer_that_nobody_waits_for_is_given_up_and_what_was_begun_goes_on() {
    let mut world = World::new();
    let process = world.add(does("web", &["wait"]));
    drop(process.start());
    world.await_state("web", StateName::Running);
    drop(process.stop());
    world.await_state("web", StateName::Stopped);
    assert_eq!(done(process.wait(StateName::Stopped)).unwrap().state, StateName::Stopped);
    let (wait, other) = (process.wait(StateName::Running), process.start());
    assert_eq!(done(wait).unwrap().state, StateName::Running);
    drop(other);
}

#[test]
fn a_shutdown_is_answered_to_everybody_and_refuses_what_comes_later() {
    let world = World::new();
    let process = world.start(does("web", &["wait"]));
    let (ended, wait) = (world.supervisor.ended(), process.wait(StateName::Failed));
    assert_eq!(done(world.supervisor.shutdown()).unwrap().stuck.len(), 0);
    assert!(done(ended).is_ok());
    assert_eq!(done(wait), Err(Error::Ended));
    assert_eq!(done(process.start()), Err(Error::Ended));
    assert_eq!(world.supervisor.add(does("x", &["wait"])).map(|_| ()), Err(Error::Ended));
    assert_eq!(done(world.supervisor.apply(Plan::new())), Err(Error::Ended));
    assert!(done(world.supervisor.shutdown()).is_ok());
}

#[test]
fn events_are_numbered_replayed_and_end_with_the_supervisor() {
    let world = World::new();
    let process = world.start(does("web", &["wait"]));
    done(process.stop()).unwrap();
    let mut all = world.supervisor.events_after(0);
    let mut seen = Vec::new();
    done(world.supervisor.shutdown()).unwrap();
    while let Some(Next::Item(event)) = all.next_blocking() {
        seen.push(event.sequence);
    }
    assert!(seen.len() > 5, "{seen:?}");
    assert!(seen.iter().zip(1..).all(|(sequence, n)| *sequence == n), "{seen:?}");
    let mut late = world.supervisor.events_after(seen.len() as u64 - 1);
    assert!(matches!(late.next_blocking(), Some(Next::Item(event)) if event.sequence == seen.len() as u64));
    assert_eq!(late.next_blocking(), None);
}

/// Asks its own supervisor from the thread that it is called on, and from another.
#[derive(Default)]
struct Curious {
    supervisor: Mutex<Option<WeakSupervisor>>,
    answers: Mutex<Vec<Result<usize, Error>>>,
}

impl FunctionHost for Curious {
    fn call(&self, _: FunctionCall, done: FunctionDone) {
        let supervisor = self.supervisor.lock().unwrap().clone().and_then(|weak| weak.upgrade()).unwrap();
        self.answers.lock().unwrap().push(supervisor.list().map(|list| list.len()));
        std::thread::spawn(move || done.finish(supervisor.list().map(drop).map_err(|e| e.to_string())));
    }
}

#[test]
fn a_function_may_ask_its_supervisor_but_not_from_the_engines_thread() {
    let curious = Arc::new(Curious::default());
    let world = World::with(|builder| builder.functions(curious.clone()));
    *curious.supervisor.lock().unwrap() = Some(world.supervisor.downgrade());
    world.start(does("web", &["wait"]).before_start(Hook::function(FunctionId(1))));
    assert_eq!(*curious.answers.lock().unwrap(), [Err(Error::OwnThread)]);
    curious.answers.lock().unwrap().clear();
}

#[test]
fn j3_what_the_program_does_to_its_directory_later_changes_nothing() {
    let mut world = World::new();
    let process = world.add(does("web", &["state"]));
    let before = std::env::current_dir().unwrap();
    std::env::set_current_dir("/").unwrap();
    done(process.start()).unwrap();
    world.await_state("web", StateName::Exited);
    std::env::set_current_dir(before).unwrap();
    let cwd = crate::world::lines(&process).into_iter().find_map(|l| l.strip_prefix("cwd=").map(str::to_owned));
    assert_eq!(cwd.unwrap(), world.dir.path().to_string_lossy());
}

#[test]
fn many_at_once_all_start_and_all_go() {
    let world = World::new();
    let processes: Vec<_> = (0..150).map(|n| world.add(does(&format!("p{n}"), &["wait"]))).collect();
    let starts: Vec<_> = processes.iter().map(|p| p.start()).collect();
    for start in starts {
        assert_eq!(done(start), Ok(StateName::Running));
    }
    let pids: Vec<_> = processes.iter().map(pid).collect();
    within("all are down", world.supervisor.shutdown()).unwrap();
    wait_until("all are gone", || pids.iter().all(|pid| is_gone(*pid)));
}
