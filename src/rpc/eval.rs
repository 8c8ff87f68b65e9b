//! Sessions of the Lua REPL.

use tonic::{Request, Status};

#[cfg(not(feature = "lua"))]
use super::fault::Fault;
use super::instance::Served;
use super::neap::Streaming;
use super::proto::v1;

#[cfg(feature = "lua")]
mod session;

/// Serves one.
#[cfg(feature = "lua")]
pub(super) async fn eval(
    served: &Served,
    request: Request<tonic::Streaming<v1::EvalRequest>>,
) -> Result<Streaming<v1::EvalResponse>, Status> {
    session::open(served, request).await
}

/// Without Lua there is none.
#[cfg(not(feature = "lua"))]
pub(super) async fn eval(
    _: &Served,
    _: Request<tonic::Streaming<v1::EvalRequest>>,
) -> Result<Streaming<v1::EvalResponse>, Status> {
    Err(Fault::new(tonic::Code::Unimplemented, "unimplemented", "this instance has no Lua").into())
}
