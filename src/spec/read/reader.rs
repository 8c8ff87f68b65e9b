//! Where the reader is, what it has found wrong, and the reading of tables and lists.

use std::fmt::Write as _;
use std::ops::ControlFlow;

use super::super::plan::{Problem, Severity, Source};
use super::super::process::Spec;
use super::super::schema::{Availability, OLDER_NAMES, OLDER_TABLES, SPEC, Table, nearest};
use super::super::units::quote;
use super::super::value::{Node, Value};
use super::dialect::{Dialect, Origin, Syntax};

/// A place in the tree: the way to it, and its line. Its text is made only when something is wrong there.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    parent: Option<&'a At<'a>>,
    segment: Segment<'a>,
    line: u32,
}

#[derive(Clone, Copy)]
enum Segment<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

impl<'a> At<'a> {
    /// The table of the process itself.
    pub(super) fn root(node: &Node) -> At<'static> {
        At { parent: None, segment: Segment::Root, line: node.position.line }
    }

    /// The value of a key.
    pub(super) fn key(&'a self, name: &'a str, node: &Node) -> At<'a> {
        At { parent: Some(self), segment: Segment::Key(name), line: self.line_of(node) }
    }

    /// An item of a list, by its place from 0; shown from 1.
    pub(super) fn item(&'a self, place: usize, node: &Node) -> At<'a> {
        At { parent: Some(self), segment: Segment::Index(place + 1), line: self.line_of(node) }
    }

    fn line_of(&self, node: &Node) -> u32 {
        if node.position.line > 0 { node.position.line } else { self.line }
    }

    /// The path as people read it: `restart.limit.burst`, `command[2]`; empty for the root.
    pub(super) fn path(&self) -> String {
        let mut path = String::new();
        self.write_path(&mut path);
        path
    }

    /// Called for every key of every process: no formatting where text can be copied.
    fn write_path(&self, path: &mut String) {
        if let Some(parent) = self.parent {
            parent.write_path(path);
        }
        match self.segment {
            Segment::Root => {}
            Segment::Index(index) => {
                // Writing to a String cannot fail.
                let _ = write!(path, "[{index}]");
            }
            Segment::Key(key) if is_plain(key) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(key);
            }
            Segment::Key(key) => {
                let _ = write!(path, "[{}]", quote(key));
            }
        }
    }
}

/// Whether a key can stand in a path as it is.
fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// Collects problems while a spec is read.
pub(super) struct Reader<'d> {
    /// The defaults.
    pub(super) dialect: &'d Dialect,
    /// The process's name.
    pub(super) process: String,
    source: Source,
    problems: Vec<Problem>,
    /// Keys that unknown ones were taken for; that these are missing is then not said as well.
    meant: Vec<&'static str>,
}

impl<'d> Reader<'d> {
    /// A reader that has found nothing wrong yet.
    pub(super) fn new(process: &str, dialect: &'d Dialect, source: Source) -> Self {
        Reader { dialect, process: process.to_owned(), source, problems: Vec::new(), meant: Vec::new() }
    }

    /// The spec, unless something is wrong with it.
    pub(super) fn finish(mut self, spec: Option<Spec>) -> Result<Spec, Vec<Problem>> {
        match spec {
            Some(mut spec) if self.problems.is_empty() => {
                spec.source = self.source;
                Ok(spec)
            }
            _ => {
                self.problems.sort_by_key(|problem| problem.line);
                Err(self.problems)
            }
        }
    }

    /// Notes that something is wrong here.
    pub(super) fn problem(&mut self, at: &At, message: impl Into<String>) {
        let path = at.path();
        let line = match at.line {
            0 => self.source.fields.get(&path).copied().or(self.source.line),
            line => Some(line),
        };
        let (file, path) = self.source.place_of(&path);
        self.problems.push(Problem {
            severity: Severity::Error,
            file,
            line,
            process: Some(self.process.clone()),
            message: self.source.elsewhere.told(&path, message.into()),
            field: Some(path).filter(|path| !path.is_empty()),
        });
    }

    /// What the user called a key of the process.
    pub(super) fn called(&self, path: &str) -> String {
        self.source.place_of(path).1
    }

    /// Notes something that is worth a warning; [`Spec::validate`] says it.
    pub(super) fn warn(&mut self, at: &At, message: impl Into<String>) {
        self.source.notes.push((at.path(), message.into()));
    }

    /// Notes that something else was expected here. Returns `None` for the caller to return.
    pub(super) fn expected<T>(&mut self, at: &At, what: &str, found: &Node) -> Option<T> {
        self.problem(at, format!("expected {what}, found {}", describe(&found.value)));
        None
    }

