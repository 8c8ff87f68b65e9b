//! Changing single keys of a spec that there is.

use super::super::process::{Secret, Spec};
use super::super::restart::Restart;
use super::super::schema::PACE;
use super::super::value::{Node, Value};
use super::super::write;
use super::merge::merge_into;
use super::probe::kind_of;

/// How a secret is shown; as a change of one it means that nothing changes.
const SHOWN: &str = "***";

/// The table that these changes make of a spec, to be read again: maps merge, lists replace, and what is
/// [`Null`](Value::Null) or [`Unset`](Value::Unset) goes back to its default.
///
/// What stands for the same thing is minded: a policy in text changes the policy alone, `stop.timeout` the one rung of a
/// ladder, `args` what follows the program, another kind of probe takes over the pace of the one before and nothing
/// else. A variable that is a secret stays one.
pub fn amend(present: &Spec, mut changes: Vec<(String, Node)>) -> Vec<(String, Node)> {
    let Value::Map(mut table) = write::node(present).value else { return changes };
    command(&mut table, &changes);
    environment(&mut table, &mut changes);
    restart(&mut table, &mut changes, present);
    stop(&mut table, &changes);
    probe(&mut table, &changes, "health", |key| key != "fn" && PACE.key(key).is_some());
    probe(&mut table, &changes, "ready", |_| false);
    reload(&mut table, &changes);
    merge_into(&mut table, changes);
    table
}

fn get<'a>(table: &'a [(String, Node)], key: &str) -> Option<&'a Value> {
    table.iter().find(|(name, _)| name == key).map(|(_, node)| &node.value)
}

fn get_mut<'a>(table: &'a mut [(String, Node)], key: &str) -> Option<&'a mut Value> {
    table.iter_mut().find(|(name, _)| name == key).map(|(_, node)| &mut node.value)
}

fn map<'a>(table: &'a [(String, Node)], key: &str) -> Option<&'a Vec<(String, Node)>> {
    match get(table, key) {
        Some(Value::Map(entries)) => Some(entries),
        _ => None,
    }
}

fn map_mut<'a>(table: &'a mut [(String, Node)], key: &str) -> Option<&'a mut Vec<(String, Node)>> {
    match get_mut(table, key) {
        Some(Value::Map(entries)) => Some(entries),
        _ => None,
    }
}

fn is_given(table: &[(String, Node)], key: &str) -> bool {
    get(table, key).is_some_and(|value| !matches!(value, Value::Null | Value::Unset))
}

/// `shell` and `args` are written as parts of `command`.
fn command(table: &mut Vec<(String, Node)>, changes: &[(String, Node)]) {
    if is_given(changes, "shell") {
        table.retain(|(key, _)| key != "command");
    } else if get(changes, "args").is_some()
        && let Some(Value::List(words)) = get_mut(table, "command")
    {
        words.truncate(1);
    }
}

/// A list of assignments changes those variables; what was a secret is one.
fn environment(table: &mut [(String, Node)], changes: &mut [(String, Node)]) {
    let Some(given) = get_mut(changes, "env") else { return };
    if let Value::List(items) = given
        && let Some(entries) = items.iter().map(assignment).collect()
    {
        *given = Value::Map(entries);
    }
    let (Value::Map(given), Some(present)) = (given, map_mut(table, "env")) else { return };
    let is_secret = |name: &str| matches!(get(present, name), Some(Value::Secret(_)));
    given.retain(|(name, node)| !(is_secret(name) && node.value == Value::String(SHOWN.into())));
    for (_, node) in given.iter_mut().filter(|(name, _)| is_secret(name)) {
        let text = match &node.value {
            Value::String(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Float(number) if number.is_finite() => number.to_string(),
            Value::Bool(truth) => truth.to_string(),
            _ => continue,
        };
        node.value = Value::Secret(Secret::new(text));
    }
}

fn assignment(node: &Node) -> Option<(String, Node)> {
    let Value::String(text) = &node.value else { return None };
    let (name, value) = text.split_once('=')?;
    Some((name.to_owned(), Node { value: Value::String(value.to_owned()), position: node.position }))
}

fn restart(table: &mut [(String, Node)], changes: &mut [(String, Node)], present: &Spec) {
    if let Some(given @ Value::String(_)) = get_mut(changes, "restart") {
        let policy = Node::new(std::mem::replace(given, Value::Null));
        *given = Value::Map(vec![("policy".to_owned(), policy)]);
    }
    // A ceiling that nobody gave rises with the first wait.
    let restart = &present.restart;
    let by_default = restart.max_delay == restart.delay.max(Restart::default().max_delay);
    if by_default
        && map(changes, "restart").is_some_and(|given| is_given(given, "delay"))
        && let Some(entries) = map_mut(table, "restart")
    {
        entries.retain(|(key, _)| key != "max_delay");
    }
}

/// A ladder of one rung may also be given as its signal and its wait.
fn stop(table: &mut [(String, Node)], changes: &[(String, Node)]) {
    let Some(given) = map(changes, "stop") else { return };
    let single = ["signal", "timeout"].into_iter().any(|key| get(given, key).is_some());
    let Some(entries) = map_mut(table, "stop").filter(|_| single) else { return };
    let Some(Value::List(steps)) = get(entries, "sequence") else { return };
    let [Node { value: Value::List(step), .. }] = steps.as_slice() else { return };
    let [signal, timeout] = step.as_slice() else { return };
    let rung = [("signal".to_owned(), signal.clone()), ("timeout".to_owned(), timeout.clone())];
    entries.retain(|(key, _)| key != "sequence");
    entries.extend(rung);
}

/// A probe of another kind keeps only these keys of the one before.
fn probe(table: &mut [(String, Node)], changes: &[(String, Node)], key: &str, keeps: impl Fn(&str) -> bool) {
    let Some(kind) = map(changes, key).and_then(|given| kind_of(given)) else { return };
    if let Some(entries) = map_mut(table, key)
        && kind_of(entries) != Some(kind)
    {
        entries.retain(|(name, _)| keeps(name));
    }
}

/// It is done by a signal or by a command.
fn reload(table: &mut [(String, Node)], changes: &[(String, Node)]) {
    let Some(given) = map(changes, "reload") else { return };
    for (one, other) in [("signal", "command"), ("command", "signal")] {
        if is_given(given, one)
            && let Some(entries) = map_mut(table, "reload")
        {
            entries.retain(|(key, _)| key != other);
        }
    }
}
