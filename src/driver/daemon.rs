//! A main process that is not the child: the daemon of a forking type, or one that was told by MAINPID. And pid files.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use super::contain::TreeKind;
use super::engine::{Engine, HelperDone};
use super::flight::RunChild;
use super::held::Held;
use super::identity::Identity;
use super::pidfile::PidFile;
use super::place::Place;
use super::sources::{Clock, Moment, Owner, Source, Token};
use super::{exit, identity, pidfile};
use crate::core::{ExitStatus, Input, Pid, ProcessId, RunId};
use crate::spec::ProcessType;
use crate::supervisor::Message;

/// Between two looks for a daemon.
const FIND_MAIN_FIRST: Duration = Duration::from_millis(20);
const FIND_MAIN_LAST: Duration = Duration::from_millis(500);
/// A process that is not our child may have been reaped by its parent a moment after it ended; asked so often, each time
/// after twice as long: a tenth of a second.
const STATUS_TRIES: u32 = 6;
/// The same where the anchor tells of it, which it does at once unless it was stopped: two seconds.
const NEWS_TRIES: u32 = 10;

/// A main process that is not the child.
pub(super) struct Main {
    pub pid: Pid,
    pub fd: OwnedFd,
    /// When it started, where that is known.
    start_time: Option<u64>,
    /// How it ended, when the anchor told so.
    pub told: Option<ExitStatus>,
    token: Token,
    tries: u32,
}

impl Main {
    /// Whether an end that the anchor tells of (0: the start time is not known) is this one's.
    pub fn is(&self, pid: Pid, start_time: u64) -> bool {
        self.pid == pid && (start_time == 0 || self.start_time.is_none_or(|own| own == start_time))
    }
}

/// The search for a forking type's daemon.
pub(super) struct Search {
    wait: Duration,
    /// The oldest process of the tree at the last look.
    candidate: Option<Pid>,
    reading: bool,
    /// Whether nothing is left that is known to be of the tree: then the pid file has the last word.
    last: bool,
}

impl Engine {
    /// The main process that is not our child ended.
    pub(super) fn main_event(&mut self, run: RunId) {
        self.ask_main(run, false);
    }

    /// How the main process that is not our child ended, asked once more or for the first time.
    pub(super) fn ask_main(&mut self, run: RunId, again: bool) {
        let tries = if self.awaits_news(run) { NEWS_TRIES } else { STATUS_TRIES };
        let later = self.kept.is_some();
        let Some(entry) = self.runs.get_mut(&run) else { return };
        let Some(main) = entry.main.as_mut() else { return };
        let asked = match main.told {
            Some(status) => Ok(Some(status)),
            None if later => exit::peek(main.fd.as_fd()),
            None => exit::reap(main.fd.as_fd()),
        };
        let (pid, status) = match asked {
            Ok(None) if main.tries == 0 => return,
            Ok(None | Some(ExitStatus::Unknown)) if main.tries < tries => {
                if main.tries > 0 && !again {
                    return;
                }
                // Its parent has yet to reap it; then the kernel tells the status to others, too.
                if main.tries == 0 {
                    self.poller.silence(&main.fd);
                }
                main.tries += 1;
                let wait = Duration::from_millis(1 << main.tries);
                self.clock.at(Clock::now().mono.after(wait), Moment::AskStatus(run));
                return;
            }
            Ok(Some(status)) => (main.pid, status),
            Ok(None) | Err(_) => (main.pid, ExitStatus::Unknown),
        };
        let ended = entry.main.take();
        entry.exit = Some(status);
        self.explain_end(run, status);
        self.inputs.push_back(Input::Exited(run, pid, status));
        if let Some(main) = ended {
            self.poller.remove(&main.fd, main.token);
            self.reap(main.fd);
        }
        self.look_again(Owner::Run(run));
    }

