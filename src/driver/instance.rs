//! What the trees of an instance have in common that outlives its supervisors: its name, and who is given its children.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::core::{Pid, RunId};

/// An instance, from one supervisor to the next.
#[derive(Debug)]
pub(super) struct Instance {
    name: String,
    /// Which ledger it is: run numbers begin again when that is lost.
    epoch: u64,
    /// 0: there is none, or it died.
    anchor: AtomicU32,
}

/// What a mark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub run: RunId,
    /// Whether it is a hook's or a probe's.
    pub of_job: bool,
    /// Whether it was made with the ledger of today.
    pub current: bool,
}

impl Instance {
    pub fn new(name: &str, epoch: u64, anchor: Option<Pid>) -> Self {
        let name = name.bytes().map(|b| if b.is_ascii_alphanumeric() || b == b'-' { char::from(b) } else { '_' });
        Instance { name: name.collect(), epoch, anchor: AtomicU32::new(anchor.map_or(0, |pid| pid.0)) }
    }

    /// Who is given our children when we die, while it lives.
    pub fn anchor(&self) -> Option<Pid> {
        Some(self.anchor.load(Ordering::Relaxed)).filter(|pid| *pid != 0).map(Pid)
    }

    pub fn anchor_is_gone(&self) {
        self.anchor.store(0, Ordering::Relaxed);
    }

    /// The variable that a run's processes carry.
    pub fn run_mark(&self, run: RunId) -> String {
        format!("NEAP_RUN={run}.{}.{:x}", self.name, self.epoch)
    }

    /// The variable that the processes of one of its hooks or probes carry: no other's.
    pub fn job_mark(&self, run: RunId) -> String {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        format!("{}.{}.{number}", self.run_mark(run), std::process::id())
    }

    /// What a variable says, if it is a mark of this instance's.
    pub fn read_mark(&self, variable: &str) -> Option<Mark> {
        let mut parts = variable.strip_prefix("NEAP_RUN=r")?.split('.');
        let run = RunId(parts.next()?.parse().ok()?);
        if parts.next()? != self.name {
            return None;
        }
        let epoch = u64::from_str_radix(parts.next()?, 16).ok()?;
        Some(Mark { run, of_job: parts.next().is_some(), current: epoch == self.epoch })
    }
}

#[cfg(test)]
mod tests {
    use super::{Instance, Mark};
    use crate::core::RunId;

    #[test]
    fn marks_are_read_back_and_those_of_others_are_not() {
        let ours = Instance::new("default.x/y", 0xabc, None);
        let run = Mark { run: RunId(7), of_job: false, current: true };
        assert_eq!(ours.read_mark(&ours.run_mark(RunId(7))), Some(run));
        assert_eq!(ours.read_mark(&ours.job_mark(RunId(7))), Some(Mark { of_job: true, ..run }));
        let older = Instance::new("default.x/y", 0xabb, None);
        assert_eq!(ours.read_mark(&older.run_mark(RunId(7))), Some(Mark { current: false, ..run }));
        assert_eq!(ours.read_mark(&Instance::new("other", 0xabc, None).run_mark(RunId(7))), None);
        assert_eq!(ours.read_mark("NEAP_RUN=r7"), None);
        assert_eq!(ours.read_mark("NEAP_RUN=r7.12.34.5"), None);
    }
}
