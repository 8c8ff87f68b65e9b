//! Collecting problems of one spec.

use std::time::Duration;

use super::super::names::account_error;
use super::super::plan::{Problem, Severity};
use super::super::process::Spec;

/// The longest single argument or variable that the kernel takes, without its NUL (execve(2)).
const LONGEST_ARGUMENT: usize = 131_071;

/// Whether the kernel takes this text as an argument or variable.
pub(super) fn is_kernel_text(text: &str) -> bool {
    text.len() <= LONGEST_ARGUMENT && !text.as_bytes().contains(&0)
}

/// The problems of one spec so far.
pub(super) struct Check<'a> {
    pub(super) spec: &'a Spec,
    problems: Vec<Problem>,
}

impl<'a> Check<'a> {
    /// Nothing is wrong yet.
    pub(super) fn new(spec: &'a Spec) -> Self {
        Check { spec, problems: Vec::new() }
    }

    /// All that was found.
    pub(super) fn finish(self) -> Vec<Problem> {
        self.problems
    }

    /// Something that refuses the spec.
    pub(super) fn error(&mut self, field: &str, message: impl Into<String>) {
        self.problems.push(Problem::of(self.spec, Severity::Error, field, message.into()));
    }

    /// Something that is said and gone on from.
    pub(super) fn warning(&mut self, field: &str, message: impl Into<String>) {
        self.problems.push(Problem::of(self.spec, Severity::Warning, field, message.into()));
    }

    /// What the user called a field, for a message about another one.
    pub(super) fn called(&self, field: &str) -> String {
        self.spec.source.place_of(field).1
    }

    /// The value of a field, for a message about another one.
    pub(super) fn shown(&self, field: &str, value: String) -> String {
        match self.spec.source.elsewhere.line_of(&self.called(field)) {
            Some(line) => format!("that of line {line}"),
            None => value,
        }
    }

    /// Whether the front end has told where a field was given.
    pub(super) fn is_given(&self, field: &str) -> bool {
        self.spec.source.fields.contains_key(field) || self.spec.source.written.contains_key(field)
    }

    /// Text that the kernel takes: not too long, and without a NUL byte.
    pub(super) fn kernel_text(&mut self, field: &str, text: &str) {
        if is_kernel_text(text) {
            return;
        }
        if text.contains('\0') {
            self.error(field, "holds a NUL byte, which the kernel takes for its end");
        }
        if text.len() > LONGEST_ARGUMENT {
            self.error(field, format!("is longer than the {LONGEST_ARGUMENT} bytes that the kernel takes"));
        }
    }

    /// A path: not empty, and text that the kernel takes.
    pub(super) fn path(&mut self, field: &str, path: &str) {
        if path.is_empty() {
            self.error(field, "the path is empty");
        }
        self.kernel_text(field, path);
    }

    /// A program and its arguments.
    pub(super) fn command(&mut self, field: &str, command: &[String]) {
        match command.first() {
            None => self.error(field, "is empty; it needs at least a program"),
            Some(program) if program.is_empty() => self.error(&format!("{field}[1]"), "the program's name is empty"),
            Some(_) => {}
        }
        for (place, word) in command.iter().enumerate() {
            if !is_kernel_text(word) {
                self.kernel_text(&format!("{field}[{}]", place + 1), word);
            }
        }
    }

    /// A user or group.
    pub(super) fn account(&mut self, field: &str, account: Option<&String>) {
        if let Some(message) = account.and_then(|account| account_error(account)) {
            self.error(field, message);
        }
    }

    /// A duration that is not zero.
    pub(super) fn more_than_zero(&mut self, field: &str, duration: Duration) {
        if duration.is_zero() {
            self.error(field, "must be longer than 0");
        }
    }
}
