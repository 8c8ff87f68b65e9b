//! Taking over from a supervisor that died, or made way: what it left is found by its trees, proved to be ours, and gone on
//! with. What nobody knows is killed. Nothing is signalled for being in the ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::contain::{FoundTree, Tree};
use super::engine::{Engine, HelperDone};
use super::flight::RunChild;
use super::held::Held;
use super::identity::{self, Identity, Stat};
use super::keep::Heritage;
use super::notify::NotifySocket;
use super::pidfile::PidFile;
use super::place::Place;
use super::prepare::{self, log_place};
use super::run::Run;
use super::sources::{Clock, Source};
use super::sys::process_group;
use crate::anchor::{Ended, Key, KeyKind, News};
use crate::core::{Adoption, ExitStatus, Input, LiveRun, Pid, ProcessId, RunId, SpawnError, SpawnStep};
use crate::log::{LogFile, StreamKind};
use crate::spec::{Signal, Spec};
use crate::supervisor::Message;

/// How long the news of ends may take that the anchor must have seen, all together.
const NEWS: Duration = Duration::from_secs(2);
/// How long trees that nobody knows may take to die before others are made in their place.
const STRAYS: Duration = Duration::from_millis(200);

/// What no executed program has in its environment.
const OURS_ALONE: &[u8] = b"NEAP_ANCHOR=";

/// What is known of the time between two supervisors.
struct Gap {
    ended: Vec<Ended>,
    leaders: BTreeMap<RunId, Identity>,
    daemons: BTreeMap<RunId, Identity>,
    /// Until when the anchor may tell of an end; not at all when it did not see that time.
    news_until: Option<Instant>,
}

impl Gap {
    /// How this process ended, if it did; `started` where that is known.
    fn status(&self, pid: Pid, started: Option<u64>) -> Option<ExitStatus> {
        let is = |ended: &&Ended| {
            ended.pid == pid && (ended.start_time == 0 || started.is_none_or(|time| time == ended.start_time))
        };
        self.ended.iter().find(is).map(|ended| ended.status)
    }
}

impl Engine {
    /// Takes over everything that another supervisor left. Before anything else is done.
    pub(super) fn take_over(&mut self, heritage: Heritage) {
        let Heritage { inheritance, leaders, daemons, left } = heritage;
        if let Err(error) = self.watch_anchor() {
            self.warn(None, format!("cannot listen to the anchor: {error}"));
        }
        if !inheritance.missing.is_empty() {
            let warning = "some descriptors that the anchor holds could not be passed on for want of room: raise the \
                           limit on open files (RLIMIT_NOFILE); what their processes print is not read";
            self.warn(None, warning.into());
        }
        self.kill_unexecuted();
        let mut found = self.trees.found().unwrap_or_else(|error| {
            self.warn(None, format!("cannot look for what an earlier supervisor left: {error}"));
            Vec::new()
        });
        self.leave_alone(&left, &mut found);
        let live = self.machine.live_runs();
        let (mut trees, strays): (Vec<_>, Vec<_>) = found
            .into_iter()
            .partition(|tree| tree.current && !tree.of_job && live.iter().any(|live| live.run == tree.run));
        self.kill_strays(strays);
        for ended in &inheritance.ended {
            if let Some(kept) = &mut self.kept {
                kept.forget(ended.pid);
            }
        }
        let news_until = (inheritance.lives > 1).then(|| Instant::now() + NEWS);
        let mut gap = Gap { ended: inheritance.ended, leaders, daemons, news_until };
        self.inherit(inheritance.held, &live);
        for live in &live {
            let tree = trees.iter().position(|tree| tree.run == live.run).map(|at| trees.remove(at).tree);
            self.adopt(live, tree, &mut gap);
        }
        self.kill_strays(trees);
        self.trees.adopted_all();
        self.claim_sockets(&live);
        // What the machine asks for again is done before it hears what became of its runs.
        self.machine.resume(Clock::now());
        self.settle();
        self.inherit_directories();
    }

    fn warn(&mut self, process: Option<ProcessId>, text: String) {
        self.inputs.push_back(Input::Warning(process, text));
    }

    /// Leaves alone what runs with stop mode `process` left behind.
    fn leave_alone(&mut self, left: &BTreeSet<RunId>, found: &mut Vec<FoundTree>) {
        let is_left = |tree: &mut FoundTree| tree.current && !tree.of_job && left.contains(&tree.run);
        let mut live = BTreeSet::new();
        for tree in found.extract_if(.., is_left) {
            let held = Held::new(tree.tree);
            if !held.is_empty() {
                live.insert(tree.run);
            }
            self.trash.push(held);
        }
        for run in left.difference(&live) {
            self.record_nothing_left(*run);
        }
    }

