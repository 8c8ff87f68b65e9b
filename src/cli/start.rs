//! What `up` and `daemon` have in common: an instance is begun, and its first plan put in force.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use super::anchored::{Around, Ending};
use super::args::Global;
use super::exit::{Exit, Failure};
use super::notes::Notes;
use super::paint::Tone;
use super::{problems, select, session};
use crate::core::{Applied, ChangeKind};
use crate::instance::places::{Bases, PlaceError, Places, Which};
use crate::instance::{BeginError, Begun, Endpoint, Instance, Outcome, Start, begin};
use crate::rpc::{Address, Server};
use crate::spec::{Problem, ProcessType, Spec};

/// How long clients are answered after the end.
const GRACE: Duration = Duration::from_secs(1);

/// What is to be supervised.
pub(super) struct Asked<'a> {
    /// The configuration, if there is one.
    pub(super) config: Option<&'a Path>,
    /// What `neap.profile` answers to.
    pub(super) profiles: &'a [String],
    /// What is to start by itself, if not all that says so.
    pub(super) only: &'a [String],
    /// Whether a YAML file of a folder that is wrong is left out.
    pub(super) skip_bad_files: bool,
    /// Its places.
    pub(super) places: Option<Places>,
    /// Whether it is empty where there is none.
    pub(super) may_be_missing: bool,
    /// Whether what processes print is kept in files.
    pub(super) log_files: bool,
}

/// Begins it. The inner error is what is wrong with its configuration.
pub(super) fn start(
    asked: Asked<'_>,
    around: Around,
    notes: &Notes,
    level: &Arc<AtomicUsize>,
) -> Result<Result<Begun, Vec<Problem>>, Failure> {
    let only = asked.only.to_vec();
    let begun = begin(Start {
        config: asked.config.map(Path::to_owned),
        profiles: asked.profiles.to_vec(),
        narrow: (!only.is_empty()).then(|| Box::new(move |plan| select::narrowed(plan, &only)) as _),
        skip_bad_files: asked.skip_bad_files,
        print: notes.sink(level),
        places: asked.places,
        may_be_missing: asked.may_be_missing,
        log_files: asked.log_files,
        anchor: around.anchor,
        open_files: around.open_files,
    });
    match begun {
        Ok(mut begun) => {
            begun.say.extend(around.without);
            Ok(Ok(begun))
        }
        Err(BeginError::Refused(problems)) => Ok(Err(problems)),
        Err(error @ BeginError::Taken(_)) => {
            let text = format!(
                "{error}. `neap apply` makes it do what the configuration says now, `neap logs -f` shows what its \
                 processes print"
            );
            Err(Failure::new(text).exit(Exit::Refused))
        }
        Err(error) => Err(Failure::new(error.to_string())),
    }
}

/// The places of the instance of this configuration, or of the one that was named.
pub(super) fn places(config: Option<&Path>, global: &Global) -> Result<Places, PlaceError> {
    let bases = Bases::of_this_process();
    let places = match (config, &global.instance) {
        (Some(config), _) => Places::of_config(config, &bases)?,
        (None, Some(name)) => Places::of(&which(name), &bases)?,
        (None, None) => Places::of_daemon(&bases)?,
    };
    match global.socket.as_deref().map(Address::of_client) {
        None => Ok(places),
        Some(Ok(Address::Unix(path))) => Ok(places.with_socket(Some(&path))),
        Some(_) => Err(PlaceError::NoPath(global.socket.clone().unwrap_or_default())),
    }
}

/// The instance that this name stands for.
pub(super) fn which(name: &str) -> Which {
    match name.parse() {
        Ok(which) => which,
    }
}

/// Puts the first plan in force.
pub(super) fn go(instance: &Instance, first: Outcome) -> Result<(), Failure> {
    let caller = Some("the instance, as it started".into());
    instance.put_in_force(first, caller).map(drop).map_err(|problems| {
        let all: Vec<String> = problems.iter().map(Problem::to_string).collect();
        Failure::new(format!("{}; {} and nothing was started", all.join("\n"), problems::count(&problems)))
    })
}

/// Oneshots that count as running after their success.
pub(super) fn remaining<'a>(specs: impl Iterator<Item = &'a Spec>) -> BTreeSet<String> {
    let remaining = specs.filter(|spec| spec.process_type == ProcessType::Oneshot && spec.remain);
    remaining.map(|spec| spec.name.clone()).collect()
}

/// The specs of what is there already.
pub(super) fn specs_of(instance: &Instance) -> Vec<Arc<Spec>> {
    let supervisor = instance.supervisor();
    let statuses = supervisor.list().unwrap_or_default();
    statuses.iter().filter_map(|status| supervisor.get(&status.name)?.spec().ok()).collect()
}

/// Says what is worth saying about how it began.
pub(super) fn tell(notes: &Notes, say: Vec<String>) {
    say.into_iter().for_each(|text| notes.say(Tone::Warn, text));
}

/// What became of which process, in a line.
pub(super) fn changes(applied: &Applied) -> String {
    let counts = [
        (ChangeKind::Added, "added"),
        (ChangeKind::Updated, "changed"),
        (ChangeKind::Restarted, "restarted"),
        (ChangeKind::Removed, "removed"),
        (ChangeKind::Unchanged, "unchanged"),
    ];
    let counts = counts.map(|(kind, what)| (applied.of(kind).count(), what));
    let told: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if told.is_empty() { "there is nothing in it".to_owned() } else { told.join(", ") }
}

/// Clients are served while this lives.
pub(super) struct Control(Option<Server>, Instance);

impl Drop for Control {
    fn drop(&mut self) {
        // Whoever finds the socket finds somebody who goes on: this one, or its successor.
        self.1.close();
        if let Some(server) = self.0.take() {
            // Whoever asked for the end is told of it.
            server.stop(GRACE);
        }
    }
}

/// Serves clients at the control socket and at these, for as long as what is returned lives.
pub(super) fn listen(instance: &Instance, endpoints: Vec<Endpoint>, notes: &Notes) -> Result<Control, Failure> {
    instance.keep_definitions().into_iter().for_each(|odd| notes.say(Tone::Warn, odd));
    match instance.serve(endpoints) {
        Ok(server) => {
            instance.hindrances().into_iter().for_each(|why| notes.say(Tone::Warn, why));
            Ok(Control(server, instance.clone()))
        }
        // Whom nobody can talk to can still look after what runs.
        Err(why) if instance.took_over() => {
            notes.say(Tone::Bad, why.as_str());
            instance.degrade(why);
            Ok(Control(None, instance.clone()))
        }
        Err(why) => Err(Failure::new(why)),
    }
}

/// What is done when the supervision is over: it ends, or a new binary goes on with it.
pub(super) fn end(
    instance: &Instance,
    outcome: Result<session::Outcome, Failure>,
    finish: impl FnOnce(&session::Outcome) -> Result<Exit, Failure>,
) -> Result<Ending, Failure> {
    instance.end();
    let outcome = outcome?;
    if let (Some(binary), Some(link)) = (instance.successor(), instance.link()) {
        link.upgrade(binary.as_fd())
            .map_err(|error| Failure::new(format!("the anchor does not take the new binary: {error}")))?;
        return Ok(Ending::HandedOver);
    }
    if outcome.shutdown.is_ok() {
        instance.tidy();
    }
    finish(&outcome).map(Ending::Over)
}
