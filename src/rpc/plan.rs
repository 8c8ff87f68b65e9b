//! Configurations: what applying one would do, and doing it.

use std::path::PathBuf;

use tonic::{Request, Status};

use super::backend::{ApplyOutcome, ApplyRequest};
use super::convert::{change, problem};
use super::fault::Fault;
use super::instance::Served;
use super::proto::v1;
use crate::core::ChangeKind;

/// Evaluates a configuration and says what applying it would do.
pub(super) async fn plan(served: &Served, request: Request<v1::PlanRequest>) -> Result<v1::PlanResponse, Status> {
    let config = absolute(request.into_inner().config)?;
    let planned = served.apply(ApplyRequest { config, dry_run: true, caller: None }).await?;
    let answer = answer(planned);
    Ok(v1::PlanResponse {
        changes: answer.changes,
        warnings: answer.warnings,
        config_path: answer.config_path,
        generation: answer.generation,
    })
}

/// Evaluates a configuration and makes it so.
pub(super) async fn apply(served: &Served, request: Request<v1::ApplyRequest>) -> Result<v1::ApplyResponse, Status> {
    let served = served.for_caller(&request);
    let v1::ApplyRequest { config, dry_run } = request.into_inner();
    let config = absolute(config)?;
    Ok(answer(served.apply(ApplyRequest { config, dry_run, caller: None }).await?))
}

/// The configuration that is meant.
fn absolute(config: Option<String>) -> Result<Option<PathBuf>, Fault> {
    let config = config.map(PathBuf::from);
    if config.as_ref().is_some_and(|path| !path.is_absolute()) {
        let why = "is not absolute: it is the instance that reads it, from a folder of its own";
        return Err(Fault::invalid("config", why));
    }
    Ok(config)
}

fn answer(outcome: ApplyOutcome) -> v1::ApplyResponse {
    let ApplyOutcome { generation, changes: applied, warnings, config } = outcome;
    let names = |kind| applied.names(kind).iter().map(ToString::to_string).collect();
    v1::ApplyResponse {
        generation,
        added: names(ChangeKind::Added),
        removed: names(ChangeKind::Removed),
        updated: names(ChangeKind::Updated),
        restarted: names(ChangeKind::Restarted),
        unchanged: names(ChangeKind::Unchanged),
        warnings: warnings.iter().map(problem).collect(),
        config_path: config.map(|path| path.to_string_lossy().into_owned()),
        changes: applied.changes.iter().map(change).collect(),
    }
}
