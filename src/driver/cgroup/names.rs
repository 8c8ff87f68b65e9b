//! What folders of cgroups are called.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::core::RunId;

/// What the folder of all trees is called, below our own.
pub(super) enum Naming {
    /// As nothing else is: the trees go with us.
    Fresh,
    /// After this instance, so that whoever comes after us finds it.
    Instance(String),
}

impl Naming {
    /// Makes it, or finds it; where it is, and its name.
    pub(super) fn make(&self, own: &Path) -> Result<(PathBuf, String), String> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let Naming::Instance(instance) = self else { return make_folder(own, &NEXT) };
        let name = instance_folder(instance);
        let path = own.join(&name);
        match fs::create_dir(&path) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(format!("cannot make {}: {e}", path.display())),
            _ => Ok((path, name)),
        }
    }
}

/// What the folder of this instance is called.
pub(super) fn instance_folder(instance: &str) -> String {
    format!("neap.{}", escaped(instance))
}

/// Makes a folder `neap.<pid>.<number>` that was not there. One of the same name may be left by a program that had our
/// pid and was killed, or be in use by one that has it too, in another container.
fn make_folder(own: &Path, next: &AtomicU64) -> Result<(PathBuf, String), String> {
    const ATTEMPTS: usize = 10_000;
    let mut attempts = 0;
    loop {
        let name = format!("neap.{}.{}", std::process::id(), next.fetch_add(1, Ordering::Relaxed));
        let path = own.join(&name);
        attempts += 1;
        match fs::create_dir(&path) {
            Ok(()) => return Ok((path, name)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && attempts < ATTEMPTS => {}
            Err(e) => return Err(format!("cannot make {}: {e}", path.display())),
        }
    }
}

/// What the folder of a run is called.
pub(super) fn folder(process: &str, run: RunId) -> String {
    format!("{}.{run}", escaped(process))
}

/// A process's name as a part of a folder's: what is not a letter, a digit or one of `_@-.` becomes `%` and two hex
/// digits; never empty, hidden or too long.
fn escaped(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for (byte, first) in name.bytes().zip(std::iter::once(true).chain(std::iter::repeat(false))) {
        let plain = byte.is_ascii_alphanumeric() || b"_@-".contains(&byte) || (byte == b'.' && !first);
        if plain {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out.truncate(200);
    if out.is_empty() { "%".to_owned() } else { out }
}

/// The run in a tree's folder's name, and whether that is a hook's or a probe's: `NAME.rN`, `NAME.rN.K`, and in place of
/// the process's name one with an (escaped) plus sign in it, which no process has.
pub(super) fn parsed(folder: &str) -> Option<(RunId, bool)> {
    let run = |text: &str| text.strip_prefix('r')?.parse().ok().map(RunId);
    let (front, last) = folder.rsplit_once('.')?;
    let (name, run) = match run(last) {
        Some(found) => (front, found),
        None if last.bytes().all(|b| b.is_ascii_digit()) => {
            let (name, before) = front.rsplit_once('.')?;
            (name, run(before)?)
        }
        None => return None,
    };
    Some((run, name.contains("%2B")))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::AtomicU64;

    use super::{escaped, make_folder, parsed};
    use crate::core::RunId;

    #[test]
    fn a_folder_that_is_there_already_is_stepped_over() {
        let us = std::process::id();
        let own = std::env::temp_dir().join(format!("neap-cgroup-{us}"));
        for taken in ["4", "5"] {
            fs::create_dir_all(own.join(format!("neap.{us}.{taken}"))).unwrap();
        }
        let next = AtomicU64::new(4);
        let made = make_folder(&own, &next);
        let there = own.join(format!("neap.{us}.6")).is_dir();
        fs::remove_dir_all(&own).unwrap();
        assert_eq!(made.unwrap().1, format!("neap.{us}.6"));
        assert!(there);
        let refused = make_folder(&own, &next).unwrap_err();
        assert!(refused.starts_with("cannot make ") && refused.contains(".7: "), "{refused}");
    }

    #[test]
    fn a_folders_name_says_which_run_it_is_of_and_whether_of_its_hooks() {
        let of = |name: &str, run: RunId| format!("{}.{run}", escaped(name));
        assert_eq!(parsed(&of("web", RunId(7))), Some((RunId(7), false)));
        assert_eq!(parsed(&of("web.r3", RunId(1007))), Some((RunId(1007), false)));
        assert_eq!(parsed(&format!("{}.2", of("web.r3", RunId(7)))), Some((RunId(7), false)));
        assert_eq!(parsed(&of("web+before_start+12", RunId(7))), Some((RunId(7), true)));
        assert_eq!(parsed("web"), None);
        assert_eq!(parsed("somebody.else"), None);
        assert_eq!(parsed("web.r7.x"), None);
    }

    #[test]
    fn names_become_harmless_parts_of_a_path() {
        assert_eq!(escaped("web-1@x.y"), "web-1@x.y");
        assert_eq!(escaped("../../etc"), "%2E.%2F..%2Fetc");
        assert_eq!(escaped("a\nb é"), "a%0Ab%20%C3%A9");
        assert_eq!(escaped(""), "%");
        assert_eq!(escaped(&"x".repeat(500)).len(), 200);
    }
}
