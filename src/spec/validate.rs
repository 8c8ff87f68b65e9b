//! What is wrong with a spec or a plan: every error, not the first.

mod check;
mod execution;
mod lifecycle;
mod listen;
mod plan;
mod task;

pub use plan::check_relations;

use super::plan::Problem;
use super::process::Spec;
use check::Check;

impl Spec {
    /// All that is wrong with this spec by itself, in the order of its keys; warnings too.
    ///
    /// How it relates to others is for [`Plan::validate`](super::Plan::validate). A supervisor refuses a spec that has
    /// a problem of [`Severity::Error`](super::Severity::Error).
    ///
    /// ```
    /// use neap::spec::Spec;
    ///
    /// let problems = Spec::new("web", [""]).user("0x10").validate();
    /// assert_eq!(problems.len(), 2);
    /// assert_eq!(problems[0].to_string(), "process `web`: command[1]: the program's name is empty");
    /// ```
    pub fn validate(&self) -> Vec<Problem> {
        let mut check = Check::new(self);
        check.execution();
        check.lifecycle();
        check.finish()
    }
}

#[cfg(test)]
mod tests;
