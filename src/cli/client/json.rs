//! Answers as JSON, by their description: every field by its name in the proto, in the proto's order.
//!
//! What is absent is null, a list that is empty stays a list, enumerations are lower case without their prefix, times are
//! RFC 3339, and bytes are text. So a field that is added to the proto is in the JSON, too.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::OnceLock;

use prost::{Message, Name};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use crate::cli::times::Moment;
use crate::rpc::proto::DESCRIPTORS;

/// The name of a field: of a message's, as its description has it.
pub(super) type Key = Cow<'static, str>;

/// A value whose fields keep their order.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json {
    /// Absent.
    Null,
    /// A flag.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// Another number.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// A message, or a map.
    Object(Vec<(Key, Json)>),
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Json::Null => serializer.serialize_unit(),
            Json::Bool(value) => serializer.serialize_bool(*value),
            Json::Int(value) => match u64::try_from(*value) {
                Ok(value) => serializer.serialize_u64(value),
                Err(_) => serializer.serialize_i64(i64::try_from(*value).unwrap_or(i64::MIN)),
            },
            Json::Float(value) => serializer.serialize_f64(*value),
            Json::Text(text) => serializer.serialize_str(text),
            Json::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| list.serialize_element(item))?;
                list.end()
            }
            Json::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                fields.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
                map.end()
            }
        }
    }
}

impl Json {
    /// Of a message.
    pub(super) fn of<M: Message + Name>(message: &M) -> Json {
        types().message(&format!(".{}", M::full_name()), &message.encode_to_vec())
    }

    /// The field of this name.
    pub(super) fn get(&self, name: &str) -> &Json {
        let Json::Object(fields) = self else { return &Json::Null };
        fields.iter().find(|(field, _)| field == name).map_or(&Json::Null, |(_, value)| value)
    }

    /// The same object with one more field.
    pub(super) fn with(self, name: &str, value: Json) -> Json {
        let Json::Object(mut fields) = self else { return self };
        fields.push((name.to_owned().into(), value));
        Json::Object(fields)
    }

    /// A list of these on one line, one after another: of many there is never more than one at a time.
    pub(super) fn lines<M: Message + Name>(messages: &[M]) -> String {
        let mut text = vec![b'['];
        for message in messages {
            if text.len() > 1 {
                text.push(b',');
            }
            // Neither text nor numbers can fail to be JSON, and memory takes all bytes.
            let _ = serde_json::to_writer(&mut text, &Json::of(message));
        }
        text.push(b']');
        String::from_utf8(text).unwrap_or_default()
    }

    /// What it says, if it is text.
    pub(super) fn text(&self) -> Option<&str> {
        if let Json::Text(text) = self { Some(text) } else { None }
    }

    /// On one line.
    pub(super) fn line(&self) -> String {
        // Neither text nor numbers can fail to be JSON.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What the protos say.
struct Types {
    messages: BTreeMap<String, DescriptorProto>,
    /// The words of each, by their numbers; none for a number that means nothing was said.
    enums: BTreeMap<String, Vec<(i32, Json)>>,
}

fn types() -> &'static Types {
    static TYPES: OnceLock<Types> = OnceLock::new();
    TYPES.get_or_init(|| {
        let mut types = Types { messages: BTreeMap::new(), enums: BTreeMap::new() };
        // They were encoded by the build; the tests read all of them.
        let set = FileDescriptorSet::decode(DESCRIPTORS).unwrap_or_default();
        for file in set.file {
            let scope = format!(".{}", file.package());
            types.add_enums(&scope, file.enum_type);
            types.add_messages(&scope, file.message_type);
        }
        types
    })
}

/// A field's value as it stands in the bytes.
#[derive(Clone, Copy)]
enum Raw<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl Types {
    fn add_messages(&mut self, scope: &str, messages: Vec<DescriptorProto>) {
        for mut message in messages {
            let name = format!("{scope}.{}", message.name());
            self.add_enums(&name, std::mem::take(&mut message.enum_type));
            self.add_messages(&name, std::mem::take(&mut message.nested_type));
            self.messages.insert(name, message);
        }
    }

    fn add_enums(&mut self, scope: &str, enums: Vec<EnumDescriptorProto>) {
        for found in enums {
            let prefix = format!("{}_", found.name().to_ascii_lowercase());
            let word = |name: &str| {
                let word = name.to_ascii_lowercase();
                let word = word.strip_prefix(&prefix).unwrap_or(&word);
                if word == "unspecified" { Json::Null } else { Json::Text(word.to_owned()) }
            };
            let words = found.value.iter().map(|value| (value.number(), word(value.name()))).collect();
            self.enums.insert(format!("{scope}.{}", found.name()), words);
        }
    }

