//! The processes, by an id that is never used twice; and which of them changed since they were last recorded.

use super::ids::ProcessId;
use super::process::Process;

/// The processes in the order they were made, which is that of their ids.
///
/// What is deleted leaves an empty slot behind, and when most are empty, they are swept together: there may be a process a
/// connection. So as long as few were deleted, a process stands where its id says.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Vec<Slot>,
    empty: usize,
    /// Ids that were ever used.
    used: u64,
    changes: Changes,
}

#[derive(Debug)]
struct Slot {
    id: ProcessId,
    place: Option<Box<Place>>,
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

impl Table {
    pub(super) fn next_id(&self) -> ProcessId {
        ProcessId(self.used)
    }

    pub(super) fn push(&mut self, process: Process) {
        let id = process.id;
        self.insert(Place { process, changed: false, recorded: Vec::new() });
        self.used = self.used.max(id.0.saturating_add(1));
        self.get_mut(id);
    }

    /// Puts in a process with a higher id than all others.
    fn insert(&mut self, place: Place) {
        self.slots.push(Slot { id: place.process.id, place: Some(Box::new(place)) });
    }

    pub(super) fn remove(&mut self, id: ProcessId) -> Option<Process> {
        let removed = self.slot_mut(id)?.place.take()?;
        self.empty += 1;
        if self.empty > self.slots.len() / 2 {
            self.slots.retain(|slot| slot.place.is_some());
            self.empty = 0;
        }
        if let Changes::Some { gone, .. } = &mut self.changes
            && !removed.recorded.is_empty()
        {
            gone.push(Gone::Process(id));
            gone.extend(removed.recorded.iter().map(|number| Gone::Spec(*number)));
        }
        Some(removed.process)
    }

    /// Where the process of this id stands, if there is one.
    fn at(&self, id: ProcessId) -> Option<usize> {
        let guess = usize::try_from(id.0).ok()?;
        match self.slots.get(guess) {
            Some(slot) if slot.id == id => Some(guess),
            _ => self.slots.binary_search_by_key(&id, |slot| slot.id).ok(),
        }
    }

    fn slot_mut(&mut self, id: ProcessId) -> Option<&mut Slot> {
        let at = self.at(id)?;
        self.slots.get_mut(at)
    }

    pub(super) fn get(&self, id: ProcessId) -> Option<&Process> {
        self.slots.get(self.at(id)?)?.place.as_deref().map(|place| &place.process)
    }

    /// The process, to be changed: it counts as changed from then on.
    pub(super) fn get_mut(&mut self, id: ProcessId) -> Option<&mut Process> {
        let at = self.at(id)?;
        let place = self.slots.get_mut(at)?.place.as_deref_mut()?;
        if let Changes::Some { changed, .. } = &mut self.changes
            && !std::mem::replace(&mut place.changed, true)
        {
            changed.push(id);
        }
        Some(&mut place.process)
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Process> + Clone {
        self.slots.iter().filter_map(|slot| slot.place.as_deref().map(|place| &place.process))
    }

    pub(super) fn ids(&self) -> Vec<ProcessId> {
        self.iter().map(|p| p.id).collect()
    }

    /// How many processes there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.empty
    }

    /// How much room there is for them, with what is empty of it.
    #[cfg(test)]
    pub(super) fn width(&self) -> usize {
        self.slots.len()
    }

    /// How many ids were ever used.
    pub(super) fn used(&self) -> u64 {
        self.used
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
        let place = self.slot_mut(id)?.place.as_deref_mut()?;
        place.changed = false;
        Some(place)
    }

    /// The table of these processes, by their ids, which are recorded with the specs of these numbers.
    pub(super) fn recorded(used: u64, processes: Vec<(Process, Vec<u64>)>, gone: Vec<Gone>) -> Result<Table, String> {
        let changes = Changes::Some { changed: Vec::new(), gone };
        let mut table = Table { used, changes, ..Table::default() };
        for (process, recorded) in processes {
            let (id, last) = (process.id, table.slots.last().map(|slot| slot.id));
            if id.0 >= used {
                return Err(format!("process {id} lies beyond the {used} that there ever were"));
            }
            if last.is_some_and(|last| last >= id) {
                return Err(format!("process {id} is not in its order"));
            }
            table.insert(Place { process, changed: false, recorded });
        }
        Ok(table)
    }
}
