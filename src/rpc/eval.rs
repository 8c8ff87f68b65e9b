//! Sessions of the Lua REPL.

use tonic::{Request, Status};

use super::fault::Fault;
use super::instance::Served;
use super::neap::Streaming;
use super::proto::v1;

/// Serves one.
pub(super) async fn eval(
    _: &Served,
    _: Request<tonic::Streaming<v1::EvalRequest>>,
) -> Result<Streaming<v1::EvalResponse>, Status> {
    Err(Fault::later("Eval").into())
}
