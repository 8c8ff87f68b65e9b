//! Earlier lines, kept from one REPL to the next.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use crate::instance::places::Bases;

/// Lines that are kept.
pub(super) const KEPT: usize = 2_000;

/// The user's file of them, if this user has a place for one. Its folder is there.
pub(super) fn file() -> Option<PathBuf> {
    let folder = Bases::of_this_process().state_base().ok()?;
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).ok()?;
    Some(folder.join("repl_history"))
}
