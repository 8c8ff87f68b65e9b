//! What lets an engine outlive its own death: the ledger that it writes, and the anchor that holds what would die with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::contain::Trees;
use super::engine::Engine;
use super::exit;
use super::host::{AnchorState, HostReport, LedgerState};
use super::identity::Identity;
use super::instance::Instance;
use super::run::Run;
use super::sources::Source;
use super::sys::fault::{self, Call};
use crate::anchor::{Ended, Inheritance, Key, Link, News};
use crate::core::{Input, Machine, Output, Pid, ProcessId, RecordKey, RunId, SnapshotError};
use crate::ledger::Ledger;
use crate::spec::StopMode;

/// Where what the machine and the driver know is written down.
pub trait Store {
    /// Writes these records, all or none: a key with its bytes, or without any when it is gone.
    ///
    /// # Errors
    /// They could not be written; they will come again with the next ones.
    fn write(&mut self, batch: &[(RecordKey, Option<Vec<u8>>)]) -> io::Result<()>;
}

impl Store for Ledger {
    fn write(&mut self, batch: &[(RecordKey, Option<Vec<u8>>)]) -> io::Result<()> {
        Ledger::write(self, batch)
    }
}

/// What an engine is given so that its successor can go on where it stopped. Without one, its children's fate is that of
/// any program's children.
pub struct Keep {
    /// Where to write.
    pub store: Box<dyn Store + Send>,
    /// What the one before wrote.
    pub records: Vec<(RecordKey, Vec<u8>)>,
    /// The anchor, where there is one.
    pub link: Option<Link>,
    /// What the anchor kept.
    pub inheritance: Inheritance,
    /// A name that nobody else on this machine has while it is ours: trees that carry it and are in no record are killed.
    pub instance: String,
}

impl Keep {
    /// One without an anchor: adopted processes' statuses are learnt where the kernel tells them.
    pub fn alone(store: Box<dyn Store + Send>, records: Vec<(RecordKey, Vec<u8>)>, instance: &str) -> Self {
        let (held, missing, ended) = Default::default();
        let inheritance = Inheritance { held, missing, ended, lives: 1, anchor: Pid(0), upgrade: None };
        Keep { store, records, link: None, inheritance, instance: instance.to_owned() }
    }

    /// The machine that was, if there was one.
    pub(crate) fn machine(&self) -> Result<Option<Machine>, SnapshotError> {
        let machines = || self.records.iter().filter(|(key, _)| !matches!(key, RecordKey::Driver(_)));
        if machines().next().is_none() {
            return Ok(None);
        }
        Machine::from_records(machines().cloned()).map(Some)
    }

    /// What each part of the engine is given of it. `refused` says why there are to be no cgroups.
    pub(crate) fn unpack(self, refused: Option<&str>) -> (Trees, Kept, Heritage) {
        let (mut leaders, mut daemons, mut left) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        let mut epoch = None;
        for (key, bytes) in &self.records {
            match key {
                RecordKey::Driver(EPOCH) => epoch = serde_json::from_slice(bytes).ok(),
                RecordKey::Driver(run) => match serde_json::from_slice(bytes) {
                    Ok(Note::Leader(leader)) => drop(leaders.insert(RunId(*run), leader)),
                    Ok(Note::Daemon(daemon)) => drop(daemons.insert(RunId(*run), daemon)),
                    Ok(Note::Left) => drop(left.insert(RunId(*run))),
                    // One that cannot be read proves nothing; the tree may.
                    Err(_) => {}
                },
                _ => {}
            }
        }
        let mut kept = Kept::new(self.store, self.link, self.inheritance.anchor);
        let epoch = epoch.unwrap_or_else(|| {
            let epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
            kept.record(EPOCH, serde_json::to_vec(&epoch).ok());
            epoch
        });
        let anchor = kept.link().map(|_| kept.anchor);
        let instance = Arc::new(Instance::new(&self.instance, epoch, anchor));
        let trees = Trees::for_instance(&self.instance, instance, refused);
        (trees, kept, Heritage { inheritance: self.inheritance, leaders, daemons, left })
    }
}

impl fmt::Debug for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keep").field("instance", &self.instance).finish_non_exhaustive()
    }
}

/// The record that tells one ledger from another: runs are counted from one.
const EPOCH: u64 = 0;

/// What a predecessor left, beside the machine.
pub(crate) struct Heritage {
    pub(super) inheritance: Inheritance,
    /// Who led the trees of runs, where that was written down.
    pub(super) leaders: BTreeMap<RunId, Identity>,
    /// The daemons of forking runs, likewise.
    pub(super) daemons: BTreeMap<RunId, Identity>,
    /// Runs that are over, and left something behind that is to be left alone.
    pub(super) left: BTreeSet<RunId>,
}

