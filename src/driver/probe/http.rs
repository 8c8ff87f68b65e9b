//! An HTTP request as a probe, and the judgement of its answer.

use std::io;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, USER_AGENT};
use hyper::{Request, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::exchange::{Io, beside_connection};
use super::names::Names;
use crate::spec::{HttpProbe, ProbeUrl};

/// As much of a body as is looked through.
const MAX_BODY: usize = 256 << 10;
/// As much of a redirect's goal as is told.
const MAX_GOAL: usize = 200;
/// Who asks.
const AGENT: &str = concat!("neap/", env!("CARGO_PKG_VERSION"));

/// Connects to a port of a host, by any of its addresses.
pub(super) async fn connect(names: &Names, host: &str, port: u16) -> Result<TcpStream, String> {
    let addresses = names.addresses(host, port).await?;
    let failed = |e: &io::Error| format!("cannot connect to {host}:{port}: {}", why(e));
    let stream = TcpStream::connect(addresses.as_slice()).await.map_err(|e| failed(&e))?;
    // A port where nobody listens may be the one that the kernel chose for us: then we would talk to ourselves.
    if stream.local_addr().is_ok_and(|own| stream.peer_addr().is_ok_and(|peer| own == peer)) {
        return Err(failed(&io::ErrorKind::ConnectionRefused.into()));
    }
    Ok(stream)
}

/// Asks, and judges the answer.
pub(super) async fn request(names: &Names, http: &HttpProbe) -> Result<(), String> {
    match ProbeUrl::parse(&http.url)? {
        ProbeUrl::Tcp { host, port, target } => {
            let stream = connect(names, &host, port).await?;
            let host = if host.contains(':') { format!("[{host}]") } else { host };
            let authority = if port == 80 { host } else { format!("{host}:{port}") };
            exchange(stream, http, &authority, &target).await
        }
        ProbeUrl::Unix { socket, target } => {
            let stream = UnixStream::connect(&socket).await;
            let stream = stream.map_err(|e| format!("cannot connect to `{socket}`: {}", why(&e)))?;
            exchange(stream, http, "localhost", &target).await
        }
    }
}

/// The few reasons that people see every day, without their numbers.
fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".into(),
        io::ErrorKind::NotFound => "there is no such socket".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        _ => error.to_string(),
    }
}

async fn exchange<S>(stream: S, http: &HttpProbe, authority: &str, target: &str) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let prefix = format!("{} {}", http.method, http.url);
    let failed = |e: hyper::Error| format!("{prefix}: {e}");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(Io(stream)).await.map_err(failed)?;
    // The connection ends with its sender, or with this probe's task: both are dropped together.
    let exchange = async {
        let mut request = Request::builder().method(http.method.as_str()).uri(target).body(Empty::<Bytes>::new());
        if let Ok(request) = &mut request {
            *request.headers_mut() = headers(http, authority).map_err(|e| format!("{prefix}: {e}"))?;
        }
        let request = request.map_err(|e| format!("{prefix}: {e}"))?;
        let response = sender.send_request(request).await.map_err(failed)?;
        let status = response.status();
        if !http.expected_status.iter().any(|(low, high)| (*low..=*high).contains(&status.as_u16())) {
            let goal = redirect(status, response.headers());
            return Err(format!("{prefix}: status {}{goal}, expected {}", status.as_u16(), expected(http)));
        }
        match http.body.as_deref().filter(|needle| !needle.is_empty()) {
            None => Ok(()),
            Some(needle) => match look(response.into_body(), needle.as_bytes()).await {
                Ok(Body::Has) => Ok(()),
                Ok(Body::HasNot) => Err(format!("{prefix}: the body does not contain `{needle}`")),
                Ok(Body::TooLong) => {
                    Err(format!("{prefix}: the first {} KiB of the body do not contain `{needle}`", MAX_BODY >> 10))
                }
                Err(e) => Err(format!("{prefix}: reading the body: {e}")),
            },
        }
    };
    beside_connection(exchange, connection, failed).await
}

/// Ours, and those that were asked for, which count more.
fn headers(http: &HttpProbe, authority: &str) -> Result<HeaderMap, hyper::http::Error> {
    let mut given = HeaderMap::new();
    for (name, value) in &http.headers {
        given.append(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_str(value)?);
    }
    let mut headers = HeaderMap::new();
    for (name, value) in [(HOST, authority), (USER_AGENT, AGENT), (CONNECTION, "close")] {
        if !given.contains_key(&name) {
            headers.insert(name, HeaderValue::from_str(value)?);
        }
    }
    headers.extend(given);
    Ok(headers)
}

/// Where an answer sends us, for people who expect that we go there.
fn redirect(status: StatusCode, headers: &HeaderMap) -> String {
    match headers.get(LOCATION).filter(|_| status.is_redirection()) {
        None => String::new(),
        Some(goal) => {
            let goal: String = String::from_utf8_lossy(goal.as_bytes()).chars().take(MAX_GOAL).collect();
            format!(" (a redirect to {goal}, which a probe does not follow)")
        }
    }
}

/// What is in a body.
enum Body {
    Has,
    HasNot,
    TooLong,
}

/// Reads until it is there: the rest of a body, which may have no end, is nobody's concern.
async fn look(mut body: Incoming, needle: &[u8]) -> hyper::Result<Body> {
    let mut seen = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let from = seen.len().saturating_sub(needle.len());
        seen.extend_from_slice(&data);
        seen.truncate(MAX_BODY);
        if seen.get(from..).is_some_and(|new| new.windows(needle.len()).any(|part| part == needle)) {
            return Ok(Body::Has);
        }
        if seen.len() == MAX_BODY {
            return Ok(Body::TooLong);
        }
    }
    Ok(Body::HasNot)
}

/// The status codes that would have been a success.
fn expected(http: &HttpProbe) -> String {
    let range = |(low, high): &(u16, u16)| if low == high { low.to_string() } else { format!("{low} to {high}") };
    let ranges: Vec<String> = http.expected_status.iter().map(range).collect();
    match ranges.as_slice() {
        [most @ .., last] if !most.is_empty() => format!("{} or {last}", most.join(", ")),
        _ => ranges.concat(),
    }
}
