//! YAML in a configuration: `neap.yaml`, and the YAML files that are one or part of one.
//!
//! A file's processes go into the same record as a script's. They keep their dialect: `neap.defaults` and templates are
//! for processes that are written in Lua.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use mlua::{Lua, MetaMethod, Table, Value};

use super::inputs::text;
use crate::lua::convert::TOO_LARGE;
use crate::lua::error::{Problems, error_problem};
use crate::lua::evaluation::{Body, Declaration, Evaluation, nodes_of};
use crate::lua::host::Host;
use crate::lua::problem::{Site, did_you_mean, misuse, only_in_evaluation, problem_at};
use crate::lua::reader::{FileRead, ReadError};
use crate::lua::values::Handle;
use crate::spec::{Problem, Severity};
use crate::yaml::{Definition, Document, Form, Text, decode, join, read};

/// Adds the function to the module.
pub(super) fn register(lua: &Lua, module: &Table) -> mlua::Result<()> {
    module.set("yaml", lua.create_function(yaml)?)
}

/// Whether this is the name of a YAML file.
pub(crate) fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

/// The file with the sockets of this one's processes, if it can have one: `web.socket.yaml` of `web.yaml`.
pub(crate) fn sockets_of(path: &Path) -> Option<PathBuf> {
    let stem = path.file_stem()?.to_str()?;
    let extension = path.extension()?.to_str()?;
    (!stem.ends_with(".socket")).then(|| path.with_file_name(format!("{stem}.socket.{extension}")))
}

/// `neap.yaml "file"`: declares the file's processes, and returns their handles by name.
fn yaml(lua: &Lua, given: Value) -> mlua::Result<Table> {
    only_in_evaluation(lua, "neap.yaml")?;
    let given = text(lua, "yaml", "a path", &given)?;
    let host = Evaluation::host(lua)?;
    let relative = Path::new(&given).strip_prefix(host.root()).unwrap_or(Path::new(&given));
    // One file has one name, for what it is known by.
    let relative: PathBuf = relative.components().filter(|part| *part != Component::CurDir).collect();
    let refused = |error: ReadError| misuse(lua, format!("neap.yaml: {error}"));
    let mut files = vec![host.reader().read(&relative).map_err(refused)?];
    if let Some(sockets) = sockets_of(&relative)
        && is_there(&host, &host.reader().display(&sockets), &host.root().join(&sockets)).map_err(refused)?
    {
        files.push(host.reader().read(&sockets).map_err(refused)?);
    }
    let documents = documents_of(&files).map_err(Problems::raise)?;
    // Two modules may both want the same.
    let known = Evaluation::with(lua, |evaluation| evaluation.taken.get(&files[0].display).cloned())?;
    let names = match known {
        Some(names) => names,
        None => declare(lua, &host, documents.clone()).map_err(Problems::raise)?,
    };
    Evaluation::with(lua, |evaluation| {
        evaluation.taken.extend(files.iter().map(|file| (file.display.clone(), names.clone())));
    })?;
    host.limits().check(lua)?;
    handles(lua, &documents, &names)
}

/// A YAML file is all of the configuration.
pub(crate) fn declare_file(lua: &Lua, host: &Host, path: &Path) -> Result<(), Vec<Problem>> {
    let refused = |error: ReadError| vec![error_problem(error.to_string())];
    let reader = host.reader();
    let mut files = vec![reader.read_entry(path, path.display().to_string()).map_err(refused)?];
    if let Some(sockets) = sockets_of(path) {
        let shown = sockets.display().to_string();
        if is_there(host, &shown, &sockets).map_err(refused)? {
            files.push(reader.read_entry(&sockets, shown).map_err(refused)?);
        }
    }
    declare(lua, host, documents_of(&files)?).map(drop)
}

/// A YAML file of a folder. What it declares is known when all of them were read.
pub(crate) fn take_in(lua: &Lua, host: &Host, file: &FileRead) -> Result<(), Vec<Problem>> {
    let document = document_of(file)?;
    if let Some(warning) = disabled(&document) {
        host.warn(warning);
        return Ok(());
    }
    let taken = Evaluation::with(lua, |evaluation| {
        let enough = document.processes.iter().all(|definition| spend(evaluation, definition));
        evaluation.folder.push(document);
        enough
    });
    match taken {
        Ok(true) => Ok(()),
        Ok(false) => Err(vec![too_large(&file.display)]),
        Err(error) => Err(host.chunks().problems(&error)),
    }
}

/// Notes that not all processes are known: what others say about them is then not looked at.
pub(crate) fn leave_incomplete(lua: &Lua) -> mlua::Result<()> {
    Evaluation::with(lua, |evaluation| evaluation.incomplete = true)
}

