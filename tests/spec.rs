//! Specs as a user of the library meets them: built in Rust, read from trees and JSON, validated, compared.

use std::time::Duration;

use neap::spec::read::{Dialect, merge, spec as read_spec};
use neap::spec::{
    Effect, Health, Hook, Node, Plan, ProbeTarget, Ready, Reload, Restart, Severity, Signal, Source, Spec, Stop,
    StopMode, Value, changed_fields, order_edges, stored,
};

fn text(value: &str, line: u32) -> Node {
    Node::at(Value::String(value.into()), line)
}

fn map(entries: Vec<(&str, Node)>) -> Vec<(String, Node)> {
    entries.into_iter().map(|(key, node)| (key.to_owned(), node)).collect()
}

#[test]
fn the_readmes_two_processes_are_a_plan_without_problems() {
    let mut plan = Plan::new();
    plan.insert(Spec::new("db", ["postgres", "-D", "data"]).ready(Ready::tcp(5432))).unwrap();
    plan.insert(Spec::new("api", ["./api"]).requires("db").restart(Restart::on_failure())).unwrap();
    assert_eq!(plan.validate(), []);
    let edges = order_edges(plan.specs());
    assert_eq!(edges.iter().map(|edge| (edge.first, edge.then)).collect::<Vec<_>>(), [("db", "api")]);
}

#[test]
fn a_name_that_is_taken_names_both_places() {
    let place = |line| Source { file: Some("neap.lua".into()), line: Some(line), ..Source::default() };
    let mut plan = Plan::new();
    plan.insert(Spec::new("db", ["a"]).source(place(3))).unwrap();
    let problem = plan.insert(Spec::new("db", ["b"]).source(place(9))).unwrap_err();
    assert_eq!(problem.to_string(), "neap.lua:9: process `db`: is declared twice; the first is at neap.lua:3");
    assert_eq!(plan.get("db").map(|spec| spec.command.clone()), Some(vec!["a".to_owned()]));
}

#[test]
fn a_template_under_a_table_gives_one_spec_and_each_mistake_its_line() {
    let template = map(vec![
        ("user", text("app", 2)),
        ("restart", Node::at(Value::Map(map(vec![("delay", text("5s", 3)), ("polcy", text("never", 4))])), 3)),
    ]);
    let table = map(vec![
        ("command", text("./api", 8)),
        ("user", Node::at(Value::Unset, 9)),
        ("restart", Node::at(Value::Map(map(vec![("delay", text("soon", 10))])), 10)),
        ("requires", Node::at(Value::Handle("db".into()), 11)),
    ]);
    let source = Source { file: Some("neap.lua".into()), line: Some(7), ..Source::default() };
    let merged = Node::at(Value::Map(merge(&template, &table)), 7);
    let problems = read_spec("api", &merged, &Dialect::native(), source).unwrap_err();
    assert_eq!(
        problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "neap.lua:4: process `api`: restart.polcy: there is no such key; did you mean `policy`?",
            "neap.lua:10: process `api`: restart.delay: expected a duration (seconds, or text such as \"1h30m\", \
             \"10s\" or \"250ms\"), found \"soon\"",
        ]
    );
    let good = map(vec![("restart", Node::new(Value::Unset)), ("command", text("./api", 8))]);
    let spec = read_spec("api", &Node::new(Value::Map(merge(&template, &good))), &Dialect::native(), Source::default());
    assert_eq!(spec.unwrap(), Spec::new("api", ["./api"]).user("app"));
}

#[test]
fn a_spec_in_json_is_the_spec_that_the_builder_makes() {
    let json = r#"{
        "name": "web", "command": "nginx -g 'daemon off;'", "requires": "db", "after": ["cache"],
        "health": {"type": "http", "url": "http://127.0.0.1:8080/health", "interval": "10s", "restart_after": 3},
        "ready": "health", "restart": {"delay": "500ms", "max_delay": "30s", "limit": {"burst": 5, "interval": "5m"}},
        "stop": {"signal": "QUIT", "timeout": "30s", "mode": "mixed"}, "reload": {"signal": "HUP"},
        "hooks": {"before_start": ["nginx", "-t"]}, "env": {"TZ": "UTC"}, "start_timeout": 20
    }"#;
    let health = Health { restart_after: 3, ..Health::new(ProbeTarget::http("http://127.0.0.1:8080/health")) };
    let restart = Restart::on_failure()
        .delay(Duration::from_millis(500))
        .max_delay(Duration::from_secs(30))
        .limit(5, Duration::from_secs(300));
    let built = Spec::new("web", ["nginx", "-g", "daemon off;"])
        .requires("db")
        .after("cache")
        .health(health)
        .ready(Ready::Health)
        .restart(restart)
        .stop(Stop::signal(Signal::QUIT, Duration::from_secs(30)).mode(StopMode::Mixed))
        .reload(Reload::Signal(Signal::HUP))
        .before_start(Hook::command(["nginx", "-t"]))
        .env("TZ", "UTC")
        .start_timeout(Duration::from_secs(20));
    let read: Spec = serde_json::from_str(json).unwrap();
    assert_eq!(read, built);
    assert_eq!(read.validate(), []);
    let again: Spec = serde_json::from_str(&serde_json::to_string(&built).unwrap()).unwrap();
    assert_eq!(again, built);
    let stored::Stored(kept) =
        serde_json::from_str(&serde_json::to_string(&stored::StoredRef(&built)).unwrap()).unwrap();
    assert_eq!(kept, built);
}

#[test]
fn an_update_is_told_field_by_field_and_a_run_takes_what_is_live() {
    let old = Spec::new("web", ["nginx"]);
    let new = Spec::new("web", ["nginx", "-q"]).critical(true).restart(Restart::always());
    let changes: Vec<(String, Effect)> =
        changed_fields(&old, &new).into_iter().map(|change| (change.path, change.effect)).collect();
    let expected = [("command", Effect::Restart), ("critical", Effect::Live), ("restart.policy", Effect::Live)];
    assert_eq!(changes, expected.map(|(path, effect)| (path.to_owned(), effect)));
    let running = old.with_live_fields_of(&new);
    assert_eq!((running.command.len(), running.critical), (1, true));
}

#[test]
fn a_bad_plan_tells_everything_at_once_and_warnings_do_not_refuse() {
    let mut plan = Plan::new();
    plan.insert(Spec::new("a", [""]).user("0day").requires("b")).unwrap();
    plan.insert(Spec::new("b", ["b"]).requires("a").wants("cash")).unwrap();
    plan.insert(Spec::new("cache", ["c"]).nice(40)).unwrap();
    let problems = plan.validate();
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "process `a`: command[1]: the program's name is empty",
            "process `a`: user: expected a user or group by name, or by number below 4294967295, found \"0day\": a \
             name \
             begins with a letter or `_`, then letters, digits, `_`, `.`, `@` and `-`",
            "process `cache`: nice: is from -20 to 19",
            "warning: process `b`: wants: there is no process \"cash\"",
            "process `a`: waits for itself: a -> b -> a (`a` requires `b`, `b` requires `a`)",
        ]
    );
    let only_warned = Spec::new("a", ["a"]).wants("nobody");
    let mut plan = Plan::new();
    plan.insert(only_warned).unwrap();
    assert!(plan.validate().iter().all(|problem| problem.severity == Severity::Warning));
}
