//! Specs as serde data: one form to show, one to store. Both go through the reader, so that JSON has its errors.

mod tree;

use std::borrow::Borrow;
use std::fmt::Write as _;

use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::plan::{Problem, Source};
use super::process::Spec;
use super::read::{Dialect, Origin, spec as read_spec};
use super::value::{Node, Value};
use super::write;
use tree::{Form, Shape, Tree};

/// The canonical keys, the name first, every default written out, secrets as `***`. A function is shown as
/// `{"function": id}`, which cannot be read back: it belongs to the configuration that has it.
impl Serialize for Spec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(self, serializer, Form::Shown)
    }
}

/// Reads a table of spec keys and `name`, with the defaults and the errors of Lua. The format must describe itself, as
/// JSON does.
impl<'de> Deserialize<'de> for Spec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Spec, D::Error> {
        deserialize(deserializer, Form::Shown)
    }
}

/// Reads any value, for the reader to make something of. The format must describe itself, as JSON does.
impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        de::DeserializeSeed::deserialize(Tree { form: Form::Shown }, deserializer)
    }
}

/// The form for the ledger and the machine's records: as the one that is shown, but secrets, function ids and the
/// place of declaration survive. Whoever can read it can read the secrets.
///
/// For a field: `#[serde(with = "neap::spec::stored")]`, on a [`Spec`] or an [`Arc`](std::sync::Arc) of one; inside
/// collections there are [`Stored`](stored::Stored) and [`StoredRef`](stored::StoredRef).
///
/// ```
/// use neap::spec::stored::{Stored, StoredRef};
/// use neap::spec::{Secret, Spec};
///
/// let spec = Spec::new("api", ["./api"]).secret_env("TOKEN", Secret::new("s3cret"));
/// assert!(!serde_json::to_string(&spec)?.contains("s3cret"));
/// let Stored(back) = serde_json::from_str(&serde_json::to_string(&StoredRef(&spec))?)?;
/// assert_eq!(back, spec);
/// # Ok::<(), serde_json::Error>(())
/// ```
pub mod stored {
    use super::{Borrow, Deserialize, Deserializer, Form, Serialize, Serializer, Spec};

    /// Writes a spec with all that it holds.
    pub fn serialize<T: Borrow<Spec>, S: Serializer>(spec: &T, serializer: S) -> Result<S::Ok, S::Error> {
        super::serialize(spec.borrow(), serializer, Form::Stored)
    }

    /// Reads what [`serialize`] wrote.
    pub fn deserialize<'de, T: From<Spec>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        super::deserialize(deserializer, Form::Stored).map(T::from)
    }

    /// A spec that is read from its stored form.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Stored(pub Spec);

    /// A spec that is written in its stored form.
    #[derive(Clone, Copy, Debug)]
    pub struct StoredRef<'a>(pub &'a Spec);

    impl Serialize for StoredRef<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            super::serialize(self.0, serializer, Form::Stored)
        }
    }

    impl Serialize for Stored {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            StoredRef(&self.0).serialize(serializer)
        }
    }

    impl<'de> Deserialize<'de> for Stored {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Stored, D::Error> {
            super::deserialize(deserializer, Form::Stored).map(Stored)
        }
    }
}

/// Where a stored spec keeps the place of its declaration; no spec key has such a name.
const FILE: &str = "=file";
const LINE: &str = "=line";
const GROUPS: &str = "=groups";

fn serialize<S: Serializer>(spec: &Spec, serializer: S, form: Form) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    map.serialize_entry("name", &spec.name)?;
    if let Value::Map(entries) = write::node(spec).value {
        for (key, node) in &entries {
            map.serialize_entry(key, &Shape { node, form })?;
        }
    }
    if form == Form::Stored {
        if let Some(file) = &spec.source.file {
            map.serialize_entry(FILE, file)?;
        }
        if let Some(line) = spec.source.line {
            map.serialize_entry(LINE, &line)?;
        }
        if !spec.source.groups.is_empty() {
            map.serialize_entry(GROUPS, &spec.source.groups)?;
        }
    }
    map.end()
}

fn deserialize<'de, D: Deserializer<'de>>(deserializer: D, form: Form) -> Result<Spec, D::Error> {
    let Value::Map(mut entries) = de::DeserializeSeed::deserialize(Tree { form }, deserializer)?.value else {
        return Err(de::Error::custom("expected a table of spec keys"));
    };
    let mut take = |key: &str| {
        let place = entries.iter().position(|(name, _)| name == key)?;
        Some(entries.remove(place).1.value)
    };
    let name = match take("name") {
        Some(Value::String(name)) => name,
        Some(_) => return Err(de::Error::custom("name: expected text")),
        None => return Err(de::Error::custom("a spec needs a `name`")),
    };
    let mut source = Source::default();
    let mut dialect = Dialect::native();
    if form == Form::Stored {
        dialect.origin = Origin::Stored;
        if let Some(Value::String(file)) = take(FILE) {
            source.file = Some(file);
        }
        if let Some(Value::Integer(line)) = take(LINE) {
            source.line = u32::try_from(line).ok();
        }
        if let Some(Value::List(groups)) = take(GROUPS) {
            let text = |node: Node| if let Value::String(text) = node.value { Some(text) } else { None };
            source.groups = groups.into_iter().filter_map(text).collect();
        }
    }
    read_spec(&name, &Node::new(Value::Map(entries)), &dialect, source).map_err(|p| de::Error::custom(lines(&p)))
}

fn lines(problems: &[Problem]) -> String {
    let mut text = String::new();
    for problem in problems {
        let separator = if text.is_empty() { "" } else { "\n" };
        // Writing to a String cannot fail.
        let _ = write!(text, "{separator}{problem}");
    }
    text
}

#[cfg(test)]
mod tests;
