//! The client's end of the control socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

/// The largest answer: that of a list of very many processes.
const LARGEST_HEADERS: u32 = 64 << 10;
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
    #[error("you may not use {}: only the instance's own user and root may", .0.display())]
    NotPermitted(PathBuf),
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

/// Connects to the instance at this socket. The channel is that one connection: when it ends, its calls end with
/// UNAVAILABLE, and a new one is made by connecting again.
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
    let mut once = Some(stream);
    let connector = service_fn(move |_| {
        let stream = once.take().map(TokioIo::new).ok_or_else(|| io::Error::other("the connection has ended"));
        std::future::ready(stream)
    });
    // The name is for the protocol alone: the path is what counts.
    let endpoint = Endpoint::from_static("http://localhost").http2_max_header_list_size(LARGEST_HEADERS);
    match timeout_at(until, endpoint.connect_with_connector(connector)).await {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(error)) => Err(ConnectError::Other { path: path.to_owned(), why: chain(&error) }),
        Err(_) => Err(ConnectError::TimedOut(path.to_owned())),
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

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
