//! How what Lua prints and comes to is shown.

use std::io::{IsTerminal, Write, stdout};

use super::context::unwritten;
use crate::cli::escape::escape;
use crate::cli::exit::Failure;
use crate::cli::paint::{Paint, Tone};
use crate::rpc::proto::v1::{EvalError, EvalResult};

/// What a text prints, on its way to stdout.
pub(super) struct Printed {
    terminal: bool,
    /// Whether the next begins a line.
    at_start: bool,
}

impl Printed {
    /// For this stdout.
    pub(super) fn new() -> Self {
        Printed { terminal: stdout().is_terminal(), at_start: true }
    }

    /// Prints a piece: a terminal is not steered by it, a pipe gets it as it is.
    pub(super) fn piece(&mut self, text: &str) -> Result<(), Failure> {
        if let Some(last) = text.chars().next_back() {
            self.at_start = last == '\n';
            write(if self.terminal { escape_lines(text) } else { text.to_owned() }.as_bytes())?;
        }
        Ok(())
    }

    /// Prints lines, on lines of their own.
    pub(super) fn lines(&mut self, text: &str) -> Result<(), Failure> {
        self.finish()?;
        self.piece(text)?;
        self.finish()
    }

    /// Ends the line that was begun.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        if self.at_start { Ok(()) } else { self.piece("\n") }
    }

    /// Prints what is ours, colours and all, on a line of its own.
    pub(super) fn said(&mut self, text: &str) -> Result<(), Failure> {
        self.finish()?;
        write(format!("{text}\n").as_bytes())
    }
}

fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| unwritten(&error))
}

/// The text with nothing in it that steers a terminal, but for the ends of its lines.
pub(super) fn escape_lines(text: &str) -> String {
    text.split('\n').map(|line| escape(line.as_bytes())).collect::<Vec<_>>().join("\n")
}

/// The text of a value, with what stands out in it coloured: values of Lua, and states.
pub(super) fn tinted(text: &str, paint: Paint) -> String {
    text.split_inclusive(char::is_whitespace)
        .map(|part| {
            let word = part.trim_end();
            let tone = match word.trim_matches(['{', '}', '(', ')', ',']) {
                "running" | "healthy" | "true" => Tone::Good,
                "failed" | "crashed" | "unhealthy" => Tone::Bad,
                "backoff" | "stopping" | "waiting" | "starting" => Tone::Warn,
                "nil" => Tone::Faint,
                _ => Tone::Plain,
            };
            paint.tone(tone, word) + &part[word.len()..]
        })
        .collect()
}

/// What a text came to, as JSON: its only value, or all of them as an array; nothing is null.
pub(super) fn json(result: &EvalResult) -> String {
    match result.json.as_slice() {
        [] => "null".to_owned(),
        [only] => only.clone(),
        several => format!("[{}]", several.join(",")),
    }
}

/// Why a text came to nothing: the message, and the lines of the traceback below it.
pub(super) fn error(error: &EvalError, paint: Paint) -> String {
    let mut text = paint.tone(Tone::Bad, &escape_lines(&error.message));
    // That the text was the one that was typed is no news.
    let told = !matches!(error.traceback.as_slice(), [only] if only.trim().ends_with("in main chunk"));
    for line in error.traceback.iter().filter(|_| told) {
        text.push('\n');
        text.push_str(&paint.tone(Tone::Faint, &format!("  {}", escape(line.trim().as_bytes()))));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{error, escape_lines, json};
    use crate::cli::paint::Paint;
    use crate::rpc::proto::v1::{EvalError, EvalResult};

    #[test]
    fn one_value_is_itself_and_several_are_an_array() {
        let of =
            |json: &[&str]| EvalResult { json: json.iter().map(|text| (*text).into()).collect(), ..Default::default() };
        assert_eq!(json(&of(&[])), "null");
        assert_eq!(json(&of(&["{\"a\":1}"])), "{\"a\":1}");
        assert_eq!(json(&of(&["1", "null", "\"x\""])), "[1,null,\"x\"]");
    }

    #[test]
    fn what_lua_says_does_not_steer_the_terminal() {
        assert_eq!(escape_lines("a\n\x1b[2J\r\n\tb"), "a\n\\x1b[2J\n\tb");
        let failed = EvalError {
            message: "repl:1: \x1b]0;x\x07".into(),
            traceback: vec!["\trepl:1: in function \u{202e}f".into()],
            ..Default::default()
        };
        assert_eq!(error(&failed, Paint::off()), "repl:1: \\x1b]0;x\\x07\n  repl:1: in function \\u{202e}f");
    }
}
