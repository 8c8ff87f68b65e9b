//! The simulated driver's listeners.

use super::behaviour;
use super::kernel::{Due, Kernel};
use crate::core::{Input, ProcessId, SpawnError, SpawnStep, Time};
use crate::spec::Spec;

/// What the driver does with the listeners of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listening {
    /// They are being bound.
    Binding,
    /// They cannot be.
    Failed,
    /// They are bound and watched.
    Armed,
    /// They are bound, and connections queue.
    Held,
}

impl Kernel {
    pub(super) fn arm(&mut self, now: Time, process: ProcessId, spec: &Spec) -> Result<(), String> {
        if self.listeners.get(&process) == Some(&Listening::Binding) {
            return Err(format!("ArmSockets({process}) while the last is not answered"));
        }
        self.listeners.insert(process, Listening::Binding);
        let error = match self.unbindable.get(&spec.name) {
            Some(error) => Some(error.clone()),
            None if self.hostile && self.rng.chance(80) => Some(self.any_socket_error()),
            None => None,
        };
        let answer = match error {
            Some(error) => Input::ArmFailed(process, error),
            None => Input::Armed(process),
        };
        self.tell_later(now, answer);
        Ok(())
    }

    fn any_socket_error(&mut self) -> SpawnError {
        match self.rng.chance(300) {
            true => behaviour::resource(&mut self.rng),
            false => in_use(),
        }
    }

    /// The machine is told of an answer to an arm.
    pub(super) fn told_of_sockets(&mut self, now: Time, input: &Input) {
        let (process, is) = match input {
            Input::Armed(process) => (*process, Listening::Armed),
            Input::ArmFailed(process, _) => (*process, Listening::Failed),
            _ => return,
        };
        if self.listeners.get(&process) != Some(&Listening::Binding) {
            return;
        }
        self.listeners.insert(process, is);
        if is == Listening::Armed {
            self.visit(now, process);
        }
    }

    /// Somebody connects to armed listeners, soon or never.
    fn visit(&mut self, now: Time, process: ProcessId) {
        if self.sociable {
            self.tell(now, Input::SocketReadable(process));
        } else if self.hostile && self.rng.chance(500) {
            let at = now.after(self.rng.millis(0, 60_000));
            self.tell(at, Input::SocketReadable(process));
        }
    }

    /// Everybody finds somebody who connects.
    pub(super) fn visit_all(&mut self, now: Time) {
        let armed = self.listeners.iter().filter(|(_, is)| **is == Listening::Armed);
        for process in armed.map(|(process, _)| *process).collect::<Vec<_>>() {
            self.visit(now, process);
        }
    }

    pub(super) fn disarm(&mut self, process: ProcessId) -> Result<(), String> {
        match self.listeners.get(&process) {
            None => return Err(format!("DisarmSockets({process}), but it was never armed")),
            Some(Listening::Failed) => {}
            Some(_) => {
                self.unanswer(process);
                self.listeners.insert(process, Listening::Held);
            }
        }
        Ok(())
    }

    pub(super) fn close(&mut self, process: ProcessId) -> Result<(), String> {
        self.unanswer(process);
        self.listeners.remove(&process);
        Ok(())
    }

    /// The answer that is on its way is not given any more.
    fn unanswer(&mut self, process: ProcessId) {
        let answers = |input: &Input| matches!(input, Input::Armed(it) | Input::ArmFailed(it, _) if *it == process);
        self.agenda.take_if(|due| matches!(due, Due::Tell(input) | Due::Again(input) if answers(input)));
    }
}

/// The address is somebody else's.
pub(super) fn in_use() -> SpawnError {
    SpawnError {
        step: SpawnStep::Socket,
        errno: Some(98),
        message: "127.0.0.1:8080 is in use by another program".into(),
    }
}
