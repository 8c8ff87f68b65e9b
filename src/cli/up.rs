//! `neap up`: supervise what a configuration declares, in the foreground.

use std::collections::BTreeSet;
use std::io::{BufWriter, IsTerminal, stderr, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::app::Voice;
use super::args::Up;
use super::config::{self, Loaded};
use super::exit::{Exit, Failure};
use super::locate::locate;
use super::narrate::Talk;
use super::paint::Tone;
use super::printer::Printing;
use super::screen::{Look, Screen};
use super::session::{Outcome, Session};
use super::signals::Signals;
use super::summary::Summary;
use super::{notes, orphans, problems, select};
use crate::core::Event;
use crate::spec::{Plan, ProcessType};

/// Supervises until Ctrl-C, or until nothing can run again.
pub(super) fn up(args: &Up, voice: Voice) -> Result<Exit, Failure> {
    // Before any thread is made: they inherit what is blocked.
    let signals = Signals::take(false)?;
    let path = locate(args.config.config.as_deref())?;
    let look = Look { paint: voice.out, terminal: stdout().is_terminal(), talk: voice.talk };
    let (notes, pending) = notes::notes();
    let level = Arc::new(AtomicUsize::new(notes::rank_of(if voice.talk == Talk::Verbose { "trace" } else { "info" })));
    let loaded = config::load(&path, &args.config.profile, notes.sink(&level))?.map_err(|problems| {
        problems::show(&mut stderr(), voice.err, &problems);
        Failure::new(format!("{}; nothing was started", problems::count(&problems)))
    })?;
    problems::show(&mut stderr(), voice.err, &loaded.warnings);
    let Loaded { plan, live, .. } = loaded;
    if let Some(wanted) = live.log_level() {
        level.store(notes::rank_of(wanted), Ordering::Relaxed);
    }
    let plan = select::only(plan, &args.only)?;
    if !plan.specs().any(|spec| spec.auto_start) {
        voice.error(&format!("{}: no process starts by itself; nothing to do", path.display()));
        return Ok(Exit::Done);
    }
    orphans::adopt()?;
    let (supervisor, functions) = live.supervisor()?;
    let screen = Screen::new(BufWriter::new(stdout()), look, plan.specs().map(|spec| spec.name.as_str()));
    let summary = Summary::new(remaining(&plan));
    let printer = Printing { screen, lines: true, filter: everything, notes, pending };
    let session = Session::begin(supervisor.clone(), signals, summary, printer)?;
    supervisor.apply(plan).wait().map_err(|error| Failure::new(error.to_string()))?;
    let outcome = session.supervise();
    drop(functions);
    finish(&outcome, voice)
}

fn everything(_: &Event) -> bool {
    true
}

/// Oneshots that count as running after their success.
fn remaining(plan: &Plan) -> BTreeSet<String> {
    let remaining = plan.specs().filter(|spec| spec.process_type == ProcessType::Oneshot && spec.remain);
    remaining.map(|spec| spec.name.clone()).collect()
}

fn finish(outcome: &Outcome, voice: Voice) -> Result<Exit, Failure> {
    let shutdown = outcome.shutdown.as_ref().map_err(|error| Failure::new(error.to_string()))?;
    if !shutdown.stuck.is_empty() {
        return Err(Failure::new(format!("these would not die: {}", shutdown.stuck.join(", "))));
    }
    let failed = outcome.summary.failed();
    if voice.talk > Talk::Quiet {
        for (name, why) in &failed {
            voice.error(&format!("{} failed: {why}", voice.err.tone(Tone::Strong, name)));
        }
    }
    match shutdown.code {
        Some(code) => Ok(Exit::Code(u8::try_from(code & 0xff).unwrap_or(1))),
        None if failed.is_empty() => Ok(Exit::Done),
        None => Ok(Exit::Failed),
    }
}
