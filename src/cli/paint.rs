//! Colours, where they are wanted.

use std::io::IsTerminal;

use super::args::ColorWhen;

/// Whether a stream is coloured, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Paint {
    on: bool,
}

/// What is said, by how it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// Nothing special.
    Plain,
    /// Background: progress that needs no attention.
    Faint,
    /// It is up, or done.
    Good,
    /// It may come right by itself.
    Warn,
    /// It went wrong.
    Bad,
    /// A place or a name in a message.
    Strong,
}

impl Tone {
    fn code(self) -> &'static str {
        match self {
            Tone::Plain => "0",
            Tone::Faint => "2",
            Tone::Good => "32",
            Tone::Warn => "33",
            Tone::Bad => "31",
            Tone::Strong => "1",
        }
    }
}

/// Colours of prefixes, in the order they are given out. Green and red say how it goes, and are not among them.
const PREFIXES: [&str; 8] = ["36", "35", "34", "33", "96", "95", "94", "93"];

impl Paint {
    /// For a stream, by the flag, and with `auto` by the stream, `NO_COLOR` and `TERM`.
    pub(super) fn for_stream(when: ColorWhen, stream: &impl IsTerminal) -> Self {
        let on = match when {
            ColorWhen::Always => true,
            ColorWhen::Never => false,
            ColorWhen::Auto => stream.is_terminal() && !set("NO_COLOR") && !dumb(),
        };
        Paint { on }
    }

    /// No colours.
    pub(super) const fn off() -> Self {
        Paint { on: false }
    }

    /// The text in this tone.
    pub(super) fn tone(self, tone: Tone, text: &str) -> String {
        if tone == Tone::Plain { text.to_owned() } else { self.code(tone.code(), text) }
    }

    /// The text in the colour of the process with this index.
    pub(super) fn prefix(self, index: usize, text: &str) -> String {
        self.code(PREFIXES[index % PREFIXES.len()], text)
    }

    fn code(self, code: &str, text: &str) -> String {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Set and not empty, as <https://no-color.org> has it.
fn set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

fn dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}
