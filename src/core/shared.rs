//! A spec as the machine holds it: recorded once, and referred to by its number.

use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::spec::Spec;

/// A spec and its number. In a record it is the number alone; whoever reads one puts the spec back ([`Shared::resolve`]).
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) number: u64,
    spec: Arc<Spec>,
}

impl Shared {
    pub(super) fn new(number: u64, spec: Spec) -> Shared {
        Shared { number, spec: Arc::new(spec) }
    }

    pub(super) fn to_arc(&self) -> Arc<Spec> {
        Arc::clone(&self.spec)
    }

    /// Puts the spec of its number in the place of the empty one it was read with. Whether there is one.
    #[must_use]
    pub(super) fn resolve(&mut self, find: impl FnOnce(u64) -> Option<Arc<Spec>>) -> bool {
        match find(self.number) {
            Some(spec) => {
                self.spec = spec;
                true
            }
            None => false,
        }
    }
}

impl Deref for Shared {
    type Target = Spec;

    fn deref(&self) -> &Spec {
        &self.spec
    }
}

impl PartialEq for Shared {
    fn eq(&self, other: &Shared) -> bool {
        self.spec == other.spec
    }
}

impl Serialize for Shared {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.number.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Shared {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(deserializer)?;
        Ok(Shared::new(number, Spec::new("", Vec::<String>::new())))
    }
}
