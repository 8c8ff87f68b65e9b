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
}

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
        Report { out, format, level, narrator: Narrator::new(level.talk()) }
    }

    /// From now on says it like this, and this much.
    pub(super) fn set(&mut self, format: Format, level: Level) {
        (self.format, self.level, self.narrator) = (format, level, Narrator::new(level.talk()));
    }

    /// Says something, of a process or of Neap itself.
    pub(super) fn say(&mut self, level: Level, process: Option<&str>, text: &str) {
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
                let about = process.unwrap_or("neap");
                format!("{} | PROCMGR | {level} | ({about}) | {}", Moment::now().for_people(), one_line(text))
            }
        };
        // In one write, so that whoever writes to the same place does not come in between. Nothing is to be done about one
        // that takes nothing: supervision goes on.
        let _ = self.out.write_all((line + "\n").as_bytes());
    }
}

fn one_line(text: &str) -> String {
    text.lines().map(|line| escape(line.as_bytes())).collect::<Vec<_>>().join(" / ")
}

impl<W: Write> Show for Report<W> {
    fn line(&mut self, _: &Line) {}

    fn event(&mut self, event: &Event) {
        if let Some(sentence) = self.narrator.tell(event) {
            self.say(Level::of(sentence.tone), event.name.as_deref(), &sentence.text);
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
        let agent = said(Format::Datadog, |report| report.say(Level::Info, None, "up"));
        assert!(agent.ends_with(" UTC | PROCMGR | INFO | (neap) | up\n"), "{agent}");
    }

    #[test]
    fn what_is_below_the_level_is_not_said() {
        assert_eq!(said(Format::Text, |report| report.say(Level::Debug, None, "nothing")), "");
    }
}
