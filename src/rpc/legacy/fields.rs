//! What the fields of the older system's requests are called, for the keys of specs that they mean.

use crate::rpc::fault::Fault;

/// Whose names are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// Those of CreateRequest.
    Create,
    /// Those that the older system answers an update with.
    Update,
}

/// Keys whose fields have other names: the path, and the names in CreateRequest and in an update's answer. What is
/// below a key has its name.
const RENAMED: [(&str, &str, &str); 20] = [
    ("type", "process_type", "process_type"),
    ("restart.policy", "restart", "restart_policy"),
    ("restart.delay", "restart_sec", "restart_sec"),
    ("restart.max_delay", "restart_max_delay", "restart_max_delay"),
    ("restart.limit.burst", "start_limit_burst", "start_limit_burst"),
    ("restart.limit.interval", "start_limit_interval", "start_limit_interval"),
    ("env_file", "environment_file", "environment_file"),
    ("log.stdout", "stdout", "stdout"),
    ("log.stderr", "stderr", "stderr"),
    ("start_timeout", "timeout_start_sec", "timeout_start_sec"),
    ("stop.timeout", "timeout_stop_sec", "timeout_stop_sec"),
    ("stop.sequence", "timeout_stop_sec", "timeout_stop_sec"),
    ("stop.signal", "kill_signal", "kill_signal"),
    ("stop.mode", "kill_mode", "kill_mode"),
    ("hooks.before_start", "exec_start_pre", "exec_start_pre"),
    ("hooks.after_start", "exec_start_post", "exec_start_post"),
    ("hooks.after_stop", "exec_stop_post", "exec_stop_post"),
    ("health", "health_check", "health_check"),
    ("limits", "resource_limits", "resources"),
    ("conditions.path_exists", "condition_path_exists", "condition_path_exists"),
];

/// Fields of the two messages within the requests, by the keys within `health` and `limits`.
const WITHIN: [(&str, &str); 14] = [
    ("health.url", "http_endpoint"),
    ("health.method", "http_method"),
    ("health.expected_status", "http_expected_status"),
    ("health.host", "tcp_host"),
    ("health.port", "tcp_port"),
    ("health.command", "exec_command"),
    ("health.interval", "interval"),
    ("health.timeout", "timeout"),
    ("limits.cpu", "cpu_limit"),
    ("limits.cpu_weight", "cpu_request"),
    ("limits.memory", "memory_limit"),
    ("limits.memory_low", "memory_request"),
    ("limits.pids", "pids_limit"),
    ("limits.oom_score_adj", "oom_score_adj"),
];

/// What of a path comes after this one: `None` when it is another.
fn below<'a>(path: &'a str, key: &str) -> Option<&'a str> {
    path.strip_prefix(key).filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

impl Names {
    /// The fields that these paths of keys belong to, each once.
    pub(super) fn of(self, paths: &[String]) -> Vec<String> {
        let mut fields: Vec<String> = Vec::new();
        for path in paths {
            let field = self.field(path);
            if !fields.contains(&field) {
                fields.push(field);
            }
        }
        fields
    }

    /// The field that a key belongs to; a key that no field means keeps its name.
    fn field(self, path: &str) -> String {
        match RENAMED.iter().find(|(key, ..)| below(path, key).is_some()) {
            Some((_, create, update)) => if self == Names::Create { *create } else { *update }.to_owned(),
            None => path.split(['.', '[']).next().unwrap_or_default().to_owned(),
        }
    }

    /// The way to a field, as its client would write it: `health_check.tcp_port`, `args[2]`.
    fn path(self, path: &str) -> String {
        if let Some((key, field)) = WITHIN.iter().find(|(key, _)| below(path, key).is_some()) {
            let message = key.split('.').next().unwrap_or_default();
            let rest = below(path, key).unwrap_or_default();
            let outer = if message == "health" { "health_check" } else { "resource_limits" };
            return format!("{outer}.{field}{rest}");
        }
        match RENAMED.iter().find_map(|entry| below(path, entry.0).map(|rest| (entry, rest))) {
            Some(((_, create, _), rest)) if self == Names::Create => format!("{create}{rest}"),
            Some(((_, _, update), rest)) => format!("{update}{rest}"),
            None => path.to_owned(),
        }
    }

    /// A refusal in terms of the request.
    pub(super) fn rename(self, mut fault: Fault) -> Fault {
        let problems = &mut fault.detail.problems;
        if problems.is_empty() {
            return fault;
        }
        for problem in problems.iter_mut() {
            problem.field = problem.field.as_deref().map(|path| self.path(path));
        }
        let said = problems.iter().filter(|problem| !problem.warning).map(|problem| {
            let process = problem.process.as_ref().map(|name| format!("process `{name}`: ")).unwrap_or_default();
            let field = problem.field.as_ref().map(|field| format!("{field}: ")).unwrap_or_default();
            format!("{process}{field}{}", problem.message)
        });
        fault.message = said.collect::<Vec<String>>().join("\n");
        fault
    }
}

#[cfg(test)]
mod tests {
    use super::Names;
    use crate::spec::schema::SPEC;

    #[test]
    fn fields_are_called_as_in_the_requests() {
        for (path, create, update) in [
            ("restart.policy", "restart", "restart_policy"),
            ("env.PORT", "env", "env"),
            ("env_file", "environment_file", "environment_file"),
            ("health.interval", "health_check", "health_check"),
            ("limits.memory", "resource_limits", "resources"),
            ("user", "user", "user"),
            ("command[2]", "command", "command"),
        ] {
            let path = [path.to_owned()];
            assert_eq!((Names::Create.of(&path), Names::Update.of(&path)), (vec![create.into()], vec![update.into()]));
        }
        assert_eq!(Names::Update.of(&["env.A".into(), "env.B".into()]), ["env"]);
        assert_eq!(Names::Create.path("health.port"), "health_check.tcp_port");
        assert_eq!(Names::Create.path("hooks.before_start[2]"), "exec_start_pre[2]");
        assert_eq!(Names::Create.path("limits.cpu"), "resource_limits.cpu_limit");
    }

    #[test]
    fn every_key_that_is_renamed_is_one() {
        for (path, ..) in super::RENAMED {
            let mut table = Some(&SPEC);
            for step in path.split('.') {
                let key = table.and_then(|table| table.key(step)).unwrap_or_else(|| panic!("{path} is no key"));
                table = key.table;
            }
        }
    }
}
