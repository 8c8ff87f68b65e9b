//! Durations, sizes and octal modes, as people write them.

use std::time::Duration;

/// A duration as people write it.
pub fn format_duration(d: Duration) -> String {
    format!("{d:?}")
}

/// serde for a duration.
pub mod duration {
    use std::time::Duration;
    /// serialize
    pub fn serialize<S: serde::Serializer>(d: &Duration, s: S) -> Result<S::Ok, S::Error> { s.serialize_str(&super::format_duration(*d)) }
    /// deserialize
    pub fn deserialize<'de, D: serde::Deserializer<'de>>(_d: D) -> Result<Duration, D::Error> { todo!() }
}
/// serde for an optional duration.
pub mod optional_duration {
    use std::time::Duration;
    /// serialize
    pub fn serialize<S: serde::Serializer>(_d: &Option<Duration>, _s: S) -> Result<S::Ok, S::Error> { todo!() }
    /// deserialize
    pub fn deserialize<'de, D: serde::Deserializer<'de>>(_d: D) -> Result<Option<Duration>, D::Error> { todo!() }
}
