//! What processes use of the host.

use tonic::{Request, Status};

use super::fault::Fault;
use super::instance::Served;
use super::proto::v1;

/// Tells it.
pub(super) async fn stats(_: &Served, _: Request<v1::StatsRequest>) -> Result<v1::StatsResponse, Status> {
    Err(Fault::later("Stats").into())
}
