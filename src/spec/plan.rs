//! A set of specs, and what is wrong with one.

use std::collections::BTreeMap;
use std::fmt;

use super::elsewhere::Elsewhere;
use super::process::Spec;

/// Where something was declared.
#[derive(Clone, Debug, Default, Eq)]
pub struct Source {
    /// The file, as the user named it.
    pub file: Option<String>,
    /// The line, from 1.
    pub line: Option<u32>,
    /// Lines of the spec's keys, by field path (`restart.delay`), where the front end knows them.
    pub fields: BTreeMap<String, u32>,
    /// The groups that its configuration counts it among.
    pub groups: Vec<String>,
    /// What was odd but readable: field path and sentence. [`Spec::validate`] says them as warnings.
    pub notes: Vec<(String, String)>,
    /// What the user called a field, by its path, where that is something else (`restart_sec` for `restart.delay`).
    pub written: BTreeMap<String, Written>,
    /// Fields whose values are another program's, which messages do not show.
    pub elsewhere: Elsewhere,
}

/// A field as the user wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its path in the user's words.
    pub path: String,
    /// The file it stands in, when that is not the spec's.
    pub file: Option<String>,
}

impl Source {
    /// The line of a field: its own, else that of what holds it, else the spec's.
    fn line_of(&self, field: &str) -> Option<u32> {
        let mut path = field;
        while !path.is_empty() {
            if let Some(line) = self.fields.get(path) {
                return Some(*line);
            }
            path = path.rfind(['.', '[']).map_or("", |end| &path[..end]);
        }
        self.line
    }

    /// The file that a field stands in, and its path as the user wrote it.
    pub(crate) fn place_of(&self, field: &str) -> (Option<String>, String) {
        let mut end = field.len();
        while end > 0 {
            if let Some(written) = self.written.get(&field[..end]) {
                let file = written.file.as_ref().or(self.file.as_ref());
                return (file.cloned(), format!("{}{}", written.path, &field[end..]));
            }
            end = field[..end].rfind(['.', '[']).unwrap_or(0);
        }
        (self.file.clone(), field.to_owned())
    }
}

impl PartialEq for Source {
    /// Always equal: where a spec stands is no part of what it says.
    fn eq(&self, _: &Source) -> bool {
        true
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{file}:{line}"),
            (Some(file), None) => f.write_str(file),
            _ => f.write_str("(made at run time)"),
        }
    }
}

/// Whether a problem refuses the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Said, and gone on (`check --strict` refuses).
    Warning,
    /// Refused.
    Error,
}

/// One thing that is wrong with a plan, with where and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether it refuses the plan.
    pub severity: Severity,
    /// The file it is in.
    pub file: Option<String>,
    /// The line it is on, from 1.
    pub line: Option<u32>,
    /// The process it is about.
    pub process: Option<String>,
    /// The path of the key it is about (`restart.limit.burst`, `command[2]`).
    pub field: Option<String>,
    /// What is wrong and what was expected, as a sentence without its place.
    pub message: String,
}

impl Problem {
    /// A problem of a spec, with the line of its field.
    pub(crate) fn of(spec: &Spec, severity: Severity, field: &str, message: String) -> Problem {
        let (file, path) = spec.source.place_of(field);
        Problem {
            severity,
            file,
            line: spec.source.line_of(field),
            process: Some(spec.name.escape_debug().to_string()),
            message: spec.source.elsewhere.told(&path, message),
            field: Some(path).filter(|field| !field.is_empty()),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{file}:{line}: ")?,
            (Some(file), None) => write!(f, "{file}: ")?,
            _ => {}
        }
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        match (&self.process, &self.field) {
            (Some(process), Some(field)) => write!(f, "process `{process}`: {field}: ")?,
            (Some(process), None) => write!(f, "process `{process}`: ")?,
            (None, Some(field)) => write!(f, "{field}: ")?,
            _ => {}
        }
        f.write_str(&self.message)
    }
}

/// A plan was refused; every problem is listed, and nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct PlanError {
    /// All that is wrong, in the order of file and line. Warnings are listed too; at least one is an error.
    pub problems: Vec<Problem>,
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

/// A set of specs that is applied as a whole or not at all.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The number of the configuration's generation that this plan is of; 0 when it is of none.
    pub generation: u64,
    specs: BTreeMap<String, Spec>,
}

impl PartialEq for Plan {
    /// Equal when the specs are: which generation they are of is no part of what they say.
    fn eq(&self, other: &Plan) -> bool {
        self.specs == other.specs
    }
}

impl Plan {
    /// An empty plan.
    pub fn new() -> Self {
        Plan::default()
    }

    /// Adds a spec. A name that is taken is an error that names both places.
    pub fn insert(&mut self, spec: Spec) -> Result<(), Problem> {
        if let Some(first) = self.specs.get(&spec.name) {
            return Err(Problem {
                severity: Severity::Error,
                file: spec.source.file.clone(),
                line: spec.source.line,
                process: Some(spec.name.clone()),
                field: None,
                message: format!("is declared twice; the first is at {}", first.source),
            });
        }
        self.specs.insert(spec.name.clone(), spec);
        Ok(())
    }

    /// The spec of this name.
    pub fn get(&self, name: &str) -> Option<&Spec> {
        self.specs.get(name)
    }

    /// All specs, by name.
    pub fn specs(&self) -> impl Iterator<Item = &Spec> {
        self.specs.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.specs.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.specs.is_empty()
    }
}

impl IntoIterator for Plan {
    type Item = Spec;
    type IntoIter = std::collections::btree_map::IntoValues<String, Spec>;

    fn into_iter(self) -> Self::IntoIter {
        self.specs.into_values()
    }
}
