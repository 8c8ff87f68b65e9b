//! From a spec's listeners to bound sockets: those that are there already are taken, the others are made. All of it may
//! block, and none of it is done on the engine's thread.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, getsockname, getsockopt, socket, sockopt};
use nix::sys::stat::{Mode, fchmod};

use super::holder;
use super::path::{self, Dress, FileId, NoPath, OwnFile};
use crate::core::{SpawnError, SpawnStep};
use crate::driver::sys::fault::{self, Call};
use crate::driver::{creds, sys};
use crate::spec::{ListenAddress, Listener, Place, Spec};

/// What is to be bound.
pub(super) struct Request {
    pub spec: Arc<Spec>,
    /// Base of relative paths.
    pub base: PathBuf,
    /// What the process has already.
    pub have: Vec<Have>,
    /// Whether what is missing stays so.
    pub only_claim: bool,
    /// Held while a path is made or removed.
    pub paths: Arc<Mutex<()>>,
    /// What a service manager passed to this instance: not ours to change, or to close for good.
    pub passed: Arc<[Arc<OwnedFd>]>,
}

/// A socket that is there already, of which the kernel says what it is.
#[derive(Clone)]
pub(super) struct Have {
    /// Under which number the anchor holds it.
    pub slot: u8,
    pub fd: Arc<OwnedFd>,
    /// Its file, where that is known.
    pub file: Option<OwnFile>,
    /// Whether a service manager passed it to this instance.
    pub passed: bool,
}

/// A listener, bound.
#[derive(Debug)]
pub(crate) struct Found {
    /// The number of what was there already.
    pub(super) slot: Option<u8>,
    /// Whether a service manager passed it to this instance.
    pub(super) passed: bool,
    pub(super) listener: Listener,
    pub(super) fd: Arc<OwnedFd>,
    pub(super) file: Option<OwnFile>,
    /// Where it listens, with the port that the kernel chose.
    pub(super) address: String,
}

impl Found {
    /// Undoes what was made for nothing.
    pub(super) fn undo(self) {
        if self.slot.is_none()
            && let Some(file) = self.file
        {
            drop(self.fd);
            file.remove();
        }
    }
}

/// Binds all listeners of a spec, or none more than were.
pub(super) fn bind_all(request: &Request) -> Result<Vec<Found>, SpawnError> {
    let mut have = request.have.clone();
    let mut found = Vec::with_capacity(request.spec.listen.len());
    for listener in &request.spec.listen {
        let one = match claim(request, listener, &mut have) {
            Ok(None) => match passed(request, listener) {
                Some(passed) => Ok(passed),
                None if request.only_claim => continue,
                None => make(request, listener),
            },
            Ok(Some(claimed)) => Ok(claimed),
            Err(error) => Err(error),
        };
        match one {
            Ok(one) => found.push(one),
            Err(error) => {
                let _only_one = request.paths.lock().unwrap_or_else(PoisonError::into_inner);
                found.into_iter().for_each(Found::undo);
                return Err(error);
            }
        }
    }
    Ok(found)
}

/// Takes the socket that is there already for a listener, with what is new of it.
fn claim(request: &Request, listener: &Listener, have: &mut Vec<Have>) -> Result<Option<Found>, SpawnError> {
    let is_it = |have: &Have| is_at(have, &listener.address, &request.base) && is_proven(have, listener, &request.base);
    let Some(at) = have.iter().position(is_it) else { return Ok(None) };
    let Have { slot, fd, file, passed } = have.swap_remove(at);
    let mut found = Found { slot: Some(slot), listener: listener.clone(), address: String::new(), fd, file, passed };
    if passed {
        found.address = where_it_is(found.fd.as_fd(), listener);
        return Ok(Some(found));
    }
    if listener.address.is_stream() {
        sys::listen(found.fd.as_fd(), listener.backlog).map_err(|e| failed(listener, "cannot listen", &e))?;
    }
    match &listener.address {
        ListenAddress::Fifo(path) => {
            let path = request.base.join(path);
            let file = path::keep_fifo(&path, found.fd.as_fd(), dress(listener)?);
            found.file = Some(file.map_err(|e| no_path(listener, &request.base, e))?);
        }
        address => {
            if let Ok(Place::Path(path)) = address.place() {
                let (path, dress) = (request.base.join(path), dress(listener)?);
                let known = found.file.as_ref().map(|file| file.id);
                let file = path::dress_bound(&path, found.fd.as_fd(), known, dress);
                found.file = Some(file.map_err(|e| no_path(listener, &request.base, e))?);
            }
        }
    }
    found.address = where_it_is(found.fd.as_fd(), listener);
    Ok(Some(found))
}

/// The socket that a service manager passed for this address.
fn passed(request: &Request, listener: &Listener) -> Option<Found> {
    let is_it = |fd: &&Arc<OwnedFd>| {
        is_at(&Have { slot: 0, fd: (*fd).clone(), file: None, passed: true }, &listener.address, &request.base)
    };
    let fd = request.passed.iter().find(is_it)?.clone();
    let address = where_it_is(fd.as_fd(), listener);
    Some(Found { slot: None, listener: listener.clone(), fd, file: None, address, passed: true })
}

