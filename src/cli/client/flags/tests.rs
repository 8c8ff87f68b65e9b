use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, Command, FromArgMatches};
use serde_json::json;

use super::SpecFlags;
use super::table::{OLDER, WITHOUT, flags};
use crate::rpc::proto::v1::Problem;
use crate::spec::read::{self, Dialect};
use crate::spec::schema::OLDER_NAMES;
use crate::spec::schema::{CHECK, EXEC, HTTP, Key, LOGLINE, SPEC, TCP};
use crate::spec::{Problem as SpecProblem, Spec};

fn parsed(line: &[&str]) -> Result<SpecFlags, String> {
    let command = SpecFlags::augment_args(Command::new("create"));
    let matches = command.try_get_matches_from(std::iter::once(&"create").chain(line)).map_err(|e| e.to_string())?;
    SpecFlags::from_arg_matches(&matches).map_err(|error| error.to_string())
}

fn table(line: &[&str]) -> serde_json::Value {
    serde_json::from_str(&parsed(line).unwrap().json(None)).unwrap()
}

/// The spec that `neap create web FLAGS -- sleep 1` makes.
fn spec(line: &[&str]) -> Result<Spec, Vec<SpecProblem>> {
    let mut flags = parsed(line).unwrap();
    flags.command(&["sleep".into(), "1".into()]);
    let value: serde_json::Value = serde_json::from_str(&flags.json(None)).unwrap();
    read::spec("web", &node(&value), &Dialect::compatible(), crate::spec::Source::default())
}

fn node(value: &serde_json::Value) -> crate::spec::Node {
    use crate::spec::{Node, Value};
    Node::new(match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(flag) => Value::Bool(*flag),
        serde_json::Value::Number(number) => {
            number.as_i64().map_or_else(|| Value::Float(number.as_f64().unwrap()), Value::Integer)
        }
        serde_json::Value::String(text) => Value::String(text.clone()),
        serde_json::Value::Array(items) => Value::List(items.iter().map(node).collect()),
        serde_json::Value::Object(fields) => {
            Value::Map(fields.iter().map(|(name, value)| (name.clone(), node(value))).collect())
        }
    })
}

/// The paths of all keys that a process can have.
fn keys() -> Vec<String> {
    fn below(prefix: &str, key: &'static Key, all: &mut Vec<String>) {
        let path = format!("{prefix}{}", key.name);
        match key.table {
            Some(table) => {
                table.own.iter().for_each(|key| below(&format!("{path}."), key, all));
            }
            _ => all.push(path),
        }
    }
    let mut all = Vec::new();
    SPEC.own.iter().for_each(|key| below("", key, &mut all));
    for (probe, tables) in
        [("ready", vec![&HTTP, &TCP, &EXEC, &LOGLINE, &CHECK]), ("health", vec![&HTTP, &TCP, &EXEC, &CHECK])]
    {
        for key in tables.into_iter().flat_map(|table| table.keys()) {
            // Of a ready probe only how often it is tried can be said.
            if probe == "health" || !key.doc.ends_with("(health only).") {
                all.push(format!("{probe}.{}", key.name));
            }
        }
    }
    all
}

#[test]
fn every_key_has_a_flag_or_a_reason_for_having_none() {
    let paths: BTreeSet<&str> = flags().iter().map(|flag| flag.path.as_str()).collect();
    for key in keys() {
        // A health check is given by what it does.
        if key == "health" {
            continue;
        }
        let excused = WITHOUT.iter().any(|(path, _)| *path == key);
        assert!(paths.contains(key.as_str()) != excused, "{key}");
    }
}

#[test]
fn no_two_flags_have_one_name() {
    let mut seen = BTreeSet::new();
    let taken = ["timeout", "no-wait", "dry-run", "restart-process", "unset", "json", "quiet", "verbose", "color"];
    for flag in flags() {
        assert!(seen.insert(&flag.long), "--{} is there twice", flag.long);
        assert!(!taken.contains(&flag.long.as_str()) && !flag.help.is_empty(), "--{}", flag.long);
    }
}

