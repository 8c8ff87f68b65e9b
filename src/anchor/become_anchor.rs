//! From a command to the anchor of one.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// What the anchor is called: the first of its arguments, by which `main` knows what it is.
pub const NAME: &str = "neap-anchor";
/// This program's file, also when its path leads elsewhere by now.
pub(super) const IMAGE: &str = "/proc/self/exe";

/// Has this process execute itself as the anchor, which starts a supervisor with these arguments (without a name) and with
/// these variables beside this process's own. Returns only when that fails.
pub fn become_anchor<'a>(
    arguments: impl IntoIterator<Item = OsString>,
    variables: impl IntoIterator<Item = (&'a str, OsString)>,
) -> io::Error {
    let error = Command::new(IMAGE).arg0(NAME).args(arguments).envs(variables).exec();
    io::Error::new(error.kind(), format!("cannot execute {IMAGE} as the anchor: {error}; is /proc mounted?"))
}
