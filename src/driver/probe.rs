//! Probes over the network: a connection, or an HTTP request. One thread with a small runtime asks them all.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::rt::ReadBufCursor;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::core::{Input, ProbeKind, RunId};
use crate::spec::HttpProbe;
use crate::spec::units::format_duration;

/// As much of a body as is looked through.
const MAX_BODY: usize = 256 << 10;

/// What can be asked over the network.
#[derive(Clone, Debug)]
pub(crate) enum NetProbe {
    Tcp { host: String, port: u16 },
    Http(HttpProbe),
}

/// One probe of a run in flight.
type Key = (RunId, ProbeKind);

enum Order {
    Start { key: Key, probe: NetProbe, timeout: Duration },
    Stop(Key),
    Done(Key),
}

/// The probe thread, started when the first probe is.
pub(crate) struct Probes {
    tell: Arc<dyn Fn(Input) + Send + Sync>,
    orders: Option<mpsc::UnboundedSender<Order>>,
}

impl Probes {
    /// Nothing runs yet. `tell` gets the answers, on the probe thread.
    pub fn new(tell: Arc<dyn Fn(Input) + Send + Sync>) -> Self {
        Probes { tell, orders: None }
    }

    /// Asks once; a probe of the same run and kind that is still in flight is dropped. An answer always comes, by the
    /// timeout at the latest, unless [`stop`](Probes::stop) comes first.
    pub fn start(&mut self, run: RunId, kind: ProbeKind, probe: NetProbe, timeout: Duration) -> io::Result<()> {
        let orders = match &self.orders {
            Some(orders) => orders,
            None => self.orders.insert(spawn(self.tell.clone())?),
        };
        orders
            .send(Order::Start { key: (run, kind), probe, timeout })
            .map_err(|_| io::Error::other("the probe thread has ended"))
    }

    /// Drops the probe in flight, if there is one.
    pub fn stop(&self, run: RunId, kind: ProbeKind) {
        if let Some(orders) = &self.orders {
            let _ = orders.send(Order::Stop((run, kind)));
        }
    }
}

fn spawn(tell: Arc<dyn Fn(Input) + Send + Sync>) -> io::Result<mpsc::UnboundedSender<Order>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (sender, receiver) = mpsc::unbounded_channel();
    let own = sender.downgrade();
    std::thread::Builder::new().name("neap-probe".into()).spawn(move || {
        runtime.block_on(serve(receiver, own, tell));
        // A name lookup that hangs keeps nobody.
        runtime.shutdown_background();
    })?;
    Ok(sender)
}

async fn serve(
    mut orders: mpsc::UnboundedReceiver<Order>,
    own: mpsc::WeakUnboundedSender<Order>,
    tell: Arc<dyn Fn(Input) + Send + Sync>,
) {
    let mut flying: HashMap<Key, AbortHandle> = HashMap::new();
    while let Some(order) = orders.recv().await {
        match order {
            Order::Start { key, probe, timeout } => {
                let (tell, own) = (tell.clone(), own.clone());
                let task = tokio::spawn(async move {
                    let result = ask(&probe, timeout).await;
                    tell(Input::Probed(key.0, key.1, result));
                    if let Some(own) = own.upgrade() {
                        let _ = own.send(Order::Done(key));
                    }
                });
                if let Some(old) = flying.insert(key, task.abort_handle()) {
                    old.abort();
                }
            }
            Order::Stop(key) => {
                if let Some(task) = flying.remove(&key) {
                    task.abort();
                }
            }
            Order::Done(key) => {
                if flying.get(&key).is_some_and(AbortHandle::is_finished) {
                    flying.remove(&key);
                }
            }
        }
    }
}

/// Asks once, within this time.
async fn ask(probe: &NetProbe, timeout: Duration) -> Result<(), String> {
    let asked = async {
        match probe {
            NetProbe::Tcp { host, port } => connect(host, *port).await.map(drop),
            NetProbe::Http(http) => request(http).await,
        }
    };
    match tokio::time::timeout(timeout, asked).await {
        Ok(result) => result,
        Err(_) => Err(format!("no answer within {}", format_duration(timeout))),
    }
}

async fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    TcpStream::connect((host, port)).await.map_err(|e| format!("cannot connect to {host}:{port}: {e}"))
}

/// Where an HTTP probe goes.
#[derive(Debug, PartialEq, Eq)]
enum Target<'a> {
    Tcp { host: &'a str, port: u16, authority: &'a str, path: &'a str },
    Unix { socket: &'a str, path: &'a str },
}

