//! What is wrong with a spec among the processes that there are, and what is odd.

use std::sync::Arc;

use crate::rpc::fault::Fault;
use crate::rpc::select::Found;
use crate::spec::{Problem, Severity, Spec, check_relations};

/// Refuses a spec that is wrong by itself or among these; else what is odd about it.
pub(in crate::rpc) fn checked(spec: &Spec, all: &[Found]) -> Result<Vec<Problem>, Fault> {
    let problems = problems(spec, all);
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        return Err(Fault::problems(&problems));
    }
    Ok(problems)
}

/// What is odd about a spec.
pub(in crate::rpc) fn warnings_of(spec: &Arc<Spec>, all: &[Found]) -> Vec<Problem> {
    let mut problems = problems(spec, all);
    problems.retain(|problem| problem.severity == Severity::Warning);
    problems
}

fn problems(spec: &Spec, all: &[Found]) -> Vec<Problem> {
    let mut problems = spec.unsupported();
    problems.extend(spec.validate());
    let others = all.iter().map(|one| &*one.spec).filter(|other| other.name != spec.name);
    // Others were odd before; that they are wrong now is this one's doing.
    let related = check_relations(others.chain([spec]), |_| false).into_iter();
    problems.extend(related.filter(|problem| {
        problem.severity == Severity::Error || problem.process.as_deref() == Some(spec.name.as_str())
    }));
    problems
}
