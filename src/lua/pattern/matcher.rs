//! Matching one pattern at one place of a subject, by backtracking.

use super::class::{is_in_named, is_in_set};

/// Captures that a pattern may have.
const MAX_CAPTURES: usize = 32;

/// How deep items of a pattern may nest while one waits for the next.
const MAX_DEPTH: u32 = 200;

/// Pays for the work of a match.
pub(super) trait Meter {
    /// Takes note of about `steps` times a few nanoseconds of work; fails when no more may be done.
    fn spend(&mut self, steps: usize) -> Result<(), Fault>;
}

/// Why a match was given up.
#[derive(Debug)]
pub(super) enum Fault {
    /// The pattern, or the text that replaces a match, is wrong.
    Malformed(String),
    /// The call has no time left.
    Stopped(mlua::Error),
}

fn malformed<T>(message: &str) -> Result<T, Fault> {
    Err(Fault::Malformed(message.to_owned()))
}

/// How far a capture has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// Its closing parenthesis was not reached.
    Open,
    /// `()`: it stands for its position.
    Position,
    /// It is this many bytes long.
    Closed(usize),
}

#[derive(Clone, Copy, Debug)]
struct Capture {
    start: usize,
    extent: Extent,
}

/// What a capture stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Captured<'s> {
    /// A part of the subject.
    Text(&'s [u8]),
    /// A position in the subject, from 1.
    Position(usize),
}

/// A pattern and a subject; matches are tried at one place of the subject after the other.
pub(super) struct Matcher<'s, 'm, M> {
    subject: &'s [u8],
    pattern: &'s [u8],
    captures: [Capture; MAX_CAPTURES],
    level: usize,
    depth: u32,
    meter: &'m mut M,
}

/// Where a match ends, if there is one.
type Attempt = Result<Option<usize>, Fault>;

impl<'s, 'm, M: Meter> Matcher<'s, 'm, M> {
    /// `pattern` is without the `^` that anchors it.
    pub(super) fn new(subject: &'s [u8], pattern: &'s [u8], meter: &'m mut M) -> Self {
        let unused = Capture { start: 0, extent: Extent::Open };
        Matcher { subject, pattern, captures: [unused; MAX_CAPTURES], level: 0, depth: 0, meter }
    }

    /// Tries to match at this place of the subject, and gives the end of the match.
    pub(super) fn at(&mut self, start: usize) -> Attempt {
        self.level = 0;
        self.depth = 0;
        self.attempt(start, 0)
    }

    /// How many captures the last match has.
    pub(super) fn captures(&self) -> usize {
        self.level
    }

