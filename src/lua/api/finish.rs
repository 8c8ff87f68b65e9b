//! From what the scripts declared to a plan.

use std::collections::BTreeSet;

use mlua::Lua;

use crate::lua::error::error_problem;
use crate::lua::evaluation::{Declaration, Declared, Evaluation};
use crate::lua::host::Host;
use crate::lua::problem::{Site, problem_at};
use crate::spec::read::{self, Dialect, merge};
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
    for index in 0..evaluation.declared.len() {
        let Some(declaration) = evaluation.declared.get(index) else { break };
        // Past the deadline whatever comes of it is refused.
        if index % 64 == 0 && host.limits().expired() {
            break;
        }
        match spec(evaluation, declaration, &[]) {
            Ok(spec) => problems.extend(plan.insert(spec).err()),
            Err(more) => problems.extend(more),
        }
    }
    // With a process missing, what the others say about it would be called wrong as well.
    if problems.is_empty() && !evaluation.incomplete {
        problems.extend(plan.validate());
    } else {
        problems.extend(plan.specs().flat_map(Spec::validate));
    }
    let problems = in_order(problems);
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        return Err(problems);
    }
    problems.into_iter().for_each(|warning| host.warn(warning));
    Ok(Declared {
        plan,
        settings: evaluation.settings.as_ref().map(|(settings, _)| settings.clone()).unwrap_or_default(),
        handlers: evaluation.handlers.clone(),
        timers: evaluation.timers.clone(),
    })
}

/// The spec of a declaration with all that it starts from, and `changes` laid over it.
pub(super) fn spec(
    evaluation: &Evaluation,
    declaration: &Declaration,
    changes: &[(String, Node)],
) -> Result<Spec, Vec<Problem>> {
    let defaults = evaluation.defaults.iter().map(|(layer, _)| layer);
    let layers = defaults.chain(&declaration.layers).map(|layer| layer.as_slice());
    let mut fields: Vec<(String, Node)> = Vec::new();
    for layer in layers.chain([declaration.fields.as_slice(), changes]) {
        fields = if fields.is_empty() { layer.to_vec() } else { merge(&fields, layer) };
    }
    let site = &declaration.site;
    let number = match (&site.file, site.line) {
        (Some(file), Some(line)) => evaluation.sources.number(file, line),
        _ => 0,
    };
    let source = Source { file: site.file.clone(), line: Some(number).filter(|n| *n > 0), ..Source::default() };
    let node = Node::at(Value::Map(fields), number);
    match read::spec(&declaration.name, &node, &Dialect::native(), source) {
        Ok(mut spec) => {
            spec.source = placed(evaluation, site, spec.source);
            Ok(spec)
        }
        Err(problems) => Err(problems.into_iter().map(|problem| at_its_place(evaluation, site, problem)).collect()),
    }
}

/// Unique line numbers become lines of the declaration's file; keys that came from another file are left out, as a
/// source has room for one file.
fn placed(evaluation: &Evaluation, site: &Site, mut source: Source) -> Source {
    source.fields = source
        .fields
        .into_iter()
        .filter_map(|(path, number)| {
            let place = evaluation.place(number, &Site::default());
            (place.file == site.file).then_some((path, place.line?))
        })
        .collect();
    source.line = site.line;
    source
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
