//! A place in a process's log files, which outlives rotation, the reader and the supervisor.

use std::fmt;
use std::str::FromStr;

/// How much of a file's beginning tells it from another one that got the same inode later.
pub(super) const HEAD: usize = 256;

/// A place in a process's log files: after a line. As text it can be kept, and given back to any later supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogCursor {
    pub(super) inode: u64,
    pub(super) offset: u64,
    /// Of the file's first bytes, as far as they were there.
    pub(super) check: u32,
}

impl LogCursor {
    pub(super) fn new(inode: u64, offset: u64, head: &[u8]) -> Self {
        let known = usize::try_from(offset).unwrap_or(usize::MAX).min(HEAD);
        LogCursor { inode, offset, check: crc32fast::hash(head.get(..known).unwrap_or(head)) }
    }

    /// Whether the file that begins like this is the one that was meant.
    pub(super) fn is_in(&self, inode: u64, head: &[u8]) -> bool {
        *self == LogCursor::new(inode, self.offset, head)
    }
}

impl fmt::Display for LogCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}-{:08x}", self.inode, self.offset, self.check)
    }
}

/// A text that is no cursor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no place in a log; pass on what came with a line, unchanged")]
pub struct NoCursor(String);

impl FromStr for LogCursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let read = || {
            let mut parts = text.split('-');
            let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
            let (inode, offset, check) = (number()?, number()?, number()?);
            let check = u32::try_from(check).ok()?;
            parts.next().is_none().then_some(LogCursor { inode, offset, check })
        };
        read().ok_or_else(|| NoCursor(text.chars().take(80).collect::<String>().escape_debug().to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::LogCursor;

    #[test]
    fn a_cursor_survives_being_text_and_anything_else_is_none() {
        let cursor = LogCursor::new(0xabc, 17, b"the beginning of a file");
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        assert!(cursor.is_in(0xabc, b"the beginning of another"));
        assert!(!cursor.is_in(0xabc, b"another beginning"));
        assert!(!cursor.is_in(0xabd, b"the beginning of a file"));
        for bad in ["", "1-2", "1-2-3-4", "x-2-3", "1-2-fffffffff", "\u{1b}[2J"] {
            assert!(bad.parse::<LogCursor>().is_err(), "{bad}");
        }
    }
}
