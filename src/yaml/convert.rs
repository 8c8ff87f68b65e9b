//! From the tree to nodes: values are resolved, aliases and merges written out, and what is wrong is noted with its
//! place.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::bounds::{MOST_BYTES, MOST_VALUES};
use super::scalar::{number, resolve};
use super::text::short;
use super::tree::{Content, Entry, Tree};
use crate::spec::read::describe;
use crate::spec::units::quote;
use crate::spec::{Elsewhere, Node, Problem, Severity, Value};

/// The tag of text, and of what else the core schema has, without what they all begin with.
const CORE: &str = "tag:yaml.org,2002:";

/// How values without quotes are taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Take {
    /// As what they look like: numbers, truth values, text.
    Resolved,
    /// As the text that was written (`1.10` stays that), also in a list; tables in it are resolved.
    Words,
    /// As the text that was written, also in a table: variables and headers.
    Variables,
    /// As the octal text of a mode: `0o660` is YAML's own way to write one.
    Mode,
}

impl Take {
    /// How the value of a key is taken.
    pub(super) fn of(key: &str) -> Take {
        match key {
            "env" | "environment" | "headers" => Take::Variables,
            "mode" | "umask" | "socket_mode" => Take::Mode,
            "command" | "args" | "shell" | "description" | "pattern" | "body" | "before_start" | "after_start"
            | "before_stop" | "after_stop" | "on_failure" | "exec_start_pre" | "exec_start_post" | "exec_stop_post" => {
                Take::Words
            }
            _ => Take::Resolved,
        }
    }

    fn below(self, key: &str) -> Take {
        if self == Take::Variables { self } else { Take::of(key) }
    }
}

/// A key of a table with its value, once merges are written out.
#[derive(Clone)]
pub(super) struct Flat {
    pub(super) key: String,
    pub(super) line: u32,
    pub(super) comments: Vec<String>,
    /// Whether another table was merged that has it.
    pub(super) is_merged: bool,
    pub(super) value: Rc<Tree>,
}

/// The conversion of one file.
pub(super) struct Convert<'a> {
    pub(super) file: &'a str,
    /// The process that is being read.
    pub(super) process: Option<String>,
    /// The key of it that is being read, and its line.
    pub(super) site: Option<(String, u32)>,
    problems: Vec<Problem>,
    /// What is odd: the line, the path as it was written, and a sentence.
    pub(super) notes: Vec<(u32, String, String)>,
    /// The places at the top that are ours, where the others are another program's.
    pub(super) ours: Option<Vec<usize>>,
    /// Values of what is being read that are from there.
    pub(super) elsewhere: Elsewhere,
    values: usize,
    bytes: usize,
}

/// A place below another.
pub(super) fn below(path: &str, key: &str) -> String {
    let plain = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'<'));
    match (path.is_empty(), plain) {
        (true, true) => key.to_owned(),
        (false, true) => format!("{path}.{key}"),
        (_, false) => format!("{path}[{}]", quote(key)),
    }
}

/// An item of a list, by its place from 0; shown from 1.
pub(super) fn item(path: &str, place: usize) -> String {
    format!("{path}[{}]", place + 1)
}

impl<'a> Convert<'a> {
    pub(super) fn new(file: &'a str) -> Self {
        Convert {
            file,
            process: None,
            site: None,
            problems: Vec::new(),
            notes: Vec::new(),
            ours: None,
            elsewhere: Elsewhere::default(),
            values: 0,
            bytes: 0,
        }
    }

    /// Remembers a value that another program's part of the file gave.
    fn origin(&mut self, tree: &Tree, path: &str) {
        if self.ours.as_ref().is_some_and(|ours| !ours.contains(&tree.top)) {
            self.elsewhere.insert(path, tree.line);
        }
    }

    /// How much was found wrong by now.
    pub(super) fn found(&self) -> usize {
        self.problems.len()
    }

    /// All that was found wrong, each once, in the order of lines.
    pub(super) fn take_problems(&mut self) -> Vec<Problem> {
        self.take_problems_since(0)
    }

    /// All that was found wrong since so much was.
    pub(super) fn take_problems_since(&mut self, found: usize) -> Vec<Problem> {
        let mut problems = self.problems.split_off(found.min(self.problems.len()));
        problems.sort_by_key(|problem| problem.line);
        // What stands in an alias is looked at wherever it is used.
        let mut seen: Vec<(Option<u32>, String)> = Vec::new();
        problems.retain(|problem| {
            let this = (problem.line, problem.message.clone());
            let new = !seen.contains(&this);
            if new && seen.len() < 1_000 {
                seen.push(this);
            }
            new
        });
        problems
    }

    pub(super) fn problem(&mut self, line: u32, path: &str, message: impl Into<String>) {
        // A person reads the first ones.
        if self.problems.len() > 1_000 {
            return;
        }
        self.problems.push(Problem {
            severity: Severity::Error,
            file: Some(self.file.to_owned()),
            line: Some(line),
            process: self.process.clone(),
            field: Some(path.to_owned()).filter(|path| !path.is_empty()),
            message: self.elsewhere.told(path, message.into()),
        });
    }

