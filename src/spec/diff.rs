//! What differs between two specs, key by key, with the values as a configuration would write them.

use std::collections::BTreeSet;

use super::hook::Hook;
use super::probe::{Health, ProbeTarget};
use super::process::{ProcessType, Spec};
use super::schema::{Effect, changed_fields};
use super::units::format_duration;
use super::value::{Node, Value};
use super::write;

/// A value is cut to this many characters.
const LONGEST: usize = 1_000;

/// A key whose value differs between two specs, or that a spec has and another has not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldDiff {
    /// Its path: `restart.limit.burst`, `env.PORT`.
    pub path: String,
    /// When the change is in force.
    pub effect: Effect,
    /// What it was, in the syntax of a Lua configuration; `None` when it was not there. Secrets are `***`, functions
    /// `<function>`.
    pub before: Option<String>,
    /// What it is, likewise.
    pub after: Option<String>,
    /// What it was before is an override: it was changed at run time, and the configuration said something else.
    pub overrides: bool,
}

/// The keys in which two specs differ, in the order of the table of keys; of a table like `env` each of its keys.
///
/// As with [`changed_fields`], neither functions nor names nor places are ever a difference.
pub fn diff(old: &Spec, new: &Spec) -> Vec<FieldDiff> {
    let changed = changed_fields(old, new);
    let mut differ = Differ::default();
    if !changed.is_empty() {
        let (old, new) = (tree(old), tree(new));
        for change in &changed {
            let (before, after) = (at(&old, &change.path), at(&new, &change.path));
            let listed = differ.0.len();
            differ.compare(&change.path, change.effect, before, after);
            if differ.0.len() == listed {
                // It is a change by the table of keys, whatever its text.
                differ.push(&change.path, change.effect, before, after);
            }
        }
    }
    differ.0
}

/// What a spec says beyond what one says that has nothing but its type, as [`diff`] would list it as new.
pub fn given(spec: &Spec) -> Vec<FieldDiff> {
    let bare = Spec::new(spec.name.clone(), Vec::<String>::new());
    let bare = match spec.process_type {
        ProcessType::Oneshot => Spec { process_type: ProcessType::Simple, ..bare.oneshot() },
        _ => bare,
    };
    let given = diff(&bare, spec).into_iter().filter(|field| field.after.is_some());
    given.map(|field| FieldDiff { before: None, ..field }).collect()
}

/// The differences found so far.
#[derive(Default)]
struct Differ(Vec<FieldDiff>);

impl Differ {
    fn compare(&mut self, path: &str, effect: Effect, before: Option<&Value>, after: Option<&Value>) {
        if let (Some(a), Some(b)) = (before, after)
            && same(a, b)
        {
            return;
        }
        // Each variable is a key of its own, also when there was none before.
        let by_key = matches!(path, "env" | "rlimits");
        match (before, after) {
            (Some(Value::Map(before)), Some(Value::Map(after))) if by_key || kind(before) == kind(after) => {
                self.compare_keys(path, effect, before, after);
            }
            (None, Some(Value::Map(after))) if by_key => self.compare_keys(path, effect, &[], after),
            (Some(Value::Map(before)), None) if by_key => self.compare_keys(path, effect, before, &[]),
            _ => self.push(path, effect, before, after),
        }
    }

    fn compare_keys(&mut self, path: &str, effect: Effect, before: &[(String, Node)], after: &[(String, Node)]) {
        let mut seen = BTreeSet::new();
        for (key, _) in before.iter().chain(after) {
            if !seen.insert(key) {
                continue;
            }
            let path = if is_identifier(key) { format!("{path}.{key}") } else { format!("{path}[{}]", quoted(key)) };
            match (get(before, key), get(after, key)) {
                (None, None) => {}
                (before, after) => self.compare(&path, effect, before, after),
            }
        }
    }

    fn push(&mut self, path: &str, effect: Effect, before: Option<&Value>, after: Option<&Value>) {
        let text = |value: Option<&Value>| value.map(|value| cut(written(path, value)));
        self.0.push(FieldDiff {
            path: path.to_owned(),
            effect,
            before: text(before),
            after: text(after),
            overrides: false,
        });
    }
}

