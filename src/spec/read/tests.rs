use std::time::Duration;

use serde_json::{Value as Json, json};

use super::*;
use crate::spec::{
    Conditions, EnvFile, FunctionId, Health, Hook, HookAction, Limits, ListenAddress, Listener, Probe, ProbeTarget,
    ProcessType, Ready, Reload, Restart, RestartPolicy, Rlimit, Secret, Signal, Stop, StopMode, StopStep, Stream,
    Value,
};

/// JSON as a tree. Objects with one key of these are what JSON has not: `$fn`, `$handle`, `$secret`, `$unset`,
/// `$other`, and `$http` and its like for constructors.
fn node(json: Json) -> Node {
    Node::new(match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(value),
        Json::Number(number) => match number.as_i64() {
            Some(number) => Value::Integer(number),
            None => Value::Float(number.as_f64().unwrap()),
        },
        Json::String(text) => Value::String(text),
        Json::Array(items) => Value::List(items.into_iter().map(node).collect()),
        Json::Object(map) => match map.iter().next().map(|(key, value)| (key.as_str(), value)) {
            Some(("$fn", id)) => Value::Function(FunctionId(id.as_u64().unwrap())),
            Some(("$handle", name)) => Value::Handle(name.as_str().unwrap().into()),
            Some(("$secret", text)) => Value::Secret(Secret::new(text.as_str().unwrap())),
            Some(("$unset", _)) => Value::Unset,
            Some(("$nan", _)) => Value::Float(f64::NAN),
            Some(("$other", _)) => Value::Other("thread"),
            Some((key @ ("$http" | "$tcp" | "$exec" | "$logline" | "$check" | "$listen"), fields)) => {
                let kind = ["http", "tcp", "exec", "logline", "check", "listen"].into_iter().find(|k| key[1..] == **k);
                Value::Made { kind: kind.unwrap(), fields: entries(fields.clone()) }
            }
            _ => Value::Map(entries(Json::Object(map))),
        },
    })
}

fn entries(json: Json) -> Vec<(String, Node)> {
    let Json::Object(map) = json else { unreachable!() };
    map.into_iter().map(|(key, value)| (key, node(value))).collect()
}

fn with_command(mut json: Json) -> Json {
    let keys = json.as_object_mut().unwrap();
    if !["command", "shell"].iter().any(|key| keys.contains_key(*key)) {
        keys.insert("command".into(), json!(["x"]));
    }
    json
}

fn read_with(json: Json, dialect: &Dialect) -> Result<Spec, Vec<String>> {
    let read = spec("web", &node(with_command(json)), dialect, Source::default());
    read.map_err(|problems| problems.iter().map(|p| p.to_string().replace("process `web`: ", "")).collect())
}

fn read(json: Json) -> Spec {
    read_with(json, &Dialect::native()).unwrap()
}

pub(super) fn refused(json: Json) -> Vec<String> {
    read_with(json, &Dialect::native()).unwrap_err()
}

fn web() -> Spec {
    Spec::new("web", ["x"])
}

/// With keys that wait for their driver.
fn read_all(json: Json) -> Spec {
    read_with(json, &Dialect { origin: Origin::Stored, ..Dialect::native() }).unwrap()
}

fn refused_all(json: Json) -> Vec<String> {
    read_with(json, &Dialect { origin: Origin::Stored, ..Dialect::native() }).unwrap_err()
}

#[test]
fn a_command_is_a_list_or_text_that_is_split_or_a_line_for_a_shell() {
    let command = |json| read(json).command;
    assert_eq!(command(json!({"command": ["a", "b c", 5, 1.5]})), ["a", "b c", "5", "1.5"]);
    assert_eq!(command(json!({"command": "a 'b c' \"d\""})), ["a", "b c", "d"]);
    assert_eq!(command(json!({"command": "/opt/my app", "args": ["-x", 1]})), ["/opt/my app", "-x", "1"]);
    assert_eq!(command(json!({"command": ["a", "b"], "args": ["c"]})), ["a", "b", "c"]);
    assert_eq!(command(json!({"shell": "a | b"})), ["/bin/sh", "-c", "a | b"]);
    let whole = read_with(json!({"command": "a b"}), &Dialect { split_commands: false, ..Dialect::native() });
    assert_eq!(whole.unwrap().command, ["a b"]);
}

#[test]
fn what_a_shell_would_have_done_is_a_warning() {
    let spec = read(json!({"command": "echo $HOME"}));
    assert_eq!(spec.command, ["echo", "$HOME"]);
    assert_eq!(
        spec.validate()[0].to_string(),
        "warning: process `web`: command: no shell runs this, so `$HOME` is handed over as it stands; quote it if that \
         is meant, else use `shell`"
    );
}

