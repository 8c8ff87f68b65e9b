//! When what was printed, and by which run: marks beside a log file, for all the files that were rotated away from it.
//!
//! A file holds what was printed and nothing else. So `.NAME.log.index` says, at most once a second while something is
//! written, that what follows this place of this file was written from this time on, and where each run began. Files are
//! named by inode, so that rotation leaves the index alone. It is text, a mark a line with a checksum; what cannot be read is
//! passed over, and what is lost makes nothing but a coarser answer.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{Mode, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::folder::Folder;
use super::rotate::existing;
use crate::core::WallTime;

/// What every index begins with; another file of that name is left alone.
const TITLE: &str = "neap log index 1\n";
/// The inode, for a reader, of a file that is gone and whose number another one has by now.
const GONE: u64 = 0;
/// Between two marks of time there is so much, in milliseconds.
pub(super) const GRAIN: i64 = 1_000;
/// A larger index is thinned to half of this.
const MOST: u64 = 1 << 20;
/// An index that could not be written is tried again after this.
const RETRY: Duration = Duration::from_secs(60);

/// One mark: from this place on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Whether a run began here.
    pub begins: bool,
    pub inode: u64,
    pub offset: u64,
    /// When, by the wall clock, in milliseconds.
    pub time: i64,
    /// The number of the run that was live; 0 when none had been.
    pub run: u32,
    /// Whose run, as a checksum of its name: several processes may share a file.
    pub process: u32,
}

impl Mark {
    fn write(&self, text: &mut String) {
        let kind = if self.begins { 'r' } else { 't' };
        let start = text.len() + 1;
        // Writing to a text fails never.
        let Mark { inode, offset, time, run, process, .. } = self;
        let _ = write!(text, "\n{kind} {inode:x} {offset:x} {time:x} {run:x} {process:x}");
        let check = crc32fast::hash(text.get(start..).unwrap_or_default().as_bytes());
        let _ = write!(text, " {check:x}");
    }

    fn read(line: &str) -> Option<Mark> {
        let (said, check) = line.rsplit_once(' ')?;
        if u32::from_str_radix(check, 16).ok()? != crc32fast::hash(said.as_bytes()) {
            return None;
        }
        let mut words = said.split(' ');
        let begins = match words.next()? {
            "r" => true,
            "t" => false,
            _ => return None,
        };
        let mut number = || u64::from_str_radix(words.next()?, 16).ok();
        let (inode, offset, time) = (number()?, number()?, i64::try_from(number()?).ok()?);
        let (run, process) = (u32::try_from(number()?).ok()?, u32::try_from(number()?).ok()?);
        Some(Mark { begins, inode, offset, time, run, process })
    }
}

/// How a process is called in marks.
pub(super) fn tag(process: &str) -> u32 {
    crc32fast::hash(process.as_bytes())
}

/// Now, by the wall clock.
pub(super) fn now() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// It begins with a dot, so that `cat web.log*` and whoever collects logs take it for none.
fn name_of(folder: &Folder) -> OsString {
    let mut name = OsString::from(".");
    name.push(&folder.name);
    name.push(".index");
    name
}

/// Who writes marks for a log file. Nothing here fails: a mark that cannot be written is not written.
#[derive(Debug, Default)]
pub(super) struct Marks {
    process: u32,
    run: u32,
    file: Option<File>,
    size: u64,
    /// The file and the time of the last mark.
    last: Option<(u64, i64)>,
    retry: Option<Instant>,
}

impl Marks {
    /// What is written from here on is this run's.
    pub fn set_run(&mut self, process: u32, run: u32) {
        (self.process, self.run) = (process, run);
    }

    /// The run that was set begins at this place.
    pub fn begin(&mut self, path: &Path, keep: u32, (inode, offset): (u64, u64)) {
        self.mark(path, keep, Mark { begins: true, inode, offset, ..self.now() });
    }

