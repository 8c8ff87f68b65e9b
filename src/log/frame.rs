//! From bytes to lines, however the bytes were cut on their way. Pure.

use memchr::memchr;

/// Cuts a stream of bytes into lines of bounded length. NUL, invalid UTF-8 and carriage returns are kept as they are.
///
/// The lines do not depend on how the bytes were chunked, and put together again (with a line feed after each that is
/// not partial) they are the bytes.
#[derive(Debug)]
pub struct Framer {
    rest: Vec<u8>,
    max: usize,
}

impl Framer {
    /// A framer that cuts lines longer than `max` bytes.
    pub fn new(max: usize) -> Self {
        Framer { rest: Vec::new(), max: max.max(1) }
    }

    /// Takes in bytes, and hands each line that is complete or must be cut to `line`, with whether it is partial.
    pub fn push(&mut self, mut bytes: &[u8], mut line: impl FnMut(&[u8], bool)) {
        while let Some(end) = memchr(b'\n', bytes) {
            let (head, tail) = bytes.split_at(end);
            if self.rest.is_empty() && end <= self.max {
                line(head, false);
            } else {
                self.add(head, &mut line);
                line(&self.rest, false);
                self.rest.clear();
            }
            bytes = tail.get(1..).unwrap_or_default();
        }
        self.add(bytes, &mut line);
    }

    /// Hands out what has no line end yet, as a partial line: none will come.
    pub fn finish(&mut self, mut line: impl FnMut(&[u8], bool)) {
        if !self.rest.is_empty() {
            line(&self.rest, true);
            self.rest.clear();
        }
    }

    /// What waits for its line end.
    pub fn rest(&self) -> &[u8] {
        &self.rest
    }

    /// A full piece is only cut once a byte follows it, so that a line of exactly the greatest length stays whole.
    fn add(&mut self, mut bytes: &[u8], line: &mut impl FnMut(&[u8], bool)) {
        while self.rest.len() + bytes.len() > self.max {
            let (head, tail) = bytes.split_at(self.max - self.rest.len());
            self.rest.extend_from_slice(head);
            line(&self.rest, true);
            self.rest.clear();
            bytes = tail;
        }
        self.rest.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Framer;

    fn frame<'a>(max: usize, chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<(Vec<u8>, bool)> {
        let mut lines = Vec::new();
        let mut framer = Framer::new(max);
        for chunk in chunks {
            framer.push(chunk, |text, partial| lines.push((text.to_vec(), partial)));
        }
        framer.finish(|text, partial| lines.push((text.to_vec(), partial)));
        lines
    }

    #[test]
    fn a_line_of_exactly_the_greatest_length_stays_whole() {
        assert_eq!(
            frame(4, [b"abcd\nabcde\n".as_slice()]),
            [(b"abcd".to_vec(), false), (b"abcd".to_vec(), true), (b"e".to_vec(), false)]
        );
    }

    #[test]
    fn nul_and_invalid_utf8_and_a_missing_line_end_are_kept() {
        assert_eq!(
            frame(80, [b"\0\xff\r\n\nlast".as_slice()]),
            [(b"\0\xff\r".to_vec(), false), (Vec::new(), false), (b"last".to_vec(), true)]
        );
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_the_chunks_and_give_back_the_bytes(
            chunks in prop::collection::vec(prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..40), 0..20),
            max in 1usize..30,
        ) {
            let whole: Vec<u8> = chunks.concat();
            let cut = frame(max, chunks.iter().map(Vec::as_slice));
            prop_assert_eq!(&cut, &frame(max, [whole.as_slice()]));
            prop_assert_eq!(&cut, &frame(max, whole.chunks(1)));
            let mut again = Vec::new();
            for (text, partial) in &cut {
                prop_assert!(text.len() <= max);
                again.extend_from_slice(text);
                if !partial {
                    again.push(b'\n');
                }
            }
            prop_assert_eq!(again, whole);
        }
    }
}
