//! The way to an agent, which may not be there.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UdpSocket, UnixDatagram};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout, timeout_at};

use super::address::AgentAddress;

/// How long looking up a name is waited for where there is no address yet.
const LOOKUP: Duration = Duration::from_secs(2);
/// After so long a name is looked up again: of a host that moved nothing says so.
const AGAIN: Duration = Duration::from_secs(60);

type Found = io::Result<Vec<SocketAddr>>;

/// An agent, connected to when it is there.
pub(super) enum Agent {
    Udp(Udp),
    Unix(std::path::PathBuf, Option<UnixDatagram>),
}

/// One that a name leads to, which may lead elsewhere later.
pub(super) struct Udp {
    /// What the name stands for. May block.
    resolve: Arc<dyn Fn() -> Found + Send + Sync>,
    again: Duration,
    /// The look at the name that is under way. Not another one beside it, however long it takes.
    looking: Option<JoinHandle<Found>>,
    looked: Option<Instant>,
    reached: Option<(SocketAddr, UdpSocket)>,
}

impl Agent {
    pub fn new(address: AgentAddress) -> Agent {
        match address {
            AgentAddress::Udp { host, port } => {
                let resolve = move || Ok((host.as_str(), port).to_socket_addrs()?.collect());
                Agent::Udp(Udp::new(Arc::new(resolve), AGAIN))
            }
            AgentAddress::Unix(path) => Agent::Unix(path, None),
        }
    }

    /// How long a datagram may be: what goes over most networks in one piece, or what agents make room for.
    pub fn most(&self) -> usize {
        match self {
            Agent::Udp(_) => 1432,
            Agent::Unix(..) => 8192,
        }
    }

    /// Sees to it that there is a socket. Tried once for all that is to be sent together.
    pub async fn reach(&mut self) {
        match self {
            Agent::Udp(udp) => udp.reach().await,
            Agent::Unix(path, socket) if socket.is_none() => {
                *socket = UnixDatagram::unbound().and_then(|socket| socket.connect(path).map(|()| socket)).ok();
            }
            Agent::Unix(..) => {}
        }
    }

    /// Sends a datagram; an agent that does not keep up is waited for until then. Whether it is on its way.
    pub async fn send(&mut self, datagram: &[u8], until: Instant) -> bool {
        let sent = match self {
            Agent::Udp(Udp { reached: Some((_, socket)), .. }) => timeout_at(until, socket.send(datagram)).await.map(
                // On this machine the kernel knows at once that nobody is there to take it.
                |sent| sent.and_then(|_| socket.take_error()?.map_or(Ok(()), Err)),
            ),
            Agent::Unix(_, Some(socket)) => timeout_at(until, socket.send(datagram)).await.map(|sent| sent.map(drop)),
            _ => return false,
        };
        match (sent, self) {
            (Ok(Ok(())), _) => return true,
            // Slow, but there.
            (Err(_), _) => {}
            // It is gone, or another one has its place.
            (Ok(Err(_)), Agent::Udp(udp)) => udp.reached = None,
            (Ok(Err(_)), Agent::Unix(_, socket)) => *socket = None,
        }
        false
    }
}

impl Udp {
    fn new(resolve: Arc<dyn Fn() -> Found + Send + Sync>, again: Duration) -> Udp {
        Udp { resolve, again, looking: None, looked: None, reached: None }
    }

    async fn reach(&mut self) {
        let due = self.reached.is_none() || self.looked.is_none_or(|at| at.elapsed() >= self.again);
        if due && self.looking.is_none() {
            let resolve = self.resolve.clone();
            self.looking = Some(spawn_blocking(move || resolve()));
        }
        // Who has an address goes on with it meanwhile.
        let patience = if self.reached.is_some() { Duration::ZERO } else { LOOKUP };
        let Some(looking) = &mut self.looking else { return };
        let Ok(found) = timeout(patience, looking).await else { return };
        (self.looking, self.looked) = (None, Some(Instant::now()));
        // One that cannot be looked up is where it was.
        let Ok(Ok(mut found)) = found else { return };
        // As every other address of ours.
        found.sort_by_key(SocketAddr::is_ipv6);
        if self.reached.as_ref().is_some_and(|(at, _)| found.contains(at)) {
            return;
        }
        if let Some(to) = found.first()
            && let Ok(socket) = connected(*to).await
        {
            self.reached = Some((*to, socket));
        }
    }
}

