//! The journal of runs: an append-only file of batches, read once, by the successor.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::file::{self, OpenFor};
use super::format::{self, Batches, Change, Header, Tail};
use super::key::{self, RawKey};
use crate::core::RecordKey;
use crate::driver::identity;

/// A file below this size is not written anew, whatever it holds.
const SMALL: u64 = 1 << 20;

/// A file this many times as large as what it holds is written anew.
const WASTE: u64 = 4;

/// A rewrite goes in batches of about this size.
const CHUNK: usize = 256 << 10;

/// Why there is no ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file is there and cannot be used: another user's, no regular file, or unreadable. It was not touched.
    #[error("cannot use the ledger {}: {source}; move it away, or give the instance another runtime folder", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the kernel, or we, have against it.
        source: io::Error,
    },
    /// A newer version wrote it. It was not touched.
    #[error(
        "the ledger {} has format {version}, and this version of neap reads up to {}; start the version that wrote \
         it, or stop what it supervises and move the file away",
        path.display(), format::VERSION
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The format found.
        version: u32,
    },
    /// It could not be written.
    #[error("cannot write the ledger {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Which boot this is could not be learnt.
    #[error("cannot read the boot's id from /proc/sys/kernel/random/boot_id: {0}; is /proc mounted?")]
    Boot(io::Error),
}

/// What was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// No file, or an empty one.
    Nothing,
    /// All that was written, as far as can be told.
    Whole,
    /// The end of the file is missing: the last write was cut short. What is whole was read, and the rest cut off.
    Torn {
        /// Batches read.
        batches: usize,
        /// Bytes cut off.
        lost: u64,
    },
    /// Some bytes are not those that were written. What comes before them was read; the file was moved aside.
    Damaged {
        /// Batches read.
        batches: usize,
        /// Bytes that were not read.
        lost: u64,
        /// Where the file is now.
        aside: PathBuf,
    },
    /// It is of another boot: no pid in it means anything. The file was begun anew.
    OtherBoot,
    /// It is another instance's. The file was moved aside.
    OtherInstance {
        /// Whose.
        instance: String,
        /// Where the file is now.
        aside: PathBuf,
    },
    /// It is no ledger. The file was moved aside.
    Foreign {
        /// Where the file is now.
        aside: PathBuf,
    },
}

/// What was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// What was known when the last batch was written, by key.
    pub current: Vec<(RecordKey, Vec<u8>)>,
    /// As known in another boot of the machine: no pid in it means anything.
    pub other_boot: Vec<(RecordKey, Vec<u8>)>,
    /// Records of kinds that only a newer version knows; they are left out, and not written again.
    pub unknown: usize,
}

type Live = BTreeMap<RawKey, Vec<u8>>;

/// The journal, open for writing.
///
/// A batch is one write(2), and nothing is flushed to a disk: what is to survive is this program's death. Nothing
/// else may write to the file, see [`Lock`](super::Lock).
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    boot: String,
    instance: String,
    file: File,
    /// All that is known, for a rewrite.
    live: Live,
    live_bytes: u64,
    size: u64,
    /// At this size the file is written anew.
    rewrite_at: u64,
    behind: bool,
    buffer: Vec<u8>,
}

impl Ledger {
    /// Opens the ledger of an instance, or begins one, and reads what is in it. Where the file cannot be gone on with and a
    /// new one cannot be begun now, or is better begun later, the ledger [is behind](Ledger::is_behind) from the start.
    pub fn open(path: &Path, instance: &str) -> Result<(Ledger, Records, Found), LedgerError> {
        let boot = identity::boot_id().map_err(LedgerError::Boot)?;
        Ledger::open_in_boot(path, instance, boot)
    }

