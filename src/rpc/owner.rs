//! Whose a TCP connection from this machine is, by the kernel's table of sockets.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, SocketAddr};

/// How often the table is read: a row can be missed while others come and go.
const TRIES: usize = 3;
/// The state of an established connection. In others the kernel may call root the owner of what is nobody's any more.
const ESTABLISHED: &str = "01";

/// The uid that has the client's end of this connection. May take a while where there are very many connections.
///
/// # Errors
/// Why it cannot be learned, as a sentence.
pub(super) fn owner(client: SocketAddr, server: SocketAddr) -> Result<u32, String> {
    for _ in 0..TRIES {
        for (table, wide) in [("/proc/thread-self/net/tcp", false), ("/proc/thread-self/net/tcp6", true)] {
            // A client may speak IPv4 through a socket of IPv6. The other way there is none.
            if !wide && client.is_ipv6() {
                continue;
            }
            let (theirs, ours) = (written(client, wide), written(server, wide));
            match find(
                BufReader::new(match File::open(table) {
                    Ok(file) => file,
                    // Without IPv6 there is no table of it.
                    Err(error) if error.kind() == io::ErrorKind::NotFound && wide => continue,
                    Err(error) => return Err(format!("{table} cannot be read: {error}")),
                }),
                &theirs,
                &ours,
            ) {
                Ok(Some(uid)) => return Ok(uid),
                Ok(None) => {}
                Err(error) => return Err(format!("{table} cannot be read: {error}")),
            }
        }
    }
    Err(format!("the kernel's table of sockets has no connection from {client}"))
}

/// The owner of the row with these two addresses.
fn find(table: impl BufRead, local: &str, remote: &str) -> io::Result<Option<u32>> {
    for line in table.lines().skip(1) {
        let line = line?;
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        // Number, local and remote address, state, queues, timer, retransmits, uid, timeout, inode.
        if let [_, at, to, ESTABLISHED, _, _, _, uid, _, inode, ..] = fields[..]
            && at == local
            && to == remote
            && inode != "0"
        {
            return Ok(uid.parse().ok());
        }
    }
    Ok(None)
}

/// An address as the tables write it: words of 32 bits in the machine's order, as hexadecimal digits.
fn written(address: SocketAddr, wide: bool) -> String {
    let octets: Vec<u8> = match (address.ip().to_canonical(), wide) {
        (IpAddr::V4(ip), false) => ip.octets().to_vec(),
        (IpAddr::V4(ip), true) => ip.to_ipv6_mapped().octets().to_vec(),
        (IpAddr::V6(ip), _) => ip.octets().to_vec(),
    };
    let words = octets.chunks_exact(4).map(|word| u32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
    let host: String = words.map(|word| format!("{word:08X}")).collect();
    format!("{host}:{:04X}", address.port())
}

#[cfg(test)]
mod tests {
    use std::net::{Shutdown, TcpListener, TcpStream};

    use nix::unistd::geteuid;

    use super::{find, owner, written};

    #[test]
    fn the_owner_of_a_connection_is_who_made_it() {
        for at in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(at) else {
                println!("skipped: the_owner_of_a_connection_is_who_made_it: no {at} here");
                continue;
            };
            let server = listener.local_addr().unwrap();
            let client = TcpStream::connect(server).unwrap();
            let from = client.local_addr().unwrap();
            assert_eq!(owner(from, server), Ok(geteuid().as_raw()), "{at}");
            // Who has hung up is nobody: the kernel would say root.
            client.shutdown(Shutdown::Write).unwrap();
            drop(client);
            assert!(owner(from, server).unwrap_err().contains("has no connection"));
        }
    }

    #[test]
    fn only_an_established_connection_of_somebody_counts() {
        let table = |state: &str, inode: &str| {
            format!(
                "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
                 0: 0100007F:1388 0100007F:E002 {state} 00000000:00000000 00:00000000 00000000  1000        0 {inode} 1 \
                 ffff\n"
            )
        };
        let uid =
            |state: &str, inode: &str| find(table(state, inode).as_bytes(), "0100007F:1388", "0100007F:E002").unwrap();
        assert_eq!(uid("01", "4711"), Some(1000));
        assert_eq!((uid("06", "0"), uid("04", "4711"), uid("01", "0")), (None, None, None));
        let other = find(table("01", "1").as_bytes(), "0100007F:E002", "0100007F:1388").unwrap();
        assert_eq!(other, None, "the other end's");
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn addresses_are_written_as_the_kernel_does() {
        assert_eq!(written("127.0.0.1:5000".parse().unwrap(), false), "0100007F:1388");
        assert_eq!(written("127.0.0.1:5000".parse().unwrap(), true), "0000000000000000FFFF00000100007F:1388");
        assert_eq!(written("[::1]:80".parse().unwrap(), true), "00000000000000000000000001000000:0050");
    }
}
