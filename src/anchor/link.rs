//! The supervisor's end.

use std::env;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::SockType as SocketType;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, getsockopt, socketpair};

use super::key::Key;
use super::message::{HEAD, LONGEST, Reply, Request, VERSION};
use super::peer::Peer;
use crate::core::{ExitStatus, Pid};
use crate::driver::sys::{self, receive_packet, send_packet};

/// The variable with the number of the supervisor's descriptor.
pub(super) const VARIABLE: &str = "NEAP_ANCHOR";
/// How long the anchor may take to tell all that it holds.
const WELCOME_WITHIN: Duration = Duration::from_secs(30);
/// How long a message waits for room. The anchor only ever lets it wait when somebody has stopped it.
const ROOM_WITHIN: Duration = Duration::from_secs(1);
/// The same for the last word, without which the anchor would start the supervisor again.
const LAST_WITHIN: Duration = Duration::from_secs(10);
/// How long a new binary may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// How a process ended that had become the anchor's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its pid.
    pub pid: Pid,
    /// When it started (field 22 of `/proc/<pid>/stat`); 0 where that could not be learnt.
    pub start_time: u64,
    /// How it ended.
    pub status: ExitStatus,
}

/// How an upgrade went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpgradeOutcome {
    /// This is the new binary.
    Done,
    /// The new one was not ready in time, and was ended: this is the old one.
    Late,
    /// The new one ended, or could not be executed: this is the old one.
    Failed,
}

/// What the anchor kept for this supervisor.
#[derive(Debug)]
pub struct Inheritance {
    /// Descriptors of the ones before, and of the service manager.
    pub held: Vec<(Key, OwnedFd)>,
    /// Those that it holds, but that could not be passed on: this process may open no more.
    pub missing: Vec<Key>,
    /// What ended and was not forgotten yet, the oldest first.
    pub ended: Vec<Ended>,
    /// How many supervisors this anchor has started, with this one: 1 for the first.
    pub lives: u32,
    /// The anchor.
    pub anchor: Pid,
    /// How the upgrade went that the one before asked for.
    pub upgrade: Option<UpgradeOutcome>,
}

/// What the anchor says in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// A process that had become the anchor's has ended. Remembered until [`Link::forget`].
    Ended(Ended),
    /// This descriptor could not be taken: it will be lost with the supervisor.
    NotHeld(Key),
    /// The anchor is gone; nothing else comes. The link stays readable: wait for it no longer.
    Gone,
}

/// A supervisor's connection to its anchor. Readable when there are [`News`]. Clones are the same connection.
///
/// What is sent waits for room for a second at most, and not again while there is none; without an anchor it goes nowhere.
#[derive(Clone, Debug)]
pub struct Link(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    socket: OwnedFd,
    /// The last message found no room.
    stuck: AtomicBool,
}

impl Link {
    /// Whether an anchor started this process.
    pub fn is_there() -> bool {
        env::var_os(VARIABLE).is_some()
    }

