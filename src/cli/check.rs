//! `neap check`: evaluate and validate, start nothing.

use std::io::{Write, stderr, stdout};
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::app::Voice;
use super::args::Check;
use super::config::{self, Loaded};
use super::exit::{Exit, Failure};
use super::locate::locate;
use super::narrate::Talk;
use super::problems::{self, Item};
use crate::driver::inheritable;
use crate::driver::known::{Surroundings, lacking};
use crate::instance::root_of;
use crate::spec::{Problem, Severity};

/// What `--json` puts on stdout when all is well.
#[derive(Serialize)]
struct Accepted<'a> {
    config: String,
    processes: Vec<&'a str>,
    warnings: Vec<Item<'a>>,
}

/// Checks.
pub(super) fn check(args: &Check, voice: Voice) -> Result<Exit, Failure> {
    let result = locate(args.config.config.as_deref()).map(|path| {
        let loaded = config::load(&path, &args.config.profile, Arc::new(printed));
        let loaded = loaded.and_then(|loaded| if args.elsewhere { Ok(loaded) } else { here(&path, loaded) });
        (path, loaded)
    });
    match result {
        Err(failure) => Err(failure),
        Ok((_, Err(problems))) => problems::refuse(voice, &problems),
        Ok((_, Ok(loaded))) if args.strict && !loaded.warnings.is_empty() => problems::refuse(voice, &loaded.warnings),
        Ok((path, Ok(loaded))) => accept(voice, &path.display().to_string(), &loaded),
    }
}

/// The same configuration, looked at on this host: what it lacks for sure refuses it, and what may come is a warning.
fn here(path: &Path, mut loaded: Loaded) -> Result<Loaded, Vec<Problem>> {
    // A configuration that was just read has a folder.
    let Ok(base) = root_of(path) else { return Ok(loaded) };
    let env = inheritable(std::env::vars_os());
    loaded.warnings.extend(lacking(&loaded.plan, Surroundings { base: &base, env: &env }));
    loaded.warnings.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    match loaded.warnings.iter().any(|problem| problem.severity == Severity::Error) {
        true => Err(loaded.warnings),
        false => Ok(loaded),
    }
}

/// What the configuration printed while it was evaluated.
fn printed(text: &str) {
    let _ = writeln!(stderr(), "{text}");
}

fn accept(voice: Voice, path: &str, loaded: &Loaded) -> Result<Exit, Failure> {
    let text = if voice.json {
        let accepted = Accepted {
            config: path.to_owned(),
            processes: loaded.plan.specs().map(|spec| spec.name.as_str()).collect(),
            warnings: loaded.warnings.iter().map(Item::from).collect(),
        };
        serde_json::to_string(&accepted).map_err(|error| Failure::new(error.to_string()))?
    } else {
        problems::show(&mut stderr(), voice.err, &loaded.warnings);
        let count = loaded.plan.len();
        let what = if count == 1 { "1 process".to_owned() } else { format!("{count} processes") };
        format!("{path}: {what}, no errors")
    };
    if voice.json || voice.talk > Talk::Quiet {
        writeln!(stdout(), "{text}").map_err(|error| Failure::new(format!("cannot write to stdout: {error}")))?;
    }
    Ok(Exit::Done)
}
