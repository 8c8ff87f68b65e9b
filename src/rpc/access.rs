//! Which groups may do what, beside the instance's own user and root.

use std::sync::{Arc, PoisonError, RwLock};

use nix::unistd::geteuid;

use super::roles::{Peer, Role};

/// A group's role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Its name, as it was given.
    pub group: String,
    /// Its number.
    pub gid: u32,
    /// What its members may do.
    pub role: Role,
}

/// The roles of groups that are in force. All clones are the same: what is set in one counts for each call from then on.
#[derive(Clone, Debug, Default)]
pub struct Access(Arc<RwLock<Arc<[Grant]>>>);

impl Access {
    /// Puts these in force.
    pub fn set(&self, grants: Vec<Grant>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = grants.into();
    }

    /// What is in force.
    pub fn grants(&self) -> Arc<[Grant]> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What this peer may do, and the group that it may for.
    pub(super) fn role(&self, peer: &Peer) -> Option<(Role, Option<String>)> {
        match peer {
            Peer::Unknown(_) => None,
            Peer::Certified { role, .. } => Some((*role, None)),
            Peer::Local { uid, .. } if is_own(*uid) => Some((Role::Admin, None)),
            Peer::Local { groups, .. } => {
                let grants = self.grants();
                let most = grants.iter().filter(|grant| groups.contains(&grant.gid)).max_by_key(|grant| grant.role)?;
                Some((most.role, Some(most.group.clone())))
            }
        }
    }

    /// Who may do this much, for people.
    pub(super) fn who_may(&self, least: Role) -> String {
        let grants = self.grants();
        let groups = grants.iter().filter(|grant| grant.role >= least);
        let groups: Vec<String> = groups.map(|grant| format!("{} ({})", grant.group, grant.role.as_str())).collect();
        let own = "the instance's own user and root may";
        match &groups[..] {
            [] => own.to_owned(),
            [one] => format!("{own}, and members of the group {one}"),
            several => format!("{own}, and members of the groups {}", several.join(", ")),
        }
    }
}

/// Whether this user may do all: the instance's own, and root.
pub(super) fn is_own(uid: u32) -> bool {
    uid == 0 || uid == geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nix::unistd::geteuid;

    use super::{Access, Grant};
    use crate::rpc::roles::{Peer, Role};

    #[test]
    fn of_several_groups_the_one_that_may_most_counts_and_an_empty_table_lets_nobody_in() {
        let access = Access::default();
        let stranger =
            |groups: &[u32]| Peer::Local { uid: geteuid().as_raw() + 4_711, pid: None, groups: Arc::from(groups) };
        assert_eq!(access.role(&stranger(&[0, 10, 20])), None);
        let grant = |group: &str, gid, role| Grant { group: group.into(), gid, role };
        access.clone().set(vec![grant("staff", 10, Role::Observer), grant("ops", 20, Role::Operator)]);
        assert_eq!(access.role(&stranger(&[10])), Some((Role::Observer, Some("staff".into()))));
        assert_eq!(access.role(&stranger(&[10, 20])), Some((Role::Operator, Some("ops".into()))));
        assert_eq!(access.role(&stranger(&[30])), None);
        assert!(access.who_may(Role::Operator).contains("ops") && !access.who_may(Role::Operator).contains("staff"));
        access.set(Vec::new());
        assert_eq!(access.role(&stranger(&[10, 20])), None);
    }
}