#[test]
fn flags_are_keys_with_values_as_a_configuration_has_them() {
    for (line, expected) in [
        (
            &["--restart-delay", "5s", "--restart", "always"][..],
            json!({"restart": {"delay": "5s", "policy": "always"}}),
        ),
        (&["--restart-limit-burst", "3"], json!({"restart": {"limit": {"burst": 3}}})),
        (&["--stop-timeout", "2", "--stop-signal", "15"], json!({"stop": {"timeout": 2, "signal": 15}})),
        (&["--stop-sequence", "INT:5s,TERM:10"], json!({"stop": {"sequence": [["INT", "5s"], ["TERM", 10]]}})),
        (&["--limits-cpu", "1.5", "--limits-memory", "512MiB"], json!({"limits": {"cpu": 1.5, "memory": "512MiB"}})),
        (&["--auto-start", "--volatile=false"], json!({"auto_start": true, "volatile": false})),
        (&["--env", "A=1", "--env", "B=x=y"], json!({"env": {"A": "1", "B": "x=y"}})),
        (&["--env", "A=1", "--secret-env", "A"], json!({"env": {"A": "1"}, "secret_env": ["A"]})),
        (&["--requires", "a,b", "--requires", "c"], json!({"requires": ["a", "b", "c"]})),
        (&["--nice", "-5", "--umask", "0027", "--user", "33"], json!({"nice": -5, "umask": "0027", "user": 33})),
        (&["--rlimits-nofile", "10:infinity"], json!({"rlimits": {"nofile": {"soft": 10, "hard": "infinity"}}})),
        (
            &["--hooks-before-start", "a 'b c'", "--hooks-before-start", "d"],
            json!({"hooks": {"before_start": [["a", "b c"], ["d"]]}}),
        ),
        (
            &["--listen-tcp", "127.0.0.1:80", "--listen-accept", "--listen-name", "x"],
            json!({"listen": {"tcp": "127.0.0.1:80", "accept": true, "name": "x"}}),
        ),
        (&["--listen-udp", "80", "--listen-accept=9"], json!({"listen": {"udp": 80, "accept": 9}})),
        (
            &["--listen-unix", "@x", "--listen-fifo", "/run/x", "--listen-mode", "0600"],
            json!({"listen": {"unix": "@x", "fifo": "/run/x", "mode": "0600"}}),
        ),
        (
            &["--health-tcp", "db:5432", "--health-retries", "2"],
            json!({"health": {"type": "tcp", "host": "db", "port": 5432, "retries": 2}}),
        ),
        (&["--health-interval", "3s"], json!({"health": {"interval": "3s"}})),
        (&["--ready-tcp", "80"], json!({"ready": {"type": "tcp", "port": 80}})),
        (&["--ready", "health"], json!({"ready": "health"})),
        (&["--ready-logline", "up .*"], json!({"ready": {"type": "logline", "pattern": "up .*"}})),
        (
            &["--health-http", "http://h/", "--health-headers", "A: b: c"],
            json!({"health": {"type": "http", "url": "http://h/", "headers": {"A": "b: c"}}}),
        ),
        (&["--log-stdout", "inherit", "--log-stderr", "/x"], json!({"log": {"stdout": "inherit", "stderr": "/x"}})),
        (&["--env-file", "-/etc/x", "--env-file", "/y"], json!({"env_file": ["-/etc/x", "/y"]})),
        (&["--conditions-path-exists", "!/x"], json!({"conditions": {"path_exists": ["!/x"]}})),
        (&["--success-exit-status", "3,HUP"], json!({"success_exit_status": [3, "HUP"]})),
        (&["--bounding-capabilities", "chown,kill"], json!({"bounding_capabilities": ["chown", "kill"]})),
    ] {
        assert_eq!(table(line), expected, "{line:?}");
    }
    let here = std::env::current_dir().unwrap().join("run").display().to_string();
    assert_eq!(table(&["--working-dir", "run"]), json!({"working_dir": here}), "the instance has another folder");
}

