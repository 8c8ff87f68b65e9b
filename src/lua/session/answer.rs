//! What comes of a session.

use std::time::Duration;

/// Something that a session says.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// What a line prints while it runs.
    Print {
        /// Which line.
        id: u64,
        /// The text as it is, line feeds and all.
        text: String,
    },
    /// What a line came to. Each has one answer, and prints nothing after it.
    Answer(Answer),
    /// What may stand at a place of a text.
    Candidates(Candidates),
}

/// What a line came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Which line.
    pub id: u64,
    /// How long it took.
    pub took: Duration,
    /// Its values, or why there are none.
    pub result: Result<Values, Trouble>,
}

/// What an expression came to; nothing of a statement.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values {
    /// Each as a line or a table, for people.
    pub shown: Vec<String>,
    /// Each as JSON, null where a value has none.
    pub json: Vec<String>,
    /// Why the first of those that have none has none, as a sentence.
    pub not_json: Option<String>,
}

/// Why a line came to nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    /// What is wrong, with its place.
    pub message: String,
    /// The lines of scripts that led there, the innermost first.
    pub traceback: Vec<String>,
    /// Whether the text is right so far, and not over. It had no effect.
    pub incomplete: bool,
    /// Whether it was given up.
    pub cancelled: bool,
    /// Whether it took longer than it may.
    pub timed_out: bool,
}

/// What may stand at a place of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidates {
    /// Which question.
    pub id: u64,
    /// Where what they replace begins, in bytes.
    pub start: usize,
    /// Sorted by their text.
    pub candidates: Vec<Candidate>,
}

/// Something that may stand at a place of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What would stand there.
    pub text: String,
    /// What it is, in a few words.
    pub detail: String,
}
