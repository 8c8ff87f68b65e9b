//! The defaults of a front end.

use std::time::Duration;

use super::super::hook::Hook;
use super::super::process::{LogSettings, Spec, Stream};
use super::super::restart::{Restart, RestartPolicy};
use super::super::signal::Signal;
use super::super::stop::Stop;

/// Who wrote what is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A user or a client: keys that do nothing yet are an error that says so, and so is `***`, which is how secrets
    /// are shown, as a value.
    Written,
    /// Neap itself, which stored a spec that it had: whatever a spec can hold is read.
    Stored,
}

/// The language that a definition is written in: which words messages offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// Lua.
    Lua,
    /// What programs send: the keys of Lua, and no constructors.
    Json,
    /// YAML, where there are no constructors, and the older system's names are keys, too.
    Yaml,
}

/// The pace and thresholds of a health check that gives none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    /// From the end of one probe to the start of the next.
    pub interval: Duration,
    /// An answer later than this is a failure.
    pub timeout: Duration,
    /// Failures in a row that make it unhealthy.
    pub retries: u32,
    /// Successes in a row that make it healthy again.
    pub successes: u32,
    /// Failures do not count for this long after the start.
    pub start_period: Duration,
    /// Failures in a row after which it is restarted; 0 never does.
    pub restart_after: u32,
}

/// What a key means when it is not given, and the few other ways in which front ends differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Dialect {
    /// Whether a process starts by itself; with `listen` it never does unless told.
    pub auto_start: bool,
    /// Policy, pace and limit of restarts.
    pub restart: Restart,
    /// The restart policy of a oneshot.
    pub oneshot_policy: RestartPolicy,
    /// How long a start may take; `None` waits for ever.
    pub start_timeout: Option<Duration>,
    /// The ladder of a stop. Its first rung gives what `signal` or `timeout` leave out.
    pub stop: Stop,
    /// The timeout of a hook.
    pub hook_timeout: Duration,
    /// The pace of a health check.
    pub health: Pace,
    /// The status codes with which an HTTP probe succeeds, as inclusive ranges.
    pub http_status: Vec<(u16, u16)>,
    /// Where a process runs; `None` is the configuration's folder.
    pub working_dir: Option<String>,
    /// What happens to output.
    pub log: LogSettings,
    /// Whether a command in text is split like a shell would.
    pub split_commands: bool,
    /// Who wrote what is read.
    pub origin: Origin,
    /// The language that it is written in.
    pub syntax: Syntax,
}

impl Dialect {
    /// The defaults of Lua and Rust.
    pub fn native() -> Self {
        Dialect {
            auto_start: true,
            restart: Restart::default(),
            oneshot_policy: RestartPolicy::Never,
            start_timeout: Some(Spec::DEFAULT_START_TIMEOUT),
            stop: Stop::default(),
            hook_timeout: Hook::DEFAULT_TIMEOUT,
            health: Pace {
                interval: Duration::from_secs(10),
                timeout: Duration::from_secs(5),
                retries: 3,
                successes: 1,
                start_period: Duration::ZERO,
                restart_after: 0,
            },
            http_status: vec![(200, 299)],
            working_dir: None,
            log: LogSettings::default(),
            split_commands: true,
            origin: Origin::Written,
            syntax: Syntax::Lua,
        }
    }

    /// The defaults of YAML, gRPC and `neap create`, which are those of the system that this one follows.
    pub fn compatible() -> Self {
        let native = Dialect::native();
        Dialect {
            auto_start: false,
            restart: Restart::never().jitter(0.0).limit(5, Duration::from_secs(300)),
            start_timeout: None,
            stop: Stop::signal(Signal::TERM, Duration::from_secs(90)),
            health: Pace { interval: Duration::from_secs(30), ..native.health },
            http_status: vec![(200, 200)],
            working_dir: Some("/".into()),
            log: LogSettings { stdout: Stream::Inherit, stderr: Stream::Inherit, ..native.log },
            ..native
        }
    }
}

impl Default for Dialect {
    fn default() -> Self {
        Dialect::native()
    }
}
