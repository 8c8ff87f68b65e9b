//! `neap.settings`: what a configuration says about the instance itself.

use mlua::{Lua, Table, Value};

use super::events::duration;
use super::log::LEVELS;
use super::process::{described, shown};
use super::telemetry;
use crate::lua::evaluation::{Evaluation, RoleOfGroup, Settings};
use crate::lua::problem::{self, Site, did_you_mean, misuse, only_in_evaluation, site};

/// The keys, with their LuaLS types and what they mean.
pub(crate) const KEYS: [(&str, &str, &str); 7] = [
    (
        "shutdown_timeout",
        "neap.Duration",
        "After this long a shutdown kills what is left. Read when the supervisor starts.",
    ),
    (
        "log_level",
        "\"trace\"|\"debug\"|\"info\"|\"warn\"|\"error\"",
        "The least serious of the instance's messages that is shown. Read when the supervisor starts.",
    ),
    (
        "log_format",
        "\"text\"|\"json\"|\"datadog\"",
        "How the instance writes its messages. Read when the supervisor starts.",
    ),
    (
        "roles",
        "table<\"observer\"|\"operator\"|\"admin\", string|string[]>",
        "Which groups may look (observer), act on processes (operator), do all (admin), beside the instance's own user.",
    ),
    (
        "metrics",
        "string|string[]",
        "Where an OpenMetrics page is served: `unix:PATH` or `tcp:HOST:PORT`. Read when the supervisor starts.",
    ),
    ("metrics_beyond_loopback", "boolean", "Whether that page may be reached from other machines, without a password."),
    (
        "dogstatsd",
        "string|{ address: string, tags?: table<string, string>|string[], interval?: neap.Duration, prefix?: string }",
        "Which agent is sent DogStatsD datagrams: `udp:HOST:PORT` or `unix:PATH`. Read when the supervisor starts.",
    ),
];

const ROLES: [&str; 3] = ["observer", "operator", "admin"];
const FORMATS: [&str; 3] = ["text", "json", "datadog"];

/// Adds the function to the module.
pub(super) fn register(lua: &Lua, module: &Table) -> mlua::Result<()> {
    module.set("settings", lua.create_function(settings)?)
}

fn settings(lua: &Lua, given: Value) -> mlua::Result<()> {
    only_in_evaluation(lua, "neap.settings")?;
    let place = site(lua);
    let Value::Table(table) = &given else {
        return Err(misuse(lua, format!("neap.settings: expected a table, found {}", described(&given))));
    };
    let first = Evaluation::with(lua, |evaluation| evaluation.settings.as_ref().map(|(_, site)| shown(site)))?;
    if let Some(first) = first {
        return Err(misuse(lua, format!("neap.settings was called already, at {first}; it is called once")));
    }
    let mut settings = Settings { file: place.file.clone(), ..Settings::default() };
    let mut pairs = Vec::new();
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair?;
        let key = key.as_string().map(|key| key.to_string_lossy()).unwrap_or_else(|| described(&key));
        pairs.push((key, value));
    }
    pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (key, value) in pairs {
        let place = key_place(lua, &place, &key)?;
        settings.lines.extend(place.line.map(|line| (key.clone(), line)));
        let wrong = |message: String| problem::at(&place, None, Some(&format!("neap.settings: {key}")), message);
        match key.as_str() {
            "shutdown_timeout" => settings.shutdown_timeout = Some(duration(&value).map_err(wrong)?),
            "log_level" => settings.log_level = Some(word(&value, &LEVELS).map_err(wrong)?),
            "log_format" => settings.log_format = Some(word(&value, &FORMATS).map_err(wrong)?),
            "roles" => settings.roles = roles(&value, &place).map_err(wrong)?,
            "metrics" => settings.metrics = telemetry::pages(&value).map_err(wrong)?,
            "metrics_beyond_loopback" => {
                settings.metrics_beyond_loopback = telemetry::yes_or_no(&value).map_err(wrong)?
            }
            "dogstatsd" => settings.dogstatsd = Some(telemetry::agent(&value).map_err(wrong)?),
            unknown => {
                let near = did_you_mean(unknown, KEYS.iter().map(|(key, _, _)| *key));
                return Err(problem::at(&place, None, Some("neap.settings"), format!("unknown key `{unknown}`{near}")));
            }
        }
    }
    Evaluation::with(lua, |evaluation| evaluation.settings = Some((settings, place)))
}

/// Where a key of the table given to `neap.settings` stands.
fn key_place(lua: &Lua, call: &Site, key: &str) -> mlua::Result<Site> {
    Evaluation::with(lua, |evaluation| {
        evaluation.number(call);
        let line = match (&call.file, call.line) {
            (Some(file), Some(line)) => evaluation.sources.keys_of_call(file, line, "settings"),
            _ => None,
        }
        .and_then(|keys| keys.named(key).map(|field| field.line));
        Site { file: call.file.clone(), line: line.or(call.line) }
    })
}

/// `{ observer = "staff", operator = { "ops", "oncall" } }`.
fn roles(value: &Value, place: &Site) -> Result<Vec<RoleOfGroup>, String> {
    let Value::Table(table) = value else {
        return Err(format!("expected a table of groups by role, found {}", described(value)));
    };
    let mut all = Vec::new();
    for pair in table.pairs::<Value, Value>() {
        let (role, groups) = pair.map_err(|error| error.to_string())?;
        let role = word(&role, &ROLES)?;
        let named: Vec<Value> = match &groups {
            Value::Table(list) => {
                list.sequence_values().collect::<Result<_, _>>().map_err(|error| error.to_string())?
            }
            one => vec![one.clone()],
        };
        for group in named {
            let group = match &group {
                Value::String(name) => name.to_string_lossy(),
                Value::Integer(number) => number.to_string(),
                other => return Err(format!("{role}: expected a group's name or number, found {}", described(other))),
            };
            let (file, line) = (place.file.clone(), place.line);
            all.push(RoleOfGroup { role: role.clone(), group, file, line });
        }
    }
    all.sort_by(|a, b| (&a.role, &a.group).cmp(&(&b.role, &b.group)));
    Ok(all)
}

fn word(value: &Value, words: &[&str]) -> Result<String, String> {
    let expected = || format!("expected one of {}", words.join(", "));
    let Value::String(text) = value else { return Err(format!("{}, found {}", expected(), described(value))) };
    let text = text.to_string_lossy();
    if words.contains(&text.as_str()) {
        return Ok(text);
    }
    Err(format!("{}, found \"{text}\"{}", expected(), did_you_mean(&text, words.iter().copied())))
}
