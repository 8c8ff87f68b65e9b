//! `neap status`: the instance at a glance, or one process with its last lines.

use super::args;
use super::context::Context;
use super::json::{self, Json};
use super::look::{count, ending, health, health_at_length, reason, since, state};
use super::table::{Cell, Sheet};
use super::why::first_line;
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure};
use crate::cli::paint::Tone;
use crate::cli::times::Moment;
use crate::rpc::proto::v1::{
    GetStatusRequest, GetStatusResponse, ListRequest, LogLine, LogsRequest, Process, Promise, State, States, WhyRequest,
};

/// So many of its last lines are shown with a process.
const LAST_LINES: u64 = 10;

/// Says how it is.
pub(super) fn status(args: &args::Status, context: &mut Context) -> Result<Exit, Failure> {
    match &args.name {
        Some(name) => processes(name, context),
        None => instance(context),
    }
}

fn instance(context: &mut Context) -> Result<Exit, Failure> {
    let status = context.call(|client| client.get_status(GetStatusRequest {}))?;
    if context.voice.json {
        context.print(&json::line(&status))?;
        return Ok(Exit::Done);
    }
    let mut processes = context.call(|client| client.list(ListRequest::default()))?.processes;
    processes.retain(|process| matches!(process.state(), State::Failed | State::Crashed));
    context.print(instance_text(&status, &processes, context.sheet(), Moment::now()).trim_end())?;
    Ok(Exit::Done)
}

fn instance_text(status: &GetStatusResponse, failed: &[Process], sheet: Sheet, now: Moment) -> String {
    let plain = |text: String| (Tone::Plain, text);
    let uptime =
        status.started_at.as_ref().map_or_else(String::new, |at| format!(", up {}", Moment::from(at).age(now)));
    let ready = if status.ready { (Tone::Good, "ready".to_owned()) } else { (Tone::Warn, "not ready".to_owned()) };
    let mut text = format!(
        "{} {}: {}{uptime}\n",
        sheet.paint.tone(Tone::Strong, "neap"),
        escape(status.version.as_bytes()),
        sheet.paint.tone(ready.0, &ready.1)
    );
    let mut pairs: Vec<(&str, Cell)> = Vec::new();
    let config = status.config_path.clone().unwrap_or_else(|| "none".into());
    pairs.push(("config", plain(format!("{config}, generation {}", status.generation))));
    if let Some(why) = &status.refused {
        pairs.push(("refused", (Tone::Bad, format!("a newer configuration: {why}"))));
    }
    pairs.extend(status.degraded.iter().map(|why| ("degraded", (Tone::Warn, why.clone()))));
    pairs.push(("pid", plain(pids(status))));
    pairs.push(("socket", plain(status.socket.clone())));
    let total = usize::try_from(status.total_processes).unwrap_or(usize::MAX);
    let states = status.states.unwrap_or_default();
    pairs.push(("processes", plain(format!("{total}{}", sentence(&states)))));
    text.push_str(&sheet.pairs(pairs));
    if !failed.is_empty() {
        text.push_str("\nfailed\n");
        let row = |process: &Process| {
            let ago = format!("{} ago", since(process, now));
            vec![plain("  ".to_owned() + &process.name), plain(ago), reason(process, now)]
        };
        text.push_str(&sheet.rows(failed.iter().map(row).collect()));
    }
    if !status.promises.is_empty() {
        text.push_str("\nwhat this host lets it promise\n");
        text.push_str(&sheet.rows(status.promises.iter().map(promise).collect()));
    }
    text
}

fn promise(promise: &Promise) -> Vec<Cell> {
    let kept = if promise.kept { (Tone::Good, "yes".to_owned()) } else { (Tone::Warn, "no".to_owned()) };
    vec![(Tone::Plain, format!("  {}", promise.what)), kept, (Tone::Faint, promise.why.clone())]
}

