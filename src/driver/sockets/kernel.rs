//! The kernel's tables of sockets, row by row.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The states of TCP that matter here.
pub(super) mod state {
    /// Connected.
    pub const ESTABLISHED: u8 = 1;
    /// The other side has closed, and this one may still send.
    pub const CLOSE_WAIT: u8 = 8;
    /// Connections are accepted.
    pub const LISTEN: u8 = 10;
}

/// A row of a table of TCP or UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Internet {
    /// Its own address.
    pub local: SocketAddr,
    pub state: u8,
    pub inode: u64,
}

/// A row of the table of Unix sockets that have a path or a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unix<'a> {
    flags: u32,
    kind: u16,
    state: u8,
    pub inode: u64,
    /// The path, or the name with `@` before it. What was accepted has its listener's.
    pub bound: &'a str,
}

impl Unix<'_> {
    /// Whether it is somebody's end of a connection.
    pub(super) fn is_connected(&self) -> bool {
        const SS_CONNECTED: u8 = 3;
        self.state == SS_CONNECTED
    }

    /// Whether it takes connections, or datagrams from anybody.
    pub(super) fn receives(&self) -> bool {
        const SO_ACCEPTCON: u32 = 1 << 16;
        const SOCK_DGRAM: u16 = 2;
        self.kind == SOCK_DGRAM || self.flags & SO_ACCEPTCON != 0
    }
}

/// Hands on the rows of `tcp`, `tcp6`, `udp` or `udp6`.
pub(super) fn internet(table: &str, mut row: impl FnMut(Internet)) -> io::Result<()> {
    lines(&format!("/proc/net/{table}"), |line| {
        if let Some(found) = internet_row(line) {
            row(found);
        }
    })
}

/// Hands on the rows of Unix sockets.
pub(super) fn unix(mut row: impl FnMut(Unix<'_>)) -> io::Result<()> {
    lines("/proc/net/unix", |line| {
        if let Some(found) = unix_row(line) {
            row(found);
        }
    })
}

fn lines(path: &str, mut each: impl FnMut(&str)) -> io::Result<()> {
    let (mut file, mut line) = (BufReader::new(File::open(path)?), Vec::new());
    while file.read_until(b'\n', &mut line)? > 0 {
        each(String::from_utf8_lossy(&line).trim_end_matches('\n'));
        line.clear();
    }
    Ok(())
}

/// `  sl  local_address rem_address   st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode …`
fn internet_row(line: &str) -> Option<Internet> {
    let mut fields = line.split_ascii_whitespace();
    let local = address(fields.nth(1)?)?;
    let state = u8::from_str_radix(fields.nth(1)?, 16).ok()?;
    let inode = fields.nth(5)?.parse().ok()?;
    Some(Internet { local, state, inode })
}

/// `Num RefCount Protocol Flags Type St Inode Path`, the inode padded with blanks; a path may have blanks, too.
fn unix_row(line: &str) -> Option<Unix<'_>> {
    let (about, rest) = line.split_at_checked(line.match_indices(' ').nth(5)?.0)?;
    let (inode, bound) = rest.trim_start().split_once(' ')?;
    let mut about = about.split(' ').skip(3);
    let flags = u32::from_str_radix(about.next()?, 16).ok()?;
    let kind = u16::from_str_radix(about.next()?, 16).ok()?;
    let state = u8::from_str_radix(about.next()?, 16).ok()?;
    Some(Unix { flags, kind, state, inode: inode.parse().ok()?, bound })
}

/// An address as the tables have it: in hex, as the host has it in memory.
fn address(text: &str) -> Option<SocketAddr> {
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

#[cfg(test)]
mod tests {
    use super::{Internet, internet_row, state, unix_row};

    #[test]
    fn rows_are_read_and_headings_and_what_is_cut_are_none() {
        let line =
            "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0 100";
        let local = "127.0.0.1:8080".parse().unwrap();
        #[cfg(target_endian = "little")]
        assert_eq!(internet_row(line), Some(Internet { local, state: state::LISTEN, inode: 4711 }));
        assert_eq!(internet_row("  sl  local_address rem_address   st tx_queue rx_queue"), None);
        let line = "ffff8881: 00000002 00000000 00010000 0001 01  4712 /run/a  b";
        let row = unix_row(line).unwrap();
        assert!(row.receives() && !row.is_connected());
        assert_eq!((row.inode, row.bound), (4712, "/run/a  b"));
        let line = "ffff8881: 00000003 00000000 00000000 0001 03 90 @x";
        let row = unix_row(line).unwrap();
        assert!(!row.receives() && row.is_connected() && row.bound == "@x");
        for cut in 0..line.len() {
            let _ = unix_row(&line[..cut]);
        }
        assert_eq!(unix_row("Num       RefCount Protocol Flags    Type St Inode Path"), None);
        assert_eq!(unix_row("ffff8881: 00000003 00000000 00000000 0001 03 90"), None, "one without a name");
    }
}
