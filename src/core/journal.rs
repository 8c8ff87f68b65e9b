//! The machine as records, and back: what a supervisor's successor goes on from.
//!
//! There is one record for the instance, one for each process, and one for each spec that a process refers to, by number.
//! Every record is JSON with the format's version; after each input only those that changed are written. Names, runs and
//! timers are derived from the processes. Who waits for an answer is not recorded: clients do not outlive the supervisor.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::ids::ProcessId;
use super::machine::{INSTANCE, Machine, Mode, Settings};
use super::process::{Alarm, Origin, Process, Rest, State};
use super::rng::Rng;
use super::shared::Shared;
use super::table::{Gone, Table};
use super::time::Now;
use super::timers::Deadlines;
use crate::spec::Spec;
use crate::spec::stored::{Stored, StoredRef};

/// The format's version. A reader refuses what is newer than it, and reads what is older by defaults.
pub const SNAPSHOT_VERSION: u32 = 1;

/// Run ids go on this much later after a restore, so that none is used twice even if the last records were lost.
const RUN_JUMP: u64 = 1_000;

/// No machine comes to higher numbers than this.
const MOST_NUMBER: u64 = 1 << 60;

/// What a record is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordKey {
    /// The instance as a whole.
    Instance,
    /// A spec, by its number.
    Spec(u64),
    /// A process.
    Process(ProcessId),
    /// The driver's own; the machine neither writes nor reads it.
    Driver(u64),
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordKey::Instance => f.write_str("the instance"),
            RecordKey::Spec(number) => write!(f, "spec {number}"),
            RecordKey::Process(id) => write!(f, "process {id}"),
            RecordKey::Driver(key) => write!(f, "the driver's {key}"),
        }
    }
}

/// Why records cannot be gone on from.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// They were written by a newer version.
    #[error(
        "the record of {key} has format {found}, and this version reads up to {SNAPSHOT_VERSION}; use the version that wrote it"
    )]
    Newer {
        /// The record.
        key: RecordKey,
        /// The format found.
        found: u32,
    },
    /// They are torn, or contradict each other, or are no records at all.
    #[error("the records cannot be gone on from: {0}")]
    Damaged(String),
}

/// What is recorded of the instance as a whole. It changes with nearly every input, so it is small.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Instance {
    /// Ids of processes that were ever used.
    places: u64,
    next_run: u64,
    next_event: u64,
    rng: Rng,
    mode: Mode,
    #[serde(default)]
    generation: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shutdown_timeout: Option<Duration>,
    #[serde(default)]
    deadlines: Deadlines,
    now: Now,
}

#[derive(Serialize)]
struct Written<T> {
    v: u32,
    is: T,
}

#[derive(Deserialize)]
struct Version {
    v: u32,
}

#[derive(Deserialize)]
struct Read<T> {
    is: T,
}

impl Machine {
    /// Whether [`write_changes`](Machine::write_changes) has anything to write. It always has for a machine that was never written.
    pub fn has_changes(&self) -> bool {
        self.processes.has_changes() || self.instance_changed().is_some()
    }

    /// Gives every record that changed since the last call, and `None` for every one that is gone. Together with those
    /// given before they are what [`from_records`](Machine::from_records) goes on from; none may be lost or kept back.
    ///
    /// To be called after each [`handle`](Machine::handle) (or several) and before any output that acts on the world is carried out: then a
    /// successor asks again for what was not done, and nothing was done that it does not know of.
    pub fn write_changes(&mut self, write: &mut dyn FnMut(RecordKey, Option<&[u8]>)) {
        let (changed, gone) = self.processes.take_changes();
        for gone in gone {
            match gone {
                Gone::Process(id) => write(RecordKey::Process(id), None),
                Gone::Spec(number) => write(RecordKey::Spec(number), None),
            }
        }
        let mut bytes = Vec::with_capacity(1_024);
        for id in changed {
            let Some(place) = self.processes.record(id) else { continue };
            let specs = specs_of(&place.process);
            for spec in specs.iter().filter(|spec| !place.recorded.contains(&spec.number)) {
                write(RecordKey::Spec(spec.number), Some(encode(&mut bytes, StoredRef(spec))));
            }
            write(RecordKey::Process(id), Some(encode(&mut bytes, &place.process)));
            let numbers: Vec<u64> = specs.iter().map(|spec| spec.number).collect();
            for number in place.recorded.iter().filter(|number| !numbers.contains(number)) {
                write(RecordKey::Spec(*number), None);
            }
            place.recorded = numbers;
        }
        if let Some(instance) = self.instance_changed() {
            write(RecordKey::Instance, Some(encode(&mut bytes, &instance)));
            self.recorded = Some(instance);
        }
    }

