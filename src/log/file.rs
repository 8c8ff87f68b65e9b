//! A file that output is appended to, rotated by size.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use nix::fcntl::OFlag;

/// Which file a process's lines go to, and how it is rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogPlace {
    /// Where it is.
    pub path: PathBuf,
    /// Its size at which it is rotated; never at 0.
    pub max_size: u64,
    /// How many rotated files are kept.
    pub keep: u32,
}

/// An appended file. It never follows a symbolic link, never truncates what it did not write, and says in the file
/// itself what could not be written.
#[derive(Debug)]
pub struct LogFile {
    place: LogPlace,
    file: Option<File>,
    size: u64,
    /// Not to rotate before this size again, after a rotation failed.
    rotate_at: u64,
    mid_line: bool,
    lost: Option<Lost>,
}

#[derive(Debug)]
struct Lost {
    lines: u64,
    bytes: u64,
    why: String,
}

impl LogFile {
    /// Opens (or creates) the file.
    pub fn open(place: LogPlace) -> io::Result<Self> {
        let mut log = LogFile::later(place);
        log.reopen()?;
        Ok(log)
    }

    /// The same file, opened when something is first to be written, and tried again each time until it can be.
    pub fn later(place: LogPlace) -> Self {
        LogFile { rotate_at: place.max_size, place, file: None, size: 0, mid_line: false, lost: None }
    }

    /// Appends whole lines, or the piece of one. What fails is counted, and said in the file once that works again.
    pub fn append(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if let Err((written, error)) = self.try_append(bytes) {
            let rest = bytes.get(written..).unwrap_or_default();
            let lines = rest.iter().filter(|b| **b == b'\n').count();
            self.note_lost(lines as u64, rest.len() as u64, &error.to_string());
        }
    }

    /// Says in the file, before what is appended next, that so much is missing.
    pub fn note_lost(&mut self, lines: u64, bytes: u64, why: &str) {
        let lost = self.lost.get_or_insert_with(|| Lost { lines: 0, bytes: 0, why: why.to_owned() });
        lost.lines += lines;
        lost.bytes += bytes;
    }

    fn try_append(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let gone = match &self.file {
            Some(file) => file.metadata().map(|m| m.nlink() == 0).unwrap_or(true),
            None => true,
        };
        if gone {
            self.reopen().map_err(|e| (0, e))?;
        }
        if self.place.max_size > 0 && self.size > 0 && self.size + bytes.len() as u64 > self.rotate_at {
            match self.rotate() {
                Ok(()) => self.rotate_at = self.place.max_size,
                Err(_) => self.rotate_at = self.size + self.place.max_size / 8 + bytes.len() as u64,
            }
        }
        self.write_note().map_err(|(_, e)| (0, e))?;
        self.write(bytes)
    }

    /// Says what is missing now rather than before the next lines, if that can be said.
    pub fn tell_lost(&mut self) {
        // Else it stays noted.
        let _ = self.write_note();
    }

    fn write_note(&mut self) -> Result<(), (usize, io::Error)> {
        let Some(lost) = &self.lost else { return Ok(()) };
        let start = if self.mid_line { "\n" } else { "" };
        let note = format!("{start}neap: {} lines ({} bytes) are missing here: {}\n", lost.lines, lost.bytes, lost.why);
        self.write(note.as_bytes())?;
        self.lost = None;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let Some(file) = &mut self.file else { return Err((0, io::ErrorKind::NotFound.into())) };
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match file.write(rest) {
                Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    written += count;
                    self.size += count as u64;
                    self.mid_line = bytes.get(written.wrapping_sub(1)) != Some(&b'\n');
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((written, error)),
            }
        }
        Ok(())
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.file = None;
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o640)
            .custom_flags(flags.bits())
            .open(&self.place.path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        self.size = metadata.len();
        self.mid_line = false;
        self.file = Some(file);
        Ok(())
    }

    /// Renames `x` to `x.1`, that to `x.2` and so on; the last falls away.
    fn rotate(&mut self) -> io::Result<()> {
        let name = |n: u32| {
            let mut name = self.place.path.clone().into_os_string();
            if n > 0 {
                name.push(format!(".{n}"));
            }
            PathBuf::from(name)
        };
        for n in (1..self.place.keep).rev() {
            match fs::rename(name(n), name(n + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        // The name may be a stranger's by now: only what we have open is moved out of the way.
        let ours = self.file.as_ref().and_then(|f| f.metadata().ok()).map(|m| (m.dev(), m.ino()));
        let there = fs::symlink_metadata(&self.place.path).ok().map(|m| (m.dev(), m.ino()));
        if ours.is_some() && ours == there {
            if self.place.keep == 0 { fs::remove_file(&self.place.path)? } else { fs::rename(name(0), name(1))? }
        }
        self.reopen()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::{LogFile, LogPlace};

    fn place(path: &Path, max_size: u64, keep: u32) -> LogPlace {
        LogPlace { path: path.to_owned(), max_size, keep }
    }

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("neap-logfile-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn rotation_keeps_so_many_and_loses_no_line() {
        let folder = folder("rotation");
        let path = folder.join("x.log");
        let mut log = LogFile::open(place(&path, 20, 3)).unwrap();
        for n in 0..9 {
            log.append(format!("line {n:03}\n").as_bytes());
        }
        let read = |suffix: &str| fs::read_to_string(folder.join(format!("x.log{suffix}"))).unwrap();
        assert_eq!(read(""), "line 008\n");
        assert_eq!(read(".1"), "line 006\nline 007\n");
        assert_eq!(read(".2"), "line 004\nline 005\n");
        assert_eq!(read(".3"), "line 002\nline 003\n");
        assert!(!folder.join("x.log.4").exists());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_removed_file_is_made_again() {
        let folder = folder("removed");
        let path = folder.join("x.log");
        let mut log = LogFile::open(place(&path, 0, 0)).unwrap();
        log.append(b"one\n");
        fs::remove_file(&path).unwrap();
        log.append(b"two\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_symbolic_link_in_its_place_is_not_followed_and_the_gap_is_told_later() {
        let folder = folder("symlink");
        let (path, victim) = (folder.join("x.log"), folder.join("victim"));
        fs::write(&victim, "precious").unwrap();
        let mut log = LogFile::open(place(&path, 0, 0)).unwrap();
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        log.append(b"lost\n");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        fs::remove_file(&path).unwrap();
        log.append(b"back\n");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("neap: 1 lines (5 bytes) are missing here: "), "{text}");
        assert!(text.ends_with("\nback\n"), "{text}");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_directory_in_the_way_of_rotation_stops_no_writing() {
        let folder = folder("directory");
        let path = folder.join("x.log");
        fs::create_dir(folder.join("x.log.1")).unwrap();
        fs::write(folder.join("x.log.1/full"), "").unwrap();
        let mut log = LogFile::open(place(&path, 8, 1)).unwrap();
        for n in 0..5 {
            log.append(format!("line {n}\n").as_bytes());
        }
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 5);
        fs::remove_dir_all(folder).unwrap();
    }
}
