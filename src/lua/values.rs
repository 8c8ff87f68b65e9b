//! The values that the `neap` module hands to a script, as Rust sees them.

use std::sync::Arc;

use crate::spec::{Node, Secret};

/// A process's handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Handle {
    /// The process's name.
    pub(super) name: Arc<str>,
}

/// `neap.process "x"` before it was given its table.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    /// The name it was given.
    pub(super) name: Arc<str>,
    /// Templates whose fields it starts from, the outermost first.
    pub(super) layers: Vec<Arc<Vec<(String, Node)>>>,
}

/// A constructor shaped like `neap.process`.
#[derive(Clone, Debug)]
pub(super) struct Template {
    /// Its own fields last, those of what it extends before.
    pub(super) layers: Vec<Arc<Vec<(String, Node)>>>,
}

/// Several processes under one name.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// The group's name.
    pub(super) name: Arc<str>,
    /// The processes' names.
    pub(super) members: Vec<Arc<str>>,
}

/// What a constructor (`neap.http`, `neap.listen`, …) returned.
#[derive(Clone, Debug)]
pub(super) struct Made {
    /// The constructor's name.
    pub(super) kind: &'static str,
    /// What it was given.
    pub(super) fields: Vec<(String, Node)>,
    /// Where, as a unique line number.
    pub(super) line: u32,
    /// Bytes it counts for against the configuration's allowance.
    pub(super) size: usize,
}

/// A value that is never shown.
#[derive(Clone)]
pub(super) struct SecretValue(pub(super) Secret);

/// `neap.unset`.
pub(super) struct Unset;