async fn connected(to: SocketAddr) -> io::Result<UdpSocket> {
    let socket = match to {
        SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?,
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await?,
    };
    socket.connect(to).await?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::{SocketAddr, UdpSocket};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Agent, Udp};

    /// An agent behind a name that stands for what is in there, and is looked up again each time.
    fn named(stands_for: &Arc<Mutex<Option<Vec<SocketAddr>>>>) -> Agent {
        let stands_for = stands_for.clone();
        let resolve = move || stands_for.lock().unwrap().clone().ok_or_else(|| io::Error::other("no such host"));
        Agent::Udp(Udp::new(Arc::new(resolve), Duration::ZERO))
    }

    fn place() -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let at = socket.local_addr().unwrap();
        (socket, at)
    }

    /// Sends until one place or the other has a datagram; whether it is the second.
    async fn reaches(agent: &mut Agent, (one, other): (&UdpSocket, &UdpSocket)) -> bool {
        let (deadline, mut room) = (Instant::now() + Duration::from_secs(60), [0; 16]);
        loop {
            assert!(Instant::now() < deadline);
            agent.reach().await;
            if !agent.send(b"x", deadline).await {
                continue;
            }
            match (one.recv(&mut room), other.recv(&mut room)) {
                (_, Ok(_)) => return true,
                (Ok(_), _) => return false,
                _ => tokio::task::yield_now().await,
            }
        }
    }

    #[tokio::test]
    async fn a_host_that_moved_is_followed_and_one_whose_name_cannot_be_looked_up_is_where_it_was() {
        let ((first, at_first), (second, at_second)) = (place(), place());
        let stands_for = Arc::new(Mutex::new(Some(vec![at_first])));
        let mut agent = named(&stands_for);
        assert!(!reaches(&mut agent, (&first, &second)).await);
        // It has two addresses: no reason to leave the one.
        *stands_for.lock().unwrap() = Some(vec![at_second, at_first]);
        for _ in 0..3 {
            assert!(!reaches(&mut agent, (&first, &second)).await);
        }
        *stands_for.lock().unwrap() = None;
        for _ in 0..3 {
            assert!(!reaches(&mut agent, (&first, &second)).await);
        }
        *stands_for.lock().unwrap() = Some(vec![at_second]);
        let deadline = Instant::now() + Duration::from_secs(60);
        while !reaches(&mut agent, (&first, &second)).await {
            assert!(Instant::now() < deadline);
        }
    }

    #[tokio::test]
    async fn a_name_that_is_looked_up_for_long_is_not_looked_up_twice_at_a_time_and_holds_up_nothing() {
        let (socket, at) = place();
        let (answer, answers) = std::sync::mpsc::channel();
        let (asked, times) = (Arc::new(Mutex::new(0)), Mutex::new(answers));
        let counting = asked.clone();
        let resolve = move || {
            *counting.lock().unwrap() += 1;
            times.lock().unwrap().recv().map_err(io::Error::other)
        };
        let mut agent = Agent::Udp(Udp::new(Arc::new(resolve), Duration::ZERO));
        answer.send(vec![at]).unwrap();
        while matches!(&agent, Agent::Udp(udp) if udp.reached.is_none()) {
            agent.reach().await;
        }
        // The second look has no answer: the old address has all that is sent meanwhile.
        let until = Instant::now() + Duration::from_secs(60);
        for _ in 0..10 {
            agent.reach().await;
            assert!(agent.send(b"x", until).await);
        }
        drop(answer);
        assert!(*asked.lock().unwrap() <= 2);
        socket.set_nonblocking(false).unwrap();
        for _ in 0..10 {
            socket.recv(&mut [0; 16]).unwrap();
        }
    }
}
