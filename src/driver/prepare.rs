//! From a spec to a launch: all that is looked up, read, opened or made before a child is.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use regex::bytes::Regex;

use super::creds::{self, Account};
use super::directories::{self, Directories};
use super::notify::NotifySocket;
use super::spawn::{Launch, RlimitSet, Stdio, candidates};
use super::{caps, condition, envfile, limits};
use crate::core::{SpawnError, SpawnStep};
use crate::log::{LogFile, LogPlace};
use crate::spec::{ProcessType, Ready, Spec, Stream};

/// Where children come from: captured when the supervisor is built, so that what the program does to its own
/// environment and directory later changes nothing.
#[derive(Debug)]
pub(crate) struct Surroundings {
    /// What children inherit.
    pub env: BTreeMap<OsString, OsString>,
    /// Base of relative paths.
    pub base: PathBuf,
    /// Where notify sockets are made, and the directories of processes.
    pub directories: Directories,
    /// Where the output of processes goes that name no log file.
    pub log_dir: Option<PathBuf>,
    /// How many files children may have open, softly and at most, unless their spec says; as the program itself unless given.
    pub open_files: Option<(u64, u64)>,
}

/// The folder for notify sockets and runtime directories, made when it is first needed.
#[derive(Debug)]
pub(crate) struct RuntimeDir {
    path: PathBuf,
    /// For a private one, which goes with the supervisor: whether we made it.
    made: Option<Mutex<bool>>,
}

impl RuntimeDir {
    /// This folder, which stays.
    pub fn given(path: PathBuf) -> Self {
        RuntimeDir { path, made: None }
    }

    /// A folder with a name of its own below this one, removed in the end.
    pub fn private(path: PathBuf) -> Self {
        RuntimeDir { path, made: Some(Mutex::new(false)) }
    }

    /// The folder, which may not be there yet.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder, made now if it is not there. Others may pass through it but not look.
    pub fn make(&self) -> io::Result<&Path> {
        let Some(made) = &self.made else {
            fs::create_dir_all(&self.path)?;
            return Ok(&self.path);
        };
        let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
        if !*made {
            // Whatever has the name already is a stranger's, and an error.
            fs::DirBuilder::new().mode(0o711).create(&self.path)?;
            // The umask may have taken something away.
            fs::set_permissions(&self.path, fs::Permissions::from_mode(0o711))?;
            *made = true;
        }
        Ok(&self.path)
    }

    /// The folder of the notify sockets.
    pub fn make_notify(&self) -> io::Result<PathBuf> {
        let path = self.make()?.join("notify");
        match fs::DirBuilder::new().mode(0o711).create(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Err(_) => {}
            Ok(()) => fs::set_permissions(&path, fs::Permissions::from_mode(0o711))?,
        }
        Ok(path)
    }

    /// Removes what was made, as far as it is ours and empty.
    pub fn clean(&self) {
        match &self.made {
            Some(made) if *made.lock().unwrap_or_else(PoisonError::into_inner) => {
                let _ = fs::remove_dir_all(&self.path);
            }
            Some(_) => {}
            None => drop(fs::remove_dir(self.path.join("notify"))),
        }
    }
}

/// Where one stream of a child goes.
#[derive(Clone, Debug)]
pub(crate) enum Sink {
    /// Into the process's pipe, whose writing end the engine fills in.
    Capture,
    /// Anything else.
    Other(Stdio),
}

/// A launch that lacks only what differs between runs: the pipes, the tree, and the run's mark.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub launch: Launch,
    pub stdout: Sink,
    pub stderr: Sink,
    /// Who must be able to open the pipes and send to the notify socket.
    pub owner: Option<(u32, u32)>,
    pub log_file: Option<LogFile>,
    pub notify: Option<NotifySocket>,
    pub ready_line: Option<Regex>,
    /// What is worth saying about it.
    pub warnings: Vec<String>,
}

