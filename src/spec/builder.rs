//! Building a spec in Rust: a constructor and a method for each key.

use std::time::Duration;

use super::hook::{FunctionId, Hook, Hooks};
use super::listener::Listener;
use super::plan::Source;
use super::probe::{Health, Ready};
use super::process::{Conditions, Directory, EnvFile, Limits, LogSettings, ProcessType, Rlimit, Secret, Spec, Stream};
use super::restart::{Restart, RestartPolicy};
use super::signal::Signal;
use super::stop::{Reload, Stop, mark};

impl Spec {
    /// A process of this name that runs this command (program and arguments, never seen by a shell), with the defaults.
    ///
    /// Nothing is checked here: [`validate`](Spec::validate) reports all that is wrong, and a supervisor calls it.
    ///
    /// ```
    /// use neap::spec::{Ready, Restart, Spec};
    ///
    /// let api = Spec::new("api", ["./api", "--port", "8080"])
    ///     .requires("db")
    ///     .ready(Ready::tcp(8080))
    ///     .restart(Restart::on_failure());
    /// assert!(api.validate().is_empty());
    /// ```
    pub fn new<I, S>(name: impl Into<String>, command: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        Spec {
            name: name.into(),
            description: None,
            command: command.into_iter().map(Into::into).collect(),
            task: false,
            process_type: ProcessType::Simple,
            remain: false,
            auto_start: true,
            critical: false,
            working_dir: None,
            env: Default::default(),
            secret_env: Default::default(),
            env_file: Vec::new(),
            clear_env: false,
            user: None,
            group: None,
            groups: None,
            umask: Some(Spec::DEFAULT_UMASK),
            nice: None,
            rlimits: Default::default(),
            ambient_capabilities: Vec::new(),
            bounding_capabilities: None,
            no_new_privs: false,
            requires: Vec::new(),
            wants: Vec::new(),
            binds_to: Vec::new(),
            follows: Vec::new(),
            part_of: Vec::new(),
            conflicts: Vec::new(),
            after: Vec::new(),
            before: Vec::new(),
            conditions: Conditions::default(),
            ready: Ready::Executed,
            health: None,
            restart: Restart::default(),
            success_exit_status: vec![0],
            success_signals: Vec::new(),
            stop: Stop::default(),
            start_timeout: Some(Spec::DEFAULT_START_TIMEOUT),
            reload: None,
            reload_on_change: None,
            hooks: Hooks::default(),
            limits: Limits::default(),
            listen: Vec::new(),
            runtime_directory: Vec::new(),
            state_directory: Vec::new(),
            cache_directory: Vec::new(),
            logs_directory: Vec::new(),
            pidfile: None,
            log: LogSettings::default(),
            watchdog: None,
            volatile: false,
            source: Source::default(),
        }
    }

    /// A process that runs a line with `/bin/sh -c`.
    ///
    /// ```
    /// let spec = neap::spec::Spec::shell("backup", "pg_dump db | gzip > db.gz");
    /// assert_eq!(spec.command, ["/bin/sh", "-c", "pg_dump db | gzip > db.gz"]);
    /// ```
    pub fn shell(name: impl Into<String>, line: impl Into<String>) -> Self {
        Spec::new(name, ["/bin/sh".to_owned(), "-c".to_owned(), line.into()])
    }

    /// A task of this name: its runs are futures of the program's own, made by the function that
    /// [`Supervisor::add_task`](crate::Supervisor::add_task) is given beside this. Dependencies, restarts, readiness,
    /// health, hooks and stopping are those of any process; keys that are about a child of the kernel's are refused.
    ///
    /// ```
    /// use neap::spec::{Restart, Spec};
    ///
    /// let mailer = Spec::task("mailer").requires("db").restart(Restart::always());
    /// assert!(mailer.validate().is_empty());
    /// ```
    pub fn task(name: impl Into<String>) -> Self {
        Spec { task: true, ..Spec::new(name, [""; 0]) }
    }

    /// The file mode creation mask of a process that names none.
    pub const DEFAULT_UMASK: u32 = 0o022;

    /// How long a start may take when the spec does not say.
    pub const DEFAULT_START_TIMEOUT: Duration = Duration::from_secs(90);

