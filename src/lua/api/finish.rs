//! From what the scripts declared to a plan.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use mlua::Lua;

use crate::lua::error::error_problem;
use crate::lua::evaluation::{Body, Declaration, Declared, Evaluation, Fields, Layer};
use crate::lua::host::Host;
use crate::lua::problem::{Site, problem_at};
use crate::lua::renumber::by_place;
use crate::spec::read::{self, Dialect, merge_into};
use crate::spec::{Node, Plan, Problem, Severity, Source, Spec, Value};
use crate::yaml::{Definition, Document, join};

/// Collects what the scripts declared, once all of them ran without an error. Every mistake in every process is
/// reported, each at its own line.
pub fn finish(lua: &Lua, host: &Host) -> Result<Declared, Vec<Problem>> {
    let collected = Evaluation::with(lua, |evaluation| collect(evaluation, host));
    collected.unwrap_or_else(|error| Err(host.chunks().problems(&error)))
}

fn collect(evaluation: &mut Evaluation, host: &Host) -> Result<Declared, Vec<Problem>> {
    let declared = read_all(evaluation, host);
    let (plan, problems) = with_folder(evaluation, host, &declared)?;
    problems.into_iter().for_each(|warning| host.warn(warning));
    let plan = if host.keeps_lines() { plan } else { without_lines(plan) };
    let plan = by_place(evaluation, host, grouped(evaluation, plan));
    Ok(Declared {
        plan,
        settings: evaluation.settings.as_ref().map(|(settings, _)| settings.clone()).unwrap_or_default(),
        handlers: evaluation.handlers.clone(),
        timers: evaluation.timers.clone(),
    })
}

/// A process that was declared, and what came of reading it.
struct Read {
    name: Arc<str>,
    site: Site,
    spec: Result<Spec, Vec<Problem>>,
}

/// Reads what scripts declared, with the YAML files that they name.
fn read_all(evaluation: &mut Evaluation, host: &Host) -> Vec<Read> {
    let mut all = Vec::new();
    let mut bases = Bases::default();
    for (index, declaration) in std::mem::take(&mut evaluation.declared).into_iter().enumerate() {
        // Past the deadline whatever comes of it is refused.
        if index % 64 == 0 && host.limits().expired() {
            break;
        }
        let Declaration { name, site, body } = declaration;
        all.push(match body {
            Body::Table { layers, fields } => {
                let fields = bases.under(evaluation, &layers, fields);
                let spec = spec(evaluation, &name, &site, fields);
                Read { name, site, spec }
            }
            Body::Yaml(definition) => read_yaml(&definition),
        });
    }
    all
}

fn read_yaml(definition: &Definition) -> Read {
    let site = Site { file: Some(definition.file.clone()), line: Some(definition.line).filter(|line| *line > 0) };
    let name = Arc::from(definition.name.as_str());
    Read { name, site, spec: definition.spec() }
}

/// The plan with the YAML files of the folder, and what is worth a warning about it. Where bad files are skipped, it is that
/// of the good ones; a file whose processes need those of a bad one is one, too.
fn with_folder(
    evaluation: &mut Evaluation,
    host: &Host,
    declared: &[Read],
) -> Result<(Plan, Vec<Problem>), Vec<Problem>> {
    let mut folder = std::mem::take(&mut evaluation.folder);
    // What a script of the folder took is declared already.
    folder.retain(|document| !evaluation.taken.contains_key(&document.file));
    loop {
        let problems = match assemble(evaluation, declared, &folder) {
            Ok(plan) => return Ok(plan),
            Err(problems) => problems,
        };
        let bad: BTreeSet<&str> = problems
            .iter()
            .filter(|problem| problem.severity == Severity::Error)
            .filter_map(|problem| problem.file.as_deref())
            .filter(|file| folder.iter().any(|document| document.file == **file))
            .collect();
        if bad.is_empty() || !host.skips_bad_files() {
            return Err(host.take_skipped().into_iter().chain(problems).collect());
        }
        folder.retain(|document| !bad.contains(document.file.as_str()));
        let of_bad = |problem: &Problem| {
            problem.severity == Severity::Error && problem.file.as_deref().is_some_and(|file| bad.contains(file))
        };
        host.skip(problems.iter().filter(|problem| of_bad(problem)).cloned());
    }
}

/// The plan of these and of the folder's files. The error is all that is wrong, warnings too.
fn assemble(
    evaluation: &Evaluation,
    declared: &[Read],
    folder: &[Document],
) -> Result<(Plan, Vec<Problem>), Vec<Problem>> {
    let mut problems = Vec::new();
    for (name, site) in &evaluation.pending {
        let message = format!("was named but never given its table; write neap.process \"{name}\" {{ command = … }}");
        problems.push(problem_at(site, Some(name), None, message));
    }
    let (joined, incomplete) = match join(folder.to_vec()) {
        Ok(definitions) => (definitions.iter().map(read_yaml).collect(), evaluation.incomplete),
        Err(found) => {
            problems.extend(found);
            (Vec::new(), true)
        }
    };
    let mut plan = Plan::new();
    let mut first: HashMap<Arc<str>, Source> = HashMap::new();
    for Read { name, site, spec } in declared.iter().chain(&joined) {
        // Told whether or not either of the two can be read.
        match first.entry(name.clone()) {
            Entry::Occupied(first) => {
                let message = format!("is declared twice; the first is at {}", first.get());
                problems.push(problem_at(site, Some(name), None, message));
                problems.extend(spec.as_ref().err().into_iter().flatten().cloned());
                continue;
            }
            Entry::Vacant(place) => {
                let Site { file, line, .. } = site.clone();
                place.insert(Source { file, line, ..Source::default() });
            }
        }
        match spec {
            Ok(spec) => {
                if spec.volatile {
                    problems.push(volatile(site, spec));
                }
                problems.extend(plan.insert(spec.clone()).err());
            }
            Err(more) => problems.extend(more.iter().cloned()),
        }
    }
    // Of a process that could not be read, the name is known. Where a script did not get to its end, not even that.
    let checked: Vec<Problem> = if incomplete {
        plan.specs().flat_map(Spec::validate).collect()
    } else {
        let pending: BTreeSet<&str> = evaluation.pending.iter().map(|(name, _)| &**name).collect();
        plan.validate_among(|name| first.contains_key(name) || pending.contains(name))
    };
    problems.extend(checked);
    let problems = in_order(problems);
    match problems.iter().any(|problem| problem.severity == Severity::Error) {
        true => Err(problems),
        false => Ok((plan, problems)),
    }
}

