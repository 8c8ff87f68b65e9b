//! What anchor and supervisor say to each other, and its bytes.
//!
//! A message is a packet of its own: version (2 bytes), kind (2), a small number (4), two large ones (8 each), all little
//! endian, then a text for [`Request::Notify`]. At most one descriptor comes with it. This layout, [`Request::Hello`] and
//! [`Reply::Refused`] stay as they are in every version, so that two that differ can still say so.

use std::ops::Range;

use super::key::Key;
use super::link::{Ended, UpgradeOutcome};
use crate::core::{ExitStatus, Pid};
use crate::spec::Signal;

/// The version that this program speaks.
pub const VERSION: u16 = 1;
/// How long a text to a service manager may be.
pub const MAX_TEXT: usize = 4096;

/// Bytes before the text.
pub(super) const HEAD: usize = 24;
/// Bytes of the longest message.
pub(super) const LONGEST: usize = HEAD + MAX_TEXT;

/// From a supervisor to the anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Asks for all there is: answered by [`Reply::Welcome`] or [`Reply::Refused`].
    Hello {
        /// What the supervisor speaks.
        version: u16,
    },
    /// Hold the descriptor that comes with this, in place of the one that has this name.
    Hold(Key),
    /// Close it.
    LetGo(Key),
    /// What was told of the end of this process is dealt with.
    Forget(Pid),
    /// The supervisor does its work.
    Ready,
    /// Pass this on to the service manager.
    Notify(&'a [u8]),
    /// The supervisor's end that follows is on purpose, and the anchor's as well, with this code.
    Finished(u8),
    /// The supervisor's end that follows is on purpose: the descriptor that comes with this is to be executed next.
    Upgrade {
        /// How long that one may take to be ready, in milliseconds.
        ready_within: u32,
    },
}

/// From the anchor to a supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The start of what is there.
    Welcome {
        /// How many supervisors this anchor has started, with this one.
        lives: u32,
        /// The anchor.
        anchor: Pid,
        /// How an upgrade went that was asked for by the one before.
        upgrade: Option<UpgradeOutcome>,
    },
    /// The descriptor that comes with this is held under this name.
    Held(Key),
    /// A process that became the anchor's has ended.
    Ended(Ended),
    /// All has been told that was there.
    Welcomed,
    /// The anchor speaks another version.
    Refused {
        /// Which.
        version: u16,
    },
    /// A descriptor could not be taken: it would be lost with the supervisor.
    NotHeld(Key),
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Malformed {
    /// Not a message, or not one of this version.
    Unknown,
    /// Something else that speaks another version, which the anchor tells.
    Version(u16),
}

const HELLO: u16 = 1;
const HOLD: u16 = 2;
const LET_GO: u16 = 3;
const FORGET: u16 = 4;
const READY: u16 = 5;
const NOTIFY: u16 = 6;
const FINISHED: u16 = 7;
const UPGRADE: u16 = 8;

const WELCOME: u16 = 101;
const HELD: u16 = 102;
const ENDED: u16 = 103;
const WELCOMED: u16 = 104;
const REFUSED: u16 = 105;
const NOT_HELD: u16 = 106;

/// The numbers of a message.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    version: u16,
    kind: u16,
    small: u32,
    first: u64,
    second: u64,
}

impl Head {
    fn new(kind: u16) -> Head {
        Head { version: VERSION, kind, ..Head::default() }
    }

    fn to_bytes(self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[0..2].copy_from_slice(&self.version.to_le_bytes());
        bytes[2..4].copy_from_slice(&self.kind.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.small.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.first.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.second.to_le_bytes());
        bytes
    }

    fn read(bytes: &[u8]) -> Option<Head> {
        fn part<const N: usize>(bytes: &[u8], range: Range<usize>) -> Option<[u8; N]> {
            bytes.get(range)?.try_into().ok()
        }
        Some(Head {
            version: u16::from_le_bytes(part(bytes, 0..2)?),
            kind: u16::from_le_bytes(part(bytes, 2..4)?),
            small: u32::from_le_bytes(part(bytes, 4..8)?),
            first: u64::from_le_bytes(part(bytes, 8..16)?),
            second: u64::from_le_bytes(part(bytes, 16..24)?),
        })
    }
}