    /// What is expected, in the language that the definition is written in.
    pub(super) fn or_in_yaml(&self, lua: &'static str, yaml: &'static str) -> &'static str {
        match self.dialect.syntax {
            Syntax::Lua => lua,
            Syntax::Yaml | Syntax::Json => yaml,
        }
    }

    /// As [`expected`](Reader::expected), offering the nearest of some words.
    pub(super) fn expected_word<'w, T>(
        &mut self,
        at: &At,
        what: &str,
        text: &str,
        words: impl IntoIterator<Item = &'w str>,
    ) -> Option<T> {
        let mut message = format!("expected {what}, found {}", quote(text));
        if let Some(word) = nearest(text, words) {
            let _ = write!(message, "; did you mean \"{word}\"?");
        }
        self.problem(at, message);
        None
    }

    /// Whether an unknown key was taken for this one.
    pub(super) fn was_meant(&self, key: &str) -> bool {
        self.meant.contains(&key)
    }

    /// Remembers the line of a place, for what is found wrong later.
    fn remember_line(&mut self, at: &At) {
        if at.line > 0 && Some(at.line) != self.source.line {
            self.source.fields.insert(at.path(), at.line);
        }
    }

    /// The entries of a table whose keys are those of `table`; what is wrong with the keys is noted.
    pub(super) fn table<'a, 'n>(
        &mut self,
        at: &'a At<'a>,
        node: &'n Node,
        table: &'static Table,
        what: &str,
    ) -> Option<Fields<'a, 'n>> {
        match &node.value {
            Value::Map(entries) => Some(self.fields(at, entries, table)),
            Value::List(items) if items.is_empty() => Some(Fields { at, entries: Vec::new() }),
            _ => self.expected(at, what, node),
        }
    }

    /// Checks keys against the table and keeps those that may be read.
    pub(super) fn fields<'a, 'n>(
        &mut self,
        at: &'a At<'a>,
        entries: &'n [(String, Node)],
        table: &'static Table,
    ) -> Fields<'a, 'n> {
        self.fields_except(at, entries, table, "")
    }

    /// As [`fields`](Reader::fields), passing over one key that tells what kind of table it is.
    pub(super) fn fields_except<'a, 'n>(
        &mut self,
        at: &'a At<'a>,
        entries: &'n [(String, Node)],
        table: &'static Table,
        discriminator: &str,
    ) -> Fields<'a, 'n> {
        let mut fields = Fields { at, entries: Vec::with_capacity(entries.len()) };
        for (written, node) in entries.iter().filter(|(written, _)| written != discriminator) {
            let name = match table.positional {
                Some(key) if written == "1" => key,
                _ => written.as_str(),
            };
            let at = at.key(name, node);
            if self.is_readable(&at, written, name, table).is_break() {
                continue;
            }
            if matches!(node.value, Value::Null | Value::Unset) {
                continue;
            }
            if fields.get(name).is_some() {
                self.problem(&at, "is given twice");
                continue;
            }
            self.remember_line(&at);
            fields.entries.push((name, node));
        }
        fields
    }

    fn is_readable(&mut self, at: &At, written: &str, name: &str, table: &'static Table) -> ControlFlow<()> {
        let Some(key) = table.key(name) else {
            let (message, meant) = unknown_key(written, table, self.dialect.syntax);
            self.problem(at, message);
            self.meant.extend(meant);
            return ControlFlow::Break(());
        };
        match key.availability {
            Availability::Later(waits_for) if self.dialect.origin == Origin::Written => {
                let message =
                    format!("waits for {waits_for}: nothing of it is in this version, so leave the key out for now");
                self.problem(at, message);
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        }
    }

    /// Reads each entry of a table with free keys. An empty list is an empty table, which some front ends cannot tell.
    pub(super) fn entries<'n>(
        &mut self,
        at: &At,
        node: &'n Node,
        what: &str,
        mut read: impl FnMut(&mut Self, &At, &'n str, &'n Node),
    ) -> Option<()> {
        match &node.value {
            Value::Map(entries) => {
                for (key, node) in entries {
                    if !matches!(node.value, Value::Null | Value::Unset) {
                        let at = at.key(key, node);
                        self.remember_line(&at);
                        read(self, &at, key, node);
                    }
                }
                Some(())
            }
            Value::List(items) if items.is_empty() => Some(()),
            _ => self.expected(at, what, node),
        }
    }

    /// Reads each item of a list, or the value itself as a list of one. Items that are wrong are noted and left out.
    pub(super) fn list<T>(
        &mut self,
        at: &At,
        node: &Node,
        mut read: impl FnMut(&mut Self, &At, &Node) -> Option<T>,
    ) -> Vec<T> {
        match &node.value {
            Value::List(items) => self.items(at, items, read),
            Value::Map(entries) if entries.is_empty() => Vec::new(),
            _ => read(self, at, node).into_iter().collect(),
        }
    }

    /// Reads each item of a list. Items that are wrong are noted and left out.
    pub(super) fn items<T>(
        &mut self,
        at: &At,
        items: &[Node],
        mut read: impl FnMut(&mut Self, &At, &Node) -> Option<T>,
    ) -> Vec<T> {
        let mut values = Vec::with_capacity(items.len());
        for (place, item) in items.iter().enumerate() {
            let at = at.item(place, item);
            self.remember_line(&at);
            values.extend(read(self, &at, item));
        }
        values
    }
}

