//! From JSON to a message's bytes, by its description: the other way round.

use std::fmt;

use prost::encoding::{WireType, encode_key, encode_varint};
use prost::{Message, Name};
use prost_types::Timestamp;

use super::shape::{Field, Kind, Shape, shape};
use super::value::Json;
use super::wire::Width;

/// Messages in messages: more than any request has.
const DEEPEST: usize = 32;

/// What is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ReadError {
    /// The way to it: `spec.health.interval`; nothing where the whole of it is wrong.
    pub field: Option<String>,
    /// What, as a sentence.
    pub message: String,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "{field}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// The bytes of the message of this name (`neap.v1.StartRequest`) that this text is the JSON of. What is null is absent.
///
/// # Errors
/// [`ReadError`] for text that is no JSON, a field that the message does not have, and values of another kind.
pub fn read(name: &str, text: &str) -> Result<Vec<u8>, ReadError> {
    let whole = |message| ReadError { field: None, message };
    let json: Json = serde_json::from_str(text).map_err(|error| whole(format!("is not JSON: {error}")))?;
    let shape = shape(&format!(".{name}")).ok_or_else(|| whole(format!("there is no message `{name}`")))?;
    let mut out = Vec::new();
    message(shape, &json, &mut Path::default(), &mut out)?;
    Ok(out)
}

/// The same, as the message itself.
///
/// # Errors
/// As for [`read`].
pub fn parse<M: Message + Name + Default>(text: &str) -> Result<M, ReadError> {
    let bytes = read(&M::full_name(), text)?;
    M::decode(&*bytes).map_err(|error| ReadError { field: None, message: error.to_string() })
}

/// The keys down to where the reader is.
#[derive(Default)]
struct Path(Vec<String>);

impl Path {
    fn wrong<T>(&self, message: impl Into<String>) -> Result<T, ReadError> {
        let field = (!self.0.is_empty()).then(|| self.0.join("."));
        Err(ReadError { field, message: message.into() })
    }

    fn below<T>(&mut self, key: &str, read: impl FnOnce(&mut Path) -> Result<T, ReadError>) -> Result<T, ReadError> {
        if self.0.len() >= DEEPEST {
            return self.wrong("is too deep");
        }
        self.0.push(key.to_owned());
        let result = read(self);
        self.0.pop();
        result
    }
}

fn message(shape: &'static Shape, json: &Json, path: &mut Path, out: &mut Vec<u8>) -> Result<(), ReadError> {
    let Json::Object(entries) = json else { return path.wrong("is not an object") };
    let mut choices: Vec<(u64, &str)> = Vec::new();
    for (place, (key, value)) in entries.iter().enumerate() {
        let Some(field) = shape.fields().iter().find(|field| field.name() == key) else {
            return path.below(key, |path| path.wrong(unknown(shape, key)));
        };
        if entries[..place].iter().any(|(other, _)| other == key) {
            return path.below(key, |path| path.wrong("stands there twice"));
        }
        if *value == Json::Null {
            continue;
        }
        if let Some(choice) = field.choice {
            if let Some((_, other)) = choices.iter().find(|(known, _)| *known == choice) {
                let text = format!("is one of a choice, and `{other}` is given, too");
                return path.below(key, |path| path.wrong(text));
            }
            choices.push((choice, field.name()));
        }
        path.below(key, |path| one_field(field, value, path, out))?;
    }
    Ok(())
}

fn unknown(shape: &'static Shape, key: &str) -> String {
    let names: Vec<&str> = shape.fields().iter().map(Field::name).collect();
    let near = names.iter().map(|name| (strsim::damerau_levenshtein(name, key), name)).min();
    match near {
        Some((distance, name)) if distance <= 3 => format!("there is no such field; did you mean `{name}`?"),
        _ if names.is_empty() => "there is no such field: this request has none".to_owned(),
        _ => format!("there is no such field; there are {}", names.join(", ")),
    }
}

