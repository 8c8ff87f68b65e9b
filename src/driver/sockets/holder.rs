//! Who has an address that cannot be had, for people: looked up only when a binding failed.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use super::count::address;
use crate::spec::{ListenAddress, Place};

/// The program that has this address, in words: "nginx (pid 4711)". `None` where that cannot be seen.
pub(super) fn of(address: &ListenAddress, base: &Path) -> Option<String> {
    let inode = match (address, address.place().ok()?) {
        (ListenAddress::Udp(_), Place::Internet(at)) => internet(&["/proc/net/udp", "/proc/net/udp6"], at, None),
        (_, Place::Internet(at)) => internet(&["/proc/net/tcp", "/proc/net/tcp6"], at, Some(LISTENS)),
        (_, Place::Path(path)) => unix(&base.join(path).to_string_lossy()),
        (_, Place::Abstract(name)) => unix(&format!("@{}", String::from_utf8_lossy(name))),
    }?;
    program(&format!("socket:[{inode}]"))
}

/// The state of a TCP socket that listens, as the tables write it.
const LISTENS: &str = "0A";

/// The inode of the socket that stands in the way of this address.
fn internet(tables: &[&str], at: SocketAddr, state: Option<&str>) -> Option<u64> {
    tables.iter().filter_map(|table| fs::read_to_string(table).ok()).find_map(|text| {
        text.lines().find_map(|line| {
            // `sl local remote st queues timer retransmits uid timeout inode …`
            let fields: Vec<&str> = line.split_ascii_whitespace().take(10).collect();
            let local = address(fields.get(1)?)?;
            let (ours, theirs) = (at.ip(), local.ip());
            let same = ours.to_canonical() == theirs.to_canonical();
            let overlaps = same || ours.is_unspecified() || theirs.is_unspecified();
            let is_it =
                local.port() == at.port() && overlaps && state.is_none_or(|state| fields.get(3) == Some(&state));
            if is_it { fields.get(9)?.parse().ok() } else { None }
        })
    })
}

fn unix(path: &str) -> Option<u64> {
    let text = String::from_utf8_lossy(&fs::read("/proc/net/unix").ok()?).into_owned();
    text.lines().find_map(|line| {
        // `Num RefCount Protocol Flags Type St Inode Path`
        let rest = line.strip_suffix(path)?.strip_suffix(' ')?;
        rest.split_ascii_whitespace().nth(6)?.parse().ok()
    })
}

/// The first program that has such a descriptor.
fn program(link: &str) -> Option<String> {
    let all = fs::read_dir("/proc").ok()?.flatten();
    let mut pids: Vec<u32> = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    pids.into_iter().find_map(|pid| {
        let mut files = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
        files.find(|file| fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == link))?;
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        Some(format!("{} (pid {pid})", name.trim_end().escape_debug()))
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::os::unix::net::UnixListener;
    use std::path::Path;

    use super::of;
    use crate::spec::ListenAddress;

    #[test]
    fn whoever_has_an_address_is_named() {
        let is_us = |address: ListenAddress| {
            let holder = of(&address, Path::new("/")).unwrap_or_default();
            assert!(holder.ends_with(&format!("(pid {})", std::process::id())), "{address}: {holder}");
        };
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = tcp.local_addr().unwrap();
        is_us(ListenAddress::Tcp(at.to_string()));
        is_us(ListenAddress::Tcp(format!("0.0.0.0:{}", at.port())));
        assert_eq!(of(&ListenAddress::Tcp(format!("127.0.0.2:{}", at.port())), Path::new("/")), None);
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        is_us(ListenAddress::Udp(udp.local_addr().unwrap().to_string()));
        let path = std::env::temp_dir().join(format!("neap holder {}", std::process::id()));
        let _unix = UnixListener::bind(&path).unwrap();
        is_us(ListenAddress::Unix(path.to_str().unwrap().into()));
        std::fs::remove_file(path).unwrap();
    }
}
