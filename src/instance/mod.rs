//! An instance: a supervisor with a configuration, places of its own, and a life longer than its process's.

mod begin;
mod endpoint;
mod evaluate;
mod ground;
mod handle;
mod keeper;
mod later;
mod metrics;
pub(crate) mod places;
mod roles;
mod successor;

pub(crate) use begin::{BeginError, Begun, Start, begin};
pub(crate) use endpoint::Endpoint;
pub(crate) use evaluate::{Outcome, request, root_of};
pub(crate) use handle::Instance;
pub(crate) use metrics::{Left, paths as page_paths};
pub(crate) use roles::grants;
