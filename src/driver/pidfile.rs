//! Pid files: written for others, read from daemons. File work, for the pool's threads.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat, readlinkat, renameat};
use nix::sys::stat::{Mode, SFlag, fstat, mkdirat};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};

use crate::core::Pid;

/// No pid file is longer.
const MAX_LENGTH: u64 = 64;
/// As many links on the way as the kernel would follow.
const MAX_LINKS: usize = 40;

/// A pid file that is kept as it should be: jobs on two threads may come in either order, so each looks at what is wanted now.
#[derive(Clone, Debug)]
pub(super) struct PidFile {
    path: Arc<PathBuf>,
    wanted: Arc<Mutex<Wanted>>,
}

#[derive(Debug, Default)]
struct Wanted {
    now: Option<Pid>,
    /// What was wanted before it was to be gone.
    before: Option<Pid>,
}

impl PidFile {
    pub fn new(path: PathBuf) -> Self {
        PidFile { path: Arc::new(path), wanted: Arc::default() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Says what is to be in it from now on (`None`: it is to be gone), and returns what was.
    pub fn want(&self, pid: Option<Pid>) -> Option<Pid> {
        let mut wanted = self.lock();
        let was = std::mem::replace(&mut wanted.now, pid);
        wanted.before = was.or(wanted.before);
        was
    }

    /// Makes it so. A file that says something else by now is somebody else's, and stays.
    pub fn sync(&self) -> Result<(), String> {
        // Held over the writing: else the older of two jobs could write last.
        let wanted = self.lock();
        let path = self.path.display();
        match (wanted.now, wanted.before) {
            (Some(pid), _) => write(&self.path, pid).map_err(|e| format!("cannot write the pid file `{path}`: {e}")),
            (None, Some(before)) => {
                remove(&self.path, before).map_err(|e| format!("cannot remove the pid file `{path}`: {e}"))
            }
            (None, None) => Ok(()),
        }
    }

    /// Removes it if it is to be gone, in the end, when nobody hears of it any more.
    pub fn clean(&self) {
        if self.lock().now.is_none() {
            let _ = self.sync();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Written beside it and moved into place, so that nobody reads half a number.
fn write(path: &Path, pid: Pid) -> io::Result<()> {
    let (folder, name) = folder_of(path)?;
    let mut new = name.clone();
    new.push(".new");
    match unlinkat(&folder, new.as_os_str(), UnlinkatFlags::NoRemoveDir) {
        Err(Errno::ENOENT) | Ok(()) => {}
        Err(error) => return Err(error.into()),
    }
    // Made anew, so that no link is followed.
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mode = Mode::S_IRUSR | Mode::S_IWUSR | Mode::S_IRGRP | Mode::S_IROTH;
    let file = openat(&folder, new.as_os_str(), flags, mode)?;
    File::from(file).write_all(format!("{pid}\n").as_bytes())?;
    Ok(renameat(&folder, new.as_os_str(), &folder, name.as_os_str())?)
}

/// Removes it if it still names this pid.
fn remove(path: &Path, pid: Pid) -> io::Result<()> {
    let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let (folder, name) = match folder_of(path) {
        Err(error) if gone(&error) => return Ok(()),
        found => found?,
    };
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file = match openat(&folder, name.as_os_str(), flags, Mode::empty()) {
        // A link is no file that was written here.
        Err(Errno::ENOENT | Errno::ELOOP) => return Ok(()),
        file => file?,
    };
    if pid_in(File::from(file))? != Some(pid) {
        return Ok(());
    }
    match unlinkat(&folder, name.as_os_str(), UnlinkatFlags::NoRemoveDir) {
        Err(Errno::ENOENT) => Ok(()),
        removed => Ok(removed?),
    }
}

/// The folder of a path, and the name in it. A link on the way is followed only where it is root's or ours: a process's
/// user could lead us anywhere.
pub(super) fn folder_of(path: &Path) -> io::Result<(OwnedFd, OsString)> {
    walk(path, None)
}

/// The same, and folders that are missing are made with this mode.
pub(super) fn folder_made(path: &Path, mode: Mode) -> io::Result<(OwnedFd, OsString)> {
    walk(path, Some(mode))
}

fn walk(path: &Path, make: Option<Mode>) -> io::Result<(OwnedFd, OsString)> {
    let name = path.file_name().ok_or_else(|| io::Error::other("it is the name of no file"))?;
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let root = || openat(AT_FDCWD, "/", flags | OFlag::O_DIRECTORY, Mode::empty());
    let mut folder = root()?;
    let mut left: Vec<OsString> = Vec::new();
    let mut links = 0;
    push_parts(&mut left, path.parent().unwrap_or(Path::new("/")));
    while let Some(part) = left.pop() {
        let open = || openat(folder.as_fd(), part.as_os_str(), flags, Mode::empty());
        let next = match (open(), make) {
            (Err(Errno::ENOENT), Some(mode)) => match mkdirat(&folder, part.as_os_str(), mode) {
                Ok(()) | Err(Errno::EEXIST) => open()?,
                Err(error) => return Err(error.into()),
            },
            (next, _) => next?,
        };
        let stat = fstat(&next)?;
        let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
        if kind == SFlag::S_IFDIR {
            folder = next;
            continue;
        }
        if kind != SFlag::S_IFLNK {
            return Err(Errno::ENOTDIR.into());
        }
        links += 1;
        if links > MAX_LINKS {
            return Err(Errno::ELOOP.into());
        }
        if stat.st_uid != 0 && stat.st_uid != geteuid().as_raw() {
            let message = format!("`{}` is a link of user {}, who could lead anywhere", part.display(), stat.st_uid);
            return Err(io::Error::other(message));
        }
        let target = PathBuf::from(readlinkat(&next, OsStr::new(""))?);
        if target.is_absolute() {
            folder = root()?;
        }
        push_parts(&mut left, &target);
    }
    Ok((folder, name.to_owned()))
}

/// The parts of a path, the first of them last.
fn push_parts(left: &mut Vec<OsString>, path: &Path) {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(_) | Component::ParentDir => Some(part.as_os_str().to_owned()),
        _ => None,
    });
    let at = left.len();
    left.extend(parts);
    left[at..].reverse();
}

/// The pid in a file that a daemon wrote; `None` when there is no file yet, or no pid in it yet.
///
/// The daemon may be somebody else's, and so the file: a pipe is not waited for, and of an endless one little is read.
pub(super) fn read(path: &Path) -> io::Result<Option<Pid>> {
    let opened = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits() | OFlag::O_NOCTTY.bits()).open(path);
    match opened.and_then(pid_in) {
        Ok(pid) => Ok(pid),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn pid_in(file: File) -> io::Result<Option<Pid>> {
    let mut text = Vec::new();
    file.take(MAX_LENGTH).read_to_end(&mut text)?;
    Ok(std::str::from_utf8(&text).ok().and_then(|t| t.trim().parse().ok()).filter(|p| *p > 0).map(Pid))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use nix::sys::stat::Mode;

    use super::{PidFile, read, write};
    use crate::core::Pid;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("neap-pidfile-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn what_is_written_is_read_and_links_are_replaced() {
        let folder = folder("write");
        let (path, victim) = (folder.join("x.pid"), folder.join("victim"));
        fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        std::os::unix::fs::symlink(&victim, folder.join("x.pid.new")).unwrap();
        write(&path, Pid(17)).unwrap();
        assert_eq!(read(&path).unwrap(), Some(Pid(17)));
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn neither_an_endless_file_nor_a_pipe_holds_the_reader_up() {
        let folder = folder("read");
        assert_eq!(read(Path::new("/dev/zero")).unwrap(), None);
        let pipe = folder.join("pipe");
        nix::unistd::mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        assert_eq!(read(&pipe).unwrap(), None);
        assert_eq!(read(&folder.join("none")).unwrap(), None);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_that_names_another_by_now_is_not_removed() {
        let folder = folder("remove");
        let file = PidFile::new(folder.join("x.pid"));
        let is = |text: &str| fs::read_to_string(file.path()).is_ok_and(|found| found == text);
        file.want(Some(Pid(17)));
        file.sync().unwrap();
        assert!(is("17\n"));
        fs::write(file.path(), "18\n").unwrap();
        file.want(None);
        file.sync().unwrap();
        assert!(is("18\n"));
        fs::write(file.path(), "17\n").unwrap();
        file.sync().unwrap();
        assert!(!file.path().exists());
        file.sync().unwrap();
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_link_of_another_users_on_the_way_is_not_followed_and_one_of_roots_is() {
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: a_link_of_another_users_on_the_way_is_not_followed_and_one_of_roots_is: needs root");
            return;
        }
        let folder = folder("links");
        fs::create_dir_all(folder.join("real/below")).unwrap();
        for (name, target) in [("ours", "real/../real"), ("theirs", "real"), ("loop", "loop")] {
            std::os::unix::fs::symlink(target, folder.join(name)).unwrap();
        }
        std::os::unix::fs::lchown(folder.join("theirs"), Some(1), Some(1)).unwrap();
        write(&folder.join("ours/below/x.pid"), Pid(17)).unwrap();
        assert_eq!(read(&folder.join("real/below/x.pid")).unwrap(), Some(Pid(17)));
        let error = write(&folder.join("theirs/below/x.pid"), Pid(18)).unwrap_err().to_string();
        assert_eq!(error, "`theirs` is a link of user 1, who could lead anywhere");
        assert!(write(&folder.join("loop/x.pid"), Pid(18)).is_err());
        assert!(write(&folder.join("real/below/x.pid/y.pid"), Pid(18)).is_err());
        assert_eq!(read(&folder.join("real/below/x.pid")).unwrap(), Some(Pid(17)));
        fs::remove_dir_all(folder).unwrap();
    }
}
