//! `neap up`: supervise what a configuration declares, in the foreground.

use std::io::{BufWriter, IsTerminal, stderr, stdout};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::anchored::{self, Ending, Given, Lack};
use super::app::Voice;
use super::args::{Global, Up};
use super::exit::{Exit, Failure};
use super::locate::locate;
use super::narrate::Talk;
use super::paint::Tone;
use super::printer::Printing;
use super::screen::{Look, Screen};
use super::session::{Manner, Outcome, Session};
use super::start::{self, Asked};
use super::summary::Summary;
use super::{detach, notes, orphans, problems, select, telemetry};
use crate::core::Event;
use crate::instance::places::{PlaceError, Places};
use crate::instance::{Begun, Instance, Left};
use crate::lua::api::is_yaml;
use crate::spec::Problem;

/// Supervises until Ctrl-C, or until nothing can run again.
pub(super) fn up(args: &Up, global: &Global, voice: Voice) -> Result<Exit, Failure> {
    let users = global.instance.as_deref().and_then(|name| {
        let places = Places::of(&start::which(name), &crate::instance::places::Bases::of_this_process());
        places.ok()?.config
    });
    telemetry::asked(&args.telemetry)?;
    let handed_on = anchored::handed_on();
    let path = match handed_on.as_ref().and_then(|places| places.config.clone()) {
        // A further supervisor goes on with what runs, whatever has become of the files.
        Some(path) => path,
        None => locate(args.config.config.as_deref().or(users.as_deref()))?,
    };
    if args.detach {
        return detach::detach(args, global, voice, &path);
    }
    let places = match handed_on {
        Some(places) => Ok(places),
        None => start::places(Some(&path), global).and_then(|places| places.make().map(|_| places)),
    };
    let places = places.map(|places| Places { config: Some(path.clone()), ..places });
    let work = |places| |given| supervise(args, places, voice, (&path, given));
    match places {
        Ok(places) => anchored::run(Lack::Said, &global.line, &places, work(Some(places.clone()))),
        Err(error @ PlaceError::NoPath(_)) => Err(Failure::new(error.to_string()).exit(Exit::Code(2))),
        Err(error) => anchored::without(error.to_string(), work(None)),
    }
}

fn supervise(
    args: &Up,
    places: Option<Places>,
    voice: Voice,
    (path, given): (&Path, Given),
) -> Result<Ending, Failure> {
    let Given { signals, mut around } = given;
    orphans::adopt()?;
    let left = around.anchor.as_mut().map(|(_, inheritance)| Left::take(inheritance)).unwrap_or_default();
    if let Some((_, inheritance)) = &around.anchor {
        anchored::end_with_anchor(inheritance);
    }
    let look = Look { paint: voice.out, terminal: stdout().is_terminal(), talk: voice.talk };
    let (notes, pending) = notes::notes();
    let level = Arc::new(AtomicUsize::new(notes::rank_of(if voice.talk == Talk::Verbose { "trace" } else { "info" })));
    // Without an anchor nobody could go on with what is kept there.
    let places = places.filter(|_| around.anchor.is_some());
    let asked = Asked {
        config: Some(path),
        profiles: &args.config.profile,
        only: &args.only,
        // Whoever is at the terminal can mend it.
        skip_bad_files: false,
        places,
        may_be_missing: false,
        log_files: false,
    };
    let begun = match start::start(asked, around, &notes, &level)? {
        Ok(begun) => begun,
        Err(problems) => return refuse(voice, &problems),
    };
    let Begun { instance, first, settings, mut say } = begun;
    if let Some(first) = &first {
        problems::show(&mut stderr(), voice.err, &first.warnings);
        if let Some(wanted) = first.evaluated.declared.settings.log_level.as_deref() {
            level.store(notes::rank_of(wanted), Ordering::Relaxed);
        }
        select::known(&first.plan, &args.only).inspect_err(|_| instance.end())?;
        if !first.plan.specs().any(|spec| spec.auto_start) {
            instance.end();
            let hint = if is_yaml(path) && !first.plan.is_empty() {
                " (in YAML one that is to says `auto_start: true`)"
            } else {
                ""
            };
            voice.error(&format!("{}: no process starts by itself; nothing to do{hint}", path.display()));
            return Ok(Ending::Over(Exit::Done));
        }
    }
    let shown =
        telemetry::wanted(&args.telemetry, &settings).and_then(|wanted| telemetry::show(&instance, wanted, left));
    let shown = shown.inspect_err(|_| instance.end())?;
    for why in &shown.lacking {
        instance.degrade(why.as_str());
        say.push(why.clone());
    }
    let specs = start::specs_of(&instance);
    let specs = || first.iter().flat_map(|first| first.plan.specs()).chain(specs.iter().map(|spec| &**spec));
    let screen = Screen::new(BufWriter::new(stdout()), look, specs().map(|spec| spec.name.as_str()));
    let summary = Summary::new(start::remaining(specs()));
    let printer = Printing { screen, lines: true, filter: everything, notes, pending };
    let session = Session::begin(instance.supervisor().clone(), signals, summary, manner(&instance), printer)?;
    start::tell(session.notes(), say);
    for page in &shown.places {
        session.notes().say(Tone::Plain, format!("metrics at {page}"));
    }
    let outcome = go(&instance, first, session);
    // Once the engine has ended: the last figures are then sent.
    drop(shown);
    start::end(&instance, outcome, |outcome| finish(outcome, voice))
}

fn go(instance: &Instance, first: Option<crate::instance::Outcome>, session: Session) -> Result<Outcome, Failure> {
    if let Some(first) = first {
        start::go(instance, first)?;
    }
    let _control = start::listen(instance, Vec::new(), session.notes())?;
    instance.set_up();
    Ok(session.supervise())
}

fn manner(instance: &Instance) -> Manner {
    let instance = instance.clone();
    let ready = Box::new(move |_: &notes::Notes| instance.set_ready());
    Manner { ends_at_rest: true, hangup: None, forwards: false, ready: Some(ready), stopping: Box::new(|_| ()) }
}

fn everything(_: &Event) -> bool {
    true
}

fn refuse(voice: Voice, found: &[Problem]) -> Result<Ending, Failure> {
    problems::show(&mut stderr(), voice.err, found);
    Err(Failure::new(format!("{}; nothing was started", problems::count(found))))
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
