//! Turning a front end's tree of values into a spec, with every mistake told at once.
//!
//! [`spec`] is the one reader: Lua, YAML, JSON and the ledger hand it a [`Node`], and differ only in their [`Dialect`],
//! which is a set of defaults. Keys are those of [`schema`](super::schema).

mod amend;
mod dialect;
mod environment;
mod hook;
mod limits;
mod listen;
mod merge;
mod probe;
mod process;
mod reader;
mod scalar;
mod split;
mod stop;

pub use amend::amend;
pub use dialect::{Dialect, Origin, Pace, Syntax};
pub use merge::{merge, merge_into};
pub use split::{Split, SplitError, split_command};

#[cfg(feature = "yaml")]
pub(crate) use reader::describe;

pub(super) use process::{POLICIES, TYPES};
pub(super) use stop::MODES;

use super::plan::{Problem, Source};
use super::process::Spec;
use super::value::Node;
use reader::{At, Reader};

/// Reads the definition of the process `name` from a table.
///
/// `source` says where it was declared; lines of keys are added to it from the nodes' positions. All problems are
/// reported, each with its file, line and field path. What is wrong with the values as such (an empty command, a port
/// that no URL has) is for [`Spec::validate`].
///
/// ```
/// use neap::spec::read::{Dialect, spec};
/// use neap::spec::{Node, Source, Value};
///
/// let table = Node::new(Value::Map(vec![("comand".into(), Node::at(Value::String("nginx".into()), 3))]));
/// let problems = spec("web", &table, &Dialect::native(), Source::default()).unwrap_err();
/// assert_eq!(problems[0].message, "there is no such key; did you mean `command`?");
/// ```
pub fn spec(name: &str, node: &Node, dialect: &Dialect, source: Source) -> Result<Spec, Vec<Problem>> {
    let mut reader = Reader::new(name, dialect, source);
    let at = At::root(node);
    let spec = reader.process(&at, node);
    reader.finish(spec)
}

#[cfg(test)]
mod place_tests;
#[cfg(test)]
mod tests;
