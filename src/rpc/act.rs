//! Calls that act on processes: all are begun at once, and each is waited for.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::time::timeout_at;
use tonic::{Code, Status};

use super::convert::{millis, outcome, state};
use super::fault::Fault;
use super::instance::Served;
use super::proto::v1;
use super::select::Found;
use crate::core::{Cause, EventKind, ProcessId, StateName};
use crate::spec::Signal;
use crate::{Error, Events, Next, Pending};

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Start,
    Stop,
    Restart,
    Reload,
    Signal(Signal),
    Delete {
        force: bool,
    },
    /// Nothing: the state is waited for. Without states, for a start to be decided.
    Wait(Vec<StateName>),
}

/// How long it is waited for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Patience {
    pub(super) no_wait: bool,
    /// Milliseconds.
    pub(super) timeout: Option<u64>,
}

type Answer = Pin<Box<dyn Future<Output = Result<(), Fault>> + Send>>;

/// Does it to all of these, and tells what became of each.
pub(super) async fn act(
    served: &Served,
    names: Vec<String>,
    act: Act,
    patience: Patience,
) -> Result<Vec<v1::Outcome>, Status> {
    let found = served.asked(names).await?;
    let began = Instant::now();
    // Before anything is begun, so that no event of it is missed.
    let events = served.supervisor().events();
    let answers: Vec<Answer> = found.iter().map(|found| begin(served, found, &act)).collect();
    let results = if patience.no_wait {
        at_once(served, answers).await?
    } else {
        in_time(answers, patience.timeout.map(Duration::from_millis)).await
    };
    let took = millis(began.elapsed());
    let mut outcomes = tell(served, &found, &results, &act).await?;
    let along = along(events, &found, &act);
    for (outcome, found) in outcomes.iter_mut().zip(&found) {
        outcome.took = took;
        outcome.along = along.of(found.status.id);
        outcome.changed = along.changed.contains(&found.status.id) || matches!(act, Act::Signal(_) | Act::Reload);
    }
    match (results.as_slice(), outcomes.as_mut_slice()) {
        ([Err(_)], [alone]) => {
            let error = alone.error.take().unwrap_or_default();
            let code = Code::from_i32(error.code);
            Err(Fault { code, message: error.message, detail: error.detail.unwrap_or_default().into() }.into())
        }
        _ => Ok(outcomes),
    }
}

/// Gives the command; the future is its answer.
fn begin(served: &Served, found: &Found, act: &Act) -> Answer {
    let process = served.handle(found);
    let name = found.status.name.clone();
    match act {
        Act::Start => answer(name, process.start()),
        Act::Stop => answer(name, process.stop()),
        Act::Restart => answer(name, process.restart()),
        Act::Reload => answer(name, process.reload()),
        Act::Signal(signal) => answer(name, process.signal(*signal)),
        Act::Delete { force } => answer(name, process.delete(*force)),
        Act::Wait(states) if states.is_empty() => {
            let over = [StateName::Running, StateName::Exited, StateName::Failed, StateName::Crashed];
            let waits = over.map(|state| process.wait(state)).into_iter().collect();
            Box::pin(async move {
                let status = first(waits).await.map_err(|error| Fault::of(&error, Some(&name)))?;
                if matches!(status.state, StateName::Running | StateName::Exited) {
                    return Ok(());
                }
                let text = format!("`{name}` {}: {}", status.state, status.reason);
                let mut fault = Fault::new(Code::Aborted, "failed", text);
                fault.detail.process = Some(name.to_string());
                fault.detail.state = state(status.state).into();
                Err(fault)
            })
        }
        Act::Wait(states) => {
            let waits = states.iter().map(|state| process.wait(*state)).collect();
            Box::pin(async move { first(waits).await.map(drop).map_err(|error| Fault::of(&error, Some(&name))) })
        }
    }
}

fn answer<T: Unpin + Send + 'static>(name: Arc<str>, pending: Pending<T>) -> Answer {
    Box::pin(async move { pending.await.map(drop).map_err(|error| Fault::of(&error, Some(&name))) })
}

/// The first of these that is answered.
async fn first<T: Unpin>(mut waits: Vec<Pending<T>>) -> Result<T, Error> {
    poll_fn(|cx| {
        for wait in &mut waits {
            if let Poll::Ready(answer) = Pin::new(wait).poll(cx) {
                return Poll::Ready(answer);
            }
        }
        Poll::Pending
    })
    .await
}

