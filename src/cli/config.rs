//! From a configuration's files to a plan, for what only looks at it.

use std::path::Path;

use crate::instance;
use crate::lua::host::PrintSink;
use crate::lua::{EvaluateRequest, Options, Runtime};
use crate::spec::{Plan, Problem};

/// A configuration that was accepted.
pub(super) struct Loaded {
    /// What it declares.
    pub(super) plan: Plan,
    /// What was said and gone on with.
    pub(super) warnings: Vec<Problem>,
}

/// Evaluates it, here and now. The error is what is wrong with it.
pub(super) fn load(path: &Path, profiles: &[String], print: PrintSink) -> Result<Loaded, Vec<Problem>> {
    let runtime = Runtime::start(Options { print: Some(print), ..Options::default() });
    let request = EvaluateRequest { keep_lines: true, ..instance::request(path, profiles) };
    let evaluated = runtime.evaluate(request).map_err(|refused| refused.problems)?;
    let (_, unknown) = instance::grants(&evaluated.declared.settings);
    if !unknown.is_empty() {
        return Err(unknown.into_iter().chain(evaluated.warnings).collect());
    }
    Ok(Loaded { plan: evaluated.declared.plan, warnings: evaluated.warnings })
}
