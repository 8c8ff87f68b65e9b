//! From what Lua raises to what a person reads: file, line, and one sentence.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use mlua::Lua;

use crate::spec::{Problem, Severity};

/// How the names of chunks begin that are our own; their frames are never shown as the place of an error.
pub(crate) const OWN_CHUNK: &str = "=[neap";

/// How long a chunk's name may be in Lua's messages before it is cut (`LUA_IDSIZE`).
const SHORT: usize = 60;

/// The longest message that is shown, in bytes.
const MAX_MESSAGE: usize = 4096;

/// A line of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The chunk, as Lua shortens its name in messages.
    pub chunk: String,
    /// The line, from 1.
    pub line: u32,
}

impl Place {
    /// The innermost line of a script that is being run, from `level` on (0: the function that runs, which is the native
    /// function itself when called from one). Frames of native functions and of our own Lua code are passed over.
    pub fn of_script(lua: &Lua, level: usize) -> Option<Place> {
        for level in level..level + 64 {
            let frame = lua.inspect_stack(level, |frame| {
                let line = frame.current_line().and_then(|l| u32::try_from(l).ok());
                let source = frame.source();
                let own = source.source.as_deref().is_none_or(|s| s.starts_with(OWN_CHUNK) || s.starts_with("=__mlua"));
                let chunk = source.short_src.map(std::borrow::Cow::into_owned);
                if own { None } else { chunk.zip(line) }
            })?;
            if let Some((chunk, line)) = frame {
                return Some(Place { chunk, line });
            }
        }
        None
    }
}

/// Problems raised as a Lua error: what a native function returns to refuse something with a place and a field of its own.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// As an error that a native function may return.
    pub fn raise(problems: Vec<Problem>) -> mlua::Error {
        mlua::Error::external(Problems(problems))
    }
}

/// An error with the place of the script's call in front, as Lua's own functions raise it.
pub fn error_here(lua: &Lua, message: impl std::fmt::Display) -> mlua::Error {
    match Place::of_script(lua, 1) {
        Some(place) => mlua::Error::RuntimeError(format!("{}:{}: {message}", place.chunk, place.line)),
        None => mlua::Error::RuntimeError(message.to_string()),
    }
}

/// The chunks of a state: what Lua calls them in messages, and the files they are.
#[derive(Debug, Default)]
pub struct Chunks {
    files: Mutex<BTreeMap<String, String>>,
}

impl Chunks {
    /// Makes a file known, and returns the name to load it under.
    pub fn add(&self, file: &str) -> String {
        let name = format!("@{file}");
        self.files.lock().unwrap_or_else(PoisonError::into_inner).insert(short_source(file), file.to_owned());
        name
    }

    /// The file that Lua calls so in messages.
    pub fn file(&self, short: &str) -> Option<String> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).get(short).cloned()
    }

    /// Splits `chunk:line: message` when the chunk is known.
    fn split<'m>(&self, message: &'m str) -> Option<(String, u32, &'m str)> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.iter().find_map(|(short, file)| {
            let (line, rest) = message.strip_prefix(short.as_str())?.strip_prefix(':')?.split_once(':')?;
            Some((file.clone(), line.parse().ok()?, rest.strip_prefix(' ').unwrap_or(rest)))
        })
    }

    /// The problem that a Lua error is.
    pub fn problems(&self, error: &mlua::Error) -> Vec<Problem> {
        if let Some(problems) = error.downcast_ref::<Problems>() {
            return problems.0.clone();
        }
        let mut cause = error;
        let mut outer = "";
        while let mlua::Error::CallbackError { cause: inner, traceback } = cause {
            cause = inner;
            outer = traceback;
        }
        let text = match cause {
            mlua::Error::RuntimeError(text) | mlua::Error::SyntaxError { message: text, .. } => text.clone(),
            mlua::Error::MemoryError(_) => "ran out of the memory it may use".to_owned(),
            other => other.to_string(),
        };
        let (message, traceback) = text.split_once("\nstack traceback:").unwrap_or((&text, outer));
        let message = without_own_place(message);
        let mut problem = error_problem(cut(message.trim_end()));
        if let Some((file, line, rest)) = self.split(message) {
            (problem.file, problem.line, problem.message) = (Some(file), Some(line), cut(rest.trim_end()).to_owned());
        } else if let Some((file, line, _)) = traceback.lines().find_map(|l| self.split(l.trim_start())) {
            (problem.file, problem.line) = (Some(file), Some(line));
        }
        vec![problem]
    }

    /// What a script sees of an error that native code raised: a text with its place, as Lua's own errors are.
    pub fn describe(&self, error: &mlua::Error) -> String {
        let problems = self.problems(error);
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }
}

/// An error without a place.
pub fn error_problem(message: impl Into<String>) -> Problem {
    Problem { severity: Severity::Error, file: None, line: None, process: None, field: None, message: message.into() }
}

/// A message without a place in our own Lua code, which means nothing to whoever reads it.
fn without_own_place(message: &str) -> &str {
    let after = |own: &str| {
        let (line, rest) = message.strip_prefix(own)?.strip_prefix("]:")?.split_once(": ")?;
        line.bytes().all(|byte| byte.is_ascii_digit()).then_some(rest)
    };
    after("[neap").unwrap_or(message)
}

/// The beginning of a message that is longer than anybody reads.
fn cut(message: &str) -> &str {
    let end = (0..=message.len().min(MAX_MESSAGE)).rev().find(|end| message.is_char_boundary(*end));
    &message[..end.unwrap_or(0)]
}

/// How Lua shortens the name of a file in its messages (`luaO_chunkid`).
fn short_source(file: &str) -> String {
    if file.len() < SHORT {
        return file.to_owned();
    }
    let tail = &file.as_bytes()[file.len() - (SHORT - 1 - 3)..];
    format!("...{}", String::from_utf8_lossy(tail))
}