/// Whether the path of a socket is known to be its own: an earlier supervisor's may have been replaced by a stranger's.
fn is_proven(have: &Have, listener: &Listener, base: &Path) -> bool {
    match listener.address.place() {
        Ok(Place::Path(path)) if !matches!(listener.address, ListenAddress::Fifo(_)) => {
            let owner = || dress(listener).ok().and_then(|dress| dress.owner);
            have.passed || have.file.is_some() || path::is_bound_to(&base.join(path), have.fd.as_fd(), owner())
        }
        _ => true,
    }
}

/// Whether this socket is one that listens at this address, for everybody to find.
fn is_at(have: &Have, address: &ListenAddress, base: &Path) -> bool {
    let fd = have.fd.as_fd();
    if have.file.as_ref().is_some_and(|file| !file.is_there()) {
        return false;
    }
    if let ListenAddress::Fifo(path) = address {
        let ours = fd.try_clone_to_owned().ok().and_then(|fd| std::fs::File::from(fd).metadata().ok());
        let is_fifo = ours.as_ref().is_some_and(|metadata| metadata.file_type().is_fifo());
        return is_fifo && ours.as_ref().map(FileId::of) == FileId::at(&base.join(path));
    }
    if getsockopt(&fd, sockopt::SockType) != Ok(kind(address)) {
        return false;
    }
    match address.place() {
        Ok(Place::Internet(wanted)) => internet(fd)
            .is_some_and(|bound| bound.ip() == wanted.ip() && (wanted.port() == 0 || bound.port() == wanted.port())),
        Ok(Place::Path(path)) => {
            let path = base.join(path);
            let there = std::fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.file_type().is_socket());
            there && getsockname::<UnixAddr>(fd.as_raw_fd()).is_ok_and(|bound| bound.path() == Some(&path))
        }
        Ok(Place::Abstract(name)) => {
            getsockname::<UnixAddr>(fd.as_raw_fd()).is_ok_and(|bound| bound.as_abstract() == Some(name))
        }
        Err(_) => false,
    }
}

/// The internet address that a socket is bound to.
pub(super) fn internet(fd: BorrowedFd<'_>) -> Option<SocketAddr> {
    // Asks for the name of any socket; one of another family has none.
    TcpListener::from(fd.try_clone_to_owned().ok()?).local_addr().ok()
}

/// The type of a listener's socket.
pub(super) fn kind(address: &ListenAddress) -> SockType {
    match address {
        ListenAddress::Tcp(_) | ListenAddress::Unix(_) => SockType::Stream,
        ListenAddress::Udp(_) | ListenAddress::UnixDgram(_) | ListenAddress::Fifo(_) => SockType::Datagram,
        ListenAddress::UnixSeqpacket(_) => SockType::SeqPacket,
    }
}

fn make(request: &Request, listener: &Listener) -> Result<Found, SpawnError> {
    let address = &listener.address;
    let (fd, file) = match address.place() {
        Err(why) => {
            let message = format!("cannot listen at `{address}`: {why}");
            return Err(SpawnError { step: SpawnStep::Socket, errno: None, message });
        }
        Ok(Place::Internet(at)) => (make_internet(listener, &request.base, at)?, None),
        Ok(Place::Abstract(name)) => {
            let at = UnixAddr::new_abstract(name).map_err(|e| failed(listener, "cannot bind", &e.into()))?;
            (make_unix(listener, &at).map_err(|e| not_bound(listener, &request.base, &e))?, None)
        }
        Ok(Place::Path(path)) => {
            let path = request.base.join(path);
            let _only_one = request.paths.lock().unwrap_or_else(PoisonError::into_inner);
            let (fd, file) = match address {
                ListenAddress::Fifo(_) => {
                    path::open_fifo(&path, dress(listener)?).map_err(|e| no_path(listener, &request.base, e))?
                }
                _ => make_at_path(listener, &request.base, &path)?,
            };
            (fd, Some(file))
        }
    };
    let fd = sys::high_fd(fd);
    let address = where_it_is(fd.as_fd(), listener);
    let made = Found { slot: None, listener: listener.clone(), fd: Arc::new(fd), file, address, passed: false };
    if let Err(error) = set_blocking(made.fd.as_fd(), listener.accept.is_none()) {
        let error = failed(listener, "cannot set it up", &error);
        let _only_one = request.paths.lock().unwrap_or_else(PoisonError::into_inner);
        made.undo();
        return Err(error);
    }
    Ok(made)
}

