//! Packets with at most one descriptor, over a socket that keeps their bounds. Nothing here allocates.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use super::checked;
use super::fd::owned;

/// Room for one descriptor's control message, aligned as the kernel wants it.
#[repr(C)]
struct Control {
    head: libc::cmsghdr,
    fd: RawFd,
    rest: RawFd,
}

/// How long a control message with one descriptor is.
const CONTROL: usize = size_of::<libc::cmsghdr>() + size_of::<RawFd>();

/// What came.
#[derive(Debug)]
pub struct Packet {
    /// How many bytes; 0 when the other end is closed.
    pub length: usize,
    /// The descriptor that came with it.
    pub fd: Option<OwnedFd>,
    /// Bytes or descriptors were cut off: too long a packet, too many descriptors, or none free for what came.
    pub cut: bool,
}

/// Sends a packet, whole or not at all, without waiting. `EAGAIN`: there is no room now. `EPIPE`: the other end is closed.
pub fn send_packet(socket: BorrowedFd<'_>, bytes: &[u8], fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: zeroes are a valid header of a control message, and a valid message without any part.
    let (head, mut message) = unsafe {
        (MaybeUninit::<libc::cmsghdr>::zeroed().assume_init(), MaybeUninit::<libc::msghdr>::zeroed().assume_init())
    };
    let mut control = Control { head, fd: -1, rest: 0 };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    if let Some(fd) = fd {
        control.fd = fd.as_raw_fd();
        control.head.cmsg_len = CONTROL as _;
        control.head.cmsg_level = libc::SOL_SOCKET;
        control.head.cmsg_type = libc::SCM_RIGHTS;
        message.msg_control = (&raw mut control).cast();
        message.msg_controllen = size_of::<Control>() as _;
    }
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    loop {
        // SAFETY: the message leads to `part`, which leads to `bytes`, and to `control`: all of them outlive the call, and
        // the kernel only reads them.
        match checked(unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, flags) } as i64) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => return other.map(drop),
        }
    }
}

/// Takes the next packet, without waiting. `EAGAIN`: there is none.
pub fn receive_packet(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Packet> {
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut control = MaybeUninit::<Control>::zeroed();
    // SAFETY: zeroes are a valid message without any part.
    let mut message = unsafe { MaybeUninit::<libc::msghdr>::zeroed().assume_init() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = CONTROL as _;
    let flags = libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT;
    let length = loop {
        // SAFETY: the message leads to `part`, which leads to `buffer`, and to `control`, with their true lengths.
        match checked(unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) } as i64) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
            Ok(length) => break length as usize,
        }
    };
    // SAFETY: zeroed before, and written by the kernel at most: every field is a number.
    let control = unsafe { control.assume_init() };
    let rights = control.head.cmsg_level == libc::SOL_SOCKET && control.head.cmsg_type == libc::SCM_RIGHTS;
    // There is room for one and no more: what else was sent, the kernel has closed.
    let came = message.msg_controllen >= CONTROL && rights && control.head.cmsg_len >= CONTROL;
    let fd = came.then(|| owned(control.fd.into()));
    Ok(Packet { length, fd, cut: message.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0 })
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{self, Read, Write};
    use std::os::fd::AsFd;

    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    use super::{receive_packet, send_packet};

    #[test]
    fn packets_keep_their_bounds_and_bring_their_descriptor() {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        send_packet(ours.as_fd(), b"one", None).unwrap();
        send_packet(ours.as_fd(), b"two", Some(writer.as_fd())).unwrap();
        drop(writer);
        let mut buffer = [0; 16];
        let one = receive_packet(theirs.as_fd(), &mut buffer).unwrap();
        assert!((one.length, one.fd.is_none(), one.cut) == (3, true, false));
        let two = receive_packet(theirs.as_fd(), &mut buffer[..2]).unwrap();
        assert!(two.cut && &buffer[..2] == b"tw");
        File::from(two.fd.unwrap()).write_all(b"through").unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
        let none = receive_packet(theirs.as_fd(), &mut buffer).unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::WouldBlock);
        drop(ours);
        assert_eq!(receive_packet(theirs.as_fd(), &mut buffer).unwrap().length, 0);
        let gone = send_packet(theirs.as_fd(), b"x", None).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::BrokenPipe);
    }
}
