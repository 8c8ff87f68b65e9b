//! Moments as programs read them: RFC 3339.

use std::io::Write;

/// A second, in milliseconds.
pub(crate) const SECOND: i64 = 1_000;
/// A minute.
pub(crate) const MINUTE: i64 = 60 * SECOND;
/// An hour.
pub(crate) const HOUR: i64 = 60 * MINUTE;
/// A day.
pub(crate) const DAY: i64 = 24 * HOUR;

/// `2026-11-23T09:52:43.120Z`, of milliseconds since 1970, behind what is there: a list of many processes has thousands.
pub(crate) fn write_rfc3339(moment: i64, out: &mut Vec<u8>) {
    let (year, month, day) = date(moment.div_euclid(DAY));
    let rest = moment.rem_euclid(DAY);
    let (hour, minute, second) = (rest / HOUR, rest % HOUR / MINUTE, rest % MINUTE / SECOND);
    let millis = moment.rem_euclid(SECOND);
    if (0..10_000).contains(&year) {
        digits(out, year, 4);
    } else {
        // Memory takes all bytes.
        let _ = write!(out, "{year:04}");
    }
    for (sign, number, width) in
        [(b'-', month, 2), (b'-', day, 2), (b'T', hour, 2), (b':', minute, 2), (b':', second, 2), (b'.', millis, 3)]
    {
        out.push(sign);
        digits(out, number, width);
    }
    out.push(b'Z');
}

/// A number of at least zero with so many digits.
fn digits(out: &mut Vec<u8>, number: i64, width: u32) {
    for place in (0..width).rev() {
        let digit = number / 10_i64.pow(place) % 10;
        out.push(b'0' + u8::try_from(digit).unwrap_or(0));
    }
}

/// The civil date of a day counted from 1970-01-01: years are counted from March, so that a leap day is a year's last.
pub(crate) fn date(day: i64) -> (i64, i64, i64) {
    const DAYS_IN_400_YEARS: i64 = 146_097;
    const DAYS_FROM_MARCH_0000_TO_1970: i64 = 719_468;
    let day = day + DAYS_FROM_MARCH_0000_TO_1970;
    let (era, of_era) = (day.div_euclid(DAYS_IN_400_YEARS), day.rem_euclid(DAYS_IN_400_YEARS));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day_of_month)
}