fn make_internet(listener: &Listener, base: &Path, at: SocketAddr) -> Result<OwnedFd, SpawnError> {
    let make = || -> io::Result<OwnedFd> {
        fault::point(Call::Bind)?;
        if !listener.address.is_stream() {
            return Ok(UdpSocket::bind(at)?.into());
        }
        // With SO_REUSEADDR: connections of an earlier listener that are still being closed do not stand in the way.
        let fd = OwnedFd::from(TcpListener::bind(at)?);
        sys::listen(fd.as_fd(), listener.backlog)?;
        Ok(fd)
    };
    make().map_err(|e| not_bound(listener, base, &e))
}

fn make_unix(listener: &Listener, at: &UnixAddr) -> io::Result<OwnedFd> {
    fault::point(Call::Bind)?;
    let fd = socket(AddressFamily::Unix, kind(&listener.address), SockFlag::SOCK_CLOEXEC, None)?;
    // Its file has the socket's mode from the start: nobody is let in before it is set.
    fchmod(&fd, Mode::empty())?;
    bind(fd.as_raw_fd(), at)?;
    if listener.address.is_stream() && at.path().is_none() {
        sys::listen(fd.as_fd(), listener.backlog)?;
    }
    Ok(fd)
}

fn make_at_path(listener: &Listener, base: &Path, path: &Path) -> Result<(OwnedFd, OwnFile), SpawnError> {
    let dress = dress(listener)?;
    let room = path::make_room(path, kind(&listener.address)).map_err(|e| no_path(listener, base, e))?;
    let at = UnixAddr::new(path).map_err(|e| failed(listener, "its path is too long for a socket", &e.into()))?;
    let fd = make_unix(listener, &at).map_err(|e| not_bound(listener, base, &e))?;
    let file = room.dress_new(path, fd.as_fd(), dress).map_err(|e| no_path(listener, base, e))?;
    if listener.address.is_stream()
        && let Err(error) = sys::listen(fd.as_fd(), listener.backlog)
    {
        file.remove();
        return Err(failed(listener, "cannot listen", &error));
    }
    Ok((fd, file))
}

fn dress(listener: &Listener) -> Result<Dress, SpawnError> {
    let owner = match (&listener.user, &listener.group) {
        (None, None) => None,
        (user, group) => {
            let account = creds::resolve(user.as_deref(), group.as_deref(), Some(&[]))
                .map_err(|error| SpawnError { step: SpawnStep::Socket, ..error })?;
            account.ids.map(|ids| (ids.uid, ids.gid))
        }
    };
    Ok(Dress { mode: listener.mode, owner })
}

/// Where a socket listens, for people.
fn where_it_is(fd: BorrowedFd<'_>, listener: &Listener) -> String {
    match internet(fd) {
        Some(at) => format!("{}:{at}", listener.address.kind()),
        None => listener.address.to_string(),
    }
}

/// Makes every copy of a descriptor wait, or not.
pub(super) fn set_blocking(fd: BorrowedFd<'_>, blocks: bool) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    let mut wanted = flags;
    wanted.set(OFlag::O_NONBLOCK, !blocks);
    if wanted != flags {
        fcntl(fd, FcntlArg::F_SETFL(wanted))?;
    }
    Ok(())
}

fn not_bound(listener: &Listener, base: &Path, error: &io::Error) -> SpawnError {
    let what = match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EADDRINUSE) => return in_use(listener, base),
        Some(Errno::EADDRNOTAVAIL) => "this host does not have that address",
        Some(Errno::EACCES) if listener.address.path().is_none() => {
            "it takes privileges: a port below 1024 is for root, or CAP_NET_BIND_SERVICE"
        }
        _ => "cannot bind a socket there",
    };
    failed(listener, what, error)
}

fn in_use(listener: &Listener, base: &Path) -> SpawnError {
    let advice = "end that, or choose another address";
    let message = match holder::of(&listener.address, base) {
        Some(holder) => format!("it is in use by another program, {holder}: {advice}"),
        None => format!("it is in use by another program: {advice} (as root, `ss -lnp` says who has it)"),
    };
    let message = format!("cannot listen at `{}`: {message}", listener.address);
    SpawnError { step: SpawnStep::Socket, errno: Some(Errno::EADDRINUSE as i32), message }
}

fn no_path(listener: &Listener, base: &Path, error: NoPath) -> SpawnError {
    let why = match error {
        NoPath::InUse => return in_use(listener, base),
        NoPath::Failed(what, error) => return failed(listener, what, &error),
        NoPath::NotOurs(kind) => {
            format!("what is there is no {kind}, and is a file that is not ours: move it away, or choose another path")
        }
        NoPath::Strangers(uid) => {
            format!("what is there is a FIFO of the user {uid}, and is not ours: remove it, or choose another path")
        }
    };
    let message = format!("cannot listen at `{}`: {why}", listener.address);
    SpawnError { step: SpawnStep::Socket, errno: Some(Errno::EEXIST as i32), message }
}

fn failed(listener: &Listener, what: &str, error: &io::Error) -> SpawnError {
    let message = format!("cannot listen at `{}`: {what}: {error}", listener.address);
    SpawnError { step: SpawnStep::Socket, errno: error.raw_os_error(), message }
}
