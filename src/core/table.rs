//! The processes, by a place that is never used twice; and which of them changed since they were last recorded.

use super::ids::ProcessId;
use super::process::Process;

/// A vector of places; a deleted process leaves its place empty for good.
#[derive(Debug, Default)]
pub(super) struct Table {
    places: Vec<Option<Box<Place>>>,
    taken: usize,
    changes: Changes,
}

/// A process, and what is recorded of it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) process: Process,
    /// Whether it is among the changes already.
    changed: bool,
    /// Numbers of the specs that its record refers to.
    pub(super) recorded: Vec<u64>,
}

/// What the records do not say yet.
#[derive(Debug, Default)]
enum Changes {
    /// Nothing was recorded ever: there may be nobody who records.
    #[default]
    All,
    /// These.
    Some { changed: Vec<ProcessId>, gone: Vec<Gone> },
}

/// What has to be taken out of the records.
#[derive(Debug)]
pub(super) enum Gone {
    Process(ProcessId),
    Spec(u64),
}

/// More places than this are a damaged record, not a machine.
const MOST: u64 = 1 << 26;

impl Table {
    pub(super) fn next_id(&self) -> ProcessId {
        ProcessId(self.places.len() as u64)
    }

    pub(super) fn push(&mut self, process: Process) {
        let id = process.id;
        self.places.push(Some(Box::new(Place { process, changed: false, recorded: Vec::new() })));
        self.taken += 1;
        self.get_mut(id);
    }

    pub(super) fn remove(&mut self, id: ProcessId) -> Option<Process> {
        let removed = self.places.get_mut(place(id)?)?.take()?;
        self.taken -= 1;
        if let Changes::Some { gone, .. } = &mut self.changes
            && !removed.recorded.is_empty()
        {
            gone.push(Gone::Process(id));
            gone.extend(removed.recorded.iter().map(|number| Gone::Spec(*number)));
        }
        Some(removed.process)
    }

    pub(super) fn get(&self, id: ProcessId) -> Option<&Process> {
        self.places.get(place(id)?)?.as_deref().map(|place| &place.process)
    }

    /// The process, to be changed: it counts as changed from then on.
    pub(super) fn get_mut(&mut self, id: ProcessId) -> Option<&mut Process> {
        let place = self.places.get_mut(place(id)?)?.as_deref_mut()?;
        if let Changes::Some { changed, .. } = &mut self.changes
            && !std::mem::replace(&mut place.changed, true)
        {
            changed.push(id);
        }
        Some(&mut place.process)
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Process> + Clone {
        self.places.iter().filter_map(|place| place.as_deref().map(|place| &place.process))
    }

    pub(super) fn ids(&self) -> Vec<ProcessId> {
        self.iter().map(|p| p.id).collect()
    }

    /// How many processes there are.
    pub(super) fn len(&self) -> usize {
        self.taken
    }

    /// How many places were ever taken.
    pub(super) fn places(&self) -> u64 {
        self.places.len() as u64
    }

    // What is recorded.

    /// Whether the records lack anything.
    pub(super) fn has_changes(&self) -> bool {
        match &self.changes {
            Changes::All => true,
            Changes::Some { changed, gone } => !changed.is_empty() || !gone.is_empty(),
        }
    }

    /// What is to be recorded, and what to be taken out of the records. From now on nothing is.
    pub(super) fn take_changes(&mut self) -> (Vec<ProcessId>, Vec<Gone>) {
        let none = Changes::Some { changed: Vec::new(), gone: Vec::new() };
        match std::mem::replace(&mut self.changes, none) {
            Changes::All => (self.ids(), Vec::new()),
            Changes::Some { changed, gone } => (changed, gone),
        }
    }

    /// The place of a process that is being recorded.
    pub(super) fn record(&mut self, id: ProcessId) -> Option<&mut Place> {
        let place = self.places.get_mut(place(id)?)?.as_deref_mut()?;
        place.changed = false;
        Some(place)
    }

    /// The table of these processes, which are recorded with the specs of these numbers.
    pub(super) fn recorded(places: u64, processes: Vec<(Process, Vec<u64>)>, gone: Vec<Gone>) -> Result<Table, String> {
        // A torn or hostile record must not make us reserve the moon.
        let count = usize::try_from(places).ok().filter(|_| places <= MOST);
        let mut table = Table { changes: Changes::Some { changed: Vec::new(), gone }, ..Table::default() };
        let count = count.ok_or_else(|| format!("{places} places for processes are too many"))?;
        table.places.resize_with(count, || None);
        for (process, recorded) in processes {
            let id = process.id;
            let slot = place(id).and_then(|at| table.places.get_mut(at));
            let slot = slot.ok_or_else(|| format!("process {id} lies outside the {places} places"))?;
            *slot = Some(Box::new(Place { process, changed: false, recorded }));
        }
        table.taken = table.places.iter().flatten().count();
        Ok(table)
    }
}

fn place(id: ProcessId) -> Option<usize> {
    usize::try_from(id.0).ok()
}
