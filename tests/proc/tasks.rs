//! Tasks: futures of the program's own, supervised like processes.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use neap::core::{EventKind, ExitStatus, HealthStatus, Pid, Refusal, RunId, StateName};
use neap::spec::{
    FunctionId, Health, Hook, LogSettings, ProbeTarget, ProcessType, Ready, Restart, Signal, Spec, Stop, Stream,
};
use neap::{Error, Process, Supervisor, Task, TaskResult};

use crate::support::{DEADLINE, wait_until};
use crate::world::{World, at_once, await_lines, does, done, lines, pid, within};

/// A spec that is not restarted, and of which nobody waits for a stop for longer than need be.
pub fn task(name: &str) -> Spec {
    Spec::task(name).restart(Restart::never()).stop(Stop::signal(Signal::TERM, DEADLINE))
}

/// What does nothing until it is asked to end.
pub async fn waits(task: Task) -> TaskResult {
    task.cancelled().await;
    Ok(())
}

pub fn state(process: &Process) -> StateName {
    process.status().unwrap().state
}

#[test]
fn a_task_starts_tells_how_it_is_and_stops_like_a_process() {
    let mut world = World::new();
    let ran = Arc::new(Mutex::new(Vec::new()));
    let runs = ran.clone();
    let mailer = world
        .supervisor
        .add_task(task("mailer").description("sends mail"), move |task| {
            runs.lock().unwrap().push((task.name().to_owned(), task.run()));
            async move {
                task.status("3 letters to go");
                task.log("one is sent");
                task.log("two are\nsent\n");
                task.cancelled().await;
                assert!(task.is_cancelled());
                Ok(())
            }
        })
        .unwrap();
    assert_eq!(state(&mailer), StateName::Created);
    assert_eq!(done(mailer.start()), Ok(StateName::Running));
    assert_eq!(done(mailer.start()), Ok(StateName::Running));
    assert_eq!(world.await_executed("mailer"), Pid::TASK);
    wait_until("it told its status", || mailer.status().unwrap().status_text.as_deref() == Some("3 letters to go"));
    let status = mailer.status().unwrap();
    assert_eq!((status.pid, status.run_count, status.exit), (None, 1, None));
    assert_eq!(await_lines(&mailer, 3), ["one is sent", "two are", "sent"]);
    assert_eq!(done(mailer.restart()), Ok(StateName::Running));
    assert_eq!(done(mailer.stop()), Ok(StateName::Stopped));
    assert_eq!(done(mailer.stop()), Ok(StateName::Stopped));
    let status = mailer.status().unwrap();
    assert_eq!((status.run_count, status.exit), (2, Some(ExitStatus::Code(0))));
    let ran = ran.lock().unwrap();
    assert_eq!(ran.len(), 2);
    assert_eq!(ran[0].0, "mailer");
    assert_eq!((ran[0].1 < ran[1].1, status.run), (true, Some(ran[1].1)));
    assert_eq!(world.supervisor.get("mailer").unwrap().id(), mailer.id());
    assert_eq!(world.supervisor.list().unwrap().len(), 1);
}

