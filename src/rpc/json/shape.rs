//! What the protos say of each message, as the writer needs it.
//!
//! The descriptions stay the bytes that they are: a message's table is made when the first of its kind is written. A command
//! that lists processes never looks at what describes the rest.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use prost_types::field_descriptor_proto::{Label, Type};

use super::wire::{Fields, Raw, Width};
use crate::rpc::proto::DESCRIPTORS;

/// A message.
pub(super) struct Shape {
    bytes: &'static [u8],
    /// A moment, which is written as text.
    pub(super) is_time: bool,
    /// An entry of a map.
    pub(super) is_entry: bool,
    fields: OnceLock<Vec<Field>>,
}

/// A field of a message.
pub(super) struct Field {
    /// Its number.
    pub(super) number: u64,
    /// Its name as the JSON has it, with the colon.
    pub(super) key: String,
    /// There may be any number of it.
    pub(super) repeated: bool,
    /// Of a choice, or optional: there is a difference between nothing and zero.
    pub(super) optional: bool,
    /// What it holds.
    pub(super) kind: Kind,
    /// A number of 32 bits.
    pub(super) narrow: bool,
    /// The choice that it is one of; an optional field is a choice by itself.
    pub(super) choice: Option<u64>,
}

/// What a field holds.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// Text or bytes.
    Text,
    /// Yes or no.
    Bool,
    /// A whole number of at least zero.
    Unsigned(Width),
    /// A whole number that may be below zero.
    Signed(Width),
    /// The same, with the sign in the lowest bit.
    Zigzag,
    /// A number of four bytes with a fraction.
    Float,
    /// One of eight.
    Double,
    /// One of these words.
    Word(&'static Words),
    /// A message.
    Message(&'static Shape),
    /// A message that nothing describes.
    Unknown,
}

impl Kind {
    /// How a number of this kind is written where it stands behind others.
    pub(super) fn packed(self) -> Option<Width> {
        match self {
            Kind::Bool | Kind::Zigzag | Kind::Word(_) => Some(Width::Varint),
            Kind::Unsigned(width) | Kind::Signed(width) => Some(width),
            Kind::Float => Some(Width::Four),
            Kind::Double => Some(Width::Eight),
            Kind::Text | Kind::Message(_) | Kind::Unknown => None,
        }
    }
}

/// The words of an enumeration.
pub(super) struct Words {
    bytes: &'static [u8],
    words: OnceLock<Vec<(u64, String)>>,
}

/// Where what is described.
struct Types {
    messages: BTreeMap<String, Shape>,
    enums: BTreeMap<String, Words>,
}

// The numbers of fields in google/protobuf/descriptor.proto.
pub(super) mod file {
    pub(in crate::rpc::json) const OF_SET: u64 = 1;
    pub(in crate::rpc::json) const PACKAGE: u64 = 2;
    pub(in crate::rpc::json) const MESSAGES: u64 = 4;
    pub(in crate::rpc::json) const ENUMS: u64 = 5;
    pub(in crate::rpc::json) const SERVICES: u64 = 6;
}
mod message {
    pub(super) const NAME: u64 = 1;
    pub(super) const FIELDS: u64 = 2;
    pub(super) const MESSAGES: u64 = 3;
    pub(super) const ENUMS: u64 = 4;
    pub(super) const OPTIONS: u64 = 7;
    pub(super) const MAP_ENTRY: u64 = 7;
}
mod field {
    pub(super) const NAME: u64 = 1;
    pub(super) const NUMBER: u64 = 3;
    pub(super) const LABEL: u64 = 4;
    pub(super) const TYPE: u64 = 5;
    pub(super) const TYPE_NAME: u64 = 6;
    pub(super) const ONEOF: u64 = 9;
}
mod word {
    pub(super) const NAME: u64 = 1;
    pub(super) const OF_ENUM: u64 = 2;
    pub(super) const NUMBER: u64 = 2;
}

/// The message of this name, which begins with a dot.
pub(super) fn shape(name: &str) -> Option<&'static Shape> {
    types().messages.get(name)
}

fn types() -> &'static Types {
    static TYPES: OnceLock<Types> = OnceLock::new();
    TYPES.get_or_init(|| {
        let mut types = Types { messages: BTreeMap::new(), enums: BTreeMap::new() };
        for file in all(DESCRIPTORS, file::OF_SET) {
            let scope = format!(".{}", text(file, file::PACKAGE));
            all(file, file::ENUMS).for_each(|bytes| types.add_enum(&scope, bytes));
            all(file, file::MESSAGES).for_each(|bytes| types.add_message(&scope, bytes));
        }
        types
    })
}

impl Types {
    fn add_message(&mut self, scope: &str, bytes: &'static [u8]) {
        let name = format!("{scope}.{}", text(bytes, message::NAME));
        all(bytes, message::ENUMS).for_each(|inner| self.add_enum(&name, inner));
        all(bytes, message::MESSAGES).for_each(|inner| self.add_message(&name, inner));
        let is_entry = all(bytes, message::OPTIONS).any(|options| has(options, message::MAP_ENTRY));
        let is_time = name == ".google.protobuf.Timestamp";
        self.messages.insert(name, Shape { bytes, is_time, is_entry, fields: OnceLock::new() });
    }

    fn add_enum(&mut self, scope: &str, bytes: &'static [u8]) {
        let name = format!("{scope}.{}", text(bytes, message::NAME));
        self.enums.insert(name, Words { bytes, words: OnceLock::new() });
    }
}

impl Shape {
    /// Its fields in the order of the proto.
    pub(super) fn fields(&self) -> &[Field] {
        self.fields.get_or_init(|| all(self.bytes, message::FIELDS).map(Field::of).collect())
    }

