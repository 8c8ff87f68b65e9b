//! Reading log files back: across rotated files, from a place that is kept, and on as they grow.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, fstatat};
use tokio::sync::watch;

use super::cursor::{HEAD, LogCursor};
use super::file::LogPlace;
use super::folder::Folder;
use super::target::MAX_LINE;

/// What is read at once.
const CHUNK: usize = 64 << 10;
/// How often a rotation may get in the way.
const TRIES: usize = 100;
/// So many missing numbers in a row end the list: a rotation leaves one out for a moment, or after a crash.
const GAP: u32 = 8;

/// Where to begin reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFrom {
    /// With the oldest line that is kept.
    Start,
    /// With the last so many lines; 0 for those to come.
    Tail(usize),
    /// After the line with this cursor.
    Cursor(LogCursor),
}

/// A line of a log file. Which stream it came from, and when, the file does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Its bytes, without the line feed. They may be anything: escape them before they reach a terminal.
    pub text: Vec<u8>,
    /// Whether it was cut because it is long: the rest follows as the next line.
    pub partial: bool,
    /// The place after it.
    pub cursor: LogCursor,
}

/// Lines that were read together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogBatch {
    /// The lines. None when there are no more for now.
    pub lines: Vec<LogLine>,
    /// Whether lines before these may be missing: they were rotated away, or somebody else took them out of the file.
    pub lagged: bool,
}

/// Reads the lines of a process's log file and of those that were rotated away from it, the oldest first. Each line is
/// read once, whatever is rotated meanwhile.
#[derive(Debug)]
pub struct LogReader {
    place: LogPlace,
    growth: Option<watch::Receiver<u64>>,
    current: Option<Current>,
    /// The beginning of a line whose end has not been read.
    begun: Vec<u8>,
    lagged: bool,
}

/// The file that is being read.
#[derive(Debug)]
struct Current {
    file: File,
    inode: u64,
    head: Vec<u8>,
    /// What was read and not yet handed out, and where in the file that begins.
    chunk: Vec<u8>,
    chunk_at: u64,
    used: usize,
}

impl LogReader {
    /// A reader of the files at this place. With `growth` it can wait for more.
    pub(super) fn open(place: LogPlace, growth: Option<watch::Receiver<u64>>, from: LogFrom) -> io::Result<Self> {
        let mut reader = LogReader { place, growth, current: None, begun: Vec::new(), lagged: false };
        // What is written from here on counts as growth.
        reader.seen();
        reader.current = match from {
            LogFrom::Start => reader.oldest()?,
            LogFrom::Tail(count) => reader.tail(count)?,
            LogFrom::Cursor(cursor) => match reader.open_file(cursor.inode)?.filter(|file| file.begin_at(&cursor)) {
                Some(mut file) => {
                    file.chunk_at = cursor.offset;
                    Some(file)
                }
                None => {
                    reader.lagged = true;
                    reader.oldest()?
                }
            },
        };
        Ok(reader)
    }

    /// The next lines, as many as there are and no more than this. It reads from disk, and so may block for a while.
    ///
    /// # Errors
    /// What the files or their folder say.
    pub fn next_batch(&mut self, most: usize) -> io::Result<LogBatch> {
        self.seen();
        let mut batch = LogBatch { lines: Vec::new(), lagged: std::mem::take(&mut self.lagged) };
        while batch.lines.len() < most {
            if let Some(current) = &mut self.current {
                if let Some(line) = current.next_line(&mut self.begun) {
                    batch.lines.push(line);
                    continue;
                }
                if current.fill()? {
                    continue;
                }
            }
            if !self.move_on()? {
                break;
            }
            if self.lagged {
                if !batch.lines.is_empty() {
                    // It is said with the lines after the gap.
                    break;
                }
                batch.lagged = std::mem::take(&mut self.lagged);
            }
        }
        Ok(batch)
    }

    /// The beginning of a line whose end has not been written yet.
    pub fn unfinished(&self) -> &[u8] {
        &self.begun
    }

    /// Waits until the file may have grown since the last [`next_batch`](LogReader::next_batch). False when it will not
    /// any more: the process was deleted, its supervisor has ended. Cancelling it loses nothing.
    pub async fn grown(&mut self) -> bool {
        match &mut self.growth {
            Some(growth) => growth.changed().await.is_ok(),
            None => false,
        }
    }

    /// [`grown`](LogReader::grown) for plain threads.
    pub fn grown_blocking(&mut self) -> bool {
        crate::block::block_on(self.grown())
    }

    fn seen(&mut self) {
        if let Some(growth) = &mut self.growth {
            growth.borrow_and_update();
        }
    }