#[test]
fn what_the_older_system_calls_them_is_taken_too() {
    let spec = |line: &[&str]| spec(line).unwrap_or_else(|problems| panic!("{line:?}: {problems:?}"));
    let pairs: [(&[&str], &[&str]); 38] = [
        (&["--process-type", "oneshot"], &["--type", "oneshot"]),
        (&["--restart-sec", "3"], &["--restart-delay", "3s"]),
        (&["--restart-max", "30"], &["--restart-max-delay", "30s"]),
        (&["--restart-policy", "always"], &["--restart", "always"]),
        (&["--start-limit-burst", "2"], &["--restart-limit-burst", "2"]),
        (&["--start-limit-interval", "9"], &["--restart-limit-interval", "9s"]),
        (&["--environment-file", "/e"], &["--env-file", "/e"]),
        (&["--stdout", "null"], &["--log-stdout", "null"]),
        (&["--stderr", "/e"], &["--log-stderr", "/e"]),
        (&["--timeout-start", "4"], &["--start-timeout", "4s"]),
        (&["--timeout-start", "0"], &["--start-timeout", "infinity"]),
        (&["--restart-sec", "0"], &["--restart-delay", "0s"]),
        (
            &[
                "--health-check-http-endpoint",
                "http://h/",
                "--health-check-http-method",
                "HEAD",
                "--health-check-http-status",
                "204",
            ],
            &["--health-http", "http://h/", "--health-method", "HEAD", "--health-expected-status", "204"],
        ),
        (&["--health-check-tcp-host", "h", "--health-check-tcp-port", "1"], &["--health-tcp", "h:1"]),
        (&["--health-check-exec-command", "c d", "--health-check-exec-arg", "-x"], &["--health-exec", "'c d' -x"]),
        (&["--timeout-stop", "4"], &["--stop-timeout", "4s"]),
        (&["--timeout-stop-sec", "4"], &["--stop-timeout", "4s"]),
        // There 0 was what is not given.
        (&["--timeout-stop", "0"], &[]),
        (&["--timeout-stop-sec", "0", "--nice", "1"], &["--nice", "1"]),
        (
            &["--health-check-port", "1", "--health-check-interval", "0", "--health-check-timeout", "0"],
            &["--health-tcp", "1"],
        ),
        (
            &[
                "--health-check-endpoint",
                "http://h/",
                "--health-check-retries",
                "0",
                "--health-check-expected-status",
                "0",
            ],
            &["--health-http", "http://h/"],
        ),
        (&["--kill-signal", "SIGINT"], &["--stop-signal", "INT"]),
        (&["--kill-mode", "mixed"], &["--stop-mode", "mixed"]),
        (&["--exec-start-pre", "a b"], &["--hooks-before-start", "a b"]),
        (&["--exec-start-post", "a"], &["--hooks-after-start", "a"]),
        (&["--exec-stop-post", "a"], &["--hooks-after-stop", "a"]),
        (&["--condition-path-exists", "/x"], &["--conditions-path-exists", "/x"]),
        (&["--ambient-capability", "CAP_KILL"], &["--ambient-capabilities", "kill"]),
        (&["--oom-score-adj", "-5"], &["--limits-oom-score-adj", "-5"]),
        (&["--health-check-type", "tcp", "--health-check-port", "1"], &["--health-tcp", "1"]),
        (
            &["--health-check-type", "tcp", "--health-check-host", "h", "--health-check-port", "1"],
            &["--health-tcp", "h:1"],
        ),
        (
            &["--health-check-type", "http", "--health-check-endpoint", "http://h/", "--health-check-method", "HEAD"],
            &["--health-http", "http://h/", "--health-method", "HEAD"],
        ),
        (
            &["--health-check-endpoint", "http://h/", "--health-check-expected-status", "204"],
            &["--health-http", "http://h/", "--health-expected-status", "204"],
        ),
        (
            &[
                "--health-check-type",
                "exec",
                "--health-check-command",
                "c",
                "--health-check-args",
                "-x",
                "--health-check-args",
                "y z",
            ],
            &["--health-exec", "c -x 'y z'"],
        ),
        (
            &["--health-check-command", "c d", "--health-check-interval", "7"],
            &["--health-exec", "c d", "--health-interval", "7s"],
        ),
        (
            &["--health-check-port", "1", "--health-check-timeout", "7"],
            &["--health-tcp", "1", "--health-timeout", "7s"],
        ),
        (&["--health-check-port", "1", "--health-check-retries", "7"], &["--health-tcp", "1", "--health-retries", "7"]),
        (
            &["--health-check-port", "1", "--health-check-start-period", "7", "--health-check-restart-after", "8"],
            &["--health-tcp", "1", "--health-start-period", "7s", "--health-restart-after", "8"],
        ),
    ];
    for (old, new) in pairs {
        assert_eq!(spec(old), spec(new), "{old:?}");
    }
    let limits = |line: &[&str]| table(line)["limits"].clone();
    assert_eq!(limits(&["--cpu-limit", "1500"]), json!({"cpu": "1500m"}));
    assert_eq!(limits(&["--cpu-limit", "500m"]), json!({"cpu": "500m"}));
    // As the older client read them: bare ones are cores; as its requests have them: thousandths.
    assert_eq!(limits(&["--cpu-limit", "2"]), json!({"cpu": 2}));
    assert_eq!(limits(&["--cpu-limit", "1.5"]), json!({"cpu": 1.5}));
    assert_eq!(limits(&["--cpu-request", "1000"]), json!({"cpu_weight": 100}));
    for (text, weight) in [("500", 50), ("500m", 50), ("2", 200), ("0.5", 50), ("5m", 1), ("1000000", 10_000)] {
        assert_eq!(limits(&["--cpu-request", text]), json!({"cpu_weight": weight}), "{text}");
    }
    assert_eq!(limits(&["--memory-request", "1048576"]), json!({"memory_low": 1_048_576}));
    assert_eq!(limits(&["--memory-limit", "1G", "--pids-limit", "9"]), json!({"memory": "1G", "pids": 9}));
}