    /// The field of this number.
    pub(super) fn field(&self, number: u64) -> Option<&Field> {
        self.fields().iter().find(|field| field.number == number)
    }
}

impl Field {
    fn of(bytes: &'static [u8]) -> Field {
        let repeated = number(bytes, field::LABEL) == Some(Label::Repeated as u64);
        let kind = Kind::of(bytes);
        let optional = has(bytes, field::ONEOF) || matches!(kind, Kind::Message(_) | Kind::Unknown);
        let key = format!("\"{}\":", text(bytes, field::NAME));
        let narrow = matches!(
            type_of(bytes),
            Some(Type::Int32 | Type::Uint32 | Type::Sint32 | Type::Fixed32 | Type::Sfixed32 | Type::Enum)
        );
        let choice = number(bytes, field::ONEOF);
        Field { number: number(bytes, field::NUMBER).unwrap_or(0), key, repeated, optional, kind, narrow, choice }
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        self.key.trim_matches(['"', ':'])
    }
}

fn type_of(bytes: &'static [u8]) -> Option<Type> {
    let kind = number(bytes, field::TYPE).and_then(|kind| i32::try_from(kind).ok());
    kind.and_then(|kind| Type::try_from(kind).ok())
}

impl Kind {
    fn of(bytes: &'static [u8]) -> Kind {
        let named = text(bytes, field::TYPE_NAME);
        match type_of(bytes) {
            Some(Type::String | Type::Bytes) => Kind::Text,
            Some(Type::Bool) => Kind::Bool,
            Some(Type::Double) => Kind::Double,
            Some(Type::Float) => Kind::Float,
            Some(Type::Int32 | Type::Int64) => Kind::Signed(Width::Varint),
            Some(Type::Sfixed32) => Kind::Signed(Width::Four),
            Some(Type::Sfixed64) => Kind::Signed(Width::Eight),
            Some(Type::Sint32 | Type::Sint64) => Kind::Zigzag,
            Some(Type::Uint32 | Type::Uint64) => Kind::Unsigned(Width::Varint),
            Some(Type::Fixed32) => Kind::Unsigned(Width::Four),
            Some(Type::Fixed64) => Kind::Unsigned(Width::Eight),
            Some(Type::Enum) => types().enums.get(named).map_or(Kind::Unknown, Kind::Word),
            Some(Type::Message) => shape(named).map_or(Kind::Unknown, Kind::Message),
            Some(Type::Group) | None => Kind::Unknown,
        }
    }
}

impl Words {
    /// The JSON of this number; none where the number means nothing to anybody.
    pub(super) fn word(&self, wanted: u64) -> Option<&str> {
        self.all().iter().find(|(known, _)| *known == wanted).map(|(_, word)| word.as_str())
    }

    /// The number of this word.
    pub(super) fn number(&self, wanted: &str) -> Option<u64> {
        let is = |json: &str| json.trim_matches('"') == wanted && json != "null";
        self.all().iter().find(|(_, json)| is(json)).map(|(number, _)| *number)
    }

    /// All words that mean something.
    pub(super) fn words(&self) -> Vec<&str> {
        self.all().iter().map(|(_, json)| json.trim_matches('"')).filter(|word| *word != "null").collect()
    }

    fn all(&self) -> &[(u64, String)] {
        self.words.get_or_init(|| {
            let prefix = format!("{}_", text(self.bytes, message::NAME).to_ascii_lowercase());
            let word = |bytes| {
                let word = text(bytes, word::NAME).to_ascii_lowercase();
                let word = word.strip_prefix(&prefix).unwrap_or(&word);
                // A number that says that nothing was said.
                let json = if word == "unspecified" { "null".to_owned() } else { format!("\"{word}\"") };
                (number(bytes, word::NUMBER).unwrap_or(0), json)
            };
            all(self.bytes, word::OF_ENUM).map(word).collect()
        })
    }
}

/// Every value of this field.
pub(super) fn all(bytes: &'static [u8], wanted: u64) -> impl Iterator<Item = &'static [u8]> {
    Fields(bytes).filter(move |(number, _)| *number == wanted).map(|(_, raw)| raw.bytes())
}

fn raw(bytes: &'static [u8], wanted: u64) -> Option<Raw<'static>> {
    Fields(bytes).find(|(number, _)| *number == wanted).map(|(_, raw)| raw)
}

pub(super) fn has(bytes: &'static [u8], wanted: u64) -> bool {
    raw(bytes, wanted).is_some()
}

fn number(bytes: &'static [u8], wanted: u64) -> Option<u64> {
    raw(bytes, wanted).map(Raw::number)
}

/// The descriptions were compiled: their names are names.
pub(super) fn text(bytes: &'static [u8], wanted: u64) -> &'static str {
    raw(bytes, wanted).and_then(|raw| std::str::from_utf8(raw.bytes()).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Kind, shape, types};

    #[test]
    fn every_message_of_the_protos_is_known() {
        for name in [".neap.v1.Process", ".neap.v1.GetStatusResponse", ".neap.v1.Spec", ".google.protobuf.Timestamp"] {
            assert!(shape(name).is_some(), "{name}");
        }
        for (name, shape) in &types().messages {
            for field in shape.fields() {
                assert!(!matches!(field.kind, Kind::Unknown), "{name} {}", field.key);
            }
            let key = shape.fields().first().filter(|_| shape.is_entry);
            assert!(key.is_none_or(|key| matches!(key.kind, Kind::Text)), "{name} is a map of names");
        }
    }
}
