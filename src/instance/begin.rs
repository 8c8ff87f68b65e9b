//! How an instance begins: anew, or where the one before it stopped.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use super::evaluate::{Evaluator, Narrow, Outcome, root_of};
use super::handle::{Anchor, Inner, Instance, State};
use super::places::{PlaceError, Places};
use crate::anchor::{Inheritance, Link};
use crate::lua::host::PrintSink;
use crate::lua::{Options, Runtime};
use crate::spec::Problem;
use crate::{BuildError, Supervisor};

/// What an instance is begun with.
pub(crate) struct Start {
    /// Its configuration as it was named, if there is one.
    pub(crate) config: Option<PathBuf>,
    /// What `neap.profile` answers to.
    pub(crate) profiles: Vec<String>,
    /// What is done with each plan.
    pub(crate) narrow: Option<Narrow>,
    /// Takes what the configuration's scripts say.
    pub(crate) print: PrintSink,
    /// Where its things are.
    pub(crate) places: Option<Places>,
    /// Whether it cannot be without them.
    pub(crate) needs_places: bool,
    /// Whether what processes print is kept in files, unless they say otherwise.
    pub(crate) log_files: bool,
    /// The anchor, and what it kept.
    pub(crate) anchor: Option<(Link, Inheritance)>,
    /// How many files children may have open, softly and at most, when their spec does not say.
    pub(crate) open_files: Option<(u64, u64)>,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BeginError {
    /// There is one with the same state already.
    #[error("{0}")]
    Taken(String),
    /// What is wrong with its configuration.
    #[error("the configuration is refused")]
    Refused(Vec<Problem>),
    /// There is no place for it.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The kernel refuses something that it needs.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

/// An instance that is there, and what is to be done next.
pub(crate) struct Begun {
    /// The instance. Nothing was started yet; what was taken over goes on.
    pub(crate) instance: Instance,
    /// What is to be put in force; nothing when it goes on where another stopped.
    pub(crate) first: Option<Outcome>,
    /// What is worth saying about it.
    pub(crate) say: Vec<String>,
}

/// Begins an instance.
pub(crate) fn begin(start: Start) -> Result<Begun, BeginError> {
    let processes = start.places.as_ref().map(Places::make).transpose()?;
    let base = match &start.config {
        Some(config) => root_of(config).map_err(|source| PlaceError::Find { path: config.clone(), source })?,
        None => PathBuf::from("/"),
    };
    let runtime = Runtime::start(Options { print: Some(start.print), ..Options::default() });
    let (profiles, narrow) = (start.profiles, start.narrow);
    let evaluator = Evaluator { runtime: runtime.clone(), profiles, narrow, base: base.clone() };
    let first = start.config.as_deref().map(|config| evaluator.evaluate(config)).transpose();
    let first = first.map_err(BeginError::Refused)?;
    let mut builder = Supervisor::builder().base_dir(base).functions(Arc::new(runtime));
    if let Some(timeout) = first.as_ref().and_then(|first| first.evaluated.declared.settings.shutdown_timeout) {
        builder = builder.shutdown_timeout(timeout);
    }
    if let Some(processes) = processes {
        builder = builder.runtime_dir(processes);
    }
    if let Some(places) = start.places.as_ref().filter(|_| start.log_files) {
        builder = builder.log_dir(places.logs());
    }
    let supervisor = builder.build()?;
    let anchor = start.anchor.map(|(link, inheritance)| Anchor { link, pid: inheritance.anchor });
    let instance = Instance::new(Inner {
        supervisor,
        evaluator,
        places: start.places,
        anchor,
        config: start.config,
        record: None,
        started_at: SystemTime::now(),
        state: Mutex::new(State::default()),
        applying: Mutex::default(),
    });
    Ok(Begun { instance, first, say: Vec::new() })
}

/// The name of a configuration, for people.
pub(crate) fn named(config: Option<&Path>) -> String {
    config.map_or_else(|| "no configuration".to_owned(), |path| path.display().to_string())
}
