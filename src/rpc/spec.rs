//! Specs as clients read them.

use std::time::Duration;

use super::convert::millis;
use super::proto::v1;
use crate::spec::units::format_mode;
use crate::spec::{
    Conditions, Directory, Health, Hook, HookAction, Hooks, HttpProbe, Limits, ListenAddress, Listener, LogSettings,
    ProbeTarget, ProcessType, Ready, Reload, Restart, RestartPolicy, Rlimit, Spec, Stop, StopMode, Stream,
};

/// What is shown of a secret.
const HIDDEN: &str = "***";

/// The whole spec, defaults included; secrets are hidden.
pub(crate) fn spec(spec: &Spec) -> v1::Spec {
    let shown = spec.env.iter().map(|(name, value)| (name.clone(), value.clone()));
    // Older clients know of names alone.
    let plain = spec.runtime_directory.iter().all(|directory| directory.mode == Directory::MODE);
    let hidden = spec.secret_env.keys().map(|name| (name.clone(), HIDDEN.to_owned()));
    v1::Spec {
        name: spec.name.clone(),
        description: spec.description.clone(),
        command: spec.command.clone(),
        r#type: Some(process_type(spec.process_type).into()),
        remain: Some(spec.remain),
        auto_start: Some(spec.auto_start),
        critical: Some(spec.critical),
        working_dir: spec.working_dir.clone(),
        env: shown.chain(hidden).collect(),
        env_file: spec
            .env_file
            .iter()
            .map(|file| if file.optional { format!("-{}", file.path) } else { file.path.clone() })
            .collect(),
        clear_env: Some(spec.clear_env),
        user: spec.user.clone(),
        group: spec.group.clone(),
        groups: names(spec.groups.as_ref()),
        umask: Some(spec.umask.map_or_else(|| "inherit".into(), format_mode)),
        nice: spec.nice,
        rlimits: spec.rlimits.iter().map(|(name, limit)| (name.clone(), rlimit(limit))).collect(),
        ambient_capabilities: spec.ambient_capabilities.clone(),
        bounding_capabilities: names(spec.bounding_capabilities.as_ref()),
        no_new_privs: Some(spec.no_new_privs),
        requires: spec.requires.clone(),
        wants: spec.wants.clone(),
        binds_to: spec.binds_to.clone(),
        follows: spec.follows.clone(),
        part_of: spec.part_of.clone(),
        conflicts: spec.conflicts.clone(),
        after: spec.after.clone(),
        before: spec.before.clone(),
        conditions: (!spec.conditions.is_empty()).then(|| conditions(&spec.conditions)),
        ready: Some(ready(&spec.ready)),
        health: spec.health.as_ref().map(health),
        restart: Some(restart(&spec.restart)),
        success_exit_status: success(spec),
        stop: Some(stop(&spec.stop)),
        start_timeout: Some(spec.start_timeout.map_or(-1, |time| i64::try_from(time.as_millis()).unwrap_or(i64::MAX))),
        reload: spec.reload.as_ref().map(|how| v1::Reload { on_change: spec.reload_on_change.clone(), ..reload(how) }),
        hooks: Some(hooks(&spec.hooks)),
        limits: Some(limits(&spec.limits)),
        listen: spec.listen.iter().map(listener).collect(),
        runtime_directory: if plain { names_of(&spec.runtime_directory) } else { Vec::new() },
        state_directory: directories(&spec.state_directory),
        cache_directory: directories(&spec.cache_directory),
        logs_directory: directories(&spec.logs_directory),
        runtime_directories: if plain { Vec::new() } else { directories(&spec.runtime_directory) },
        pidfile: spec.pidfile.clone(),
        log: Some(log(&spec.log)),
        watchdog: spec.watchdog.map(millis),
        secret_env: spec.secret_env.keys().cloned().collect(),
        volatile: Some(spec.volatile),
    }
}

/// The names of directories, for views that have no more.
pub(super) fn names_of(directories: &[Directory]) -> Vec<String> {
    directories.iter().map(|directory| directory.path.clone()).collect()
}

fn directories(directories: &[Directory]) -> Vec<v1::Directory> {
    let one =
        |directory: &Directory| v1::Directory { path: directory.path.clone(), mode: Some(format_mode(directory.mode)) };
    directories.iter().map(one).collect()
}

