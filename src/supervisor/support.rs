//! What specs may ask for that this version cannot do yet: refused where they come in, rather than passed over.

use crate::core::Refusal;
use crate::spec::{Plan, PlanError, Problem, Spec};

/// Refuses a spec that asks for what there is no driver for.
pub(super) fn check(spec: &Spec) -> Result<(), Refusal> {
    refuse(spec.unsupported())
}

/// Refuses a plan with such specs, naming all of them.
pub(super) fn check_plan(plan: &Plan) -> Result<(), Refusal> {
    refuse(plan.specs().flat_map(Spec::unsupported).collect())
}

fn refuse(problems: Vec<Problem>) -> Result<(), Refusal> {
    if problems.is_empty() { Ok(()) } else { Err(PlanError { problems }.into()) }
}
