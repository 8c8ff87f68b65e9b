//! Which bytes belong to a class: `%a`, `[a-z_]`. Bytes above 127 belong to no named class, whatever the locale.

/// Whether `byte` belongs to the class that `%letter` names; `%` before anything else stands for that byte itself.
pub(super) fn is_in_named(byte: u8, letter: u8) -> bool {
    let inside = match letter.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'g' => byte.is_ascii_graphic(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => byte == b' ' || (b'\t'..=b'\r').contains(&byte),
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        // Not in the manual any more, but still understood.
        b'z' => byte == 0,
        _ => return byte == letter,
    };
    inside == letter.is_ascii_lowercase()
}

/// Whether `byte` belongs to the set whose text, between the brackets, is `set`.
pub(super) fn is_in_set(byte: u8, set: &[u8]) -> bool {
    let (complement, mut rest) = match set.strip_prefix(b"^") {
        Some(rest) => (true, rest),
        None => (false, set),
    };
    while let Some((&first, after)) = rest.split_first() {
        let (inside, next) = match (first, after) {
            (b'%', [letter, next @ ..]) => (is_in_named(byte, *letter), next),
            // A lone `%` can only stand last, before the bracket that it escapes no more: it means that bracket.
            (b'%', []) => (is_in_named(byte, b']'), after),
            (low, [b'-', high, next @ ..]) => ((low..=*high).contains(&byte), next),
            (only, next) => (byte == only, next),
        };
        if inside {
            return !complement;
        }
        rest = next;
    }
    complement
}
