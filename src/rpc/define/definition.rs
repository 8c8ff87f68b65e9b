//! What a client declares, typed or as JSON, on its way to a spec.

use crate::rpc::fault::Fault;
use crate::rpc::proto::v1;
use crate::rpc::select::Found;
use crate::rpc::spec_node;
use crate::spec::read::{Dialect, Syntax, amend, spec as read};
use crate::spec::{FunctionId, Node, Problem, Secret, Severity, Source, Spec, Value, write};

/// A definition, or the changes of one: what is absent stays as it is, or has its default.
#[derive(Clone, Debug, Default)]
pub(in crate::rpc) struct Changes {
    /// What the process is called, if that is said.
    pub(in crate::rpc) name: Option<String>,
    /// Its keys.
    pub(in crate::rpc) table: Vec<(String, Node)>,
}

impl Changes {
    /// Of a message: what is present of it.
    pub(in crate::rpc) fn typed(mut spec: v1::Spec) -> Self {
        let name = Some(std::mem::take(&mut spec.name)).filter(|name| !name.is_empty());
        Changes { name, table: spec_node::entries(spec) }
    }

    /// Of a JSON object with the keys of the Lua table, a `name`, and `secret_env`.
    pub(in crate::rpc) fn json(text: &str) -> Result<Self, Fault> {
        let invalid = |message: String| Fault::invalid("json", message);
        let node: Node = serde_json::from_str(text).map_err(|error| invalid(format!("is not JSON: {error}")))?;
        let Value::Map(mut table) = node.value else {
            return Err(invalid("is not an object with the keys of a process".into()));
        };
        let mut name = None;
        if let Some(place) = table.iter().position(|(key, _)| key == "name") {
            match table.remove(place).1.value {
                Value::String(text) => name = Some(text),
                Value::Null => {}
                _ => return Err(Fault::invalid("name", "is not text")),
            }
        }
        Ok(Changes { name, table })
    }

    /// Takes these keys back to their defaults: `health`, `restart.delay`, `env.PORT`.
    pub(in crate::rpc) fn unset(&mut self, paths: &[String]) -> Result<(), Fault> {
        for path in paths {
            let steps = steps(path);
            if steps.iter().any(|step| step.is_empty()) {
                return Err(Fault::invalid("unset", format!("`{}` is no path of a key", path.escape_debug())));
            }
            if !clear(&mut self.table, &steps) {
                return Err(Fault::invalid("unset", format!("`{path}` is given a value in the same request")));
            }
        }
        Ok(())
    }

    /// The spec that they make of a process's present one.
    pub(in crate::rpc) fn of(mut self, found: &Found) -> Result<Spec, Fault> {
        let name = found.status.name.to_string();
        if let Some(other) = self.name.take().filter(|other| *other != name) {
            let text = format!("a process keeps its name; delete it and create `{}` instead", other.escape_debug());
            return Err(Fault::invalid("name", text));
        }
        literal(&mut self.table);
        let known = functions(&write::node(&found.spec).value);
        refuse_functions(&name, &self.table, &known)?;
        let hidden = take_secrets(&mut self.table)?;
        let mut table = amend(&found.spec, self.table);
        hide(&name, &mut table, hidden)?;
        // A default is that of whoever wrote the definition.
        let dialect = if found.status.runtime { Dialect::compatible() } else { Dialect::native() };
        let mut spec = from_table(&name, table, &dialect)?;
        spec.source.file.clone_from(&found.spec.source.file);
        spec.source.line = found.spec.source.line;
        Ok(spec)
    }
}

/// The spec of a new process.
pub(in crate::rpc) fn defined(changes: Changes) -> Result<Spec, Fault> {
    let Changes { name, mut table } = changes;
    let name = name.ok_or_else(|| Fault::invalid("name", "is missing: what is it to be called?"))?;
    literal(&mut table);
    refuse_functions(&name, &table, &[])?;
    let hidden = take_secrets(&mut table)?;
    hide(&name, &mut table, hidden)?;
    from_table(&name, table, &Dialect::compatible())
}

fn from_table(name: &str, table: Vec<(String, Node)>, dialect: &Dialect) -> Result<Spec, Fault> {
    let dialect = Dialect { syntax: Syntax::Json, ..dialect.clone() };
    read(name, &Node::new(Value::Map(table)), &dialect, Source::default()).map_err(|all| Fault::problems(&all))
}

