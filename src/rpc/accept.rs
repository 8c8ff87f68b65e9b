//! Connections as they come in.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use nix::errno::Errno;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tonic::transport::server::Connected;

use super::roles::Peer;

/// Connections at a time. Others wait in the kernel's queue.
const MOST_CONNECTIONS: usize = 512;
/// Connections at a time of one client process. Further ones are closed, so that it takes no other's room.
const MOST_OF_ONE: usize = 64;
/// Descriptors kept back for connections: whoever runs out of them must be able to say "stop" still.
const SPARE: usize = 8;
/// After an accept that failed: what was short may be there again.
const PAUSE: Duration = Duration::from_millis(100);

/// A client's connection, with what the kernel says of who made it.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    peer: Option<Peer>,
    _place: Place,
    _room: OwnedSemaphorePermit,
    /// The last one: when it is dropped, the stream's descriptor is free.
    _spares: Refill,
}

/// Descriptors that are kept back.
#[derive(Clone, Debug, Default)]
struct Spares(Arc<Mutex<Vec<OwnedFd>>>);

impl Spares {
    /// Takes as many as there is room for.
    fn refill(&self) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while kept.len() < SPARE {
            let Ok(file) = File::open("/dev/null") else { return };
            kept.push(file.into());
        }
    }

    /// Gives one away; false when there is none.
    fn give(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().is_some()
    }
}

/// Gets a descriptor back when a connection has ended.
#[derive(Debug)]
struct Refill(Spares);

impl Drop for Refill {
    fn drop(&mut self) {
        self.0.refill();
    }
}

/// How many connections each client process has.
type Crowd = Arc<Mutex<HashMap<i32, usize>>>;

/// One connection among those of its client; given back when dropped.
#[derive(Debug)]
struct Place {
    crowd: Crowd,
    client: i32,
}

impl Place {
    /// A place, unless this client has enough.
    fn take(crowd: &Crowd, client: i32) -> Option<Place> {
        let mut counts = crowd.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(client).or_default();
        if *count >= MOST_OF_ONE {
            return None;
        }
        *count += 1;
        Some(Place { crowd: crowd.clone(), client })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.crowd.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.client);
            }
        }
    }
}

/// Takes connections and hands them on, until nobody takes them. No error of accept(2) ends it: a lack of descriptors
/// passes, and a client that went away before it was accepted is nobody's concern.
pub(super) async fn accept_all(listener: UnixListener, taken: mpsc::Sender<io::Result<Connection>>) {
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let crowd = Crowd::default();
    let spares = Spares::default();
    spares.refill();
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let peer = stream.peer_cred().ok().map(|peer| Peer { uid: peer.uid(), pid: peer.pid() });
                let client = peer.and_then(|peer| peer.pid).unwrap_or_default();
                let Some(place) = Place::take(&crowd, client) else { continue };
                let spares = Refill(spares.clone());
                let connection = Connection { stream, peer, _place: place, _room: permit, _spares: spares };
                if taken.send(Ok(connection)).await.is_err() {
                    return;
                }
            }
            // The next accept takes what is given here; it comes back when the connection has ended.
            Err(error) if is_shortage(&error) && spares.give() => {}
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Whether the process or the machine is out of descriptors.
fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error().map(Errno::from_raw), Some(Errno::EMFILE | Errno::ENFILE))
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        // A caller that the kernel does not name is nobody that we know.
        self.peer.unwrap_or(Peer { uid: u32::MAX, pid: None })
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
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
