//! Pid files: written for others, read from daemons. File work, for the pool's threads.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::core::Pid;

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
pub(super) fn read(path: &Path) -> io::Result<Option<Pid>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.trim().parse().ok().filter(|pid| *pid > 0).map(Pid)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