fn target(url: &str) -> Result<Target<'_>, String> {
    if let Some(rest) = url.strip_prefix("unix:") {
        let (socket, path) = rest.split_once(":/").map_or((rest, "/"), |(s, _)| (s, &rest[s.len() + 1..]));
        return Ok(Target::Unix { socket, path });
    }
    let Some(rest) = url.strip_prefix("http://") else {
        return Err(format!("`{url}` is neither http://… nor unix:/path/to.sock:/path"));
    };
    let (authority, path) = match rest.find(['/', '?']) {
        Some(end) if rest[end..].starts_with('/') => rest.split_at(end),
        _ => (rest, "/"),
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            (host, port.parse().map_err(|_| format!("`{url}`: `{port}` is not a port"))?)
        }
        _ => (authority, 80),
    };
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    Ok(Target::Tcp { host, port, authority, path })
}

async fn request(http: &HttpProbe) -> Result<(), String> {
    match target(&http.url)? {
        Target::Tcp { host, port, authority, path } => {
            exchange(connect(host, port).await?, http, authority, path).await
        }
        Target::Unix { socket, path } => {
            let stream = UnixStream::connect(socket).await.map_err(|e| format!("cannot connect to `{socket}`: {e}"))?;
            exchange(stream, http, "localhost", path).await
        }
    }
}

async fn exchange<S>(stream: S, http: &HttpProbe, authority: &str, path: &str) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |e: hyper::Error| format!("{} {}: {e}", http.method, http.url);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(Io(stream)).await.map_err(failed)?;
    // The connection ends with its sender, or with this probe's task: both are dropped together.
    let exchange = async {
        let mut request = Request::builder().method(http.method.as_str()).uri(path).header("host", authority);
        for (name, value) in &http.headers {
            request = request.header(name, value);
        }
        let request = request
            .header("connection", "close")
            .body(Empty::<Bytes>::new())
            .map_err(|e| format!("{} {}: {e}", http.method, http.url))?;
        let response = sender.send_request(request).await.map_err(failed)?;
        let status = response.status().as_u16();
        if !http.expected_status.iter().any(|(low, high)| (*low..=*high).contains(&status)) {
            return Err(format!("{} {}: status {status}, expected {}", http.method, http.url, expected(http)));
        }
        let Some(needle) = &http.body else { return Ok(()) };
        let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
        let body = body.map_err(|e| format!("{} {}: reading the body: {e}", http.method, http.url))?.to_bytes();
        if body.windows(needle.len().max(1)).any(|w| w == needle.as_bytes()) || needle.is_empty() {
            Ok(())
        } else {
            Err(format!("{} {}: the body does not contain `{needle}`", http.method, http.url))
        }
    };
    beside_connection(exchange, connection, failed).await
}

/// Awaits an exchange, and keeps its connection going meanwhile.
pub(crate) async fn beside_connection<T>(
    exchange: impl Future<Output = Result<T, String>>,
    connection: impl Future<Output = hyper::Result<()>>,
    failed: impl Fn(hyper::Error) -> String,
) -> Result<T, String> {
    let (mut exchange, mut connection) = (pin!(exchange), pin!(connection));
    let mut closed = false;
    poll_fn(|cx| {
        if !closed && let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            closed = true;
            if let Err(error) = ended {
                return Poll::Ready(Err(failed(error)));
            }
        }
        // The answer may be there although the connection is closed already.
        exchange.as_mut().poll(cx)
    })
    .await
}

fn expected(http: &HttpProbe) -> String {
    let range = |(low, high): &(u16, u16)| if low == high { low.to_string() } else { format!("{low}-{high}") };
    http.expected_status.iter().map(range).collect::<Vec<_>>().join(", ")
}

/// A tokio stream as hyper wants it.
pub(crate) struct Io<S>(pub(crate) S);

impl<S: AsyncRead + Unpin> hyper::rt::Read for Io<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut out: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let mut bytes = [0; 4096];
        let room = out.remaining().min(bytes.len());
        let mut buffer = ReadBuf::new(bytes.get_mut(..room).unwrap_or_default());
        match Pin::new(&mut self.0).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) => {
                out.put_slice(buffer.filled());
                Poll::Ready(Ok(()))
            }
            other => other,
        }
    }
}

