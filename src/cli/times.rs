//! Moments: for programs as RFC 3339, for people as how long ago.

use std::time::{SystemTime, UNIX_EPOCH};

use prost_types::Timestamp;

/// A moment of the wall clock, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(pub(super) i64);

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

impl Moment {
    /// Now.
    pub(super) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// `2026-11-23T09:52:43.120Z`.
    pub(super) fn rfc3339(self) -> String {
        let (year, month, day) = date(self.0.div_euclid(DAY));
        let (hour, minute, second) = self.time_of_day();
        let millis = self.0.rem_euclid(SECOND);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }

    /// `2026-11-23 09:52:43 UTC`.
    pub(super) fn for_people(self) -> String {
        let (year, month, day) = date(self.0.div_euclid(DAY));
        let (hour, minute, second) = self.time_of_day();
        format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
    }

    fn time_of_day(self) -> (i64, i64, i64) {
        let rest = self.0.rem_euclid(DAY);
        (rest / HOUR, rest % HOUR / MINUTE, rest % MINUTE / SECOND)
    }

    /// How long it has been: `0s`, `59s`, `12m`, `4h 3m`, `2d 4h`. What is yet to come counts as now.
    pub(super) fn age(self, now: Moment) -> String {
        brief(now.0.saturating_sub(self.0))
    }

    /// How long until then, the other way round.
    pub(super) fn until(self, now: Moment) -> String {
        brief(self.0.saturating_sub(now.0))
    }
}

fn brief(millis: i64) -> String {
    let two = |large: i64, large_unit: char, small: i64, small_unit: char| {
        if small == 0 { format!("{large}{large_unit}") } else { format!("{large}{large_unit} {small}{small_unit}") }
    };
    match millis.max(0) {
        millis @ ..MINUTE => format!("{}s", millis / SECOND),
        // Under ten minutes the seconds still tell something.
        millis if millis < 10 * MINUTE => two(millis / MINUTE, 'm', millis % MINUTE / SECOND, 's'),
        millis if millis < HOUR => format!("{}m", millis / MINUTE),
        millis if millis < DAY => two(millis / HOUR, 'h', millis % HOUR / MINUTE, 'm'),
        millis => two(millis / DAY, 'd', millis % DAY / HOUR, 'h'),
    }
}

/// The civil date of a day counted from 1970-01-01: years are counted from March, so that a leap day is a year's last.
fn date(day: i64) -> (i64, i64, i64) {
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

impl From<&Timestamp> for Moment {
    fn from(time: &Timestamp) -> Self {
        Moment(time.seconds.saturating_mul(1_000).saturating_add(i64::from(time.nanos) / 1_000_000))
    }
}

#[cfg(test)]
mod tests {
    use super::{DAY, HOUR, MINUTE, Moment, SECOND};

    #[test]
    fn programs_get_rfc_3339_in_utc() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_000, "2024-02-29T23:59:59.000Z"),
            (1_709_251_200_000, "2024-03-01T00:00:00.000Z"),
            (1_795_427_563_120, "2026-11-23T09:52:43.120Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Moment(millis).rfc3339(), text);
        }
        assert_eq!(Moment(951_782_400_000).for_people(), "2000-02-29 00:00:00 UTC");
    }

    #[test]
    fn people_get_how_long_ago() {
        for (millis, text) in [
            (-5, "0s"),
            (999, "0s"),
            (59 * SECOND, "59s"),
            (MINUTE, "1m"),
            (3 * MINUTE + 5 * SECOND, "3m 5s"),
            (59 * MINUTE, "59m"),
            (4 * HOUR + 3 * MINUTE, "4h 3m"),
            (2 * DAY + 4 * HOUR + MINUTE, "2d 4h"),
            (400 * DAY, "400d"),
        ] {
            assert_eq!(Moment(0).age(Moment(millis)), text);
            assert_eq!(Moment(millis).until(Moment(0)), text);
        }
    }
}
