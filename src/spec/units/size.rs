//! Sizes in bytes, and file modes.

use super::{Decimal, UnitError};

const EXPECTED: &str = "a size (bytes, or text such as \"512MiB\" or \"1G\")";

/// The largest size that is accepted; every front end can write it as a number.
pub const MAX_SIZE: u64 = i64::MAX as u64;

const PREFIXES: [(char, u32); 6] = [('K', 10), ('M', 20), ('G', 30), ('T', 40), ('P', 50), ('E', 60)];

/// Reads a size from text: a number with a unit (`512MiB`, `1G`, `1.5G`), or bytes. K, KB, Ki and KiB are all 1024.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let error = || UnitError::text(EXPECTED, text);
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err(error().because("it is empty"));
    }
    if trimmed.starts_with('-') {
        return Err(error().because("it cannot be negative"));
    }
    let (number, rest) = Decimal::take(trimmed).ok_or_else(error)?;
    let unit = rest.trim_start();
    let shift = shift_of(unit)
        .ok_or_else(|| error().because(format!("`{unit}` is not a unit (B, K, M, G, T, P, E, as K, KB or KiB)")))?;
    if shift == 0 && !number.fraction.trim_end_matches('0').is_empty() {
        return Err(error().because("there is no part of a byte"));
    }
    match u64::try_from(number.times(1 << shift)) {
        Ok(bytes) if bytes <= MAX_SIZE => Ok(bytes),
        _ => Err(error().because("it is too large")),
    }
}

/// The power of two of a unit, in any case; `None` when it is none.
fn shift_of(unit: &str) -> Option<u32> {
    let unit = unit.to_ascii_uppercase();
    if unit.is_empty() || unit == "B" {
        return Some(0);
    }
    let mut characters = unit.chars();
    let first = characters.next()?;
    let (_, shift) = PREFIXES.iter().find(|(prefix, _)| *prefix == first)?;
    matches!(characters.as_str(), "" | "B" | "I" | "IB").then_some(*shift)
}

/// Reads a size from a number of bytes. Negative, fractional and too large numbers are refused.
pub fn size_from_number(bytes: f64) -> Result<u64, UnitError> {
    let error = || UnitError::number(EXPECTED, bytes);
    if bytes < 0.0 {
        return Err(error().because("it cannot be negative"));
    }
    if bytes >= MAX_SIZE as f64 {
        return Err(error().because("it is too large"));
    }
    if bytes.fract() != 0.0 || bytes.is_nan() {
        return Err(error().because("there is no part of a byte"));
    }
    Ok(bytes as u64)
}

/// The refusal of something that is neither text nor a number.
pub(in crate::spec) fn not_a_size(found: String) -> UnitError {
    UnitError { expected: EXPECTED, found, detail: None }
}

/// Writes a size in its canonical form, which [`parse_size`] reads back exactly: the largest unit that divides it.
pub fn format_size(bytes: u64) -> String {
    for (prefix, shift) in PREFIXES.iter().rev() {
        if bytes != 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{}{prefix}iB", bytes >> shift);
        }
    }
    bytes.to_string()
}

const MODE: &str = "an octal mode as text such as \"0660\"";

/// Reads a file mode or umask from octal text of one to four digits.
pub fn parse_mode(text: &str) -> Result<u32, UnitError> {
    let octal = (1..=4).contains(&text.len()) && text.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
    if !octal {
        let error = UnitError::text(MODE, text);
        return Err(error.because("one to four digits, each 0 to 7"));
    }
    u32::from_str_radix(text, 8).map_err(|_| UnitError::text(MODE, text))
}

/// Why a number is not a mode: whether `660` is meant in octal cannot be known, so the text is offered instead.
pub fn mode_from_number(number: i64) -> UnitError {
    let error = UnitError::number(MODE, number);
    let digits = number.to_string();
    match parse_mode(&digits) {
        Ok(_) => error.because(format!("write \"{digits:0>4}\"")),
        Err(_) => error.because("one to four digits in quotes, each 0 to 7"),
    }
}

/// The refusal of something that is not text.
pub(in crate::spec) fn not_a_mode(found: String) -> UnitError {
    UnitError { expected: MODE, found, detail: None }
}

