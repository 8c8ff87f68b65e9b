//! `neap why`: the causes behind a state, what holds it up, and what comes next.

use super::args;
use super::context::Context;
use super::json::Json;
use super::look::{health_at_length, state, tone, word};
use super::table::{Cell, Sheet};
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure};
use crate::cli::narrate::Talk;
use crate::cli::paint::Tone;
use crate::cli::times::Moment;
use crate::cli::units::about;
use crate::rpc::proto::v1::{Blocker, Health, Process, Reason, State, Timer, WhyRequest, WhyResponse};

/// Says why.
pub(super) fn why(args: &args::Why, context: &mut Context) -> Result<Exit, Failure> {
    let ask = |name: &String| context.call(|client| client.why(WhyRequest { name: name.clone() }));
    let all = args.names.iter().map(ask).collect::<Result<Vec<WhyResponse>, Failure>>()?;
    if context.voice.json {
        let mut all: Vec<Json> = all.iter().map(Json::of).collect();
        context.print(&if all.len() == 1 { all.remove(0) } else { Json::List(all) }.line())?;
    } else {
        let (sheet, now, whole) = (context.sheet(), Moment::now(), context.voice.talk == Talk::Verbose);
        let texts: Vec<String> = all.iter().map(|why| text(why, sheet, now, whole)).collect();
        context.print(texts.join("\n").trim_end())?;
    }
    Ok(Exit::Done)
}

/// The newest cause in a few words, for a view that has more to show.
pub(super) fn first_line(why: &WhyResponse, now: Moment) -> Option<String> {
    let mut reasons = why.chain.iter();
    let mut line = said(reasons.next()?);
    // That another process is behind it says little without what became of that.
    if let Some(next) = reasons.next().filter(|next| next.process != why.process.clone().unwrap_or_default().name) {
        line += &format!("; {}", [next.process.as_str(), &said(next)].join(" ").trim_start());
        line += &ago(next, now).map(|ago| format!(" ({ago})")).unwrap_or_default();
    }
    Some(line)
}

fn text(why: &WhyResponse, sheet: Sheet, now: Moment, whole: bool) -> String {
    let process = why.process.clone().unwrap_or_default();
    // What is long may wrap: it is the point of it.
    let sheet = Sheet { width: None, ..sheet };
    let mut text = headline(&process, sheet, now);
    text += "\nwhy\n";
    text += &sheet.rows(why.chain.iter().map(|reason| row(reason, now, whole)).collect());
    if let Some(cut) = &why.cut {
        text += &format!("  {}\n", sheet.paint.tone(Tone::Faint, &escape(cut.as_bytes())));
    }
    if !why.blockers.is_empty() {
        text += "\nwaits for\n";
        why.blockers.iter().for_each(|blocker| blocked(&mut text, blocker, sheet, 2));
    }
    let told = |timer: &&Timer| whole || !is_routine(timer) || timer.what == "health probe" && !is_well(&process);
    let timers: Vec<&Timer> = why.timers.iter().filter(told).collect();
    if !timers.is_empty() {
        text += "\nnext\n";
        timers.iter().for_each(|timer| text += &format!("  {}\n", coming(timer)));
    }
    if let Some(hint) = hint(&process, why) {
        text += &format!("\n{}\n", sheet.paint.tone(Tone::Faint, &hint));
    }
    text
}

fn headline(process: &Process, sheet: Sheet, now: Moment) -> String {
    let name = sheet.paint.tone(Tone::Strong, &escape(process.name.as_bytes()));
    let (tone, word) = state(process);
    let since = process.since.as_ref().map(Moment::from);
    let since = since.map(|at| format!(" for {} (since {})", at.age(now), at.for_people())).unwrap_or_default();
    let is = match process.state() {
        State::Failed | State::Crashed | State::Exited => "has",
        State::Backoff => "is in",
        _ => "is",
    };
    let mut text = format!("{name} {is} {}{since}\n", sheet.paint.tone(tone, &word));
    if process.health() != Health::Unknown && !is_well(process) {
        let (tone, health) = health_at_length(process, now);
        text += &format!("  health: {}\n", sheet.paint.tone(tone, &health));
    }
    let said = process.reason.as_deref().filter(|reason| !reason.is_empty());
    // Of those that are at rest, and of those that wait for others, it is said below.
    let told = |reason: &&str| process.state() != State::Stopping || reason.starts_with("stuck");
    let tells = match process.state() {
        State::Starting | State::Running | State::Stopping => true,
        // For a connection, or for room for one: nobody else holds it up.
        State::Waiting => process.holds.is_empty(),
        _ => false,
    };
    if let (true, Some(reason)) = (tells, said.filter(told)) {
        text += &format!("  {}\n", escape(reason.as_bytes()));
    }
    text
}

