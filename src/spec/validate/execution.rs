//! Checks of what is executed, and in what surroundings.

use super::super::hook::{Hook, HookAction};
use super::super::names::{capability_error, process_name_error};
use super::super::process::{Directory, Limits, Stream};
use super::super::schema::{RLIMITS, nearest};
use super::super::units::{format_size, quote};
use super::check::{Check, is_kernel_text};

/// The most memory that one process's newest output may take.
const LARGEST_RING: u64 = 1 << 30;

/// No program runs in less memory than this.
const LEAST_MEMORY: u64 = 1 << 20;

/// The most rotated files that are kept.
const MOST_KEPT: u32 = 10_000;

impl Check<'_> {
    /// Everything that a start needs to be right.
    pub(super) fn execution(&mut self) {
        let spec = self.spec;
        if let Some(message) = process_name_error(&spec.name) {
            self.error("", message);
        }
        for (field, message) in &spec.source.notes {
            self.warning(field, message.clone());
        }
        if spec.description.as_ref().is_some_and(|text| text.contains(char::is_control)) {
            self.error("description", "must be a single line of plain text");
        }
        match spec.task {
            true => self.task(),
            false => self.command("command", &spec.command),
        }
        self.environment();
        self.paths();
        self.rights();
        self.rlimits();
        self.limits(&spec.limits);
        self.listeners();
        self.log();
    }

    fn environment(&mut self) {
        let spec = self.spec;
        let plain = spec.env.iter().map(|(name, value)| (name, value.as_str()));
        let secret = spec.secret_env.iter().map(|(name, value)| (name, value.expose()));
        for (name, value) in plain.chain(secret) {
            if name.is_empty() || name.contains(['=', '\0']) {
                let why = "a variable's name is not empty and holds neither `=` nor a NUL byte";
                self.error(&format!("env[{}]", quote(name)), why);
                continue;
            }
            if !is_kernel_text(value) {
                self.kernel_text(&format!("env.{name}"), value);
            }
        }
        for name in spec.secret_env.keys().filter(|name| spec.env.contains_key(*name)) {
            self.error(&format!("env.{name}"), "is given twice, as a secret and in the open");
        }
        for (place, file) in spec.env_file.iter().enumerate() {
            let field = if spec.env_file.len() == 1 { "env_file".into() } else { format!("env_file[{}]", place + 1) };
            self.path(&field, &file.path);
        }
    }

    fn paths(&mut self) {
        let spec = self.spec;
        if let Some(directory) = &spec.working_dir {
            self.path("working_dir", directory);
        }
        if let Some(pidfile) = &spec.pidfile {
            self.path("pidfile", pidfile);
        }
        self.directories();
        let conditions = &spec.conditions;
        let lists = [
            ("conditions.path_exists", &conditions.path_exists),
            ("conditions.path_executable", &conditions.path_executable),
            ("conditions.file_not_empty", &conditions.file_not_empty),
            ("conditions.env", &conditions.env),
        ];
        for (field, values) in lists {
            for (place, value) in values.iter().enumerate() {
                let bare = value.trim_start_matches(['|', '!']);
                if bare.is_empty() || bare.starts_with('=') {
                    let field = if values.len() == 1 { field.to_owned() } else { format!("{field}[{}]", place + 1) };
                    self.error(&field, format!("{} names nothing to look at", quote(value)));
                }
                self.kernel_text(field, value);
            }
        }
    }

    fn directories(&mut self) {
        let spec = self.spec;
        // `notify` is where the sockets of sd_notify are; `neap` is the supervisor's own among other programs'.
        let lists = [
            ("runtime_directory", &spec.runtime_directory, "notify"),
            ("state_directory", &spec.state_directory, "neap"),
            ("cache_directory", &spec.cache_directory, "neap"),
            ("logs_directory", &spec.logs_directory, "neap"),
        ];
        for (key, list, ours) in lists {
            for (place, Directory { path, mode }) in list.iter().enumerate() {
                let field = if list.len() == 1 { key.to_owned() } else { format!("{key}[{}]", place + 1) };
                self.path(&field, path);
                let mut parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
                let leaves = path.starts_with('/') || path.split('/').any(|part| part == "..");
                let first = parts.next();
                if leaves {
                    let what = key.replace('_', " ");
                    self.error(&field, format!("{} leaves the {what}; give a name below it", quote(path)));
                } else if first == Some(ours) {
                    self.error(&field, format!("{} is the supervisor's own; give another name", quote(path)));
                } else if first.is_none() && !path.is_empty() {
                    self.error(&field, format!("{} names nothing below it", quote(path)));
                } else if path.contains(':') {
                    let message = format!(
                        "{} has a colon, which in {} separates one from another",
                        quote(path),
                        key.to_uppercase()
                    );
                    self.error(&field, message);
                }
                if *mode > 0o7777 {
                    self.error(&field, "has a mode above 7777");
                }
            }
        }
    }

    fn rights(&mut self) {
        let spec = self.spec;
        self.account("user", spec.user.as_ref());
        self.account("group", spec.group.as_ref());
        for (place, group) in spec.groups.iter().flatten().enumerate() {
            self.account(&format!("groups[{}]", place + 1), Some(group));
        }
        if spec.umask.is_some_and(|umask| umask > 0o777) {
            self.error("umask", "is at most 0777");
        }
        if spec.nice.is_some_and(|nice| !(-20..=19).contains(&nice)) {
            self.error("nice", "is from -20 to 19");
        }
        let sets = [
            ("ambient_capabilities", Some(&spec.ambient_capabilities)),
            ("bounding_capabilities", spec.bounding_capabilities.as_ref()),
        ];
        for (field, names) in sets {
            for (place, name) in names.into_iter().flatten().enumerate() {
                if let Some(message) = capability_error(name) {
                    self.error(&format!("{field}[{}]", place + 1), message);
                }
            }
        }
        if let Some(bounding) = &spec.bounding_capabilities {
            for name in spec.ambient_capabilities.iter().filter(|name| !bounding.contains(name)) {
                let message = format!("{} is not among bounding_capabilities, so it cannot be kept", quote(name));
                self.error("ambient_capabilities", message);
            }
        }
    }

    fn rlimits(&mut self) {
        for (name, limit) in &self.spec.rlimits {
            let field = format!("rlimits.{name}");
            if RLIMITS.key(name).is_none() {
                let near = nearest(name, RLIMITS.keys().map(|key| key.name));
                let offer = near.map(|near| format!("; did you mean \"{near}\"?")).unwrap_or_default();
                self.error(&field, format!("{} is not a resource limit{offer}", quote(name)));
            }
            let exceeds = match (limit.soft, limit.hard) {
                (_, None) => false,
                (None, Some(_)) => true,
                (Some(soft), Some(hard)) => soft > hard,
            };
            if exceeds {
                self.error(&field, "the soft limit is above the hard one");
            }
        }
    }

    fn limits(&mut self, limits: &Limits) {
        let weights = [("limits.cpu_weight", limits.cpu_weight), ("limits.io_weight", limits.io_weight)];
        for (field, weight) in weights {
            if weight.is_some_and(|weight| !(1..=10_000).contains(&weight)) {
                self.error(field, "is from 1 to 10000");
            }
        }
        let amounts = [
            ("limits.memory", limits.memory),
            ("limits.memory_high", limits.memory_high),
            ("limits.cpu", limits.cpu_millis),
            ("limits.pids", limits.pids),
        ];
        for (field, amount) in amounts {
            if amount == Some(0) {
                self.error(field, "must be more than 0");
            }
        }
        for (field, amount) in [("limits.memory", limits.memory), ("limits.memory_high", limits.memory_high)] {
            if let Some(bytes) = amount.filter(|bytes| (1..LEAST_MEMORY).contains(bytes)) {
                // Who leaves the unit out mostly thinks of MiB.
                let offer =
                    if bytes < 1 << 16 { format!("; write \"{bytes}MiB\" for {bytes} MiB") } else { String::new() };
                self.warning(field, format!("is {bytes} bytes, in which no program can run{offer}"));
            }
        }
        if limits.oom_score_adj.is_some_and(|score| !(-1_000..=1_000).contains(&score)) {
            self.error("limits.oom_score_adj", "is from -1000 to 1000");
        }
        if let Some(most) = limits.memory {
            for (field, amount) in
                [("limits.memory_high", limits.memory_high), ("limits.memory_low", limits.memory_low)]
            {
                if amount.is_some_and(|amount| amount > most) {
                    let most = self.shown("limits.memory", format_size(most));
                    let message = format!("is above {} ({most})", self.called("limits.memory"));
                    self.error(field, message);
                }
            }
        }
    }

    fn log(&mut self) {
        let log = &self.spec.log;
        if log.ring > LARGEST_RING {
            self.error("log.ring", format!("is at most {}", format_size(LARGEST_RING)));
        }
        if let Some(file) = &log.file {
            self.path("log.file", file);
        }
        if log.max_size == 0 {
            self.error("log.max_size", "must be more than 0");
        }
        if log.keep > MOST_KEPT {
            self.error("log.keep", format!("is at most {MOST_KEPT}"));
        }
        for (field, stream) in [("log.stdout", &log.stdout), ("log.stderr", &log.stderr)] {
            if let Stream::File(path) = stream {
                self.path(field, path);
            }
        }
        if log.file.is_some() && log.stdout != Stream::Capture && log.stderr != Stream::Capture {
            self.warning(
                "log.file",
                "stays empty: only captured output is written to it, and neither stream is captured",
            );
        }
    }

    /// The hooks of one turning point.
    pub(super) fn hooks(&mut self, when: &str, hooks: &[Hook]) {
        for (place, hook) in hooks.iter().enumerate() {
            let field = match hooks.len() {
                1 => format!("hooks.{when}"),
                _ => format!("hooks.{when}[{}]", place + 1),
            };
            if let HookAction::Command(command) = &hook.action {
                self.command(&field, command);
            }
            self.account(&format!("{field}.user"), hook.user.as_ref());
            self.more_than_zero(&format!("{field}.timeout"), hook.timeout);
        }
    }
}
