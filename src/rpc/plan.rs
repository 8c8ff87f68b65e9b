//! Configurations: what applying one would do, and doing it.

use std::path::PathBuf;
use std::sync::Arc;

use tonic::{Request, Status};

use super::backend::ApplyRequest;
use super::convert::problem;
use super::fault::Fault;
use super::instance::Served;
use super::proto::v1;

/// Evaluates a configuration and says what applying it would do.
pub(super) async fn plan(_: &Served, _: Request<v1::PlanRequest>) -> Result<v1::PlanResponse, Status> {
    Err(Fault::later("Plan").into())
}

/// Evaluates a configuration and makes it so.
pub(super) async fn apply(served: &Served, request: Request<v1::ApplyRequest>) -> Result<v1::ApplyResponse, Status> {
    let served = served.for_caller(&request);
    let v1::ApplyRequest { config, dry_run } = request.into_inner();
    let config = config.map(PathBuf::from);
    if config.as_ref().is_some_and(|path| !path.is_absolute()) {
        let why = "is not absolute: it is the instance that reads it, from a folder of its own";
        return Err(Fault::invalid("config", why).into());
    }
    let applied = served.apply(ApplyRequest { config, dry_run, caller: None }).await?;
    let names = |names: Vec<Arc<str>>| names.iter().map(ToString::to_string).collect();
    Ok(v1::ApplyResponse {
        generation: applied.generation,
        added: names(applied.changes.added),
        removed: names(applied.changes.removed),
        updated: names(applied.changes.updated),
        restarted: names(applied.changes.restarted),
        unchanged: names(applied.changes.unchanged),
        warnings: applied.warnings.iter().map(problem).collect(),
        config_path: applied.config.map(|path| path.to_string_lossy().into_owned()),
        changes: Vec::new(),
    })
}
