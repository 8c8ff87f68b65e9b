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
    let mut problems = spec.validate();
    let others = all.iter().map(|one| &*one.spec).filter(|other| other.name != spec.name);
    let is_own = |problem: &Problem| problem.process.as_deref() == Some(spec.name.as_str());
    let (own, mut foreign): (Vec<_>, Vec<_>) =
        check_relations(others.chain([spec]), |_| false).into_iter().partition(is_own);
    problems.extend(own);
    // What is odd or wrong with others is this one's doing only when it was not so before.
    foreign.retain(|problem| problem.severity == Severity::Error);
    if !foreign.is_empty() {
        let before = check_relations(all.iter().map(|one| &*one.spec), |_| false);
        foreign.retain(|problem| !before.contains(problem));
    }
    problems.extend(foreign);
    problems
}
