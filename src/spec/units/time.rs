//! Durations.

use std::time::Duration;

use super::{Decimal, UnitError};

/// What a duration may be, for messages.
pub(super) const EXPECTED: &str = "a duration (seconds, or text such as \"1h30m\", \"10s\" or \"250ms\")";

/// The longest duration that is accepted: a hundred years. Deadlines stay far from the end of the clock.
pub const MAX_DURATION: Duration = Duration::from_secs(36_500 * 86_400);

/// Units that may be written, with their nanoseconds; the first name of each is the canonical one.
const UNITS: [(&str, u64); 10] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("min", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ns", 1),
];

/// Reads a duration from text: numbers with units (`1h30m`, `1.5s`, `250ms`), or one bare number of seconds.
///
/// Parts add up, blanks between them are ignored, and what is finer than a nanosecond is cut off. Negative, empty,
/// unit-less or unknown parts and more than [`MAX_DURATION`] are refused.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let error = || UnitError::text(EXPECTED, text);
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(error().because("it is empty"));
    }
    if rest.starts_with('-') {
        return Err(error().because("it cannot be negative"));
    }
    let mut nanoseconds = 0u128;
    let mut parts = 0;
    while !rest.is_empty() {
        let (number, after) = Decimal::take(rest).ok_or_else(error)?;
        let written = &rest[..rest.len() - after.len()];
        let after = after.trim_start();
        let end = after.find(|c: char| c.is_ascii_digit() || c.is_whitespace()).unwrap_or(after.len());
        let (unit, next) = after.split_at(end);
        let scale = match UNITS.iter().find(|(name, _)| *name == unit) {
            Some((_, scale)) => *scale,
            None if unit.is_empty() && parts == 0 && next.is_empty() => 1_000_000_000,
            None if unit.is_empty() => return Err(error().because(format!("`{written}` has no unit"))),
            None => {
                let detail = format!("`{unit}` is not a unit (d, h, m or min, s, ms, us, ns)");
                return Err(error().because(detail));
            }
        };
        nanoseconds = nanoseconds.saturating_add(number.times(scale));
        parts += 1;
        rest = next.trim_start();
    }
    from_nanoseconds(nanoseconds).ok_or_else(|| error().because("the longest is 36500d"))
}

/// Reads a duration from a number of seconds. Negative, not a number and more than [`MAX_DURATION`] are refused.
pub fn duration_from_seconds(seconds: f64) -> Result<Duration, UnitError> {
    let error = || UnitError::number(EXPECTED, seconds);
    if seconds.is_nan() {
        return Err(error().because("it is not a number"));
    }
    if seconds < 0.0 {
        return Err(error().because("it cannot be negative"));
    }
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if duration <= MAX_DURATION => Ok(duration),
        _ => Err(error().because("the longest is 36500d")),
    }
}

/// Reads a duration from a whole number of seconds. Negative and more than [`MAX_DURATION`] are refused.
pub fn duration_from_whole_seconds(seconds: i64) -> Result<Duration, UnitError> {
    let error = || UnitError::number(EXPECTED, seconds);
    if seconds < 0 {
        return Err(error().because("it cannot be negative"));
    }
    match u64::try_from(seconds).map(Duration::from_secs) {
        Ok(duration) if duration <= MAX_DURATION => Ok(duration),
        _ => Err(error().because("the longest is 36500d")),
    }
}

/// The refusal of something that is neither text nor a number.
pub(in crate::spec) fn not_a_duration(found: String) -> UnitError {
    UnitError { expected: EXPECTED, found, detail: None }
}

fn from_nanoseconds(nanoseconds: u128) -> Option<Duration> {
    let seconds = u64::try_from(nanoseconds / 1_000_000_000).ok()?;
    let fraction = u32::try_from(nanoseconds % 1_000_000_000).ok()?;
    Some(Duration::new(seconds, fraction)).filter(|duration| *duration <= MAX_DURATION)
}