#[test]
fn an_error_is_a_failure_with_its_text_as_the_reason() {
    let mut world = World::new();
    let read = |_: Task| async move {
        std::fs::read("/no/such/file")?;
        Ok(())
    };
    let reader = world.supervisor.add_task(task("reader"), read).unwrap();
    let _ = done(reader.start());
    let reason = world.await_state("reader", StateName::Failed);
    assert_eq!(reason, "No such file or directory (os error 2)");
    let status = reader.status().unwrap();
    assert_eq!((status.reason, status.exit), (reason, Some(ExitStatus::Code(1))));
    let said = world.supervisor.add_task(task("once").oneshot(), |_| async { Err("nothing is left\nto do".into()) });
    match done(said.unwrap().start()) {
        Err(Error::Refused(Refusal::StartFailed { reason, .. })) => assert_eq!(reason, "nothing is left; to do"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_error_shows_what_caused_it() {
    #[derive(Debug, thiserror::Error)]
    #[error("cannot send the letter")]
    struct Outer(#[source] std::fmt::Error);
    let mut world = World::new();
    let mailer = world.supervisor.add_task(task("mailer"), |_| async { Err(Outer(std::fmt::Error).into()) }).unwrap();
    let _ = done(mailer.start());
    let reason = world.await_state("mailer", StateName::Failed);
    assert_eq!(reason, format!("cannot send the letter: {}", std::fmt::Error));
}

#[test]
fn a_panic_is_a_failure_with_its_words_and_hurts_nobody_else() {
    let mut world = World::new();
    let steady = world.supervisor.add_task(task("steady"), waits).unwrap();
    done(steady.start()).unwrap();
    // In the future, in the function, and while it is dropped.
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in the drop");
        }
    }
    let future = |_: Task| async {
        tokio::task::yield_now().await;
        let left: Vec<u8> = Vec::new();
        assert_eq!(left.len(), 1, "one letter");
        Ok(())
    };
    let function = |_: Task| -> std::future::Ready<TaskResult> { panic!("in the function") };
    let drops = |_: Task| async {
        let _bomb = Bomb;
        Ok(())
    };
    world.supervisor.add_task(task("future"), future).unwrap();
    world.supervisor.add_task(task("function"), function).unwrap();
    world.supervisor.add_task(task("drops"), drops).unwrap();
    for (name, words) in [("future", "one letter"), ("function", "in the function"), ("drops", "in the drop")] {
        let process = world.supervisor.get(name).unwrap();
        let _ = done(process.start());
        let reason = world.await_state(name, StateName::Failed);
        assert!(reason.starts_with("panicked: ") && reason.contains(words), "{reason}");
        assert!(!reason.contains('\n'), "{reason}");
        assert_eq!(process.status().unwrap().exit, Some(ExitStatus::Code(101)));
    }
    assert_eq!((state(&steady), steady.status().unwrap().run_count), (StateName::Running, 1));
}

#[test]
fn a_task_comes_back_as_its_restart_policy_says() {
    let mut world = World::new();
    let calls = Arc::new(AtomicU32::new(0));
    let counted = calls.clone();
    let flaky = move |task: Task| {
        let call = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            if call < 4 {
                return Err(format!("attempt {call}").into());
            }
            waits(task).await
        }
    };
    let spec = task("flaky").restart(at_once().limit(9, Duration::from_secs(600)));
    let flaky = world.supervisor.add_task(spec, flaky).unwrap();
    let _ = done(flaky.start());
    world.await_event("the fifth run", |event| {
        (matches!(event.kind, EventKind::Executed { .. }) && event.run == Some(RunId(5))).then_some(())
    });
    done(flaky.wait(StateName::Running)).unwrap();
    assert_eq!((flaky.status().unwrap().run_count, calls.load(Ordering::SeqCst)), (5, 5));

    let limited = task("limited").restart(at_once().limit(2, Duration::from_secs(600)));
    let limited = world.supervisor.add_task(limited, |_| async { Err("never".into()) }).unwrap();
    let _ = done(limited.start());
    assert_eq!(world.await_state("limited", StateName::Crashed), "restarted too often; last: never");
    let slow = task("slow").restart(
        Restart::on_failure().delay(Duration::from_secs(3600)).max_delay(Duration::from_secs(7200)).jitter(0.0),
    );
    let slow = world.supervisor.add_task(slow, |_| async { Err("later".into()) }).unwrap();
    let _ = done(slow.start());
    assert_eq!(world.await_state("slow", StateName::Backoff), "later");
    assert_eq!(done(slow.stop()), Ok(StateName::Stopped));
    let fine = world.supervisor.add_task(task("fine").restart(Restart::on_failure()), |_| async { Ok(()) }).unwrap();
    let _ = done(fine.start());
    world.await_state("fine", StateName::Exited);
}

#[test]
fn a_panic_counts_as_abnormal_and_an_error_does_not() {
    let mut world = World::new();
    let policy = || Restart { policy: neap::spec::RestartPolicy::OnAbnormal, ..at_once().limit(1, DEADLINE * 100) };
    let wrong = world.supervisor.add_task(task("wrong").restart(policy()), |_| async { Err("no".into()) }).unwrap();
    let _ = done(wrong.start());
    world.await_state("wrong", StateName::Failed);
    let panics = |_: Task| async { panic!("oh") };
    let panics = world.supervisor.add_task(task("panics").restart(policy()), panics).unwrap();
    let _ = done(panics.start());
    world.await_state("panics", StateName::Crashed);
    assert_eq!((wrong.status().unwrap().run_count, panics.status().unwrap().run_count), (1, 2));
}

#[test]
fn a_task_that_tells_by_itself_is_ready_when_it_says_so() {
    let world = World::new();
    for spec in [task("a").ready(Ready::Notify), task("b").process_type(ProcessType::Notify)] {
        let (go, gone) = tokio::sync::watch::channel(false);
        let slow = move |task: Task| {
            let mut gone = gone.clone();
            async move {
                gone.wait_for(|go| *go).await?;
                task.ready();
                waits(task).await
            }
        };
        let slow = world.supervisor.add_task(spec, slow).unwrap();
        let started = slow.start();
        done(slow.wait(StateName::Starting)).unwrap();
        wait_until("it is not ready yet", || slow.status().unwrap().reason == "not ready yet");
        go.send(true).unwrap();
        assert_eq!(done(started), Ok(StateName::Running));
    }
    let mute = task("mute").ready(Ready::Notify).start_timeout(Duration::from_millis(50));
    let mute = world.supervisor.add_task(mute, waits).unwrap();
    match done(mute.start()) {
        Err(Error::Refused(Refusal::StartFailed { reason, .. })) => {
            assert_eq!(reason, "not ready within its start timeout");
        }
        other => panic!("{other:?}"),
    }
    let speaks = |task: Task| async move {
        task.log("listening on 80");
        waits(task).await
    };
    let speaks = world.supervisor.add_task(task("speaks").ready(Ready::logline("^listening")), speaks).unwrap();
    assert_eq!(done(speaks.start()), Ok(StateName::Running));
}

#[test]
fn what_an_old_run_says_is_not_heard() {
    let mut world = World::new();
    let (sender, old) = mpsc::channel::<Task>();
    let runs = move |task: Task| {
        sender.send(task.clone()).unwrap();
        waits(task)
    };
    let process = world.supervisor.add_task(task("web").ready(Ready::Notify), runs).unwrap();
    drop(process.start());
    let first = old.recv_timeout(DEADLINE).unwrap();
    done(process.stop()).unwrap();
    assert!(first.is_cancelled());
    within("it comes although the run is over", first.cancelled());
    drop(process.start());
    let second = old.recv_timeout(DEADLINE).unwrap();
    first.ready();
    first.status("late");
    second.status("here");
    let text = world.await_event("a status", |event| match &event.kind {
        EventKind::Status { text } => Some(text.clone()),
        _ => None,
    });
    assert_eq!((text.as_str(), state(&process)), ("here", StateName::Starting));
    second.ready();
    done(process.wait(StateName::Running)).unwrap();
}

/// Tells when it is dropped.
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_task_that_does_not_end_in_time_is_dropped() {
    let mut world = World::new();
    let dropped = Arc::new(AtomicBool::new(false));
    let flag = dropped.clone();
    let stubborn = move |task: Task| {
        let guard = Dropped(flag.clone());
        async move {
            task.cancelled().await;
            let _guard = guard;
            std::future::pending().await
        }
    };
    let spec = task("stubborn").stop(Stop::signal(Signal::TERM, Duration::from_millis(50)));
    let stubborn = world.supervisor.add_task(spec, stubborn).unwrap();
    done(stubborn.start()).unwrap();
    assert_eq!(done(stubborn.stop()), Ok(StateName::Stopped));
    assert!(dropped.load(Ordering::SeqCst), "nothing of it is left once it is stopped");
    let killed = ExitStatus::Signal { signal: Signal::KILL, core: false };
    assert_eq!(world.await_exit("stubborn"), killed);
    assert_eq!(stubborn.status().unwrap().exit, Some(killed));
    // A second stop does not wait.
    let patient = world.supervisor.add_task(task("patient"), |_| std::future::pending()).unwrap();
    done(patient.start()).unwrap();
    let first = patient.stop();
    assert_eq!(done(patient.stop()), Ok(StateName::Stopped));
    assert_eq!(done(first), Ok(StateName::Stopped));
}

#[test]
fn a_task_that_blocks_its_thread_is_stuck_named_and_gone_when_it_yields() {
    let mut world = World::new();
    let (release, wait) = mpsc::channel::<()>();
    let (begun, begin) = mpsc::channel();
    let wait = Arc::new(Mutex::new(wait));
    let blocks = move |_: Task| {
        let (wait, begun) = (wait.clone(), begun.clone());
        async move {
            begun.send(()).unwrap();
            let _ = wait.lock().unwrap().recv();
            std::future::pending().await
        }
    };
    let beside = world.supervisor.add_task(task("beside"), waits).unwrap();
    done(beside.start()).unwrap();
    let quick = Stop::signal(Signal::TERM, Duration::from_millis(50));
    let blocks = world.supervisor.add_task(task("blocks").stop(quick.clone()), blocks).unwrap();
    done(blocks.start()).unwrap();
    begin.recv_timeout(DEADLINE).unwrap();
    let refusal = done(blocks.stop()).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "`blocks` would not die: its future blocks its thread, and is still there after SIGKILL"
    );
    let status = blocks.status().unwrap();
    assert_eq!((status.state, status.pid), (StateName::Stopping, None));
    assert_eq!(status.reason, "stuck: its future blocks its thread, and cannot be dropped");
    assert!(done(blocks.start()).is_err(), "two runs of one task never live at once");
    // Others are begun elsewhere meanwhile; the one on the same thread, which cannot hear, is dropped all the same.
    let other = world.supervisor.add_task(task("other"), waits).unwrap();
    done(other.start()).unwrap();
    assert_eq!(done(other.stop()), Ok(StateName::Stopped));
    done(beside.update(task("beside").stop(quick))).unwrap();
    assert_eq!(done(beside.stop()), Ok(StateName::Stopped));
    drop(release);
    world.await_state("blocks", StateName::Stopped);
    assert_eq!(done(blocks.start()), Ok(StateName::Running));
}

