//! Reading the environment, and the directories that it names.

use super::super::process::{Directory, EnvFile, Secret, Spec};
use super::super::schema::{DIRECTORY, ENV_FILE};
use super::super::value::{Node, Value};
use super::dialect::Origin;
use super::reader::{At, Fields, Reader};

/// How secrets are shown; as a value it means that somebody wrote back what they were shown.
const SHOWN: &str = "***";

enum Variable {
    Plain(String),
    Secret(Secret),
}

impl Reader<'_> {
    /// `env` and `env_file`.
    pub(super) fn environment(&mut self, fields: &Fields, spec: &mut Spec) {
        if let Some(node) = fields.get("env") {
            self.env(&fields.at.key("env", node), node, spec);
        }
        self.set(fields, "env_file", &mut spec.env_file, |r, at, n| Some(r.list(at, n, Reader::env_file)));
    }

    fn env(&mut self, at: &At, node: &Node, spec: &mut Spec) {
        let mut keep = |name: &str, variable| match variable {
            Variable::Plain(value) => {
                spec.secret_env.remove(name);
                spec.env.insert(name.to_owned(), value);
            }
            Variable::Secret(secret) => {
                spec.env.remove(name);
                spec.secret_env.insert(name.to_owned(), secret);
            }
        };
        if let Value::List(items) = &node.value {
            for (name, value) in self.items(at, items, Reader::assignment) {
                keep(&name, Variable::Plain(value));
            }
            return;
        }
        let what = "a table of variables, or a list of \"NAME=value\"";
        self.entries(at, node, what, |r, at, name, node| {
            if let Some(variable) = r.variable(at, node) {
                keep(name, variable);
            }
        });
    }

    fn variable(&mut self, at: &At, node: &Node) -> Option<Variable> {
        Some(Variable::Plain(match &node.value {
            Value::String(text) if text == SHOWN && self.dialect.origin == Origin::Written => {
                self.problem(at, "\"***\" is how a secret is shown, not a value; give the secret itself");
                return None;
            }
            Value::String(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Float(number) if number.is_finite() => number.to_string(),
            Value::Bool(value) => value.to_string(),
            Value::Secret(secret) => return Some(Variable::Secret(secret.clone())),
            _ => return self.expected(at, "the value of a variable (text, a number, true, false or a secret)", node),
        }))
    }

    fn assignment(&mut self, at: &At, node: &Node) -> Option<(String, String)> {
        let split = match &node.value {
            Value::String(text) => text.split_once('='),
            _ => None,
        };
        match split {
            Some((name, value)) => Some((name.to_owned(), value.to_owned())),
            None => self.expected(at, "a variable as \"NAME=value\"", node),
        }
    }

    /// `runtime_directory` and its like.
    pub(super) fn directories(&mut self, fields: &Fields, spec: &mut Spec) {
        let lists: [(&'static str, &mut Vec<Directory>); 4] = [
            ("runtime_directory", &mut spec.runtime_directory),
            ("state_directory", &mut spec.state_directory),
            ("cache_directory", &mut spec.cache_directory),
            ("logs_directory", &mut spec.logs_directory),
        ];
        for (key, place) in lists {
            self.set(fields, key, place, |r, at, n| Some(r.list(at, n, Reader::directory)));
        }
    }

    fn directory(&mut self, at: &At, node: &Node) -> Option<Directory> {
        if let Value::String(path) = &node.value {
            return Some(Directory::new(path));
        }
        let fields = self.table(at, node, &DIRECTORY, "a name, `{ path, mode }`, or a list of them")?;
        let mut directory = Directory::new("");
        self.set(&fields, "path", &mut directory.path, Reader::text);
        self.set(&fields, "mode", &mut directory.mode, Reader::mode);
        Some(directory)
    }

    fn env_file(&mut self, at: &At, node: &Node) -> Option<EnvFile> {
        const WHAT: &str = "a path, or a list of paths";
        if let Value::String(text) = &node.value {
            return Some(EnvFile::parse(text));
        }
        let fields = self.table(at, node, &ENV_FILE, WHAT)?;
        let mut file = EnvFile { path: String::new(), optional: false };
        self.set(&fields, "path", &mut file.path, Reader::text);
        self.set(&fields, "optional", &mut file.optional, Reader::boolean);
        Some(file)
    }
}
