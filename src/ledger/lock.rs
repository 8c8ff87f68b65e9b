//! One instance a state folder: whoever holds the lock on this file.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::file::{self, OpenFor};

/// Who holds a lock, as it says of itself. Only told to people: the lock itself is the kernel's, and ends with its holder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The process that holds it.
    pub pid: u32,
    /// The configuration it runs.
    pub config: String,
    /// Since when, in seconds since 1970.
    pub started_at: u64,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}, which runs {}", self.pid, self.config)
    }
}

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody has it.
    #[error(
        "another instance has the state folder {}: {}; talk to that one, or stop it first (neap down)",
        path.parent().unwrap_or(path).display(),
        by.as_ref().map_or_else(|| "it has not said which process it is".to_owned(), Owner::to_string)
    )]
    Held {
        /// The lock's file.
        path: PathBuf,
        /// Who; `None` when that cannot be read.
        by: Option<Owner>,
    },
    /// It could not be tried.
    #[error("cannot lock {}: {source}", path.display())]
    Failed {
        /// The lock's file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The lock. It belongs to the open file, not to a process: it is held until every descriptor of it is closed, so that
/// whoever keeps a duplicate (the anchor) keeps it over the death of who took it.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Takes it, and writes down who has it.
    pub fn take(path: &Path, owner: &Owner) -> Result<Lock, LockError> {
        let failed = |source| LockError::Failed { path: path.to_owned(), source };
        loop {
            let file = file::open(path, OpenFor::Lock).map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(LockError::Held { path: path.to_owned(), by: read(&file) });
                }
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
            // Of a file that was removed or replaced meanwhile everybody could have a lock.
            if is_at(&file, path).map_err(failed)? {
                let lock = Lock { file };
                lock.say(owner).map_err(failed)?;
                return Ok(lock);
            }
        }
    }

    /// The lock that this descriptor, which somebody kept for us, holds.
    pub fn inherited(fd: OwnedFd) -> io::Result<Lock> {
        let file = File::from(fd);
        match file.try_lock() {
            Ok(()) => Ok(Lock { file }),
            Err(TryLockError::WouldBlock) => {
                Err(io::Error::new(io::ErrorKind::WouldBlock, "another instance took the lock meanwhile"))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Writes down who has it.
    pub fn say(&self, owner: &Owner) -> io::Result<()> {
        let mut text = serde_json::to_vec(owner)?;
        text.push(b'\n');
        let mut file = &self.file;
        file.seek(SeekFrom::Start(0))?;
        file.set_len(0)?;
        file.write_all(&text)
    }

    /// Who has it, as was written down.
    pub fn owner(&self) -> Option<Owner> {
        read(&self.file)
    }
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn read(mut file: &File) -> Option<Owner> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).ok()?;
    file.take(64 << 10).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match path.symlink_metadata() {
        Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}
