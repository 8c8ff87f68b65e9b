//! Sockets that are held for a process (systemd.socket(5)).

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::process::Spec;
use super::units::quote;

/// The longest path of a Unix socket: what `sockaddr_un` has room for, less the NUL behind it (unix(7)).
pub const LONGEST_SOCKET_PATH: usize = 107;

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// A TCP address, `host:port`.
    Tcp(String),
    /// A UDP address, `host:port`.
    Udp(String),
    /// A Unix stream socket's path; with `@` before it a name in the abstract namespace, here and in the next two.
    Unix(String),
    /// A Unix datagram socket's path.
    UnixDgram(String),
    /// A Unix seqpacket socket's path.
    UnixSeqpacket(String),
    /// A FIFO's path.
    Fifo(String),
}

/// What an address says, once it was understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// An address and a port; with port 0 the kernel chooses one.
    Internet(SocketAddr),
    /// A path of the file system.
    Path(&'a str),
    /// A name in the abstract namespace of Unix sockets, without its `@`.
    Abstract(&'a [u8]),
}

impl ListenAddress {
    /// The key that gives it: `tcp`, `unix_dgram`.
    pub fn kind(&self) -> &'static str {
        match self {
            ListenAddress::Tcp(_) => "tcp",
            ListenAddress::Udp(_) => "udp",
            ListenAddress::Unix(_) => "unix",
            ListenAddress::UnixDgram(_) => "unix_dgram",
            ListenAddress::UnixSeqpacket(_) => "unix_seqpacket",
            ListenAddress::Fifo(_) => "fifo",
        }
    }

    /// The address as it was given.
    pub fn text(&self) -> &str {
        match self {
            ListenAddress::Tcp(text)
            | ListenAddress::Udp(text)
            | ListenAddress::Unix(text)
            | ListenAddress::UnixDgram(text)
            | ListenAddress::UnixSeqpacket(text)
            | ListenAddress::Fifo(text) => text,
        }
    }

    /// Whether clients connect to it, rather than send to it.
    pub fn is_stream(&self) -> bool {
        matches!(self, ListenAddress::Tcp(_) | ListenAddress::Unix(_) | ListenAddress::UnixSeqpacket(_))
    }

    /// Its path, if it has one that files have.
    pub fn path(&self) -> Option<&str> {
        match self.place() {
            Ok(Place::Path(path)) => Some(path),
            _ => None,
        }
    }

    /// The same address with another path; the same where it has none.
    pub fn with_path(&self, change: impl FnOnce(&str) -> String) -> ListenAddress {
        let Some(path) = self.path().map(change) else { return self.clone() };
        match self {
            ListenAddress::Unix(_) => ListenAddress::Unix(path),
            ListenAddress::UnixDgram(_) => ListenAddress::UnixDgram(path),
            ListenAddress::UnixSeqpacket(_) => ListenAddress::UnixSeqpacket(path),
            ListenAddress::Fifo(_) => ListenAddress::Fifo(path),
            ListenAddress::Tcp(_) | ListenAddress::Udp(_) => self.clone(),
        }
    }

    /// What it says, or what is wrong with it. Names are not looked up: only `localhost` is one, and is 127.0.0.1.
    pub fn place(&self) -> Result<Place<'_>, String> {
        let text = self.text();
        match self {
            ListenAddress::Tcp(_) | ListenAddress::Udp(_) => internet(text).map(Place::Internet),
            ListenAddress::Fifo(_) => match text {
                "" => Err("the path is empty".to_owned()),
                path => Ok(Place::Path(path)),
            },
            _ => match text.strip_prefix('@') {
                Some("") => Err("the name behind the @ is empty".to_owned()),
                Some(name) => fits(text, "name").map(|()| Place::Abstract(name.as_bytes())),
                None if text.is_empty() => Err("the path is empty".to_owned()),
                None => fits(text, "path").map(|()| Place::Path(text)),
            },
        }
    }
}

/// Whether the kernel has room for it.
fn fits(text: &str, what: &str) -> Result<(), String> {
    if text.len() <= LONGEST_SOCKET_PATH {
        return Ok(());
    }
    let length = text.len();
    Err(format!(
        "a socket's {what} has at most {LONGEST_SOCKET_PATH} bytes, and this has {length}: choose a shorter one"
    ))
}

fn internet(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let split = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    match split {
        Some(("localhost", port)) => Ok((Ipv4Addr::LOCALHOST, port).into()),
        Some((host, port)) if is_name(host) => Err(format!(
            "{} is a name, and names are not looked up: write the address that it has, or \"0.0.0.0:{port}\" for all",
            quote(host)
        )),
        _ => Err(format!("expected an address such as \"127.0.0.1:8080\" or \"[::1]:8080\", found {}", quote(text))),
    }
}

/// Whether text looks like the name of a host, rather than like a slip in an address.
fn is_name(host: &str) -> bool {
    host.starts_with(|c: char| c.is_ascii_alphabetic())
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind(), self.text())
    }
}

