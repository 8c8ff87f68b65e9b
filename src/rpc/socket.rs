//! The control socket: who can reach it, and who was there before.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::socket::sockopt::PeerCredentials;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, getsockopt, listen, socket,
};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::geteuid;

use crate::driver::sys::high_fd;

/// Connections that the kernel may queue.
const BACKLOG: i32 = 128;
/// What the socket's mode is: its user's alone.
const MODE: u32 = 0o600;
/// How often, and how far apart, the folder's lock is tried for.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// Somebody answers there.
    #[error("an instance is already served at {}{}", .path.display(), with_pid(.pid))]
    Live {
        /// The socket.
        path: PathBuf,
        /// Who made it.
        pid: Option<i32>,
    },
    /// Others could put a socket of theirs there.
    #[error("the control socket cannot be made in {}: {why}", .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// Something else is there.
    #[error("{} is there already and {what}: remove it, or name another (--socket, NEAP_SOCKET)", .path.display())]
    InTheWay {
        /// The path.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// The kernel refused.
    #[error("cannot make the control socket {}: {what}: {source}", .path.display())]
    System {
        /// The socket.
        path: PathBuf,
        /// What was being done.
        what: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
}

fn with_pid(pid: &Option<i32>) -> String {
    pid.map_or_else(String::new, |pid| format!(", by pid {pid}"))
}

/// Makes the control socket, which only this user and root can reach, from its first moment and whatever the umask.
///
/// Its folder is made (mode 0700) when it is not there, and refused when others could replace the socket in it. A
/// socket that nobody answers on any more is replaced.
///
/// # Errors
/// [`SocketError`], with what to do.
pub fn bind_control_socket(path: &Path) -> Result<UnixListener, SocketError> {
    let system = |what| move |source: io::Error| SocketError::System { path: path.to_owned(), what, source };
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(system("making its folder"))?;
    let opened = std::fs::File::open(&folder).map_err(system("opening its folder"))?;
    let looking = "looking at its folder";
    check_link(&folder, &std::fs::symlink_metadata(&folder).map_err(system(looking))?)?;
    check_folder(&folder, &opened.metadata().map_err(system(looking))?)?;
    for above in folder.canonicalize().map_err(system(looking))?.ancestors().skip(1) {
        check_above(&folder, above, &std::fs::metadata(above).map_err(system(looking))?)?;
    }
    // Two that find the same dead socket must not both replace it.
    let _lock = lock(opened);
    let address = address(path).map_err(system("naming it"))?;
    match listening(&address) {
        Err(Errno::EADDRINUSE) => {
            clear(path, &address)?;
            listening(&address)
        }
        result => result,
    }
    .map_err(io::Error::from)
    .and_then(|listener| {
        // A umask may have taken bits away; none can have been added.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(MODE))?;
        Ok(UnixListener::from(high_fd(listener)))
    })
    .map_err(system("binding it"))
}

fn refused(folder: &Path, why: String) -> Result<(), SocketError> {
    Err(SocketError::Folder { folder: folder.to_owned(), why })
}

/// Refuses a folder in which others could put something else in the socket's place, now or once it is gone.
fn check_folder(folder: &Path, found: &std::fs::Metadata) -> Result<(), SocketError> {
    let (owner, mode, us) = (found.uid(), found.mode() & 0o7777, geteuid().as_raw());
    if owner != us && owner != 0 {
        return refused(folder, format!("it belongs to uid {owner}, who could replace it; use a folder of uid {us}"));
    }
    if mode & 0o022 != 0 && mode & 0o1000 != 0 {
        let why = format!(
            "others may write there (mode {mode:04o}), and could put a socket of theirs there whenever this one is \
             gone; use a folder in it"
        );
        return refused(folder, why);
    }
    if mode & 0o022 != 0 {
        return refused(
            folder,
            format!("others may write there (mode {mode:04o}) and could replace it; chmod go-w it"),
        );
    }
    Ok(())
}

/// Refuses a link that another could lead elsewhere.
fn check_link(folder: &Path, found: &std::fs::Metadata) -> Result<(), SocketError> {
    let (owner, us) = (found.uid(), geteuid().as_raw());
    if found.is_symlink() && owner != us && owner != 0 {
        return refused(folder, format!("it is a link of uid {owner}'s, who could lead it elsewhere; name a folder"));
    }
    Ok(())
}

/// Refuses a folder on the way that all may write to: whoever renames what is in it could replace the whole way. In a
/// sticky one (/tmp) nobody can rename what is ours.
fn check_above(folder: &Path, above: &Path, found: &std::fs::Metadata) -> Result<(), SocketError> {
    let mode = found.mode() & 0o7777;
    if mode & 0o002 != 0 && mode & 0o1000 == 0 {
        let above = above.display();
        return refused(
            folder,
            format!("others may write to {above} above it (mode {mode:04o}) and could replace it; chmod o-w {above}"),
        );
    }
    Ok(())
}

/// The folder's lock, when it is to be had in time: who holds it for long is up to something else.
fn lock(mut folder: std::fs::File) -> Option<Flock<std::fs::File>> {
    for _ in 0..LOCK_TRIES {
        match Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
            Ok(locked) => return Some(locked),
            Err((back, _)) => folder = back,
        }
        std::thread::sleep(LOCK_PAUSE);
    }
    None
}

