//! B1, B6, B7, B8, B9, B12: what is short, refused or in a hurry.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::thread;

use neap::core::{ExitStatus, SpawnError, SpawnStep};
use neap::driver::spawn::{Ids, Launch, Launcher};
use neap::driver::sys::fault::{self, Call};
use neap::driver::{caps, creds, exit, identity};
use neap::spec::Signal;
use nix::errno::Errno;

use crate::run::{actor_launch, await_any, both_ways, finish, reap, run, run_actor, start};
use crate::support::{Epilogue, TempDir, descendants, root_or_skip, skipped};

fn refused(launcher: &Launcher, launch: Launch) -> SpawnError {
    start(launcher, launch).map(drop).expect_err("is not to be executed")
}

#[test]
fn every_call_that_lacks_a_resource_says_so_and_leaves_nothing() {
    let _epilogue = Epilogue::new();
    for launcher in both_ways() {
        let cases = [
            (Call::Clone, SpawnStep::Clone, Errno::EAGAIN),
            (Call::Clone, SpawnStep::Clone, Errno::ENOMEM),
            (Call::Pipe, SpawnStep::Pipe, Errno::EMFILE),
            (Call::Pipe, SpawnStep::Pipe, Errno::ENFILE),
        ];
        for (call, step, errno) in cases {
            let fault = fault::here(call, 0, 1, errno as i32);
            let e = refused(&launcher, actor_launch(&["exit", "0"]));
            assert_eq!((e.step, e.errno, e.is_resource()), (step, Some(errno as i32), true), "{}", e.message);
            drop(fault);
        }
        assert_eq!(run_actor(&launcher, &["exit", "5"]).0, ExitStatus::Code(5), "and the next one is made");
    }
}

#[test]
fn without_room_for_dev_null_the_next_launch_tries_again() {
    let _epilogue = Epilogue::new();
    for launcher in both_ways() {
        let fault = fault::here(Call::Open, 0, 1, Errno::EMFILE as i32);
        let e = refused(&launcher, actor_launch(&["exit", "0"]));
        assert_eq!(e.message, "cannot open `/dev/null`: too many open files");
        assert!(e.is_resource());
        drop(fault);
        assert_eq!(run_actor(&launcher, &["exit", "5"]).0, ExitStatus::Code(5));
    }
}

#[test]
fn the_one_clone_that_fails_is_the_one_that_is_told() {
    let _epilogue = Epilogue::new();
    let launcher = Launcher::new();
    for k in 0..4 {
        let _fault = fault::here(Call::Clone, k, 1, Errno::EAGAIN as i32);
        for n in 0..4 {
            match start(&launcher, actor_launch(&["exit", "0"])) {
                Ok(child) => {
                    assert_ne!(n, k);
                    assert_eq!(reap(&child), ExitStatus::Code(0));
                }
                Err(e) => {
                    assert_eq!((n, e.message.as_str()), (k, "cannot make a child: resource temporarily unavailable"));
                }
            }
        }
    }
}

#[test]
fn clone3_refused_later_means_fork_from_then_on() {
    let _epilogue = Epilogue::new();
    let launcher = Launcher::new();
    let _fault = fault::here(Call::Clone3, 0, 1, Errno::EPERM as i32);
    assert_eq!(run_actor(&launcher, &["exit", "6"]).0, ExitStatus::Code(6));
    let status = launcher.status();
    assert_eq!(status.method, neap::driver::spawn::Method::Fork);
    assert_eq!(status.reason, "clone3 is refused (operation not permitted)");
}

#[test]
fn a_step_that_fails_means_no_program_and_says_which() {
    if !root_or_skip("a_step_that_fails_means_no_program_and_says_which") {
        return;
    }
    let _epilogue = Epilogue::new();
    let folder = TempDir::new();
    let witness = folder.join("executed");
    let full = || {
        let mut launch = actor_launch(&["touch", witness.to_str().unwrap()]);
        launch.ids = Some(Ids { uid: 54_321, gid: 54_322, groups: vec![54_323], label: "somebody".into() });
        launch.bounding = Some(caps::bits(&["net_bind_service", "setpcap"]).unwrap());
        launch.ambient = caps::bit("net_bind_service").unwrap();
        launch.no_new_privs = true;
        launch.umask = Some(0);
        launch.nice = Some(1);
        launch.oom_score_adj = Some(1);
        launch.directory = Some(crate::support::c("/"));
        launch
    };
    let steps = [
        SpawnStep::Descriptors,
        SpawnStep::Session,
        SpawnStep::Nice,
        SpawnStep::OomScore,
        SpawnStep::SignalMask,
        SpawnStep::BoundingSet,
        SpawnStep::KeepCapabilities,
        SpawnStep::SupplementaryGroups,
        SpawnStep::SetGid,
        SpawnStep::SetUid,
        SpawnStep::Capabilities,
        SpawnStep::AmbientCapabilities,
        SpawnStep::WorkingDirectory,
        SpawnStep::NoNewPrivs,
        SpawnStep::Exec,
    ];
    for launcher in both_ways() {
        for step in steps {
            let _fault = fault::here(Call::Child(step), 0, 1, Errno::EPERM as i32);
            let e = refused(&launcher, full());
            assert_eq!((e.step, e.errno), (step, Some(Errno::EPERM as i32)), "{}", e.message);
            assert!(e.message.contains("operation not permitted"), "{}", e.message);
            assert!(!witness.exists(), "{step:?}");
        }
        let told = |step| {
            let _fault = fault::here(Call::Child(step), 0, 1, Errno::EPERM as i32);
            refused(&launcher, full()).message
        };
        assert_eq!(told(SpawnStep::SetUid), "cannot become user `somebody` (uid 54321): operation not permitted");
        assert_eq!(
            told(SpawnStep::SupplementaryGroups),
            "cannot set the supplementary groups of user `somebody`: operation not permitted"
        );
    }
}

