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

/// Sends a signal to the members that `wanted` picks, until no new ones appear. Returns how many got it. The leader gets it
/// first: a shell whose command is ended by it must know why.
///
/// # Errors
/// A member was missed, for lack of a descriptor for example, after all others were told; or there are members, and each
/// one refused it.
pub(super) fn all(
    roll: &impl Roll,
    reserve: &Reserve,
    signal: Signal,
    leader: Option<Pid>,
    wanted: impl Fn(Pid) -> bool,
) -> io::Result<usize> {
    let mut telling = Telling { roll, signal, told: BTreeSet::new(), refused: None };
    let mut missed = None;
    for _ in 0..PASSES {
        let mut new = reserve.lend(|| roll.members())?;
        new.retain(|pid| !telling.told.contains(pid) && wanted(*pid));
        new.sort_by_key(|pid| Some(*pid) != leader);
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;
    use std::io;
    use std::process::{Child, Command, Stdio};

    use super::{Roll, all};
    use crate::core::Pid;
    use crate::driver::reserve::Reserve;
    use crate::spec::Signal;

    struct Members {
        pids: Vec<Pid>,
        asked: RefCell<Vec<Pid>>,
    }

    impl Roll for Members {
        fn members(&self) -> io::Result<Vec<Pid>> {
            Ok(self.pids.clone())
        }

        fn still(&self, pids: &[Pid]) -> io::Result<BTreeSet<Pid>> {
            self.asked.borrow_mut().extend(pids);
            Ok(pids.iter().copied().collect())
        }
    }

    fn cat() -> Child {
        Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
    }

    #[test]
    fn the_leader_is_told_first_whatever_its_number() {
        let children = [cat(), cat(), cat()];
        let pids: Vec<Pid> = children.iter().map(|child| Pid(child.id())).collect();
        let roll = Members { pids: pids.clone(), asked: RefCell::default() };
        assert_eq!(all(&roll, &Reserve::new(), Signal::TERM, Some(pids[2]), |_| true).unwrap(), 3);
        assert_eq!(roll.asked.into_inner(), [pids[2], pids[0], pids[1]]);
        for mut child in children {
            assert_eq!(std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap()), Some(15));
        }
    }
}