    /// Every record, as a machine that was never written would give them.
    pub fn records(&self) -> BTreeMap<RecordKey, Vec<u8>> {
        let mut bytes = Vec::new();
        let mut records = BTreeMap::new();
        for p in self.processes.iter() {
            for spec in specs_of(p) {
                records.insert(RecordKey::Spec(spec.number), encode(&mut bytes, StoredRef(spec)).to_vec());
            }
            records.insert(RecordKey::Process(p.id), encode(&mut bytes, p).to_vec());
        }
        let instance = self.recorded.as_ref().filter(|_| self.instance_changed().is_none());
        let instance = instance.cloned().unwrap_or_else(|| self.instance());
        records.insert(RecordKey::Instance, encode(&mut bytes, &instance).to_vec());
        records
    }

    /// The machine that wrote these records, as its successor goes on with it: nobody waits for an answer any more, and
    /// run ids go on a thousand later. Only records that changed are written from now on.
    ///
    /// Then, once everything that belongs to no [live run](Machine::live_runs) is killed: [`resume`](Machine::resume), and an
    /// [`Input::Adopted`](super::Input::Adopted) for each live run before any other input.
    pub fn from_records(records: impl IntoIterator<Item = (RecordKey, Vec<u8>)>) -> Result<Machine, SnapshotError> {
        let mut machine = Machine::read(records)?;
        machine.next_run = machine.next_run.saturating_add(RUN_JUMP);
        Ok(machine)
    }

    /// The machine that wrote these records, as it was.
    pub(crate) fn read(records: impl IntoIterator<Item = (RecordKey, Vec<u8>)>) -> Result<Machine, SnapshotError> {
        let (mut specs, mut processes, mut instance) = (BTreeMap::new(), BTreeMap::new(), None);
        for (key, bytes) in records {
            match key {
                RecordKey::Instance => instance = Some(decode::<Instance>(key, &bytes)?),
                RecordKey::Spec(number) => {
                    let Stored(spec) = decode(key, &bytes)?;
                    specs.insert(number, Arc::new(spec));
                }
                RecordKey::Process(id) => {
                    let process: Process = decode(key, &bytes)?;
                    if process.id != id {
                        return damaged(format!("the record of {key} is {}'s", process.id));
                    }
                    processes.insert(id, process);
                }
                RecordKey::Driver(_) => {}
            }
        }
        let Some(instance) = instance else { return damaged("there is no record of the instance".into()) };
        let machine = Machine::assemble(instance, &specs, processes.into_values().collect())?;
        match machine.check() {
            Ok(()) => Ok(machine),
            Err(violation) => damaged(violation.to_string()),
        }
    }

    fn assemble(
        instance: Instance,
        specs: &BTreeMap<u64, Arc<Spec>>,
        read: Vec<Process>,
    ) -> Result<Machine, SnapshotError> {
        let mut machine = Machine::new(Settings { seed: 0, shutdown_timeout: instance.shutdown_timeout });
        let mut processes = Vec::with_capacity(read.len());
        let mut unused: BTreeSet<u64> = specs.keys().copied().collect();
        for mut p in read {
            let name = p.name.clone();
            for spec in specs_of_mut(&mut p) {
                if !spec.resolve(|number| specs.get(&number).cloned()) {
                    return damaged(format!("`{name}` refers to spec {}, which has no record", spec.number));
                }
            }
            if *p.name != *p.spec.name {
                return damaged(format!("`{}` has the spec of `{}`", p.name, p.spec.name));
            }
            machine.names.insert(p.name.clone(), p.id);
            machine.timers.restore(&p.deadlines, p.id);
            let run = match &p.state {
                State::Rest(Rest { alarm, .. }) => alarm.as_ref().map(|alarm| alarm.run),
                state => state.run().map(|run| run.id),
            };
            machine.runs.extend(run.map(|run| (run, p.id)));
            let numbers: Vec<u64> = specs_of(&p).iter().map(|spec| spec.number).collect();
            for number in &numbers {
                unused.remove(number);
            }
            processes.push((p, numbers));
        }
        let last_run = machine.runs.keys().next_back().map_or(0, |run| run.0);
        if last_run >= instance.next_run
            || instance.next_run.max(instance.next_event).max(instance.places) > MOST_NUMBER
        {
            let (run, event) = (instance.next_run, instance.next_event);
            return damaged(format!("run r{last_run} lives, the next is to be r{run}, the next event {event}"));
        }
        machine.next_spec = specs.keys().next_back().map_or(1, |number| number.saturating_add(1));
        let gone = unused.into_iter().map(Gone::Spec).collect();
        machine.processes = Table::recorded(instance.places, processes, gone).map_err(SnapshotError::Damaged)?;
        machine.timers.restore(&instance.deadlines, INSTANCE);
        machine.deadlines = instance.deadlines.clone();
        machine.now = instance.now;
        machine.rng = instance.rng.clone();
        machine.next_run = instance.next_run;
        machine.next_event = instance.next_event;
        machine.mode = instance.mode.clone();
        machine.generation = instance.generation;
        machine.recorded = Some(instance);
        Ok(machine)
    }

