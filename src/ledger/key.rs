//! Keys as they stand in the file: a kind and a number, so that a kind which only a newer writer knows can be told.

use crate::core::{ProcessId, RecordKey};

/// A key as it is written.
pub(super) type RawKey = (u8, u64);

/// The key as it is written. Kinds are never given to anything else.
pub(super) fn encode(key: RecordKey) -> RawKey {
    match key {
        RecordKey::Instance => (0, 0),
        RecordKey::Spec(id) => (1, id),
        RecordKey::Process(ProcessId(id)) => (2, id),
        RecordKey::Driver(id) => (3, id),
    }
}

/// The key that was written; `None` when this version does not know its kind.
pub(super) fn decode((kind, id): RawKey) -> Option<RecordKey> {
    match kind {
        0 if id == 0 => Some(RecordKey::Instance),
        1 => Some(RecordKey::Spec(id)),
        2 => Some(RecordKey::Process(ProcessId(id))),
        3 => Some(RecordKey::Driver(id)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};
    use crate::core::{ProcessId, RecordKey};

    #[test]
    fn keys_survive_and_unknown_kinds_are_told() {
        for key in [
            RecordKey::Instance,
            RecordKey::Spec(0),
            RecordKey::Process(ProcessId(u64::MAX)),
            RecordKey::Driver(1 << 40),
        ] {
            assert_eq!(decode(encode(key)), Some(key));
        }
        assert_eq!(decode((4, 0)), None);
        assert_eq!(decode((0, 1)), None);
    }
}
