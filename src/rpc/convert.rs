//! From what the supervisor says to what clients read.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use nix::time::{ClockId, clock_gettime};
use prost_types::Timestamp;

use super::proto::v1;
use super::select::Found;
use crate::core::{Change, ExitStatus, HealthStatus, HoldKind, StateName, Status, Time, WallTime, Want};
use crate::spec::{Problem, Severity};

/// A process for a list.
pub(super) fn process(found: &Found) -> v1::Process {
    let Found { uuid, status, spec } = found;
    let (exit_code, signal, core_dumped) = ending(status.exit);
    v1::Process {
        id: uuid.clone(),
        name: status.name.to_string(),
        pid: status.pid.map(|pid| pid.0),
        state: state(status.state).into(),
        reason: some(&status.reason),
        health: health(status.health).into(),
        run_count: status.run_count,
        exit_code,
        signal,
        core_dumped,
        run: status.run.map(|run| run.0),
        restarts: status.restarts,
        wanted: status.want == Want::Up,
        holds: status
            .holds
            .iter()
            .map(|hold| v1::Hold { kind: hold_kind(hold.kind).into(), name: hold.name.to_string() })
            .collect(),
        retry_at: status.retry_at.map(wall_of),
        status_text: status.status_text.clone(),
        created_at: Some(time(status.created_at)),
        started_at: status.started_at.map(time),
        ended_at: status.ended_at.map(time),
        since: Some(time(status.since)),
        runtime: status.runtime,
        overridden: status.overridden,
        description: spec.description.clone(),
        command: spec.command.clone(),
        groups: spec.source.groups.clone(),
        health_failures: status.health_failures,
        health_checked_at: status.health_checked_at.map(time),
    }
}

/// What was asked for came about for this process.
pub(super) fn outcome(uuid: &str, status: &Status) -> v1::Outcome {
    v1::Outcome {
        id: uuid.to_owned(),
        name: status.name.to_string(),
        state: state(status.state).into(),
        reason: some(&status.reason),
        pid: status.pid.map(|pid| pid.0),
        ..Default::default()
    }
}

/// How many are in each state.
pub(super) fn states(all: &[Found]) -> v1::States {
    let mut counts: BTreeMap<StateName, u32> = BTreeMap::new();
    for found in all {
        *counts.entry(found.status.state).or_default() += 1;
    }
    let count = |state| counts.get(&state).copied().unwrap_or_default();
    v1::States {
        created: count(StateName::Created),
        waiting: count(StateName::Waiting),
        starting: count(StateName::Starting),
        running: count(StateName::Running),
        stopping: count(StateName::Stopping),
        backoff: count(StateName::Backoff),
        stopped: count(StateName::Stopped),
        exited: count(StateName::Exited),
        failed: count(StateName::Failed),
        crashed: count(StateName::Crashed),
    }
}

pub(super) fn state(state: StateName) -> v1::State {
    match state {
        StateName::Created => v1::State::Created,
        StateName::Waiting => v1::State::Waiting,
        StateName::Starting => v1::State::Starting,
        StateName::Running => v1::State::Running,
        StateName::Stopping => v1::State::Stopping,
        StateName::Backoff => v1::State::Backoff,
        StateName::Stopped => v1::State::Stopped,
        StateName::Exited => v1::State::Exited,
        StateName::Failed => v1::State::Failed,
        StateName::Crashed => v1::State::Crashed,
    }
}

/// The state that a request names; `None` when it names none, an error when it is none of ours.
pub(super) fn state_named(number: i32) -> Result<Option<StateName>, ()> {
    let named = v1::State::try_from(number).map_err(|_| ())?;
    Ok(StateName::ALL.into_iter().find(|known| state(*known) == named))
}

pub(super) fn health(health: HealthStatus) -> v1::Health {
    match health {
        HealthStatus::Unknown => v1::Health::Unknown,
        HealthStatus::Starting => v1::Health::Starting,
        HealthStatus::Healthy => v1::Health::Healthy,
        HealthStatus::Unhealthy => v1::Health::Unhealthy,
    }
}

pub(super) fn hold_kind(kind: HoldKind) -> &'static str {
    match kind {
        HoldKind::Order => "order",
        HoldKind::Requires => "requires",
        HoldKind::BindsTo => "binds_to",
        HoldKind::Conflict => "conflict",
        HoldKind::Stop => "stop",
    }
}

/// Exit code, signal, and whether there is a core dump.
pub(super) fn ending(exit: Option<ExitStatus>) -> (Option<i32>, Option<String>, bool) {
    match exit {
        Some(ExitStatus::Code(code)) => (Some(code), None, false),
        Some(ExitStatus::Signal { signal, core }) => (None, Some(signal.to_string()), core),
        Some(ExitStatus::Unknown) | None => (None, None, false),
    }
}

pub(super) fn problem(problem: &Problem) -> v1::Problem {
    v1::Problem {
        warning: problem.severity == Severity::Warning,
        file: problem.file.clone(),
        line: problem.line,
        process: problem.process.clone(),
        field: problem.field.clone(),
        message: problem.message.clone(),
    }
}

/// What becomes of a process.
pub(super) fn change(change: &Change) -> v1::Change {
    v1::Change {
        name: change.name.to_string(),
        action: change.kind.as_str().into(),
        fields: change
            .fields
            .iter()
            .map(|field| v1::FieldChange {
                path: field.path.clone(),
                effect: field.effect.to_string(),
                before: field.before.clone(),
                after: field.after.clone(),
                r#override: field.overrides,
            })
            .collect(),
        overridden: change.overridden,
        state: change.state.map_or(v1::State::Unspecified, state).into(),
        file: change.source.file.clone(),
        line: change.source.line,
        along: change.along.iter().map(ToString::to_string).collect(),
    }
}

pub(super) fn time(time: WallTime) -> Timestamp {
    let nanos = time.0.rem_euclid(1_000) * 1_000_000;
    Timestamp { seconds: time.0.div_euclid(1_000), nanos: i32::try_from(nanos).unwrap_or(0) }
}

/// A moment of the monotonic clock as people read it: by what both clocks say now.
fn wall_of(moment: Time) -> Timestamp {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
    let left = Duration::from_nanos(moment.0).saturating_sub(now);
    Timestamp::from(SystemTime::now().checked_add(left).unwrap_or(SystemTime::UNIX_EPOCH))
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Text, when there is any.
pub(super) fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{state, state_named, time};
    use crate::core::{StateName, WallTime};

    #[test]
    fn every_state_has_a_number_and_back() {
        for name in StateName::ALL {
            assert_eq!(state_named(state(name).into()), Ok(Some(name)));
            assert_eq!(state(name).as_str_name().to_lowercase(), format!("state_{name}"));
        }
        assert_eq!(state_named(0), Ok(None));
        assert_eq!(state_named(99), Err(()));
    }

    #[test]
    fn times_before_1970_have_positive_nanoseconds_too() {
        let before = time(WallTime(-1));
        assert_eq!((before.seconds, before.nanos), (-1, 999_000_000));
    }
}
