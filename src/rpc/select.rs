//! Which processes a request is about.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::fault::Fault;
use super::ids::id_of;
use crate::Supervisor;
use crate::core::{Machine, ProcessId, Status};
use crate::glob::{glob_matches, is_glob};
use crate::spec::Spec;
use crate::spec::names::LONGEST_NAME;
use crate::spec::schema::nearest;

/// A process as it was when it was looked for.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) uuid: String,
    pub(super) status: Status,
    pub(super) spec: Arc<Spec>,
}

impl Found {
    fn of(machine: &Machine, instance: &str, id: ProcessId) -> Option<Found> {
        let status = machine.status(id)?;
        let spec = machine.spec(id)?;
        Some(Found { uuid: id_of(instance, id, &status.name), status, spec })
    }
}

/// More names than this in one request are refused: it has globs for that.
const MOST_NAMES: usize = 1_000;

/// All processes, by name.
pub(super) async fn all(supervisor: &Supervisor, instance: &str) -> Result<Vec<Found>, Fault> {
    let instance = instance.to_owned();
    let survey = move |machine: &Machine| {
        let found = machine.processes().into_iter().filter_map(|id| Found::of(machine, &instance, id));
        found.collect::<Vec<_>>()
    };
    let mut found = supervisor.shared().ask(move |engine| survey(engine.machine())).await?;
    found.sort_by(|a, b| a.status.name.cmp(&b.status.name));
    Ok(found)
}

/// These processes, each once, in the order of the names and by name within a glob; all of them when there is no name.
pub(super) async fn these(supervisor: &Supervisor, instance: &str, names: Vec<String>) -> Result<Vec<Found>, Fault> {
    if names.is_empty() {
        return all(supervisor, instance).await;
    }
    if names.len() > MOST_NAMES {
        return Err(Fault::invalid("names", format!("has {} names, at most {MOST_NAMES} may be", names.len())));
    }
    let wanted: Vec<String> = names.iter().filter(|name| !is_glob(name)).cloned().collect();
    let named = by_name(supervisor, instance, wanted).await?;
    let mut named = named.into_iter();
    let mut everything = None;
    let mut found: Vec<Found> = Vec::new();
    for name in &names {
        if !is_glob(name)
            && let Some(Some(one)) = named.next()
        {
            found.push(one);
            continue;
        }
        // Matched here rather than on the engine's thread, which has better things to do.
        let all = match &mut everything {
            Some(all) => all,
            none => none.insert(all(supervisor, instance).await?),
        };
        let before = found.len();
        found.extend(all.iter().filter(|one| is_meant(name, one)).cloned());
        if found.len() == before {
            return Err(unknown(all, name));
        }
    }
    let mut seen = BTreeSet::new();
    found.retain(|one| seen.insert(one.status.id));
    Ok(found)
}

/// The one process of this name or id.
pub(super) async fn one(supervisor: &Supervisor, instance: &str, name: String) -> Result<Found, Fault> {
    if name.is_empty() {
        return Err(Fault::invalid("id", "is missing: which process is meant?"));
    }
    if let Some(Some(found)) = by_name(supervisor, instance, vec![name.clone()]).await?.pop() {
        return Ok(found);
    }
    let all = all(supervisor, instance).await?;
    all.iter().find(|one| one.uuid == name).cloned().ok_or_else(|| unknown(&all, &name))
}

/// For each name its process, if there is one.
async fn by_name(supervisor: &Supervisor, instance: &str, names: Vec<String>) -> Result<Vec<Option<Found>>, Fault> {
    let instance = instance.to_owned();
    let find = move |machine: &Machine| {
        let found = names.iter().map(|name| machine.find(name).and_then(|id| Found::of(machine, &instance, id)));
        found.collect()
    };
    Ok(supervisor.shared().ask(move |engine| find(engine.machine())).await?)
}

fn is_meant(name: &str, one: &Found) -> bool {
    if is_glob(name) { glob_matches(name, &one.status.name) } else { one.uuid == *name }
}

fn unknown(all: &[Found], name: &str) -> Fault {
    if is_glob(name) {
        return Fault::not_found(name, format!("no process matches `{}`", shortened(name)));
    }
    let known = all.iter().map(|one| &*one.status.name).filter(|_| name.len() <= LONGEST_NAME);
    let hint = match nearest(name, known) {
        Some(known) => format!("; did you mean `{known}`?"),
        None if all.is_empty() => "; there are none".to_owned(),
        None => String::new(),
    };
    Fault::not_found(name, format!("there is no process `{}`{hint}", shortened(name)))
}

/// A name from outside, for a message.
fn shortened(name: &str) -> String {
    let mut short: String = name.chars().take(200).flat_map(char::escape_debug).collect();
    if name.chars().nth(200).is_some() {
        short.push('…');
    }
    short
}