    /// Makes this process of the run's tree the one that is followed. Whether it could be proved to be in the tree.
    pub(super) fn follow(&mut self, run: RunId, pid: Pid) -> bool {
        let Some(entry) = self.runs.get(&run) else { return false };
        if matches!(&entry.child, RunChild::Alive(child, ..) if *child == pid) {
            self.stop_following(run);
            return true;
        }
        let Some(held) = &entry.held else { return false };
        // Opened first, proved then: the pid cannot have changed hands in between.
        let Ok(Some(fd)) = identity::open(pid) else { return false };
        let is_of_it = held.tree.contains(pid).unwrap_or(false) || self.is_daemon_of(run, pid);
        if !is_of_it || identity::has_ended(&fd).unwrap_or(true) || self.follow_by(run, pid, fd).is_err() {
            return false;
        }
        self.know_daemon(run, pid);
        true
    }

    /// Whether a process whose environment and session say nothing is a forking run's daemon: it can be, and is of no other.
    fn is_daemon_of(&self, run: RunId, pid: Pid) -> bool {
        let Some(entry) = self.runs.get(&run) else { return false };
        entry.spec.process_type == ProcessType::Forking
            && entry.held.as_ref().is_some_and(|held| held.tree.could_be_daemon(pid))
            && !self.runs.iter().any(|(other, entry)| *other != run && entry.is_member(pid))
    }

    /// Has the tree of a forking run know its daemon by itself: without a cgroup it may drop all else that it is known by.
    fn know_daemon(&mut self, run: RunId, pid: Pid) {
        let Some(entry) = self.runs.get_mut(&run) else { return };
        if entry.spec.process_type != ProcessType::Forking {
            return;
        }
        if let Some(held) = entry.held.as_mut().filter(|held| held.tree.kind() == TreeKind::Group)
            && let Ok(daemon) = Identity::of(pid)
        {
            held.tree.set_daemon(daemon.clone());
            self.record_daemon(run, daemon);
        }
    }

    /// Follows the process behind this pidfd, which is the run's main one.
    pub(super) fn follow_by(&mut self, run: RunId, pid: Pid, fd: OwnedFd) -> io::Result<()> {
        let token = self.poller.add(&fd, Source::Main(run))?;
        self.stop_following(run);
        // Only the anchor is told by it which of two processes with the same pid ended.
        let start_time = self.kept.as_ref().and_then(|_| identity::Stat::of(pid).ok()).map(|stat| stat.start_time);
        if let Some(entry) = self.runs.get_mut(&run) {
            entry.main = Some(Main { pid, fd, start_time, told: None, token, tries: 0 });
        }
        Ok(())
    }

    pub(super) fn stop_following(&mut self, run: RunId) {
        if let Some(main) = self.runs.get_mut(&run).and_then(|entry| entry.main.take()) {
            self.poller.remove(&main.fd, main.token);
        }
    }

    /// The main process has ended, whatever can be learned of how: where the anchor will tell, that is waited for.
    pub(super) fn main_gone(&mut self, run: RunId) {
        if !self.awaits_news(run)
            && let Some(main) = self.runs.get_mut(&run).and_then(|entry| entry.main.as_mut())
        {
            main.tries = STATUS_TRIES;
        }
        self.main_event(run);
    }

    /// Has the pid file of a process that does not write it itself say this; a daemon's own is noted as being there.
    pub(super) fn write_pidfile(&mut self, run: RunId, pid: Pid) {
        let Some(entry) = self.runs.get(&run) else { return };
        let Some(file) = self.places.get(&entry.process).and_then(|place| place.pidfile.clone()) else { return };
        file.want(Some(pid));
        if entry.spec.process_type != ProcessType::Forking {
            self.sync_pidfile(entry.process, file);
        }
    }

    /// Has the pid file be gone, if it was this run's.
    pub(super) fn remove_pidfile(&mut self, run: RunId) {
        let Some(entry) = self.runs.get(&run) else { return };
        let Some(file) = self.places.get(&entry.process).and_then(|place| place.pidfile.clone()) else { return };
        if file.want(None).is_some() {
            self.sync_pidfile(entry.process, file);
        }
    }

    fn sync_pidfile(&self, process: ProcessId, file: PidFile) {
        let shared = self.shared.clone();
        let _ = self.pool.run(move || {
            // The process runs all the same: whoever needs the file will miss it.
            if let Err(warning) = file.sync() {
                let _ = shared.mailbox.post(Message::Input(Input::Warning(Some(process), warning)));
            }
        });
    }

