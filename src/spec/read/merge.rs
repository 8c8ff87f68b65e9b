//! Laying one table over another, for templates and defaults.

use super::super::value::{Node, Value};

/// Lays `over` on `base`: maps merge, everything else (lists too) replaces, and [`Value::Unset`] takes a key away.
///
/// A key that is taken away stays in the result as [`Value::Unset`], so that the order in which several layers are
/// merged does not matter; the reader passes over it. Keys of `base` keep their places, new ones follow.
pub fn merge(base: &[(String, Node)], over: &[(String, Node)]) -> Vec<(String, Node)> {
    let mut merged = base.to_vec();
    merge_into(&mut merged, over.to_vec());
    merged
}

/// As [`merge`], in place.
pub fn merge_into(base: &mut Vec<(String, Node)>, over: Vec<(String, Node)>) {
    for (key, new) in over {
        let Some((_, old)) = base.iter_mut().find(|(name, _)| *name == key) else {
            base.push((key, new));
            continue;
        };
        match (&mut old.value, new.value) {
            (Value::Map(below), Value::Map(above)) => {
                merge_into(below, above);
                old.position = new.position;
            }
            (_, value) => *old = Node { value, position: new.position },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Node {
        Node::new(Value::String(value.into()))
    }

    fn map(entries: &[(&str, Node)]) -> Vec<(String, Node)> {
        entries.iter().map(|(key, node)| ((*key).to_owned(), node.clone())).collect()
    }

    fn table(entries: &[(&str, Node)]) -> Node {
        Node::new(Value::Map(map(entries)))
    }

    #[test]
    fn maps_merge_and_lists_replace() {
        let list = |items: &[&str]| Node::new(Value::List(items.iter().map(|item| text(item)).collect()));
        let base = map(&[
            ("env", table(&[("A", text("1")), ("B", text("2"))])),
            ("after", list(&["x", "y"])),
            ("user", text("app")),
        ]);
        let over = map(&[("env", table(&[("B", text("3")), ("C", text("4"))])), ("after", list(&["z"]))]);
        let expected = map(&[
            ("env", table(&[("A", text("1")), ("B", text("3")), ("C", text("4"))])),
            ("after", list(&["z"])),
            ("user", text("app")),
        ]);
        assert_eq!(merge(&base, &over), expected);
    }

    #[test]
    fn unset_takes_a_key_away_whichever_layers_are_merged_first() {
        let unset = || Node::new(Value::Unset);
        let first = map(&[("user", text("app")), ("env", table(&[("A", text("1"))]))]);
        let second = map(&[("user", unset()), ("env", table(&[("A", unset())]))]);
        let third = map(&[("umask", text("0027"))]);
        let left = merge(&merge(&first, &second), &third);
        assert_eq!(left, merge(&first, &merge(&second, &third)));
        assert_eq!(left, map(&[("user", unset()), ("env", table(&[("A", unset())])), ("umask", text("0027"))]));
    }

    #[test]
    fn a_value_of_another_kind_replaces() {
        let base = map(&[("restart", table(&[("delay", text("5s"))]))]);
        let over = map(&[("restart", text("never"))]);
        assert_eq!(merge(&base, &over), over);
        assert_eq!(merge(&over, &base), base);
    }
}