    /// The part of the subject that was matched.
    pub(super) fn whole(&self, start: usize, end: usize) -> Captured<'s> {
        Captured::Text(&self.subject[start..end])
    }

    /// A capture of the last match, which was `start..end`, from 0; without captures number 0 is the whole match.
    pub(super) fn capture(&self, index: usize, start: usize, end: usize) -> Result<Captured<'s>, Fault> {
        if index >= self.level {
            if index == 0 {
                return Ok(self.whole(start, end));
            }
            return Err(Fault::Malformed(format!("invalid capture index %{}", index + 1)));
        }
        let capture = self.captures[index];
        match capture.extent {
            Extent::Open => malformed("unfinished capture"),
            Extent::Position => Ok(Captured::Position(capture.start + 1)),
            Extent::Closed(length) => Ok(Captured::Text(&self.subject[capture.start..capture.start + length])),
        }
    }

    /// The pattern's byte here; 0 at its end, as in a C string.
    fn byte(&self, p: usize) -> u8 {
        self.pattern.get(p).copied().unwrap_or(0)
    }

    fn attempt(&mut self, s: usize, p: usize) -> Attempt {
        if self.depth == MAX_DEPTH {
            return malformed("pattern too complex");
        }
        self.depth += 1;
        let end = self.items(s, p)?;
        self.depth -= 1;
        Ok(end)
    }

    /// Matches item after item; returns to the caller only where one was found to fail, or at the pattern's end.
    fn items(&mut self, mut s: usize, mut p: usize) -> Attempt {
        while p < self.pattern.len() {
            self.meter.spend(1)?;
            match self.pattern[p] {
                b'(' if self.byte(p + 1) == b')' => return self.open_capture(s, p + 2, Extent::Position),
                b'(' => return self.open_capture(s, p + 1, Extent::Open),
                b')' => return self.close_capture(s, p + 1),
                b'$' if p + 1 == self.pattern.len() => return Ok((s == self.subject.len()).then_some(s)),
                b'%' if self.byte(p + 1) == b'b' => match self.balance(s, p + 2)? {
                    Some(end) => (s, p) = (end, p + 4),
                    None => return Ok(None),
                },
                b'%' if self.byte(p + 1) == b'f' => match self.frontier(s, p + 2)? {
                    Some(next) => p = next,
                    None => return Ok(None),
                },
                b'%' if self.byte(p + 1).is_ascii_digit() => match self.same_as_capture(s, self.byte(p + 1))? {
                    Some(end) => (s, p) = (end, p + 2),
                    None => return Ok(None),
                },
                _ => {
                    let after = self.single_end(p)?;
                    let matches = self.single(s, p, after)?;
                    match (self.byte(after), matches) {
                        (b'?', true) => match self.attempt(s + 1, after + 1)? {
                            Some(end) => return Ok(Some(end)),
                            None => p = after + 1,
                        },
                        (b'*' | b'?' | b'-', false) => p = after + 1,
                        (b'+', true) => return self.longest(s + 1, p, after),
                        (b'*', true) => return self.longest(s, p, after),
                        (b'-', true) => return self.shortest(s, p, after),
                        (_, true) => (s, p) = (s + 1, after),
                        (_, false) => return Ok(None),
                    }
                }
            }
        }
        Ok(Some(s))
    }

    /// Where the single-byte item at `p` ends.
    fn single_end(&mut self, p: usize) -> Result<usize, Fault> {
        let end = self.pattern.len();
        match self.pattern[p] {
            b'%' if p + 1 == end => malformed("malformed pattern (ends with '%')"),
            b'%' => Ok(p + 2),
            b'[' => {
                let mut q = if self.byte(p + 1) == b'^' { p + 2 } else { p + 1 };
                // The first byte of a set belongs to it even when it is a bracket.
                loop {
                    if q >= end {
                        return malformed("malformed pattern (missing ']')");
                    }
                    let escape = self.pattern[q] == b'%';
                    q += 1;
                    if escape && q < end {
                        q += 1;
                    }
                    if self.byte(q) == b']' && q < end {
                        break;
                    }
                }
                self.meter.spend((q - p) / 8)?;
                Ok(q + 1)
            }
            _ => Ok(p + 1),
        }
    }

    /// Whether the subject's byte at `s` is one that the single-byte item `p..after` stands for.
    fn single(&mut self, s: usize, p: usize, after: usize) -> Result<bool, Fault> {
        let Some(&byte) = self.subject.get(s) else { return Ok(false) };
        Ok(match self.pattern[p] {
            b'.' => true,
            b'%' => is_in_named(byte, self.byte(p + 1)),
            b'[' => {
                self.meter.spend((after - p) / 8)?;
                is_in_set(byte, &self.pattern[p + 1..after - 1])
            }
            literal => literal == byte,
        })
    }

    /// `item*`, as often as possible first.
    fn longest(&mut self, s: usize, p: usize, after: usize) -> Attempt {
        let mut count = 0;
        while self.single(s + count, p, after)? {
            self.meter.spend(1)?;
            count += 1;
        }
        for count in (0..=count).rev() {
            if let Some(end) = self.attempt(s + count, after + 1)? {
                return Ok(Some(end));
            }
            self.meter.spend(1)?;
        }
        Ok(None)
    }

    /// `item-`, as seldom as possible first.
    fn shortest(&mut self, mut s: usize, p: usize, after: usize) -> Attempt {
        loop {
            if let Some(end) = self.attempt(s, after + 1)? {
                return Ok(Some(end));
            }
            if !self.single(s, p, after)? {
                return Ok(None);
            }
            self.meter.spend(1)?;
            s += 1;
        }
    }

    fn open_capture(&mut self, s: usize, p: usize, extent: Extent) -> Attempt {
        let Some(capture) = self.captures.get_mut(self.level) else { return malformed("too many captures") };
        *capture = Capture { start: s, extent };
        self.level += 1;
        let end = self.attempt(s, p)?;
        if end.is_none() {
            self.level -= 1;
        }
        Ok(end)
    }

    fn close_capture(&mut self, s: usize, p: usize) -> Attempt {
        let open = self.captures[..self.level].iter().rposition(|c| c.extent == Extent::Open);
        let Some(index) = open else { return malformed("invalid pattern capture") };
        self.captures[index].extent = Extent::Closed(s - self.captures[index].start);
        let end = self.attempt(s, p)?;
        if end.is_none() {
            self.captures[index].extent = Extent::Open;
        }
        Ok(end)
    }

    /// `%1`: what capture 1 matched, once more.
    fn same_as_capture(&mut self, s: usize, digit: u8) -> Attempt {
        let number = usize::from(digit - b'0');
        let capture = number.checked_sub(1).and_then(|i| self.captures[..self.level].get(i));
        let (start, length) = match capture {
            Some(Capture { start, extent: Extent::Closed(length) }) => (*start, *length),
            // A position is no text: nothing is as long as it would have to be.
            Some(Capture { extent: Extent::Position, .. }) => return Ok(None),
            _ => return Err(Fault::Malformed(format!("invalid capture index %{number}"))),
        };
        self.meter.spend(length / 32)?;
        let same = self.subject[s..].starts_with(&self.subject[start..start + length]);
        Ok(same.then_some(s + length))
    }

    /// `%bxy`: from an `x` to the `y` that balances it.
    fn balance(&mut self, s: usize, p: usize) -> Attempt {
        let (Some(&open), Some(&close)) = (self.pattern.get(p), self.pattern.get(p + 1)) else {
            return malformed("malformed pattern (missing arguments to '%b')");
        };
        if self.subject.get(s).copied().unwrap_or(0) != open {
            return Ok(None);
        }
        let mut nested = 1_usize;
        for (offset, &byte) in self.subject.iter().enumerate().skip(s + 1) {
            if byte == close {
                nested -= 1;
                if nested == 0 {
                    self.meter.spend((offset - s) / 4)?;
                    return Ok(Some(offset + 1));
                }
            } else if byte == open {
                nested += 1;
            }
        }
        self.meter.spend((self.subject.len() - s.min(self.subject.len())) / 4)?;
        Ok(None)
    }

    /// `%f[set]`: the place where bytes begin to belong to the set. Gives where the pattern goes on.
    fn frontier(&mut self, s: usize, p: usize) -> Attempt {
        if self.byte(p) != b'[' {
            return malformed("missing '[' after '%f' in pattern");
        }
        let after = self.single_end(p)?;
        let set = &self.pattern[p + 1..after - 1];
        self.meter.spend(set.len() / 4)?;
        let before = s.checked_sub(1).map_or(0, |i| self.subject[i]);
        let here = self.subject.get(s).copied().unwrap_or(0);
        Ok((!is_in_set(before, set) && is_in_set(here, set)).then_some(after))
    }
}

/// Whether the pattern is plain text.
pub(super) fn is_plain(pattern: &[u8]) -> bool {
    !pattern.iter().any(|byte| b"^$*+?.([%-".contains(byte))
}

/// Where `needle` stands first in `subject`, from `from` on.
pub(super) fn find_plain(
    subject: &[u8],
    needle: &[u8],
    from: usize,
    meter: &mut impl Meter,
) -> Result<Option<usize>, Fault> {
    let Some((&first, rest)) = needle.split_first() else { return Ok(Some(from)) };
    let mut at = from;
    while let Some(window) = subject.get(at..).filter(|w| w.len() > rest.len()) {
        let candidates = &window[..window.len() - rest.len()];
        let Some(skip) = candidates.iter().position(|byte| *byte == first) else {
            meter.spend(candidates.len() / 16)?;
            return Ok(None);
        };
        meter.spend(1 + skip / 16 + rest.len() / 32)?;
        at += skip;
        if subject[at + 1..].starts_with(rest) {
            return Ok(Some(at));
        }
        at += 1;
    }
    Ok(None)
}