#[test]
fn a_user_brings_its_groups_and_no_capability() {
    if !root_or_skip("a_user_brings_its_groups_and_no_capability") {
        return;
    }
    let _epilogue = Epilogue::new();
    for launcher in both_ways() {
        let mut launch = actor_launch(&["state"]);
        launch.ids = Some(Ids { uid: 54_321, gid: 54_322, groups: vec![54_323, 54_324], label: "somebody".into() });
        let (_, text) = run(&launcher, launch).unwrap();
        let state: BTreeMap<&str, &str> = text.lines().filter_map(|l| l.split_once('=')).collect();
        assert_eq!(state["Uid"], "54321 54321 54321 54321");
        assert_eq!(state["Gid"], "54322 54322 54322 54322");
        assert_eq!(state["Groups"], "54323 54324");
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(state[set], "0000000000000000", "{set}");
        }
        assert_eq!(nix::sys::prctl::get_dumpable(), Ok(true), "we are as debuggable as before");
    }
}

#[test]
fn ambient_and_bounding_capabilities_are_those_asked_for() {
    if !root_or_skip("ambient_and_bounding_capabilities_are_those_asked_for") {
        return;
    }
    let _epilogue = Epilogue::new();
    let bind = caps::bit("net_bind_service").unwrap();
    let bounding = bind | caps::bit("chown").unwrap();
    for launcher in both_ways() {
        let mut launch = actor_launch(&["state"]);
        launch.ids = Some(Ids { uid: 54_321, gid: 54_322, groups: vec![], label: "somebody".into() });
        launch.ambient = bind;
        launch.bounding = Some(bounding);
        let (_, text) = run(&launcher, launch).unwrap();
        let state: BTreeMap<&str, &str> = text.lines().filter_map(|l| l.split_once('=')).collect();
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(state[set], format!("{bind:016x}"), "{set}");
        }
        assert_eq!(state["CapBnd"], format!("{bounding:016x}"));
        assert_eq!(state["Groups"], "");
    }
}

#[test]
fn a_user_that_does_not_resolve_makes_no_child() {
    let _epilogue = Epilogue::new();
    let before = descendants();
    for name in ["", "0day", "0x10", "-1", "4294967295", "no-such-user-here", "\u{661}", "root\u{200b}"] {
        let e = creds::resolve(Some(name), None, None).expect_err(name);
        assert_eq!(e.step, SpawnStep::User);
        assert!(!e.message.is_empty());
    }
    assert_eq!(descendants(), before);
}

#[test]
fn a_child_outlives_the_thread_that_made_it() {
    let _epilogue = Epilogue::new();
    let child = thread::spawn(|| start(&Launcher::new(), actor_launch(&["wait"])).unwrap()).join().unwrap();
    assert_eq!(exit::peek(child.pidfd.as_fd()).unwrap(), None);
    assert!(identity::signal(child.pidfd.as_fd(), Signal::TERM).unwrap());
    assert_eq!(reap(&child), ExitStatus::Signal { signal: Signal::TERM, core: false });
}

#[test]
fn many_children_may_be_in_flight_at_once() {
    let _epilogue = Epilogue::new();
    for launcher in both_ways() {
        let flying: Vec<_> =
            (0..200).map(|n| launcher.launch(actor_launch(&["exit", &(n % 256).to_string()])).unwrap()).collect();
        let children: Vec<_> = flying.into_iter().map(|f| finish(f).unwrap()).collect();
        for (n, child) in children.iter().enumerate() {
            assert_eq!(reap(child), ExitStatus::Code((n % 256) as i32));
        }
    }
}

