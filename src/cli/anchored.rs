//! Supervision under an anchor: this program executes itself as one, which starts it again as the supervisor.

use std::ffi::OsString;

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;

use super::exit::{Exit, Failure};
use super::signals::{Early, Signals};
use crate::anchor::{Inheritance, Link, become_anchor};
use crate::instance::places::Places;

/// The anchor, and what it kept.
pub(super) type Anchor = (Link, Inheritance);

/// What a supervisor is given by whoever started it.
pub(super) struct Given {
    /// The signals, taken before the anchor was told that there is somebody to send them to.
    pub(super) signals: Signals,
    /// The rest.
    pub(super) around: Around,
}

/// What a supervisor is to know of how it was started.
pub(super) struct Around {
    /// The anchor, if there is one.
    pub(super) anchor: Option<Anchor>,
    /// Why there is none.
    pub(super) without: Option<String>,
    /// How many files children may have open.
    pub(super) open_files: Option<(u64, u64)>,
}

/// How the work ended.
pub(super) enum Ending {
    /// All is over.
    Over(Exit),
    /// The anchor starts another binary, which goes on with it.
    HandedOver,
}

/// What becomes of it where there can be no anchor.
pub(super) enum Lack {
    /// It is refused.
    Refused,
    /// It goes on without one, and says so.
    Said,
}

/// The places that this supervisor was given by the one who became its anchor. Links may lead elsewhere by now, and files may
/// be gone: found anew, they could be another instance's.
pub(super) fn handed_on() -> Option<Places> {
    Link::is_there().then(|| Places::from_variables(|name| std::env::var_os(name)))?
}

/// Does the work under an anchor, which ends with it and with the same code. Called in the anchor's supervisor it does
/// the work; else it becomes the anchor and does not return, unless there can be none. Each supervisor that the anchor
/// starts gets this command line, and [these places](handed_on).
pub(super) fn run(
    lack: Lack,
    line: &[OsString],
    places: &Places,
    work: impl FnOnce(Given) -> Result<Ending, Failure>,
) -> Result<Exit, Failure> {
    let link =
        Link::from_env().map_err(|error| Failure::new(format!("cannot use the anchor's descriptor: {error}")))?;
    let Some(link) = link else {
        // The anchor, and every supervisor that it starts, is then where we are. Where it is not done, the limits that this
        // costs say why.
        let _ = crate::driver::step_aside();
        let error = become_anchor(line.iter().cloned(), places.as_variables());
        return match lack {
            Lack::Refused => Err(Failure::new(error.to_string())),
            Lack::Said => without(error.to_string(), work),
        };
    };
    // Executed by a descriptor, it would be called by its number.
    let _ = prctl::set_name(c"neap");
    let signals = Signals::take(Early::Keep)?;
    keep_memory_to_itself();
    // The anchor passes on more descriptors than the soft limit may allow.
    let open_files = raise_open_files();
    let told = link.clone();
    // Not the end of the instance: the anchor tries again, with the old binary after an upgrade.
    let inheritance = link.welcome().map_err(|error| Failure::new(format!("the anchor does not answer: {error}")))?;
    let first = inheritance.lives == 1;
    if first {
        // Nothing is supervised yet that could be left behind.
        let told = told.clone();
        signals.until_then(Early::Tell(Box::new(move |code| told.finished(code))));
    }
    match work(Given { signals, around: Around { anchor: Some((link, inheritance)), without: None, open_files } }) {
        Ok(Ending::HandedOver) => Ok(Exit::Done),
        Ok(Ending::Over(exit)) => {
            told.finished(exit.code());
            Ok(exit)
        }
        Err(failure) => {
            // What others left must not be forgotten because this one could not begin.
            if first {
                told.finished(failure.exit.code());
            }
            Err(failure)
        }
    }
}

/// Does the work without an anchor, for this reason.
pub(super) fn without(why: String, work: impl FnOnce(Given) -> Result<Ending, Failure>) -> Result<Exit, Failure> {
    let signals = Signals::take(Early::Exit)?;
    keep_memory_to_itself();
    let why = format!("{why}; it goes on without a control socket, and nothing outlives this process");
    let around = Around { anchor: None, without: Some(why), open_files: raise_open_files() };
    match work(Given { signals, around })? {
        Ending::Over(exit) => Ok(exit),
        Ending::HandedOver => Ok(Exit::Done),
    }
}

/// The supervisor's memory holds its processes' secrets: it is in no core dump, and nobody but root looks into it, not even its own
/// user's processes, which are those it supervises. Programs that it executes are as they would be without this.
fn keep_memory_to_itself() {
    // It cannot be refused.
    let _ = prctl::set_dumpable(false);
}

/// Lets this process have as many files open as it may. Returns what it was before, for the children.
fn raise_open_files() -> Option<(u64, u64)> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    // Refused is as good as not tried: everything works with fewer, up to a number of processes.
    let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    Some((soft, hard))
}

/// Has this process told to end when its anchor is gone: what was started in a terminal, and is killed there, ends.
pub(super) fn end_with_anchor(inheritance: &Inheritance) {
    let _ = prctl::set_pdeathsig(Signal::SIGTERM);
    if nix::unistd::getppid().as_raw().cast_unsigned() != inheritance.anchor.0 {
        // It was too late: the anchor has gone already.
        let _ = nix::sys::signal::raise(Signal::SIGTERM);
    }
}
