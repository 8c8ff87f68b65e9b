//! From a configuration's files to a plan, and to a supervisor that can call its functions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::exit::Failure;
use crate::Supervisor;
use crate::lua::host::PrintSink;
use crate::lua::{EvaluateRequest, Evaluated, Listening, Options, Runtime};
use crate::spec::{Plan, Problem};

/// A configuration that was accepted.
pub(super) struct Loaded {
    /// What it declares.
    pub(super) plan: Plan,
    /// What was said and gone on with.
    pub(super) warnings: Vec<Problem>,
    /// What its functions need to be called.
    pub(super) live: Live,
}

/// A configuration's functions, and its place.
pub(super) struct Live {
    runtime: Runtime,
    evaluated: Evaluated,
    root: PathBuf,
}

/// Evaluates it, here and now. The inner error is what is wrong with it.
pub(super) fn load(
    path: &Path,
    profiles: &[String],
    print: PrintSink,
) -> Result<Result<Loaded, Vec<Problem>>, Failure> {
    let mut request = if path.is_dir() { EvaluateRequest::folder(path) } else { EvaluateRequest::file(path) };
    request.env = environment();
    request.profiles = profiles.to_vec();
    let root = std::path::absolute(&request.root)
        .map_err(|error| Failure::new(format!("cannot find the folder of `{}`: {error}", path.display())))?;
    let runtime = Runtime::start(Options { print: Some(print), ..Options::default() });
    let evaluated = runtime.evaluate(request).map_err(|refused| refused.problems);
    Ok(evaluated.map(|mut evaluated| Loaded {
        plan: std::mem::take(&mut evaluated.declared.plan),
        warnings: std::mem::take(&mut evaluated.warnings),
        live: Live { runtime, evaluated, root },
    }))
}

/// What `neap.env` sees. Lua's strings could hold anything, but a name or value that is no text has no use there.
fn environment() -> BTreeMap<String, String> {
    let variables = std::env::vars_os();
    variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
}

impl Live {
    /// The least serious of the levels of `neap.log` that the configuration wants shown.
    pub(super) fn log_level(&self) -> Option<&str> {
        self.evaluated.declared.settings.log_level.as_deref()
    }

    /// A supervisor that runs in the configuration's folder, and calls its functions for as long as what is returned
    /// beside it lives.
    pub(super) fn supervisor(self) -> Result<(Supervisor, Functions), Failure> {
        let mut builder = Supervisor::builder().base_dir(self.root).functions(Arc::new(self.runtime.clone()));
        if let Some(timeout) = self.evaluated.declared.settings.shutdown_timeout {
            builder = builder.shutdown_timeout(timeout);
        }
        let supervisor = builder.build().map_err(|error| Failure::new(error.to_string()))?;
        self.runtime.attach(supervisor.clone());
        let listening = self.evaluated.generation.listen(&supervisor);
        let functions = Functions { runtime: self.runtime, _listening: listening, _evaluated: self.evaluated };
        Ok((supervisor, functions))
    }
}

/// Keeps a configuration's functions callable.
pub(super) struct Functions {
    runtime: Runtime,
    _listening: Listening,
    _evaluated: Evaluated,
}

impl Drop for Functions {
    fn drop(&mut self) {
        self.runtime.detach();
    }
}
