//! How many connections of a listener are open, by the kernel's tables.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where a listener is found in the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A path, or a name with `@` before it.
    Unix(String),
}

/// Connections that are in use, or wait to be: those that one side has closed count while the other still may send.
const ESTABLISHED: u8 = 1;
const CLOSE_WAIT: u8 = 8;

/// The connected state of a Unix socket.
const SS_CONNECTED: u8 = 3;

/// Counts those of all these listeners.
pub(super) fn open(listeners: &[At]) -> io::Result<u32> {
    let mut count = 0;
    let tcp: Vec<SocketAddr> =
        listeners.iter().filter_map(|at| if let At::Tcp(at) = at { Some(*at) } else { None }).collect();
    if !tcp.is_empty() {
        count += lines("/proc/net/tcp", |line| is_open_tcp(line, &tcp))?;
        match lines("/proc/net/tcp6", |line| is_open_tcp(line, &tcp)) {
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            counted => count += counted?,
        }
    }
    let unix: Vec<&str> =
        listeners.iter().filter_map(|at| if let At::Unix(at) = at { Some(at.as_str()) } else { None }).collect();
    if !unix.is_empty() {
        count += lines("/proc/net/unix", |line| is_open_unix(line, &unix))?;
    }
    Ok(count)
}

fn lines(path: &str, counts: impl Fn(&str) -> bool) -> io::Result<u32> {
    let mut count = 0u32;
    let (mut file, mut line) = (BufReader::new(File::open(path)?), Vec::new());
    while file.read_until(b'\n', &mut line)? > 0 {
        count += u32::from(counts(String::from_utf8_lossy(&line).trim_end_matches('\n')));
        line.clear();
    }
    Ok(count)
}

/// `  sl  local_address rem_address   st …`, addresses in hex as the host has them in memory.
fn is_open_tcp(line: &str, listeners: &[SocketAddr]) -> bool {
    let mut fields = line.split_ascii_whitespace();
    let (Some(local), Some(state)) = (fields.nth(1), fields.nth(1)) else { return false };
    if !u8::from_str_radix(state, 16).is_ok_and(|state| [ESTABLISHED, CLOSE_WAIT].contains(&state)) {
        return false;
    }
    let Some(local) = address(local) else { return false };
    let is_of = |listener: &SocketAddr| {
        let ip = listener.ip();
        listener.port() == local.port() && (ip.is_unspecified() || ip.to_canonical() == local.ip().to_canonical())
    };
    listeners.iter().any(is_of)
}

/// An address as the tables have it.
pub(super) fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut words = [0u8; 16];
    let length = ip.len() / 2;
    for (word, chunk) in words.chunks_mut(4).zip(ip.as_bytes().chunks(8)) {
        let value = u32::from_str_radix(std::str::from_utf8(chunk).ok()?, 16).ok()?;
        word.copy_from_slice(&value.to_ne_bytes());
    }
    let ip = match length {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(words.get(..4)?).ok()?)),
        16 => IpAddr::V6(Ipv6Addr::from(words)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// `Num RefCount Protocol Flags Type St Inode Path`: what was accepted has its listener's path.
fn is_open_unix(line: &str, listeners: &[&str]) -> bool {
    let mut fields = line.splitn(8, ' ');
    let Some(state) = fields.nth(5) else { return false };
    if u8::from_str_radix(state, 16) != Ok(SS_CONNECTED) {
        return false;
    }
    // The inode is padded with blanks.
    let rest = fields.nth(1).unwrap_or_default();
    let rest = rest.trim_start();
    listeners.iter().any(|path| rest == *path || rest.split_once(' ').is_some_and(|(_, rest)| rest == *path))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::{At, open};

    #[test]
    fn open_connections_of_a_tcp_listener_are_counted_once_each_until_they_are_closed() {
        for address in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
            let Ok(listener) = TcpListener::bind(address) else {
                eprintln!("skipped: {address}: no such address here");
                continue;
            };
            let local = listener.local_addr().unwrap();
            let at = [At::Tcp(local)];
            assert_eq!(open(&at).unwrap(), 0);
            let waits = TcpStream::connect(("127.0.0.1", local.port())).or_else(|_| TcpStream::connect(local)).unwrap();
            assert_eq!(open(&at).unwrap(), 1, "one that waits in the queue");
            let (served, _) = listener.accept().unwrap();
            assert_eq!(open(&at).unwrap(), 1);
            drop(waits);
            while open(&at).unwrap() == 1 && served.take_error().unwrap().is_none() {
                // Closed by one side only: the other may still send, which resets it.
                let _ = (&served).write_all(b"x");
            }
            assert_eq!(open(&at).unwrap(), 0);
        }
    }

    #[test]
    fn open_connections_of_a_unix_listener_are_counted_by_its_path() {
        let path = std::env::temp_dir().join(format!("neap count {}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let at = [At::Unix(path.to_str().unwrap().to_owned())];
        assert_eq!(open(&at).unwrap(), 0);
        let client = UnixStream::connect(&path).unwrap();
        let (served, _) = listener.accept().unwrap();
        assert_eq!(open(&at).unwrap(), 1);
        drop((client, served));
        assert_eq!(open(&at).unwrap(), 0);
        std::fs::remove_file(path).unwrap();
    }
}