#[test]
fn commands_that_are_none_are_refused() {
    let what = "expected a command (a list of words, or text), found";
    let cases = [
        (json!({"command": 5}), vec![format!("command: {what} 5")]),
        (json!({"command": {"a": 1}}), vec![format!("command: {what} a table")]),
        (json!({"command": {"$fn": 1}}), vec![format!("command: {what} a function")]),
        (json!({"command": null}), vec!["a process needs a `command` (or a line for a `shell`)".into()]),
        (
            json!({"command": "a 'b"}),
            vec!["command: cannot split \"a 'b\" into words: the quote ' is never closed".into()],
        ),
        (json!({"command": ["a", true]}), vec!["command[2]: expected a word of a command, found true".into()]),
        (
            json!({"command": ["a", {"$handle": "db"}, {"$other": 1}]}),
            vec![
                "command[2]: expected a word of a command, found the process `db`".into(),
                "command[3]: expected a word of a command, found a thread".into(),
            ],
        ),
        (
            json!({"command": ["a", {"$secret": "s3cret"}]}),
            vec!["command[2]: everybody on the machine can read a command line; hand a secret over in `env`".into()],
        ),
        (json!({"args": "x"}), vec!["args: expected a list of arguments, found \"x\"".into()]),
        (json!({"shell": 5}), vec!["shell: expected text, found 5".into()]),
        (
            json!({"shell": "a", "command": "b", "args": ["c"]}),
            vec![
                "shell: `shell` is the whole command, so `command` cannot go with it".into(),
                "shell: `shell` is the whole command, so `args` cannot go with it".into(),
            ],
        ),
    ];
    for (json, messages) in cases {
        assert_eq!(refused(json), messages);
    }
}

#[test]
fn every_key_is_read() {
    let read = read(json!({
        "description": "the web", "type": "notify", "auto_start": false, "critical": true, "working_dir": "/srv",
        "clear_env": true, "user": "app", "group": 33, "groups": ["adm", 4], "umask": "0027", "nice": -5,
        "no_new_privs": true, "runtime_directory": "web", "pidfile": "/run/web.pid", "start_timeout": "1m30s",
        "watchdog": 2.5, "volatile": true, "env_file": ["a.env", "-b.env", {"path": "-c", "optional": true}],
        "ambient_capabilities": ["CAP_NET_BIND_SERVICE"], "bounding_capabilities": "net_bind_service",
        "success_exit_status": [3, 1, "HUP", "4"],
    }));
    let mut expected = web()
        .description("the web")
        .process_type(ProcessType::Notify)
        .auto_start(false)
        .critical(true)
        .working_dir("/srv")
        .clear_env(true)
        .user("app")
        .group("33")
        .groups(["adm", "4"])
        .umask(0o027)
        .nice(-5)
        .no_new_privs(true)
        .runtime_directory("web")
        .pidfile("/run/web.pid")
        .watchdog(Duration::from_millis(2_500))
        .volatile(true)
        .env_file("a.env")
        .env_file("-b.env")
        .ambient_capability("net_bind_service")
        .bounding_capabilities(["net_bind_service"])
        .success_exit_status(1)
        .success_exit_status(3)
        .success_exit_status(4)
        .success_signal(Signal::HUP);
    expected.env_file.push(EnvFile { path: "-c".into(), optional: true });
    assert_eq!(read, expected);
}

#[test]
fn relations_take_names_handles_and_lists_of_either_each_once() {
    let spec = read(
        json!({"requires": "db", "wants": {"$handle": "cache"}, "after": ["a", {"$handle": "b"}, "a"], "before": {}}),
    );
    assert_eq!(spec, web().requires("db").wants("cache").after("a").after("b"));
    assert_eq!(
        refused(json!({"requires": ["db", 5], "part_of": {"$fn": 1}})),
        [
            "requires[2]: expected the name or handle of a process, or a list of them, found 5",
            "part_of: expected the name or handle of a process, or a list of them, found a function",
        ]
    );
}

#[test]
fn the_environment_takes_text_numbers_truth_values_and_secrets() {
    let spec = read(json!({"env": {"A": "x", "B": 1, "C": 1.5, "D": true, "E": {"$secret": "s"}, "F": {"$unset": 1}}}));
    let expected = web().envs([("A", "x"), ("B", "1"), ("C", "1.5"), ("D", "true")]).secret_env("E", Secret::new("s"));
    assert_eq!(spec, expected);
    assert_eq!(read(json!({"env": ["A=1", "B=x=y", "C="]})), web().envs([("A", "1"), ("B", "x=y"), ("C", "")]));
    assert_eq!(read(json!({"env": []})), web());
    let value = "expected the value of a variable (text, a number, true, false or a secret), found";
    assert_eq!(
        refused(json!({"env": {"A": ["x"], "B C": {"$fn": 1}, "D": "***"}})),
        [
            format!("env.A: {value} a list"),
            format!("env[\"B C\"]: {value} a function"),
            "env.D: \"***\" is how a secret is shown, not a value; give the secret itself".into(),
        ]
    );
    assert_eq!(
        refused(json!({"env": ["A=1", "B", 5]})),
        [
            "env[2]: expected a variable as \"NAME=value\", found \"B\"",
            "env[3]: expected a variable as \"NAME=value\", found 5",
        ]
    );
    let table = "env: expected a table of variables, or a list of \"NAME=value\", found \"A=1\"";
    assert_eq!(refused(json!({"env": "A=1"})), [table]);
    assert_eq!(refused(json!({"env_file": 5})), ["env_file: expected a path, or a list of paths, found 5"]);
}

