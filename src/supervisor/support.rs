//! What specs may ask for that this version cannot do yet: refused where they come in, rather than passed over.

use crate::core::Refusal;
use crate::spec::{Plan, PlanError, Problem, Severity, Spec};

/// Refuses a spec that asks for what there is no driver for, or for a function that nobody gave.
pub(super) fn check(spec: &Spec) -> Result<(), Refusal> {
    refuse(problems(spec))
}

/// Refuses what cannot replace a process's spec.
pub(super) fn check_update(spec: &Spec) -> Result<(), Refusal> {
    refuse(spec.unsupported())
}

/// Refuses the spec of what is no task, and any where functions cannot be kept.
pub(super) fn check_task(spec: &Spec, kept: bool) -> Result<(), Refusal> {
    if !spec.task {
        let message = "a task has no command: its spec begins with `Spec::task`";
        return refuse(vec![problem(spec, message)]);
    }
    if kept {
        let reason = "a task cannot be part of an instance that outlives its supervisor: no ledger holds a function";
        return Err(Refusal::Failed { name: spec.name.as_str().into(), reason: reason.into() });
    }
    refuse(spec.unsupported())
}

/// Refuses a plan with such specs, naming all of them.
pub(super) fn check_plan(plan: &Plan) -> Result<(), Refusal> {
    refuse(plan.specs().flat_map(problems).collect())
}

fn problems(spec: &Spec) -> Vec<Problem> {
    let mut problems = spec.unsupported();
    if spec.task {
        problems.push(problem(spec, "it is a task, which comes with its function: use `Supervisor::add_task`"));
    }
    problems
}

fn problem(spec: &Spec, message: &str) -> Problem {
    Problem {
        severity: Severity::Error,
        file: None,
        line: None,
        process: Some(spec.name.clone()),
        field: Some("command".into()),
        message: message.into(),
    }
}

fn refuse(problems: Vec<Problem>) -> Result<(), Refusal> {
    if problems.is_empty() { Ok(()) } else { Err(PlanError { problems }.into()) }
}
