//! All figures at one moment.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::page::{self, Format};
use crate::core::{ProcessId, RunId};
use crate::driver::{Gauge, ProcessFigures, SupervisorFigures, Usage, read_all};
use crate::supervisor::Shared;
use crate::{Error, Supervisor};

/// What only whoever runs the supervisor knows of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct About {
    /// What it is called, so that figures of several can be told apart.
    pub instance: String,
    /// The generation of the configuration that is in force; 0 for none.
    pub generation: u64,
    /// What makes it less than it should be: so many things.
    pub degraded: u64,
    /// Which supervisor this is of those that one anchor started: 1 for the first.
    pub lives: u32,
    /// When the instance began, which may have been under another supervisor.
    pub started_at: Option<SystemTime>,
}

impl About {
    /// One that is called this.
    pub fn new(instance: impl Into<String>) -> About {
        About { instance: instance.into(), lives: 1, ..About::default() }
    }

    /// With this configuration in force, and so many things that make it less than it should be.
    #[must_use]
    pub fn with(self, generation: u64, degraded: u64) -> About {
        About { generation, degraded, ..self }
    }

    /// Begun then, and with its so-manieth supervisor.
    #[must_use]
    pub fn begun(self, lives: u32, started_at: SystemTime) -> About {
        About { lives, started_at: Some(started_at), ..self }
    }
}

/// Shows what a supervisor counts. Cheap to clone; it does not keep the supervisor up, and after its end shows what had
/// been counted then.
#[derive(Clone)]
pub struct Telemetry(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    about: Box<dyn Fn() -> About + Send + Sync>,
    /// What was shown last of counts that the kernel keeps for a run, so that they never go back.
    seen: Mutex<HashMap<ProcessId, Seen>>,
    own: Own,
}

/// What it counts of its own work.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// Pages that were asked for.
    pub pages: AtomicU64,
    /// Datagrams that an agent took.
    pub sent: AtomicU64,
    /// Datagrams that none took.
    pub dropped: AtomicU64,
    /// Events that no agent was told.
    pub events_dropped: AtomicU64,
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

/// Counts of the kernel's, over all runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Used {
    pub cpu: Duration,
    pub throttled: Duration,
    pub read: u64,
    pub written: u64,
}

#[derive(Default)]
struct Seen {
    run: Option<RunId>,
    /// Of runs that are over, as they were last seen.
    before: Used,
    /// Of the current run.
    current: Used,
    /// What was shown.
    shown: Used,
}

/// One process at one moment.
#[derive(Debug)]
pub(super) struct Process {
    pub figures: ProcessFigures,
    pub usage: Usage,
    pub used: Used,
    /// Those that were made for a connection to it and are there now.
    pub instances: u64,
}

/// All figures at one moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub about: About,
    pub now: SystemTime,
    pub supervisor: SupervisorFigures,
    pub processes: Vec<Process>,
    pub pages: u64,
    pub sent: u64,
    pub dropped: u64,
    pub events_dropped: u64,
}

impl Telemetry {
    /// That of a supervisor. From now on what runs used of the processor is read when they are over, too.
    pub fn new(supervisor: &Supervisor) -> Telemetry {
        Telemetry::about(supervisor, || About { lives: 1, ..About::default() })
    }

    /// The same, with more that `about` tells, each time it is asked.
    pub fn about(supervisor: &Supervisor, about: impl Fn() -> About + Send + Sync + 'static) -> Telemetry {
        let shared = supervisor.shared().clone();
        shared.measured.store(true, Ordering::Relaxed);
        Telemetry(Arc::new(Inner { shared, about: Box::new(about), seen: Mutex::default(), own: Own::default() }))
    }

    /// The page, as OpenMetrics text.
    ///
    /// # Errors
    /// [`Error::Ended`] when the engine ended in a way it should not; [`Error::OwnThread`] on the engine's own thread.
    pub fn page(&self) -> Result<String, Error> {
        self.page_as(Format::OpenMetrics)
    }