    pub(super) fn begin_find_main(&mut self, run: RunId) {
        if let Some(entry) = self.runs.get_mut(&run) {
            entry.search = Some(Search { wait: FIND_MAIN_FIRST, candidate: None, reading: false, last: false });
            // So that the end of all that is left ends the search.
            self.look(Owner::Run(run));
            self.find_main(run);
        }
    }

    /// Looks for the daemon of a forking type, by its pid file or as the oldest process that is left.
    pub(super) fn find_main(&mut self, run: RunId) {
        let Some(entry) = self.runs.get_mut(&run) else { return };
        let Some(search) = entry.search.as_mut() else { return };
        let empty = entry.held.as_ref().is_none_or(Held::is_empty);
        let by_file =
            entry.spec.pidfile.is_some() && entry.held.as_ref().is_some_and(|held| held.tree.kind() == TreeKind::Group);
        if !empty {
            search.last = false;
        } else if by_file && !search.last {
            search.last = true;
        } else if !search.reading {
            entry.search = None;
            let reason = match &entry.spec.pidfile {
                Some(path) => format!("nothing of it was left, and `{path}` names no process of it"),
                None => "nothing of it was left when its parent ended".into(),
            };
            self.inputs.push_back(Input::MainNotFound(run, reason));
            return;
        }
        if entry.spec.pidfile.is_some() {
            if search.reading {
                return;
            }
            search.reading = true;
            self.read_pidfile(run);
            return;
        }
        let oldest = entry.held.as_ref().and_then(oldest);
        let settled = oldest.is_some() && oldest == search.candidate;
        search.candidate = oldest;
        if settled
            && let Some(pid) = oldest
            && self.follow(run, pid)
        {
            return self.found_main(run, pid);
        }
        // A daemon that forks twice is still on its way: whoever is the oldest twice in a row is taken.
        self.search_again(run);
    }

    fn search_again(&mut self, run: RunId) {
        let Some(search) = self.runs.get_mut(&run).and_then(|entry| entry.search.as_mut()) else { return };
        let wait = search.wait;
        search.wait = (wait * 2).min(FIND_MAIN_LAST);
        self.clock.at(Clock::now().mono.after(wait), Moment::FindMain(run));
    }

    fn read_pidfile(&mut self, run: RunId) {
        let Some(entry) = self.runs.get(&run) else { return };
        let Some(path) = self.places.get(&entry.process).and_then(Place::pidfile_path) else { return };
        let shared = self.shared.clone();
        let job = move || {
            let _ = shared.mailbox.post(Message::Helper(HelperDone::PidRead(run, pidfile::read(&path))));
        };
        if self.pool.run(job).is_err() {
            self.pid_read(run, Ok(None));
        }
    }

    pub(super) fn pid_read(&mut self, run: RunId, result: io::Result<Option<Pid>>) {
        let Some(search) = self.runs.get_mut(&run).and_then(|entry| entry.search.as_mut()) else { return };
        search.reading = false;
        // A pid that is no process of the tree is an old one, or a lie: the file may yet be written anew.
        let last = search.last;
        match result {
            Ok(Some(pid)) if self.follow(run, pid) => self.found_main(run, pid),
            _ if last => self.find_main(run),
            _ => self.search_again(run),
        }
    }

    fn found_main(&mut self, run: RunId, pid: Pid) {
        if let Some(entry) = self.runs.get_mut(&run) {
            entry.search = None;
            if let Some(held) = entry.held.as_mut() {
                held.let_go(&mut self.poller);
            }
            self.inputs.push_back(Input::MainFound(run, pid));
            self.write_pidfile(run, pid);
        }
    }
}

fn oldest(held: &Held) -> Option<Pid> {
    let members = held.tree.members().ok()?;
    members
        .into_iter()
        .filter_map(|pid| identity::Stat::of(pid).ok().map(|stat| (stat.start_time, pid)))
        .min()
        .map(|(_, pid)| pid)
}
