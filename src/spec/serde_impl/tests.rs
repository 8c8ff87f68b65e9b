use std::sync::Arc;

use proptest::prelude::*;

use super::stored::{Stored, StoredRef};
use super::*;
use crate::spec::samples::specs;
use crate::spec::{FunctionId, Hook, Limits, Listener, Ready, Secret};

fn message(json: &str) -> String {
    serde_json::from_str::<Spec>(json).unwrap_err().to_string()
}

#[test]
fn a_spec_is_written_with_the_canonical_keys_and_its_defaults() {
    let spec = Spec::new("web", ["nginx"]).env("A", "1").ready(Ready::tcp(80));
    let expected = serde_json::json!({
        "name": "web", "command": ["nginx"], "type": "simple", "remain": false, "auto_start": true, "critical": false,
        "env": {"A": "1"}, "clear_env": false, "umask": "0022", "no_new_privs": false,
        "ready": {"type": "tcp", "host": "127.0.0.1", "port": 80},
        "restart": {
            "policy": "on-failure", "delay": "1s", "factor": 2.0, "max_delay": "1m", "jitter": 0.1,
            "limit": {"burst": 10, "interval": "10m"}, "reset_after": "1m",
        },
        "success_exit_status": [0],
        "stop": {"mode": "control-group", "sequence": [["SIGTERM", "10s"]]},
        "start_timeout": "1m30s",
        "log": {"ring": "64KiB", "max_size": "10MiB", "keep": 5, "stdout": "capture", "stderr": "capture"},
        "volatile": false,
    });
    assert_eq!(serde_json::to_value(&spec).unwrap(), expected);
    assert_eq!(serde_json::from_value::<Spec>(expected).unwrap(), spec);
}

#[test]
fn json_has_the_errors_of_the_reader() {
    assert_eq!(
        message(r#"{"name": "web", "comand": "nginx", "restart": {"delay": "soon"}}"#),
        "process `web`: comand: there is no such key; did you mean `command`?\n\
         process `web`: restart.delay: expected a duration (seconds, or text such as \"1h30m\", \"10s\" or \"250ms\"), \
         found \"soon\""
    );
    assert_eq!(message(r#"{"command": "x"}"#), "a spec needs a `name`");
    assert_eq!(message(r#"{"name": 5, "command": "x"}"#), "name: expected text");
    assert_eq!(message("[]"), "expected a table of spec keys");
    assert!(message(&format!("{}{}", "[".repeat(40), "]".repeat(40))).starts_with("tables are nested too deeply"));
    assert_eq!(message(r#"{"name": "web", "command": "x", "command": "y"}"#), "process `web`: command: is given twice");
    assert_eq!(
        message(r#"{"name": "web", "command": "x", "schedule": "daily"}"#),
        "process `web`: schedule: waits for schedules: nothing of it is in this version, so leave the key out for now"
    );
}

#[test]
fn secrets_are_shown_to_nobody_and_stored() {
    let spec = Spec::new("web", ["nginx"]).secret_env("TOKEN", Secret::new("s3cret"));
    let shown = serde_json::to_string(&spec).unwrap();
    assert!(shown.contains(r#""TOKEN":"***""#) && !shown.contains("s3cret"));
    assert_eq!(
        message(&shown),
        "process `web`: env.TOKEN: \"***\" is how a secret is shown, not a value; give the secret itself"
    );
    let stored = serde_json::to_string(&StoredRef(&spec)).unwrap();
    assert_eq!(serde_json::from_str::<Stored>(&stored).unwrap().0, spec);
    // What looks like the stored form of a secret is nothing special where clients may write.
    let forged = r#"{"name": "web", "command": "x", "env": {"A": {"=secret": "x"}}}"#;
    assert_eq!(
        message(forged),
        "process `web`: env.A: expected the value of a variable (text, a number, true, false or a secret), found a \
         table"
    );
}

#[test]
fn functions_and_places_survive_in_the_stored_form_alone() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Kept {
        #[serde(with = "stored")]
        spec: Arc<Spec>,
    }
    let source = Source { file: Some("neap.lua".into()), line: Some(7), ..Source::default() };
    let spec = Spec::new("web", ["nginx"]).after_stop(Hook::function(FunctionId(12))).source(source);
    let json = serde_json::to_string(&Kept { spec: Arc::new(spec.clone()) }).unwrap();
    let back: Kept = serde_json::from_str(&json).unwrap();
    assert_eq!(*back.spec, spec);
    assert_eq!((back.spec.source.file.as_deref(), back.spec.source.line), (Some("neap.lua"), Some(7)));
    let shown = serde_json::to_value(&spec).unwrap();
    assert_eq!(shown["hooks"]["after_stop"][0]["fn"], serde_json::json!({"function": 12}));
    assert_eq!(
        message(&shown.to_string()),
        "process `web`: hooks.after_stop[1].fn: expected a function, found a table"
    );
}

/// Takes away what the form for people does not carry.
fn without_what_is_hidden(mut spec: Spec) -> Spec {
    spec.secret_env.clear();
    spec.env.retain(|_, value| value != "***");
    spec.listen.clear();
    spec.limits = Limits { oom_score_adj: spec.limits.oom_score_adj, ..Limits::default() };
    spec.health = None;
    spec.ready = Ready::Executed;
    spec.hooks = crate::spec::Hooks::default();
    spec.conditions.check = None;
    spec
}

proptest! {
    #[test]
    fn every_spec_comes_back_from_storage(spec in specs()) {
        let json = serde_json::to_string(&StoredRef(&spec)).unwrap();
        let Stored(back) = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(&back, &spec);
        prop_assert_eq!(serde_json::to_string(&Stored(back)).unwrap(), json);
    }

    #[test]
    fn every_spec_without_secrets_and_functions_comes_back_from_what_is_shown(spec in specs()) {
        let spec = without_what_is_hidden(spec);
        let json = serde_json::to_string(&spec).unwrap();
        prop_assert_eq!(serde_json::from_str::<Spec>(&json).unwrap(), spec);
    }

    #[test]
    fn a_tree_reads_the_same_whatever_the_defaults(spec in specs()) {
        for defaults in [Dialect::native(), Dialect::compatible()] {
            let dialect = Dialect { origin: Origin::Stored, ..defaults };
            let back = read_spec("sample", &write::node(&spec), &dialect, Source::default()).unwrap();
            let working_dir = spec.working_dir.clone().or(dialect.working_dir.clone());
            prop_assert_eq!(back, Spec { working_dir, ..spec.clone() });
        }
    }
}

#[test]
fn what_only_looks_like_a_hidden_secret_is_stored_as_it_is() {
    let spec = Spec::new("web", ["nginx"]).env("A", "***").env("=secret", "x");
    let json = serde_json::to_string(&StoredRef(&spec)).unwrap();
    assert_eq!(serde_json::from_str::<Stored>(&json).unwrap().0, spec);
}

#[test]
fn a_listener_of_the_stored_form_needs_no_driver() {
    let listener = Listener::new(crate::spec::ListenAddress::Fifo("/run/x".into()));
    let spec = Spec::new("web", ["nginx"]).listen(listener);
    let json = serde_json::to_string(&StoredRef(&spec)).unwrap();
    assert_eq!(serde_json::from_str::<Stored>(&json).unwrap().0, spec);
}
