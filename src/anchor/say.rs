//! Lines on stderr, made without memory of their own.

use std::fmt::{Arguments, Write};
use std::os::fd::AsFd;

use crate::driver::sys;

/// Longer ones are cut.
const LONGEST: usize = 512;

struct Line {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        // The last byte is the line end's.
        for byte in text.bytes() {
            if let Some(place) = self.bytes[..LONGEST - 1].get_mut(self.length) {
                *place = byte;
                self.length += 1;
            }
        }
        Ok(())
    }
}

/// Writes one line, in one call. A stderr that takes nothing is nobody's trouble.
pub(super) fn say(text: Arguments<'_>) {
    let mut line = Line { bytes: [0; LONGEST], length: 0 };
    let _ = write!(line, "neap: {text}");
    line.bytes[line.length] = b'\n';
    let _ = sys::write(std::io::stderr().as_fd(), &line.bytes[..=line.length]);
}
