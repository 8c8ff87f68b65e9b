//! Reading the keys of a process.

use super::super::process::{Conditions, LogSettings, ProcessType, Spec, Stream};
use super::super::restart::{Restart, RestartPolicy, StartLimit};
use super::super::schema::{CONDITIONS, LOG, RESTART, SPEC, START_LIMIT, nearest};
use super::super::signal::Signal;
use super::super::units::quote;
use super::super::value::{Node, Value};
use super::reader::{At, Fields, Reader};

/// The restart policies by name.
pub(in crate::spec) const POLICIES: [(&str, RestartPolicy); 7] = [
    ("never", RestartPolicy::Never),
    ("always", RestartPolicy::Always),
    ("on-failure", RestartPolicy::OnFailure),
    ("on-success", RestartPolicy::OnSuccess),
    ("on-abnormal", RestartPolicy::OnAbnormal),
    ("on-abort", RestartPolicy::OnAbort),
    ("on-watchdog", RestartPolicy::OnWatchdog),
];

/// The types by name.
pub(in crate::spec) const TYPES: [(&str, ProcessType); 4] = [
    ("simple", ProcessType::Simple),
    ("oneshot", ProcessType::Oneshot),
    ("forking", ProcessType::Forking),
    ("notify", ProcessType::Notify),
];

