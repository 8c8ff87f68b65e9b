//! How an instance begins: anew, or where the one before it stopped.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use super::evaluate::{Evaluator, Narrow, Outcome, problem, root_of};
use super::ground::{Claim, Ground};
use super::handle::{Anchor, Inner, Instance, Live, State};
use super::keeper::Keeper;
use super::places::{Bases, DirectoryPlaces, PlaceError, Places};
use super::roles::grants;
use crate::anchor::{Inheritance, Link, UpgradeOutcome};
use crate::core::{Pid, RecordKey};
use crate::driver::Keep;
use crate::ledger::{Generations, Record};
use crate::lua::api::Settings;
use crate::lua::host::PrintSink;
use crate::lua::{EvaluateRequest, Options, Runtime};
use crate::rpc::Access;
use crate::spec::Problem;
use crate::{BuildError, Supervisor};

/// What an instance is begun with.
pub(crate) struct Start {
    /// Its configuration as it was named, if there is one.
    pub(crate) config: Option<PathBuf>,
    /// Whether it is empty where there is no such file or folder.
    pub(crate) may_be_missing: bool,
    /// What `neap.profile` answers to.
    pub(crate) profiles: Vec<String>,
    /// What is done with each plan.
    pub(crate) narrow: Option<Narrow>,
    /// Whether a YAML file of a folder that is wrong is left out, so that the rest comes up.
    pub(crate) skip_bad_files: bool,
    /// Takes what the configuration's scripts say.
    pub(crate) print: PrintSink,
    /// Where its things are; without, it has no control socket, and nothing outlives its supervisor.
    pub(crate) places: Option<Places>,
    /// Whether what processes print is kept in files, unless they say otherwise.
    pub(crate) log_files: bool,
    /// The anchor, and what it kept.
    pub(crate) anchor: Option<(Link, Inheritance)>,
    /// How many files children may have open, softly and at most, when their spec does not say.
    pub(crate) open_files: Option<(u64, u64)>,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BeginError {
    /// There is one with the same state already.
    #[error("{0}")]
    Taken(String),
    /// What is wrong with its configuration.
    #[error("the configuration is refused")]
    Refused(Vec<Problem>),
    /// There is no place for it.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The kernel refuses something that it needs.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

/// An instance that is there, and what is to be done next.
pub(crate) struct Begun {
    /// The instance. Nothing was started yet; what was taken over goes on.
    pub(crate) instance: Instance,
    /// What is to be put in force; nothing when it goes on where another stopped.
    pub(crate) first: Option<Outcome>,
    /// What its configuration says about the instance itself: the one that is to be put in force, else the one that is.
    pub(crate) settings: Settings,
    /// What is worth saying about it.
    pub(crate) say: Vec<String>,
}

/// What is known of the instance before this supervisor.
struct Before {
    /// Whether it goes on from records.
    restored: bool,
    /// Whether that was another supervisor of the same anchor.
    taking_over: bool,
    /// The configuration that was in force; 0 for none.
    generation: u64,
    /// The highest number that was ever used.
    highest: u64,
}

/// Begins an instance.
pub(crate) fn begin(start: Start) -> Result<Begun, BeginError> {
    let Start {
        config,
        may_be_missing,
        profiles,
        narrow,
        skip_bad_files,
        print,
        places,
        log_files,
        anchor,
        open_files,
    } = start;
    let (link, mut inheritance) = anchor.map_or_else(|| (None, nothing()), |(link, kept)| (Some(link), kept));
    let claim = Claim { config: config.as_deref(), link: link.as_ref() };
    let ground = places.map(|places| Ground::take(places, &claim, &mut inheritance)).transpose()?;
    let base = match &config {
        Some(config) => root_of(config).map_err(|source| PlaceError::Find { path: config.clone(), source })?,
        None => PathBuf::from("/"),
    };
    let runtime = Runtime::start(Options { print: Some(print), ..Options::default() });
    let evaluator = Evaluator { runtime: runtime.clone(), profiles, narrow, skip_bad_files, base: base.clone() };
    let mut builder = Supervisor::builder().base_dir(base).functions(Arc::new(runtime.clone()));
    let DirectoryPlaces { state, cache, logs } = Bases::of_this_process().directories();
    if let Some(dir) = state {
        builder = builder.state_directories(dir);
    }
    if let Some(dir) = cache {
        builder = builder.cache_directories(dir);
    }
    if let Some(dir) = logs {
        builder = builder.logs_directories(dir);
    }
    if let Some((soft, hard)) = open_files {
        builder = builder.open_files(soft, hard);
    }
    let mut state = State::default();
    let mut say = upgraded(&inheritance, &mut state);
    let mut before = Before { restored: false, taking_over: inheritance.lives > 1, generation: 0, highest: 0 };
    let (mut generations, anchored) =
        (None, link.map(|link| Anchor { link, pid: inheritance.anchor, lives: inheritance.lives }));
    let (mut started_at, mut places, mut lock, mut listener) = (SystemTime::now(), None, None, None);
    let mut keeper = None;
    if let Some(mut ground) = ground {
        state.degraded.append(&mut ground.degraded);
        keeper = ground.definitions.map(Keeper::new);
        let link = anchored.as_ref().map(|anchor| anchor.link.clone());
        let keep =
            Keep { store: ground.ledger, records: ground.records, link, inheritance, instance: ground.places.name() };
        let keep = readable(keep, &mut before, &mut state);
        before.highest = highest(ground.generations.as_ref()).max(before.generation);
        builder = builder.keep(keep).runtime_dir(ground.processes);
        if log_files {
            builder = builder.log_dir(ground.places.logs());
        }
        (generations, started_at, listener) = (ground.generations, ground.started_at, ground.listener);
        (places, lock) = (Some(ground.places), Some(ground.lock));
    }
    let there = config.as_deref().filter(|config| !may_be_missing || config.exists());
    if let (Some(config), None) = (&config, there) {
        say.push(format!(
            "there is no {}: it starts empty; `neap apply` (or `dd-procmgr reload-config`) looks again",
            config.display()
        ));
    }
    let (first, live) = evaluate(&evaluator, there, &before, (generations.as_ref(), &mut state))?;
    // Those of what is in force. A group that is gone has no role any more.
    let access = Access::default();
    if let Some(live) = &live {
        let (known, unknown) = grants(&live.evaluated.declared.settings);
        access.set(known);
        state.degraded.extend(unknown.iter().map(ToString::to_string));
    }
    let settings = first.as_ref().or(live.as_ref()).map(|outcome| outcome.evaluated.declared.settings.clone());
    let settings = settings.unwrap_or_default();
    if let Some(timeout) = settings.shutdown_timeout {
        builder = builder.shutdown_timeout(timeout);
    }
    let supervisor = builder.build()?;
    if before.restored {
        state.generation = before.generation;
        state.live = live.map(|outcome| Live::begin(outcome.evaluated.generation, &supervisor));
        say.push(taken_over(&supervisor, before.taking_over));
    }
    say.extend(state.degraded.iter().cloned().chain(state.told.degraded()));
    let instance = Instance::new(Inner {
        supervisor,
        evaluator,
        places,
        anchor: anchored,
        config,
        may_be_missing,
        generations,
        started_at,
        _lock: lock,
        listener: Mutex::new(listener),
        settings: settings.clone(),
        keeper: Mutex::new(keeper),
        goes_on: before.restored,
        access,
        doors: Mutex::default(),
        state: Mutex::new(state),
        applying: Mutex::default(),
    });
    Ok(Begun { instance, first, settings, say })
}

/// There is no anchor, and nothing that it kept.
fn nothing() -> Inheritance {
    let (held, missing, ended) = Default::default();
    Inheritance { held, missing, ended, lives: 1, anchor: Pid(0), upgrade: None }
}

/// How an upgrade went that the supervisor before this one asked for.
fn upgraded(inheritance: &Inheritance, state: &mut State) -> Vec<String> {
    let failed = match inheritance.upgrade {
        None => return Vec::new(),
        Some(UpgradeOutcome::Done) => {
            return vec![format!("this is neap {} after an upgrade", env!("CARGO_PKG_VERSION"))];
        }
        Some(UpgradeOutcome::Late) => "the upgrade failed: the new binary was not ready in time; the old one goes on",
        Some(UpgradeOutcome::Failed) => "the upgrade failed: the new binary ended; the old one goes on",
    };
    state.degraded.push(failed.to_owned());
    Vec::new()
}

/// Looks at what was written down; what cannot be gone on from is left out, as the trees of its processes then are ended.
fn readable(mut keep: Keep, before: &mut Before, state: &mut State) -> Keep {
    match keep.machine() {
        // Its shutdown was over, and it did not get to take its records away: there is nothing to go on with.
        Ok(Some(machine)) if machine.is_finished() && !before.taking_over => {
            keep.records.retain(|(key, _)| matches!(key, RecordKey::Driver(_)));
        }
        Ok(Some(machine)) => (before.restored, before.generation) = (true, machine.generation()),
        Ok(None) => {}
        Err(error) => {
            state.degraded.push(format!(
                "what the supervisor before this one wrote down cannot be used: {error}; its processes are ended, and \
                 started anew"
            ));
            keep.records.retain(|(key, _)| matches!(key, RecordKey::Driver(_)));
        }
    }
    keep
}

fn highest(generations: Option<&Generations>) -> u64 {
    let numbers = generations.and_then(|generations| generations.numbers().ok()).unwrap_or_default();
    numbers.last().copied().unwrap_or(0)
}

/// The configuration that is to be put in force, and the one that is in force already.
fn evaluate(
    evaluator: &Evaluator,
    config: Option<&Path>,
    before: &Before,
    (generations, state): (Option<&Generations>, &mut State),
) -> Result<(Option<Outcome>, Option<Outcome>), BeginError> {
    let mut live = None;
    if before.restored && before.generation > 0 {
        match recorded(evaluator, before.generation, (generations, state)) {
            Ok(outcome) => live = Some(outcome),
            Err(why) => state
                .degraded
                .push(format!("the functions of the configuration cannot be called until it is applied anew: {why}")),
        }
    }
    // Who starts it anew means what the files say now. A supervisor that only takes over does not look at them: they may be
    // half edited. Unless nothing was in force yet, for the one before it died too early.
    if before.restored && before.taking_over && before.generation > 0 {
        return Ok((None, live));
    }
    let next = before.highest + 1;
    // What a file that is left out declares would be ended: where processes of before go on, it is all or nothing.
    let goes_on = before.restored && before.generation > 0;
    let first = config.map(|config| evaluator.evaluate_first(config, next, !goes_on)).transpose();
    match first {
        Ok(first) => Ok((first, live)),
        Err(problems) if goes_on => {
            let all: Vec<String> = problems.iter().map(Problem::to_string).collect();
            state.told.refused = Some(all.join("\n"));
            state.told.outdated = true;
            if let Some(generations) = generations {
                // Told by this supervisor in any case.
                let _ = generations.tell(before.generation, &state.told);
            }
            Ok((None, live))
        }
        // There may be processes of before, which are ended all the same.
        Err(problems) if before.taking_over => {
            let all: Vec<String> = problems.iter().map(Problem::to_string).collect();
            state.told.refused = Some(all.join("\n"));
            state
                .degraded
                .push(format!("the configuration is refused, and nothing is known of before: {}", all.join("; ")));
            Ok((None, live))
        }
        Err(problems) => Err(BeginError::Refused(problems)),
    }
}

/// Evaluates again what is in force, of what was read then, and finds what there is to tell of it.
fn recorded(
    evaluator: &Evaluator,
    number: u64,
    (generations, state): (Option<&Generations>, &mut State),
) -> Result<Outcome, String> {
    let generations = generations.ok_or("there is no place where its files are kept")?;
    let record = generations.read(number).map_err(|error| error.to_string())?;
    let Record { recorded, told } = record.ok_or_else(|| format!("generation {number} is not written down"))?;
    state.told = told;
    let request = EvaluateRequest::from_record(recorded).generation(number);
    let evaluated = evaluator.runtime.evaluate(request).map_err(|refused| refused.to_string())?;
    let config = evaluated.recorded.root.clone();
    let outcome = evaluator.prepare(evaluated, &config);
    if let (Ok(outcome), true) = (&outcome, state.told.skipped.is_empty()) {
        // One who did not write it down yet left them out all the same.
        state.told.skipped.clone_from(&outcome.skipped);
    }
    outcome.map_err(|problems| problems.first().unwrap_or(&problem(String::new())).to_string())
}

fn taken_over(supervisor: &Supervisor, taking_over: bool) -> String {
    let all = supervisor.list().unwrap_or_default();
    let alive = all.iter().filter(|status| status.pid.is_some()).count();
    let processes = if alive == 1 { "1 process goes on".to_owned() } else { format!("{alive} processes go on") };
    if taking_over {
        format!("the supervisor was started again; {processes}")
    } else {
        format!("a supervisor and its anchor were ended before this one; {processes}")
    }
}

/// The name of a configuration, for people.
pub(super) fn named(config: Option<&Path>) -> String {
    let absolute = config.map(|path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
    absolute.map_or_else(|| "no configuration".to_owned(), |path| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::{Before, Evaluator, Start, State, begin, evaluate};
    use crate::Error;
    use crate::lua::{Options, Runtime};

    #[test]
    fn one_whose_predecessor_died_before_anything_was_in_force_puts_the_configuration_in_force() {
        let dir = std::env::temp_dir().join(format!("neap-begin-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let config = dir.join("neap.lua");
        std::fs::write(&config, "require('neap').process('a', { command = 'true' })").unwrap();
        let runtime = Runtime::start(Options::default());
        let evaluator =
            Evaluator { runtime, profiles: Vec::new(), narrow: None, skip_bad_files: false, base: dir.clone() };
        let begun = |generation, config: Option<&Path>| {
            let before = Before { restored: true, taking_over: true, generation, highest: 1 };
            evaluate(&evaluator, config, &before, (None, &mut State::default())).map(|(first, _)| first).unwrap()
        };
        let first = begun(0, Some(&config)).unwrap();
        assert_eq!((first.plan.specs().count(), first.plan.generation), (1, 2), "1 may be written down");
        assert!(begun(0, None).is_none());
        assert!(begun(1, Some(&config)).is_none(), "files may be half edited");
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn the_end_stops_everything_though_somebody_else_has_a_handle() {
        let dir = std::env::temp_dir().join(format!("neap-end-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let config = dir.join("neap.lua");
        std::fs::write(&config, "require('neap').process('a', { command = 'sleep 1000' })").unwrap();
        let begun = begin(Start {
            config: Some(config),
            may_be_missing: false,
            profiles: Vec::new(),
            narrow: None,
            skip_bad_files: false,
            print: Arc::new(|_| ()),
            places: None,
            log_files: false,
            anchor: None,
            open_files: None,
        });
        let begun = begun.unwrap();
        let supervisor = begun.instance.supervisor().clone();
        begun.instance.put_in_force(begun.first.unwrap(), None).unwrap();
        assert!(supervisor.get("a").is_some());
        begun.instance.end();
        assert!(matches!(supervisor.list(), Err(Error::Ended)), "{:?}", supervisor.list());
        std::fs::remove_dir_all(dir).unwrap();
    }
}