/// What the driver writes down of a run.
#[derive(Serialize, Deserialize)]
enum Note {
    /// Who leads its tree.
    Leader(Identity),
    /// Its daemon, once the leader has ended.
    Daemon(Identity),
    /// It is over. What is left of its tree is nobody's business: its stop mode is `process`.
    Left,
}

/// The engine's side of it.
pub(crate) struct Kept {
    store: Box<dyn Store + Send>,
    link: Option<Link>,
    anchor: Pid,
    /// What is to be written next; after a failure also what was to be written before.
    batch: Vec<(RecordKey, Option<Vec<u8>>)>,
    /// Whether the last write failed.
    failing: bool,
    /// Children that have ended and been told of: zombies until that is written.
    ended: Vec<OwnedFd>,
    /// Processes whose awaited line was printed.
    pub heard: Vec<ProcessId>,
    /// Ends that the anchor remembers until they are written.
    told: Vec<Pid>,
}

impl Kept {
    fn new(store: Box<dyn Store + Send>, link: Option<Link>, anchor: Pid) -> Self {
        Kept {
            store,
            link,
            anchor,
            batch: Vec::new(),
            failing: false,
            ended: Vec::new(),
            heard: Vec::new(),
            told: Vec::new(),
        }
    }

    /// What holds and what does not, as far as it is known at the start.
    pub(crate) fn report(&self, host: &mut HostReport) {
        host.anchor = if self.link.is_some() { AnchorState::Alive(self.anchor) } else { AnchorState::None };
        host.ledger = LedgerState::Written;
    }

    /// Has the anchor forget an end that it told of, once that is written.
    pub fn forget(&mut self, pid: Pid) {
        self.told.push(pid);
    }

    /// The anchor, while it lives.
    pub fn link(&self) -> Option<&Link> {
        self.link.as_ref()
    }

    /// Has a record of the driver's own written next.
    pub fn record(&mut self, number: u64, bytes: Option<Vec<u8>>) {
        self.batch.push((RecordKey::Driver(number), bytes));
    }

    fn write(&mut self) -> io::Result<()> {
        fault::point(Call::Ledger)?;
        self.store.write(&self.batch)?;
        self.batch.clear();
        fault::point(Call::Written)
    }
}

/// Whether this does something to the world that a successor must know of. What only looks or prepares does not: it is
/// done again.
pub(super) fn acts(output: &Output) -> bool {
    matches!(
        output,
        Output::Spawn(_)
            | Output::Signal { .. }
            | Output::KillTree(_)
            | Output::RunHook { .. }
            | Output::Finished { .. }
    )
}

impl Engine {
    /// Writes down what changed. Without a ledger, and when nothing did, this is nothing.
    pub(super) fn write_down(&mut self) {
        let Some(kept) = &mut self.kept else { return };
        if !self.machine.has_changes() && (kept.batch.is_empty() || kept.failing) {
            return;
        }
        self.machine.write_changes(&mut |key, bytes| kept.batch.push((key, bytes.map(<[u8]>::to_vec))));
        if kept.batch.is_empty() {
            return;
        }
        let warning = match (kept.write(), kept.failing) {
            (Ok(()), false) => return,
            (Ok(()), true) => {
                kept.failing = false;
                "the ledger is written again".to_owned()
            }
            (Err(error), before) => {
                kept.failing = true;
                // Only the last of each is needed when it works again.
                kept.batch = kept.batch.drain(..).collect::<BTreeMap<_, _>>().into_iter().collect();
                if before {
                    return;
                }
                format!(
                    "the ledger cannot be written: {error}; supervision goes on, but a supervisor that has to take over \
                     now would know less"
                )
            }
        };
        self.shared.host().ledger =
            if kept.failing { LedgerState::Failing(warning.clone()) } else { LedgerState::Written };
        self.inputs.push_back(Input::Warning(None, warning));
    }

    /// Lets go of children that have ended: their ends are written by now.
    pub(super) fn let_go_of_the_ended(&mut self) {
        let Some(kept) = &mut self.kept else { return };
        if !self.inputs.is_empty() {
            return;
        }
        for pidfd in kept.ended.drain(..) {
            let _ = exit::reap(pidfd.as_fd());
        }
        for process in kept.heard.drain(..) {
            if let Some(place) = self.places.get(&process) {
                place.log.heard();
            }
        }
        for pid in kept.told.drain(..) {
            if let Some(link) = &kept.link {
                link.forget(pid);
            }
        }
    }

    /// Whether a successor would know all that we know.
    pub(super) fn is_written_down(&mut self) -> bool {
        if let Some(kept) = &mut self.kept
            && kept.failing
        {
            // Whatever is the matter, it may be over.
            kept.failing = kept.write().is_err();
        }
        self.kept.as_ref().is_some_and(|kept| !kept.failing)
    }

