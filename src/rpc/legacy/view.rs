//! Processes as the clients of the older system read them.

use std::time::Duration;

use crate::core::{HealthStatus, StateName, WallTime};
use crate::rpc::convert::ending;
use crate::rpc::proto::process_manager as pm;
use crate::rpc::select::Found;
use crate::rpc::spec::{names_of, policy, stream};
use crate::spec::{Health, Hook, HookAction, ProbeTarget, ProcessType, Spec, StopMode};

pub(super) fn state(state: StateName) -> pm::ProcessState {
    match state {
        StateName::Created => pm::ProcessState::Created,
        StateName::Waiting | StateName::Starting | StateName::Backoff => pm::ProcessState::Starting,
        StateName::Running => pm::ProcessState::Running,
        StateName::Stopping => pm::ProcessState::Stopping,
        StateName::Stopped => pm::ProcessState::Stopped,
        StateName::Exited => pm::ProcessState::Exited,
        StateName::Failed | StateName::Crashed => pm::ProcessState::Crashed,
    }
}

pub(super) fn process(found: &Found) -> pm::Process {
    let Found { uuid, status, spec } = found;
    let (command, args) = command(&spec.command);
    let (exit_code, signal, _) = ending(status.exit);
    pm::Process {
        id: uuid.clone(),
        name: status.name.to_string(),
        pid: status.pid.map_or(0, |pid| pid.0),
        command,
        args,
        state: state(status.state).into(),
        run_count: status.run_count,
        exit_code: exit_code.unwrap_or_default(),
        signal: signal.unwrap_or_default(),
        created_at: seconds(Some(status.created_at)),
        started_at: seconds(status.started_at),
        ended_at: seconds(status.ended_at),
    }
}

pub(super) fn detail(found: &Found) -> pm::ProcessDetail {
    let Found { spec, status, .. } = found;
    let listed = process(found);
    let shown = spec.env.iter().map(|(name, value)| (name.clone(), value.clone()));
    let hidden = spec.secret_env.keys().map(|name| (name.clone(), "***".to_owned()));
    let last_step = spec.stop.sequence.first();
    pm::ProcessDetail {
        id: listed.id,
        name: listed.name,
        description: spec.description.clone().unwrap_or_default(),
        pid: listed.pid,
        state: listed.state,
        run_count: listed.run_count,
        exit_code: listed.exit_code,
        signal: listed.signal,
        command: listed.command,
        args: listed.args,
        created_at: listed.created_at,
        started_at: listed.started_at,
        ended_at: listed.ended_at,
        working_dir: spec.working_dir.clone().unwrap_or_default(),
        env: shown.chain(hidden).collect(),
        environment_file: spec.env_file.first().map_or_else(String::new, |file| match file.optional {
            true => format!("-{}", file.path),
            false => file.path.clone(),
        }),
        restart_policy: policy(spec.restart.policy).to_owned(),
        restart_sec: whole_seconds(spec.restart.delay),
        restart_max_delay: whole_seconds(spec.restart.max_delay),
        consecutive_failures: status.restarts,
        start_limit_burst: spec.restart.limit.burst,
        start_limit_interval: whole_seconds(spec.restart.limit.interval),
        timeout_start_sec: spec.start_timeout.map_or(0, whole_seconds),
        timeout_stop_sec: whole_seconds(spec.stop.sequence.iter().map(|step| step.wait).sum()),
        kill_signal_str: last_step.map_or_else(String::new, |step| step.signal.to_string()),
        kill_mode_val: kill_mode(spec.stop.mode).into(),
        pidfile: spec.pidfile.clone().unwrap_or_default(),
        stdout: stream(&spec.log.stdout),
        stderr: stream(&spec.log.stderr),
        user: spec.user.clone().unwrap_or_default(),
        group: spec.group.clone().unwrap_or_default(),
        success_exit_status: spec.success_exit_status.clone(),
        exec_start_pre: commands(&spec.hooks.before_start),
        exec_start_post: commands(&spec.hooks.after_start),
        exec_stop_post: commands(&spec.hooks.after_stop),
        after: spec.after.clone(),
        before: spec.before.clone(),
        requires: spec.requires.clone(),
        wants: spec.wants.clone(),
        binds_to: spec.binds_to.clone(),
        conflicts: spec.conflicts.clone(),
        process_type: process_type(spec.process_type).into(),
        health_check: spec.health.as_ref().and_then(health_check),
        health_status: if status.health == HealthStatus::Unknown {
            String::new()
        } else {
            status.health.as_str().into()
        },
        health_check_failures: status.health_failures,
        last_health_check: seconds(status.health_checked_at),
        resource_limits: limits(spec),
        condition_path_exists: spec.conditions.path_exists.clone(),
        runtime_directory: names_of(&spec.runtime_directory),
        ambient_capabilities: spec
            .ambient_capabilities
            .iter()
            .map(|name| format!("CAP_{}", name.to_uppercase()))
            .collect(),
    }
}