    /// The one that this process was started with; `None` when no anchor started it. To be called once.
    pub fn from_env() -> io::Result<Option<Link>> {
        let Some(number) = env::var_os(VARIABLE) else { return Ok(None) };
        let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidInput, format!("{VARIABLE}={number:?}: {why}"));
        let fd = number.to_str().and_then(|text| text.parse().ok()).filter(|fd| *fd > 2);
        let fd = fd.ok_or_else(|| wrong("not the number of a descriptor; only an anchor sets this".to_owned()))?;
        let socket = sys::inherited(fd).map_err(|e| wrong(format!("{e}; only an anchor sets this")))?;
        getsockopt(&socket, SocketType).map_err(|e| wrong(format!("{e}; only an anchor sets this")))?;
        Ok(Some(Link::new(socket)))
    }

    /// A link and the anchor's end of it, for tests.
    pub fn pair() -> io::Result<(Link, Peer)> {
        let (ours, theirs) = pair()?;
        Ok((Link::new(ours), Peer::new(theirs)))
    }

    fn new(socket: OwnedFd) -> Link {
        Link(Arc::new(Inner { socket, stuck: AtomicBool::new(false) }))
    }

    /// Asks for all that the anchor kept, and waits for it. Once, before anything else.
    pub fn welcome(&self) -> io::Result<Inheritance> {
        self.send(Request::Hello { version: VERSION }, None, ROOM_WITHIN)?;
        let end = Instant::now() + WELCOME_WITHIN;
        let mut kept: Option<Inheritance> = None;
        loop {
            self.wait(PollFlags::POLLIN, end.saturating_duration_since(Instant::now()))?;
            let Some((reply, fd)) = self.next()? else { continue };
            match (reply, &mut kept) {
                (None, _) => return Err(Errno::ECONNRESET.into()),
                (Some(Reply::Refused { version }), _) => return Err(other_version(version)),
                (Some(Reply::Welcome { lives, anchor, upgrade }), _) => {
                    let (held, missing, ended) = Default::default();
                    kept = Some(Inheritance { held, missing, ended, lives, anchor, upgrade });
                }
                (Some(Reply::Held(key)), Some(kept)) => match fd {
                    Some(fd) => kept.held.push((key, fd)),
                    None => kept.missing.push(key),
                },
                (Some(Reply::Ended(ended)), Some(kept)) => kept.ended.push(ended),
                (Some(Reply::Welcomed), Some(_)) => return kept.ok_or_else(|| Errno::EPROTO.into()),
                (Some(_), _) => {}
            }
        }
    }

    /// Has the anchor hold a duplicate of this descriptor, for the supervisors to come; in place of the one that had this name.
    pub fn hold(&self, key: Key, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.send(Request::Hold(key), Some(fd), self.patience())
    }

    /// Has it close that.
    pub fn let_go(&self, key: Key) {
        self.tell(Request::LetGo(key));
    }

    /// Says that the oldest end that was told of this pid is dealt with. For each that was told, once, whether or not it
    /// was of interest: the anchor remembers 8,192.
    pub fn forget(&self, pid: Pid) {
        self.tell(Request::Forget(pid));
    }

    /// Says that this supervisor does its work: what was adopted is adopted, and clients are answered.
    pub fn ready(&self) {
        self.tell(Request::Ready);
    }

    /// Sends a text (`READY=1`, `WATCHDOG=1`, …) to the service manager, which listens to the anchor alone.
    pub fn notify(&self, text: &str) {
        self.tell(Request::Notify(text.as_bytes()));
    }

    /// The end of this supervisor that follows is on purpose: the anchor's as well, with this code.
    pub fn finished(&self, code: u8) {
        // Without an anchor there is nobody to tell.
        let _ = self.send(Request::Finished(code), None, LAST_WITHIN);
    }

    /// The end of this supervisor that follows is on purpose: the anchor executes this program next, and the present one
    /// again if that does not become ready. All that is to be kept is to be held before.
    pub fn upgrade(&self, binary: BorrowedFd<'_>) -> io::Result<()> {
        self.upgrade_within(binary, READY_WITHIN)
    }

    /// The same with a time of one's own.
    pub fn upgrade_within(&self, binary: BorrowedFd<'_>, ready_within: Duration) -> io::Result<()> {
        let ready_within = u32::try_from(ready_within.as_millis()).unwrap_or(u32::MAX);
        self.send(Request::Upgrade { ready_within }, Some(binary), LAST_WITHIN)
    }

    /// What is new, without waiting.
    pub fn receive(&self) -> io::Result<Option<News>> {
        while let Some((reply, _)) = self.next()? {
            match reply {
                None => return Ok(Some(News::Gone)),
                Some(Reply::Ended(ended)) => return Ok(Some(News::Ended(ended))),
                Some(Reply::NotHeld(key)) => return Ok(Some(News::NotHeld(key))),
                // The rest belongs to a welcome.
                Some(_) => {}
            }
        }
        Ok(None)
    }

    /// The next message that is one, or `Some(None)` at the end of all.
    fn next(&self) -> io::Result<Option<(Option<Reply>, Option<OwnedFd>)>> {
        let mut buffer = [0; HEAD];
        loop {
            let packet = match receive_packet(self.0.socket.as_fd(), &mut buffer) {
                Ok(packet) => packet,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                // Said once, when it died with something unread; what it said itself is still there.
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => continue,
                Err(e) => return Err(e),
            };
            if packet.length == 0 {
                return Ok(Some((None, None)));
            }
            if let Ok(reply) = Reply::decode(&buffer[..packet.length]) {
                return Ok(Some((Some(reply), packet.fd)));
            }
        }
    }

    fn patience(&self) -> Duration {
        if self.0.stuck.load(Ordering::Relaxed) { Duration::ZERO } else { ROOM_WITHIN }
    }

    /// What is lost with an anchor that is gone or stopped is lost.
    fn tell(&self, request: Request<'_>) {
        let _ = self.send(request, None, self.patience());
    }

    fn send(&self, request: Request<'_>, fd: Option<BorrowedFd<'_>>, patience: Duration) -> io::Result<()> {
        let mut buffer = [0; LONGEST];
        let length = request.encode(&mut buffer);
        let end = Instant::now() + patience;
        loop {
            match send_packet(self.0.socket.as_fd(), &buffer[..length], fd) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                sent => {
                    self.0.stuck.store(false, Ordering::Relaxed);
                    return sent;
                }
            }
            if let Err(e) = self.wait(PollFlags::POLLOUT, end.saturating_duration_since(Instant::now())) {
                self.0.stuck.store(true, Ordering::Relaxed);
                return Err(e);
            }
        }
    }

    fn wait(&self, flags: PollFlags, patience: Duration) -> io::Result<()> {
        let mut polled = [PollFd::new(self.0.socket.as_fd(), flags)];
        match poll(&mut polled, PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX)) {
            Ok(0) => Err(io::Error::new(io::ErrorKind::TimedOut, "the anchor does not answer: it is stopped or hangs")),
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.socket.as_fd()
    }
}

