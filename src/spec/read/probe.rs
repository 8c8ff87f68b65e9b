//! Reading `ready` and `health`.

use super::super::probe::{Health, HttpProbe, LogLine, Probe, ProbeTarget, Ready};
use super::super::schema::{CHECK, EXEC, HTTP, LOGLINE, TCP, Table};
use super::super::value::{Node, Value};
use super::dialect::Syntax;
use super::reader::{At, Fields, Reader};

const READY: &str =
    "what makes it ready (neap.tcp, neap.http, neap.exec, neap.logline, neap.check, \"notify\" or \"health\")";
const HEALTH: &str = "a health check (neap.http, neap.tcp, neap.exec or neap.check)";

const READY_IN_YAML: &str =
    "what makes it ready (\"notify\", \"health\", or a table whose `type` is http, tcp, exec or logline)";
const HEALTH_IN_YAML: &str = "a health check (a table whose `type` is http, tcp or exec)";

/// The keys that only a health check minds.
const HEALTH_ONLY: [&str; 4] = ["retries", "successes", "start_period", "restart_after"];

/// The kinds of probes, each with the key that tells it when a plain table does not name its `type`.
const KINDS: [(&str, &str); 5] =
    [("http", "url"), ("tcp", "port"), ("exec", "command"), ("logline", "pattern"), ("check", "fn")];

/// A probe's kind and its keys.
struct Written<'a, 'n> {
    kind: &'static str,
    fields: Fields<'a, 'n>,
}

