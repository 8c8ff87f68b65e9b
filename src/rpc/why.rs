//! The causes behind a state.

use tonic::{Request, Status};

use super::convert::{hold_kind, millis, process, some, state, time};
use super::event::cause;
use super::fault::Fault;
use super::instance::Served;
use super::proto::v1;
use crate::core::{Blocker, Explanation, Reason, Refusal, Timer};

/// Tells them.
pub(super) async fn why(served: &Served, request: Request<v1::WhyRequest>) -> Result<v1::WhyResponse, Status> {
    let found = served.one(request.into_inner().name).await?;
    let id = found.status.id;
    let explained = served.supervisor().shared().ask(move |engine| engine.explain(id)).await.map_err(Fault::from)?;
    let gone = || Fault::of(&crate::Error::Refused(Refusal::NotFound), Some(&found.status.name));
    let Explanation { status, chain, blockers, timers, cut } = explained.ok_or_else(gone)?;
    Ok(v1::WhyResponse {
        process: Some(process(&super::select::Found { status, ..found.clone() })),
        chain: chain.iter().map(reason).collect(),
        blockers: blockers.iter().map(blocker).collect(),
        timers: timers.iter().map(timer).collect(),
        cut,
    })
}

fn reason(reason: &Reason) -> v1::Reason {
    v1::Reason {
        process: reason.of.to_string(),
        from: reason.from.map(|from| from.to_string()),
        to: reason.to.map(|to| to.to_string()),
        time: Some(time(reason.time)),
        sequence: reason.sequence,
        run: reason.run.map(|run| run.0),
        text: reason.text.clone(),
        cause: cause(&reason.cause).to_owned(),
        cause_text: reason.cause_text.clone(),
        caller: reason.caller.as_deref().map(str::to_owned),
    }
}

fn blocker(blocked: &Blocker) -> v1::Blocker {
    v1::Blocker {
        kind: hold_kind(blocked.kind).into(),
        name: blocked.name.to_string(),
        state: state(blocked.state).into(),
        reason: some(&blocked.reason),
        timers: blocked.timers.iter().map(timer).collect(),
        blockers: blocked.blockers.iter().map(blocker).collect(),
    }
}

fn timer(timer: &Timer) -> v1::Timer {
    v1::Timer { what: timer.what.clone(), remaining: millis(timer.remaining), then: timer.then.clone() }
}
