//! Listeners that have a path: whose file it is, its owner and mode, and its removal.
//!
//! A folder on the way may be one that a stranger may write to: it is opened, no link of theirs is followed, and what is
//! done is done to what was opened, or to a name in that folder.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use nix::sys::stat::{Mode, fchmod, fstat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, geteuid, mkfifoat, unlinkat};

use super::holder;
use crate::driver::sys::fault::{self, Call};
use crate::driver::{pidfile, sys};

/// The mode of folders that are made for a path, as systemd has it (DirectoryMode=).
const FOLDER_MODE: Mode = Mode::from_bits_truncate(0o755);

/// What was about to be done when it failed.
const DRESSING: &str = "cannot give it its owner and mode";

/// Which file it is, whatever its name becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub fn of(metadata: &Metadata) -> FileId {
        FileId { device: metadata.dev(), inode: metadata.ino() }
    }

    /// The file that has this path, if one does.
    pub fn at(path: &Path) -> Option<FileId> {
        Spot::find(path).and_then(|spot| spot.look()).ok().map(|(_, metadata)| FileId::of(&metadata))
    }
}

/// A file that a listener has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OwnFile {
    pub path: PathBuf,
    pub id: FileId,
    /// Whether it was made for the listener; else it stays.
    pub made: bool,
}

impl OwnFile {
    /// Whether the path is still this file's.
    pub fn is_there(&self) -> bool {
        FileId::at(&self.path) == Some(self.id)
    }

    /// Removes it, unless the path is somebody else's by now.
    pub fn remove(&self) {
        if self.made
            && let Ok(spot) = Spot::find(&self.path)
        {
            spot.remove(self.id);
        }
    }
}

/// A name in a folder that is open: nobody can lead it elsewhere.
pub(super) struct Spot {
    folder: OwnedFd,
    name: OsString,
}

impl Spot {
    fn find(path: &Path) -> io::Result<Spot> {
        let (folder, name) = pidfile::folder_of(path)?;
        Ok(Spot { folder, name })
    }

    /// With folders that are missing made.
    fn make(path: &Path) -> Result<Spot, NoPath> {
        match pidfile::folder_made(path, FOLDER_MODE) {
            Ok((folder, name)) => Ok(Spot { folder, name }),
            Err(error) => Err(NoPath::Failed("cannot make its folder", error)),
        }
    }

