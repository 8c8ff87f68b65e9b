//! `neap health`: whether all is well.

use tonic::Code;

use super::args;
use super::context::{Context, failure};
use super::json::Json;
use super::link::{Client, ClientError};
use super::look::word;
use super::waiting::{Patience, answer, wait};
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure};
use crate::rpc::proto::v1::{DescribeRequest, GetStatusRequest, Health, ListRequest, Process, State, WatchRequest};

/// How it is, and what is not well of it.
struct Verdict {
    /// What was asked about, as a subject: `the instance`, `web`.
    subject: String,
    /// Each a clause, about a process or the instance.
    wrong: Vec<(Option<String>, String)>,
}

/// Asks, and with `--wait` until all is well.
pub(super) fn health(args: &args::Health, context: &mut Context) -> Result<Exit, Failure> {
    let verdict = if args.wait {
        let what = match args.names.as_slice() {
            [] => "the instance to be well".to_owned(),
            names => format!("{} to be well", names.join(", ")),
        };
        let patience = Patience { what: &what, action: "the wait", timeout: args.timeout };
        let names = args.names.clone();
        answer(wait(context, &patience, move |client| until_well(client, &names), &mut |_| None)?)?
    } else {
        look(context.client(), &args.names).map_err(|error| failure(&error))?
    };
    let exit = if verdict.wrong.is_empty() { Exit::Done } else { Exit::Failed };
    if context.voice.json {
        let problem = |(process, what): &(Option<String>, String)| {
            let process = process.clone().map_or(Json::Null, Json::Text);
            Json::Object(vec![("process".into(), process), ("message".into(), Json::Text(what.clone()))])
        };
        let wrong = Json::List(verdict.wrong.iter().map(problem).collect());
        let healthy = Json::Bool(verdict.wrong.is_empty());
        context.print(&Json::Object(vec![("healthy".into(), healthy), ("problems".into(), wrong)]).line())?;
    } else if verdict.wrong.is_empty() {
        context.print(&escape(format!("{} is well", verdict.subject).as_bytes()))?;
    } else {
        for (process, what) in &verdict.wrong {
            let subject = process.as_deref().unwrap_or("the instance");
            context.print(&escape(format!("{subject} {what}").as_bytes()))?;
        }
    }
    Ok(exit)
}

/// Looks again whenever something happens.
fn until_well(client: &mut Client, names: &[String]) -> Result<Verdict, ClientError> {
    let sequence = client.get_status(GetStatusRequest {})?.sequence;
    let request = WatchRequest { after: Some(sequence), follow: true, names: Vec::new() };
    let mut events = client.watch(request)?;
    loop {
        let mut verdict = look(client, names)?;
        if verdict.wrong.is_empty() && names.is_empty() {
            verdict.wrong = coming(client)?;
        }
        if verdict.wrong.is_empty() {
            return Ok(verdict);
        }
        match events.next() {
            Some(event) => drop(event?),
            None => return Err(ClientError::Lost("it ends".into())),
        }
    }
}

/// Those with a health check that are on their way to pass it. Nothing is wrong with them, but who waits, waits for them.
fn coming(client: &mut Client) -> Result<Vec<(Option<String>, String)>, ClientError> {
    let processes = client.list(ListRequest { names: Vec::new() })?.processes;
    let on_their_way: Vec<Process> = processes.into_iter().filter(may_come).collect();
    // Before it has run, only its spec says whether it has one.
    let unknown = on_their_way.iter().filter(|process| process.health() == Health::Unknown);
    let names: Vec<String> = unknown.map(|process| process.id.clone()).collect();
    let checked = if names.is_empty() { Some(Vec::new()) } else { checked(client, names)? };
    let is_checked = |process: &Process| {
        process.health() == Health::Starting || checked.as_ref().is_none_or(|checked| checked.contains(&process.id))
    };
    let wrong = |process: &Process| (Some(process.name.clone()), "has not passed its health check yet".to_owned());
    Ok(on_their_way.iter().filter(|process| is_checked(process)).map(wrong).collect())
}

/// The ids of those of these that have a health check; `None` when one of them is gone by now, which an event tells.
fn checked(client: &mut Client, names: Vec<String>) -> Result<Option<Vec<String>>, ClientError> {
    let described = match client.describe(DescribeRequest { names }) {
        Err(ClientError::Refused { code: Code::NotFound, .. }) => return Ok(None),
        described => described?.processes,
    };
    let checked = described.into_iter().filter(|detail| detail.spec.as_ref().is_some_and(|spec| spec.health.is_some()));
    Ok(Some(checked.filter_map(|detail| Some(detail.process?.id)).collect()))
}

