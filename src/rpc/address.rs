//! Addresses that an instance is served at.

use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::address::{Named, Wrong, read, write_host, write_path};

/// Where an instance is served: `unix:PATH`, `tcp:HOST:PORT`, or `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket.
    Unix(PathBuf),
    /// A host's name or number, and a port.
    Tcp {
        /// The host, without brackets.
        host: String,
        /// The port; 0 lets the kernel choose one.
        port: u16,
    },
}

/// Why a text is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no address: {why}")]
pub struct AddressError {
    /// What was given.
    pub text: String,
    /// What is wrong with it, and what would be right.
    pub why: &'static str,
}

const SCHEME: &str = "tcp:";

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let why = |wrong| match wrong {
            Wrong::Shape | Wrong::NoPort => "expected unix:PATH, tcp:HOST:PORT or tcp:[::1]:PORT",
            Wrong::NoPath => "it lacks the path: unix:/run/neap.sock",
            Wrong::Abstract => "an abstract socket has no mode, so that anybody could use it: name a path",
            Wrong::Bracket => "a bracket is open: [::1]:PORT",
            Wrong::Bare => "an IPv6 address stands in brackets: [::1]:PORT",
            Wrong::Port => "the port is a number up to 65535",
        };
        match read(text, SCHEME, true) {
            Ok(Named::Path(path)) => Ok(Address::Unix(path)),
            Ok(Named::Host(host, port)) => Ok(Address::Tcp { host, port }),
            Err(wrong) => Err(AddressError { text: text.to_owned(), why: why(wrong) }),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(path) => write_path(f, path),
            Address::Tcp { host, port } => write_host(f, SCHEME, host, *port),
        }
    }
}

impl Address {
    /// What a client's `--socket` means: a path, unless it says `tcp:` or `unix:`.
    ///
    /// # Errors
    /// When it says so, and goes on with nonsense.
    pub fn of_client(socket: &Path) -> Result<Address, AddressError> {
        match socket.to_str() {
            Some(text) if text.starts_with("tcp:") || text.starts_with("unix:") => text.parse(),
            _ => Ok(Address::Unix(socket.to_owned())),
        }
    }
}

/// The addresses of a host, those of IPv4 first.
pub(super) fn resolve(host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
    let mut all: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    all.sort_by_key(SocketAddr::is_ipv6);
    all.dedup();
    if all.is_empty() {
        return Err(std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(all)
}

/// Whether nobody but this machine can be at the other end.
pub(super) fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Address, is_loopback};

    #[test]
    fn addresses_are_read_as_they_are_written() {
        let tcp = |host: &str, port| Address::Tcp { host: host.into(), port };
        for (text, address, shown) in [
            ("unix:/run/x.sock", Address::Unix("/run/x.sock".into()), "unix:/run/x.sock"),
            ("unix:///run/x.sock", Address::Unix("/run/x.sock".into()), "unix:/run/x.sock"),
            ("unix:x", Address::Unix("x".into()), "unix:x"),
            ("tcp:127.0.0.1:5000", tcp("127.0.0.1", 5000), "tcp:127.0.0.1:5000"),
            ("127.0.0.1:5000", tcp("127.0.0.1", 5000), "tcp:127.0.0.1:5000"),
            ("localhost:0", tcp("localhost", 0), "tcp:localhost:0"),
            ("[::1]:5000", tcp("::1", 5000), "tcp:[::1]:5000"),
            ("tcp:[::1]:5000", tcp("::1", 5000), "tcp:[::1]:5000"),
        ] {
            let read: Address = text.parse().unwrap();
            assert_eq!((&read, read.to_string().as_str()), (&address, shown), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_would_be_right() {
        for (text, why) in [
            ("unix:", "lacks the path"),
            ("unix:@neap", "no mode"),
            ("unix:a\0b", "no mode"),
            ("5000", "tcp:HOST:PORT"),
            ("", "tcp:HOST:PORT"),
            (":5000", "tcp:HOST:PORT"),
            ("/run/x.sock", "tcp:HOST:PORT"),
            ("a b:5000", "tcp:HOST:PORT"),
            ("::1:5000", "in brackets"),
            ("[::1:5000", "bracket is open"),
            ("host:70000", "up to 65535"),
            ("host:http", "up to 65535"),
        ] {
            let refused = text.parse::<Address>().unwrap_err().to_string();
            assert!(refused.contains(why), "{text:?}: {refused}");
        }
    }

    #[test]
    fn a_clients_socket_is_a_path_unless_it_says_otherwise() {
        let of = |text: &str| Address::of_client(Path::new(text)).unwrap();
        assert_eq!(of("localhost:5000"), Address::Unix("localhost:5000".into()));
        assert_eq!(of("tcp:localhost:5000"), Address::Tcp { host: "localhost".into(), port: 5000 });
        assert_eq!(of("unix:/run/x"), Address::Unix("/run/x".into()));
        assert!(Address::of_client(Path::new("tcp:nonsense")).is_err());
    }

    #[test]
    fn loopback_is_this_machine_however_it_is_written() {
        for (address, is) in
            [("127.0.0.1", true), ("127.9.9.9", true), ("::1", true), ("::ffff:127.0.0.1", true), ("0.0.0.0", false)]
        {
            assert_eq!(is_loopback(address.parse().unwrap()), is, "{address}");
        }
        assert!(!is_loopback("::".parse().unwrap()) && !is_loopback("192.0.2.1".parse().unwrap()));
    }
}