/// What is known at once: refusals, and what was so already. The rest goes on.
async fn at_once(served: &Served, mut answers: Vec<Answer>) -> Result<Vec<Result<(), Fault>>, Fault> {
    // Answered after the engine has looked at the commands, which came before.
    served.supervisor().shared().ask(|_| ()).await?;
    let mut cx = Context::from_waker(Waker::noop());
    let known = |answer: &mut Answer| match answer.as_mut().poll(&mut cx) {
        Poll::Ready(result) => result,
        Poll::Pending => Ok(()),
    };
    Ok(answers.iter_mut().map(known).collect())
}

/// All answers; those that do not come in time are faults without a word, which [`tell`] finds.
async fn in_time(answers: Vec<Answer>, timeout: Option<Duration>) -> Vec<Result<(), Fault>> {
    let until = timeout.and_then(|timeout| tokio::time::Instant::now().checked_add(timeout));
    let mut results = Vec::with_capacity(answers.len());
    for answer in answers {
        results.push(match until {
            None => answer.await,
            Some(until) => match timeout_at(until, answer).await {
                Ok(result) => result,
                Err(_) => Err(Fault::new(Code::DeadlineExceeded, "timed_out", "")),
            },
        });
    }
    results
}

/// The outcome of each, with its state now.
async fn tell(
    served: &Served,
    found: &[Found],
    results: &[Result<(), Fault>],
    act: &Act,
) -> Result<Vec<v1::Outcome>, Fault> {
    let ids: Vec<ProcessId> = found.iter().map(|found| found.status.id).collect();
    let look = move |machine: &crate::core::Machine| ids.iter().map(|id| machine.status(*id)).collect::<Vec<_>>();
    let now = served.supervisor().shared().ask(move |engine| look(engine.machine())).await;
    // The instance may end by what was asked: then what is known is what was.
    let now = now.unwrap_or_else(|_| vec![None; found.len()]);
    let mut outcomes = Vec::with_capacity(found.len());
    for ((found, now), result) in found.iter().zip(now).zip(results) {
        // An instance is forgotten once it is stopped.
        let gone = || match (act, result) {
            (Act::Stop, Ok(())) => crate::core::Status { state: StateName::Stopped, pid: None, ..found.status.clone() },
            _ => found.status.clone(),
        };
        let status = now.unwrap_or_else(gone);
        let mut outcome = outcome(&found.uuid, &status);
        outcome.error = result.as_ref().err().map(|fault| {
            let mut fault = fault.clone();
            if fault.code == Code::DeadlineExceeded {
                fault = Fault::timed_out(&status.name, &describe(&status, act));
                fault.detail.state = state(status.state).into();
            }
            fault.into_error()
        });
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

fn describe(status: &crate::core::Status, act: &Act) -> String {
    let wanted = match act {
        Act::Wait(states) if !states.is_empty() => {
            let states: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
            format!(", not {}", states.join(" or "))
        }
        _ => String::new(),
    };
    match status.reason.as_str() {
        "" => format!("still {}{wanted}", status.state),
        reason => format!("still {}{wanted} ({reason})", status.state),
    }
}

/// Who was touched by what was done to others, through their relations.
struct Along {
    /// Who left its state.
    changed: BTreeSet<ProcessId>,
    /// Who it was, and because of whom.
    because: Vec<(Arc<str>, BTreeSet<ProcessId>)>,
}

impl Along {
    fn of(&self, process: ProcessId) -> Vec<String> {
        let touched = self.because.iter().filter(|(_, of)| of.contains(&process));
        touched.map(|(name, _)| name.to_string()).collect()
    }
}

/// Reads what happened since: a process that went on its way because of another which one of these took along.
fn along(mut events: Events, found: &[Found], act: &Act) -> Along {
    let mut along = Along { changed: BTreeSet::new(), because: Vec::new() };
    if matches!(act, Act::Wait(_)) {
        return along;
    }
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(next)) = events.0.poll_next(&mut cx) {
        let Next::Item(event) = next else { continue };
        let (Some(id), Some(name), EventKind::State { .. }) = (event.process, &event.name, &event.kind) else {
            continue;
        };
        along.changed.insert(id);
        let Cause::Relation(_, by) = &event.cause else { continue };
        if found.iter().any(|found| found.status.id == id) {
            continue;
        }
        let mut of: BTreeSet<ProcessId> =
            found.iter().filter(|found| found.status.name == *by).map(|found| found.status.id).collect();
        of.extend(along.because.iter().filter(|(other, _)| other == by).flat_map(|(_, of)| of.iter().copied()));
        if of.is_empty() {
            continue;
        }
        match along.because.iter_mut().find(|(other, _)| other == name) {
            Some((_, known)) => known.extend(of),
            None => along.because.push((name.clone(), of)),
        }
    }
    along
}
