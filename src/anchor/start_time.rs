//! When a process started, without needing memory.

use std::fmt::Write;

use crate::core::Pid;
use crate::driver::sys::{self, OpenFor};

/// A path of /proc with a pid in it.
struct Path {
    bytes: [u8; 32],
    length: usize,
}

impl Write for Path {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(std::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

/// Parent and start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Brief {
    pub parent: Pid,
    pub start_time: u64,
}

/// What /proc says of a process, a zombie too; `None` where it says nothing.
pub(super) fn brief(pid: Pid) -> Option<Brief> {
    let mut path = Path { bytes: [0; 32], length: 0 };
    write!(path, "/proc/{pid}/stat\0").ok()?;
    let path = std::ffi::CStr::from_bytes_until_nul(&path.bytes).ok()?;
    let file = sys::open_at(None, path, OpenFor::Read).ok()?;
    // 51 numbers and a name of 64 bytes at most.
    let mut buffer = [0; 2048];
    let length = sys::read(std::os::fd::AsFd::as_fd(&file), &mut buffer).ok()?;
    parse(&buffer[..length])
}

/// The name stands in parentheses and may itself have any byte: what counts follows the last one.
fn parse(bytes: &[u8]) -> Option<Brief> {
    let end = bytes.iter().rposition(|byte| *byte == b')')?;
    let mut fields = bytes.get(end + 1..)?.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
    let parent = number(fields.nth(1)?)?;
    let start_time = number(fields.nth(17)?)?;
    Some(Brief { parent: Pid(u32::try_from(parent).ok()?), start_time })
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{Brief, brief, parse};
    use crate::core::Pid;
    use crate::driver::identity::Stat;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_confuse() {
        let line = b"17 (a) R 9 (b) S 4 17 16 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 1234 5 6 7 8";
        assert_eq!(parse(line), Some(Brief { parent: Pid(4), start_time: 1234 }));
        assert_eq!(parse(b"17 (a) S 4"), None);
        assert_eq!(parse(b""), None);
        assert_eq!(brief(Pid(0)), None);
    }

    #[test]
    fn it_is_what_the_other_reader_says() {
        let us = Pid(std::process::id());
        let stat = Stat::of(us).unwrap();
        assert_eq!(brief(us), Some(Brief { parent: stat.parent, start_time: stat.start_time }));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in any::<Vec<u8>>(), number: u64) {
            let _ = parse(&bytes);
            let line = format!("1 (x) S 2{} {number} 1", " 3".repeat(17));
            prop_assert_eq!(parse(line.as_bytes()).unwrap().start_time, number);
        }
    }
}
