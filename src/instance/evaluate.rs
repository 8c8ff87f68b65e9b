//! From a configuration's files to a plan that an instance can apply.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::roles::grants;
use crate::lua::{EvaluateRequest, Evaluated, Generation, Runtime};
use crate::spec::{Plan, Problem, Severity};

/// Leaves of a plan what is to start by itself.
pub(crate) type Narrow = Box<dyn Fn(Plan) -> Result<Plan, Problem> + Send + Sync>;

/// How configurations are evaluated, the same each time.
pub(crate) struct Evaluator {
    /// Evaluates.
    pub(crate) runtime: Runtime,
    /// What `neap.profile` answers to.
    pub(crate) profiles: Vec<String>,
    /// What is done with each plan, `up --only`.
    pub(crate) narrow: Option<Narrow>,
    /// Whether what is first put in force is without the YAML files of a folder that are wrong.
    pub(crate) skip_bad_files: bool,
    /// The folder that the supervisor takes relative paths from.
    pub(crate) base: PathBuf,
}

/// What an evaluation came to.
pub(crate) struct Outcome {
    /// What is to be applied.
    pub(crate) plan: Plan,
    /// What was said and gone on with.
    pub(crate) warnings: Vec<Problem>,
    /// What is wrong with files that were left out, as sentences.
    pub(crate) skipped: Vec<String>,
    /// What its functions need to be called.
    pub(crate) evaluated: Evaluated,
    /// What was evaluated.
    pub(crate) config: PathBuf,
}

/// What is evaluated for this configuration, in this process's environment.
pub(crate) fn request(config: &Path, profiles: &[String]) -> EvaluateRequest {
    let mut request = if config.is_dir() { EvaluateRequest::folder(config) } else { EvaluateRequest::file(config) };
    request.env = environment();
    request.profiles = profiles.to_vec();
    request
}

/// What `neap.env` sees. Lua's strings could hold anything, but a name or value that is no text has no use there.
fn environment() -> BTreeMap<String, String> {
    let variables = std::env::vars_os();
    variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
}

/// The folder that a configuration's relative paths are taken from.
pub(crate) fn root_of(config: &Path) -> std::io::Result<PathBuf> {
    let folder = if config.is_dir() { Some(config) } else { config.parent().filter(|dir| !dir.as_os_str().is_empty()) };
    std::path::absolute(folder.unwrap_or(Path::new(".")))
}

impl Evaluator {
    /// Evaluates this configuration. Blocks for as long as that takes.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub(crate) fn evaluate(&self, config: &Path) -> Result<Outcome, Vec<Problem>> {
        self.evaluate_request(request(config, &self.profiles), config)
    }

    /// The same as the first of an instance: as the generation of this number, and perhaps without files that are wrong, where
    /// that may be.
    pub(crate) fn evaluate_first(&self, config: &Path, number: u64, may_skip: bool) -> Result<Outcome, Vec<Problem>> {
        let mut request = request(config, &self.profiles);
        request.generation = Some(number);
        request.skip_bad_files = self.skip_bad_files && may_skip;
        self.evaluate_request(request, config)
    }

    fn evaluate_request(&self, request: EvaluateRequest, config: &Path) -> Result<Outcome, Vec<Problem>> {
        let evaluated = self.runtime.evaluate(request).map_err(|refused| refused.problems)?;
        // Here and not in `prepare`: a group that is gone must not keep a successor from what is in force.
        let (_, unknown) = grants(&evaluated.declared.settings);
        if !unknown.is_empty() {
            return Err(unknown.into_iter().chain(evaluated.warnings).collect());
        }
        self.prepare(evaluated, config)
    }

    /// What sessions see where there is no configuration.
    pub(crate) fn empty(&self) -> Result<Generation, Vec<Problem>> {
        self.runtime.empty(self.base.clone(), environment()).map_err(|refused| refused.problems)
    }

    /// Makes what was evaluated ready to be applied.
    pub(crate) fn prepare(&self, mut evaluated: Evaluated, config: &Path) -> Result<Outcome, Vec<Problem>> {
        let root = root_of(config)
            .map_err(|error| vec![problem(format!("cannot find the folder of `{}`: {error}", config.display()))])?;
        let mut plan = std::mem::take(&mut evaluated.declared.plan);
        if root != self.base {
            plan = moved(plan, &root)?;
        }
        if let Some(narrow) = &self.narrow {
            plan = narrow(plan).map_err(|problem| vec![problem])?;
        }
        plan.generation = evaluated.generation.number();
        let warnings = std::mem::take(&mut evaluated.warnings);
        let skipped = evaluated.skipped.iter().map(|problem| format!("{problem}; the file is left out")).collect();
        Ok(Outcome { plan, warnings, skipped, evaluated, config: config.to_owned() })
    }
}

/// The plan with paths that do not depend on the supervisor's own folder.
fn moved(plan: Plan, root: &Path) -> Result<Plan, Vec<Problem>> {
    let mut absolute = Plan::new();
    for mut spec in plan {
        crate::spec::make_absolute(&mut spec, root);
        absolute.insert(spec).map_err(|problem| vec![problem])?;
    }
    Ok(absolute)
}

/// An error of an instance's own.
pub(crate) fn problem(message: String) -> Problem {
    Problem { severity: Severity::Error, file: None, line: None, process: None, field: None, message }
}