impl Reader<'_> {
    /// The whole definition.
    pub(super) fn process(&mut self, at: &At, node: &Node) -> Option<Spec> {
        let fields = self.table(at, node, &SPEC, "a table of spec keys")?;
        let command = self.command_line(&fields);
        let mut spec = Spec::new(self.process.clone(), command.unwrap_or_default());
        self.execution(&fields, &mut spec);
        self.account_and_rights(&fields, &mut spec);
        self.relations(&fields, &mut spec);
        self.lifecycle(&fields, &mut spec);
        Some(spec)
    }

    /// What it is and in what surroundings it runs.
    fn execution(&mut self, fields: &Fields, spec: &mut Spec) {
        self.set(fields, "description", &mut spec.description, |r, at, n| r.text(at, n).map(Some));
        self.set(fields, "type", &mut spec.process_type, |r, at, n| r.choice(at, n, &TYPES));
        self.set(fields, "remain", &mut spec.remain, Reader::boolean);
        self.set(fields, "critical", &mut spec.critical, Reader::boolean);
        spec.working_dir.clone_from(&self.dialect.working_dir);
        self.set(fields, "working_dir", &mut spec.working_dir, |r, at, n| r.text(at, n).map(Some));
        self.environment(fields, spec);
        self.set(fields, "clear_env", &mut spec.clear_env, Reader::boolean);
        self.directories(fields, spec);
        self.set(fields, "pidfile", &mut spec.pidfile, |r, at, n| r.text(at, n).map(Some));
        spec.log = self.dialect.log.clone();
        self.set(fields, "log", &mut spec.log, Reader::log);
        self.set(fields, "listen", &mut spec.listen, |r, at, n| Some(r.listeners(at, n)));
        spec.auto_start = self.dialect.auto_start && spec.listen.is_empty();
        self.set(fields, "auto_start", &mut spec.auto_start, Reader::boolean);
    }

    /// As whom it runs, and with what rights and limits.
    fn account_and_rights(&mut self, fields: &Fields, spec: &mut Spec) {
        self.set(fields, "user", &mut spec.user, |r, at, n| r.account(at, n).map(Some));
        self.set(fields, "group", &mut spec.group, |r, at, n| r.account(at, n).map(Some));
        self.set(fields, "groups", &mut spec.groups, |r, at, n| Some(Some(r.list(at, n, Reader::account))));
        self.set(fields, "umask", &mut spec.umask, |r, at, n| match &n.value {
            Value::String(text) if text == "inherit" => Some(None),
            _ => r.mode(at, n).map(Some),
        });
        self.set(fields, "nice", &mut spec.nice, |r, at, n| {
            r.integer(at, n, -20..=19).and_then(|nice| i32::try_from(nice).ok()).map(Some)
        });
        self.set(fields, "rlimits", &mut spec.rlimits, Reader::rlimits);
        let ambient = &mut spec.ambient_capabilities;
        self.set(fields, "ambient_capabilities", ambient, |r, at, n| Some(r.capabilities(at, n)));
        let bounding = &mut spec.bounding_capabilities;
        self.set(fields, "bounding_capabilities", bounding, |r, at, n| Some(Some(r.capabilities(at, n))));
        self.set(fields, "no_new_privs", &mut spec.no_new_privs, Reader::boolean);
        self.set(fields, "limits", &mut spec.limits, Reader::limits);
    }

    fn relations(&mut self, fields: &Fields, spec: &mut Spec) {
        let relations: [(&'static str, &mut Vec<String>); 8] = [
            ("requires", &mut spec.requires),
            ("wants", &mut spec.wants),
            ("binds_to", &mut spec.binds_to),
            ("follows", &mut spec.follows),
            ("part_of", &mut spec.part_of),
            ("conflicts", &mut spec.conflicts),
            ("after", &mut spec.after),
            ("before", &mut spec.before),
        ];
        for (key, place) in relations {
            self.set(fields, key, place, |r, at, n| Some(r.names(at, n)));
        }
        self.set(fields, "conditions", &mut spec.conditions, Reader::conditions);
    }

    /// When it is ready and well, and how it ends and comes back.
    fn lifecycle(&mut self, fields: &Fields, spec: &mut Spec) {
        spec.restart = self.dialect.restart.clone();
        if spec.process_type == ProcessType::Oneshot {
            spec.restart.policy = self.dialect.oneshot_policy;
        }
        if let Some(node) = fields.get("restart") {
            self.restart(&fields.at.key("restart", node), node, &mut spec.restart);
        }
        self.set(fields, "ready", &mut spec.ready, Reader::ready);
        self.set(fields, "health", &mut spec.health, |r, at, n| r.health(at, n).map(Some));
        if let Some(node) = fields.get("success_exit_status") {
            self.success(&fields.at.key("success_exit_status", node), node, spec);
        }
        spec.stop = self.dialect.stop.clone();
        self.set(fields, "stop", &mut spec.stop, Reader::stop);
        spec.start_timeout = self.dialect.start_timeout;
        self.set(fields, "start_timeout", &mut spec.start_timeout, Reader::duration_or_infinity);
        let mut reload = (spec.reload.take(), spec.reload_on_change.take());
        self.set(fields, "reload", &mut reload, |r, at, n| r.reload(at, n));
        (spec.reload, spec.reload_on_change) = reload;
        self.set(fields, "hooks", &mut spec.hooks, Reader::hooks);
        self.set(fields, "watchdog", &mut spec.watchdog, |r, at, n| r.duration(at, n).map(Some));
        self.set(fields, "volatile", &mut spec.volatile, Reader::boolean);
    }

    /// Sets a place when its key is given and can be read.
    pub(super) fn set<T>(
        &mut self,
        fields: &Fields,
        name: &'static str,
        place: &mut T,
        read: impl FnOnce(&mut Self, &At, &Node) -> Option<T>,
    ) {
        if let Some(node) = fields.get(name)
            && let Some(value) = read(self, &fields.at.key(name, node), node)
        {
            *place = value;
        }
    }

    fn restart(&mut self, at: &At, node: &Node, restart: &mut Restart) {
        const WHAT: &str = "a restart policy or a table with one";
        if let Value::String(_) = &node.value {
            if let Some(policy) = self.choice(at, node, &POLICIES) {
                restart.policy = policy;
            }
            return;
        }
        let Some(fields) = self.table(at, node, &RESTART, WHAT) else { return };
        self.set(&fields, "policy", &mut restart.policy, |r, at, n| r.choice(at, n, &POLICIES));
        self.set(&fields, "delay", &mut restart.delay, Reader::duration);
        self.set(&fields, "factor", &mut restart.factor, Reader::number);
        self.set(&fields, "max_delay", &mut restart.max_delay, Reader::duration);
        self.set(&fields, "jitter", &mut restart.jitter, Reader::number);
        self.set(&fields, "reset_after", &mut restart.reset_after, Reader::duration);
        let limit = restart.limit.clone();
        self.set(&fields, "limit", &mut restart.limit, |r, at, n| r.start_limit(at, n, limit));
        // A longer first wait than the default ceiling raises the ceiling, unless one is given.
        if !fields.has("max_delay") {
            restart.max_delay = restart.max_delay.max(restart.delay);
        }
    }

    fn start_limit(&mut self, at: &At, node: &Node, mut limit: StartLimit) -> Option<StartLimit> {
        let fields = self.table(at, node, &START_LIMIT, "a table with `burst` and `interval`")?;
        self.set(&fields, "burst", &mut limit.burst, Reader::count);
        self.set(&fields, "interval", &mut limit.interval, Reader::duration);
        Some(limit)
    }

    fn success(&mut self, at: &At, node: &Node, spec: &mut Spec) {
        enum Success {
            Code(i32),
            Signal(Signal),
        }
        let read = self.list(at, node, |r, at, node| match &node.value {
            Value::String(text) if !text.bytes().all(|b| b.is_ascii_digit()) => r.signal(at, node).map(Success::Signal),
            Value::String(text) => match text.parse().ok().filter(|code| (0..=255).contains(code)) {
                Some(code) => Some(Success::Code(code)),
                None => r.expected(at, "an exit code from 0 to 255", node),
            },
            _ => r.integer(at, node, 0..=255).and_then(|code| i32::try_from(code).ok()).map(Success::Code),
        });
        for success in read {
            match success {
                Success::Code(code) => {
                    if let Err(place) = spec.success_exit_status.binary_search(&code) {
                        spec.success_exit_status.insert(place, code);
                    }
                }
                Success::Signal(signal) if !spec.success_signals.contains(&signal) => spec.success_signals.push(signal),
                Success::Signal(_) => {}
            }
        }
    }

    fn conditions(&mut self, at: &At, node: &Node) -> Option<Conditions> {
        let fields = self.table(at, node, &CONDITIONS, "a table of conditions")?;
        let mut conditions = Conditions::default();
        let kinds: [(&'static str, &mut Vec<String>); 4] = [
            ("path_exists", &mut conditions.path_exists),
            ("path_executable", &mut conditions.path_executable),
            ("file_not_empty", &mut conditions.file_not_empty),
            ("env", &mut conditions.env),
        ];
        for (key, place) in kinds {
            self.set(&fields, key, place, |r, at, n| Some(r.texts(at, n)));
        }
        self.set(&fields, "check", &mut conditions.check, |r, at, n| match n.value {
            Value::Function(id) => Some(Some(id)),
            _ => r.expected(at, "a function", n),
        });
        Some(conditions)
    }

    fn log(&mut self, at: &At, node: &Node) -> Option<LogSettings> {
        let fields = self.table(at, node, &LOG, "a table of log settings")?;
        let mut log = self.dialect.log.clone();
        self.set(&fields, "ring", &mut log.ring, Reader::size);
        self.set(&fields, "file", &mut log.file, |r, at, n| r.text(at, n).map(Some));
        self.set(&fields, "max_size", &mut log.max_size, Reader::size);
        self.set(&fields, "keep", &mut log.keep, Reader::count);
        self.set(&fields, "stdout", &mut log.stdout, Reader::stream);
        self.set(&fields, "stderr", &mut log.stderr, Reader::stream);
        Some(log)
    }

    fn stream(&mut self, at: &At, node: &Node) -> Option<Stream> {
        const WHAT: &str = "\"capture\", \"inherit\", \"null\" or a path";
        const WORDS: [&str; 3] = ["capture", "inherit", "null"];
        match &node.value {
            Value::String(text) => match text.as_str() {
                "capture" => Some(Stream::Capture),
                "inherit" => Some(Stream::Inherit),
                "null" => Some(Stream::Null),
                "" => self.expected(at, WHAT, node),
                // A misspelt word is told from a path by being near one; `./inheritt` says that a path is meant.
                path if nearest(path, WORDS).is_some() => self.expected_word(at, WHAT, path, WORDS),
                path => Some(Stream::File(path.to_owned())),
            },
            _ => self.expected(at, WHAT, node),
        }
    }

    /// Names of processes, each once: text or handles, one or a list.
    fn names(&mut self, at: &At, node: &Node) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for name in self.list(at, node, |r, at, node| match &node.value {
            Value::String(name) | Value::Handle(name) => Some(name.clone()),
            _ => {
                let lua = "the name or handle of a process, or a list of them";
                r.expected(at, r.or_in_yaml(lua, "the name of a process, or a list of them"), node)
            }
        }) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Capabilities by name, in lower case without `CAP_`.
    fn capabilities(&mut self, at: &At, node: &Node) -> Vec<String> {
        let names = self.texts(at, node);
        names.iter().map(|name| capability_name(name)).collect()
    }

    /// Program and arguments from `command`, `args` and `shell`.
    fn command_line(&mut self, fields: &Fields) -> Option<Vec<String>> {
        if let Some(node) = fields.get("shell") {
            let at_shell = fields.at.key("shell", node);
            for other in ["command", "args"] {
                if fields.has(other) {
                    self.problem(&at_shell, format!("`shell` is the whole command, so `{other}` cannot go with it"));
                }
            }
            let line = self.text(&at_shell, node)?;
            return Some(vec!["/bin/sh".to_owned(), "-c".to_owned(), line]);
        }
        let args = fields.get("args");
        let Some(node) = fields.get("command") else {
            if self.was_meant("command") || self.was_meant("shell") {
                return None;
            }
            self.problem(fields.at, "a process needs a `command` (or a line for a `shell`)");
            return None;
        };
        let at_command = fields.at.key("command", node);
        let command = match (&node.value, args) {
            (Value::String(program), Some(_)) => Some(vec![program.clone()]),
            _ => self.command(&at_command, node),
        };
        let args = args.map(|node| self.words(&fields.at.key("args", node), node, "a list of arguments"));
        let mut command = command?;
        command.extend(args.flatten().unwrap_or_default());
        Some(command)
    }

    /// A command: a list of words, or text that is split like a shell would.
    pub(super) fn command(&mut self, at: &At, node: &Node) -> Option<Vec<String>> {
        match &node.value {
            Value::String(program) if !self.dialect.split_commands => Some(vec![program.clone()]),
            Value::String(line) => match super::split::split_command(line) {
                Ok(split) => {
                    if let Some(literal) = split.literal {
                        let message = format!(
                            "no shell runs this, so `{literal}` is handed over as it stands; \
                             quote it if that is meant, else use `shell`"
                        );
                        self.warn(at, message);
                    }
                    Some(split.words)
                }
                Err(error) => {
                    self.problem(at, format!("cannot split {} into words: {error}", quote(line)));
                    None
                }
            },
            _ => self.words(at, node, "a command (a list of words, or text)"),
        }
    }

    /// A list of words; numbers are words, too.
    pub(super) fn words(&mut self, at: &At, node: &Node, what: &str) -> Option<Vec<String>> {
        let items = match &node.value {
            Value::List(items) => items.as_slice(),
            Value::Map(entries) if entries.is_empty() => &[],
            _ => return self.expected(at, what, node),
        };
        let words = self.items(at, items, Reader::word);
        (words.len() == items.len()).then_some(words)
    }

    fn word(&mut self, at: &At, node: &Node) -> Option<String> {
        match &node.value {
            Value::String(text) => Some(text.clone()),
            Value::Integer(number) => Some(number.to_string()),
            Value::Float(number) if number.is_finite() => Some(number.to_string()),
            Value::Secret(_) => {
                self.problem(at, "everybody on the machine can read a command line; hand a secret over in `env`");
                None
            }
            _ => self.expected(at, "a word of a command", node),
        }
    }
}

/// A capability's name as specs hold it: lower case, without `CAP_`.
fn capability_name(written: &str) -> String {
    let name = written.trim().to_ascii_lowercase();
    name.strip_prefix("cap_").map(str::to_owned).unwrap_or(name)
}
