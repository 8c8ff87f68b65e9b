//! Health checks and limits of the older system's requests, as keys of a spec.

use crate::rpc::fault::Fault;
use crate::rpc::proto::process_manager as pm;
use crate::spec::{Node, Value};

/// Keys that are given: 0, the empty text and the empty list are not.
#[derive(Default)]
pub(super) struct Given(pub(super) Vec<(String, Node)>);

impl Given {
    pub(super) fn put(&mut self, key: &str, value: Value) {
        self.0.push((key.to_owned(), Node::new(value)));
    }

    pub(super) fn text(&mut self, key: &str, text: String) {
        if !text.is_empty() {
            self.put(key, Value::String(text));
        }
    }

    pub(super) fn number(&mut self, key: &str, number: impl Into<i128>) {
        match number.into() {
            0 => {}
            number => self.put(key, whole(number)),
        }
    }

    pub(super) fn texts(&mut self, key: &str, texts: Vec<String>) {
        if !texts.is_empty() {
            self.put(key, list(texts));
        }
    }

    pub(super) fn table(&mut self, key: &str, table: Given) {
        if !table.0.is_empty() {
            self.put(key, Value::Map(table.0));
        }
    }

    /// Takes back what is not given of these keys.
    fn only(mut self, keys: &[&str]) -> Self {
        for key in keys {
            if !self.0.iter().any(|(name, _)| name == key) {
                self.put(key, Value::Null);
            }
        }
        self
    }
}

/// A whole number; one that no key takes stays one that the reader refuses.
pub(super) fn whole(number: i128) -> Value {
    i64::try_from(number).map_or(Value::Float(number as f64), Value::Integer)
}

pub(super) fn list(texts: Vec<String>) -> Value {
    Value::List(texts.into_iter().map(|text| Node::new(Value::String(text))).collect())
}

/// A health check, all of it: what it does not say has its default.
pub(super) fn health(check: pm::HealthCheck) -> Result<Given, Fault> {
    const PACE: [&str; 5] = ["interval", "timeout", "retries", "start_period", "restart_after"];
    let unknown =
        |_| Fault::invalid("health_check.type", format!("{} is none of HTTP (0), TCP (1), EXEC (2)", check.r#type));
    let kind = pm::HealthCheckType::try_from(check.r#type).map_err(unknown)?;
    let mut table = Given::default();
    table.number("interval", check.interval);
    table.number("timeout", check.timeout);
    table.number("retries", check.retries);
    table.number("start_period", check.start_period);
    table.number("restart_after", check.restart_after);
    let of_kind: &[&str] = match kind {
        pm::HealthCheckType::Http => {
            table.text("type", "http".into());
            table.text("url", check.http_endpoint);
            table.text("method", check.http_method);
            table.number("expected_status", check.http_expected_status);
            &["url", "method", "expected_status", "headers", "body"]
        }
        pm::HealthCheckType::Tcp => {
            table.text("type", "tcp".into());
            table.text("host", check.tcp_host);
            table.number("port", check.tcp_port);
            &["host", "port"]
        }
        pm::HealthCheckType::Exec => {
            table.text("type", "exec".into());
            if !check.exec_command.is_empty() {
                table.put("command", list([vec![check.exec_command], check.exec_args].concat()));
            }
            &["command"]
        }
    };
    Ok(table.only(&PACE).only(of_kind))
}

/// Limits, all of them: what they do not say is not limited.
pub(super) fn limits(limits: &pm::ResourceLimits) -> Given {
    let mut table = Given::default();
    if limits.cpu_request > 0 {
        // A hundredth of a core is a weight of one, and no weight is 0 or more than 10,000.
        table.put("cpu_weight", whole(i128::from((limits.cpu_request / 10).clamp(1, 10_000))));
    }
    if limits.cpu_limit > 0 {
        table.put("cpu", Value::String(format!("{}m", limits.cpu_limit)));
    }
    table.number("memory_low", limits.memory_request);
    table.number("memory", limits.memory_limit);
    table.number("pids", limits.pids_limit);
    table.number("oom_score_adj", limits.oom_score_adj);
    table.only(&["cpu_weight", "cpu", "memory_low", "memory", "pids", "oom_score_adj"])
}