fn row(reason: &Reason, now: Moment, whole: bool) -> Vec<Cell> {
    let bad = matches!(reason.to.as_deref(), Some("failed" | "crashed")) && reason.cause == "ended";
    let mut said = said(reason);
    if whole {
        let at = reason.time.as_ref().map(|time| Moment::from(time).rfc3339());
        let run = reason.run.map(|run| format!("run {run}"));
        let event = reason.sequence.map(|sequence| format!("event {sequence}"));
        let more: Vec<String> = at.into_iter().chain(run).chain(event).collect();
        said += &format!(" [{}]", more.join(", "));
    }
    vec![
        (Tone::Faint, format!("  {}", ago(reason, now).unwrap_or_default())),
        (Tone::Strong, if reason.process.is_empty() { "neap".into() } else { reason.process.clone() }),
        (if bad { Tone::Bad } else { Tone::Plain }, said),
    ]
}

fn ago(reason: &Reason, now: Moment) -> Option<String> {
    reason.time.as_ref().map(|time| format!("{} ago", Moment::from(time).age(now)))
}

fn said(reason: &Reason) -> String {
    match reason.cause_text.as_str() {
        "" => reason.text.clone(),
        cause => format!("{}: {cause}", reason.text),
    }
}

fn blocked(text: &mut String, blocker: &Blocker, sheet: Sheet, indent: usize) {
    let name = sheet.paint.tone(Tone::Strong, &escape(blocker.name.as_bytes()));
    let state = sheet.paint.tone(tone(blocker.state()), &word(blocker.state()));
    let kind = match blocker.kind.as_str() {
        "order" => "which is started before it",
        "requires" => "which it requires",
        "binds_to" => "which it binds to",
        "conflict" => "which it conflicts with",
        _ => "which is stopped before it",
    };
    let why = blocker.reason.as_deref().filter(|why| !why.is_empty());
    let why = why.map(|why| format!(": {}", escape(why.as_bytes()))).unwrap_or_default();
    text.push_str(&format!("{:indent$}{name}, {kind}, is {state}{why}\n", ""));
    for timer in blocker.timers.iter().filter(|timer| !is_routine(timer)) {
        text.push_str(&format!("{:1$}{2}\n", "", indent + 2, coming(timer)));
    }
    blocker.blockers.iter().for_each(|next| blocked(text, next, sheet, indent + 2));
}

fn coming(timer: &Timer) -> String {
    let remaining = about(std::time::Duration::from_millis(timer.remaining));
    format!("in {remaining} {} ({})", escape(timer.then.as_bytes()), escape(timer.what.as_bytes()))
}

/// Whether its health check, if it has one, has nothing against it.
fn is_well(process: &Process) -> bool {
    matches!(process.health(), Health::Healthy | Health::Unknown) && process.health_failures == 0
}

/// What goes on all the time, and tells nobody anything.
fn is_routine(timer: &Timer) -> bool {
    matches!(timer.what.as_str(), "health probe" | "ready probe" | "watchdog")
}

