//! Specs as clients write them: the same tree of values that Lua and JSON come to, for the one reader.

use std::collections::HashMap;

use super::proto::v1;
use crate::spec::{FunctionId, Node, Value};

/// A table that is being put together; what is absent stays out.
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

    fn text(&mut self, key: &str, text: Option<String>) {
        self.some(key, text.map(Value::String));
    }

    fn flag(&mut self, key: &str, flag: Option<bool>) {
        self.some(key, flag.map(Value::Bool));
    }

    fn number(&mut self, key: &str, number: Option<impl Into<i128>>) {
        self.some(key, number.map(|number| integer(number.into())));
    }

    fn millis(&mut self, key: &str, millis: Option<u64>) {
        self.some(key, millis.map(duration));
    }

    fn texts(&mut self, key: &str, texts: Vec<String>) {
        if !texts.is_empty() {
            self.put(key, list(texts));
        }
    }

    fn items(&mut self, key: &str, items: Vec<Value>) {
        if !items.is_empty() {
            self.put(key, Value::List(items.into_iter().map(Node::new).collect()));
        }
    }

    fn done(self) -> Value {
        Value::Map(self.0)
    }
}

/// What is present of a spec, without its name.
pub(super) fn entries(spec: v1::Spec) -> Vec<(String, Node)> {
    let mut table = Entries::default();
    table.text("description", spec.description);
    table.texts("command", spec.command);
    table.text("type", spec.r#type);
    table.flag("remain", spec.remain);
    table.flag("auto_start", spec.auto_start);
    table.flag("critical", spec.critical);
    table.text("working_dir", spec.working_dir);
    table.some("env", filled(spec.env, Value::String));
    table.texts("env_file", spec.env_file);
    table.flag("clear_env", spec.clear_env);
    table.text("user", spec.user);
    table.text("group", spec.group);
    table.some("groups", spec.groups.map(|names| list(names.names)));
    table.text("umask", spec.umask);
    table.number("nice", spec.nice);
    table.some("rlimits", filled(spec.rlimits, rlimit));
    table.texts("ambient_capabilities", spec.ambient_capabilities);
    table.some("bounding_capabilities", spec.bounding_capabilities.map(|names| list(names.names)));
    table.flag("no_new_privs", spec.no_new_privs);
    table.texts("requires", spec.requires);
    table.texts("wants", spec.wants);
    table.texts("binds_to", spec.binds_to);
    table.texts("follows", spec.follows);
    table.texts("part_of", spec.part_of);
    table.texts("conflicts", spec.conflicts);
    table.texts("after", spec.after);
    table.texts("before", spec.before);
    table.some("conditions", spec.conditions.map(conditions));
    table.some("ready", spec.ready.map(ready));
    table.some("health", spec.health.map(health));
    table.some("restart", spec.restart.map(restart));
    table.texts("success_exit_status", spec.success_exit_status);
    table.some("stop", spec.stop.map(stop));
    table.some("start_timeout", spec.start_timeout.map(start_timeout));
    table.some("reload", spec.reload.map(reload));
    table.some("hooks", spec.hooks.map(hooks));
    table.some("limits", spec.limits.map(limits));
    table.items("listen", spec.listen.into_iter().map(listen).collect());
    let plain = spec.runtime_directory.into_iter().map(Value::String);
    table.items("runtime_directory", plain.chain(spec.runtime_directories.into_iter().map(directory)).collect());
    table.items("state_directory", spec.state_directory.into_iter().map(directory).collect());
    table.items("cache_directory", spec.cache_directory.into_iter().map(directory).collect());
    table.items("logs_directory", spec.logs_directory.into_iter().map(directory).collect());
    table.text("pidfile", spec.pidfile);
    table.some("log", spec.log.map(log));
    table.millis("watchdog", spec.watchdog);
    table.texts("secret_env", spec.secret_env);
    table.flag("volatile", spec.volatile);
    table.0
}

/// A whole number; one that no key takes stays one that the reader refuses.
fn integer(number: i128) -> Value {
    i64::try_from(number).map_or(Value::Float(number as f64), Value::Integer)
}

fn duration(millis: u64) -> Value {
    Value::String(format!("{millis}ms"))
}

fn list(texts: Vec<String>) -> Value {
    Value::List(texts.into_iter().map(|text| Node::new(Value::String(text))).collect())
}

fn filled<T>(map: HashMap<String, T>, value: impl Fn(T) -> Value) -> Option<Value> {
    let mut entries: Vec<(String, Node)> = map.into_iter().map(|(key, one)| (key, Node::new(value(one)))).collect();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    (!entries.is_empty()).then_some(Value::Map(entries))
}

fn directory(directory: v1::Directory) -> Value {
    let mut table = Entries::default();
    table.text("path", Some(directory.path));
    table.text("mode", directory.mode);
    table.done()
}

fn rlimit(limit: v1::Rlimit) -> Value {
    let one = |value: Option<u64>| value.map_or_else(|| Value::String("infinity".into()), |n| integer(n.into()));
    let mut table = Entries::default();
    table.put("soft", one(limit.soft));
    table.put("hard", one(limit.hard));
    table.done()
}

fn conditions(conditions: v1::Conditions) -> Value {
    let mut table = Entries::default();
    table.texts("path_exists", conditions.path_exists);
    table.texts("path_executable", conditions.path_executable);
    table.texts("file_not_empty", conditions.file_not_empty);
    table.texts("env", conditions.env);
    table.some("check", conditions.check.map(|id| Value::Function(FunctionId(id))));
    table.done()
}

fn ready(ready: v1::Ready) -> Value {
    match ready.on.as_str() {
        "probe" | "" => {
            let mut table = Entries::default();
            target(&mut table, ready.probe);
            table.millis("interval", ready.interval);
            table.millis("timeout", ready.timeout);
            table.done()
        }
        "logline" => {
            let mut table = Entries::default();
            table.put("type", Value::String("logline".into()));
            table.text("pattern", ready.pattern);
            table.done()
        }
        _ => Value::String(ready.on),
    }
}

fn health(health: v1::HealthCheck) -> Value {
    let mut table = Entries::default();
    target(&mut table, health.probe);
    table.millis("interval", health.interval);
    table.millis("timeout", health.timeout);
    table.number("retries", health.retries);
    table.number("successes", health.successes);
    table.millis("start_period", health.start_period);
    table.number("restart_after", health.restart_after);
    table.done()
}

fn target(table: &mut Entries, probe: Option<v1::Probe>) {
    use v1::probe::Target;
    let kind = |table: &mut Entries, kind: &str| table.put("type", Value::String(kind.into()));
    match probe.and_then(|probe| probe.target) {
        None => {}
        Some(Target::Http(probe)) => {
            kind(table, "http");
            table.text("url", Some(probe.url).filter(|url| !url.is_empty()));
            table.text("method", probe.method);
            table.texts("expected_status", probe.expected_status);
            let pair = |header: v1::Header| list(vec![header.name, header.value]);
            table.items("headers", probe.headers.into_iter().map(pair).collect());
            table.text("body", probe.body);
        }
        Some(Target::Tcp(probe)) => {
            kind(table, "tcp");
            table.text("host", probe.host);
            table.number("port", Some(probe.port).filter(|port| *port != 0));
        }
        Some(Target::Exec(probe)) => {
            kind(table, "exec");
            table.texts("command", probe.command);
        }
        Some(Target::Fn(id)) => {
            kind(table, "check");
            table.put("fn", Value::Function(FunctionId(id)));
        }
    }
}

fn restart(restart: v1::Restart) -> Value {
    let mut table = Entries::default();
    table.text("policy", restart.policy);
    table.millis("delay", restart.delay);
    table.some("factor", restart.factor.map(Value::Float));
    table.millis("max_delay", restart.max_delay);
    table.some("jitter", restart.jitter.map(Value::Float));
    table.some("limit", restart.limit.map(start_limit));
    table.millis("reset_after", restart.reset_after);
    table.done()
}

fn start_limit(limit: v1::StartLimit) -> Value {
    let mut table = Entries::default();
    table.number("burst", limit.burst);
    table.millis("interval", limit.interval);
    table.done()
}

fn stop(stop: v1::Stop) -> Value {
    let step = |step: v1::StopStep| {
        let mut table = Entries::default();
        table.put("signal", Value::String(step.signal));
        table.put("timeout", duration(step.timeout));
        table.done()
    };
    let mut table = Entries::default();
    table.text("mode", stop.mode);
    table.texts("command", stop.command);
    table.items("sequence", stop.sequence.into_iter().map(step).collect());
    table.done()
}

fn start_timeout(millis: i64) -> Value {
    match u64::try_from(millis) {
        Ok(millis) => duration(millis),
        Err(_) if millis == -1 => Value::String("infinity".into()),
        Err(_) => Value::Integer(millis),
    }
}

fn reload(reload: v1::Reload) -> Value {
    let mut table = Entries::default();
    table.text("signal", reload.signal);
    table.texts("command", reload.command);
    table.text("on_change", reload.on_change);
    table.done()
}

fn hooks(hooks: v1::Hooks) -> Value {
    let mut table = Entries::default();
    let turns = [
        ("before_start", hooks.before_start),
        ("after_start", hooks.after_start),
        ("before_stop", hooks.before_stop),
        ("after_stop", hooks.after_stop),
        ("on_failure", hooks.on_failure),
    ];
    for (key, hooks) in turns {
        table.items(key, hooks.into_iter().map(hook).collect());
    }
    table.done()
}

fn hook(hook: v1::Hook) -> Value {
    let mut table = Entries::default();
    table.texts("command", hook.command);
    table.some("fn", hook.r#fn.map(|id| Value::Function(FunctionId(id))));
    table.text("user", hook.user);
    table.millis("timeout", hook.timeout);
    table.done()
}

fn limits(limits: v1::Limits) -> Value {
    let mut table = Entries::default();
    table.number("memory", limits.memory);
    table.number("memory_high", limits.memory_high);
    table.number("memory_low", limits.memory_low);
    table.some("cpu", limits.cpu.map(cores));
    table.number("cpu_weight", limits.cpu_weight);
    table.number("pids", limits.pids);
    table.number("io_weight", limits.io_weight);
    table.number("oom_score_adj", limits.oom_score_adj);
    table.done()
}

/// Cores, of which a bare number of a hundred or more would be taken for thousandths.
fn cores(cores: f64) -> Value {
    let millis = (cores * 1_000.0).round();
    if millis.is_finite() && millis >= 1.0 { Value::String(format!("{millis:.0}m")) } else { Value::Float(cores) }
}

fn listen(listen: v1::Listen) -> Value {
    let mut table = Entries::default();
    table.text("tcp", listen.tcp);
    table.text("udp", listen.udp);
    table.text("unix", listen.unix);
    table.text("unix_dgram", listen.unix_dgram);
    table.text("unix_seqpacket", listen.unix_seqpacket);
    table.text("fifo", listen.fifo);
    table.text("name", listen.name);
    table.number("accept", listen.accept);
    table.millis("idle_stop", listen.idle_stop);
    table.text("mode", listen.mode);
    table.text("user", listen.user);
    table.text("group", listen.group);
    table.number("backlog", listen.backlog);
    table.text("fd_env", listen.fd_env);
    table.text("client_fd_env", listen.client_fd_env);
    table.done()
}

fn log(log: v1::Log) -> Value {
    let mut table = Entries::default();
    table.number("ring", log.ring);
    table.text("file", log.file);
    table.number("max_size", log.max_size);
    table.number("keep", log.keep);
    table.text("stdout", log.stdout);
    table.text("stderr", log.stderr);
    table.done()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::entries;
    use crate::rpc::spec::spec as shown;
    use crate::spec::read::{Dialect, spec as read};
    use crate::spec::samples::specs;
    use crate::spec::{Node, Source, Spec, Value};

    /// What a client gets when it writes back what it was shown.
    fn written_back(spec: &Spec) -> Spec {
        let mut told = shown(spec);
        // Only what clients can know comes back.
        told.secret_env.clear();
        for name in spec.secret_env.keys() {
            told.env.remove(name);
        }
        let table = Node::new(Value::Map(entries(told)));
        read(&spec.name, &table, &Dialect::compatible(), Source::default()).expect("it was a spec")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_spec_that_is_shown_and_written_back_is_the_same(mut spec in specs()) {
            // Without a folder it has that of this door.
            spec.working_dir.get_or_insert_with(|| "/".into());
            let back = written_back(&spec);
            spec.secret_env.clear();
            // In the precision of messages, which is a millisecond.
            prop_assert_eq!(shown(&back), shown(&spec));
        }
    }
}
