//! What processes say over their notify sockets, and whether it is theirs to say.

use super::engine::{Engine, HelperDone};
use super::notify::{Assignment, Received};
use crate::core::{Input, Notification, Pid, ProcessId, RunId};
use crate::supervisor::Message;

/// Datagrams taken from one socket before others have their turn.
const A_TURN: usize = 32;

impl Engine {
    /// Takes what a process has to say. What does not come from its current run's own tree is dropped.
    pub(super) fn read_notify(&mut self, process: ProcessId) {
        for _ in 0..A_TURN {
            let Some(place) = self.places.get(&process) else { return };
            let Some((socket, _)) = place.notify.as_ref().filter(|_| !place.closing) else { return };
            let run = place.run;
            let received = match self.kept {
                // Taken once what it says is written down: a successor hears it else.
                Some(_) => socket.peek(&mut self.notify_buffer),
                None => socket.receive(&mut self.notify_buffer),
            };
            let heard = match received {
                Received::Nothing => return,
                Received::Garbage => false,
                Received::Message { sender, assignments } => match run.filter(|run| self.is_of(*run, Pid(sender))) {
                    Some(run) => {
                        self.heard(run, assignments);
                        true
                    }
                    None => false,
                },
            };
            if self.kept.is_some() && !self.take_heard(process, run, heard) {
                return;
            }
            self.close_received(process);
        }
    }

    /// Takes the datagram that was looked at, which is written down first. False when that is not to be done any more: the
    /// socket is a later run's.
    fn take_heard(&mut self, process: ProcessId, run: Option<RunId>, heard: bool) -> bool {
        if heard {
            self.settle();
        }
        let Some(place) = self.places.get(&process).filter(|place| place.run == run) else { return false };
        let Some((socket, _)) = &place.notify else { return false };
        let _ = socket.receive(&mut self.notify_buffer);
        true
    }

    /// Drops what was sent before a run began: it is about an older one.
    pub(super) fn drop_stale_notifications(&mut self, process: ProcessId) {
        if let Some((socket, _)) = self.places.get(&process).and_then(|place| place.notify.as_ref()) {
            for _ in 0..1024 {
                if let Received::Nothing = socket.receive(&mut self.notify_buffer) {
                    break;
                }
            }
            self.close_received(process);
        }
    }

    /// Has descriptors that came along closed elsewhere, which may take for ever. Until that is done its sender's socket
    /// is not read, so that one process holds no more than one thread and the descriptors of a few datagrams.
    fn close_received(&mut self, process: ProcessId) {
        let received = self.notify_buffer.take_received();
        let Some(place) = self.places.get_mut(&process).filter(|_| !received.is_empty()) else { return };
        place.closing = true;
        if let Some((socket, _)) = &place.notify {
            self.poller.silence(socket);
        }
        let shared = self.shared.clone();
        let closed = self.pool.run(move || {
            drop(received);
            let _ = shared.mailbox.post(Message::Helper(HelperDone::Closed(process)));
        });
        if closed.is_err() {
            self.received_closed(process);
        }
    }

    /// What came along is closed: the socket is read again.
    pub(super) fn received_closed(&mut self, process: ProcessId) {
        let Some(place) = self.places.get_mut(&process) else { return };
        place.closing = false;
        if let Some((socket, token)) = &place.notify {
            self.poller.heed(socket, *token);
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