/// What a person may do about it.
fn hint(process: &Process, why: &WhyResponse) -> Option<String> {
    let name = escape(process.name.as_bytes());
    let stuck = process.reason.as_deref().is_some_and(|reason| reason.starts_with("stuck"));
    // Of several that failed, the last named is the one that began it.
    let failed = why.chain.iter().rfind(|reason| {
        reason.cause == "ended" && matches!(reason.to.as_deref(), Some("failed" | "crashed" | "backoff"))
    });
    if process.reason.as_deref().is_some_and(|reason| reason.starts_with("skipped: ")) {
        return Some(format!("`neap start {name}` starts it once the condition holds"));
    }
    Some(match (process.state(), failed) {
        (State::Failed | State::Crashed | State::Stopped | State::Backoff, Some(reason)) => {
            let culprit = escape(reason.process.as_bytes());
            format!("`neap logs {culprit}` has what {culprit} printed; `neap start {name}` tries again")
        }
        (State::Created | State::Stopped | State::Exited, _) => format!("`neap start {name}` starts it"),
        (State::Stopping, _) if stuck => {
            "the kernel does not let it go (it may wait for a disk or a network file system)".into()
        }
        (State::Stopping, _) => format!("`neap stop {name}` once more kills it"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::look::samples::{NOW, ago};
    use super::super::table::Sheet;
    use super::{first_line, text};
    use crate::cli::paint::Paint;
    use crate::rpc::proto::v1::{Blocker, Health, Process, Reason, State, Timer, WhyResponse};

    const SHEET: Sheet = Sheet { paint: Paint::off(), width: Some(80) };

    fn reason(seconds: i64, process: &str, to: &str, text: &str, cause: (&str, &str)) -> Reason {
        Reason {
            process: process.into(),
            to: Some(to.into()),
            time: ago(seconds),
            sequence: Some(7),
            run: Some(3),
            text: text.into(),
            cause: cause.0.into(),
            cause_text: cause.1.into(),
            ..Reason::default()
        }
    }

    fn stopped() -> WhyResponse {
        WhyResponse {
            process: Some(Process {
                name: "web".into(),
                state: State::Stopped.into(),
                reason: Some("binds_to `db`".into()),
                since: ago(12),
                ..Process::default()
            }),
            chain: vec![
                reason(12, "web", "stopped", "was stopped", ("relation", "it binds to db")),
                reason(12, "db", "failed", "failed: exit code 1; its restart policy is never", ("ended", "")),
                reason(
                    120,
                    "db",
                    "failed",
                    "was started",
                    ("command", "asked for by user root (uid 0), pid 9 (start)"),
                ),
            ],
            ..WhyResponse::default()
        }
    }

    #[test]
    fn a_person_reads_why_at_a_glance() {
        let expected = "\
web is stopped for 12s (since 2001-09-09 01:46:28 UTC)

why
  12s ago  web  was stopped: it binds to db
  12s ago  db   failed: exit code 1; its restart policy is never
  2m ago   db   was started: asked for by user root (uid 0), pid 9 (start)

`neap logs db` has what db printed; `neap start web` tries again
";
        assert_eq!(text(&stopped(), SHEET, NOW, false), expected);
        assert!(
            text(&stopped(), SHEET, NOW, true).contains("it binds to db [2001-09-09T01:46:28.000Z, run 3, event 7]")
        );
        let line = "was stopped: it binds to db; db failed: exit code 1; its restart policy is never (12s ago)";
        assert_eq!(first_line(&stopped(), NOW).as_deref(), Some(line));
    }

    #[test]
    fn of_a_sick_process_it_says_how_often_it_failed_and_what_comes_of_it() {
        let then = "it is asked whether it is well; it is restarted if that fails, too";
        let why = WhyResponse {
            process: Some(Process {
                name: "web".into(),
                state: State::Running.into(),
                reason: Some("GET http://127.0.0.1/: status 503, expected 200 to 299".into()),
                since: ago(600),
                health: Health::Unhealthy.into(),
                health_failures: 3,
                health_checked_at: ago(2),
                ..Process::default()
            }),
            chain: vec![reason(600, "web", "running", "was started", ("auto_start", "it starts by itself"))],
            timers: vec![Timer { what: "health probe".into(), remaining: 8_000, then: then.into() }],
            ..WhyResponse::default()
        };
        let expected = "\
web is running for 10m (since 2001-09-09 01:36:40 UTC)
  health: unhealthy, 3 failures in a row, checked 2s ago
  GET http://127.0.0.1/: status 503, expected 200 to 299

why
  10m ago  web  was started: it starts by itself

next
  in 8 s it is asked whether it is well; it is restarted if that fails, too (health probe)
";
        assert_eq!(text(&why, SHEET, NOW, false), expected);
        let well = Process { health: Health::Healthy.into(), health_failures: 0, ..why.process.clone().unwrap() };
        let well = WhyResponse { process: Some(well), ..why };
        let said = text(&well, SHEET, NOW, false);
        assert!(!said.contains("health:") && !said.contains("next"), "{said}");
    }

    #[test]
    fn what_holds_it_up_is_told_with_the_time_that_remains() {
        let timer = |what: &str, remaining, then: &str| Timer { what: what.into(), remaining, then: then.into() };
        let db = Blocker {
            kind: "requires".into(),
            name: "db".into(),
            state: State::Starting.into(),
            reason: Some("not ready yet".into()),
            timers: vec![timer("ready probe", 300, "it is asked again"), timer("start_timeout", 62_000, "it is ended")],
            ..Blocker::default()
        };
        let api = Blocker {
            kind: "order".into(),
            name: "api".into(),
            state: State::Waiting.into(),
            blockers: vec![db],
            ..Blocker::default()
        };
        let why = WhyResponse {
            process: Some(Process {
                name: "web".into(),
                state: State::Waiting.into(),
                since: ago(5),
                ..Process::default()
            }),
            chain: vec![reason(5, "web", "waiting", "is to start", ("command", "asked for (start)"))],
            blockers: vec![api],
            timers: vec![timer("stop", 2_500, "it is sent SIGKILL")],
            cut: Some("older ones are not kept".into()),
        };
        let expected = "\
web is waiting for 5s (since 2001-09-09 01:46:35 UTC)

why
  5s ago  web  is to start: asked for (start)
  older ones are not kept

waits for
  api, which is started before it, is waiting
    db, which it requires, is starting: not ready yet
      in 1 min 2 s it is ended (start_timeout)

next
  in 2.5 s it is sent SIGKILL (stop)
";
        assert_eq!(text(&why, SHEET, NOW, false), expected);
    }
}