    /// At the end of a file: goes to the next newer one. False when there is none yet.
    fn move_on(&mut self) -> io::Result<bool> {
        let Some(current) = &mut self.current else {
            self.current = self.oldest()?;
            return Ok(self.current.is_some());
        };
        if fs::symlink_metadata(&self.place.path).is_ok_and(|there| there.ino() == current.inode) {
            if current.file.metadata()?.len() >= current.end() {
                return Ok(false);
            }
            // Somebody emptied it.
            current.start_anew();
            self.begun.clear();
            self.lagged = true;
            return Ok(true);
        }
        let files = self.files()?;
        let Some(current) = &mut self.current else { return Ok(false) };
        // It may have been written to after it was read and before it was rotated.
        if current.fill()? {
            return Ok(true);
        }
        let inode = current.inode;
        let newer = match files.iter().position(|(_, other)| *other == inode) {
            Some(0) => return Ok(false),
            Some(at) => files.get(at - 1),
            None => {
                // What came after it may be gone like itself.
                self.lagged |= !files.is_empty();
                self.begun.clear();
                files.last()
            }
        };
        let Some((_, inode)) = newer else { return Ok(false) };
        match self.open_file(*inode)? {
            Some(next) => self.current = Some(next),
            // Rotated away since.
            None => return Ok(true),
        }
        Ok(true)
    }

    /// The files there are, the newest first, with their inodes. Files are renamed from the last number downwards, and so
    /// a look from the first one upwards misses none; one that is seen twice was renamed in between.
    fn files(&self) -> io::Result<Vec<(u32, u64)>> {
        let folder = Folder::of(&self.place.path)?;
        let mut files: Vec<(u32, u64)> = Vec::new();
        let mut missing = 0;
        for n in 0..=self.place.keep {
            match fstatat(&folder.fd, folder.numbered(n).as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(stat) => {
                    missing = 0;
                    files.retain(|(_, inode)| *inode != stat.st_ino);
                    files.push((n, stat.st_ino));
                }
                Err(_) if missing < GAP => missing += 1,
                Err(_) => break,
            }
        }
        Ok(files)
    }

    /// Opens the file with this inode, whichever number it has by now.
    fn open_file(&self, inode: u64) -> io::Result<Option<Current>> {
        for _ in 0..TRIES {
            let Some((n, _)) = self.files()?.into_iter().find(|(_, other)| *other == inode) else { return Ok(None) };
            let folder = Folder::of(&self.place.path)?;
            let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
            let Ok(file) = openat(&folder.fd, folder.numbered(n).as_os_str(), flags, Mode::empty()) else { continue };
            let file = File::from(file);
            let state = file.metadata()?;
            if state.ino() == inode && state.is_file() {
                return Current::new(file, inode).map(Some);
            }
        }
        Ok(None)
    }

    fn oldest(&self) -> io::Result<Option<Current>> {
        for _ in 0..TRIES {
            let Some((_, inode)) = self.files()?.pop() else { return Ok(None) };
            if let Some(file) = self.open_file(inode)? {
                return Ok(Some(file));
            }
        }
        Ok(None)
    }

    /// The place before the last so many lines, of which one without an end is one.
    fn tail(&self, mut count: usize) -> io::Result<Option<Current>> {
        let mut found = None;
        let mut newest = true;
        for (_, inode) in self.files()? {
            let Some(mut file) = self.open_file(inode)? else { break };
            let size = file.file.metadata()?.len();
            file.chunk_at = size;
            if count == 0 {
                return Ok(Some(file));
            }
            let mut end = size;
            let mut block = vec![0; CHUNK];
            while end > 0 {
                let start = end.saturating_sub(CHUNK as u64);
                let block = block.get_mut(..usize::try_from(end - start).unwrap_or_default()).unwrap_or_default();
                file.file.read_exact_at(block, start)?;
                for at in memchr::memrchr_iter(b'\n', block) {
                    let after = start + at as u64 + 1;
                    // The end of the last line begins no other.
                    if newest && after == size {
                        continue;
                    }
                    count -= 1;
                    if count == 0 {
                        file.chunk_at = after;
                        return Ok(Some(file));
                    }
                }
                end = start;
            }
            newest &= size == 0;
            file.chunk_at = 0;
            found = Some(file);
        }
        Ok(found)
    }
}

impl Current {
    fn new(file: File, inode: u64) -> io::Result<Self> {
        let mut current = Current { file, inode, head: Vec::new(), chunk: Vec::new(), chunk_at: 0, used: 0 };
        current.read_head()?;
        Ok(current)
    }

    fn begin_at(&self, cursor: &LogCursor) -> bool {
        cursor.is_in(self.inode, &self.head) && self.file.metadata().is_ok_and(|m| m.len() >= cursor.offset)
    }

    fn start_anew(&mut self) {
        self.head.clear();
        self.chunk.clear();
        (self.chunk_at, self.used) = (0, 0);
    }

