//! Processor shares.

use super::{Decimal, UnitError};

const EXPECTED: &str = "cores such as 1.5, or thousandths of one such as \"500m\"";

/// More cores than any machine has; a number in this range was meant as thousandths.
const TOO_MANY_CORES: f64 = 100.0;

/// Reads thousandths of a core from text: `"500m"`, or cores as `"1.5"`.
pub fn parse_cpu(text: &str) -> Result<u64, UnitError> {
    let error = || UnitError::text(EXPECTED, text);
    let trimmed = text.trim();
    let (number, unit) = Decimal::take(trimmed).ok_or_else(error)?;
    let millis = match unit.trim_start() {
        "" if number.whole >= 100 => return Err(error().because(offer(number.whole))),
        "" => number.times(1_000),
        "m" => number.times(1),
        other => return Err(error().because(format!("`{other}` is not a unit (m is a thousandth)"))),
    };
    match u64::try_from(millis) {
        Ok(0) => Err(error().because("it must be more than 0")),
        Ok(millis) if millis <= 1_000_000_000 => Ok(millis),
        _ => Err(error().because("it is too large")),
    }
}

/// Reads thousandths of a core from a number of cores; from 100 on, thousandths were meant, and the text is offered.
pub fn cpu_from_number(cores: f64) -> Result<u64, UnitError> {
    let error = || UnitError::number(EXPECTED, cores);
    if cores.is_nan() {
        return Err(error().because("it is not a number"));
    }
    if cores >= TOO_MANY_CORES {
        return Err(error().because(offer(cores)));
    }
    let millis = (cores * 1_000.0).round();
    if millis < 1.0 {
        return Err(error().because("it must be more than 0"));
    }
    Ok(millis as u64)
}

/// The refusal of something that is neither text nor a number.
pub(in crate::spec) fn not_a_cpu(found: String) -> UnitError {
    UnitError { expected: EXPECTED, found, detail: None }
}

fn offer(number: impl std::fmt::Display) -> String {
    format!("a bare number is whole cores; write \"{number}m\" for {number} thousandths of a core")
}

/// Writes thousandths of a core so that [`parse_cpu`] reads them back.
pub fn format_cpu(millis: u64) -> String {
    format!("{millis}m")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_cores_and_m_is_a_thousandth() {
        assert_eq!(cpu_from_number(1.5).unwrap(), 1_500);
        assert_eq!(cpu_from_number(2.0).unwrap(), 2_000);
        assert_eq!(parse_cpu("500m").unwrap(), 500);
        assert_eq!(parse_cpu("1.5").unwrap(), 1_500);
        assert_eq!(parse_cpu("1500 m").unwrap(), 1_500);
    }

    #[test]
    fn a_bare_hundred_is_refused_and_offered_as_thousandths() {
        let expected = "expected cores such as 1.5, or thousandths of one such as \"500m\", found";
        let offered = "a bare number is whole cores; write \"500m\" for 500 thousandths of a core";
        assert_eq!(cpu_from_number(500.0).unwrap_err().to_string(), format!("{expected} 500: {offered}"));
        assert_eq!(parse_cpu("500").unwrap_err().to_string(), format!("{expected} \"500\": {offered}"));
        assert_eq!(cpu_from_number(0.0).unwrap_err().to_string(), format!("{expected} 0: it must be more than 0"));
        assert_eq!(cpu_from_number(-1.0).unwrap_err().to_string(), format!("{expected} -1: it must be more than 0"));
        assert_eq!(cpu_from_number(f64::NAN).unwrap_err().to_string(), format!("{expected} NaN: it is not a number"));
        assert_eq!(parse_cpu("0m").unwrap_err().to_string(), format!("{expected} \"0m\": it must be more than 0"));
        let unit = parse_cpu("5x").unwrap_err().to_string();
        assert_eq!(unit, format!("{expected} \"5x\": `x` is not a unit (m is a thousandth)"));
        let large = parse_cpu("9999999999999m").unwrap_err().to_string();
        assert_eq!(large, format!("{expected} \"9999999999999m\": it is too large"));
        assert_eq!(parse_cpu("all").unwrap_err().to_string(), format!("{expected} \"all\""));
    }

    proptest! {
        #[test]
        fn what_is_formatted_is_read_back_exactly(millis in 1..=1_000_000_000u64) {
            prop_assert_eq!(parse_cpu(&format_cpu(millis)).unwrap(), millis);
        }
    }
}