    pub(super) fn expected(&mut self, line: u32, path: &str, what: &str, found: &Tree) {
        self.origin(found, path);
        self.problem(line, path, format!("expected {what}, found {}", describe(&shallow(found))));
    }

    /// Counts a value; false once there are too many.
    fn count(&mut self, line: u32, bytes: usize) -> bool {
        if self.is_full() {
            return false;
        }
        self.values += 1;
        self.bytes += bytes;
        if self.is_full() {
            let message = format!(
                "by this, the file comes to more than {MOST_VALUES} values or {} MiB of text, its aliases written out; \
                 write fewer, or fewer aliases of aliases",
                MOST_BYTES >> 20
            );
            let (path, line) = self.site.clone().unwrap_or((String::new(), line));
            self.problem(line, &path, message);
        }
        !self.is_full()
    }

    /// Whether there was more than is read.
    pub(super) fn is_full(&self) -> bool {
        self.values > MOST_VALUES || self.bytes > MOST_BYTES
    }

    /// The entries of a table; noted and `None` when it is none. Nothing at all is an empty table.
    pub(super) fn table(&mut self, tree: &Tree, line: u32, path: &str, what: &str) -> Option<Vec<Flat>> {
        self.origin(tree, path);
        match &tree.content {
            Content::Map(entries) => {
                self.collection_tag(tree, "map", path);
                Some(self.flat(entries, path))
            }
            _ => {
                self.expected(line, path, what, tree);
                None
            }
        }
    }

    /// The entries with their keys as text, each once, and those of merged tables behind them.
    pub(super) fn flat(&mut self, entries: &[Entry], path: &str) -> Vec<Flat> {
        let mut flat: Vec<Flat> = Vec::with_capacity(entries.len());
        let mut lines: BTreeMap<String, u32> = BTreeMap::new();
        let mut merges: Vec<&Entry> = Vec::new();
        for entry in entries {
            let Content::Scalar { text, plain } = &entry.key.content else {
                let found = describe(&shallow(&entry.key));
                self.problem(entry.line, path, format!("a key is text, not {found}; text with brackets needs quotes"));
                continue;
            };
            if *plain && text == "<<" {
                merges.push(entry);
                continue;
            }
            if *plain && (text.is_empty() || text == "~") {
                self.problem(entry.line, path, "a key is missing before this `:`");
                continue;
            }
            if let Some(first) = lines.get(text) {
                let message = format!("is given twice; the first is on line {first}");
                self.problem(entry.line, &below(path, text), message);
                continue;
            }
            if !self.count(entry.line, text.len()) {
                break;
            }
            lines.insert(text.clone(), entry.line);
            let (line, comments) = (entry.line, entry.comments.clone());
            let value = Rc::clone(&entry.value);
            flat.push(Flat { key: text.clone(), line, comments, is_merged: false, value });
        }
        for merge in merges {
            for merged in self.merged(merge, path) {
                // What stands in the table itself wins, then what is merged first.
                if !lines.contains_key(&merged.key) && self.count(merged.line, merged.key.len()) {
                    lines.insert(merged.key.clone(), merged.line);
                    flat.push(Flat { comments: Vec::new(), is_merged: true, ..merged });
                }
            }
        }
        flat
    }

    /// The entries of what `<<` names.
    fn merged(&mut self, merge: &Entry, path: &str) -> Vec<Flat> {
        const WHAT: &str = "a table to merge (such as `<<: *defaults`), or a list of them";
        let at = below(path, "<<");
        match &merge.value.content {
            Content::Map(entries) => self.flat(entries, path),
            Content::List(items) => {
                let mut flat = Vec::new();
                for item in items {
                    match &item.value.content {
                        Content::Map(entries) => flat.extend(self.flat(entries, path)),
                        _ => self.expected(item.line, &at, WHAT, &item.value),
                    }
                    if self.is_full() {
                        break;
                    }
                }
                flat
            }
            Content::Scalar { .. } => {
                self.expected(merge.line, &at, WHAT, &merge.value);
                Vec::new()
            }
        }
    }

    /// A value and all that is in it. The line is that of its key or item.
    pub(super) fn node(&mut self, tree: &Tree, line: u32, path: &str, take: Take) -> Node {
        self.origin(tree, path);
        let bytes = if let Content::Scalar { text, .. } = &tree.content { text.len() } else { 0 };
        if !self.count(line, bytes) {
            return Node::at(Value::Null, line);
        }
        let value = match &tree.content {
            Content::Scalar { .. } => self.scalar(tree, line, path, take),
            Content::List(items) => {
                self.collection_tag(tree, "seq", path);
                let nodes = items.iter().enumerate();
                let take = if take == Take::Variables { Take::Words } else { take };
                Value::List(nodes.map(|(i, it)| self.node(&it.value, it.line, &item(path, i), take)).collect())
            }
            Content::Map(entries) => {
                self.collection_tag(tree, "map", path);
                let flat = self.flat(entries, path);
                let nodes = flat.into_iter().map(|entry| {
                    let path = below(path, &entry.key);
                    let node = self.node(&entry.value, entry.line, &path, take.below(&entry.key));
                    (entry.key, node)
                });
                Value::Map(nodes.collect())
            }
        };
        if take == Take::Variables && value == Value::Null {
            self.problem(line, path, "has no value; write \"\" for empty text, or leave the line out");
        }
        Node::at(value, line)
    }

