//! Reading hooks.

use super::super::hook::{Hook, HookAction, Hooks};
use super::super::schema::{HOOK, HOOKS};
use super::super::units::quote;
use super::super::value::{Node, Value};
use super::reader::{At, Reader};

const WHAT: &str = "a hook (a command, a table with `command`, or a function)";
const WHAT_IN_YAML: &str = "a hook (a command, or a table with `command`)";

impl Reader<'_> {
    /// `hooks`.
    pub(super) fn hooks(&mut self, at: &At, node: &Node) -> Option<Hooks> {
        let fields = self.table(at, node, &HOOKS, "a table of hooks")?;
        let mut hooks = Hooks::default();
        let turns: [(&'static str, &mut Vec<Hook>); 5] = [
            ("before_start", &mut hooks.before_start),
            ("after_start", &mut hooks.after_start),
            ("before_stop", &mut hooks.before_stop),
            ("after_stop", &mut hooks.after_stop),
            ("on_failure", &mut hooks.on_failure),
        ];
        for (key, place) in turns {
            self.set(&fields, key, place, |r, at, n| Some(r.hook_list(at, n)));
        }
        Some(hooks)
    }

    /// The hooks of one turning point. A list of words is one command; any other list is a list of hooks.
    fn hook_list(&mut self, at: &At, node: &Node) -> Vec<Hook> {
        match &node.value {
            Value::List(items) if items.iter().all(is_word) => match items.is_empty() {
                true => Vec::new(),
                false => {
                    self.warn_of_several_lines(at, items);
                    self.hook(at, node).into_iter().collect()
                }
            },
            _ => self.list(at, node, Reader::hook),
        }
    }

    /// A list of words whose first has a blank looks like several commands, and is one.
    fn warn_of_several_lines(&mut self, at: &At, items: &[Node]) {
        if let [Node { value: Value::String(program), .. }, _, ..] = items
            && program.contains(char::is_whitespace)
        {
            let message = format!(
                "is one command, whose program is {}; for several hooks write each as a list or a table",
                quote(program)
            );
            self.warn(at, message);
        }
    }

    fn hook(&mut self, at: &At, node: &Node) -> Option<Hook> {
        let plain = |action| Hook { action, user: None, timeout: self.dialect.hook_timeout };
        match &node.value {
            Value::Function(id) => Some(plain(HookAction::Function(*id))),
            Value::String(_) | Value::List(_) => {
                let command = self.command(at, node)?;
                Some(Hook { action: HookAction::Command(command), user: None, timeout: self.dialect.hook_timeout })
            }
            Value::Map(_) => self.hook_table(at, node),
            _ => self.expected(at, self.or_in_yaml(WHAT, WHAT_IN_YAML), node),
        }
    }

    fn hook_table(&mut self, at: &At, node: &Node) -> Option<Hook> {
        let fields = self.table(at, node, &HOOK, self.or_in_yaml(WHAT, WHAT_IN_YAML))?;
        let given: Vec<&'static str> = ["command", "shell", "fn"].into_iter().filter(|key| fields.has(key)).collect();
        let action = match given.as_slice() {
            [key] => fields.get(key).and_then(|node| self.hook_action(&at.key(key, node), key, node)),
            [] => {
                self.problem(at, "a hook needs a `command`, a `shell` line or a function");
                None
            }
            [first, second, ..] => {
                self.problem(at, format!("a hook does one thing, so `{first}` and `{second}` cannot go together"));
                None
            }
        };
        let mut user = None;
        self.set(&fields, "user", &mut user, |r, at, n| r.account(at, n).map(Some));
        let mut timeout = self.dialect.hook_timeout;
        self.set(&fields, "timeout", &mut timeout, Reader::duration);
        if let (Some(node), Some(HookAction::Function(_))) = (fields.get("user"), &action) {
            self.problem(&at.key("user", node), "a function runs in the supervisor; only a command has a user");
        }
        action.map(|action| Hook { action, user, timeout })
    }

    fn hook_action(&mut self, at: &At, key: &str, node: &Node) -> Option<HookAction> {
        match (key, &node.value) {
            ("command", _) => self.command(at, node).map(HookAction::Command),
            ("shell", _) => {
                let line = self.text(at, node)?;
                Some(HookAction::Command(vec!["/bin/sh".to_owned(), "-c".to_owned(), line]))
            }
            (_, Value::Function(id)) => Some(HookAction::Function(*id)),
            _ => self.expected(at, "a function", node),
        }
    }
}

fn is_word(node: &Node) -> bool {
    matches!(node.value, Value::String(_) | Value::Integer(_) | Value::Float(_))
}