fn pids(status: &GetStatusResponse) -> String {
    match status.anchor_pid {
        Some(anchor) => format!("{}, anchor {anchor}", status.pid),
        None => format!("{}, without an anchor", status.pid),
    }
}

/// `: 10 running, 1 failed`: what runs first, then what goes wrong, then the rest.
fn sentence(states: &States) -> String {
    let counts = [
        (states.running, "running"),
        (states.crashed, "crashed"),
        (states.failed, "failed"),
        (states.backoff, "backoff"),
        (states.starting, "starting"),
        (states.waiting, "waiting"),
        (states.stopping, "stopping"),
        (states.stopped, "stopped"),
        (states.exited, "exited"),
        (states.created, "created"),
    ];
    let parts: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) }
}

fn processes(name: &str, context: &mut Context) -> Result<Exit, Failure> {
    let names = vec![name.to_owned()];
    let processes = context.call(|client| client.list(ListRequest { names: names.clone() }))?.processes;
    let mut shown = Vec::new();
    for process in &processes {
        let lines = last_lines(&process.name, context)?;
        // An older instance does not answer that.
        let why = context.client().why(WhyRequest { name: process.id.clone() }).ok();
        let why = why.and_then(|why| first_line(&why, Moment::now()));
        if context.voice.json {
            let lines = lines.iter().map(|line| Json::Text(String::from_utf8_lossy(&line.text).into_owned())).collect();
            let why = why.map_or(Json::Null, Json::Text);
            shown.push(Json::of(process).with("lines", Json::List(lines)).with("why", why));
        } else {
            shown.push(Json::Text(process_text(process, why, &lines, (context.sheet(), Moment::now()))));
        }
    }
    if context.voice.json {
        // One process is one object; a glob makes it a list, whatever it finds.
        let one = shown.len() == 1 && !name.contains(['*', '?']);
        let json = if one { shown.remove(0) } else { Json::List(shown) };
        context.print(&json.line())?;
    } else {
        let texts: Vec<&str> = shown.iter().filter_map(Json::text).map(str::trim_end).collect();
        context.print(&texts.join("\n\n"))?;
    }
    Ok(Exit::Done)
}

fn last_lines(name: &str, context: &mut Context) -> Result<Vec<LogLine>, Failure> {
    let request = LogsRequest { names: vec![name.to_owned()], tail: Some(LAST_LINES), ..LogsRequest::default() };
    let stream = context.call(|client| client.logs(request))?;
    let mut lines = Vec::new();
    for next in stream {
        lines.extend(next.map_err(|error| super::context::failure(&error))?.lines);
    }
    Ok(lines)
}

fn process_text(process: &Process, why: Option<String>, lines: &[LogLine], look: (Sheet, Moment)) -> String {
    let (sheet, now) = look;
    let plain = |text: String| (Tone::Plain, text);
    let name = sheet.paint.tone(Tone::Strong, &escape(process.name.as_bytes()));
    let (tone, word) = state(process);
    let mut text = format!("{name}: {}", sheet.paint.tone(tone, &word));
    if let Some(at) = process.since.as_ref().map(Moment::from) {
        text.push_str(&format!(" for {} (since {})", at.age(now), at.for_people()));
    }
    text.push('\n');
    let mut pairs: Vec<(&str, Cell)> = Vec::new();
    let (tone, said) = reason(process, now);
    if !said.is_empty() {
        pairs.push(("reason", (tone, said)));
    }
    pairs.extend(why.map(|why| ("why", plain(why))));
    if !process.holds.is_empty() {
        let holds: Vec<String> =
            process.holds.iter().map(|hold| format!("{} ({})", hold.name, hold.kind.replace('_', " "))).collect();
        pairs.push(("waits for", plain(holds.join(", "))));
    }
    if let Some(text) = process.status_text.as_ref().filter(|text| !text.is_empty()) {
        pairs.push(("says", plain(text.clone())));
    }
    if let Some(pid) = process.pid {
        pairs.push(("pid", plain(pid.to_string())));
    }
    let in_row = process.restarts;
    let restarts = if in_row == 0 { String::new() } else { format!(", restarted {} in a row", times(in_row)) };
    pairs.push(("runs", plain(format!("{}{restarts}", process.run_count))));
    if health(process).1 != "-" {
        pairs.push(("health", health_at_length(process, now)));
    }
    if let Some(ending) = ending(process) {
        let ago = process.ended_at.as_ref().map(|at| format!(", {} ago", Moment::from(at).age(now)));
        pairs.push(("last end", plain(ending + &ago.unwrap_or_default())));
    }
    text.push_str(&sheet.pairs(pairs));
    if !lines.is_empty() {
        text.push_str(&format!("\n{}\n", count(lines.len(), "last line", "last lines").trim_start_matches("1 ")));
        for line in lines {
            text.push_str(&format!("  {}\n", escape(&line.text)));
        }
    }
    text
}

