//! The machine's outside: inputs in, outputs and the next deadline out.

use std::sync::Arc;
use std::time::Duration;

use super::ids::ProcessId;
use super::input::Input;
use super::output::Output;
use super::status::Status;
use super::time::{Now, Time};
use crate::spec::Spec;

/// What the machine is made with.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Seed of all jitter; the same seed and inputs give the same outputs.
    pub seed: u64,
    /// How long a shutdown may take before every stop in progress escalates to SIGKILL; `None` waits for the ladders.
    pub shutdown_timeout: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { seed: 0, shutdown_timeout: None }
    }
}

/// The whole of supervision as a state machine without I/O.
#[derive(Debug)]
pub struct Machine {}

impl Machine {
    /// A machine without processes.
    pub fn new(_settings: Settings) -> Self {
        todo!()
    }

    /// Takes in what happened. Then pull outputs until there is none.
    pub fn handle(&mut self, _now: Now, _input: Input) {
        todo!()
    }

    /// The next thing to be done, if there is one.
    pub fn poll_output(&mut self) -> Option<Output> {
        todo!()
    }

    /// When [`Input::Timeout`] is to be handed in next.
    pub fn poll_timeout(&self) -> Option<Time> {
        todo!()
    }

    /// How many inputs were dropped because their run was not the current one.
    pub fn dropped_inputs(&self) -> u64 {
        todo!()
    }

    /// The process of this name.
    pub fn find(&self, _name: &str) -> Option<ProcessId> {
        todo!()
    }

    /// All processes, in the order they were made.
    pub fn processes(&self) -> Vec<ProcessId> {
        todo!()
    }

    /// What is known of a process.
    pub fn status(&self, _id: ProcessId) -> Option<Status> {
        todo!()
    }

    /// The spec a process has now (its next run's; a live run may still have an older one).
    pub fn spec(&self, _id: ProcessId) -> Option<Arc<Spec>> {
        todo!()
    }
}
