//! The newest lines of a process, within a number of bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use super::line::Line;

/// What a line costs beyond its text, so that many empty lines are bounded too.
const OVERHEAD: usize = 64;

/// A bounded tail of lines. What falls out is counted.
#[derive(Debug)]
pub struct Ring {
    lines: VecDeque<Arc<Line>>,
    bytes: usize,
    capacity: usize,
    dropped: u64,
    /// Lines that the log file did not take in time.
    lost: u64,
}

impl Ring {
    /// A ring that keeps lines of up to `capacity` bytes in all, their bookkeeping included.
    pub fn new(capacity: usize) -> Self {
        Ring { lines: VecDeque::new(), bytes: 0, capacity, dropped: 0, lost: 0 }
    }

    /// Keeps this much from now on.
    pub fn resize(&mut self, capacity: usize) {
        self.capacity = capacity;
        self.shrink();
    }

    /// Adds the newest line.
    pub fn push(&mut self, line: Arc<Line>) {
        self.bytes += line.text.len() + OVERHEAD;
        self.lines.push_back(line);
        self.shrink();
    }

    /// From where in these bytes on lines may still be in the ring when all of them have been added.
    pub fn keeps_from(&self, bytes: &[u8]) -> usize {
        let mut cost = 0;
        let mut line_end = None;
        for at in memchr::memrchr_iter(b'\n', bytes) {
            if let Some(end) = line_end {
                cost += end - at - 1 + OVERHEAD;
                if cost > self.capacity {
                    return at + 1;
                }
            }
            line_end = Some(at);
        }
        0
    }

    /// Counts lines that would have fallen out at once.
    pub fn skip(&mut self, lines: u64) {
        self.dropped += lines + self.lines.len() as u64;
        self.lines.clear();
        self.bytes = 0;
    }

    /// The newest `count` lines, oldest first.
    pub fn last(&self, count: usize) -> Vec<Line> {
        let skip = self.lines.len().saturating_sub(count);
        self.lines.iter().skip(skip).map(|line| Line::clone(line)).collect()
    }

    /// The newest `count` lines as they are kept, oldest first: the very ones that followers get.
    #[cfg(feature = "grpc")]
    pub fn last_shared(&self, count: usize) -> Vec<Arc<Line>> {
        let skip = self.lines.len().saturating_sub(count);
        self.lines.iter().skip(skip).cloned().collect()
    }

    /// How many lines fell out since the ring was made.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The log file did not take these in time.
    pub fn lose(&mut self, lines: u64) {
        self.lost += lines;
    }

    /// How many lines the log file did not take in time.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    fn shrink(&mut self) {
        while self.bytes > self.capacity {
            let Some(oldest) = self.lines.pop_front() else { return };
            self.bytes -= oldest.text.len() + OVERHEAD;
            self.dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{OVERHEAD, Ring};
    use crate::log::{Line, StreamKind};

    fn line(text: &str) -> Arc<Line> {
        let text = text.as_bytes().to_vec();
        Arc::new(Line { process: "p".into(), stream: StreamKind::Stdout, text, partial: false, time: None, run: 0 })
    }

    #[test]
    fn the_oldest_lines_fall_out_and_are_counted() {
        let mut ring = Ring::new(3 * (OVERHEAD + 1));
        for text in ["1", "2", "3", "4", "5"] {
            ring.push(line(text));
        }
        let texts: Vec<Vec<u8>> = ring.last(10).into_iter().map(|l| l.text).collect();
        assert_eq!(texts, [b"3", b"4", b"5"]);
        assert_eq!(ring.dropped(), 2);
        assert_eq!(ring.last(1)[0].text, b"5");
    }

    #[test]
    fn what_would_fall_out_at_once_need_not_be_added() {
        let bytes: Vec<u8> = (0..100).flat_map(|n| format!("{n}\n").into_bytes()).collect();
        let texts = |from: usize| bytes[from..].split(|b| *b == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>();
        for capacity in 0..1000 {
            let (mut all, mut some) = (Ring::new(capacity), Ring::new(capacity));
            all.push(line("before"));
            some.push(line("before"));
            let add = |ring: &mut Ring, from| {
                let lines = texts(from);
                lines[..lines.len() - 1].iter().for_each(|l| ring.push(line(std::str::from_utf8(l).unwrap())));
            };
            add(&mut all, 0);
            let from = some.keeps_from(&bytes);
            if from > 0 {
                some.skip(100 - (texts(from).len() as u64 - 1));
            }
            add(&mut some, from);
            assert_eq!((all.last(999), all.dropped()), (some.last(999), some.dropped()), "{capacity}");
        }
    }

    #[test]
    fn a_line_larger_than_the_ring_is_not_kept() {
        let mut ring = Ring::new(OVERHEAD + 3);
        ring.push(line("small"));
        assert!(ring.last(9).is_empty());
        ring.resize(1000);
        ring.push(line("small"));
        assert_eq!(ring.last(9).len(), 1);
        assert_eq!(ring.dropped(), 1);
    }
}
