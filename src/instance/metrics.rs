//! An instance's page of metrics: where it listens, and what the page says of the instance.

use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use super::places::hash;
use crate::anchor::{Inheritance, Key, KeyKind, Link};
use crate::rpc::{Address, bind_control_socket, bind_plain};
use crate::telemetry::PageListener;

/// Listeners of addresses that a supervisor before this one left with the anchor.
#[derive(Debug, Default)]
pub(crate) struct Left(Vec<(Key, OwnedFd)>);

impl Left {
    /// Takes what is left of them.
    pub(crate) fn take(inheritance: &mut Inheritance) -> Left {
        let of_address = |(key, _): &mut (Key, OwnedFd)| matches!(key.kind(), Some(KeyKind::Endpoint(_)));
        Left(inheritance.held.extract_if(.., of_address).collect())
    }

    /// Listens for readers of the page at this address, or goes on with the listener that is left of it. The anchor holds
    /// it, so that nobody is refused while there is no supervisor.
    ///
    /// # Errors
    /// Why it cannot, as a sentence.
    pub(crate) fn listen(
        &mut self,
        address: &Address,
        beyond_loopback: bool,
        link: Option<&Link>,
    ) -> Result<PageListener, String> {
        // Not the key of --listen, which speaks something else.
        let key = Key::endpoint(hash(format!("metrics {address}").as_bytes()));
        if let Some(at) = self.0.iter().position(|(held, _)| *held == key) {
            let (_, fd) = self.0.swap_remove(at);
            return Ok(match address {
                Address::Unix(_) => PageListener::Unix(UnixListener::from(fd)),
                Address::Tcp { .. } => PageListener::Tcp(TcpListener::from(fd)),
            });
        }
        let listener = match address {
            Address::Unix(path) => PageListener::Unix(
                bind_control_socket(path).map_err(|error| format!("cannot listen at {address}: {error}"))?,
            ),
            Address::Tcp { host, port } => {
                PageListener::Tcp(bind_plain(host, *port, beyond_loopback).map_err(|error| error.to_string())?)
            }
        };
        if let Some(link) = link {
            let fd = match &listener {
                PageListener::Unix(listener) => listener.as_fd(),
                PageListener::Tcp(listener) => listener.as_fd(),
            };
            link.hold(key, fd)
                .map_err(|error| format!("the anchor does not take the listener of {address}: {error}"))?;
        }
        Ok(listener)
    }

    /// Has the anchor let go of those that nobody asks for any more: whoever connected would wait for ever.
    pub(crate) fn let_go(self, link: Option<&Link>) {
        if let Some(link) = link {
            self.0.iter().for_each(|(key, _)| link.let_go(*key));
        }
    }
}

/// The paths among these addresses.
pub(crate) fn paths(addresses: &[Address]) -> Vec<PathBuf> {
    let path = |address: &Address| match address {
        Address::Unix(path) => Some(path.clone()),
        Address::Tcp { .. } => None,
    };
    addresses.iter().filter_map(path).collect()
}
