//! From files to a plan: the only place here that reads a disk.

use std::io;
use std::path::{Path, PathBuf};

use super::form::{Document, read};
use super::join::join;
use super::text::{Text, decode, problem};
use crate::spec::{Plan, Problem, Severity, make_absolute};

/// Reads a file, or all YAML files of a folder, and checks what they define.
///
/// Hidden files of a folder are left out. A file `NAME.yaml` is read together with `NAME.socket.yaml` beside it. All problems are told, in the order of file
/// and line; warnings are not errors, and [`Plan::validate`] tells them. Relative paths are below the file's folder, as
/// in Lua; but a process runs in `/` unless it says where.
pub fn plan(file: &Path) -> Result<Plan, Vec<Problem>> {
    let mut documents: Vec<Document> = Vec::new();
    let mut problems: Vec<Problem> = Vec::new();
    for path in files(file)? {
        match document(&path) {
            Ok(document) => documents.push(document),
            Err(more) => problems.extend(more),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let folder = folder(file).map_err(|error| unreadable(file, &error))?;
    let mut plan = Plan::new();
    for definition in join(documents)? {
        match definition.spec() {
            Ok(mut spec) => {
                make_absolute(&mut spec, &folder);
                problems.extend(plan.insert(spec).err());
            }
            Err(more) => problems.extend(more),
        }
    }
    // What could not be read is not missing.
    let unread: Vec<String> = problems.iter().filter_map(|problem| problem.process.clone()).collect();
    let found = plan.validate_among(|name| unread.iter().any(|process| process == name));
    problems.extend(found.into_iter().filter(|problem| problem.severity == Severity::Error));
    problems.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    if problems.is_empty() { Ok(plan) } else { Err(problems) }
}

/// The folder that relative paths are below.
fn folder(path: &Path) -> io::Result<PathBuf> {
    let mut folder = std::path::absolute(path)?;
    if !path.is_dir() {
        folder.pop();
    }
    Ok(folder)
}

/// The files that are one configuration.
fn files(path: &Path) -> Result<Vec<PathBuf>, Vec<Problem>> {
    if path.is_dir() {
        let mut files = Vec::new();
        for entry in path.read_dir().map_err(|error| unreadable(path, &error))? {
            let path = entry.map_err(|error| unreadable(path, &error))?.path();
            let is_yaml = path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
            let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if is_yaml && !is_hidden && path.is_file() {
                files.push(path);
            }
        }
        files.sort();
        return Ok(files);
    }
    let mut files = vec![path.to_owned()];
    if let (Some(stem), Some(ending)) = (path.file_stem(), path.extension()) {
        let mut name = stem.to_owned();
        name.push(".socket.");
        name.push(ending);
        let beside = path.with_file_name(name);
        if !stem.to_string_lossy().ends_with(".socket") && beside.is_file() {
            files.push(beside);
        }
    }
    Ok(files)
}

fn document(path: &Path) -> Result<Document, Vec<Problem>> {
    let file = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
    let text = decode(&file, &bytes)?;
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    read(&Text { file: &file, text, name: name.as_deref() })
}

fn unreadable(path: &Path, error: &io::Error) -> Vec<Problem> {
    vec![problem(&path.display().to_string(), None, format!("cannot be read: {error}"))]
}
