//! Reading files for a script: below the root only, regular files only, and every one on record.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::recorded::{self, Input, InputKind, Recorded};

/// No file of a configuration is larger than this.
pub const MAX_FILE: u64 = 4 * 1024 * 1024;

/// A file that an evaluation read: with its like, what the plan depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRead {
    /// Its path, absolute.
    pub path: PathBuf,
    /// Its path as messages show it: the root as the user named it, and the rest.
    pub display: String,
    /// A hash of what it contained (FNV-1a, 64 bits): says whether a file changed, proves nothing.
    pub hash: u64,
    /// Its size in bytes.
    pub size: u64,
    /// What it contained, so that the same evaluation can be made again.
    pub content: Arc<[u8]>,
}

/// Why a file was not read, as a sentence that names it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// There is no such file.
    #[error("{0} does not exist")]
    Missing(String),
    /// It was not read when this evaluation was recorded.
    #[error("{0} is not in the record of this configuration's generation, which is evaluated again from its record")]
    NotRecorded(String),
    /// Refused, or failed.
    #[error("{0}")]
    Refused(String),
}

/// Reads files below a root and keeps record of them.
#[derive(Debug)]
pub struct Reader {
    root: PathBuf,
    display: PathBuf,
    files: Mutex<Vec<FileRead>>,
    /// All that was read while the configuration was evaluated.
    inputs: Mutex<Inputs>,
    /// Texts that stand in no file, by what messages call them.
    texts: Mutex<Vec<(String, Arc<[u8]>)>>,
}

/// The record of an evaluation: one that is made, or also one that is followed.
#[derive(Debug)]
struct Inputs {
    /// What was read so far.
    read: Vec<Input>,
    /// What is read instead of the disk.
    instead: Option<Arc<Recorded>>,
    /// Whether evaluation is over: what functions read at run time is the disk's, and nobody's record.
    over: bool,
}

impl Reader {
    pub(crate) fn new(root: PathBuf, display: PathBuf, instead: Option<Arc<Recorded>>) -> Self {
        let inputs = Mutex::new(Inputs { read: Vec::new(), instead, over: false });
        Reader { root, display, files: Mutex::default(), inputs, texts: Mutex::default() }
    }

    fn locked(&self) -> MutexGuard<'_, Inputs> {
        self.inputs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on nothing is recorded, and nothing is read from a record.
    pub(crate) fn end_of_evaluation(&self) {
        let mut inputs = self.locked();
        inputs.instead = None;
        inputs.over = true;
    }

    /// All that evaluation read.
    pub(crate) fn inputs(&self) -> Vec<Input> {
        self.locked().read.clone()
    }

    /// Reads something by way of the record: from the one that is followed, or by `read` (its place and its content). While
    /// the configuration is evaluated it is read once, however often it is asked for, so that it cannot change meanwhile.
    fn input(
        &self,
        kind: InputKind,
        name: &str,
        read: impl FnOnce() -> Result<(PathBuf, Vec<u8>), ReadError>,
    ) -> Result<Input, ReadError> {
        let inputs = self.locked();
        if let Some(input) = inputs.read.iter().find(|input| input.kind == kind && input.name == name && !inputs.over) {
            return Ok(input.clone());
        }
        let instead = inputs.instead.clone();
        drop(inputs);
        let input = match instead {
            Some(recorded) => match recorded.input(kind, name) {
                Some(input) => input.clone(),
                None => return Err(ReadError::NotRecorded(name.to_owned())),
            },
            None => {
                let (path, content) = read()?;
                Input { kind, name: name.to_owned(), path, content: content.into() }
            }
        };
        let mut inputs = self.locked();
        if !inputs.over {
            inputs.read.push(input.clone());
        }
        Ok(input)
    }