fn one_field(field: &'static Field, json: &Json, path: &mut Path, out: &mut Vec<u8>) -> Result<(), ReadError> {
    match (field.kind, json) {
        (Kind::Message(entry), Json::Object(entries)) if field.repeated && entry.is_entry => {
            for (key, value) in entries {
                path.below(key, |path| {
                    let pair = [("key".to_owned(), Json::Text(key.clone())), ("value".to_owned(), value.clone())];
                    let mut inner = Vec::new();
                    for (place, (name, part)) in pair.iter().enumerate() {
                        match entry.fields().get(place).filter(|field| field.name() == name) {
                            Some(field) => one_field(field, part, path, &mut inner)?,
                            None => return path.wrong("is no map of names"),
                        }
                    }
                    delimited(field, &inner, out);
                    Ok(())
                })?;
            }
            Ok(())
        }
        (Kind::Message(entry), _) if field.repeated && entry.is_entry => path.wrong("is not an object"),
        (_, Json::List(items)) if field.repeated => items
            .iter()
            .enumerate()
            .try_for_each(|(place, item)| path.below(&place.to_string(), |path| value(field, item, path, out))),
        _ if field.repeated => path.wrong("is not a list"),
        _ => value(field, json, path, out),
    }
}

fn value(field: &'static Field, json: &Json, path: &mut Path, out: &mut Vec<u8>) -> Result<(), ReadError> {
    match (field.kind, json) {
        (Kind::Text, Json::Text(text)) => delimited(field, text.as_bytes(), out),
        (Kind::Text, _) => return path.wrong("is not text"),
        (Kind::Bool, Json::Bool(value)) => number(field, Width::Varint, u64::from(*value), out),
        (Kind::Bool, _) => return path.wrong("is neither true nor false"),
        (Kind::Unsigned(width), Json::Int(value)) => {
            let most = if field.narrow { i128::from(u32::MAX) } else { i128::from(u64::MAX) };
            let fits = u64::try_from(*value).ok().filter(|_| *value <= most);
            let Some(value) = fits else { return path.wrong(format!("is not between 0 and {most}")) };
            number(field, width, value, out);
        }
        (Kind::Unsigned(_), _) => return path.wrong("is not a whole number of at least 0"),
        (Kind::Signed(_) | Kind::Zigzag, Json::Int(value)) => {
            let (least, most) =
                if field.narrow { (i64::from(i32::MIN), i64::from(i32::MAX)) } else { (i64::MIN, i64::MAX) };
            let fits = i64::try_from(*value).ok().filter(|value| (least..=most).contains(value));
            let Some(value) = fits else { return path.wrong(format!("is not between {least} and {most}")) };
            match field.kind {
                Kind::Signed(width) => number(field, width, value.cast_unsigned(), out),
                _ => number(field, Width::Varint, ((value << 1) ^ (value >> 63)).cast_unsigned(), out),
            }
        }
        (Kind::Signed(_) | Kind::Zigzag, _) => return path.wrong("is not a whole number"),
        (Kind::Float | Kind::Double, Json::Int(_) | Json::Float(_)) => {
            let value = real(json);
            if field.kind.packed() == Some(Width::Four) {
                #[expect(clippy::cast_possible_truncation, reason = "the field holds no more")]
                number(field, Width::Four, u64::from((value as f32).to_bits()), out);
            } else {
                number(field, Width::Eight, value.to_bits(), out);
            }
        }
        (Kind::Float | Kind::Double, _) => return path.wrong("is not a number"),
        (Kind::Word(words), Json::Text(text)) => match words.number(text) {
            Some(value) => number(field, Width::Varint, value, out),
            None => return path.wrong(format!("`{}` is none of {}", text.escape_debug(), words.words().join(", "))),
        },
        (Kind::Word(words), _) => return path.wrong(format!("is not one of the words {}", words.words().join(", "))),
        (Kind::Message(shape), Json::Text(text)) if shape.is_time => match text.parse::<Timestamp>() {
            Ok(time) => delimited(field, &time.encode_to_vec(), out),
            Err(_) => return path.wrong(format!("`{}` is no time; write 2026-11-23T14:05:00Z", text.escape_debug())),
        },
        (Kind::Message(shape), json) => {
            let mut inner = Vec::new();
            message(shape, json, path, &mut inner)?;
            delimited(field, &inner, out);
        }
        (Kind::Unknown, _) => return path.wrong("cannot be given as JSON"),
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "such a number is near enough")]
fn real(json: &Json) -> f64 {
    match json {
        Json::Int(value) => *value as f64,
        Json::Float(value) => *value,
        _ => 0.0,
    }
}

fn key(field: &Field, wire: WireType, out: &mut Vec<u8>) {
    encode_key(u32::try_from(field.number).unwrap_or(0), wire, out);
}