    fn scalar(&mut self, tree: &Tree, line: u32, path: &str, take: Take) -> Value {
        let Content::Scalar { text, plain } = &tree.content else { return Value::Null };
        let as_text = || Value::String(text.clone());
        let resolved = match &tree.tag {
            Some(tag) => {
                // What was wrong with it was told: nobody is told that it is missing, too.
                let found = self.found();
                let value = self.tagged(tag, text, line, path);
                let words = self.found() > found && matches!(take, Take::Words | Take::Variables);
                return if words { as_text() } else { value };
            }
            None if *plain => resolve(text),
            None => return as_text(),
        };
        match (take, resolved) {
            (_, Value::Null) => {
                if text == "null" && (path.ends_with("stdout") || path.ends_with("stderr")) {
                    let message = "is nothing without quotes; write \"null\" in quotes to throw its output away";
                    self.notes.push((line, path.to_owned(), message.to_owned()));
                }
                Value::Null
            }
            (Take::Words | Take::Variables, _) => as_text(),
            (Take::Mode, resolved) => match text.strip_prefix("0o") {
                Some(digits) => Value::String(format!("{digits:0>4}")),
                None => resolved,
            },
            (Take::Resolved, resolved) => resolved,
        }
    }

    /// A value whose tag says what it is.
    fn tagged(&mut self, tag: &str, text: &str, line: u32, path: &str) -> Value {
        let core = tag.strip_prefix(CORE);
        let meant = match core.unwrap_or(tag) {
            "str" | "!" => return Value::String(text.to_owned()),
            "null" => Some(resolve(text)).filter(|value| *value == Value::Null),
            "bool" => Some(resolve(text)).filter(|value| matches!(value, Value::Bool(_))),
            "int" => number(text).filter(|value| matches!(value, Value::Integer(_))),
            "float" => match number(text) {
                Some(Value::Integer(whole)) => Some(Value::Float(whole as f64)),
                other => other,
            },
            _ => {
                self.unknown_tag(tag, line, path);
                return Value::Null;
            }
        };
        meant.unwrap_or_else(|| {
            let shown = core.unwrap_or(tag);
            self.problem(line, path, format!("{} is not what the tag `!!{shown}` says", quote(text)));
            Value::Null
        })
    }

    /// A list or table may have the tag of its kind, and no other.
    fn collection_tag(&mut self, tree: &Tree, kind: &str, path: &str) {
        if let Some(tag) = &tree.tag
            && tag.strip_prefix(CORE) != Some(kind)
            && tag != "!"
        {
            self.unknown_tag(tag, tree.line, path);
        }
    }

    fn unknown_tag(&mut self, tag: &str, line: u32, path: &str) {
        let shown = match tag.strip_prefix(CORE) {
            Some(core) => format!("!!{core}"),
            None => tag.to_owned(),
        };
        let shown = short(&shown);
        self.problem(
            line,
            path,
            format!("the tag `{shown}` means nothing here; text that begins with `!` needs quotes"),
        );
    }
}

/// The comments of a key and of all below it, in their order. Those of what an alias stands for are told where that stands.
pub(super) fn comments_of(entry: &Flat) -> Vec<String> {
    let mut found = entry.comments.clone();
    if !entry.is_merged {
        comments_below(&entry.value, entry.line, &mut found);
    }
    found
}

/// No deeper than a file may be nested.
fn comments_below(tree: &Tree, from: u32, found: &mut Vec<String>) {
    // What is marked stands above its aliases.
    if tree.line < from {
        return;
    }
    match &tree.content {
        Content::Scalar { .. } => {}
        Content::List(items) => items.iter().for_each(|item| comments_below(&item.value, item.line, found)),
        Content::Map(entries) => {
            for entry in entries {
                found.extend(entry.comments.iter().cloned());
                comments_below(&entry.value, entry.line, found);
            }
        }
    }
}

/// A value without what is in it, to be described.
pub(super) fn shallow(tree: &Tree) -> Value {
    let nothing = || Node::new(Value::Null);
    match &tree.content {
        Content::Scalar { text, plain: true } if tree.tag.is_none() => resolve(text),
        Content::Scalar { text, .. } => Value::String(text.clone()),
        Content::List(items) => Value::List(items.iter().take(1).map(|_| nothing()).collect()),
        Content::Map(entries) => Value::Map(entries.iter().take(1).map(|_| (String::new(), nothing())).collect()),
    }
}