/// Whether there is such a file. It is on record, as what is evaluated depends on it.
fn is_there(host: &Host, shown: &str, path: &Path) -> Result<bool, ReadError> {
    let found = || Ok::<_, ReadError>(if path.exists() { vec![shown.to_owned()] } else { Vec::new() });
    host.reader().names(shown, found).map(|names| !names.is_empty())
}

/// What a file says. Its name is that of its process where it is one.
fn document_of(file: &FileRead) -> Result<Document, Vec<Problem>> {
    let text = decode(&file.display, &file.content)?;
    let name = Path::new(&file.display).file_stem().and_then(|stem| stem.to_str());
    read(&Text { file: &file.display, text, name })
}

fn documents_of(files: &[FileRead]) -> Result<Vec<Document>, Vec<Problem>> {
    let (mut documents, mut problems) = (Vec::new(), Vec::new());
    for file in files {
        match document_of(file) {
            Ok(document) => documents.push(document),
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() { Ok(documents) } else { Err(problems) }
}

/// What is said of a document that declares nothing because it says so.
fn disabled(document: &Document) -> Option<Problem> {
    if document.enabled {
        return silent(document);
    }
    let count = document.processes.len();
    let what = if count == 1 { "its process is".to_owned() } else { format!("its {count} processes are") };
    let site = Site { file: Some(document.file.clone()), line: Some(document.enabled_line).filter(|line| *line > 0) };
    let mut said = problem_at(
        &site,
        None,
        Some("process_manager.enabled"),
        format!("is false, so {what} left out; nothing of this file is started"),
    );
    said.severity = Severity::Warning;
    Some(said)
}

/// The same of the Agent's file without a word for us: nothing is wrong with it, and nobody would know why nothing starts.
fn silent(document: &Document) -> Option<Problem> {
    let nothing = document.processes.is_empty() && document.sockets.is_empty();
    if document.form != Form::Datadog || !nothing {
        return None;
    }
    let site = Site { file: Some(document.file.clone()), line: None };
    let message = "there is no process below `process_manager.managed_processes`, so nothing of this file is started";
    let mut said = problem_at(&site, None, None, message);
    said.severity = Severity::Warning;
    Some(said)
}

/// Takes the documents' processes into the record; returns their names.
fn declare(lua: &Lua, host: &Host, documents: Vec<Document>) -> Result<Vec<Arc<str>>, Vec<Problem>> {
    documents.iter().filter_map(disabled).for_each(|warning| host.warn(warning));
    let (enabled, left_out): (Vec<_>, Vec<_>) = documents.into_iter().partition(|document| document.enabled);
    // Sockets of processes that are left out are of nobody.
    let definitions = if left_out.is_empty() { join(enabled)? } else { Vec::new() };
    let mut names = Vec::new();
    let declared = Evaluation::with(lua, |evaluation| {
        for definition in definitions {
            if !spend(evaluation, &definition) {
                return Err(vec![too_large(&definition.file)]);
            }
            let name: Arc<str> = Arc::from(definition.name.as_str());
            names.push(name.clone());
            let site = Site { file: Some(definition.file.clone()), line: Some(definition.line) };
            evaluation.declared.push(Declaration { name, site, body: Body::Yaml(Box::new(definition)) });
        }
        Ok(())
    });
    declared.unwrap_or_else(|error| Err(host.chunks().problems(&error)))?;
    Ok(names)
}

/// Counts a definition. False when the configuration's allowance is used up.
fn spend(evaluation: &mut Evaluation, definition: &Definition) -> bool {
    evaluation.spend(nodes_of(std::slice::from_ref(&(String::new(), definition.node.clone()))))
}

fn too_large(file: &str) -> Problem {
    problem_at(&Site { file: Some(file.to_owned()), line: None }, None, None, TOO_LARGE)
}

/// The handles by name. A name that is not there is an error: `requires = dd["trace-agnt"]` would require nothing.
fn handles(lua: &Lua, documents: &[Document], names: &[Arc<str>]) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    for name in names {
        table.raw_set(&**name, lua.create_userdata(Handle { name: name.clone() })?)?;
    }
    let file = documents.first().map(|document| document.file.clone()).unwrap_or_default();
    let off = documents.iter().any(|document| !document.enabled);
    let known = names.to_vec();
    let index = lua.create_function(move |lua, (_, key): (Value, Value)| -> mlua::Result<Value> {
        let key = key.to_string()?;
        let why = match off {
            true => "; process_manager.enabled is false in it".to_owned(),
            false => did_you_mean(&key, known.iter().map(|name| &**name)),
        };
        Err(misuse(lua, format!("{file} declares no process `{key}`{why}")))
    })?;
    let metatable = lua.create_table()?;
    metatable.raw_set(MetaMethod::Index.name(), index)?;
    metatable.raw_set("__metatable", false)?;
    table.set_metatable(Some(metatable))?;
    Ok(table)
}