/// The entries of a table that may be read, by the names of its keys.
pub(super) struct Fields<'a, 'n> {
    /// The table itself.
    pub(super) at: &'a At<'a>,
    entries: Vec<(&'n str, &'n Node)>,
}

impl<'a, 'n> Fields<'a, 'n> {
    /// One key's value, for a short form that stands for a table.
    pub(super) fn single(at: &'a At<'a>, name: &'static str, node: &'n Node) -> Self {
        Fields { at, entries: vec![(name, node)] }
    }

    /// The value of a key, if it is given.
    pub(super) fn get(&self, name: &str) -> Option<&'n Node> {
        self.entries.iter().find(|(key, _)| *key == name).map(|(_, node)| *node)
    }

    /// Whether a key is given.
    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

/// Keys of other supervisors, and what they are called here.
const ELSEWHERE: [(&str, &str); 22] = [
    ("autorestart", "restart"),
    ("autostart", "auto_start"),
    ("bin", "command"),
    ("cap_add", "ambient_capabilities"),
    ("chdir", "working_dir"),
    ("cmd", "command"),
    ("cwd", "working_dir"),
    ("depends_on", "requires"),
    ("dir", "working_dir"),
    ("directory", "working_dir"),
    ("entrypoint", "command"),
    ("exec", "command"),
    ("exec_start", "command"),
    ("gid", "group"),
    ("healthcheck", "health"),
    ("on_exit", "hooks.after_stop"),
    ("pid_file", "pidfile"),
    ("program", "command"),
    ("restart_delay", "restart.delay"),
    ("stop_signal", "stop.signal"),
    ("stop_timeout", "stop.timeout"),
    ("uid", "user"),
];

/// What is said of a key that the table does not have, and which one was probably meant.
pub(super) fn unknown_key(written: &str, table: &'static Table, syntax: Syntax) -> (String, Option<&'static str>) {
    let at_the_top = table.name == SPEC.name;
    let elsewhere = || ELSEWHERE.iter().chain(&OLDER_NAMES).chain(&OLDER_TABLES).find(|(name, _)| *name == written);
    if at_the_top && let Some((_, here)) = elsewhere() {
        return (format!("there is no such key; here it is `{here}`"), Some(here));
    }
    if at_the_top && syntax == Syntax::Yaml {
        return unknown_in_yaml(written);
    }
    if at_the_top && written == "1" {
        let message = "a value without a key means nothing here; did you mean `command = …`?";
        return (message.into(), Some("command"));
    }
    if let Some(near) = nearest(written, table.keys().map(|key| key.name)) {
        return (format!("there is no such key; did you mean `{near}`?"), Some(near));
    }
    let keys: Vec<&str> = table.keys().map(|key| key.name).collect();
    let known = if keys.len() > 16 { String::new() } else { format!(" (there are {})", keys.join(", ")) };
    (format!("there is no such key{known}"), None)
}

/// As [`unknown_key`], at the top of a process in YAML, where the older system's names are keys, too.
fn unknown_in_yaml(written: &str) -> (String, Option<&'static str>) {
    if written == "name" {
        return ("there is no such key: a process is called as the table or the file that it stands in".into(), None);
    }
    let older = OLDER_NAMES.iter().chain(&OLDER_TABLES).map(|(name, _)| *name);
    match nearest(written, SPEC.keys().map(|key| key.name).chain(older)) {
        Some(near) => (format!("there is no such key; did you mean `{near}`?"), Some(near)),
        None => ("there is no such key".into(), None),
    }
}

/// A value as a person would call it, short, and with secrets unseen.
pub(crate) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::Unset => "neap.unset".into(),
        Value::Bool(value) => value.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::String(text) => quote(text),
        Value::List(items) if items.is_empty() => "an empty list".into(),
        Value::List(_) => "a list".into(),
        Value::Map(entries) if entries.is_empty() => "an empty table".into(),
        Value::Map(_) => "a table".into(),
        Value::Function(_) => "a function".into(),
        Value::Handle(name) => format!("the process `{name}`"),
        Value::Secret(_) => "a secret".into(),
        Value::Made { kind, .. } => format!("neap.{kind}"),
        Value::Other(what) => format!("a {what}"),
    }
}
