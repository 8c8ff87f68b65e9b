//! A file that output is appended to, rotated by size.

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, SpliceFFlags, openat, splice};
use nix::sys::stat::{Mode, fstatat};

use super::folder::Folder;
use super::index::Marks;
use super::rotate;
use super::shared::Shared;
use crate::driver::sys::fault::{self, Call};

/// How much of an existing file's end is read when it is opened.
const TAIL: u64 = 64 << 10;

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

/// An appended file. It follows no symbolic link that a stranger could have put there, and never truncates what it did
/// not write.
#[derive(Debug)]
pub(crate) struct LogFile {
    place: LogPlace,
    file: Option<File>,
    /// Its turns with other processes' log files that are the same file.
    shared: Shared,
    size: u64,
    /// Not to rotate before this size again, after a rotation failed.
    rotate_at: u64,
    /// Whether its last byte is no line feed.
    mid_line: bool,
    /// Whether nothing was written by us yet.
    begins: bool,
    /// Whether this file refuses splice(2), so that bytes are copied.
    copies: bool,
    /// What was copied and not yet written.
    copied: Vec<u8>,
    tail: Vec<u8>,
    inode: u64,
    marks: Marks,
}

/// A write that failed: how many bytes were written before.
pub(super) type Short = (usize, io::Error);

impl LogFile {
    /// Opens (or creates) the file, and reads its end.
    pub fn open(place: LogPlace) -> io::Result<Self> {
        let mut log = LogFile::later(place);
        log.reopen()?;
        log.tail = log.read_tail().unwrap_or_default();
        Ok(log)
    }

    /// The same file, opened when something is first to be written, and tried again each time until it can be.
    pub fn later(place: LogPlace) -> Self {
        LogFile {
            rotate_at: place.max_size,
            place,
            file: None,
            shared: Shared::new(),
            size: 0,
            mid_line: false,
            begins: true,
            copies: false,
            copied: Vec::new(),
            tail: Vec::new(),
            inode: 0,
            marks: Marks::default(),
        }
    }

    pub fn place(&self) -> &LogPlace {
        &self.place
    }