    /// Has the record of a run's leader written, where its tree depends on who that is.
    pub(super) fn record_leader(&mut self, run: RunId) {
        let (Some(kept), Some(entry)) = (&mut self.kept, self.runs.get_mut(&run)) else { return };
        let Some(leader) = entry.held.as_ref().and_then(|held| held.tree.leader_identity()) else { return };
        entry.recorded = true;
        kept.record(run.0, serde_json::to_vec(&Note::Leader(leader.clone())).ok());
    }

    /// Has the record of a forking run's daemon written.
    pub(super) fn record_daemon(&mut self, run: RunId, daemon: Identity) {
        let (Some(kept), Some(entry)) = (&mut self.kept, self.runs.get_mut(&run)) else { return };
        entry.recorded = true;
        kept.record(run.0, serde_json::to_vec(&Note::Daemon(daemon)).ok());
    }

    /// Has it written that a run is over: its record goes, or says that its tree is to be left alone.
    pub(super) fn record_end(&mut self, run: RunId, entry: &Run) {
        let Some(kept) = &mut self.kept else { return };
        let leaves = entry.spec.stop.mode == StopMode::Process
            && !entry.emptied
            && entry.held.as_ref().is_some_and(|held| !held.is_empty());
        if leaves {
            kept.record(run.0, serde_json::to_vec(&Note::Left).ok());
        } else if entry.recorded {
            kept.record(run.0, None);
        }
    }

    /// Forgets what was left behind by a run, now that nothing of it is there.
    pub(super) fn record_nothing_left(&mut self, run: RunId) {
        if let Some(kept) = &mut self.kept {
            kept.record(run.0, None);
        }
    }

    /// Lets go of a child that has ended, once that is written.
    pub(super) fn reap(&mut self, pidfd: OwnedFd) {
        match &mut self.kept {
            Some(kept) => kept.ended.push(pidfd),
            None => drop(exit::reap(pidfd.as_fd())),
        }
    }

    /// Has the anchor hold a descriptor that must not close with us.
    pub(super) fn hold(kept: Option<&Kept>, key: Key, fd: impl AsFd) {
        if let Some(link) = kept.and_then(Kept::link) {
            // Without it a child may die of a broken pipe when we die; that is no reason not to start it.
            let _ = fault::point(Call::Hold).and_then(|()| link.hold(key, fd.as_fd()));
        }
    }

    /// The anchor need not hold this any more.
    pub(super) fn let_go_of(&self, key: Key) {
        if let Some(link) = self.kept.as_ref().and_then(Kept::link) {
            link.let_go(key);
        }
    }

    /// The anchor need not hold a process's descriptors any more.
    pub(super) fn let_go(&self, process: ProcessId) {
        if let Some(link) = self.kept.as_ref().and_then(Kept::link) {
            let keys = [Key::stdout(process), Key::stderr(process), Key::staged(process), Key::notify(process)];
            for key in keys {
                link.let_go(key);
            }
        }
    }

    /// The anchor has news.
    pub(super) fn anchor_event(&mut self) {
        loop {
            let Some(link) = self.kept.as_ref().and_then(Kept::link) else { return };
            match link.receive() {
                Ok(None) => return,
                Ok(Some(News::Ended(ended))) => self.ended_elsewhere(ended),
                Ok(Some(News::NotHeld(_))) => {
                    let warning = "the anchor could not take a descriptor: what a process prints while the supervisor \
                                   is away may be lost";
                    self.inputs.push_back(Input::Warning(None, warning.into()));
                }
                Ok(Some(News::Gone)) | Err(_) => return self.anchor_is_gone(),
            }
        }
    }

    fn ended_elsewhere(&mut self, ended: Ended) {
        let run = self.runs.iter_mut().find_map(|(run, entry)| {
            let main = entry.main.as_mut().filter(|main| main.is(ended.pid, ended.start_time))?;
            main.told = Some(ended.status);
            Some(*run)
        });
        if let Some(kept) = &mut self.kept {
            kept.forget(ended.pid);
        }
        if let Some(run) = run {
            self.main_event(run);
        }
    }

    fn anchor_is_gone(&mut self) {
        let Some(kept) = &mut self.kept else { return };
        if let Some(link) = kept.link.take() {
            self.poller.silence(&link);
        }
        self.trees.anchor_is_gone();
        self.shared.host().anchor = AnchorState::Gone;
        let warning = "the anchor is gone: supervision goes on, but nothing would take it over if this supervisor died";
        self.inputs.push_back(Input::Warning(None, warning.into()));
    }

    /// Has the anchor's news wake us.
    pub(super) fn watch_anchor(&mut self) -> io::Result<()> {
        match self.kept.as_ref().and_then(Kept::link) {
            Some(link) => self.poller.add(link, Source::Anchor).map(drop),
            None => Ok(()),
        }
    }

    /// Whether the end of a run's main process is the anchor's to tell.
    pub(super) fn awaits_news(&self, run: RunId) -> bool {
        self.runs.get(&run).is_some_and(|entry| entry.adopted)
            && self.kept.as_ref().is_some_and(|kept| kept.link.is_some())
    }
}