/// What a configuration has is there as long as the configuration has it.
fn volatile(site: &Site, spec: &Spec) -> Problem {
    let message = "is for processes that are made at run time; one in a configuration is kept by its being there";
    let mut problem = problem_at(site, Some(&spec.name), Some("volatile"), message);
    problem.line = spec.source.fields.get("volatile").copied().or(problem.line);
    problem
}

/// The lines of keys have served their purpose, and plans are copied and compared.
fn without_lines(plan: Plan) -> Plan {
    let mut bare = Plan::new();
    for mut spec in plan {
        spec.source.fields.clear();
        spec.source.written.clear();
        spec.source.elsewhere.clear();
        // Names were unique before.
        let _ = bare.insert(spec);
    }
    bare
}

/// Each process knows the groups that it is in.
fn grouped(evaluation: &Evaluation, plan: Plan) -> Plan {
    let mut groups: HashMap<&str, Vec<String>> = HashMap::new();
    for (group, (_, members)) in &evaluation.groups {
        for member in members {
            groups.entry(member).or_default().push(group.clone());
        }
    }
    let mut told = Plan::new();
    for mut spec in plan {
        spec.source.groups = groups.remove(spec.name.as_str()).unwrap_or_default();
        // Names were unique before.
        let _ = told.insert(spec);
    }
    told
}

/// What processes start from, laid out once for all that start from the same.
#[derive(Default)]
struct Bases {
    known: HashMap<Vec<usize>, Fields>,
}

impl Bases {
    /// A process's own fields, laid over the defaults and these layers.
    fn under(&mut self, evaluation: &Evaluation, layers: &[Layer], own: Fields) -> Fields {
        let all = || evaluation.defaults.iter().map(|(layer, _)| layer).chain(layers);
        let key: Vec<usize> = all().map(|layer| Arc::as_ptr(layer) as usize).collect();
        if key.is_empty() {
            return own;
        }
        let base = self.known.entry(key).or_insert_with(|| {
            let mut base = Vec::new();
            all().for_each(|layer| merge_into(&mut base, layer.to_vec()));
            base
        });
        let mut fields = base.clone();
        merge_into(&mut fields, own);
        fields
    }
}

/// The spec that these fields, all layers in them, make of the process that was declared here.
pub(super) fn spec(evaluation: &Evaluation, name: &str, site: &Site, fields: Fields) -> Result<Spec, Vec<Problem>> {
    let number = match (&site.file, site.line) {
        (Some(file), Some(line)) => evaluation.sources.number(file, line),
        _ => 0,
    };
    let source = Source { file: site.file.clone(), line: Some(number).filter(|n| *n > 0), ..Source::default() };
    let node = Node::at(Value::Map(fields), number);
    match read::spec(name, &node, &Dialect::native(), source) {
        Ok(mut spec) => {
            place(evaluation, site, &mut spec.source);
            Ok(spec)
        }
        Err(problems) => Err(problems.into_iter().map(|problem| at_its_place(evaluation, site, problem)).collect()),
    }
}

/// Unique line numbers become lines of the declaration's file; keys that came from another file are left out, as a
/// source has room for one file.
fn place(evaluation: &Evaluation, site: &Site, source: &mut Source) {
    source.fields.retain(|_, number| match evaluation.sources.resolve(*number) {
        Some((file, line)) if Some(file) == site.file.as_deref() => {
            *number = line;
            true
        }
        _ => false,
    });
    source.line = site.line;
}

fn at_its_place(evaluation: &Evaluation, site: &Site, mut problem: Problem) -> Problem {
    let place = evaluation.place(problem.line.unwrap_or(0), site);
    (problem.file, problem.line) = (place.file, place.line);
    problem
}

/// Problems beyond this are counted, not told.
const MAX_TOLD: usize = 500;

/// By file and line, each mistake once: one in a template is found for every process that uses it.
fn in_order(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    let mut seen = BTreeSet::new();
    problems.retain(|problem| {
        let Problem { file, line, field, message, .. } = problem;
        field.is_none() || seen.insert((file.clone(), *line, field.clone(), message.clone()))
    });
    if problems.len() > MAX_TOLD {
        // Errors first, so that no cut makes a refused plan look accepted.
        problems.sort_by_key(|problem| problem.severity != Severity::Error);
        let left = problems.split_off(MAX_TOLD).len();
        let mut last = error_problem(format!("there are {left} more problems like these"));
        last.severity = problems.first().map_or(Severity::Error, |problem| problem.severity);
        problems.push(last);
    }
    problems
}
