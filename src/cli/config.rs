//! From a configuration's files to a plan, and to a supervisor that can call its functions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::exit::Failure;
use crate::Supervisor;
use crate::lua::host::PrintSink;
use crate::lua::{EvaluateRequest, Generation, Listening, Options, Runtime};
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
    generation: Generation,
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
    Ok(runtime.evaluate(request).map_err(|refused| refused.problems).map(|evaluated| Loaded {
        plan: evaluated.declared.plan,
        warnings: evaluated.warnings,
        live: Live { runtime, generation: evaluated.generation, root },
    }))
}

/// What `neap.env` sees. Lua's strings could hold anything, but a name or value that is no text has no use there.
fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

impl Live {
    /// A supervisor that runs in the configuration's folder and calls its functions. The functions live as long as
    /// what is returned beside it.
    pub(super) fn supervisor(self) -> Result<(Supervisor, Functions), Failure> {
        let builder = Supervisor::builder().base_dir(self.root).functions(Arc::new(self.runtime.clone()));
        let supervisor = builder.build().map_err(|error| Failure::new(error.to_string()))?;
        self.runtime.attach(supervisor.clone());
        let listening = self.generation.listen(&supervisor);
        Ok((supervisor, Functions { runtime: self.runtime, _generation: self.generation, _listening: listening }))
    }
}

/// Keeps a configuration's functions callable, and its handlers and timers called.
pub(super) struct Functions {
    runtime: Runtime,
    _generation: Generation,
    _listening: Listening,
}

impl Drop for Functions {
    fn drop(&mut self) {
        self.runtime.detach();
    }
}
