//! `neap logs`: what processes printed, and print.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::io::{self, IsTerminal, Write, stdout};

use super::args;
use super::context::{Context, failure, say, unwritten};
use super::follow;
use super::json;
use super::link::Client;
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure};
use crate::cli::paint::{Paint, Tone};
use crate::rpc::proto::v1::{ListRequest, LogLag, LogLine, LogsRequest, LogsResponse};

/// So many lines of each process are shown, unless told otherwise.
const LINES: u32 = 100;
/// And before what is yet to come.
const LINES_BEFORE: u32 = 10;
/// Names longer than this are not aligned with the others.
const WIDEST: usize = 24;

/// Shows lines.
pub(super) fn logs(args: &args::Logs, context: &mut Context) -> Result<Exit, Failure> {
    if args.follow {
        follow::end_with_reader();
    }
    let voice = context.voice;
    let known = known(args, context)?;
    let part = args.since.is_some() || args.run.is_some();
    let some = if args.follow { LINES_BEFORE } else { LINES };
    let tail = args.lines.or((!part).then_some(some)).map(u64::from);
    // Which run is meant is fixed by its first line: the newest may be another one when the connection is made anew.
    let run: Cell<Option<i64>> = Cell::new(args.run);
    let look = Look { paint: voice.out, terminal: stdout().is_terminal() };
    // One name that is no glob needs no prefix.
    let alone = matches!(args.names.as_slice(), [name] if !is_glob(name));
    let mut paper = Paper::new(stdout().lock(), look, if alone { None } else { Some(known) });
    let cursors: RefCell<HashMap<String, String>> = RefCell::default();
    let open = |client: &mut Client| {
        let cursors = cursors.borrow().clone();
        let tail = if cursors.is_empty() { tail } else { None };
        client.logs(LogsRequest {
            names: args.names.clone(),
            tail,
            follow: args.follow,
            cursors,
            since: args.since.map(Into::into),
            run: run.get(),
        })
    };
    let take = |response: LogsResponse| -> Result<(), End> {
        for note in &response.notes {
            say(voice, &voice.err.tone(Tone::Warn, &escape(note.as_bytes())));
        }
        if let Some(lag) = &response.lag {
            say(voice, &voice.err.tone(Tone::Warn, &lost(lag)));
        }
        for line in response.lines {
            if voice.json { paper.json(&line) } else { paper.line(&line) }.map_err(End::Unwritten)?;
            if let (true, Some(0 | i64::MIN..0), Some(number)) = (alone, run.get(), line.run) {
                run.set(i64::try_from(number).ok());
            }
            if let Some(cursor) = line.cursor {
                cursors.borrow_mut().insert(line.process, cursor);
            }
        }
        if response.over { Err(End::Over) } else { Ok(()) }
    };
    match follow::read(context, args.follow, open, take) {
        Ok(Ok(())) | Err(End::Over) => Ok(Exit::Done),
        Ok(Err(error)) => Err(failure(&error)),
        Err(End::Unwritten(error)) => Err(unwritten(&error)),
    }
}

/// Why no more is read.
enum End {
    /// What was asked for is over.
    Over,
    /// It cannot be written.
    Unwritten(io::Error),
}

/// The names of those that are meant and there.
fn known(args: &args::Logs, context: &mut Context) -> Result<Vec<String>, Failure> {
    match context.call(|client| client.list(ListRequest { names: args.names.clone() })) {
        Ok(response) => Ok(response.processes.into_iter().map(|process| process.name).collect()),
        // With a follower, a glob also means what is yet to come.
        Err(failure) if failure.exit == Exit::NoSuchProcess && args.follow && args.names.iter().all(|n| is_glob(n)) => {
            Ok(Vec::new())
        }
        Err(failure) => Err(failure),
    }
}

fn is_glob(name: &str) -> bool {
    name.contains(['*', '?'])
}

