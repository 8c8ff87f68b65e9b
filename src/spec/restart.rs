//! When a process that ended is started again, and after how long.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// When a run that ended by itself is followed by another (systemd.service(5), `Restart=`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Not at all.
    Never,
    /// However it ended.
    Always,
    /// When it ended badly: exit code, signal, timeout, watchdog, or a status that nobody could learn.
    #[default]
    OnFailure,
    /// When it ended with success.
    OnSuccess,
    /// On a signal, a timeout or a missed watchdog, not on an exit code.
    OnAbnormal,
    /// On a signal that is not a clean one.
    OnAbort,
    /// On a missed watchdog.
    OnWatchdog,
}

impl RestartPolicy {
    /// The word for it, as a configuration writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            RestartPolicy::Never => "never",
            RestartPolicy::Always => "always",
            RestartPolicy::OnFailure => "on-failure",
            RestartPolicy::OnSuccess => "on-success",
            RestartPolicy::OnAbnormal => "on-abnormal",
            RestartPolicy::OnAbort => "on-abort",
            RestartPolicy::OnWatchdog => "on-watchdog",
        }
    }
}

/// Policy and pace of automatic restarts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Restart {
    /// Which ends are followed by another run.
    pub policy: RestartPolicy,
    /// Wait before the first automatic restart.
    #[serde(with = "super::units::duration")]
    pub delay: Duration,
    /// Each further wait is this many times the one before (1 keeps it constant).
    pub factor: f64,
    /// No wait is longer than this.
    #[serde(with = "super::units::duration")]
    pub max_delay: Duration,
    /// Each wait is lengthened or shortened by up to this share of it, 0 to 1.
    pub jitter: f64,
    /// How many automatic restarts are too many.
    pub limit: StartLimit,
    /// A run that lived this long resets the delay and the count.
    #[serde(with = "super::units::duration")]
    pub reset_after: Duration,
}

/// The start limit: more than `burst` automatic restarts within `interval`, and a person must act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartLimit {
    /// Automatic restarts allowed within the interval; 0 sets no limit.
    pub burst: u32,
    /// The window they are counted in.
    #[serde(with = "super::units::duration")]
    pub interval: Duration,
}

impl Default for Restart {
    fn default() -> Self {
        Restart {
            policy: RestartPolicy::OnFailure,
            delay: Duration::from_secs(1),
            factor: 2.0,
            max_delay: Duration::from_secs(60),
            jitter: 0.1,
            limit: StartLimit::default(),
            reset_after: Duration::from_secs(60),
        }
    }
}

impl Default for StartLimit {
    fn default() -> Self {
        StartLimit { burst: 10, interval: Duration::from_secs(600) }
    }
}

impl Restart {
    fn with_policy(policy: RestartPolicy) -> Self {
        Restart { policy, ..Restart::default() }
    }

    /// Never start it again.
    pub fn never() -> Self {
        Restart::with_policy(RestartPolicy::Never)
    }

    /// Start it again however it ended.
    pub fn always() -> Self {
        Restart::with_policy(RestartPolicy::Always)
    }

    /// Start it again when it ended badly (the default).
    pub fn on_failure() -> Self {
        Restart::with_policy(RestartPolicy::OnFailure)
    }

    /// Wait this long before the first restart. A shorter `max_delay` is raised to it.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self.max_delay = self.max_delay.max(delay);
        self
    }

    /// Never wait longer than this.
    pub fn max_delay(mut self, max_delay: Duration) -> Self {
        self.max_delay = max_delay;
        self
    }

    /// Multiply the wait by this for each restart in a row.
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }

    /// Vary each wait by up to this share of it.
    pub fn jitter(mut self, jitter: f64) -> Self {
        self.jitter = jitter;
        self
    }

    /// Give up after more than `burst` automatic restarts within `interval`; a burst of 0 never gives up.
    pub fn limit(mut self, burst: u32, interval: Duration) -> Self {
        self.limit = StartLimit { burst, interval };
        self
    }

    /// A run that lived this long starts the count and the delay afresh.
    pub fn reset_after(mut self, life: Duration) -> Self {
        self.reset_after = life;
        self
    }
}