    /// A line for people.
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = Some(text.into());
        self
    }

    /// One more argument.
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.command.push(argument.into());
        self
    }

    /// More arguments.
    pub fn args<I, S>(mut self, arguments: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        self.command.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// How it announces itself. A oneshot is not restarted by default: the restart policy becomes `never` if it still
    /// is the default; give another with [`restart`](Spec::restart) after this.
    pub fn process_type(mut self, process_type: ProcessType) -> Self {
        self.process_type = process_type;
        if process_type == ProcessType::Oneshot && self.restart == Restart::default() {
            self.restart.policy = RestartPolicy::Never;
        }
        self
    }

    /// It runs once and is ready when it ended with success; see [`process_type`](Spec::process_type).
    ///
    /// ```
    /// use neap::spec::{RestartPolicy, Spec};
    ///
    /// let migrate = Spec::new("migrate", ["./migrate"]).oneshot();
    /// assert_eq!(migrate.restart.policy, RestartPolicy::Never);
    /// ```
    pub fn oneshot(self) -> Self {
        self.process_type(ProcessType::Oneshot)
    }

    /// Whether a oneshot that ended well counts as running until it is stopped.
    pub fn remain(mut self, remain: bool) -> Self {
        self.remain = remain;
        self
    }

    /// Whether it starts with the supervisor (it does, unless told otherwise).
    pub fn auto_start(mut self, auto_start: bool) -> Self {
        self.auto_start = auto_start;
        self
    }

    /// Whether its final end ends the instance, with its code. A oneshot's success does not count.
    pub fn critical(mut self, critical: bool) -> Self {
        self.critical = critical;
        self
    }

    /// Where it runs.
    pub fn working_dir(mut self, directory: impl Into<String>) -> Self {
        self.working_dir = Some(directory.into());
        self
    }

    /// A variable of its environment.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Variables of its environment.
    pub fn envs<I, K, V>(mut self, variables: I) -> Self
    where
        I: IntoIterator<Item = (K, V)>,
        K: Into<String>,
        V: Into<String>,
    {
        self.env.extend(variables.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// A variable whose value is never shown.
    pub fn secret_env(mut self, name: impl Into<String>, value: Secret) -> Self {
        self.secret_env.insert(name.into(), value);
        self
    }

    /// A file of variables, read at each start. With a leading `-` it may be missing.
    ///
    /// ```
    /// let spec = neap::spec::Spec::new("api", ["./api"]).env_file("-api.env");
    /// assert_eq!((spec.env_file[0].path.as_str(), spec.env_file[0].optional), ("api.env", true));
    /// ```
    pub fn env_file(mut self, path: impl AsRef<str>) -> Self {
        self.env_file.push(EnvFile::parse(path.as_ref()));
        self
    }

    /// Whether nothing of the supervisor's environment is inherited.
    pub fn clear_env(mut self, clear: bool) -> Self {
        self.clear_env = clear;
        self
    }

    /// As whom it runs: a name, or a number in digits.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Its primary group, when not the user's own.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// Its supplementary groups, when not the user's own. An empty list leaves it none.
    pub fn groups<I, S>(mut self, groups: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        self.groups = Some(groups.into_iter().map(Into::into).collect());
        self
    }

    /// Its file mode creation mask (`0o022` unless given).
    pub fn umask(mut self, umask: u32) -> Self {
        self.umask = Some(umask);
        self
    }

    /// Its nice value, -20 to 19.
    pub fn nice(mut self, nice: i32) -> Self {
        self.nice = Some(nice);
        self
    }

    /// A resource limit of setrlimit(2) by its name in lower case (`nofile`); soft and hard are the same.
    pub fn rlimit(mut self, name: impl Into<String>, limit: u64) -> Self {
        self.rlimits.insert(name.into(), Rlimit { soft: Some(limit), hard: Some(limit) });
        self
    }

    /// A resource limit whose soft and hard values differ; `None` is infinity.
    pub fn rlimit_pair(mut self, name: impl Into<String>, soft: Option<u64>, hard: Option<u64>) -> Self {
        self.rlimits.insert(name.into(), Rlimit { soft, hard });
        self
    }

    /// A capability it keeps although it is not root, in lower case without `CAP_` (`net_bind_service`).
    pub fn ambient_capability(mut self, capability: impl Into<String>) -> Self {
        self.ambient_capabilities.push(capability.into());
        self
    }

    /// The only capabilities that it and its children can ever have.
    pub fn bounding_capabilities<I, S>(mut self, capabilities: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        self.bounding_capabilities = Some(capabilities.into_iter().map(Into::into).collect());
        self
    }

    /// Whether set-user-id programs gain it nothing.
    pub fn no_new_privs(mut self, no_new_privs: bool) -> Self {
        self.no_new_privs = no_new_privs;
        self
    }

    /// Started with it and before it; if this one cannot start, it fails; stopped with this one.
    pub fn requires(mut self, name: impl Into<String>) -> Self {
        self.requires.push(name.into());
        self
    }

    /// Started with it; the failure of this one does not matter.
    pub fn wants(mut self, name: impl Into<String>) -> Self {
        self.wants.push(name.into());
        self
    }

    /// As [`requires`](Spec::requires), and stopped whenever this one leaves running, for whatever reason.
    pub fn binds_to(mut self, name: impl Into<String>) -> Self {
        self.binds_to.push(name.into());
        self
    }

    /// Restarted when this one comes back after a failure or restart.
    pub fn follows(mut self, name: impl Into<String>) -> Self {
        self.follows.push(name.into());
        self
    }

    /// Stopped and restarted with this one.
    pub fn part_of(mut self, name: impl Into<String>) -> Self {
        self.part_of.push(name.into());
        self
    }

    /// Never up at the same time as this one; either may say so.
    pub fn conflicts(mut self, name: impl Into<String>) -> Self {
        self.conflicts.push(name.into());
        self
    }

    /// Started after this one is ready, stopped before it. Orders only; starts nothing.
    pub fn after(mut self, name: impl Into<String>) -> Self {
        self.after.push(name.into());
        self
    }

    /// Ready before this one is started, stopped after it. Orders only; starts nothing.
    pub fn before(mut self, name: impl Into<String>) -> Self {
        self.before.push(name.into());
        self
    }

    /// What must hold for a start to be made; looked at again at each start.
    pub fn conditions(mut self, conditions: Conditions) -> Self {
        self.conditions = conditions;
        self
    }

    /// A path that must exist for a start to be made (`!path`: must not; of those with `|` one is enough).
    pub fn condition_path_exists(mut self, path: impl Into<String>) -> Self {
        self.conditions.path_exists.push(path.into());
        self
    }

    /// A function that is asked at each start, once all other conditions hold: see
    /// [`Builder::function`](crate::Builder::function). Its `Err` is the reason why the start is skipped.
    ///
    /// ```
    /// use neap::Supervisor;
    /// use neap::spec::{FunctionId, Spec};
    ///
    /// let supervisor =
    ///     Supervisor::builder().function(FunctionId(1), |_| Err("the disk is full".into())).build()?;
    /// let job = supervisor.add(Spec::new("job", ["true"]).condition(FunctionId(1)))?;
    /// let skipped = job.start_blocking().unwrap_err();
    /// assert!(skipped.to_string().contains("the disk is full"));
    /// # supervisor.shutdown().wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn condition(mut self, function: FunctionId) -> Self {
        self.conditions.check = Some(function);
        self
    }

    /// What makes it ready, beyond having been executed.
    pub fn ready(mut self, ready: Ready) -> Self {
        self.ready = ready;
        self
    }

    /// How it is found out whether it is well.
    pub fn health(mut self, health: Health) -> Self {
        self.health = Some(health);
        self
    }

    /// When it is started again after it ended by itself.
    pub fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// An exit code that is a success besides 0.
    pub fn success_exit_status(mut self, code: i32) -> Self {
        if let Err(place) = self.success_exit_status.binary_search(&code) {
            self.success_exit_status.insert(place, code);
        }
        self
    }

    /// A signal whose death is a success, besides those that the type allows.
    pub fn success_signal(mut self, signal: Signal) -> Self {
        if !self.success_signals.contains(&signal) {
            self.success_signals.push(signal);
        }
        self
    }

    /// How it is ended.
    pub fn stop(mut self, stop: Stop) -> Self {
        self.stop = stop;
        self
    }

    /// How long it may take to become ready; `None` waits for ever.
    pub fn start_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.start_timeout = timeout.into();
        self
    }

    /// How it is told to read its configuration again.
    pub fn reload(mut self, reload: Reload) -> Self {
        self.reload = Some(reload);
        self
    }

    /// What the program reads itself, such as the text of its configuration file. When an update or an apply changes it, the
    /// running process is told to read it again, by [`reload`](Spec::reload). Longer texts are kept as a digest.
    pub fn reload_on_change(mut self, text: impl Into<String>) -> Self {
        self.reload_on_change = Some(mark(text));
        self
    }

    /// What is done at its turning points, replacing what was given before.
    pub fn hooks(mut self, hooks: Hooks) -> Self {
        self.hooks = hooks;
        self
    }

    /// Done before the program is executed; a failure fails the start.
    pub fn before_start(mut self, hook: Hook) -> Self {
        self.hooks.before_start.push(hook);
        self
    }

    /// Done once it is ready.
    pub fn after_start(mut self, hook: Hook) -> Self {
        self.hooks.after_start.push(hook);
        self
    }

    /// Done before the first stop signal of a stop that was asked for.
    pub fn before_stop(mut self, hook: Hook) -> Self {
        self.hooks.before_stop.push(hook);
        self
    }

    /// Done when a run is over and nothing of it is left, however it ended.
    pub fn after_stop(mut self, hook: Hook) -> Self {
        self.hooks.after_stop.push(hook);
        self
    }

    /// Done when it has failed or crashed and no further restart is due.
    pub fn on_failure(mut self, hook: Hook) -> Self {
        self.hooks.on_failure.push(hook);
        self
    }

    /// What its tree may use.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// A socket that is held for it; it then starts on the first connection, so `auto_start` becomes false.
    pub fn listen(mut self, listener: Listener) -> Self {
        self.listen.push(listener);
        self.auto_start = false;
        self
    }

    /// A directory made for it below the runtime directory, and removed when it is down.
    pub fn runtime_directory(mut self, directory: impl Into<Directory>) -> Self {
        self.runtime_directory.push(directory.into());
        self
    }

    /// A directory for its state, made at each start where it is missing, and kept.
    pub fn state_directory(mut self, directory: impl Into<Directory>) -> Self {
        self.state_directory.push(directory.into());
        self
    }

    /// A directory for what it can make again, likewise.
    pub fn cache_directory(mut self, directory: impl Into<Directory>) -> Self {
        self.cache_directory.push(directory.into());
        self
    }

    /// A directory for logs that it writes by itself, likewise.
    pub fn logs_directory(mut self, directory: impl Into<Directory>) -> Self {
        self.logs_directory.push(directory.into());
        self
    }

    /// Where its pid is read from (forking) or written to (others).
    pub fn pidfile(mut self, path: impl Into<String>) -> Self {
        self.pidfile = Some(path.into());
        self
    }

    /// What happens to its output.
    pub fn log(mut self, log: LogSettings) -> Self {
        self.log = log;
        self
    }

    /// Where its standard output goes.
    pub fn stdout(mut self, stream: Stream) -> Self {
        self.log.stdout = stream;
        self
    }

    /// Where its standard error goes.
    pub fn stderr(mut self, stream: Stream) -> Self {
        self.log.stderr = stream;
        self
    }

    /// It must say WATCHDOG=1 on its notify socket at least this often.
    pub fn watchdog(mut self, interval: Duration) -> Self {
        self.watchdog = Some(interval);
        self
    }

    /// Whether it is forgotten when the instance or the machine goes down, when it was made at run time.
    pub fn volatile(mut self, volatile: bool) -> Self {
        self.volatile = volatile;
        self
    }

    /// Where it was declared, for messages.
    pub fn source(mut self, source: Source) -> Self {
        self.source = source;
        self
    }
}