#[test]
fn a_oneshot_task_is_ready_when_it_succeeded_and_may_remain() {
    let world = World::new();
    let calls = Arc::new(AtomicU32::new(0));
    let counted = calls.clone();
    let migrate = move |_: Task| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { Ok(()) }
    };
    let migrate = world.supervisor.add_task(task("migrate").oneshot().remain(true), migrate).unwrap();
    let api = world.add(does("api", &["wait"]).requires("migrate"));
    assert_eq!(done(api.start()), Ok(StateName::Running));
    assert_eq!((state(&migrate), calls.load(Ordering::SeqCst)), (StateName::Running, 1));
    done(migrate.stop()).unwrap();
    assert_eq!(state(&api), StateName::Stopped);
    let once = world.supervisor.add_task(task("once").oneshot(), |_| async { Ok(()) }).unwrap();
    assert_eq!(done(once.start()), Ok(StateName::Exited));
}

#[test]
fn a_task_is_probed_and_restarted_for_its_health() {
    let mut world = World::new();
    let bound = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = bound.local_addr().unwrap().port();
    drop(bound);
    let serve = move |task: Task| async move {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
        // Its first run stops listening after the probe for readiness.
        if task.run() == RunId(1) {
            listener.accept().await?;
            drop(listener);
        }
        waits(task).await
    };
    let quick = Duration::from_millis(10);
    let tcp = ProbeTarget::Tcp { host: "127.0.0.1".into(), port };
    let health = Health { interval: quick, restart_after: 2, ..Health::new(tcp) };
    let spec = task("server").ready(Ready::tcp(port)).health(health).restart(at_once());
    let server = world.supervisor.add_task(spec, serve).unwrap();
    assert_eq!(done(server.start()), Ok(StateName::Running));
    assert!(world.await_state("server", StateName::Stopping).is_empty());
    wait_until("the second run is healthy", || {
        let status = server.status().unwrap();
        status.run > Some(RunId(1)) && status.health == HealthStatus::Healthy
    });
}

