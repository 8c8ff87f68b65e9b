//! Pid files: written for others, read from daemons. File work, for the pool's threads.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nix::fcntl::OFlag;

use crate::core::Pid;

/// No pid file is longer.
const MAX_LENGTH: u64 = 64;

/// A pid file that is kept as it should be: jobs on two threads may come in either order, so each looks at what is wanted now.
#[derive(Clone, Debug)]
pub(super) struct PidFile {
    path: Arc<PathBuf>,
    wanted: Arc<Mutex<Option<Pid>>>,
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
        std::mem::replace(&mut *self.lock(), pid)
    }

    /// Makes it so.
    pub fn sync(&self) {
        // Held over the writing: else the older of two jobs could write last.
        let wanted = self.lock();
        // There is nobody to tell: the process runs, and a missing file is seen by whoever needs it.
        let _ = match *wanted {
            Some(pid) => write(&self.path, pid),
            None => fs::remove_file(&*self.path),
        };
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Pid>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Written beside it and moved into place, so that nobody reads half a number.
fn write(path: &Path, pid: Pid) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let _ = fs::remove_file(&name);
    // Made anew, so that no link is followed.
    File::create_new(&name)?.write_all(format!("{pid}\n").as_bytes())?;
    fs::rename(&name, path)
}

/// The pid in a file that a daemon wrote; `None` when there is no file yet, or no pid in it yet.
///
/// The daemon may be somebody else's, and so the file: a pipe is not waited for, and of an endless one little is read.
pub(super) fn read(path: &Path) -> io::Result<Option<Pid>> {
    let mut text = Vec::new();
    let opened = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits() | OFlag::O_NOCTTY.bits()).open(path);
    match opened.and_then(|file| file.take(MAX_LENGTH).read_to_end(&mut text)) {
        Ok(_) => Ok(std::str::from_utf8(&text).ok().and_then(|t| t.trim().parse().ok()).filter(|p| *p > 0).map(Pid)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use nix::sys::stat::Mode;

    use super::{read, write};
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
}