    /// Names that a folder or a pattern has; `found` looks for them.
    pub(crate) fn names<E: From<ReadError>>(
        &self,
        asked: &str,
        found: impl FnOnce() -> Result<Vec<String>, E>,
    ) -> Result<Vec<String>, E> {
        let mut failure = None;
        let input = self.input(InputKind::Names, asked, || match found() {
            Ok(names) => Ok((PathBuf::new(), recorded::join(&names))),
            Err(error) => {
                failure = Some(error);
                Err(ReadError::Missing(asked.to_owned()))
            }
        });
        match (input, failure) {
            (_, Some(error)) => Err(error),
            (Ok(input), None) => Ok(recorded::split(&input.content)),
            (Err(error), None) => Err(error.into()),
        }
    }

    /// A module that comes with Neap: `source` is this version's.
    pub(crate) fn module(&self, name: &str, source: Option<&str>) -> Option<Arc<[u8]>> {
        let read = || match source {
            Some(source) => Ok((PathBuf::new(), source.as_bytes().to_vec())),
            None => Err(ReadError::Missing(name.to_owned())),
        };
        self.input(InputKind::Module, name, read).ok().map(|input| input.content)
    }

    /// What a secret's file contains; `load` reads it. The error is `load`'s.
    pub(crate) fn secret(
        &self,
        path: &Path,
        load: impl FnOnce(&Path) -> Result<String, String>,
    ) -> Result<String, String> {
        let name = path.display().to_string();
        let read = || match load(path) {
            Ok(secret) => Ok((path.to_owned(), secret.into_bytes())),
            Err(why) => Err(ReadError::Refused(why)),
        };
        let input = self.input(InputKind::Secret, &name, read).map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(&input.content).into_owned())
    }

    /// How messages call a path below the root.
    pub fn display(&self, relative: &Path) -> String {
        self.display.join(relative).display().to_string()
    }

    /// Reads a file by its path relative to the root. Absolute paths, `..`, and links that lead out of the root are refused.
    pub fn read(&self, relative: &Path) -> Result<FileRead, ReadError> {
        let shown = self.display(relative);
        let plain = |c: Component<'_>| matches!(c, Component::Normal(_) | Component::CurDir);
        if !relative.components().all(plain) {
            return Err(ReadError::Refused(format!(
                "`{}` leads out of the configuration's folder; only files below {} can be read",
                relative.display(),
                self.display.display()
            )));
        }
        self.file(shown, |shown| self.find(relative, shown))
    }

    /// Finds a file below the root, and reads it.
    fn find(&self, relative: &Path, shown: &str) -> Result<(PathBuf, Vec<u8>), ReadError> {
        let real = self.root.join(relative).canonicalize().map_err(|e| describe(shown, &e))?;
        let root = self.root.canonicalize().map_err(|e| describe(&self.display.display().to_string(), &e))?;
        if !real.starts_with(&root) {
            return Err(ReadError::Refused(format!(
                "{shown} is a link to {}, outside the configuration's folder; put the file below {}",
                real.display(),
                self.display.display()
            )));
        }
        let content = open_and_read(&real, shown, Some(&root))?;
        Ok((real, content))
    }

    /// Reads the file that the user named: it may be a link to anywhere.
    pub(crate) fn read_entry(&self, path: &Path, shown: String) -> Result<FileRead, ReadError> {
        self.file(shown, |shown| {
            let real = path.canonicalize().map_err(|e| describe(shown, &e))?;
            let content = open_and_read(&real, shown, None)?;
            Ok((real, content))
        })
    }

    fn file(
        &self,
        shown: String,
        read: impl FnOnce(&str) -> Result<(PathBuf, Vec<u8>), ReadError>,
    ) -> Result<FileRead, ReadError> {
        let Input { path, content, .. } = self.input(InputKind::File, &shown, || read(&shown))?;
        let read = FileRead { path, display: shown, hash: fnv1a(&content), size: content.len() as u64, content };
        if !self.locked().over {
            self.record(read.clone());
        }
        Ok(read)
    }

    fn record(&self, read: FileRead) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if !files.contains(&read) {
            files.push(read);
        }
    }

    /// All that was read so far, in the order of reading.
    pub fn files(&self) -> Vec<FileRead> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The content of a file that was read, or of a text, by what messages call it.
    pub fn content(&self, display: &str) -> Option<Arc<[u8]>> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let read = files.iter().find(|f| f.display == display).map(|f| Arc::clone(&f.content));
        drop(files);
        read.or_else(|| {
            let texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
            texts.iter().find(|(name, _)| name == display).map(|(_, text)| Arc::clone(text))
        })
    }

    /// Notes a text that stands in no file, so that mistakes in it are told with their line.
    pub(crate) fn note_text(&self, name: &str, text: &str) {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        texts.push((name.to_owned(), text.as_bytes().into()));
    }
}

