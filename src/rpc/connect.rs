//! The client's end of the control socket.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tower::service_fn;

use super::address::{Address, AddressError, is_loopback, resolve};
use super::listen::{TlsError, chain, pem};

/// The largest answer: that of a list of very many processes.
const LARGEST_HEADERS: u32 = 64 << 10;
/// Of each stream, so much may be on its way to us.
const WINDOW: u32 = 65_535;
/// Between two tries while the server's queue is full.
const PAUSE: Duration = Duration::from_millis(10);

/// Why an instance cannot be reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// There is no socket.
    #[error("nothing is served at {}: there is no socket", .0.display())]
    NotThere(PathBuf),
    /// There is one, and nobody answers on it.
    #[error("nothing is served at {} any more: nobody answers there", .0.display())]
    Dead(PathBuf),
    /// It is somebody else's.
    #[error("you may not use {}: only the instance's own user, root, and groups with a role there may", .0.display())]
    NotPermitted(PathBuf),
    /// The address is none.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// What TLS takes is not there.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// It would be spoken to without TLS, over a network.
    #[error(
        "{0} is on another machine, which is spoken to with TLS alone: set NEAP_TLS_CA, and NEAP_TLS_CERT and \
         NEAP_TLS_KEY for this client's own certificate"
    )]
    Plain(Address),
    /// It is there, and does not take the connection in time.
    #[error("{} does not answer", .0.display())]
    TimedOut(PathBuf),
    /// Something else.
    #[error("cannot reach {}: {why}", .path.display())]
    Other {
        /// The socket.
        path: PathBuf,
        /// What went wrong.
        why: String,
    },
}

/// What a client needs for TLS: whom it believes, and who it is.
#[derive(Clone)]
pub struct ClientTls {
    ca: Certificate,
    identity: Option<Identity>,
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").finish_non_exhaustive()
    }
}

impl ClientTls {
    /// Reads the authority's certificate, and this client's own with its key (PEM). The names of the environment's
    /// variables are those that the `neap` command reads.
    ///
    /// # Errors
    /// [`TlsError`], when one cannot be read or holds something else.
    pub fn load(ca: &Path, own: Option<(&Path, &Path)>) -> Result<ClientTls, TlsError> {
        let ca = Certificate::from_pem(pem("NEAP_TLS_CA", ca, &["CERTIFICATE"])?);
        let identity = match own {
            None => None,
            Some((cert, key)) => {
                let cert = pem("NEAP_TLS_CERT", cert, &["CERTIFICATE"])?;
                let key = pem("NEAP_TLS_KEY", key, &["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"])?;
                Some(Identity::from_pem(cert, key))
            }
        };
        Ok(ClientTls { ca, identity })
    }

    fn config(&self) -> ClientTlsConfig {
        let config = ClientTlsConfig::new().ca_certificate(self.ca.clone());
        match &self.identity {
            Some(identity) => config.identity(identity.clone()),
            None => config,
        }
    }
}

/// Connects to the instance at this socket. Somebody has answered there when this returns: a socket outlives whoever serves
/// it. The channel is that one connection: when it ends, its calls end with UNAVAILABLE, and a new one is made by
/// connecting again.
///
/// # Errors
/// [`ConnectError`], which names the socket and says why.
pub async fn connect(path: &Path, patience: Duration) -> Result<Channel, ConnectError> {
    let until = Instant::now() + patience;
    let stream = match timeout_at(until, reach(path)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(why(path, &error)),
        Err(_) => return Err(ConnectError::TimedOut(path.to_owned())),
    };
    // The name is for the protocol alone: the path is what counts.
    over(stream, Endpoint::from_static("http://localhost"), path, until).await
}