/// What a preparation came to, when not to a launch.
#[derive(Debug)]
pub(crate) enum NotPrepared {
    /// A condition does not hold.
    Unmet(String),
    /// Something failed.
    Failed(SpawnError),
}

/// What is to be prepared.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub spec: Arc<Spec>,
    /// Another command than the spec's: a hook's or a probe's.
    pub command: Option<Vec<String>>,
    /// Another user than the spec's.
    pub user: Option<String>,
    /// The path to bind a notify socket at, when the process has none yet.
    pub bind_notify: bool,
    /// The path of the notify socket.
    pub notify_name: String,
    /// Whose log file is to be opened, if one is: its own, or that of the process that it is an instance of.
    pub log: Option<Arc<Spec>>,
    /// Whether the conditions are to be looked at.
    pub conditions: bool,
}

impl Wanted {
    /// Whether nothing of this can block, and nothing that it depends on changes from run to run.
    pub fn is_prompt(&self) -> bool {
        let spec = &self.spec;
        let is_file = |stream: &Stream| matches!(stream, Stream::File(_));
        spec.conditions.is_empty()
            && spec.env_file.is_empty()
            && spec.user.is_none()
            && spec.group.is_none()
            && spec.groups.is_none()
            && self.user.is_none()
            && directories::none(spec)
            && !is_file(&spec.log.stdout)
            && !is_file(&spec.log.stderr)
            && !self.bind_notify
            && self.log.is_none()
    }
}

/// Whether a process with this spec is given a notify socket.
pub(crate) fn wants_notify(spec: &Spec) -> bool {
    // A task tells us by itself.
    !spec.task && (spec.process_type == ProcessType::Notify || spec.ready == Ready::Notify || spec.watchdog.is_some())
}

/// Prepares everything. Blocks for as long as disks and user databases do, unless [`Wanted::is_prompt`].
pub(crate) fn prepare(wanted: &Wanted, surroundings: &Surroundings) -> Result<Prepared, NotPrepared> {
    let spec = &wanted.spec;
    let is_main = wanted.command.is_none();
    if wanted.conditions
        && let Some(unmet) = condition::unmet(&spec.conditions, &surroundings.base, &surroundings.env)
    {
        return Err(NotPrepared::Unmet(unmet));
    }
    build(wanted, surroundings, is_main).map_err(NotPrepared::Failed)
}

fn build(wanted: &Wanted, surroundings: &Surroundings, is_main: bool) -> Result<Prepared, SpawnError> {
    let spec = &wanted.spec;
    if is_main && spec.task {
        return prepare_task(wanted, surroundings);
    }
    let account = account(wanted)?;
    let owner = account.ids.as_ref().map(|ids| (ids.uid, ids.gid));
    let (mut env, mut warnings) = Environment::of(spec, &account, surroundings)?;
    if !is_main {
        // Told with the main program already.
        warnings.clear();
    }
    // A hook may be another user's; what there is was made for the process itself.
    if is_main {
        surroundings.directories.make(spec, owner)?;
    }

    let mut notify = None;
    if wants_notify(spec) {
        let path = notify_path(wanted, surroundings)?;
        if wanted.bind_notify {
            let socket = NotifySocket::bind(&path, owner).map_err(|e| {
                failed(SpawnStep::Prepare, &format!("cannot bind the notify socket `{}`", path.display()), &e)
            })?;
            notify = Some(socket);
        }
        if is_main {
            env.set(OsStr::new("NOTIFY_SOCKET"), path.as_os_str());
            if let Some(watchdog) = spec.watchdog {
                env.set(OsStr::new("WATCHDOG_USEC"), OsStr::new(&watchdog.as_micros().to_string()));
            }
        }
    }
    let command = wanted.command.as_ref().unwrap_or(&spec.command);
    let mut launch = launch_of(command, &env)?;
    launch.env = env.into_strings()?;
    launch.directory = Some(c_string(directory(spec, surroundings).as_os_str(), SpawnStep::WorkingDirectory)?);
    launch.ids = account.ids;
    set_limits(&mut launch, spec, surroundings)?;
    Ok(Prepared {
        stdout: sink(&spec.log.stdout, surroundings, owner)?,
        stderr: sink(&spec.log.stderr, surroundings, owner)?,
        owner,
        log_file: log_file(wanted, surroundings)?,
        notify,
        ready_line: if is_main { ready_line(spec)? } else { None },
        launch,
        warnings,
    })
}

