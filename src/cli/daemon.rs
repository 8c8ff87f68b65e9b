//! `neap daemon`: supervise without a terminal.

use std::io::stderr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use super::anchored::{self, Ending, Given, Lack};
use super::args::{Daemon, Global};
use super::exit::{Exit, Failure};
use super::listen;
use super::locate;
use super::notes::{self, Notes};
use super::orphans;
use super::paint::Tone;
use super::printer::{Printing, Show};
use super::report::{Format, Level, Report};
use super::session::{self, Manner, Outcome, Session};
use super::start::{self, Asked};
use super::summary::Summary;
use super::telemetry;
use crate::anchor::Link;
use crate::core::{Event, StateName, Status};
use crate::driver::sys::heed_hangups;
use crate::instance::places::{Bases, Places};
use crate::instance::{Begun, Endpoint, Instance, Left};
use crate::lua::api::Settings;
use crate::rpc::ApplyRequest;

/// How much longer a service manager is to wait while everything is being stopped. Asked for again every few seconds.
const LONGER: Duration = Duration::from_secs(30);

/// Supervises until it is told to end.
pub(super) fn daemon(args: &Daemon, global: &Global) -> Result<Exit, Failure> {
    // Before there is an anchor: nothing of this changes from one supervisor to the next.
    listen::asked(args)?;
    telemetry::asked(&args.telemetry)?;
    let given = args.config.as_deref().or(args.config_dir.as_deref());
    // A further supervisor goes on with what runs, whatever has become of the files.
    let excused = Link::is_there() || (args.may_be_missing && given.is_some_and(|path| !path.exists()));
    if let Some(path) = given.filter(|_| !excused) {
        locate::check(path)?;
    }
    if !excused && args.config_dir.as_deref().is_some_and(|dir| !dir.is_dir()) {
        return Err(Failure::new(format!("`{}` is no folder", given.unwrap_or(Path::new("")).display())));
    }
    if args.detached {
        // Whoever leads a group of processes already has a session of its own.
        let _ = nix::unistd::setsid();
    }
    // Under nohup(1), too, it applies the configuration. The anchor passes on what it heeds.
    heed_hangups().map_err(|error| Failure::new(format!("cannot reset SIGHUP: {error}")))?;
    let places = places(given, global)?;
    anchored::run(Lack::Refused, &global.line, &places, |anchor| supervise(args, places.clone(), anchor))
}

/// The places of the configuration that is meant, and that as it was named: the one that was given, else that of the instance
/// that was named, else its own. The same for each supervisor of an anchor.
fn places(given: Option<&Path>, global: &Global) -> Result<Places, Failure> {
    if let Some(places) = anchored::handed_on() {
        return Ok(places);
    }
    let places = start::places(given, global).map_err(|error| Failure::new(error.to_string()))?;
    let own = || match &global.instance {
        Some(_) => places.config.clone().filter(|path| path.exists()),
        None => Bases::of_this_process().daemons_config(),
    };
    Ok(Places { config: given.map(Path::to_owned).or_else(own), ..places })
}

