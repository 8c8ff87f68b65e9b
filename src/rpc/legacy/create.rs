//! CreateRequest, as a definition.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use super::health::{self, Given, list, whole};
use crate::Error;
use crate::core::StateName;
use crate::rpc::define::Changes;
use crate::rpc::fault::Fault;
use crate::rpc::proto::process_manager as pm;
use crate::spec::{Node, ProcessType, Value};
use crate::supervisor::Process;

/// All that the request says.
pub(super) fn changes(request: pm::CreateRequest) -> Result<Changes, Fault> {
    let mut table = Given::default();
    table.text("description", request.description);
    if !request.command.is_empty() {
        table.put("command", list([vec![request.command], request.args].concat()));
    }
    table.text("type", process_type(request.process_type)?.to_owned());
    if request.auto_start {
        table.put("auto_start", Value::Bool(true));
    }
    table.text("working_dir", request.working_dir);
    table.table("env", Given(variables(request.env)));
    table.text("env_file", request.environment_file);
    table.text("user", request.user);
    table.text("group", request.group);
    table.texts("ambient_capabilities", request.ambient_capabilities);
    table.texts("runtime_directory", request.runtime_directory);
    table.text("pidfile", request.pidfile);
    table.texts("requires", request.requires);
    table.texts("wants", request.wants);
    table.texts("binds_to", request.binds_to);
    table.texts("conflicts", request.conflicts);
    table.texts("after", request.after);
    table.texts("before", request.before);

    let mut restart = Given::default();
    restart.text("policy", policy(request.restart)?.to_owned());
    restart.number("delay", request.restart_sec);
    restart.number("max_delay", request.restart_max_delay);
    let mut limit = Given::default();
    limit.number("burst", request.start_limit_burst);
    limit.number("interval", request.start_limit_interval);
    restart.table("limit", limit);
    table.table("restart", restart);

    let mut stop = Given::default();
    stop.text("signal", kill_signal(request.kill_signal)?.to_owned());
    stop.number("timeout", request.timeout_stop_sec);
    stop.text("mode", kill_mode(request.kill_mode)?.to_owned());
    table.table("stop", stop);
    table.number("start_timeout", request.timeout_start_sec);
    if !request.success_exit_status.is_empty() {
        let codes = request.success_exit_status.into_iter().map(|code| Node::new(whole(code.into())));
        table.put("success_exit_status", Value::List(codes.collect()));
    }

    let mut log = Given::default();
    log.text("stdout", request.stdout);
    log.text("stderr", request.stderr);
    table.table("log", log);

    let mut hooks = Given::default();
    for (key, lines) in [
        ("before_start", request.exec_start_pre),
        ("after_start", request.exec_start_post),
        ("after_stop", request.exec_stop_post),
    ] {
        let lines = lines.into_iter().filter(|line| !line.trim().is_empty()).map(hook).collect::<Vec<Node>>();
        if !lines.is_empty() {
            hooks.put(key, Value::List(lines));
        }
    }
    table.table("hooks", hooks);

    let mut conditions = Given::default();
    conditions.texts("path_exists", request.condition_path_exists);
    table.table("conditions", conditions);
    if let Some(check) = request.health_check.filter(|check| *check != pm::HealthCheck::default()) {
        table.table("health", health::health(check)?);
    }
    if let Some(limits) = request.resource_limits {
        table.table("limits", health::limits(&limits));
    }
    Ok(Changes { name: Some(request.name), table: table.0 })
}

fn variables(env: HashMap<String, String>) -> Vec<(String, Node)> {
    let mut variables: Vec<(String, Node)> =
        env.into_iter().map(|(name, value)| (name, Node::new(Value::String(value)))).collect();
    variables.sort_by(|a, b| a.0.cmp(&b.0));
    variables
}

/// A line of a hook, which is split into words; no shell runs it.
fn hook(line: String) -> Node {
    Node::new(Value::Map(vec![("command".to_owned(), Node::new(Value::String(line)))]))
}

fn none_of(field: &str, number: i32, words: &str) -> Fault {
    Fault::invalid(field, format!("{number} is none of {words}"))
}

fn process_type(number: i32) -> Result<&'static str, Fault> {
    Ok(match pm::ProcessType::try_from(number) {
        Ok(pm::ProcessType::Simple) => "simple",
        Ok(pm::ProcessType::Forking) => "forking",
        Ok(pm::ProcessType::Oneshot) => "oneshot",
        Ok(pm::ProcessType::Notify) => "notify",
        Err(_) => return Err(none_of("process_type", number, "SIMPLE (0), FORKING (1), ONESHOT (2), NOTIFY (3)")),
    })
}

fn policy(number: i32) -> Result<&'static str, Fault> {
    Ok(match pm::RestartPolicy::try_from(number) {
        Ok(pm::RestartPolicy::Never) => "never",
        Ok(pm::RestartPolicy::Always) => "always",
        Ok(pm::RestartPolicy::OnFailure) => "on-failure",
        Ok(pm::RestartPolicy::OnSuccess) => "on-success",
        Err(_) => return Err(none_of("restart", number, "NEVER (0), ALWAYS (1), ON_FAILURE (2), ON_SUCCESS (3)")),
    })
}

fn kill_signal(number: i32) -> Result<&'static str, Fault> {
    Ok(match pm::KillSignal::try_from(number) {
        Ok(pm::KillSignal::Sigterm) => "TERM",
        Ok(pm::KillSignal::Sigint) => "INT",
        Ok(pm::KillSignal::Sigquit) => "QUIT",
        Ok(pm::KillSignal::Sigkill) => "KILL",
        Ok(pm::KillSignal::Sighup) => "HUP",
        Ok(pm::KillSignal::Sigusr1) => "USR1",
        Ok(pm::KillSignal::Sigusr2) => "USR2",
        Err(_) => {
            let words = "SIGTERM (0), SIGINT (1), SIGQUIT (2), SIGKILL (3), SIGHUP (4), SIGUSR1 (5), SIGUSR2 (6)";
            return Err(none_of("kill_signal", number, words));
        }
    })
}

fn kill_mode(number: i32) -> Result<&'static str, Fault> {
    Ok(match pm::KillMode::try_from(number) {
        Ok(pm::KillMode::ControlGroup) => "control-group",
        Ok(pm::KillMode::ProcessGroup) => "process-group",
        Ok(pm::KillMode::Process) => "process",
        Ok(pm::KillMode::Mixed) => "mixed",
        Err(_) => {
            let words = "CONTROL_GROUP (0), PROCESS_GROUP (1), PROCESS (2), MIXED (3)";
            return Err(none_of("kill_mode", number, words));
        }
    })
}

/// The state of a process whose start was begun, once it is executed or has failed. One that tells by itself when it is
/// ready, or is ready when it has ended, is not waited for until then.
pub(super) async fn begun(process: Process, kind: ProcessType) -> Result<StateName, Fault> {
    let mut awaited = vec![
        StateName::Running,
        StateName::Exited,
        StateName::Failed,
        StateName::Crashed,
        StateName::Backoff,
        StateName::Stopped,
    ];
    if kind != ProcessType::Simple {
        awaited.push(StateName::Starting);
    }
    let mut waits: Vec<_> = awaited.into_iter().map(|state| process.wait(state)).collect();
    let first: Result<_, Error> = poll_fn(|cx| {
        for wait in &mut waits {
            if let Poll::Ready(status) = Pin::new(wait).poll(cx) {
                return Poll::Ready(status);
            }
        }
        Poll::Pending
    })
    .await;
    Ok(first?.state)
}