fn lost(lag: &LogLag) -> String {
    let whose = lag.process.as_ref().map(|name| format!(" of {}", escape(name.as_bytes()))).unwrap_or_default();
    match lag.lost {
        Some(lost) => format!("{lost} lines{whose} are not shown: they came faster than they were read"),
        None => format!("some lines{whose} are not shown: they are no longer kept"),
    }
}

/// How lines look.
#[derive(Clone, Copy)]
struct Look {
    paint: Paint,
    terminal: bool,
}

/// Where lines are written, each flushed: whoever follows wants to see it.
struct Paper<W> {
    out: W,
    look: Look,
    /// Before the lines of each process, when there may be several.
    prefixes: Option<BTreeMap<String, String>>,
    width: usize,
}

impl<W: Write> Paper<W> {
    fn new(out: W, look: Look, names: Option<Vec<String>>) -> Self {
        let lengths = names.iter().flatten().map(String::len).filter(|length| *length <= WIDEST);
        let width = lengths.max().unwrap_or(0);
        let prefixes = names.as_ref().map(|_| BTreeMap::new());
        let mut paper = Paper { out, look, prefixes, width };
        for name in names.into_iter().flatten() {
            paper.prefix(&name);
        }
        paper
    }

    /// The name in its colour. Those that were not known before get theirs as they come.
    fn prefix(&mut self, name: &str) -> &str {
        let (look, width) = (self.look, self.width);
        let Some(prefixes) = &mut self.prefixes else { return "" };
        let index = prefixes.len();
        prefixes.entry(name.to_owned()).or_insert_with(|| {
            let name = escape(name.as_bytes());
            look.paint.prefix(index, &format!("{name:<width$} |")) + " "
        })
    }

    fn line(&mut self, line: &LogLine) -> io::Result<()> {
        let mut text = self.prefix(&line.process).as_bytes().to_vec();
        if self.look.terminal {
            text.extend_from_slice(escape(&line.text).as_bytes());
        } else {
            text.extend_from_slice(&line.text);
        }
        self.write(text)
    }

    fn json(&mut self, line: &LogLine) -> io::Result<()> {
        self.write(json::line(line).into_bytes())
    }

    fn write(&mut self, mut text: Vec<u8>) -> io::Result<()> {
        text.push(b'\n');
        self.out.write_all(&text)?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::{Look, Paper, lost};
    use crate::cli::paint::Paint;
    use crate::rpc::proto::v1::{LogLag, LogLine};

    fn line(process: &str, text: &[u8]) -> LogLine {
        LogLine { process: process.into(), text: text.into(), ..LogLine::default() }
    }

    fn shown(terminal: bool, names: Option<&[&str]>, lines: &[LogLine]) -> String {
        let look = Look { paint: Paint::off(), terminal };
        let names = names.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        let mut paper = Paper::new(Vec::new(), look, names);
        lines.iter().for_each(|line| paper.line(line).unwrap());
        String::from_utf8(paper.out).unwrap()
    }

    #[test]
    fn one_process_is_shown_as_it_printed_and_several_behind_their_names() {
        let lines = [line("db", b"ready"), line("worker", b"at work"), line("late", b"here")];
        assert_eq!(shown(false, None, &lines[..1]), "ready\n");
        let several = shown(false, Some(&["db", "worker"]), &lines);
        assert_eq!(several, "db     | ready\nworker | at work\nlate   | here\n");
    }

    #[test]
    fn a_terminal_is_not_steered_and_a_pipe_gets_the_bytes() {
        let lines = [line("db", b"\x1b[31mred")];
        assert_eq!(shown(true, None, &lines), "\\x1b[31mred\n");
        assert_eq!(shown(false, None, &lines), "\x1b[31mred\n");
    }

    #[test]
    fn what_is_missing_is_said() {
        let lag = LogLag { process: Some("web".into()), lost: Some(3) };
        assert_eq!(lost(&lag), "3 lines of web are not shown: they came faster than they were read");
        assert_eq!(lost(&LogLag::default()), "some lines are not shown: they are no longer kept");
    }
}
