//! How a supervisor is made.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;

use super::error::BuildError;
use super::handle::Supervisor;
use super::shared::Shared;
use crate::core::{Machine, Settings};
use crate::driver::{
    Directories, DirectoryBases, Engine, FunctionCall, FunctionHost, Functions, HostReport, Keep, Launcher, Parts,
    RuntimeDir, Surroundings, Tasks, Trees, Workers, inheritable,
};
use crate::events::{Bounds, Hub};
use crate::mailbox::Mailbox;
use crate::spec::FunctionId;

/// Events kept for readers that ask for older ones.
const EVENTS: usize = 8192;
/// Lines and bytes a follower may fall behind by.
const LINES: usize = 16384;
const LINE_BYTES: usize = 8 << 20;

/// What a supervisor is made with. Everything has a default.
#[must_use = "a supervisor is made by `build`"]
pub struct Builder {
    env: Option<Vec<(OsString, OsString)>>,
    base_dir: Option<PathBuf>,
    runtime_dir: Option<PathBuf>,
    directories: DirectoryBases,
    log_dir: Option<PathBuf>,
    functions: Functions,
    shutdown_timeout: Option<Duration>,
    cgroups: bool,
    open_files: Option<(u64, u64)>,
    keep: Option<Keep>,
    runtime: Option<Handle>,
}

impl Builder {
    pub(super) fn new() -> Self {
        Builder {
            env: None,
            base_dir: None,
            runtime_dir: None,
            directories: DirectoryBases::default(),
            log_dir: None,
            functions: Functions::default(),
            shutdown_timeout: None,
            cgroups: true,
            open_files: None,
            keep: None,
            runtime: None,
        }
    }

    /// What children inherit; the program's own environment at [`build`](Builder::build) unless given. `NEAP_*`,
    /// `LISTEN_*`, `NOTIFY_SOCKET` and others that are about the program itself as a service are left out.
    pub fn env<I: IntoIterator<Item = (OsString, OsString)>>(mut self, env: I) -> Self {
        self.env = Some(env.into_iter().collect());
        self
    }

