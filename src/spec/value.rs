//! The tree that every front end (Lua, YAML, JSON) turns its text into, and that [`read`](super::read) reads specs
//! from.

use super::hook::FunctionId;
use super::process::Secret;

/// Where a node stands in its source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The line, from 1; 0 when unknown.
    pub line: u32,
}

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it stands.
    pub position: Position,
}

impl Node {
    /// A node without a place.
    pub fn new(value: Value) -> Self {
        Node { value, position: Position::default() }
    }

    /// A node on this line.
    pub fn at(value: Value, line: u32) -> Self {
        Node { value, position: Position { line } }
    }
}

/// What a front end may hand over.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing; in a template's override, [`Value::Unset`] is what removes a key.
    Null,
    /// Removes an inherited key (`neap.unset`).
    Unset,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// Text. What is not UTF-8 is refused by the front end.
    String(String),
    /// A list.
    List(Vec<Node>),
    /// Keys and values, in the order of the source where it has one, else sorted.
    Map(Vec<(String, Node)>),
    /// A function, by its number in the host.
    Function(FunctionId),
    /// A process's handle, by its name.
    Handle(String),
    /// A value that is never shown.
    Secret(Secret),
    /// What a constructor (`neap.http`, `neap.listen`, …) returned: its kind and its table.
    Made {
        /// The constructor's name: `http`, `tcp`, `exec`, `logline`, `check`, `listen`.
        kind: &'static str,
        /// What it was given.
        fields: Vec<(String, Node)>,
    },
    /// Something that no key takes (a thread, a userdata), by the front end's word for it.
    Other(&'static str),
}
