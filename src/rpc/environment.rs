//! What a program is executed with.

use tonic::{Request, Status};

use super::fault::Fault;
use super::instance::Served;
use super::proto::v1;

/// Tells it.
pub(super) async fn environment(
    _: &Served,
    _: Request<v1::GetEnvironmentRequest>,
) -> Result<v1::GetEnvironmentResponse, Status> {
    Err(Fault::later("GetEnvironment").into())
}