    /// Base of relative paths, and the directory of processes that name none; the program's own at
    /// [`build`](Builder::build) unless given.
    pub fn base_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.base_dir = Some(dir.into());
        self
    }

    /// Where notify sockets and runtime directories are made; a private directory below `/tmp`, removed in the end,
    /// unless given. Users that processes run as must be able to pass through it.
    pub fn runtime_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.runtime_dir = Some(dir.into());
        self
    }

    /// Where [state directories](crate::spec::Spec::state_directory) of processes are made. A process that has one cannot
    /// be started unless this is given; the supervisor looks at no variables of its own.
    pub fn state_directories(mut self, dir: impl Into<PathBuf>) -> Self {
        self.directories.state = Some(dir.into());
        self
    }

    /// Where cache directories are made, likewise.
    pub fn cache_directories(mut self, dir: impl Into<PathBuf>) -> Self {
        self.directories.cache = Some(dir.into());
        self
    }

    /// Where logs directories are made, likewise: for what processes log by themselves.
    pub fn logs_directories(mut self, dir: impl Into<PathBuf>) -> Self {
        self.directories.logs = Some(dir.into());
        self
    }

    /// Where the captured output of a process that names no `log.file` goes: to `NAME.log` in this folder, rotated as its
    /// `log` says. Nowhere but into memory unless given. The folder is made when it is missing, for nobody else to read.
    pub fn log_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.log_dir = Some(dir.into());
        self
    }

    /// Who answers for functions in specs.
    pub fn functions(mut self, host: Arc<dyn FunctionHost>) -> Self {
        self.functions.host = Some(host);
        self
    }

    /// Has this closure answer for one function number, before any [`FunctionHost`]. It runs on a thread of the
    /// supervisor's own, may block, and should not hold a [`Supervisor`] (a [`WeakSupervisor`](crate::WeakSupervisor)
    /// will do), which would keep that up for ever.
    ///
    /// ```
    /// use neap::Supervisor;
    /// use neap::spec::{FunctionId, Hook, Spec};
    ///
    /// let supervisor = Supervisor::builder()
    ///     .function(FunctionId(1), |call| {
    ///         println!("{} is about to start", call.process);
    ///         Ok(())
    ///     })
    ///     .build()?;
    /// let mut spec = Spec::new("job", ["true"]);
    /// spec.hooks.before_start.push(Hook::function(FunctionId(1)));
    /// supervisor.add(spec)?.start_blocking()?;
    /// supervisor.shutdown().wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn function(
        mut self,
        id: FunctionId,
        function: impl Fn(&FunctionCall) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.functions.closures.insert(id, Arc::new(function));
        self
    }

    /// After this long every stop of a shutdown escalates to SIGKILL; each process's own ladder is waited for unless
    /// given.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout = Some(timeout);
        self
    }

    /// Whether a process's tree may be a cgroup, where the host allows it (the default). Without, it is a process group and
    /// what carries the run's mark in its environment, which is weaker: see [`Supervisor::host`].
    pub fn cgroups(mut self, use_them: bool) -> Self {
        self.cgroups = use_them;
        self
    }

    /// How many files a child may have open, softly and at most, unless its spec says (`rlimits.nofile`); as many as the
    /// program itself unless given. For a program that raised its own limit.
    pub fn open_files(mut self, soft: u64, hard: u64) -> Self {
        self.open_files = Some((soft, hard));
        self
    }

    /// Where [tasks](Supervisor::add_task) run: on this tokio runtime of the program's. A small one of the supervisor's own
    /// is started with the first task unless given. It has to outlive the tasks: those of one that has ended fail.
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// let supervisor = neap::Supervisor::builder().runtime(tokio::runtime::Handle::current()).build()?;
    /// # supervisor.shutdown().await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn runtime(mut self, handle: Handle) -> Self {
        self.runtime = Some(handle);
        self
    }

    /// Goes on where another supervisor stopped, and has another be able to.
    #[doc(hidden)]
    pub fn keep(mut self, keep: Keep) -> Self {
        self.keep = Some(keep);
        self
    }

    /// Starts the engine, on a thread of its own.
    ///
    /// # Errors
    /// [`BuildError::System`] when the kernel refuses a thread, a descriptor, or the current directory.
    pub fn build(self) -> Result<Supervisor, BuildError> {
        let system = |what| move |source| BuildError::System { what, source };
        let base = match self.base_dir {
            Some(dir) => std::path::absolute(dir).map_err(system("finding the base directory"))?,
            None => std::env::current_dir().map_err(system("finding the current directory"))?,
        };
        let env = inheritable(self.env.unwrap_or_else(|| std::env::vars_os().collect()));
        let runtime = match self.runtime_dir {
            Some(dir) => RuntimeDir::given(base.join(dir)),
            None => RuntimeDir::private(private_folder()),
        };
        let below = |dir: Option<PathBuf>| dir.map(|dir| base.join(dir));
        let bases = DirectoryBases {
            state: below(self.directories.state),
            cache: below(self.directories.cache),
            logs: below(self.directories.logs),
        };
        let settings = Settings { seed: seed(), shutdown_timeout: self.shutdown_timeout };
        let restored = self.keep.as_ref().map(Keep::machine).transpose()?.flatten();
        let machine = restored.unwrap_or_else(|| Machine::new(settings));
        let refused = (!self.cgroups).then_some("the program asked for none");
        let (trees, keep) = match (self.keep, refused) {
            (Some(keep), refused) => {
                let (trees, kept, heritage) = keep.unpack(refused);
                (trees, Some((kept, heritage)))
            }
            (None, Some(reason)) => (Trees::groups(reason), None),
            (None, None) => (Trees::new(), None),
        };
        let launcher = Launcher::new();
        let mut host = HostReport::of(&launcher, &trees);
        if let Some((kept, _)) = &keep {
            kept.report(&mut host);
        }
        let workers = Arc::new(Workers::new(self.runtime));
        let shared = Arc::new(Shared {
            mailbox: Mailbox::new().map_err(system("making an eventfd"))?,
            events: Hub::new(Bounds { items: EVENTS, weight: usize::MAX, replay: true }, machine.next_event()),
            lines: Hub::new(Bounds { items: LINES, weight: LINE_BYTES, replay: false }, 0),
            ended: OnceLock::new(),
            measured: AtomicBool::new(false),
            last_figures: OnceLock::new(),
            host: Mutex::new(host),
            thread: OnceLock::new(),
            join: Mutex::new(None),
            commands: AtomicU64::new(1),
            kept: keep.is_some(),
            workers: workers.clone(),
        });
        let parts = Parts {
            shared: shared.clone(),
            machine,
            keep,
            surroundings: Surroundings {
                log_dir: self.log_dir.map(|dir| base.join(dir)),
                open_files: self.open_files,
                env,
                base,
                directories: Directories::new(runtime, bases),
            },
            functions: self.functions,
            tasks: Tasks::new(workers),
            launcher,
            trees,
        };
        let engine = Engine::new(parts).map_err(|(what, source)| BuildError::System { what, source })?;
        let thread = std::thread::Builder::new()
            .name("neap-engine".into())
            .spawn(move || engine.run())
            .map_err(system("starting the engine's thread"))?;
        let _ = shared.thread.set(thread.thread().id());
        *shared.join.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(Supervisor::new(shared))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("base_dir", &self.base_dir).finish_non_exhaustive()
    }
}

fn clock_nanos() -> u128 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos()
}

/// A name that nobody had before: pid, a number within the program, and the time. A stranger who makes it first cannot
/// have known it; what is there already is not used.
fn private_folder() -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    PathBuf::from(format!("/tmp/neap-{}-{number}-{:x}", std::process::id(), clock_nanos()))
}

/// Jitter needs no secret, only a difference.
fn seed() -> u64 {
    clock_nanos() as u64 ^ u64::from(std::process::id()).rotate_left(32)
}
