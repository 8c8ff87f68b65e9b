//! Where mistakes are told to be, and trees that nobody would write.

use proptest::prelude::*;
use serde_json::json;

use super::tests::refused;
use super::*;
use crate::spec::{FunctionId, Secret, Value};

#[test]
fn every_mistake_is_told_with_its_file_and_line_in_the_order_of_lines() {
    let at = |line, value: &str| Node::at(Value::String(value.into()), line);
    let restart = Value::Map(vec![("delay".into(), at(6, "soon")), ("polcy".into(), at(5, "never"))]);
    let table = Value::Map(vec![
        ("restart".into(), Node::at(restart, 4)),
        ("user".into(), Node::at(Value::Bool(true), 3)),
        ("command".into(), Node::new(Value::List(vec![at(2, "x"), Node::new(Value::Null)]))),
    ]);
    let source = Source { file: Some("neap.lua".into()), line: Some(1), ..Source::default() };
    let problems = spec("web", &Node::at(table, 1), &Dialect::native(), source).unwrap_err();
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "neap.lua:1: process `web`: command[2]: expected a word of a command, found nothing",
            "neap.lua:3: process `web`: user: expected a name, or a number below 4294967295, found true",
            "neap.lua:5: process `web`: restart.polcy: there is no such key; did you mean `policy`?",
            "neap.lua:6: process `web`: restart.delay: expected a duration (seconds, or text such as \"1h30m\", \
             \"10s\" \
             or \"250ms\"), found \"soon\"",
        ]
    );
}

#[test]
fn lines_of_keys_are_kept_for_what_is_found_wrong_later() {
    let at = |line, value: &str| Node::at(Value::String(value.into()), line);
    let env = Value::Map(vec![("A".into(), at(4, "\0"))]);
    let table =
        Value::Map(vec![("command".into(), at(2, "x")), ("env".into(), Node::at(env, 3)), ("user".into(), at(5, ""))]);
    let source = Source { file: Some("neap.lua".into()), line: Some(1), ..Source::default() };
    let spec = spec("web", &Node::at(table, 1), &Dialect::native(), source).unwrap();
    let lines: Vec<Option<u32>> = spec.validate().iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [Some(4), Some(5)]);
}

#[test]
fn text_that_would_upset_a_terminal_is_escaped() {
    let messages = refused(json!({"type": "\u{1b}[31m\u{202e}x", "env": {"a\nb": []}}));
    assert_eq!(
        messages,
        [
            "type: expected one of \"simple\", \"oneshot\", \"forking\", \"notify\", found \"\\u{1b}[31m\\u{202e}x\"",
            "env[\"a\\nb\"]: expected the value of a variable (text, a number, true, false or a secret), found an \
             empty list",
        ]
    );
}

/// Any tree that a front end could hand over, with keys of the schema so that it gets somewhere.
fn trees() -> impl Strategy<Value = Node> {
    let keys: Vec<&'static str> =
        crate::spec::schema::TABLES.iter().flat_map(|table| table.keys()).map(|key| key.name).collect();
    let key = prop_oneof![9 => proptest::sample::select(keys).prop_map(String::from), 1 => "\\PC{0,6}"];
    let leaf = prop_oneof![
        Just(Value::Null),
        Just(Value::Unset),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Integer),
        any::<f64>().prop_map(Value::Float),
        "\\PC{0,8}|[0-9]{0,9}[a-zA-Z]{0,3}|always|notify|health|TERM|infinity".prop_map(Value::String),
        any::<u64>().prop_map(|id| Value::Function(FunctionId(id))),
        "[a-z]{0,3}".prop_map(Value::Handle),
        Just(Value::Secret(Secret::new("s3cret"))),
        Just(Value::Other("thread")),
    ];
    leaf.prop_recursive(4, 40, 8, move |inner| {
        let inner = inner.prop_map(Node::new).boxed();
        let map = proptest::collection::vec((key.clone(), inner.clone()), 0..8);
        let kinds = proptest::sample::select(vec!["http", "tcp", "exec", "logline", "check", "listen", "other"]);
        prop_oneof![
            3 => map.clone().prop_map(Value::Map),
            1 => proptest::collection::vec(inner, 0..4).prop_map(Value::List),
            1 => (kinds, map).prop_map(|(kind, fields)| Value::Made { kind, fields }),
        ]
    })
    .prop_map(Node::new)
}

proptest! {
    #[test]
    fn no_tree_upsets_the_reader_and_no_secret_is_told(tree in trees()) {
        for origin in [Origin::Written, Origin::Stored] {
            let dialect = Dialect { origin, ..Dialect::native() };
            match spec("web", &tree, &dialect, Source::default()) {
                Ok(spec) => drop(spec.validate()),
                Err(problems) => {
                    prop_assert!(!problems.is_empty());
                    prop_assert!(problems.iter().all(|problem| !problem.to_string().contains("s3cret")));
                }
            }
        }
    }
}