    /// As [`open`](Ledger::open), in a boot of this name.
    pub fn open_in_boot(path: &Path, instance: &str, boot: &str) -> Result<(Ledger, Records, Found), LedgerError> {
        let unusable = |source| LedgerError::Open { path: path.to_owned(), source };
        let unwritable = |source| LedgerError::Write { path: path.to_owned(), source };
        let mut file = match file::open(path, OpenFor::Journal) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let ledger = Ledger::begin(path, instance, boot, Live::new()).map_err(unwritable)?;
                return Ok((ledger, Records::default(), Found::Nothing));
            }
            Err(e) => return Err(unusable(e)),
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(unusable)?;
        let Contents { live, records, found, go_on_at } = examine(&bytes, path, (instance, boot))?;
        if let Some(end) = go_on_at
            && (end == bytes.len() || file.set_len(end as u64).is_ok())
        {
            let mut ledger = Ledger::at_end(path, (instance, boot), file, live, end as u64);
            // The first batch makes the file anew. Until then a newer version would find what it wrote.
            ledger.behind = records.unknown > 0;
            return Ok((ledger, records, found));
        }
        // What is left of it begins a new file. Where that cannot be made now (no space), what was read is no worse for it.
        let ledger = Ledger::begin(path, instance, boot, live.clone()).unwrap_or_else(|_is_tried_again| {
            let mut ledger = Ledger::at_end(path, (instance, boot), file, live, 0);
            ledger.behind = true;
            ledger
        });
        Ok((ledger, records, found))
    }

    /// A new file in the place of what is there, which holds all this.
    fn begin(path: &Path, instance: &str, boot: &str, live: Live) -> io::Result<Ledger> {
        let mut buffer = Vec::new();
        let (file, size) = write_anew(path, (instance, boot), &live, &mut buffer)?;
        let mut ledger = Ledger::at_end(path, (instance, boot), file, live, size);
        ledger.buffer = buffer;
        Ok(ledger)
    }

    fn at_end(path: &Path, (instance, boot): (&str, &str), file: File, live: Live, size: u64) -> Ledger {
        let live_bytes = live.values().map(|bytes| format::record_size(bytes)).sum();
        Ledger {
            path: path.to_owned(),
            boot: boot.to_owned(),
            instance: instance.to_owned(),
            file,
            live,
            live_bytes,
            size,
            rewrite_at: SMALL,
            behind: false,
            buffer: Vec::new(),
        }
    }

    /// Writes down what changed, all of it or nothing: without bytes a record is gone. When it cannot be written, the
    /// ledger [is behind](Ledger::is_behind), still knows it, and tries to write all it knows with the next batch.
    pub fn write(&mut self, batch: &[(RecordKey, Option<Vec<u8>>)]) -> io::Result<()> {
        for (key, bytes) in batch {
            self.remember(key::encode(*key), bytes.as_deref());
        }
        if self.behind {
            return self.rewrite();
        }
        if batch.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.append(batch) {
            self.behind = true;
            // Part of the batch may be in the file. What reads it would cut it off, too.
            let _not_needed_for_reading = self.file.set_len(self.size);
            return Err(error);
        }
        if self.size > self.rewrite_at && self.size / WASTE > self.live_bytes {
            // The file is whole without it: what fails here is tried again when the file has doubled.
            if self.rewrite().is_err() {
                self.behind = false;
                self.rewrite_at = self.size * 2;
            }
        }
        Ok(())
    }

    /// Whether a batch could not be written, so that the file lacks what is known.
    pub fn is_behind(&self) -> bool {
        self.behind
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn remember(&mut self, key: RawKey, bytes: Option<&[u8]>) {
        let before = self.live.get(&key).map_or(0, |bytes| format::record_size(bytes));
        self.live_bytes = self.live_bytes - before + bytes.map_or(0, format::record_size);
        apply(&mut self.live, (key, bytes));
    }

    fn append(&mut self, batch: &[(RecordKey, Option<Vec<u8>>)]) -> io::Result<()> {
        self.buffer.clear();
        let changes = batch.iter().map(|(key, bytes)| (key::encode(*key), bytes.as_deref()));
        format::write_batch(&mut self.buffer, changes)?;
        self.file.write_all(&self.buffer)?;
        self.size += self.buffer.len() as u64;
        Ok(())
    }

    /// Writes all that is known to a new file, which takes the old one's place when it is whole.
    fn rewrite(&mut self) -> io::Result<()> {
        self.behind = true;
        (self.file, self.size) = write_anew(&self.path, (&self.instance, &self.boot), &self.live, &mut self.buffer)?;
        self.rewrite_at = SMALL;
        self.behind = false;
        Ok(())
    }
}

/// What was read, and what to do with the file.
struct Contents {
    live: Live,
    records: Records,
    found: Found,
    /// Where the next batch may stand; `None`: the file is to be made anew.
    go_on_at: Option<usize>,
}

