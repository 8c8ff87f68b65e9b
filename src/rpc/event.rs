//! Events as clients read them: fields for programs, a line for people.

use std::time::Duration;

use super::convert::{ending, millis, some, time};
use super::ids::id_of;
use super::proto::v1;
use crate::core::{Cause, Ending, Event, EventKind, HealthStatus, Pid};
use crate::spec::units::format_duration;

/// The event with its fields and its line.
pub(super) fn event(event: &Event, instance: &str) -> v1::Event {
    let mut told = v1::Event {
        sequence: event.sequence,
        time: Some(time(event.time)),
        kind: kind(&event.kind),
        process: event.name.as_deref().map(str::to_owned),
        run: event.run.map(|run| run.0),
        cause: cause(&event.cause).to_owned(),
        cause_text: event.cause.to_string(),
        text: line(event),
        caller: event.caller.as_deref().map(str::to_owned),
        ..Default::default()
    };
    if let (Some(id), Some(name)) = (event.process, &event.name) {
        told.process_id = Some(id_of(instance, id, name));
    }
    if let Cause::Relation(relation, name) = &event.cause {
        told.relation = Some(relation.as_str().to_owned());
        told.by = Some(name.to_string());
    }
    fields(&event.kind, &mut told);
    // How it ended, when that is the cause: a program that waits for a failure asks for its code.
    if let (Cause::Ended(Ending::Exit(status) | Ending::NotReady(status)), EventKind::State { .. }) =
        (&event.cause, &event.kind)
    {
        (told.exit_code, told.signal, told.core_dumped) = ending(Some(*status));
    }
    told
}

/// A task has none.
fn some_pid(pid: Pid) -> Option<u32> {
    Some(pid.0).filter(|_| pid != Pid::TASK)
}

fn fields(kind: &EventKind, told: &mut v1::Event) {
    match kind {
        EventKind::State { from, to, reason, retry_in } => {
            told.from = Some(from.to_string());
            told.to = Some(to.to_string());
            told.reason = some(reason);
            told.retry_in = retry_in.map(millis);
        }
        EventKind::Executed { pid } | EventKind::MainPid { pid } => told.pid = some_pid(*pid),
        EventKind::ProcessExited { pid, status } => {
            told.pid = some_pid(*pid);
            (told.exit_code, told.signal, told.core_dumped) = ending(Some(*status));
        }
        EventKind::Skipped { condition } => told.condition = Some(condition.clone()),
        EventKind::Signalled { signal } => told.signal = Some(signal.to_string()),
        EventKind::Health { from, to, reason } => {
            told.from = Some(from.as_str().to_owned());
            told.to = Some(to.as_str().to_owned());
            told.reason = some(reason);
        }
        EventKind::HookFailed { hook, reason } => {
            told.hook = Some(hook.as_str().to_owned());
            told.reason = some(reason);
        }
        EventKind::Status { text } => told.reason = some(text),
        EventKind::Stuck { pids } => told.pids = pids.iter().map(|pid| pid.0).collect(),
        EventKind::Updated { fields, needs_restart } => {
            told.fields.clone_from(fields);
            told.needs_restart.clone_from(needs_restart);
        }
        EventKind::Applied { added, removed, changed } => {
            told.added = Some(*added);
            told.removed = Some(*removed);
            told.changed = Some(*changed);
        }
        EventKind::Refused { reason } => told.reason = some(reason),
        EventKind::Evaluated { line } => told.line = some(line),
        EventKind::Warning { text } => told.reason = some(text),
        EventKind::Listening { at } => told.reason = Some(format!("for a connection on {at}")),
        EventKind::Adopted { pid } => told.pid = pid.map(|pid| pid.0),
        EventKind::Defined
        | EventKind::Deleted
        | EventKind::Reloading
        | EventKind::Oom
        | EventKind::PidsLimit
        | EventKind::ShuttingDown => {}
    }
}

fn kind(kind: &EventKind) -> String {
    let word = match kind {
        EventKind::State { to, .. } => return format!("process.{to}"),
        EventKind::Health { to, .. } => return format!("health.{}", to.as_str()),
        EventKind::Defined => "process.defined",
        EventKind::Deleted => "process.deleted",
        EventKind::Executed { .. } => "process.executed",
        EventKind::MainPid { .. } => "process.main_pid",
        EventKind::ProcessExited { .. } => "process.ended",
        EventKind::Skipped { .. } => "process.skipped",
        EventKind::Signalled { .. } => "process.signalled",
        EventKind::HookFailed { .. } => "process.hook_failed",
        EventKind::Status { .. } => "process.status",
        EventKind::Reloading => "process.reloading",
        EventKind::Oom => "process.oom",
        EventKind::PidsLimit => "process.pids_limit",
        EventKind::Listening { .. } => "process.listening",
        EventKind::Stuck { .. } => "process.stuck",
        EventKind::Updated { .. } => "process.updated",
        EventKind::Adopted { .. } => "process.adopted",
        EventKind::Warning { .. } => "warning",
        EventKind::Applied { .. } => "config.applied",
        EventKind::Refused { .. } => "config.refused",
        EventKind::Evaluated { .. } => "instance.evaluated",
        EventKind::ShuttingDown => "instance.shutting_down",
    };
    word.to_owned()
}

pub(super) fn cause(cause: &Cause) -> &'static str {
    match cause {
        Cause::Command(_) => "command",
        Cause::AutoStart => "auto_start",
        Cause::Apply => "apply",
        Cause::Shutdown => "shutdown",
        Cause::Policy => "policy",
        Cause::Socket | Cause::Connection(_) => "socket",
        Cause::Idle => "idle",
        Cause::Relation(..) => "relation",
        Cause::Ended(_) => "ended",
        Cause::Progress => "progress",
    }
}

