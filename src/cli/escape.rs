//! What a process prints must not steer the terminal.

use std::fmt::Write as _;

/// Writes `bytes` so that a terminal shows them and obeys none: control characters become `\n`-like or `\x1b`-like
/// escapes, bytes that are no UTF-8 become `\xff`, characters that turn the direction of text become `\u{202e}`.
/// Tabs stay, and so does a backslash.
pub(super) fn escape(bytes: &[u8]) -> String {
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            push(&mut out, c);
        }
        for byte in chunk.invalid() {
            push_hex(&mut out, *byte);
        }
    }
    out
}

fn push(out: &mut String, c: char) {
    match c {
        '\t' => out.push(c),
        '\r' => out.push_str("\\r"),
        '\n' => out.push_str("\\n"),
        c if c.is_ascii_control() => push_hex(out, c as u8),
        c if c.is_control() || turns_text(c) => out.extend(c.escape_unicode()),
        c => out.push(c),
    }
}

fn push_hex(out: &mut String, byte: u8) {
    // Writing to a String cannot fail.
    let _ = write!(out, "\\x{byte:02x}");
}

/// Unicode's explicit directional formatting (UAX #9), which makes text read as what it is not.
fn turns_text(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{061c}')
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn plain_text_stays() {
        assert_eq!(escape("tide\t\u{e4}\\ 100 %".as_bytes()), "tide\t\u{e4}\\ 100 %");
    }

    #[test]
    fn nothing_reaches_the_terminal_as_a_command() {
        assert_eq!(escape(b"\x1b[2J\x07"), "\\x1b[2J\\x07");
        assert_eq!(escape(b"10%\r20%\r"), "10%\\r20%");
        assert_eq!(escape("\u{9b}2J".as_bytes()), "\\u{9b}2J");
        assert_eq!(escape("\u{202e}gpj".as_bytes()), "\\u{202e}gpj");
    }

    #[test]
    fn bytes_that_are_no_text_are_shown() {
        assert_eq!(escape(b"a\xff\xfeb"), "a\\xff\\xfeb");
    }
}
