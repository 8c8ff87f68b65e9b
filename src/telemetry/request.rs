//! One request for the page.

use std::convert::Infallible;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::page::Format;
use super::snapshot::Telemetry;

/// How long a request's head may take to come.
const HEAD: Duration = Duration::from_secs(5);
/// How long a connection may last, its slow reader included.
const WHOLE: Duration = Duration::from_secs(20);
/// No head that is longer makes sense here.
const MOST_HEAD: usize = 16 << 10;

/// Answers one request, within its time.
pub(super) async fn serve(telemetry: Telemetry, stream: impl AsyncRead + AsyncWrite + Unpin) {
    let service = service_fn(|request| {
        let telemetry = telemetry.clone();
        async move { Ok::<_, Infallible>(answer(telemetry, request).await) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(MOST_HEAD).keep_alive(false);
    // Who goes away, or sends nonsense, has had an answer or wants none.
    let _ = tokio::time::timeout(WHOLE, server.serve_connection(TokioIo::new(stream), service)).await;
}

async fn answer(telemetry: Telemetry, request: Request<Incoming>) -> Response<Full<Bytes>> {
    if request.uri().path() != "/metrics" {
        return plain(StatusCode::NOT_FOUND, "the page is at /metrics\n");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "the page can be had with GET alone\n");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    let accept = request.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = Format::accepted(&accept.collect::<Vec<_>>().join(","));
    // It asks the engine and reads files: not on the thread that answers others.
    let page = tokio::task::spawn_blocking(move || telemetry.page_as(format)).await;
    match page {
        Ok(Ok(page)) => {
            let mut response = Response::new(Full::new(Bytes::from(page)));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
            response
        }
        Ok(Err(error)) => plain(StatusCode::SERVICE_UNAVAILABLE, &format!("{error}\n")),
        Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "the page could not be made\n"),
    }
}

fn plain(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(text.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
