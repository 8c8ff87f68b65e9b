//! The forms that a file may have.

use std::rc::Rc;

use super::convert::{Convert, Flat, below, shallow};
use super::definition::Definition;
use super::others::is_anothers;
use super::process::{definition, is_older};
use super::socket::{self, Socket, TELLING};
use super::text::{Text, problem};
use super::tree::{Content, Entry, Tree, tree};
use crate::spec::read::describe;
use crate::spec::schema::{SPEC, nearest};
use crate::spec::units::quote;
use crate::spec::{Problem, Value};

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One process, called as the file.
    Process,
    /// `processes` and `sockets`.
    Several,
    /// One socket: `NAME.socket.yaml`.
    Socket,
    /// The Agent's `datadog.yaml`, of which `process_manager` is ours.
    Datadog,
}

/// What a file defines.
#[derive(Clone, Debug)]
pub struct Document {
    /// The file as messages show it.
    pub file: String,
    /// What it is.
    pub form: Form,
    /// Whether what it defines is to be there: `process_manager.enabled`.
    pub enabled: bool,
    /// The line of `enabled`, or 1.
    pub enabled_line: u32,
    /// The comments at its head, which are no process's.
    pub comments: Vec<String>,
    /// Its processes, in the order of the file.
    pub processes: Vec<Definition>,
    /// Its sockets that stand apart from processes; [`join`](super::join) brings them together.
    pub sockets: Vec<Socket>,
}

/// The key that is ours in `datadog.yaml`.
const ROOT: &str = "process_manager";
/// Names at the top that tell a file of several processes.
const SEVERAL: [&str; 2] = ["processes", "sockets"];

/// Reads a file's text.
///
/// The error is what is wrong with the text and its form. What is wrong with the keys of a process or a socket is told
/// by [`Definition::spec`], so that all of it is told at once.
pub fn read(source: &Text) -> Result<Document, Vec<Problem>> {
    let file = source.file;
    let Some((root, head)) = tree(file, source.text).map_err(|problem| vec![problem])? else {
        return Err(vec![empty(file, source.name)]);
    };
    let Content::Map(entries) = &root.content else {
        return Err(vec![not_a_table(source, &root)]);
    };
    let mut reading = Reading { convert: Convert::new(file), document: Document { comments: head, ..blank(file) } };
    let has = |keys: &[&str]| keys.iter().any(|key| has_key(entries, key));
    if has(&["process_manager"]) {
        reading.datadog(entries);
    } else if has(&SEVERAL) {
        reading.several(entries);
    } else if source.name == Some("datadog") && !has(&["command", "shell"]) {
        // The Agent's file without a word for us, unless that is misspelt: then all that runs by it would be taken away.
        reading.document.form = Form::Datadog;
        reading.misspelt(entries);
    } else {
        match (source.name, source.name.and_then(|name| name.strip_suffix(".socket"))) {
            (_, Some(name)) => reading.socket(&root, name),
            (Some(name), None) if has(&TELLING) && !has(&["command", "shell"]) => reading.socket(&root, name),
            (name, None) => reading.process(entries, name),
        }
    }
    let problems = reading.convert.take_problems();
    if problems.is_empty() { Ok(reading.document) } else { Err(problems) }
}

fn blank(file: &str) -> Document {
    Document {
        file: file.to_owned(),
        form: Form::Process,
        enabled: true,
        enabled_line: 1,
        comments: Vec::new(),
        processes: Vec::new(),
        sockets: Vec::new(),
    }
}

fn empty(file: &str, name: Option<&str>) -> Problem {
    let needed = match name {
        Some(name) => format!("write the keys of the process {}, such as `command`", quote(name)),
        None => "write `processes:` and the processes below it".to_owned(),
    };
    problem(file, 1, format!("nothing stands in this file; {needed}, or `processes: {{}}` if there is to be none"))
}

fn not_a_table(source: &Text, root: &Tree) -> Problem {
    let file = source.file;
    match shallow(root) {
        Value::Null => empty(file, source.name),
        _ if is_anothers(file, source.text.lines(), root.line) => {
            problem(file, root.line, "expected lines of `key: value`, found something else")
        }
        found => {
            let found = describe(&found);
            problem(file, root.line, format!("expected lines of `key: value`, found {found}"))
        }
    }
}

