//! `help(x)`: what the LuaLS definitions and the table of spec keys say, at the prompt.

use std::sync::OnceLock;

use mlua::{Function, Lua, ObjectLike, Table, Value};

use crate::lua::api::{METHODS, SETTINGS_KEYS};
use crate::lua::host::Host;
use crate::lua::luals_definitions;
use crate::lua::problem::{did_you_mean, misuse};
use crate::lua::values::{Group, Handle, Template};
use crate::spec::Effect;
use crate::spec::schema::{Key, SPEC, Table as Keys};

use super::processes::Processes;

/// What there is at the prompt.
const TOUR: &str = "\
An expression prints its value, anything else is done; `_` is the last value. Locals stay.
  p                        all processes; p.web is one, p[\"a-b\"] another
  p.web:restart()          acts, waits, and says what came of it; also start, stop, reload, signal, update, delete
  p.web:status()           how it is; also describe, stats, logs(20), wait(\"running\", \"10s\")
  neap.list()              all of them as a table
  neap.process \"x\" { command = { \"sleep\", \"60\" } }    defines a process and starts it
  neap.plan()              what the configuration's files would change; neap.apply() does it
  for e in neap.events() do print(e.topic, e.process) end      what happens, until Ctrl-C
  help(neap.process), help \"process:update\", help \"restart.delay\", help(neap)";

/// A function or method, as the definitions have it.
pub(super) struct Entry {
    /// `neap.process`, `process:start`.
    pub(super) name: String,
    signature: String,
    doc: Vec<String>,
}

impl Entry {
    /// Its first sentence.
    pub(super) fn brief(&self) -> &str {
        self.doc.iter().map(String::as_str).find(|line| !line.starts_with('@')).unwrap_or("")
    }

    fn text(&self) -> String {
        let mut lines = vec![self.signature.clone()];
        for line in &self.doc {
            lines.push(match line.strip_prefix('@') {
                None => format!("  {line}"),
                Some(tag) => format!("    {}", tag.replacen("param ", "", 1)),
            });
        }
        lines.join("\n")
    }
}

/// All functions and methods of the definitions.
pub(super) fn entries() -> &'static [Entry] {
    static ENTRIES: OnceLock<Vec<Entry>> = OnceLock::new();
    ENTRIES.get_or_init(|| parse(&luals_definitions()))
}

fn parse(definitions: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut doc: Vec<String> = Vec::new();
    // The functions of neap.log and neap.json are fields of classes.
    let mut class = "";
    for line in definitions.lines() {
        if let Some(comment) = line.strip_prefix("---") {
            if let Some(name) = comment.strip_prefix("@class ") {
                class = name.split([':', ' ']).next().unwrap_or("");
            }
            let of = match class {
                "neap.LogFunctions" => Some("neap.log"),
                "neap.JsonFunctions" => Some("neap.json"),
                _ => None,
            };
            if let (Some(of), Some((name, kind))) =
                (of, comment.strip_prefix("@field ").and_then(|field| field.split_once(' ')))
            {
                let signature = format!("{of}.{name}{}", kind.trim_start_matches("fun"));
                entries.push(Entry { name: format!("{of}.{name}"), signature, doc: Vec::new() });
            }
            doc.push(comment.to_owned());
            continue;
        }
        if let Some(function) = line.strip_prefix("function ").and_then(|rest| rest.strip_suffix(" end")) {
            let signature = ["Process", "Group", "Template"]
                .iter()
                .find_map(|class| Some(format!("{}{}", class.to_lowercase(), function.strip_prefix(class)?)))
                .unwrap_or_else(|| function.to_owned());
            let name = signature.split('(').next().unwrap_or("").to_owned();
            let doc = doc.iter().filter(|line| !line.starts_with("@class") && !line.starts_with("@field"));
            entries.push(Entry { name, signature: signature.clone(), doc: doc.cloned().collect() });
        }
        doc.clear();
    }
    entries
}

/// The function for the session's environment.
pub(super) fn function(lua: &Lua, host: &Host) -> mlua::Result<Function> {
    let host = host.clone();
    lua.create_function(move |lua, about: mlua::Variadic<Value>| {
        let text = match about.first() {
            None => TOUR.to_owned(),
            Some(about) => text_for(lua, about)?,
        };
        text.lines().for_each(|line| host.print(line));
        Ok(())
    })
}

fn text_for(lua: &Lua, about: &Value) -> mlua::Result<String> {
    Ok(match about {
        Value::Nil => return Err(misuse(lua, "help: there is nothing under that name (it is nil)")),
        Value::String(topic) => topic_text(lua, &topic.to_string_lossy())?,
        Value::Function(function) => match name_of(lua, function)? {
            Some(name) => topic_text(lua, &name)?,
            None => {
                let info = function.info();
                let place = info.short_src.zip(info.line_defined).map(|(file, line)| format!(" of {file}:{line}"));
                format!("a function{}", place.unwrap_or_default())
            }
        },
        Value::UserData(data) if data.is::<Handle>() => {
            format!("{}\n{}", about.to_string()?, listed("process:"))
        }
        Value::UserData(data) if data.is::<Group>() => format!("{}\n{}", about.to_string()?, listed("group:")),
        Value::UserData(data) if data.is::<Template>() => {
            format!(
                "{}; app \"NAME\" {{ … }} makes a process that starts from it\n{}",
                about.to_string()?,
                listed("template:")
            )
        }
        Value::UserData(data) if data.is::<Processes>() => {
            format!("the processes by name: p.web, p[\"a-b\"], pairs(p), #p. Each has\n{}", listed("process:"))
        }
        Value::Table(table) if *table == module(lua)? => listed("neap."),
        Value::Integer(_) | Value::Number(_) => "a number; help() says what there is".to_owned(),
        other => format!("a {}; help() says what there is", other.type_name()),
    })
}

fn module(lua: &Lua) -> mlua::Result<Table> {
    let require: Function = lua.globals().raw_get("require")?;
    require.call("neap")
}

/// The functions whose names begin like this, with what they do.
fn listed(beginning: &str) -> String {
    let these: Vec<&Entry> = entries().iter().filter(|entry| entry.name.starts_with(beginning)).collect();
    let longest = these.iter().map(|entry| entry.name.len()).max().unwrap_or(0);
    let lines: Vec<String> = these
        .iter()
        .map(|entry| format!("  {:longest$}  {}", entry.name, entry.brief()).trim_end().to_owned())
        .collect();
    lines.join("\n")
}

/// The name of a function of ours.
fn name_of(lua: &Lua, function: &Function) -> mlua::Result<Option<String>> {
    let wanted = function.to_pointer();
    let module = module(lua)?;
    for entry in entries() {
        let Some(path) = entry.name.strip_prefix("neap.") else { continue };
        let mut value = Value::Table(module.clone());
        for part in path.split('.') {
            value = match &value {
                Value::Table(table) => table.get(part)?,
                _ => Value::Nil,
            };
        }
        if matches!(&value, Value::Function(found) if found.to_pointer() == wanted) {
            return Ok(Some(entry.name.clone()));
        }
    }
    let handle = lua.create_userdata(Handle { name: "".into() })?;
    for method in METHODS.iter().filter(|method| **method != "name") {
        if let Ok(found) = handle.get::<Function>(*method)
            && found.to_pointer() == wanted
        {
            return Ok(Some(format!("process:{method}")));
        }
    }
    Ok(None)
}

fn topic_text(lua: &Lua, topic: &str) -> mlua::Result<String> {
    let named = |name: &str| entries().iter().find(|entry| entry.name == name);
    let found = named(topic).or_else(|| named(&format!("neap.{topic}"))).or_else(|| named(&format!("process:{topic}")));
    // A key of a spec is what a bare word most likely is.
    if !topic.contains([':', '('])
        && !topic.starts_with("neap.")
        && let Some(key) = key_at(topic)
    {
        let also = found.map(|entry| format!("\n(a function, too: help \"{}\")", entry.name)).unwrap_or_default();
        return Ok(format!("{}{also}", key_text(topic, key)));
    }
    if let Some(entry) = found {
        return Ok(entry.text());
    }
    if let Some((name, kind, doc)) = SETTINGS_KEYS.iter().find(|(name, _, _)| *name == topic) {
        return Ok(format!("{name}: {kind}, a key of neap.settings\n  {doc}"));
    }
    let known = entries().iter().map(|entry| entry.name.as_str()).chain(SPEC.keys().map(|key| key.name));
    let near = did_you_mean(topic, known);
    Err(misuse(lua, format!("help: nothing is known under `{topic}`{near}")))
}

/// The key of the spec at this path.
pub(super) fn key_at(path: &str) -> Option<&'static Key> {
    let mut table: &Keys = &SPEC;
    let mut found = None;
    let mut parts = path.split('.').peekable();
    while let Some(part) = parts.next() {
        let key = table.key(part)?;
        found = Some(key);
        match key.table {
            Some(inner) => table = inner,
            None if parts.peek().is_some() => return None,
            None => {}
        }
    }
    found
}

