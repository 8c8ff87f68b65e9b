//! From what Lua raises to what a person at a prompt reads.

use super::answer::Trouble;
use crate::lua::host::Host;
use crate::lua::turns::{Stopped, TOO_LATE};

/// Lines of a traceback that are shown.
const FRAMES: usize = 20;

/// Why a call stopped, for people.
pub(super) fn trouble(host: &Host, stopped: &Stopped) -> Trouble {
    match stopped {
        Stopped::Cancelled => {
            Trouble { message: "given up; what was begun goes on".into(), cancelled: true, ..Trouble::default() }
        }
        Stopped::Late(place) => {
            let place = place.as_ref().map(|place| format!("{}:{}: ", place.chunk, place.line)).unwrap_or_default();
            let message = format!("{place}{TOO_LATE}, and was cut off; what was begun goes on");
            Trouble { message, timed_out: true, ..Trouble::default() }
        }
        Stopped::Failed(error) => failed(host, error),
    }
}

/// An error with the lines of scripts that led to it.
pub(super) fn failed(host: &Host, error: &mlua::Error) -> Trouble {
    let mut message = host.chunks().describe(error);
    let mut cause = error;
    let mut traceback = Vec::new();
    while let mlua::Error::CallbackError { cause: inner, traceback: frames } = cause {
        traceback = user_frames(frames);
        cause = inner;
    }
    match cause {
        mlua::Error::RuntimeError(text) => {
            if let Some((_, frames)) = text.split_once("\nstack traceback:") {
                traceback = user_frames(frames);
            }
        }
        mlua::Error::MemoryError(_) => {
            let most = crate::spec::units::format_size(host.memory() as u64 / 4 * 3);
            message =
                format!("used more memory than the {most} there is for sessions, and for what the configuration holds");
        }
        _ => {}
    }
    Trouble { message, traceback, ..Trouble::default() }
}

/// The frames of scripts: neither native functions nor what came with Neap.
fn user_frames(text: &str) -> Vec<String> {
    let own = ["[C]", "[neap", "__mlua", "(...", "stack traceback:"];
    let frames = text.lines().map(str::trim).filter(|line| !line.is_empty());
    frames.filter(|line| !own.iter().any(|own| line.starts_with(own))).take(FRAMES).map(str::to_owned).collect()
}
