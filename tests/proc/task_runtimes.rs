//! Where tasks run: on whatever runtime the program has, or none; and what becomes of them when it goes.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use neap::core::{ExitStatus, StateName};
use neap::spec::{Signal, Stop};
use neap::{Process, Supervisor, Task};
use tokio::runtime::{Builder, Handle};

use crate::support::{DEADLINE, Epilogue};
use crate::tasks::{state, task, waits};
use crate::world::{World, done};

/// A thread's name when a task runs there.
fn thread_of(supervisor: &Supervisor) -> (Process, Arc<Mutex<String>>) {
    let name = Arc::new(Mutex::new(String::new()));
    let seen = name.clone();
    let process = supervisor.add_task(task("where").oneshot(), move |_| {
        let seen = seen.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            *seen.lock().unwrap() = std::thread::current().name().unwrap_or_default().to_owned();
            Ok(())
        }
    });
    (process.unwrap(), name)
}

#[test]
fn j6_a_program_without_a_runtime_gets_one_for_its_tasks() {
    let world = World::new();
    let (process, thread) = thread_of(&world.supervisor);
    assert_eq!(process.start_blocking(), Ok(StateName::Exited));
    assert_eq!(*thread.lock().unwrap(), "neap-task");
}

#[test]
fn j6_tasks_run_on_the_programs_own_runtime_of_either_kind() {
    let _epilogue = Epilogue::new();
    let kinds = [
        Builder::new_multi_thread().worker_threads(2).thread_name("host").enable_all().build().unwrap(),
        Builder::new_current_thread().enable_all().build().unwrap(),
    ];
    for runtime in kinds {
        runtime.block_on(async {
            let supervisor = Supervisor::builder().runtime(Handle::current()).build().unwrap();
            let (process, thread) = thread_of(&supervisor);
            assert_eq!(process.start().await, Ok(StateName::Exited));
            assert_ne!(*thread.lock().unwrap(), "neap-task");
            let web = supervisor.add_task(task("web"), waits).unwrap();
            assert_eq!(web.start().await, Ok(StateName::Running));
            assert_eq!(web.restart().await, Ok(StateName::Running));
            assert_eq!(web.stop().await, Ok(StateName::Stopped));
            supervisor.shutdown().await.unwrap();
        });
    }
}

#[test]
fn j1_dropping_the_supervisor_stops_tasks_in_order() {
    let _epilogue = Epilogue::new();
    let order = Arc::new(Mutex::new(Vec::new()));
    let supervisor = Supervisor::builder().build().unwrap();
    let ends = |name: &'static str| {
        let order = order.clone();
        move |task: Task| {
            let order = order.clone();
            async move {
                task.cancelled().await;
                tokio::task::yield_now().await;
                order.lock().unwrap().push(name);
                Ok(())
            }
        }
    };
    supervisor.add_task(task("db"), ends("db")).unwrap();
    supervisor.add_task(task("cache").requires("db"), ends("cache")).unwrap();
    let api = supervisor.add_task(task("api").requires("cache"), ends("api")).unwrap();
    api.start_blocking().unwrap();
    drop((supervisor, api));
    assert_eq!(*order.lock().unwrap(), ["api", "cache", "db"]);
}

