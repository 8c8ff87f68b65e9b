//! The older system's names, as keys of a spec.

use std::collections::BTreeMap;

use super::convert::{Convert, Flat, Take, below, item};
use crate::spec::read::describe;
use crate::spec::schema::{EXEC, HTTP, PACE, TCP, nearest};
use crate::spec::units::{UnitError, cpu_from_number, parse_cpu};
use crate::spec::{Node, Value, Written};

/// Older keys of `health_check`, and what they are in `health`.
#[rustfmt::skip]
const HEALTH_KEYS: [(&str, &str); 9] = [
    ("endpoint", "url"),
    ("http_endpoint", "url"),
    ("http_method", "method"),
    ("http_expected_status", "expected_status"),
    ("http_status", "expected_status"),
    ("tcp_host", "host"),
    ("tcp_port", "port"),
    ("exec_command", "command"),
    ("exec_args", "args"),
];

/// The keys of `resources.requests` and `resources.limits`, and what they are in `limits`.
const REQUESTS: [(&str, &str); 2] = [("cpu", "cpu_weight"), ("memory", "memory_low")];
const LIMITS: [(&str, &str); 3] = [("cpu", "cpu"), ("memory", "memory"), ("pids", "pids")];

/// The keys of `resource_limits`, and what they are in `limits`.
#[rustfmt::skip]
const RESOURCE_LIMITS: [(&str, &str); 9] = [
    ("cpu", "cpu"),
    ("memory", "memory"),
    ("pids", "pids"),
    ("cpu_request", "cpu_weight"),
    ("cpu_limit", "cpu"),
    ("memory_request", "memory_low"),
    ("memory_limit", "memory"),
    ("pids_limit", "pids"),
    ("oom_score_adj", "oom_score_adj"),
];

/// A limit of fewer thousandths of a core was meant as cores: nothing gets anywhere with it.
const FEWEST_MILLIS: u32 = 10;

/// A process's keys while they are gathered.
pub(super) struct Keys {
    pub(super) entries: Vec<(String, Node)>,
    /// What the user called a key, by its path.
    pub(super) written: BTreeMap<String, Written>,
}

impl Keys {
    /// Remembers what a key was called.
    fn called(&mut self, path: &str, written: &str) {
        self.written.insert(path.to_owned(), Written { path: written.to_owned(), file: None });
    }

    /// Gives a key by its path, which must not be given yet.
    fn put(&mut self, convert: &mut Convert, path: &str, written: &str, node: Node) {
        let line = node.position.line;
        if node.value == Value::Null {
            return;
        }
        let mut entries = &mut self.entries;
        let mut segments = path.split('.').peekable();
        let mut before = String::new();
        while let Some(segment) = segments.next() {
            before = below(&before, segment);
            let place = match entries.iter().position(|(key, node)| key == segment && node.value != Value::Null) {
                Some(place) => place,
                None if segments.peek().is_none() => {
                    entries.push((segment.to_owned(), node));
                    self.called(path, written);
                    return;
                }
                None => {
                    entries.push((segment.to_owned(), Node::at(Value::Map(Vec::new()), line)));
                    // What is wrong with a table that nobody wrote is told by the key that made it.
                    entries.len() - 1
                }
            };
            let Some((_, found)) = entries.get_mut(place) else { return };
            if segments.peek().is_none() {
                let other = self.written.get(path).map_or(path, |other| other.path.as_str());
                let message =
                    format!("is the same as `{other}` on line {}; leave one of the two out", found.position.line);
                convert.problem(line, written, message);
                return;
            }
            if segment == "restart"
                && let Value::String(_) = &found.value
            {
                // A policy's name stands for a table with that policy.
                let policy = found.clone();
                found.value = Value::Map(vec![("policy".to_owned(), policy)]);
                let called = Written { path: "restart".to_owned(), file: None };
                self.written.entry("restart.policy".to_owned()).or_insert(called);
            }
            // Anything but a table is wrong, and the reader says so.
            let Value::Map(inner) = &mut found.value else { return };
            entries = inner;
        }
    }

    /// A key that is one value there and here.
    pub(super) fn value(&mut self, convert: &mut Convert, flat: &Flat, path: &str) {
        let written = flat.key.as_str();
        let mut node = convert.node(&flat.value, flat.line, written, Take::of(written));
        match path {
            "type" | "restart.policy" | "stop.mode" => as_word(&mut node),
            "start_timeout" if is_zero(&node.value) => node.value = Value::String("infinity".into()),
            // To the older system's clients 0 is what is not given.
            "stop.timeout" | "restart.max_delay" if is_zero(&node.value) => node.value = Value::Null,
            _ if path.starts_with("hooks.") => self.lines(&mut node, path, written),
            _ => {}
        }
        self.put(convert, path, written, node);
    }