impl<S: AsyncWrite + Unpin> hyper::rt::Write for Io<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;
    use std::sync::{Arc, Mutex, mpsc};
    use std::time::Duration;

    use super::{NetProbe, Probes, Target, target};
    use crate::core::{Input, ProbeKind, RunId};
    use crate::spec::HttpProbe;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn probes() -> (Probes, mpsc::Receiver<Input>) {
        let (sender, receiver) = mpsc::channel();
        let sender = Mutex::new(sender);
        (Probes::new(Arc::new(move |input| sender.lock().unwrap().send(input).unwrap())), receiver)
    }

    fn ask(probe: NetProbe, timeout: Duration) -> Result<(), String> {
        let (mut probes, answers) = probes();
        probes.start(RunId(1), ProbeKind::Ready, probe, timeout).unwrap();
        match answers.recv_timeout(PATIENCE).unwrap() {
            Input::Probed(RunId(1), ProbeKind::Ready, result) => result,
            other => panic!("{other:?}"),
        }
    }

    fn http(url: String, body: Option<&str>) -> NetProbe {
        NetProbe::Http(HttpProbe {
            url,
            method: "GET".into(),
            expected_status: vec![(200, 299), (404, 404)],
            headers: vec![("x-probe".into(), "neap".into())],
            body: body.map(Into::into),
        })
    }

    fn answer(mut stream: impl Read + Write, response: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for line in BufReader::new(&mut stream).lines() {
            let line = line.unwrap();
            if line.is_empty() {
                break;
            }
            lines.push(line);
        }
        stream.write_all(response.as_bytes()).unwrap();
        lines
    }

    fn serve_once(response: &'static str) -> (String, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/health?full", listener.local_addr().unwrap());
        (url, std::thread::spawn(move || answer(listener.accept().unwrap().0, response)))
    }

    #[test]
    fn urls_are_taken_apart() {
        let tcp = |host, port, authority, path| Target::Tcp { host, port, authority, path };
        assert_eq!(target("http://a:81/x/y?z"), Ok(tcp("a", 81, "a:81", "/x/y?z")));
        assert_eq!(target("http://a"), Ok(tcp("a", 80, "a", "/")));
        assert_eq!(target("http://[::1]:8080/"), Ok(tcp("::1", 8080, "[::1]:8080", "/")));
        assert_eq!(target("http://[::1]/"), Ok(tcp("::1", 80, "[::1]", "/")));
        assert_eq!(target("unix:/run/x.sock:/health"), Ok(Target::Unix { socket: "/run/x.sock", path: "/health" }));
        assert_eq!(target("unix:/run/x.sock"), Ok(Target::Unix { socket: "/run/x.sock", path: "/" }));
        assert!(target("https://a").is_err());
        assert!(target("http://a:port/").is_err());
    }

    #[test]
    fn a_port_that_accepts_passes_and_one_that_refuses_fails_naming_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let probe = || NetProbe::Tcp { host: "127.0.0.1".into(), port };
        assert_eq!(ask(probe(), PATIENCE), Ok(()));
        drop(listener);
        let refused = ask(probe(), PATIENCE).unwrap_err();
        assert!(refused.contains(&format!("127.0.0.1:{port}")), "{refused}");
    }

    #[test]
    fn an_http_answer_is_judged_by_its_status() {
        let (url, server) = serve_once("HTTP/1.1 204 No Content\r\n\r\n");
        assert_eq!(ask(http(url, None), PATIENCE), Ok(()));
        let lines = server.join().unwrap();
        assert_eq!(lines[0], "GET /health?full HTTP/1.1");
        assert!(lines.iter().any(|l| l == "x-probe: neap"), "{lines:?}");
        assert!(lines.iter().any(|l| l.starts_with("host: 127.0.0.1:")), "{lines:?}");
        let (url, _server) = serve_once("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(ask(http(url, None), PATIENCE), Ok(()));
        let (url, _server) = serve_once("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n");
        let refused = ask(http(url, None), PATIENCE).unwrap_err();
        assert!(refused.ends_with("status 503, expected 200-299, 404"), "{refused}");
    }

    #[test]
    fn an_http_answer_is_judged_by_its_body_where_asked() {
        let response = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nall is well";
        let (url, _server) = serve_once(response);
        assert_eq!(ask(http(url, Some("is well")), PATIENCE), Ok(()));
        let (url, _server) = serve_once(response);
        assert!(ask(http(url, Some("broken")), PATIENCE).unwrap_err().contains("does not contain `broken`"));
    }

    #[test]
    fn http_goes_over_unix_sockets_too() {
        let path = std::env::temp_dir().join(format!("neap-probe-{}.sock", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let server = std::thread::spawn(move || answer(listener.accept().unwrap().0, "HTTP/1.1 200 OK\r\n\r\n"));
        assert_eq!(ask(http(format!("unix:{}:/x", path.display()), None), PATIENCE), Ok(()));
        assert_eq!(server.join().unwrap()[0], "GET /x HTTP/1.1");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn silence_is_a_failure_and_a_stopped_probe_says_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let silent = ask(http(url.clone(), None), Duration::from_millis(20)).unwrap_err();
        assert!(silent.starts_with("no answer within"), "{silent}");
        let (mut probes, answers) = probes();
        probes.start(RunId(1), ProbeKind::Health, http(url.clone(), None), PATIENCE).unwrap();
        probes.stop(RunId(1), ProbeKind::Health);
        probes.start(RunId(2), ProbeKind::Health, http(url, None), Duration::from_millis(20)).unwrap();
        assert!(matches!(answers.recv_timeout(PATIENCE), Ok(Input::Probed(RunId(2), ProbeKind::Health, Err(_)))));
        drop(probes);
        assert!(answers.recv_timeout(PATIENCE).is_err());
    }
}
