//! The limits of runs: put in place with their trees, changed while they live, and told of when they bite.

use super::enforce::{self, Enforcer, LimitState};
use super::engine::Engine;
use super::flight::system_error;
use super::held::Held;
use super::launch::Launch;
use crate::core::{ExitStatus, Input, ProcessId, RunId, SpawnError, SpawnStep};
use crate::spec::{Signal, Spec};

/// What the limits of a run did that the machine was told of.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    /// Members that the kernel killed for lack of memory.
    oom_kills: u64,
    /// Processes that the kernel refused.
    forks_refused: u64,
}

impl Engine {
    /// Has a child enter where its limits are, and gives it those that no cgroup sees to.
    pub(super) fn limit(&mut self, process: ProcessId, held: &mut Held, launch: &mut Launch) -> Result<(), SpawnError> {
        if held.tree.limits().is_empty() {
            return Ok(());
        }
        launch.doors = held
            .tree
            .doors()
            .map_err(|e| system_error(SpawnStep::Limits, "cannot open a cgroup with its limits", &e))?;
        let mut states = held.tree.limits().to_vec();
        enforce::fall_back(&mut states, launch);
        self.warn_of_limits(process, &states);
        held.tree.set_limits(states);
        Ok(())
    }

    /// What will become of the limits of a process that does not run.
    pub(super) fn expected_limits(&self, spec: &Spec) -> Vec<LimitState> {
        let of = |mut state: LimitState| {
            state.value = Some(state.limit.of(&spec.limits)?);
            Some(state)
        };
        self.trees.limits().into_iter().filter_map(of).collect()
    }

    /// Tells which limits nobody sees to: once, not with each run.
    fn warn_of_limits(&mut self, process: ProcessId, states: &[LimitState]) {
        let nobody: Vec<_> = states.iter().filter(|state| state.enforcer == Enforcer::None).collect();
        let text = nobody.iter().map(|state| format!("limits.{} is not enforced here: {}", state.limit, state.why));
        let text = text.collect::<Vec<_>>().join("; ");
        let Some(place) = self.places.get_mut(&process) else { return };
        if place.unlimited != text {
            place.unlimited.clone_from(&text);
            if !text.is_empty() {
                self.inputs.push_back(Input::Warning(Some(process), text));
            }
        }
    }

    /// Tells what a run's limits did to it, before the end that this explains.
    pub(super) fn explain_end(&mut self, run: RunId, status: ExitStatus) {
        match status {
            ExitStatus::Code(0) => {}
            ExitStatus::Signal { signal: Signal::KILL, .. } | ExitStatus::Unknown => self.tell_limits(run, true),
            _ => self.tell_limits(run, false),
        }
    }

    /// Looks whether a run's limits did anything since it was last told; `killed` also where it has no limit on memory.
    fn tell_limits(&mut self, run: RunId, killed: bool) {
        let Some(entry) = self.runs.get_mut(&run) else { return };
        let Some(held) = &entry.held else { return };
        let limited = held.tree.limited();
        if killed || !limited.states.is_empty() {
            let oom_kills = limited.oom_kills();
            if oom_kills > entry.told.oom_kills {
                entry.told.oom_kills = oom_kills;
                self.inputs.push_back(Input::Oom(run));
            }
        }
        let forks_refused = limited.forks_refused();
        if forks_refused > entry.told.forks_refused {
            entry.told.forks_refused = forks_refused;
            self.inputs.push_back(Input::PidsLimit(run));
        }
    }
}
