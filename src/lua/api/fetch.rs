//! `neap.fetch`: asks a URL, over TCP or a Unix socket.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::body::Bytes;
use mlua::{Lua, Table, Value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::effects::changes;
use super::events::duration;
use super::process::described;
use crate::driver::{Io, beside_connection};
use crate::lua::problem::{did_you_mean, misuse, only_at_run_time};
use crate::spec::ProbeUrl;
use crate::spec::units::format_duration;

/// How long an answer may take, unless told.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How large an answer may be, unless told, and at most.
const SIZE: usize = 1 << 20;
const LARGEST: usize = 16 << 20;

const KEYS: [&str; 6] = ["url", "method", "headers", "body", "timeout", "max_size"];

/// What is asked.
struct Ask {
    url: String,
    to: ProbeUrl,
    method: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    timeout: Duration,
    size: usize,
}

/// What came of it.
struct Got {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    body: Bytes,
}

/// Adds the function to the module.
pub(super) fn register(lua: &Lua, module: &Table) -> mlua::Result<()> {
    module.set("fetch", lua.create_async_function(fetch)?)
}

fn fetch(lua: Lua, given: Value) -> impl Future<Output = mlua::Result<Table>> {
    let ask = ask(&lua, &given);
    async move {
        let ask = ask?;
        let failed = |why: String| mlua::Error::runtime(format!("neap.fetch: {} {}: {why}", ask.method, ask.url));
        let got = match tokio::time::timeout(ask.timeout, answer(&ask)).await {
            Ok(got) => got.map_err(failed)?,
            Err(_) => return Err(failed(format!("no answer within {}", format_duration(ask.timeout)))),
        };
        let table = lua.create_table()?;
        table.set("status", got.status)?;
        let headers = lua.create_table()?;
        for (name, value) in got.headers {
            headers.raw_set(name, lua.create_string(value)?)?;
        }
        table.set("headers", headers)?;
        table.set("body", lua.create_string(&got.body)?)?;
        Ok(table)
    }
}

/// Reads what is asked: a URL, or a table.
fn ask(lua: &Lua, given: &Value) -> mlua::Result<Ask> {
    only_at_run_time(lua, "neap.fetch")?;
    let wrong = |message: String| misuse(lua, format!("neap.fetch: {message}"));
    let table = match given {
        Value::String(_) => {
            let table = lua.create_table()?;
            table.raw_set("url", given)?;
            table
        }
        Value::Table(table) => table.clone(),
        other => return Err(wrong(format!("expected a URL, or a table with `url`, found {}", described(other)))),
    };
    for pair in table.pairs::<Value, Value>() {
        let key = pair?.0.to_string()?;
        if !KEYS.contains(&key.as_str()) {
            return Err(wrong(format!("there is no key `{key}`{}", did_you_mean(&key, KEYS))));
        }
    }
    let text = |key: &str| table.raw_get::<Option<mlua::LuaString>>(key);
    let url = text("url")?.ok_or_else(|| wrong("`url` is missing".into()))?.to_string_lossy();
    let to = ProbeUrl::parse(&url).map_err(wrong)?;
    let method = text("method")?.map_or_else(|| "GET".into(), |method| method.to_string_lossy().to_uppercase());
    if !matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS") {
        changes(lua, "neap.fetch")?;
    }
    let mut headers = Vec::new();
    if let Some(given) = table.raw_get::<Option<Table>>("headers")? {
        for pair in given.pairs::<String, String>() {
            headers.push(pair?);
        }
    }
    let body = text("body")?.map_or_else(Vec::new, |body| body.as_bytes().to_vec());
    let timeout = match table.raw_get::<Value>("timeout")? {
        Value::Nil => TIMEOUT,
        given => duration(&given).map_err(|message| wrong(format!("timeout: {message}")))?,
    };
    let size = table.raw_get::<Option<usize>>("max_size")?.unwrap_or(SIZE).min(LARGEST);
    Ok(Ask { url, to, method, headers, body, timeout, size })
}

async fn answer(ask: &Ask) -> Result<Got, String> {
    match &ask.to {
        ProbeUrl::Tcp { host, port, target } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await;
            let stream = stream.map_err(|error| format!("cannot connect: {error}"))?;
            let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
            exchange(stream, ask, &format!("{host}:{port}"), target).await
        }
        ProbeUrl::Unix { socket, target } => {
            let stream = UnixStream::connect(socket).await;
            let stream = stream.map_err(|error| format!("cannot connect to {socket}: {error}"))?;
            exchange(stream, ask, "localhost", target).await
        }
    }
}

async fn exchange<S>(stream: S, ask: &Ask, authority: &str, target: &str) -> Result<Got, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(Io(stream)).await.map_err(failed)?;
    let exchange = async {
        let mut request = Request::builder().method(ask.method.as_str()).uri(target).header("host", authority);
        for (name, value) in &ask.headers {
            request = request.header(name, value);
        }
        let request = request.header("connection", "close").body(Full::new(Bytes::from(ask.body.clone())));
        let response = sender.send_request(request.map_err(|error| error.to_string())?).await.map_err(failed)?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, ask.size).collect().await;
        let body = body.map_err(|error| format!("reading the body (at most {} bytes): {error}", ask.size))?.to_bytes();
        let headers = parts.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
        Ok(Got { status: parts.status.as_u16(), headers, body })
    };
    beside_connection(exchange, connection, failed).await
}