/// Whether it is to come up, and may yet have to pass a health check.
fn may_come(process: &Process) -> bool {
    match (process.state(), process.health()) {
        (State::Running, health) => health == Health::Starting,
        (State::Waiting | State::Starting | State::Stopping, _) => process.wanted,
        _ => false,
    }
}

fn look(client: &mut Client, names: &[String]) -> Result<Verdict, ClientError> {
    let processes = client.list(ListRequest { names: names.to_vec() })?.processes;
    if !names.is_empty() {
        let wrong = processes.iter().filter_map(|p| Some((Some(p.name.clone()), alone(p)?))).collect();
        let subject = match processes.as_slice() {
            [one] => one.name.clone(),
            all => format!("each of {} processes", all.len()),
        };
        return Ok(Verdict { subject, wrong });
    }
    let mut wrong: Vec<_> = processes.iter().filter_map(|p| Some((Some(p.name.clone()), of_instance(p)?))).collect();
    if !client.get_status(GetStatusRequest {})?.ready {
        wrong.insert(0, (None, "is not ready: something has not come to its first end yet, or it shuts down".into()));
    }
    Ok(Verdict { subject: "the instance".into(), wrong })
}

/// What is not well of a process that was asked for.
fn alone(process: &Process) -> Option<String> {
    match (process.state(), process.health()) {
        (State::Running, Health::Healthy | Health::Unknown) => None,
        (State::Running, Health::Starting) => Some(because("runs, but has not passed its health check yet", process)),
        (State::Running, Health::Unhealthy) => Some(because("is unhealthy", process)),
        // A oneshot that is done; what failed is failed.
        (State::Exited, _) => None,
        (state, _) => Some(because(&format!("is {}", word(state)), process)),
    }
}

/// What is not well of a process for the instance it is part of: one that nobody wants to be up is no matter.
fn of_instance(process: &Process) -> Option<String> {
    match (process.state(), process.health()) {
        (State::Running, Health::Unhealthy) => Some(because("is unhealthy", process)),
        (state @ (State::Failed | State::Crashed | State::Backoff), _) => {
            Some(because(&format!("is {}", word(state)), process))
        }
        _ => None,
    }
}

fn because(what: &str, process: &Process) -> String {
    match process.reason.as_deref() {
        Some(reason) if !reason.is_empty() => format!("{what}: {reason}"),
        _ => what.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::look::samples::{migrate, web, worker};
    use super::{alone, may_come, of_instance};
    use crate::rpc::proto::v1::{Health, Process, State};

    #[test]
    fn a_process_is_well_when_it_runs_and_its_check_passes() {
        assert_eq!(alone(&web()), None);
        assert_eq!(alone(&Process { health: Health::Unknown.into(), ..web() }), None);
        let starting = Process { health: Health::Starting.into(), ..web() };
        assert!(alone(&starting).is_some_and(|what| what.contains("not passed")));
        let unhealthy = Process { health: Health::Unhealthy.into(), reason: Some("refused".into()), ..web() };
        assert_eq!(alone(&unhealthy).as_deref(), Some("is unhealthy: refused"));
        assert_eq!(alone(&migrate()).as_deref(), Some("is failed: killed by SIGKILL"));
        assert_eq!(alone(&Process { state: State::Exited.into(), ..web() }), None);
        assert_eq!(alone(&Process { state: State::Stopped.into(), ..web() }).as_deref(), Some("is stopped"));
    }

    #[test]
    fn only_what_is_to_come_up_is_waited_for() {
        let of = |state: State, health: Health, wanted| {
            may_come(&Process { state: state.into(), health: health.into(), wanted, ..web() })
        };
        for state in [State::Waiting, State::Starting, State::Stopping] {
            assert!(of(state, Health::Unknown, true) && !of(state, Health::Unknown, false), "{state:?}");
        }
        assert!(of(State::Running, Health::Starting, true));
        for health in [Health::Unknown, Health::Healthy] {
            assert!(!of(State::Running, health, true), "{health:?}");
        }
        for state in [State::Created, State::Stopped, State::Exited] {
            assert!(!of(state, Health::Unknown, false), "{state:?}");
        }
    }

    #[test]
    fn for_the_instance_only_what_goes_wrong_counts() {
        for state in [State::Stopped, State::Created, State::Exited, State::Waiting, State::Starting] {
            assert_eq!(of_instance(&Process { state: state.into(), ..web() }), None);
        }
        assert!(of_instance(&worker()).is_some_and(|what| what.starts_with("is backoff: exit code 3")));
    }
}
