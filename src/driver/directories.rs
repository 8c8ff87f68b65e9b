//! The directories that are made for processes: runtime, state, cache and logs (systemd.exec(5)).
//!
//! What lies below a process's directory may be its user's, who could have put anything there: no link is followed, and
//! everything is done to what was opened, never to a path that was looked at before.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, mkdirat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, fchownat, geteuid, unlinkat};

use super::engine::Engine;
use super::prepare::RuntimeDir;
use crate::core::{Input, ProcessId, SpawnError, SpawnStep, StateName};
use crate::lock::lock;
use crate::spec::{Directory, Spec};
use crate::supervisor::Message;

/// How many folders may lie in one another when a tree is given to another user: each takes a descriptor of ours.
const DEEPEST: usize = 100;
/// How often a folder that is being removed is looked through, should somebody go on filling it.
const MOST_LOOKS: usize = 10_000;

/// What a directory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DirectoryKind {
    /// Sockets, pid files: removed when the process is down.
    Runtime,
    /// What is to be kept.
    State,
    /// What can be made again.
    Cache,
    /// Logs.
    Logs,
}

impl DirectoryKind {
    const ALL: [DirectoryKind; 4] =
        [DirectoryKind::Runtime, DirectoryKind::State, DirectoryKind::Cache, DirectoryKind::Logs];

    /// The variable that the process finds its directories by.
    fn variable(self) -> &'static str {
        match self {
            DirectoryKind::Runtime => "RUNTIME_DIRECTORY",
            DirectoryKind::State => "STATE_DIRECTORY",
            DirectoryKind::Cache => "CACHE_DIRECTORY",
            DirectoryKind::Logs => "LOGS_DIRECTORY",
        }
    }

    /// The word for it in messages, which with `_directory` is the key.
    fn word(self) -> &'static str {
        match self {
            DirectoryKind::Runtime => "runtime",
            DirectoryKind::State => "state",
            DirectoryKind::Cache => "cache",
            DirectoryKind::Logs => "logs",
        }
    }

    fn of(self, spec: &Spec) -> &[Directory] {
        match self {
            DirectoryKind::Runtime => &spec.runtime_directory,
            DirectoryKind::State => &spec.state_directory,
            DirectoryKind::Cache => &spec.cache_directory,
            DirectoryKind::Logs => &spec.logs_directory,
        }
    }
}

/// Whether nothing has to be made for this spec.
pub(crate) fn none(spec: &Spec) -> bool {
    DirectoryKind::ALL.into_iter().all(|kind| kind.of(spec).is_empty())
}

/// Where directories that outlive their process are made; `None` is a place that the program did not give.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bases {
    /// Of state directories.
    pub state: Option<PathBuf>,
    /// Of cache directories.
    pub cache: Option<PathBuf>,
    /// Of logs directories.
    pub logs: Option<PathBuf>,
}

/// The directories of all processes.
#[derive(Debug)]
pub(crate) struct Directories {
    runtime: RuntimeDir,
    bases: Bases,
    /// Which runtime directories are in use, and which are to be removed. Never held over file work.
    uses: Mutex<Uses>,
    /// Held over the making and removing of runtime directories: a removal that began is over before they are made anew.
    work: Mutex<()>,
}

#[derive(Debug, Default)]
struct Uses {
    /// Those of processes that are up, or about to be.
    wanted: BTreeMap<ProcessId, Vec<String>>,
    /// Those of processes that are down.
    left: BTreeSet<String>,
}

impl Directories {
    /// Makes nothing yet.
    pub fn new(runtime: RuntimeDir, bases: Bases) -> Self {
        Directories { runtime, bases, uses: Mutex::default(), work: Mutex::default() }
    }

    /// Where runtime directories and notify sockets are.
    pub fn runtime(&self) -> &RuntimeDir {
        &self.runtime
    }

    /// The directories of this spec as variables.
    pub fn variables(&self, spec: &Spec) -> Result<Vec<(&'static str, OsString)>, SpawnError> {
        let mut variables = Vec::new();
        for kind in DirectoryKind::ALL.into_iter().filter(|kind| !kind.of(spec).is_empty()) {
            let base = self.base(kind)?;
            let mut list = OsString::new();
            for directory in kind.of(spec) {
                if !list.is_empty() {
                    list.push(":");
                }
                list.push(base.join(&directory.path));
            }
            variables.push((kind.variable(), list));
        }
        Ok(variables)
    }

