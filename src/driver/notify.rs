//! Notify sockets (sd_notify(3)): one a process, in a folder that its user can reach.

use std::fs;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, UnixCredentials, bind, recvmsg,
    setsockopt, socket, sockopt,
};

use super::sys;

/// Longer datagrams are dropped whole.
const MAX_DATAGRAM: usize = 16 << 10;
/// What is kept of a status.
const MAX_STATUS: usize = 4096;
/// Descriptors that the kernel lets one datagram carry.
const MAX_FDS: usize = 253;

/// One assignment of a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Assignment {
    Ready,
    Status(String),
    Reloading,
    Stopping,
    Watchdog,
    WatchdogTrigger,
    WatchdogInterval(Duration),
    /// Not proved yet.
    MainPid(u32),
    ExtendTimeout(Duration),
}

/// What one receive came to.
#[derive(Debug)]
pub(crate) enum Received {
    /// From this pid, as the kernel says.
    Message { sender: u32, assignments: Vec<Assignment> },
    /// Dropped: too long, not text, or without credentials.
    Garbage,
    /// Nothing waits.
    Nothing,
}

/// A process's notify socket. Dropping it removes its path.
#[derive(Debug)]
pub(crate) struct NotifySocket {
    fd: OwnedFd,
    path: PathBuf,
    keep_path: bool,
}

impl NotifySocket {
    /// Binds a socket at this path, which is replaced, for this user.
    pub fn bind(path: &Path, owner: Option<(u32, u32)>) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
        setsockopt(&fd, sockopt::PassCred, &true)?;
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        bind(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
        let notify = NotifySocket { fd, path: path.to_owned(), keep_path: false };
        notify.give_to(owner)?;
        Ok(notify)
    }

    /// Goes on with a socket that a supervisor before us bound at this path.
    pub fn inherit(fd: OwnedFd, path: PathBuf) -> Self {
        NotifySocket { fd, path, keep_path: false }
    }

    /// Makes it this user's, who alone may then send.
    pub fn give_to(&self, owner: Option<(u32, u32)>) -> io::Result<()> {
        fs::set_permissions(&self.path, fs::Permissions::from_mode(0o600))?;
        match owner {
            Some((uid, gid)) => std::os::unix::fs::lchown(&self.path, Some(uid), Some(gid)),
            None => Ok(()),
        }
    }

    /// Leaves the path alone when it is dropped: it is another socket's by now.
    pub fn keep_path(mut self) {
        self.keep_path = true;
    }

    /// Takes one datagram. Descriptors that came with it are left in the buffer. To close them answers BARRIER=1: all
    /// that was sent before has been taken by then.
    pub fn receive(&self, buffer: &mut NotifyBuffer) -> Received {
        self.read(buffer, MsgFlags::empty())
    }

    /// Looks at the datagram that would be taken next. Of descriptors that came with it copies are left in the buffer, too.
    pub fn peek(&self, buffer: &mut NotifyBuffer) -> Received {
        self.read(buffer, MsgFlags::MSG_PEEK)
    }

    fn read(&self, buffer: &mut NotifyBuffer, flags: MsgFlags) -> Received {
        let NotifyBuffer { bytes, control, received } = buffer;
        let mut parts = [IoSliceMut::new(bytes)];
        let flags = flags | MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let message = match recvmsg::<UnixAddr>(self.fd.as_raw_fd(), &mut parts, Some(control), flags) {
            Ok(message) => message,
            Err(Errno::EAGAIN) => return Received::Nothing,
            Err(_) => return Received::Garbage,
        };
        let mut sender: Option<UnixCredentials> = None;
        for part in message.cmsgs().into_iter().flatten() {
            match part {
                ControlMessageOwned::ScmRights(fds) => received.extend(fds.into_iter().map(sys::received)),
                ControlMessageOwned::ScmCredentials(credentials) => sender = Some(credentials),
                _ => {}
            }
        }
        let (length, whole) = (message.bytes, !message.flags.contains(MsgFlags::MSG_TRUNC));
        let text = bytes.get(..length).and_then(|b| std::str::from_utf8(b).ok());
        match (sender, text) {
            (Some(sender), Some(text)) if whole => match u32::try_from(sender.pid()) {
                Ok(pid) if pid > 0 => Received::Message { sender: pid, assignments: parse(text) },
                _ => Received::Garbage,
            },
            _ => Received::Garbage,
        }
    }
}

