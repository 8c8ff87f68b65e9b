//! How many connections of a listener are open, by the kernel's tables.

use std::io;
use std::net::SocketAddr;

use super::kernel::{self, state};

/// Where a listener is found in the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A path, or a name with `@` before it.
    Unix(String),
}

/// Counts those of all these listeners.
pub(super) fn open(listeners: &[At]) -> io::Result<u32> {
    let mut count = 0;
    let tcp: Vec<SocketAddr> =
        listeners.iter().filter_map(|at| if let At::Tcp(at) = at { Some(*at) } else { None }).collect();
    if !tcp.is_empty() {
        // Those that are in use, or wait to be: one that one side has closed counts while the other still may send.
        let is_open = |row: &kernel::Internet| {
            [state::ESTABLISHED, state::CLOSE_WAIT].contains(&row.state) && tcp.iter().any(|at| is_of(row.local, *at))
        };
        kernel::internet("tcp", |row| count += u32::from(is_open(&row)))?;
        match kernel::internet("tcp6", |row| count += u32::from(is_open(&row))) {
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            read => read?,
        }
    }
    let unix: Vec<&str> =
        listeners.iter().filter_map(|at| if let At::Unix(at) = at { Some(at.as_str()) } else { None }).collect();
    if !unix.is_empty() {
        kernel::unix(|row| count += u32::from(row.is_connected() && unix.contains(&row.bound)))?;
    }
    Ok(count)
}

/// Whether a connection that is here came by this listener.
fn is_of(local: SocketAddr, listener: SocketAddr) -> bool {
    let ip = listener.ip();
    listener.port() == local.port() && (ip.is_unspecified() || ip.to_canonical() == local.ip().to_canonical())
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
