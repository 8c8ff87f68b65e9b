//! `neap list`: a line a process.

use super::args;
use super::context::Context;
use super::json::Json;
use super::look::{self, health, pid, reason, since, state};
use super::table::{Cell, Sheet};
use crate::cli::exit::{Exit, Failure};
use crate::cli::paint::Tone;
use crate::cli::times::Moment;
use crate::rpc::proto::v1::{ListRequest, Process};

/// Lists.
pub(super) fn list(args: &args::List, context: &mut Context) -> Result<Exit, Failure> {
    let mut processes = context.call(|client| client.list(ListRequest { names: args.names.clone() }))?.processes;
    if !args.state.is_empty() {
        processes.retain(|process| args.state.iter().any(|state| state.as_str() == look::word(process.state())));
    }
    // Asked for by several names, they come in the order of those.
    processes.sort_by(|a, b| a.name.cmp(&b.name));
    if context.voice.json {
        context.print(&Json::List(processes.iter().map(Json::of).collect()).line())?;
    } else if processes.is_empty() {
        context.say("no processes");
    } else {
        context.print(text(&processes, context.sheet(), Moment::now()).trim_end())?;
    }
    Ok(Exit::Done)
}

fn text(processes: &[Process], sheet: Sheet, now: Moment) -> String {
    let plain = |text: String| (Tone::Plain, text);
    let row = |process: &Process| -> Vec<Cell> {
        vec![
            (Tone::Strong, process.name.clone()),
            state(process),
            plain(pid(process)),
            plain(since(process, now)),
            plain(process.run_count.to_string()),
            health(process),
            reason(process, now),
        ]
    };
    sheet.table(&["NAME", "STATE", "PID", "SINCE", "RUNS", "HEALTH", "REASON"], processes.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::super::look::samples::{NOW, migrate, web, worker};
    use super::super::table::Sheet;
    use super::text;
    use crate::cli::paint::Paint;

    #[test]
    fn a_process_is_a_line() {
        let sheet = Sheet { paint: Paint::off(), width: None };
        let expected = "\
NAME     STATE    PID   SINCE  RUNS  HEALTH   REASON
web      running  4711  2d 4h  1     healthy
worker   backoff  -     3s     7     -        exit code 3; starts again in 30s
migrate  failed   -     4m     1     -        killed by SIGKILL; overridden
";
        assert_eq!(text(&[web(), worker(), migrate()], sheet, NOW), expected);
    }

    #[test]
    fn a_thousand_processes_are_a_thousand_lines_none_wider_than_the_terminal() {
        let mut one = worker();
        one.reason = Some("a reason that is\nmuch too long for any terminal ".repeat(20));
        let many: Vec<_> = (0..1_000).map(|_| one.clone()).collect();
        let shown = text(&many, Sheet { paint: Paint::off(), width: Some(80) }, NOW);
        assert_eq!(shown.lines().count(), 1_001);
        assert!(shown.lines().all(|line| line.chars().count() <= 80));
    }
}
