//! What each generation of the configuration was evaluated from, so that a successor evaluates the same again: a crash is
//! never a reload of a file that is half edited. And what there is to tell of it, which no evaluation finds out again: a file
//! that could not be read then is not in the record.
//!
//! A file has one line of JSON, which says what is in it, then the contents of what was read, one after the other, and as
//! its last four bytes, in every version, a crc of all that.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::state::{self, StateError};
use crate::lua::{Entry, Input, InputKind, Recorded};

/// The version of the files' format. A reader leaves what is newer alone, and reads all that is older.
const VERSION: u32 = 1;

const SUFFIX: &str = ".generation";

/// A path as JSON: text, or bytes where it is none.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum PathText {
    Text(String),
    Bytes(Vec<u8>),
}

impl From<&Path> for PathText {
    fn from(path: &Path) -> Self {
        match path.to_str() {
            Some(text) => PathText::Text(text.to_owned()),
            None => PathText::Bytes(path.as_os_str().as_bytes().to_vec()),
        }
    }
}

impl From<PathText> for PathBuf {
    fn from(path: PathText) -> Self {
        match path {
            PathText::Text(text) => PathBuf::from(text),
            PathText::Bytes(bytes) => PathBuf::from(OsString::from_vec(bytes)),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EntryRecord {
    File(PathText),
    Folder(PathText),
    Source { name: String, text: String },
}

#[derive(Serialize, Deserialize)]
struct InputRecord {
    kind: InputKind,
    name: String,
    path: PathText,
    size: usize,
}

#[derive(Serialize, Deserialize)]
struct Head {
    version: u32,
    generation: u64,
    entry: EntryRecord,
    root: PathText,
    display_root: PathText,
    env: BTreeMap<String, String>,
    profiles: Vec<String>,
    inputs: Vec<InputRecord>,
    // Not in what earlier writers of the same version wrote.
    #[serde(flatten)]
    told: Told,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// What there is to tell of a generation as long as it is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Told {
    /// What is wrong with the files that it is without, as sentences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<String>,
    /// Why a newer configuration was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Whether that was so at a start, which then went on with this one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub outdated: bool,
}

impl Told {
    /// What makes the instance less than it should be, as sentences.
    pub fn degraded(&self) -> impl Iterator<Item = String> {
        let refused = self.refused.as_deref().filter(|_| self.outdated).map(|why| why.replace('\n', "; "));
        let goes_on = |why| format!("the configuration is refused, and what was in force before goes on: {why}");
        self.skipped.iter().cloned().chain(refused.map(goes_on))
    }
}

/// What is written down of a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it was evaluated from.
    pub recorded: Recorded,
    /// What there is to tell of it.
    pub told: Told,
}

/// The folder of generations' sources. Whoever can read it can read secrets: it is 0700, its files 0600.
#[derive(Debug)]
pub struct Generations {
    folder: PathBuf,
}

impl Generations {
    /// Those of a state folder.
    pub fn open(state: &Path) -> Result<Generations, StateError> {
        let folder = state.join("generations");
        state::make_folder(&folder)?;
        Ok(Generations { folder })
    }

    /// Writes down what a generation was evaluated from. To be done before its plan is applied.
    pub fn write(&self, number: u64, record: &Record) -> Result<(), StateError> {
        let (path, Record { recorded, told }) = (self.path(number), record);
        let head = Head {
            version: VERSION,
            generation: number,
            entry: match &recorded.entry {
                Entry::File(path) => EntryRecord::File(path.as_path().into()),
                Entry::Folder(path) => EntryRecord::Folder(path.as_path().into()),
                Entry::Source { name, text } => EntryRecord::Source { name: name.clone(), text: text.clone() },
            },
            root: recorded.root.as_path().into(),
            display_root: recorded.display_root.as_path().into(),
            env: recorded.env.clone(),
            profiles: recorded.profiles.clone(),
            inputs: recorded.inputs.iter().map(InputRecord::from).collect(),
            told: told.clone(),
        };
        let head = serde_json::to_vec(&head)
            .map_err(|error| StateError::Write { path: path.clone(), source: error.into() })?;
        let mut parts: Vec<&[u8]> = vec![&head, b"\n"];
        parts.extend(recorded.inputs.iter().map(|input| &*input.content));
        let mut crc = crc32fast::Hasher::new();
        parts.iter().for_each(|part| crc.update(part));
        let crc = crc.finalize().to_le_bytes();
        parts.push(&crc);
        state::write(&path, &parts)
    }

    /// Writes down what there is to tell of a generation by now. One of which nothing is written down stays so.
    pub fn tell(&self, number: u64, told: &Told) -> Result<(), StateError> {
        match self.read(number)? {
            Some(record) if record.told != *told => self.write(number, &Record { told: told.clone(), ..record }),
            _ => Ok(()),
        }
    }

    /// What is written down of a generation; `None` when nothing is. A damaged record is moved aside.
    pub fn read(&self, number: u64) -> Result<Option<Record>, StateError> {
        let path = self.path(number);
        let Some(bytes) = state::read(&path)? else { return Ok(None) };
        parse(&path, number, &bytes).map(Some)
    }

    /// The numbers of all generations that there are records of, in order.
    pub fn numbers(&self) -> Result<Vec<u64>, StateError> {
        let names = state::names(&self.folder, SUFFIX)?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| name.parse().ok()).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Removes the records of all generations but these.
    pub fn keep(&self, needed: &[u64]) -> Result<(), StateError> {
        for number in self.numbers()?.into_iter().filter(|number| !needed.contains(number)) {
            state::remove(&self.path(number))?;
        }
        Ok(())
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number}{SUFFIX}"))
    }
}

impl From<&Input> for InputRecord {
    fn from(input: &Input) -> Self {
        let Input { kind, name, path, content } = input;
        InputRecord { kind: *kind, name: name.clone(), path: path.as_path().into(), size: content.len() }
    }
}

fn parse(path: &Path, number: u64, bytes: &[u8]) -> Result<Record, StateError> {
    let damaged = |why: &dyn ToString| state::damaged(path, why.to_string());
    let Some((bytes, crc)) = bytes.split_last_chunk::<4>() else {
        return Err(damaged(&"it is too short"));
    };
    if crc32fast::hash(bytes) != u32::from_le_bytes(*crc) {
        return Err(damaged(&"it is not what was written"));
    }
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (head, contents) = (&bytes[..end], bytes.get(end + 1..).unwrap_or_default());
    let Version { version } = serde_json::from_slice(head).map_err(|error| damaged(&error))?;
    if version > VERSION {
        return Err(StateError::Newer { path: path.to_owned(), version, known: VERSION });
    }
    let head: Head = serde_json::from_slice(head).map_err(|error| damaged(&error))?;
    if head.generation != number {
        return Err(damaged(&format_args!("it is of generation {}", head.generation)));
    }
    let mut rest = contents;
    let mut inputs = Vec::new();
    for InputRecord { kind, name, path: place, size } in head.inputs {
        let Some((content, after)) = rest.split_at_checked(size) else {
            return Err(damaged(&"its contents are shorter than it says"));
        };
        rest = after;
        inputs.push(Input { kind, name, path: place.into(), content: content.into() });
    }
    let recorded = Recorded {
        entry: match head.entry {
            EntryRecord::File(path) => Entry::File(path.into()),
            EntryRecord::Folder(path) => Entry::Folder(path.into()),
            EntryRecord::Source { name, text } => Entry::Source { name, text },
        },
        root: head.root.into(),
        display_root: head.display_root.into(),
        env: head.env,
        profiles: head.profiles,
        inputs,
    };
    Ok(Record { recorded, told: head.told })
}
