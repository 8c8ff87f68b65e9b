//! Files that are ours alone: opened without following links, and refused when they are somebody else's.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;

/// What is to become of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OpenFor {
    /// It is there; it is read, and appended to.
    Journal,
    /// It is read and written, and made when it is not there.
    Lock,
    /// It is there; it is read.
    Reading,
    /// It is made; there must be none.
    New,
}

/// Opens a file of ours, mode 0600: never by a link, never waiting, and never one that is no file or another user's.
pub(super) fn open(path: &Path, purpose: OpenFor) -> io::Result<File> {
    let mut options = OpenOptions::new();
    // Non-blocking, so that a FIFO is refused rather than waited for.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    options.read(true).mode(0o600).custom_flags(flags.bits());
    match purpose {
        OpenFor::Journal => options.append(true),
        OpenFor::Lock => options.write(true).create(true),
        OpenFor::Reading => &mut options,
        OpenFor::New => options.append(true).create_new(true),
    };
    let file = options.open(path).map_err(|e| match e.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ELOOP) => refused("it is a symbolic link"),
        Some(Errno::EISDIR) => refused("it is a folder"),
        Some(Errno::ENXIO) => refused("it is not a regular file"),
        _ => e,
    })?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(refused("it is not a regular file"));
    }
    if metadata.uid() != nix::unistd::geteuid().as_raw() {
        return Err(refused(&format!("it belongs to the user with id {}", metadata.uid())));
    }
    if metadata.mode() & 0o077 != 0 {
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

/// The path with this added to its last component.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// How many files of one kind are kept aside.
const MOST_ASIDE: usize = 100;

/// Gives a file that cannot be used another name, `PATH.WHY`, and never that of one which is there already.
pub(super) fn move_aside(path: &Path, why: &str) -> io::Result<PathBuf> {
    for number in 1..=MOST_ASIDE {
        let suffix = if number == 1 { format!(".{why}") } else { format!(".{why}.{number}") };
        let aside = beside(path, &suffix);
        match aside.symlink_metadata() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return std::fs::rename(path, &aside).map(|()| aside),
            Err(e) => return Err(e),
            Ok(_) => {}
        }
    }
    Err(io::Error::new(
        io::ErrorKind::AlreadyExists,
        format!("there are {MOST_ASIDE} files {}.{why}* already; remove those that are not needed", path.display()),
    ))
}
