//! What is true of the machine between any two inputs. The simulator asks after every step.

use super::event::HoldKind;
use super::ids::ProcessId;
use super::machine::{Machine, Mode};
use super::process::{
    Leader, Origin, Process, Rest, StartPhase, Starting, State, StopPhase, Stopping, WaitFor, Waiting,
};
use super::status::Want;
use super::timers::TimerKind;

/// Something that must never be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{process}: {what}")]
pub struct Violation {
    /// The process's name, or "machine".
    pub process: String,
    /// What is wrong.
    pub what: String,
}

impl Machine {
    /// Whether everything that must always be true is.
    pub fn check(&self) -> Result<(), Violation> {
        if !self.notices.is_empty() || !self.entering.is_empty() {
            return violation("machine", "notices are left between two inputs");
        }
        let mut timers = self.deadlines_count_of_instance();
        let mut runs = 0;
        for p in self.processes.iter() {
            if self.names.get(&p.name) != Some(&p.id) {
                return violation(&p.name, "is not found by its name");
            }
            timers += p.deadlines.count();
            runs += self.check_run(p)?;
            self.check_waiting(p)?;
            self.check_want(p)?;
            self.check_instance(p)?;
            check_timers(p)?;
        }
        if self.names.len() != self.processes.len() {
            return violation("machine", "names and processes differ in number");
        }
        if timers != self.timers.len() {
            return violation(
                "machine",
                &format!("{timers} deadlines are set and {} are in the table", self.timers.len()),
            );
        }
        if runs != self.runs.len() {
            return violation("machine", &format!("{runs} runs live and {} are known", self.runs.len()));
        }
        if matches!(self.mode, Mode::Finished { .. })
            && self.processes.iter().any(|p| !p.state.is_rest() && !p.state.is_stuck())
        {
            return violation("machine", "it has finished and something is still up");
        }
        Ok(())
    }

    fn deadlines_count_of_instance(&self) -> usize {
        self.deadlines.count()
    }

    /// How many runs this process has in the table: one while it lives, one while an alarm goes on, else none.
    fn check_run(&self, p: &Process) -> Result<usize, Violation> {
        let run = match &p.state {
            State::Rest(Rest { alarm, .. }) => alarm.as_ref().map(|alarm| alarm.run),
            state => state.run().map(|run| run.id),
        };
        match run {
            None => Ok(0),
            Some(run) if self.runs.get(&run) == Some(&p.id) => Ok(1),
            Some(run) => {
                Err(Violation { process: p.name.to_string(), what: format!("its run {run} is not in the table") })
            }
        }
    }