#[test]
fn every_spelling_of_the_older_system_is_there() {
    let all = "description process-type restart restart-sec restart-max-delay restart-max start-limit-burst \
        start-limit-interval working-dir env environment-file env-file pidfile auto-start stdout stderr timeout-start \
        timeout-stop timeout-stop-sec kill-signal kill-mode success-exit-status exec-start-pre exec-start-post \
        exec-stop-post user group after before requires wants binds-to conflicts health-check-type \
        health-check-endpoint health-check-method health-check-expected-status health-check-host health-check-port \
        health-check-command health-check-args health-check-interval health-check-timeout health-check-retries \
        health-check-start-period health-check-http-endpoint health-check-http-method health-check-http-status \
        health-check-tcp-host health-check-tcp-port health-check-exec-command health-check-exec-arg cpu-request cpu-limit memory-request memory-limit pids-limit oom-score-adj \
        condition-path-exists runtime-directory ambient-capability";
    let known: BTreeMap<&str, bool> = flags().iter().map(|flag| (flag.long.as_str(), flag.hidden)).collect();
    for flag in all.split_whitespace() {
        assert!(known.contains_key(flag), "--{flag}");
    }
    let keys = OLDER_NAMES.iter().map(|(name, path)| (name.replace('_', "-"), path));
    for (old, path) in keys.chain(OLDER.iter().map(|(old, path)| ((*old).to_owned(), path))) {
        let ours = path.replace(['.', '_'], "-") == old;
        assert!(known[old.as_str()] || ours, "--{old} ({path}) is not for the help");
    }
}

#[test]
fn a_key_and_its_other_name_cannot_both_be_given() {
    let error = parsed(&["--restart-sec", "3", "--restart-delay", "4s"]).unwrap_err();
    assert!(error.contains("--restart-sec and --restart-delay are the same"), "{error}");
}

#[test]
fn an_unknown_flag_names_the_nearest() {
    let error = parsed(&["--restart-dely", "3"]).unwrap_err();
    assert!(error.contains("--restart-delay"), "{error}");
}

#[test]
fn what_no_key_would_take_is_told_with_its_flag() {
    for (line, expected) in [
        (&["--env", "A"][..], "--env: expected a variable as NAME=VALUE, found \"A\""),
        (&["--stop-sequence", "INT"], "--stop-sequence: expected a signal and how long to wait"),
        (&["--hooks-before-start", "a 'b"], "--hooks-before-start: cannot split"),
        (&["--cpu-request", "half"], "--cpu-request: expected cores such as 2 or 0.5"),
        (&["--restart", "allways"], "[possible values: never, always,"),
        (&["--auto-start=yes"], "[possible values: true, false]"),
    ] {
        let error = parsed(line).unwrap_err();
        assert!(error.contains(expected), "{line:?}: {error}");
    }
}

#[test]
fn a_problem_names_the_flag_that_was_typed() {
    let mut flags =
        parsed(&["--restart-sec", "soon", "--env", "A=1", "--health-tcp", "0", "--requires", "a,b"]).unwrap();
    flags.command(&["./x".into()]);
    let told = |field: &str| {
        flags.explain(&Problem { field: Some(field.into()), message: "is wrong".into(), ..Problem::default() })
    };
    assert_eq!(told("restart.delay"), "--restart-sec: is wrong");
    assert_eq!(told("env.A"), "--env: is wrong");
    assert_eq!(told("health.port"), "--health-tcp: is wrong");
    assert_eq!(told("requires[2]"), "--requires: is wrong");
    assert_eq!(told("command[1]"), "the command: is wrong");
    assert_eq!(told("user"), "user: is wrong");
    assert_eq!(told(""), "is wrong");
}
