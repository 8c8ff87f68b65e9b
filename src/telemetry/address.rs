//! Where an agent takes datagrams.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::address::{Named, Wrong, read, write_host, write_path};

/// Where an agent takes DogStatsD datagrams: `udp:HOST:PORT`, or `unix:PATH`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AgentAddress {
    /// UDP.
    Udp {
        /// The host's name or number, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket for datagrams.
    Unix(PathBuf),
}

/// Why a text is no address of an agent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no address of an agent: {why}")]
pub struct AgentAddressError {
    /// What was given.
    pub text: String,
    /// What is wrong with it, and what would be right.
    pub why: &'static str,
}

const SCHEME: &str = "udp:";

impl FromStr for AgentAddress {
    type Err = AgentAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let why = |wrong| match wrong {
            Wrong::Shape => "expected udp:HOST:PORT or unix:PATH",
            Wrong::NoPath => "it lacks the path: unix:/var/run/datadog/dsd.socket",
            Wrong::Abstract => "name a path, not an abstract socket",
            Wrong::NoPort => "it lacks the port: udp:127.0.0.1:8125",
            Wrong::Bracket => "a bracket is open: udp:[::1]:8125",
            Wrong::Bare => "an IPv6 address stands in brackets: udp:[::1]:8125",
            Wrong::Port => "the port is a number from 1 to 65535",
        };
        let named = match read(text, SCHEME, false) {
            // Nobody listens there.
            Ok(Named::Host(_, 0)) => Err(Wrong::Port),
            named => named,
        };
        match named {
            Ok(Named::Path(path)) => Ok(AgentAddress::Unix(path)),
            Ok(Named::Host(host, port)) => Ok(AgentAddress::Udp { host, port }),
            Err(wrong) => Err(AgentAddressError { text: text.to_owned(), why: why(wrong) }),
        }
    }
}

impl fmt::Display for AgentAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AgentAddress::Unix(path) => write_path(f, path),
            AgentAddress::Udp { host, port } => write_host(f, SCHEME, host, *port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::AgentAddress;

    #[test]
    fn an_agents_address_is_read_as_it_is_written() {
        let udp = |host: &str, port| AgentAddress::Udp { host: host.into(), port };
        for (text, address, shown) in [
            ("udp:127.0.0.1:8125", udp("127.0.0.1", 8125), "udp:127.0.0.1:8125"),
            ("udp://agent:8125", udp("agent", 8125), "udp:agent:8125"),
            ("udp:[::1]:8125", udp("::1", 8125), "udp:[::1]:8125"),
            ("unix:/run/dsd.socket", AgentAddress::Unix("/run/dsd.socket".into()), "unix:/run/dsd.socket"),
            ("unix:///run/dsd.socket", AgentAddress::Unix("/run/dsd.socket".into()), "unix:/run/dsd.socket"),
        ] {
            let read: AgentAddress = text.parse().unwrap();
            assert_eq!((&read, read.to_string().as_str()), (&address, shown), "{text}");
        }
    }

    #[test]
    fn what_is_no_agents_address_is_refused_with_what_would_be_right() {
        for (text, why) in [
            ("127.0.0.1:8125", "udp:HOST:PORT"),
            ("tcp:127.0.0.1:8125", "udp:HOST:PORT"),
            ("udp:127.0.0.1", "lacks the port"),
            ("udp::8125", "udp:HOST:PORT"),
            ("udp:::1:8125", "in brackets"),
            ("udp:[::1:8125", "bracket is open"),
            ("udp:agent:0", "from 1 to 65535"),
            ("udp:agent:statsd", "from 1 to 65535"),
            ("unix:", "lacks the path"),
            ("unix:@dsd", "name a path"),
        ] {
            let refused = text.parse::<AgentAddress>().unwrap_err().to_string();
            assert!(refused.contains(why), "{text:?}: {refused}");
        }
    }
}