fn key_text(path: &str, key: &Key) -> String {
    let effect = match key.effect {
        Effect::Live => "a change is in force at once",
        Effect::Reload => "a change is in force after a reload",
        Effect::Restart => "a change is in force with the next run",
    };
    let mut text = format!("{path}: {}\n  {}\n  ({effect})", key.lua, key.doc);
    if let Some(table) = key.table {
        let longest = table.keys().map(|key| key.name.len()).max().unwrap_or(0);
        for key in table.keys() {
            text.push_str(&format!("\n    {:longest$}  {}", key.name, key.doc));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{entries, key_at};
    use crate::lua::api::{EFFECTS, METHODS};

    #[test]
    fn every_function_of_the_module_and_of_handles_has_help() {
        let names: Vec<&str> = entries().iter().map(|entry| entry.name.as_str()).collect();
        for (name, _) in EFFECTS {
            assert!(names.contains(name), "lua/module.lua says nothing of {name}");
        }
        for method in METHODS.iter().filter(|method| **method != "name") {
            assert!(names.contains(&format!("process:{method}").as_str()), "{method}");
        }
        assert!(entries().iter().any(|entry| entry.name == "neap.json.encode"));
    }

    #[test]
    fn a_key_is_found_by_its_path() {
        assert_eq!(key_at("restart.limit.burst").map(|key| key.name), Some("burst"));
        assert!(key_at("restart.burst").is_none());
        assert!(key_at("user.name").is_none());
    }
}
