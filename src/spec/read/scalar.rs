//! Reading single values.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::super::signal::Signal;
use super::super::units::{self, UnitError};
use super::super::value::{Node, Value};
use super::reader::{At, Reader, describe};

impl Reader<'_> {
    /// Text.
    pub(super) fn text(&mut self, at: &At, node: &Node) -> Option<String> {
        match &node.value {
            Value::String(text) => Some(text.clone()),
            _ => self.expected(at, "text", node),
        }
    }

    /// Text, or a list of texts.
    pub(super) fn texts(&mut self, at: &At, node: &Node) -> Vec<String> {
        self.list(at, node, |reader, at, node| match &node.value {
            Value::String(text) => Some(text.clone()),
            _ => reader.expected(at, "text or a list of texts", node),
        })
    }

    /// A truth value.
    pub(super) fn boolean(&mut self, at: &At, node: &Node) -> Option<bool> {
        match node.value {
            Value::Bool(value) => Some(value),
            _ => self.expected(at, "true or false", node),
        }
    }

    /// A whole number in a range.
    pub(super) fn integer(&mut self, at: &At, node: &Node, range: RangeInclusive<i64>) -> Option<i64> {
        match whole(&node.value).filter(|number| range.contains(number)) {
            Some(number) => Some(number),
            None => {
                let (low, high) = (range.start(), range.end());
                let what = match (*low, *high) {
                    (0, i64::MAX) => "a whole number, 0 or more".to_owned(),
                    (1, i64::MAX) => "a whole number, 1 or more".to_owned(),
                    _ => format!("a whole number from {low} to {high}"),
                };
                self.expected(at, &what, node)
            }
        }
    }

    /// A whole number that fits a count.
    pub(super) fn count(&mut self, at: &At, node: &Node) -> Option<u32> {
        self.integer(at, node, 0..=1_000_000_000).and_then(|number| u32::try_from(number).ok())
    }

    /// A number of any kind that is one.
    pub(super) fn number(&mut self, at: &At, node: &Node) -> Option<f64> {
        match node.value {
            Value::Integer(number) => Some(number as f64),
            Value::Float(number) if number.is_finite() => Some(number),
            _ => self.expected(at, "a number", node),
        }
    }

    /// A duration: seconds or text.
    pub(super) fn duration(&mut self, at: &At, node: &Node) -> Option<Duration> {
        let read = match &node.value {
            Value::Integer(seconds) => units::duration_from_whole_seconds(*seconds),
            Value::Float(seconds) => units::duration_from_seconds(*seconds),
            Value::String(text) => units::parse_duration(text),
            _ => Err(units::not_a_duration(describe(&node.value))),
        };
        self.unit(at, read)
    }

    /// A duration, or "infinity" for `None`.
    pub(super) fn duration_or_infinity(&mut self, at: &At, node: &Node) -> Option<Option<Duration>> {
        match &node.value {
            Value::String(text) if text == "infinity" => Some(None),
            _ => self.duration(at, node).map(Some),
        }
    }

    /// A size: bytes or text.
    pub(super) fn size(&mut self, at: &At, node: &Node) -> Option<u64> {
        let read = match &node.value {
            Value::Integer(bytes) => units::size_from_number(*bytes as f64).map(|_| bytes.unsigned_abs()),
            Value::Float(bytes) => units::size_from_number(*bytes),
            Value::String(text) => units::parse_size(text),
            _ => Err(units::not_a_size(describe(&node.value))),
        };
        self.unit(at, read)
    }

    /// A mode as octal text.
    pub(super) fn mode(&mut self, at: &At, node: &Node) -> Option<u32> {
        let read = match &node.value {
            Value::Integer(number) => Err(units::mode_from_number(*number)),
            Value::String(text) => units::parse_mode(text),
            _ => Err(units::not_a_mode(describe(&node.value))),
        };
        self.unit(at, read)
    }

    /// Thousandths of a core.
    pub(super) fn cpu(&mut self, at: &At, node: &Node) -> Option<u64> {
        let read = match &node.value {
            Value::Integer(cores) => units::cpu_from_number(*cores as f64),
            Value::Float(cores) => units::cpu_from_number(*cores),
            Value::String(text) => units::parse_cpu(text),
            _ => Err(units::not_a_cpu(describe(&node.value))),
        };
        self.unit(at, read)
    }

    fn unit<T>(&mut self, at: &At, read: Result<T, UnitError>) -> Option<T> {
        read.map_err(|error| self.problem(at, error.to_string())).ok()
    }

    /// A signal by name or number.
    pub(super) fn signal(&mut self, at: &At, node: &Node) -> Option<Signal> {
        const WHAT: &str = "a signal (\"TERM\", \"SIGTERM\" or 15)";
        match &node.value {
            Value::String(name) => match Signal::from_name(name) {
                Some(signal) => Some(signal),
                None => {
                    let short = name.to_ascii_uppercase();
                    let short = short.strip_prefix("SIG").unwrap_or(&short);
                    match super::super::schema::nearest(short, Signal::names()) {
                        Some(near) => {
                            let found = units::quote(name);
                            self.problem(at, format!("expected {WHAT}, found {found}; did you mean \"{near}\"?"));
                            None
                        }
                        None => self.expected(at, WHAT, node),
                    }
                }
            },
            value => match whole(value).and_then(|n| i32::try_from(n).ok()).and_then(Signal::from_number) {
                Some(signal) => Some(signal),
                None => self.expected(at, WHAT, node),
            },
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&mut self, at: &At, node: &Node, choices: &[(&str, T)]) -> Option<T> {
        let words: Vec<String> = choices.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let what = format!("one of {}", words.join(", "));
        match &node.value {
            Value::String(text) => match choices.iter().find(|(word, _)| word == text) {
                Some((_, choice)) => Some(*choice),
                None => self.expected_word(at, &what, text, choices.iter().map(|(word, _)| *word)),
            },
            _ => self.expected(at, &what, node),
        }
    }

    /// A user or group: a name, or a number.
    pub(super) fn account(&mut self, at: &At, node: &Node) -> Option<String> {
        match &node.value {
            Value::String(name) => Some(name.clone()),
            Value::Integer(number) if (0..i64::from(u32::MAX)).contains(number) => Some(number.to_string()),
            _ => self.expected(at, "a name, or a number below 4294967295", node),
        }
    }
}

/// A number without a fraction.
pub(super) fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(number) => Some(*number),
        // Within 2^53 a float is exactly the whole number that it shows.
        Value::Float(number) if number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0 => {
            Some(*number as i64)
        }
        _ => None,
    }
}