#[test]
fn unset_and_null_leave_the_default() {
    let spec =
        read(json!({"user": {"$unset": 1}, "restart": null, "env": {"A": {"$unset": 1}}, "umask": {"$unset": 1}}));
    assert_eq!(spec, web());
}

#[test]
fn restart_is_a_policy_or_a_table() {
    assert_eq!(read(json!({"restart": "always"})), web().restart(Restart::always()));
    let table = json!({
        "policy": "on-abnormal", "delay": "500ms", "factor": 3, "max_delay": "30s", "jitter": 0,
        "limit": {"burst": 5, "interval": "5m"}, "reset_after": 10,
    });
    let expected = Restart {
        policy: RestartPolicy::OnAbnormal,
        ..Restart::on_failure()
            .delay(Duration::from_millis(500))
            .factor(3.0)
            .max_delay(Duration::from_secs(30))
            .jitter(0.0)
            .limit(5, Duration::from_secs(300))
            .reset_after(Duration::from_secs(10))
    };
    assert_eq!(read(json!({"restart": table})), web().restart(expected));
    // What is not given keeps its default, and a first wait raises the longest one.
    let long = read(json!({"restart": {"delay": "2m"}})).restart;
    assert_eq!((long.delay, long.max_delay), (Duration::from_secs(120), Duration::from_secs(120)));
    assert_eq!(read(json!({"type": "oneshot"})).restart, Restart::never());
    assert_eq!(read(json!({"type": "oneshot", "restart": {"delay": 5}})).restart.policy, RestartPolicy::Never);
    assert_eq!(read(json!({"type": "oneshot", "restart": "on-failure"})).restart, Restart::on_failure());
}

#[test]
fn mistakes_in_restart_are_told_with_the_nearest_word() {
    let policies = "expected one of \"never\", \"always\", \"on-failure\", \"on-success\", \"on-abnormal\", \
     \"on-abort\", \
                    \"on-watchdog\", found";
    let duration = "expected a duration (seconds, or text such as \"1h30m\", \"10s\" or \"250ms\"), found";
    let cases = [
        (json!("on_failure"), vec![format!("restart: {policies} \"on_failure\"; did you mean \"on-failure\"?")]),
        (json!("unless-stopped"), vec![format!("restart: {policies} \"unless-stopped\"")]),
        (json!(true), vec!["restart: expected a restart policy or a table with one, found true".into()]),
        (json!({"policy": 5}), vec![format!("restart.policy: {policies} 5")]),
        (
            json!({"delay": "10x"}),
            vec![format!(
                "restart.delay: {duration} \"10x\": `x` is not a unit (d, h, m or \
         min, s, ms, us, ns)"
            )],
        ),
        (json!({"delay": -1}), vec![format!("restart.delay: {duration} -1: it cannot be negative")]),
        (json!({"delay": {"$nan": 1}}), vec![format!("restart.delay: {duration} NaN: it is not a number")]),
        (json!({"delay": [1]}), vec![format!("restart.delay: {duration} a list")]),
        (json!({"factor": "2"}), vec!["restart.factor: expected a number, found \"2\"".into()]),
        (json!({"limit": 5}), vec!["restart.limit: expected a table with `burst` and `interval`, found 5".into()]),
        (
            json!({"limit": {"brust": 5, "burst": 1.5, "interval": {"$secret": "x"}}, "max_dely": 1}),
            vec![
                "restart.max_dely: there is no such key; did you mean `max_delay`?".into(),
                "restart.limit.brust: there is no such key; did you mean `burst`?".into(),
                "restart.limit.burst: expected a whole number from 0 to 1000000000, found 1.5".into(),
                format!("restart.limit.interval: {duration} a secret"),
            ],
        ),
        (
            json!({"policyy": 1, "zzz": 1}),
            vec![
                "restart.policyy: there is no such key; did you mean `policy`?".into(),
                "restart.zzz: there is no such key (there are policy, delay, factor, max_delay, jitter, limit, \
             reset_after)"
                    .into(),
            ],
        ),
    ];
    for (restart, messages) in cases {
        assert_eq!(refused(json!({"restart": restart})), messages);
    }
}

