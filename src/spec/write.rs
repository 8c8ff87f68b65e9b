//! Turning a spec into the tree of values that [`read`](super::read) reads, with the canonical keys.

use super::hook::{Hook, HookAction, Hooks};
use super::listener::Listener;
use super::probe::{Health, HttpProbe, ProbeTarget, Ready};
use super::process::{Conditions, Directory, EnvFile, Limits, LogSettings, Rlimit, Spec, Stream};
use super::read::{MODES, POLICIES, TYPES};
use super::restart::Restart;
use super::stop::{Reload, Stop};
use super::units::{format_cpu, format_duration, format_mode, format_size};
use super::value::{Node, Value};

/// The spec as a table: every key that has a value, defaults included, in the order of the schema, without the name.
///
/// Durations, sizes and modes are in their canonical text; secrets and functions stay [`Value::Secret`] and
/// [`Value::Function`] for the caller to show or hide. Reading it gives the same spec whatever the dialect's defaults.
pub fn node(spec: &Spec) -> Node {
    let mut table = Entries::default();
    table.some("description", spec.description.as_deref().map(text));
    table.put("command", texts(&spec.command));
    table.put("type", text(word(&TYPES, &spec.process_type)));
    table.put("remain", Value::Bool(spec.remain));
    table.put("auto_start", Value::Bool(spec.auto_start));
    table.put("critical", Value::Bool(spec.critical));
    table.some("working_dir", spec.working_dir.as_deref().map(text));
    environment(&mut table, spec);
    table.put("clear_env", Value::Bool(spec.clear_env));
    rights(&mut table, spec);
    relations(&mut table, spec);
    table.filled("conditions", conditions(&spec.conditions));
    table.some("ready", ready(&spec.ready));
    table.some("health", spec.health.as_ref().map(health));
    table.put("restart", restart(&spec.restart));
    table.put("success_exit_status", success(spec));
    table.put("stop", stop(&spec.stop));
    table.put("start_timeout", spec.start_timeout.map_or_else(|| text("infinity"), duration));
    table.some("reload", spec.reload.as_ref().map(|how| reload(how, spec.reload_on_change.as_deref())));
    table.filled("hooks", hooks(&spec.hooks));
    table.filled("limits", limits(&spec.limits));
    table.list("listen", spec.listen.iter().map(listener).collect());
    for (key, list) in [
        ("runtime_directory", &spec.runtime_directory),
        ("state_directory", &spec.state_directory),
        ("cache_directory", &spec.cache_directory),
        ("logs_directory", &spec.logs_directory),
    ] {
        table.list(key, list.iter().map(directory).collect());
    }
    table.some("pidfile", spec.pidfile.as_deref().map(text));
    table.put("log", log(&spec.log));
    table.some("watchdog", spec.watchdog.map(duration));
    table.put("volatile", Value::Bool(spec.volatile));
    Node::new(table.done())
}

/// A table that is being put together.
#[derive(Default)]
struct Entries(Vec<(String, Node)>);

impl Entries {
    fn put(&mut self, key: &str, value: Value) {
        self.0.push((key.to_owned(), Node::new(value)));
    }