    /// Makes the directories of this spec, and gives them to this user and group; to ours unless given.
    pub fn make(&self, spec: &Spec, owner: Option<(u32, u32)>) -> Result<(), SpawnError> {
        let owner = owner.unwrap_or_else(|| (geteuid().as_raw(), nix::unistd::getegid().as_raw()));
        for kind in DirectoryKind::ALL.into_iter().filter(|kind| !kind.of(spec).is_empty()) {
            let base = self.base(kind)?;
            let _working = (kind == DirectoryKind::Runtime).then(|| lock(&self.work));
            let ready = match kind {
                DirectoryKind::Runtime => self.runtime.make().map(drop),
                _ => make_base(base),
            };
            ready.map_err(|error| failed(kind, base, &error))?;
            for directory in kind.of(spec) {
                make(base, directory, owner).map_err(|error| failed(kind, &base.join(&directory.path), &error))?;
            }
        }
        Ok(())
    }

    fn base(&self, kind: DirectoryKind) -> Result<&Path, SpawnError> {
        let base = match kind {
            DirectoryKind::Runtime => return Ok(self.runtime.path()),
            DirectoryKind::State => &self.bases.state,
            DirectoryKind::Cache => &self.bases.cache,
            DirectoryKind::Logs => &self.bases.logs,
        };
        base.as_deref().ok_or_else(|| SpawnError {
            step: SpawnStep::Directory,
            errno: None,
            message: format!(
                "there is no place for {word} directories: neither HOME nor the XDG variable for it is set, or the \
                 program's builder was given none (`{word}_directories`)",
                word = kind.word()
            ),
        })
    }

    /// The process is about to be started with these runtime directories. Whether others are to be removed now.
    fn want(&self, process: ProcessId, spec: &Spec) -> bool {
        let names: Vec<String> = spec.runtime_directory.iter().map(|directory| directory.path.clone()).collect();
        let mut uses = lock(&self.uses);
        let before = if names.is_empty() { uses.wanted.remove(&process) } else { uses.wanted.insert(process, names) };
        uses.left.extend(before.into_iter().flatten());
        uses.forget_wanted()
    }

    /// The process is down. Whether there is something to be removed now.
    fn unwant(&self, process: ProcessId) -> bool {
        let mut uses = lock(&self.uses);
        let Some(names) = uses.wanted.remove(&process) else { return false };
        uses.left.extend(names);
        uses.forget_wanted()
    }

    fn is_wanted(&self, process: ProcessId) -> bool {
        lock(&self.uses).wanted.contains_key(&process)
    }

    /// Removes the runtime directories of processes that are down. The answer is what went wrong.
    pub fn remove_left(&self) -> Vec<String> {
        let _working = lock(&self.work);
        let mut wrong = Vec::new();
        loop {
            // Looked at again for each: somebody may have been started meanwhile.
            let mut uses = lock(&self.uses);
            uses.forget_wanted();
            let Some(name) = uses.left.pop_first() else { return wrong };
            drop(uses);
            if let Err(error) = remove(self.runtime.path(), Path::new(&name)) {
                let path = self.runtime.path().join(&name);
                wrong.push(format!("cannot remove the runtime directory `{}`: {error}", path.display()));
            }
        }
    }
}

impl Uses {
    /// What somebody wants, or has something below, is not removed. Whether there is something left to be.
    fn forget_wanted(&mut self) -> bool {
        let wanted = &self.wanted;
        self.left.retain(|name| !wanted.values().flatten().any(|wanted| Path::new(wanted).starts_with(name)));
        !self.left.is_empty()
    }
}

impl Engine {
    /// A process is about to be prepared for: its runtime directories are its own from now on.
    pub(super) fn want_directories(&mut self, process: ProcessId, spec: &Spec) {
        if self.surroundings.directories.want(process, spec) {
            self.remove_directories();
        }
    }

    /// Has the runtime directories of a process removed if it is down, and nothing of it runs.
    pub(super) fn tidy_directories(&mut self, process: ProcessId) {
        if !self.surroundings.directories.is_wanted(process) {
            return;
        }
        let is_down = self.machine.status(process).is_none_or(|status| rests(status.state))
            && self.places.get(&process).is_none_or(|place| place.run.is_none());
        if is_down && self.surroundings.directories.unwant(process) {
            self.remove_directories();
        }
    }

