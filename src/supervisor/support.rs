//! What specs may ask for that the way they came in cannot give them: refused there, rather than passed over.

use crate::core::Refusal;
use crate::spec::{Plan, PlanError, Problem, Severity, Spec};

/// Refuses a spec that asks for a function that nobody gave.
pub(super) fn check(spec: &Spec) -> Result<(), Refusal> {
    refuse(problems(spec))
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
    Ok(())
}

/// Refuses a plan with such specs, naming all of them.
pub(super) fn check_plan(plan: &Plan) -> Result<(), Refusal> {
    refuse(plan.specs().flat_map(problems).collect())
}

fn problems(spec: &Spec) -> Vec<Problem> {
    let task =
        spec.task.then(|| problem(spec, "it is a task, which comes with its function: use `Supervisor::add_task`"));
    task.into_iter().collect()
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
