//! `neap list`: a line a process.

use std::collections::BTreeMap;

use super::args;
use super::context::Context;
use super::json;
use super::look::{self, health, pid, reason, since, state};
use super::table::{Cell, Sheet};
use crate::cli::exit::{Exit, Failure};
use crate::cli::paint::Tone;
use crate::cli::times::Moment;
use crate::glob::glob_matches;
use crate::rpc::proto::v1::{ListRequest, Process};

/// More than this many, on a terminal, are counted at the end.
const MANY: usize = 20;

/// Lists.
pub(super) fn list(args: &args::List, context: &mut Context) -> Result<Exit, Failure> {
    let mut processes = context.call(|client| client.list(ListRequest { names: args.names.clone() }))?.processes;
    processes.retain(|process| wanted(args, process));
    // Asked for by several names, they come in the order of those.
    processes.sort_by(|a, b| a.name.cmp(&b.name));
    let sheet = context.sheet();
    if context.voice.json {
        context.print(&json::lines(&processes))?;
    } else if processes.is_empty() {
        context.say("no processes");
    } else if args.brief {
        context.print(brief(&processes, sheet).trim_end())?;
    } else {
        context.print(text(&processes, sheet, Moment::now()).trim_end())?;
        if processes.len() > MANY && sheet.width.is_some() {
            context.say(&format!("{} processes: {}", processes.len(), counted(processes.iter())));
        }
    }
    Ok(Exit::Done)
}

fn wanted(args: &args::List, process: &Process) -> bool {
    let state = || look::word(process.state());
    let health = || process.health().as_str_name().trim_start_matches("HEALTH_").to_ascii_lowercase();
    (args.state.is_empty() || args.state.iter().any(|wanted| wanted.as_str() == state()))
        && args.health.as_ref().is_none_or(|wanted| *wanted == health())
        && (args.group.is_empty()
            || args.group.iter().any(|glob| process.groups.iter().any(|group| glob_matches(glob, group))))
}

fn text(processes: &[Process], sheet: Sheet, now: Moment) -> String {
    let plain = |text: String| (Tone::Plain, text);
    // A column for those alone who have groups.
    let grouped = processes.iter().any(|process| !process.groups.is_empty());
    let row = |process: &Process| -> Vec<Cell> {
        let group = grouped.then(|| plain(process.groups.join(",")));
        let rest = [
            state(process),
            plain(pid(process)),
            plain(since(process, now)),
            plain(process.run_count.to_string()),
            health(process),
            reason(process, now),
        ];
        std::iter::once((Tone::Strong, process.name.clone())).chain(group).chain(rest).collect()
    };
    let mut header = vec!["NAME", "STATE", "PID", "SINCE", "RUNS", "HEALTH", "REASON"];
    if grouped {
        header.insert(1, "GROUP");
    }
    sheet.table(&header, processes.iter().map(row).collect())
}

/// A line for each group; those in none go by the family that their names make.
fn brief(processes: &[Process], sheet: Sheet) -> String {
    let mut families: BTreeMap<&str, usize> = BTreeMap::new();
    for process in processes.iter().filter(|process| process.groups.is_empty()) {
        *families.entry(family(&process.name)).or_default() += 1;
    }
    let mut lines: BTreeMap<(bool, String), Vec<&Process>> = BTreeMap::new();
    for process in processes {
        let stem = family(&process.name);
        let key = match process.groups.first() {
            Some(group) => (false, group.clone()),
            None if families.get(stem).is_some_and(|count| *count > 1) => (true, format!("{stem}*")),
            None => (true, process.name.clone()),
        };
        lines.entry(key).or_default().push(process);
    }
    let row = |((loose, name), members): ((bool, String), Vec<&Process>)| -> Vec<Cell> {
        let name = if loose { name } else { format!("group {name}") };
        let worst = members.iter().map(|process| look::tone(process.state()));
        let bad = worst.clone().any(|tone| tone == Tone::Bad);
        let warned = worst.clone().any(|tone| tone == Tone::Warn);
        let tone = if bad {
            Tone::Bad
        } else if warned {
            Tone::Warn
        } else {
            Tone::Plain
        };
        vec![(Tone::Strong, name), (Tone::Plain, members.len().to_string()), (tone, counted(members.into_iter()))]
    };
    sheet.table(&["NAME", "COUNT", "STATES"], lines.into_iter().map(row).collect())
}

/// The name without the number at its end: `web-` of `web-12`.
fn family(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit())
}

/// `990 running, 8 backoff`: the most frequent first.
fn counted<'a>(processes: impl Iterator<Item = &'a Process>) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for process in processes {
        *counts.entry(look::word(process.state())).or_default() += 1;
    }
    let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let parts: Vec<String> = counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::look::samples::{NOW, migrate, web, worker};
    use super::super::table::Sheet;
    use super::{brief, family, text};
    use crate::cli::paint::Paint;
    use crate::rpc::proto::v1::Process;

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

    #[test]
    fn groups_have_a_column_where_there_are_any() {
        let grouped = Process { groups: vec!["front".into(), "all".into()], ..web() };
        let sheet = Sheet { paint: Paint::off(), width: None };
        let expected = "\
NAME     GROUP      STATE    PID   SINCE  RUNS  HEALTH   REASON
web      front,all  running  4711  2d 4h  1     healthy
migrate             failed   -     4m     1     -        killed by SIGKILL; overridden
";
        assert_eq!(text(&[grouped, migrate()], sheet, NOW), expected);
    }

    #[test]
    fn in_brief_a_thousand_are_a_few_lines() {
        let named = |name: String, of: Process| Process { name, ..of };
        let mut all: Vec<Process> = (0..998).map(|n| named(format!("worker-{n}"), web())).collect();
        all.push(named("worker-x".into(), worker()));
        all.push(named("worker-998".into(), migrate()));
        all.push(Process { groups: vec!["front".into()], ..named("nginx1".into(), web()) });
        let expected = "\
NAME         COUNT  STATES
group front  1      1 running
worker-*     999    998 running, 1 failed
worker-x     1      1 backoff
";
        assert_eq!(brief(&all, Sheet { paint: Paint::off(), width: None }), expected);
        assert_eq!((family("web-12"), family("web"), family("7")), ("web-", "web", ""));
    }
}
