//! The bytes of a message, field by field.

/// A field's value as it stands in the bytes.
#[derive(Clone, Copy)]
pub(super) enum Raw<'a> {
    /// A number, however it is written.
    Number(u64),
    /// Text, bytes, a message, or numbers behind each other.
    Bytes(&'a [u8]),
}

impl<'a> Raw<'a> {
    /// Its bytes; none of a number.
    pub(super) fn bytes(self) -> &'a [u8] {
        match self {
            Raw::Bytes(bytes) => bytes,
            Raw::Number(_) => &[],
        }
    }

    /// Its number; none of bytes.
    pub(super) fn number(self) -> u64 {
        match self {
            Raw::Number(number) => number,
            Raw::Bytes(_) => 0,
        }
    }
}

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    /// Seven bits a byte.
    Varint,
    /// Four bytes.
    Four,
    /// Eight bytes.
    Eight,
}

/// The fields of a message's bytes with their numbers, up to what is no field.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Raw<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = varint(&mut self.0)?;
        let value = match key & 7 {
            0 => Raw::Number(varint(&mut self.0)?),
            1 => Raw::Number(number(Width::Eight, &mut self.0)?),
            5 => Raw::Number(number(Width::Four, &mut self.0)?),
            2 => {
                let length = usize::try_from(varint(&mut self.0)?).ok()?;
                Raw::Bytes(self.0.split_off(..length)?)
            }
            _ => return None,
        };
        Some((key >> 3, value))
    }
}

/// Takes a number off these bytes.
pub(super) fn number(width: Width, bytes: &mut &[u8]) -> Option<u64> {
    match width {
        Width::Varint => varint(bytes),
        Width::Four => Some(u32::from_le_bytes(*chunk(bytes)?).into()),
        Width::Eight => Some(u64::from_le_bytes(*chunk(bytes)?)),
    }
}

fn chunk<'a, const N: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (chunk, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(chunk)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}
