//! What a child's report means, in words that name the path, the user or the value at fault.

use std::ffi::{CStr, OsStr};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::core::{SpawnError, SpawnStep};

use super::child::Plan;
use super::launch::Launch;
use super::{caps, limits};

/// The steps a child reports, found again by their numbers.
const STEPS: [SpawnStep; 18] = [
    SpawnStep::Limits,
    SpawnStep::Tree,
    SpawnStep::Session,
    SpawnStep::Descriptors,
    SpawnStep::Rlimit,
    SpawnStep::Nice,
    SpawnStep::OomScore,
    SpawnStep::SignalMask,
    SpawnStep::BoundingSet,
    SpawnStep::KeepCapabilities,
    SpawnStep::SupplementaryGroups,
    SpawnStep::SetGid,
    SpawnStep::SetUid,
    SpawnStep::Capabilities,
    SpawnStep::AmbientCapabilities,
    SpawnStep::WorkingDirectory,
    SpawnStep::NoNewPrivs,
    SpawnStep::Exec,
];

/// The step with this number.
pub(super) fn step(number: u32) -> SpawnStep {
    STEPS.into_iter().find(|s| *s as u32 == number).unwrap_or(SpawnStep::Clone)
}

/// An errno in lower-case words.
pub(super) fn in_words(errno: Option<i32>) -> String {
    let Some(errno) = errno else { return "unknown error".to_owned() };
    let text = io::Error::from_raw_os_error(errno).to_string();
    let text = text.split_once(" (os error").map_or(text.as_str(), |(words, _)| words);
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// The error for a step that failed in the child; `index` says at which limit, capability, descriptor or program.
pub(super) fn explain(plan: Option<&Plan>, step: SpawnStep, index: u32, errno: i32) -> SpawnError {
    let why = in_words(Some(errno));
    let message = match plan.map(|p| &p.launch) {
        Some(launch) if step == SpawnStep::Exec => cannot_execute(launch, index, errno, &why),
        Some(launch) => {
            let lacking = lacking(launch, step, index, errno).unwrap_or_default();
            format!("{}: {why}{lacking}", what_failed(launch, step, index))
        }
        None => format!("cannot start the program: {why}"),
    };
    SpawnError { step, errno: Some(errno), message }
}

/// Which right of the supervisor's own was missing, if that is why.
fn lacking(launch: &Launch, step: SpawnStep, index: u32, errno: i32) -> Option<String> {
    if !matches!(Errno::from_raw(errno), Errno::EPERM | Errno::EACCES) {
        return None;
    }
    let own = caps::own()?;
    let without = |name| caps::bit(name).is_some_and(|bit| own & bit == 0).then_some(name);
    let (needed, rest) = match step {
        SpawnStep::SupplementaryGroups | SpawnStep::SetGid => ("setgid", "only root changes users and groups"),
        SpawnStep::SetUid => ("setuid", "only root changes users and groups"),
        SpawnStep::Nice => ("sys_nice", "without it the nice value can only be raised"),
        SpawnStep::OomScore => ("sys_resource", "without it the score can only be raised"),
        SpawnStep::Rlimit => ("sys_resource", "without it no hard limit can be raised"),
        SpawnStep::BoundingSet => ("setpcap", "without it no capability can be dropped for good"),
        SpawnStep::Capabilities => {
            let first = (0..u64::BITS).find(|number| launch.ambient & !own & 1u64.wrapping_shl(*number) != 0)?;
            (caps::name(first), "it cannot give what it does not have")
        }
        SpawnStep::AmbientCapabilities => (caps::name(index), "it cannot give what it does not have"),
        _ => return None,
    };
    without(needed).map(|name| format!("; the supervisor lacks the capability `{name}`: {rest}"))
}

fn what_failed(launch: &Launch, step: SpawnStep, index: u32) -> String {
    let user = launch.ids.as_ref().map_or("", |i| i.label.as_str());
    let (uid, gid) = launch.ids.as_ref().map_or((0, 0), |i| (i.uid, i.gid));
    match step {
        SpawnStep::Tree => "cannot enter the process's cgroup".to_owned(),
        SpawnStep::Limits => "cannot enter a cgroup with its limits".to_owned(),
        SpawnStep::Session => "cannot begin a session".to_owned(),
        SpawnStep::Descriptors => format!("cannot put descriptor {index} in its place"),
        SpawnStep::Rlimit => launch.rlimits.get(index as usize).map_or_else(String::new, |l| {
            let (name, soft, hard) = (limits::name(l.resource), in_digits(l.soft), in_digits(l.hard));
            format!("cannot set resource limit `{name}` to {soft} (at most {hard})")
        }),
        SpawnStep::Nice => format!("cannot set the nice value {}", launch.nice.unwrap_or(0)),
        SpawnStep::OomScore => format!("cannot set oom_score_adj to {}", launch.oom_score_adj.unwrap_or(0)),
        SpawnStep::SignalMask => "cannot reset the signals".to_owned(),
        SpawnStep::BoundingSet => format!("cannot drop capability `{}` for good", caps::name(index)),
        SpawnStep::KeepCapabilities => format!("cannot keep capabilities for user `{user}`"),
        SpawnStep::SupplementaryGroups => format!("cannot set the supplementary groups of user `{user}`"),
        SpawnStep::SetGid => format!("cannot take group {gid} for user `{user}`"),
        SpawnStep::SetUid => format!("cannot become user `{user}` (uid {uid})"),
        SpawnStep::Capabilities => "cannot set the capabilities".to_owned(),
        SpawnStep::AmbientCapabilities => format!("cannot give the ambient capability `{}`", caps::name(index)),
        SpawnStep::WorkingDirectory => {
            let directory = launch.directory.as_deref().map_or_else(String::new, shown);
            let who = if user.is_empty() { String::new() } else { format!(" as user `{user}`") };
            format!("cannot enter directory `{directory}`{who}")
        }
        SpawnStep::NoNewPrivs => "cannot set no_new_privs".to_owned(),
        _ => "cannot start the program".to_owned(),
    }
}

fn cannot_execute(launch: &Launch, index: u32, errno: i32, why: &str) -> String {
    let Some(program) = launch.programs.get(index as usize) else {
        return "cannot execute anything: no program is given".to_owned();
    };
    let path = shown(program);
    let user = launch.ids.as_ref().map_or_else(String::new, |i| format!(" as user `{}`", i.label));
    match Errno::from_raw(errno) {
        Errno::ENOENT if launch.programs.len() > 1 => {
            let name = path.rsplit('/').next().unwrap_or(&path);
            let folders: Vec<String> = launch.programs.iter().filter_map(|p| folder(p)).collect();
            format!("cannot execute `{name}`: found nowhere in PATH ({})", folders.join(":"))
        }
        Errno::ENOENT => match missing_interpreter(launch, program) {
            Some(interpreter) => format!("cannot execute `{path}`: its interpreter `{interpreter}` does not exist"),
            None => format!("cannot execute `{path}`: {why}"),
        },
        Errno::EACCES => {
            format!(
                "cannot execute `{path}`{user}: {why}; is it a file with the right to be executed, in folders with the same?"
            )
        }
        Errno::ENOEXEC => {
            format!(
                "cannot execute `{path}`: {why}: neither a program for this machine nor a script that begins with `#!`"
            )
        }
        _ => format!("cannot execute `{path}`{user}: {why}"),
    }
}

/// Why a file that is there does not exist, as far as the kernel is concerned: what should run it is missing.
fn missing_interpreter(launch: &Launch, program: &CStr) -> Option<String> {
    let base = launch.directory.as_deref().map_or(Path::new("."), path_of);
    let file: PathBuf = base.join(path_of(program));
    if !fs::metadata(&file).is_ok_and(|m| m.is_file()) {
        return None;
    }
    let mut start = [0; 256];
    let length = File::open(&file).and_then(|mut f| f.read(&mut start)).ok()?;
    let line = start.get(..length)?.strip_prefix(b"#!");
    let Some(line) = line else {
        return Some("for dynamic programs".to_owned()).filter(|_| start.starts_with(b"\x7fELF"));
    };
    let line = line.split(|b| *b == b'\n').next().unwrap_or_default();
    String::from_utf8_lossy(line).split_whitespace().next().map(str::to_owned)
}

fn path_of(text: &CStr) -> &Path {
    Path::new(OsStr::from_bytes(text.to_bytes()))
}

fn folder(program: &CStr) -> Option<String> {
    path_of(program).parent().map(|p| p.to_string_lossy().into_owned())
}

fn shown(text: &CStr) -> String {
    text.to_string_lossy().into_owned()
}

fn in_digits(limit: u64) -> String {
    if limit == u64::MAX { "infinity".to_owned() } else { limit.to_string() }
}
