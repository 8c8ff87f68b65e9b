//! Names of held descriptors.

use crate::core::ProcessId;

/// The name of a descriptor that the anchor holds. To the anchor it is a number; the supervisor reads it with
/// [`Key::kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub u64);

/// What a [`Key`] stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyKind {
    /// The reading end of a process's standard output.
    Stdout(ProcessId),
    /// The reading end of its standard error.
    Stderr(ProcessId),
    /// The reading end of the pipe in which its output waits for its log file.
    Staged(ProcessId),
    /// Its notify socket.
    Notify(ProcessId),
    /// One of its listeners, by their order in its spec.
    Listener(ProcessId, u8),
    /// The control socket's listener.
    Control,
    /// The listener of another address that the instance is served at, by a hash of how it is written.
    Endpoint(u64),
    /// The instance's lock file.
    Lock,
    /// The n-th descriptor that a service manager passed in (LISTEN_FDS).
    Inherited(u16),
}

const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const NOTIFY: u8 = 3;
const LISTENER: u8 = 4;
const CONTROL: u8 = 5;
const LOCK: u8 = 6;
const INHERITED: u8 = 7;
const STAGED: u8 = 8;
const ENDPOINT: u8 = 9;

/// Numbers of processes are counted up from one: 48 bits are enough for a new one every microsecond for nine years.
const ID_BITS: u32 = 48;

impl Key {
    /// The reading end of a process's standard output.
    pub const fn stdout(process: ProcessId) -> Key {
        Key::of(STDOUT, 0, process.0)
    }

    /// The reading end of its standard error.
    pub const fn stderr(process: ProcessId) -> Key {
        Key::of(STDERR, 0, process.0)
    }

    /// The reading end of the pipe in which its output waits for its log file.
    pub const fn staged(process: ProcessId) -> Key {
        Key::of(STAGED, 0, process.0)
    }

    /// Its notify socket.
    pub const fn notify(process: ProcessId) -> Key {
        Key::of(NOTIFY, 0, process.0)
    }

    /// One of its listeners, by their order in its spec.
    pub const fn listener(process: ProcessId, index: u8) -> Key {
        Key::of(LISTENER, index, process.0)
    }

    /// The control socket's listener.
    pub const fn control() -> Key {
        Key::of(CONTROL, 0, 0)
    }

    /// The listener of another address that the instance is served at, by a hash of how it is written, of which 48 bits
    /// count.
    pub const fn endpoint(hash: u64) -> Key {
        Key::of(ENDPOINT, 0, hash)
    }

    /// The instance's lock file.
    pub const fn lock() -> Key {
        Key::of(LOCK, 0, 0)
    }

    /// The n-th descriptor that a service manager passed in.
    pub const fn inherited(n: u16) -> Key {
        Key::of(INHERITED, 0, n as u64)
    }

    /// What it stands for; `None` for one that another version made.
    pub fn kind(self) -> Option<KeyKind> {
        let [kind, index, ..] = self.0.to_be_bytes();
        let id = self.0 & ((1 << ID_BITS) - 1);
        let process = ProcessId(id);
        match (kind, index) {
            (STDOUT, 0) => Some(KeyKind::Stdout(process)),
            (STDERR, 0) => Some(KeyKind::Stderr(process)),
            (STAGED, 0) => Some(KeyKind::Staged(process)),
            (NOTIFY, 0) => Some(KeyKind::Notify(process)),
            (LISTENER, index) => Some(KeyKind::Listener(process, index)),
            (CONTROL, 0) if id == 0 => Some(KeyKind::Control),
            (ENDPOINT, 0) => Some(KeyKind::Endpoint(id)),
            (LOCK, 0) if id == 0 => Some(KeyKind::Lock),
            (INHERITED, 0) => u16::try_from(id).ok().map(KeyKind::Inherited),
            _ => None,
        }
    }

    const fn of(kind: u8, index: u8, id: u64) -> Key {
        Key(((kind as u64) << 56) | ((index as u64) << ID_BITS) | (id & ((1 << ID_BITS) - 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Key, KeyKind};
    use crate::core::ProcessId;

    #[test]
    fn every_key_is_read_back_as_what_it_was_made_for() {
        let process = ProcessId(0xffff_1234_5678);
        for (key, kind) in [
            (Key::stdout(process), KeyKind::Stdout(process)),
            (Key::stderr(process), KeyKind::Stderr(process)),
            (Key::staged(process), KeyKind::Staged(process)),
            (Key::notify(process), KeyKind::Notify(process)),
            (Key::listener(process, 255), KeyKind::Listener(process, 255)),
            (Key::control(), KeyKind::Control),
            (Key::endpoint(u64::MAX), KeyKind::Endpoint(0xffff_ffff_ffff)),
            (Key::lock(), KeyKind::Lock),
            (Key::inherited(65535), KeyKind::Inherited(65535)),
        ] {
            assert_eq!(key.kind(), Some(kind));
        }
        assert_eq!(Key(0).kind(), None);
        assert_eq!(Key(u64::MAX).kind(), None);
    }
}
