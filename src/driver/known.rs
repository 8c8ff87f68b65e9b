//! What can be known on this host before anything is started: accounts, programs, folders and socket paths that a plan names.
//!
//! A start finds all of it out by itself and fails with the reason: this is for who wants to know before, on the host that the
//! plan is for. What may be there by the time of the start is a warning.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use super::launch::candidates;
use super::{creds, envfile, sockets};
use crate::spec::names::capability_number;
use crate::spec::units::quote;
use crate::spec::{HookAction, ListenAddress, Plan, Probe, ProbeTarget, Problem, Ready, Reload, Severity, Spec};

/// The host that a plan is looked at on: where relative paths begin, and what processes inherit.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// Base of relative paths.
    pub base: &'a Path,
    /// The environment that is inherited; of it the `PATH` alone matters.
    pub env: &'a BTreeMap<OsString, OsString>,
}

/// All that this host is known to lack for these specs, each with its file and line. Nothing is made or changed; user databases
/// and disks are asked, for as long as they take.
pub fn lacking(plan: &Plan, surroundings: Surroundings<'_>) -> Vec<Problem> {
    let highest = last_capability();
    let mut problems = Vec::new();
    for spec in plan.specs() {
        let mut look = Look { spec, surroundings, problems: &mut problems };
        look.accounts();
        look.capabilities(highest);
        look.folder();
        look.programs();
        look.env_files();
        look.listeners();
    }
    problems.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    problems
}

struct Look<'a> {
    spec: &'a Spec,
    surroundings: Surroundings<'a>,
    problems: &'a mut Vec<Problem>,
}

