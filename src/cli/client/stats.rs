//! `neap stats`: what processes use.

use std::time::Duration;

use unicode_width::UnicodeWidthStr;

use super::args;
use super::context::{Context, failure};
use super::follow;
use super::json::{self, Json};
use super::link::Client;
use super::look::{tone, word};
use super::table::{Cell, Sheet};
use crate::cli::exit::{Exit, Failure};
use crate::cli::paint::Tone;
use crate::cli::times::Moment;
use crate::rpc::proto::v1::{StatsRequest, Usage};

/// How long is measured unless asked otherwise.
const ONCE: Duration = Duration::from_millis(500);
const AGAIN: Duration = Duration::from_secs(1);

/// The title of each column.
const HEADER: [&str; 9] = ["NAME", "STATE", "PID", "CPU", "CPU TIME", "MEMORY", "PIDS", "READ", "WRITTEN"];

/// Asks, and shows it.
pub(super) fn stats(args: &args::Stats, context: &mut Context) -> Result<Exit, Failure> {
    let interval = args.interval.unwrap_or(if args.follow { AGAIN } else { ONCE });
    let interval = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
    let request = StatsRequest { names: args.names.clone(), interval: Some(interval) };
    if args.follow {
        return follow(&request, context);
    }
    let usages = context.call(|client| client.stats(request))?.processes;
    if context.voice.json {
        context.print(&json::lines(&usages))?;
    } else if usages.is_empty() {
        context.say("no processes");
    } else {
        let rows = usages.iter().map(row).collect();
        context.print(context.sheet().table(&HEADER, rows).trim_end())?;
    }
    Ok(Exit::Done)
}

/// The same again and again, for as long as there is an instance. What a supervisor's death leaves out is left out here.
fn follow(request: &StatsRequest, context: &mut Context) -> Result<Exit, Failure> {
    if request.interval == Some(0) {
        return Err(Failure::new("--follow needs an --interval to wait in between: 1s, say"));
    }
    follow::end_with_reader();
    let mut fresh: Option<Client> = None;
    let mut columns = Columns::default();
    loop {
        let client = fresh.as_mut().unwrap_or_else(|| context.client());
        match client.stats(request.clone()) {
            Ok(response) => {
                let time = Moment::now().rfc3339();
                if context.voice.json {
                    for usage in &response.processes {
                        context.print(&Json::of(usage).with("time", Json::Text(time.clone())).line())?;
                    }
                } else if !response.processes.is_empty() {
                    context.print(&columns.lines(&time, &response.processes, context.sheet()))?;
                }
            }
            Err(error) if follow::passes(&error) => match follow::again(context.candidates()) {
                Some(client) => fresh = Some(client),
                None => return Ok(Exit::Done),
            },
            Err(error) => return Err(failure(&error)),
        }
    }
}

/// Columns of lines that come one by one: each as wide as it has ever been.
#[derive(Default)]
struct Columns(Vec<usize>);

impl Columns {
    /// A line for each of these, under the header if they are the first.
    fn lines(&mut self, time: &str, usages: &[Usage], sheet: Sheet) -> String {
        let mut rows: Vec<Vec<Cell>> = Vec::new();
        if self.0.is_empty() {
            // Room for what is usual, so that the columns rarely move.
            let usual = ["", "", "", "", "100.0 %", "59m 59s", "99.9MiB", "10", "99.9KiB/s", "99.9KiB/s"];
            self.0 = usual.map(UnicodeWidthStr::width).to_vec();
            rows.push(["TIME"].iter().chain(&HEADER).map(|title| (Tone::Faint, (*title).to_owned())).collect());
        }
        rows.extend(usages.iter().map(|usage| {
            let time = [(Tone::Faint, time.to_owned())];
            time.into_iter().chain(row(usage)).collect()
        }));
        for row in &mut rows {
            for ((_, text), width) in row.iter_mut().zip(&mut self.0) {
                *width = (*width).max(text.width());
            }
        }
        for row in &mut rows {
            for ((_, text), width) in row.iter_mut().zip(&self.0) {
                text.extend(std::iter::repeat_n(' ', width - text.width()));
            }
        }
        let text = sheet.rows(rows);
        text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    }
}

fn row(usage: &Usage) -> Vec<Cell> {
    let plain = |text: String| (Tone::Plain, text);
    let cpu = limited(usage.cpu.map(percent), usage.cpu_limit.map(percent));
    vec![
        (Tone::Strong, usage.name.clone()),
        (tone(usage.state()), word(usage.state())),
        plain(usage.pid.map_or_else(nothing, |pid| pid.to_string())),
        plain(cpu),
        plain(usage.cpu_usage_usec.map_or_else(nothing, seconds)),
        plain(limited(usage.memory.map(size), usage.memory_limit.map(size))),
        plain(limited(usage.pids.map(|n| n.to_string()), usage.pids_limit.map(|n| n.to_string()))),
        plain(usage.io_read_rate.map_or_else(nothing, rate)),
        plain(usage.io_written_rate.map_or_else(nothing, rate)),
    ]
}

/// Of one core.
fn percent(cores: f64) -> String {
    format!("{:.1} %", cores * 100.0)
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
    use super::{Columns, HEADER, row, seconds, size};
    use crate::cli::paint::Paint;
    use crate::rpc::proto::v1::{State, Usage};

    #[test]
    fn what_cannot_be_told_is_a_dash() {
        let web = Usage {
            name: "web".into(),
            state: State::Running.into(),
            pid: Some(4711),
            cpu: Some(0.123),
            cpu_limit: Some(1.5),
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
NAME  STATE    PID   CPU                CPU TIME  MEMORY             PIDS  READ  WRITTEN
web   running  4711  12.3 % of 150.0 %  1m 23s    42.2MiB of 512MiB  5     0B/s  2.0KiB/s
old   stopped  -     -                  -         -                  -     -     -
";
        let sheet = Sheet { paint: Paint::off(), width: None };
        assert_eq!(sheet.table(&HEADER, vec![row(&web), row(&gone)]), expected);
    }

    #[test]
    fn lines_that_come_one_by_one_stand_in_columns() {
        let sheet = Sheet { paint: Paint::off(), width: None };
        let mut columns = Columns::default();
        let mut web = Usage { name: "web".into(), state: State::Running.into(), pids: Some(5), ..Usage::default() };
        let other = Usage { name: "database".into(), state: State::Running.into(), ..Usage::default() };
        let mut text = columns.lines("09:52:43", &[web.clone(), other], sheet);
        web.io_written_rate = Some(5.0);
        text = format!("{text}\n{}\n", columns.lines("09:52:44", &[web], sheet));
        let expected = "\
TIME      NAME      STATE    PID  CPU      CPU TIME  MEMORY   PIDS  READ       WRITTEN
09:52:43  web       running  -    -        -         -        5     -          -
09:52:43  database  running  -    -        -         -        -     -          -
09:52:44  web       running  -    -        -         -        5     -          5B/s
";
        assert_eq!(text, expected);
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