/// A socket that Neap holds for a process (systemd.socket(5)).
///
/// ```
/// use std::time::Duration;
/// use neap::spec::{Listener, Spec};
///
/// let spec = Spec::new("web", ["./web"])
///     .listen(Listener::tcp("127.0.0.1:8080").name("http").idle_stop(Duration::from_secs(300)))
///     .listen(Listener::unix("/run/web.sock").mode(0o600).name("admin"));
/// assert!(!spec.auto_start && spec.validate().is_empty());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name in LISTEN_FDNAMES.
    pub name: Option<String>,
    /// Where it listens.
    pub address: ListenAddress,
    /// One instance a connection instead of handing over the listener; at most this many.
    pub accept: Option<u32>,
    /// Stop the process after it had no connection for this long.
    pub idle_stop: Option<Duration>,
    /// Mode of a path, as octal bits.
    pub mode: u32,
    /// Owner of a path.
    pub user: Option<String>,
    /// Group of a path.
    pub group: Option<String>,
    /// Connections the kernel may queue.
    pub backlog: u32,
    /// Variable that carries the listener's descriptor number.
    pub fd_env: Option<String>,
    /// Variable that carries the first connection's descriptor number.
    pub client_fd_env: Option<String>,
}

impl Listener {
    /// The mode of a path unless another is given.
    pub const DEFAULT_MODE: u32 = 0o660;

    /// How many connections the kernel may queue unless told.
    pub const DEFAULT_BACKLOG: u32 = 4096;

    /// How many instances there are at most unless told, with one instance a connection.
    pub const DEFAULT_ACCEPT: u32 = 64;

    /// A listener at this address with the defaults: a backlog of 4096, mode 0660, not by connection, no idle stop.
    pub fn new(address: ListenAddress) -> Self {
        Listener {
            name: None,
            address,
            accept: None,
            idle_stop: None,
            mode: Listener::DEFAULT_MODE,
            user: None,
            group: None,
            backlog: Listener::DEFAULT_BACKLOG,
            fd_env: None,
            client_fd_env: None,
        }
    }

    /// A TCP address, `127.0.0.1:8080`.
    pub fn tcp(address: impl Into<String>) -> Self {
        Listener::new(ListenAddress::Tcp(address.into()))
    }

    /// A UDP address, `127.0.0.1:8080`.
    pub fn udp(address: impl Into<String>) -> Self {
        Listener::new(ListenAddress::Udp(address.into()))
    }

    /// The path of a Unix stream socket.
    pub fn unix(path: impl Into<String>) -> Self {
        Listener::new(ListenAddress::Unix(path.into()))
    }

    /// The path of a Unix datagram socket.
    pub fn unix_dgram(path: impl Into<String>) -> Self {
        Listener::new(ListenAddress::UnixDgram(path.into()))
    }

    /// The path of a Unix seqpacket socket.
    pub fn unix_seqpacket(path: impl Into<String>) -> Self {
        Listener::new(ListenAddress::UnixSeqpacket(path.into()))
    }

    /// The path of a FIFO.
    pub fn fifo(path: impl Into<String>) -> Self {
        Listener::new(ListenAddress::Fifo(path.into()))
    }

    /// Its name in LISTEN_FDNAMES; that of the process unless given.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// One instance a connection instead of handing over the listener; at most this many at a time.
    pub fn accept(mut self, most: u32) -> Self {
        self.accept = Some(most);
        self
    }

    /// Stops the process after it had no connection for this long.
    pub fn idle_stop(mut self, after: Duration) -> Self {
        self.idle_stop = Some(after);
        self
    }

    /// Mode of a path, as octal bits.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Owner of a path.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Group of a path.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// Connections that the kernel may queue.
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// Variable that carries the listener's descriptor number.
    pub fn fd_env(mut self, name: impl Into<String>) -> Self {
        self.fd_env = Some(name.into());
        self
    }

    /// Variable that carries the descriptor number of the connection: the first that waits, or that of the instance.
    pub fn client_fd_env(mut self, name: impl Into<String>) -> Self {
        self.client_fd_env = Some(name.into());
        self
    }
}

impl Spec {
    /// What a listener of this process is called in LISTEN_FDNAMES: its name, else the process's.
    pub fn listener_name<'a>(&'a self, listener: &'a Listener) -> &'a str {
        listener.name.as_deref().unwrap_or(&self.name)
    }

    /// Where it listens, for people: `tcp:127.0.0.1:8080, unix:/run/x and 2 more`; empty without listeners.
    pub fn listening_at(&self) -> String {
        const MOST: usize = 2;
        let shown: Vec<String> = self.listen.iter().take(MOST).map(|listener| listener.address.to_string()).collect();
        match self.listen.len().saturating_sub(MOST) {
            0 => shown.join(" and "),
            more => format!("{} and {more} more", shown.join(", ")),
        }
    }

    /// Whether each connection is served by an instance of its own.
    pub fn accepts(&self) -> bool {
        self.most_instances().is_some()
    }

