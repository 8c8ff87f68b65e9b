//! A signal to all members of a tree, however many there are and however few descriptors.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::core::Pid;
use crate::spec::Signal;

use super::identity;
use super::reserve::Reserve;

/// How often it is repeated for members that appeared meanwhile.
const PASSES: usize = 8;
/// Members whose pidfds are open at a time.
const CHUNK: usize = 64;

/// Who is in a tree.
pub(super) trait Roll {
    /// Its live members.
    fn members(&self) -> io::Result<Vec<Pid>>;

    /// Those of these that are members now. A pidfd opened before is surely the member's: the pid was not given to
    /// somebody else before it was opened.
    fn still(&self, pids: &[Pid]) -> io::Result<BTreeSet<Pid>>;
}

/// Sends a signal to the members that `wanted` picks, until no new ones appear. Returns how many got it.
///
/// # Errors
/// A member was missed, for lack of a descriptor for example, after all others were told; or there are members, and each
/// one refused it.
pub(super) fn all(
    roll: &impl Roll,
    reserve: &Reserve,
    signal: Signal,
    wanted: impl Fn(Pid) -> bool,
) -> io::Result<usize> {
    let mut telling = Telling { roll, signal, told: BTreeSet::new(), refused: None };
    let mut missed = None;
    for _ in 0..PASSES {
        let mut new = reserve.lend(|| roll.members())?;
        new.retain(|pid| !telling.told.contains(pid) && wanted(*pid));
        // Whoever was missed before is among them, or has ended.
        missed = None;
        if new.is_empty() {
            break;
        }
        for chunk in new.chunks(CHUNK) {
            let Err(_) = telling.open(chunk).map(|opened| telling.tell(opened)) else { continue };
            // One by one: it may be that there is room for one.
            for pid in chunk {
                match reserve.lend(|| telling.open(std::slice::from_ref(pid))) {
                    Ok(opened) => telling.tell(opened),
                    Err(e) => missed = Some(e),
                }
            }
        }
    }
    match (missed, telling.refused) {
        (Some(e), _) => Err(e),
        (None, Some(e)) if telling.told.is_empty() => Err(e),
        _ => Ok(telling.told.len()),
    }
}

/// Members with a pidfd each.
type Opened = Vec<(Pid, OwnedFd)>;

struct Telling<'a, R> {
    roll: &'a R,
    signal: Signal,
    told: BTreeSet<Pid>,
    refused: Option<io::Error>,
}

impl<R: Roll> Telling<'_, R> {
    fn open(&self, pids: &[Pid]) -> io::Result<Opened> {
        open(self.roll, pids)
    }

    fn tell(&mut self, opened: Opened) {
        for (pid, pidfd) in opened {
            match identity::signal(pidfd.as_fd(), self.signal) {
                Ok(_) => drop(self.told.insert(pid)),
                Err(e) => self.refused = Some(e),
            }
        }
    }
}

/// Pidfds of those that are members: opened first, then proved, so that no pid changed hands in between.
pub(super) fn open(roll: &impl Roll, pids: &[Pid]) -> io::Result<Opened> {
    let mut opened = Vec::with_capacity(pids.len());
    for pid in pids {
        if let Some(pidfd) = identity::open(*pid)? {
            opened.push((*pid, pidfd));
        }
    }
    let found: Vec<Pid> = opened.iter().map(|(pid, _)| *pid).collect();
    let still = roll.still(&found)?;
    opened.retain(|(pid, _)| still.contains(pid));
    Ok(opened)
}