#[test]
fn a_watchdog_wants_to_hear_of_a_task() {
    let mut world = World::new();
    let spec = task("dog").restart(Restart::never());
    let spec = Spec { watchdog: Some(Duration::from_millis(100)), ..spec };
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let dog = move |task: Task| {
        let stopped = stopped.clone();
        async move {
            while !*stopped.borrow() {
                task.alive();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            waits(task).await
        }
    };
    let dog = world.supervisor.add_task(spec, dog).unwrap();
    done(dog.start()).unwrap();
    stop.send(true).unwrap();
    assert_eq!(world.await_state("dog", StateName::Failed), "missed its watchdog");
}

#[test]
fn hooks_of_a_task_run_at_its_turning_points() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = seen.clone();
    let mut world = World::with(|builder| {
        builder
            .function(FunctionId(1), move |call| {
                told.lock().unwrap().push((format!("{:?}", call.purpose), call.exit));
                Ok(())
            })
            .function(FunctionId(2), |_| Err("not today".into()))
    });
    let hook = || Hook::function(FunctionId(1));
    let spec = task("web").before_start(hook()).after_start(hook()).before_stop(hook()).after_stop(hook());
    let web = world.supervisor.add_task(spec.after_start(Hook::command(["echo", "from a command"])), waits).unwrap();
    done(web.start()).unwrap();
    await_lines(&web, 1);
    done(web.stop()).unwrap();
    let names: Vec<String> = seen.lock().unwrap().iter().map(|(what, _)| what.clone()).collect();
    assert_eq!(names, ["Hook(BeforeStart)", "Hook(AfterStart)", "Hook(BeforeStop)", "Hook(AfterStop)"]);
    assert_eq!(seen.lock().unwrap()[3].1, Some(ExitStatus::Code(0)));
    let refused = task("refused").before_start(Hook::function(FunctionId(2)));
    let refused = world.supervisor.add_task(refused, waits).unwrap();
    assert!(done(refused.start()).unwrap_err().to_string().contains("not today"));
    world.await_state("refused", StateName::Failed);
    assert_eq!(refused.status().unwrap().run_count, 0);
    let unmet = task("unmet").condition_path_exists("/no/such/path");
    let unmet = world.supervisor.add_task(unmet, waits).unwrap();
    assert!(matches!(done(unmet.start()), Err(Error::Refused(Refusal::Skipped { .. }))));
}

