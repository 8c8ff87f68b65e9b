//! From a spec to the shortest table that a person would write for it.
//!
//! The whole spec, every default included, is written as a tree; then keys are taken away and forms made shorter for as long
//! as what is left still reads as the same spec. So whatever is left out is what Lua, or `neap.defaults`, means anyway.

use crate::spec::read::{self, Dialect, merge};
use crate::spec::units::parse_cpu;
use crate::spec::{Node, Source, Spec, Value, write};

/// Keys and values.
pub(super) type Fields = Vec<(String, Node)>;

/// What this table, over these defaults, is read as.
fn reads_as(spec: &Spec, defaults: &[(String, Node)], fields: &[(String, Node)]) -> bool {
    let node = Node::new(Value::Map(merge(defaults, fields)));
    let found = read::spec(&spec.name, &node, &Dialect::native(), Source::default());
    found.is_ok_and(|found| found == *spec)
}

/// All that a spec says, in the forms that people write.
pub(super) fn whole(spec: &Spec) -> Fields {
    let Value::Map(mut fields) = write::node(spec).value else { return Vec::new() };
    for (key, node) in &mut fields {
        match (key.as_str(), &mut node.value) {
            ("stop", Value::Map(stop)) => {
                one_step(stop);
                short_signals(stop);
            }
            ("reload", Value::Map(reload)) => short_signals(reload),
            ("limits", Value::Map(limits)) => cores(limits),
            _ => {}
        }
    }
    fields
}

