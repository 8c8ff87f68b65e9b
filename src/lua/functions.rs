//! Functions by number: outside the state nobody holds a Lua value.

use std::collections::HashMap;

use mlua::Function;

use super::host::Host;
use crate::spec::FunctionId;

/// Gives numbers to the functions that a configuration gives away, as hooks, probes and handlers.
pub(super) struct Functions {
    host: Host,
    known: HashMap<usize, FunctionId>,
}

impl Functions {
    /// Numbers for the functions of this host's state.
    pub(super) fn new(host: Host) -> Self {
        Functions { host, known: HashMap::new() }
    }

    /// Has the numbers changed, when the host changes them.
    pub(super) fn renumber(&mut self, change: &mut dyn FnMut(&mut FunctionId)) {
        self.known.values_mut().for_each(change);
    }

    /// Keeps a function and gives its number; the same function has one number, as often as it is used.
    pub(super) fn keep(&mut self, function: &Function) -> FunctionId {
        // The host keeps the function, so its address is not given to another one.
        let address = function.to_pointer() as usize;
        *self.known.entry(address).or_insert_with(|| self.host.add_function(function.clone()))
    }
}