impl Directory {
    /// The mode of one that names none.
    pub(crate) const MODE: u32 = 0o755;

    /// A folder of this name, which others may look into.
    pub fn new(path: impl Into<String>) -> Directory {
        Directory { path: path.into(), mode: Directory::MODE }
    }

    /// With this mode.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Directory {
        self.mode = mode;
        self
    }
}

impl From<&str> for Directory {
    fn from(path: &str) -> Directory {
        Directory::new(path)
    }
}

impl From<String> for Directory {
    fn from(path: String) -> Directory {
        Directory::new(path)
    }
}

impl EnvFile {
    /// A file of variables as it is written: a leading `-` says that it may be missing.
    pub fn parse(text: &str) -> EnvFile {
        match text.strip_prefix('-') {
            Some(path) => EnvFile { path: path.to_owned(), optional: true },
            None => EnvFile { path: text.to_owned(), optional: false },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_spec_has_the_defaults_of_the_contract() {
        let spec = Spec::new("web", ["nginx"]);
        assert_eq!(spec.command, ["nginx"]);
        assert!(spec.auto_start);
        assert_eq!(spec.restart, Restart::on_failure());
        assert_eq!(spec.restart.delay, Duration::from_secs(1));
        assert_eq!(spec.start_timeout, Some(Duration::from_secs(90)));
        assert_eq!(spec.stop, Stop::signal(Signal::TERM, Duration::from_secs(10)));
        assert_eq!(spec.umask, Some(0o022));
        assert_eq!(spec.success_exit_status, [0]);
        assert_eq!(spec.log.ring, 64 << 10);
    }

    #[test]
    fn a_oneshot_is_not_restarted_unless_told_so() {
        assert_eq!(Spec::new("a", ["a"]).oneshot().restart, Restart::never());
        let told = Spec::new("a", ["a"]).restart(Restart::on_failure().factor(3.0)).oneshot();
        assert_eq!(told.restart.policy, RestartPolicy::OnFailure);
        assert_eq!(Spec::new("a", ["a"]).oneshot().restart(Restart::on_failure()).restart, Restart::on_failure());
    }

    #[test]
    fn success_codes_are_kept_sorted_and_once() {
        let spec = Spec::new("a", ["a"]).success_exit_status(3).success_exit_status(1).success_exit_status(3);
        assert_eq!(spec.success_exit_status, [0, 1, 3]);
    }

    #[test]
    fn a_listener_makes_a_process_start_on_demand() {
        let listener = Listener::new(crate::spec::ListenAddress::Tcp("127.0.0.1:80".into()));
        assert!(!Spec::new("a", ["a"]).listen(listener).auto_start);
    }
}
