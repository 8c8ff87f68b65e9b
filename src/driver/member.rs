//! Doing something to the members of a tree by their pids, where the kernel has no call that takes anything better.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;

use super::identity;
use super::sys;
use crate::core::Pid;

/// So many are held on to at a time: each takes a descriptor.
const AT_ONCE: usize = 64;

/// Does something to those of these processes that are still members. None of them is mistaken for another that was given
/// its pid meanwhile: it is held on to first, then found among the members once more, and lives.
///
/// # Errors
/// Who is a member, or lives, cannot be told.
pub(super) fn each(
    pids: &[Pid],
    members: &impl Fn() -> io::Result<Vec<Pid>>,
    mut act: impl FnMut(Pid),
) -> io::Result<()> {
    for some in pids.chunks(AT_ONCE) {
        let mut held = Vec::with_capacity(some.len());
        for pid in some {
            if let Some(pidfd) = identity::open(*pid)? {
                held.push((*pid, pidfd));
            }
        }
        let still = members()?;
        // Whoever lives behind a pidfd had its pid when the members were listed, too.
        held.iter().filter(|(pid, pidfd)| still.contains(pid) && lives(pidfd)).for_each(|(pid, _)| act(*pid));
    }
    Ok(())
}

/// Whether it was not reaped yet, so that its pid is still its own.
fn lives(pidfd: &OwnedFd) -> bool {
    let asked = sys::pidfd_signal(pidfd.as_fd(), 0);
    !asked.is_err_and(|e| e.raw_os_error() == Some(Errno::ESRCH as i32))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio, id};

    use super::each;
    use crate::core::Pid;

    fn acted_on(pids: &[Pid], members: impl Fn() -> Vec<Pid>) -> Vec<Pid> {
        let mut acted = Vec::new();
        each(pids, &|| Ok(members()), |pid| acted.push(pid)).unwrap();
        acted
    }

    #[test]
    fn who_is_no_member_any_more_or_is_gone_is_left_alone() {
        let us = Pid(id());
        assert_eq!(acted_on(&[us], || vec![us]), [us]);
        assert_eq!(acted_on(&[us], Vec::new), []);
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let pid = Pid(child.id());
        assert_eq!(acted_on(&[us, pid], || vec![pid, us]), [us, pid]);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(acted_on(&[pid, us], || vec![pid, us]), [us]);
    }

    #[test]
    fn who_ends_while_the_members_are_listed_is_left_alone() {
        let child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let (pid, child) = (Pid(child.id()), std::cell::RefCell::new(child));
        let acted = acted_on(&[pid], || {
            let mut child = child.borrow_mut();
            child.kill().unwrap();
            child.wait().unwrap();
            vec![pid]
        });
        assert_eq!(acted, []);
    }
}