fn delimited(field: &Field, bytes: &[u8], out: &mut Vec<u8>) {
    key(field, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn number(field: &Field, width: Width, value: u64, out: &mut Vec<u8>) {
    let bytes = value.to_le_bytes();
    match width {
        Width::Varint => {
            key(field, WireType::Varint, out);
            encode_varint(value, out);
        }
        Width::Four => {
            key(field, WireType::ThirtyTwoBit, out);
            out.extend_from_slice(&bytes[..4]);
        }
        Width::Eight => {
            key(field, WireType::SixtyFourBit, out);
            out.extend_from_slice(&bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use prost::Message;

    use super::{parse, read};
    use crate::rpc::json::line;
    use crate::rpc::proto::v1;

    #[test]
    fn what_is_written_as_json_is_read_as_the_same_message() {
        let spec = v1::Spec {
            name: "web".into(),
            command: vec!["nginx".into(), "-g".into()],
            env: HashMap::from([("B".into(), "2".into()), ("A".into(), "ä\u{0}".into())]),
            limits: Some(v1::Limits { cpu: Some(1.5), oom_score_adj: Some(-7), ..v1::Limits::default() }),
            start_timeout: Some(-1),
            watchdog: Some(u64::MAX),
            remain: Some(false),
            rlimits: HashMap::from([("nofile".into(), v1::Rlimit { soft: Some(5), hard: None })]),
            ready: Some(v1::Ready {
                probe: Some(v1::Probe { target: Some(v1::probe::Target::Fn(3)) }),
                ..v1::Ready::default()
            }),
            ..v1::Spec::default()
        };
        let request = v1::CreateRequest { definition: Some(v1::create_request::Definition::Spec(spec)), dry_run: true };
        let bytes = read("neap.v1.CreateRequest", &line(&request)).unwrap();
        assert_eq!(v1::CreateRequest::decode(&*bytes).unwrap(), request);
        let wait = r#"{"names":["a"],"states":["running","exited"],"timeout":3}"#;
        let wait = v1::WaitRequest::decode(&*read("neap.v1.WaitRequest", wait).unwrap()).unwrap();
        assert_eq!(wait.states, [v1::State::Running as i32, v1::State::Exited as i32]);
        assert_eq!((wait.names, wait.timeout), (vec!["a".to_owned()], Some(3)));
        let since = Some(prost_types::Timestamp { seconds: 1_795_442_699, nanos: 120_000_000 });
        let logs = v1::LogsRequest { since, run: Some(-1), ..v1::LogsRequest::default() };
        assert!(line(&logs).contains(r#""since":"2026-11-23T14:04:59.120Z""#), "{}", line(&logs));
        assert_eq!(parse::<v1::LogsRequest>(&line(&logs)).unwrap(), logs);
    }

    #[test]
    fn what_is_wrong_with_a_request_is_said_with_the_way_to_it() {
        let wrong = |name: &str, text: &str| read(&format!("neap.v1.{name}"), text).unwrap_err().to_string();
        for (name, text, expected) in [
            ("StartRequest", "[]", "is not an object"),
            ("StartRequest", r#"{"name":["a"]}"#, "name: there is no such field; did you mean `names`?"),
            ("GetStatusRequest", r#"{"x":1}"#, "x: there is no such field: this request has none"),
            ("StartRequest", r#"{"names":"a"}"#, "names: is not a list"),
            ("StartRequest", r#"{"names":["a",7]}"#, "names.1: is not text"),
            ("StartRequest", r#"{"no_wait":1}"#, "no_wait: is neither true nor false"),
            ("StartRequest", r#"{"timeout":-1}"#, "timeout: is not between 0 and 18446744073709551615"),
            ("StartRequest", r#"{"timeout":1.5}"#, "timeout: is not a whole number of at least 0"),
            ("StartRequest", r#"{"names":[],"names":[]}"#, "names: stands there twice"),
            ("CreateRequest", r#"{"spec":{},"json":"{}"}"#, "json: is one of a choice, and `spec` is given, too"),
            ("CreateRequest", r#"{"spec":{"env":{"A":1}}}"#, "spec.env.A: is not text"),
            ("CreateRequest", r#"{"spec":{"env":[]}}"#, "spec.env: is not an object"),
            ("LogsRequest", r#"{"since":"soon"}"#, "since: `soon` is no time; write 2026-11-23T14:05:00Z"),
        ] {
            assert_eq!(wrong(name, text), expected, "{text}");
        }
        assert!(wrong("WaitRequest", r#"{"states":["up"]}"#).contains("states.0: `up` is none of created, "));
        assert!(wrong("StartRequest", "{").starts_with("is not JSON: "));
        let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
        assert!(wrong("StartRequest", &deep).starts_with("is not JSON: "));
    }
}
