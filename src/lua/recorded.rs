//! All that an evaluation depended on, so that the same one can be made again whatever became of the files.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::runtime::Entry;

/// What an evaluation was made of. Whoever can read it can read the configuration's secrets.
///
/// Two things are not in it, as they cannot differ for a successor: the user's id, and this version of Neap.
#[derive(Clone, PartialEq, Eq)]
pub struct Recorded {
    /// What was evaluated.
    pub entry: Entry,
    /// The configuration's folder, absolute.
    pub root: PathBuf,
    /// That folder as the user named it, for messages.
    pub display_root: PathBuf,
    /// The environment that `neap.env` saw.
    pub env: BTreeMap<String, String>,
    /// The profiles that `neap.profile` saw.
    pub profiles: Vec<String>,
    /// What was read, in the order of reading.
    pub inputs: Vec<Input>,
}

/// Something that an evaluation read.
#[derive(Clone, PartialEq, Eq)]
pub struct Input {
    /// What it is.
    pub kind: InputKind,
    /// What it was asked for by: the same evaluation asks for it by the same name.
    pub name: String,
    /// Where it stands, for a file of the configuration.
    pub path: PathBuf,
    /// What it contained; of a list of names, each with a NUL after it.
    pub content: Arc<[u8]>,
}

/// Kinds of things that an evaluation reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum InputKind {
    /// A file of the configuration.
    File,
    /// A secret's file.
    Secret,
    /// The names that a folder or a pattern was found to have.
    Names,
    /// A module that comes with Neap, which the next version may have otherwise.
    Module,
}

/// Without the environment and the contents, which may be secret.
impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Recorded { entry, root, profiles, inputs, .. } = self;
        let mut shown = f.debug_struct("Recorded");
        shown.field("entry", entry).field("root", root).field("profiles", profiles).field("inputs", inputs);
        shown.finish_non_exhaustive()
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} ({} bytes)", self.kind, self.name, self.content.len())
    }
}

impl Recorded {
    /// What was read by this name.
    pub(super) fn input(&self, kind: InputKind, name: &str) -> Option<&Input> {
        self.inputs.iter().find(|input| input.kind == kind && input.name == name)
    }
}

/// Names as an input contains them.
pub(super) fn join(names: &[String]) -> Vec<u8> {
    names.iter().flat_map(|name| name.bytes().chain([0])).collect()
}

/// The names that an input contains.
pub(super) fn split(content: &[u8]) -> Vec<String> {
    let names = content.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names.map(|name| String::from_utf8_lossy(name).into_owned()).collect()
}