#[test]
fn threads_that_hammer_the_allocator_and_the_environment_disturb_no_child() {
    use std::sync::atomic::{AtomicBool, Ordering};

    let _epilogue = Epilogue::new();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for n in 0..8 {
            let done = &done;
            scope.spawn(move || {
                let mut kept = Vec::new();
                while !done.load(Ordering::Relaxed) {
                    kept.push(vec![n as u8; 1 + (kept.len() * 97) % 70_000]);
                    let _ = std::env::vars_os().count();
                    let _ = nix::unistd::User::from_name("root");
                    if kept.len() > 50 {
                        kept.clear();
                    }
                }
            });
        }
        for launcher in both_ways() {
            for _ in 0..150 {
                let child = start(&launcher, actor_launch(&["exit", "9"])).unwrap();
                assert_eq!(reap(&child), ExitStatus::Code(9));
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_child_killed_at_once_is_told_as_such_and_leaves_nothing() {
    let _epilogue = Epilogue::new();
    for launcher in both_ways() {
        for _ in 0..100 {
            let flight = launcher.launch(actor_launch(&["wait"])).unwrap();
            assert!(identity::signal(flight.pidfd(), Signal::KILL).unwrap());
            match finish(flight) {
                Ok(child) => assert_eq!(reap(&child), ExitStatus::Signal { signal: Signal::KILL, core: false }),
                Err(e) => {
                    assert_eq!(e.message, "SIGKILL ended the child before the program was executed");
                    assert!(!e.is_resource());
                }
            }
        }
    }
}

#[test]
fn a_child_in_flight_may_be_dropped() {
    let _epilogue = Epilogue::new();
    let mut pidfds = Vec::new();
    for launcher in both_ways() {
        for _ in 0..50 {
            let flight = launcher.launch(actor_launch(&["exit", "0"])).unwrap();
            pidfds.push(flight.pidfd().try_clone_to_owned().unwrap());
            drop(flight);
        }
        assert_eq!(run_actor(&launcher, &["exit", "2"]).0, ExitStatus::Code(2));
    }
    for pidfd in pidfds {
        await_any(&[&pidfd]);
        assert_eq!(exit::reap(pidfd.as_fd()).unwrap(), Some(ExitStatus::Code(0)));
    }
    // The next child made takes away what these left, also of launchers that are gone.
    assert_eq!(run_actor(&Launcher::new(), &["exit", "2"]).0, ExitStatus::Code(2));
}

#[test]
fn a_stopped_child_in_flight_holds_nobody_up() {
    if !root_or_skip("a_stopped_child_in_flight_holds_nobody_up") {
        return;
    }
    let _epilogue = Epilogue::new();
    let launcher = Launcher::new();
    let stop = Signal::from_name("STOP").unwrap();
    let flight = launcher.launch(actor_launch(&["exit", "0"])).unwrap();
    assert!(identity::signal(flight.pidfd(), stop).unwrap());
    assert_eq!(run_actor(&launcher, &["exit", "3"]).0, ExitStatus::Code(3), "another is made meanwhile");
    assert!(identity::signal(flight.pidfd(), Signal::CONT).unwrap());
    assert_eq!(reap(&finish(flight).unwrap()), ExitStatus::Code(0));
}

#[test]
fn too_few_descriptors_are_an_error_and_not_a_crash() {
    let _epilogue = Epilogue::new();
    let words = ["supervise", "{", "exit", "0", "}"];
    let mut told = 0;
    for room in 4..20 {
        let mut launch = actor_launch(&words);
        launch.rlimits = vec![neap::driver::spawn::RlimitSet {
            resource: neap::driver::limits::resource("nofile").unwrap(),
            soft: room,
            hard: room,
        }];
        match run(&Launcher::new(), launch) {
            Ok((status, text)) if text.starts_with("failed 24 ") => {
                assert_eq!(status, ExitStatus::Code(0));
                told += 1;
            }
            // So few that the loader of the program itself gives up.
            Ok((ExitStatus::Code(127), _)) => {}
            Ok((_, text)) => assert_eq!(text, "ended Code(0)\n", "with room for {room}"),
            Err(e) => panic!("with room for {room}: {e:?}"),
        }
    }
    if told == 0 {
        skipped("too_few_descriptors_are_an_error_and_not_a_crash", "no limit was low enough for the loader to pass");
    }
}

#[test]
fn a_user_at_its_process_limit_is_told_so() {
    if !root_or_skip("a_user_at_its_process_limit_is_told_so") {
        return;
    }
    let _epilogue = Epilogue::new();
    let mut launch = actor_launch(&["supervise", "{", "exit", "0", "}"]);
    launch.ids = Some(Ids { uid: 54_399, gid: 54_399, groups: vec![], label: "crowded".into() });
    launch.rlimits = vec![neap::driver::spawn::RlimitSet {
        resource: neap::driver::limits::resource("nproc").unwrap(),
        soft: 1,
        hard: 1,
    }];
    let (status, text) = run(&Launcher::new(), launch).unwrap();
    assert_eq!(status, ExitStatus::Code(0));
    assert_eq!(text, "failed 11 Clone cannot make a child: resource temporarily unavailable\n");
}

#[test]
fn a_launcher_may_be_dropped_while_its_child_is_in_flight() {
    let _epilogue = Epilogue::new();
    for _ in 0..50 {
        for launcher in both_ways() {
            let flight = launcher.launch(actor_launch(&["exit", "0"])).unwrap();
            drop(launcher);
            assert_eq!(reap(&finish(flight).unwrap()), ExitStatus::Code(0));
        }
    }
}
