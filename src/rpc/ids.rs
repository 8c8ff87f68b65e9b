//! Processes' ids as clients see them: UUIDs that stay the same over restarts of the supervisor.

use std::fmt::Write;

use crate::core::ProcessId;

/// The id of a process: made of the instance's name, its place in the machine, and its name, all of which outlive the
/// supervisor. A process that is deleted and made again has another.
pub(super) fn id_of(instance: &str, process: ProcessId, name: &str) -> String {
    let place = process.0.to_be_bytes();
    let bits = hash([instance.as_bytes(), &[0], &place, name.as_bytes()]);
    // Version 8 (made as its maker likes), variant 1 (RFC 9562).
    let bits = bits & !(0xf << 76) | (8 << 76);
    let bits = bits & !(0b11 << 62) | (0b10 << 62);
    let digits = format!("{bits:032x}");
    let mut id = String::with_capacity(36);
    for (index, digit) in digits.chars().enumerate() {
        if matches!(index, 8 | 12 | 16 | 20) {
            id.push('-');
        }
        let _ = id.write_char(digit);
    }
    id
}

/// FNV-1a of 128 bits, mixed once more so that a small difference shows everywhere.
fn hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let bytes = parts.into_iter().flatten();
    let hash = bytes.fold(BASIS, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME));
    let mixed = (hash ^ (hash >> 67)).wrapping_mul(PRIME << 1 | 1);
    mixed ^ (mixed >> 71)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::id_of;
    use crate::core::ProcessId;
    use crate::spec::names::process_name_error;

    #[test]
    fn an_id_is_a_uuid_the_same_each_time_and_no_name() {
        let id = id_of("default", ProcessId(7), "web");
        assert_eq!(id, id_of("default", ProcessId(7), "web"));
        let lengths: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
        assert_eq!(id.chars().nth(14), Some('8'), "{id}: the version");
        assert!(matches!(id.chars().nth(19), Some('8' | '9' | 'a' | 'b')), "{id}: the variant");
        assert!(process_name_error(&id).is_some(), "an id cannot be a name");
    }

    #[test]
    fn ids_differ_by_instance_place_and_name() {
        let mut ids = BTreeSet::new();
        for instance in ["default", "x"] {
            for place in 0..1_000 {
                for name in ["web", "api"] {
                    assert!(ids.insert(id_of(instance, ProcessId(place), name)));
                }
            }
        }
    }
}
