//! What `neap.settings` says of metrics.

use std::time::Duration;

use mlua::{Table, Value};

use super::events::duration;
use super::process::described;
use crate::lua::evaluation::DogStatsdSettings;
use crate::lua::problem::did_you_mean;

/// Datagrams are not sent more often.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
const KEYS: [&str; 4] = ["address", "interval", "prefix", "tags"];

/// `"unix:/run/x.sock"`, or a list of such.
pub(super) fn pages(value: &Value) -> Result<Vec<String>, String> {
    let all = match value {
        Value::Table(list) => strings(list)?,
        one => vec![string(one, "an address, or a list of them")?],
    };
    #[cfg(feature = "grpc")]
    for text in &all {
        text.parse::<crate::rpc::Address>().map_err(|error| error.to_string())?;
    }
    Ok(all)
}

pub(super) fn yes_or_no(value: &Value) -> Result<bool, String> {
    match value {
        Value::Boolean(is) => Ok(*is),
        other => Err(format!("expected true or false, found {}", described(other))),
    }
}

/// `"udp:127.0.0.1:8125"`, or a table with the address and more.
pub(super) fn agent(value: &Value) -> Result<DogStatsdSettings, String> {
    let mut agent = DogStatsdSettings::default();
    match value {
        Value::Table(table) => {
            for pair in table.pairs::<Value, Value>() {
                let (key, value) = pair.map_err(|error| error.to_string())?;
                let key = string(&key, "a key")?;
                let at = |why: String| format!("{key}: {why}");
                match key.as_str() {
                    "address" => agent.address = string(&value, "an address").map_err(at)?,
                    "tags" => agent.tags = tags(&value).map_err(at)?,
                    "prefix" => agent.prefix = Some(prefix(&value).map_err(at)?),
                    "interval" => {
                        let interval = duration(&value).map_err(at)?;
                        if interval < MIN_INTERVAL {
                            return Err(at("it is shorter than 1s, the shortest there is".to_owned()));
                        }
                        agent.interval = Some(interval);
                    }
                    unknown => {
                        return Err(format!("unknown key `{unknown}`{}", did_you_mean(unknown, KEYS.into_iter())));
                    }
                }
            }
            if agent.address.is_empty() {
                return Err("it lacks the address: dogstatsd = { address = \"udp:127.0.0.1:8125\" }".to_owned());
            }
        }
        one => agent.address = string(one, "an address, or a table with one")?,
    }
    #[cfg(feature = "telemetry")]
    agent.address.parse::<crate::telemetry::AgentAddress>().map_err(|error| error.to_string())?;
    Ok(agent)
}

/// `{ env = "prod" }`, or `{ "env:prod" }`.
fn tags(value: &Value) -> Result<Vec<String>, String> {
    let Value::Table(table) = value else {
        return Err(format!("expected a table of tags, found {}", described(value)));
    };
    let mut tags = strings(table)?;
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair.map_err(|error| error.to_string())?;
        if let Value::String(key) = &key {
            tags.push(format!("{}:{}", key.to_string_lossy(), string(&value, "a tag's value")?));
        }
    }
    tags.sort();
    match tags.iter().find(|tag| tag.is_empty() || tag.contains([',', '|', '#', '\n'])) {
        Some(wrong) => Err(format!("a tag has no comma, bar, # or line feed: \"{wrong}\"")),
        None => Ok(tags),
    }
}

fn prefix(value: &Value) -> Result<String, String> {
    let prefix = string(value, "the beginning of names")?;
    let fits = prefix.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'));
    if fits && prefix.chars().next().is_none_or(|first| first.is_ascii_alphabetic()) {
        return Ok(prefix);
    }
    Err(format!("names begin with a letter, and have letters, digits, _ and . in them: \"{prefix}\""))
}

fn strings(list: &Table) -> Result<Vec<String>, String> {
    let all = list.sequence_values::<Value>().map(|value| string(&value.map_err(|error| error.to_string())?, "text"));
    all.collect()
}

fn string(value: &Value, expected: &str) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.to_string_lossy()),
        other => Err(format!("expected {expected}, found {}", described(other))),
    }
}
