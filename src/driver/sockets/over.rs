//! Listeners that are over: they listen no more, are in nobody's way, and their paths are removed.

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    self, Shutdown, SockType, SockaddrStorage, UnixAddr, getsockname, getsockopt, shutdown, sockopt,
};

use super::bind::{self, Have};
use super::path::{self, OwnFile};
use super::table::Bound;
use crate::driver::sys;
use crate::spec::{Listener, Place};

/// A path that nobody listens at any more.
pub(super) struct Leftover {
    file: Option<OwnFile>,
    /// Where the file is not known: it is removed if nobody else listens there.
    path: Option<(PathBuf, SockType)>,
    /// Keeps the file's number from being given to another file until then.
    _fd: Option<Arc<OwnedFd>>,
}

impl Leftover {
    /// What is left of a socket; none where it has no path, or one that is not ours to remove.
    pub fn of(have: Have) -> Option<Leftover> {
        if have.file.is_some() {
            return Some(Leftover { file: have.file, path: None, _fd: Some(have.fd) });
        }
        let path = getsockname::<UnixAddr>(have.fd.as_raw_fd()).ok()?.path().map(PathBuf::from)?;
        let kind = getsockopt(&have.fd, sockopt::SockType).ok()?;
        (!have.passed).then_some(Leftover { file: None, path: Some((path, kind)), _fd: None })
    }

    /// Removes the path, unless somebody else has it by now. Whoever calls this holds the lock on paths.
    pub fn remove(&self) {
        if let Some(file) = &self.file {
            file.remove();
        }
        if let Some((path, kind)) = &self.path {
            path::remove_dead(path, *kind);
        }
    }
}

/// Has a stream socket listen no more, in all of its copies: the anchor's, which is closed only some time later, then does
/// not keep anybody from binding its address, nor do clients wait in its queue.
pub(super) fn end_listening(have: &Have) {
    if !have.passed && getsockopt(&have.fd, sockopt::AcceptConn) == Ok(true) {
        let _ = shutdown(have.fd.as_raw_fd(), Shutdown::Both);
    }
}

/// Whether a listener is open to clients, after a program that shut it down, too: that is the same for all copies.
pub(super) fn listens(bound: &Bound) -> bool {
    if bound.passed {
        return true;
    }
    // A port that the kernel chose is nobody's after the socket was shut down: it is asked for again.
    if getsockopt(&bound.fd, sockopt::AcceptConn) == Ok(false)
        && let Some(at) = bound.address.strip_prefix("tcp:").and_then(|at| at.parse::<SocketAddr>().ok())
    {
        // Refused where the socket has its port still.
        let _ = socket::bind(bound.fd.as_raw_fd(), &SockaddrStorage::from(at));
    }
    // Is enough for TCP, and changes nothing where it listens.
    if bound.listener.address.is_stream() && sys::listen(bound.fd.as_fd(), bound.listener.backlog).is_err() {
        return false;
    }
    // Whether it was shut down for reading, too, has no name here.
    let shut = PollFlags::from_bits_retain(libc::POLLRDHUP);
    let mut polled = [PollFd::new(bound.fd.as_fd(), shut)];
    poll(&mut polled, PollTimeout::ZERO).is_ok_and(|told| told == 0)
}

/// Whether a socket is not one of these listeners, and keeps one of them from being bound.
pub(super) fn is_in_the_way(bound: &Bound, listeners: &[Listener], base: &Path) -> bool {
    let Ok(place) = bound.listener.address.place() else { return false };
    let place = match (place, bind::internet(bound.fd.as_fd())) {
        (Place::Internet(_), Some(at)) => Place::Internet(at),
        (place, _) => place,
    };
    let kind = bound.listener.address.kind();
    let meets = |listener: &Listener, whole: bool| {
        let same_kind = listener.address.kind() == kind;
        match (&place, listener.address.place()) {
            (Place::Internet(old), Ok(Place::Internet(new))) => {
                same_kind && if whole { is_it(*old, new) } else { overlaps(*old, new) }
            }
            (Place::Path(old), Ok(Place::Path(new))) => (same_kind || !whole) && base.join(old) == base.join(new),
            (Place::Abstract(old), Ok(Place::Abstract(new))) => (same_kind || !whole) && *old == new,
            _ => false,
        }
    };
    let stays = listeners.iter().any(|listener| meets(listener, true));
    !bound.passed && !stays && listeners.iter().any(|listener| meets(listener, false))
}

fn is_it(old: SocketAddr, new: SocketAddr) -> bool {
    old.ip() == new.ip() && (new.port() == 0 || new.port() == old.port())
}

fn overlaps(old: SocketAddr, new: SocketAddr) -> bool {
    // All of IPv6 are all of IPv4, too, unless the host says otherwise.
    let covers = |a: SocketAddr, b: SocketAddr| a.ip().is_unspecified() && (a.is_ipv6() || b.is_ipv4());
    new.port() == old.port() && (old.ip() == new.ip() || covers(old, new) || covers(new, old))
}

#[cfg(test)]
mod tests {
    use super::{is_it, overlaps};

    #[test]
    fn addresses_that_include_one_another_are_in_each_others_way() {
        let at = |text: &str| text.parse::<std::net::SocketAddr>().unwrap();
        for (a, b, meet) in [
            ("127.0.0.1:80", "0.0.0.0:80", true),
            ("127.0.0.1:80", "[::]:80", true),
            ("0.0.0.0:80", "[::]:80", true),
            ("[::1]:80", "[::]:80", true),
            ("[::1]:80", "0.0.0.0:80", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:80", "0.0.0.0:81", false),
        ] {
            assert_eq!((overlaps(at(a), at(b)), overlaps(at(b), at(a))), (meet, meet), "{a} {b}");
        }
        assert!(is_it(at("127.0.0.1:80"), at("127.0.0.1:0")) && !is_it(at("127.0.0.1:80"), at("0.0.0.0:80")));
    }
}
