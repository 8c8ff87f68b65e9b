//! Changing single keys of a spec that there is.

use super::super::process::{Secret, Spec};
use super::super::restart::Restart;
use super::super::schema::PACE;
use super::super::value::{Node, Value};
use super::super::write;
use super::listen::KINDS as LISTEN_KINDS;
use super::merge::merge_into;
use super::probe::kind_of;

/// How a secret is shown; as a change of one it means that nothing changes.
const SHOWN: &str = "***";

/// The table that these changes make of a spec, to be read again: maps merge, lists replace, and what is
/// [`Null`](Value::Null) or [`Unset`](Value::Unset) goes back to its default.
///
/// What stands for the same thing is minded: a policy in text changes the policy alone, `stop.timeout` the one rung of a
/// ladder, `args` what follows the program, a listener's table the only
/// listener there is, another kind of probe takes over the pace of the one before and nothing
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
    listen(&mut table, &changes);
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

/// One listener's table changes the keys of the only one that there is; a list replaces all of them.
fn listen(table: &mut [(String, Node)], changes: &[(String, Node)]) {
    let Some(given) = map(changes, "listen") else { return };
    let Some(present) = get_mut(table, "listen") else { return };
    let Value::List(items) = present else { return };
    let [Node { value: Value::Map(entries), .. }] = items.as_mut_slice() else { return };
    let mut entries = std::mem::take(entries);
    if LISTEN_KINDS.iter().any(|kind| is_given(given, kind)) {
        entries.retain(|(key, _)| !LISTEN_KINDS.contains(&key.as_str()));
    }
    *present = Value::Map(entries);
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

#[cfg(test)]
mod tests {
    use super::super::{Dialect, spec};
    use super::*;
    use crate::spec::{Listener, Source};

    fn amended(present: &Spec, entries: &[(&str, Value)]) -> Vec<Listener> {
        let given = entries.iter().map(|(key, value)| ((*key).to_owned(), Node::new(value.clone()))).collect();
        let changes = vec![("listen".to_owned(), Node::new(Value::Map(given)))];
        let table = Node::new(Value::Map(amend(present, changes)));
        spec("web", &table, &Dialect::native(), Source::default()).unwrap().listen
    }

    #[test]
    fn the_only_listener_is_changed_key_by_key() {
        let text = |value: &str| Value::String(value.into());
        let present = Spec::new("web", ["web"]).listen(Listener::tcp("127.0.0.1:80").name("http").backlog(9));
        let expected = Listener::tcp("127.0.0.1:80").name("web").backlog(9);
        assert_eq!(amended(&present, &[("name", text("web"))]), [expected]);
        // Another address is one instead of the one before, whatever its kind.
        let expected = Listener::unix("/run/x").name("http").backlog(9);
        assert_eq!(amended(&present, &[("unix", text("/run/x"))]), [expected]);
        let several = present.listen(Listener::tcp("127.0.0.1:81"));
        assert_eq!(amended(&several, &[("tcp", Value::Integer(82))]), [Listener::tcp("127.0.0.1:82")]);
    }
}