    /// Something is about to be written at this place.
    pub fn write(&mut self, path: &Path, keep: u32, (inode, offset): (u64, u64)) {
        let mark = self.now();
        let due = self.last.is_none_or(|(last, time)| last != inode || !(0..GRAIN).contains(&(mark.time - time)));
        if due {
            self.mark(path, keep, Mark { inode, offset, ..mark });
        }
    }

    fn now(&self) -> Mark {
        Mark { begins: false, inode: 0, offset: 0, time: now().0, run: self.run, process: self.process }
    }

    fn mark(&mut self, path: &Path, keep: u32, mark: Mark) {
        if self.retry.is_some_and(|moment| Instant::now() < moment) {
            return;
        }
        let mut text = String::new();
        mark.write(&mut text);
        match self.append(path, keep, &text) {
            Ok(()) => (self.last, self.retry) = (Some((mark.inode, mark.time)), None),
            Err(_) => (self.file, self.retry) = (None, Some(Instant::now() + RETRY)),
        }
    }

    fn append(&mut self, path: &Path, keep: u32, text: &str) -> io::Result<()> {
        let there = |file: &File| file.metadata().is_ok_and(|m| m.nlink() > 0);
        if !self.file.as_ref().is_some_and(there) {
            let (file, size) = open(path)?;
            (self.file, self.size) = (Some(file), size);
        }
        if self.size > MOST {
            thin(path, keep)?;
            let (file, size) = open(path)?;
            (self.file, self.size) = (Some(file), size);
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(text.as_bytes())?;
        self.size += text.len() as u64;
        Ok(())
    }
}

/// The index for appending, begun if it is not there, and its size.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let folder = Folder::of(path)?;
    let flags = OFlag::O_RDWR
        | OFlag::O_APPEND
        | OFlag::O_CREAT
        | OFlag::O_NOFOLLOW
        | OFlag::O_NONBLOCK
        | OFlag::O_NOCTTY
        | OFlag::O_CLOEXEC;
    let file = openat(&folder.fd, name_of(&folder).as_os_str(), flags, Mode::from_bits_truncate(0o640))?;
    let mut file = File::from(crate::driver::sys::high_fd(file));
    let state = file.metadata()?;
    if !state.is_file() || (state.nlink() > 1 && !folder.ours) {
        return Err(io::Error::other("not an index of ours"));
    }
    if state.len() == 0 {
        file.write_all(TITLE.as_bytes())?;
        return Ok((file, TITLE.len() as u64));
    }
    let mut title = [0; TITLE.len()];
    file.seek(SeekFrom::Start(0))?;
    if file.read_exact(&mut title).is_err() || title != TITLE.as_bytes() {
        return Err(io::Error::other("not an index of ours"));
    }
    Ok((file, state.len()))
}

/// Makes it half as large as it may be: marks of files that are gone fall away, and then older ones, so that what is long
/// past is known less exactly.
fn thin(path: &Path, keep: u32) -> io::Result<()> {
    let mut all = Index::default();
    all.refresh(path)?;
    let folder = Folder::of(path)?;
    let there: BTreeSet<u64> = existing(&folder, keep).into_iter().map(|(_, inode)| inode).collect();
    let mut marks: Vec<Mark> = all.marks.into_iter().filter(|mark| there.contains(&mark.inode)).collect();
    let mut text = written(&marks);
    while text.len() as u64 > MOST / 2 && marks.len() > 16 {
        let old = marks.len() * 3 / 4;
        let mut place = 0;
        let mut file = 0;
        marks.retain(|mark| {
            place += 1;
            let first = std::mem::replace(&mut file, mark.inode) != mark.inode;
            // Where runs began is kept while there are other marks to fall away.
            place > old || first || place % 2 == 0 || mark.begins && place % 8 != 1
        });
        text = written(&marks);
    }
    let mut new = name_of(&folder);
    new.push(".new");
    let _ = unlinkat(&folder.fd, new.as_os_str(), UnlinkatFlags::NoRemoveDir);
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = openat(&folder.fd, new.as_os_str(), flags, Mode::from_bits_truncate(0o640))?;
    File::from(file).write_all(text.as_bytes())?;
    Ok(renameat(&folder.fd, new.as_os_str(), &folder.fd, name_of(&folder).as_os_str())?)
}

