//! A tree in the engine's hands: looked at, watched until it is empty, killed until it is.

use std::os::fd::OwnedFd;
use std::time::Duration;

use super::contain::Tree;
use super::identity;
use super::sources::{Owner, Poller, Source, Token};
use crate::core::{Pid, ProcessId, Time};

/// From the first SIGKILL on, survivors are told of after this long.
const STUCK_AFTER: Duration = Duration::from_secs(5);
/// The first look after a SIGKILL; each further one waits twice as long, up to [`LAST_LOOK`].
const FIRST_LOOK: Duration = Duration::from_millis(10);
const LAST_LOOK: Duration = Duration::from_secs(1);
/// Members held at a time. A tree of thousands is looked at in rounds, not at each one's end.
const MAX_HELD: usize = 256;

/// A tree, and what is held to learn of its end.
pub(super) struct Held {
    pub tree: Tree,
    /// Whose it was, once its run is over.
    pub of: Option<ProcessId>,
    /// Pidfds of some members that were there at the last look, each dropped when it ends.
    members: Vec<(Pid, OwnedFd, Token)>,
    watched: bool,
    killing: Option<Killing>,
}

struct Killing {
    since: Time,
    wait: Duration,
    told: bool,
}

/// What a look at a tree came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    Empty,
    Occupied,
    /// These live on although they were killed a while ago. Said once.
    Stuck(Vec<Pid>),
}

impl Held {
    pub fn new(tree: Tree) -> Self {
        Held { tree, of: None, members: Vec::new(), watched: false, killing: None }
    }

    /// Whether nothing of it lives. What cannot be told counts as not.
    pub fn is_empty(&self) -> bool {
        self.tree.is_empty().unwrap_or(false)
    }

    /// Looks, and sees to it that the end of what is left is noticed.
    pub fn look(&mut self, owner: Owner, poller: &mut Poller) -> Look {
        if self.is_empty() {
            self.let_go(poller);
            return Look::Empty;
        }
        self.hold(owner, poller);
        // Between the look and the watch the last one may have gone, without anything to notice it by.
        if self.members.is_empty() && self.is_empty() {
            return Look::Empty;
        }
        Look::Occupied
    }

    /// Kills all of it once more, and looks. The caller comes back after the time that is returned while it is occupied.
    pub fn kill(&mut self, now: Time, owner: Owner, poller: &mut Poller) -> (Look, Duration) {
        let killing = self.killing.get_or_insert(Killing { since: now, wait: FIRST_LOOK, told: false });
        let wait = killing.wait;
        killing.wait = (wait * 2).min(LAST_LOOK);
        // What cannot be killed now is looked at again, and named in the end.
        let _ = self.tree.kill();
        let look = self.look(owner, poller);
        let Some(killing) = self.killing.as_mut() else { return (look, wait) };
        if look == Look::Occupied && !killing.told && now.since(killing.since) >= STUCK_AFTER {
            killing.told = true;
            return (Look::Stuck(self.tree.members().unwrap_or_default()), wait);
        }
        (look, wait)
    }

    /// Whether it is being killed.
    pub fn is_killing(&self) -> bool {
        self.killing.is_some()
    }

    /// Whether nothing but the cgroup's notice, if there is one, would tell of its end: then it is to be looked at again soon.
    pub fn is_loose(&self) -> bool {
        self.members.is_empty()
    }

    /// A member that is held has ended. Whether it is time for another look: no other is held.
    pub fn member_ended(&mut self, pid: Pid, poller: &mut Poller) -> bool {
        for (_, fd, token) in self.members.extract_if(.., |(held, ..)| *held == pid) {
            poller.remove(&fd, token);
        }
        self.members.is_empty()
    }

    /// Holds pidfds of members unless it still does, so that the end of the last one is not missed; the cgroup's own
    /// notice, which comes late, is for those that appear afterwards.
    fn hold(&mut self, owner: Owner, poller: &mut Poller) {
        if !self.watched {
            self.watched = self.tree.watch().is_ok();
        }
        if !self.members.is_empty() {
            return;
        }
        for pid in self.tree.members().unwrap_or_default().into_iter().take(MAX_HELD) {
            // Opened first, proved then: the pid cannot have changed hands in between.
            let Ok(Some(fd)) = identity::open(pid) else { continue };
            if !self.tree.contains(pid).unwrap_or(false) {
                continue;
            }
            if let Ok(token) = poller.add(&fd, Source::Member(owner, pid)) {
                self.members.push((pid, fd, token));
            }
        }
    }

    /// Forgets the members it holds.
    pub fn let_go(&mut self, poller: &mut Poller) {
        for (_, fd, token) in self.members.drain(..) {
            poller.remove(&fd, token);
        }
    }
}