    /// Hooks: each text is a command of its own.
    fn lines(&mut self, node: &mut Node, path: &str, written: &str) {
        let line = node.position.line;
        let alone = !matches!(node.value, Value::List(_));
        let items = match std::mem::replace(&mut node.value, Value::Null) {
            Value::Null => return,
            Value::List(items) => items,
            other => vec![Node::at(other, line)],
        };
        let mut hooks = Vec::with_capacity(items.len());
        for (place, it) in items.into_iter().enumerate() {
            match it.value {
                Value::String(text) if text.trim().is_empty() => {}
                Value::String(text) => {
                    let line = it.position.line;
                    let command = ("command".to_owned(), Node::at(Value::String(text), line));
                    hooks.push(Node::at(Value::Map(vec![command]), line));
                    let called = if alone { written.to_owned() } else { item(written, place) };
                    let here = format!("{path}[{}]", hooks.len());
                    self.called(&format!("{here}.command"), &called);
                    self.called(&here, &called);
                }
                value => {
                    hooks.push(Node { value, position: it.position });
                    self.called(&format!("{path}[{}]", hooks.len()), &item(written, place));
                }
            }
        }
        node.value = Value::List(hooks);
    }

    /// A table of the older system whose keys are known by `known`; unknown ones are noted.
    fn keys(convert: &mut Convert, flat: &Flat, path: &str, what: &str, known: &[&str]) -> Option<Vec<Flat>> {
        if crate::yaml::convert::shallow(&flat.value) == Value::Null {
            return None;
        }
        let entries = convert.table(&flat.value, flat.line, path, what)?;
        let (mut good, unknown): (Vec<Flat>, Vec<Flat>) =
            entries.into_iter().partition(|entry| known.contains(&entry.key.as_str()));
        for entry in unknown {
            let near = nearest(&entry.key, known.iter().copied());
            let message = match near {
                Some(near) => format!("there is no such key; did you mean `{near}`?"),
                None => format!("there is no such key (there are {})", known.join(", ")),
            };
            convert.problem(entry.line, &below(path, &entry.key), message);
            // It is read as what was meant, so that nobody is told that this is missing.
            let meant = near.filter(|near| good.iter().all(|entry| entry.key != *near));
            good.extend(meant.map(|near| Flat { key: near.to_owned(), ..entry }));
        }
        Some(good)
    }

    /// `resources`: requests and limits, as Kubernetes has them.
    pub(super) fn resources(&mut self, convert: &mut Convert, flat: &Flat) {
        let root = flat.key.clone();
        let what = "a table with `requests` and `limits`";
        let Some(entries) = Keys::keys(convert, flat, &root, what, &["requests", "limits", "oom_score_adj"]) else {
            return;
        };
        for entry in entries {
            let path = below(&root, &entry.key);
            let (table, what): (&[(&str, &str)], &str) = match entry.key.as_str() {
                "requests" => (&REQUESTS, "a table with `cpu` and `memory`"),
                "limits" => (&LIMITS, "a table with `cpu`, `memory` and `pids`"),
                _ => {
                    let node = convert.node(&entry.value, entry.line, &path, Take::Resolved);
                    self.put(convert, "limits.oom_score_adj", &path, node);
                    continue;
                }
            };
            let known: Vec<&str> = table.iter().map(|(key, _)| *key).collect();
            for inner in Keys::keys(convert, &entry, &path, what, &known).unwrap_or_default() {
                if let Some((_, here)) = table.iter().find(|(key, _)| *key == inner.key) {
                    self.limit(convert, &inner, here, &below(&path, &inner.key));
                }
            }
        }
    }

