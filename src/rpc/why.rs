//! The causes behind a state.

use tonic::{Request, Status};

use super::fault::Fault;
use super::instance::Served;
use super::proto::v1;

/// Tells them.
pub(super) async fn why(_: &Served, _: Request<v1::WhyRequest>) -> Result<v1::WhyResponse, Status> {
    Err(Fault::later("Why").into())
}