/// The spec as a tree in which every key that can change stands at its path.
fn tree(spec: &Spec) -> Value {
    let mut tree = write::node(spec).value;
    if let Value::Map(entries) = &mut tree {
        // 0 is a success without being said.
        if let Some((_, node)) = entries.iter_mut().find(|(key, _)| key == "success_exit_status")
            && let Value::List(items) = &mut node.value
        {
            items.retain(|item| item.value != Value::Integer(0));
        }
        entries.retain(|(key, node)| key != "success_exit_status" || node.value != Value::List(Vec::new()));
        if let [step] = &spec.stop.sequence[..]
            && let Some((_, stop)) = entries.iter_mut().find(|(key, _)| key == "stop")
            && let Value::Map(stop) = &mut stop.value
        {
            stop.push(("signal".into(), Node::new(Value::String(step.signal.to_string()))));
            stop.push(("timeout".into(), Node::new(Value::String(format_duration(step.wait)))));
        }
    }
    tree
}

fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, key| match value {
        Value::Map(entries) => get(entries, key),
        _ => None,
    })
}

fn get<'a>(entries: &'a [(String, Node)], key: &str) -> Option<&'a Value> {
    entries.iter().find(|(name, _)| name == key).map(|(_, node)| &node.value)
}

/// Which probe it is, of a probe.
fn kind(entries: &[(String, Node)]) -> Option<&str> {
    match get(entries, "type") {
        Some(Value::String(kind)) => Some(kind),
        _ => None,
    }
}

/// Whether two values are the same, functions not counted.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Function(_), Value::Function(_)) => true,
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(&a.value, &b.value))
        }
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && same(&a.1.value, &b.1.value))
        }
        (a, b) => a == b,
    }
}

// Writing.

/// The value of the key at this path as a configuration would write it.
fn written(path: &str, value: &Value) -> String {
    match (path.split('.').next(), value) {
        (Some("hooks"), Value::List(hooks)) => hooks_written(hooks),
        (Some(root @ ("health" | "ready")), Value::Map(entries)) if kind(entries).is_some() => probe(root, entries),
        (Some("listen"), Value::List(items)) => match &items[..] {
            [item] => listener(&item.value),
            _ => braces(items.iter().map(|item| listener(&item.value))),
        },
        _ => lua(value),
    }
}

fn hooks_written(hooks: &[Node]) -> String {
    let default = format_duration(Hook::DEFAULT_TIMEOUT);
    let one = |node: &Node| match &node.value {
        Value::Map(entries) => {
            let entries: Vec<_> = entries.iter().filter(|(key, node)| !is(key, node, "timeout", &default)).collect();
            match &entries[..] {
                [(key, node)] if matches!(key.as_str(), "command" | "fn") => lua(&node.value),
                entries => table(entries.iter().copied()),
            }
        }
        value => lua(value),
    };
    match hooks {
        [hook] => one(hook),
        hooks => braces(hooks.iter().map(one)),
    }
}

/// A probe as its constructor, without what is at its default.
fn probe(root: &str, entries: &[(String, Node)]) -> String {
    let kind = kind(entries).unwrap_or_default();
    let target = match kind {
        "http" => ProbeTarget::http(""),
        "tcp" => ProbeTarget::Tcp { host: "127.0.0.1".into(), port: 0 },
        _ => ProbeTarget::Exec(Vec::new()),
    };
    let bare = write::node(&Spec::new("", Vec::<String>::new()).health(Health::new(target))).value;
    let paced = ["interval", "timeout", "retries", "successes", "start_period", "restart_after"];
    let is_default = |key: &str, value: &Value| {
        let default = match at(&bare, "health") {
            Some(Value::Map(entries)) => get(entries, key),
            _ => None,
        };
        // A ready probe has a pace of its own, and shows what was said of it.
        (root == "health" || !paced.contains(&key)) && default == Some(value)
    };
    let said = entries.iter().filter(|(key, node)| key != "type" && !is_default(key, &node.value));
    format!("neap.{kind} {}", table(said))
}

