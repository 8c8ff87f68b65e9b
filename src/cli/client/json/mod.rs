//! Answers as JSON, by their description: every field by its name in the proto, in the proto's order.
//!
//! What is absent is null, a list that is empty stays a list, enumerations are lower case without their prefix, times are
//! RFC 3339, and bytes are text. So a field that is added to the proto is in the JSON, too.

mod shape;
mod value;
mod wire;
mod write;

pub(super) use value::Json;
pub(super) use write::{line, lines};
