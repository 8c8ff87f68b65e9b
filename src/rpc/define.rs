//! Processes made, changed and forgotten at run time.

use tonic::{Request, Status};

use super::fault::Fault;
use super::instance::Served;
use super::proto::v1;

/// Makes a process.
pub(super) async fn create(_: &Served, _: Request<v1::CreateRequest>) -> Result<v1::CreateResponse, Status> {
    Err(Fault::later("Create").into())
}

/// Changes a spec.
pub(super) async fn update(_: &Served, _: Request<v1::UpdateRequest>) -> Result<v1::UpdateResponse, Status> {
    Err(Fault::later("Update").into())
}

/// Forgets processes.
pub(super) async fn delete(_: &Served, _: Request<v1::DeleteRequest>) -> Result<v1::DeleteResponse, Status> {
    Err(Fault::later("Delete").into())
}
