//! The whole configuration: what processes share, and the processes in their order.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use super::table::{Fields, table, whole};
use super::text::{self, is_name};
use crate::spec::read::{self, Dialect};
use crate::spec::{Node, Source, Spec, Value};

/// Lua has room for 200 locals.
const MOST_LOCALS: usize = 150;

/// Keys that name other processes.
const RELATIONS: [&str; 8] = ["requires", "wants", "binds_to", "follows", "part_of", "conflicts", "after", "before"];

/// A process to be written.
pub(super) struct Process {
    /// What it is.
    pub(super) spec: Spec,
    /// The lines of the comment before it.
    pub(super) comments: Vec<String>,
    /// The lines of the comments of its keys.
    pub(super) key_comments: Vec<(String, Vec<String>)>,
}

/// The Lua that declares these processes. `from` is what it is said to come from, `head` the comments at the head of that.
pub(super) fn config(from: &str, head: &[String], processes: &[Process]) -> String {
    let mut text = format!("-- From {from}, by `neap import`.\n");
    if !head.is_empty() {
        text.push_str("--\n");
        head.iter().for_each(|comment| text += &text::comment(comment));
    }
    text.push_str("local neap = require \"neap\"\n");
    let specs: Vec<&Spec> = processes.iter().map(|process| &process.spec).collect();
    let defaults = defaults(&specs);
    if !defaults.is_empty() {
        text += "\n-- What YAML means by what it leaves out, where Lua means something else.\n";
        // Writing to a String cannot fail.
        let _ = writeln!(text, "neap.defaults {}", text::table(&defaults));
    }
    let referred = referred(&specs);
    let mut locals: HashMap<&str, String> = HashMap::new();
    let mut taken: HashSet<String> = HashSet::from(["neap".to_owned()]);
    for Process { spec, comments, key_comments } in processes {
        let mut fields = table(spec, &defaults);
        fields.iter_mut().for_each(|field| with_handles(field, &locals));
        text.push('\n');
        // A key that Lua needs no word for has its comments before the process.
        let (of_keys, others): (Vec<_>, Vec<_>) =
            key_comments.iter().cloned().partition(|(key, _)| fields.iter().any(|(name, _)| is_key(key, name)));
        let others = others.iter().flat_map(|(_, comments)| comments);
        comments.iter().chain(others).for_each(|comment| text += &text::comment(comment));
        let before = |name: &str| -> Vec<String> {
            let comments = of_keys.iter().filter(|(key, _)| is_key(key, name)).flat_map(|(_, comments)| comments);
            comments.cloned().collect()
        };
        let table = text::commented(&fields, &before);
        let declaration = format!("neap.process {} {table}", text::string(&spec.name));
        if referred.contains(&*spec.name) && locals.len() < MOST_LOCALS {
            let local = local(&spec.name, &mut taken);
            let _ = writeln!(text, "local {local} = {declaration}");
            locals.insert(&spec.name, local);
        } else {
            let _ = writeln!(text, "{declaration}");
        }
    }
    text
}

/// Whether what was written as this key may stand as that one: a shell's line is a command.
fn is_key(written: &str, name: &str) -> bool {
    let command = |key: &str| matches!(key, "command" | "args" | "shell");
    written == name || command(written) && command(name)
}

/// The defaults of YAML that differ from Lua's, and that most of these processes have.
fn defaults(specs: &[&Spec]) -> Fields {
    let bare = |dialect: &Dialect| {
        let command = ("command".to_owned(), Node::new(Value::String("true".to_owned())));
        let node = Node::new(Value::Map(vec![command]));
        read::spec("bare", &node, dialect, Source::default()).map(|spec| whole(&spec)).unwrap_or_default()
    };
    let all: Vec<Fields> = specs.iter().map(|spec| whole(spec)).collect();
    let of_all: Vec<Option<&Fields>> = all.iter().map(Some).collect();
    shared(&bare(&Dialect::compatible()), &bare(&Dialect::native()), &of_all)
}

/// The leaves of `ours` that `theirs` has otherwise, and more than half of these have, too.
fn shared(ours: &Fields, theirs: &Fields, of_all: &[Option<&Fields>]) -> Fields {
    let mut found = Vec::new();
    for (key, node) in ours {
        let other = value_of(theirs, key);
        if other == Some(&node.value) {
            continue;
        }
        let values: Vec<Option<&Value>> = of_all.iter().map(|fields| value_of((*fields)?, key)).collect();
        if let Value::Map(below) = &node.value {
            let empty = Vec::new();
            let theirs = match other {
                Some(Value::Map(theirs)) => theirs,
                _ => &empty,
            };
            let deeper: Vec<Option<&Fields>> = values
                .iter()
                .map(|value| match value {
                    Some(Value::Map(fields)) => Some(fields),
                    _ => None,
                })
                .collect();
            let below = shared(below, theirs, &deeper);
            if !below.is_empty() {
                found.push((key.clone(), Node::new(Value::Map(below))));
            }
        } else if values.iter().filter(|value| **value == Some(&node.value)).count() * 2 > of_all.len() {
            found.push((key.clone(), node.clone()));
        }
    }
    found
}

fn value_of<'f>(fields: &'f Fields, key: &str) -> Option<&'f Value> {
    fields.iter().find(|(name, _)| name == key).map(|(_, node)| &node.value)
}

/// The processes that a later one names.
fn referred<'s>(specs: &[&'s Spec]) -> HashSet<&'s str> {
    let mut earlier: HashSet<&str> = HashSet::new();
    let mut referred = HashSet::new();
    for spec in specs {
        referred.extend(spec.relations().filter(|name| earlier.contains(name)));
        earlier.insert(&spec.name);
    }
    referred
}

/// Names become locals where there are any.
fn with_handles((key, node): &mut (String, Node), locals: &HashMap<&str, String>) {
    if !RELATIONS.contains(&key.as_str()) {
        return;
    }
    let name = |node: &mut Node| {
        if let Value::String(name) = &node.value
            && let Some(local) = locals.get(name.as_str())
        {
            node.value = Value::Handle(local.clone());
        }
    };
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(name),
        _ => name(node),
    }
}

/// A local's name for a process: `trace_agent` for `trace-agent`.
fn local(name: &str, taken: &mut HashSet<String>) -> String {
    let mut local: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if !is_name(&local) {
        local.insert_str(0, "p_");
    }
    let first = local.clone();
    let mut number = 2;
    while !taken.insert(local.clone()) {
        local = format!("{first}_{number}");
        number += 1;
    }
    local
}