/// Reads a ledger's bytes. A file that cannot be used is moved aside, a newer version's is left alone.
fn examine(bytes: &[u8], path: &Path, (instance, boot): (&str, &str)) -> Result<Contents, LedgerError> {
    let lost_from = |end: usize| (bytes.len() - end) as u64;
    let move_aside =
        |why| file::move_aside(path, why).map_err(|source| LedgerError::Write { path: path.to_owned(), source });
    let nothing = |found| Contents { live: Live::new(), records: Records::default(), found, go_on_at: None };
    let (then, start) = match format::read_header(bytes) {
        _ if bytes.is_empty() => return Ok(nothing(Found::Nothing)),
        Header::Newer(version) => return Err(LedgerError::Newer { path: path.to_owned(), version }),
        Header::Torn => return Ok(nothing(Found::Torn { batches: 0, lost: lost_from(0) })),
        Header::Damaged => {
            let aside = move_aside("damaged")?;
            return Ok(nothing(Found::Damaged { batches: 0, lost: lost_from(0), aside }));
        }
        Header::Foreign => return Ok(nothing(Found::Foreign { aside: move_aside("foreign")? })),
        Header::Known { instance: other, .. } if other != instance => {
            let aside = move_aside("foreign")?;
            return Ok(nothing(Found::OtherInstance { instance: other.to_owned(), aside }));
        }
        Header::Known { boot, end, .. } => (boot, end),
    };
    let mut live = Live::new();
    let batches = Batches::read(bytes, start, &mut |change| apply(&mut live, change));
    let all = live.len();
    live.retain(|key, _| key::decode(*key).is_some());
    let unknown = all - live.len();
    let known = live.iter().filter_map(|(key, bytes)| Some((key::decode(*key)?, bytes.clone()))).collect();
    if then != boot {
        let records = Records { other_boot: known, unknown, ..Records::default() };
        return Ok(Contents { records, ..nothing(Found::OtherBoot) });
    }
    let (end, lost) = (batches.end, lost_from(batches.end));
    let found = match batches.tail {
        Tail::Whole => Found::Whole,
        Tail::Torn => Found::Torn { batches: batches.count, lost },
        Tail::Damaged => Found::Damaged { batches: batches.count, lost, aside: move_aside("damaged")? },
    };
    let go_on_at = (batches.tail != Tail::Damaged).then_some(end);
    Ok(Contents { live, records: Records { current: known, unknown, ..Records::default() }, found, go_on_at })
}

/// Takes in one change, with as little allocation as can be.
fn apply(live: &mut Live, (key, bytes): Change<'_>) {
    match (bytes, live.get_mut(&key)) {
        (None, None) => {}
        (None, Some(_)) => drop(live.remove(&key)),
        (Some(bytes), None) => drop(live.insert(key, bytes.to_vec())),
        (Some(bytes), Some(known)) => {
            known.clear();
            known.extend_from_slice(bytes);
        }
    }
}

/// Makes a file with all these records, and then gives it the name. On an error what had the name still has it.
fn write_anew(
    path: &Path,
    (instance, boot): (&str, &str),
    live: &Live,
    buffer: &mut Vec<u8>,
) -> io::Result<(File, u64)> {
    let new = file::beside(path, ".new");
    match std::fs::remove_file(&new) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        // Left behind by who died while it was written.
        _ => {}
    }
    let file = file::open(&new, OpenFor::New)?;
    let written = fill(&file, (instance, boot), live, buffer).and_then(|size| {
        std::fs::rename(&new, path)?;
        Ok(size)
    });
    if written.is_err() {
        // Only in the way.
        let _ = std::fs::remove_file(&new);
    }
    written.map(|size| (file, size))
}

fn fill(mut file: &File, (instance, boot): (&str, &str), live: &Live, buffer: &mut Vec<u8>) -> io::Result<u64> {
    buffer.clear();
    format::write_header(buffer, boot, instance)?;
    let mut size = 0;
    let mut records = live.iter().peekable();
    while records.peek().is_some() {
        let mut room = CHUNK;
        let chunk = std::iter::from_fn(|| {
            if room == 0 {
                return None;
            }
            let (key, bytes) = records.next()?;
            room = room.saturating_sub(bytes.len());
            Some((*key, Some(bytes.as_slice())))
        });
        format::write_batch(buffer, chunk)?;
        file.write_all(buffer)?;
        size += buffer.len() as u64;
        buffer.clear();
    }
    file.write_all(buffer)?;
    size += buffer.len() as u64;
    buffer.clear();
    buffer.shrink_to(CHUNK);
    Ok(size)
}
