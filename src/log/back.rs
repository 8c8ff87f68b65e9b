//! Reading log files back: across rotated files, from a place that is kept, and on as they grow.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use tokio::sync::watch;

use super::cursor::{HEAD, LogCursor};
use super::file::LogPlace;
use super::folder::Folder;
use super::index::{Along, GRAIN, Index, RunTrace, modified, tag};
use super::rotate::existing;
use super::target::MAX_LINE;
use crate::core::WallTime;

/// What is read at once.
const CHUNK: usize = 64 << 10;
/// How often a rotation may get in the way.
const TRIES: usize = 100;

/// Where to begin reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFrom {
    /// With the oldest line that is kept.
    Start,
    /// With the last so many lines; 0 for those to come.
    Tail(usize),
    /// After the line with this cursor.
    Cursor(LogCursor),
    /// With what was printed from then on, to the second.
    Since(WallTime),
    /// With what one run printed, and nothing else: its number, as [`Status::run_count`](crate::core::Status::run_count)
    /// counts them, or from the newest down with 0, -1, …
    Run(i64),
}

/// A line of a log file. Which stream it came from the file does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Its bytes, without the line feed. They may be anything: escape them before they reach a terminal.
    pub text: Vec<u8>,
    /// Whether it was cut because it is long: the rest follows as the next line.
    pub partial: bool,
    /// The place after it.
    pub cursor: LogCursor,
    /// When it was written, to the second, where that is known.
    pub time: Option<WallTime>,
    /// The number of the run that printed it, where that is known.
    pub run: Option<u32>,
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
    index: Index,
    along: Along,
    /// Whose log it is, in the index.
    process: u32,
    /// When one run alone is read.
    run: Option<OneRun>,
    /// Whether what comes first began before what is to be read.
    skips_first: bool,
    /// What is to be said of what cannot be known.
    note: Option<String>,
}

