//! What a daemon says of itself: one message a line, for whoever collects them.

use std::io::Write;

use clap::ValueEnum;
use serde::Serialize;

use super::escape::escape;
use super::narrate::{Narrator, Talk};
use super::paint::Tone;
use super::printer::Show;
use super::times::Moment;
use crate::Line;
use crate::core::Event;

/// How a message is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Time, level, what it is about, and the message
    #[default]
    Text,
    /// One JSON object a line
    Json,
    /// As the Datadog Agent writes its own
    Datadog,
}

/// How much is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Level {
    /// Everything
    Trace,
    /// Pids, signals and causes, too
    Debug,
    /// What becomes of processes
    #[default]
    Info,
    /// What goes wrong
    Warn,
    /// What goes wrong for good
    Error,
}

impl Level {
    /// Its name, as `neap.settings` and `neap.log` have it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }

    /// How much of what happens is told at this level.
    fn talk(self) -> Talk {
        match self {
            Level::Trace | Level::Debug => Talk::Verbose,
            Level::Info => Talk::Normal,
            Level::Warn | Level::Error => Talk::Quiet,
        }
    }

    fn of(tone: Tone) -> Level {
        match tone {
            Tone::Bad => Level::Error,
            Tone::Warn => Level::Warn,
            _ => Level::Info,
        }
    }
}

/// Where a daemon's messages go.
pub(super) struct Report<W> {
    out: W,
    format: Format,
    level: Level,
    narrator: Narrator,
    /// Messages of Neap's own so far.
    notes: u64,
}

/// What a message comes of, and which of its kind it is.
type Source = (&'static str, u64);

#[derive(Serialize)]
struct Message<'a> {
    time: String,
    level: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<&'a str>,
    message: &'a str,
}

impl<W: Write> Report<W> {
    /// One that says this much, like this.
    pub(super) fn new(out: W, format: Format, level: Level) -> Self {
        Report { out, format, level, narrator: Narrator::new(level.talk()), notes: 0 }
    }

    /// From now on says it like this, and this much.
    pub(super) fn set(&mut self, format: Format, level: Level) {
        (self.format, self.level, self.narrator) = (format, level, Narrator::new(level.talk()));
    }

    /// Says something, of a process or of Neap itself.
    pub(super) fn say(&mut self, level: Level, process: Option<&str>, text: &str) {
        self.notes += 1;
        self.write(level, process, text, ("neap", self.notes));
    }

    fn write(&mut self, level: Level, process: Option<&str>, text: &str, source: Source) {
        if level < self.level {
            return;
        }
        let line = match self.format {
            Format::Text => {
                let about = process.unwrap_or("neap");
                let level = level.name().to_uppercase();
                format!("{} {level:<5} {about}: {}", Moment::now().rfc3339(), one_line(text))
            }
            Format::Json => {
                let message = Message { time: Moment::now().rfc3339(), level: level.name(), process, message: text };
                serde_json::to_string(&message).unwrap_or_default()
            }
            Format::Datadog => {
                let level = level.name().to_uppercase();
                let context = process.map(|name| format!("process:{name} | ")).unwrap_or_default();
                let (kind, number) = source;
                let within = word(process.unwrap_or("neap"));
                let (now, text) = (Moment::now().for_people(), one_line(text));
                format!("{now} | PROCMGR | {level} | ({kind}:{number} in {within}) | {context}{text}")
            }
        };
        // In one write, so that whoever writes to the same place does not come in between. Nothing is to be done about one
        // that takes nothing: supervision goes on.
        let _ = self.out.write_all((line + "\n").as_bytes());
    }
}

/// As a function's name looks: whatever reads the Agent's lines takes nothing else for one.
fn word(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

fn one_line(text: &str) -> String {
    text.lines().map(|line| escape(line.as_bytes())).collect::<Vec<_>>().join(" / ")
}

impl<W: Write> Show for Report<W> {
    fn line(&mut self, _: &Line) {}

    fn event(&mut self, event: &Event) {
        if let Some(sentence) = self.narrator.tell(event) {
            let level = if sentence.detail { Level::Debug } else { Level::of(sentence.tone) };
            self.write(level, event.name.as_deref(), &sentence.text, ("event", event.sequence));
        }
    }

    fn note(&mut self, tone: Tone, text: &str) {
        self.say(Level::of(tone), None, text);
    }

    fn flush(&mut self) {
        let _ = self.out.flush();
    }

    fn is_gone(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::{Format, Level, Report};
    use crate::cli::paint::Tone;
    use crate::cli::printer::Show;
    use crate::core::{Cause, Event, EventKind, Pid, StateName, WallTime};

    fn said(format: Format, act: impl FnOnce(&mut Report<&mut Vec<u8>>)) -> String {
        let mut out = Vec::new();
        act(&mut Report::new(&mut out, format, Level::Info));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_message_is_a_line_in_each_format() {
        let text = said(Format::Text, |report| report.say(Level::Warn, Some("web"), "gone\nagain\x1b"));
        assert!(text.ends_with("Z WARN  web: gone / again\\x1b\n"), "{text}");
        let json = said(Format::Json, |report| report.note(Tone::Bad, "two\nlines"));
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((json["level"].as_str(), json["message"].as_str()), (Some("error"), Some("two\nlines")));
    }

    #[test]
    fn the_agents_lines_are_what_its_pipeline_takes_apart() {
        let shape = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC \| PROCMGR \| (TRACE|DEBUG|INFO|WARN|ERROR) \| \(\S+:\d+ in \w+\) \| \S.*\n$";
        let shape = regex::Regex::new(shape).unwrap();
        let check = |line: String, end: &str| {
            assert!(shape.is_match(&line) && line.ends_with(end), "{line:?}");
        };
        check(said(Format::Datadog, |report| report.say(Level::Info, None, "up")), "| INFO | (neap:1 in neap) | up\n");
        let noted = said(Format::Datadog, |report| report.note(Tone::Bad, "two\nlines\x1b"));
        check(noted, "| ERROR | (neap:1 in neap) | two / lines\\x1b\n");
        let event = |kind| Event {
            sequence: 12,
            time: WallTime(0),
            process: None,
            name: Some("trace-agent".into()),
            run: None,
            kind,
            cause: Cause::AutoStart,
            caller: None,
        };
        let failed = EventKind::State {
            from: StateName::Running,
            to: StateName::Failed,
            reason: "exit code 3".into(),
            retry_in: None,
        };
        let failed = event(failed);
        let end = "| ERROR | (event:12 in trace_agent) | process:trace-agent | failed: exit code 3\n";
        check(said(Format::Datadog, |report| report.event(&failed)), end);
        // What only who wants to know everything is told is no more than that.
        let executed = event(EventKind::Executed { pid: Pid(42) });
        let mut out = Vec::new();
        Report::new(&mut out, Format::Datadog, Level::Debug).event(&executed);
        let end = "| DEBUG | (event:12 in trace_agent) | process:trace-agent | executed as pid 42\n";
        check(String::from_utf8(out).unwrap(), end);
    }

    #[test]
    fn what_is_below_the_level_is_not_said() {
        assert_eq!(said(Format::Text, |report| report.say(Level::Debug, None, "nothing")), "");
    }
}
