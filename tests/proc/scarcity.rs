//! B1, B6, C5: what is short comes back and is waited for; what cannot be killed is named.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use neap::Error;
use neap::core::{EventKind, Refusal, StateName};
use neap::driver::sys::fault::{self, Call};
use neap::spec::{Restart, Signal, Stop};
use nix::errno::Errno;

use crate::support::{skipped, wait_until};
use crate::world::{World, at_once, does, done, pid};

#[test]
fn b1_a_start_that_lacks_a_resource_is_tried_again_and_not_counted() {
    let cases = [
        (Call::Clone, Errno::EAGAIN),
        (Call::Clone, Errno::ENOMEM),
        (Call::Pipe, Errno::EMFILE),
        (Call::Pipe, Errno::ENFILE),
        (Call::MakeDir, Errno::ENOMEM),
    ];
    for (call, errno) in cases {
        let mut world = World::new();
        // One restart is too many: were these counted, the second attempt would end in crashed.
        let delay = Duration::from_millis(5);
        let strict = Restart::on_failure().delay(delay).max_delay(delay).limit(1, Duration::from_secs(3600));
        let process = world.add(does("web", &["wait"]).restart(strict));
        let shortage = fault::everywhere(call, 0, 4, errno as i32);
        match done(process.start()) {
            Err(Error::Refused(Refusal::StartFailed { retry_in: Some(_), .. })) => {}
            other => panic!("{call:?} {errno}: {other:?}"),
        }
        world.await_state("web", StateName::Running);
        assert_eq!(process.status().unwrap().run_count, 1);
        drop(shortage);
    }
}

#[test]
fn b6_who_runs_is_not_touched_by_a_shortage() {
    let mut world = World::new();
    let runs = world.start(does("runs", &["wait"]).restart(at_once()));
    let before = pid(&runs);
    let delay = Duration::from_millis(5);
    let other = world.add(does("other", &["wait"]).restart(Restart::on_failure().delay(delay).max_delay(delay)));
    let shortage = fault::everywhere(Call::Pipe, 0, usize::MAX, Errno::EMFILE as i32);
    assert!(done(other.start()).is_err());
    for _ in 0..5 {
        world.await_state("other", StateName::Backoff);
    }
    assert_eq!(pid(&runs), before);
    assert_eq!(world.supervisor.list().unwrap().len(), 2);
    drop(shortage);
    done(other.wait(StateName::Running)).unwrap();
}

/// A frozen cgroup (v1), in which not even SIGKILL has an effect until it is thawed.
struct Freezer(PathBuf);

impl Freezer {
    fn new() -> Option<Freezer> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = own.lines().find_map(|line| line.split_once(":freezer:"))?.1;
        let name = format!("neap-test-{}", std::process::id());
        let path = PathBuf::from(format!("/sys/fs/cgroup/freezer{own}")).join(name);
        fs::create_dir(&path).ok()?;
        Some(Freezer(path))
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.0.join(file), text).expect("the freezer's file takes it");
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("freezer.state"), "THAWED");
        wait_until("the freezer is empty", || {
            fs::read_to_string(self.0.join("cgroup.procs")).is_ok_and(|t| t.is_empty())
        });
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn c5_what_survives_sigkill_is_named_and_others_go_on() {
    let mut world = World::new();
    let other = world.start(does("other", &["wait"]).restart(at_once()));
    let Some(freezer) = Freezer::new() else {
        return skipped(
            "c5_what_survives_sigkill_is_named_and_others_go_on",
            "needs a freezer cgroup (v1) to write to",
        );
    };
    let stop = Stop::signal(Signal::TERM, Duration::from_millis(50));
    let process = world.start(does("web", &["wait"]).stop(stop));
    let stuck = pid(&process);
    freezer.write("cgroup.procs", &stuck.to_string());
    freezer.write("freezer.state", "FROZEN");
    match done(process.stop()) {
        Err(Error::Refused(Refusal::Stuck { pids, .. })) => assert_eq!(pids, [stuck]),
        answer => panic!("{answer:?}"),
    }
    assert_eq!(process.status().unwrap().state, StateName::Stopping);
    assert!(matches!(done(process.start()), Err(Error::Refused(_))), "there would be two of it");
    world.await_event("the survivors are named", |event| match &event.kind {
        EventKind::Stuck { pids } => {
            assert_eq!(pids, &[stuck]);
            Some(())
        }
        _ => None,
    });
    done(other.signal(Signal::KILL)).unwrap();
    world.await_executed("other");
    drop(freezer);
    assert_eq!(done(process.wait(StateName::Stopped)).unwrap().pid, None);
    assert_eq!(done(process.start()), Ok(StateName::Running));
}
