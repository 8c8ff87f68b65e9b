//! What processes say over their notify sockets, and whether it is theirs to say.

use super::engine::Engine;
use super::notify::{Assignment, Received};
use crate::core::{Input, Notification, Pid, ProcessId, RunId};

/// Datagrams taken from one socket before others have their turn.
const A_TURN: usize = 32;

impl Engine {
    /// Takes what a process has to say. What does not come from its current run's own tree is dropped.
    pub(super) fn read_notify(&mut self, process: ProcessId) {
        for _ in 0..A_TURN {
            let Some(place) = self.places.get(&process) else { return };
            let Some((socket, _)) = &place.notify else { return };
            let run = place.run;
            match socket.receive(&mut self.notify_buffer) {
                Received::Nothing => return,
                Received::Garbage => {}
                Received::Message { sender, assignments } => {
                    if let Some(run) = run.filter(|run| self.is_of(*run, Pid(sender))) {
                        self.heard(run, assignments);
                    }
                }
            }
        }
    }

    /// Drops what was sent before a run began: it is about an older one.
    pub(super) fn drop_stale_notifications(&mut self, process: ProcessId) {
        if let Some((socket, _)) = self.places.get(&process).and_then(|place| place.notify.as_ref()) {
            for _ in 0..1024 {
                if let Received::Nothing = socket.receive(&mut self.notify_buffer) {
                    return;
                }
            }
        }
    }

    fn is_of(&self, run: RunId, sender: Pid) -> bool {
        self.runs.get(&run).is_some_and(|entry| entry.is_member(sender))
    }

    fn heard(&mut self, run: RunId, assignments: Vec<Assignment>) {
        // A main process that is told of along with READY=1 is the one that is ready.
        let (mains, others): (Vec<_>, Vec<_>) =
            assignments.into_iter().partition(|a| matches!(a, Assignment::MainPid(_)));
        for assignment in mains.into_iter().chain(others) {
            let notification = match assignment {
                Assignment::MainPid(pid) if !self.follow(run, Pid(pid)) => continue,
                Assignment::MainPid(pid) => Notification::MainPid(Pid(pid)),
                Assignment::Ready => Notification::Ready,
                Assignment::Status(text) => Notification::Status(text),
                Assignment::Reloading => Notification::Reloading,
                Assignment::Stopping => Notification::Stopping,
                Assignment::Watchdog => Notification::Watchdog,
                Assignment::WatchdogTrigger => Notification::WatchdogTrigger,
                Assignment::WatchdogInterval(interval) => Notification::WatchdogInterval(interval),
                Assignment::ExtendTimeout(time) => Notification::ExtendTimeout(time),
            };
            self.inputs.push_back(Input::Notified(run, notification));
        }
    }
}