#[test]
fn ready_is_a_probe_or_a_word() {
    let ready = |json| read(json!({"ready": json})).ready;
    let probe = |target| Ready::Probe(Probe { target, interval: None, timeout: None });
    assert_eq!(ready(json!("notify")), Ready::Notify);
    assert_eq!(ready(json!("health")), Ready::Health);
    assert_eq!(ready(json!({"$tcp": {"port": 6390}})), Ready::tcp(6390));
    assert_eq!(ready(json!({"$tcp": {"1": 6390}})), Ready::tcp(6390));
    assert_eq!(ready(json!({"port": 6390})), Ready::tcp(6390));
    assert_eq!(ready(json!({"type": "tcp", "port": 6390.0})), Ready::tcp(6390));
    assert_eq!(ready(json!({"$http": {"url": "http://a/"}})), Ready::http("http://a/"));
    assert_eq!(ready(json!({"$exec": {"command": "pg_isready -q"}})), Ready::exec(["pg_isready", "-q"]));
    assert_eq!(ready(json!({"$logline": {"pattern": "ready"}})), Ready::logline("ready"));
    assert_eq!(ready(json!({"$check": {"1": {"$fn": 7}}})), probe(ProbeTarget::Function(FunctionId(7))));
    assert_eq!(ready(json!({"$fn": 7})), probe(ProbeTarget::Function(FunctionId(7))));
    let paced = Probe {
        target: ProbeTarget::Tcp { host: "::1".into(), port: 1 },
        interval: Some(Duration::from_millis(50)),
        timeout: Some(Duration::from_secs(2)),
    };
    assert_eq!(ready(json!({"$tcp": {"host": "::1", "port": 1, "interval": 0.05, "timeout": 2}})), Ready::Probe(paced));
}

#[test]
fn mistakes_in_probes_are_told() {
    let what = "expected what makes it ready (neap.tcp, neap.http, neap.exec, neap.logline, neap.check, \"notify\" or \
                \"health\"), found";
    let health = "expected a health check (neap.http, neap.tcp, neap.exec or neap.check), found";
    let status = "expected a status code from 100 to 599, or a range such as \"200-299\", found";
    let cases = [
        (json!({"ready": "heath"}), format!("ready: {what} \"heath\"; did you mean \"health\"?")),
        (json!({"ready": "later"}), format!("ready: {what} \"later\"")),
        (json!({"ready": 80}), format!("ready: {what} 80")),
        (json!({"ready": {"x": 1}}), format!("ready: {what} a table")),
        (json!({"ready": {"$listen": {"tcp": 80}}}), format!("ready: {what} neap.listen")),
        (json!({"ready": {"$tcp": {}}}), "ready: needs `port`".into()),
        (
            json!({"ready": {"$tcp": {"port": 0}}}),
            "ready.port: expected a whole number from 1 to 65535, found 0".into(),
        ),
        (
            json!({"ready": {"$tcp": {"port": "80"}}}),
            "ready.port: expected a whole number from 1 to 65535, found \"80\"".into(),
        ),
        (
            json!({"ready": {"$tcp": {"port": 1, "hots": 1}}}),
            "ready.hots: there is no such key; did you mean `host`?".into(),
        ),
        (
            json!({"ready": {"type": "udp"}}),
            "ready.type: expected one of \"http\", \"tcp\", \"exec\", \"logline\", \"check\", found \"udp\"".into(),
        ),
        (
            json!({"ready": {"$tcp": {"port": 1, "retries": 3}}}),
            "ready.retries: belongs to `health`; a ready probe is tried until it succeeds or `start_timeout` is over"
                .into(),
        ),
        (json!({"health": "http://a/"}), format!("health: {health} \"http://a/\"")),
        (
            json!({"health": {"$logline": {"pattern": "x"}}}),
            "health: a line of output can make a process ready, but not tell its health".into(),
        ),
        (json!({"health": {"$check": {"fn": "x"}}}), "health.fn: expected a function, found \"x\"".into()),
        (json!({"health": {"$check": {}}}), "health: needs `fn`".into()),
        (json!({"health": {"$http": {}}}), "health: needs `url`".into()),
        (
            json!({"health": {"$exec": {"command": 5}}}),
            "health.command: expected a command (a list of words, or text), found 5".into(),
        ),
        (
            json!({"health": {"$http": {"url": "u", "expected_status": 99}}}),
            format!("health.expected_status: {status} 99"),
        ),
        (
            json!({"health": {"$http": {"url": "u", "expected_status": [200, "299-200"]}}}),
            format!("health.expected_status[2]: {status} \"299-200\""),
        ),
        (
            json!({"health": {"$http": {"url": "u", "headers": 5}}}),
            "health.headers: expected a table of headers, found 5".into(),
        ),
        (
            json!({"health": {"$http": {"url": "u", "headers": ["A: b"]}}}),
            "health.headers[1]: expected a pair of a header's name and its value, found \"A: b\"".into(),
        ),
    ];
    for (json, message) in cases {
        assert_eq!(refused(json), [message]);
    }
}

#[test]
fn health_is_a_probe_with_thresholds() {
    let read = read(json!({"health": {"$http": {
        "url": "http://a/", "method": "HEAD", "expected_status": [200, "300-399"], "headers": {"A": "b"}, "body": "ok",
        "interval": "1s", "timeout": "2s", "retries": 4, "successes": 2, "start_period": "5s", "restart_after": 3,
    }}}));
    let ProbeTarget::Http(mut probe) = ProbeTarget::http("http://a/") else { unreachable!() };
    probe.method = "HEAD".into();
    probe.expected_status = vec![(200, 200), (300, 399)];
    probe.headers = vec![("A".into(), "b".into())];
    probe.body = Some("ok".into());
    let expected = Health {
        target: ProbeTarget::Http(probe),
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(2),
        retries: 4,
        successes: 2,
        start_period: Duration::from_secs(5),
        restart_after: 3,
    };
    assert_eq!(read, web().health(expected));
}