fn command(command: &[String]) -> (String, Vec<String>) {
    match command.split_first() {
        Some((program, args)) => (program.clone(), args.to_vec()),
        None => Default::default(),
    }
}

/// Commands of hooks, one a line; functions have none.
fn commands(hooks: &[Hook]) -> Vec<String> {
    let command = |hook: &Hook| match &hook.action {
        HookAction::Command(command) => Some(line(command)),
        HookAction::Function(_) => None,
    };
    hooks.iter().filter_map(command).collect()
}

/// Words as one line, which is split into the same words again.
fn line(words: &[String]) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    let shown = |word: &String| match !word.is_empty() && word.chars().all(is_plain) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    };
    words.iter().map(shown).collect::<Vec<String>>().join(" ")
}

fn process_type(kind: ProcessType) -> pm::ProcessType {
    match kind {
        ProcessType::Simple => pm::ProcessType::Simple,
        ProcessType::Forking => pm::ProcessType::Forking,
        ProcessType::Oneshot => pm::ProcessType::Oneshot,
        ProcessType::Notify => pm::ProcessType::Notify,
    }
}

fn kill_mode(mode: StopMode) -> pm::KillMode {
    match mode {
        StopMode::ControlGroup => pm::KillMode::ControlGroup,
        StopMode::ProcessGroup => pm::KillMode::ProcessGroup,
        StopMode::Process => pm::KillMode::Process,
        StopMode::Mixed => pm::KillMode::Mixed,
    }
}

/// A health check as this service knows them; one by a function has no place in it.
fn health_check(health: &Health) -> Option<pm::HealthCheck> {
    let mut told = pm::HealthCheck {
        interval: whole_seconds(health.interval),
        timeout: whole_seconds(health.timeout),
        retries: health.retries,
        start_period: whole_seconds(health.start_period),
        restart_after: health.restart_after,
        ..Default::default()
    };
    match &health.target {
        ProbeTarget::Http(probe) => {
            told.r#type = pm::HealthCheckType::Http.into();
            told.http_endpoint.clone_from(&probe.url);
            told.http_method.clone_from(&probe.method);
            // A range has no place here: its first stands for it.
            told.http_expected_status = probe.expected_status.first().map_or(0, |(low, _)| u32::from(*low));
        }
        ProbeTarget::Tcp { host, port } => {
            told.r#type = pm::HealthCheckType::Tcp.into();
            told.tcp_host.clone_from(host);
            told.tcp_port = u32::from(*port);
        }
        ProbeTarget::Exec(line) => {
            told.r#type = pm::HealthCheckType::Exec.into();
            (told.exec_command, told.exec_args) = command(line);
        }
        ProbeTarget::Function(_) => return None,
    }
    Some(told)
}

fn limits(spec: &Spec) -> Option<pm::ResourceLimits> {
    let limits = &spec.limits;
    let told = pm::ResourceLimits {
        // A weight is what a request of a hundredth of a core becomes (contract: weight = millicores / 10).
        cpu_request: limits.cpu_weight.map_or(0, |weight| weight.saturating_mul(10)),
        cpu_limit: limits.cpu_millis.unwrap_or_default(),
        memory_request: limits.memory_low.unwrap_or_default(),
        memory_limit: limits.memory.unwrap_or_default(),
        pids_limit: limits.pids.map_or(0, |pids| u32::try_from(pids).unwrap_or(u32::MAX)),
        oom_score_adj: limits.oom_score_adj.unwrap_or_default(),
    };
    (told != pm::ResourceLimits::default()).then_some(told)
}

fn seconds(time: Option<WallTime>) -> i64 {
    time.map_or(0, |time| time.0.div_euclid(1_000))
}

/// Whole seconds, rounded up: 0 means that there is none.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{state, whole_seconds};
    use crate::core::StateName;

    #[test]
    fn seconds_are_rounded_up() {
        for (millis, expected) in [(0, 0), (1, 1), (999, 1), (1_000, 1), (1_001, 2)] {
            assert_eq!(whole_seconds(Duration::from_millis(millis)), expected, "{millis} ms");
        }
    }

    #[test]
    fn states_are_those_that_the_clients_know() {
        let told: Vec<i32> = StateName::ALL.iter().map(|name| state(*name).into()).collect();
        // created, waiting, starting, running, stopping, backoff, stopped, exited, failed, crashed
        assert_eq!(told, [1, 2, 2, 3, 4, 2, 5, 7, 6, 6]);
    }
}
