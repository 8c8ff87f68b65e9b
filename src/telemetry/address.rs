//! Where an agent takes datagrams.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

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

const SHAPE: &str = "expected udp:HOST:PORT or unix:PATH";

impl FromStr for AgentAddress {
    type Err = AgentAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |why| AgentAddressError { text: text.to_owned(), why };
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path {
                "" => Err(wrong("it lacks the path: unix:/var/run/datadog/dsd.socket")),
                _ if path.starts_with('@') || path.contains('\0') => Err(wrong("name a path, not an abstract socket")),
                _ => Ok(AgentAddress::Unix(path.into())),
            };
        }
        let rest = text.strip_prefix("udp:").ok_or_else(|| wrong(SHAPE))?;
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (host, port) = rest.rsplit_once(':').ok_or_else(|| wrong("it lacks the port: udp:127.0.0.1:8125"))?;
        let host = match host.strip_prefix('[') {
            Some(bracketed) => bracketed.strip_suffix(']').ok_or_else(|| wrong("a bracket is open: udp:[::1]:8125"))?,
            None if host.contains(':') => return Err(wrong("an IPv6 address stands in brackets: udp:[::1]:8125")),
            None => host,
        };
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/') {
            return Err(wrong(SHAPE));
        }
        match port.parse() {
            Ok(port) if port > 0 => Ok(AgentAddress::Udp { host: host.to_owned(), port }),
            _ => Err(wrong("the port is a number from 1 to 65535")),
        }
    }
}

impl fmt::Display for AgentAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AgentAddress::Udp { host, port } if host.contains(':') => write!(f, "udp:[{host}]:{port}"),
            AgentAddress::Udp { host, port } => write!(f, "udp:{host}:{port}"),
            AgentAddress::Unix(path) => write!(f, "unix:{}", path.display()),
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
