//! From what the scripts declared to a plan.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use mlua::Lua;

use crate::lua::error::error_problem;
use crate::lua::evaluation::{Declaration, Declared, Evaluation, Fields, Layer};
use crate::lua::host::Host;
use crate::lua::problem::{Site, problem_at};
use crate::lua::renumber::by_place;
use crate::spec::read::{self, Dialect, merge_into};
use crate::spec::{Node, Plan, Problem, Severity, Source, Spec, Value};

/// Collects what the scripts declared, once all of them ran without an error. Every mistake in every process is
/// reported, each at its own line.
pub fn finish(lua: &Lua, host: &Host) -> Result<Declared, Vec<Problem>> {
    let collected = Evaluation::with(lua, |evaluation| collect(evaluation, host));
    collected.unwrap_or_else(|error| Err(host.chunks().problems(&error)))
}

fn collect(evaluation: &mut Evaluation, host: &Host) -> Result<Declared, Vec<Problem>> {
    let mut problems = Vec::new();
    for (name, site) in &evaluation.pending {
        let message = format!("was named but never given its table; write neap.process \"{name}\" {{ command = … }}");
        problems.push(problem_at(site, Some(name), None, message));
    }
    let mut plan = Plan::new();
    let mut first: HashMap<Arc<str>, Source> = HashMap::new();
    let mut declared = std::mem::take(&mut evaluation.declared);
    let mut bases = Bases::default();
    for (index, declaration) in declared.iter_mut().enumerate() {
        // Past the deadline whatever comes of it is refused.
        if index % 64 == 0 && host.limits().expired() {
            break;
        }
        let own = std::mem::take(&mut declaration.fields);
        let fields = bases.under(evaluation, &std::mem::take(&mut declaration.layers), own);
        let (spec, fields) = spec(evaluation, declaration, fields);
        declaration.fields = fields;
        // Told whether or not either of the two can be read.
        match first.entry(declaration.name.clone()) {
            Entry::Occupied(first) => {
                let message = format!("is declared twice; the first is at {}", first.get());
                problems.push(problem_at(&declaration.site, Some(&declaration.name), None, message));
                problems.extend(spec.err().into_iter().flatten());
                continue;
            }
            Entry::Vacant(place) => {
                let Site { file, line, .. } = declaration.site.clone();
                place.insert(Source { file, line, ..Source::default() });
            }
        }
        match spec {
            Ok(spec) => {
                if spec.volatile {
                    problems.push(volatile(&declaration.site, &spec));
                }
                problems.extend(plan.insert(spec).err());
            }
            Err(more) => problems.extend(more),
        }
    }
    evaluation.declared = declared;
    // Of a process that could not be read, the name is known. Where a script did not get to its end, not even that.
    if evaluation.incomplete {
        problems.extend(plan.specs().flat_map(Spec::validate));
    } else {
        let pending: BTreeSet<&str> = evaluation.pending.iter().map(|(name, _)| &**name).collect();
        problems.extend(plan.validate_among(|name| first.contains_key(name) || pending.contains(name)));
    }
    let problems = in_order(problems);
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        return Err(problems);
    }
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

/// The spec that these fields, all layers in them, make of a declaration; and the fields again.
pub(super) fn spec(
    evaluation: &Evaluation,
    declaration: &Declaration,
    fields: Fields,
) -> (Result<Spec, Vec<Problem>>, Fields) {
    let site = &declaration.site;
    let number = match (&site.file, site.line) {
        (Some(file), Some(line)) => evaluation.sources.number(file, line),
        _ => 0,
    };
    let source = Source { file: site.file.clone(), line: Some(number).filter(|n| *n > 0), ..Source::default() };
    let node = Node::at(Value::Map(fields), number);
    let result = match read::spec(&declaration.name, &node, &Dialect::native(), source) {
        Ok(mut spec) => {
            place(evaluation, site, &mut spec.source);
            Ok(spec)
        }
        Err(problems) => Err(problems.into_iter().map(|problem| at_its_place(evaluation, site, problem)).collect()),
    };
    let fields = match node.value {
        Value::Map(fields) => fields,
        _ => Vec::new(),
    };
    (result, fields)
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