/// What another program is to be executed with, to be beside a process: as its hooks are.
#[cfg(feature = "grpc")]
pub(crate) struct Beside {
    /// `NAME=value`.
    pub env: Vec<CString>,
    pub directory: PathBuf,
    /// Who it is to be, unless the supervisor's own user.
    pub account: Account,
}

/// Looks it up. Blocks for as long as disks and user databases do.
#[cfg(feature = "grpc")]
pub(crate) fn beside(spec: &Spec, surroundings: &Surroundings) -> Result<Beside, SpawnError> {
    let account = creds::resolve(spec.user.as_deref(), spec.group.as_deref(), spec.groups.as_deref())?;
    let env = Environment::of(spec, &account, surroundings)?.0.into_strings()?;
    Ok(Beside { env, directory: directory(spec, surroundings), account })
}

/// A task has no launch: what is left is where its lines go.
fn prepare_task(wanted: &Wanted, surroundings: &Surroundings) -> Result<Prepared, SpawnError> {
    Ok(Prepared {
        launch: Launch::new(Vec::new(), Vec::new()),
        stdout: sink(&wanted.spec.log.stdout, surroundings, None)?,
        stderr: sink(&wanted.spec.log.stderr, surroundings, None)?,
        owner: None,
        log_file: log_file(wanted, surroundings)?,
        notify: None,
        ready_line: ready_line(&wanted.spec)?,
        warnings: Vec::new(),
    })
}

fn account(wanted: &Wanted) -> Result<Account, SpawnError> {
    let spec = &wanted.spec;
    let account = match &wanted.user {
        Some(user) => creds::resolve(Some(user), None, None),
        None => creds::resolve(spec.user.as_deref(), spec.group.as_deref(), spec.groups.as_deref()),
    }?;
    creds::permitted(&account)?;
    Ok(account)
}

/// Where a process runs.
pub(crate) fn directory(spec: &Spec, surroundings: &Surroundings) -> PathBuf {
    spec.working_dir.as_ref().map_or_else(|| surroundings.base.clone(), |dir| surroundings.base.join(dir))
}

fn launch_of(command: &[String], env: &Environment) -> Result<Launch, SpawnError> {
    let program = command.first().map(String::as_str).unwrap_or_default();
    let path = env.0.get(OsStr::new("PATH")).map(OsString::as_os_str);
    let programs = candidates(OsStr::new(program), path).ok_or_else(|| SpawnError {
        step: SpawnStep::Prepare,
        errno: None,
        message: format!("`{}` cannot be the name of a program", program.escape_debug()),
    })?;
    let argv = command.iter().map(|arg| c_string(OsStr::new(arg), SpawnStep::Prepare)).collect::<Result<_, _>>()?;
    Ok(Launch::new(programs, argv))
}