fn listener(value: &Value) -> String {
    let Value::Map(entries) = value else { return lua(value) };
    let bare = |key: &str, node: &Node| {
        is(key, node, "mode", "0660") || (key == "backlog" && node.value == Value::Integer(4096))
    };
    format!("neap.listen {}", table(entries.iter().filter(|(key, node)| !bare(key, node))))
}

fn is(key: &str, node: &Node, wanted: &str, value: &str) -> bool {
    key == wanted && matches!(&node.value, Value::String(text) if text == value)
}

/// A value in Lua's syntax.
fn lua(value: &Value) -> String {
    match value {
        Value::Null | Value::Unset => "nil".into(),
        Value::Bool(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::String(text) | Value::Handle(text) => quoted(text),
        Value::List(items) => braces(items.iter().map(|item| lua(&item.value))),
        Value::Map(entries) => table(entries.iter()),
        Value::Function(_) => "<function>".into(),
        Value::Secret(_) => "***".into(),
        Value::Made { kind, fields } => format!("neap.{kind} {}", table(fields.iter())),
        Value::Other(what) => format!("<{what}>"),
    }
}

fn table<'a>(entries: impl Iterator<Item = &'a (String, Node)>) -> String {
    braces(entries.map(|(key, node)| {
        let key = if is_identifier(key) { key.clone() } else { format!("[{}]", quoted(key)) };
        format!("{key} = {}", lua(&node.value))
    }))
}

