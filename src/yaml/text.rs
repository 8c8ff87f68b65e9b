//! A file's text.

use super::bounds::LONGEST_TEXT;
use crate::spec::units::quote;
use crate::spec::{Problem, Severity};

/// A file's text, and what messages call it.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    /// The file as messages show it.
    pub file: &'a str,
    /// What stands in it.
    pub text: &'a str,
    /// The process's name when the file is one process: the file's name without its ending.
    pub name: Option<&'a str>,
}

/// A problem of the file as such.
pub(super) fn problem(file: &str, line: impl Into<Option<u32>>, message: impl Into<String>) -> Problem {
    Problem {
        severity: Severity::Error,
        file: Some(file.to_owned()),
        line: line.into(),
        process: None,
        field: None,
        message: message.into(),
    }
}

/// Text as it is shown between marks: what would upset a terminal escaped, and no longer than a person reads.
pub(super) fn short(text: &str) -> String {
    quote(text).trim_matches('"').to_owned()
}

/// The text of a file's bytes, which must be UTF-8.
pub fn decode<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str, Vec<Problem>> {
    let refuse = |line: u32, message: String| Err(vec![problem(file, line, message)]);
    if bytes.len() > LONGEST_TEXT {
        let message = format!("the file has {} bytes; a configuration has at most {LONGEST_TEXT}", bytes.len());
        return refuse(1, message);
    }
    let wide = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    if wide || bytes.iter().take(4).any(|byte| *byte == 0) {
        return refuse(1, "the text is UTF-16 or no text at all; save the file as UTF-8".into());
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(error) => {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let byte = bytes.get(error.valid_up_to()).copied().unwrap_or_default();
            let message = format!("the byte 0x{byte:02x} is not UTF-8; save the file as UTF-8");
            refuse(line_after(before), message)
        }
    }
}

/// The line that follows on these bytes, from 1.
fn line_after(bytes: &[u8]) -> u32 {
    let breaks = memchr::memchr_iter(b'\n', bytes).count();
    u32::try_from(breaks).unwrap_or(u32::MAX).saturating_add(1)
}