#[test]
fn hooks_are_commands_tables_functions_and_lists_of_them() {
    let hooks = |json| read(json!({"hooks": {"before_start": json}})).hooks.before_start;
    let function = Hook::function(FunctionId(1));
    assert_eq!(hooks(json!("a 'b c'")), [Hook::command(["a", "b c"])]);
    assert_eq!(hooks(json!(["a", "b c"])), [Hook::command(["a", "b c"])]);
    assert_eq!(hooks(json!({"$fn": 1})), vec![function.clone()]);
    assert_eq!(
        hooks(json!(["a b", {"$fn": 1}, ["c", "d"]])),
        [Hook::command(["a", "b"]), function.clone(), Hook::command(["c", "d"]),]
    );
    assert_eq!(hooks(json!([])), []);
    let full = Hook { user: Some("5".into()), ..Hook::command(["a"]).timeout(Duration::from_secs(5)) };
    assert_eq!(hooks(json!({"command": "a", "user": 5, "timeout": "5s"})), [full]);
    assert_eq!(hooks(json!({"1": {"$fn": 1}, "timeout": 1})), [function.timeout(Duration::from_secs(1))]);
    let HookAction::Command(shell) = hooks(json!([{"shell": "a | b"}])).remove(0).action else { unreachable!() };
    assert_eq!(shell, ["/bin/sh", "-c", "a | b"]);
}

#[test]
fn a_list_of_lines_as_a_hook_is_one_command_and_a_warning() {
    let spec = read(json!({"hooks": {"before_start": ["mkdir -p x", "touch x/y"]}}));
    assert_eq!(spec.hooks.before_start, vec![Hook::command(["mkdir -p x", "touch x/y"])]);
    assert_eq!(
        spec.validate()[0].to_string(),
        "warning: process `web`: hooks.before_start: is one command, whose program is \"mkdir -p x\"; for several \
         hooks \
         write each as a list or a table"
    );
}

#[test]
fn mistakes_in_hooks_are_told() {
    let what = "expected a hook (a command, a table with `command`, or a function), found";
    let cases = [
        (
            json!({"before_strat": "x"}),
            "hooks.before_strat: there is no such key; did you mean `before_start`?".to_owned(),
        ),
        (json!({"after_stop": 5}), format!("hooks.after_stop: {what} 5")),
        (json!({"after_stop": ["a", {"$handle": "db"}]}), format!("hooks.after_stop[2]: {what} the process `db`")),
        (json!({"after_stop": {}}), String::new()),
        (
            json!({"after_stop": {"timeout": 1}}),
            "hooks.after_stop: a hook needs a `command`, a `shell` line or a function".into(),
        ),
        (
            json!({"after_stop": {"command": "a", "shell": "b"}}),
            "hooks.after_stop: a hook does one thing, so `command` and `shell` cannot go together".into(),
        ),
        (
            json!({"after_stop": {"fn": {"$fn": 1}, "user": "app"}}),
            "hooks.after_stop.user: a function runs in the supervisor; only a command has a user".into(),
        ),
        (json!({"after_stop": {"fn": "x"}}), "hooks.after_stop.fn: expected a function, found \"x\"".into()),
        (
            json!({"after_stop": {"command": "a", "user": -1}}),
            "hooks.after_stop.user: expected a name, or a number below 4294967295, found -1".into(),
        ),
        (json!(5), "hooks: expected a table of hooks, found 5".into()),
    ];
    for (hooks, message) in cases {
        match message.as_str() {
            "" => assert_eq!(read(json!({"hooks": hooks})), web()),
            _ => assert_eq!(refused(json!({"hooks": hooks})), [message]),
        }
    }
}

#[test]
fn stop_is_a_signal_and_a_wait_or_a_ladder() {
    let stop = |json| read(json!({"stop": json})).stop;
    let seconds = Duration::from_secs;
    assert_eq!(stop(json!({"signal": "INT"})), Stop::signal(Signal::INT, seconds(10)));
    assert_eq!(
        stop(json!({"timeout": "5s", "mode": "mixed"})),
        Stop::signal(Signal::TERM, seconds(5)).mode(StopMode::Mixed)
    );
    assert_eq!(
        stop(json!({"command": "a b"})),
        Stop { command: Some(vec!["a".into(), "b".into()]), ..Stop::default() }
    );
    let ladder =
        vec![StopStep { signal: Signal::INT, wait: seconds(5) }, StopStep { signal: Signal::TERM, wait: seconds(10) }];
    let expected = Stop { sequence: ladder, ..Stop::default() };
    assert_eq!(stop(json!({"sequence": [["INT", "5s"], {"signal": 15, "timeout": 10}]})), expected);
    assert_eq!(stop(json!([])), Stop::default());
}

