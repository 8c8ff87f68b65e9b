//! `neap run`: one command under supervision, no configuration.

use std::collections::BTreeSet;
use std::io::stderr;
use std::path::Path;

use nix::errno::Errno;

use super::app::Voice;
use super::args::Run;
use super::exit::{Exit, Failure, RUN_FAILED, RUN_NOT_EXECUTABLE, RUN_NOT_FOUND};
use super::narrate::Talk;
use super::printer::Printing;
use super::screen::{Look, Screen};
use super::session::{Manner, Outcome, Session};
use super::signals::{Early, Signals};
use super::summary::Summary;
use super::{notes, orphans};
use crate::Supervisor;
use crate::core::{Cause, Ending, Event, EventKind, ExitStatus, SpawnError, StateName};
use crate::spec::{LogSettings, Plan, Restart, RestartPolicy, Spec, Stream};

/// Runs it, and ends with its code.
pub(super) fn run(args: Run, voice: Voice) -> Result<Exit, Failure> {
    let outcome = supervise(args, voice).map_err(|failure| failure.exit(Exit::Code(RUN_FAILED)))?;
    finish(&outcome)
}

fn supervise(args: Run, voice: Voice) -> Result<Outcome, Failure> {
    let signals = Signals::take(Early::Exit)?;
    orphans::adopt()?;
    let spec = spec(args)?;
    let name = spec.name.clone();
    let supervisor = Supervisor::builder().build().map_err(|error| Failure::new(error.to_string()))?;
    let talk = if voice.talk == Talk::Normal { Talk::Quiet } else { voice.talk };
    let look = Look { paint: voice.err, terminal: std::io::IsTerminal::is_terminal(&stderr()), talk };
    let screen = Screen::new(stderr(), look, std::iter::once(name.as_str()));
    let filter = if voice.talk == Talk::Quiet { nothing } else { news };
    let (notes, pending) = notes::notes();
    let printer = Printing { screen, lines: true, filter, notes, pending };
    let summary = Summary::new(BTreeSet::new());
    let session = Session::begin(supervisor.clone(), signals, summary, Manner::of_run(), printer)?;
    let mut plan = Plan::new();
    plan.insert(spec).map_err(|problem| Failure::new(problem.to_string()))?;
    supervisor.apply(plan).wait().map_err(|error| Failure::new(error.to_string()))?;
    Ok(session.supervise())
}

fn spec(args: Run) -> Result<Spec, Failure> {
    let command: Result<Vec<String>, _> = args.command.into_iter().map(std::ffi::OsString::into_string).collect();
    let command = command.map_err(|word| Failure::new(format!("{word:?} is not UTF-8")))?;
    let name = match args.name {
        Some(name) => name,
        None => default_name(command.first().map_or("", String::as_str)),
    };
    let mut spec = Spec::new(name, command);
    spec.restart = Restart { policy: RestartPolicy::from(args.restart), ..Restart::default() };
    spec.log = LogSettings { stdout: Stream::Inherit, stderr: Stream::Inherit, ..LogSettings::default() };
    Ok(spec)
}

/// The program's file name, as far as it may be a process's name.
fn default_name(program: &str) -> String {
    let file = Path::new(program).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let kept: String = file.chars().filter(|c| c.is_ascii_alphanumeric() || "_.@-".contains(*c)).take(128).collect();
    let kept = kept.trim_start_matches(['.', '@', '-']);
    if kept.is_empty() { "command".into() } else { kept.into() }
}

/// How the command ended is said by the exit code, and why it was not executed at the very end.
fn news(event: &Event) -> bool {
    let its_own_end = matches!(event.cause, Cause::Ended(Ending::Exit(_)));
    match event.kind {
        EventKind::State { to: StateName::Failed, .. } => false,
        EventKind::State { to: StateName::Backoff | StateName::Crashed, .. } => true,
        EventKind::State { .. } => !its_own_end,
        _ => true,
    }
}

fn nothing(_: &Event) -> bool {
    false
}

fn finish(outcome: &Outcome) -> Result<Exit, Failure> {
    if let Some(error) = outcome.summary.last_spawn_error() {
        return Err(Failure::new(error.message.clone()).exit(Exit::Code(spawn_code(error))));
    }
    match outcome.summary.last_exit() {
        Some(status) => Ok(Exit::Code(code(status))),
        None => Err(Failure::new(match outcome.summary.failed().first() {
            Some((name, why)) => format!("{name}: {why}"),
            None => "stopped before the command was executed".into(),
        })
        .exit(Exit::Code(RUN_FAILED))),
    }
}

fn code(status: ExitStatus) -> u8 {
    match status {
        // The kernel keeps eight bits of it.
        ExitStatus::Code(code) => u8::try_from(code & 0xff).unwrap_or(RUN_FAILED),
        ExitStatus::Signal { signal, .. } => u8::try_from(128 + signal.number()).unwrap_or(RUN_FAILED),
        ExitStatus::Unknown => RUN_FAILED,
    }
}

fn spawn_code(error: &SpawnError) -> u8 {
    use crate::core::SpawnStep;
    match (error.step, error.errno.map(Errno::from_raw)) {
        (SpawnStep::Exec | SpawnStep::Prepare, Some(Errno::ENOENT | Errno::ENOTDIR)) => RUN_NOT_FOUND,
        (SpawnStep::Exec | SpawnStep::Prepare, Some(Errno::EACCES | Errno::ENOEXEC | Errno::EISDIR | Errno::EPERM)) => {
            RUN_NOT_EXECUTABLE
        }
        _ => RUN_FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::{code, default_name, spawn_code};
    use crate::core::{ExitStatus, SpawnError, SpawnStep};
    use crate::spec::Signal;

    #[test]
    fn the_name_is_the_programs() {
        assert_eq!(default_name("/usr/bin/redis-server"), "redis-server");
        assert_eq!(default_name("./-odd name!"), "oddname");
        assert_eq!(default_name("/"), "command");
    }

    #[test]
    fn the_code_is_the_commands_or_128_and_the_signal() {
        assert_eq!(code(ExitStatus::Code(7)), 7);
        assert_eq!(code(ExitStatus::Signal { signal: Signal::TERM, core: false }), 143);
        assert_eq!(code(ExitStatus::Unknown), 125);
    }

    #[test]
    fn what_could_not_be_executed_is_told_apart() {
        let error = |step, errno| SpawnError { step, errno: Some(errno), message: String::new() };
        assert_eq!(spawn_code(&error(SpawnStep::Exec, 2)), 127);
        assert_eq!(spawn_code(&error(SpawnStep::Exec, 13)), 126);
        assert_eq!(spawn_code(&error(SpawnStep::Exec, 8)), 126);
        assert_eq!(spawn_code(&error(SpawnStep::WorkingDirectory, 2)), 125);
    }
}
