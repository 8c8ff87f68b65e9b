//! The anchor's start.

use std::env;
use std::ffi::CString;
use std::fmt::Display;
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;
use std::time::Instant;

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};

use super::become_anchor::IMAGE;
use super::held::Held;
use super::key::Key;
use super::link::VARIABLE;
use super::run::{Anchor, Origin};
use super::say::say;
use super::service::{self, Service};
use super::signals::Signals;
use crate::driver::sys::{self, Program};

/// What a start that fails exits with.
const FAILED: u8 = 1;

/// Is the anchor, until all is over: for `main`, before anything else, when the process is called
/// [`NAME`](super::NAME).
pub fn main() -> ExitCode {
    match prepare() {
        Ok(anchor) => anchor.run(Instant::now()).into(),
        Err(why) => {
            say(format_args!("the anchor cannot start: {why}"));
            FAILED.into()
        }
    }
}

fn prepare() -> Result<Anchor, String> {
    // First of all: their numbers are fixed, and free to whatever is opened.
    let passed_in = service::passed_in();
    prctl::set_name(c"neap-anchor").map_err(|e| failed("PR_SET_NAME", e))?;
    sys::heed_child_signals().map_err(|e| failed("SIGCHLD cannot be reset", e))?;
    let signals = Signals::take().map_err(|e| failed("signals cannot be taken", e))?;
    if std::process::id() != 1 {
        prctl::set_child_subreaper(true).map_err(|e| failed("PR_SET_CHILD_SUBREAPER", e))?;
    }
    let (soft, hard) = sys::open_files_limit().map_err(|e| failed("the limit on open files cannot be read", e))?;
    let raised = setrlimit(Resource::RLIMIT_NOFILE, hard as _, hard as _).is_ok();
    let image = CString::new(IMAGE).map_err(|e| failed(IMAGE, e))?;
    let image = sys::open_image(&image).map_err(|e| failed("its own binary cannot be opened; is /proc mounted?", e))?;
    let mut held = Held::new(if raised { hard } else { soft });
    for (n, fd) in passed_in {
        held.hold(Key::inherited(n), fd);
    }
    let origin = Origin { image, program: program(), nofile: (soft, hard) };
    Ok(Anchor::new(origin, signals, held, Service::from_env()))
}

fn failed(what: &str, why: impl Display) -> String {
    format!("{what}: {why}")
}

/// The supervisor's command line and environment: ours, but for what is ours alone.
fn program() -> Program {
    let arguments = env::args_os().skip(1).filter_map(|word| CString::new(word.into_vec()).ok());
    let arguments = [c"neap".to_owned()].into_iter().chain(arguments).collect();
    let environment = env::vars_os().filter(|(name, _)| !name.to_str().is_some_and(service::is_ours)).collect();
    Program::new(arguments, environment, VARIABLE)
}
