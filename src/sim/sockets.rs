//! The simulated driver's listeners and connections.

use super::behaviour;
use super::kernel::{Due, Kernel, Run, Stage};
use crate::core::{ConnectionId, Input, ProcessId, RunId, SpawnError, SpawnStep, Time};
use crate::spec::Spec;

/// The listeners of a process.
#[derive(Clone, Debug)]
pub(super) struct Listeners {
    pub(super) is: Listening,
    /// Whether each connection is accepted for an instance of its own.
    accepts: bool,
    /// Connections that nobody has accepted yet.
    queued: u32,
}

/// What the driver does with them.
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

/// A connection that the driver accepted and holds.
#[derive(Clone, Debug)]
pub(super) struct Accepted {
    /// For whom.
    pub(super) process: ProcessId,
    /// The run that it was given to.
    pub(super) run: Option<RunId>,
}

/// What is told of the connections of a process that runs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traffic {
    pub(super) open: u32,
    pub(super) came: bool,
}

impl Kernel {
    pub(super) fn arm(&mut self, now: Time, process: ProcessId, spec: &Spec) -> Result<(), String> {
        let before = self.listeners.get(&process);
        if before.is_some_and(|it| it.is == Listening::Binding) {
            return Err(format!("ArmSockets({process}) while the last is not answered"));
        }
        let queued = before.map_or(0, |it| it.queued);
        self.listeners.insert(process, Listeners { is: Listening::Binding, accepts: spec.accepts(), queued });
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
            false => SpawnError {
                step: SpawnStep::Socket,
                errno: Some(98),
                message: "127.0.0.1:8080 is in use by another program".into(),
            },
        }
    }

    /// The machine is told of an answer to an arm.
    pub(super) fn told_of_sockets(&mut self, now: Time, input: &Input) {
        let (process, is) = match input {
            Input::Armed(process) => (*process, Listening::Armed),
            Input::ArmFailed(process, _) => (*process, Listening::Failed),
            Input::Connections { run, .. } => {
                if let Some(it) = self.runs.get_mut(run) {
                    it.counting = false;
                }
                return;
            }
            _ => return,
        };
        let Some(it) = self.listeners.get_mut(&process).filter(|it| it.is == Listening::Binding) else { return };
        it.is = is;
        if is == Listening::Armed {
            for _ in 0..std::mem::take(&mut it.queued) {
                self.agenda.put(now, Due::Connects(process));
            }
            self.visit(now, process);
        }
    }

    /// Somebody connects to armed listeners, soon or never.
    fn visit(&mut self, now: Time, process: ProcessId) {
        let accepts = self.listeners.get(&process).is_some_and(|it| it.accepts);
        if self.sociable && !accepts {
            self.agenda.put(now, Due::Connects(process));
        } else if self.hostile && self.rng.chance(500) {
            for _ in 0..if accepts { 1 + self.rng.below(4) } else { 1 } {
                let at = now.after(self.rng.millis(0, 60_000));
                self.agenda.put(at, Due::Connects(process));
            }
        }
    }

    /// Everybody finds somebody who connects.
    pub(super) fn visit_all(&mut self, now: Time) {
        let armed = self.listeners.iter().filter(|(_, it)| it.is == Listening::Armed);
        for process in armed.map(|(process, _)| *process).collect::<Vec<_>>() {
            self.agenda.put(now, Due::Connects(process));
        }
    }

    /// Somebody connects. What is returned is heard at once, unless the driver is slow.
    pub(super) fn connects(&mut self, now: Time, process: ProcessId) -> Option<Input> {
        let serves = |it: &Run| {
            it.process == process && it.stage == Stage::Executed && !it.members.is_empty() && !it.told_to_end
        };
        let served = self.runs.values().any(serves);
        let it = self.listeners.get_mut(&process)?;
        match (it.is, it.accepts) {
            (Listening::Armed, true) => {
                self.last_connection += 1;
                let connection = ConnectionId(self.last_connection);
                self.connections.insert(connection, Accepted { process, run: None });
                let peer = format!("127.0.0.1:{}", 40_000 + self.last_connection).into();
                let news = Input::Connection { process, connection, peer };
                if self.hostile && self.rng.chance(200) {
                    self.tell_later(now, news);
                    return None;
                }
                Some(news)
            }
            (Listening::Armed, false) => {
                it.queued = 1;
                let news = Input::SocketReadable(process);
                if self.hostile && self.rng.chance(200) {
                    self.tell_later(now, news);
                    return None;
                }
                Some(news)
            }
            (_, true) => {
                it.queued += 1;
                None
            }
            (_, false) => {
                // A program that runs takes it.
                it.queued = if served { 0 } else { 1 };
                self.traffic.entry(process).or_default().came = true;
                None
            }
        }
    }

    pub(super) fn disarm(&mut self, process: ProcessId) -> Result<(), String> {
        match self.listeners.get_mut(&process) {
            None => return Err(format!("DisarmSockets({process}), but it was never armed")),
            Some(Listeners { is: Listening::Failed, .. }) => {}
            Some(it) => it.is = Listening::Held,
        }
        self.unanswer(process);
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

    /// A program that was handed the listeners takes what is queued.
    pub(super) fn serves(&mut self, process: ProcessId) {
        if let Some(it) = self.listeners.get_mut(&process).filter(|it| !it.accepts) {
            it.queued = 0;
        }
    }

    // Connections.

    /// A run is prepared with a connection, or without one.
    pub(super) fn give(&mut self, run: RunId, connection: Option<ConnectionId>) -> Result<(), String> {
        let Some(connection) = connection else { return Ok(()) };
        match self.connections.get_mut(&connection) {
            Some(it) if it.run.is_none() => it.run = Some(run),
            Some(it) => return Err(format!("{connection} is given to {run}, and was given to {:?}", it.run)),
            None => return Err(format!("{connection} is given to {run}, and is not there")),
        }
        Ok(())
    }

    pub(super) fn drop_connection(&mut self, connection: ConnectionId) -> Result<(), String> {
        match self.connections.remove(&connection) {
            Some(Accepted { run: None, .. }) => Ok(()),
            Some(it) => Err(format!("DropConnection({connection}), but it was given to {:?}", it.run)),
            None => Err(format!("DropConnection({connection}), but it is not there")),
        }
    }

    /// The run that had it is over.
    pub(super) fn close_connections(&mut self, run: RunId) {
        self.connections.retain(|_, it| it.run != Some(run));
    }

    /// The supervisor died, and what it had accepted was closed.
    pub(super) fn lose_connections(&mut self) {
        self.connections.clear();
        self.agenda.take_if(|due| matches!(due, Due::Tell(Input::Connection { .. })));
    }

    /// Nobody is there to watch listeners: connections queue.
    pub(super) fn watch_nothing(&mut self) {
        self.listeners.values_mut().for_each(|it| it.is = Listening::Held);
    }

    pub(super) fn count_connections(&mut self, now: Time, run: RunId, process: ProcessId) -> Result<(), String> {
        let it = self.held(run, "CountConnections")?;
        if it.process != process {
            return Err(format!("CountConnections({run}, {process}), but the run is {}'s", it.process));
        }
        if std::mem::replace(&mut it.counting, true) {
            return Err(format!("CountConnections({run}) while the last is not answered"));
        }
        let bored = self.hostile && self.rng.chance(700);
        let traffic = self.traffic.entry(process).or_default();
        let came = std::mem::take(&mut traffic.came);
        let open = match traffic.open {
            _ if bored => 0,
            0 if self.sociable => 1,
            open => open,
        };
        self.tell_later(now, Input::Connections { run, open, came });
        Ok(())
    }
}
