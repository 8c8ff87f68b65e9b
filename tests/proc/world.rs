//! A supervisor of a test's own, with the actor for its processes, and waiting with deadlines that only fail.

use std::future::Future;
use std::time::Duration;

use neap::core::{Event, EventKind, ExitStatus, Pid, StateName};
use neap::spec::{Restart, Spec, Stop};
use neap::{Builder, Error, Events, Next, Pending, Process, Supervisor};

use crate::support::{DEADLINE, Epilogue, TempDir, actor, wait_until};

/// A supervisor, its events from the beginning, and a folder. When dropped everything is stopped, and nothing is left.
pub struct World {
    pub supervisor: Supervisor,
    pub events: Events,
    pub dir: TempDir,
    _epilogue: Epilogue,
}

impl World {
    pub fn new() -> World {
        World::with(|builder| builder)
    }

    pub fn with(build: impl FnOnce(Builder) -> Builder) -> World {
        let epilogue = Epilogue::new();
        let dir = TempDir::new();
        let builder = Supervisor::builder().base_dir(dir.path());
        let supervisor = build(builder).build().expect("a supervisor");
        let events = supervisor.events_after(0);
        World { supervisor, events, dir, _epilogue: epilogue }
    }

    pub fn add(&self, spec: Spec) -> Process {
        self.supervisor.add(spec).expect("a good spec")
    }

    /// A process that does these words, started.
    pub fn start(&self, spec: Spec) -> Process {
        let process = self.add(spec);
        done(process.start()).expect("it starts");
        process
    }

    /// The next event for which `find` gives something.
    pub fn await_event<T>(&mut self, what: &str, mut find: impl FnMut(&Event) -> Option<T>) -> T {
        let events = &mut self.events;
        within(what, async {
            loop {
                match events.next().await {
                    Some(Next::Item(event)) => {
                        if let Some(found) = find(&event) {
                            return found;
                        }
                    }
                    Some(Next::Lagged(_)) => {}
                    None => panic!("the supervisor ended before {what}"),
                }
            }
        })
    }

    /// The next time that this process enters this state; with the reason.
    pub fn await_state(&mut self, name: &str, state: StateName) -> String {
        self.await_event(&format!("{name} is {state}"), |event| match &event.kind {
            EventKind::State { to, reason, .. } if *to == state && event.name.as_deref() == Some(name) => {
                Some(reason.clone())
            }
            _ => None,
        })
    }

    /// The pid of the next program that is executed for this process.
    pub fn await_executed(&mut self, name: &str) -> Pid {
        self.await_event(&format!("{name} is executed"), |event| match &event.kind {
            EventKind::Executed { pid } if event.name.as_deref() == Some(name) => Some(*pid),
            _ => None,
        })
    }

    /// How the next process of this one ends.
    pub fn await_exit(&mut self, name: &str) -> ExitStatus {
        self.await_event(&format!("{name} exits"), |event| match &event.kind {
            EventKind::ProcessExited { status, .. } if event.name.as_deref() == Some(name) => Some(*status),
            _ => None,
        })
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            done(self.supervisor.shutdown()).expect("an orderly end");
        }
    }
}

/// A spec of the actor with these words; a failed run is not repeated, and a stop is not waited for longer than need be.
pub fn does(name: &str, words: &[&str]) -> Spec {
    let actor = actor().to_str().expect("a path in UTF-8");
    Spec::new(name, [actor].iter().chain(words).copied())
        .restart(Restart::never())
        .stop(Stop::signal(neap::spec::Signal::TERM, DEADLINE))
}

/// Restarts at once, and however often.
pub fn at_once() -> Restart {
    Restart::always().delay(Duration::ZERO).limit(0, Duration::from_secs(1)).jitter(0.0)
}

/// Waits for a future that needs no runtime of its own.
pub fn within<F: Future>(what: &str, future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        match tokio::time::timeout(DEADLINE, future).await {
            Ok(output) => output,
            Err(_) => panic!("waited {DEADLINE:?} in vain until {what}"),
        }
    })
}

/// Waits for an answer.
pub fn done<T: Unpin>(pending: Pending<T>) -> Result<T, Error> {
    within("the answer came", pending)
}

/// What a process printed, stdout and stderr, as text.
pub fn lines(process: &Process) -> Vec<String> {
    process.logs(10_000).into_iter().map(|line| String::from_utf8_lossy(&line.text).into_owned()).collect()
}

/// Waits until a process has printed so many lines, and returns them.
pub fn await_lines(process: &Process, count: usize) -> Vec<String> {
    wait_until(&format!("{} has printed {count} lines", process.name()), || lines(process).len() >= count);
    lines(process)
}

/// The main process's pid.
pub fn pid(process: &Process) -> Pid {
    process.status().expect("a status").pid.expect("a main process")
}

/// Whether the process is dead: gone, or a zombie that its parent has yet to reap (an orphan's is PID 1), or so far gone
/// that its memory, files and cgroup are given back and only its state is yet to say so.
pub fn is_dead(pid: Pid) -> bool {
    const EXITING: u64 = 4; // PF_EXITING, in the ninth field of its stat
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    let rest = stat.rsplit(") ").next().unwrap_or_default();
    let flags = rest.split(' ').nth(6).and_then(|flags| flags.parse::<u64>().ok());
    rest.starts_with(['Z', 'X']) || flags.is_some_and(|flags| flags & EXITING != 0)
}

/// Whether no process has this pid (a zombie still has).
pub fn is_gone(pid: Pid) -> bool {
    neap::driver::identity::Stat::of(pid).is_err()
}
