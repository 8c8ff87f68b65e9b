//! What a server serves.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use super::access::Access;
use crate::Supervisor;
use crate::core::Applied;
#[cfg(feature = "lua")]
use crate::lua::{Items, Session, SessionRequest};
use crate::spec::Problem;

/// An instance: a supervisor with a configuration, and what is done with the whole of it.
///
/// The methods may block; they are not called on the server's own threads, [`supervisor`](Backend::supervisor) and
/// [`info`](Backend::info) excepted.
pub trait Backend: Send + Sync + 'static {
    /// The supervisor, which answers for its processes.
    fn supervisor(&self) -> &Supervisor;

    /// Who the instance is. Called often, and answered at once.
    fn info(&self) -> Info;

    /// Which groups may do what. Asked for once; what is set in it later counts from then on.
    fn access(&self) -> Access {
        Access::default()
    }

    /// Evaluates the configuration and makes it so, all or nothing; or only says what would be done.
    ///
    /// # Errors
    /// All that is wrong with it; nothing is changed then.
    fn apply(&self, request: ApplyRequest) -> Result<ApplyOutcome, Vec<Problem>>;

    /// Begins to stop everything and end the instance, as this caller asks; a second call escalates. Does not wait.
    fn shutdown(&self, caller: Option<Arc<str>>);

    /// Has outlive the instance what was made at run time, as it is now. Before a client is told that it was made, changed
    /// or forgotten.
    fn settle(&self) {}

    /// Opens a session of the Lua REPL on the configuration that is live.
    ///
    /// # Errors
    /// Why there is none, as a sentence.
    #[cfg(feature = "lua")]
    fn open_session(&self, request: SessionRequest) -> Result<(Session, Items), String> {
        let _ = request;
        Err("this instance has no Lua".to_owned())
    }

    /// Lets this binary (or its own path's) take over once this call is answered.
    ///
    /// # Errors
    /// Why it cannot, as a sentence.
    fn upgrade(&self, binary: Option<PathBuf>) -> Result<(), String>;
}

/// What an apply is asked with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplyRequest {
    /// A file or folder; the one that the instance was started with, unless given.
    pub config: Option<PathBuf>,
    /// Whether only to say what would be done.
    pub dry_run: bool,
    /// Who asks, in words.
    pub caller: Option<Arc<str>>,
}

/// What an apply came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplyOutcome {
    /// The generation that is live now; with a dry run the one that still is.
    pub generation: u64,
    /// What became of which process.
    pub changes: Applied,
    /// What was odd but applied.
    pub warnings: Vec<Problem>,
    /// What was evaluated.
    pub config: Option<PathBuf>,
}

/// Who an instance is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Its name, the same after each restart of the supervisor: ids are made of it.
    pub instance: String,
    /// The supervisor's pid.
    pub pid: u32,
    /// Its anchor's.
    pub anchor_pid: Option<u32>,
    /// The version of the binary that runs.
    pub version: String,
    /// Since when the instance is up, its supervisor's restarts not counted.
    pub started_at: SystemTime,
    /// Whether its configuration is in force, and all that starts by itself has been tried.
    pub ready: bool,
    /// The configuration it was started with.
    pub config_path: Option<PathBuf>,
    /// Which evaluated configuration is live.
    pub generation: u64,
    /// Why a newer one was refused.
    pub refused: Option<String>,
    /// What makes it less than it should be, as sentences.
    pub degraded: Vec<String>,
    /// What its host lets it promise.
    pub promises: Vec<HostPromise>,
    /// Its folder for what lives as long as it does.
    pub runtime_dir: PathBuf,
    /// Its folder for what outlives it.
    pub state_dir: PathBuf,
    /// Its control socket.
    pub socket: PathBuf,
}

/// Something that is promised where the host allows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPromise {
    /// What.
    pub what: String,
    /// Whether it is kept here.
    pub kept: bool,
    /// Why not, or how.
    pub why: String,
}