#[test]
fn what_makes_no_sense_for_a_task_is_refused_by_name() {
    let world = World::new();
    let supervisor = &world.supervisor;
    let refused = |spec: Spec| match supervisor.add_task(spec, waits) {
        Err(Error::Refused(Refusal::Invalid(error))) => {
            error.problems.iter().map(|problem| problem.field.clone().unwrap_or_default()).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    let log = |stdout: Stream| LogSettings { stdout, ..LogSettings::default() };
    assert_eq!(refused(Spec::new("x", ["true"])), ["command"]);
    assert_eq!(refused(task("x").arg("y").user("nobody").env("A", "b").nice(3)), ["command", "env", "user", "nice"]);
    assert_eq!(
        refused(task("x").working_dir("/").rlimit("nofile", 9).env_file("f")),
        ["working_dir", "env_file", "rlimits"]
    );
    assert_eq!(refused(task("x").process_type(ProcessType::Forking)), ["type"]);
    assert_eq!(refused(task("x").stop(Stop::signal(Signal::INT, DEADLINE))), ["stop.signal"]);
    assert_eq!(refused(task("x").log(log(Stream::Inherit))), ["log.stdout"]);
    assert_eq!(refused(task("x").success_exit_status(3)), ["success_exit_status"]);
    assert_eq!(refused(task("no such/name")), [""]);
    let plain = match supervisor.add(task("x")) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("a task without a function"),
    };
    assert!(plain.contains("add_task"), "{plain}");
    let mut plan = neap::spec::Plan::default();
    plan.insert(task("x")).unwrap();
    assert!(done(supervisor.apply(plan)).unwrap_err().to_string().contains("add_task"));
    let web = supervisor.add_task(task("web"), waits).unwrap();
    assert!(matches!(supervisor.add_task(task("web"), waits), Err(Error::Refused(Refusal::Exists(_)))));
    done(web.start()).unwrap();
    let refusal = done(web.signal(Signal::HUP)).unwrap_err().to_string();
    assert_eq!(refusal, "`web`: a task gets no signals; stop or restart it");
    assert!(done(web.update(Spec::new("web", ["true"]))).unwrap_err().to_string().contains("does not become"));
    let updated = done(web.update(task("web").restart(Restart::always()).description("new"))).unwrap();
    assert_eq!((updated.needs_restart().len(), updated.fields().is_empty()), (0, false));
    assert_eq!(web.status().unwrap().run_count, 1);
}

#[test]
fn a_deleted_task_lets_go_of_its_function() {
    let world = World::new();
    let dropped = Arc::new(AtomicBool::new(false));
    let guard = Arc::new(Dropped(dropped.clone()));
    let web = world.supervisor.add_task(task("web"), move |task| {
        let guard = guard.clone();
        async move {
            let _guard = guard;
            waits(task).await
        }
    });
    let web = web.unwrap();
    done(web.start()).unwrap();
    assert!(done(web.delete(false)).is_err());
    done(web.delete(true)).unwrap();
    wait_until("its function is dropped", || dropped.load(Ordering::SeqCst));
    assert!(world.supervisor.get("web").is_none());
    let again = world.supervisor.add_task(task("web"), waits).unwrap();
    done(again.start()).unwrap();
}

#[test]
fn what_a_task_logs_reaches_followers_and_files_like_output() {
    let world = World::new();
    let (sender, tasks) = mpsc::channel();
    let log = LogSettings { file: Some("web.log".into()), ..LogSettings::default() };
    let web = world.supervisor.add_task(task("web").log(log), move |task: Task| {
        sender.send(task.clone()).unwrap();
        waits(task)
    });
    let web = web.unwrap();
    done(web.start()).unwrap();
    let mut follower = world.supervisor.output();
    let task = tasks.recv_timeout(DEADLINE).unwrap();
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let task = task.clone();
            std::thread::spawn(move || {
                (0..500).for_each(|line| task.log(format!("{thread} {line} {}", "x".repeat(line * 7))))
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    web.flush_log();
    let file = std::fs::read_to_string(world.dir.join("web.log")).unwrap();
    let whole = |text: &str| {
        let mut words = text.split(' ').map(str::len);
        words.next() == Some(1) && words.next().is_some() && words.next().is_some()
    };
    assert_eq!(file.lines().count(), 2000);
    assert!(file.lines().all(whole));
    for thread in 0..4 {
        let numbers = file.lines().filter(|line| line.starts_with(&format!("{thread} ")));
        let numbers: Vec<usize> = numbers.map(|line| line.split(' ').nth(1).unwrap().parse().unwrap()).collect();
        assert_eq!(numbers, (0..500).collect::<Vec<_>>());
    }
    let line = within("a line comes", follower.next());
    assert!(matches!(line, Some(neap::Next::Item(line)) if &*line.process == "web"));
    assert_eq!(lines(&web).last().unwrap(), file.lines().last().unwrap());
}

#[test]
fn a_task_and_a_process_depend_on_each_other_in_one_graph() {
    let mut world = World::new();
    let order = Arc::new(Mutex::new(Vec::new()));
    let db = world.add(does("db", &["say", "up", "wait"]).ready(Ready::logline("up")).restart(at_once()));
    let log = order.clone();
    let cache = world.supervisor.add_task(task("cache").requires("db"), move |task| {
        let log = log.clone();
        async move {
            log.lock().unwrap().push("cache began");
            task.cancelled().await;
            log.lock().unwrap().push("cache ended");
            Ok(())
        }
    });
    let cache = cache.unwrap();
    let api = world.add(does("api", &["wait"]).requires("cache"));
    // Starting the last starts all, in order.
    done(api.start()).unwrap();
    assert_eq!([&db, &cache, &api].map(state), [StateName::Running; 3]);
    // A restart of the first brings back what its stop took down.
    let (first_db, first_api) = (pid(&db), pid(&api));
    done(db.restart()).unwrap();
    done(api.wait(StateName::Running)).unwrap();
    assert_eq!(state(&cache), StateName::Running);
    assert!(pid(&db) != first_db && pid(&api) != first_api);
    assert_eq!(*order.lock().unwrap(), ["cache began", "cache ended", "cache began"]);
    // A stop of the task stops what requires it, and nothing else.
    done(cache.stop()).unwrap();
    assert_eq!([&db, &cache, &api].map(state), [StateName::Running, StateName::Stopped, StateName::Stopped]);
    // What binds to a process goes with it, and comes back where it follows.
    let bound = world.supervisor.add_task(task("bound").binds_to("db").follows("db"), waits).unwrap();
    done(bound.start()).unwrap();
    done(db.signal(Signal::KILL)).unwrap();
    world.await_state("bound", StateName::Stopped);
    world.await_state("bound", StateName::Running);
    // And a process with a task that ends by itself.
    let (end, ended) = tokio::sync::watch::channel(false);
    let feed = move |_: Task| {
        let mut ended = ended.clone();
        async move {
            ended.wait_for(|ended| *ended).await?;
            Err("dry".into())
        }
    };
    let feed = world.supervisor.add_task(task("feed"), feed).unwrap();
    let reader = world.add(does("reader", &["wait"]).binds_to("feed"));
    done(reader.start()).unwrap();
    assert_eq!(state(&feed), StateName::Running);
    end.send(true).unwrap();
    world.await_state("reader", StateName::Stopped);
    world.supervisor.add_task(task("failing").oneshot(), |_| async { Err("no luck".into()) }).unwrap();
    let needs = world.add(does("needs", &["wait"]).requires("failing"));
    let refusal = done(needs.start()).unwrap_err().to_string();
    assert!(refusal.contains("needs `failing`, which failed: no luck"), "{refusal}");
}

#[test]
fn a_thousand_tasks_start_and_stop() {
    let mut world = World::new();
    let alive = Arc::new(AtomicU32::new(0));
    let tasks: Vec<Process> = (0..1000)
        .map(|number| {
            let alive = alive.clone();
            let run = move |task: Task| {
                let alive = alive.clone();
                async move {
                    alive.fetch_add(1, Ordering::SeqCst);
                    task.cancelled().await;
                    alive.fetch_sub(1, Ordering::SeqCst);
                    Ok(())
                }
            };
            let spec = task(&format!("t{number}"));
            let spec = if number % 10 == 0 { spec } else { spec.requires(format!("t{}", number - number % 10)) };
            world.supervisor.add_task(spec, run).unwrap()
        })
        .collect();
    let descriptors = crate::support::descriptors().len();
    let started: Vec<_> = tasks.iter().map(Process::start).collect();
    for pending in started {
        done(pending).unwrap();
    }
    wait_until("all run", || alive.load(Ordering::SeqCst) == 1000);
    assert!(crate::support::descriptors().len() < descriptors + 20, "a task that says nothing takes no descriptor");
    done(world.supervisor.shutdown()).unwrap();
    assert_eq!(alive.load(Ordering::SeqCst), 0);
    while let Some(_event) = world.events.next_blocking() {}
}

#[test]
fn a_supervisor_that_keeps_a_ledger_takes_no_tasks() {
    let _epilogue = crate::support::Epilogue::new();
    struct Nowhere;
    impl neap::driver::Store for Nowhere {
        fn write(&mut self, _: &[(neap::core::RecordKey, Option<Vec<u8>>)]) -> std::io::Result<()> {
            Ok(())
        }
    }
    let keep = neap::driver::Keep::alone(Box::new(Nowhere), Vec::new(), "neap-test-tasks");
    let supervisor = Supervisor::builder().keep(keep).build().unwrap();
    let refusal = supervisor.add_task(task("web"), waits).unwrap_err().to_string();
    assert!(refusal.contains("no ledger holds a function"), "{refusal}");
    done(supervisor.shutdown()).unwrap();
}

#[test]
fn the_example_of_tasks_does_what_it_says() {
    let output = std::process::Command::new(crate::support::example("tasks")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let told: Vec<&str> = text.lines().collect();
    assert!(told[0].starts_with("mailer: the third letter came back; waits "), "{text}");
    assert_eq!(told[1], "mailer is running for the second time");
    assert!(told[2].starts_with("mailer said: letter "), "{text}");
    assert_eq!(told.last(), Some(&"down; would not die: []"));
}
