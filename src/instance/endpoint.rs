//! Addresses that an instance is served at beside its control socket.

use std::os::fd::AsFd;
use std::path::Path;

use super::places::hash;
use crate::anchor::{Inheritance, Key, Link};
use crate::rpc::{Address, Listener, Tls};

/// An address with its listener, which the anchor holds, so that nobody is refused while there is no supervisor.
#[derive(Debug)]
pub(crate) struct Endpoint {
    address: Address,
    pub(crate) listener: Listener,
}

impl Endpoint {
    /// Listens at this address, or goes on with the listener that the one before left.
    ///
    /// # Errors
    /// Why it cannot, as a sentence.
    pub(crate) fn open(
        address: Address,
        tls: Option<&Tls>,
        anchor: Option<(&Link, &mut Inheritance)>,
    ) -> Result<Endpoint, String> {
        let key = Key::endpoint(hash(address.to_string().as_bytes()));
        let Some((link, inheritance)) = anchor else {
            let listener = Listener::bind(&address, tls).map_err(|error| error.to_string())?;
            return Ok(Endpoint { address, listener });
        };
        if let Some(at) = inheritance.held.iter().position(|(held, _)| *held == key) {
            let (_, fd) = inheritance.held.swap_remove(at);
            return Ok(Endpoint { listener: Listener::handed_down(&address, fd, tls), address });
        }
        let listener = Listener::bind(&address, tls).map_err(|error| error.to_string())?;
        link.hold(key, listener.as_fd())
            .map_err(|error| format!("the anchor does not take the listener of {address}: {error}"))?;
        Ok(Endpoint { address, listener })
    }

    /// The path of a Unix socket.
    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.address {
            Address::Unix(path) => Some(path),
            Address::Tcp { .. } => None,
        }
    }

    /// Where clients find it, for people.
    pub(crate) fn shown(&self) -> String {
        match self.listener.tcp_address() {
            Some(address) => format!("tcp:{address}"),
            None => self.address.to_string(),
        }
    }
}
