//! Mistakes in a script, with their place.

use mlua::Lua;

use super::error::Problems;
use super::evaluation::Evaluation;
use super::host::Phase;
use crate::spec::schema::nearest;
use crate::spec::{Problem, Severity};

/// A place in a source: the line of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Site {
    /// The file, as messages show it.
    pub(super) file: Option<String>,
    /// The line, from 1.
    pub(super) line: Option<u32>,
}

/// How far up the stack a place is looked for.
const MAX_LEVELS: usize = 64;

/// Where the running function of the `neap` module was called: the nearest line of the user's own, past those of
/// modules that came with Neap.
pub(super) fn site(lua: &Lua) -> Site {
    for level in 0..MAX_LEVELS {
        let found = lua.inspect_stack(level, |frame| {
            let source = frame.source().source.map(|name| name.into_owned());
            (source, frame.current_line().and_then(|line| u32::try_from(line).ok()))
        });
        let Some((source, line)) = found else { break };
        let (Some(source), Some(line)) = (source, line) else { continue };
        if let Some(file) = user_file(&source) {
            return Site { file: Some(file.to_owned()), line: Some(line) };
        }
    }
    Site::default()
}

/// The file behind a chunk's name; nothing for chunks that are not the user's own.
fn user_file(source: &str) -> Option<&str> {
    if source.starts_with("=[") || source.starts_with("=__mlua") {
        return None;
    }
    source.strip_prefix('@').or_else(|| source.strip_prefix('='))
}

/// The error for a misuse of the module at the place of the call.
pub(super) fn misuse(lua: &Lua, message: impl Into<String>) -> mlua::Error {
    at(&site(lua), None, None, message)
}

/// The error for a mistake at this place.
pub(super) fn at(site: &Site, process: Option<&str>, field: Option<&str>, message: impl Into<String>) -> mlua::Error {
    Problems::raise(vec![problem_at(site, process, field, message)])
}

/// A mistake at this place.
pub(super) fn problem_at(
    site: &Site,
    process: Option<&str>,
    field: Option<&str>,
    message: impl Into<String>,
) -> Problem {
    Problem {
        severity: Severity::Error,
        file: site.file.clone(),
        line: site.line,
        process: process.map(str::to_owned),
        field: field.map(str::to_owned),
        message: message.into(),
    }
}

/// Fails where a function belongs to run time and the configuration is still being evaluated.
pub(super) fn only_at_run_time(lua: &Lua, what: &str) -> mlua::Result<()> {
    match Evaluation::host(lua)?.phase() {
        Phase::RunTime => Ok(()),
        Phase::Evaluation => Err(misuse(
            lua,
            format!(
                "{what} cannot be called while the configuration is evaluated, which only describes what should run; \
                 call it from a hook, a handler or a check"
            ),
        )),
    }
}

/// Fails where a function belongs to the evaluation and that is over.
pub(super) fn only_in_evaluation(lua: &Lua, what: &str) -> mlua::Result<()> {
    match Evaluation::host(lua)?.phase() {
        Phase::Evaluation => Ok(()),
        Phase::RunTime => Err(misuse(
            lua,
            format!("{what} declares configuration and cannot be called at run time; change the file and apply it"),
        )),
    }
}

/// "; did you mean `x`?" for the nearest of these, or nothing when none is near.
pub(super) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates).map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}