/// The event in words, by itself: without time and name, and without what other events said.
fn line(event: &Event) -> String {
    match &event.kind {
        EventKind::Defined => "defined".into(),
        EventKind::Deleted => "deleted".into(),
        EventKind::State { to, reason, retry_in, .. } => {
            let cause = event.cause.to_string();
            let why = if reason.is_empty() { &cause } else { reason };
            let wait = retry_in.map(|wait| format!("; starts again in {}", in_millis(wait)));
            with_reason(to.as_str(), why) + &wait.unwrap_or_default()
        }
        EventKind::Executed { pid: Pid::TASK } => "begun".into(),
        EventKind::Executed { pid } => format!("executed as pid {pid}"),
        EventKind::MainPid { pid } => format!("its main process is pid {pid} now"),
        EventKind::ProcessExited { pid: Pid::TASK, status } => format!("over: {}", Ending::Exit(*status)),
        EventKind::ProcessExited { pid, status } => format!("pid {pid}: {}", Ending::Exit(*status)),
        EventKind::Skipped { condition } => format!("not started: condition {condition} does not hold"),
        EventKind::Signalled { signal } => format!("sent {signal}"),
        EventKind::Health { to: HealthStatus::Unknown, .. } => "health unknown".into(),
        EventKind::Health { to: HealthStatus::Starting, .. } => "health not known yet".into(),
        EventKind::Health { to, reason, .. } => with_reason(to.as_str(), reason),
        EventKind::HookFailed { hook, reason } => format!("{} hook failed: {reason}", hook.as_str()),
        EventKind::Status { text } => format!("says: {text}"),
        EventKind::Reloading => "reads its configuration again".into(),
        EventKind::Oom => "the kernel killed a member for lack of memory".into(),
        EventKind::PidsLimit => "the kernel refused it a process: its pids limit".into(),
        EventKind::Listening { at } => format!("listens, and waits for a connection on {at}"),
        EventKind::Stuck { pids } if pids.contains(&Pid::TASK) => "cannot be dropped: it blocks its thread".into(),
        EventKind::Stuck { pids } => {
            let pids: Vec<String> = pids.iter().map(Pid::to_string).collect();
            format!("survived SIGKILL: pid {}", pids.join(", "))
        }
        EventKind::Updated { fields, needs_restart } if needs_restart.is_empty() => {
            format!("updated: {}", fields.join(", "))
        }
        EventKind::Updated { fields, needs_restart } => {
            format!("updated: {}; in force after a restart: {}", fields.join(", "), needs_restart.join(", "))
        }
        EventKind::Adopted { pid: Some(pid) } => format!("adopted: pid {pid} runs on"),
        EventKind::Adopted { pid: None } => "adopted: what its main process left runs on".into(),
        EventKind::Warning { text } => text.clone(),
        EventKind::Applied { added, removed, changed } => {
            format!("configuration applied: {added} added, {removed} removed, {changed} changed")
        }
        EventKind::Refused { reason } => format!("configuration refused: {reason}"),
        EventKind::Evaluated { line } => format!("evaluated: {line}"),
        EventKind::ShuttingDown => "the instance shuts down".into(),
    }
}

/// A duration for people, who do not want to know of nanoseconds.
fn in_millis(duration: Duration) -> String {
    format_duration(Duration::from_millis(millis(duration)))
}

fn with_reason(what: &str, why: &str) -> String {
    if why.is_empty() { what.to_owned() } else { format!("{what}: {why}") }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::event;
    use crate::core::{
        Asked, Cause, CommandId, Ending, Event, EventKind, ExitStatus, ProcessId, RelationKind, StateName, Verb,
        WallTime,
    };

    fn of(kind: EventKind, cause: Cause) -> Event {
        let process = Some(ProcessId(1));
        Event {
            sequence: 9,
            time: WallTime(1_500),
            process,
            name: Some("web".into()),
            run: None,
            kind,
            cause,
            caller: None,
        }
    }

    #[test]
    fn a_failure_has_its_code_its_delay_and_its_line() {
        let ending = Ending::Exit(ExitStatus::Code(3));
        let kind = EventKind::State {
            from: StateName::Stopping,
            to: StateName::Backoff,
            reason: ending.to_string(),
            retry_in: Some(Duration::from_millis(500)),
        };
        let told = event(&of(kind, Cause::Ended(ending)), "default");
        assert_eq!((told.sequence, told.kind.as_str(), told.cause.as_str()), (9, "process.backoff", "ended"));
        assert_eq!((told.exit_code, told.retry_in), (Some(3), Some(500)));
        assert_eq!(told.text, "backoff: exit code 3; starts again in 500ms");
        assert!(told.process_id.is_some());
    }

    #[test]
    fn who_asked_is_named() {
        let asked = Asked { id: CommandId(1), what: Some(Verb::Stop), by: Some("user ana (uid 7)".into()) };
        let caller = asked.by.clone();
        let (from, to) = (StateName::Running, StateName::Stopping);
        let stopping = EventKind::State { from, to, reason: String::new(), retry_in: None };
        let told = event(&Event { caller, ..of(stopping, Cause::Command(asked)) }, "default");
        assert_eq!(told.text, "stopping: asked for");
        assert_eq!(told.caller.as_deref(), Some("user ana (uid 7)"));
    }

    #[test]
    fn what_another_process_brought_about_names_it() {
        let kind = EventKind::State {
            from: StateName::Running,
            to: StateName::Stopping,
            reason: String::new(),
            retry_in: None,
        };
        let told = event(&of(kind, Cause::Relation(RelationKind::Requires, "db".into())), "default");
        assert_eq!((told.relation.as_deref(), told.by.as_deref()), (Some("requires"), Some("db")));
        assert_eq!(told.text, "stopping: requires `db`");
    }
}
