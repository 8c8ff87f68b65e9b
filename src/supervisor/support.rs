//! What specs may ask for that this version cannot do yet: refused where they come in, rather than passed over.

use crate::core::Refusal;
use crate::spec::{Limits, Plan, PlanError, Problem, Severity, Spec};

/// Refuses a spec that asks for what there is no driver for.
pub(super) fn check(spec: &Spec) -> Result<(), Refusal> {
    refuse(problems(spec))
}

/// Refuses a plan with such specs, naming all of them.
pub(super) fn check_plan(plan: &Plan) -> Result<(), Refusal> {
    refuse(plan.specs().flat_map(problems).collect())
}

fn refuse(problems: Vec<Problem>) -> Result<(), Refusal> {
    if problems.is_empty() { Ok(()) } else { Err(PlanError { problems }.into()) }
}

fn problems(spec: &Spec) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut missing = |field: &str, what: &str| {
        found.push(Problem {
            severity: Severity::Error,
            file: spec.source.file.clone(),
            line: spec.source.fields.get(field).copied().or(spec.source.line),
            process: Some(spec.name.clone()),
            field: Some(field.to_owned()),
            message: format!("{what} are not supported yet; leave the key out"),
        });
    };
    if !spec.listen.is_empty() {
        missing("listen", "listeners");
    }
    let limits = Limits { oom_score_adj: None, ..spec.limits.clone() };
    if limits != Limits::default() {
        missing("limits", "limits other than oom_score_adj");
    }
    found
}
