//! The processes, by a place that is never used twice.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ids::ProcessId;
use super::process::Process;

/// A vector of places; a deleted process leaves its place empty for good.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Table {
    places: Vec<Option<Box<Process>>>,
    taken: usize,
}

impl Table {
    pub(super) fn next_id(&self) -> ProcessId {
        ProcessId(self.places.len() as u64)
    }

    pub(super) fn push(&mut self, process: Process) {
        self.places.push(Some(Box::new(process)));
        self.taken += 1;
    }

    pub(super) fn remove(&mut self, id: ProcessId) -> Option<Process> {
        let process = self.places.get_mut(place(id)?)?.take()?;
        self.taken -= 1;
        Some(*process)
    }

    pub(super) fn get(&self, id: ProcessId) -> Option<&Process> {
        self.places.get(place(id)?)?.as_deref()
    }

    pub(super) fn get_mut(&mut self, id: ProcessId) -> Option<&mut Process> {
        self.places.get_mut(place(id)?)?.as_deref_mut()
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Process> + Clone {
        self.places.iter().filter_map(Option::as_deref)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Process> {
        self.places.iter_mut().filter_map(Option::as_deref_mut)
    }

    pub(super) fn ids(&self) -> Vec<ProcessId> {
        self.iter().map(|p| p.id).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.taken
    }
}

fn place(id: ProcessId) -> Option<usize> {
    usize::try_from(id.0).ok()
}

#[derive(Serialize)]
struct Written<'a> {
    places: usize,
    processes: Vec<&'a Process>,
}

#[derive(Deserialize)]
struct Read {
    places: usize,
    processes: Vec<Process>,
}

impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Written { places: self.places.len(), processes: self.iter().collect() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Table {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = Read::deserialize(deserializer)?;
        // A torn or hostile snapshot must not make us reserve the moon: places grow with what is there.
        let most = read.processes.iter().map(|p| p.id.0).max().map_or(0, |id| id.saturating_add(1));
        if most > read.places as u64 || read.places > (1 << 26) {
            return Err(serde::de::Error::custom("a process lies outside the table"));
        }
        let mut places: Vec<Option<Box<Process>>> = Vec::new();
        places.resize_with(read.places, || None);
        let mut taken = 0;
        for process in read.processes {
            if let Some(slot) = place(process.id).and_then(|at| places.get_mut(at)) {
                if slot.is_some() {
                    return Err(serde::de::Error::custom("two processes in one place"));
                }
                *slot = Some(Box::new(process));
                taken += 1;
            }
        }
        Ok(Table { places, taken })
    }
}
