//! UpdateRequest, as changes of a spec.

use super::health::{self, Given, list, whole};
use crate::rpc::define::Changes;
use crate::rpc::fault::Fault;
use crate::rpc::proto::process_manager as pm;
use crate::spec::{Node, Spec, Value};

/// All that the request says. An optional field that is given counts, also as 0 or as empty text, which takes a text
/// away; a list that is empty is not given.
pub(super) fn changes(request: pm::UpdateRequest, present: &Spec) -> Result<Changes, Fault> {
    let mut table = Given::default();
    let mut restart = Given::default();
    restart.some("policy", request.restart_policy.map(|word| Value::String(words(&word))));
    restart.some("delay", request.restart_sec.map(seconds));
    restart.some("max_delay", request.restart_max.map(seconds));
    table.table("restart", restart);

    let mut stop = Given::default();
    stop.some("timeout", request.timeout_stop_sec.map(seconds));
    stop.some("signal", request.kill_signal.map(text));
    stop.some("mode", request.kill_mode.map(|word| text(words(&word))));
    table.table("stop", stop);

    if let Some(limits) = request.resource_limits {
        table.table("limits", health::limits(&limits));
    }
    match request.health_check {
        Some(check) if check == pm::HealthCheck::default() => table.put("health", Value::Null),
        Some(check) => table.table("health", health::health(check)?),
        None => {}
    }
    if !request.success_exit_status.is_empty() {
        let codes = request.success_exit_status.into_iter().map(|code| Node::new(whole(code.into())));
        table.put("success_exit_status", Value::List(codes.collect()));
    }
    if !request.env.is_empty() {
        table.put("env", Value::Map(environment(request.env, present)?));
    }
    table.some("env_file", request.env_file.map(text));
    table.some("working_dir", request.working_dir.map(text));
    table.some("user", request.user.map(text));
    table.some("group", request.group.map(text));
    table.some("pidfile", request.pidfile.map(text));
    if !request.runtime_directory.is_empty() {
        table.put("runtime_directory", list(request.runtime_directory));
    }
    if !request.ambient_capabilities.is_empty() {
        table.put("ambient_capabilities", list(request.ambient_capabilities));
    }
    Ok(Changes { name: None, table: table.0 })
}

impl Given {
    fn some(&mut self, key: &str, value: Option<Value>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }
}

fn seconds(seconds: u64) -> Value {
    whole(seconds.into())
}

fn text(text: String) -> Value {
    if text.is_empty() { Value::Null } else { Value::String(text) }
}

/// A word as specs have it, which clients also write in the style of enums: `ON_FAILURE`.
fn words(word: &str) -> String {
    word.to_lowercase().replace('_', "-")
}

/// The whole environment: variables that are not named are taken away.
fn environment(lines: Vec<String>, present: &Spec) -> Result<Vec<(String, Node)>, Fault> {
    let mut table: Vec<(String, Node)> = Vec::with_capacity(lines.len());
    for line in lines {
        let Some((name, value)) = line.split_once('=') else {
            let shown: String = line.chars().take(40).flat_map(char::escape_debug).collect();
            return Err(Fault::invalid("env", format!("`{shown}` is no variable; write \"NAME=value\"")));
        };
        // The last one counts.
        table.retain(|(known, _)| known != name);
        table.push((name.to_owned(), Node::new(Value::String(value.to_owned()))));
    }
    for name in present.env.keys().chain(present.secret_env.keys()) {
        if !table.iter().any(|(known, _)| known == name) {
            table.push((name.clone(), Node::new(Value::Null)));
        }
    }
    Ok(table)
}
