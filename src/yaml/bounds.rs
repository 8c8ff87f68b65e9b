//! How much of a file is read: nobody's configuration comes near, and what goes beyond is told by its bound.

/// The longest text, in bytes.
pub(super) const LONGEST_TEXT: usize = 4 << 20;

/// How deep tables and lists may be nested, aliases included.
pub(super) const DEEPEST: usize = 64;

/// How many values a file may come to once its aliases and merges are written out.
pub(super) const MOST_VALUES: usize = 200_000;

/// How many bytes of text a file may come to once its aliases and merges are written out.
pub(super) const MOST_BYTES: usize = 16 << 20;
