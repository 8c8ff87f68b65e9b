//! From the text of flags to values as the Lua table has them.

use serde_json::{Map, Number, Value};

use super::table::{Flag, Kind};
use crate::spec::read::split_command;

/// What the texts of a flag say; the reader in the instance says what is wrong with the values themselves.
pub(super) fn value(flag: &Flag, texts: &[&str]) -> Result<Value, String> {
    let last = texts.last().copied().unwrap_or_default();
    Ok(match flag.kind {
        Kind::Text => text(last),
        // A name in the abstract namespace is none of the file system.
        Kind::Path if flag.path.starts_with("listen.") && last.starts_with('@') => text(last),
        Kind::Path => Value::String(path(last)),
        Kind::Bool => Value::Bool(last == "true"),
        Kind::BoolOrNumber if matches!(last, "true" | "false") => Value::Bool(last == "true"),
        Kind::Number | Kind::BoolOrNumber => number(last),
        Kind::List => commas(texts).map(number).collect(),
        Kind::Texts | Kind::Words => texts.iter().map(|item| text(item)).collect(),
        Kind::Paths => texts.iter().map(|text| Value::String(path(text))).collect(),
        Kind::Command => words(last)?,
        Kind::Commands => texts.iter().map(|line| words(line)).collect::<Result<_, _>>()?,
        Kind::Variables => pairs(texts, "=", "a variable as NAME=VALUE")?,
        Kind::Headers => pairs(texts, ":", "a header as `Name: value`")?,
        Kind::Steps => commas(texts).map(step).collect::<Result<_, _>>()?,
        Kind::Rlimit => rlimit(last),
        Kind::Address => address(last),
        Kind::Limit if last == "0" => text("infinity"),
        Kind::Limit => number(last),
        Kind::CpuLimit => cpu_limit(last),
        Kind::CpuRequest => cpu_request(last)?,
    })
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

/// What has a comma between it and the next.
fn commas<'a>(texts: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    texts.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|item| !item.is_empty())
}

/// A number where it is one.
fn number(text: &str) -> Value {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits.starts_with(|c: char| c.is_ascii_digit()) && !digits.ends_with('.');
    if plain && let Ok(number) = text.parse::<i64>() {
        return number.into();
    }
    let float = text.parse().ok().filter(|_| plain).and_then(Number::from_f64);
    float.map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

/// A path, from here, with the marks before it that mean something: `-`, `!` and `|`.
fn path(text: &str) -> String {
    let bare = text.trim_start_matches(['-', '!', '|']);
    let word = ["capture", "inherit", "null", ""].contains(&bare);
    if word { text.to_owned() } else { format!("{}{}", &text[..text.len() - bare.len()], absolute(bare)) }
}

/// The same file for somebody whose current folder is another.
pub(super) fn absolute(path: &str) -> String {
    let absolute = std::path::absolute(path).ok().and_then(|path| path.into_os_string().into_string().ok());
    absolute.unwrap_or_else(|| path.to_owned())
}

fn words(line: &str) -> Result<Value, String> {
    let split = split_command(line).map_err(|error| format!("cannot split {line:?} into words: {error}"))?;
    Ok(split.words.into_iter().map(Value::String).collect())
}

fn pairs(texts: &[&str], between: &str, what: &str) -> Result<Value, String> {
    let mut table = Map::new();
    for pair in texts {
        let (name, value) = pair.split_once(between).ok_or_else(|| format!("expected {what}, found {pair:?}"))?;
        let value = if between == ":" { value.trim_start() } else { value };
        table.insert(name.to_owned(), text(value));
    }
    Ok(Value::Object(table))
}

fn step(text: &str) -> Result<Value, String> {
    let (signal, wait) = text
        .split_once(':')
        .ok_or_else(|| format!("expected a signal and how long to wait, such as INT:5s, found {text:?}"))?;
    Ok(Value::Array(vec![number(signal), number(wait)]))
}

fn rlimit(text: &str) -> Value {
    match text.split_once(':') {
        Some((soft, hard)) => table([("soft", number(soft)), ("hard", number(hard))]),
        None => number(text),
    }
}

fn table<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// A table stands for its keys: it is laid over that of the probe.
fn address(text: &str) -> Value {
    match text.rsplit_once(':') {
        Some((host, port)) => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            table([("host", Value::String(host.to_owned())), ("port", number(port))])
        }
        None => table([("port", number(text))]),
    }
}

/// The least bare number that means thousandths: fewer would be next to nothing, and nobody means so many cores.
const LEAST_THOUSANDTHS: u64 = 100;

/// With a unit or a point it says what it is.
fn cpu_limit(text: &str) -> Value {
    match text.parse::<u64>() {
        Ok(thousandths) if thousandths >= LEAST_THOUSANDTHS => Value::String(format!("{thousandths}m")),
        _ => number(text),
    }
}

fn cpu_request(text: &str) -> Result<Value, String> {
    let unknown =
        || format!("expected cores such as 2 or 0.5, or thousandths of one such as 500m or 500, found {text:?}");
    let thousandths = match (text.strip_suffix('m'), text.parse::<u64>()) {
        (Some(bare), _) => bare.parse().map_err(|_| unknown())?,
        (None, Ok(thousandths)) if thousandths >= LEAST_THOUSANDTHS => thousandths,
        (None, _) => thousandths_of(text).ok_or_else(unknown)?,
    };
    Ok((thousandths / 10).clamp(1, 10_000).into())
}

/// Of cores, at most as many as a weight can say.
fn thousandths_of(cores: &str) -> Option<u64> {
    let cores: f64 = cores.parse().ok().filter(|cores: &f64| cores.is_finite() && *cores >= 0.0)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it lies between 0 and 100,000")]
    Some((cores * 1000.0).min(100_000.0).round() as u64)
}

/// Puts a value where its path leads.
pub(super) fn put(table: &mut Map<String, Value>, path: &str, value: Value) {
    match (path.split_once('.'), value) {
        (None, value) => {
            table.insert(path.to_owned(), value);
        }
        (Some((first, rest)), value) => {
            let place = table.entry(first).or_insert_with(|| Value::Object(Map::new()));
            // A word that was given for the whole: what is below it says more.
            if !place.is_object() {
                *place = Value::Object(Map::new());
            }
            let Value::Object(place) = place else { return };
            match value {
                Value::Object(fields) if rest == "port" => place.extend(fields),
                value => put(place, rest, value),
            }
        }
    }
}

/// Says of probes what they are, and puts commands together that were given in parts.
pub(super) fn settle(table: &mut Map<String, Value>) {
    for probe in ["ready", "health"] {
        let Some(Value::Object(probe)) = table.get_mut(probe) else { continue };
        let args = probe.remove("args");
        if let Some(Value::String(program)) = probe.get("command") {
            let words = match args {
                Some(Value::Array(args)) => Ok(std::iter::once(text(program)).chain(args).collect()),
                _ => words(program),
            };
            // What cannot be split is said to be so by who reads it.
            if let Ok(words) = words {
                probe.insert("command".into(), words);
            }
        }
        let kinds = [("http", "url"), ("tcp", "port"), ("exec", "command"), ("logline", "pattern")];
        let kind = kinds.iter().find(|(_, key)| probe.contains_key(*key));
        if let Some((kind, _)) = kind.filter(|_| !probe.contains_key("type")) {
            probe.insert("type".into(), text(kind));
        }
    }
}
