//! The command itself.

use std::io::{Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::config::{self, Process};
use crate::cli::app::Voice;
use crate::cli::args::Import;
use crate::cli::config::{Loaded, load};
use crate::cli::exit::{Exit, Failure};
use crate::cli::locate;
use crate::cli::narrate::Talk;
use crate::cli::problems;
use crate::lua::{EvaluateRequest, Options, Runtime};
use crate::spec::{Plan, Problem, Spec};
use crate::yaml::{Definition, Document, Text, decode, join, read};

/// Writes the Lua that means what a YAML file, or a folder of them, means.
pub(in crate::cli) fn import(args: &Import, voice: Voice) -> Result<Exit, Failure> {
    let path = &args.file;
    locate::check(path)?;
    let files = files(path)?;
    // As a configuration it says all that is wrong with it, names of processes that are not there too.
    let loaded = match load(path, &[], Arc::new(|_| ())) {
        Ok(loaded) => loaded,
        Err(found) => return problems::refuse(voice, &found),
    };
    let definitions = match definitions(&files) {
        Ok(definitions) => definitions,
        Err(found) => return problems::refuse(voice, &found),
    };
    let processes: Result<Vec<Process>, Vec<Problem>> = definitions
        .into_iter()
        .map(|definition| {
            let comments = definition.comments.clone();
            definition.spec().map(|spec| Process { spec, comments })
        })
        .collect();
    let processes = match processes {
        Ok(processes) => processes,
        Err(found) => return problems::refuse(voice, &found),
    };
    let text = config::config(&shown(path), &processes);
    let root = crate::instance::root_of(path).map_err(|error| Failure::new(error.to_string()))?;
    same(&text, &root, processes.iter().map(|process| &process.spec))?;
    if !voice.json {
        tell(voice, &loaded);
    }
    match &args.output {
        None => stdout().write_all(text.as_bytes()).map_err(|error| unwritten(Path::new("stdout"), &error))?,
        Some(out) => {
            write(out, &text)?;
            if voice.talk > Talk::Quiet {
                let text = format!("wrote {}; `neap check {}` looks at it", out.display(), out.display());
                writeln!(stdout(), "{text}").map_err(|error| unwritten(Path::new("stdout"), &error))?;
            }
        }
    }
    Ok(Exit::Done)
}

/// The file's name, for a comment of one line.
fn shown(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().escape_debug().to_string()
}

fn tell(voice: Voice, loaded: &Loaded) {
    problems::show(&mut stderr(), voice.err, &loaded.warnings);
}

/// The files that are read: this one and that of its sockets, or those of the folder.
fn files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let is_yaml = crate::lua::api::is_yaml;
    if !path.is_dir() {
        if !is_yaml(path) {
            let text = format!("`{}` is no YAML file; `neap import` takes a .yaml or .yml file", path.display());
            return Err(Failure::new(text).exit(Exit::Code(2)));
        }
        let sockets = crate::lua::api::sockets_of(path).filter(|sockets| sockets.exists());
        return Ok(std::iter::once(path.to_owned()).chain(sockets).collect());
    }
    let failed = |error: std::io::Error| Failure::new(format!("cannot read `{}`: {error}", path.display()));
    let mut files = Vec::new();
    for entry in path.read_dir().map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        let hidden = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if is_yaml(&file) && !hidden {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(Failure::new(format!("there is no YAML file in `{}`", path.display())));
    }
    Ok(files)
}

/// What they declare, those that are not enabled too: Lua has no such switch.
fn definitions(files: &[PathBuf]) -> Result<Vec<Definition>, Vec<Problem>> {
    let documents: Result<Vec<Document>, Vec<Problem>> = files
        .iter()
        .map(|path| {
            let file = path.display().to_string();
            let bytes = std::fs::read(path)
                .map_err(|error| vec![crate::lua::error::error_problem(format!("cannot read {file}: {error}"))])?;
            let name = path.file_stem().and_then(|stem| stem.to_str());
            read(&Text { file: &file, text: decode(&file, &bytes)?, name })
                .map(|document| Document { enabled: true, ..document })
        })
        .collect();
    join(documents?)
}

/// What is written means the same, or is not written.
fn same<'s>(text: &str, root: &Path, specs: impl Iterator<Item = &'s Spec>) -> Result<(), Failure> {
    let mut plan = Plan::new();
    for spec in specs {
        plan.insert(spec.clone()).map_err(|problem| Failure::new(problem.to_string()))?;
    }
    let request = EvaluateRequest::source("the import", text, root);
    let found = Runtime::start(Options::default()).evaluate(request);
    let why = match found {
        Ok(found) if found.declared.plan == plan => return Ok(()),
        Ok(found) => {
            let differs = |spec: &&Spec| found.declared.plan.get(&spec.name) != Some(*spec);
            let names: Vec<&str> = plan.specs().filter(differs).map(|spec| spec.name.as_str()).collect();
            format!("{} would not be the same", names.join(", "))
        }
        Err(refused) => refused.to_string(),
    };
    Err(Failure::new(format!(
        "this cannot be written as Lua exactly, which is a mistake in Neap: {why}; nothing was written. \
         `neap.yaml` in a script takes the file as it is"
    )))
}

/// Writes a new file: one that is there may be somebody's work.
fn write(out: &Path, text: &str) -> Result<(), Failure> {
    let file = std::fs::OpenOptions::new().write(true).create_new(true).open(out);
    let mut file = file.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Failure::new(format!("`{}` is there already; remove it, or name another", out.display()))
        }
        _ => unwritten(out, &error),
    })?;
    file.write_all(text.as_bytes()).map_err(|error| unwritten(out, &error))
}

fn unwritten(what: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot write to {}: {error}", what.display()))
}