fn set_limits(launch: &mut Launch, spec: &Spec, surroundings: &Surroundings) -> Result<(), SpawnError> {
    launch.umask = spec.umask;
    launch.nice = spec.nice;
    launch.oom_score_adj = spec.limits.oom_score_adj;
    launch.no_new_privs = spec.no_new_privs;
    let unknown = |step, what: &str, name: &str| SpawnError {
        step,
        errno: None,
        message: format!("there is no {what} named `{name}`"),
    };
    if let Some((soft, hard)) = surroundings.open_files
        && !spec.rlimits.contains_key("nofile")
        && let Some(resource) = limits::resource("nofile")
    {
        launch.rlimits.push(RlimitSet { resource, soft, hard });
    }
    for (name, limit) in &spec.rlimits {
        let resource = limits::resource(name).ok_or_else(|| unknown(SpawnStep::Rlimit, "resource limit", name))?;
        let (soft, hard) = (limit.soft.unwrap_or(u64::MAX), limit.hard.unwrap_or(u64::MAX));
        launch.rlimits.push(RlimitSet { resource, soft, hard });
    }
    launch.ambient = caps::bits(&spec.ambient_capabilities)
        .map_err(|name| unknown(SpawnStep::AmbientCapabilities, "capability", name))?;
    launch.bounding = spec
        .bounding_capabilities
        .as_ref()
        .map(|names| caps::bits(names).map_err(|name| unknown(SpawnStep::BoundingSet, "capability", name)))
        .transpose()?;
    Ok(())
}

fn sink(stream: &Stream, surroundings: &Surroundings, owner: Option<(u32, u32)>) -> Result<Sink, SpawnError> {
    Ok(match stream {
        Stream::Capture => Sink::Capture,
        Stream::Inherit => Sink::Other(Stdio::Inherit),
        Stream::Null => Sink::Other(Stdio::Null),
        Stream::File(path) => {
            let path = surroundings.base.join(path);
            let file = open_for_child(&path, owner.is_some())
                .map_err(|e| failed(SpawnStep::Log, &format!("cannot open `{}` for output", path.display()), &e))?;
            Sink::Other(Stdio::Fd(Arc::new(file)))
        }
    })
}

/// Opens a file that a child writes to by itself. One that would block (a pipe without a reader) is an error instead;
/// so is a symbolic link where the child is another user, who may have made it to be given a file of ours.
fn open_for_child(path: &Path, other_user: bool) -> io::Result<OwnedFd> {
    let nofollow = if other_user { OFlag::O_NOFOLLOW } else { OFlag::empty() };
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY | nofollow;
    let file = OpenOptions::new().append(true).create(true).mode(0o640).custom_flags(flags.bits()).open(path)?;
    fcntl(&file, FcntlArg::F_SETFL(OFlag::O_APPEND))?;
    Ok(file.into())
}

/// Which file a process's lines are appended to.
pub(crate) fn log_place(spec: &Spec, surroundings: &Surroundings) -> Option<LogPlace> {
    let log = &spec.log;
    let captured = [&log.stdout, &log.stderr].contains(&&Stream::Capture);
    let path = match &log.file {
        Some(path) => surroundings.base.join(path),
        // A name is safe as a file's: it has no slash, and `.` and `..` are none.
        None => surroundings.log_dir.as_ref().filter(|_| captured)?.join(format!("{}.log", spec.name)),
    };
    Some(LogPlace { path, max_size: log.max_size, keep: log.keep })
}

fn log_file(wanted: &Wanted, surroundings: &Surroundings) -> Result<Option<LogFile>, SpawnError> {
    let Some(spec) = &wanted.log else { return Ok(None) };
    let Some(place) = log_place(spec, surroundings) else { return Ok(None) };
    let path = place.path.clone();
    if let (None, Some(dir)) = (&spec.log.file, &surroundings.log_dir) {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|e| failed(SpawnStep::Log, &format!("cannot make the folder of logs `{}`", dir.display()), &e))?;
    }
    LogFile::open(place)
        .map(Some)
        .map_err(|e| failed(SpawnStep::Log, &format!("cannot open the log file `{}`", path.display()), &e))
}

pub(super) fn ready_line(spec: &Spec) -> Result<Option<Regex>, SpawnError> {
    let Ready::LogLine(line) = &spec.ready else { return Ok(None) };
    Regex::new(&line.pattern).map(Some).map_err(|e| SpawnError {
        step: SpawnStep::Log,
        errno: None,
        message: format!("the ready line `{}` is no regular expression: {e}", line.pattern),
    })
}