    /// How many instances there are at most, with one instance a connection: the largest that a listener says.
    pub fn most_instances(&self) -> Option<u32> {
        self.listen.iter().filter_map(|listener| listener.accept).max()
    }
}

/// Whether one of the two addresses could not be listened at beside the other.
///
/// Of an IPv6 wildcard beside an IPv4 address only the kernel knows (`net.ipv6.bindv6only`).
pub(super) fn clash(one: &ListenAddress, other: &ListenAddress) -> bool {
    let (Ok(a), Ok(b)) = (one.place(), other.place()) else { return false };
    match (a, b) {
        (Place::Internet(a), Place::Internet(b)) => {
            let (wild, alike) = (a.ip().is_unspecified() || b.ip().is_unspecified(), a.is_ipv4() == b.is_ipv4());
            one.kind() == other.kind() && a.port() == b.port() && a.port() != 0 && alike && (wild || a.ip() == b.ip())
        }
        (Place::Path(a), Place::Path(b)) => std::path::Path::new(a) == std::path::Path::new(b),
        (Place::Abstract(a), Place::Abstract(b)) => a == b,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn addresses_are_understood_without_looking_anything_up() {
        let address = |text: &str| Ok(Place::Internet(text.parse::<SocketAddr>().unwrap()));
        let (tcp, unix) = (|text: &str| ListenAddress::Tcp(text.into()), |text: &str| ListenAddress::Unix(text.into()));
        assert_eq!(tcp("127.0.0.1:80").place(), address("127.0.0.1:80"));
        assert_eq!(tcp("localhost:80").place(), address("127.0.0.1:80"));
        assert_eq!(tcp("[::1]:0").place(), address("[::1]:0"));
        assert_eq!(unix("/run/x").place(), Ok(Place::Path("/run/x")));
        assert_eq!(unix("@x").place(), Ok(Place::Abstract(b"x")));
        assert_eq!(ListenAddress::Fifo("@x".into()).place(), Ok(Place::Path("@x")));
        assert_eq!(unix(&"x".repeat(107)).place(), Ok(Place::Path(&"x".repeat(107))));
        let long = "a socket's path has at most 107 bytes, and this has 108: choose a shorter one";
        assert_eq!(unix(&"x".repeat(108)).place(), Err(long.into()));
        let found = "expected an address such as \"127.0.0.1:8080\" or \"[::1]:8080\", found";
        for text in ["80", ":80", "127.0.0.1", "127.0.0.1:x", "1.2.3:80", "::1:80:", "127.0.0.1:65536"] {
            assert_eq!(tcp(text).place(), Err(format!("{found} \"{text}\"")));
        }
        let name = "\"db.local\" is a name, and names are not looked up: write the address that it has, or \
                    \"0.0.0.0:80\" for all";
        assert_eq!(tcp("db.local:80").place(), Err(name.into()));
    }

    #[test]
    fn addresses_clash_when_only_one_of_them_can_be_bound() {
        let tcp = |text: &str| ListenAddress::Tcp(text.into());
        assert!(clash(&tcp("127.0.0.1:80"), &tcp("localhost:80")));
        assert!(clash(&tcp("0.0.0.0:80"), &tcp("127.0.0.1:80")));
        assert!(!clash(&tcp("127.0.0.2:80"), &tcp("127.0.0.1:80")));
        assert!(!clash(&tcp("127.0.0.1:0"), &tcp("127.0.0.1:0")));
        assert!(!clash(&tcp("127.0.0.1:80"), &ListenAddress::Udp("127.0.0.1:80".into())));
        assert!(clash(&ListenAddress::Unix("/a//b".into()), &ListenAddress::Fifo("/a/./b".into())));
        assert!(!clash(&ListenAddress::Unix("@a".into()), &ListenAddress::Unix("a".into())));
    }

    #[test]
    fn where_it_listens_is_said_in_few_words() {
        let listening = |count: u16| {
            (1..=count).fold(Spec::new("web", ["web"]), |spec, n| spec.listen(Listener::tcp(format!("[::1]:{n}"))))
        };
        let said = [0, 1, 2, 4].map(|count| listening(count).listening_at());
        let expected = ["", "tcp:[::1]:1", "tcp:[::1]:1 and tcp:[::1]:2", "tcp:[::1]:1, tcp:[::1]:2 and 2 more"];
        assert_eq!(said, expected);
    }

    #[test]
    fn a_path_is_changed_where_there_is_one() {
        let below = |path: &str| format!("/srv/{path}");
        assert_eq!(ListenAddress::Unix("x".into()).with_path(below), ListenAddress::Unix("/srv/x".into()));
        assert_eq!(ListenAddress::Unix("@x".into()).with_path(below), ListenAddress::Unix("@x".into()));
        assert_eq!(ListenAddress::Tcp("[::1]:1".into()).with_path(below), ListenAddress::Tcp("[::1]:1".into()));
    }
}