    fn message(&'static self, type_name: &str, bytes: &[u8]) -> Json {
        let Some(descriptor) = self.messages.get(type_name) else { return Json::Null };
        if type_name == ".google.protobuf.Timestamp" {
            return timestamp(bytes);
        }
        let mut raw: Vec<(i32, Raw<'_>)> = Fields(bytes).collect();
        // Each field's values behind each other, in the order in which they came.
        raw.sort_by_key(|(number, _)| *number);
        let fields = descriptor.field.iter().map(|field| {
            let from = raw.partition_point(|(number, _)| *number < field.number());
            let count = raw[from..].iter().take_while(|(number, _)| *number == field.number()).count();
            (Cow::Borrowed(field.name()), self.field(field, &raw[from..from + count]))
        });
        Json::Object(fields.collect())
    }

    fn field(&'static self, field: &FieldDescriptorProto, values: &[(i32, Raw<'_>)]) -> Json {
        if field.label() == Label::Repeated {
            return match self.messages.get(field.type_name()) {
                Some(entry) if entry.options.as_ref().is_some_and(|options| options.map_entry()) => {
                    self.map(field, values)
                }
                _ => Json::List(values.iter().flat_map(|(_, raw)| self.unpacked(field, *raw)).collect()),
            };
        }
        match values.last() {
            Some((_, raw)) => self.value(field, *raw),
            // Of a choice, or optional: there is a difference between nothing and zero.
            None if field.oneof_index.is_some() || field.r#type() == Type::Message => Json::Null,
            None => self.value(field, zero(field.r#type())),
        }
    }

    fn map(&'static self, field: &FieldDescriptorProto, values: &[(i32, Raw<'_>)]) -> Json {
        let entry = |(_, raw): &(i32, Raw<'_>)| {
            let Raw::Bytes(bytes) = raw else { return None };
            let entry = self.message(field.type_name(), bytes);
            let Json::Text(key) = entry.get("key") else { return None };
            Some((Key::from(key.clone()), entry.get("value").clone()))
        };
        let mut fields: Vec<(Key, Json)> = values.iter().filter_map(entry).collect();
        fields.sort_by(|(a, _), (b, _)| a.cmp(b));
        Json::Object(fields)
    }

    /// Numbers of a list stand behind each other without a key of their own.
    fn unpacked(&'static self, field: &FieldDescriptorProto, raw: Raw<'_>) -> Vec<Json> {
        let kind = field.r#type();
        match raw {
            Raw::Bytes(mut bytes) if matches!(zero(kind), Raw::Number(_)) => {
                std::iter::from_fn(|| number(kind, &mut bytes)).map(|raw| self.value(field, raw)).collect()
            }
            raw => vec![self.value(field, raw)],
        }
    }

    fn value(&'static self, field: &FieldDescriptorProto, raw: Raw<'_>) -> Json {
        match (field.r#type(), raw) {
            (Type::Message, Raw::Bytes(bytes)) => self.message(field.type_name(), bytes),
            (Type::String | Type::Bytes, Raw::Bytes(bytes)) => Json::Text(String::from_utf8_lossy(bytes).into_owned()),
            (Type::Bool, Raw::Number(number)) => Json::Bool(number != 0),
            (Type::Enum, Raw::Number(number)) => self.word(field.type_name(), number),
            (Type::Double, Raw::Number(number)) => Json::Float(f64::from_bits(number)),
            (Type::Float, Raw::Number(number)) => Json::Float(f32::from_bits(low(number)).into()),
            (Type::Int32 | Type::Int64, Raw::Number(number)) => Json::Int(number.cast_signed().into()),
            (Type::Sfixed32, Raw::Number(number)) => Json::Int(low(number).cast_signed().into()),
            (Type::Sint32 | Type::Sint64, Raw::Number(number)) => {
                Json::Int(i128::from(number >> 1) ^ -i128::from(number & 1))
            }
            (_, Raw::Number(number)) => Json::Int(number.into()),
            // A message of another description: there is none.
            (_, Raw::Bytes(_)) => Json::Null,
        }
    }

    fn word(&self, type_name: &str, number: u64) -> Json {
        let Some(words) = self.enums.get(type_name) else { return Json::Null };
        let number = low(number).cast_signed();
        let word = words.iter().find(|(known, _)| *known == number).map(|(_, word)| word.clone());
        word.unwrap_or(Json::Int(number.into()))
    }
}

fn low(number: u64) -> u32 {
    u32::try_from(number & u64::from(u32::MAX)).unwrap_or(0)
}

fn zero(kind: Type) -> Raw<'static> {
    match kind {
        Type::Message | Type::Group | Type::String | Type::Bytes => Raw::Bytes(&[]),
        _ => Raw::Number(0),
    }
}