fn listening(address: &UnixAddr) -> Result<OwnedFd, Errno> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let listener = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    // The kernel gives the path the mode of the socket: so there is no moment in which it has a wider one.
    fchmod(&listener, Mode::from_bits_truncate(MODE))?;
    bind(listener.as_raw_fd(), address)?;
    listen(&listener, Backlog::new(BACKLOG)?)?;
    Ok(listener)
}

/// Removes what nobody answers on; refuses when somebody does, or when it is not ours to remove.
fn clear(path: &Path, address: &UnixAddr) -> Result<(), SocketError> {
    let in_the_way = |what| Err(SocketError::InTheWay { path: path.to_owned(), what });
    let system = |what| move |source: io::Error| SocketError::System { path: path.to_owned(), what, source };
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(system("looking at what is there")(source)),
    };
    if !found.file_type().is_socket() {
        return in_the_way("is no socket");
    }
    let us = geteuid().as_raw();
    if found.uid() != us {
        return in_the_way("belongs to another user");
    }
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let client = socket(AddressFamily::Unix, SockType::Stream, flags, None)
        .map_err(|errno| system("asking who is there")(errno.into()))?;
    match connect(client.as_raw_fd(), address) {
        Ok(()) => {
            let pid = getsockopt(&client, PeerCredentials).ok().map(|peer| peer.pid());
            Err(SocketError::Live { path: path.to_owned(), pid })
        }
        // Its queue is full: somebody is there, if slow.
        Err(Errno::EAGAIN) => Err(SocketError::Live { path: path.to_owned(), pid: None }),
        Err(Errno::ECONNREFUSED) => match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(system("removing a dead one")(error)),
            _ => Ok(()),
        },
        Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(system("asking who is there")(errno.into())),
    }
}

/// The socket's address; the kernel's has room for 107 bytes of path.
fn address(path: &Path) -> io::Result<UnixAddr> {
    if path.as_os_str().as_encoded_bytes().contains(&0) {
        // The kernel would take it for an abstract name, which has no mode: anybody could connect.
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a path has no NUL, and a name that is none no mode"));
    }
    UnixAddr::new(path).map_err(|errno| match errno {
        Errno::ENAMETOOLONG => {
            let text = format!(
                "a socket's path has at most 107 bytes, this has {}; name a shorter one",
                path.as_os_str().len()
            );
            io::Error::new(io::ErrorKind::InvalidInput, text)
        }
        errno => errno.into(),
    })
}