    /// What a predecessor made is ours now: to be kept for what runs, and removed where it was not able to.
    pub(super) fn inherit_directories(&mut self) {
        for process in self.machine.processes() {
            if let Some(spec) = self.machine.spec(process).filter(|spec| !spec.runtime_directory.is_empty()) {
                self.surroundings.directories.want(process, &spec);
                self.tidy_directories(process);
            }
        }
    }

    fn remove_directories(&mut self) {
        let (shared, surroundings) = (self.shared.clone(), self.surroundings.clone());
        let job = move || {
            for warning in surroundings.directories.remove_left() {
                let _ = shared.mailbox.post(Message::Input(Input::Warning(None, warning)));
            }
        };
        // Without a thread it is done with the next one, or in the end.
        let _ = self.pool.run(job);
    }
}

fn rests(state: StateName) -> bool {
    use StateName::{Crashed, Created, Exited, Failed, Stopped};
    matches!(state, Created | Stopped | Exited | Failed | Crashed)
}

/// Makes the folder that others are made in, where it is missing.
fn make_base(base: &Path) -> io::Result<()> {
    // Where we are root, others have to pass.
    let mode = if geteuid().is_root() { 0o755 } else { 0o700 };
    fs::DirBuilder::new().recursive(true).mode(mode).create(base)
}

/// Makes one below `base`, with its parents, for its owner.
fn make(base: &Path, directory: &Directory, owner: (u32, u32)) -> io::Result<()> {
    let mut folder = open_base(base)?;
    let mut parts = parts(Path::new(&directory.path))?.into_iter().peekable();
    // Whether it lies where somebody else may move things to.
    let mut exposed = false;
    while let Some(part) = parts.next() {
        let is_new = match mkdirat(&folder, part, Mode::S_IRWXU) {
            Ok(()) => true,
            Err(Errno::EEXIST) => false,
            Err(error) => return Err(error.into()),
        };
        folder = open_part(folder.as_fd(), part)?;
        if parts.peek().is_some() {
            if is_new {
                fchmod(&folder, Mode::from_bits_truncate(0o755))?;
            }
            let above = fstat(&folder)?;
            exposed |= ![0, geteuid().as_raw()].contains(&above.st_uid) || above.st_mode & 0o022 != 0;
        }
    }
    let found = fstat(&folder)?;
    if (found.st_uid, found.st_gid) != owner {
        if exposed && found.st_uid != owner.0 && !entries(folder.as_fd())?.is_empty() {
            let message = format!(
                "it belongs to user {}, and lies in a folder to which others may have moved it; give it to user {} by hand",
                found.st_uid, owner.0
            );
            return Err(io::Error::other(message));
        }
        hand_over(folder.as_fd(), &found, owner, 0)?;
        give(&folder, owner)?;
    }
    // The umask has no say, and nobody gets in before it is theirs.
    Ok(fchmod(&folder, Mode::from_bits_truncate(directory.mode))?)
}

