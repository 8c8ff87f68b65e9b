//! The way to an agent, which may not be there.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{UdpSocket, UnixDatagram, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};

use super::address::AgentAddress;

/// How long looking up a name may take.
const LOOKUP: Duration = Duration::from_secs(2);

enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

/// An agent, connected to when it is there.
pub(super) struct Agent {
    address: AgentAddress,
    socket: Option<Socket>,
}

impl Agent {
    pub fn new(address: AgentAddress) -> Agent {
        Agent { address, socket: None }
    }

    /// How long a datagram may be: what goes over most networks in one piece, or what agents make room for.
    pub fn most(&self) -> usize {
        match self.address {
            AgentAddress::Udp { .. } => 1432,
            AgentAddress::Unix(_) => 8192,
        }
    }

    /// Sees to it that there is a socket. Tried once for all that is to be sent together.
    pub async fn reach(&mut self) {
        if self.socket.is_none() {
            self.socket = match &self.address {
                AgentAddress::Udp { host, port } => udp(host, *port).await.map(Socket::Udp).ok(),
                AgentAddress::Unix(path) => {
                    UnixDatagram::unbound().and_then(|socket| socket.connect(path).map(|()| Socket::Unix(socket))).ok()
                }
            };
        }
    }

    /// Sends a datagram; an agent that does not keep up is waited for until then. Whether it is on its way.
    pub async fn send(&mut self, datagram: &[u8], until: Instant) -> bool {
        let sent = match &self.socket {
            None => return false,
            Some(Socket::Udp(socket)) => timeout_at(until, socket.send(datagram)).await,
            Some(Socket::Unix(socket)) => timeout_at(until, socket.send(datagram)).await,
        };
        match sent {
            Ok(Ok(_)) => true,
            // Slow, but there.
            Err(_) => false,
            Ok(Err(_)) => {
                // It is gone, or another one has its place.
                self.socket = None;
                false
            }
        }
    }
}

async fn udp(host: &str, port: u16) -> io::Result<UdpSocket> {
    let found = timeout(LOOKUP, lookup_host((host, port))).await.map_err(io::Error::from)??;
    let mut found: Vec<SocketAddr> = found.collect();
    // As every other address of ours.
    found.sort_by_key(SocketAddr::is_ipv6);
    let to = found.first().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    let socket = match to {
        SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?,
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await?,
    };
    socket.connect(to).await?;
    Ok(socket)
}
