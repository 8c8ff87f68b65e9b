//! Answers as JSON, by their description: every field by its name in the proto, in the proto's order.
//!
//! What is absent is null, a list that is empty stays a list, enumerations are lower case without their prefix, times are
//! RFC 3339, and bytes are text. So a field that is added to the proto is in the JSON, too. Requests are read by the same
//! descriptions.

mod method;
mod read;
mod shape;
mod time;
mod value;
mod wire;
mod write;

pub use method::{Method, method, methods};
pub use read::{ReadError, parse, read};
#[cfg(feature = "cli")]
pub(crate) use time::{DAY, HOUR, MINUTE, SECOND, date, write_rfc3339};
pub use value::Json;
pub use write::{line, lines, text_of};
