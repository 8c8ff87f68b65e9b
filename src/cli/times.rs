//! Moments: for programs as RFC 3339, for people as how long ago.

use std::time::{SystemTime, UNIX_EPOCH};

use prost_types::Timestamp;

use crate::rpc::json::{DAY, HOUR, MINUTE, SECOND, date, write_rfc3339};
use crate::spec::units::parse_duration;

/// A moment of the wall clock, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(pub(super) i64);

impl Moment {
    /// Now.
    pub(super) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// `2026-11-23T09:52:43.120Z`.
    pub(super) fn rfc3339(self) -> String {
        let mut text = Vec::with_capacity("2026-11-23T09:52:43.120Z".len());
        write_rfc3339(self.0, &mut text);
        // Digits and signs.
        String::from_utf8(text).unwrap_or_default()
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

impl Moment {
    /// What people write for a moment: how long ago (`10m`, `1h30m`), a time of day (the last one), a date, both, `now`,
    /// `today`, `yesterday`, or RFC 3339. What names no zone is local, which is `offset` seconds ahead of UTC then.
    pub(super) fn parse(text: &str, now: Moment, offset: impl Fn(i64) -> i64) -> Result<Moment, String> {
        let text = text.trim();
        let local = |millis: i64| Moment(millis - offset(millis.div_euclid(SECOND)) * SECOND);
        let here = now.0 + offset(now.0.div_euclid(SECOND)) * SECOND;
        let today = here.div_euclid(DAY) * DAY;
        let wrong = || {
            format!(
                "`{}` is no time; write how long ago (10m), a time (14:05), a date (2026-11-23), both, today, yesterday, \
                 or 2026-11-23T14:05:00Z",
                text.escape_debug()
            )
        };
        match text {
            "now" => return Ok(now),
            "today" => return Ok(local(today)),
            "yesterday" => return Ok(local(today - DAY)),
            _ => {}
        }
        if let Ok(ago) = parse_duration(text.strip_suffix("ago").unwrap_or(text).trim()) {
            let ago = i64::try_from(ago.as_millis()).map_err(|_| wrong())?;
            return Ok(Moment(now.0.saturating_sub(ago)));
        }
        if let Some(time) = time_of_day(text) {
            // The last time that it was so late.
            let then = today + time;
            return Ok(local(if then > here { then - DAY } else { then }));
        }
        let (date, rest) = match text.split_once(['T', 't', ' ']) {
            Some((date, rest)) => (date, Some(rest.trim())),
            None => (text, None),
        };
        let day = day_of(date).ok_or_else(wrong)? * DAY;
        let Some(rest) = rest else { return Ok(local(day)) };
        if let Some(time) = rest.strip_suffix(['Z', 'z']).or(rest.strip_suffix(" UTC")) {
            return Ok(Moment(day + time_of_day(time).ok_or_else(wrong)?));
        }
        if let Some(at) = rest.rfind(['+', '-']) {
            let (time, zone) = rest.split_at(at);
            let (time, ahead) =
                time_of_day(time).zip(time_of_day(zone.get(1..).unwrap_or_default())).ok_or_else(wrong)?;
            let ahead = if zone.starts_with('-') { -ahead } else { ahead };
            return Ok(Moment(day + time - ahead));
        }
        Ok(local(day + time_of_day(rest).ok_or_else(wrong)?))
    }
}

/// `14:05`, `14:05:30` or `14:05:30.250`, in milliseconds.
fn time_of_day(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let mut number = |most: i64| {
        let part = parts.next()?;
        let plain = part.len() <= 2 && !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        part.parse::<i64>().ok().filter(|n| plain && *n <= most)
    };
    let (hour, minute) = (number(23)?, number(59)?);
    let (second, millis) = match parts.next() {
        None => (0, 0),
        Some(rest) => {
            let (second, fraction) = rest.split_once('.').unwrap_or((rest, "0"));
            let digits = !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit());
            let millis = format!("{fraction:0<3}").get(..3).and_then(|millis| millis.parse::<i64>().ok())?;
            (second.parse::<i64>().ok().filter(|n| second.len() == 2 && (0..=60).contains(n) && digits)?, millis)
        }
    };
    parts.next().is_none().then_some(hour * HOUR + minute * MINUTE + second * SECOND + millis)
}

/// The day of `2026-11-23`, counted from 1970-01-01.
fn day_of(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let mut number = |digits: usize| {
        let part = parts.next()?;
        part.parse::<i64>().ok().filter(|_| part.len() == digits && part.bytes().all(|b| b.is_ascii_digit()))
    };
    let (year, month, day) = (number(4)?, number(2)?, number(2)?);
    // Nearly the day; of those around it, the one with this date.
    let guess = (year - 1970) * 365 + (year - 1969).div_euclid(4) + (month - 1) * 30 + day;
    let found = (guess - 40..guess + 40).find(|other| date(*other) == (year, month, day));
    found.filter(|_| parts.next().is_none())
}

impl From<Moment> for Timestamp {
    fn from(moment: Moment) -> Self {
        let nanos = i32::try_from(moment.0.rem_euclid(SECOND) * 1_000_000).unwrap_or(0);
        Timestamp { seconds: moment.0.div_euclid(SECOND), nanos }
    }
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

    #[test]
    fn moments_are_read_as_people_write_them() {
        // 2026-11-23 09:52:43.120 UTC, where clocks are two hours ahead.
        let now = Moment(1_795_427_563_120);
        let read = |text: &str| Moment::parse(text, now, |_| 7200).map(Moment::rfc3339);
        for (text, time) in [
            ("10m", "2026-11-23T09:42:43.120Z"),
            ("1h30m ago", "2026-11-23T08:22:43.120Z"),
            ("now", "2026-11-23T09:52:43.120Z"),
            ("today", "2026-11-22T22:00:00.000Z"),
            ("yesterday", "2026-11-21T22:00:00.000Z"),
            ("11:05", "2026-11-23T09:05:00.000Z"),
            ("14:05", "2026-11-22T12:05:00.000Z"),
            ("11:05:30.25", "2026-11-23T09:05:30.250Z"),
            ("2026-11-20", "2026-11-19T22:00:00.000Z"),
            ("2026-11-20 14:05", "2026-11-20T12:05:00.000Z"),
            ("2026-11-20T14:05:00Z", "2026-11-20T14:05:00.000Z"),
            ("2026-11-20 14:05:00 UTC", "2026-11-20T14:05:00.000Z"),
            ("2024-02-29T23:59:59.999+05:30", "2024-02-29T18:29:59.999Z"),
            ("1999-12-31T23:59:59-01:00", "2000-01-01T00:59:59.000Z"),
            ("2100-03-01T00:00:00Z", "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(time), "{text}");
        }
        for wrong in ["", "soon", "25:00", "14:60", "2026-13-01", "2026-02-30", "2026-11-20T", "14:05:00:00", "-5m"] {
            assert!(read(wrong).is_err(), "{wrong}: {:?}", read(wrong));
        }
        assert!(read("soon").unwrap_err().starts_with("`soon` is no time; write how long ago (10m)"));
    }
}
