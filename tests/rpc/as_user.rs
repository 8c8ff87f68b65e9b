//! Connections that another user makes: the kernel notes who connects, not who writes.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// A user that is neither root nor anybody.
pub const STRANGER: u32 = 54_321;

/// Does this as the user of these numbers, on a thread that ends after it. Takes root.
pub fn as_user<T: Send + 'static>(uid: u32, gids: &[u32], work: impl FnOnce() -> T + Send + 'static) -> T {
    let gids = gids.to_vec();
    let thread = std::thread::spawn(move || {
        let gid = gids.first().copied().unwrap_or(STRANGER);
        // SAFETY: plain numbers, and a list that outlives the call; the raw calls change this thread alone.
        let changed = unsafe {
            libc::syscall(libc::SYS_setgroups, gids.len(), gids.as_ptr()) == 0
                && libc::syscall(libc::SYS_setresgid, -1, gid, -1) == 0
                && libc::syscall(libc::SYS_setresuid, -1, uid, -1) == 0
        };
        assert!(changed, "{}", io::Error::last_os_error());
        work()
    });
    let done = thread.join().unwrap();
    // The change of user has closed /proc/self to other tests.
    nix::sys::prctl::set_dumpable(true).unwrap();
    done
}

/// A connection to this socket that this user made.
pub fn unix_as(socket: &Path, uid: u32, gids: &[u32]) -> io::Result<UnixStream> {
    let socket = socket.to_owned();
    as_user(uid, gids, move || UnixStream::connect(socket))
}

/// A connection to this address that this user made.
pub fn tcp_as(address: SocketAddr, uid: u32, gids: &[u32]) -> io::Result<TcpStream> {
    as_user(uid, gids, move || TcpStream::connect(address))
}

/// A channel that is this one connection.
pub async fn channel(stream: UnixStream) -> Channel {
    stream.set_nonblocking(true).unwrap();
    over(tokio::net::UnixStream::from_std(stream).unwrap()).await
}

/// A channel that is this one connection.
pub async fn tcp_channel(stream: TcpStream) -> Channel {
    stream.set_nonblocking(true).unwrap();
    over(tokio::net::TcpStream::from_std(stream).unwrap()).await
}

async fn over<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(stream: S) -> Channel {
    let mut once = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_| std::future::ready(once.take().ok_or(io::ErrorKind::NotConnected)));
    let connector = tower::ServiceExt::map_err(connector, io::Error::from);
    // No more is sent ahead than the protocol begins with.
    let endpoint = Endpoint::from_static("http://localhost").initial_stream_window_size(65_535);
    endpoint.connect_with_connector(connector).await.unwrap()
}

/// Calls the method with a message without fields.
pub async fn call(channel: Channel, method: &str) -> Result<(), Status> {
    let mut client = Grpc::new(channel);
    client.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
    let path = PathAndQuery::try_from(method).unwrap();
    let answer = client.server_streaming(Request::new(()), path, tonic_prost::ProstCodec::<(), ()>::default()).await?;
    let _ = answer.into_inner().message().await;
    Ok(())
}
