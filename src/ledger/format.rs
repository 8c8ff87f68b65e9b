//! The journal's bytes. All numbers are little-endian.
//!
//! ```text
//! file    = start head batch*
//! start   = magic (8 bytes)  version u32  crc u32          the same in every version, so that a newer one is told apart
//! head    = lengths u16 u16  boot id  instance  crc u32     from damage
//! batch   = length u32  crc u32  record*                   the crc is that of the length and the records
//! record  = kind u8  id u64  length u32  bytes             a length of u32::MAX: the record is gone
//! ```

use std::io;

use super::key::RawKey;

/// The version that this writer writes. A reader refuses what is newer, and reads all that is older.
pub const VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"NEAPLDG\n";
const START: usize = 16;
const GONE: u32 = u32::MAX;
const BATCH_HEAD: usize = 8;
const RECORD_HEAD: usize = 13;

/// How many bytes a record takes, its key included.
pub(super) fn record_size(bytes: &[u8]) -> u64 {
    (RECORD_HEAD + bytes.len()) as u64
}

/// What a file begins with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header<'a> {
    /// One that this version reads; batches begin at `end`.
    Known { boot: &'a str, instance: &'a str, end: usize },
    /// A newer writer's.
    Newer(u32),
    /// The file ends within it.
    Torn,
    /// It was a ledger's; it cannot be believed.
    Damaged,
    /// No ledger at all.
    Foreign,
}

/// Why the batches ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// With the file.
    Whole,
    /// The file ends within a batch.
    Torn,
    /// A batch is not what was written.
    Damaged,
}

/// A change of one record, as it stands in a batch; without bytes the record is gone.
pub(super) type Change<'a> = (RawKey, Option<&'a [u8]>);

/// Writes start and head.
pub(super) fn write_header(out: &mut Vec<u8>, boot: &str, instance: &str) -> io::Result<()> {
    let from = out.len();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(&out[from..]).to_le_bytes());
    let from = out.len();
    for text in [boot, instance] {
        let length = u16::try_from(text.len()).map_err(|_| too_long())?;
        out.extend_from_slice(&length.to_le_bytes());
    }
    out.extend_from_slice(boot.as_bytes());
    out.extend_from_slice(instance.as_bytes());
    out.extend_from_slice(&crc32fast::hash(&out[from..]).to_le_bytes());
    Ok(())
}

/// Reads start and head.
pub(super) fn read_header(bytes: &[u8]) -> Header<'_> {
    let Some(start) = bytes.get(..START) else {
        let known = bytes.len().min(MAGIC.len());
        return if bytes[..known] == MAGIC[..known] { Header::Torn } else { Header::Foreign };
    };
    if start[..8] != MAGIC[..] {
        // Of a ledger one bit may have flipped here, too: then the crc of what it was still holds.
        let mut meant = [0; 12];
        meant[..8].copy_from_slice(MAGIC);
        meant[8..].copy_from_slice(&start[8..12]);
        return if number(&start[12..]) == crc32fast::hash(&meant) { Header::Damaged } else { Header::Foreign };
    }
    if number(&start[12..]) != crc32fast::hash(&start[..12]) {
        return Header::Damaged;
    }
    match number(&start[8..]) {
        VERSION => read_head(bytes),
        version if version > VERSION => Header::Newer(version),
        _ => Header::Damaged,
    }
}

fn read_head(bytes: &[u8]) -> Header<'_> {
    let rest = &bytes[START..];
    let Some(lengths) = rest.get(..4) else { return Header::Torn };
    let boot = usize::from(u16::from_le_bytes([lengths[0], lengths[1]]));
    let instance = usize::from(u16::from_le_bytes([lengths[2], lengths[3]]));
    let texts = 4 + boot + instance;
    let Some(head) = rest.get(..texts + 4) else { return Header::Torn };
    if number(&head[texts..]) != crc32fast::hash(&head[..texts]) {
        return Header::Damaged;
    }
    let text = |from: usize, to: usize| std::str::from_utf8(&head[from..to]);
    match (text(4, 4 + boot), text(4 + boot, texts)) {
        (Ok(boot), Ok(instance)) => Header::Known { boot, instance, end: START + texts + 4 },
        _ => Header::Damaged,
    }
}

/// Writes one batch.
pub(super) fn write_batch<'a>(out: &mut Vec<u8>, changes: impl Iterator<Item = Change<'a>>) -> io::Result<()> {
    let from = out.len();
    out.extend_from_slice(&[0; BATCH_HEAD]);
    for ((kind, id), bytes) in changes {
        let length = match bytes {
            None => GONE,
            Some(bytes) => u32::try_from(bytes.len()).ok().filter(|n| *n != GONE).ok_or_else(too_long)?,
        };
        out.push(kind);
        out.extend_from_slice(&id.to_le_bytes());
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(bytes.unwrap_or_default());
    }
    let length = u32::try_from(out.len() - from - BATCH_HEAD).map_err(|_| too_long())?.to_le_bytes();
    let crc = crc(&length, &out[from + BATCH_HEAD..]).to_le_bytes();
    out[from..from + 4].copy_from_slice(&length);
    out[from + 4..from + BATCH_HEAD].copy_from_slice(&crc);
    Ok(())
}

/// The batches of a file, from where its header ends.
pub(super) struct Batches<'a> {
    bytes: &'a [u8],
    /// Where the last whole batch ends.
    pub(super) end: usize,
    /// How many were whole.
    pub(super) count: usize,
    /// What follows them.
    pub(super) tail: Tail,
}

impl<'a> Batches<'a> {
    /// Gives each change of each whole batch to `each`, in order; of a batch that is not whole, none.
    pub(super) fn read(bytes: &'a [u8], start: usize, each: &mut dyn FnMut(Change<'a>)) -> Batches<'a> {
        let mut batches = Batches { bytes, end: start, count: 0, tail: Tail::Whole };
        while batches.tail == Tail::Whole && batches.end < bytes.len() {
            match batches.next() {
                Ok((changes, end)) => {
                    changes.into_iter().for_each(&mut *each);
                    batches.count += 1;
                    batches.end = end;
                }
                Err(tail) => batches.tail = tail,
            }
        }
        batches
    }

    fn next(&self) -> Result<(Vec<Change<'a>>, usize), Tail> {
        let rest = &self.bytes[self.end..];
        let head = rest.get(..BATCH_HEAD).ok_or(Tail::Torn)?;
        let length = number(head) as usize;
        let payload = rest[BATCH_HEAD..].get(..length).ok_or(Tail::Torn)?;
        if number(&head[4..]) != crc(&head[..4], payload) {
            return Err(Tail::Damaged);
        }
        let changes = read_changes(payload).ok_or(Tail::Damaged)?;
        Ok((changes, self.end + BATCH_HEAD + length))
    }
}

fn read_changes(mut payload: &[u8]) -> Option<Vec<Change<'_>>> {
    let mut changes = Vec::new();
    while !payload.is_empty() {
        let head = payload.get(..RECORD_HEAD)?;
        let key = (head[0], u64::from_le_bytes(head[1..9].try_into().ok()?));
        let length = number(&head[9..]);
        payload = &payload[RECORD_HEAD..];
        let bytes = if length == GONE { None } else { Some(payload.get(..length as usize)?) };
        payload = &payload[bytes.map_or(0, <[u8]>::len)..];
        changes.push((key, bytes));
    }
    Some(changes)
}

fn crc(length: &[u8], records: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(length);
    hasher.update(records);
    hasher.finalize()
}

/// The number that these bytes begin with; there are four at least.
fn number(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "what is to be written down is larger than 4 GiB")
}
