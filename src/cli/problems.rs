//! What is wrong with a configuration: for people with the line it is on, for programs as JSON.

use std::collections::BTreeMap;
use std::io::{Read, Write, stderr};

use serde::Serialize;

use super::app::Voice;
use super::escape::escape;
use super::exit::{Exit, Failure};
use super::paint::{Paint, Tone};
use crate::spec::{Problem, Severity};
use crate::yaml;

/// A source line is shown up to this many characters.
const WIDEST_LINE: usize = 160;
/// No more of a file than this is read for the sake of a line.
const LARGEST_FILE: u64 = 4 << 20;

/// Shows them, each with its source line.
pub(super) fn show(out: &mut impl Write, paint: Paint, problems: &[Problem]) {
    let mut sources = Sources::default();
    for (index, problem) in problems.iter().enumerate() {
        let text = escape_lines(&problem.to_string());
        let tone = if problem.severity == Severity::Error { Tone::Plain } else { Tone::Warn };
        let place = place(problem);
        let rest = text.strip_prefix(place.as_str()).unwrap_or(&text);
        let place = if rest.len() < text.len() { paint.tone(Tone::Strong, &place) } else { String::new() };
        // Nothing to be done about a stderr that takes nothing.
        let _ = writeln!(out, "{place}{}", paint.tone(tone, rest));
        // Several that stand on one line show it once, below the last.
        let next = problems.get(index + 1);
        let again =
            next.is_some_and(|next| next.line.is_some() && (&next.file, next.line) == (&problem.file, problem.line));
        if !again && let Some((line, source)) = sources.line(problem) {
            let _ = writeln!(out, "{}", paint.tone(Tone::Faint, &format!("{line:>6} | {source}")));
        }
    }
}

/// Says what is wrong with a configuration that was refused: to people with lines and a count, to programs as one object.
pub(super) fn refuse(voice: Voice, problems: &[Problem]) -> Result<Exit, Failure> {
    if voice.json {
        let text = serde_json::to_string(&Refused::new(problems)).map_err(|error| Failure::new(error.to_string()))?;
        let _ = writeln!(stderr(), "{text}");
        return Ok(Exit::Failed);
    }
    show(&mut stderr(), voice.err, problems);
    Err(Failure::new(count(problems)))
}

/// `2 errors and 1 warning`.
pub(super) fn count(problems: &[Problem]) -> String {
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error).count();
    let warnings = problems.len() - errors;
    let say = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    match (errors, warnings) {
        (errors, 0) => say(errors, "error"),
        (0, warnings) => say(warnings, "warning"),
        (errors, warnings) => format!("{} and {}", say(errors, "error"), say(warnings, "warning")),
    }
}

fn place(problem: &Problem) -> String {
    match (&problem.file, problem.line) {
        (Some(file), Some(line)) => format!("{file}:{line}:"),
        (Some(file), None) => format!("{file}:"),
        _ => String::new(),
    }
}

/// Escapes all but the line ends: a message may have several lines.
fn escape_lines(text: &str) -> String {
    text.lines().map(|line| escape(line.as_bytes())).collect::<Vec<_>>().join("\n")
}

/// Files that were read for their lines.
#[derive(Default)]
struct Sources {
    files: BTreeMap<String, Option<Vec<String>>>,
}

impl Sources {
    fn line(&mut self, problem: &Problem) -> Option<(u32, String)> {
        let (file, line) = (problem.file.as_ref()?, problem.line?);
        let lines = self.files.entry(file.clone()).or_insert_with(|| read(file)).as_ref()?;
        let text = lines.get(usize::try_from(line).ok()?.checked_sub(1)?)?.trim_end();
        if text.is_empty() || is_secret(file, lines, line) {
            return None;
        }
        let shown: String = text.chars().take(WIDEST_LINE).collect();
        let more = if shown.len() < text.len() { " …" } else { "" };
        Some((line, format!("{}{more}", escape(shown.as_bytes()))))
    }
}

