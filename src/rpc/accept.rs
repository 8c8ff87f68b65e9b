//! Connections as they come in.

use std::collections::HashMap;
use std::fmt::Debug;
use std::fs::File;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use nix::errno::Errno;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Sleep;
use tonic::transport::server::Connected;

use super::access::is_own;
use super::listen::Listener;
use super::owner::owner;
use super::roles::{Peer, Role};
use crate::driver::creds::groups_of_number;
use crate::driver::sys::{keep_alive, peer_groups};

/// Connections at a time of one listener. Others wait in the kernel's queue.
const MOST_CONNECTIONS: usize = 512;
/// Connections at a time of all who are neither the instance's own user nor root: room is left for these.
const MOST_OF_OTHERS: usize = 256;
/// Connections at a time of one client. Further ones are closed, so that it takes no other's room.
const MOST_OF_ONE: usize = 64;
/// How long a connection may be there before its first call is: who only holds it open takes somebody's place.
const FIRST_CALL: Duration = Duration::from_secs(10);
/// Descriptors kept back for connections: whoever runs out of them must be able to say "stop" still.
const SPARE: usize = 8;
/// After an accept that failed: what was short may be there again.
const PAUSE: Duration = Duration::from_millis(100);
/// A remote machine that is gone is noticed after about two minutes.
const KEEP_IDLE: u32 = 60;
const KEEP_INTERVAL: u32 = 15;
const KEEP_COUNT: u32 = 4;

/// What bytes go over.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send + Debug {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + Debug> Wire for T {}

/// Who has made a connection; each of its calls carries it.
#[derive(Clone, Debug)]
pub(super) struct Visitor {
    peer: Arc<Peer>,
    called: Arc<AtomicBool>,
}

impl Visitor {
    fn new(peer: Peer) -> Visitor {
        Visitor { peer: Arc::new(peer), called: Arc::default() }
    }

    /// Who it is.
    pub(super) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Notes that a call has come, so that the connection may stay.
    pub(super) fn has_called(&self) {
        self.called.store(true, Ordering::Relaxed);
    }
}

/// A client's connection, with what is known of who made it.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Box<dyn Wire>,
    visitor: Visitor,
    /// Until when the first call is to come; nothing once it has.
    patience: Option<Pin<Box<Sleep>>>,
    _place: Place,
    _room: OwnedSemaphorePermit,
    /// The last one: when it is dropped, the stream's descriptor is free.
    _spares: Refill,
}

impl Connection {
    /// Whether it has been there for too long without a call. Wakes the task when that is so.
    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(patience) = &mut self.patience else { return false };
        if self.visitor.called.load(Ordering::Relaxed) {
            self.patience = None;
            return false;
        }
        patience.as_mut().poll(cx).is_ready()
    }

    fn wire(&mut self, cx: &mut Context<'_>) -> io::Result<Pin<&mut dyn Wire>> {
        if self.is_late(cx) {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no call came in time"));
        }
        Ok(Pin::new(&mut *self.stream))
    }
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

/// What counts as one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Client {
    /// A process of the own user's or root's: only these are told apart, for others can make as many as they like.
    Process(i32),
    /// A user.
    User(u32),
    /// A machine, or with IPv6 its network.
    Machine(IpAddr),
    /// All whom nobody knows.
    Nobody,
}

impl Client {
    fn of(peer: &Peer) -> Client {
        match peer {
            Peer::Local { uid, pid: Some(pid), .. } if is_own(*uid) => Client::Process(*pid),
            Peer::Local { uid, .. } => Client::User(*uid),
            Peer::Certified { from, .. } => Client::Machine(match from.ip().to_canonical() {
                IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64)).into(),
                v4 => v4,
            }),
            Peer::Unknown(_) => Client::Nobody,
        }
    }

    fn is_own(self) -> bool {
        match self {
            Client::Process(_) => true,
            Client::User(uid) => is_own(uid),
            Client::Machine(_) | Client::Nobody => false,
        }
    }
}

/// How many connections each client has.
#[derive(Debug, Default)]
struct Counts {
    of: HashMap<Client, usize>,
    others: usize,
}

type Crowd = Arc<Mutex<Counts>>;

/// One connection among those of its client; given back when dropped.
#[derive(Debug)]
struct Place {
    crowd: Crowd,
    client: Client,
}

impl Place {
    /// A place, unless this client has enough.
    fn take(crowd: &Crowd, client: Client) -> Option<Place> {
        let mut counts = crowd.lock().unwrap_or_else(PoisonError::into_inner);
        if !client.is_own() && counts.others >= MOST_OF_OTHERS {
            return None;
        }
        let count = counts.of.entry(client).or_default();
        if *count >= MOST_OF_ONE {
            return None;
        }
        *count += 1;
        counts.others += usize::from(!client.is_own());
        Some(Place { crowd: crowd.clone(), client })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.crowd.lock().unwrap_or_else(PoisonError::into_inner);
        counts.others -= usize::from(!self.client.is_own());
        if let Some(count) = counts.of.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                counts.of.remove(&self.client);
            }
        }
    }
}

/// A listener, and how its clients are known.
#[derive(Debug)]
pub(super) enum Door {
    /// By their credentials.
    Unix(UnixListener),
    /// By the kernel's table of sockets.
    Loopback(TcpListener),
    /// By their certificates, which all give this role.
    Tls(TcpListener, Role),
}

