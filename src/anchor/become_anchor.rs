//! From a command to the anchor of one.

use std::env;
use std::ffi::{CString, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use crate::driver::sys;

/// What the anchor is called: the first of its arguments, by which `main` knows what it is, and its own program's file.
pub const NAME: &str = "neap-anchor";
/// This program's file, also when its path leads elsewhere by now.
const OURS: &str = "/proc/self/exe";
/// The variable that tells an anchor with a program of its own which one to start, and of which version that is.
pub(super) const VARIABLE: &str = "NEAP_IMAGE";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Has this process execute the anchor, which starts a supervisor with these arguments (without a name). Returns only when
/// that fails.
pub fn become_anchor(arguments: impl IntoIterator<Item = OsString>) -> io::Error {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    // Small where it is installed; else this program, which can do the same.
    if let Some(program) = beside_us() {
        execute_small(&program, &arguments);
    }
    let error = Command::new(OURS).arg0(NAME).args(arguments).exec();
    io::Error::new(error.kind(), format!("cannot execute {OURS} as the anchor: {error}; is /proc mounted?"))
}

/// The anchor's own program, if it lies in the same folder as this one.
fn beside_us() -> Option<PathBuf> {
    let path = fs::read_link(OURS).ok()?.with_file_name(NAME);
    path.is_file().then_some(path)
}

/// Returns when it could not be executed.
fn execute_small(program: &PathBuf, arguments: &[OsString]) {
    let Ok(image) = our_image() else { return };
    if fcntl(image.as_fd(), FcntlArg::F_SETFD(FdFlag::empty())).is_err() {
        return;
    }
    let told = format!("{}:{VERSION}", image.as_raw_fd());
    // What goes wrong is told when the other way does as well.
    let _ = Command::new(program).arg0(NAME).args(arguments).env(VARIABLE, told).exec();
}

fn our_image() -> io::Result<OwnedFd> {
    sys::open_image(&CString::new(OURS)?)
}

/// The program to start as the supervisor: the one that was told, or else our own. One that was installed with another
/// version of the anchor is executed as the anchor in our place.
pub(super) fn image() -> io::Result<OwnedFd> {
    let told = env::var(VARIABLE).unwrap_or_default();
    let Some((number, version)) = told.split_once(':') else { return our_image() };
    let image = sys::inherited(number.parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?)?;
    if version == VERSION {
        return Ok(image);
    }
    let path = format!("/proc/self/fd/{}", image.as_raw_fd());
    Err(Command::new(path).arg0(NAME).args(env::args_os().skip(1)).env_remove(VARIABLE).exec())
}
