//! Who a call is from, in words.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::roles::{Peer, Role};

/// Whoever sent a request. Among its extensions once it is through the gate.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) role: Role,
    /// For events: "user root (uid 0), pid 4711".
    pub(super) text: Arc<str>,
}

impl Caller {
    pub(super) fn new(peer: &Peer, role: Role) -> Caller {
        Caller { role, text: described(peer).into() }
    }
}

fn described(peer: &Peer) -> String {
    let Peer::Local { uid, pid, .. } = peer else { return peer.describe() };
    let user = match name_of(*uid) {
        Some(name) => format!("user {name} (uid {uid})"),
        None => format!("uid {uid}"),
    };
    // The kernel says 0 of a process that is outside our pid namespace.
    match pid.filter(|pid| *pid > 0) {
        Some(pid) => format!("{user}, pid {pid}"),
        None => user,
    }
}

/// Names of users who called before. Only who may call is looked up, so there are few.
static NAMES: Mutex<Option<HashMap<u32, Option<Arc<str>>>>> = Mutex::new(None);

/// The user's name by the local table of users. Other sources may take their time, which a call must not.
fn name_of(uid: u32) -> Option<Arc<str>> {
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    let names = names.get_or_insert_default();
    names.entry(uid).or_insert_with(|| listed(&std::fs::read_to_string("/etc/passwd").unwrap_or_default(), uid)).clone()
}

fn listed(table: &str, uid: u32) -> Option<Arc<str>> {
    let of = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid))
            .then(|| name.chars().flat_map(char::escape_debug).collect::<String>().into())
    };
    table.lines().find_map(of)
}

#[cfg(test)]
mod tests {
    use super::{Peer, Role, described, listed};

    #[test]
    fn a_caller_is_named_by_the_table_of_users_else_by_number() {
        let table = "root:x:0:0:root:/root:/bin/sh\nbroken\n\nana:x:1000:1000::/home/ana:/bin/sh\n";
        assert_eq!(listed(table, 1000).as_deref(), Some("ana"));
        assert_eq!(listed(table, 7), None);
        let local = |pid| Peer::Local { uid: 4_000_000_011, pid, groups: Default::default() };
        assert_eq!(described(&local(Some(12))), "uid 4000000011, pid 12");
        assert_eq!(described(&local(Some(0))), "uid 4000000011");
        let certified = Peer::Certified { role: Role::Admin, from: "192.0.2.1:77".parse().unwrap() };
        assert_eq!(described(&certified), "a client with a certificate, from 192.0.2.1:77");
    }
}