impl Door {
    /// Of a runtime's, in which this is called.
    pub(super) fn open(listener: Listener) -> io::Result<Door> {
        let tcp = |listener: std::net::TcpListener| {
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        };
        Ok(match listener {
            Listener::Unix(listener) => {
                listener.set_nonblocking(true)?;
                Door::Unix(UnixListener::from_std(listener)?)
            }
            Listener::Loopback(listener) => Door::Loopback(tcp(listener)?),
            Listener::Tls(listener, tls) => Door::Tls(tcp(listener)?, tls.role),
        })
    }

    async fn accept(&self) -> io::Result<(Box<dyn Wire>, Peer)> {
        match self {
            Door::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let peer = by_credentials(&stream);
                Ok((Box::new(stream), peer))
            }
            Door::Loopback(listener) => {
                let (stream, from) = listener.accept().await?;
                // A failure costs latency alone.
                let _ = stream.set_nodelay(true);
                let server = stream.local_addr()?;
                Ok((Box::new(stream), by_table(from, server).await))
            }
            Door::Tls(listener, role) => {
                let (stream, from) = listener.accept().await?;
                let _ = stream.set_nodelay(true);
                let _ = keep_alive(stream.as_fd(), KEEP_IDLE, KEEP_INTERVAL, KEEP_COUNT);
                Ok((Box::new(stream), Peer::Certified { role: *role, from }))
            }
        }
    }
}

fn by_credentials(stream: &UnixStream) -> Peer {
    match stream.peer_cred() {
        Ok(credentials) => {
            // Without them, it is in its main group alone: that may be less than it has, and never more.
            let mut groups = peer_groups(stream.as_fd()).unwrap_or_default();
            groups.push(credentials.gid());
            Peer::Local { uid: credentials.uid(), pid: credentials.pid(), groups: groups.into() }
        }
        Err(error) => Peer::Unknown(format!("the kernel does not say: {error}").into()),
    }
}

/// The table may be long, and the database of users slow.
async fn by_table(client: SocketAddr, server: SocketAddr) -> Peer {
    let looked = tokio::task::spawn_blocking(move || match owner(client, server) {
        Ok(uid) if is_own(uid) => Peer::Local { uid, pid: None, groups: Arc::default() },
        Ok(uid) => Peer::Local { uid, pid: None, groups: groups_of_number(uid).into() },
        Err(why) => Peer::Unknown(why.into()),
    });
    looked.await.unwrap_or_else(|error| Peer::Unknown(error.to_string().into()))
}

/// Takes connections and hands them on, until nobody takes them. No error of accept(2) ends it: a lack of descriptors
/// passes, and a client that went away before it was accepted is nobody's concern.
pub(super) async fn accept_all(door: Door, taken: mpsc::Sender<io::Result<Connection>>) {
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let crowd = Crowd::default();
    let spares = Spares::default();
    spares.refill();
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        match door.accept().await {
            Ok((stream, peer)) => {
                let Some(place) = Place::take(&crowd, Client::of(&peer)) else { continue };
                let connection = Connection {
                    stream,
                    visitor: Visitor::new(peer),
                    patience: Some(Box::pin(tokio::time::sleep(FIRST_CALL))),
                    _place: place,
                    _room: permit,
                    _spares: Refill(spares.clone()),
                };
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
    type ConnectInfo = Visitor;

    fn connect_info(&self) -> Visitor {
        self.visitor.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.wire(cx)?.poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.wire(cx)?.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire(cx)?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.wire(cx)?.poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nix::unistd::geteuid;

    use super::{Client, Crowd, MOST_OF_ONE, MOST_OF_OTHERS, Place};
    use crate::rpc::roles::{Peer, Role};

    #[test]
    fn others_however_many_they_are_leave_room_for_the_own_user() {
        let crowd = Crowd::default();
        let stranger = |n: u32| Client::User(geteuid().as_raw() + 1 + n);
        let mut places: Vec<Place> = (0..).map_while(|_| Place::take(&crowd, stranger(0))).collect();
        assert_eq!(places.len(), MOST_OF_ONE, "one user");
        places.extend((1..1_000).map_while(|n| Place::take(&crowd, stranger(n))));
        assert_eq!(places.len(), MOST_OF_OTHERS, "all of them");
        let own = Place::take(&crowd, Client::Process(1)).unwrap();
        drop(places);
        assert!(Place::take(&crowd, stranger(0)).is_some());
        drop(own);
        let counts = crowd.lock().unwrap();
        assert!(counts.of.is_empty() && counts.others == 0);
    }

    #[test]
    fn a_strangers_processes_are_one_client_and_so_is_a_network_of_ipv6() {
        let local = |uid, pid| Client::of(&Peer::Local { uid, pid: Some(pid), groups: Arc::default() });
        let stranger = geteuid().as_raw() + 1;
        assert_eq!(local(stranger, 1), local(stranger, 2));
        assert_ne!(local(geteuid().as_raw(), 1), local(geteuid().as_raw(), 2));
        let from = |from: &str| Client::of(&Peer::Certified { role: Role::Admin, from: from.parse().unwrap() });
        assert_eq!(from("[2001:db8::1]:1"), from("[2001:db8::2]:2"));
        assert_ne!(from("[2001:db8::1]:1"), from("[2001:db8:0:1::1]:1"));
        assert_ne!(from("192.0.2.1:1"), from("192.0.2.2:1"));
    }
}
