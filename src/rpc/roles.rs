//! Who may do what.

use std::net::SocketAddr;
use std::sync::Arc;

/// What a caller may do; each may do what those before may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look: states, specs without their secrets, events, output.
    Observer,
    /// Act on processes: start, stop, restart, signal, reload.
    Operator,
    /// All: change what runs, end the instance, replace its binary.
    Admin,
}

impl Role {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Observer => "observer",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }
}

/// The least role that each method needs. What does not stand here nobody may call.
pub(super) const METHODS: &[(&str, Role)] = &[
    ("/neap.v1.Neap/GetStatus", Role::Observer),
    ("/neap.v1.Neap/List", Role::Observer),
    ("/neap.v1.Neap/Describe", Role::Observer),
    ("/neap.v1.Neap/Wait", Role::Observer),
    ("/neap.v1.Neap/Watch", Role::Observer),
    ("/neap.v1.Neap/Logs", Role::Observer),
    ("/neap.v1.Neap/Start", Role::Operator),
    ("/neap.v1.Neap/Stop", Role::Operator),
    ("/neap.v1.Neap/Restart", Role::Operator),
    ("/neap.v1.Neap/Reload", Role::Operator),
    ("/neap.v1.Neap/Signal", Role::Operator),
    ("/neap.v1.Neap/Plan", Role::Admin),
    ("/neap.v1.Neap/Why", Role::Observer),
    ("/neap.v1.Neap/Graph", Role::Observer),
    ("/neap.v1.Neap/Stats", Role::Observer),
    ("/neap.v1.Neap/Create", Role::Admin),
    ("/neap.v1.Neap/Update", Role::Admin),
    ("/neap.v1.Neap/Delete", Role::Admin),
    ("/neap.v1.Neap/GetEnvironment", Role::Admin),
    ("/neap.v1.Neap/Eval", Role::Admin),
    ("/neap.v1.Neap/Apply", Role::Admin),
    ("/neap.v1.Neap/Shutdown", Role::Admin),
    ("/neap.v1.Neap/Upgrade", Role::Admin),
    ("/process_manager.ProcessManager/GetStatus", Role::Observer),
    ("/process_manager.ProcessManager/List", Role::Observer),
    ("/process_manager.ProcessManager/Describe", Role::Observer),
    ("/process_manager.ProcessManager/GetResourceUsage", Role::Observer),
    ("/process_manager.ProcessManager/Start", Role::Operator),
    ("/process_manager.ProcessManager/Stop", Role::Operator),
    ("/process_manager.ProcessManager/Create", Role::Admin),
    ("/process_manager.ProcessManager/Update", Role::Admin),
    ("/process_manager.ProcessManager/Delete", Role::Admin),
    ("/process_manager.ProcessManager/ReloadConfig", Role::Admin),
    ("/grpc.health.v1.Health/Check", Role::Observer),
    ("/grpc.health.v1.Health/Watch", Role::Observer),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Role::Observer),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Role::Observer),
];

/// The least role for this method; `None` when it may not be called.
pub(super) fn needed(method: &str) -> Option<Role> {
    METHODS.iter().find(|(known, _)| *known == method).map(|(_, role)| *role)
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// A process of this machine, by the kernel's word.
    Local {
        uid: u32,
        /// Of its processes the one that connected, where the kernel says it.
        pid: Option<i32>,
        groups: Arc<[u32]>,
    },
    /// Somebody with a certificate that counts.
    Certified { role: Role, from: SocketAddr },
    /// It cannot be learned, for this reason.
    Unknown(Arc<str>),
}

impl Peer {
    /// For people.
    pub(super) fn describe(&self) -> String {
        match self {
            Peer::Local { uid, pid: Some(pid), .. } => format!("uid {uid} (pid {pid})"),
            Peer::Local { uid, pid: None, .. } => format!("uid {uid}"),
            Peer::Certified { from, .. } => format!("a client with a certificate, from {from}"),
            Peer::Unknown(why) => format!("somebody unknown ({why})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::{METHODS, Role, needed};
    use crate::rpc::proto::DESCRIPTORS;

    fn declared() -> BTreeSet<String> {
        let set = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
        let mut methods = BTreeSet::new();
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    methods.insert(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
                }
            }
        }
        methods
    }

    #[test]
    fn every_method_of_the_protos_has_a_least_role() {
        let missing: Vec<String> = declared().into_iter().filter(|method| needed(method).is_none()).collect();
        assert!(missing.is_empty(), "roles::METHODS lacks {missing:?}");
    }

    #[test]
    fn the_table_names_nothing_twice_and_nothing_that_there_is_not() {
        let declared = declared();
        let mut seen = BTreeSet::new();
        for (method, _) in METHODS {
            assert!(seen.insert(method), "{method} twice");
            assert!(declared.contains(*method) || method.starts_with("/grpc."), "{method} is in no proto");
        }
    }

    #[test]
    fn a_method_that_nobody_thought_of_may_not_be_called() {
        assert_eq!(needed("/neap.v1.Neap/Invented"), None);
        assert_eq!(needed("/neap.v1.Neap/List/"), None);
        assert_eq!(needed(""), None);
        assert!(Role::Observer < Role::Operator && Role::Operator < Role::Admin);
    }
}
