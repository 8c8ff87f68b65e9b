//! What a server listens at: the control socket, and on request TCP.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use super::address::{Address, is_loopback, resolve};
use super::roles::Role;
use super::socket::bind_control_socket;
use crate::driver::sys::high_fd;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Where a server takes connections from.
#[derive(Debug)]
pub enum Listener {
    /// A Unix socket, made by [`bind_control_socket`] or handed down.
    Unix(UnixListener),
    /// TCP on this machine alone: a caller's role is that of its user.
    Loopback(TcpListener),
    /// TCP with mutual TLS: a caller's role is that of its certificate.
    Tls(TcpListener, Tls),
}

impl Listener {
    /// Listens at this address.
    ///
    /// # Errors
    /// [`ListenError`], with what to do: beyond loopback without `tls`, for one.
    pub fn bind(address: &Address, tls: Option<&Tls>) -> Result<Listener, ListenError> {
        let failed = |why: String| ListenError { address: address.to_string(), why };
        match address {
            Address::Unix(path) => {
                let listener = bind_control_socket(path).map_err(|error| failed(error.to_string()))?;
                Ok(Listener::Unix(listener))
            }
            Address::Tcp { host, port } => {
                let open = tls.is_none().then_some(
                    "which is served with mutual TLS alone: give --tls-cert, --tls-key and --tls-client-ca, or listen at \
                     127.0.0.1",
                );
                Ok(Listener::of_tcp(bind_tcp(host, *port, open).map_err(failed)?, tls))
            }
        }
    }

    /// Goes on with what was handed down for this address.
    pub fn handed_down(address: &Address, fd: OwnedFd, tls: Option<&Tls>) -> Listener {
        match address {
            Address::Unix(_) => Listener::Unix(fd.into()),
            Address::Tcp { .. } => Listener::of_tcp(fd.into(), tls),
        }
    }

    fn of_tcp(listener: TcpListener, tls: Option<&Tls>) -> Listener {
        match tls {
            Some(tls) => Listener::Tls(listener, tls.clone()),
            None => Listener::Loopback(listener),
        }
    }

    /// The address of TCP, with the port that the kernel chose.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match self {
            Listener::Unix(_) => None,
            Listener::Loopback(listener) | Listener::Tls(listener, _) => listener.local_addr().ok(),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Unix(listener) => listener.as_fd(),
            Listener::Loopback(listener) | Listener::Tls(listener, _) => listener.as_fd(),
        }
    }
}

/// Listens for something that anybody may read who can connect; beyond loopback only where that is asked for.
///
/// # Errors
/// [`ListenError`], with what to do.
#[cfg(feature = "cli")]
pub(crate) fn bind_plain(host: &str, port: u16, beyond_loopback: bool) -> Result<TcpListener, ListenError> {
    let open = (!beyond_loopback).then_some(
        "and whoever is there could read the page: give --metrics-beyond-loopback if that is meant, or listen at 127.0.0.1",
    );
    let failed = |why| ListenError { address: Address::Tcp { host: host.to_owned(), port }.to_string(), why };
    bind_tcp(host, port, open).map_err(failed)
}

/// Listens at a host's addresses; one that others can reach is an error that ends like this, if it does.
fn bind_tcp(host: &str, port: u16, open: Option<&str>) -> Result<TcpListener, String> {
    let all = resolve(host, port).map_err(|error| format!("cannot find `{host}`: {error}"))?;
    let reached = all.iter().find(|address| !is_loopback(address.ip()));
    if let (Some(reached), Some(open)) = (reached, open) {
        return Err(format!("{} can be reached from other machines, {open}", reached.ip()));
    }
    let bound = TcpListener::bind(all.as_slice()).map_err(|error| hint(&error))?;
    Ok(TcpListener::from(high_fd(OwnedFd::from(bound))))
}

/// Why there is nobody listening.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen at {address}: {why}")]
pub struct ListenError {
    /// Where.
    pub address: String,
    /// What is wrong, and what to do.
    pub why: String,
}

fn hint(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!("{error}: another process listens there; choose another port"),
        io::ErrorKind::PermissionDenied => format!("{error}: ports below 1024 take CAP_NET_BIND_SERVICE"),
        io::ErrorKind::AddrNotAvailable => format!("{error}: this machine does not have that address"),
        _ => error.to_string(),
    }
}

/// The server's certificate, whose certificates of clients count, and what they are good for.
#[derive(Clone)]
pub struct Tls {
    identity: Identity,
    clients: Certificate,
    pub(super) role: Role,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("role", &self.role).finish_non_exhaustive()
    }
}

/// The files that TLS is made of, all PEM.
#[derive(Clone, Copy, Debug)]
pub struct TlsFiles<'a> {
    /// The server's certificate, with those between it and its authority's.
    pub cert: &'a Path,
    /// Its private key.
    pub key: &'a Path,
    /// The authorities whose clients are let in.
    pub client_ca: &'a Path,
}

/// Why there is no TLS. Names the flag and the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{flag} {}: {source}", .path.display())]
    Read {
        /// Which it is for.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("{flag} {}: holds no {wanted}: a PEM file with one is needed", .path.display())]
    Content {
        /// Which it is for.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What it lacks.
        wanted: &'static str,
    },
    /// They do not fit each other, or are damaged.
    #[error("--tls-cert {}, --tls-key {}, --tls-client-ca {}: cannot be used together: {why}", .cert.display(), .key.display(), .client_ca.display())]
    Unfit {
        /// The certificate.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
        /// The authorities.
        client_ca: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl Tls {
    /// Reads the files, and looks whether they fit. Clients with a certificate get this role.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn load(files: TlsFiles<'_>, role: Role) -> Result<Tls, TlsError> {
        let cert = pem("--tls-cert", files.cert, &["CERTIFICATE"])?;
        let key = pem("--tls-key", files.key, &["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"])?;
        let clients = pem("--tls-client-ca", files.client_ca, &["CERTIFICATE"])?;
        let tls = Tls { identity: Identity::from_pem(cert, key), clients: Certificate::from_pem(clients), role };
        match tonic::transport::Server::builder().tls_config(tls.config()) {
            Ok(_) => Ok(tls),
            Err(error) => Err(TlsError::Unfit {
                cert: files.cert.to_owned(),
                key: files.key.to_owned(),
                client_ca: files.client_ca.to_owned(),
                why: chain(&error),
            }),
        }
    }

    pub(super) fn config(&self) -> ServerTlsConfig {
        let config = ServerTlsConfig::new().identity(self.identity.clone()).client_ca_root(self.clients.clone());
        config.timeout(HANDSHAKE)
    }
}

/// Reads a file in which there is a block of one of these kinds.
pub(super) fn pem(flag: &'static str, path: &Path, kinds: &[&'static str]) -> Result<Vec<u8>, TlsError> {
    let text = std::fs::read(path).map_err(|source| TlsError::Read { flag, path: path.to_owned(), source })?;
    let has = |kind: &&str| {
        let begin = format!("-----BEGIN {kind}-----");
        text.windows(begin.len()).any(|window| window == begin.as_bytes())
    };
    if kinds.iter().any(has) {
        return Ok(text);
    }
    let wanted = if kinds[0] == "CERTIFICATE" { "certificate" } else { "private key that is not encrypted" };
    Err(TlsError::Content { flag, path: path.to_owned(), wanted })
}

/// An error with all that caused it.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Wrappers say the same once more.
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