pub(super) fn process_type(kind: ProcessType) -> &'static str {
    match kind {
        ProcessType::Simple => "simple",
        ProcessType::Oneshot => "oneshot",
        ProcessType::Forking => "forking",
        ProcessType::Notify => "notify",
    }
}

pub(super) fn policy(policy: RestartPolicy) -> &'static str {
    match policy {
        RestartPolicy::Never => "never",
        RestartPolicy::Always => "always",
        RestartPolicy::OnFailure => "on-failure",
        RestartPolicy::OnSuccess => "on-success",
        RestartPolicy::OnAbnormal => "on-abnormal",
        RestartPolicy::OnAbort => "on-abort",
        RestartPolicy::OnWatchdog => "on-watchdog",
    }
}

pub(super) fn stream(stream: &Stream) -> String {
    match stream {
        Stream::Capture => "capture".into(),
        Stream::Inherit => "inherit".into(),
        Stream::Null => "null".into(),
        Stream::File(path) => path.clone(),
    }
}

fn names(names: Option<&Vec<String>>) -> Option<v1::Names> {
    names.map(|names| v1::Names { names: names.clone() })
}

fn rlimit(limit: &Rlimit) -> v1::Rlimit {
    v1::Rlimit { soft: limit.soft, hard: limit.hard }
}

fn conditions(conditions: &Conditions) -> v1::Conditions {
    v1::Conditions {
        path_exists: conditions.path_exists.clone(),
        path_executable: conditions.path_executable.clone(),
        file_not_empty: conditions.file_not_empty.clone(),
        env: conditions.env.clone(),
        check: conditions.check.map(|id| id.0),
    }
}

fn success(spec: &Spec) -> Vec<String> {
    let codes = spec.success_exit_status.iter().map(ToString::to_string);
    codes.chain(spec.success_signals.iter().map(ToString::to_string)).collect()
}

fn ready(ready: &Ready) -> v1::Ready {
    let mut told = v1::Ready::default();
    told.on = match ready {
        Ready::Executed => "executed",
        Ready::Notify => "notify",
        Ready::Health => "health",
        Ready::LogLine(line) => {
            told.pattern = Some(line.pattern.clone());
            "logline"
        }
        Ready::Probe(probe) => {
            told.probe = Some(target(&probe.target));
            told.interval = probe.interval.map(millis);
            told.timeout = probe.timeout.map(millis);
            "probe"
        }
    }
    .into();
    told
}

fn health(health: &Health) -> v1::HealthCheck {
    v1::HealthCheck {
        probe: Some(target(&health.target)),
        interval: Some(millis(health.interval)),
        timeout: Some(millis(health.timeout)),
        retries: Some(health.retries),
        successes: Some(health.successes),
        start_period: Some(millis(health.start_period)),
        restart_after: Some(health.restart_after),
    }
}

fn target(target: &ProbeTarget) -> v1::Probe {
    use v1::probe::Target;
    let target = match target {
        ProbeTarget::Http(probe) => Target::Http(http(probe)),
        ProbeTarget::Tcp { host, port } => {
            Target::Tcp(v1::TcpProbe { host: Some(host.clone()), port: u32::from(*port) })
        }
        ProbeTarget::Exec(command) => Target::Exec(v1::ExecProbe { command: command.clone() }),
        ProbeTarget::Function(id) => Target::Fn(id.0),
    };
    v1::Probe { target: Some(target) }
}

fn http(probe: &HttpProbe) -> v1::HttpProbe {
    let ranges = probe.expected_status.iter();
    let header = |(name, value): &(String, String)| v1::Header { name: name.clone(), value: value.clone() };
    v1::HttpProbe {
        url: probe.url.clone(),
        method: Some(probe.method.clone()),
        expected_status: ranges
            .map(|(low, high)| if low == high { low.to_string() } else { format!("{low}-{high}") })
            .collect(),
        headers: probe.headers.iter().map(header).collect(),
        body: probe.body.clone(),
    }
}