fn times(number: u32) -> String {
    if number == 1 { "once".into() } else { format!("{number} times") }
}

#[cfg(test)]
mod tests {
    use super::super::look::samples::{NOW, ago, migrate, web, worker};
    use super::super::table::Sheet;
    use super::{instance_text, process_text};
    use crate::cli::paint::Paint;
    use crate::rpc::proto::v1::{GetStatusResponse, LogLine, Promise, States};

    const SHEET: Sheet = Sheet { paint: Paint::off(), width: Some(80) };

    #[test]
    fn the_instance_at_a_glance() {
        let status = GetStatusResponse {
            pid: 120,
            anchor_pid: Some(119),
            version: "0.1.0".into(),
            ready: true,
            started_at: ago(187_201),
            config_path: Some("/srv/shop/neap.lua".into()),
            generation: 4,
            refused: Some("neap.lua:5: process `web`: restart.delay: expected a duration".into()),
            total_processes: 3,
            states: Some(States { running: 1, failed: 1, backoff: 1, ..States::default() }),
            degraded: vec!["the anchor is lost".into()],
            socket: "/run/user/1000/neap/0f/neap.sock".into(),
            promises: vec![
                Promise { what: "children outlive the supervisor".into(), kept: true, why: String::new() },
                Promise { what: "trees in cgroups".into(), kept: false, why: "no cgroup is writable".into() },
            ],
            ..GetStatusResponse::default()
        };
        let expected = "\
neap 0.1.0: ready, up 2d 4h
config     /srv/shop/neap.lua, generation 4
refused    a newer configuration: neap.lua:5: process `web`: restart.delay: expected a duration
degraded   the anchor is lost
pid        120, anchor 119
socket     /run/user/1000/neap/0f/neap.sock
processes  3: 1 running, 1 failed, 1 backoff

failed
  migrate  4m ago  killed by SIGKILL; overridden

what this host lets it promise
  children outlive the supervisor  yes
  trees in cgroups                 no   no cgroup is writable
";
        assert_eq!(instance_text(&status, &[migrate()], SHEET, NOW), expected);
    }

    #[test]
    fn a_process_with_its_last_lines() {
        let lines = ["listening", "\x1b[31mred"].map(|text| LogLine { text: text.into(), ..LogLine::default() });
        let expected = "\
web: running for 2d 4h (since 2001-09-06 21:46:40 UTC)
pid     4711
runs    1
health  healthy

2 last lines
  listening
  \\x1b[31mred
";
        assert_eq!(process_text(&web(), None, &lines, (SHEET, NOW)), expected);
        let expected = "\
worker: backoff for 3s (since 2001-09-09 01:46:37 UTC)
reason    exit code 3; starts again in 30s
why       ended: exit code 3
runs      7, restarted 6 times in a row
last end  exit code 3, 3s ago
";
        assert_eq!(process_text(&worker(), Some("ended: exit code 3".into()), &[], (SHEET, NOW)), expected);
    }
}