impl<'a> Request<'a> {
    /// Writes it; says how long it is. A text that is too long is cut.
    pub(super) fn encode(&self, buffer: &mut [u8; LONGEST]) -> usize {
        let mut text: &[u8] = &[];
        let head = match *self {
            Request::Hello { version } => Head { version, ..Head::new(HELLO) },
            Request::Hold(key) => Head { first: key.0, ..Head::new(HOLD) },
            Request::LetGo(key) => Head { first: key.0, ..Head::new(LET_GO) },
            Request::Forget(pid) => Head { small: pid.0, ..Head::new(FORGET) },
            Request::Ready => Head::new(READY),
            Request::Notify(all) => {
                text = &all[..all.len().min(MAX_TEXT)];
                Head::new(NOTIFY)
            }
            Request::Finished(code) => Head { small: code.into(), ..Head::new(FINISHED) },
            Request::Upgrade { ready_within } => Head { small: ready_within, ..Head::new(UPGRADE) },
        };
        buffer[..HEAD].copy_from_slice(&head.to_bytes());
        buffer[HEAD..HEAD + text.len()].copy_from_slice(text);
        HEAD + text.len()
    }

    /// Reads one.
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Request<'a>, Malformed> {
        let head = Head::read(bytes).ok_or(Malformed::Unknown)?;
        if head.kind == HELLO {
            return Ok(Request::Hello { version: head.version });
        }
        if head.version != VERSION {
            return Err(Malformed::Version(head.version));
        }
        Ok(match head.kind {
            HOLD => Request::Hold(Key(head.first)),
            LET_GO => Request::LetGo(Key(head.first)),
            FORGET => Request::Forget(Pid(head.small)),
            READY => Request::Ready,
            NOTIFY => Request::Notify(bytes.get(HEAD..).unwrap_or_default()),
            FINISHED => Request::Finished(u8::try_from(head.small).map_err(|_| Malformed::Unknown)?),
            UPGRADE => Request::Upgrade { ready_within: head.small },
            _ => return Err(Malformed::Unknown),
        })
    }
}

impl Reply {
    /// Its bytes.
    pub(super) fn encode(&self) -> [u8; HEAD] {
        let head = match *self {
            Reply::Welcome { lives, anchor, upgrade } => {
                let upgrade = match upgrade {
                    None => 0,
                    Some(UpgradeOutcome::Done) => 1,
                    Some(UpgradeOutcome::Late) => 2,
                    Some(UpgradeOutcome::Failed) => 3,
                };
                Head { small: lives, first: anchor.0.into(), second: upgrade, ..Head::new(WELCOME) }
            }
            Reply::Held(key) => Head { first: key.0, ..Head::new(HELD) },
            Reply::Ended(ended) => Head {
                small: ended.pid.0,
                first: ended.start_time,
                second: pack_status(ended.status),
                ..Head::new(ENDED)
            },
            Reply::Welcomed => Head::new(WELCOMED),
            Reply::Refused { version } => Head { version, ..Head::new(REFUSED) },
            Reply::NotHeld(key) => Head { first: key.0, ..Head::new(NOT_HELD) },
        };
        head.to_bytes()
    }

    /// Reads one.
    pub(super) fn decode(bytes: &[u8]) -> Result<Reply, Malformed> {
        let head = Head::read(bytes).ok_or(Malformed::Unknown)?;
        if head.kind == REFUSED {
            return Ok(Reply::Refused { version: head.version });
        }
        if head.version != VERSION {
            return Err(Malformed::Version(head.version));
        }
        Ok(match head.kind {
            WELCOME => Reply::Welcome {
                lives: head.small,
                anchor: Pid(u32::try_from(head.first).map_err(|_| Malformed::Unknown)?),
                upgrade: match head.second {
                    0 => None,
                    1 => Some(UpgradeOutcome::Done),
                    2 => Some(UpgradeOutcome::Late),
                    3 => Some(UpgradeOutcome::Failed),
                    _ => return Err(Malformed::Unknown),
                },
            },
            HELD => Reply::Held(Key(head.first)),
            ENDED => Reply::Ended(Ended {
                pid: Pid(head.small),
                start_time: head.first,
                status: unpack_status(head.second).ok_or(Malformed::Unknown)?,
            }),
            WELCOMED => Reply::Welcomed,
            NOT_HELD => Reply::NotHeld(Key(head.first)),
            _ => return Err(Malformed::Unknown),
        })
    }
}