/// Writes a mode as four octal digits.
pub fn format_mode(mode: u32) -> String {
    format!("{mode:04o}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn k_kb_and_kib_are_all_1024() {
        for text in ["1K", "1KB", "1KiB", "1k", "1kib", "1 KiB", "1024", "1024B", "1.0K"] {
            assert_eq!(parse_size(text).unwrap(), 1024, "{text}");
        }
        assert_eq!(parse_size("512MiB").unwrap(), 512 << 20);
        assert_eq!(parse_size("1G").unwrap(), 1 << 30);
        assert_eq!(parse_size("1.5G").unwrap(), 3 << 29);
        assert_eq!(parse_size("2T").unwrap(), 2 << 40);
        assert_eq!(parse_size("0").unwrap(), 0);
        assert_eq!(size_from_number(4096.0).unwrap(), 4096);
    }

    #[test]
    fn every_refused_size_shows_what_is_accepted() {
        let expected = "expected a size (bytes, or text such as \"512MiB\" or \"1G\"), found";
        let cases = [
            ("1X", "\"1X\": `X` is not a unit (B, K, M, G, T, P, E, as K, KB or KiB)"),
            ("", "\"\": it is empty"),
            ("-1G", "\"-1G\": it cannot be negative"),
            ("1.5", "\"1.5\": there is no part of a byte"),
            ("16E", "\"16E\": it is too large"),
            ("99999999999999999999999G", "\"99999999999999999999999G\": it is too large"),
            ("much", "\"much\""),
        ];
        for (text, rest) in cases {
            assert_eq!(parse_size(text).unwrap_err().to_string(), format!("{expected} {rest}"));
        }
        let numbers = [
            (-1.0, "-1: it cannot be negative"),
            (0.5, "0.5: there is no part of a byte"),
            (f64::NAN, "NaN: there is no part of a byte"),
            (f64::INFINITY, "inf: it is too large"),
        ];
        for (bytes, rest) in numbers {
            assert_eq!(size_from_number(bytes).unwrap_err().to_string(), format!("{expected} {rest}"));
        }
    }

    #[test]
    fn a_mode_is_octal_text_and_a_number_is_offered_as_text() {
        assert_eq!(parse_mode("0660").unwrap(), 0o660);
        assert_eq!(parse_mode("22").unwrap(), 0o22);
        assert_eq!(format_mode(0o22), "0022");
        let expected = "expected an octal mode as text such as \"0660\", found";
        let digits = "one to four digits, each 0 to 7";
        assert_eq!(parse_mode("0890").unwrap_err().to_string(), format!("{expected} \"0890\": {digits}"));
        assert_eq!(parse_mode("").unwrap_err().to_string(), format!("{expected} \"\": {digits}"));
        assert_eq!(parse_mode("06600").unwrap_err().to_string(), format!("{expected} \"06600\": {digits}"));
        assert_eq!(mode_from_number(660).to_string(), format!("{expected} 660: write \"0660\""));
        assert_eq!(mode_from_number(22).to_string(), format!("{expected} 22: write \"0022\""));
        let nine = mode_from_number(99).to_string();
        assert_eq!(nine, format!("{expected} 99: one to four digits in quotes, each 0 to 7"));
        let negative = mode_from_number(-1).to_string();
        assert_eq!(negative, format!("{expected} -1: one to four digits in quotes, each 0 to 7"));
    }

    proptest! {
        #[test]
        fn what_is_formatted_is_read_back_exactly(bytes in 0..=MAX_SIZE, shift in 0..63u32) {
            let bytes = bytes >> shift << (shift / 2);
            prop_assert_eq!(parse_size(&format_size(bytes)).unwrap(), bytes);
        }

        #[test]
        fn modes_are_read_back_exactly(mode in 0..=0o7777u32) {
            prop_assert_eq!(parse_mode(&format_mode(mode)).unwrap(), mode);
        }

        #[test]
        fn no_text_upsets_the_parser(text in "\\PC{0,24}|[0-9.]{0,40}[kKmMiIbB ]{0,3}") {
            let _ = parse_size(&text);
        }
    }
}