fn supervise(args: &Daemon, places: Places, anchor: Given) -> Result<Ending, Failure> {
    let Given { signals, mut around } = anchor;
    orphans::adopt()?;
    // Before anything is started.
    let (endpoints, lacking) = listen::asked(args)?.open(args, around.anchor.as_mut())?;
    let left = around.anchor.as_mut().map(|(_, inheritance)| Left::take(inheritance)).unwrap_or_default();
    let config = places.config.clone();
    let (notes, pending) = notes::notes();
    let level = Arc::new(AtomicUsize::new(notes::rank_of(args.log_level.unwrap_or_default().name())));
    let asked = Asked {
        config: config.as_deref(),
        profiles: &args.profile,
        only: &args.only,
        // There is nobody to mend it at a boot; `up --detach` has somebody.
        skip_bad_files: !args.detached,
        places: Some(places),
        may_be_missing: args.may_be_missing,
        log_files: true,
    };
    let mut report = Report::new(stderr(), args.log_format.unwrap_or_default(), args.log_level.unwrap_or_default());
    let begun = match start::start(asked, around, &notes, &level)? {
        Ok(begun) => begun,
        Err(problems) => {
            problems.iter().for_each(|problem| report.say(Level::Error, None, &problem.to_string()));
            return Err(Failure::new("the configuration is refused; nothing was started"));
        }
    };
    let Begun { instance, first, settings, mut say } = begun;
    let shown =
        telemetry::wanted(&args.telemetry, &settings).and_then(|wanted| telemetry::show(&instance, wanted, left));
    let shown = shown.inspect_err(|_| instance.end())?;
    for why in lacking.into_iter().chain(shown.lacking.iter().cloned()) {
        instance.degrade(why.as_str());
        say.push(why);
    }
    let (format, least) = wanted(args, &settings);
    level.store(notes::rank_of(least.name()), Ordering::Relaxed);
    report.set(format, least);
    for warning in first.iter().flat_map(|first| &first.warnings) {
        report.note(Tone::Warn, &warning.to_string());
    }
    for skipped in first.iter().flat_map(|first| &first.skipped) {
        report.note(Tone::Warn, skipped);
    }
    let summary = Summary::new(std::collections::BTreeSet::new());
    let printer = Printing { screen: report, lines: false, filter: everything, notes: notes.clone(), pending };
    let mut also: String = endpoints.iter().map(|endpoint| format!(", and {}", endpoint.shown())).collect();
    also.extend(shown.places.iter().map(|page| format!("; metrics at {page}")));
    let manner = manner(&instance, &notes, also);
    drop(notes);
    let session = Session::begin(instance.supervisor().clone(), signals, summary, manner, printer)?;
    start::tell(session.notes(), say);
    let outcome = go(&instance, first, endpoints, session);
    // Once the engine has ended: the last figures are then sent.
    drop(shown);
    start::end(&instance, outcome, finish)
}

fn go(
    instance: &Instance,
    first: Option<crate::instance::Outcome>,
    endpoints: Vec<Endpoint>,
    session: Session,
) -> Result<Outcome, Failure> {
    if let Some(first) = first {
        start::go(instance, first)?;
    }
    let _control = start::listen(instance, endpoints, session.notes())?;
    instance.set_up();
    Ok(session.supervise())
}

/// Tells everybody that it is ready.
fn ready(instance: &Instance, also: &str, notes: &Notes) {
    instance.set_ready();
    let places = instance.places().map(|places| places.socket.display().to_string()).unwrap_or_default();
    notes.say(Tone::Plain, format!("ready; {}; the control socket is {places}{also}", summed(instance)));
    if let Some(link) = instance.link() {
        link.notify(&format!("READY=1\nSTATUS={}", summed(instance)));
        watch(instance, link);
    }
}

/// Format and level: the command line's, else the configuration's.
fn wanted(args: &Daemon, settings: &Settings) -> (Format, Level) {
    use clap::ValueEnum;
    let format = settings.log_format.as_deref().and_then(|name| Format::from_str(name, true).ok());
    let level = settings.log_level.as_deref().and_then(|name| Level::from_str(name, true).ok());
    (args.log_format.or(format).unwrap_or_default(), args.log_level.or(level).unwrap_or_default())
}

fn everything(_: &Event) -> bool {
    true
}

fn manner(instance: &Instance, notes: &Notes, also: String) -> Manner {
    let of_ready = instance.clone();
    let ready = move |notes: &Notes| ready(&of_ready, &also, notes);
    let (applying, said) = (instance.clone(), notes.downgrade());
    let link = instance.link().cloned();
    let asked = Arc::new(AtomicBool::new(false));
    let hangup = move || {
        // One that waits for its turn reads the files when that comes: more of them would read the same.
        if asked.swap(true, Ordering::AcqRel) {
            return;
        }
        let (instance, said, taken) = (applying.clone(), said.clone(), Arc::clone(&asked));
        // Evaluation takes its time; signals go on being heard.
        let thread = std::thread::Builder::new().name("neap-apply".into());
        let say = said.clone();
        if let Err(error) = thread.spawn(move || reload(&instance, &said, &taken)) {
            asked.store(false, Ordering::Release);
            say.say(Tone::Bad, format!("cannot apply the configuration: no thread: {error}"));
        }
    };
    let stopping = move |what: &str| {
        if let Some(link) = &link {
            let longer = LONGER.as_micros();
            link.notify(&format!("STOPPING=1\nSTATUS={what}\nEXTEND_TIMEOUT_USEC={longer}"));
        }
    };
    Manner {
        ends_at_rest: false,
        hangup: Some(Box::new(hangup)),
        forwards: false,
        ready: Some(Box::new(ready)),
        stopping: Box::new(stopping),
    }
}

