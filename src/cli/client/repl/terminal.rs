//! The REPL at a terminal: a prompt, a line, what came of it.

use std::io::ErrorKind;

use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};

use super::aside::{self, Place};
use super::complete::AtPrompt;
use super::console::{Console, Step};
use super::history;
use crate::cli::client::args;
use crate::cli::client::context::Context;
use crate::cli::client::lua_session::Opened;
use crate::cli::client::shown::{Printed, escape_lines};
use crate::cli::exit::{Exit, Failure};
use crate::cli::paint::Tone;

/// Before a line that goes on with the one before it.
const CONTINUED: &str = "..> ";

/// Reads lines until Ctrl-D.
pub(super) fn converse(args: &args::Repl, context: &Context, opened: Opened) -> Result<Exit, Failure> {
    let Opened { session, asker, asides, hello } = opened;
    let paint = context.voice.out;
    let mut printed = Printed::new();
    printed.said(escape_lines(hello.banner.trim_end()).as_str())?;
    printed.said(&paint.tone(Tone::Faint, ":help tells what there is; Ctrl-D detaches, and stops nothing"))?;
    let mut editor = editor().map_err(|error| Failure::new(format!("cannot edit lines here: {error}")))?;
    editor.set_helper(Some(AtPrompt::new(asker, context.socket().to_owned())));
    let place = match editor.create_external_printer() {
        Ok(printer) => Place::Prompt(Box::new(printer)),
        // A terminal that cannot move its cursor.
        Err(_) => Place::Streams,
    };
    aside::show(asides, context.voice, place)?;
    let file = history::file();
    if let Some(file) = &file {
        // The first time there is none.
        let _ = editor.load_history(file);
    }
    let prompt = if args.read_only { "neap (read-only)> " } else { "neap> " };
    let prompt = (prompt, paint.tone(Tone::Strong, prompt));
    let mut console = Console::new(context, session, true, args.read_only);
    // Half a line is not what was meant.
    let mut torn = false;
    loop {
        if let Some(helper) = editor.helper() {
            helper.follow_on(console.pending());
        }
        let line = if console.is_waiting() { editor.readline(CONTINUED) } else { editor.readline(&prompt) };
        match line {
            Ok(_) if torn => torn = false,
            Ok(line) => {
                let whole = format!("{}{line}", console.pending());
                let step = console.take(&line)?;
                if step != Step::More {
                    // What cannot be kept is missed later, and holds up nothing now.
                    let _ = editor.add_history_entry(whole);
                    let _ = file.as_ref().map(|file| editor.append_history(file));
                }
                if let Step::Over(exit) = step {
                    return Ok(exit);
                }
            }
            Err(ReadlineError::Interrupted) if console.is_waiting() => console.forget(),
            Err(ReadlineError::Interrupted) => {
                printed
                    .said(&paint.tone(Tone::Faint, "nothing is being evaluated; Ctrl-D detaches, and stops nothing"))?;
            }
            Err(ReadlineError::Io(error)) if error.kind() == ErrorKind::InvalidData => {
                torn = true;
                console.forget();
                let told = "what came is not UTF-8 text: it is dropped, up to the end of its line";
                printed.said(&paint.tone(Tone::Faint, told))?;
            }
            // The terminal has another size, which the next line is drawn with.
            Err(ReadlineError::Signal(_)) => {}
            Err(ReadlineError::Eof) => {
                printed.said(&paint.tone(Tone::Faint, "detached; nothing was stopped"))?;
                return Ok(Exit::Done);
            }
            Err(error) => return Err(Failure::new(format!("cannot read from the terminal: {error}"))),
        }
    }
}

fn editor() -> rustyline::Result<Editor<AtPrompt, FileHistory>> {
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .completion_show_all_if_ambiguous(true)
        .history_ignore_space(true)
        .max_history_size(history::KEPT)?
        .build();
    Editor::with_config(config)
}
