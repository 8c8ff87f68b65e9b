//! What becomes of a line, on a terminal or not.

use std::io::{Write, stderr};
use std::path::Path;

use super::colon::{self, Asked};
use crate::cli::app::Voice;
use crate::cli::client::context::Context;
use crate::cli::client::lua_session::{Outcome, Session};
use crate::cli::client::shown::{self, Printed, escape_lines, tinted};
use crate::cli::exit::{Exit, Failure, INTERRUPTED};
use crate::cli::paint::Tone;
use crate::rpc::proto::v1::{EvalError, EvalResult};

/// What a line came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It was evaluated, or carried out.
    Done,
    /// It is not over.
    More,
    /// It failed, with what a script would exit with.
    Failed(Exit),
    /// There is to be no next one.
    Over(Exit),
}

/// Takes lines.
pub(super) struct Console<'a> {
    voice: Voice,
    socket: &'a Path,
    session: Session,
    printed: Printed,
    /// The lines so far of a text that is not over.
    pending: String,
    terminal: bool,
    /// Whether nothing may be changed from here.
    read_only: bool,
}

impl<'a> Console<'a> {
    /// One for this session, at a terminal or not.
    pub(super) fn new(context: &'a Context, session: Session, terminal: bool, read_only: bool) -> Self {
        let (voice, socket) = (context.voice, context.socket());
        Console { voice, socket, session, printed: Printed::new(), pending: String::new(), terminal, read_only }
    }

    /// Whether a text was begun and is not over.
    pub(super) fn is_waiting(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The lines of it.
    pub(super) fn pending(&self) -> &str {
        &self.pending
    }

    /// Forgets them.
    pub(super) fn forget(&mut self) {
        self.pending.clear();
    }

    /// Evaluates a line, with those before it that it belongs to, or does what it commands.
    pub(super) fn take(&mut self, line: &str) -> Result<Step, Failure> {
        if self.pending.is_empty() {
            match line.trim() {
                "" => return Ok(Step::Done),
                line if line.starts_with(':') => return self.obey(&line[1..]),
                _ => {}
            }
        }
        let text = format!("{}{line}", std::mem::take(&mut self.pending));
        let printed = &mut self.printed;
        let outcome = self.session.evaluate(&text, None, &mut |piece| printed.piece(piece))?;
        self.printed.finish()?;
        match outcome {
            Outcome::Value(result) => self.show(&result).map(|()| Step::Done),
            Outcome::Failed(EvalError { incomplete: true, .. }) => {
                self.pending = text + "\n";
                Ok(Step::More)
            }
            Outcome::Failed(error) => {
                let exit = if error.cancelled { INTERRUPTED } else { Exit::Failed };
                if error.cancelled {
                    self.complain(&error.message)?;
                } else {
                    self.fail(&error)?;
                }
                Ok(Step::Failed(exit))
            }
            Outcome::GivenUp => {
                self.complain("no longer waiting for it; it was told to stop")?;
                Ok(Step::Failed(INTERRUPTED))
            }
            Outcome::Lost(why) => {
                self.complain(&format!("{why}; what came of this line is not known"))?;
                Ok(Step::Failed(Exit::Unreachable))
            }
            Outcome::Silent => Ok(Step::Failed(Exit::TimedOut)),
            Outcome::Ended(why) => {
                self.complain(&why)?;
                Ok(Step::Over(Exit::Unreachable))
            }
        }
    }

    fn show(&mut self, result: &EvalResult) -> Result<(), Failure> {
        if self.voice.json {
            return self.printed.said(&shown::json(result));
        }
        for value in &result.values {
            if self.terminal {
                self.printed.said(&tinted(&escape_lines(value), self.voice.out))?;
            } else {
                self.printed.lines(value)?;
            }
        }
        Ok(())
    }

    fn fail(&mut self, error: &EvalError) -> Result<(), Failure> {
        if self.terminal {
            return self.printed.said(&shown::error(error, self.voice.out));
        }
        // Nothing to be done about a stderr that takes nothing.
        let _ = writeln!(stderr(), "{}", shown::error(error, self.voice.err));
        Ok(())
    }

    fn complain(&mut self, text: &str) -> Result<(), Failure> {
        if self.terminal {
            return self.printed.said(&self.voice.out.tone(Tone::Warn, &escape_lines(text)));
        }
        self.voice.error(&escape_lines(text));
        Ok(())
    }

    fn obey(&mut self, line: &str) -> Result<Step, Failure> {
        match colon::read(line, self.read_only) {
            Ok(Asked::Quit) => Ok(Step::Over(Exit::Done)),
            Ok(Asked::Help) => self.printed.said(colon::HELP).map(|()| Step::Done),
            Ok(Asked::Events(on)) => {
                self.session.follow(on);
                let text = if on { "events are shown from now on" } else { "events are no longer shown" };
                let text = self.voice.out.tone(Tone::Faint, text);
                if self.terminal { self.printed.said(&text).map(|()| Step::Done) } else { Ok(Step::Done) }
            }
            Ok(Asked::Run(words)) => {
                let exit = colon::run(&words, self.socket, self.voice, self.terminal)?;
                Ok(if exit == Exit::Done { Step::Done } else { Step::Failed(exit) })
            }
            Err(why) => {
                self.complain(&why)?;
                Ok(Step::Failed(crate::cli::exit::USAGE))
            }
        }
    }
}
