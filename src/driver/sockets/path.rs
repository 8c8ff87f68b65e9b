//! Listeners that have a path: whose file it is, its owner and mode, and its removal.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{Gid, Uid, fchownat, mkfifo};

/// The mode of folders that are made for a path, as systemd has it (DirectoryMode=).
const FOLDER_MODE: u32 = 0o755;

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
        fs::symlink_metadata(path).ok().map(|metadata| FileId::of(&metadata))
    }
}

/// A file that a listener has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OwnFile {
    pub path: PathBuf,
    pub id: FileId,
}

impl OwnFile {
    /// Whether the path is still this file's.
    pub fn is_there(&self) -> bool {
        FileId::at(&self.path) == Some(self.id)
    }

    /// Removes it, unless the path is somebody else's by now.
    pub fn remove(&self) {
        if self.is_there() {
            let _ = fs::remove_file(&self.path);
        }
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

/// Whom a path is to belong to, and what it allows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dress {
    pub mode: u32,
    pub owner: Option<(u32, u32)>,
}

/// Makes room for a socket of this type: folders that are missing are made, and a socket that nobody listens at is removed.
pub(super) fn make_room(path: &Path, kind: SockType) -> Result<(), NoPath> {
    make_folders(path)?;
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(NoPath::Failed("cannot look at it", error)),
    };
    if !metadata.file_type().is_socket() {
        return Err(NoPath::NotOurs("socket"));
    }
    match is_live(path, kind) {
        Ok(true) => Err(NoPath::InUse),
        Ok(false) => match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(NoPath::Failed("cannot remove the socket that a program before left there", error))
            }
            _ => Ok(()),
        },
        Err(error) => {
            Err(NoPath::Failed("cannot find out whether somebody listens at the socket that is there", error))
        }
    }
}

/// Whether somebody listens at a socket's path.
fn is_live(path: &Path, kind: SockType) -> io::Result<bool> {
    let fd = socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
    match connect(fd.as_raw_fd(), &UnixAddr::new(path)?) {
        Err(Errno::ECONNREFUSED | Errno::ENOENT) => Ok(false),
        // Of another type, or with a full queue.
        Ok(()) | Err(Errno::EPROTOTYPE | Errno::EAGAIN) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

fn make_folders(path: &Path) -> Result<(), NoPath> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
    DirBuilder::new()
        .recursive(true)
        .mode(FOLDER_MODE)
        .create(folder)
        .map_err(|error| NoPath::Failed("cannot make its folder", error))
}

/// Gives a socket that was just bound at this path its owner and mode. No link is followed: the folder may be one that a
/// stranger may write to.
pub(super) fn dress_socket(path: &Path, dress: Dress) -> Result<OwnFile, NoPath> {
    let failed = |error: io::Error| NoPath::Failed("cannot give it its owner and mode", error);
    let flags = (OFlag::O_PATH | OFlag::O_NOFOLLOW).bits();
    // An O_PATH descriptor needs neither right, but the builder wants one.
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.file_type().is_socket() {
        return Err(NoPath::NotOurs("socket"));
    }
    give(&file, &metadata, dress.owner).map_err(failed)?;
    if metadata.mode() & 0o7777 != dress.mode {
        let through = format!("/proc/self/fd/{}", file.as_raw_fd());
        fs::set_permissions(through, std::os::unix::fs::PermissionsExt::from_mode(dress.mode)).map_err(failed)?;
    }
    Ok(OwnFile { path: path.to_owned(), id: FileId::of(&metadata) })
}

fn give(file: &impl AsFd, metadata: &Metadata, owner: Option<(u32, u32)>) -> io::Result<()> {
    let Some((uid, gid)) = owner.filter(|owner| *owner != (metadata.uid(), metadata.gid())) else { return Ok(()) };
    fchownat(file, "", Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), AtFlags::AT_EMPTY_PATH)?;
    Ok(())
}

/// Opens the FIFO at this path, made unless it is there. It has a reader and a writer from then on, ourselves: no client
/// waits, and none sees its end. One that is there is a stranger's if another user's, unless it is known to be `ours`.
pub(super) fn open_fifo(path: &Path, dress: Dress, ours: bool) -> Result<(OwnedFd, OwnFile), NoPath> {
    make_folders(path)?;
    match mkfifo(path, Mode::empty()) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(error) => return Err(NoPath::Failed("cannot make the FIFO", error.into())),
    }
    let metadata = fs::symlink_metadata(path).map_err(|error| NoPath::Failed("cannot look at it", error))?;
    if !metadata.file_type().is_fifo() {
        return Err(NoPath::NotOurs("FIFO"));
    }
    let us = Uid::effective().as_raw();
    if !ours && metadata.uid() != us && dress.owner.is_none_or(|(uid, _)| uid != metadata.uid()) {
        return Err(NoPath::Strangers(metadata.uid()));
    }
    let file = open_own_fifo(path, &metadata).map_err(|error| NoPath::Failed("cannot open the FIFO", error))?;
    let dressed =
        give(&file, &metadata, dress.owner).and_then(|()| Ok(fchmod(&file, Mode::from_bits_truncate(dress.mode))?));
    dressed.map_err(|error| NoPath::Failed("cannot give it its owner and mode", error))?;
    let id = FileId::of(&metadata);
    Ok((file.into(), OwnFile { path: path.to_owned(), id }))
}

/// Opens a FIFO that may have no mode yet, or one that its owner may not write to.
fn open_own_fifo(path: &Path, metadata: &Metadata) -> io::Result<File> {
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW).bits();
    let open = || OpenOptions::new().read(true).write(true).custom_flags(flags).open(path);
    let file = match open() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            nix::sys::stat::fchmodat(
                nix::fcntl::AT_FDCWD,
                path,
                Mode::from_bits_truncate(0o600),
                nix::sys::stat::FchmodatFlags::NoFollowSymlink,
            )?;
            open()?
        }
        opened => opened?,
    };
    if FileId::of(&file.metadata()?) != FileId::of(metadata) {
        return Err(io::Error::other("it was replaced meanwhile"));
    }
    Ok(file)
}

/// Removes a socket that nobody listens at any more.
pub(super) fn remove_dead(path: &Path, kind: SockType) {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    if is_socket && is_live(path, kind).is_ok_and(|live| !live) {
        let _ = fs::remove_file(path);
    }
}
