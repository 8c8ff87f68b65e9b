//! What went in and out, for people and for comparing.

use std::fmt;

use crate::core::{Command, Event, EventKind, Input, Output, Time};

/// The last inputs and outputs of a world, in words.
#[derive(Clone, Debug, Default)]
pub(super) struct Trace {
    lines: Vec<String>,
}

impl Trace {
    pub(super) fn input(&mut self, at: Time, input: &Input) {
        self.lines.push(format!("{} -> {}", Clock(at), InputText(input)));
    }

    pub(super) fn output(&mut self, at: Time, output: &Output) {
        self.lines.push(format!("{}    <- {}", Clock(at), OutputText(output)));
    }

    pub(super) fn lost(&mut self, at: Time, output: &Output) {
        self.lines.push(format!("{}    <- (lost) {}", Clock(at), OutputText(output)));
    }

    pub(super) fn say(&mut self, at: Time, line: &str) {
        self.lines.push(format!("{} {line}", Clock(at)));
    }

    pub(super) fn tail(&self, count: usize) -> &[String] {
        &self.lines[self.lines.len().saturating_sub(count)..]
    }
}

struct Clock(Time);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>6}.{:06}", self.0.0 / 1_000_000_000, self.0.0 % 1_000_000_000 / 1_000)
    }
}

struct InputText<'a>(&'a Input);

impl fmt::Display for InputText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Input::Command { id, command, .. } => match command {
                Command::Create { spec, start } => write!(f, "{id}: create `{}`, start {start}", spec.name),
                Command::Update { process, restart, dry_run, .. } => {
                    write!(f, "{id}: update {process}, restart {restart}, dry run {dry_run}")
                }
                Command::Apply(plan) => {
                    write!(f, "{id}: apply")?;
                    plan.specs().try_for_each(|spec| write!(f, " {}", spec.name))
                }
                other => write!(f, "{id}: {other:?}"),
            },
            other => write!(f, "{other:?}"),
        }
    }
}

struct OutputText<'a>(&'a Output);

impl fmt::Display for OutputText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Output::Prepare { run, process, spec, .. } => write!(f, "prepare {run} of {process} `{}`", spec.name),
            Output::ArmSockets(process, spec) => write!(f, "arm sockets of {process} `{}`", spec.name),
            Output::StartProbe { run, kind, .. } => write!(f, "start {kind:?} probe of {run}"),
            Output::RunHook { run, kind, .. } => write!(f, "run {} hook of {run}", kind.as_str()),
            Output::Emit(event) => EventText(event).fmt(f),
            other => write!(f, "{other:?}"),
        }
    }
}

struct EventText<'a>(&'a Event);

impl fmt::Display for EventText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Event { sequence, name, run, kind, cause, .. } = self.0;
        write!(f, "#{sequence}")?;
        if let Some(name) = name {
            write!(f, " `{name}`")?;
        }
        if let Some(run) = run {
            write!(f, " {run}")?;
        }
        match kind {
            EventKind::State { from, to, reason, retry_in } => {
                write!(f, " {from} => {to}")?;
                if !reason.is_empty() {
                    write!(f, " ({reason})")?;
                }
                if let Some(delay) = retry_in {
                    write!(f, " again in {delay:?}")?;
                }
            }
            other => write!(f, " {other:?}")?,
        }
        write!(f, " [{cause:?}]")
    }
}

/// A hash of everything that came out, in order (FNV-1a).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint(pub(super) u64);

impl Fingerprint {
    pub(super) fn new() -> Self {
        Fingerprint(0xcbf2_9ce4_8422_2325)
    }
}

impl fmt::Write for Fingerprint {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        Ok(())
    }
}