#[test]
fn mistakes_in_stop_and_reload_are_told() {
    let signal = "expected a signal (\"TERM\", \"SIGTERM\" or 15), found";
    let step = "expected a step such as { \"INT\", \"5s\" }, found";
    let modes = "expected one of \"control-group\", \"process-group\", \"process\", \"mixed\", found";
    let cases = [
        (
            json!({"stop": "INT"}),
            "stop: expected a table such as { signal = \"TERM\", timeout = \"10s\" }, found \"INT\"".to_owned(),
        ),
        (json!({"stop": {"signal": "TREM"}}), format!("stop.signal: {signal} \"TREM\"; did you mean \"TERM\"?")),
        (json!({"stop": {"signal": "SIGHUPP"}}), format!("stop.signal: {signal} \"SIGHUPP\"; did you mean \"HUP\"?")),
        (json!({"stop": {"signal": "xyzzy"}}), format!("stop.signal: {signal} \"xyzzy\"")),
        (json!({"stop": {"signal": 65}}), format!("stop.signal: {signal} 65")),
        (json!({"stop": {"mode": "group"}}), format!("stop.mode: {modes} \"group\"")),
        (
            json!({"stop": {"mode": "control_group"}}),
            format!("stop.mode: {modes} \"control_group\"; did you mean \"control-group\"?"),
        ),
        (
            json!({"stop": {"sequence": "INT"}}),
            "stop.sequence: expected a list of steps such as { \"INT\", \"5s\" }, found \"INT\"".into(),
        ),
        (json!({"stop": {"sequence": [["INT"]]}}), format!("stop.sequence[1]: {step} a list")),
        (json!({"stop": {"sequence": [["INT", "5s"], "TERM"]}}), format!("stop.sequence[2]: {step} \"TERM\"")),
        (
            json!({"stop": {"sequence": [["NIT", "5s"]]}}),
            format!("stop.sequence[1][1]: {signal} \"NIT\"; did you mean \"INT\"?"),
        ),
        (
            json!({"stop": {"sequence": [{"signal": "INT"}]}}),
            "stop.sequence[1]: a step needs both `signal` and `timeout`".into(),
        ),
        (
            json!({"stop": {"sequence": [["INT", "5s"]], "timeout": 5}}),
            "stop.sequence: each step has its signal and its wait, so `stop.timeout` cannot go with it".into(),
        ),
        (json!({"reload": "HUP"}), "reload: expected a table with `signal` or `command`, found \"HUP\"".into()),
        (json!({"reload": {}}), "reload: needs a `signal` or a `command`".into()),
        (
            json!({"reload": {"signal": "HUP", "command": "x"}}),
            "reload: is done by a `signal` or by a `command`, not by both".into(),
        ),
    ];
    for (json, message) in cases {
        assert_eq!(refused(json), [message]);
    }
    assert_eq!(read(json!({"reload": {"signal": "HUP"}})).reload, Some(Reload::Signal(Signal::HUP)));
    assert_eq!(read(json!({"reload": {"command": "a b"}})).reload, Some(Reload::Command(vec!["a".into(), "b".into()])));
}

#[test]
fn rlimits_are_numbers_sizes_infinity_or_pairs() {
    let limits = read(json!({"rlimits": {
        "nofile": 1024, "RLIMIT_CORE": "infinity", "memlock": "1M", "stack": {"soft": "8M", "hard": "infinity"},
    }}))
    .rlimits;
    let both = |value| Rlimit { soft: value, hard: value };
    assert_eq!(limits["nofile"], both(Some(1_024)));
    assert_eq!(limits["core"], both(None));
    assert_eq!(limits["memlock"], both(Some(1 << 20)));
    assert_eq!(limits["stack"], Rlimit { soft: Some(8 << 20), hard: None });
    let what = "expected a number, a size, \"infinity\", or { soft = …, hard = … }, found";
    assert_eq!(
        refused(json!({"rlimits": {"nofiles": 1, "nofile": -1, "core": {"soft": 1}, "stack": true}})),
        [
            "rlimits.core: needs both `soft` and `hard`; a single value sets both".to_owned(),
            format!("rlimits.nofile: {what} -1"),
            "rlimits.nofiles: there is no such key; did you mean `nofile`?".into(),
            format!("rlimits.stack: {what} true"),
        ]
    );
    assert_eq!(refused(json!({"rlimits": 5})), ["rlimits: expected a table of resource limits, found 5"]);
}

