//! What is wrong with a spec or a plan.

use super::plan::{Plan, Problem};
use super::process::Spec;

impl Spec {
    /// All that is wrong with this spec by itself.
    pub fn validate(&self) -> Vec<Problem> {
        Vec::new()
    }
}

impl Plan {
    /// All that is wrong with this plan: each spec by itself, and how they relate.
    pub fn validate(&self) -> Vec<Problem> {
        Vec::new()
    }
}
