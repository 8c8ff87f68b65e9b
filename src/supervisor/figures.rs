//! What was counted, asked of the engine in portions, so that no turn of it is long however many processes there are.

use super::error::Error;
use super::handle::Supervisor;
use super::shared::Shared;
use crate::core::ProcessId;
use crate::driver::{Gauge, ProcessFigures, SupervisorFigures};

/// Processes asked for in one turn of the engine.
const PORTION: usize = 128;

/// What was counted, all of it.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Figures {
    /// Of the supervisor itself.
    pub supervisor: SupervisorFigures,
    /// Of each process, by name.
    pub processes: Vec<ProcessFigures>,
}

impl Supervisor {
    /// What was counted since the supervisor began, also once it has ended. With the feature `telemetry`,
    /// `neap::telemetry` shows it to programs that collect such figures.
    ///
    /// ```
    /// use neap::{Supervisor, spec::Spec};
    ///
    /// let supervisor = Supervisor::builder().build()?;
    /// supervisor.add(Spec::new("hello", ["true"]).oneshot())?.start_blocking()?;
    /// let figures = supervisor.figures()?;
    /// assert_eq!((figures.processes[0].counts.starts, figures.supervisor.defined), (1, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Ended`] when the engine ended in a way it should not; [`Error::OwnThread`] on the engine's own thread.
    pub fn figures(&self) -> Result<Figures, Error> {
        self.shared().figures().map(|(figures, _)| figures)
    }
}

impl Shared {
    /// What was counted; and, as long as the engine is there, where what each process uses can be read.
    pub(crate) fn figures(&self) -> Result<(Figures, Vec<Option<Gauge>>), Error> {
        let begun = self.query(|engine| (engine.figures(), engine.machine().processes()));
        let (supervisor, ids) = match begun {
            Ok(begun) => begun,
            Err(Error::Ended) => return self.last_figures().map(|figures| (figures, Vec::new())).ok_or(Error::Ended),
            Err(error) => return Err(error),
        };
        let mut all = Vec::with_capacity(ids.len());
        for portion in ids.chunks(PORTION) {
            let portion: Vec<ProcessId> = portion.to_vec();
            let asked = self
                .query(move |engine| portion.into_iter().filter_map(|id| engine.figures_of(id)).collect::<Vec<_>>());
            match asked {
                Ok(mut some) => all.append(&mut some),
                Err(Error::Ended) => {
                    return self.last_figures().map(|figures| (figures, Vec::new())).ok_or(Error::Ended);
                }
                Err(error) => return Err(error),
            }
        }
        all.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        let (processes, gauges) = all.into_iter().unzip();
        Ok((Figures { supervisor, processes }, gauges))
    }

    fn last_figures(&self) -> Option<Figures> {
        self.last_figures.get().cloned()
    }
}