impl AsFd for NotifySocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for NotifySocket {
    fn drop(&mut self) {
        if !self.keep_path {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Room for one datagram, used for all.
pub(crate) struct NotifyBuffer {
    bytes: Vec<u8>,
    control: Vec<u8>,
    received: Vec<OwnedFd>,
}

impl NotifyBuffer {
    /// Room for the longest datagram with as many descriptors as the kernel allows: were there less, some that came
    /// could not be closed.
    pub fn new() -> Self {
        let control = cmsg_space!(UnixCredentials, [RawFd; MAX_FDS]);
        NotifyBuffer { bytes: vec![0; MAX_DATAGRAM], control, received: Vec::new() }
    }

    /// The descriptors that came with datagrams. To close one may take for ever, if its sender wills (a socket that
    /// lingers, a file of a file system that is a program): do not do that where others wait.
    pub fn take_received(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.received)
    }
}

/// The assignments that mean something to us; all others are for somebody else.
fn parse(text: &str) -> Vec<Assignment> {
    if text.trim_end_matches('\0').contains('\0') {
        return Vec::new();
    }
    text.trim_end_matches('\0').lines().filter_map(assignment).collect()
}

fn assignment(line: &str) -> Option<Assignment> {
    let (name, value) = line.split_once('=')?;
    let micros = || value.parse::<u64>().ok().map(Duration::from_micros);
    match (name, value) {
        ("READY", "1") => Some(Assignment::Ready),
        ("RELOADING", "1") => Some(Assignment::Reloading),
        ("STOPPING", "1") => Some(Assignment::Stopping),
        ("WATCHDOG", "1") => Some(Assignment::Watchdog),
        ("WATCHDOG", "trigger") => Some(Assignment::WatchdogTrigger),
        ("WATCHDOG_USEC", _) => micros().map(Assignment::WatchdogInterval),
        ("EXTEND_TIMEOUT_USEC", _) => micros().map(Assignment::ExtendTimeout),
        ("MAINPID", _) => value.parse().ok().filter(|pid| *pid > 0).map(Assignment::MainPid),
        ("STATUS", _) => Some(Assignment::Status(value.chars().take(MAX_STATUS).collect())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::IoSlice;
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::os::unix::net::UnixDatagram;
    use std::path::PathBuf;
    use std::time::Duration;

    use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
    use proptest::prelude::*;

    use super::{Assignment, NotifyBuffer, NotifySocket, Received, parse};

    struct Pair {
        socket: NotifySocket,
        client: UnixDatagram,
        buffer: NotifyBuffer,
    }

    fn pair(name: &str) -> Pair {
        let path: PathBuf = std::env::temp_dir().join(format!("neap-notify-{}-{name}", std::process::id()));
        let socket = NotifySocket::bind(&path, None).unwrap();
        let client = UnixDatagram::unbound().unwrap();
        client.connect(&path).unwrap();
        Pair { socket, client, buffer: NotifyBuffer::new() }
    }

    impl Pair {
        fn receive(&mut self) -> Received {
            self.socket.receive(&mut self.buffer)
        }

        fn expect(&mut self, wanted: &[Assignment]) {
            match self.receive() {
                Received::Message { sender, assignments } => {
                    assert_eq!(sender, std::process::id());
                    assert_eq!(assignments, wanted);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn assignments_are_read_and_others_passed_over() {
        let text = "READY=1\nSTATUS=all well = yes\nMAINPID=12\nWATCHDOG=1\nWATCHDOG=trigger\nWATCHDOG_USEC=2000000\n\
                    EXTEND_TIMEOUT_USEC=5\nRELOADING=1\nSTOPPING=1\nREADY=0\nMAINPID=0\nMAINPID=x\nFDSTORE=1\nnonsense\n";
        assert_eq!(
            parse(text),
            [
                Assignment::Ready,
                Assignment::Status("all well = yes".into()),
                Assignment::MainPid(12),
                Assignment::Watchdog,
                Assignment::WatchdogTrigger,
                Assignment::WatchdogInterval(Duration::from_secs(2)),
                Assignment::ExtendTimeout(Duration::from_micros(5)),
                Assignment::Reloading,
                Assignment::Stopping,
            ]
        );
        assert_eq!(parse("READY=1\0"), [Assignment::Ready]);
        assert_eq!(parse("READY=1\0STATUS=x"), []);
    }

    #[test]
    fn odd_datagrams_are_dropped_and_the_next_one_is_still_taken() {
        let mut pair = pair("odd");
        pair.client.send(b"").unwrap();
        pair.client.send(&[b'x'; 20_000]).unwrap();
        pair.client.send(b"READY=1\xff").unwrap();
        pair.client.send(b"READY=1").unwrap();
        pair.expect(&[]);
        assert!(matches!(pair.receive(), Received::Garbage));
        assert!(matches!(pair.receive(), Received::Garbage));
        pair.expect(&[Assignment::Ready]);
        assert!(matches!(pair.receive(), Received::Nothing));
    }

    #[test]
    fn descriptors_that_come_along_can_be_closed_which_answers_a_barrier() {
        let mut pair = pair("fds");
        let (reader, writer) = std::io::pipe().unwrap();
        let writer: OwnedFd = writer.into();
        let fds = [writer.as_raw_fd(); 200];
        let parts = [IoSlice::new(b"BARRIER=1")];
        let rights = [ControlMessage::ScmRights(&fds)];
        sendmsg::<()>(pair.client.as_raw_fd(), &parts, &rights, MsgFlags::empty(), None).unwrap();
        drop(writer);
        for _ in 0..2 {
            assert!(matches!(pair.socket.peek(&mut pair.buffer), Received::Message { .. }));
            assert_eq!(pair.buffer.take_received().len(), 200);
        }
        pair.expect(&[]);
        assert_eq!(pair.buffer.take_received().len(), 200);
        // Every copy is closed: the pipe has no writer left.
        let mut reader = File::from(OwnedFd::from(reader));
        assert_eq!(std::io::Read::read(&mut reader, &mut [0; 1]).unwrap(), 0);
    }

    proptest! {
        #[test]
        fn no_text_upsets_the_reader(text in any::<String>()) {
            for found in parse(&text) {
                if let Assignment::Status(status) = found {
                    prop_assert!(status.chars().count() <= 4096);
                }
            }
        }
    }
}