fn written(marks: &[Mark]) -> String {
    let mut text = TITLE.to_owned();
    marks.iter().for_each(|mark| mark.write(&mut text));
    text
}

/// All marks, as a reader knows them.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// In the order they were written.
    pub marks: Vec<Mark>,
    /// Which index was read, and how far.
    read: (u64, u64),
}

impl Index {
    /// Reads what was added since. A missing or foreign index has no marks.
    pub fn refresh(&mut self, path: &Path) -> io::Result<()> {
        let folder = Folder::of(path)?;
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let file = openat(&folder.fd, name_of(&folder).as_os_str(), flags, Mode::empty())?;
        let mut file = File::from(file);
        let state = file.metadata()?;
        if self.read.0 != state.ino() || self.read.1 > state.len() {
            // Another one, thinned or made anew.
            *self = Index { marks: Vec::new(), read: (state.ino(), 0) };
        }
        if self.read.1 == state.len() || !state.is_file() {
            return Ok(());
        }
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(self.read.1))?;
        // One that somebody blew up is not read whole.
        file.take(8 * MOST).read_to_end(&mut bytes)?;
        if self.read.1 == 0 && !bytes.starts_with(TITLE.as_bytes()) {
            return Ok(());
        }
        for line in bytes.split(|b| *b == b'\n') {
            let Some(mark) = std::str::from_utf8(line).ok().and_then(Mark::read) else { continue };
            if mark.offset == 0 && self.marks.last().is_some_and(|last| last.inode != mark.inode) {
                // A new file that got the number of one that is gone.
                self.marks.iter_mut().filter(|old| old.inode == mark.inode).for_each(|old| old.inode = GONE);
            }
            self.marks.push(mark);
        }
        // The last line may not be whole yet: it is read again.
        let whole = bytes.iter().rposition(|b| *b == b'\n').unwrap_or(0);
        let known = bytes.get(whole..).and_then(|rest| std::str::from_utf8(rest).ok());
        let ended = known.is_some_and(|rest| Mark::read(rest.trim_start_matches('\n')).is_some());
        self.read.1 += if ended { bytes.len() } else { whole } as u64;
        Ok(())
    }

    /// The marks in one file, in its order.
    pub fn of(&self, inode: u64) -> impl DoubleEndedIterator<Item = &Mark> {
        self.marks.iter().filter(move |mark| mark.inode == inode)
    }

    /// The runs of a process that left traces, the oldest first.
    pub fn runs(&self, process: u32) -> Vec<RunTrace> {
        let mut runs: Vec<RunTrace> = Vec::new();
        for mark in self.marks.iter().filter(|mark| mark.process == process && mark.run > 0) {
            match runs.last_mut() {
                Some(last) if !mark.begins && last.run == mark.run => {}
                last => {
                    if let Some(last) = last {
                        last.end = Some((mark.inode, mark.offset));
                    }
                    let start = (mark.inode, mark.offset);
                    runs.push(RunTrace { run: mark.run, time: mark.time, start, whole: mark.begins, end: None });
                }
            }
        }
        runs
    }
}

/// What is known of the line that is being read: found by going along with the marks, once for a file.
#[derive(Debug, Default)]
pub(super) struct Along {
    /// Of which index, and in which file.
    within: (u64, u64),
    /// How many marks have been passed.
    passed: usize,
    pub time: Option<i64>,
    pub run: Option<u32>,
}

impl Along {
    /// Goes on to this place, which is after the one before if it is in the same file.
    pub fn go(&mut self, index: &Index, (inode, offset): (u64, u64), process: u32) {
        let within = (index.read.0, inode);
        if self.within != within || self.passed > index.marks.len() {
            *self = Along { within, ..Along::default() };
        }
        while let Some(mark) = index.marks.get(self.passed) {
            if mark.inode == inode {
                if mark.offset > offset {
                    return;
                }
                self.time = Some(mark.time);
                if mark.process == process {
                    self.run = Some(mark.run).filter(|run| *run > 0);
                }
            }
            self.passed += 1;
        }
    }
}

