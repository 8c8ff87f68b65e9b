//! Addresses as text: a Unix socket's path, or a host and a port behind a scheme. Which scheme, and what is said of one that
//! is wrong, is for whoever has the address.

use std::fmt;
use std::path::{Path, PathBuf};

/// What a text names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// `unix:PATH`.
    Path(PathBuf),
    /// `SCHEME:HOST:PORT`: the host without brackets, and the port.
    Host(String, u16),
}

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// It is none of the two.
    Shape,
    /// There is no path.
    NoPath,
    /// It is the name of an abstract socket.
    Abstract,
    /// There is no port.
    NoPort,
    /// A bracket is open.
    Bracket,
    /// A number of IPv6 without brackets.
    Bare,
    /// The port is none.
    Port,
}

/// Reads a text. The scheme, `tcp:`, may be missing where that is said.
pub(crate) fn read(text: &str, scheme: &str, may_be_missing: bool) -> Result<Named, Wrong> {
    // As gRPC writes them, unix:///run/x is a path, too.
    let bare = |rest: &str| rest.strip_prefix("//").unwrap_or(rest).to_owned();
    if let Some(path) = text.strip_prefix("unix:").map(bare) {
        return match &*path {
            "" => Err(Wrong::NoPath),
            _ if path.starts_with('@') || path.contains('\0') => Err(Wrong::Abstract),
            _ => Ok(Named::Path(path.into())),
        };
    }
    let rest = text.strip_prefix(scheme).or(Some(text).filter(|_| may_be_missing)).map(bare).ok_or(Wrong::Shape)?;
    let (host, port) = rest.rsplit_once(':').ok_or(Wrong::NoPort)?;
    let host = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.strip_suffix(']').ok_or(Wrong::Bracket)?,
        None if host.contains(':') => return Err(Wrong::Bare),
        None => host,
    };
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/') {
        return Err(Wrong::Shape);
    }
    Ok(Named::Host(host.to_owned(), port.parse().map_err(|_| Wrong::Port)?))
}

/// Writes a path as it is read.
pub(crate) fn write_path(f: &mut fmt::Formatter<'_>, path: &Path) -> fmt::Result {
    write!(f, "unix:{}", path.display())
}

/// Writes a host and a port as they are read.
pub(crate) fn write_host(f: &mut fmt::Formatter<'_>, scheme: &str, host: &str, port: u16) -> fmt::Result {
    match host.contains(':') {
        true => write!(f, "{scheme}[{host}]:{port}"),
        false => write!(f, "{scheme}{host}:{port}"),
    }
}