impl Reader<'_> {
    /// `ready`.
    pub(super) fn ready(&mut self, at: &At, node: &Node) -> Option<Ready> {
        let what = self.or_in_yaml(READY, READY_IN_YAML);
        if let Value::String(word) = &node.value {
            return match word.as_str() {
                "executed" => Some(Ready::Executed),
                "notify" => Some(Ready::Notify),
                "health" => Some(Ready::Health),
                _ => self.expected_word(at, what, word, ["notify", "health"]),
            };
        }
        let written = self.probe(at, node, what)?;
        for key in HEALTH_ONLY {
            if let Some(node) = written.fields.get(key) {
                let message =
                    "belongs to `health`; a ready probe is tried until it succeeds or `start_timeout` is over";
                self.problem(&at.key(key, node), message);
            }
        }
        if written.kind == "logline" {
            let pattern = self.needed(at, &written.fields, "pattern", Reader::text)?;
            return Some(Ready::LogLine(LogLine { pattern }));
        }
        let target = self.target(at, &written);
        let (mut interval, mut timeout) = (None, None);
        self.set(&written.fields, "interval", &mut interval, |r, at, n| r.duration(at, n).map(Some));
        self.set(&written.fields, "timeout", &mut timeout, |r, at, n| r.duration(at, n).map(Some));
        target.map(|target| Ready::Probe(Probe { target, interval, timeout }))
    }

    /// `health`.
    pub(super) fn health(&mut self, at: &At, node: &Node) -> Option<Health> {
        let what = self.or_in_yaml(HEALTH, HEALTH_IN_YAML);
        let written = self.probe(at, node, what)?;
        if written.kind == "logline" {
            self.problem(at, "a line of output can make a process ready, but not tell its health");
            return None;
        }
        let target = self.target(at, &written);
        let mut pace = self.dialect.health.clone();
        let fields = &written.fields;
        self.set(fields, "interval", &mut pace.interval, Reader::duration);
        self.set(fields, "timeout", &mut pace.timeout, Reader::duration);
        self.set(fields, "retries", &mut pace.retries, Reader::count);
        self.set(fields, "successes", &mut pace.successes, Reader::count);
        self.set(fields, "start_period", &mut pace.start_period, Reader::duration);
        self.set(fields, "restart_after", &mut pace.restart_after, Reader::count);
        target.map(|target| Health {
            target,
            interval: pace.interval,
            timeout: pace.timeout,
            retries: pace.retries,
            successes: pace.successes,
            start_period: pace.start_period,
            restart_after: pace.restart_after,
        })
    }

    /// A constructor's table, a plain table (told by `type` or its keys), or a function.
    fn probe<'a, 'n>(&mut self, at: &'a At<'a>, node: &'n Node, what: &str) -> Option<Written<'a, 'n>> {
        match &node.value {
            Value::Made { kind, fields } => match table_of(kind) {
                Some((kind, table)) => Some(Written { kind, fields: self.fields(at, fields, table) }),
                None => self.expected(at, what, node),
            },
            Value::Function(_) => Some(Written { kind: "check", fields: Fields::single(at, "fn", node) }),
            Value::Map(entries) => self.plain_probe(at, entries, node, what),
            _ => self.expected(at, what, node),
        }
    }

    fn plain_probe<'a, 'n>(
        &mut self,
        at: &'a At<'a>,
        entries: &'n [(String, Node)],
        node: &'n Node,
        what: &str,
    ) -> Option<Written<'a, 'n>> {
        let Some((_, named)) = entries.iter().find(|(key, _)| key == "type") else {
            let told = KINDS.iter().find(|(_, key)| entries.iter().any(|(written, _)| written == key));
            let Some((kind, table)) = told.and_then(|(kind, _)| table_of(kind)) else {
                if self.dialect.syntax != Syntax::Lua {
                    self.problem(at, "needs a `type`: http, tcp or exec");
                    return None;
                }
                return self.expected(at, what, node);
            };
            return Some(Written { kind, fields: self.fields(at, entries, table) });
        };
        // Neither YAML nor JSON has functions.
        let kinds = KINDS.iter().filter(|(kind, _)| self.dialect.syntax == Syntax::Lua || *kind != "check");
        let choices: Vec<(&str, &'static str)> = kinds.map(|(kind, _)| (*kind, *kind)).collect();
        let kind = self.choice(&at.key("type", named), named, &choices)?;
        let (kind, table) = table_of(kind)?;
        Some(Written { kind, fields: self.fields_except(at, entries, table, "type") })
    }

    fn target(&mut self, at: &At, written: &Written) -> Option<ProbeTarget> {
        let fields = &written.fields;
        match written.kind {
            "http" => self.http(at, fields).map(ProbeTarget::Http),
            "tcp" => {
                let mut host = "127.0.0.1".to_owned();
                self.set(fields, "host", &mut host, Reader::text);
                let port = self.needed(at, fields, "port", |r, at, n| r.integer(at, n, 1..=65_535))?;
                Some(ProbeTarget::Tcp { host, port: u16::try_from(port).ok()? })
            }
            "exec" => self.needed(at, fields, "command", Reader::command).map(ProbeTarget::Exec),
            _ => self.needed(at, fields, "fn", |r, at, node| match node.value {
                Value::Function(id) => Some(ProbeTarget::Function(id)),
                _ => r.expected(at, "a function", node),
            }),
        }
    }

    /// A key that cannot be left out.
    fn needed<T>(
        &mut self,
        at: &At,
        fields: &Fields,
        name: &'static str,
        read: impl FnOnce(&mut Self, &At, &Node) -> Option<T>,
    ) -> Option<T> {
        match fields.get(name) {
            Some(node) => read(self, &at.key(name, node), node),
            None => {
                self.problem(at, format!("needs `{name}`"));
                None
            }
        }
    }

    fn http(&mut self, at: &At, fields: &Fields) -> Option<HttpProbe> {
        // Who writes `health_check` knows the address by its older name, too.
        let is_older = self.dialect.syntax == Syntax::Yaml && self.called(&at.path()) == "health_check";
        if is_older && !fields.has("url") {
            self.problem(at, "needs `endpoint` (or `url`)");
            return None;
        }
        let url = self.needed(at, fields, "url", Reader::text);
        let mut probe = HttpProbe {
            url: String::new(),
            method: "GET".into(),
            expected_status: self.dialect.http_status.clone(),
            headers: Vec::new(),
            body: None,
        };
        self.set(fields, "method", &mut probe.method, Reader::text);
        self.set(fields, "expected_status", &mut probe.expected_status, |r, at, n| {
            Some(r.list(at, n, Reader::status_range))
        });
        self.set(fields, "headers", &mut probe.headers, |r, at, n| Some(r.headers(at, n)));
        self.set(fields, "body", &mut probe.body, |r, at, n| r.text(at, n).map(Some));
        url.map(|url| HttpProbe { url, ..probe })
    }

    fn status_range(&mut self, at: &At, node: &Node) -> Option<(u16, u16)> {
        const WHAT: &str = "a status code from 100 to 599, or a range such as \"200-299\"";
        let range = match &node.value {
            Value::Integer(code) => u16::try_from(*code).ok().map(|code| (code, code)),
            Value::String(text) => match text.split_once('-') {
                Some((low, high)) => low.trim().parse().ok().zip(high.trim().parse().ok()),
                None => text.trim().parse().ok().map(|code| (code, code)),
            },
            _ => None,
        };
        match range.filter(|(low, high)| (100..=599).contains(low) && (*low..=599).contains(high)) {
            Some(range) => Some(range),
            None => self.expected(at, WHAT, node),
        }
    }

    /// Headers: a table, or a list of pairs where a name comes twice.
    fn headers(&mut self, at: &At, node: &Node) -> Vec<(String, String)> {
        const WHAT: &str = "a table of headers";
        if let Value::List(items) = &node.value {
            return self.items(at, items, |r, at, node| match &node.value {
                Value::List(pair) if pair.len() == 2 => {
                    let mut texts = r.items(at, pair, Reader::text).into_iter();
                    texts.next().zip(texts.next())
                }
                _ => r.expected(at, "a pair of a header's name and its value", node),
            });
        }
        let mut headers = Vec::new();
        self.entries(at, node, WHAT, |r, at, name, node| {
            if let Some(value) = r.text(at, node) {
                headers.push((name.to_owned(), value));
            }
        });
        headers
    }
}

/// The kind of a plain table, by its `type` or the key that tells it; `None` when it has neither.
pub(super) fn kind_of(entries: &[(String, Node)]) -> Option<&'static str> {
    let has = |key: &str| entries.iter().any(|(written, _)| written == key);
    let kind = match entries.iter().find(|(key, _)| key == "type") {
        Some((_, Node { value: Value::String(named), .. })) => KINDS.iter().find(|(kind, _)| kind == named),
        Some(_) => None,
        None => KINDS.iter().find(|(_, key)| has(key)),
    };
    kind.map(|(kind, _)| *kind)
}

fn table_of(kind: &str) -> Option<(&'static str, &'static Table)> {
    Some(match kind {
        "http" => ("http", &HTTP),
        "tcp" => ("tcp", &TCP),
        "exec" => ("exec", &EXEC),
        "logline" => ("logline", &LOGLINE),
        "check" => ("check", &CHECK),
        _ => return None,
    })
}
