//! What the protos were made into.

/// Package `neap.v1`: everything that the command line can do.
#[allow(
    missing_docs,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "made from the proto, whose comments it carries"
)]
pub mod v1 {
    tonic::include_proto!("neap.v1");
}

/// Package `process_manager`: the service of the system that Neap follows.
#[allow(
    missing_docs,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "made from the proto, whose comments it carries"
)]
pub mod process_manager {
    tonic::include_proto!("process_manager");
}

/// Both packages, as reflection answers with them.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