    /// Whoever waits, waits for something that can still come.
    fn check_waiting(&self, p: &Process) -> Result<(), Violation> {
        match &p.state {
            State::Waiting(Waiting { on: WaitFor::Holds(holds), .. }) => {
                if holds.is_empty() {
                    return violation(&p.name, "waits for nothing");
                }
                for (other, kind) in holds {
                    if !self.hold_can_end(*other, *kind) {
                        let state = self.state(*other).map(State::name);
                        return violation(&p.name, &format!("waits ({kind:?}) for {other}, which is {state:?}"));
                    }
                }
                Ok(())
            }
            State::Stopping(Stopping { phase: StopPhase::Ordered(holds), .. }) => {
                if holds.is_empty() {
                    return violation(&p.name, "its stop waits for nothing");
                }
                for other in holds {
                    if !matches!(self.state(*other), Some(State::Stopping(_))) {
                        return violation(&p.name, &format!("its stop waits for {other}, which is not stopping"));
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn hold_can_end(&self, other: ProcessId, kind: HoldKind) -> bool {
        match (self.state(other), kind) {
            (None | Some(State::Rest(_) | State::Running(_)), _) => false,
            (Some(State::Backoff(_)), HoldKind::Order | HoldKind::Stop | HoldKind::Conflict) => false,
            (Some(State::Waiting(Waiting { on: WaitFor::Watch | WaitFor::Socket | WaitFor::Room, .. })), _) => false,
            (Some(_), _) => true,
        }
    }

    /// An instance has a process that it is of, and its connection until there is a run for it; who listens for another has room.
    fn check_instance(&self, p: &Process) -> Result<(), Violation> {
        if let Origin::Instance { of, connection, .. } = &p.origin {
            let waits = matches!(p.state, State::Waiting(_));
            if self.process(*of).is_none() {
                return violation(&p.name, "is an instance of nothing");
            }
            if p.state.listens() || matches!(p.state, State::Backoff(_)) {
                return violation(&p.name, "is an instance, and would be started again");
            }
            if connection.is_some() && !waits {
                return violation(&p.name, "holds a connection that it does not wait with");
            }
        }
        match &p.state {
            State::Waiting(Waiting { on: WaitFor::Socket, .. }) if p.spec.accepts() && !self.has_room(p.id) => {
                violation(&p.name, "waits for a connection although it has as many instances as it may")
            }
            State::Waiting(Waiting { on: WaitFor::Room, .. }) if self.has_room(p.id) => {
                violation(&p.name, "waits for an instance to end although it may have another")
            }
            State::Starting(_) | State::Running(_)
                if p.spec.accepts() && p.state.run().is_some_and(|run| run.spec.accepts()) =>
            {
                violation(&p.name, "runs itself, and not an instance of it")
            }
            _ => Ok(()),
        }
    }

    fn check_want(&self, p: &Process) -> Result<(), Violation> {
        let up = p.want == Want::Up;
        match &p.state {
            State::Starting(_) | State::Running(_) | State::Backoff(_) if !up => {
                violation(&p.name, &format!("is {} although it is wanted down", p.state.name()))
            }
            State::Waiting(Waiting { on: WaitFor::Holds(_), .. }) if !up => {
                violation(&p.name, "waits to start although it is wanted down")
            }
            State::Rest(_) if up => violation(&p.name, "is at rest although it is wanted up"),
            State::Rest(_) if p.is_over() && !self.has_instances(p.id) => {
                violation(&p.name, "is at rest and was not forgotten")
            }
            State::Starting(_) | State::Waiting(_) | State::Backoff(_) if self.mode != Mode::Serving => {
                violation(&p.name, "is on its way up during a shutdown")
            }
            _ => Ok(()),
        }
    }
}

/// Deadlines belong to states.
fn check_timers(p: &Process) -> Result<(), Violation> {
    let set = |kind| p.deadlines.get(kind).is_some();
    let starting = matches!(p.state, State::Starting(_));
    let stopping = matches!(p.state, State::Stopping(_));
    let running = matches!(p.state, State::Running(_));
    let readying = matches!(&p.state, State::Starting(Starting { phase: StartPhase::Readying, .. }));
    let wrong = [
        (TimerKind::Backoff, matches!(p.state, State::Backoff(_))),
        (TimerKind::Start, starting),
        (TimerKind::Ready, readying),
        (TimerKind::Health, running),
        (TimerKind::Watchdog, running),
        (TimerKind::Idle, running),
        (TimerKind::Stop, stopping),
        (TimerKind::Stuck, stopping),
    ]
    .into_iter()
    .find(|(kind, allowed)| set(*kind) && !allowed);
    if let Some((kind, _)) = wrong {
        return violation(&p.name, &format!("has a {kind:?} deadline while it is {}", p.state.name()));
    }
    if matches!(p.state, State::Backoff(_)) && !set(TimerKind::Backoff) {
        return violation(&p.name, "is in backoff without a deadline");
    }
    if let State::Stopping(Stopping { phase: StopPhase::Ladder(_), run, .. }) = &p.state
        && !set(TimerKind::Stop)
        && run.leader != Leader::None
        && run.spec.stop.sequence.iter().all(|step| !step.wait.is_zero())
    {
        return violation(&p.name, "stands on a rung of the ladder without a deadline");
    }
    Ok(())
}

fn violation<T>(process: &str, what: &str) -> Result<T, Violation> {
    Err(Violation { process: process.to_owned(), what: what.to_owned() })
}