#[test]
fn limits_and_listeners_are_read() {
    let read = read_all(json!({
        "limits": {
            "memory": "512MiB", "memory_high": 1024, "cpu": 1.5, "pids": 200, "cpu_weight": 50, "oom_score_adj": -5,
        },
        "listen": [
            {"$listen": {"tcp": 8080}},
            {"unix": "/run/x", "name": "x", "accept": true, "mode": "0600", "user": 5, "idle_stop": "1m"},
        ],
    }));
    let unix = Listener {
        name: Some("x".into()),
        accept: Some(64),
        mode: 0o600,
        user: Some("5".into()),
        idle_stop: Some(Duration::from_secs(60)),
        ..Listener::new(ListenAddress::Unix("/run/x".into()))
    };
    let expected = web()
        .limits(Limits {
            memory: Some(512 << 20),
            memory_high: Some(1_024),
            cpu_millis: Some(1_500),
            pids: Some(200),
            cpu_weight: Some(50),
            oom_score_adj: Some(-5),
            ..Limits::default()
        })
        .listen(Listener::new(ListenAddress::Tcp("127.0.0.1:8080".into())))
        .listen(unix);
    assert_eq!(read, expected);
    assert!(!read.auto_start);
}

#[test]
fn mistakes_in_limits_and_listeners_are_told() {
    let size = "expected a size (bytes, or text such as \"512MiB\" or \"1G\"), found";
    let cpu = "expected cores such as 1.5, or thousandths of one such as \"500m\", found";
    let mode = "expected an octal mode as text such as \"0660\", found";
    let kinds = "a listener needs exactly one of tcp, udp, unix, unix_dgram, unix_seqpacket, fifo";
    let cases = [
        (
            json!({"limits": {"memory": "1X"}}),
            format!("limits.memory: {size} \"1X\": `X` is not a unit (B, K, M, G, T, P, E, as K, KB or KiB)"),
        ),
        (json!({"limits": {"memory": -1}}), format!("limits.memory: {size} -1: it cannot be negative")),
        (json!({"limits": {"memory": {}}}), format!("limits.memory: {size} an empty table")),
        (
            json!({"limits": {"cpu": 500}}),
            format!(
                "limits.cpu: {cpu} 500: a bare number is whole cores; write \"500m\" for 500 thousandths of a core"
            ),
        ),
        (json!({"limits": {"cpu": true}}), format!("limits.cpu: {cpu} true")),
        (
            json!({"limits": {"cpu_weight": 0}}),
            "limits.cpu_weight: expected a whole number from 1 to 10000, found 0".into(),
        ),
        (json!({"limits": 5}), "limits: expected a table of limits, found 5".into()),
        (json!({"listen": 5}), "listen: expected neap.listen, or a list of them, found 5".into()),
        (json!({"listen": {"name": "x"}}), format!("listen: {kinds}")),
        (json!({"listen": [{"tcp": 1, "udp": 1}]}), format!("listen[1]: {kinds}")),
        (
            json!({"listen": {"tcp": 65_536}}),
            "listen.tcp: expected an address such as \"127.0.0.1:8080\", or a port, found 65536".into(),
        ),
        (
            json!({"listen": {"tcp": 1, "accept": 0}}),
            "listen.accept: expected true, false, or how many at most, found 0".into(),
        ),
        (json!({"listen": {"tcp": 1, "mode": 660}}), format!("listen.mode: {mode} 660: write \"0660\"")),
        (json!({"listen": {"tcp": 1, "mode": true}}), format!("listen.mode: {mode} true")),
    ];
    for (json, message) in cases {
        assert_eq!(refused_all(json), [message]);
    }
}

#[test]
fn keys_whose_driver_comes_later_say_so() {
    let later =
        |what: &str| format!("waits for {what}: nothing of it is in this version, so leave the key out for now");
    let cases = [
        (json!({"watch": "src"}), format!("watch: {}", later("the watching of files"))),
        (json!({"schedule": "daily"}), format!("schedule: {}", later("schedules"))),
        (json!({"replicas": 2}), format!("replicas: {}", later("replicas"))),
        (json!({"rolling": true}), format!("rolling: {}", later("replicas"))),
    ];
    for (json, message) in cases {
        assert_eq!(refused(json), [message]);
    }
    let kept = read(json!({"limits": {"oom_score_adj": 5, "memory": "1G", "cpu": 1.5, "pids": 5}})).limits;
    assert_eq!(
        (kept.oom_score_adj, kept.memory, kept.cpu_millis, kept.pids),
        (Some(5), Some(1 << 30), Some(1_500), Some(5))
    );
}

