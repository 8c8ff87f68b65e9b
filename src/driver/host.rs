//! What this machine allows, for `status`.

use super::contain::{TreeKind, Trees};
use super::enforce::LimitState;
use super::exit;
use super::spawn::{Launcher, Method};
use crate::core::Pid;

/// How well the host lets a supervisor keep its promises.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostReport {
    /// How children are made.
    pub spawn: Method,
    /// Why not better; empty when it is the best way.
    pub spawn_reason: String,
    /// What holds a process's tree together.
    pub trees: TreeKind,
    /// Why not better; empty when it is the best way.
    pub trees_reason: String,
    /// Who sees to each limit on what a tree may use.
    pub limits: Vec<LimitState>,
    /// Whether the program ignores SIGCHLD, so that the kernel throws the statuses of its children away: they are
    /// reported as unknown where it does.
    pub statuses_may_be_lost: bool,
    /// Who takes over its children when the supervisor dies.
    pub anchor: AnchorState,
    /// Whether what the supervisor knows is written down for a successor.
    pub ledger: LedgerState,
}

/// Who takes over a supervisor's children, with their output and their statuses, when it dies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnchorState {
    /// Nobody: it is a part of another program.
    #[default]
    None,
    /// This process.
    Alive(Pid),
    /// Who would have, died.
    Gone,
}

/// Whether what a supervisor knows is written down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LedgerState {
    /// Nowhere: it is a part of another program.
    #[default]
    None,
    /// It is.
    Written,
    /// It cannot be, and why.
    Failing(String),
}

impl HostReport {
    pub(crate) fn of(launcher: &Launcher, trees: &Trees) -> Self {
        let spawn = launcher.status();
        HostReport {
            spawn: spawn.method,
            spawn_reason: spawn.reason,
            trees: trees.kind(),
            trees_reason: trees.reason().to_owned(),
            limits: trees.limits(),
            statuses_may_be_lost: exit::statuses_may_be_lost(),
            anchor: AnchorState::None,
            ledger: LedgerState::None,
        }
    }
}
