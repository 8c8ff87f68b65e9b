//! What the programs of the simulated kernel do.

use std::collections::BTreeMap;
use std::time::Duration;

use super::rng::Rng;
use crate::core::{ExitStatus, HookKind, SpawnError, SpawnStep};
use crate::spec::{ProcessType, Signal, Spec};

/// How the preparation of a run goes.
#[derive(Clone, Debug, PartialEq)]
pub enum Preparation {
    /// Well.
    Ready,
    /// Badly.
    Fails(SpawnError),
    /// This condition does not hold.
    Unmet(String),
}

/// How members of a tree take a SIGKILL to all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Killing {
    /// They die after this long.
    After(Duration),
    /// They are reported stuck, and die this long after the SIGKILL.
    StuckFor(Duration),
    /// They are reported stuck and never die (an unanswered disk).
    Never,
}

/// What a program does from its preparation to its death, and what its hooks and probes answer.
///
/// [`Behaviour::default`] is a good program: it is prepared, executed and ready at once, runs for ever, ends at once
/// when told to and leaves nothing behind; its hooks and probes succeed at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Behaviour {
    /// How long the preparation takes.
    pub prepare_time: Duration,
    /// How the preparation goes.
    pub preparation: Preparation,
    /// How long it takes from the clone until the program is executed.
    pub exec_time: Duration,
    /// Why it is not executed, if it is not.
    pub spawn_error: Option<SpawnError>,
    /// How long after it was executed it says that it is ready, if it ever does.
    pub ready_after: Option<Duration>,
    /// How long after it was executed it ends by itself, if it does, and how.
    pub exits: Option<(Duration, ExitStatus)>,
    /// How long after a signal that ends programs it ends; `None` ignores all but SIGKILL.
    pub obeys: Option<Duration>,
    /// How it ends when it obeys; killed by that signal unless given.
    pub obeys_with: Option<ExitStatus>,
    /// Whether a forking program's parent leaves a daemon behind.
    pub daemonises: bool,
    /// Members of its tree besides the main process.
    pub helpers: u32,
    /// How long after the main process the helpers end by themselves, if they do.
    pub helpers_linger: Option<Duration>,
    /// Whether the helpers end on a signal that they get.
    pub helpers_obey: bool,
    /// How its tree takes a SIGKILL.
    pub killing: Killing,
    /// What hooks take and come to; those not named succeed at once.
    pub hooks: BTreeMap<HookKind, (Duration, Result<(), String>)>,
    /// What every probe takes and comes to.
    pub probes: (Duration, Result<(), String>),
    /// How often it says WATCHDOG=1.
    pub pings: Option<Duration>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Behaviour {
            prepare_time: Duration::ZERO,
            preparation: Preparation::Ready,
            exec_time: Duration::ZERO,
            spawn_error: None,
            ready_after: Some(Duration::ZERO),
            exits: None,
            obeys: Some(Duration::ZERO),
            obeys_with: None,
            daemonises: true,
            helpers: 0,
            helpers_linger: Some(Duration::ZERO),
            helpers_obey: true,
            killing: Killing::After(Duration::ZERO),
            hooks: BTreeMap::new(),
            probes: (Duration::ZERO, Ok(())),
            pings: None,
        }
    }
}

impl Behaviour {
    /// A good program for this spec: a oneshot ends well at once, one with a watchdog keeps in touch.
    pub fn good(spec: &Spec) -> Self {
        let mut good = Behaviour::default();
        if spec.process_type == ProcessType::Oneshot {
            good.exits = Some((Duration::ZERO, ExitStatus::Code(0)));
        }
        good.pings = spec.watchdog.map(|interval| interval / 2);
        good
    }