    fn instance(&self) -> Instance {
        let mode = match &self.mode {
            Mode::ShuttingDown { code, .. } => Mode::ShuttingDown { waiting: Vec::new(), code: *code },
            mode => mode.clone(),
        };
        Instance {
            places: self.processes.used(),
            next_run: self.next_run,
            next_event: self.next_event,
            rng: self.rng.clone(),
            mode,
            generation: self.generation,
            shutdown_timeout: self.shutdown_timeout,
            deadlines: self.deadlines.clone(),
            now: self.now,
        }
    }

    /// What is to be recorded of the instance. That time has passed alone is not.
    fn instance_changed(&self) -> Option<Instance> {
        let instance = self.instance();
        let same = self
            .recorded
            .as_ref()
            .is_some_and(|recorded| *recorded == Instance { now: recorded.now, ..instance.clone() });
        (!same).then_some(instance)
    }
}

/// The specs that a process refers to, each once.
fn specs_of(p: &Process) -> Vec<&Shared> {
    let replaced = match &p.origin {
        Origin::Plan { replaced } => replaced.as_ref(),
        Origin::Runtime | Origin::Instance { .. } | Origin::Leaving => None,
    };
    let lived = match &p.state {
        State::Rest(Rest { alarm, .. }) => alarm.as_ref().map(|alarm| &alarm.spec),
        state => state.run().map(|run| &run.spec),
    };
    let mut specs = vec![&p.spec];
    for spec in replaced.into_iter().chain(lived) {
        if specs.iter().all(|other| other.number != spec.number) {
            specs.push(spec);
        }
    }
    specs
}

fn specs_of_mut(p: &mut Process) -> impl Iterator<Item = &mut Shared> {
    let replaced = match &mut p.origin {
        Origin::Plan { replaced } => replaced.as_mut(),
        Origin::Runtime | Origin::Instance { .. } | Origin::Leaving => None,
    };
    let lived = match &mut p.state {
        State::Rest(Rest { alarm: Some(Alarm { spec, .. }), .. }) => Some(spec),
        state => state.run_mut().map(|run| &mut run.spec),
    };
    [Some(&mut p.spec), replaced, lived].into_iter().flatten()
}

/// Writes a record into the buffer, and gives it.
fn encode<T: Serialize>(bytes: &mut Vec<u8>, what: T) -> &[u8] {
    bytes.clear();
    // Writing plain data to memory cannot fail: every map has string keys.
    let _ = serde_json::to_writer(&mut *bytes, &Written { v: SNAPSHOT_VERSION, is: what });
    bytes
}

fn decode<T: DeserializeOwned>(key: RecordKey, bytes: &[u8]) -> Result<T, SnapshotError> {
    let torn =
        |error: serde_json::Error| SnapshotError::Damaged(format!("the record of {key} cannot be read: {error}"));
    let Version { v } = serde_json::from_slice(bytes).map_err(torn)?;
    if v > SNAPSHOT_VERSION {
        return Err(SnapshotError::Newer { key, found: v });
    }
    let Read { is } = serde_json::from_slice(bytes).map_err(torn)?;
    Ok(is)
}

fn damaged<T>(what: String) -> Result<T, SnapshotError> {
    Err(SnapshotError::Damaged(what))
}
