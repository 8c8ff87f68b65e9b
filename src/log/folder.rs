//! The folder of a log file, opened so that nobody can lead us elsewhere.
//!
//! A supervisor that runs as root may be told to write into a folder of a process's user, who could put a symbolic link
//! on the way. So a link is followed only if it, and the folder it is in, belong to root or to the supervisor's own user,
//! and nobody else may rename it.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use nix::unistd::geteuid;

/// As many links as the kernel follows.
const MOST_LINKS: usize = 40;

/// An open folder and the name of a file in it.
#[derive(Debug)]
pub(super) struct Folder {
    pub fd: OwnedFd,
    pub name: OsString,
    /// Whether only root and our own user can put something there.
    pub ours: bool,
}

impl Folder {
    /// The folder of the file with this path, which need not be there.
    pub fn of(path: &Path) -> io::Result<Folder> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
        let (fd, stat) = walk(path.parent().unwrap_or(Path::new("")))?;
        Ok(Folder { fd, name, ours: is_ours(&stat) && stat.st_mode & 0o022 == 0 })
    }

    /// The name with a number after it: a rotated file's, or with 0 the name itself.
    pub fn numbered(&self, n: u32) -> OsString {
        numbered(&self.name, n)
    }
}

/// The name of the `n`th rotated file; with 0 the file's own.
pub(super) fn numbered(name: &OsStr, n: u32) -> OsString {
    let mut name = name.to_owned();
    if n > 0 {
        name.push(format!(".{n}"));
    }
    name
}

fn walk(path: &Path) -> io::Result<(OwnedFd, FileStat)> {
    let plain = OFlag::O_PATH | OFlag::O_CLOEXEC;
    let start = if path.is_absolute() { "/" } else { "." };
    let mut folder = open(start, plain | OFlag::O_DIRECTORY, Mode::empty())?;
    let mut stat = fstat(&folder)?;
    let mut rest = parts(path);
    let mut links = 0;
    while let Some(part) = rest.pop_front() {
        let next = openat(&folder, part.as_os_str(), plain | OFlag::O_NOFOLLOW, Mode::empty())?;
        let found = fstat(&next)?;
        if kind(&found) != SFlag::S_IFLNK {
            if kind(&found) != SFlag::S_IFDIR {
                return Err(Errno::ENOTDIR.into());
            }
            (folder, stat) = (next, found);
            continue;
        }
        links += 1;
        if links > MOST_LINKS {
            return Err(Errno::ELOOP.into());
        }
        let fixed = stat.st_mode & 0o022 == 0 || stat.st_mode & Mode::S_ISVTX.bits() != 0;
        if !(is_ours(&found) && is_ours(&stat) && fixed) {
            let link = part.to_string_lossy().into_owned();
            return Err(io::Error::other(format!(
                "`{link}` on the way is a symbolic link that another user could have put there; \
                 name the folder that it leads to instead"
            )));
        }
        let target = PathBuf::from(readlinkat(next.as_fd(), "")?);
        if target.is_absolute() {
            folder = open("/", plain | OFlag::O_DIRECTORY, Mode::empty())?;
            stat = fstat(&folder)?;
        }
        let mut parts = parts(&target);
        parts.append(&mut rest);
        rest = parts;
    }
    Ok((folder, stat))
}

/// What comes after the root; `..` is left to the kernel, which knows where a folder really is.
fn parts(path: &Path) -> VecDeque<OsString> {
    use std::path::Component;
    let plain = |c: &Component<'_>| matches!(c, Component::Normal(_) | Component::ParentDir);
    path.components().filter(plain).map(|c| c.as_os_str().to_owned()).collect()
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

/// Whether it belongs to root or to us.
fn is_ours(stat: &FileStat) -> bool {
    stat.st_uid == 0 || stat.st_uid == geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};

    use super::Folder;

    fn base(name: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("neap-folder-{}-{name}", std::process::id()));
        fs::create_dir_all(path.join("real/deep")).unwrap();
        path
    }

    #[test]
    fn our_own_links_are_followed_and_dots_too() {
        let base = base("own");
        symlink("real", base.join("relative")).unwrap();
        symlink(base.join("real"), base.join("absolute")).unwrap();
        for way in ["relative/deep", "absolute/deep", "real/deep/../deep", "real/./deep"] {
            let folder = Folder::of(&base.join(way).join("x.log")).unwrap();
            assert!(folder.ours, "{way}");
            assert_eq!(folder.numbered(2), "x.log.2");
        }
        symlink("round", base.join("round")).unwrap();
        assert!(Folder::of(&base.join("round/x.log")).is_err());
        assert!(Folder::of(&base.join("missing/x.log")).is_err());
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn a_link_of_another_user_is_not_followed() {
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: a_link_of_another_user_is_not_followed: it needs root");
            return;
        }
        let base = base("other");
        fs::create_dir(base.join("home")).unwrap();
        symlink(base.join("real"), base.join("home/theirs")).unwrap();
        lchown(base.join("home/theirs"), Some(65534), Some(65534)).unwrap();
        let refused = Folder::of(&base.join("home/theirs/x.log")).unwrap_err().to_string();
        assert!(refused.contains("`theirs` on the way is a symbolic link"), "{refused}");
        // Ours, but where they may have moved it.
        symlink(base.join("real"), base.join("home/moved")).unwrap();
        assert!(Folder::of(&base.join("home/moved/x.log")).is_ok());
        chown(base.join("home"), Some(65534), Some(65534)).unwrap();
        assert!(Folder::of(&base.join("home/moved/x.log")).is_err());
        chown(base.join("home"), Some(0), Some(0)).unwrap();
        fs::set_permissions(base.join("home"), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(Folder::of(&base.join("home/moved/x.log")).is_err());
        assert!(!Folder::of(&base.join("home/x.log")).unwrap().ours);
        fs::remove_dir_all(base).unwrap();
    }
}
