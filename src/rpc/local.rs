//! A supervisor of this very program, behind the same calls as one that is far away: no socket, no HTTP.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use prost::bytes::{Buf, BufMut};
use tonic::Status;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::http::{Request, Response};
use tonic::transport::Channel;
use tower::Service;

use super::backend::Backend;
use super::instance::Served;
use super::neap::NeapService;
use super::proto::v1::neap_server::NeapServer;
use super::roles::Role;

/// The way to an instance, for the clients that are made of the protos.
#[derive(Clone)]
pub enum Way {
    /// To one of this program's own.
    Own(Own),
    /// To one that runs elsewhere.
    Far(Channel),
}

/// The service of an instance of this program's own. Who calls may do all: it is the owner.
#[derive(Clone)]
pub struct Own(NeapServer<NeapService>);

/// The service of this instance. What it does for a call is done where the call is polled; on a tokio runtime.
pub fn own(backend: Arc<dyn Backend>) -> Own {
    // What is too large for a stranger is not for the program itself.
    Own(NeapServer::new(NeapService::new(Served::new(backend))).max_decoding_message_size(usize::MAX))
}

impl Service<Request<Body>> for Own {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Body>>::poll_ready(&mut self.0, cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        request.extensions_mut().insert(Role::Admin);
        self.0.call(request)
    }
}

impl Service<Request<Body>> for Way {
    type Response = Response<Body>;
    type Error = tonic::transport::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, tonic::transport::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), tonic::transport::Error>> {
        match self {
            Way::Own(own) => own.poll_ready(cx).map_err(|never| match never {}),
            Way::Far(channel) => channel.poll_ready(cx),
        }
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match self {
            Way::Own(own) => {
                let answer = own.call(request);
                Box::pin(async move { answer.await.map_err(|never| match never {}) })
            }
            Way::Far(channel) => Box::pin(channel.call(request)),
        }
    }
}

/// Asks one question that is answered once, both as the bytes of their messages.
///
/// # Errors
/// The status that the instance ends the call with.
pub async fn unary(way: Way, path: &str, request: Vec<u8>, largest: usize) -> Result<Vec<u8>, Status> {
    let path: PathAndQuery = path.parse().map_err(|error| Status::invalid_argument(format!("{path}: {error}")))?;
    let mut calls = Grpc::new(way).max_decoding_message_size(largest);
    calls.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    Ok(calls.unary(tonic::Request::new(request), path, Raw).await?.into_inner())
}

/// Bytes as they are.
#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut bytes = vec![0; buffer.remaining()];
        buffer.copy_to_slice(&mut bytes);
        Ok(Some(bytes))
    }
}