/// A program's name is never split: it may hold blanks.
fn literal(table: &mut [(String, Node)]) {
    if let Some((_, node)) = table.iter_mut().find(|(key, node)| key == "command" && is_text(node)) {
        let word = Node { value: std::mem::replace(&mut node.value, Value::Null), position: node.position };
        node.value = Value::List(vec![word]);
    }
}

fn is_text(node: &Node) -> bool {
    matches!(node.value, Value::String(_))
}

/// The way to a key: names of variables may hold dots.
fn steps(path: &str) -> Vec<&str> {
    match path.split_once('.') {
        Some(("env", name)) => vec!["env", name],
        _ => path.split('.').collect(),
    }
}

/// Puts nothing where these steps lead; false when something is given there.
fn clear(table: &mut Vec<(String, Node)>, steps: &[&str]) -> bool {
    let Some((first, rest)) = steps.split_first() else { return false };
    let place = match table.iter().position(|(key, _)| key == first) {
        Some(place) => place,
        None => {
            let value = if rest.is_empty() { Value::Null } else { Value::Map(Vec::new()) };
            table.push(((*first).to_owned(), Node::new(value)));
            table.len() - 1
        }
    };
    match table.get_mut(place).map(|(_, node)| &mut node.value) {
        Some(Value::Map(entries)) if !rest.is_empty() => clear(entries, rest),
        Some(Value::Null) => rest.is_empty(),
        _ => false,
    }
}

/// The names of the variables that are to be secrets.
fn take_secrets(table: &mut Vec<(String, Node)>) -> Result<Vec<String>, Fault> {
    let Some(place) = table.iter().position(|(key, _)| key == "secret_env") else { return Ok(Vec::new()) };
    let names = match table.remove(place).1.value {
        Value::Null => Vec::new(),
        Value::List(items) => items,
        text @ Value::String(_) => vec![Node::new(text)],
        _ => return Err(Fault::invalid("secret_env", "is not a list of names of variables")),
    };
    let name = |node: Node| match node.value {
        Value::String(name) => Ok(name),
        _ => Err(Fault::invalid("secret_env", "is not a list of names of variables")),
    };
    names.into_iter().map(name).collect()
}

/// Has the values of these variables shown nowhere.
fn hide(process: &str, table: &mut [(String, Node)], names: Vec<String>) -> Result<(), Fault> {
    let mut env = table.iter_mut().find(|(key, _)| key == "env").map(|(_, node)| &mut node.value);
    for name in names {
        let variable = match &mut env {
            Some(Value::Map(entries)) => entries.iter_mut().find(|(key, _)| *key == name),
            _ => None,
        };
        match variable.map(|(_, node)| &mut node.value) {
            Some(Value::Secret(_)) => {}
            Some(value @ Value::String(_)) if *value != Value::String("***".into()) => {
                if let Value::String(text) = std::mem::replace(value, Value::Null) {
                    *value = Value::Secret(Secret::new(text));
                }
            }
            // The reader says what is wrong with these.
            Some(Value::String(_)) => {}
            _ => {
                let message = format!("there is no variable `{}` with a text in `env`", name.escape_debug());
                return Err(Fault::problems(&[wrong(process, "secret_env", message)]));
            }
        }
    }
    Ok(())
}

fn wrong(process: &str, field: &str, message: String) -> Problem {
    Problem {
        severity: Severity::Error,
        file: None,
        line: None,
        process: Some(process.into()),
        field: Some(field.into()),
        message,
    }
}

/// A function belongs to the configuration that has it: a client can only leave it where it is.
fn refuse_functions(process: &str, table: &[(String, Node)], known: &[FunctionId]) -> Result<(), Fault> {
    for (key, node) in table {
        if let Some(id) = functions(&node.value).into_iter().find(|id| !known.contains(id)) {
            let message = format!("function {} is none of this process: functions come from a configuration", id.0);
            return Err(Fault::problems(&[wrong(process, key, message)]));
        }
    }
    Ok(())
}

fn functions(value: &Value) -> Vec<FunctionId> {
    match value {
        Value::Function(id) => vec![*id],
        Value::List(items) => items.iter().flat_map(|node| functions(&node.value)).collect(),
        Value::Map(entries) => entries.iter().flat_map(|(_, node)| functions(&node.value)).collect(),
        _ => Vec::new(),
    }
}