fn has_key(entries: &[Entry], key: &str) -> bool {
    entries.iter().any(|entry| matches!(&entry.key.content, Content::Scalar { text, .. } if text == key))
}

struct Reading<'a> {
    convert: Convert<'a>,
    document: Document,
}

impl Reading<'_> {
    /// `datadog.yaml`: one key is ours, and nothing else is looked at.
    fn datadog(&mut self, entries: &[Entry]) {
        self.document.form = Form::Datadog;
        let is_ours = |entry: &Entry| matches!(&entry.key.content, Content::Scalar { text, .. } if text == ROOT);
        let places = entries.iter().enumerate().filter(|(_, entry)| is_ours(entry)).map(|(place, _)| place);
        self.convert.ours = Some(places.collect());
        let ours: Vec<Entry> = entries.iter().filter(|entry| is_ours(entry)).cloned().collect();
        let Some(manager) = self.convert.flat(&ours, "").into_iter().next() else { return };
        // Who knows what stands in the comments of others.
        self.document.comments.clone_from(&manager.comments);
        let what = "a table with `enabled` and `managed_processes`";
        let Some(keys) = self.table_of_processes(&manager, ROOT, what) else { return };
        for entry in keys {
            let path = below(ROOT, &entry.key);
            match entry.key.as_str() {
                "enabled" => self.enabled(&entry, &path),
                "managed_processes" => self.processes(&entry, &path),
                "sockets" => self.sockets(&entry, &path),
                other => self.unknown(&entry, &path, other, &["enabled", "managed_processes", "sockets"]),
            }
        }
        if !self.document.enabled {
            // What is switched off is not looked at more closely.
            let _ = self.convert.take_problems();
        }
    }

    fn misspelt(&mut self, entries: &[Entry]) {
        for entry in entries {
            let Content::Scalar { text, .. } = &entry.key.content else { continue };
            if let Some(near) = nearest(text, [ROOT]) {
                let message = format!("the Agent has no such key; did you mean `{near}`?");
                self.convert.problem(entry.line, text, message);
            }
        }
    }

    fn enabled(&mut self, entry: &Flat, path: &str) {
        self.document.enabled_line = entry.line;
        match shallow(&entry.value) {
            Value::Bool(enabled) => self.document.enabled = enabled,
            Value::Null => {}
            _ => self.convert.expected(entry.line, path, "true or false", &entry.value),
        }
    }

    /// `processes` and `sockets`; keys that begin with `x-` are anybody's, for what is marked there and used below.
    fn several(&mut self, entries: &[Entry]) {
        self.document.form = Form::Several;
        for (place, entry) in self.convert.flat(entries, "").into_iter().enumerate() {
            if place == 0 || SEVERAL.contains(&entry.key.as_str()) {
                self.document.comments.extend(entry.comments.iter().cloned());
            }
            match entry.key.as_str() {
                "processes" => self.processes(&entry, "processes"),
                "sockets" => self.sockets(&entry, "sockets"),
                own if own.starts_with("x-") => {}
                other => self.unknown(&entry, other, other, &SEVERAL),
            }
        }
    }

    fn unknown(&mut self, entry: &Flat, path: &str, key: &str, known: &[&str]) {
        let message = match nearest(key, known.iter().copied()) {
            Some(near) => format!("there is no such key; did you mean `{near}`?"),
            None if matches!(key, "processes" | "managed_processes") => {
                let here = known.iter().find(|known| known.ends_with("processes")).unwrap_or(&"processes");
                format!("there is no such key here; did you mean `{here}`?")
            }
            None if is_of_process(key) => {
                format!("is a key of a process, and belongs below its name; here there are {}", known.join(", "))
            }
            None => format!("there is no such key (there are {})", known.join(", ")),
        };
        self.convert.problem(entry.line, path, message);
    }

    /// The entries of a table that declares processes. Nothing at all is an error: a file that was cut off would take
    /// away all that runs by it.
    fn table_of_processes(&mut self, flat: &Flat, path: &str, what: &str) -> Option<Vec<Flat>> {
        if shallow(&flat.value) == Value::Null {
            let key = &flat.key;
            let message = format!("has nothing below it; write {what}, or `{key}: {{}}` if there is to be none");
            self.convert.problem(flat.line, path, message);
            return None;
        }
        self.convert.table(&flat.value, flat.line, path, what)
    }

    /// The entries of a table that may be left empty.
    fn table_or_nothing(&mut self, flat: &Flat, path: &str, what: &str) -> Option<Vec<Flat>> {
        match shallow(&flat.value) {
            Value::Null => None,
            _ => self.convert.table(&flat.value, flat.line, path, what),
        }
    }

    fn processes(&mut self, flat: &Flat, path: &str) {
        let what = "a table of processes by name (`web:`)";
        let Some(entries) = self.table_of_processes(flat, path, what) else { return };
        for entry in entries {
            if !matches!(entry.value.content, Content::Map(_)) {
                let what = "the keys of a process, such as `command`";
                self.convert.expected(entry.line, &below(path, &entry.key), what, &entry.value);
                continue;
            }
            // What was found by now is the file's, what follows is the process's.
            let before = self.convert.found();
            self.convert.process = Some(entry.key.clone());
            let keys = self.convert.table(&entry.value, entry.line, "", "a table").unwrap_or_default();
            let process = definition(&mut self.convert, (&entry.key, entry.line), keys, before);
            self.document.processes.push(Definition { comments: entry.comments, ..process });
        }
    }

    fn sockets(&mut self, flat: &Flat, path: &str) {
        let Some(entries) = self.table_or_nothing(flat, path, "a table of sockets by name") else { return };
        self.document.sockets.extend(socket::sockets(&mut self.convert, entries, path));
    }

    /// One socket, which is the whole file.
    fn socket(&mut self, root: &Rc<Tree>, name: &str) {
        self.document.form = Form::Socket;
        let Some(keys) = self.convert.table(root, root.line, "", "the keys of a socket") else { return };
        let socket = socket::socket(&mut self.convert, name, (root.line, String::new()), keys);
        let problems = self.convert.take_problems();
        self.document.sockets.push(Socket { problems, ..socket });
    }

    /// One process, which is the whole file.
    fn process(&mut self, entries: &[Entry], name: Option<&str>) {
        self.convert.process = name.map(str::to_owned);
        let flat = self.convert.flat(entries, "");
        self.convert.process = None;
        // A slip in the name of the table is no key of a process.
        for entry in &flat {
            let is_table = matches!(entry.value.content, Content::Map(_));
            let known = ["processes", "sockets", "process_manager"];
            if let Some(near) = nearest(&entry.key, known).filter(|_| is_table && !is_of_process(&entry.key)) {
                self.convert.problem(entry.line, &entry.key, format!("there is no such key; did you mean `{near}`?"));
                return;
            }
            if entry.key == "managed_processes" {
                let message = "belongs below `process_manager`; a file of its own has `processes`";
                return self.convert.problem(entry.line, &entry.key, message);
            }
        }
        let Some(name) = name else {
            let line = flat.first().map_or(1, |entry| entry.line);
            return self.convert.problem(line, "", "expected `processes:` with the processes below it");
        };
        let line = flat.first().map_or(1, |entry| entry.line);
        let comments = flat.first().map(|entry| entry.comments.clone()).unwrap_or_default();
        // What is wrong with the table is wrong with the process, and what stands before its first key is said of it.
        let keys = flat.into_iter().enumerate().map(|(place, entry)| match place {
            0 => Flat { comments: Vec::new(), ..entry },
            _ => entry,
        });
        let process = definition(&mut self.convert, (name, line), keys.collect(), 0);
        self.document.processes.push(Definition { comments, ..process });
    }
}

/// Whether a key is one of a process.
fn is_of_process(key: &str) -> bool {
    SPEC.key(key).is_some() || is_older(key)
}