/// Applies the configuration anew.
fn reload(instance: &Instance, notes: &notes::WeakNotes, asked: &AtomicBool) {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    asked.store(false, Ordering::Release);
    if let Some(link) = instance.link() {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
        link.notify(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.as_micros()));
    }
    match instance.apply(ApplyRequest { caller: Some("signal HUP".into()), ..ApplyRequest::default() }) {
        Ok(applied) => {
            applied.warnings.iter().for_each(|warning| notes.say(Tone::Warn, warning.to_string()));
            notes.say(Tone::Plain, format!("the configuration is applied: {}", start::changes(&applied.changes)));
        }
        // What is wrong with it is told by an event.
        Err(_) => notes.say(Tone::Bad, "the configuration is refused; nothing was changed"),
    }
    if let Some(link) = instance.link() {
        // As at the start: what listens is bound. A supervisor that ends has said so itself.
        if let Ok(lacking) = session::await_bound(instance.supervisor()) {
            lacking.into_iter().for_each(|lacking| notes.say(Tone::Warn, lacking));
            link.notify(&format!("READY=1\nSTATUS={}", summed(instance)));
        }
    }
}

/// Tells the service manager that all is well, for as long as the engine answers.
fn watch(instance: &Instance, link: &Link) {
    let interval = std::env::var("WATCHDOG_USEC").ok().and_then(|text| text.parse().ok()).map(Duration::from_micros);
    let Some(interval) = interval.filter(|interval| !interval.is_zero()) else { return };
    let (supervisor, link) = (instance.supervisor().downgrade(), link.clone());
    let watching = move || {
        while let Some(supervisor) = supervisor.upgrade() {
            // It answers once it has come through what it was doing.
            let Ok(statuses) = supervisor.list() else { return };
            // A stop says what it waits for.
            let stopping = supervisor.is_shutting_down();
            drop(supervisor);
            link.notify(&if stopping {
                "WATCHDOG=1".to_owned()
            } else {
                format!("WATCHDOG=1\nSTATUS={}", sum(&statuses))
            });
            std::thread::sleep(interval / 2);
        }
    };
    if let Err(error) = std::thread::Builder::new().name("neap-watchdog".into()).spawn(watching) {
        instance.degrade(format!("the watchdog is not served: no thread: {error}"));
    }
}

/// `3 processes, 2 running, 1 failed`.
fn summed(instance: &Instance) -> String {
    sum(&instance.supervisor().list().unwrap_or_default())
}

fn sum(statuses: &[Status]) -> String {
    let count = |states: &[StateName]| statuses.iter().filter(|status| states.contains(&status.state)).count();
    let running = count(&[StateName::Running]);
    let failed = count(&[StateName::Failed, StateName::Crashed]);
    let all = statuses.len();
    let mut text = format!("{all} {}, {running} running", if all == 1 { "process" } else { "processes" });
    if failed > 0 {
        text += &format!(", {failed} failed");
    }
    text
}

fn finish(outcome: &Outcome) -> Result<Exit, Failure> {
    let shutdown = outcome.shutdown.as_ref().map_err(|error| Failure::new(error.to_string()))?;
    if !shutdown.stuck.is_empty() {
        return Err(Failure::new(format!("these would not die: {}", shutdown.stuck.join(", "))));
    }
    Ok(shutdown.code.map_or(Exit::Done, |code| Exit::Code(u8::try_from(code & 0xff).unwrap_or(1))))
}
