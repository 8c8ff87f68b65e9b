//! Files of the state folder: written rarely, whole or not at all, and flushed to the disk.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::file::{self, OpenFor};

/// Why something of the state folder could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It could not be written; what was there before is there still.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A newer version wrote it; it is left alone.
    #[error(
        "{} has format {version}, and this version of neap reads up to {known}; use the version that wrote it, or move \
         the file away", path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The format found.
        version: u32,
        /// The newest that is read.
        known: u32,
    },
    /// It is not what was written.
    #[error("{} is damaged ({why}){}", path.display(),
        aside.as_ref().map(|aside| format!("; it was moved to {}", aside.display())).unwrap_or_default())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
        /// Where it is now, if it could be moved.
        aside: Option<PathBuf>,
    },
}

/// Makes a folder for secrets, unless it is there.
pub(super) fn make_folder(path: &Path) -> Result<(), StateError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| StateError::Write { path: path.to_owned(), source })
}

/// Writes a file, mode 0600: whole or not at all, whatever happens meanwhile.
pub(super) fn write(path: &Path, parts: &[&[u8]]) -> Result<(), StateError> {
    let new = file::beside(path, ".new");
    let written = (|| {
        remove_if_there(&new)?;
        let mut file = file::open(&new, OpenFor::New)?;
        for part in parts {
            file.write_all(part)?;
        }
        file.sync_all()?;
        fs::rename(&new, path)?;
        sync_folder_of(path)
    })();
    written.map_err(|source| {
        // Only in the way.
        let _ = fs::remove_file(&new);
        StateError::Write { path: path.to_owned(), source }
    })
}

/// Removes a file; one that is not there is as good as removed.
pub(super) fn remove(path: &Path) -> Result<(), StateError> {
    let removed = remove_if_there(path).and_then(|()| sync_folder_of(path));
    removed.map_err(|source| StateError::Write { path: path.to_owned(), source })
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// What was renamed or removed in it stays so.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(path))?.sync_all()
}

/// What a file contains; `None` when there is none.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, StateError> {
    let mut bytes = Vec::new();
    match file::open(path, OpenFor::Reading).and_then(|mut file| file.read_to_end(&mut bytes)) {
        Ok(_) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StateError::Read { path: path.to_owned(), source }),
    }
}

/// The names of a folder's files that end in this, without it, sorted.
pub(super) fn names(folder: &Path, suffix: &str) -> Result<Vec<String>, StateError> {
    let unreadable = |source| StateError::Read { path: folder.to_owned(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        if let Some(name) = name.to_str().and_then(|name| name.strip_suffix(suffix)) {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Says that a file is damaged, once it is out of the way.
pub(super) fn damaged(path: &Path, why: impl ToString) -> StateError {
    StateError::Damaged { path: path.to_owned(), why: why.to_string(), aside: file::move_aside(path, "damaged").ok() }
}
