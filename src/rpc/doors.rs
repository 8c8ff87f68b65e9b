//! Which groups the file system lets reach a control socket, beside its owner.
//!
//! A socket has mode 0600. A group that has a role gets an entry in its access list, and one to pass through its
//! folder; nobody else gets anything, and a folder that can be passed can be neither listed nor written to.

use std::ffi::CString;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use super::access::Grant;
use crate::driver::sys::{acl, set_acl};

const READ: u16 = 4;
const WRITE: u16 = 2;
const PASS: u16 = 1;

/// The kernel's format: a version, and entries of a kind, permissions and a number.
const VERSION: u32 = 2;
const ENTRY: usize = 8;
const OWNER: u16 = 0x01;
const USER: u16 = 0x02;
const OWNERS_GROUP: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHERS: u16 = 0x20;
/// The number of entries that have none.
const NONE: u32 = u32::MAX;

/// Who may do what with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct List {
    owner: u16,
    owners_group: u16,
    others: u16,
    users: Vec<(u32, u16)>,
    groups: Vec<(u32, u16)>,
}

impl List {
    fn of_mode(mode: u32) -> List {
        let bits = |shift: u32| u16::try_from(mode >> shift & 7).unwrap_or(0);
        List { owner: bits(6), owners_group: bits(3), others: bits(0), users: Vec::new(), groups: Vec::new() }
    }

    /// That of this file: its mode, unless it has more.
    fn of(path: &Path, found: &Metadata) -> io::Result<List> {
        let list = List::of_mode(found.mode());
        Ok(acl(&c_path(path)?)?.map_or(list, |bytes| List::decode(&bytes)))
    }

    fn decode(bytes: &[u8]) -> List {
        let mut list = List::of_mode(0);
        for entry in bytes.get(4..).unwrap_or_default().chunks_exact(ENTRY) {
            let kind = u16::from_le_bytes([entry[0], entry[1]]);
            let may = u16::from_le_bytes([entry[2], entry[3]]);
            let who = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
            match kind {
                OWNER => list.owner = may,
                OWNERS_GROUP => list.owners_group = may,
                OTHERS => list.others = may,
                USER => list.users.push((who, may)),
                GROUP => list.groups.push((who, may)),
                // Made anew from what it masks.
                _ => {}
            }
        }
        list
    }

    /// In the order that the kernel wants.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        let mut entry = |kind: u16, may: u16, who: u32| {
            bytes.extend(kind.to_le_bytes());
            bytes.extend(may.to_le_bytes());
            bytes.extend(who.to_le_bytes());
        };
        let (mut users, mut groups) = (self.users.clone(), self.groups.clone());
        users.sort_unstable();
        groups.sort_unstable();
        entry(OWNER, self.owner, NONE);
        users.iter().for_each(|(who, may)| entry(USER, *may, *who));
        entry(OWNERS_GROUP, self.owners_group, NONE);
        groups.iter().for_each(|(who, may)| entry(GROUP, *may, *who));
        if !(users.is_empty() && groups.is_empty()) {
            let all = users.iter().chain(&groups).fold(self.owners_group, |all, (_, may)| all | may);
            entry(MASK, all, NONE);
        }
        entry(OTHERS, self.others, NONE);
        bytes
    }

    fn lets_pass(&self, group: u32, owners_group: u32) -> bool {
        let named = self.groups.iter().any(|(who, may)| *who == group && may & PASS != 0);
        self.others & PASS != 0 || named || (group == owners_group && self.owners_group & PASS != 0)
    }
}

/// Lets exactly these groups reach this control socket, as far as that is the instance's to say. What else stands in
/// their way is told, as sentences.
pub(crate) fn let_in(socket: &Path, grants: &[Grant]) -> Vec<String> {
    let mut hindrances = Vec::new();
    let shown = socket.display();
    if let Err(error) = admit_at(socket, grants) {
        let why = match error.raw_os_error().map(nix::errno::Errno::from_raw) {
            Some(nix::errno::Errno::EOPNOTSUPP) => {
                "its file system has no access lists; put it elsewhere with --socket".to_owned()
            }
            _ => error.to_string(),
        };
        hindrances.push(format!("the groups of `roles` cannot be let in to {shown}: {why}"));
    }
    for grant in grants {
        if let Some(folder) = closed_to(socket, grant.gid) {
            hindrances.push(format!(
                "the group {} cannot reach {shown}: it may not pass the folder {}; choose another place with --socket",
                grant.group,
                folder.display()
            ));
        }
    }
    hindrances
}

fn admit_at(socket: &Path, grants: &[Grant]) -> io::Result<()> {
    let gids = || grants.iter().map(|grant| grant.gid);
    let mut list = List::of_mode(0o600);
    list.groups = gids().map(|gid| (gid, READ | WRITE)).collect();
    list.groups.sort_unstable();
    list.groups.dedup();
    put(socket, &list)?;
    let folder = folder_of(socket);
    let found = std::fs::symlink_metadata(&folder)?;
    // Another's folder, or one that all may pass, is as it is.
    if found.uid() != geteuid().as_raw() || !found.is_dir() || found.mode() & 0o001 != 0 {
        return Ok(());
    }
    let before = List::of(&folder, &found)?;
    let mut list = before.clone();
    // Who may do nothing but pass was let in by an earlier configuration.
    list.groups.retain(|(_, may)| *may != PASS);
    let named: Vec<u32> = list.groups.iter().map(|(who, _)| *who).collect();
    list.groups.extend(gids().filter(|gid| !named.contains(gid)).map(|gid| (gid, PASS)));
    list.groups.sort_unstable();
    list.groups.dedup();
    if list == before { Ok(()) } else { put(&folder, &list) }
}

fn put(path: &Path, list: &List) -> io::Result<()> {
    let path = c_path(path)?;
    // A list that says no more than a mode is one.
    set_acl(&path, &list.encode())
}

/// The first folder on the way that this group may not pass.
fn closed_to(socket: &Path, gid: u32) -> Option<PathBuf> {
    let folder = folder_of(socket).canonicalize().ok()?;
    let mut way: Vec<&Path> = folder.ancestors().collect();
    way.reverse();
    let closed = way.into_iter().find(|folder| {
        let Ok(found) = std::fs::symlink_metadata(folder) else { return true };
        !List::of(folder, &found).is_ok_and(|list| list.lets_pass(gid, found.gid()))
    });
    closed.map(Path::to_owned)
}

fn folder_of(socket: &Path) -> PathBuf {
    match socket.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

#[cfg(test)]
mod tests {
    use super::{List, PASS};

    #[test]
    fn a_list_is_read_back_as_it_was_written() {
        let mut list = List::of_mode(0o751);
        assert_eq!((list.owner, list.owners_group, list.others), (7, 5, 1));
        assert_eq!(List::decode(&list.encode()), list);
        assert_eq!(list.encode().len(), 4 + 3 * 8, "no more than a mode");
        list.groups = vec![(10, PASS), (20, 7)];
        list.users = vec![(1, 4)];
        assert_eq!(List::decode(&list.encode()), list);
        assert!(list.lets_pass(10, 0) && List::of_mode(0o710).lets_pass(3, 3) && !List::of_mode(0o710).lets_pass(4, 3));
        assert_eq!(List::decode(&[]), List::of_mode(0));
    }
}