fn describe(shown: &str, error: &io::Error) -> ReadError {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT | Errno::ENOTDIR) => ReadError::Missing(shown.to_owned()),
        Some(Errno::ELOOP) => ReadError::Refused(format!("{shown} is a link that leads to itself")),
        _ => ReadError::Refused(format!("cannot read {shown}: {error}")),
    }
}

fn open_and_read(real: &Path, shown: &str, root: Option<&Path>) -> Result<Vec<u8>, ReadError> {
    // Non-blocking, so that a FIFO is refused rather than waited for. The last component was resolved: a link there now is somebody's race.
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(real).map_err(|e| describe(shown, &e))?;
    let before = file.metadata().map_err(|e| describe(shown, &e))?;
    if let Some(what) = unreadable_kind(&before) {
        return Err(ReadError::Refused(format!("{shown} is {what}, not a file")));
    }
    if before.len() > MAX_FILE {
        return Err(ReadError::Refused(format!(
            "{shown} is {} bytes long; a file of a configuration may have {MAX_FILE} at most",
            before.len()
        )));
    }
    check_owner(&before, real, shown)?;
    // A parent may have been replaced by a link since the path was resolved: ask where the open file is.
    if let Some(root) = root
        && let Ok(opened) = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
        && !opened.starts_with(root)
        && before.nlink() > 0
    {
        return Err(ReadError::Refused(format!(
            "{shown} was moved out of the configuration's folder while it was opened"
        )));
    }
    let content = read_all(&file, shown)?;
    let after = file.metadata().map_err(|e| describe(shown, &e))?;
    let stamp = |m: &Metadata| (m.len(), m.mtime(), m.mtime_nsec());
    if stamp(&before) != stamp(&after) || content.len() as u64 != after.len() {
        return Err(ReadError::Refused(format!("{shown} changed while it was read; try again once it is written")));
    }
    Ok(content)
}

fn read_all(file: &File, shown: &str) -> Result<Vec<u8>, ReadError> {
    let mut content = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut content).map_err(|e| describe(shown, &e))?;
    Ok(content)
}

fn unreadable_kind(metadata: &Metadata) -> Option<&'static str> {
    let kind = metadata.file_type();
    if kind.is_file() {
        None
    } else if kind.is_dir() {
        Some("a folder")
    } else if kind.is_fifo() {
        Some("a FIFO")
    } else if kind.is_socket() {
        Some("a socket")
    } else {
        Some("a device")
    }
}

/// What anybody may write must not decide what root runs.
fn check_owner(metadata: &Metadata, real: &Path, shown: &str) -> Result<(), ReadError> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    if metadata.mode() & 0o002 != 0 {
        return Err(ReadError::Refused(format!(
            "{shown} may be written by anybody (mode {:04o}), and root would run what it says; take that away: chmod o-w {shown}",
            metadata.mode() & 0o7777
        )));
    }
    let Some(folder) = real.parent() else { return Ok(()) };
    let above = folder.metadata().map_err(|e| describe(shown, &e))?;
    if above.mode() & 0o002 != 0 && above.mode() & 0o1000 == 0 {
        return Err(ReadError::Refused(format!(
            "{shown} stands in a folder that anybody may write to (mode {:04o}), and root would run what it says; \
             take that away: chmod o-w {}",
            above.mode() & 0o7777,
            folder.display()
        )));
    }
    Ok(())
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
