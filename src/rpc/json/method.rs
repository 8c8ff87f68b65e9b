//! The calls of a service, as the protos describe them.

use super::shape::{all, file, has, text};
use crate::rpc::proto::DESCRIPTORS;

// The numbers of fields in google/protobuf/descriptor.proto.
mod service {
    pub(super) const NAME: u64 = 1;
    pub(super) const METHODS: u64 = 2;
}
mod rpc {
    pub(super) const NAME: u64 = 1;
    pub(super) const INPUT: u64 = 2;
    pub(super) const OUTPUT: u64 = 3;
    pub(super) const CLIENT_STREAMING: u64 = 5;
    pub(super) const SERVER_STREAMING: u64 = 6;
}

/// A call of the service `neap.v1.Neap`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method {
    /// Its name in the proto: `Start`.
    pub name: &'static str,
    /// Where it is called: `/neap.v1.Neap/Start`.
    pub path: String,
    /// The name of its request: `neap.v1.StartRequest`.
    pub request: &'static str,
    /// The name of its answer.
    pub response: &'static str,
    /// Whether it is more than one question and one answer.
    pub streams: bool,
}

/// The call of this name.
pub fn method(name: &str) -> Option<Method> {
    methods().into_iter().find(|method| method.name == name)
}

/// All calls, in the order of the proto.
pub fn methods() -> Vec<Method> {
    let mut found = Vec::new();
    for file in all(DESCRIPTORS, file::OF_SET).filter(|file| text(file, file::PACKAGE) == "neap.v1") {
        for service in all(file, file::SERVICES) {
            found.extend(all(service, service::METHODS).map(|bytes| {
                let name = text(bytes, rpc::NAME);
                Method {
                    name,
                    path: format!("/neap.v1.{}/{name}", text(service, service::NAME)),
                    request: text(bytes, rpc::INPUT).trim_start_matches('.'),
                    response: text(bytes, rpc::OUTPUT).trim_start_matches('.'),
                    streams: has(bytes, rpc::CLIENT_STREAMING) || has(bytes, rpc::SERVER_STREAMING),
                }
            }));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{method, methods};

    #[test]
    fn the_calls_are_those_of_the_proto() {
        let start = method("Start").unwrap();
        assert_eq!((start.path.as_str(), start.streams), ("/neap.v1.Neap/Start", false));
        assert_eq!((start.request, start.response), ("neap.v1.StartRequest", "neap.v1.StartResponse"));
        assert!(method("Watch").unwrap().streams && method("Eval").unwrap().streams);
        assert!(method("start").is_none() && methods().len() > 20);
    }
}
