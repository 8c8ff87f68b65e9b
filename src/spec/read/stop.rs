//! Reading `stop` and `reload`.

use super::super::schema::{RELOAD, STOP, STOP_STEP};
use super::super::stop::{Reload, Stop, StopMode, StopStep, mark};
use super::super::value::{Node, Value};
use super::reader::{At, Reader};

/// The modes by name.
pub(in crate::spec) const MODES: [(&str, StopMode); 4] = [
    ("control-group", StopMode::ControlGroup),
    ("process-group", StopMode::ProcessGroup),
    ("process", StopMode::Process),
    ("mixed", StopMode::Mixed),
];

const STEPS: &str = "a list of steps such as { \"INT\", \"5s\" }";
const STEPS_IN_YAML: &str = "a list of steps such as [INT, 5s]";

impl Reader<'_> {
    /// `stop`.
    pub(super) fn stop(&mut self, at: &At, node: &Node) -> Option<Stop> {
        let what = self.or_in_yaml(
            "a table such as { signal = \"TERM\", timeout = \"10s\" }",
            "a table such as { signal: TERM, timeout: 10s }",
        );
        let fields = self.table(at, node, &STOP, what)?;
        let mut stop = self.dialect.stop.clone();
        self.set(&fields, "mode", &mut stop.mode, |r, at, n| r.choice(at, n, &MODES));
        self.set(&fields, "command", &mut stop.command, |r, at, n| r.command(at, n).map(Some));
        if let Some(node) = fields.get("sequence") {
            let at = at.key("sequence", node);
            for other in ["signal", "timeout"] {
                if fields.has(other) {
                    let other = self.called(&format!("stop.{other}"));
                    let message = format!("each step has its signal and its wait, so `{other}` cannot go with it");
                    self.problem(&at, message);
                }
            }
            stop.sequence = self.sequence(&at, node)?;
        } else if (fields.has("signal") || fields.has("timeout"))
            && let Some(mut step) = stop.sequence.first().cloned()
        {
            self.set(&fields, "signal", &mut step.signal, Reader::signal);
            self.set(&fields, "timeout", &mut step.wait, Reader::duration);
            stop.sequence = vec![step];
        }
        Some(stop)
    }

    fn sequence(&mut self, at: &At, node: &Node) -> Option<Vec<StopStep>> {
        match &node.value {
            Value::List(items) => Some(self.items(at, items, Reader::step)),
            Value::Map(entries) if entries.is_empty() => Some(Vec::new()),
            _ => self.expected(at, self.or_in_yaml(STEPS, STEPS_IN_YAML), node),
        }
    }

    fn step(&mut self, at: &At, node: &Node) -> Option<StopStep> {
        let what = self.or_in_yaml("a step such as { \"INT\", \"5s\" }", "a step such as [INT, 5s]");
        let (signal, wait) = match &node.value {
            Value::List(items) => match items.as_slice() {
                [signal, wait] => (self.signal(&at.item(0, signal), signal), self.duration(&at.item(1, wait), wait)),
                _ => return self.expected(at, what, node),
            },
            Value::Map(_) => {
                let fields = self.table(at, node, &STOP_STEP, what)?;
                let (Some(signal), Some(wait)) = (fields.get("signal"), fields.get("timeout")) else {
                    self.problem(at, "a step needs both `signal` and `timeout`");
                    return None;
                };
                (self.signal(&at.key("signal", signal), signal), self.duration(&at.key("timeout", wait), wait))
            }
            _ => return self.expected(at, what, node),
        };
        Some(StopStep { signal: signal?, wait: wait? })
    }

    /// `reload`, and the mark of what it has read again.
    pub(super) fn reload(&mut self, at: &At, node: &Node) -> Option<(Option<Reload>, Option<String>)> {
        const WHAT: &str = "a table with `signal` or `command`";
        let fields = self.table(at, node, &RELOAD, WHAT)?;
        let mut on_change = None;
        self.set(&fields, "on_change", &mut on_change, |r, at, n| r.text(at, n).map(|text| Some(mark(text))));
        let how = match (fields.get("signal"), fields.get("command")) {
            (Some(node), None) => self.signal(&at.key("signal", node), node).map(Reload::Signal)?,
            (None, Some(node)) => self.command(&at.key("command", node), node).map(Reload::Command)?,
            (Some(_), Some(_)) => {
                self.problem(at, "is done by a `signal` or by a `command`, not by both");
                return None;
            }
            (None, None) => {
                self.problem(at, "needs a `signal` or a `command`");
                return None;
            }
        };
        Some((Some(how), on_change))
    }
}
