//! The command itself.

use std::collections::BTreeSet;
use std::io::{Write, stderr, stdout};
use std::path::{Path, PathBuf};

use super::config::{self, Process};
use super::text::string;
use crate::cli::app::Voice;
use crate::cli::args::Import;
use crate::cli::exit::{Exit, Failure};
use crate::cli::narrate::Talk;
use crate::cli::{locate, problems};
use crate::instance::root_of;
use crate::lua::error::error_problem;
use crate::lua::{EvaluateRequest, Options, Runtime};
use crate::spec::{Plan, Problem, Severity, Spec, make_absolute};
use crate::yaml::{Definition, Document, Text, decode, join, read};

/// Writes the Lua that means what a YAML file, or a folder of them, means.
pub(in crate::cli) fn import(args: &Import, voice: Voice) -> Result<Exit, Failure> {
    let path = &args.file;
    locate::check(path)?;
    let Read { mut processes, head, mut odd } = match processes(&files(path)?) {
        Ok(found) => found,
        Err(found) => return problems::refuse(voice, &found),
    };
    let root = root_of(path).map_err(|error| Failure::new(error.to_string()))?;
    if args.output.as_deref().is_some_and(|out| is_elsewhere(out, &root)) {
        odd.extend(made_absolute(&mut processes, &root));
    }
    let text = config::config(&shown(path), &head, &processes);
    same(&text, &root, processes.iter().map(|process| &process.spec))?;
    if !voice.json {
        problems::show(&mut stderr(), voice.err, &odd);
    }
    let Some(out) = &args.output else {
        return match stdout().write_all(text.as_bytes()) {
            Ok(()) => Ok(Exit::Done),
            Err(error) => Err(unwritten(Path::new("stdout"), &error)),
        };
    };
    write(out, &text)?;
    if voice.talk > Talk::Quiet {
        let text = format!("wrote {}; `neap check {}` looks at it", out.display(), out.display());
        writeln!(stdout(), "{text}").map_err(|error| unwritten(Path::new("stdout"), &error))?;
    }
    Ok(Exit::Done)
}

/// The file's name, for a comment of one line.
fn shown(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().escape_debug().to_string()
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

/// Whether a file is written into another folder than this.
fn is_elsewhere(out: &Path, folder: &Path) -> bool {
    let Ok(there) = root_of(out) else { return false };
    let straight = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    straight(&there) != straight(folder)
}

/// Makes relative paths mean in another folder what they mean in theirs, and says so.
fn made_absolute(processes: &mut [Process], root: &Path) -> Option<Problem> {
    let mut changed: Vec<&str> = Vec::new();
    for Process { spec, .. } in processes {
        let before = spec.clone();
        make_absolute(spec, root);
        if *spec != before {
            changed.push(&spec.name);
        }
    }
    let message = format!(
        "the Lua is written into another folder than the YAML, so relative paths were made absolute, below {}: those of {}",
        root.display(),
        changed.join(", ")
    );
    (!changed.is_empty()).then(|| Problem { severity: Severity::Warning, ..error_problem(message) })
}

/// What files declare.
struct Read {
    processes: Vec<Process>,
    /// The comments at their heads.
    head: Vec<String>,
    /// What is odd about it.
    odd: Vec<Problem>,
}

/// What these files declare. The error is all that is wrong.
fn processes(files: &[PathBuf]) -> Result<Read, Vec<Problem>> {
    let (mut documents, mut odd, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    for path in files {
        match document(path) {
            Ok(document) => documents.push(document),
            Err(found) => problems.extend(found),
        }
    }
    // Lua has no such switch.
    for document in documents.iter_mut().filter(|document| !document.enabled) {
        document.enabled = true;
        let message = "is false, so that as YAML this declares nothing; the Lua declares what stands below it";
        let (file, line) = (Some(document.file.clone()), Some(document.enabled_line));
        let field = Some("process_manager.enabled".to_owned());
        odd.push(Problem { severity: Severity::Warning, file, line, process: None, field, message: message.into() });
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut head: Vec<String> = Vec::new();
    for document in documents.iter().filter(|document| !document.comments.is_empty()) {
        head.extend((!head.is_empty()).then(String::new));
        head.extend(document.comments.iter().cloned());
    }
    let (mut processes, mut plan) = (Vec::new(), Plan::new());
    for definition in join(documents)? {
        match definition.spec() {
            Ok(spec) => {
                problems.extend(plan.insert(spec.clone()).err());
                let Definition { comments, key_comments, .. } = definition;
                processes.push(Process { spec, comments, key_comments });
            }
            Err(found) => problems.extend(found),
        }
    }
    // Names that are not among these are of other files.
    let wrong = plan.validate_among(|_| true);
    let missing = plan.validate().into_iter().filter(|problem| !wrong.contains(problem));
    odd.extend(missing.map(|problem| Problem { severity: Severity::Warning, ..problem }));
    let (errors, warnings): (Vec<_>, Vec<_>) =
        wrong.into_iter().partition(|problem| problem.severity == Severity::Error);
    odd.extend(warnings);
    problems.extend(errors);
    if problems.is_empty() { Ok(Read { processes, head, odd }) } else { Err(problems) }
}

fn document(path: &Path) -> Result<Document, Vec<Problem>> {
    let file = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| vec![error_problem(format!("cannot read {file}: {error}"))])?;
    let name = path.file_stem().and_then(|stem| stem.to_str());
    read(&Text { file: &file, text: decode(&file, &bytes)?, name })
}

/// What is written means the same, or is not written.
fn same<'s>(text: &str, root: &Path, specs: impl Iterator<Item = &'s Spec>) -> Result<(), Failure> {
    let mut plan = Plan::new();
    for spec in specs {
        plan.insert(spec.clone()).map_err(|problem| Failure::new(problem.to_string()))?;
    }
    // What is declared elsewhere stands for itself while this is looked at.
    let named: BTreeSet<&str> =
        plan.specs().flat_map(Spec::relations).filter(|name| plan.get(name).is_none()).collect();
    let others = named.iter().map(|name| format!("neap.process {} {{ command = \"true\" }}\n", string(name)));
    let text = format!("{text}{}", others.collect::<String>());
    let request = EvaluateRequest::source("the import", text, root);
    let found = Runtime::start(Options::default()).evaluate(request);
    let why = match found {
        Ok(found) => {
            let differs = |spec: &&Spec| found.declared.plan.get(&spec.name) != Some(*spec);
            let names: Vec<&str> = plan.specs().filter(differs).map(|spec| spec.name.as_str()).collect();
            if names.is_empty() {
                return Ok(());
            }
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