    /// How far it has been read.
    fn end(&self) -> u64 {
        self.chunk_at + self.chunk.len() as u64
    }

    fn read_head(&mut self) -> io::Result<()> {
        let mut head = [0; HEAD];
        let count = self.file.read_at(&mut head, 0)?;
        self.head = head.get(..count).unwrap_or_default().to_vec();
        Ok(())
    }

    /// Reads on. False at the end.
    fn fill(&mut self) -> io::Result<bool> {
        if self.used < self.chunk.len() {
            return Ok(true);
        }
        (self.chunk_at, self.used) = (self.end(), 0);
        self.chunk.resize(CHUNK, 0);
        let read = self.file.read_at(&mut self.chunk, self.chunk_at);
        self.chunk.truncate(*read.as_ref().unwrap_or(&0));
        if read? > 0 && self.head.len() < HEAD {
            self.read_head()?;
        }
        Ok(!self.chunk.is_empty())
    }

    /// The next line in what was read, which may have begun before. A full piece is only cut once a byte follows it.
    fn next_line(&mut self, begun: &mut Vec<u8>) -> Option<LogLine> {
        let rest = self.chunk.get(self.used..).unwrap_or_default();
        let room = MAX_LINE.saturating_sub(begun.len());
        let (count, partial) = match memchr::memchr(b'\n', rest) {
            Some(end) if end <= room => (end, false),
            _ if rest.len() > room => (room, true),
            _ => {
                begun.extend_from_slice(rest);
                self.used = self.chunk.len();
                return None;
            }
        };
        begun.extend_from_slice(rest.get(..count).unwrap_or_default());
        self.used += count + usize::from(!partial);
        let cursor = LogCursor::new(self.inode, self.chunk_at + self.used as u64, &self.head);
        Some(LogLine { text: std::mem::take(begun), partial, cursor })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use tokio::sync::watch;

    use super::{LogFrom, LogReader};
    use crate::log::{LogFile, LogPlace};

    fn place(name: &str, max_size: u64, keep: u32) -> LogPlace {
        let folder = std::env::temp_dir().join(format!("neap-back-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        LogPlace { path: folder.join("x.log"), max_size, keep }
    }

    fn clean(place: &LogPlace) {
        fs::remove_dir_all(place.path.parent().unwrap()).unwrap();
    }

    fn numbered(place: &LogPlace, n: u32) -> PathBuf {
        let name = crate::log::folder::numbered(Path::new("x.log").as_os_str(), n);
        place.path.with_file_name(name)
    }

    fn open(place: &LogPlace, from: LogFrom) -> LogReader {
        LogReader::open(place.clone(), None, from).unwrap()
    }

    /// All there is: lines, with a mark where some are missing.
    fn rest(reader: &mut LogReader) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let batch = reader.next_batch(3).unwrap();
            if batch.lagged {
                all.push("(gap)".into());
            }
            if batch.lines.is_empty() {
                return all;
            }
            all.extend(batch.lines.iter().map(|line| String::from_utf8_lossy(&line.text).into_owned()));
        }
    }

    fn numbers(range: std::ops::RangeInclusive<u32>) -> Vec<String> {
        range.map(|n| format!("line {n:03}")).collect()
    }

    fn print(log: &mut LogFile, range: std::ops::RangeInclusive<u32>) {
        numbers(range).iter().for_each(|line| log.append(format!("{line}\n").as_bytes()).unwrap());
    }

    #[test]
    fn the_last_lines_are_found_across_rotated_files() {
        let place = place("tail", 50, 9);
        let mut log = LogFile::open(place.clone()).unwrap();
        print(&mut log, 1..=23);
        assert_eq!(rest(&mut open(&place, LogFrom::Start)), numbers(1..=23));
        for count in 0..=23 {
            assert_eq!(rest(&mut open(&place, LogFrom::Tail(count as usize))), numbers(24 - count..=23), "{count}");
        }
        assert_eq!(rest(&mut open(&place, LogFrom::Tail(99))), numbers(1..=23));
        log.append(b"begun").unwrap();
        let mut reader = open(&place, LogFrom::Tail(2));
        assert_eq!(rest(&mut reader), numbers(23..=23));
        assert_eq!(reader.unfinished(), b"begun");
        log.append(b" and done\n").unwrap();
        assert_eq!(rest(&mut reader), ["begun and done"]);
        clean(&place);
    }

    #[test]
    fn f10_a_follower_reads_each_line_once_across_rotation() {
        let place = place("follow", 45, 3);
        let mut log = LogFile::open(place.clone()).unwrap();
        let mut reader = open(&place, LogFrom::Tail(0));
        let mut seen = Vec::new();
        for n in 1..=100 {
            print(&mut log, n..=n);
            if n % 7 == 0 {
                seen.extend(rest(&mut reader));
            }
        }
        seen.extend(rest(&mut reader));
        assert_eq!(seen, numbers(1..=100));
        clean(&place);
    }

    #[test]
    fn f10_a_cursor_is_gone_on_from_exactly_by_another_reader() {
        let place = place("cursor", 200, 30);
        let mut log = LogFile::open(place.clone()).unwrap();
        print(&mut log, 1..=99);
        let mut reader = open(&place, LogFrom::Start);
        let mut cursors = Vec::new();
        for _ in 0..99 {
            cursors.push(reader.next_batch(1).unwrap().lines[0].cursor);
        }
        print(&mut log, 100..=120);
        for (n, cursor) in (1..).zip(&cursors) {
            let again = cursor.to_string().parse().unwrap();
            assert_eq!(rest(&mut open(&place, LogFrom::Cursor(again))), numbers(n + 1..=120));
        }
        clean(&place);
    }

    #[test]
    fn f10_who_comes_back_too_late_or_to_other_files_is_told_of_the_gap() {
        let place = place("gap", 45, 2);
        let mut log = LogFile::open(place.clone()).unwrap();
        print(&mut log, 1..=5);
        let mut slow = open(&place, LogFrom::Start);
        let cursor = slow.next_batch(5).unwrap().lines[4].cursor;
        print(&mut log, 6..=40);
        let there = rest(&mut open(&place, LogFrom::Start));
        assert_eq!(there, numbers(40 - there.len() as u32 + 1..=40));
        let told = [vec!["(gap)".to_owned()], there.clone()].concat();
        assert_eq!(rest(&mut open(&place, LogFrom::Cursor(cursor))), told);
        assert_eq!(rest(&mut slow), told);
        // A new file that got the old one's inode is not taken for it.
        let cursor = open(&place, LogFrom::Tail(1)).next_batch(1).unwrap().lines[0].cursor;
        drop((log, slow));
        fs::write(&place.path, "something else\n".repeat(20)).unwrap();
        assert_eq!(rest(&mut open(&place, LogFrom::Cursor(cursor)))[0], "(gap)");
        clean(&place);
    }

    #[test]
    fn an_emptied_or_missing_file_is_no_end() {
        let place = place("emptied", 0, 2);
        let mut reader = open(&place, LogFrom::Start);
        assert!(rest(&mut reader).is_empty());
        let mut log = LogFile::open(place.clone()).unwrap();
        print(&mut log, 1..=3);
        assert_eq!(rest(&mut reader), numbers(1..=3));
        fs::OpenOptions::new().write(true).open(&place.path).unwrap().set_len(0).unwrap();
        print(&mut log, 4..=4);
        assert_eq!(rest(&mut reader), ["(gap)", "line 004"]);
        // A rotation that was cut off leaves a number out.
        fs::rename(&place.path, numbered(&place, 2)).unwrap();
        assert!(rest(&mut reader).is_empty());
        clean(&place);
    }

    #[test]
    fn a_long_line_comes_in_marked_pieces() {
        let place = place("long", 0, 0);
        let mut log = LogFile::open(place.clone()).unwrap();
        let text = "x".repeat(100_000);
        log.append(format!("{text}\n").as_bytes()).unwrap();
        let mut reader = open(&place, LogFrom::Start);
        let lines = reader.next_batch(100).unwrap().lines;
        assert_eq!(lines.len(), 100_000usize.div_ceil(16 << 10));
        assert!(lines.iter().rev().skip(1).all(|line| line.partial && line.text.len() == 16 << 10));
        assert_eq!(lines.concat_text(), text.into_bytes());
        clean(&place);
    }

    trait ConcatText {
        fn concat_text(&self) -> Vec<u8>;
    }

    impl ConcatText for Vec<super::LogLine> {
        fn concat_text(&self) -> Vec<u8> {
            self.iter().flat_map(|line| line.text.clone()).collect()
        }
    }

    #[test]
    fn who_waits_is_woken_by_growth_and_by_the_end() {
        let place = place("grown", 0, 0);
        let mut log = LogFile::open(place.clone()).unwrap();
        let written = watch::Sender::new(0);
        let mut reader = LogReader::open(place.clone(), Some(written.subscribe()), LogFrom::Tail(0)).unwrap();
        let thread = std::thread::spawn(move || {
            let mut all = Vec::new();
            while reader.grown_blocking() {
                all.extend(rest(&mut reader));
            }
            all
        });
        for n in 1..=20 {
            print(&mut log, n..=n);
            written.send_modify(|count| *count += 1);
        }
        drop(written);
        assert_eq!(thread.join().unwrap(), numbers(1..=20));
        clean(&place);
    }
}
