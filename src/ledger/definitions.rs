//! Definitions made at run time: a file each, so that they are there again after a reboot.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::state::{self, StateError};
use crate::spec::Spec;
use crate::spec::names::process_name_error;
use crate::spec::stored::{Stored, StoredRef};

/// The version of the files' format. A reader leaves what is newer alone, and reads all that is older.
const VERSION: u32 = 1;

const SUFFIX: &str = ".json";

#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    spec: StoredRef<'a>,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Deserialize)]
struct Read {
    spec: Stored,
}

/// The folder of definitions made at run time. Whoever can read it can read their secrets: it is 0700, its files 0600.
#[derive(Debug)]
pub struct Definitions {
    folder: PathBuf,
}

impl Definitions {
    /// Those of a state folder.
    pub fn open(state: &Path) -> Result<Definitions, StateError> {
        let folder = state.join("definitions");
        state::make_folder(&folder)?;
        Ok(Definitions { folder })
    }

    /// All that can be read, by name, and what became of the others: a damaged one is moved aside, a newer version's is
    /// left alone.
    pub fn read(&self) -> Result<(Vec<Spec>, Vec<StateError>), StateError> {
        let (mut specs, mut problems) = (Vec::new(), Vec::new());
        for name in state::names(&self.folder, SUFFIX)? {
            if process_name_error(&name).is_some() {
                continue;
            }
            match self.read_one(&name) {
                Ok(spec) => specs.extend(spec),
                Err(problem) => problems.push(problem),
            }
        }
        Ok((specs, problems))
    }

    /// Writes a definition down, in the place of the one of that name. On an error what was there is there still.
    pub fn write(&self, spec: &Spec) -> Result<(), StateError> {
        let path = self.path(&spec.name)?;
        if let Some(bytes) = state::read(&path)? {
            refuse_newer(&path, &bytes)?;
        }
        let written = Written { version: VERSION, spec: StoredRef(spec) };
        let bytes = serde_json::to_vec_pretty(&written)
            .map_err(|error| StateError::Write { path: path.clone(), source: error.into() })?;
        state::write(&path, &[&bytes, b"\n"])
    }

    /// Removes a definition; one that is not there is as good as removed.
    pub fn remove(&self, name: &str) -> Result<(), StateError> {
        state::remove(&self.path(name)?)
    }

    /// Where the definition of this name is, if it is there.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}{SUFFIX}"))
    }

    fn read_one(&self, name: &str) -> Result<Option<Spec>, StateError> {
        let path = self.path(name)?;
        let Some(bytes) = state::read(&path)? else { return Ok(None) };
        refuse_newer(&path, &bytes)?;
        match serde_json::from_slice::<Read>(&bytes) {
            Ok(Read { spec: Stored(spec) }) if spec.name == name => Ok(Some(spec)),
            Ok(Read { spec: Stored(spec) }) => Err(state::damaged(&path, format_args!("it defines `{}`", spec.name))),
            Err(error) => Err(state::damaged(&path, error)),
        }
    }

    /// Names of processes have no `/` and do not begin with a dot; any other is refused.
    fn path(&self, name: &str) -> Result<PathBuf, StateError> {
        let path = self.file(name);
        match process_name_error(name) {
            None => Ok(path),
            Some(why) => Err(StateError::Write { path, source: io::Error::new(io::ErrorKind::InvalidInput, why) }),
        }
    }
}

fn refuse_newer(path: &Path, bytes: &[u8]) -> Result<(), StateError> {
    match serde_json::from_slice::<Version>(bytes) {
        Ok(Version { version }) if version > VERSION => {
            Err(StateError::Newer { path: path.to_owned(), version, known: VERSION })
        }
        _ => Ok(()),
    }
}
