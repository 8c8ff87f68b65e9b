//! Who has an address that is to be listened at, by the kernel's tables.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use super::kernel::{self, state};
use crate::spec::{ListenAddress, Place};

/// A program that has an address: `nginx (pid 4711)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub pid: u32,
    /// What the kernel calls it, at most 15 bytes.
    name: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name.escape_debug(), self.pid)
    }
}

/// Who has this address, which could not be had: of several the one with the lowest pid. None where this user may not see it.
pub(super) fn of(listener: &ListenAddress, base: &Path) -> Option<Holder> {
    holders(listener, base, false).into_iter().min_by_key(|holder| holder.pid)
}

/// Who would be in the way, of programs that are no instance of ours: that may be the one that is asked about.
pub(crate) fn stranger(listener: &ListenAddress, base: &Path) -> Option<Holder> {
    let holders = holders(listener, base, true);
    let ours = holders.iter().any(|holder| holder.name == "neap" || is_supervised(holder.pid));
    holders.into_iter().filter(|_| !ours).min_by_key(|holder| holder.pid)
}

/// Whether it was started by an instance, which passed it what it has.
fn is_supervised(pid: u32) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(b"NEAP_RUN="))
}

/// With `sure`, only those that are in the way whatever else: one at all of IPv6 may be at IPv4, too, and the tables do not say.
fn holders(listener: &ListenAddress, base: &Path, sure: bool) -> Vec<Holder> {
    let sockets = match listener.place() {
        Ok(Place::Internet(wanted)) if wanted.port() > 0 => {
            let tables = match (matches!(listener, ListenAddress::Tcp(_)), wanted.is_ipv4()) {
                (true, true) => ["tcp", "tcp6"],
                (true, false) => ["tcp6", "tcp"],
                (false, true) => ["udp", "udp6"],
                (false, false) => ["udp6", "udp"],
            };
            let tables = if sure { &tables[..1] } else { &tables[..] };
            tables.iter().flat_map(|table| internet(table, wanted)).collect()
        }
        Ok(Place::Path(path)) if !matches!(listener, ListenAddress::Fifo(_)) => {
            unix(&base.join(path).to_string_lossy())
        }
        Ok(Place::Abstract(name)) => unix(&format!("@{}", String::from_utf8_lossy(name))),
        _ => BTreeSet::new(),
    };
    if sockets.is_empty() { Vec::new() } else { who_has(&sockets) }
}

/// The inodes of sockets that have this address, or one that includes it. A table that cannot be read names nobody.
fn internet(table: &str, wanted: SocketAddr) -> BTreeSet<u64> {
    let mut found = BTreeSet::new();
    let _ = kernel::internet(table, |row| {
        let (ip, wanted_ip) = (row.local.ip(), wanted.ip());
        let alike = ip.to_canonical() == wanted_ip.to_canonical() || ip.is_unspecified() || wanted_ip.is_unspecified();
        let listens = !table.starts_with("tcp") || row.state == state::LISTEN;
        if alike && listens && row.local.port() == wanted.port() {
            found.insert(row.inode);
        }
    });
    found
}

/// The inodes of sockets that are bound to this path, or name.
pub(super) fn unix(path: &str) -> BTreeSet<u64> {
    let mut found = BTreeSet::new();
    let _ = kernel::unix(|row| {
        if row.bound == path && row.receives() {
            found.insert(row.inode);
        }
    });
    found
}

/// The processes that have one of these sockets open, as far as this user may see them.
fn who_has(sockets: &BTreeSet<u64>) -> Vec<Holder> {
    let is_one = |link: &Path| {
        let link = link.to_string_lossy();
        let inode = link.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
        inode.and_then(|inode| inode.parse().ok()).is_some_and(|inode| sockets.contains(&inode))
    };
    let has = |folder: &Path| {
        let fds = fs::read_dir(folder.join("fd")).into_iter().flatten().flatten();
        fds.filter_map(|fd| fs::read_link(fd.path()).ok()).any(|link| is_one(&link))
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let holder = |folder: fs::DirEntry| {
        let pid = folder.file_name().to_str()?.parse().ok()?;
        if !has(&folder.path()) {
            return None;
        }
        let name = fs::read_to_string(folder.path().join("comm")).ok()?;
        Some(Holder { pid, name: name.trim_end().to_owned() })
    };
    processes.filter_map(holder).collect()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
    use std::path::Path;

    use super::{of, stranger};
    use crate::spec::ListenAddress;

    fn held(address: &ListenAddress) -> Option<u32> {
        let (any, strange) = (of(address, Path::new("/")), stranger(address, Path::new("/")));
        assert_eq!(any, strange, "this program is not called neap");
        any.map(|holder| holder.pid)
    }

    #[test]
    fn who_listens_at_a_port_is_found() {
        let us = Some(std::process::id());
        for address in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0"] {
            let (Ok(tcp), Ok(udp)) = (TcpListener::bind(address), UdpSocket::bind(address)) else {
                eprintln!("skipped: {address}: no such address here");
                continue;
            };
            let at = tcp.local_addr().unwrap();
            assert_eq!(held(&ListenAddress::Tcp(at.to_string())), us);
            let whole = if at.is_ipv4() { "0.0.0.0" } else { "[::]" };
            assert_eq!(held(&ListenAddress::Tcp(format!("{whole}:{}", at.port()))), us);
            assert_eq!(held(&ListenAddress::Udp(udp.local_addr().unwrap().to_string())), us);
            drop((tcp, udp));
            assert_eq!(held(&ListenAddress::Tcp(at.to_string())), None);
        }
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        for other in ["127.0.0.1:0".to_owned(), format!("127.0.0.2:{port}")] {
            assert_eq!(held(&ListenAddress::Tcp(other)), None);
        }
    }

    #[test]
    fn who_listens_at_a_path_is_found_and_a_path_that_was_left_behind_is_nobodys() {
        let folder = std::env::temp_dir().join(format!("neap-holder-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
        let stream = UnixListener::bind(path("s p a c e")).unwrap();
        let datagrams = UnixDatagram::bind(path("d")).unwrap();
        let us = Some(std::process::id());
        assert_eq!(held(&ListenAddress::Unix(path("s p a c e"))), us);
        assert_eq!(held(&ListenAddress::UnixDgram(path("d"))), us);
        let client = UnixStream::connect(path("s p a c e")).unwrap();
        let served = stream.accept().unwrap();
        drop((stream, datagrams));
        // What was accepted has its listener's path, and is not in the way.
        assert_eq!(held(&ListenAddress::Unix(path("s p a c e"))), None);
        drop((client, served));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
