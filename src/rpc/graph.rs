//! How processes are related.

use tonic::{Request, Status};

use super::fault::Fault;
use super::instance::Served;
use super::proto::v1;

/// Tells it.
pub(super) async fn graph(_: &Served, _: Request<v1::GraphRequest>) -> Result<v1::GraphResponse, Status> {
    Err(Fault::later("Graph").into())
}