    /// The file that is there, opened for nothing but this, and what it is.
    fn look(&self) -> io::Result<(File, Metadata)> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = File::from(openat(&self.folder, self.name.as_os_str(), flags, Mode::empty())?);
        let metadata = file.metadata()?;
        Ok((file, metadata))
    }

    /// Removes this file, unless the name is another's by now.
    fn remove(&self, id: FileId) {
        if self.look().is_ok_and(|(_, metadata)| FileId::of(&metadata) == id) {
            let _ = self.unlink();
        }
    }

    fn unlink(&self) -> io::Result<()> {
        match unlinkat(&self.folder, self.name.as_os_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives a socket that was just bound here its owner and mode; if that fails it is removed, and in nobody's way.
    pub fn dress_new(&self, path: &Path, fd: BorrowedFd<'_>, dress: Dress) -> Result<OwnFile, NoPath> {
        let (file, metadata) = self.look().map_err(|error| NoPath::Failed(DRESSING, error))?;
        // The kernel was told the path: a folder on the way may have been replaced just then.
        if !is_file_of(fd, &metadata).unwrap_or_else(|| is_unfinished(&metadata)) {
            return Err(replaced());
        }
        dress_socket(&file, &metadata, dress).map_err(|error| {
            self.remove(FileId::of(&metadata));
            NoPath::Failed(DRESSING, error)
        })?;
        Ok(OwnFile { path: path.to_owned(), id: FileId::of(&metadata), made: true })
    }
}

/// Why a path cannot be had.
#[derive(Debug)]
pub(super) enum NoPath {
    /// Somebody listens there.
    InUse,
    /// It is something else than a socket or FIFO.
    NotOurs(&'static str),
    /// It is a FIFO of this user's.
    Strangers(u32),
    /// A call failed.
    Failed(&'static str, io::Error),
}

fn replaced() -> NoPath {
    NoPath::Failed(DRESSING, io::Error::other("another file has taken its place"))
}

/// Whom a path is to belong to, and what it allows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dress {
    pub mode: u32,
    pub owner: Option<(u32, u32)>,
}

/// Makes room for a socket of this type: folders that are missing are made, and a socket that nobody listens at is removed.
pub(super) fn make_room(path: &Path, kind: SockType) -> Result<Spot, NoPath> {
    let spot = Spot::make(path)?;
    let (file, metadata) = match spot.look() {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(spot),
        Err(error) => return Err(NoPath::Failed("cannot look at it", error)),
    };
    if !metadata.file_type().is_socket() {
        return Err(NoPath::NotOurs("socket"));
    }
    match is_live(&file, &metadata, kind) {
        Ok(true) => Err(NoPath::InUse),
        Ok(false) => match spot.unlink() {
            Ok(()) => Ok(spot),
            Err(error) => Err(NoPath::Failed("cannot remove the socket that a program before left there", error)),
        },
        Err(error) => {
            Err(NoPath::Failed("cannot find out whether somebody listens at the socket that is there", error))
        }
    }
}

/// Whether somebody listens at a socket's file.
fn is_live(file: &File, metadata: &Metadata, kind: SockType) -> io::Result<bool> {
    let fd = socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
    match connect(fd.as_raw_fd(), &UnixAddr::new(&*through(file))?) {
        Err(Errno::ECONNREFUSED | Errno::ENOENT) => Ok(false),
        // Nobody was ever let in: its supervisor died, or failed, before it listened.
        Err(Errno::EACCES) if is_unfinished(metadata) => Ok(false),
        // Of another type, or with a full queue.
        Ok(()) | Err(Errno::EPROTOTYPE | Errno::EAGAIN) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// A path that is this very file's, for calls that take no descriptor.
fn through(file: &impl AsRawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Whether it is as we make them: ours, and open to nobody. What has its mode is finished.
fn is_unfinished(metadata: &Metadata) -> bool {
    metadata.uid() == geteuid().as_raw() && metadata.mode() & 0o7777 == 0
}

/// Whether a socket was bound to this file; `None` where we may not ask.
fn is_file_of(fd: BorrowedFd<'_>, metadata: &Metadata) -> Option<bool> {
    let bound = sys::bound_file(fd).and_then(|file| File::from(file).metadata()).ok()?;
    Some(FileId::of(&bound) == FileId::of(metadata))
}

/// Whether the file at this path is the one that a socket of an earlier supervisor was bound to.
pub(super) fn is_bound_to(path: &Path, fd: BorrowedFd<'_>, owner: Option<(u32, u32)>) -> bool {
    Spot::find(path).and_then(|spot| spot.look()).is_ok_and(|(_, metadata)| is_still_of(path, fd, &metadata, owner))
}

fn is_still_of(path: &Path, fd: BorrowedFd<'_>, metadata: &Metadata, owner: Option<(u32, u32)>) -> bool {
    is_file_of(fd, metadata).unwrap_or_else(|| {
        // The kernel's table has paths and no files: it must be the only one that was bound here, and the file ours.
        let is_ours = metadata.uid() == geteuid().as_raw() || owner.is_some_and(|(uid, _)| uid == metadata.uid());
        let inode = fstat(fd).map(|stat| stat.st_ino);
        is_ours && holder::unix(&path.to_string_lossy()).into_iter().map(Ok).eq([inode])
    })
}

/// Gives the path of a socket that is bound already its owner and mode, if it is still the socket's: the file that is
/// `known`, or else what can be found out.
pub(super) fn dress_bound(
    path: &Path,
    fd: BorrowedFd<'_>,
    known: Option<FileId>,
    dress: Dress,
) -> Result<OwnFile, NoPath> {
    let failed = |error: io::Error| NoPath::Failed(DRESSING, error);
    let (file, metadata) = Spot::find(path).and_then(|spot| spot.look()).map_err(failed)?;
    let id = FileId::of(&metadata);
    if !known.map_or_else(|| is_still_of(path, fd, &metadata, dress.owner), |known| known == id) {
        return Err(replaced());
    }
    dress_socket(&file, &metadata, dress).map_err(failed)?;
    Ok(OwnFile { path: path.to_owned(), id, made: true })
}

fn dress_socket(file: &File, metadata: &Metadata, dress: Dress) -> io::Result<()> {
    fault::point(Call::Dress)?;
    give(file, metadata, dress.owner)?;
    if metadata.mode() & 0o7777 != dress.mode {
        fs::set_permissions(through(file), Permissions::from_mode(dress.mode))?;
    }
    Ok(())
}

fn give(file: &impl AsFd, metadata: &Metadata, owner: Option<(u32, u32)>) -> io::Result<()> {
    let Some((uid, gid)) = owner.filter(|owner| *owner != (metadata.uid(), metadata.gid())) else { return Ok(()) };
    fchownat(file, "", Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), AtFlags::AT_EMPTY_PATH)?;
    Ok(())
}

/// Opens the FIFO at this path, made unless it is there. It has a reader and a writer from then on, ourselves: no client
/// waits, and none sees its end. One that was there before is used as it is, and stays.
pub(super) fn open_fifo(path: &Path, dress: Dress) -> Result<(OwnedFd, OwnFile), NoPath> {
    let spot = Spot::make(path)?;
    match mkfifoat(&spot.folder, spot.name.as_os_str(), Mode::empty()) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(error) => return Err(NoPath::Failed("cannot make the FIFO", error.into())),
    }
    let (file, metadata) = spot.look().map_err(|error| NoPath::Failed("cannot look at it", error))?;
    if !metadata.file_type().is_fifo() {
        return Err(NoPath::NotOurs("FIFO"));
    }
    let own = OwnFile { path: path.to_owned(), id: FileId::of(&metadata), made: is_unfinished(&metadata) };
    if own.made {
        let fd = finish_fifo(&file, &metadata, dress).inspect_err(|_| spot.remove(own.id))?;
        return Ok((fd, own));
    }
    if metadata.uid() != geteuid().as_raw() && dress.owner.is_none_or(|(uid, _)| uid != metadata.uid()) {
        return Err(NoPath::Strangers(metadata.uid()));
    }
    Ok((open_rw(&file).map_err(|error| NoPath::Failed("cannot open the FIFO", error))?, own))
}

/// Opens a FIFO that was just made, and gives it its owner and mode.
fn finish_fifo(file: &File, metadata: &Metadata, dress: Dress) -> Result<OwnedFd, NoPath> {
    let open = || {
        fs::set_permissions(through(file), Permissions::from_mode(0o600))?;
        open_rw(file)
    };
    let fd = open().map_err(|error| NoPath::Failed("cannot open the FIFO", error))?;
    // For whoever has it after us: it is to be removed in the end.
    sys::set_mark(fd.as_fd(), true);
    dress_fifo(fd.as_fd(), metadata, dress)?;
    Ok(fd)
}

fn open_rw(file: &File) -> io::Result<OwnedFd> {
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    Ok(OpenOptions::new().read(true).write(true).custom_flags(flags).open(through(file))?.into())
}

fn dress_fifo(fd: BorrowedFd<'_>, metadata: &Metadata, dress: Dress) -> Result<(), NoPath> {
    let dressed = || -> io::Result<()> {
        fault::point(Call::Dress)?;
        give(&fd, metadata, dress.owner)?;
        Ok(fchmod(fd, Mode::from_bits_truncate(dress.mode))?)
    };
    dressed().map_err(|error| NoPath::Failed(DRESSING, error))
}

/// Goes on with the FIFO that is open: if it was made for a listener it is given its owner and mode.
pub(super) fn keep_fifo(path: &Path, fd: BorrowedFd<'_>, dress: Dress) -> Result<OwnFile, NoPath> {
    let metadata = fd.try_clone_to_owned().and_then(|fd| File::from(fd).metadata());
    let metadata = metadata.map_err(|error| NoPath::Failed("cannot look at it", error))?;
    let made = sys::has_mark(fd);
    if made {
        dress_fifo(fd, &metadata, dress)?;
    }
    Ok(OwnFile { path: path.to_owned(), id: FileId::of(&metadata), made })
}

/// Removes a socket that nobody listens at any more.
pub(super) fn remove_dead(path: &Path, kind: SockType) {
    // Looked up first: to connect to one of ours that is there by now would start its process.
    if !holder::unix(&path.to_string_lossy()).is_empty() {
        return;
    }
    let Ok(spot) = Spot::find(path) else { return };
    let Ok((file, metadata)) = spot.look() else { return };
    if metadata.file_type().is_socket() && is_live(&file, &metadata, kind).is_ok_and(|live| !live) {
        spot.remove(FileId::of(&metadata));
    }
}
