//! What a child is made from: everything is prepared before the clone, nothing is looked up after it.

use std::ffi::{CString, OsStr};
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

/// Where one of the child's descriptors comes from.
#[derive(Clone, Debug)]
pub enum Stdio {
    /// `/dev/null`.
    Null,
    /// The supervisor's own descriptor of the same number; `/dev/null` when that one is closed.
    Inherit,
    /// This descriptor. It is kept open until the program was executed, and may be shared between launches.
    Fd(Arc<OwnedFd>),
}

/// As whom the child runs: numbers only, looked up beforehand (see [`creds`](super::creds)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ids {
    /// Real, effective and saved user id.
    pub uid: u32,
    /// Real, effective and saved group id.
    pub gid: u32,
    /// Supplementary groups, exactly.
    pub groups: Vec<u32>,
    /// What the user was called in the specification, for messages.
    pub label: String,
}

/// A resource limit by the kernel's number (see [`limits::resource`](super::limits::resource)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RlimitSet {
    /// Which one, `RLIMIT_…`.
    pub resource: u32,
    /// What is enforced; `u64::MAX` is infinity.
    pub soft: u64,
    /// How far the child may raise it; `u64::MAX` is infinity.
    pub hard: u64,
}

/// Everything a child is made from.
///
/// Fields left at [`Launch::new`]'s values change nothing: the child keeps the supervisor's user, limits, nice value,
/// umask and directory. Whatever the fields say, it gets a session of its own, an empty signal mask, every signal's
/// default action, no ambient capability that was not asked for, and no descriptor that was not mapped.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Files to try in this order, as execvp(3) does (see [`candidates`]). Absolute, or relative to `directory`.
    pub programs: Vec<CString>,
    /// The arguments, the program's name first.
    pub argv: Vec<CString>,
    /// The whole environment, `NAME=value`.
    pub env: Vec<CString>,
    /// Names of variables that the child sets to its own pid before the program is executed (`LISTEN_PID`).
    pub pid_env: Vec<CString>,
    /// Where it runs.
    pub directory: Option<CString>,
    /// Descriptors 0, 1 and 2.
    pub stdio: [Stdio; 3],
    /// More descriptors, with the numbers they get; each number once, none of 0 to 2.
    pub fds: Vec<(Arc<OwnedFd>, RawFd)>,
    /// As whom it runs.
    pub ids: Option<Ids>,
    /// Its resource limits.
    pub rlimits: Vec<RlimitSet>,
    /// Its nice value, -20 to 19.
    pub nice: Option<i32>,
    /// How readily the kernel picks it when memory runs out, -1,000 to 1,000.
    pub oom_score_adj: Option<i32>,
    /// Its file mode creation mask.
    pub umask: Option<u32>,
    /// The only capabilities that it and its children can ever have, as bits (see [`caps`](super::caps)).
    pub bounding: Option<u64>,
    /// Capabilities that it keeps although it is not root, as bits.
    pub ambient: u64,
    /// Whether set-user-id programs gain it nothing.
    pub no_new_privs: bool,
    /// The folder of the cgroup it is born in (see [`Tree::cgroup`](super::contain::Tree::cgroup)).
    pub cgroup: Option<Arc<OwnedFd>>,
    /// Files that it writes a 0 into first of all, to enter cgroups that it cannot be born in (see
    /// [`Tree::doors`](super::contain::Tree::doors)).
    pub doors: Vec<Arc<OwnedFd>>,
}

impl Launch {
    /// A launch of this program with these arguments (the first is the program's name), without environment,
    /// its descriptors on `/dev/null`.
    pub fn new(programs: Vec<CString>, argv: Vec<CString>) -> Self {
        Launch {
            programs,
            argv,
            env: Vec::new(),
            pid_env: Vec::new(),
            directory: None,
            stdio: [Stdio::Null, Stdio::Null, Stdio::Null],
            fds: Vec::new(),
            ids: None,
            rlimits: Vec::new(),
            nice: None,
            oom_score_adj: None,
            umask: None,
            bounding: None,
            ambient: 0,
            no_new_privs: false,
            cgroup: None,
            doors: Vec::new(),
        }
    }

    /// Whether the child changes its credentials, which clears the dumpable flag of the memory it shares with us.
    pub(super) fn changes_credentials(&self) -> bool {
        self.ids.is_some() || self.ambient != 0
    }
}

/// The path that is searched when the environment has no PATH; that of confstr(3).
pub const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// The files that stand for `program`, to be tried in order: itself when it has a slash, else one for each folder of
/// `path` (the *child's* PATH; an empty element is the current directory, as execvp(3) has it).
///
/// Looks at no file: which of them exists is found out by executing it. `None` when `program` is empty or has a NUL.
pub fn candidates(program: &OsStr, path: Option<&OsStr>) -> Option<Vec<CString>> {
    let name = program.as_bytes();
    if name.is_empty() || name.contains(&0) {
        return None;
    }
    if name.contains(&b'/') {
        return CString::new(name).ok().map(|p| vec![p]);
    }
    let path = path.map_or(DEFAULT_PATH.as_bytes(), OsStrExt::as_bytes);
    let of_folder = |folder: &[u8]| {
        let mut file = folder.to_vec();
        if !file.is_empty() {
            file.push(b'/');
        }
        file.extend_from_slice(name);
        CString::new(file).ok()
    };
    Some(path.split(|b| *b == b':').filter_map(of_folder).collect())
}
