//! What `up` shows: what the processes print, and what becomes of them, each line behind its process's name.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use super::escape::escape;
use super::narrate::{Narrator, Talk};
use super::paint::{Paint, Tone};
use super::printer::Show;
use crate::Line;
use crate::core::Event;

/// Names longer than this are not aligned with the others.
const WIDEST: usize = 24;
/// Before what a process printed.
const PRINTED: &str = "|";
/// Before what Neap says.
const SAID: &str = "*";

/// How things are shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// Colours.
    pub(super) paint: Paint,
    /// Whether it is a terminal, which what is shown must not steer.
    pub(super) terminal: bool,
    /// How much Neap says.
    pub(super) talk: Talk,
}

/// What stands before a process's lines, colours and all.
struct Prefix {
    printed: String,
    said: String,
}

/// The place where it is shown. One thread writes it, so that a reader that stalls holds up nothing else.
pub(super) struct Screen<W> {
    out: W,
    look: Look,
    narrator: Narrator,
    prefixes: BTreeMap<Arc<str>, Prefix>,
    width: usize,
    gone: bool,
    unflushed: bool,
}

impl<W: Write> Screen<W> {
    /// A screen for processes of these names.
    pub(super) fn new<'a>(out: W, look: Look, names: impl Iterator<Item = &'a str>) -> Self {
        let names: Vec<&str> = names.collect();
        let width = names.iter().map(|name| name.len()).filter(|length| *length <= WIDEST).max().unwrap_or(0).max(4);
        let prefix = |index, name: &str, mark: &str| look.paint.prefix(index, &format!("{name:<width$} {mark}")) + " ";
        let prefixes = names.iter().enumerate().map(|(index, name)| {
            let prefix = Prefix { printed: prefix(index, name, PRINTED), said: prefix(index, name, SAID) };
            (Arc::from(*name), prefix)
        });
        let prefixes = prefixes.collect();
        let narrator = Narrator::new(look.talk);
        Screen { out, look, narrator, prefixes, width, gone: false, unflushed: false }
    }

    fn say(&mut self, name: &str, tone: Tone, text: &str) {
        let mut line = match self.prefixes.get(name) {
            Some(prefix) => prefix.said.clone(),
            None => self.stranger(name, SAID),
        };
        // What is said may quote what a process said of itself.
        line.push_str(&self.look.paint.tone(tone, &escape(text.as_bytes())));
        self.write(line.into_bytes());
    }

    /// The prefix of what is no process of the plan: Neap itself, or a process made at run time.
    fn stranger(&self, name: &str, mark: &str) -> String {
        self.look.paint.tone(Tone::Strong, &format!("{name:<width$} {mark}", width = self.width)) + " "
    }

    fn write(&mut self, mut line: Vec<u8>) {
        line.push(b'\n');
        self.put(&line);
    }

    fn put(&mut self, bytes: &[u8]) {
        if !self.gone {
            self.unflushed = true;
            let result = self.out.write_all(bytes);
            self.check(result);
        }
    }

    fn check(&mut self, result: std::io::Result<()>) {
        // A full disk may empty again; a closed pipe and a terminal that hung up do not come back.
        if let Err(error) = result {
            let hung_up = error.raw_os_error() == Some(nix::errno::Errno::EIO as i32);
            self.gone |= hung_up || error.kind() == std::io::ErrorKind::BrokenPipe;
        }
    }
}

impl<W: Write> Show for Screen<W> {
    fn is_gone(&self) -> bool {
        self.gone
    }

    fn line(&mut self, line: &Line) {
        let mut text = match self.prefixes.get(&line.process) {
            Some(prefix) => prefix.printed.clone().into_bytes(),
            None => self.stranger(&line.process, PRINTED).into_bytes(),
        };
        if self.look.terminal {
            text.extend_from_slice(escape(&line.text).as_bytes());
        } else {
            text.extend_from_slice(&line.text);
        }
        self.write(text);
    }

    fn event(&mut self, event: &Event) {
        if let Some(sentence) = self.narrator.tell(event) {
            let name = event.name.clone();
            self.say(name.as_deref().unwrap_or("neap"), sentence.tone, &sentence.text);
        }
    }

    fn note(&mut self, tone: Tone, text: &str) {
        // A Ctrl-C is echoed as "^C" at the cursor: begin again at the left.
        if self.look.terminal {
            self.put(b"\r");
        }
        self.say("neap", tone, text);
    }

    fn flush(&mut self) {
        if self.unflushed {
            self.unflushed = false;
            let result = self.out.flush();
            self.check(result);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Look, Screen};
    use crate::cli::narrate::Talk;
    use crate::cli::paint::{Paint, Tone};
    use crate::cli::printer::Show;
    use crate::{Line, StreamKind};

    fn shown(terminal: bool, act: impl FnOnce(&mut Screen<&mut Vec<u8>>)) -> Vec<u8> {
        let mut out = Vec::new();
        let look = Look { paint: Paint::off(), terminal, talk: Talk::Normal };
        let mut screen = Screen::new(&mut out, look, ["db", "worker"].into_iter());
        act(&mut screen);
        drop(screen);
        out
    }

    fn line(process: &str, text: &[u8]) -> Line {
        Line {
            process: process.into(),
            stream: StreamKind::Stdout,
            text: text.to_vec(),
            partial: false,
            time: None,
            run: 0,
        }
    }

    #[test]
    fn lines_stand_behind_names_of_one_width() {
        let out = shown(false, |screen| {
            screen.line(&line("db", b"ready"));
            screen.line(&line("worker", b"at work"));
            screen.note(Tone::Plain, "stopping");
        });
        assert_eq!(String::from_utf8(out).unwrap(), "db     | ready\nworker | at work\nneap   * stopping\n");
    }

    #[test]
    fn a_pipe_gets_the_bytes_and_a_terminal_gets_them_escaped() {
        let raw = shown(false, |screen| screen.line(&line("db", b"\x1b[31mred\xff")));
        assert_eq!(raw, b"db     | \x1b[31mred\xff\n");
        let safe = shown(true, |screen| screen.line(&line("db", b"\x1b[31mred\xff")));
        assert_eq!(safe, b"db     | \\x1b[31mred\\xff\n");
    }
}