    /// A program that may do anything.
    pub(super) fn hostile(rng: &mut Rng, spec: &Spec) -> Self {
        let mut it = Behaviour::good(spec);
        it.prepare_time = short(rng);
        if rng.chance(60) {
            it.preparation = match rng.below(3) {
                0 => Preparation::Unmet("path_exists: /nowhere".into()),
                1 => Preparation::Fails(failure(rng, SpawnStep::User)),
                _ => Preparation::Fails(resource(rng)),
            };
        }
        it.exec_time = short(rng);
        if rng.chance(80) {
            it.spawn_error = Some(if rng.chance(500) { resource(rng) } else { failure(rng, SpawnStep::Exec) });
        }
        it.ready_after = if rng.chance(80) { None } else { Some(short(rng)) };
        if rng.chance(if spec.process_type == ProcessType::Oneshot { 900 } else { 450 }) {
            let life = match rng.below(4) {
                0 => Duration::ZERO,
                1 => short(rng),
                2 => rng.millis(0, 20_000),
                _ => rng.millis(0, 200_000),
            };
            it.exits = Some((life, status(rng)));
        } else {
            it.exits = None;
        }
        it.obeys = if rng.chance(150) { None } else { Some(short(rng)) };
        it.obeys_with = rng.chance(300).then(|| status(rng));
        it.daemonises = !rng.chance(150);
        if rng.chance(250) {
            it.helpers = u32::try_from(1 + rng.below(3)).unwrap_or(1);
            it.helpers_linger = rng.chance(500).then(|| rng.millis(0, 15_000));
            it.helpers_obey = rng.chance(500);
        }
        it.killing = match rng.below(100) {
            0..80 => Killing::After(short(rng)),
            80..97 => Killing::StuckFor(rng.millis(0, 60_000)),
            _ => Killing::Never,
        };
        for kind in [
            HookKind::BeforeStart,
            HookKind::AfterStart,
            HookKind::BeforeStop,
            HookKind::StopCommand,
            HookKind::AfterStop,
            HookKind::OnFailure,
            HookKind::Reload,
        ] {
            if rng.chance(400) {
                let time = if rng.chance(100) { Duration::MAX } else { short(rng) };
                let result = if rng.chance(250) { Err("exit code 1".to_owned()) } else { Ok(()) };
                it.hooks.insert(kind, (time, result));
            }
        }
        if rng.chance(300) {
            let time = if rng.chance(300) { Duration::MAX } else { short(rng) };
            it.probes = (time, if rng.chance(400) { Err("connection refused".to_owned()) } else { Ok(()) });
        }
        if rng.chance(200) {
            it.pings = None;
        }
        it
    }

    /// The same program, tamed: what it still does, it does well.
    pub(super) fn calm(&mut self, spec: &Spec) {
        let keep = self.helpers;
        let killing = match self.killing {
            Killing::Never => Killing::Never,
            _ => Killing::After(Duration::ZERO),
        };
        *self = Behaviour { helpers: keep, killing, ..Behaviour::good(spec) };
    }
}

fn short(rng: &mut Rng) -> Duration {
    match rng.below(8) {
        0..4 => Duration::ZERO,
        4..6 => rng.millis(0, 3),
        6 => rng.millis(0, 500),
        _ => rng.millis(0, 20_000),
    }
}

/// Any way to end.
pub(super) fn status(rng: &mut Rng) -> ExitStatus {
    let signal = |number: i32| Signal::from_number(number).unwrap_or(Signal::TERM);
    match rng.below(8) {
        0..3 => ExitStatus::Code(0),
        3..5 => ExitStatus::Code(i32::try_from(rng.below(256)).unwrap_or(1)),
        5 => ExitStatus::Signal { signal: signal(11), core: rng.chance(500) },
        6 => ExitStatus::Signal {
            signal: *rng.pick(&[Signal::TERM, Signal::KILL, Signal::INT]).unwrap_or(&Signal::TERM),
            core: false,
        },
        _ => ExitStatus::Unknown,
    }
}

/// A spawn error for lack of something that may come back.
pub(super) fn resource(rng: &mut Rng) -> SpawnError {
    let errno = *rng.pick(&[11, 12, 24, 23]).unwrap_or(&11);
    SpawnError { step: SpawnStep::Clone, errno: Some(errno), message: format!("cannot make a process: errno {errno}") }
}

fn failure(rng: &mut Rng, step: SpawnStep) -> SpawnError {
    let errno = *rng.pick(&[2, 13, 8, 20, 7]).unwrap_or(&2);
    SpawnError { step, errno: Some(errno), message: format!("cannot execute `/opt/x`: errno {errno}") }
}
