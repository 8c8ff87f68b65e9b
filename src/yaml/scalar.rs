//! What a single value is: YAML 1.2's core schema.

use crate::spec::Value;

/// What text without quotes stands for.
///
/// As the core schema has it, but that a number with a leading zero is text, so that `0660` is what it looks like.
pub(super) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    number(text).unwrap_or_else(|| Value::String(text.to_owned()))
}

/// A number, if it is one.
pub(super) fn number(text: &str) -> Option<Value> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let first = unsigned.bytes().next()?;
    if !first.is_ascii_digit() && first != b'.' {
        return None;
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix) {
            let known = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
            return known.then(|| i64::from_str_radix(digits, radix).map_or(Value::Float(f64::MAX), Value::Integer));
        }
    }
    if unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        let padded = unsigned.len() > 1 && first == b'0';
        let whole = || text.parse().map_or_else(|_| text.parse().ok().map(Value::Float), |n| Some(Value::Integer(n)));
        return if padded { None } else { whole() };
    }
    match unsigned {
        ".inf" | ".Inf" | ".INF" => {
            return Some(Value::Float(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY }));
        }
        ".nan" | ".NaN" | ".NAN" => return (unsigned == text).then_some(Value::Float(f64::NAN)),
        _ => {}
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_float = digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent));
    if is_float { text.parse().ok().map(Value::Float) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_values_are_what_the_core_schema_says_but_for_leading_zeros() {
        let text = |text: &str| Value::String(text.into());
        let cases: [(&str, Value); 33] = [
            ("", Value::Null),
            ("~", Value::Null),
            ("null", Value::Null),
            ("true", Value::Bool(true)),
            ("FALSE", Value::Bool(false)),
            ("yes", text("yes")),
            ("on", text("on")),
            ("y", text("y")),
            ("0", Value::Integer(0)),
            ("-12", Value::Integer(-12)),
            ("+5", Value::Integer(5)),
            ("0660", text("0660")),
            ("-07", text("-07")),
            ("0x1F", Value::Integer(31)),
            ("0o17", Value::Integer(15)),
            ("0x", text("0x")),
            ("1_000", text("1_000")),
            ("1.5", Value::Float(1.5)),
            (".5", Value::Float(0.5)),
            ("5.", Value::Float(5.0)),
            ("1e3", Value::Float(1000.0)),
            ("-1.5E-2", Value::Float(-0.015)),
            (".", text(".")),
            ("-", text("-")),
            ("1.2.3", text("1.2.3")),
            ("1e", text("1e")),
            ("12:30", text("12:30")),
            ("2026-11-23", text("2026-11-23")),
            (".inf", Value::Float(f64::INFINITY)),
            ("-.INF", Value::Float(f64::NEG_INFINITY)),
            ("inf", text("inf")),
            ("-.nan", text("-.nan")),
            ("99999999999999999999", Value::Float(1e20)),
        ];
        for (written, meant) in cases {
            assert_eq!(resolve(written), meant, "{written}");
        }
        assert!(matches!(resolve(".nan"), Value::Float(number) if number.is_nan()));
        assert!(matches!(resolve("0xffffffffffffffffff"), Value::Float(number) if number > 1e18));
    }
}
