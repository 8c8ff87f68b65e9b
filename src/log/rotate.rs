//! Rotation: `x` becomes `x.1`, that `x.2` and so on, so that a crash between any two steps loses nothing.

use std::io;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, renameat};
use nix::sys::stat::fstatat;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::folder::Folder;

/// So many missing numbers in a row end the list: a rotation leaves one out for a moment, or after a crash.
const GAP: u32 = 8;

/// Makes room at the file's own name. The oldest falls away when there are `keep` already.
///
/// The files from the first free number down to 0 move up by one, the oldest of them first. A crash in between leaves a
/// free number at the place it came to, and the next rotation goes on from there: no file is ever moved onto another one
/// but the oldest.
pub(super) fn shift(folder: &Folder, keep: u32) -> io::Result<()> {
    if keep == 0 {
        return Ok(unlinkat(&folder.fd, folder.name.as_os_str(), UnlinkatFlags::NoRemoveDir)?);
    }
    let mut free = keep;
    for n in 1..=keep {
        if is_free(folder, n)? {
            free = n;
            break;
        }
    }
    for n in (0..free).rev() {
        renameat(&folder.fd, folder.numbered(n).as_os_str(), &folder.fd, folder.numbered(n + 1).as_os_str())?;
    }
    Ok(())
}

/// The files there are, the newest first, with their inodes. Files are renamed from the last number downwards, and so a
/// look from the first one upwards misses none; one that is seen twice was renamed in between.
pub(super) fn existing(folder: &Folder, keep: u32) -> Vec<(u32, u64)> {
    let mut files: Vec<(u32, u64)> = Vec::new();
    let mut missing = 0;
    for n in 0..=keep {
        match fstatat(&folder.fd, folder.numbered(n).as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => {
                missing = 0;
                files.retain(|(_, inode)| *inode != stat.st_ino);
                files.push((n, stat.st_ino));
            }
            Err(_) if missing < GAP => missing += 1,
            Err(_) => break,
        }
    }
    files
}

fn is_free(folder: &Folder, n: u32) -> io::Result<bool> {
    match fstatat(&folder.fd, folder.numbered(n).as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(false),
        Err(Errno::ENOENT) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::{Folder, shift};

    fn folder(name: &str, files: &[(&str, &str)]) -> (PathBuf, Folder) {
        let path = std::env::temp_dir().join(format!("neap-rotate-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        files.iter().for_each(|(file, text)| fs::write(path.join(file), text).unwrap());
        let folder = Folder::of(&path.join("x")).unwrap();
        (path, folder)
    }

    fn there(path: &PathBuf) -> Vec<(String, String)> {
        let mut all: Vec<_> = fs::read_dir(path).unwrap().map(|e| e.unwrap().path()).collect();
        all.sort();
        all.iter()
            .map(|p| (p.file_name().unwrap().to_string_lossy().into_owned(), fs::read_to_string(p).unwrap()))
            .collect()
    }

    #[test]
    fn the_oldest_falls_away_only_when_no_number_is_free() {
        let (path, folder) = folder("full", &[("x", "d"), ("x.1", "c"), ("x.2", "b"), ("x.3", "a")]);
        shift(&folder, 3).unwrap();
        assert_eq!(there(&path), [("x.1", "d"), ("x.2", "c"), ("x.3", "b")].map(|(a, b)| (a.into(), b.into())));
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_crash_between_any_two_steps_loses_nothing_when_it_is_done_again() {
        // Where three of four steps were done, two, one: the gap has come down to 1, 2, 3.
        for gap in 1..=3 {
            let before: Vec<(String, String)> = (0..5)
                .filter(|n| *n != gap)
                .map(|n| (if n == 0 { "x".into() } else { format!("x.{n}") }, format!("{n}")))
                .collect();
            let files: Vec<(&str, &str)> = before.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            let (path, folder) = folder(&format!("gap{gap}"), &files);
            shift(&folder, 4).unwrap();
            let after = there(&path);
            assert_eq!(after.len(), 4);
            let texts: Vec<&str> = after.iter().map(|(_, text)| text.as_str()).collect();
            let want: Vec<&str> = before.iter().map(|(_, text)| text.as_str()).collect();
            assert_eq!(texts, want, "nothing fell away, and the order is the same");
            fs::remove_dir_all(path).unwrap();
        }
    }
}