/// Where in the files a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RunTrace {
    pub run: u32,
    /// When it began.
    pub time: i64,
    pub start: (u64, u64),
    /// Whether its beginning is known.
    pub whole: bool,
    /// Where the next one began.
    pub end: Option<(u64, u64)>,
}

/// When a file was last written to, by its own word.
pub(super) fn modified(folder: &Folder, n: u32) -> Option<i64> {
    let stat = fstatat(&folder.fd, folder.numbered(n).as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
    Some(stat.st_mtime.saturating_mul(1_000).saturating_add(stat.st_mtime_nsec / 1_000_000))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::{Index, MOST, Mark, Marks, TITLE, tag};

    fn path(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("neap-index-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder.join("x.log")
    }

    fn read(path: &Path) -> Vec<Mark> {
        let mut index = Index::default();
        let _ = index.refresh(path);
        index.marks
    }

    #[test]
    fn torn_and_foreign_marks_are_passed_over_and_the_next_is_read() {
        let path = path("torn");
        let file = path.with_file_name(".x.log.index");
        let mut marks = Marks::default();
        marks.set_run(tag("web"), 3);
        marks.begin(&path, 5, (7, 0));
        marks.begin(&path, 5, (7, 100));
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with(TITLE));
        for cut in TITLE.len()..text.len() {
            fs::write(&file, &text[..cut]).unwrap();
            let mut again = Marks::default();
            again.set_run(tag("web"), 4);
            again.begin(&path, 5, (8, 5));
            let all = read(&path);
            assert!(!all.is_empty() && all.len() <= 2, "{cut}: {all:?}");
            assert_eq!((all.last().unwrap().inode, all.last().unwrap().run), (8, 4));
        }
        fs::write(&file, "somebody else's\n").unwrap();
        let mut other = Marks::default();
        other.begin(&path, 5, (8, 5));
        assert_eq!(fs::read_to_string(&file).unwrap(), "somebody else's\n");
        assert!(read(&path).is_empty());
        fs::remove_file(&file).unwrap();
        assert!(read(&path).is_empty());
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }

    #[test]
    fn a_reader_sees_what_is_added_and_a_file_with_a_used_number_is_another_one() {
        let path = path("added");
        let mut marks = Marks::default();
        let mut index = Index::default();
        for run in 1..=3 {
            marks.set_run(tag("web"), run);
            marks.begin(&path, 5, (7, u64::from(run) * 10));
            index.refresh(&path).unwrap();
            assert_eq!(index.runs(tag("web")).len(), run as usize);
        }
        assert!(index.runs(tag("db")).is_empty());
        assert_eq!(index.runs(tag("web"))[1].end, Some((7, 30)));
        marks.begin(&path, 5, (8, 0));
        marks.begin(&path, 5, (7, 0));
        index.refresh(&path).unwrap();
        assert_eq!((index.of(7).count(), index.runs(tag("web")).len()), (1, 5));
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }

    #[test]
    fn an_index_stays_small_and_knows_what_is_recent_exactly() {
        let path = path("thinned");
        fs::write(&path, "x").unwrap();
        let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(&path).unwrap());
        let mut marks = Marks::default();
        for offset in 0..60_000 {
            marks.set_run(tag("web"), 1 + offset as u32 / 1000);
            // Half of them in a file that is gone.
            marks.begin(&path, 5, (if offset % 2 == 0 { inode } else { 1 }, offset));
        }
        assert!(fs::metadata(path.with_file_name(".x.log.index")).unwrap().len() <= MOST + 1000);
        let all = read(&path);
        let last: Vec<u64> = all.iter().rev().take(100).map(|mark| mark.offset).collect();
        assert_eq!(last, (0..60_000).rev().take(100).collect::<Vec<_>>());
        assert!(all.iter().any(|mark| mark.run == 1));
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }
}
