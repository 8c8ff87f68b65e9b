//! How Neap finds out whether a process is ready, and whether it is well.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::hook::FunctionId;

/// An HTTP request as a probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpProbe {
    /// `http://host:port/path`, or `unix:/path/to.sock:/path` for a socket.
    pub url: String,
    /// The request's method.
    pub method: String,
    /// The status codes that count as success, as inclusive ranges.
    pub expected_status: Vec<(u16, u16)>,
    /// Headers sent with the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// Text that the body must contain, when given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// What a probe asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeTarget {
    /// A request that must be answered as expected.
    Http(HttpProbe),
    /// A connection that must be accepted.
    Tcp {
        /// The host's name or address.
        host: String,
        /// The port.
        port: u16,
    },
    /// A command that must exit with 0, in the process's environment and as its user.
    Exec(Vec<String>),
    /// A function that must return true.
    Function(FunctionId),
}

/// A probe with its pace and its thresholds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// What is asked.
    pub target: ProbeTarget,
    /// From the end of one probe to the start of the next. A ready probe that gives none goes from 100 ms to 1 s.
    #[serde(default, with = "super::units::optional_duration", skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    /// An answer later than this is a failure. 5 s for health, 1 s for ready, unless given.
    #[serde(default, with = "super::units::optional_duration", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
}

/// The health of a running process: when it is asked for, and what follows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// What is asked.
    pub target: ProbeTarget,
    /// From the end of one probe to the start of the next.
    #[serde(with = "super::units::duration")]
    pub interval: Duration,
    /// An answer later than this is a failure.
    #[serde(with = "super::units::duration")]
    pub timeout: Duration,
    /// Failures in a row that make it unhealthy.
    pub retries: u32,
    /// Successes in a row that make it healthy again.
    pub successes: u32,
    /// Failures do not count for this long after it was executed.
    #[serde(with = "super::units::duration")]
    pub start_period: Duration,
    /// Failures in a row after which it is restarted; 0 never restarts it.
    pub restart_after: u32,
}

impl Health {
    /// Health by this target, with the defaults (every 10 s, 5 s each, 3 failures).
    pub fn new(target: ProbeTarget) -> Self {
        Health {
            target,
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            retries: 3,
            successes: 1,
            start_period: Duration::ZERO,
            restart_after: 0,
        }
    }
}

/// A line of output that says "ready".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// A regular expression, matched within one line of stdout or stderr.
    pub pattern: String,
}

/// What makes a process ready, beyond having been executed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ready {
    /// It was executed (`simple`), ended well (`oneshot`), daemonised (`forking`) or sent READY=1 (`notify`).
    #[default]
    Executed,
    /// It sent READY=1, whatever its type.
    Notify,
    /// Its health check passed once.
    Health,
    /// This probe passed once.
    Probe(Probe),
    /// It printed this line.
    LogLine(LogLine),
}

impl Ready {
    /// Ready once this port on 127.0.0.1 accepts a connection.
    pub fn tcp(port: u16) -> Self {
        Ready::Probe(Probe {
            target: ProbeTarget::Tcp { host: "127.0.0.1".into(), port },
            interval: None,
            timeout: None,
        })
    }

    /// Ready once a GET of this URL is answered with a 2xx status.
    pub fn http(url: impl Into<String>) -> Self {
        Ready::Probe(Probe { target: ProbeTarget::http(url), interval: None, timeout: None })
    }

    /// Ready once this command exits with 0.
    pub fn exec<I, S>(command: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        let command = command.into_iter().map(Into::into).collect();
        Ready::Probe(Probe { target: ProbeTarget::Exec(command), interval: None, timeout: None })
    }

    /// Ready once a line of its output matches this regular expression.
    pub fn logline(pattern: impl Into<String>) -> Self {
        Ready::LogLine(LogLine { pattern: pattern.into() })
    }
}

impl ProbeTarget {
    /// A GET that must be answered with a 2xx status.
    pub fn http(url: impl Into<String>) -> Self {
        ProbeTarget::Http(HttpProbe {
            url: url.into(),
            method: "GET".into(),
            expected_status: vec![(200, 299)],
            headers: Vec::new(),
            body: None,
        })
    }
}
