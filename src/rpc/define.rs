//! Processes made, changed and forgotten at run time.

mod definition;
mod problems;

pub(super) use definition::{Changes, defined};
pub(super) use problems::{checked, warnings_of};

use tonic::{Code, Request, Status};

use super::act::{Act, Patience, act};
use super::convert::{change, problem, process};
use super::fault::Fault;
use super::instance::Served;
use super::proto::v1;
use super::select::Found;
use crate::core::{Change, ChangeKind, Refusal};
use crate::spec::{Problem, Spec};

/// Makes a process.
pub(super) async fn create(served: &Served, request: Request<v1::CreateRequest>) -> Result<v1::CreateResponse, Status> {
    let served = &served.for_caller(&request);
    let v1::CreateRequest { definition, dry_run } = request.into_inner();
    let spec = match definition {
        Some(v1::create_request::Definition::Spec(spec)) => defined(Changes::typed(spec))?,
        Some(v1::create_request::Definition::Json(text)) => defined(Changes::json(&text)?)?,
        None => return Err(Fault::invalid("spec", "is missing, and so is `json`: which process is meant?").into()),
    };
    let (created, warnings) = add(served, spec, dry_run).await?;
    Ok(v1::CreateResponse { process: created.as_ref().map(process), warnings: warnings.iter().map(problem).collect() })
}

/// Makes a process of this spec, or with a dry run only says what is wrong with it; and what is odd about it.
pub(super) async fn add(served: &Served, spec: Spec, dry_run: bool) -> Result<(Option<Found>, Vec<Problem>), Fault> {
    let all = served.all().await?;
    if all.iter().any(|one| *one.status.name == *spec.name) {
        let exists = Refusal::Exists(spec.name.as_str().into());
        return Err(Fault::of(&exists.into(), None));
    }
    let warnings = checked(&spec, &all)?;
    if dry_run {
        return Ok((None, warnings));
    }
    let (name, start) = (spec.name.clone(), spec.auto_start);
    served.supervisor().create(spec, start).await?;
    served.settle().await?;
    Ok((Some(served.one(name).await?), warnings))
}

/// Changes a spec.
pub(super) async fn update(served: &Served, request: Request<v1::UpdateRequest>) -> Result<v1::UpdateResponse, Status> {
    let served = &served.for_caller(&request);
    let v1::UpdateRequest { name, changes, unset, restart_process, dry_run } = request.into_inner();
    let mut changes = match changes {
        Some(v1::update_request::Changes::Spec(spec)) => Changes::typed(spec),
        Some(v1::update_request::Changes::Json(text)) => Changes::json(&text)?,
        None => Changes::default(),
    };
    changes.unset(&unset)?;
    let found = served.one(name).await?;
    let spec = changes.of(&found)?;
    let amended = amend(served, &found, spec, Wish { restart_process, dry_run }).await?;
    Ok(v1::UpdateResponse {
        change: Some(change(&amended.change)),
        restarted: amended.restarted,
        process: Some(process(&amended.now)),
        warnings: amended.warnings.iter().map(problem).collect(),
    })
}

/// How an update is carried out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub(super) restart_process: bool,
    pub(super) dry_run: bool,
}

/// What an update came to.
pub(super) struct Amended {
    pub(super) change: Change,
    pub(super) restarted: bool,
    pub(super) now: Found,
    pub(super) warnings: Vec<Problem>,
}

/// Puts a changed spec in force; restarts the process if that is wished and needed, and waits until it is ready again.
pub(super) async fn amend(served: &Served, found: &Found, spec: Spec, wish: Wish) -> Result<Amended, Fault> {
    let all = served.all().await?;
    let mut warnings = checked(&spec, &all)?;
    let known = warnings_of(&found.spec, &all);
    warnings
        .retain(|warning| !known.iter().any(|one| (&one.field, &one.message) == (&warning.field, &warning.message)));
    let handle = served.handle(found);
    let about = |error| Fault::of(&error, Some(&found.status.name));
    let updated = if wish.dry_run { handle.update_dry_run(spec) } else { handle.update(spec) };
    let updated = updated.await.map_err(about)?;
    served.settle().await?;
    let restarts = wish.restart_process && !updated.needs_restart().is_empty();
    let restarted = restarts && !wish.dry_run;
    if restarted {
        handle.restart().await.map_err(|error| {
            let mut fault = about(error);
            fault.message = format!("`{}` is changed, and its restart failed: {}", found.status.name, fault.message);
            fault
        })?;
    }
    let mut change = updated.change;
    if restarts {
        change.kind = ChangeKind::Restarted;
    }
    let now = served.one(found.uuid.clone()).await?;
    Ok(Amended { change, restarted, now, warnings })
}

/// Forgets processes.
pub(super) async fn delete(served: &Served, request: Request<v1::DeleteRequest>) -> Result<v1::DeleteResponse, Status> {
    let served = &served.for_caller(&request);
    let v1::DeleteRequest { names, force, timeout } = request.into_inner();
    let found = served.asked(names.clone()).await?;
    refuse_needed(served, &found).await?;
    let mut outcomes = act(served, names, Act::Delete { force }, Patience { no_wait: false, timeout }).await?;
    served.settle().await?;
    for outcome in outcomes.iter_mut().filter(|outcome| outcome.error.is_none()) {
        // It is in no state any more.
        outcome.state = v1::State::Unspecified.into();
        outcome.reason = None;
        outcome.pid = None;
        outcome.changed = true;
    }
    Ok(v1::DeleteResponse { outcomes })
}

/// Refuses to forget what others could not be without: their specs would be wrong then, and with them every later plan. What
/// is configured is refused for that, by the machine.
pub(super) async fn refuse_needed(served: &Served, leaving: &[Found]) -> Result<(), Fault> {
    let all = served.all().await?;
    let stays = |one: &&Found| !leaving.iter().any(|other| other.status.id == one.status.id);
    for one in all.iter().filter(stays) {
        let leaves = |name: &str| leaving.iter().any(|other| other.status.runtime && *other.status.name == *name);
        if let Some((name, text)) = one.spec.needs(leaves) {
            let mut fault = Fault::new(Code::FailedPrecondition, "refused", text);
            fault.detail.process = Some(name.to_owned());
            return Err(fault);
        }
    }
    Ok(())
}
