//! Durations, sizes, octal modes and processor shares, as people write them.
//!
//! Each kind has a parser for text, one for a bare number where the contract gives bare numbers a meaning, and a
//! canonical form that the parser reads back to the same value. Every refusal says what would be accepted.

mod cpu;
mod size;
mod time;

use std::fmt;

pub use cpu::{cpu_from_number, format_cpu, parse_cpu};
pub use size::{MAX_SIZE, format_mode, format_size, mode_from_number, parse_mode, parse_size, size_from_number};
pub use time::{MAX_DURATION, duration_from_seconds, duration_from_whole_seconds, format_duration, parse_duration};

pub(super) use cpu::not_a_cpu;
pub(super) use size::{not_a_mode, not_a_size};
pub(super) use time::not_a_duration;

/// Why a text or number is not a quantity. Shows what would be, and what was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct UnitError {
    /// What would be accepted.
    pub expected: &'static str,
    /// What was found, as the user wrote it.
    pub found: String,
    /// What exactly is wrong with it, when that is not plain.
    pub detail: Option<String>,
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, found {}", self.expected, self.found)?;
        match &self.detail {
            Some(detail) => write!(f, ": {detail}"),
            None => Ok(()),
        }
    }
}

impl UnitError {
    fn text(expected: &'static str, text: &str) -> Self {
        UnitError { expected, found: quote(text), detail: None }
    }

    fn number(expected: &'static str, number: impl fmt::Display) -> Self {
        UnitError { expected, found: number.to_string(), detail: None }
    }

    fn because(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

/// Text in quotes, with what would upset a terminal escaped, and no longer than a person reads.
pub(crate) fn quote(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut quoted = String::from("\"");
    for (count, character) in text.chars().enumerate() {
        if count == LONGEST {
            quoted.push('…');
            break;
        }
        match character {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(character);
            }
            _ if character.is_control() || is_invisible(character) => quoted.extend(character.escape_default()),
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

/// Characters that reorder or hide text without being control characters: bidirectional marks and zero widths.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A decimal number at the start of a text, exact: its whole part, and the digits after its point.
struct Decimal<'a> {
    whole: u128,
    fraction: &'a str,
}

impl<'a> Decimal<'a> {
    /// Takes the number at the start, and what follows it; `None` when there is no number there.
    fn take(text: &'a str) -> Option<(Decimal<'a>, &'a str)> {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, rest) = text.split_at(end);
        if digits.is_empty() {
            return None;
        }
        // More digits than any quantity has: saturate, so that the range check refuses it.
        let whole = if digits.len() > 30 { u128::from(u64::MAX) * 1000 } else { digits.parse().ok()? };
        let Some(after_point) = rest.strip_prefix('.') else {
            return Some((Decimal { whole, fraction: "" }, rest));
        };
        let end = after_point.find(|c: char| !c.is_ascii_digit()).unwrap_or(after_point.len());
        let (fraction, rest) = after_point.split_at(end);
        if fraction.is_empty() { None } else { Some((Decimal { whole, fraction }, rest)) }
    }

    /// This many of a unit that has `scale` parts, in parts; digits beyond a part are cut off.
    fn times(&self, scale: u64) -> u128 {
        let mut parts = self.whole.saturating_mul(u128::from(scale));
        let (mut rest, mut divisor) = (u128::from(scale), 1u128);
        let mut fraction = 0u128;
        for digit in self.fraction.bytes().take(18) {
            divisor *= 10;
            fraction = fraction * 10 + u128::from(digit - b'0');
        }
        rest = rest.saturating_mul(fraction) / divisor;
        parts = parts.saturating_add(rest);
        parts
    }
}

/// serde for a duration: written in its canonical form, read from seconds or text.
pub mod duration {
    use std::fmt;
    use std::time::Duration;

    use serde::de::{self, Deserializer, Visitor};
    use serde::ser::Serializer;

    use super::{duration_from_seconds, duration_from_whole_seconds, format_duration, parse_duration};

    /// Writes it as text such as `"1h30m"`.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_duration(*duration))
    }

    /// Reads seconds as a number, or text with units.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        deserializer.deserialize_any(Text)
    }

    struct Text;

    impl Visitor<'_> for Text {
        type Value = Duration;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(super::time::EXPECTED)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
            parse_duration(text).map_err(E::custom)
        }

        fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Duration, E> {
            i64::try_from(seconds)
                .map_or_else(|_| duration_from_seconds(seconds as f64), duration_from_whole_seconds)
                .map_err(E::custom)
        }

        fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Duration, E> {
            duration_from_whole_seconds(seconds).map_err(E::custom)
        }

        fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Duration, E> {
            duration_from_seconds(seconds).map_err(E::custom)
        }
    }
}

/// serde for a duration that may be absent.
pub mod optional_duration {
    use std::time::Duration;

    use serde::de::{Deserialize, Deserializer};
    use serde::ser::Serializer;

    /// Writes text such as `"1h30m"`, or null.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::duration::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Reads seconds, text with units, or null.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        #[derive(serde::Deserialize)]
        struct Present(#[serde(with = "super::duration")] Duration);

        Ok(Option::<Present>::deserialize(deserializer)?.map(|present| present.0))
    }
}