/// Upper half: 0 unknown, 1 a code, 2 a signal, 3 a signal with a core dump. Lower half: the code or signal.
pub(super) fn pack_status(status: ExitStatus) -> u64 {
    match status {
        ExitStatus::Unknown => 0,
        ExitStatus::Code(code) => (1 << 32) | u64::from(code as u32),
        ExitStatus::Signal { signal, core } => ((2 + u64::from(core)) << 32) | signal.number() as u64,
    }
}

pub(super) fn unpack_status(packed: u64) -> Option<ExitStatus> {
    let low = packed as u32 as i32;
    match packed >> 32 {
        0 if low == 0 => Some(ExitStatus::Unknown),
        1 => Some(ExitStatus::Code(low)),
        how @ (2 | 3) => Signal::from_number(low).map(|signal| ExitStatus::Signal { signal, core: how == 3 }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::{HEAD, Head, LONGEST, MAX_TEXT, Malformed, Reply, Request, VERSION, pack_status, unpack_status};
    use crate::anchor::{Ended, Key, UpgradeOutcome};
    use crate::core::{ExitStatus, Pid};
    use crate::spec::Signal;

    proptest! {
        #[test]
        fn random_bytes_are_a_message_or_refused_and_never_a_panic(bytes in any::<Vec<u8>>(), kind in 0u16..120) {
            let _ = (Request::decode(&bytes), Reply::decode(&bytes));
            let mut bytes = bytes;
            if bytes.len() >= 4 {
                bytes[0..2].copy_from_slice(&VERSION.to_le_bytes());
                bytes[2..4].copy_from_slice(&kind.to_le_bytes());
            }
            let _ = Reply::decode(&bytes);
            if let Ok(request) = Request::decode(&bytes) {
                let mut buffer = [0; LONGEST];
                let length = request.encode(&mut buffer);
                prop_assert_eq!(Request::decode(&buffer[..length]), Ok(request));
            }
        }

        #[test]
        fn an_end_is_read_back_as_it_was_told(pid: u32, start_time: u64, number in -10i32..70, core: bool, code: i32) {
            let killed = Signal::from_number(number).map(|signal| ExitStatus::Signal { signal, core });
            for status in [ExitStatus::Code(code), killed.unwrap_or(ExitStatus::Unknown)] {
                let ended = Reply::Ended(Ended { pid: Pid(pid), start_time, status });
                prop_assert_eq!(Reply::decode(&ended.encode()), Ok(ended));
                prop_assert!(unpack_status(pack_status(status)) == Some(status));
            }
        }
    }

    #[test]
    fn every_message_is_read_back_as_it_was_sent() {
        let text = [b'x'; MAX_TEXT + 1];
        let mut buffer = [0; LONGEST];
        for request in [
            Request::Hello { version: 7 },
            Request::Hold(Key(u64::MAX)),
            Request::LetGo(Key(0)),
            Request::Forget(Pid(1)),
            Request::Ready,
            Request::Notify(b"READY=1"),
            Request::Notify(b""),
            Request::Notify(&text[1..]),
            Request::Finished(255),
            Request::Upgrade { ready_within: 30_000 },
        ] {
            let length = request.encode(&mut buffer);
            assert_eq!(Request::decode(&buffer[..length]), Ok(request));
        }
        assert_eq!(Request::Notify(&text).encode(&mut buffer), LONGEST);
        for reply in [
            Reply::Welcome { lives: 3, anchor: Pid(1), upgrade: None },
            Reply::Welcome { lives: 3, anchor: Pid(1), upgrade: Some(UpgradeOutcome::Done) },
            Reply::Welcome { lives: 3, anchor: Pid(1), upgrade: Some(UpgradeOutcome::Late) },
            Reply::Welcome { lives: 3, anchor: Pid(1), upgrade: Some(UpgradeOutcome::Failed) },
            Reply::Held(Key(9)),
            Reply::Welcomed,
            Reply::Refused { version: 9 },
            Reply::NotHeld(Key(9)),
        ] {
            assert_eq!(Reply::decode(&reply.encode()), Ok(reply));
        }
    }

    #[test]
    fn another_version_is_told_apart_from_nonsense() {
        let other = Head { version: VERSION + 1, ..Head::new(2) }.to_bytes();
        assert_eq!(Request::decode(&other), Err(Malformed::Version(VERSION + 1)));
        assert_eq!(Reply::decode(&other), Err(Malformed::Version(VERSION + 1)));
        assert_eq!(Request::decode(&other[..HEAD - 1]), Err(Malformed::Unknown));
        assert_eq!(Request::decode(&[]), Err(Malformed::Unknown));
    }
}
