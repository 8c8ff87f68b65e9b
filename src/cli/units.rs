//! Lengths of time as a person reads them at a glance.

use std::time::Duration;

/// About how long: `40 ms`, `3.2 s`, `15 s`, `2 min 5 s`, `1 h 3 min`.
pub(super) fn about(duration: Duration) -> String {
    let millis = duration.as_millis();
    let seconds = duration.as_secs();
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..10_000 if millis % 1_000 >= 50 => format!("{:.1} s", duration.as_secs_f64()),
        1_000..60_000 => format!("{seconds} s"),
        60_000..3_600_000 => joined(seconds / 60, "min", seconds % 60, "s"),
        _ => joined(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
    }
}

fn joined(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 { format!("{large} {large_unit}") } else { format!("{large} {large_unit} {small} {small_unit}") }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::about;

    #[test]
    fn it_reads_at_a_glance() {
        let cases = [
            (0, "0 ms"),
            (999, "999 ms"),
            (1_000, "1 s"),
            (1_049, "1 s"),
            (1_250, "1.2 s"),
            (9_970, "10.0 s"),
            (59_999, "59 s"),
            (120_000, "2 min"),
            (125_000, "2 min 5 s"),
            (3_780_000, "1 h 3 min"),
        ];
        for (millis, text) in cases {
            assert_eq!(about(Duration::from_millis(millis)), text);
        }
    }
}