/// Whether the line is one of another program's, which may hold anything.
fn is_secret(file: &str, lines: &[String], line: u32) -> bool {
    let is_yaml = [".yaml", ".yml"].iter().any(|end| file.ends_with(end));
    is_yaml && yaml::is_anothers(file, lines.iter().map(String::as_str), line)
}

fn read(file: &str) -> Option<Vec<String>> {
    if !std::fs::metadata(file).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    std::fs::File::open(file).ok()?.take(LARGEST_FILE).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect())
}

/// The one object that `--json` puts on stderr: the first error, and all of them.
#[derive(Serialize)]
pub(super) struct Refused<'a> {
    code: u8,
    message: &'a str,
    file: Option<&'a str>,
    line: Option<u32>,
    field: Option<&'a str>,
    process: Option<&'a str>,
    problems: Vec<Item<'a>>,
}

/// One of them.
#[derive(Serialize)]
pub(super) struct Item<'a> {
    severity: &'static str,
    message: &'a str,
    file: Option<&'a str>,
    line: Option<u32>,
    field: Option<&'a str>,
    process: Option<&'a str>,
}

impl<'a> From<&'a Problem> for Item<'a> {
    fn from(problem: &'a Problem) -> Self {
        Item {
            severity: match problem.severity {
                Severity::Warning => "warning",
                Severity::Error => "error",
            },
            message: &problem.message,
            file: problem.file.as_deref(),
            line: problem.line,
            field: problem.field.as_deref(),
            process: problem.process.as_deref(),
        }
    }
}

impl<'a> Refused<'a> {
    /// Of problems that refuse a configuration.
    pub(super) fn new(problems: &'a [Problem]) -> Self {
        let first = problems.iter().max_by_key(|problem| (problem.severity, std::cmp::Reverse(problem.line)));
        Refused {
            code: Exit::Failed.code(),
            message: first.map_or("refused", |problem| &problem.message),
            file: first.and_then(|problem| problem.file.as_deref()),
            line: first.and_then(|problem| problem.line),
            field: first.and_then(|problem| problem.field.as_deref()),
            process: first.and_then(|problem| problem.process.as_deref()),
            problems: problems.iter().map(Item::from).collect(),
        }
    }

    /// Of a failure that is about no line of a configuration.
    pub(super) fn other(message: &'a str, exit: Exit) -> Self {
        let (file, line, field, process) = (None, None, None, None);
        Refused { code: exit.code(), message, file, line, field, process, problems: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::{Refused, count, show};
    use crate::cli::paint::Paint;
    use crate::spec::{Problem, Severity};

    fn problem(severity: Severity, line: u32) -> Problem {
        Problem {
            severity,
            file: Some(concat!(env!("CARGO_MANIFEST_DIR"), "/rustfmt.toml").into()),
            line: Some(line),
            process: Some("web".into()),
            field: Some("restart.delay".into()),
            message: "expected a duration".into(),
        }
    }

    #[test]
    fn a_problem_is_shown_with_its_line() {
        let mut out = Vec::new();
        show(&mut out, Paint::off(), &[problem(Severity::Error, 1)]);
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/rustfmt.toml");
        let expected =
            format!("{file}:1: process `web`: restart.delay: expected a duration\n     1 | max_width = 120\n");
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_line_that_is_not_there_is_left_out() {
        let mut out = Vec::new();
        show(&mut out, Paint::off(), &[problem(Severity::Warning, 900)]);
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
    }

    #[test]
    fn they_are_counted_by_kind() {
        let (error, warning) = (problem(Severity::Error, 1), problem(Severity::Warning, 2));
        assert_eq!(count(std::slice::from_ref(&error)), "1 error");
        assert_eq!(count(&[error.clone(), error, warning]), "2 errors and 1 warning");
    }

    #[test]
    fn the_object_leads_with_the_first_error() {
        let problems = [problem(Severity::Warning, 1), problem(Severity::Error, 2), problem(Severity::Error, 3)];
        let json = serde_json::to_value(Refused::new(&problems)).unwrap();
        assert_eq!(json["line"], 2);
        assert_eq!(json["code"], 1);
        assert_eq!(json["problems"].as_array().unwrap().len(), 3);
    }
}