/// Gives what is in a folder, and was its former owner's, to another. What others put there stays theirs.
fn hand_over(folder: BorrowedFd<'_>, top: &FileStat, owner: (u32, u32), depth: usize) -> io::Result<()> {
    if depth > DEEPEST {
        let message = format!("folders lie in one another more than {DEEPEST} deep; give it to its new user by hand");
        return Err(io::Error::other(message));
    }
    for name in entries(folder)? {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let item = match openat(folder, name.as_os_str(), flags, Mode::empty()) {
            Err(Errno::ENOENT) => continue,
            item => item?,
        };
        let stat = fstat(&item)?;
        // Another file system is another's business.
        if is_folder(&stat) && stat.st_dev == top.st_dev {
            let inside = openat(&item, ".", OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
            hand_over(inside.as_fd(), top, owner, depth + 1)?;
        }
        if stat.st_uid == top.st_uid {
            let (uid, gid) = (Some(Uid::from_raw(owner.0)), Some(Gid::from_raw(owner.1)));
            fchownat(&item, "", uid, gid, AtFlags::AT_EMPTY_PATH)?;
        }
    }
    Ok(())
}

fn give(folder: &OwnedFd, (uid, gid): (u32, u32)) -> io::Result<()> {
    Ok(fchown(folder, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?)
}

/// Removes a folder below `base` with all that is in it, however deep; its parents stay.
///
/// What lies deeper is moved up and removed there, so that neither our stack nor our descriptors depend on how deep a
/// process could make it.
fn remove(base: &Path, name: &Path) -> io::Result<()> {
    let parts = parts(name)?;
    let Some((last, above)) = parts.split_last() else { return Ok(()) };
    let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let mut parent = match open_base(base) {
        Err(error) if gone(&error) => return Ok(()),
        parent => parent?,
    };
    for part in above {
        parent = match open_part(parent.as_fd(), part) {
            Err(error) if gone(&error) => return Ok(()),
            folder => folder?,
        };
    }
    let folder = match open_part(parent.as_fd(), last) {
        Err(error) if gone(&error) => return Ok(()),
        folder => folder?,
    };
    let mut moved = 0_u64;
    for _ in 0..MOST_LOOKS {
        let names = entries(folder.as_fd())?;
        for name in &names {
            if !remove_entry(folder.as_fd(), name)? {
                lift(folder.as_fd(), name, &mut moved)?;
            }
        }
        match unlinkat(&parent, *last, UnlinkatFlags::RemoveDir) {
            Err(Errno::ENOTEMPTY | Errno::EEXIST) => {}
            Err(Errno::ENOENT) => return Ok(()),
            removed => return Ok(removed?),
        }
    }
    Err(io::Error::other("it does not become empty; somebody goes on putting things there"))
}

/// Removes a file, a link or an empty folder. Whether it is gone: else it is a folder with something in it.
fn remove_entry(folder: BorrowedFd<'_>, name: &OsStr) -> io::Result<bool> {
    match unlinkat(folder, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => return Ok(true),
        Err(Errno::EISDIR | Errno::EPERM) => {}
        Err(error) => return Err(error.into()),
    }
    match unlinkat(folder, name, UnlinkatFlags::RemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(true),
        Err(Errno::ENOTEMPTY | Errno::EEXIST) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Removes what is in a folder within `folder`, and moves further folders up into it, under names of their own.
fn lift(folder: BorrowedFd<'_>, name: &OsStr, moved: &mut u64) -> io::Result<()> {
    let inner = match open_part(folder, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        inner => inner?,
    };
    for name in entries(inner.as_fd())? {
        if remove_entry(inner.as_fd(), &name)? {
            continue;
        }
        loop {
            *moved += 1;
            match renameat(inner.as_fd(), name.as_os_str(), folder, format!(".{moved}").as_str()) {
                Ok(()) | Err(Errno::ENOENT) => break,
                // Somebody has this name.
                Err(Errno::ENOTEMPTY | Errno::EEXIST | Errno::ENOTDIR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// The names in a folder.
fn entries(folder: BorrowedFd<'_>) -> io::Result<Vec<OsString>> {
    fs::read_dir(format!("/proc/self/fd/{}", folder.as_raw_fd()))?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect()
}

/// The parts of a plain name below a folder.
fn parts(name: &Path) -> io::Result<Vec<&OsStr>> {
    name.components()
        .filter(|part| *part != Component::CurDir)
        .map(|part| match part {
            Component::Normal(part) => Ok(part),
            _ => Err(io::Error::other("it must be the plain name of a folder, without `..`")),
        })
        .collect()
}

/// The place itself is the user's or ours: a link there is theirs to make.
fn open_base(base: &Path) -> io::Result<OwnedFd> {
    Ok(openat(AT_FDCWD, base, OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?)
}

fn open_part(folder: BorrowedFd<'_>, part: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
    openat(folder, part, flags, Mode::empty()).map_err(|error| {
        let found = fstatat(folder, part, AtFlags::AT_SYMLINK_NOFOLLOW);
        match found {
            Ok(stat) if SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFLNK => {
                io::Error::other(format!("`{}` is a symbolic link, and none is followed there", part.display()))
            }
            Ok(stat) if !is_folder(&stat) => io::Error::other(format!("`{}` is no folder", part.display())),
            _ => error.into(),
        }
    })
}

fn is_folder(stat: &FileStat) -> bool {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR
}

fn failed(kind: DirectoryKind, path: &Path, error: &io::Error) -> SpawnError {
    SpawnError {
        step: SpawnStep::Directory,
        errno: error.raw_os_error(),
        message: format!("cannot make the {} directory `{}`: {error}", kind.word(), path.display()),
    }
}