/// Writes a duration in its canonical form, which [`parse_duration`] reads back exactly: `1h30m`, `1.5s`,
/// `250ms`, `0s`.
pub fn format_duration(duration: Duration) -> String {
    let (seconds, nanoseconds) = (duration.as_secs(), duration.subsec_nanos());
    if seconds == 0 && nanoseconds > 0 {
        return match nanoseconds {
            1_000_000.. => with_fraction(u64::from(nanoseconds / 1_000_000), nanoseconds % 1_000_000, 6, "ms"),
            1_000.. => with_fraction(u64::from(nanoseconds / 1_000), nanoseconds % 1_000, 3, "us"),
            _ => format!("{nanoseconds}ns"),
        };
    }
    let mut text = String::new();
    let mut rest = seconds;
    for (unit, length) in [("d", 86_400), ("h", 3_600), ("m", 60)] {
        if rest >= length {
            text.push_str(&format!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    if rest > 0 || nanoseconds > 0 || text.is_empty() {
        text.push_str(&with_fraction(rest, nanoseconds, 9, "s"));
    }
    text
}

fn with_fraction(whole: u64, fraction: u32, digits: usize, unit: &str) -> String {
    if fraction == 0 {
        return format!("{whole}{unit}");
    }
    let fraction = format!("{fraction:0digits$}");
    format!("{whole}.{}{unit}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(text: &str) -> String {
        parse_duration(text).unwrap_err().to_string()
    }

    #[test]
    fn every_accepted_form_means_what_it_says() {
        let cases = [
            ("10", 10_000),
            ("10s", 10_000),
            ("1h30m", 5_400_000),
            ("1h 30min", 5_400_000),
            ("250ms", 250),
            ("1.5s", 1_500),
            ("0.25", 250),
            ("2d", 172_800_000),
            ("0s", 0),
            ("0", 0),
            (" 5 s ", 5_000),
            ("1500us", 1),
        ];
        for (text, milliseconds) in cases {
            assert_eq!(parse_duration(text).unwrap().as_millis(), milliseconds, "{text}");
        }
        assert_eq!(parse_duration("7us").unwrap(), Duration::from_micros(7));
        assert_eq!(parse_duration("7µs").unwrap(), Duration::from_micros(7));
        assert_eq!(parse_duration("36500d").unwrap(), MAX_DURATION);
    }

    #[test]
    fn every_refusal_shows_what_is_accepted_and_what_is_wrong() {
        let expected = "expected a duration (seconds, or text such as \"1h30m\", \"10s\" or \"250ms\"), found";
        let cases = [
            ("10x", "\"10x\": `x` is not a unit (d, h, m or min, s, ms, us, ns)"),
            ("10S", "\"10S\": `S` is not a unit (d, h, m or min, s, ms, us, ns)"),
            ("1e3", "\"1e3\": `e` is not a unit (d, h, m or min, s, ms, us, ns)"),
            ("", "\"\": it is empty"),
            ("  ", "\"  \": it is empty"),
            ("-5s", "\"-5s\": it cannot be negative"),
            ("1h30", "\"1h30\": `30` has no unit"),
            ("5 5", "\"5 5\": `5` has no unit"),
            ("soon", "\"soon\""),
            ("5.", "\"5.\""),
            ("s", "\"s\""),
            ("NaN", "\"NaN\""),
            ("36501d", "\"36501d\": the longest is 36500d"),
            (
                "99999999999999999999999999999999999999999999d",
                "\"99999999999999999999999999999999999999999999d\": the longest is 36500d",
            ),
        ];
        for (text, rest) in cases {
            assert_eq!(message(text), format!("{expected} {rest}"));
        }
    }

    #[test]
    fn bare_numbers_are_seconds_and_absurd_ones_are_refused() {
        let expected = "expected a duration (seconds, or text such as \"1h30m\", \"10s\" or \"250ms\"), found";
        assert_eq!(duration_from_seconds(1.5).unwrap(), Duration::from_millis(1_500));
        let cases = [
            (f64::NAN, "NaN: it is not a number"),
            (-1.0, "-1: it cannot be negative"),
            (f64::INFINITY, "inf: the longest is 36500d"),
            (1e30, "1000000000000000000000000000000: the longest is 36500d"),
        ];
        for (seconds, rest) in cases {
            assert_eq!(duration_from_seconds(seconds).unwrap_err().to_string(), format!("{expected} {rest}"));
        }
        assert_eq!(duration_from_whole_seconds(90).unwrap(), Duration::from_secs(90));
        assert_eq!(
            duration_from_whole_seconds(-1).unwrap_err().to_string(),
            format!("{expected} -1: it cannot be negative")
        );
        let far = duration_from_whole_seconds(i64::MAX).unwrap_err().to_string();
        assert_eq!(far, format!("{expected} 9223372036854775807: the longest is 36500d"));
    }

    #[test]
    fn the_canonical_form_is_the_shortest_that_people_read() {
        let cases = [
            (Duration::ZERO, "0s"),
            (Duration::from_millis(250), "250ms"),
            (Duration::from_secs(5_400), "1h30m"),
            (Duration::from_millis(1_500), "1.5s"),
            (Duration::from_millis(61_500), "1m1.5s"),
            (Duration::from_secs(86_400), "1d"),
            (Duration::from_micros(1_500), "1.5ms"),
            (Duration::from_nanos(1_500), "1.5us"),
            (Duration::from_nanos(7), "7ns"),
            (Duration::from_secs(3_600), "1h"),
        ];
        for (duration, text) in cases {
            assert_eq!(format_duration(duration), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_formatted_is_read_back_exactly(
            seconds in 0..MAX_DURATION.as_secs(),
            nanoseconds in 0..1_000_000_000u32,
        ) {
            let duration = Duration::new(seconds, nanoseconds);
            prop_assert_eq!(parse_duration(&format_duration(duration)).unwrap(), duration);
        }

        #[test]
        fn short_durations_are_read_back_exactly(nanoseconds in 0..2_000_000_000u64) {
            let duration = Duration::from_nanos(nanoseconds);
            prop_assert_eq!(parse_duration(&format_duration(duration)).unwrap(), duration);
        }

        #[test]
        fn no_text_upsets_the_parser(text in "\\PC{0,24}|[0-9.]{0,40}[dhmsun ]{0,3}") {
            let _ = parse_duration(&text);
        }

        #[test]
        fn whole_seconds_read_the_same_bare_or_with_a_unit(seconds in 0..1_000_000u64) {
            prop_assert_eq!(parse_duration(&seconds.to_string()), parse_duration(&format!("{seconds}s")));
        }
    }
}