#[test]
fn j1_a_supervisor_dropped_inside_its_tasks_runtime_does_not_deadlock() {
    let _epilogue = Epilogue::new();
    let begun = Instant::now();
    for workers in [0, 1, 2] {
        let runtime = match workers {
            0 => Builder::new_current_thread().enable_all().build().unwrap(),
            workers => Builder::new_multi_thread().worker_threads(workers).enable_all().build().unwrap(),
        };
        let alive = Arc::new(AtomicU32::new(0));
        struct Alive(Arc<AtomicU32>);
        impl Drop for Alive {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        let count = alive.clone();
        let inside = async move {
            let supervisor = Supervisor::builder().runtime(Handle::current()).build().unwrap();
            let run = {
                let alive = count.clone();
                move |task: Task| {
                    alive.fetch_add(1, Ordering::SeqCst);
                    let alive = Alive(alive.clone());
                    async move {
                        let _alive = alive;
                        tokio::time::sleep(Duration::from_micros(1)).await;
                        waits(task).await
                    }
                }
            };
            supervisor.add_task(task("db"), run.clone()).unwrap();
            let web = supervisor.add_task(task("web").requires("db"), run).unwrap();
            web.start().await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
            drop((web, supervisor));
            assert_eq!(count.load(Ordering::SeqCst), 0, "nothing is left once it is dropped");
        };
        // As a task of the runtime's: on one of its own threads.
        match workers {
            0 => runtime.block_on(inside),
            _ => runtime.block_on(runtime.spawn(inside)).unwrap(),
        }
    }
    // Nobody waited for a stop of its own time: that would be thirty seconds each.
    assert!(begun.elapsed() < DEADLINE);
}

#[test]
fn j1_a_supervisor_dropped_by_its_own_task_does_not_deadlock() {
    let _epilogue = Epilogue::new();
    let supervisor = Supervisor::builder().build().unwrap();
    let mut events = supervisor.events();
    let held = Arc::new(Mutex::new(None));
    let own = held.clone();
    let last = supervisor.add_task(task("last"), move |task| {
        let own = own.clone();
        async move {
            task.cancelled().await;
            // By now it is the last handle.
            drop(own.lock().unwrap().take());
            Ok(())
        }
    });
    let last = last.unwrap();
    last.start_blocking().unwrap();
    *held.lock().unwrap() = Some(supervisor);
    drop(last.stop());
    drop(last);
    while events.next_blocking().is_some() {}
}

#[test]
fn j1_a_runtime_that_ends_takes_its_tasks_with_it_and_says_so() {
    let mut runtime = None;
    let mut world = World::with(|builder| {
        let runtime = runtime.insert(Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());
        builder.runtime(runtime.handle().clone())
    });
    let web = world.supervisor.add_task(task("web"), waits).unwrap();
    done(web.start()).unwrap();
    runtime.unwrap().shutdown_background();
    let gone = "the runtime that it ran on has ended";
    assert_eq!(world.await_state("web", StateName::Failed), gone);
    let web = world.supervisor.get("web").unwrap();
    let _ = done(web.start());
    assert_eq!(world.await_state("web", StateName::Failed), gone);
    assert_eq!(web.status().unwrap().exit, Some(ExitStatus::Code(1)));
}

#[test]
fn j2_tasks_of_two_supervisors_know_nothing_of_each_other() {
    let first = World::new();
    let second = Supervisor::builder().build().unwrap();
    let a = first.supervisor.add_task(task("web"), waits).unwrap();
    let b = second.add_task(task("web"), |_| async { panic!("mine alone") }).unwrap();
    done(a.start()).unwrap();
    let _ = done(b.start());
    done(b.wait(StateName::Failed)).unwrap();
    done(second.shutdown()).unwrap();
    assert_eq!(state(&a), StateName::Running);
}

#[test]
fn starts_and_stops_in_any_order_leave_one_run_or_none() {
    let seed = std::env::var("NEAP_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    println!("NEAP_SEED={seed}");
    let mut random: u64 = seed;
    let mut below = move |most: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % most
    };
    let world = World::new();
    let alive = Arc::new(AtomicU32::new(0));
    let most = Arc::new(AtomicU32::new(0));
    let run = {
        let (alive, most) = (alive.clone(), most.clone());
        move |task: Task| {
            let (alive, most) = (alive.clone(), most.clone());
            async move {
                struct Live(Arc<AtomicU32>);
                impl Drop for Live {
                    fn drop(&mut self) {
                        self.0.fetch_sub(1, Ordering::SeqCst);
                    }
                }
                most.fetch_max(alive.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let _live = Live(alive);
                let number = task.run().0;
                for _ in 0..number % 5 {
                    tokio::task::yield_now().await;
                }
                if number.is_multiple_of(3) {
                    task.ready();
                }
                match number % 7 {
                    0 => Ok(()),
                    1 => Err("odd".into()),
                    2 => std::future::pending().await,
                    3 => panic!("as it happens"),
                    _ => waits(task).await,
                }
            }
        }
    };
    let quick = Stop::signal(Signal::TERM, Duration::from_millis(2));
    let spec = task("web").stop(quick).ready(neap::spec::Ready::Notify).restart(crate::world::at_once());
    let web = world.supervisor.add_task(spec, run).unwrap();
    let mut answers = Vec::new();
    for _ in 0..400 {
        match below(8) {
            0..=2 => answers.push(web.start()),
            3 | 4 => answers.push(web.stop()),
            5 => answers.push(web.restart()),
            6 => drop(answers.pop()),
            _ => std::thread::sleep(Duration::from_micros(below(3000))),
        }
    }
    let last = web.stop();
    for answer in answers {
        // Refused or not, each is answered.
        let _ = done(answer);
    }
    let _ = done(last);
    done(web.stop()).unwrap();
    assert_eq!((alive.load(Ordering::SeqCst), most.load(Ordering::SeqCst)), (0, 1));
    assert!(matches!(state(&web), StateName::Stopped | StateName::Failed | StateName::Exited | StateName::Crashed));
}
