//! A process as a file defines it.

use std::collections::BTreeMap;

use super::socket::{Attached, Socket};
use crate::spec::read::{self, Dialect, Syntax};
use crate::spec::{Elsewhere, Node, Problem, Source, Spec, Value, Written};

/// A process as a file defines it: its keys are those of a spec, older names being translated.
#[derive(Clone, Debug)]
pub struct Definition {
    /// Its name.
    pub name: String,
    /// Its keys and values; a value's line is that of its key.
    pub node: Node,
    /// The file as messages show it.
    pub file: String,
    /// The line of its name, or of the first key of a file that is one process.
    pub line: u32,
    /// The comment that stands directly before it, without `#`.
    pub comments: Vec<String>,
    /// The comments that stand before its keys, beside or below them, by the key that each is here.
    pub key_comments: Vec<(String, Vec<String>)>,
    /// What the user called a key, by its path.
    pub(super) written: BTreeMap<String, Written>,
    /// Lines of paths that the keys' own do not tell.
    pub(super) lines: BTreeMap<String, u32>,
    /// Values that are another program's.
    pub(super) elsewhere: Elsewhere,
    /// What is wrong with it already.
    pub(super) problems: Vec<Problem>,
    /// What is odd about it: path and sentence.
    pub(super) notes: Vec<(String, String)>,
    /// Whether all of it was read; else that is what is told.
    pub(super) is_whole: bool,
    /// How many sockets it has, and who gave them.
    pub(super) sockets: usize,
}

/// The dialect of YAML: the older system's defaults, and messages without words of Lua.
pub fn dialect() -> Dialect {
    Dialect { syntax: Syntax::Yaml, ..Dialect::compatible() }
}

impl Definition {
    /// Where it stands, with the user's words for its keys, for [`read::spec`].
    pub fn source(&self) -> Source {
        Source {
            file: Some(self.file.clone()),
            line: Some(self.line),
            fields: self.lines.clone(),
            written: self.written.clone(),
            notes: self.notes.clone(),
            elsewhere: self.elsewhere.clone(),
            ..Source::default()
        }
    }

    /// What was wrong before its keys were read: keys given twice, older names beside the keys that they are.
    /// [`spec`](Definition::spec) tells these, too.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Reads it with [`dialect`]. Every problem has the path of its key as the user wrote it.
    ///
    /// What is wrong with the values as such is for [`Spec::validate`], whose problems have the user's paths, too.
    pub fn spec(&self) -> Result<Spec, Vec<Problem>> {
        if !self.is_whole {
            return Err(self.problems.clone());
        }
        let read = read::spec(&self.name, &self.node, &dialect(), self.source());
        let mut problems = self.problems.clone();
        match read {
            Ok(spec) if problems.is_empty() => return Ok(spec),
            Ok(_) => {}
            Err(more) => problems.extend(more),
        }
        problems.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        Err(problems)
    }

    /// Adds a socket to what it listens at.
    pub(super) fn attach(&mut self, socket: &Socket) {
        self.elsewhere.extend(&socket.elsewhere);
        self.problems.extend(socket.problems.iter().map(|problem| {
            let process = problem.process.clone().or_else(|| Some(self.name.clone()));
            Problem { process, ..problem.clone() }
        }));
        let Value::Map(entries) = &mut self.node.value else { return };
        let place = match entries.iter().position(|(key, _)| key == "listen") {
            Some(place) => place,
            None => {
                entries.push(("listen".to_owned(), Node::at(Value::Null, socket.line)));
                entries.len() - 1
            }
        };
        let Some((_, node)) = entries.get_mut(place) else { return };
        let mut items = match std::mem::replace(&mut node.value, Value::Null) {
            Value::List(items) => items,
            Value::Null => Vec::new(),
            other => {
                let called = Written { path: "listen".to_owned(), file: None };
                self.written.insert("listen[1]".to_owned(), called);
                vec![Node { value: other, position: node.position }]
            }
        };
        for Attached { node, written } in &socket.listeners {
            items.push(node.clone());
            let here = format!("listen[{}]", items.len());
            for (key, path) in written {
                let path = Written { path: path.clone(), file: Some(socket.file.clone()) };
                self.written.insert(format!("{here}{key}"), path);
            }
            self.lines.insert(here, node.position.line);
        }
        // What is said of the only one, is said of `listen` itself.
        if let [only] = items.as_slice()
            && let Some(Attached { written, .. }) = socket.listeners.first()
        {
            for (key, path) in written {
                let path = Written { path: path.clone(), file: Some(socket.file.clone()) };
                self.written.insert(format!("listen{key}"), path);
            }
            self.lines.insert("listen".to_owned(), only.position.line);
            if let Value::Map(entries) = &only.value {
                for (key, node) in entries {
                    self.lines.insert(format!("listen.{key}"), node.position.line);
                }
            }
        } else if self.sockets == 1 {
            self.written.retain(|path, _| !path.starts_with("listen.") && path != "listen");
            self.lines.retain(|path, _| !path.starts_with("listen.") && path != "listen");
        }
        node.value = Value::List(items);
        self.sockets += socket.listeners.len();
    }
}