fn timestamp(bytes: &[u8]) -> Json {
    let Ok(time) = prost_types::Timestamp::decode(bytes) else { return Json::Null };
    Json::Text(Moment::from(&time).rfc3339())
}

/// The fields of a message's bytes, up to what is no field.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (i32, Raw<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = varint(&mut self.0)?;
        let value = match key & 7 {
            0 => Raw::Number(varint(&mut self.0)?),
            1 => number(Type::Fixed64, &mut self.0)?,
            5 => number(Type::Fixed32, &mut self.0)?,
            2 => {
                let length = usize::try_from(varint(&mut self.0)?).ok()?;
                Raw::Bytes(self.0.split_off(..length)?)
            }
            _ => return None,
        };
        Some((i32::try_from(key >> 3).ok()?, value))
    }
}

fn number<'a>(kind: Type, bytes: &mut &[u8]) -> Option<Raw<'a>> {
    let number = match kind {
        Type::Double | Type::Fixed64 | Type::Sfixed64 => u64::from_le_bytes(*chunk(bytes)?),
        Type::Float | Type::Fixed32 | Type::Sfixed32 => u32::from_le_bytes(*chunk(bytes)?).into(),
        _ => varint(bytes)?,
    };
    Some(Raw::Number(number))
}

fn chunk<'a, const N: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (chunk, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(chunk)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;

    use super::{Json, types};
    use crate::rpc::proto::v1;

    #[test]
    fn fields_have_their_names_and_what_is_absent_is_null() {
        let process = v1::Process {
            id: "0f".into(),
            name: "web".into(),
            pid: Some(7),
            state: v1::State::Running.into(),
            health: v1::Health::Healthy.into(),
            exit_code: Some(-1),
            since: Some(Timestamp { seconds: 1_795_427_563, nanos: 120_000_000 }),
            holds: vec![v1::Hold { kind: "order".into(), name: "db".into() }],
            command: vec!["a".into(), "b".into()],
            ..v1::Process::default()
        };
        let json = Json::of(&process);
        for (name, expected) in [
            ("name", r#""web""#),
            ("pid", "7"),
            ("state", r#""running""#),
            ("reason", "null"),
            ("health", r#""healthy""#),
            ("run_count", "0"),
            ("exit_code", "-1"),
            ("core_dumped", "false"),
            ("since", r#""2026-11-23T09:52:43.120Z""#),
            ("ended_at", "null"),
            ("holds", r#"[{"kind":"order","name":"db"}]"#),
            ("command", r#"["a","b"]"#),
        ] {
            assert_eq!(json.get(name).line(), expected, "{name}");
        }
        assert!(json.line().starts_with(r#"{"id":"0f","name":"web","pid":7,"state":"running","#), "{}", json.line());
        assert_eq!(Json::of(&v1::Process::default()).get("state").line(), "null");
    }

    #[test]
    fn maps_packed_numbers_choices_and_bytes_are_read() {
        let spec = v1::Spec {
            env: [("B".into(), "2".into()), ("A".into(), "1".into())].into(),
            limits: Some(v1::Limits { cpu: Some(1.5), oom_score_adj: Some(-7), ..v1::Limits::default() }),
            start_timeout: Some(-1),
            ..v1::Spec::default()
        };
        let json = Json::of(&spec);
        assert_eq!(json.get("env").line(), r#"{"A":"1","B":"2"}"#);
        assert_eq!(json.get("limits").get("cpu").line(), "1.5");
        assert_eq!(json.get("limits").get("oom_score_adj").line(), "-7");
        assert_eq!(json.get("start_timeout").line(), "-1");
        assert_eq!(json.get("auto_start").line(), "null");
        let event = v1::Event { pids: vec![1, 300], sequence: u64::MAX, ..v1::Event::default() };
        assert_eq!(Json::of(&event).get("pids").line(), "[1,300]");
        assert_eq!(Json::of(&event).get("sequence").line(), u64::MAX.to_string());
        let line = v1::LogLine { text: b"a\xff".to_vec(), ..v1::LogLine::default() };
        assert_eq!(Json::of(&line).get("text"), &Json::Text("a\u{fffd}".into()));
        let probe = v1::Probe { target: Some(v1::probe::Target::Fn(3)) };
        assert_eq!(Json::of(&probe).line(), r#"{"http":null,"tcp":null,"exec":null,"fn":3}"#);
    }

    #[test]
    fn every_message_of_the_protos_is_known() {
        for name in [".neap.v1.Process", ".neap.v1.GetStatusResponse", ".neap.v1.Spec", ".google.protobuf.Timestamp"] {
            assert!(types().messages.contains_key(name), "{name}");
        }
    }
}