fn restart(restart: &Restart) -> v1::Restart {
    let limit = v1::StartLimit { burst: Some(restart.limit.burst), interval: Some(millis(restart.limit.interval)) };
    v1::Restart {
        policy: Some(policy(restart.policy).into()),
        delay: Some(millis(restart.delay)),
        factor: Some(restart.factor),
        max_delay: Some(millis(restart.max_delay)),
        jitter: Some(restart.jitter),
        limit: Some(limit),
        reset_after: Some(millis(restart.reset_after)),
    }
}

fn stop(stop: &Stop) -> v1::Stop {
    let mode = match stop.mode {
        StopMode::ControlGroup => "control-group",
        StopMode::ProcessGroup => "process-group",
        StopMode::Process => "process",
        StopMode::Mixed => "mixed",
    };
    let step = |signal: String, wait: Duration| v1::StopStep { signal, timeout: millis(wait) };
    v1::Stop {
        mode: Some(mode.into()),
        command: stop.command.clone().unwrap_or_default(),
        sequence: stop.sequence.iter().map(|one| step(one.signal.to_string(), one.wait)).collect(),
    }
}

fn reload(reload: &Reload) -> v1::Reload {
    match reload {
        Reload::Signal(signal) => v1::Reload { signal: Some(signal.to_string()), ..Default::default() },
        Reload::Command(command) => v1::Reload { command: command.clone(), ..Default::default() },
    }
}

fn hooks(hooks: &Hooks) -> v1::Hooks {
    let all = |hooks: &[Hook]| hooks.iter().map(hook).collect();
    v1::Hooks {
        before_start: all(&hooks.before_start),
        after_start: all(&hooks.after_start),
        before_stop: all(&hooks.before_stop),
        after_stop: all(&hooks.after_stop),
        on_failure: all(&hooks.on_failure),
    }
}

fn hook(hook: &Hook) -> v1::Hook {
    let (command, function) = match &hook.action {
        HookAction::Command(command) => (command.clone(), None),
        HookAction::Function(id) => (Vec::new(), Some(id.0)),
    };
    v1::Hook { command, r#fn: function, user: hook.user.clone(), timeout: Some(millis(hook.timeout)) }
}

fn limits(limits: &Limits) -> v1::Limits {
    v1::Limits {
        memory: limits.memory,
        memory_high: limits.memory_high,
        memory_low: limits.memory_low,
        cpu: limits.cpu_millis.map(|millis| millis as f64 / 1000.0),
        cpu_weight: limits.cpu_weight,
        pids: limits.pids,
        io_weight: limits.io_weight,
        oom_score_adj: limits.oom_score_adj,
    }
}

fn listener(listener: &Listener) -> v1::Listen {
    // What has no path has no mode, and what has no connections queues none.
    let mode = listener.address.path().is_some() || listener.mode != Listener::DEFAULT_MODE;
    let backlog = listener.address.is_stream() || listener.backlog != Listener::DEFAULT_BACKLOG;
    let mut told = v1::Listen {
        name: listener.name.clone(),
        accept: listener.accept,
        idle_stop: listener.idle_stop.map(millis),
        mode: mode.then(|| format_mode(listener.mode)),
        user: listener.user.clone(),
        group: listener.group.clone(),
        backlog: backlog.then_some(listener.backlog),
        fd_env: listener.fd_env.clone(),
        client_fd_env: listener.client_fd_env.clone(),
        ..Default::default()
    };
    match &listener.address {
        ListenAddress::Tcp(address) => told.tcp = Some(address.clone()),
        ListenAddress::Udp(address) => told.udp = Some(address.clone()),
        ListenAddress::Unix(path) => told.unix = Some(path.clone()),
        ListenAddress::UnixDgram(path) => told.unix_dgram = Some(path.clone()),
        ListenAddress::UnixSeqpacket(path) => told.unix_seqpacket = Some(path.clone()),
        ListenAddress::Fifo(path) => told.fifo = Some(path.clone()),
    }
    told
}

fn log(log: &LogSettings) -> v1::Log {
    v1::Log {
        ring: Some(log.ring),
        file: log.file.clone(),
        max_size: Some(log.max_size),
        keep: Some(log.keep),
        stdout: Some(stream(&log.stdout)),
        stderr: Some(stream(&log.stderr)),
    }
}
