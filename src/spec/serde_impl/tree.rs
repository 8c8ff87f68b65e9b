//! The tree of values as serde data.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::super::hook::FunctionId;
use super::super::process::Secret;
use super::super::value::{Node, Value};

/// Marks what only the stored form can hold. Neither a key nor a variable has an `=` in its name.
const SECRET: &str = "=secret";
const FUNCTION: &str = "=function";

/// The deepest nesting that is read.
const DEEPEST: usize = 32;

/// For whom the data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// For people and clients: secrets are hidden.
    Shown,
    /// For Neap itself: nothing is lost.
    Stored,
}

/// A node that is written.
pub(super) struct Shape<'a> {
    pub(super) node: &'a Node,
    pub(super) form: Form,
}

impl Serialize for Shape<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let form = self.form;
        match &self.node.value {
            Value::Null | Value::Unset | Value::Other(_) => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Integer(number) => serializer.serialize_i64(*number),
            Value::Float(number) => serializer.serialize_f64(*number),
            Value::String(text) | Value::Handle(text) => serializer.serialize_str(text),
            Value::List(items) => serializer.collect_seq(items.iter().map(|node| Shape { node, form })),
            Value::Map(entries) | Value::Made { fields: entries, .. } => {
                serializer.collect_map(entries.iter().map(|(key, node)| (key, Shape { node, form })))
            }
            Value::Function(id) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry(if form == Form::Stored { FUNCTION } else { "function" }, &id.0)?;
                map.end()
            }
            Value::Secret(_) if form == Form::Shown => serializer.serialize_str("***"),
            Value::Secret(secret) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry(SECRET, secret.expose())?;
                map.end()
            }
        }
    }
}

/// Reads a node of any shape.
#[derive(Clone, Copy)]
pub(super) struct Tree {
    pub(super) form: Form,
}

impl<'de> DeserializeSeed<'de> for Tree {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(Level { form: self.form, depth: 0 }).map(Node::new)
    }
}

#[derive(Clone, Copy)]
struct Level {
    form: Form,
    depth: usize,
}

impl Level {
    fn deeper<E: Error>(self) -> Result<Level, E> {
        match self.depth < DEEPEST {
            true => Ok(Level { depth: self.depth + 1, ..self }),
            false => Err(E::custom("tables are nested too deeply")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Level {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self).map(Node::new)
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Integer(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(i64::try_from(number).map_or(Value::Float(number as f64), Value::Integer))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(deeper)? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        let mut entries: Vec<(String, Node)> = Vec::new();
        while let Some(key) = access.next_key::<String>()? {
            entries.push((key, access.next_value_seed(deeper)?));
        }
        if self.form == Form::Stored
            && let [(key, node)] = entries.as_slice()
        {
            match (key.as_str(), &node.value) {
                (SECRET, Value::String(text)) => return Ok(Value::Secret(Secret::new(text.clone()))),
                (FUNCTION, Value::Integer(id)) => {
                    let id = u64::try_from(*id).map_err(|_| A::Error::custom("a function's id is not negative"))?;
                    return Ok(Value::Function(FunctionId(id)));
                }
                _ => {}
            }
        }
        Ok(Value::Map(entries))
    }
}
