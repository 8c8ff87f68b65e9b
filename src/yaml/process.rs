//! One process: its keys, older ones among them.

use std::collections::BTreeMap;

use super::convert::{Convert, Flat, Take, comments_of};
use super::definition::Definition;
use super::older::Keys;
use super::socket::inline;
use crate::spec::schema::{OLDER_NAMES, OLDER_TABLES};
use crate::spec::{Node, Value};

/// The definition of a process from its keys. What was found wrong before so much was, is not its own.
pub(super) fn definition(
    convert: &mut Convert,
    (name, line): (&str, u32),
    entries: Vec<Flat>,
    before: usize,
) -> Definition {
    convert.process = Some(name.to_owned());
    // Paths begin at the process from here on.
    let around = std::mem::take(&mut convert.elsewhere);
    let mut keys = Keys { entries: Vec::with_capacity(entries.len()), written: BTreeMap::new() };
    let key_comments = entries.iter().map(|entry| (ours(&entry.key).to_owned(), comments_of(entry)));
    let key_comments = key_comments.filter(|(_, comments)| !comments.is_empty()).collect();
    // Ours come first, so that whoever gives a key and its older name is told of the older one.
    let (older, ours): (Vec<Flat>, Vec<Flat>) = entries.into_iter().partition(|entry| is_older(&entry.key));
    for entry in ours {
        convert.site = Some((entry.key.clone(), entry.line));
        let mut node = convert.node(&entry.value, entry.line, &entry.key, Take::of(&entry.key));
        match (entry.key.as_str(), &mut node.value) {
            // Text below `|` and `>` ends in a line break, and a description is one line.
            ("description", Value::String(text)) => {
                *text = text.split_whitespace().collect::<Vec<&str>>().join(" ");
            }
            ("success_exit_status", _) => listed(&mut node),
            _ => {}
        }
        keys.entries.push((entry.key, node));
    }
    let mut sockets = Vec::new();
    for entry in older {
        convert.site = Some((entry.key.clone(), entry.line));
        match entry.key.as_str() {
            "resources" => keys.resources(convert, &entry),
            "resource_limits" => keys.resource_limits(convert, &entry),
            "health_check" => keys.health_check(convert, &entry),
            "socket" => sockets.extend(inline(convert, name, &entry)),
            key => {
                if let Some((_, path)) = OLDER_NAMES.iter().find(|(older, _)| *older == key) {
                    keys.value(convert, &entry, path);
                }
            }
        }
    }
    let problems = convert.take_problems_since(before);
    convert.process = None;
    convert.site = None;
    let mut definition = Definition {
        name: name.to_owned(),
        node: Node::at(Value::Map(keys.entries), line),
        file: convert.file.to_owned(),
        line,
        comments: Vec::new(),
        key_comments,
        written: keys.written,
        elsewhere: std::mem::replace(&mut convert.elsewhere, around),
        lines: BTreeMap::new(),
        problems,
        notes: Vec::new(),
        sockets: 0,
        is_whole: !convert.is_full(),
    };
    for (line, path, message) in convert.notes.drain(..) {
        definition.lines.insert(path.clone(), line);
        definition.notes.push((path, message));
    }
    for socket in &sockets {
        definition.attach(socket);
    }
    definition
}

/// Exit codes and signals in one text, as systemd and the older system's command line have them: `0,1`, `1 SIGTERM`.
fn listed(node: &mut Node) {
    let Value::String(text) = &node.value else { return };
    let words: Vec<&str> = text.split([',', ' ', '\t']).filter(|word| !word.is_empty()).collect();
    if words.len() > 1 {
        let line = node.position.line;
        let item = |word: &&str| Node::at(Value::String((*word).to_owned()), line);
        node.value = Value::List(words.iter().map(item).collect());
    }
}

/// The key of a process that this one is, or is a part of.
fn ours(key: &str) -> &str {
    let older = OLDER_NAMES.iter().chain(&OLDER_TABLES).find(|(older, _)| *older == key);
    older.map_or(key, |(_, path)| path.split('.').next().unwrap_or(path))
}

/// Whether a key is one of the older system's.
pub(super) fn is_older(key: &str) -> bool {
    let tables = ["resources", "resource_limits", "health_check", "socket"];
    tables.contains(&key) || OLDER_NAMES.iter().any(|(older, _)| *older == key)
}
