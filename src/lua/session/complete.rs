//! What may stand at a cursor, from the instance. Nothing of a script runs for it.

use mlua::{Lua, Table, Value};

use super::answer::{Candidate, Candidates};
use super::completion::{Before, Place};
use super::environment::Environment;
use super::help;
use super::processes::{self, Processes};
use crate::core::StateName;
use crate::lua::api::METHODS;
use crate::lua::values::{Group, Handle};
use crate::spec::Signal;
use crate::spec::schema::{SPEC, TABLES, Table as Keys};

/// Candidates at most.
const MOST: usize = 500;

const KEYWORDS: [&str; 20] = [
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if", "in", "local", "nil", "not", "or",
    "repeat", "return", "then", "true", "while",
];

/// What may stand at the cursor of a text.
pub(super) fn complete(lua: &Lua, environment: &Environment, text: &str, cursor: usize) -> Candidates {
    let mut cursor = cursor.min(text.len());
    while !text.is_char_boundary(cursor) {
        cursor -= 1;
    }
    let before = Before::new(&text[..cursor]);
    let mut found = Found { lua, environment, partial: before.partial, candidates: Vec::new() };
    found.at(&before.place());
    let mut candidates = found.candidates;
    candidates.sort_by(|a, b| a.text.cmp(&b.text));
    candidates.dedup_by(|a, b| a.text == b.text);
    candidates.truncate(MOST);
    Candidates { id: 0, start: before.start, candidates }
}

struct Found<'a> {
    lua: &'a Lua,
    environment: &'a Environment,
    partial: &'a str,
    candidates: Vec<Candidate>,
}

impl Found<'_> {
    fn add(&mut self, text: impl Into<String>, detail: impl Into<String>) {
        let text = text.into();
        // What begins so is not meant to be seen unless asked for.
        if text.starts_with(self.partial) && (!text.starts_with("__") || self.partial.starts_with("__")) {
            self.candidates.push(Candidate { text, detail: detail.into() });
        }
    }

    fn at(&mut self, place: &Place) {
        match place {
            Place::Name => {
                self.fields_of(&self.environment.values.clone());
                self.fields_of(&self.lua.globals());
                KEYWORDS.iter().for_each(|word| self.add(*word, ""));
            }
            Place::Field(chain) => self.fields(chain),
            Place::Method(chain) => match self.resolve(chain) {
                Some(Value::String(_)) => {
                    if let Ok(library) = self.lua.globals().raw_get::<Table>("string") {
                        self.fields_of(&library);
                    }
                }
                Some(Value::Table(table)) => self.fields_of(&table),
                Some(Value::UserData(data)) if data.is::<Group>() => self.entries("group:"),
                _ => self.entries("process:"),
            },
            Place::Key(class) => {
                if let Some(table) = TABLES.iter().find(|table| table.name == *class) {
                    table.keys().for_each(|key| self.add(key.name, key.doc));
                }
            }
            Place::Word(words, within) => {
                words
                    .iter()
                    .for_each(|word| self.add(if *within { (*word).into() } else { format!("\"{word}\"") }, ""));
            }
            Place::Process => self.processes(),
            Place::State => StateName::ALL.iter().for_each(|state| self.add(state.as_str(), "")),
            Place::Signal => Signal::names().for_each(|name| self.add(name, "")),
            Place::Topic => {
                help::entries().iter().for_each(|entry| self.add(entry.name.as_str(), entry.brief()));
                self.topics(&SPEC, "");
            }
            Place::Unknown => {}
        }
    }

    fn topics(&mut self, table: &'static Keys, path: &str) {
        for key in table.keys() {
            let name = format!("{path}{}", key.name);
            if let Some(inner) = key.table {
                self.topics(inner, &format!("{name}."));
            }
            self.add(name, key.doc);
        }
    }

    /// Functions of the definitions that begin like this, without that beginning.
    fn entries(&mut self, beginning: &str) {
        for entry in help::entries() {
            if let Some(name) = entry.name.strip_prefix(beginning).filter(|name| !name.contains('.')) {
                self.add(name, entry.brief());
            }
        }
    }

    fn processes(&mut self) {
        for name in processes::names(self.lua) {
            self.add(&*name, "process");
        }
    }

    fn fields(&mut self, chain: &[String]) {
        match self.resolve(chain) {
            Some(Value::UserData(data)) if data.is::<Processes>() => {
                // Names that are no words of Lua are completed within p["…"].
                let word = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
                for name in processes::names(self.lua) {
                    if word(&name) && !name.starts_with(|first: char| first.is_ascii_digit()) {
                        self.add(&*name, "process");
                    }
                }
            }
            Some(Value::UserData(data)) if data.is::<Handle>() => METHODS.iter().for_each(|name| self.add(*name, "")),
            Some(Value::Table(table)) if self.is_module(&table) => {
                self.entries("neap.");
                for (name, what) in
                    [("api", "number"), ("uid", "number"), ("unset", ""), ("log", "table"), ("json", "table")]
                {
                    self.add(name, what);
                }
            }
            Some(Value::Table(table)) => self.fields_of(&table),
            _ => {}
        }
    }

    fn is_module(&self, table: &Table) -> bool {
        matches!(self.environment.values.raw_get::<Value>("neap"), Ok(Value::Table(module)) if module == *table)
            || matches!(&self.environment.module, Value::Table(module) if module == table)
    }

    /// What these names lead to, without a metamethod of a script's being asked.
    fn resolve(&self, chain: &[String]) -> Option<Value> {
        let (first, rest) = chain.split_first()?;
        let mut value: Value = self.environment.values.raw_get(first.as_str()).ok()?;
        if value.is_nil() {
            value = self.lua.globals().raw_get(first.as_str()).ok()?;
        }
        for name in rest {
            value = match &value {
                Value::Table(table) if self.is_module(table) => table.get(name.as_str()).ok()?,
                Value::Table(table) => table.raw_get(name.as_str()).ok()?,
                Value::UserData(data) if data.is::<Processes>() => {
                    let name = name.as_str().into();
                    Value::UserData(self.lua.create_userdata(Handle { name }).ok()?)
                }
                _ => return None,
            };
        }
        Some(value)
    }

    fn fields_of(&mut self, table: &Table) {
        for pair in table.pairs::<Value, Value>().take(10_000) {
            let Ok((Value::String(key), value)) = pair else { continue };
            let Ok(key) = key.to_str() else { continue };
            let is_word = |name: &str| {
                name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
                    && !name.starts_with(|first: char| first.is_ascii_digit())
            };
            if is_word(&key) {
                self.add(&*key, value.type_name());
            }
        }
    }
}
