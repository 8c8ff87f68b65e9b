//! Hands for scenarios: what programs do from now on, and what came out.

use super::behaviour::Behaviour;
use super::kernel::Happening;
use super::sockets::{Accepted, Traffic};
use super::trace::Trace;
use super::world::{Failure, Hostility, World};
use crate::core::{ConnectionId, Event, ExitStatus, Input, Output, Pid, ProcessId, RunId, Settings, SpawnError, Time};
use crate::spec::Limits;

impl World {
    /// A world in which everything answers at once and well unless told otherwise, and that remembers all that came out.
    pub fn gentle() -> Self {
        let mut world = World::new(0, Hostility::NONE, Settings::default());
        world.story.outputs = Some(Vec::new());
        world.story.trace = Some(Trace::default());
        world
    }

    /// The process of this name.
    pub fn find(&self, name: &str) -> Option<ProcessId> {
        self.machine.find(name)
    }

    /// What the next runs of this process do.
    pub fn behave(&mut self, name: &str, does: Behaviour) {
        self.kernel.behaviours.insert(name.to_owned(), does);
    }

    /// What the live run of this process does from now on.
    pub fn behave_now(&mut self, name: &str, change: impl FnOnce(&mut Behaviour)) {
        if let Some(run) = self.live_run(name) {
            self.kernel.change(run, change);
        }
    }

    /// From now on the listeners of this process cannot be bound, for this reason, or can be again.
    pub fn unbindable(&mut self, name: &str, error: Option<SpawnError>) {
        match error {
            Some(error) => drop(self.kernel.unbindable.insert(name.to_owned(), error)),
            None => drop(self.kernel.unbindable.remove(name)),
        }
    }

    /// Somebody connects to the listeners of this process.
    pub fn connect(&mut self, name: &str) -> Result<(), Failure> {
        let Some(process) = self.find(name) else { return self.broken(&format!("there is no `{name}` to connect to")) };
        if let Some(input) = self.kernel.connects(self.clock.mono, process) {
            self.deliver(input)?;
        }
        self.run_until(self.clock.mono)
    }

    /// From now on the listeners of this process have this many connections open.
    pub fn keep_open(&mut self, name: &str, open: u32) {
        if let Some(process) = self.find(name) {
            self.kernel.traffic.insert(process, Traffic { open, came: open > 0 });
        }
    }

    /// The driver has accepted this connection to a process, and has yet to tell of it.
    pub fn accept(&mut self, connection: ConnectionId, process: ProcessId) {
        self.kernel.connections.insert(connection, Accepted { process, run: None });
    }

    /// Connections that the driver has accepted and neither closed nor given to a run.
    pub fn unserved(&self) -> usize {
        self.kernel.connections.values().filter(|it| it.run.is_none()).count()
    }

    /// Connections that the driver holds.
    pub fn accepted(&self) -> usize {
        self.kernel.connections.len()
    }

    /// The limits that the tree of this process has.
    pub fn limits(&self, name: &str) -> Option<Limits> {
        self.live_run(name).and_then(|run| self.kernel.runs.get(&run)).map(|it| it.limits.clone())
    }

    /// The run of this process that the kernel has (and the machine has not released), if there is one.
    pub fn live_run(&self, name: &str) -> Option<RunId> {
        self.kernel.runs.iter().rev().find(|(_, it)| it.spec.name == name && !it.released).map(|(run, _)| *run)
    }

    /// Everything of this process that is alive in the kernel.
    pub fn members(&self, name: &str) -> Vec<Pid> {
        let runs = self.kernel.runs.values().filter(|it| it.spec.name == name);
        runs.flat_map(|it| it.members.iter().copied()).collect()
    }

    /// The main process of this one, in truth.
    pub fn main_pid(&self, name: &str) -> Option<Pid> {
        self.live_run(name).and_then(|run| self.kernel.runs.get(&run)).and_then(|it| it.main)
    }

    /// The main process ends now, whatever it was doing, and the machine hears of it.
    pub fn exit(&mut self, name: &str, status: ExitStatus) -> Result<(), Failure> {
        let Some(run) = self.live_run(name) else { return self.broken(&format!("`{name}` has no run that could end")) };
        let now = self.clock.mono;
        self.kernel.happen(now, run, Happening::End(status));
        self.run_until(now)
    }

    /// A member of the tree ends now.
    pub fn kill_member(&mut self, name: &str, pid: Pid, status: ExitStatus) -> Result<(), Failure> {
        let Some(run) = self.live_run(name) else { return self.broken(&format!("`{name}` has no run")) };
        let now = self.clock.mono;
        self.kernel.happen(now, run, Happening::Die(pid, status));
        self.run_until(now)
    }

    /// The machine hears this now, and of all that follows at once.
    pub fn hear(&mut self, input: Input) -> Result<(), Failure> {
        self.deliver(input)?;
        self.run_until(self.clock.mono)
    }

    /// Everything that came out, with its time.
    pub fn outputs(&self) -> &[(Time, Output)] {
        self.story.outputs.as_deref().unwrap_or(&[])
    }

    /// All events, oldest first.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.outputs().iter().filter_map(|(_, output)| match output {
            Output::Emit(event) => Some(event),
            _ => None,
        })
    }

    /// Whether everything is down after a shutdown.
    pub fn finished(&self) -> bool {
        self.watch.finished
    }
}