fn notify_path(wanted: &Wanted, surroundings: &Surroundings) -> Result<PathBuf, SpawnError> {
    surroundings
        .directories
        .runtime()
        .make_notify()
        .map(|folder| folder.join(&wanted.notify_name))
        .map_err(|e| failed(SpawnStep::Directory, "cannot make the folder of the notify sockets", &e))
}

/// A child's environment in the making.
struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// All but what differs between a process's main program and its hooks; and what was odd about its files.
    fn of(spec: &Spec, account: &Account, surroundings: &Surroundings) -> Result<(Self, Vec<String>), SpawnError> {
        let mut env = Environment::inherited(spec, surroundings);
        for (name, value) in &account.env {
            env.set(OsStr::new(name), OsStr::new(value));
        }
        for (name, list) in surroundings.directories.variables(spec)? {
            env.set(OsStr::new(name), &list);
        }
        let warnings = env.files(spec, surroundings)?;
        spec.env.iter().for_each(|(name, value)| env.set(OsStr::new(name), OsStr::new(value)));
        spec.secret_env.iter().for_each(|(name, value)| env.set(OsStr::new(name), OsStr::new(value.expose())));
        Ok((env, warnings))
    }

    fn inherited(spec: &Spec, surroundings: &Surroundings) -> Self {
        Environment(if spec.clear_env { BTreeMap::new() } else { surroundings.env.clone() })
    }

    fn set(&mut self, name: &OsStr, value: &OsStr) {
        self.0.insert(name.to_owned(), value.to_owned());
    }

    /// What was odd about them.
    fn files(&mut self, spec: &Spec, surroundings: &Surroundings) -> Result<Vec<String>, SpawnError> {
        let files = envfile::read(&spec.env_file, &surroundings.base).map_err(|(errno, message)| SpawnError {
            step: SpawnStep::EnvFile,
            errno,
            message,
        })?;
        for (name, value) in files.variables {
            self.0.insert(OsString::from_vec(name), OsString::from_vec(value));
        }
        Ok(files.warnings)
    }

    fn into_strings(self) -> Result<Vec<CString>, SpawnError> {
        let mut strings = Vec::with_capacity(self.0.len() + 1);
        for (name, value) in self.0 {
            let mut text = name.into_vec();
            text.push(b'=');
            text.extend_from_slice(value.as_bytes());
            strings.push(c_string(OsStr::from_bytes(&text), SpawnStep::Prepare)?);
        }
        Ok(strings)
    }
}

/// The inherited environment less what belongs to the supervisor itself.
pub(crate) fn inheritable(env: impl IntoIterator<Item = (OsString, OsString)>) -> BTreeMap<OsString, OsString> {
    let own = |name: &OsStr| {
        let name = name.as_bytes();
        name.starts_with(b"NEAP_")
            || name.starts_with(b"LISTEN_")
            || matches!(name, b"NOTIFY_SOCKET" | b"WATCHDOG_USEC" | b"WATCHDOG_PID")
            // Of the service that the supervisor is: its own state is nothing for a process to write into.
            || matches!(name, b"RUNTIME_DIRECTORY" | b"STATE_DIRECTORY" | b"CACHE_DIRECTORY" | b"LOGS_DIRECTORY")
            || name == b"CONFIGURATION_DIRECTORY"
    };
    env.into_iter().filter(|(name, _)| !own(name)).collect()
}

fn c_string(text: &OsStr, step: SpawnStep) -> Result<CString, SpawnError> {
    CString::new(text.as_bytes()).map_err(|_| SpawnError {
        step,
        errno: None,
        message: format!("`{}` has a NUL byte, which no program can be given", text.to_string_lossy().escape_debug()),
    })
}

fn failed(step: SpawnStep, what: &str, error: &io::Error) -> SpawnError {
    SpawnError { step, errno: error.raw_os_error(), message: format!("{what}: {error}") }
}