fn other_version(version: u16) -> io::Error {
    let text = format!(
        "the anchor speaks version {version} of its protocol, this binary version {VERSION}: an upgrade across this \
         needs a restart of the whole instance"
    );
    io::Error::new(io::ErrorKind::Unsupported, text)
}

/// Both ends of a connection, neither of which is inherited.
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?)
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read, Write};
    use std::os::fd::AsFd;

    use super::{Ended, Inheritance, Link, News, UpgradeOutcome};
    use crate::anchor::{Key, Reply, Request};
    use crate::core::{ExitStatus, Pid, ProcessId};
    use crate::driver::sys::send_packet;

    const ENDED: Ended = Ended { pid: Pid(12), start_time: 99, status: ExitStatus::Code(3) };

    fn nothing() -> Inheritance {
        let (held, missing, ended) = Default::default();
        Inheritance { held, missing, ended, lives: 1, anchor: Pid(1), upgrade: None }
    }

    #[test]
    fn a_welcome_brings_all_that_was_kept() {
        let (link, peer) = Link::pair().unwrap();
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"kept").unwrap();
        drop(writer);
        let held = vec![(Key::stdout(ProcessId(4)), reader.into())];
        let upgrade = Some(UpgradeOutcome::Late);
        let given = Inheritance { held, ended: vec![ENDED], lives: 7, upgrade, ..nothing() };
        peer.welcome(&given).unwrap();
        drop(given);
        let mut kept = link.welcome().unwrap();
        assert_eq!((kept.lives, kept.anchor, kept.upgrade), (7, Pid(1), upgrade));
        assert_eq!(kept.ended, [ENDED]);
        let (key, fd) = kept.held.pop().unwrap();
        assert_eq!(key, Key::stdout(ProcessId(4)));
        let mut text = String::new();
        std::fs::File::from(fd).read_to_string(&mut text).unwrap();
        assert_eq!(text, "kept");
        assert!(matches!(peer.receive().unwrap(), (Request::Hello { version: 1 }, None)));
    }

    #[test]
    fn another_version_is_refused_in_words() {
        let (link, peer) = Link::pair().unwrap();
        peer.send(&Reply::Refused { version: 9 }, None).unwrap();
        let error = link.welcome().unwrap_err().to_string();
        assert!(error.contains("version 9") && error.contains("version 1"), "{error}");
    }

    #[test]
    fn what_is_said_arrives_in_order_with_its_descriptor() {
        let (link, peer) = Link::pair().unwrap();
        let (reader, _writer) = io::pipe().unwrap();
        link.hold(Key::control(), reader.as_fd()).unwrap();
        link.let_go(Key::control());
        link.forget(Pid(5));
        link.ready();
        link.notify("READY=1");
        link.upgrade(reader.as_fd()).unwrap();
        link.finished(9);
        assert!(matches!(peer.receive().unwrap(), (Request::Hold(key), Some(_)) if key == Key::control()));
        assert!(matches!(peer.receive().unwrap(), (Request::LetGo(_), None)));
        assert!(matches!(peer.receive().unwrap(), (Request::Forget(Pid(5)), None)));
        assert!(matches!(peer.receive().unwrap(), (Request::Ready, None)));
        assert!(matches!(peer.receive().unwrap(), (Request::Notify(b""), None)), "texts are in `Peer::texts`");
        assert_eq!(peer.texts(), ["READY=1"]);
        assert!(matches!(peer.receive().unwrap(), (Request::Upgrade { ready_within: 30_000 }, Some(_))));
        assert!(matches!(peer.receive().unwrap(), (Request::Finished(9), None)));
    }

    #[test]
    fn news_come_one_by_one_and_the_end_of_the_anchor_is_the_last() {
        let (link, peer) = Link::pair().unwrap();
        assert_eq!(link.receive().unwrap(), None);
        peer.send(&Reply::Ended(ENDED), None).unwrap();
        send_packet(peer.as_fd(), b"nonsense", None).unwrap();
        peer.send(&Reply::NotHeld(Key::lock()), None).unwrap();
        link.notify("that it never reads");
        drop(peer);
        assert_eq!(link.receive().unwrap(), Some(News::Ended(ENDED)));
        assert_eq!(link.receive().unwrap(), Some(News::NotHeld(Key::lock())));
        assert_eq!(link.receive().unwrap(), Some(News::Gone));
        assert_eq!(link.receive().unwrap(), Some(News::Gone));
        link.ready();
        assert_eq!(link.hold(Key::lock(), link.as_fd()).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn an_anchor_that_takes_nothing_costs_one_wait_and_no_more() {
        let (link, peer) = Link::pair().unwrap();
        while send_packet(link.as_fd(), b"x", None).is_ok() {}
        assert_eq!(link.hold(Key::lock(), link.as_fd()).unwrap_err().kind(), io::ErrorKind::TimedOut);
        for _ in 0..1000 {
            link.forget(Pid(1));
        }
        drop(peer);
    }
}