    /// The page, in this format.
    ///
    /// # Errors
    /// Those of [`page`](Telemetry::page).
    pub fn page_as(&self, format: Format) -> Result<String, Error> {
        self.0.own.pages.fetch_add(1, Ordering::Relaxed);
        self.snapshot().map(|snapshot| page::write(snapshot, format))
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    pub(super) fn own(&self) -> &Own {
        &self.0.own
    }

    /// All figures as they are now. Reads files of the kernel's for each process that runs.
    pub(super) fn snapshot(&self) -> Result<Snapshot, Error> {
        // One at a time, so that no older reading is shown after a newer one.
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (figures, gauges) = self.0.shared.figures()?;
        let usages = usages(&gauges, figures.processes.len());
        let processes = gather(figures.processes, usages, &mut seen);
        let own = &self.0.own;
        Ok(Snapshot {
            about: (self.0.about)(),
            now: SystemTime::now(),
            supervisor: figures.supervisor,
            processes,
            pages: own.pages.load(Ordering::Relaxed),
            sent: own.sent.load(Ordering::Relaxed),
            dropped: own.dropped.load(Ordering::Relaxed),
            events_dropped: own.events_dropped.load(Ordering::Relaxed),
        })
    }
}

fn usages(gauges: &[Option<Gauge>], count: usize) -> Vec<Option<Usage>> {
    let mut usages = read_all(gauges);
    // After the end there are none.
    usages.resize(count, None);
    usages
}

/// Those that were made for a connection count for the process that listens.
fn gather(
    figures: Vec<ProcessFigures>,
    usages: Vec<Option<Usage>>,
    seen: &mut HashMap<ProcessId, Seen>,
) -> Vec<Process> {
    let mut instances: HashMap<Arc<str>, (u64, Usage)> = HashMap::new();
    let mut own = Vec::with_capacity(figures.len());
    for (figures, usage) in figures.into_iter().zip(usages) {
        match &figures.instance_of {
            Some(of) => {
                let (count, sum) = instances.entry(of.clone()).or_default();
                *count += 1;
                add(sum, &usage.unwrap_or_default());
            }
            None => own.push((figures, usage)),
        }
    }
    let mut before = std::mem::take(seen);
    let gathered = own.into_iter().map(|(figures, usage)| {
        let mut usage = usage.unwrap_or_default();
        let (count, of_instances) = instances.remove(&figures.name).unwrap_or_default();
        add(&mut usage, &of_instances);
        let mut last = before.remove(&figures.id).unwrap_or_default();
        let used = last.go_on(figures.run, &usage, figures.counts.cpu_of_ended);
        seen.insert(figures.id, last);
        Process { figures, usage, used, instances: count }
    });
    gathered.collect()
}

fn add(sum: &mut Usage, more: &Usage) {
    fn plus<T: std::ops::Add<Output = T> + Copy>(sum: &mut Option<T>, more: Option<T>) {
        *sum = match (*sum, more) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
    }
    plus(&mut sum.memory, more.memory);
    plus(&mut sum.cpu, more.cpu);
    plus(&mut sum.cpu_throttled, more.cpu_throttled);
    plus(&mut sum.pids, more.pids);
    plus(&mut sum.io_read, more.io_read);
    plus(&mut sum.io_written, more.io_written);
}

impl Seen {
    /// What is to be shown now: never less than before.
    fn go_on(&mut self, run: Option<RunId>, usage: &Usage, ended: Duration) -> Used {
        if self.run != run {
            self.before = self.before.plus(self.current);
            (self.run, self.current) = (run, Used::default());
        }
        self.current = self.current.max(Used {
            cpu: usage.cpu.unwrap_or_default(),
            throttled: usage.cpu_throttled.unwrap_or_default(),
            read: usage.io_read.unwrap_or_default(),
            written: usage.io_written.unwrap_or_default(),
        });
        let before = Used { cpu: self.before.cpu.max(ended), ..self.before };
        // Of a run that is over, and was counted as such, its own last reading is part of what has ended.
        let alive = usage.cpu.is_some();
        let current = if alive { self.current } else { Used { cpu: Duration::ZERO, ..self.current } };
        self.shown = self.shown.max(before.plus(current));
        self.shown
    }
}

impl Used {
    fn plus(self, more: Used) -> Used {
        Used {
            cpu: self.cpu + more.cpu,
            throttled: self.throttled + more.throttled,
            read: self.read + more.read,
            written: self.written + more.written,
        }
    }

    fn max(self, other: Used) -> Used {
        Used {
            cpu: self.cpu.max(other.cpu),
            throttled: self.throttled.max(other.throttled),
            read: self.read.max(other.read),
            written: self.written.max(other.written),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Seen;
    use crate::core::RunId;
    use crate::driver::Usage;

    #[test]
    fn processor_time_never_goes_back_from_one_run_to_the_next_and_counts_each_once() {
        let seconds = Duration::from_secs;
        let mut seen = Seen::default();
        let mut cpu = |run, now: Option<u64>, ended| {
            let usage = Usage { cpu: now.map(seconds), ..Usage::default() };
            seen.go_on(Some(RunId(run)), &usage, seconds(ended)).cpu.as_secs()
        };
        assert_eq!(cpu(1, Some(5), 0), 5);
        assert_eq!(cpu(1, Some(9), 0), 9);
        // A child that ended takes its time with it.
        assert_eq!(cpu(1, Some(7), 0), 9);
        // Over, and read once more by the engine.
        assert_eq!(cpu(1, None, 10), 10);
        assert_eq!(cpu(2, Some(1), 10), 11);
        assert_eq!(cpu(2, Some(4), 10), 14);
        // The next one runs before the last one's tree is removed.
        assert_eq!(cpu(3, Some(2), 10), 15);
        assert_eq!(cpu(3, Some(3), 14), 17);
    }
}
