//! Reading `limits` and `rlimits`.

use std::collections::BTreeMap;

use super::super::process::{Limits, Rlimit};
use super::super::schema::{LIMITS, RLIMIT, RLIMITS};
use super::super::value::{Node, Value};
use super::reader::{At, Reader, unknown_key};
use super::scalar::whole;

impl Reader<'_> {
    /// `limits`.
    pub(super) fn limits(&mut self, at: &At, node: &Node) -> Option<Limits> {
        let fields = self.table(at, node, &LIMITS, "a table of limits")?;
        let mut limits = Limits::default();
        let sizes: [(&'static str, &mut Option<u64>); 3] = [
            ("memory", &mut limits.memory),
            ("memory_high", &mut limits.memory_high),
            ("memory_low", &mut limits.memory_low),
        ];
        for (key, place) in sizes {
            self.set(&fields, key, place, |r, at, n| r.size(at, n).map(Some));
        }
        self.set(&fields, "cpu", &mut limits.cpu_millis, |r, at, n| r.cpu(at, n).map(Some));
        let numbers: [(&'static str, &mut Option<u64>, i64); 3] = [
            ("cpu_weight", &mut limits.cpu_weight, 10_000),
            ("io_weight", &mut limits.io_weight, 10_000),
            ("pids", &mut limits.pids, 4_194_304),
        ];
        for (key, place, most) in numbers {
            self.set(&fields, key, place, |r, at, n| {
                r.integer(at, n, 1..=most).and_then(|number| u64::try_from(number).ok()).map(Some)
            });
        }
        self.set(&fields, "oom_score_adj", &mut limits.oom_score_adj, |r, at, n| {
            r.integer(at, n, -1_000..=1_000).and_then(|score| i32::try_from(score).ok()).map(Some)
        });
        Some(limits)
    }

    /// `rlimits`.
    pub(super) fn rlimits(&mut self, at: &At, node: &Node) -> Option<BTreeMap<String, Rlimit>> {
        let mut limits = BTreeMap::new();
        self.entries(at, node, "a table of resource limits", |r, at, written, node| {
            let name = written.to_ascii_lowercase();
            let name = name.strip_prefix("rlimit_").unwrap_or(&name);
            if RLIMITS.key(name).is_none() {
                r.problem(at, unknown_key(name, &RLIMITS, r.dialect.syntax).0);
            } else if let Some(limit) = r.rlimit(at, node) {
                limits.insert(name.to_owned(), limit);
            }
        })?;
        Some(limits)
    }

    fn rlimit(&mut self, at: &At, node: &Node) -> Option<Rlimit> {
        match &node.value {
            Value::Map(_) => {
                let fields = self.table(at, node, &RLIMIT, "a limit")?;
                let (Some(soft), Some(hard)) = (fields.get("soft"), fields.get("hard")) else {
                    self.problem(at, "needs both `soft` and `hard`; a single value sets both");
                    return None;
                };
                let soft = self.rlimit_value(&at.key("soft", soft), soft);
                let hard = self.rlimit_value(&at.key("hard", hard), hard);
                Some(Rlimit { soft: soft?, hard: hard? })
            }
            _ => self.rlimit_value(at, node).map(|value| Rlimit { soft: value, hard: value }),
        }
    }

    fn rlimit_value(&mut self, at: &At, node: &Node) -> Option<Option<u64>> {
        let what = self.or_in_yaml(
            "a number, a size, \"infinity\", or { soft = …, hard = … }",
            "a number, a size, \"infinity\", or a table with `soft` and `hard`",
        );
        match &node.value {
            Value::String(text) if matches!(text.as_str(), "infinity" | "unlimited") => Some(None),
            Value::String(_) => self.size(at, node).map(Some),
            value => match whole(value).and_then(|number| u64::try_from(number).ok()) {
                Some(limit) => Some(Some(limit)),
                None => self.expected(at, what, node),
            },
        }
    }
}
