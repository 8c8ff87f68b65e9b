//! `neap stats`: what processes use.

use super::args;
use super::context::Context;
use super::json;
use super::look::{tone, word};
use super::table::{Cell, Sheet};
use crate::cli::exit::{Exit, Failure};
use crate::cli::paint::Tone;
use crate::rpc::proto::v1::{StatsRequest, Usage};

/// Asks, and shows it.
pub(super) fn stats(args: &args::Stats, context: &mut Context) -> Result<Exit, Failure> {
    let interval = u64::try_from(args.interval.as_millis()).unwrap_or(u64::MAX);
    let request = StatsRequest { names: args.names.clone(), interval: Some(interval) };
    let usages = context.call(|client| client.stats(request))?.processes;
    if context.voice.json {
        context.print(&json::lines(&usages))?;
    } else if usages.is_empty() {
        context.say("no processes");
    } else {
        context.print(text(&usages, context.sheet()).trim_end())?;
    }
    Ok(Exit::Done)
}

fn text(usages: &[Usage], sheet: Sheet) -> String {
    let plain = |text: String| (Tone::Plain, text);
    let row = |usage: &Usage| -> Vec<Cell> {
        vec![
            (Tone::Strong, usage.name.clone()),
            (tone(usage.state()), word(usage.state())),
            plain(usage.pid.map_or_else(nothing, |pid| pid.to_string())),
            plain(usage.cpu.map_or_else(nothing, |cores| format!("{:.1} %", cores * 100.0))),
            plain(usage.cpu_usage_usec.map_or_else(nothing, seconds)),
            plain(limited(usage.memory.map(size), usage.memory_limit.map(size))),
            plain(limited(usage.pids.map(|n| n.to_string()), usage.pids_limit.map(|n| n.to_string()))),
            plain(usage.io_read_rate.map_or_else(nothing, rate)),
            plain(usage.io_written_rate.map_or_else(nothing, rate)),
        ]
    };
    let header = ["NAME", "STATE", "PID", "CPU", "CPU TIME", "MEMORY", "PIDS", "READ", "WRITTEN"];
    sheet.table(&header, usages.iter().map(row).collect())
}

fn nothing() -> String {
    "-".to_owned()
}

fn limited(amount: Option<String>, most: Option<String>) -> String {
    match (amount, most) {
        (Some(amount), Some(most)) => format!("{amount} of {most}"),
        (Some(amount), None) => amount,
        (None, _) => nothing(),
    }
}

/// `40.2s`, `3m 20s`, `2h 5m`.
fn seconds(micros: u64) -> String {
    let seconds = micros / 1_000_000;
    match seconds {
        0..60 => format!("{seconds}.{}s", micros / 100_000 % 10),
        60..3_600 => format!("{}m {}s", seconds / 60, seconds % 60),
        _ => format!("{}h {}m", seconds / 3_600, seconds / 60 % 60),
    }
}

/// `512B`, `40.2MiB`: three digits that matter.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut whole, mut rest, mut unit) = (bytes, 0, 0);
    while whole >= 1024 && unit + 1 < UNITS.len() {
        (whole, rest, unit) = (whole / 1024, whole % 1024, unit + 1);
    }
    let unit_name = UNITS.get(unit).copied().unwrap_or_default();
    if unit == 0 || whole >= 100 {
        format!("{whole}{unit_name}")
    } else {
        format!("{whole}.{}{unit_name}", rest * 10 / 1024)
    }
}

fn rate(bytes: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is not negative, and saturates")]
    let whole = bytes as u64;
    format!("{}/s", size(whole))
}

#[cfg(test)]
mod tests {
    use super::super::table::Sheet;
    use super::{seconds, size, text};
    use crate::cli::paint::Paint;
    use crate::rpc::proto::v1::{State, Usage};

    #[test]
    fn what_cannot_be_told_is_a_dash() {
        let web = Usage {
            name: "web".into(),
            state: State::Running.into(),
            pid: Some(4711),
            cpu: Some(0.123),
            cpu_usage_usec: Some(83_250_000),
            memory: Some(42 * 1024 * 1024 + 300 * 1024),
            memory_limit: Some(512 << 20),
            pids: Some(5),
            io_read_rate: Some(0.0),
            io_written_rate: Some(2048.7),
            ..Usage::default()
        };
        let gone = Usage { name: "old".into(), state: State::Stopped.into(), ..Usage::default() };
        let expected = "\
NAME  STATE    PID   CPU     CPU TIME  MEMORY             PIDS  READ  WRITTEN
web   running  4711  12.3 %  1m 23s    42.2MiB of 512MiB  5     0B/s  2.0KiB/s
old   stopped  -     -       -         -                  -     -     -
";
        assert_eq!(text(&[web, gone], Sheet { paint: Paint::off(), width: None }), expected);
    }

    #[test]
    fn figures_have_the_digits_that_matter() {
        let sizes = [(0, "0B"), (1023, "1023B"), (1024, "1.0KiB"), (150 << 20, "150MiB"), (u64::MAX, "16383PiB")];
        for (bytes, expected) in sizes {
            assert_eq!(size(bytes), expected);
        }
        for (micros, expected) in [(40_250_000, "40.2s"), (200_000_000, "3m 20s"), (7_500_000_000, "2h 5m")] {
            assert_eq!(seconds(micros), expected);
        }
    }
}