    fn some(&mut self, key: &str, value: Option<Value>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    fn list(&mut self, key: &str, items: Vec<Value>) {
        if !items.is_empty() {
            self.put(key, list(items));
        }
    }

    fn filled(&mut self, key: &str, table: Entries) {
        if !table.0.is_empty() {
            self.put(key, table.done());
        }
    }

    fn done(self) -> Value {
        Value::Map(self.0)
    }
}

fn text(value: impl AsRef<str>) -> Value {
    Value::String(value.as_ref().to_owned())
}

fn texts(values: &[String]) -> Value {
    list(values.iter().map(text).collect())
}

fn list(items: Vec<Value>) -> Value {
    Value::List(items.into_iter().map(Node::new).collect())
}

fn duration(value: std::time::Duration) -> Value {
    text(format_duration(value))
}

fn integer(value: impl TryInto<i64>) -> Value {
    Value::Integer(value.try_into().unwrap_or(i64::MAX))
}

/// The word for a value, from the table that the reader has.
fn word<T: PartialEq>(words: &[(&'static str, T)], value: &T) -> &'static str {
    words.iter().find(|(_, known)| known == value).map_or("", |(word, _)| word)
}

fn environment(table: &mut Entries, spec: &Spec) {
    let mut env = Entries::default();
    for (name, value) in &spec.env {
        env.put(name, text(value));
    }
    for (name, secret) in &spec.secret_env {
        env.put(name, Value::Secret(secret.clone()));
    }
    table.filled("env", env);
    table.list("env_file", spec.env_file.iter().map(env_file).collect());
}

fn env_file(file: &EnvFile) -> Value {
    match (file.optional, file.path.starts_with('-')) {
        (true, _) => text(format!("-{}", file.path)),
        (false, false) => text(&file.path),
        (false, true) => {
            let mut table = Entries::default();
            table.put("path", text(&file.path));
            table.put("optional", Value::Bool(false));
            table.done()
        }
    }
}

fn directory(directory: &Directory) -> Value {
    if directory.mode == Directory::MODE {
        return text(&directory.path);
    }
    let mut table = Entries::default();
    table.put("path", text(&directory.path));
    table.put("mode", text(format_mode(directory.mode)));
    table.done()
}

fn rights(table: &mut Entries, spec: &Spec) {
    table.some("user", spec.user.as_ref().map(text));
    table.some("group", spec.group.as_ref().map(text));
    table.some("groups", spec.groups.as_deref().map(texts));
    table.put("umask", spec.umask.map_or_else(|| text("inherit"), |umask| text(format_mode(umask))));
    table.some("nice", spec.nice.map(integer));
    let mut rlimits = Entries::default();
    for (name, limit) in &spec.rlimits {
        rlimits.put(name, rlimit(limit));
    }
    table.filled("rlimits", rlimits);
    table.list("ambient_capabilities", spec.ambient_capabilities.iter().map(text).collect());
    table.some("bounding_capabilities", spec.bounding_capabilities.as_deref().map(texts));
    table.put("no_new_privs", Value::Bool(spec.no_new_privs));
}

fn rlimit(limit: &Rlimit) -> Value {
    let one = |value: Option<u64>| match value.map(i64::try_from) {
        Some(Ok(value)) => Value::Integer(value),
        // Nothing is larger than what a signed number holds but RLIM_INFINITY.
        Some(Err(_)) | None => text("infinity"),
    };
    if limit.soft == limit.hard {
        return one(limit.soft);
    }
    let mut table = Entries::default();
    table.put("soft", one(limit.soft));
    table.put("hard", one(limit.hard));
    table.done()
}

fn relations(table: &mut Entries, spec: &Spec) {
    let relations = [
        ("requires", &spec.requires),
        ("wants", &spec.wants),
        ("binds_to", &spec.binds_to),
        ("follows", &spec.follows),
        ("part_of", &spec.part_of),
        ("conflicts", &spec.conflicts),
        ("after", &spec.after),
        ("before", &spec.before),
    ];
    for (key, names) in relations {
        table.list(key, names.iter().map(text).collect());
    }
}

fn conditions(conditions: &Conditions) -> Entries {
    let mut table = Entries::default();
    table.list("path_exists", conditions.path_exists.iter().map(text).collect());
    table.list("path_executable", conditions.path_executable.iter().map(text).collect());
    table.list("file_not_empty", conditions.file_not_empty.iter().map(text).collect());
    table.list("env", conditions.env.iter().map(text).collect());
    table.some("check", conditions.check.map(Value::Function));
    table
}

fn ready(ready: &Ready) -> Option<Value> {
    Some(match ready {
        Ready::Executed => return None,
        Ready::Notify => text("notify"),
        Ready::Health => text("health"),
        Ready::LogLine(line) => {
            let mut table = Entries::default();
            table.put("type", text("logline"));
            table.put("pattern", text(&line.pattern));
            table.done()
        }
        Ready::Probe(probe) => {
            let mut table = target(&probe.target);
            table.some("interval", probe.interval.map(duration));
            table.some("timeout", probe.timeout.map(duration));
            table.done()
        }
    })
}

fn health(health: &Health) -> Value {
    let mut table = target(&health.target);
    table.put("interval", duration(health.interval));
    table.put("timeout", duration(health.timeout));
    table.put("retries", integer(health.retries));
    table.put("successes", integer(health.successes));
    table.put("start_period", duration(health.start_period));
    table.put("restart_after", integer(health.restart_after));
    table.done()
}

fn target(target: &ProbeTarget) -> Entries {
    let mut table = Entries::default();
    match target {
        ProbeTarget::Http(probe) => http(&mut table, probe),
        ProbeTarget::Tcp { host, port } => {
            table.put("type", text("tcp"));
            table.put("host", text(host));
            table.put("port", integer(*port));
        }
        ProbeTarget::Exec(command) => {
            table.put("type", text("exec"));
            table.put("command", texts(command));
        }
        ProbeTarget::Function(id) => {
            table.put("type", text("check"));
            table.put("fn", Value::Function(*id));
        }
    }
    table
}

fn http(table: &mut Entries, probe: &HttpProbe) {
    table.put("type", text("http"));
    table.put("url", text(&probe.url));
    table.put("method", text(&probe.method));
    let statuses = probe.expected_status.iter().map(|(low, high)| match low == high {
        true => integer(*low),
        false => text(format!("{low}-{high}")),
    });
    table.put("expected_status", list(statuses.collect()));
    let pairs = probe.headers.iter().map(|(name, value)| list(vec![text(name), text(value)]));
    table.list("headers", pairs.collect());
    table.some("body", probe.body.as_ref().map(text));
}

fn restart(restart: &Restart) -> Value {
    let mut limit = Entries::default();
    limit.put("burst", integer(restart.limit.burst));
    limit.put("interval", duration(restart.limit.interval));
    let mut table = Entries::default();
    table.put("policy", text(word(&POLICIES, &restart.policy)));
    table.put("delay", duration(restart.delay));
    table.put("factor", Value::Float(restart.factor));
    table.put("max_delay", duration(restart.max_delay));
    table.put("jitter", Value::Float(restart.jitter));
    table.put("limit", limit.done());
    table.put("reset_after", duration(restart.reset_after));
    table.done()
}

fn success(spec: &Spec) -> Value {
    let codes = spec.success_exit_status.iter().map(|code| integer(*code));
    list(codes.chain(spec.success_signals.iter().map(|signal| text(signal.to_string()))).collect())
}

fn stop(stop: &Stop) -> Value {
    let mut table = Entries::default();
    table.put("mode", text(word(&MODES, &stop.mode)));
    table.some("command", stop.command.as_deref().map(texts));
    let steps = stop.sequence.iter().map(|step| list(vec![text(step.signal.to_string()), duration(step.wait)]));
    table.put("sequence", list(steps.collect()));
    table.done()
}

fn reload(reload: &Reload, on_change: Option<&str>) -> Value {
    let mut table = Entries::default();
    match reload {
        Reload::Signal(signal) => table.put("signal", text(signal.to_string())),
        Reload::Command(command) => table.put("command", texts(command)),
    }
    table.some("on_change", on_change.map(text));
    table.done()
}

fn hooks(hooks: &Hooks) -> Entries {
    let turns = [
        ("before_start", &hooks.before_start),
        ("after_start", &hooks.after_start),
        ("before_stop", &hooks.before_stop),
        ("after_stop", &hooks.after_stop),
        ("on_failure", &hooks.on_failure),
    ];
    let mut table = Entries::default();
    for (key, hooks) in turns {
        table.list(key, hooks.iter().map(hook).collect());
    }
    table
}

fn hook(hook: &Hook) -> Value {
    let mut table = Entries::default();
    match &hook.action {
        HookAction::Command(command) => table.put("command", texts(command)),
        HookAction::Function(id) => table.put("fn", Value::Function(*id)),
    }
    table.some("user", hook.user.as_ref().map(text));
    table.put("timeout", duration(hook.timeout));
    table.done()
}

fn limits(limits: &Limits) -> Entries {
    let size = |bytes: Option<u64>| bytes.map(|bytes| text(format_size(bytes)));
    let mut table = Entries::default();
    table.some("memory", size(limits.memory));
    table.some("memory_high", size(limits.memory_high));
    table.some("memory_low", size(limits.memory_low));
    table.some("cpu", limits.cpu_millis.map(|millis| text(format_cpu(millis))));
    table.some("cpu_weight", limits.cpu_weight.map(integer));
    table.some("pids", limits.pids.map(integer));
    table.some("io_weight", limits.io_weight.map(integer));
    table.some("oom_score_adj", limits.oom_score_adj.map(integer));
    table
}

fn listener(listener: &Listener) -> Value {
    let address = &listener.address;
    let mut table = Entries::default();
    table.put(address.kind(), text(address.text()));
    table.some("name", listener.name.as_ref().map(text));
    table.some("accept", listener.accept.map(integer));
    table.some("idle_stop", listener.idle_stop.map(duration));
    // What has no path has no mode, and what has no connections queues none.
    if address.path().is_some() || listener.mode != Listener::DEFAULT_MODE {
        table.put("mode", text(format_mode(listener.mode)));
    }
    table.some("user", listener.user.as_ref().map(text));
    table.some("group", listener.group.as_ref().map(text));
    if address.is_stream() || listener.backlog != Listener::DEFAULT_BACKLOG {
        table.put("backlog", integer(listener.backlog));
    }
    table.some("fd_env", listener.fd_env.as_ref().map(text));
    table.some("client_fd_env", listener.client_fd_env.as_ref().map(text));
    table.done()
}

fn log(log: &LogSettings) -> Value {
    let mut table = Entries::default();
    table.put("ring", text(format_size(log.ring)));
    table.some("file", log.file.as_ref().map(text));
    table.put("max_size", text(format_size(log.max_size)));
    table.put("keep", integer(log.keep));
    table.put("stdout", stream(&log.stdout));
    table.put("stderr", stream(&log.stderr));
    table.done()
}

fn stream(stream: &Stream) -> Value {
    match stream {
        Stream::Capture => text("capture"),
        Stream::Inherit => text("inherit"),
        Stream::Null => text("null"),
        Stream::File(path) if path.starts_with(['/', '.']) => text(path),
        // A bare name near one of the words would be taken for a slip of it.
        Stream::File(path) => text(format!("./{path}")),
    }
}