/// A ladder of one step is a signal and a timeout.
fn one_step(stop: &mut Fields) {
    let step = stop.iter().find(|(key, _)| key == "sequence").and_then(|(_, node)| match &node.value {
        Value::List(steps) => match &steps[..] {
            [Node { value: Value::List(step), .. }] => match &step[..] {
                [signal, wait] => Some((signal.clone(), wait.clone())),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    });
    if let Some((signal, wait)) = step {
        stop.retain(|(key, _)| key != "sequence");
        stop.splice(0..0, [("signal".to_owned(), signal), ("timeout".to_owned(), wait)]);
    }
}

/// `TERM` for `SIGTERM`.
fn short_signals(fields: &mut Fields) {
    let shorten = |node: &mut Node| {
        if let Value::String(text) = &mut node.value
            && let Some(short) = text.strip_prefix("SIG")
        {
            *text = short.to_owned();
        }
    };
    for (key, node) in fields {
        match (key.as_str(), &mut node.value) {
            ("signal", _) => shorten(node),
            ("sequence", Value::List(steps)) => {
                for step in steps {
                    if let Value::List(step) = &mut step.value {
                        step.iter_mut().take(1).for_each(shorten);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Whole and tenth parts of cores are numbers.
fn cores(limits: &mut Fields) {
    for (key, node) in limits {
        if let ("cpu", Value::String(text)) = (key.as_str(), &node.value)
            && let Ok(millis) = parse_cpu(text)
            && millis < 100_000
            && millis % 100 == 0
        {
            #[expect(clippy::cast_precision_loss, reason = "it is below a hundred thousand")]
            let cores = millis as f64 / 1000.0;
            node.value = Value::Float(cores);
        }
    }
}

/// The shortest table that is read as this spec over these defaults.
pub(super) fn table(spec: &Spec, defaults: &[(String, Node)]) -> Fields {
    let mut fields = whole(spec);
    without_inherited(&mut fields, defaults);
    let same = |fields: &[(String, Node)]| reads_as(spec, defaults, fields);
    let mut at = Vec::new();
    reduce(&mut fields, &mut at, &same);
    for shorten in [short_commands, short_hooks, short_lists, short_restart] {
        for index in 0..fields.len() {
            let mut shorter = fields.clone();
            shorten(&mut shorter[index]);
            if shorter != fields && same(&shorter) {
                fields = shorter;
            }
        }
    }
    fields.iter_mut().for_each(constructed);
    fields
}

/// Takes away what the defaults have and the spec has not.
fn without_inherited(fields: &mut Fields, defaults: &[(String, Node)]) {
    for (key, below) in defaults {
        match (fields.iter_mut().find(|(name, _)| name == key), &below.value) {
            (None, _) => fields.push((key.clone(), Node::new(Value::Unset))),
            (Some((_, Node { value: Value::Map(own), .. })), Value::Map(below)) => without_inherited(own, below),
            _ => {}
        }
    }
}

/// A step on the way to a key: by name in a table, or by place in a list.
#[derive(Clone)]
enum Step {
    Key(String),
    Item(usize),
}

/// The tables below a way, for who looks for keys to take away.
fn below<'f>(fields: &'f mut Fields, at: &[Step]) -> Option<&'f mut Fields> {
    let mut here = fields;
    let mut steps = at.iter().peekable();
    while let Some(step) = steps.next() {
        let Step::Key(key) = step else { return None };
        let node = &mut here.iter_mut().find(|(name, _)| name == key)?.1;
        here = match (&mut node.value, steps.peek()) {
            (Value::Map(fields), _) => fields,
            (Value::List(items), Some(Step::Item(index))) => {
                steps.next();
                match &mut items.get_mut(*index)?.value {
                    Value::Map(fields) => fields,
                    _ => return None,
                }
            }
            _ => return None,
        };
    }
    Some(here)
}

/// Whether a table still says what it is to say.
type Same<'a> = dyn Fn(&[(String, Node)]) -> bool + 'a;

/// Takes away every key below here that the spec is the same without.
fn reduce(fields: &mut Fields, at: &mut Vec<Step>, same: &Same<'_>) {
    let Some(here) = below(fields, at) else { return };
    let keys: Vec<String> = here.iter().map(|(key, _)| key.clone()).collect();
    // What kind of probe it is could mostly be told from its keys, but it is its constructor's name.
    let is_probe = matches!(at.as_slice(), [Step::Key(key)] if key == "ready" || key == "health");
    for key in keys.into_iter().filter(|key| !(is_probe && key == "type")) {
        let mut without = fields.clone();
        if let Some(here) = below(&mut without, at) {
            here.retain(|(name, _)| *name != key);
        }
        if same(&without) {
            *fields = without;
            continue;
        }
        let items = below(fields, at).and_then(|here| match &here.iter().find(|(name, _)| *name == key)?.1.value {
            Value::Map(_) => Some(None),
            Value::List(items) => Some(Some(items.len())),
            _ => None,
        });
        at.push(Step::Key(key));
        match items {
            Some(None) => reduce(fields, at, same),
            Some(Some(count)) => {
                for index in 0..count {
                    at.push(Step::Item(index));
                    reduce(fields, at, same);
                    at.pop();
                }
            }
            None => {}
        }
        at.pop();
    }
}

/// `/bin/sh -c LINE` is a line for the shell.
fn short_commands((key, node): &mut (String, Node)) {
    if key == "command"
        && let Some(line) = shell_line(node)
    {
        *node = line;
        "shell".clone_into(key);
    }
}

fn shell_line(command: &Node) -> Option<Node> {
    let Value::List(words) = &command.value else { return None };
    let word = |at: usize| match &words.get(at)?.value {
        Value::String(word) => Some(word.as_str()),
        _ => None,
    };
    match (word(0)?, word(1)?, words.len()) {
        ("/bin/sh", "-c", 3) => words.get(2).cloned(),
        _ => None,
    }
}

/// A hook that is only a command is that command, and one hook needs no list.
fn short_hooks((key, node): &mut (String, Node)) {
    let ("hooks", Value::Map(turns)) = (key.as_str(), &mut node.value) else { return };
    for (_, hooks) in turns {
        let Value::List(list) = &mut hooks.value else { continue };
        for hook in list.iter_mut() {
            let Value::Map(fields) = &mut hook.value else { continue };
            fields.iter_mut().for_each(short_commands);
            if let [(name, command)] = &fields[..]
                && name == "command"
            {
                *hook = command.clone();
            }
        }
        if let [hook] = &list[..] {
            *hooks = hook.clone();
        }
    }
}

/// A list of one is that one.
fn short_lists((key, node): &mut (String, Node)) {
    match (key.as_str(), &mut node.value) {
        ("command" | "env" | "stop" | "hooks" | "reload" | "groups", _) => {}
        (_, Value::List(items)) => {
            if let [item] = &items[..] {
                *node = item.clone();
            }
        }
        ("health" | "ready", Value::Map(fields)) => {
            for (name, node) in fields {
                if let ("expected_status", Value::List(items)) = (name.as_str(), &node.value)
                    && let [item] = &items[..]
                {
                    *node = item.clone();
                }
            }
        }
        _ => {}
    }
}

/// A policy alone is its name.
fn short_restart((key, node): &mut (String, Node)) {
    if let ("restart", Value::Map(fields)) = (key.as_str(), &node.value)
        && let [(name, policy)] = &fields[..]
        && name == "policy"
    {
        *node = policy.clone();
    }
}

/// Probes and listeners are made by the module's constructors.
fn constructed((key, node): &mut (String, Node)) {
    match (key.as_str(), &mut node.value) {
        ("ready" | "health", Value::Map(fields)) => {
            let kind = fields.iter().position(|(name, _)| name == "type").map(|at| fields.remove(at).1.value);
            let kind = match kind {
                Some(Value::String(kind)) => {
                    ["http", "tcp", "exec", "logline"].into_iter().find(|known| *known == kind)
                }
                _ => None,
            };
            if let Some(kind) = kind {
                node.value = Value::Made { kind, fields: std::mem::take(fields) };
            }
        }
        ("listen", Value::List(items)) => items.iter_mut().for_each(listener),
        ("listen", Value::Map(_)) => listener(node),
        _ => {}
    }
}

fn listener(node: &mut Node) {
    if let Value::Map(fields) = &mut node.value {
        node.value = Value::Made { kind: "listen", fields: std::mem::take(fields) };
    }
}