#[test]
fn logs_conditions_and_single_values() {
    let spec = read(json!({
        "log": {"ring": "1M", "file": "x.log", "max_size": 5, "keep": 2, "stdout": "inherit", "stderr": "err.log"},
        "conditions": {"path_exists": "/a", "env": ["A", "!B=1"]},
        "start_timeout": "infinity", "umask": "inherit",
    }));
    let log = crate::spec::LogSettings {
        ring: 1 << 20,
        file: Some("x.log".into()),
        max_size: 5,
        keep: 2,
        stdout: Stream::Inherit,
        stderr: Stream::File("err.log".into()),
    };
    let conditions =
        Conditions { path_exists: vec!["/a".into()], env: vec!["A".into(), "!B=1".into()], ..Conditions::default() };
    assert_eq!(spec, Spec { umask: None, ..web().log(log).conditions(conditions).start_timeout(None) });
    let stream = "expected \"capture\", \"inherit\", \"null\" or a path, found";
    let cases = [
        (json!({"log": "null"}), "log: expected a table of log settings, found \"null\"".to_owned()),
        (json!({"log": {"stdout": "inherti"}}), format!("log.stdout: {stream} \"inherti\"; did you mean \"inherit\"?")),
        (json!({"log": {"stdout": ""}}), format!("log.stdout: {stream} \"\"")),
        (json!({"log": {"stdout": 5}}), format!("log.stdout: {stream} 5")),
        (json!({"log": {"keep": -1}}), "log.keep: expected a whole number from 0 to 1000000000, found -1".into()),
        (json!({"conditions": "x"}), "conditions: expected a table of conditions, found \"x\"".into()),
        (
            json!({"conditions": {"path_exist": "x"}}),
            "conditions.path_exist: there is no such key; did you mean \
         `path_exists`?"
                .into(),
        ),
        (
            json!({"conditions": {"path_exists": 5}}),
            "conditions.path_exists: expected text or a list of texts, found \
         5"
            .into(),
        ),
        (json!({"auto_start": "yes"}), "auto_start: expected true or false, found \"yes\"".into()),
        (json!({"description": ["x"]}), "description: expected text, found a list".into()),
        (
            json!({"type": "daemon"}),
            "type: expected one of \"simple\", \"oneshot\", \"forking\", \"notify\", found \
         \"daemon\""
                .into(),
        ),
        (
            json!({"umask": 22}),
            "umask: expected an octal mode as text such as \"0660\", found 22: write \
         \"0022\""
                .into(),
        ),
        (json!({"nice": 50}), "nice: expected a whole number from -20 to 19, found 50".into()),
        (json!({"user": -1}), "user: expected a name, or a number below 4294967295, found -1".into()),
        (
            json!({"user": 4_294_967_295u64}),
            "user: expected a name, or a number below 4294967295, found \
         4294967295"
                .into(),
        ),
        (
            json!({"success_exit_status": 256}),
            "success_exit_status: expected a whole number from 0 to 255, found \
         256"
            .into(),
        ),
        (
            json!({"success_exit_status": ["300"]}),
            "success_exit_status[1]: expected an exit code from 0 to 255, \
         found \"300\""
                .into(),
        ),
        (
            json!({"watchdog": ""}),
            "watchdog: expected a duration (seconds, or text such as \"1h30m\", \"10s\" or \
         \"250ms\"), found \"\": it is empty"
                .into(),
        ),
    ];
    for (json, message) in cases {
        assert_eq!(refused(json), [message]);
    }
}

#[test]
fn unknown_keys_offer_the_nearest_or_the_word_that_is_used_here() {
    let cases = [
        (json!({"comand": "x"}), "comand: there is no such key; did you mean `command`?"),
        (json!({"cwd": "x"}), "cwd: there is no such key; here it is `working_dir`"),
        (json!({"kill_signal": "x"}), "kill_signal: there is no such key; here it is `stop.signal`"),
        (json!({"depends_on": "x"}), "depends_on: there is no such key; here it is `requires`"),
        (json!({"workingDir": "x"}), "workingDir: there is no such key; did you mean `working_dir`?"),
        (json!({"quux": "x"}), "quux: there is no such key"),
        (json!({"1": "redis-server"}), "1: a value without a key means nothing here; did you mean `command = …`?"),
        (json!({"a b": {"$unset": 1}}), "[\"a b\"]: there is no such key"),
    ];
    for (json, message) in cases {
        assert_eq!(refused(json), [message]);
    }
    let none = spec("web", &node(json!("nginx")), &Dialect::native(), Source::default()).unwrap_err();
    assert_eq!(none[0].to_string(), "process `web`: expected a table of spec keys, found \"nginx\"");
}

#[test]
fn the_defaults_are_the_dialects() {
    let native = read_with(json!({}), &Dialect::native()).unwrap();
    assert_eq!(native, web());
    let other = read_with(json!({"health": {"$http": {"url": "http://a/"}}}), &Dialect::compatible()).unwrap();
    assert_eq!(other.restart, Restart::never().jitter(0.0).limit(5, Duration::from_secs(300)));
    assert_eq!((other.auto_start, other.start_timeout), (false, None));
    assert_eq!(other.stop, Stop::signal(Signal::TERM, Duration::from_secs(90)));
    assert_eq!(other.working_dir.as_deref(), Some("/"));
    assert_eq!((&other.log.stdout, &other.log.stderr), (&Stream::Inherit, &Stream::Inherit));
    let health = other.health.unwrap();
    assert_eq!((health.interval, health.timeout, health.retries), (Duration::from_secs(30), Duration::from_secs(5), 3));
    let ProbeTarget::Http(probe) = health.target else { unreachable!() };
    assert_eq!(probe.expected_status, [(200, 200)]);
}