impl Look<'_> {
    fn error(&mut self, field: &str, message: String) {
        self.problems.push(Problem::of(self.spec, Severity::Error, field, message));
    }

    fn warning(&mut self, field: &str, message: String) {
        self.problems.push(Problem::of(self.spec, Severity::Warning, field, message));
    }

    fn accounts(&mut self) {
        let spec = self.spec;
        let before = self.problems.len();
        self.user("user", spec.user.as_deref());
        self.group("group", spec.group.as_deref());
        for (place, group) in spec.groups.iter().flatten().enumerate() {
            self.group(&format!("groups[{}]", place + 1), Some(group));
        }
        if self.problems.len() == before
            && let Err(error) = creds::resolve(spec.user.as_deref(), spec.group.as_deref(), spec.groups.as_deref())
        {
            // Each is known by itself: a number without an entry has no group, and says so.
            self.error("user", error.message);
        }
        let hooks = &spec.hooks;
        let lists = [
            ("before_start", &hooks.before_start),
            ("after_start", &hooks.after_start),
            ("before_stop", &hooks.before_stop),
            ("after_stop", &hooks.after_stop),
            ("on_failure", &hooks.on_failure),
        ];
        for (when, hooks) in lists {
            for (place, hook) in hooks.iter().enumerate() {
                let field = numbered(&format!("hooks.{when}"), place, hooks.len());
                self.user(&format!("{field}.user"), hook.user.as_deref());
                if let HookAction::Command(command) = &hook.action {
                    self.program(&field, command);
                }
            }
        }
    }

    fn user(&mut self, field: &str, user: Option<&str>) {
        // With a group of its own the user alone can fail.
        let Some(user) = user else { return };
        if let Err(error) = creds::resolve(Some(user), Some("0"), Some(&[])) {
            self.error(field, error.message);
        }
    }

    fn group(&mut self, field: &str, group: Option<&str>) {
        if let Some(Err(message)) = group.map(creds::group_number) {
            self.error(field, message);
        }
    }

    fn capabilities(&mut self, highest: u32) {
        let spec = self.spec;
        let sets = [
            ("ambient_capabilities", Some(&spec.ambient_capabilities)),
            ("bounding_capabilities", spec.bounding_capabilities.as_ref()),
        ];
        for (field, names) in sets {
            for (place, name) in names.into_iter().flatten().enumerate() {
                if capability_number(name).is_some_and(|number| number > highest) {
                    let message = format!("this host's kernel is older than the capability {}", quote(name));
                    self.error(&format!("{field}[{}]", place + 1), message);
                }
            }
        }
    }

    fn folder(&mut self) {
        if let Some(folder) = self.spec.working_dir.as_deref() {
            let at = self.surroundings.base.join(folder);
            match fs::metadata(&at) {
                Ok(found) if found.is_dir() => {}
                Ok(_) => self.warning("working_dir", format!("{} is not a folder", shown(&at))),
                Err(error) => self.warning("working_dir", unseen("the folder", &at, &error)),
            }
        }
    }

    /// All commands but those of hooks.
    fn programs(&mut self) {
        let spec = self.spec;
        if !spec.task {
            self.program("command", &spec.command);
        }
        if let Some(command) = &spec.stop.command {
            self.program("stop.command", command);
        }
        if let Some(Reload::Command(command)) = &spec.reload {
            self.program("reload.command", command);
        }
        let health = spec.health.as_ref().map(|health| &health.target);
        if let Some(ProbeTarget::Exec(command)) = health {
            self.program("health.command", command);
        }
        if let Ready::Probe(Probe { target: ProbeTarget::Exec(command), .. }) = &spec.ready {
            self.program("ready.command", command);
        }
    }

    fn program(&mut self, field: &str, command: &[String]) {
        let Some(program) = command.first() else { return };
        let has_slash = program.contains('/');
        // A file of variables may bring another PATH, and is read when the time has come.
        if !has_slash && !self.spec.env_file.is_empty() {
            return;
        }
        let path = self.path();
        let Some(files) = candidates(OsStr::new(program), path.as_deref()) else { return };
        let spec = self.spec;
        let folder = self.surroundings.base.join(spec.working_dir.as_deref().unwrap_or_default());
        let mut refused = None;
        for file in files {
            let file = folder.join(OsStr::from_bytes(file.to_bytes()));
            match fs::metadata(&file) {
                Ok(found) if can_execute(&found) => return,
                Ok(_) => refused = refused.or(Some(format!("{} is not an executable file", shown(&file)))),
                // Who may not look cannot know.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return,
                Err(error) if has_slash => refused = Some(unseen("the program", &file, &error)),
                Err(_) => {}
            }
        }
        let nowhere = || {
            let path = path.as_deref().map_or_else(|| "the default".into(), OsStr::to_string_lossy);
            format!("there is no program {} in PATH ({path})", quote(program))
        };
        let message = refused.unwrap_or_else(nowhere);
        self.warning(field, message);
    }

    /// The process's own.
    fn path(&self) -> Option<OsString> {
        let own = self.spec.env.get("PATH").map(OsString::from);
        let inherited = || self.surroundings.env.get(OsStr::new("PATH")).filter(|_| !self.spec.clear_env).cloned();
        own.or_else(inherited)
    }

    fn env_files(&mut self) {
        let spec = self.spec;
        for (place, file) in spec.env_file.iter().enumerate() {
            let field = numbered("env_file", place, spec.env_file.len());
            // As a start would.
            match envfile::read(std::slice::from_ref(file), self.surroundings.base) {
                Ok(found) => found.warnings.into_iter().for_each(|warning| self.warning(&field, warning)),
                Err((_, message)) => self.warning(&field, message),
            }
        }
    }

    fn listeners(&mut self) {
        let spec = self.spec;
        for (place, listener) in spec.listen.iter().enumerate() {
            let field = numbered("listen", place, spec.listen.len());
            self.user(&format!("{field}.user"), listener.user.as_deref());
            self.group(&format!("{field}.group"), listener.group.as_deref());
            if let Some(holder) = sockets::stranger(&listener.address, self.surroundings.base) {
                let message = format!(
                    "{} is in use: {holder} listens there; end that, or choose another address",
                    listener.address
                );
                self.error(&field, message);
            }
            let Some(path) = listener.address.path() else { continue };
            let at = self.surroundings.base.join(path);
            let Ok(found) = fs::symlink_metadata(&at) else { continue };
            let kind = found.file_type();
            let (expected, is_expected) = match listener.address {
                ListenAddress::Fifo(_) => ("FIFO", kind.is_fifo()),
                _ => ("socket", kind.is_socket()),
            };
            if !is_expected {
                let message = format!(
                    "{} is there and is no {expected}: it is not removed for one; move it away, or choose another path",
                    shown(&at)
                );
                self.error(&field, message);
            }
        }
    }
}

/// `hooks.after_stop[2]`; without a number where there is only one.
fn numbered(field: &str, place: usize, count: usize) -> String {
    if count == 1 { field.to_owned() } else { format!("{field}[{}]", place + 1) }
}

fn can_execute(found: &Metadata) -> bool {
    found.is_file() && found.permissions().mode() & 0o111 != 0
}

fn shown(path: &Path) -> String {
    quote(&path.to_string_lossy())
}

fn unseen(what: &str, path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => format!("{what} {} does not exist here", shown(path)),
        _ => format!("{what} {} cannot be looked at: {error}", shown(path)),
    }
}

/// The highest capability that this kernel has; all of them where it does not say.
fn last_capability() -> u32 {
    let text = fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap_or_default();
    text.trim().parse().unwrap_or(u32::MAX)
}