    /// `resource_limits`: one value each.
    pub(super) fn resource_limits(&mut self, convert: &mut Convert, flat: &Flat) {
        let known: Vec<&str> = RESOURCE_LIMITS.iter().map(|(key, _)| *key).collect();
        let what = "a table with keys such as `memory_limit`";
        for mut entry in Keys::keys(convert, flat, &flat.key, what, &known).unwrap_or_default() {
            let path = below(&flat.key, &entry.key);
            let Some((_, here)) = RESOURCE_LIMITS.iter().find(|(key, _)| *key == entry.key) else { continue };
            // As numbers these two are thousandths of a core; `cpu` is cores.
            if matches!(entry.key.as_str(), "cpu_request" | "cpu_limit") {
                let node = convert.node(&entry.value, entry.line, &path, Take::Resolved);
                let millis = match &node.value {
                    Value::Integer(millis) => Some(millis.to_string()),
                    Value::String(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => Some(text.clone()),
                    _ => None,
                };
                if let ("cpu_limit", Some(few)) =
                    (entry.key.as_str(), millis.as_deref().and_then(|text| text.parse().ok()))
                    && (1..FEWEST_MILLIS).contains(&few)
                {
                    let cores = if few == 1 { "one core".to_owned() } else { format!("{few} cores") };
                    let message = format!("is {few}/1000 of a core; write {few}000 or {few}000m for {cores}");
                    convert.notes.push((entry.line, path.clone(), message));
                }
                let node = match millis.as_deref() {
                    Some("0") => Node::at(Value::Null, entry.line),
                    Some(millis) => Node::at(Value::String(format!("{millis}m")), entry.line),
                    None => node,
                };
                self.processor(convert, node, here, &path);
            } else {
                entry.key = (*here).to_owned();
                self.limit(convert, &entry, here, &path);
            }
        }
    }

    /// One limit; 0 is none.
    fn limit(&mut self, convert: &mut Convert, entry: &Flat, here: &str, written: &str) {
        let mut node = convert.node(&entry.value, entry.line, written, Take::Resolved);
        if node.value == Value::Integer(0) && here != "oom_score_adj" {
            node.value = Value::Null;
        }
        self.processor(convert, node, here, written);
    }

    /// A limit, of which a request of the processor becomes a weight: a hundredth of a core is 1.
    fn processor(&mut self, convert: &mut Convert, mut node: Node, here: &str, written: &str) {
        if here == "cpu_weight" && node.value != Value::Null {
            match millis(&node.value) {
                Ok(millis) => {
                    let weight = i64::try_from((millis / 10).clamp(1, 10_000)).unwrap_or(10_000);
                    node.value = Value::Integer(weight);
                }
                Err(message) => return convert.problem(node.position.line, written, message),
            }
        }
        self.put(convert, &format!("limits.{here}"), written, node);
    }

    /// `health_check`, which is `health` with some other names.
    pub(super) fn health_check(&mut self, convert: &mut Convert, flat: &Flat) {
        let root = flat.key.clone();
        let ours = [&HTTP, &TCP, &EXEC, &PACE].into_iter().flat_map(|table| table.own).map(|key| key.name);
        let mut known: Vec<&str> =
            ["type", "args"].into_iter().chain(HEALTH_KEYS.iter().map(|(key, _)| *key)).collect();
        known.extend(ours);
        let what = "a table whose `type` is http, tcp or exec";
        let Some(entries) = Keys::keys(convert, flat, &root, what, &known) else { return };
        let mut health: Vec<(String, Node)> = Vec::with_capacity(entries.len());
        let mut args: Option<Node> = None;
        for entry in entries {
            let path = below(&root, &entry.key);
            let here = HEALTH_KEYS.iter().find(|(key, _)| *key == entry.key).map_or(entry.key.as_str(), |(_, to)| *to);
            let mut node = convert.node(&entry.value, entry.line, &path, Take::of(here));
            if here == "type" {
                as_word(&mut node);
            }
            let is_absent_at_0 = ["retries", "interval", "timeout", "expected_status"].contains(&here);
            if node.value == Value::Null || is_absent_at_0 && is_zero(&node.value) {
                continue;
            }
            let place = format!("health.{here}");
            let given = if here == "args" { args.as_ref() } else { find(&health, here) };
            if let Some(other) = given {
                let called = self.written.get(&place).map_or(here, |other| other.path.as_str());
                let line = other.position.line;
                let message = format!("is the same as `{called}` on line {line}; leave one of the two out");
                convert.problem(entry.line, &path, message);
                continue;
            }
            self.called(&place, &path);
            match here {
                "args" => args = Some(node),
                _ => health.push((here.to_owned(), node)),
            }
        }
        if let Some(args) = args {
            self.with_arguments(convert, &mut health, args);
        }
        self.put(convert, "health", &root, Node::at(Value::Map(health), flat.line));
    }

    /// Puts `args` behind `command`, which is not split then.
    fn with_arguments(&mut self, convert: &mut Convert, health: &mut [(String, Node)], args: Node) {
        let line = args.position.line;
        let path = self.written.remove("health.args").map_or_else(String::new, |written| written.path);
        let items = match args.value {
            Value::Null => return,
            Value::List(items) => items,
            Value::String(_) => vec![args],
            other => {
                let found = describe(&other);
                return convert.problem(line, &path, format!("expected a list of arguments, found {found}"));
            }
        };
        let Some((_, command)) = health.iter_mut().find(|(key, _)| key == "command") else {
            return convert.problem(line, &path, "are those of a `command`, and there is none");
        };
        let mut words = match &command.value {
            Value::List(words) => words.clone(),
            _ => vec![command.clone()],
        };
        for (place, word) in items.into_iter().enumerate() {
            words.push(word);
            self.called(&format!("health.command[{}]", words.len()), &item(&path, place));
        }
        command.value = Value::List(words);
    }
}

/// Whether a value is the number 0.
fn is_zero(value: &Value) -> bool {
    matches!(value, Value::Integer(0)) || matches!(value, Value::Float(number) if *number == 0.0)
}

fn find<'a>(entries: &'a [(String, Node)], key: &str) -> Option<&'a Node> {
    entries.iter().find(|(name, _)| name == key).map(|(_, node)| node)
}

/// Words of the older system may be written as its gRPC enums: `ON_FAILURE`.
fn as_word(node: &mut Node) {
    if let Value::String(word) = &mut node.value {
        let known = word.bytes().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-'));
        if known {
            *word = word.to_ascii_lowercase().replace('_', "-");
        }
    }
}

fn millis(value: &Value) -> Result<u64, String> {
    let read: Result<u64, UnitError> = match value {
        Value::Integer(cores) => cpu_from_number(*cores as f64),
        Value::Float(cores) => cpu_from_number(*cores),
        Value::String(text) => parse_cpu(text),
        other => return Err(format!("expected cores such as 1.5, or \"500m\", found {}", describe(other))),
    };
    read.map_err(|error| error.to_string())
}
