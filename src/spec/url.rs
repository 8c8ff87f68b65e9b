//! The URLs that an HTTP probe takes.

use super::units::quote;

/// Where an HTTP probe goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeUrl {
    /// Over TCP.
    Tcp {
        /// The host's name or address; of an IPv6 address without its brackets.
        host: String,
        /// The port, 80 unless the URL has one.
        port: u16,
        /// Path and query, as the request has them.
        target: String,
    },
    /// Over a Unix socket.
    Unix {
        /// The socket's path.
        socket: String,
        /// Path and query, as the request has them.
        target: String,
    },
}

impl ProbeUrl {
    /// Reads `http://host:port/path` or `unix:/path/to.sock:/path`. The error says what is wrong, without its place.
    pub fn parse(url: &str) -> Result<ProbeUrl, String> {
        let error = |detail: &str| {
            let expected = "expected `http://host:port/path` or `unix:/path/to.sock:/path`";
            let separator = if detail.is_empty() { "" } else { ": " };
            Err(format!("{expected}, found {}{separator}{detail}", quote(url)))
        };
        if url.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return error("a URL has no blanks");
        }
        if let Some(rest) = url.strip_prefix("unix:") {
            let (socket, target) = match rest.find(":/") {
                Some(end) => (&rest[..end], &rest[end + 1..]),
                None => (rest, "/"),
            };
            if !socket.starts_with('/') {
                return error("the socket's path is not absolute");
            }
            return Ok(ProbeUrl::Unix { socket: socket.into(), target: target.into() });
        }
        if url.starts_with("https://") {
            return error("probes do not speak TLS; ask over http, or with a command in neap.exec");
        }
        let Some(rest) = url.strip_prefix("http://") else { return error("") };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let target = target.split('#').next().unwrap_or_default();
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        if authority.contains('@') {
            return error("it cannot carry a user or password; send a header instead");
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => match rest.split_once(']') {
                Some((host, port)) if host.parse::<std::net::Ipv6Addr>().is_ok() => (host, port.strip_prefix(':')),
                _ => return error("the address in brackets is not an IPv6 address"),
            },
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        if host.is_empty() {
            return error("it names no host");
        }
        let port = match port.map(str::parse::<u16>) {
            None => 80,
            Some(Ok(port)) if port > 0 => port,
            Some(_) => return error("a port is a number from 1 to 65535"),
        };
        Ok(ProbeUrl::Tcp { host: host.into(), port, target })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16, target: &str) -> Result<ProbeUrl, String> {
        Ok(ProbeUrl::Tcp { host: host.into(), port, target: target.into() })
    }

    #[test]
    fn what_is_a_url_for_a_probe() {
        assert_eq!(ProbeUrl::parse("http://127.0.0.1:8080/health"), tcp("127.0.0.1", 8080, "/health"));
        assert_eq!(ProbeUrl::parse("http://localhost"), tcp("localhost", 80, "/"));
        assert_eq!(ProbeUrl::parse("http://localhost?x=1#frag"), tcp("localhost", 80, "/?x=1"));
        assert_eq!(ProbeUrl::parse("http://[::1]:9/a?b"), tcp("::1", 9, "/a?b"));
        assert_eq!(ProbeUrl::parse("http://[::1]"), tcp("::1", 80, "/"));
        let unix = |socket: &str, target: &str| Ok(ProbeUrl::Unix { socket: socket.into(), target: target.into() });
        assert_eq!(ProbeUrl::parse("unix:/run/a.sock:/x"), unix("/run/a.sock", "/x"));
        assert_eq!(ProbeUrl::parse("unix:/run/a.sock"), unix("/run/a.sock", "/"));
    }

    #[test]
    fn every_refusal_says_what_is_expected() {
        let expected = "expected `http://host:port/path` or `unix:/path/to.sock:/path`, found";
        let cases = [
            ("", ""),
            ("localhost:80", ""),
            ("ftp://a", ""),
            ("http://", ": it names no host"),
            ("http://:80/", ": it names no host"),
            ("http://a:0/", ": a port is a number from 1 to 65535"),
            ("http://a:99999/", ": a port is a number from 1 to 65535"),
            ("http://a:b/", ": a port is a number from 1 to 65535"),
            ("http://u:p@a/", ": it cannot carry a user or password; send a header instead"),
            ("http://[x]/", ": the address in brackets is not an IPv6 address"),
            ("http://a /", ": a URL has no blanks"),
            ("unix:run/a.sock:/", ": the socket's path is not absolute"),
            ("https://a/", ": probes do not speak TLS; ask over http, or with a command in neap.exec"),
        ];
        for (url, detail) in cases {
            assert_eq!(ProbeUrl::parse(url), Err(format!("{expected} \"{url}\"{detail}")));
        }
    }
}