fn braces(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    if items.is_empty() { "{}".into() } else { format!("{{ {} }}", items.join(", ")) }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if c.is_ascii_control() => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn is_identifier(key: &str) -> bool {
    let mut chars = key.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn cut(text: String) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{FieldDiff, diff, given};
    use crate::spec::samples::specs;
    use crate::spec::schema::changed_fields;
    use crate::spec::{
        Effect, FunctionId, Health, Hook, Probe, ProbeTarget, Ready, Restart, Rlimit, Secret, Signal, Spec, Stop,
        StopStep,
    };

    fn web() -> Spec {
        Spec::new("web", ["nginx", "-g"])
    }

    fn shown(fields: &[FieldDiff]) -> Vec<String> {
        let say = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".into());
        fields.iter().map(|field| format!("{}: {} > {}", field.path, say(&field.before), say(&field.after))).collect()
    }

    #[test]
    fn each_value_is_written_as_a_configuration_would_write_it() {
        let http = || Health::new(ProbeTarget::http("http://127.0.0.1/health"));
        let slow = Health { interval: Duration::from_secs(20), restart_after: 3, ..http() };
        let mut ladder = web();
        ladder.stop.sequence.push(StopStep { signal: Signal::QUIT, wait: Duration::from_secs(1) });
        let cases: Vec<(Spec, Spec, &[&str])> = vec![
            (web(), web().arg("a \"b\"\n"), &[r#"command: { "nginx", "-g" } > { "nginx", "-g", "a \"b\"\n" }"#]),
            (web(), web().env("PORT", "80"), &[r#"env.PORT: - > "80""#]),
            (
                web().env("PORT", "80"),
                web().env("PORT", "81").env("x-y", "1"),
                &[r#"env.PORT: "80" > "81""#, r#"env["x-y"]: - > "1""#],
            ),
            (web().env("PORT", "80"), web(), &[r#"env.PORT: "80" > -"#]),
            (
                web().secret_env("KEY", Secret::new("a")),
                web().secret_env("KEY", Secret::new("b")),
                &["env.KEY: *** > ***"],
            ),
            (
                web(),
                web().restart(Restart { delay: Duration::from_millis(250), factor: 1.5, ..Restart::default() }),
                &[r#"restart.delay: "1s" > "250ms""#, "restart.factor: 2 > 1.5"],
            ),
            (
                web(),
                web().stop(Stop::signal(Signal::INT, Duration::from_secs(10))),
                &[r#"stop.signal: "SIGTERM" > "SIGINT""#],
            ),
            (
                web(),
                ladder,
                &[r#"stop.sequence: { { "SIGTERM", "10s" } } > { { "SIGTERM", "10s" }, { "SIGQUIT", "1s" } }"#],
            ),
            (
                web(),
                web().health(slow.clone()),
                &[r#"health: - > neap.http { url = "http://127.0.0.1/health", interval = "20s", restart_after = 3 }"#],
            ),
            (
                web().health(http()),
                web().health(slow),
                &[r#"health.interval: "10s" > "20s""#, "health.restart_after: 0 > 3"],
            ),
            (
                web().health(http()),
                web().health(Health::new(ProbeTarget::Tcp { host: "127.0.0.1".into(), port: 80 })),
                &[r#"health: neap.http { url = "http://127.0.0.1/health" } > neap.tcp { port = 80 }"#],
            ),
            (web(), web().ready(Ready::tcp(80)), &["ready: - > neap.tcp { port = 80 }"]),
            (web(), web().requires("db"), &[r#"requires: - > { "db" }"#]),
            (web(), web().success_exit_status(3), &["success_exit_status: - > { 3 }"]),
            (web(), web().after_stop(Hook::command(["true"])), &[r#"hooks.after_stop: - > { "true" }"#]),
            (web(), web().after_stop(Hook::function(FunctionId(7))), &["hooks.after_stop: - > <function>"]),
            (
                web(),
                web().after_stop(Hook::command(["true"]).timeout(Duration::from_secs(1))),
                &[r#"hooks.after_stop: - > { command = { "true" }, timeout = "1s" }"#],
            ),
            (web(), web().critical(true), &["critical: false > true"]),
            (web(), web().umask(0o077), &[r#"umask: "0022" > "0077""#]),
        ];
        for (old, new, expected) in cases {
            assert_eq!(shown(&diff(&old, &new)), expected);
        }
        let mut old = web();
        old.rlimits.insert("nofile".into(), Rlimit { soft: Some(10), hard: Some(20) });
        let mut new = old.clone();
        new.rlimits.insert("nproc".into(), Rlimit { soft: Some(5), hard: Some(5) });
        assert_eq!(shown(&diff(&old, &new)), ["rlimits.nproc: - > 5"]);
    }

    #[test]
    fn functions_are_no_difference_but_what_stands_beside_them_is() {
        let with = |id: u64, interval: u64| {
            let mut health = Health::new(ProbeTarget::Function(FunctionId(id)));
            health.interval = Duration::from_secs(interval);
            let target = ProbeTarget::Function(FunctionId(id));
            web().health(health).ready(Ready::Probe(Probe { target, interval: None, timeout: None }))
        };
        assert_eq!(diff(&with(1, 10), &with(2, 10)), []);
        assert_eq!(shown(&diff(&with(1, 10), &with(2, 5))), [r#"health.interval: "10s" > "5s""#]);
    }

    #[test]
    fn what_a_spec_says_is_listed_without_its_defaults() {
        let spec = web().env("PORT", "80").secret_env("KEY", Secret::new("a")).requires("db").auto_start(false);
        let expected = [
            r#"command: - > { "nginx", "-g" }"#,
            "auto_start: - > false",
            r#"env.PORT: - > "80""#,
            "env.KEY: - > ***",
            r#"requires: - > { "db" }"#,
        ];
        assert_eq!(shown(&given(&spec)), expected);
        let job = given(&Spec::new("job", ["make"]).oneshot());
        assert_eq!(shown(&job), [r#"command: - > { "make" }"#, r#"type: - > "oneshot""#]);
        assert!(job.iter().all(|field| field.effect == Effect::Restart));
    }

    proptest! {
        #[test]
        fn the_fields_listed_are_those_that_changed(old in specs(), new in specs()) {
            let fields = diff(&old, &new);
            for change in changed_fields(&old, &new) {
                let below = |path: &str| {
                    let rest = path.strip_prefix(change.path.as_str());
                    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
                };
                prop_assert!(fields.iter().any(|field| below(&field.path) && field.effect == change.effect));
            }
            for field in &fields {
                prop_assert!(field.before.is_some() || field.after.is_some());
                let root = changed_fields(&old, &new);
                prop_assert!(root.iter().any(|change| field.path.starts_with(change.path.as_str())));
            }
            prop_assert_eq!(diff(&old, &old), []);
        }
    }
}
