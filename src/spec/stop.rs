//! How a process is asked to end, and to read its configuration again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::signal::Signal;

/// Who gets the signals of a stop (systemd.kill(5), `KillMode=`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopMode {
    /// Everything the run started.
    #[default]
    ControlGroup,
    /// The leader's process group; then SIGKILL to what is left of the tree.
    ProcessGroup,
    /// The main process alone; what it leaves behind is left alone, and said.
    Process,
    /// The stop signals to the main process, SIGKILL to the whole tree.
    Mixed,
}

/// One rung of the ladder: a signal, and how long to wait for the tree to be empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopStep {
    /// The signal sent on this rung.
    pub signal: Signal,
    /// How long to wait before the next rung (SIGKILL after the last).
    #[serde(with = "super::units::duration")]
    pub wait: Duration,
}

/// How a run is ended: a command or signals, waits between them, then SIGKILL until the tree is empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// Who gets the signals.
    pub mode: StopMode,
    /// Run instead of the first signal; the first step's signal follows when it ended and the tree is not empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// The rungs, never empty.
    pub sequence: Vec<StopStep>,
}

impl Default for Stop {
    fn default() -> Self {
        Stop::signal(Signal::TERM, Duration::from_secs(10))
    }
}

impl Stop {
    /// One signal, then SIGKILL once `timeout` has passed.
    pub fn signal(signal: Signal, timeout: Duration) -> Self {
        Stop { mode: StopMode::ControlGroup, command: None, sequence: vec![StopStep { signal, wait: timeout }] }
    }

    /// The same ladder for other members of the tree.
    pub fn mode(mut self, mode: StopMode) -> Self {
        self.mode = mode;
        self
    }
}

/// The mark of a configuration that a process reads itself, by which is seen that it has changed: a short text as it is, a longer one
/// (what a file says) by a digest of it, so that it is neither kept nor shown.
pub fn mark(text: impl Into<String>) -> String {
    const LONGEST: usize = 64;
    let text = text.into();
    if text.len() <= LONGEST {
        return text;
    }
    // FNV-1a: nobody gains anything by two files with the same one.
    let digest = text.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128, |digest, byte| {
        (digest ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    });
    format!("{} bytes, {digest:032x}", text.len())
}

/// How a running process is told to read its configuration again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reload {
    /// Send this signal to the main process.
    Signal(Signal),
    /// Run this command.
    Command(Vec<String>),
}
