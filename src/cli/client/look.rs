//! How processes look to people.

use super::table::Cell;
use crate::cli::paint::Tone;
use crate::cli::times::Moment;
use crate::rpc::proto::v1::{Health, Process, State};

/// The word for a state.
pub(super) fn word(state: State) -> String {
    state.as_str_name().trim_start_matches("STATE_").to_ascii_lowercase()
}

/// How a state looks.
pub(super) fn tone(state: State) -> Tone {
    match state {
        State::Running => Tone::Good,
        State::Failed | State::Crashed => Tone::Bad,
        State::Backoff | State::Stopping | State::Waiting | State::Starting => Tone::Warn,
        State::Created | State::Stopped | State::Exited | State::Unspecified => Tone::Plain,
    }
}

/// Its state.
pub(super) fn state(process: &Process) -> Cell {
    (tone(process.state()), word(process.state()))
}

/// Its health; nothing when it has no check, or does not run.
pub(super) fn health(process: &Process) -> Cell {
    match process.health() {
        Health::Unknown => (Tone::Faint, "-".into()),
        Health::Starting => (Tone::Plain, "starting".into()),
        Health::Healthy => (Tone::Good, "healthy".into()),
        Health::Unhealthy => (Tone::Bad, "unhealthy".into()),
    }
}

/// The same with what led to it, where there is room.
pub(super) fn health_at_length(process: &Process, now: Moment) -> Cell {
    let (tone, mut said) = health(process);
    if process.health() == Health::Unknown {
        return (tone, said);
    }
    let failed = usize::try_from(process.health_failures).unwrap_or(usize::MAX);
    if failed > 0 {
        said += &format!(", {} in a row", count(failed, "failure", "failures"));
    }
    if let Some(at) = process.health_checked_at.as_ref().map(Moment::from) {
        said += &format!(", checked {} ago", at.age(now));
    }
    (tone, said)
}

/// How long it has been in its state.
pub(super) fn since(process: &Process, now: Moment) -> String {
    process.since.as_ref().map_or_else(|| "-".into(), |since| Moment::from(since).age(now))
}

/// Its main process.
pub(super) fn pid(process: &Process) -> String {
    process.pid.map_or_else(|| "-".into(), |pid| pid.to_string())
}

/// Why it is in its state, else what it says of itself; and whether it is other than its configuration says.
pub(super) fn reason(process: &Process, now: Moment) -> Cell {
    let mut parts: Vec<String> = Vec::new();
    let reason = process.reason.as_deref().filter(|reason| !reason.is_empty());
    // When it starts again is said below.
    let reason = reason.map(|reason| reason.split("; waits ").next().unwrap_or(reason));
    match (reason, process.status_text.as_deref()) {
        (Some(reason), _) => parts.push(reason.to_owned()),
        (None, Some(text)) if !text.is_empty() => parts.push(format!("says: {text}")),
        _ => {}
    }
    if let (State::Backoff, Some(at)) = (process.state(), &process.retry_at) {
        parts.push(format!("starts again in {}", Moment::from(at).until(now)));
    }
    if process.overridden {
        parts.push("overridden".into());
    } else if process.runtime {
        parts.push("made at run time".into());
    }
    let tone = if matches!(process.state(), State::Failed | State::Crashed) { Tone::Bad } else { Tone::Plain };
    (tone, parts.join("; "))
}

/// How its last run ended, if one has.
pub(super) fn ending(process: &Process) -> Option<String> {
    let core = if process.core_dumped { ", core dumped" } else { "" };
    match (process.exit_code, process.signal.as_deref()) {
        (Some(code), _) => Some(format!("exit code {code}")),
        (None, Some(signal)) => Some(format!("killed by {signal}{core}")),
        (None, None) => process.ended_at.is_some().then(|| "status unknown".to_owned()),
    }
}

/// `1 process`, `2 processes`.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

/// What tests show.
#[cfg(test)]
pub(super) mod samples {
    use prost_types::Timestamp;

    use crate::cli::times::Moment;
    use crate::rpc::proto::v1::{Health, Process, State};

    /// When the samples are looked at.
    pub(in crate::cli::client) const NOW: Moment = Moment(1_000_000_000_000);

    /// So many seconds before that.
    pub(in crate::cli::client) fn ago(seconds: i64) -> Option<Timestamp> {
        Some(Timestamp { seconds: 1_000_000_000 - seconds, nanos: 0 })
    }

    /// One that has run for two days and four hours.
    pub(in crate::cli::client) fn web() -> Process {
        Process {
            id: "5e0c1a52-7d3c-4a3e-9f61-2f9d5c1f0a01".into(),
            name: "web".into(),
            pid: Some(4711),
            state: State::Running.into(),
            health: Health::Healthy.into(),
            run_count: 1,
            wanted: true,
            created_at: ago(187_300),
            started_at: ago(187_201),
            since: ago(187_200),
            command: vec!["nginx".into(), "-g".into(), "daemon off;".into()],
            ..Process::default()
        }
    }

    /// One that waits to be started again.
    pub(in crate::cli::client) fn worker() -> Process {
        Process {
            id: "5e0c1a52-7d3c-4a3e-9f61-2f9d5c1f0a02".into(),
            name: "worker".into(),
            state: State::Backoff.into(),
            reason: Some("exit code 3; waits 33s".into()),
            run_count: 7,
            exit_code: Some(3),
            restarts: 6,
            retry_at: ago(-30),
            ended_at: ago(3),
            since: ago(3),
            ..Process::default()
        }
    }

    /// One that failed.
    pub(in crate::cli::client) fn migrate() -> Process {
        Process {
            name: "migrate".into(),
            state: State::Failed.into(),
            reason: Some("killed by SIGKILL".into()),
            run_count: 1,
            signal: Some("SIGKILL".into()),
            ended_at: ago(240),
            since: ago(240),
            overridden: true,
            ..Process::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::health_at_length;
    use super::samples::{NOW, ago, web};
    use crate::rpc::proto::v1::{Health, Process};

    #[test]
    fn health_tells_how_often_it_failed_and_when_it_was_asked() {
        let said = |process: Process| health_at_length(&process, NOW).1;
        assert_eq!(said(Process { health: Health::Unknown.into(), ..web() }), "-");
        assert_eq!(said(web()), "healthy");
        assert_eq!(said(Process { health_failures: 1, ..web() }), "healthy, 1 failure in a row");
        let sick = Health::Unhealthy.into();
        let sick = Process { health: sick, health_failures: 4, health_checked_at: ago(3), ..web() };
        assert_eq!(said(sick), "unhealthy, 4 failures in a row, checked 3s ago");
    }
}