/// The one run that is read.
#[derive(Debug, Default)]
struct OneRun {
    /// Its number, and when it began.
    run: (u32, i64),
    /// Where the next one begins.
    end: Option<(u64, u64)>,
    /// Whether that was reached.
    over: bool,
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
    pub(super) fn open(
        place: LogPlace,
        growth: Option<watch::Receiver<u64>>,
        from: LogFrom,
        process: &str,
    ) -> io::Result<Self> {
        let mut reader = LogReader {
            place,
            growth,
            current: None,
            begun: Vec::new(),
            lagged: false,
            index: Index::default(),
            along: Along::default(),
            process: tag(process),
            run: None,
            skips_first: false,
            note: None,
        };
        // Without an index nothing is known of times and runs.
        let _ = reader.index.refresh(&reader.place.path);
        // What is written from here on counts as growth.
        reader.seen();
        reader.current = match from {
            LogFrom::Start => reader.oldest()?,
            LogFrom::Tail(count) => reader.tail(count)?,
            LogFrom::Since(time) => reader.since(time.0, process)?,
            LogFrom::Run(run) => {
                let run = reader.find_run(run, process)?;
                reader.first_of(run)?
            }
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
        while batch.lines.len() < most && !self.is_over() {
            if let Some(current) = &mut self.current {
                if let Some(line) = current.next_line(&mut self.begun) {
                    self.take(line, &mut batch);
                    continue;
                }
                if current.fill()? {
                    // A mark is there before what it is about.
                    let _ = self.index.refresh(&self.place.path);
                    self.find_end();
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

    /// Hands out a line, unless it is none of those that are to be read.
    fn take(&mut self, mut line: LogLine, batch: &mut LogBatch) {
        let (inode, end) = (line.cursor.inode, line.cursor.offset);
        if self.run.as_ref().and_then(|run| run.end).is_some_and(|(file, offset)| file == inode && end > offset) {
            self.run.iter_mut().for_each(|run| run.over = true);
            return;
        }
        if self.skips_first {
            self.skips_first = line.partial;
            return;
        }
        let start = end.saturating_sub(line.text.len() as u64 + 1);
        self.along.go(&self.index, (inode, start), self.process);
        (line.time, line.run) = (self.along.time.map(WallTime), self.along.run);
        batch.lines.push(line);
    }

    /// Where the run that is read ends, if by now it does.
    fn find_end(&mut self) {
        let Some(one) = self.run.as_mut().filter(|one| one.end.is_none()) else { return };
        let runs = self.index.runs(self.process);
        one.end = runs.iter().rfind(|run| (run.run, run.time) == one.run).and_then(|run| run.end);
    }

    /// Whether nothing can come any more: of one run all is read, and another has begun.
    pub fn is_over(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.over)
    }

    /// What is to be said of what cannot be known; once.
    pub fn take_note(&mut self) -> Option<String> {
        self.note.take()
    }

    /// The place from which on everything was written at this time or later.
    fn since(&mut self, time: i64, process: &str) -> io::Result<Option<Current>> {
        let folder = Folder::of(&self.place.path)?;
        let mut start = None;
        for (n, inode) in self.files()? {
            let marks: Vec<_> = self.index.of(inode).collect();
            // What a mark is about was written within a second of it.
            let old = marks.iter().rposition(|mark| mark.time.saturating_add(GRAIN) <= time);
            match old.map(|old| marks.get(old + 1)) {
                Some(Some(next)) => {
                    start = Some((inode, next.offset));
                    break;
                }
                Some(None) => {
                    start = start.or(Some((inode, u64::MAX)));
                    break;
                }
                None if marks.is_empty() && modified(&folder, n).is_none_or(|written| written < time) => {
                    start = start.or(Some((inode, u64::MAX)));
                    break;
                }
                None => {
                    if marks.first().is_none_or(|first| first.offset > 0) {
                        self.note = Some(format!(
                            "when the oldest of these lines of {process} were printed is not known: all of a file is \
                             shown that was written to since then"
                        ));
                    }
                    start = Some((inode, 0));
                }
            }
        }
        self.begin(start)
    }

    /// Reads nothing but this run from here on.
    #[cfg(feature = "grpc")]
    pub(super) fn only(&mut self, run: i64, process: &str) -> io::Result<()> {
        self.find_run(run, process).map(drop)
    }

    /// Which run is meant: that is where reading ends.
    fn find_run(&mut self, wanted: i64, process: &str) -> io::Result<RunTrace> {
        let runs = self.index.runs(self.process);
        let place = match wanted {
            1.. => runs.iter().rposition(|run| i64::from(run.run) == wanted),
            _ => usize::try_from(-wanted).ok().and_then(|back| runs.len().checked_sub(back + 1)),
        };
        if let Some(place) = place
            && let Some(run) = runs.get(place)
        {
            self.run = Some(OneRun { run: (run.run, run.time), end: run.end, over: false });
            return Ok(*run);
        }
        let known = match (runs.first(), runs.last()) {
            (Some(first), Some(last)) if runs.len() > 1 => {
                format!("it knows the last {}, from {} to {}", runs.len(), first.run, last.run)
            }
            (Some(only), _) => format!("it knows run {} alone", only.run),
            _ => "it knows of no runs".to_owned(),
        };
        Err(io::Error::new(io::ErrorKind::NotFound, format!("the log of {process} knows of no run {wanted}; {known}")))
    }

    /// The place where a run begins, or what is left of it does.
    fn first_of(&mut self, run: RunTrace) -> io::Result<Option<Current>> {
        let files = self.files()?;
        let is_there = |inode: u64| files.iter().any(|(_, other)| *other == inode);
        self.lagged = !run.whole;
        if is_there(run.start.0) {
            return self.begin(Some(run.start));
        }
        // Its beginning was rotated away; and all of it, when its end was, too.
        self.lagged = true;
        if run.end.is_some_and(|(inode, _)| !is_there(inode)) {
            self.run.iter_mut().for_each(|run| run.over = true);
            return Ok(None);
        }
        self.oldest()
    }

    /// Opens a file and goes to this place, or to the line after it when that is the middle of one.
    fn begin(&mut self, start: Option<(u64, u64)>) -> io::Result<Option<Current>> {
        let Some((inode, offset)) = start else { return Ok(None) };
        let Some(mut file) = self.open_file(inode)? else { return self.oldest() };
        file.chunk_at = offset.min(file.file.metadata()?.len());
        let mut before = [b'\n'];
        if let Some(at) = file.chunk_at.checked_sub(1) {
            let _ = file.file.read_at(&mut before, at);
        }
        self.skips_first = before != *b"\n" && offset < u64::MAX;
        Ok(Some(file))
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
        let last = self.current.as_ref().map(|current| current.inode);
        if let Some(run) = self.run.as_mut().filter(|run| run.end.is_some_and(|(end, _)| Some(end) == last)) {
            run.over = true;
            return Ok(false);
        }
        match self.open_file(*inode)? {
            Some(next) => self.current = Some(next),
            // Rotated away since.
            None => return Ok(true),
        }
        Ok(true)
    }

    /// The files there are, the newest first, with their inodes.
    fn files(&self) -> io::Result<Vec<(u32, u64)>> {
        Ok(existing(&Folder::of(&self.place.path)?, self.place.keep))
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
        Some(LogLine { text: std::mem::take(begun), partial, cursor, time: None, run: None })
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
        LogReader::open(place.clone(), None, from, "x").unwrap()
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

    #[test]
    fn a_run_is_found_over_rotation_and_ends_where_the_next_one_begins() {
        let place = place("runs", 60, 9);
        let mut log = LogFile::open(place.clone()).unwrap();
        let tag = super::tag("x");
        print(&mut log, 1..=3);
        for (run, lines) in [(1, Some(4..=9)), (2, None), (3, Some(10..=15)), (3, Some(16..=20))] {
            log.set_run((tag, run), true);
            lines.into_iter().for_each(|lines| print(&mut log, lines));
        }
        let run = |run| rest(&mut open(&place, LogFrom::Run(run)));
        assert_eq!(run(1), numbers(4..=9));
        assert!(run(2).is_empty());
        assert_eq!(run(3), numbers(16..=20));
        assert_eq!((run(0), run(-1), run(-2), run(-3)), (numbers(16..=20), numbers(10..=15), vec![], numbers(4..=9)));
        let unknown = LogReader::open(place.clone(), None, LogFrom::Run(7), "x").unwrap_err().to_string();
        assert_eq!(unknown, "the log of x knows of no run 7; it knows the last 4, from 1 to 3");
        let unknown = LogReader::open(place.clone(), None, LogFrom::Run(0), "y").unwrap_err().to_string();
        assert_eq!(unknown, "the log of y knows of no run 0; it knows of no runs");
        // Who follows the newest is done when another begins.
        let mut reader = open(&place, LogFrom::Run(0));
        assert_eq!(rest(&mut reader), numbers(16..=20));
        assert!(!reader.is_over());
        print(&mut log, 21..=22);
        log.set_run((tag, 4), true);
        print(&mut log, 23..=30);
        assert_eq!(rest(&mut reader), numbers(21..=22));
        assert!(reader.is_over());
        let lines = open(&place, LogFrom::Start).next_batch(99).unwrap().lines;
        let of = |text: &str| lines.iter().find(|line| line.text == text.as_bytes()).unwrap();
        assert_eq!((of("line 002").run, of("line 009").run, of("line 030").run), (None, Some(1), Some(4)));
        assert!(lines.iter().all(|line| line.time.is_some()));
        // What is rotated away is told of.
        print(&mut log, 31..=100);
        assert_eq!((run(0)[0].as_str(), run(0).last()), ("(gap)", numbers(100..=100).first()));
        assert_eq!((run(-1), run(1)), (vec!["(gap)".to_owned()], vec!["(gap)".to_owned()]));
        clean(&place);
    }

    #[test]
    fn lines_are_found_by_time_with_an_index_and_without() {
        let place = place("since", 60, 9);
        let index = place.path.with_file_name(".x.log.index");
        let mut log = LogFile::open(place.clone()).unwrap();
        print(&mut log, 1..=5);
        let since = |time: i64| {
            let mut reader = open(&place, LogFrom::Since(crate::core::WallTime(time)));
            (rest(&mut reader), reader.take_note())
        };
        let now = super::super::index::now().0;
        assert_eq!(since(now - 60_000), (numbers(1..=5), None));
        assert_eq!(since(now + 60_000), (vec![], None));
        // As if it had been an hour ago.
        let text = fs::read_to_string(&index).unwrap();
        let mark = text.lines().last().unwrap();
        let words: Vec<&str> = mark.split(' ').collect();
        let old = |offset: &str, time: i64| {
            let said = format!("t {} {offset} {time:x} 0 0", words[1]);
            format!("\n{said} {:x}", crc32fast::hash(said.as_bytes()))
        };
        let title = text.lines().next().unwrap();
        let (first, third) = (old("0", now - 3_600_000), old("12", now - 1_800_000));
        fs::write(&index, format!("{title}{first}{third}")).unwrap();
        assert_eq!(since(now - 7_200_000), (numbers(1..=5), None));
        assert_eq!(since(now - 2_000_000), (numbers(3..=5), None));
        assert_eq!(since(now - 1_000_000), (vec![], None));
        // In the middle of a line: that one began before.
        fs::write(&index, format!("{title}{first}{}", old("e", now - 1_800_000))).unwrap();
        assert_eq!(since(now - 2_000_000), (numbers(3..=5), None));
        // Without an index the files' own times are all there is.
        fs::remove_file(&index).unwrap();
        let (lines, note) = since(now - 60_000);
        assert_eq!(lines, numbers(1..=5));
        assert!(note.unwrap().starts_with("when the oldest of these lines of x were printed is not known"));
        assert_eq!(since(now + 60_000), (vec![], None));
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
        let mut reader = LogReader::open(place.clone(), Some(written.subscribe()), LogFrom::Tail(0), "x").unwrap();
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