    /// What the end of the file was when it was opened, cut at the start of a line. It is given away once.
    pub fn take_tail(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.tail)
    }

    /// What is written from here on was printed by this run of this process (by the tag that it has in the index), which
    /// may begin here.
    pub fn set_run(&mut self, (process, run): (u32, u32), begins: bool) {
        self.marks.set_run(process, run);
        if !begins {
            return;
        }
        let turn = self.shared.clone();
        let _turn = turn.take_turn();
        // A file that cannot be had gets no mark, and no line either.
        if self.be_ready(0).is_ok() {
            self.marks.begin(&self.place.path, self.place.keep, (self.inode, self.size));
        }
    }

    /// Goes on with a line that the file ends in. Else what is there already is ended first.
    pub fn go_on(&mut self) {
        self.begins = false;
    }

    #[cfg(test)]
    pub fn is_mid_line(&self) -> bool {
        self.mid_line
    }

    /// Whether bytes are copied, so that a crash may lose or double what is being written.
    pub fn copies(&self) -> bool {
        self.copies
    }

    /// How many bytes may be appended before the file is to be rotated.
    pub fn room(&self) -> u64 {
        if self.place.max_size == 0 { u64::MAX } else { self.rotate_at.saturating_sub(self.size) }
    }

    /// Moves so many bytes from a pipe to the end of the file: what is written has left the pipe, and nothing else has,
    /// whenever we die.
    pub fn take(&mut self, pipe: BorrowedFd<'_>, count: usize) -> Result<(), Short> {
        self.in_turn(count as u64, |log| log.take_now(pipe, count))
    }

    fn take_now(&mut self, pipe: BorrowedFd<'_>, count: usize) -> Result<(), Short> {
        let mut done = 0;
        while done < count && !self.copies {
            match self.splice(pipe, count - done) {
                Ok(0) => return Err(self.stopped(done, io::ErrorKind::UnexpectedEof.into())),
                Ok(some) => {
                    done += some;
                    self.size += some as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The file system will not have it that way.
                Err(error) if error.raw_os_error() == Some(Errno::EINVAL as i32) => self.copies = true,
                Err(error) => return Err(self.stopped(done, error)),
            }
        }
        while done < count || !self.copied.is_empty() {
            if self.copied.is_empty() {
                let mut buffer = vec![0; (count - done).min(64 << 10)];
                let read = nix::unistd::read(pipe, &mut buffer).map_err(|error| self.stopped(done, error.into()))?;
                buffer.truncate(read);
                done += read;
                self.copied = buffer;
            }
            let copied = std::mem::take(&mut self.copied);
            if let Err((written, error)) = self.write(&copied) {
                // They have left the pipe, and so wait here.
                self.copied = copied.get(written..).unwrap_or_default().to_vec();
                return Err((done, error));
            }
        }
        self.look_at_end();
        Ok(())
    }

    /// Appends these bytes.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), Short> {
        self.in_turn(bytes.len() as u64, |log| log.write(bytes))
    }

    /// Writes something while nobody else of this program writes to the same file.
    fn in_turn(&mut self, count: u64, write: impl FnOnce(&mut Self) -> Result<(), Short>) -> Result<(), Short> {
        loop {
            let turn = self.shared.clone();
            let mut last = turn.take_turn();
            self.be_ready(count).map_err(|error| (0, error))?;
            if !self.shared.is_same(&turn) {
                // It was rotated, or made anew: then the turn is to be had of another file.
                continue;
            }
            let other_began = last.is_some_and(|writer| writer != self.shared.writer());
            if self.mid_line && (self.begins || other_began) {
                self.write(b"\n").map_err(|(_, error)| (0, error))?;
            }
            self.begins = false;
            *last = Some(self.shared.writer());
            self.marks.write(&self.place.path, self.place.keep, (self.inode, self.size));
            return write(self);
        }
    }

    /// Says in the file that something is missing at this place.
    pub fn note_lost(&mut self, lines: u64, bytes: u64, why: &str) -> io::Result<()> {
        let start = if self.mid_line { "\n" } else { "" };
        let note = format!("{start}neap: {lines} lines ({bytes} bytes) are missing here: {why}\n");
        self.append(note.as_bytes()).map_err(|(_, error)| error)
    }

    fn splice(&self, pipe: BorrowedFd<'_>, count: usize) -> io::Result<usize> {
        let Some(file) = &self.file else { return Err(io::ErrorKind::NotFound.into()) };
        fault::point(Call::LogWrite)?;
        let mut end = i64::try_from(self.size).unwrap_or(i64::MAX);
        Ok(splice(pipe, None, file, Some(&mut end), count, SpliceFFlags::SPLICE_F_NONBLOCK)?)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Short> {
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let written = match &self.file {
                Some(file) => fault::point(Call::LogWrite).and_then(|()| file.write_at(rest, self.size)),
                None => Err(io::ErrorKind::NotFound.into()),
            };
            match written {
                Ok(0) => return Err(self.stopped(done, io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    done += count;
                    self.size += count as u64;
                    self.mid_line = bytes.get(done - 1) != Some(&b'\n');
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.stopped(done, error)),
            }
        }
        Ok(())
    }

    fn stopped(&mut self, done: usize, error: io::Error) -> Short {
        self.look_at_end();
        (done, error)
    }

    fn look_at_end(&mut self) {
        let mut last = [b'\n'];
        if let (Some(file), Some(at)) = (&self.file, self.size.checked_sub(1)) {
            // Unread it counts as a line's end: then a line feed too few is written rather than one too many.
            let _ = file.read_at(&mut last, at);
        }
        self.mid_line = last != *b"\n";
    }

    /// Before something is appended: the file is made anew if it was removed, its end is found again if others truncated
    /// it, and it is rotated when that would not fit.
    fn be_ready(&mut self, count: u64) -> io::Result<()> {
        let state = self.file.as_ref().and_then(|file| file.metadata().ok()).filter(|m| m.nlink() > 0);
        match state {
            Some(state) if state.len() == self.size => {}
            Some(state) => {
                self.size = state.len();
                self.look_at_end();
            }
            None => self.reopen()?,
        }
        // A line is cut over two files only when it is as long as a file may be.
        let full = self.place.max_size > 0 && self.size > 0 && self.size + count > self.rotate_at;
        if full && (!self.mid_line || self.size >= self.rotate_at.saturating_mul(2)) {
            match self.rotate() {
                Ok(()) => self.rotate_at = self.place.max_size,
                Err(_) => self.rotate_at = self.size + self.place.max_size / 8 + count,
            }
        }
        Ok(())
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.file = None;
        let folder = Folder::of(&self.place.path)?;
        // Not for appending, which splice(2) refuses; readable, so that its last byte can be looked at.
        let flags =
            OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let file = openat(&folder.fd, folder.name.as_os_str(), flags, Mode::from_bits_truncate(0o640))?;
        let file = File::from(crate::driver::sys::high_fd(file));
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        if metadata.nlink() > 1 && !folder.ours {
            return Err(io::Error::other(
                "it is a file with more names than this one, and another user could have given it this one; remove it",
            ));
        }
        self.size = metadata.len();
        self.shared.enter(metadata.dev(), metadata.ino());
        self.inode = metadata.ino();
        self.file = Some(file);
        self.copies = false;
        self.look_at_end();
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let folder = Folder::of(&self.place.path)?;
        // The name may be a stranger's by now: only what we have open is moved out of the way.
        let ours = self.file.as_ref().and_then(|f| f.metadata().ok()).map(|m| (m.dev(), m.ino()));
        let there = fstatat(&folder.fd, folder.name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW).ok();
        if ours.is_some() && ours == there.map(|s| (s.st_dev, s.st_ino)) {
            rotate::shift(&folder, self.place.keep)?;
        }
        let old = (self.file.take(), self.size, self.mid_line);
        self.reopen().inspect_err(|_| (self.file, self.size, self.mid_line) = old)
    }

    fn read_tail(&self) -> io::Result<Vec<u8>> {
        let Some(file) = &self.file else { return Ok(Vec::new()) };
        let from = self.size.saturating_sub(TAIL);
        let mut tail = vec![0; usize::try_from(self.size - from).unwrap_or_default()];
        file.read_exact_at(&mut tail, from)?;
        if from > 0 {
            let start = tail.iter().position(|b| *b == b'\n').map_or(0, |at| at + 1);
            tail.drain(..start);
        }
        Ok(tail)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::path::{Path, PathBuf};

    use super::{LogFile, LogPlace};
    use crate::driver::sys::fault::{self, Call};

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("neap-logfile-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn place(path: &Path, max_size: u64, keep: u32) -> LogPlace {
        LogPlace { path: path.to_owned(), max_size, keep }
    }

    #[test]
    fn rotation_keeps_so_many_and_loses_no_line() {
        let folder = folder("rotation");
        let path = folder.join("x.log");
        let mut log = LogFile::open(place(&path, 20, 3)).unwrap();
        for n in 0..9 {
            log.append(format!("line {n:03}\n").as_bytes()).unwrap();
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
    fn a_line_is_not_cut_by_rotation_unless_it_is_longer_than_two_files() {
        let folder = folder("midline");
        let path = folder.join("x.log");
        let mut log = LogFile::open(place(&path, 10, 3)).unwrap();
        for piece in ["begin", "1234567890", "end\n", "next\n"] {
            log.append(piece.as_bytes()).unwrap();
        }
        assert_eq!(fs::read_to_string(folder.join("x.log.1")).unwrap(), "begin1234567890end\n");
        for _ in 0..9 {
            log.append(b"0123456789").unwrap();
        }
        assert!(fs::read_to_string(&path).unwrap().len() <= 30);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_removed_file_is_made_again_and_a_truncated_one_is_gone_on_with_at_its_end() {
        let folder = folder("removed");
        let path = folder.join("x.log");
        let mut log = LogFile::open(place(&path, 0, 0)).unwrap();
        log.append(b"one\n").unwrap();
        fs::remove_file(&path).unwrap();
        log.append(b"two\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
        log.append(b"three\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_symbolic_link_in_its_place_is_not_followed() {
        let folder = folder("symlink");
        let (path, victim) = (folder.join("x.log"), folder.join("victim"));
        fs::write(&victim, "precious").unwrap();
        let mut log = LogFile::open(place(&path, 0, 0)).unwrap();
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        log.append(b"lost\n").unwrap_err();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        fs::remove_file(&path).unwrap();
        log.note_lost(1, 5, "a link").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "neap: 1 lines (5 bytes) are missing here: a link\n");
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
            log.append(format!("line {n}\n").as_bytes()).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 5);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_is_taken_from_a_pipe_has_left_it_and_what_is_refused_has_not() {
        let folder = folder("pipe");
        let path = folder.join("x.log");
        fs::write(&path, "before\n").unwrap();
        let (read, mut write) = std::io::pipe().unwrap();
        write.write_all(b"one\ntwo\nthree").unwrap();
        let mut log = LogFile::open(place(&path, 0, 0)).unwrap();
        assert_eq!(log.take_tail(), b"before\n");
        log.take(read.as_fd(), 4).unwrap();
        assert!(!log.is_mid_line());
        let full = fault::here(Call::LogWrite, 0, 1, nix::errno::Errno::ENOSPC as i32);
        assert_eq!(log.take(read.as_fd(), 4).unwrap_err().0, 0);
        drop(full);
        log.take(read.as_fd(), 9).unwrap();
        assert!(log.is_mid_line() && !log.copies());
        assert_eq!(fs::read_to_string(&path).unwrap(), "before\none\ntwo\nthree");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn processes_that_share_a_file_write_whole_lines_and_lose_none() {
        let folder = folder("shared");
        let path = folder.join("x.log");
        std::thread::scope(|scope| {
            for name in ['a', 'b', 'c'] {
                let mut log = LogFile::open(place(&path, 10_000, 100)).unwrap();
                scope.spawn(move || {
                    let (read, mut write) = std::io::pipe().unwrap();
                    for n in 0..5000 {
                        let line = format!("{name} {n}\n");
                        write.write_all(line.as_bytes()).unwrap();
                        log.take(read.as_fd(), line.len()).unwrap();
                    }
                });
            }
        });
        let text: String = (0..=100)
            .rev()
            .filter_map(|n| fs::read_to_string(crate::log::folder::numbered(path.as_os_str(), n)).ok())
            .collect();
        for name in ['a', 'b', 'c'] {
            let lines: Vec<&str> = text.lines().filter(|line| line.starts_with(name)).collect();
            assert!(lines.iter().enumerate().all(|(n, line)| *line == format!("{name} {n}")));
            assert_eq!(lines.len(), 5000);
        }
        assert_eq!(text.lines().count(), 15_000);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_line_that_one_process_began_is_not_gone_on_with_by_another() {
        let folder = folder("began");
        let path = folder.join("x.log");
        let mut one = LogFile::open(place(&path, 0, 0)).unwrap();
        let mut other = LogFile::open(place(&path, 0, 0)).unwrap();
        one.append(b"begun").unwrap();
        one.append(b" and on").unwrap();
        other.append(b"other\n").unwrap();
        one.append(b" and over\n").unwrap();
        drop(one);
        assert_eq!(fs::read_to_string(&path).unwrap(), "begun and on\nother\n and over\n");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_that_refuses_to_be_spliced_to_is_copied_to() {
        let folder = folder("copied");
        let path = folder.join("x.log");
        let (read, mut write) = std::io::pipe().unwrap();
        let text = "0123456789\n".repeat(1000);
        write.write_all(text.as_bytes()).unwrap();
        let mut log = LogFile::open(place(&path, 0, 0)).unwrap();
        // What a file opened for appending answers.
        nix::fcntl::fcntl(log.file.as_ref().unwrap(), nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_APPEND))
            .unwrap();
        log.take(read.as_fd(), text.len()).unwrap();
        assert!(log.copies());
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        fs::remove_dir_all(folder).unwrap();
    }
}
