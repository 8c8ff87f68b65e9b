//! Completion at the prompt: Lua by the instance, `:commands` by the command line's own definition.

use std::cell::RefCell;
use std::ffi::OsString;
use std::path::PathBuf;

use clap_complete::engine;
use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};

use super::colon::OWN;
use crate::cli::client::candidates::{self, Target};
use crate::cli::client::lua_session::Asker;
use crate::cli::client::table::cut;
use crate::cli::escape::escape;

/// More are of no use to anybody.
const MOST: usize = 2_000;
/// What a candidate is, is told in so many columns.
const WIDEST: usize = 76;

/// What the editor asks.
pub(super) struct AtPrompt {
    asker: Asker,
    socket: PathBuf,
    /// The lines before the one that is edited.
    before: RefCell<String>,
}

impl AtPrompt {
    /// For a session at this socket.
    pub(super) fn new(asker: Asker, socket: PathBuf) -> Self {
        AtPrompt { asker, socket, before: RefCell::new(String::new()) }
    }

    /// These lines stand before the one that is edited.
    pub(super) fn follow_on(&self, before: &str) {
        before.clone_into(&mut self.before.borrow_mut());
    }

    fn lua(&self, line: &str, cursor: usize) -> (usize, Vec<Pair>) {
        let before = self.before.borrow();
        let text = format!("{before}{line}");
        let Some(found) = self.asker.complete(&text, before.len() + cursor) else { return (cursor, Vec::new()) };
        // Only what is on this line can be replaced.
        let start = usize::try_from(found.start).ok().and_then(|start| start.checked_sub(before.len()));
        let Some(start) = start.filter(|start| *start <= cursor && line.is_char_boundary(*start)) else {
            return (cursor, Vec::new());
        };
        let pairs = found.candidates.into_iter().take(MOST).map(|one| pair(one.text, &one.detail));
        (start, pairs.collect())
    }

    /// `line` is what stands between the colon and the cursor.
    fn commands(&self, line: &str) -> (usize, Vec<Pair>) {
        let start = line.rfind(char::is_whitespace).map_or(0, |at| at + 1);
        let mut words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        if start == line.len() {
            words.push(OsString::new());
        }
        words.insert(0, "neap".into());
        let index = words.len() - 1;
        let target = Target { socket: Some(self.socket.clone()), instance: None };
        let word = &line[start..];
        let found = engine::complete(&mut candidates::command(target, word), words, index, None).unwrap_or_default();
        let own = OWN.iter().filter(|(name, _)| name.starts_with(line)).map(|(name, what)| {
            let rest = name.get(start..).unwrap_or(name);
            pair(rest.to_owned(), what)
        });
        let theirs = found.into_iter().filter_map(|one| {
            let value = one.get_value().to_str()?.to_owned();
            let here = value.starts_with(word) && !HERE_NOT.contains(&value.as_str());
            let help = one.get_help().map(ToString::to_string).unwrap_or_default();
            here.then(|| pair(value, help.lines().next().unwrap_or_default()))
        });
        (start, own.chain(theirs).take(MOST).collect())
    }
}

/// Commands that are for a shell.
const HERE_NOT: [&str; 4] = ["up", "daemon", "run", "repl"];

fn pair(replacement: String, detail: &str) -> Pair {
    let name = escape(replacement.as_bytes());
    let detail = escape(detail.as_bytes()).replace('\t', " ");
    let display = if detail.is_empty() { name } else { cut(&format!("{name:<20}  {detail}"), WIDEST) };
    Pair { display, replacement }
}

impl Completer for AtPrompt {
    type Candidate = Pair;

    fn complete(&self, line: &str, cursor: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let indent = line.len() - line.trim_start().len();
        match line.get(indent..cursor).and_then(|typed| typed.strip_prefix(':')) {
            Some(typed) if self.before.borrow().is_empty() => {
                let (start, pairs) = self.commands(typed);
                Ok((indent + 1 + start, pairs))
            }
            _ => Ok(self.lua(line, cursor)),
        }
    }
}

impl Hinter for AtPrompt {
    type Hint = String;
}
impl Highlighter for AtPrompt {}
impl Validator for AtPrompt {}
impl Helper for AtPrompt {}