/// Connects to the instance at this address. TCP beyond this machine is spoken with TLS alone.
///
/// # Errors
/// [`ConnectError`], which names the address and says why.
pub async fn connect_to(
    address: &Address,
    tls: Option<&ClientTls>,
    patience: Duration,
) -> Result<Channel, ConnectError> {
    let (host, port) = match address {
        Address::Unix(path) => return connect(path, patience).await,
        Address::Tcp { host, port } => (host.clone(), *port),
    };
    let until = Instant::now() + patience;
    let shown = PathBuf::from(address.to_string());
    let other = |why: String| ConnectError::Other { path: shown.clone(), why };
    let found = {
        let host = host.clone();
        timeout_at(until, tokio::task::spawn_blocking(move || resolve(&host, port))).await
    };
    let found = match found {
        Ok(Ok(Ok(found))) => found,
        Ok(Ok(Err(error))) => return Err(other(error.to_string())),
        Ok(Err(error)) => return Err(other(error.to_string())),
        Err(_) => return Err(ConnectError::TimedOut(shown)),
    };
    if tls.is_none() && !found.iter().all(|address| is_loopback(address.ip())) {
        return Err(ConnectError::Plain(address.clone()));
    }
    let stream = match timeout_at(until, TcpStream::connect(found.as_slice())).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(why(&shown, &error)),
        Err(_) => return Err(ConnectError::TimedOut(shown)),
    };
    // A failure costs latency alone.
    let _ = stream.set_nodelay(true);
    let authority = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let scheme = if tls.is_some() { "https" } else { "http" };
    let mut endpoint =
        Endpoint::from_shared(format!("{scheme}://{authority}")).map_err(|error| other(chain(&error)))?;
    if let Some(tls) = tls {
        endpoint = endpoint.tls_config(tls.config()).map_err(|error| other(chain(&error)))?;
    }
    over(stream, endpoint, &shown, until).await
}

/// The channel that is this one connection.
async fn over<S>(stream: S, endpoint: Endpoint, path: &Path, until: Instant) -> Result<Channel, ConnectError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (stream, heard) = Greeted::new(stream);
    let mut once = Some(stream);
    // With TLS a server has the last word only after a client believes to be connected.
    let ended = match endpoint.uri().scheme_str() {
        Some("https") => {
            "the connection has ended; before the first answer that means that this client's certificate is not accepted \
             (NEAP_TLS_CERT, NEAP_TLS_KEY)"
        }
        _ => "the connection has ended",
    };
    let connector = service_fn(move |_| {
        let stream = once.take().map(TokioIo::new).ok_or_else(|| io::Error::other(ended));
        std::future::ready(stream)
    });
    // Of a stream that is not read, no more small messages wait than the HTTP/2 library puts up with.
    let endpoint = endpoint.http2_max_header_list_size(LARGEST_HEADERS).initial_stream_window_size(WINDOW);
    let other = |why: String| ConnectError::Other { path: path.to_owned(), why };
    let connected = async {
        let channel = endpoint.connect_with_connector(connector).await.map_err(|error| other(chain(&error)))?;
        heard.await.map_err(|_| other(ended.to_owned()))?;
        Ok(channel)
    };
    timeout_at(until, connected).await.unwrap_or_else(|_| Err(ConnectError::TimedOut(path.to_owned())))
}

/// A connection that says when the server's first bytes have come. HTTP/2 begins with the settings of both sides: who
/// accepts a connection sends its own without being asked, and who is stopped or out of descriptors does not.
struct Greeted<S> {
    stream: S,
    tell: Option<oneshot::Sender<()>>,
}

impl<S> Greeted<S> {
    fn new(stream: S) -> (Greeted<S>, oneshot::Receiver<()>) {
        let (tell, heard) = oneshot::channel();
        (Greeted { stream, tell: Some(tell) }, heard)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Greeted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let came = matches!(read, Poll::Ready(Ok(()))) && buffer.filled().len() > before;
        if let Some(tell) = self.tell.take_if(|_| came) {
            // Whoever waits no longer has given up.
            let _ = tell.send(());
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Greeted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

async fn reach(path: &Path) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(PAUSE).await,
            result => return result,
        }
    }
}

fn why(path: &Path, error: &io::Error) -> ConnectError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound => ConnectError::NotThere(path),
        io::ErrorKind::ConnectionRefused => ConnectError::Dead(path),
        io::ErrorKind::PermissionDenied => ConnectError::NotPermitted(path),
        _ => ConnectError::Other { path, why: error.to_string() },
    }
}