    /// Kills children that the supervisor before us was making: they carry no mark and may be in no tree yet, so that nobody
    /// would know them once they executed their programs. Until then their environment is that of the supervisor.
    fn kill_unexecuted(&mut self) {
        let Some(anchor) = self.trees.anchor() else { return };
        let is_one = |pid: Pid| {
            pid.0 != std::process::id()
                && Stat::of(pid).is_ok_and(|stat| stat.parent == anchor && !stat.is_zombie())
                && fs::read(format!("/proc/{pid}/environ"))
                    .is_ok_and(|all| all.split(|b| *b == 0).any(|variable| variable.starts_with(OURS_ALONE)))
        };
        let Ok(all) = fs::read_dir("/proc") else { return };
        let pids = all.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).map(Pid);
        for pid in pids.filter(|pid| is_one(*pid)) {
            if let Ok(Some(fd)) = identity::open(pid)
                && is_one(pid)
            {
                let _ = identity::signal(fd.as_fd(), Signal::KILL);
                let _ = poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLIN)], PollTimeout::from(1000_u16));
            }
        }
    }

    /// Kills trees of runs that are over, of hooks and probes, and of ledgers that were lost.
    fn kill_strays(&mut self, strays: Vec<FoundTree>) {
        let mut left = Vec::new();
        for stray in strays {
            let held = Held::new(stray.tree);
            if held.is_empty() {
                self.trash.push(held);
                continue;
            }
            let members = held.tree.members().unwrap_or_default();
            let what = if stray.of_job { "a hook or a probe of run" } else { "run" };
            let pids: Vec<_> = members.iter().map(Pid::to_string).collect();
            self.warn(
                None,
                format!("killed what an earlier supervisor left of {what} {}: {}", stray.run, pids.join(", ")),
            );
            let _ = held.tree.kill();
            left.push(held);
        }
        let end = Instant::now() + STRAYS;
        while Instant::now() < end && !left.iter().all(Held::is_empty) {
            std::thread::sleep(Duration::from_millis(1));
        }
        // What takes longer is killed again until it is gone.
        left.into_iter().for_each(|held| self.kill_stray(held));
    }

    /// Goes on with the descriptors that the anchor held.
    fn inherit(&mut self, held: Vec<(Key, OwnedFd)>, live: &[LiveRun]) {
        let mut files = Vec::new();
        for (key, fd) in held {
            let process = match key.kind() {
                Some(KeyKind::Stdout(p) | KeyKind::Stderr(p) | KeyKind::Staged(p) | KeyKind::Notify(p)) => p,
                Some(KeyKind::Listener(process, slot)) => {
                    self.inherit_listener(process, slot, fd);
                    continue;
                }
                Some(KeyKind::Inherited(_)) => {
                    self.inherit_passed(fd);
                    continue;
                }
                _ => continue,
            };
            let of_run = live.iter().find(|run| run.process == process).map(|run| run.spec.clone());
            let Some(spec) = of_run.or_else(|| self.machine.spec(process)) else {
                self.let_go(process);
                continue;
            };
            let file = log_place(&spec, &self.surroundings);
            if file.is_some() && !files.contains(&process) {
                files.push(process);
            }
            let awaits_file = file.is_some();
            let place = self.place(process, &spec);
            let inherited = match key.kind() {
                Some(KeyKind::Stdout(_)) => place.log.inherit(StreamKind::Stdout, fd, awaits_file),
                Some(KeyKind::Stderr(_)) => place.log.inherit(StreamKind::Stderr, fd, awaits_file),
                Some(KeyKind::Staged(_)) => place.log.inherit_staged(fd),
                _ => self.inherit_notify(process, fd),
            };
            if let Err(error) = inherited {
                self.warn(Some(process), format!("cannot go on with a descriptor of an earlier supervisor's: {error}"));
            }
        }
        for process in files {
            let of_run = live.iter().find(|run| run.process == process).map(|run| run.spec.clone());
            if let Some(spec) = of_run.or_else(|| self.machine.spec(process)) {
                self.open_log(process, &spec);
            }
        }
    }

    fn inherit_notify(&mut self, process: ProcessId, fd: OwnedFd) -> io::Result<()> {
        let path = self.surroundings.directories.runtime().make_notify()?.join(Place::notify_name(process));
        let socket = NotifySocket::inherit(fd, path);
        let token = self.poller.add(&socket, Source::Notify(process))?;
        if let Some(place) = self.places.get_mut(&process) {
            place.notify = Some((socket, token));
        }
        Ok(())
    }

    /// Has the file opened that a process's lines go to; until then its pipes are not read.
    fn open_log(&mut self, process: ProcessId, spec: &Spec) {
        let Some(place) = log_place(spec, &self.surroundings) else { return };
        if let Some(kept) = self.places.get_mut(&process) {
            kept.log_file = Some(place.clone());
        }
        let shared = self.shared.clone();
        let later = LogFile::later(place.clone());
        let job = move || {
            // A process that lives suffers nothing for it: the file says later what is missing.
            let file = LogFile::open(place.clone()).unwrap_or_else(|_| LogFile::later(place));
            let _ = shared.mailbox.post(Message::Helper(HelperDone::LogOpened(process, Box::new(file))));
        };
        if self.pool.run(job).is_err() {
            self.log_opened(process, later);
        }
    }

    /// Takes over one run, dead or alive.
    fn adopt(&mut self, live: &LiveRun, tree: Option<Tree>, gap: &mut Gap) {
        let LiveRun { run, process, spec, .. } = live;
        let run = *run;
        let number = self.machine.run_count(*process).saturating_add(u32::from(live.spawning));
        let place = self.place(*process, spec);
        place.run = Some(run);
        place.log.set_run(number, false);
        self.restore_pidfile(live);
        let leader = gap.leaders.remove(&run);
        let mut entry = Run::new(*process, spec.clone());
        entry.child = RunChild::Gone;
        entry.adopted = true;
        let daemon = gap.daemons.remove(&run);
        entry.recorded = leader.is_some() || daemon.is_some();
        entry.held = self.trees.adopt((spec, run), tree, leader.clone()).map(Held::new);
        if let (Some(held), Some(daemon)) = (&mut entry.held, &daemon) {
            held.tree.set_daemon(daemon.clone());
        }
        let known = leader.or(daemon);
        self.runs.insert(run, entry);
        if let Ok(Some(pattern)) = prepare::ready_line(spec)
            && let Some(place) = self.places.get(process)
        {
            place.log.watch_on(run, pattern);
        }
        match live.main {
            _ if live.spawning => self.adopt_spawning(run),
            Some(pid) => self.adopt_executed(run, pid, known.filter(|known| known.pid == pid), gap),
            None => self.adopt_ended(run, ExitStatus::Unknown),
        }
        for pid in &live.former {
            if let Some(status) = gap.status(*pid, None) {
                self.inputs.push_back(Input::Exited(run, *pid, status));
            }
        }
    }

    /// A run whose program was executed as this pid.
    fn adopt_executed(&mut self, run: RunId, pid: Pid, leader: Option<Identity>, gap: &mut Gap) {
        let started = leader.as_ref().map(|leader| leader.start_time);
        if let Some(status) = gap.status(pid, started) {
            return self.adopt_ended(run, status);
        }
        // Opened first, proved then: the pid cannot have changed hands in between.
        if let Ok(Some(fd)) = identity::open(pid)
            && self.is_still(run, pid, leader.as_ref())
        {
            self.led_by(run, pid);
            match self.follow_by(run, pid, fd) {
                Ok(()) => {
                    self.adopt_limits(run, pid);
                    self.watch_limits(run);
                    return self.inputs.push_back(Input::Adopted(run, Adoption::Alive(pid)));
                }
                Err(error) => self.warn(None, format!("cannot watch {pid}, which run {run} left: {error}")),
            }
        }
        let status = gap.news_until.and_then(|until| self.await_news(pid, started, (gap, until)));
        self.adopt_ended(run, status.unwrap_or(ExitStatus::Unknown));
    }

    /// Whether the process with this pid is the one that the run had: the very process that was written down, or else one in
    /// its tree.
    fn is_still(&self, run: RunId, pid: Pid, leader: Option<&Identity>) -> bool {
        match leader {
            Some(leader) => leader.holds(),
            None => self.runs.get(&run).is_some_and(|entry| entry.is_member(pid)),
        }
    }

    /// Has the tree know the group of its main process, which is signalled as one.
    fn led_by(&mut self, run: RunId, pid: Pid) {
        if let (Some(entry), Ok(group)) = (self.runs.get_mut(&run), process_group(pid.0))
            && let Some(held) = &mut entry.held
        {
            held.tree.lead_by_default(Pid(group));
        }
    }

    fn adopt_ended(&mut self, run: RunId, status: ExitStatus) {
        self.explain_end(run, status);
        let Some(entry) = self.runs.get_mut(&run) else { return };
        entry.exit = Some(status);
        let empty = entry.held.as_ref().is_none_or(Held::is_empty);
        entry.emptied = empty;
        let adoption = if empty { Adoption::Gone(status) } else { Adoption::LeaderGone(status) };
        self.inputs.push_back(Input::Adopted(run, adoption));
    }

    /// A run whose child was being made: it may have been executed, be on its way, or never have been made.
    fn adopt_spawning(&mut self, run: RunId) {
        let Some(entry) = self.runs.get_mut(&run) else { return };
        let members = entry.held.as_ref().and_then(|held| held.tree.members().ok()).unwrap_or_default();
        let executed: Vec<Pid> =
            members.iter().copied().filter(|pid| self.trees.was_executed(run, *pid).unwrap_or(false)).collect();
        // It began a session of its own before it was executed; what it started since is younger.
        let leader = executed
            .iter()
            .filter_map(|pid| Stat::of(*pid).ok().map(|stat| (stat, *pid)))
            .filter(|(stat, pid)| stat.session == pid.0)
            .min_by_key(|(stat, pid)| (stat.start_time, *pid))
            .map(|(_, pid)| pid);
        if let Some(pid) = leader
            && let Ok(Some(fd)) = identity::open(pid)
            && self.is_still(run, pid, None)
            && self.follow_by(run, pid, fd).is_ok()
        {
            if let (Some(held), Ok(leader)) =
                (self.runs.get_mut(&run).and_then(|entry| entry.held.as_mut()), Identity::of(pid))
            {
                held.tree.adopt_leader(leader);
            }
            self.record_leader(run);
            return self.inputs.push_back(Input::Adopted(run, Adoption::Alive(pid)));
        }
        if !executed.is_empty() {
            return self.adopt_ended(run, ExitStatus::Unknown);
        }
        // Whatever is there did not get to the program, and will not.
        if let Some(held) = self.runs.get_mut(&run).and_then(|entry| entry.held.take()) {
            let _ = held.tree.kill();
            if held.is_empty() {
                self.trash.push(held);
            } else {
                self.kill_stray(held);
            }
        }
        let error = SpawnError {
            step: SpawnStep::Clone,
            errno: Some(Errno::EAGAIN as i32),
            message: "the supervisor died while the child was being made".into(),
        };
        self.inputs.push_back(Input::SpawnFailed(run, error));
    }

    /// Waits for what the anchor must be about to tell.
    fn await_news(&mut self, pid: Pid, started: Option<u64>, gap: (&mut Gap, Instant)) -> Option<ExitStatus> {
        let (gap, end) = gap;
        let link = self.kept.as_ref().and_then(|kept| kept.link()).cloned()?;
        loop {
            while let Ok(Some(news)) = link.receive() {
                match news {
                    News::Ended(ended) => {
                        gap.ended.push(ended);
                        if let Some(kept) = &mut self.kept {
                            kept.forget(ended.pid);
                        }
                    }
                    // It says so again.
                    News::Gone => return None,
                    News::NotHeld(_) => {}
                }
            }
            if let Some(status) = gap.status(pid, started) {
                return Some(status);
            }
            let left = end.checked_duration_since(Instant::now())?;
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            poll(&mut [PollFd::new(link.as_fd(), PollFlags::POLLIN)], timeout).ok()?;
        }
    }

    fn restore_pidfile(&mut self, live: &LiveRun) {
        let Some(path) = live.spec.pidfile.as_ref().map(|path| self.surroundings.base.join(path)) else { return };
        let Some(place) = self.places.get_mut(&live.process) else { return };
        let file = PidFile::new(path);
        if live.main.is_some() {
            file.want(live.main);
        }
        place.pidfile = Some(file);
    }

    /// A file that the output of a process goes to is open.
    pub(super) fn log_opened(&mut self, process: ProcessId, file: LogFile) {
        let kept = self.kept.as_ref();
        let Some(place) = self.places.get_mut(&process) else { return };
        let set = place.log.set_file(Some(file), |fd| Engine::hold(kept, Key::staged(process), fd));
        if let Err(error) = set {
            self.warn(Some(process), format!("cannot go on writing its log file: {error}"));
        }
    }
}
