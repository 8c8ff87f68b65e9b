//! The thread that serves the page and sends the datagrams.

use std::collections::VecDeque;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::pusher::{DogStatsd, push};
use super::request;
use super::snapshot::Telemetry;

/// Connections at a time of one listener. One more closes the oldest: who says nothing keeps nobody out.
const MOST_CONNECTIONS: usize = 32;
/// After an accept that failed: what was short may be there again.
const PAUSE: Duration = Duration::from_millis(100);
/// How long the last datagrams may take.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Where the page is asked for.
#[derive(Debug)]
pub enum PageListener {
    /// A Unix socket.
    Unix(UnixListener),
    /// TCP.
    Tcp(TcpListener),
}

impl From<UnixListener> for PageListener {
    fn from(listener: UnixListener) -> Self {
        PageListener::Unix(listener)
    }
}

impl From<TcpListener> for PageListener {
    fn from(listener: TcpListener) -> Self {
        PageListener::Tcp(listener)
    }
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub struct ServerError {
    what: &'static str,
    source: io::Error,
}

/// Serves the page, and sends datagrams, until it is dropped. One thread for all of it.
#[derive(Debug)]
pub struct Server {
    end: watch::Sender<bool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    /// Starts it: `GET /metrics` at each of these, and datagrams to each of those. When the supervisor ends, the last
    /// datagrams are sent; the page stays as it was then until this is dropped.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use std::net::{TcpListener, TcpStream};
    /// use neap::{Supervisor, telemetry::{Server, Telemetry}};
    ///
    /// let supervisor = Supervisor::builder().build()?;
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let at = listener.local_addr()?;
    /// let server = Server::start(&Telemetry::new(&supervisor), vec![listener.into()], Vec::new())?;
    ///
    /// let mut client = TcpStream::connect(at)?;
    /// client.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
    /// let mut page = String::new();
    /// client.read_to_string(&mut page)?;
    /// assert!(page.ends_with("# EOF\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The kernel refuses a thread or a descriptor.
    pub fn start(
        telemetry: &Telemetry,
        listeners: Vec<PageListener>,
        agents: Vec<DogStatsd>,
    ) -> Result<Server, ServerError> {
        let failed = |what| move |source| ServerError { what, source };
        let mut builder = tokio::runtime::Builder::new_current_thread();
        // Two for figures; and a name that takes long to be looked up holds one for each agent, and no page up.
        builder.enable_all().max_blocking_threads(2 + agents.len()).thread_name("neap-telemetry");
        let runtime = builder.build().map_err(failed("making the runtime of telemetry"))?;
        for listener in &listeners {
            let set = match listener {
                PageListener::Unix(listener) => listener.set_nonblocking(true),
                PageListener::Tcp(listener) => listener.set_nonblocking(true),
            };
            set.map_err(failed("setting up the listener of a page"))?;
        }
        let (end, ending) = watch::channel(false);
        let telemetry = telemetry.clone();
        let work = async move {
            let mut ending = ending;
            for listener in listeners {
                tokio::spawn(accept(listener, telemetry.clone()));
            }
            let pushing: Vec<_> =
                agents.into_iter().map(|agent| tokio::spawn(push(telemetry.clone(), agent, ending.clone()))).collect();
            let _ = ending.wait_for(|end| *end).await;
            for pushing in pushing {
                let _ = tokio::time::timeout(LAST_WORDS, pushing).await;
            }
        };
        let thread = std::thread::Builder::new().name("neap-telemetry".into()).spawn(move || {
            runtime.block_on(work);
            // A file of the kernel's that hangs keeps nobody.
            runtime.shutdown_background();
        });
        let thread = thread.map_err(failed("starting the thread of telemetry"))?;
        Ok(Server { end, thread: Some(thread) })
    }
}

impl Drop for Server {
    /// Sends what is left to be sent, within two seconds, and stops serving.
    fn drop(&mut self) {
        let _ = self.end.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

enum Accepting {
    Unix(tokio::net::UnixListener),
    Tcp(tokio::net::TcpListener),
}

async fn accept(listener: PageListener, telemetry: Telemetry) {
    let listener = match listener {
        PageListener::Unix(listener) => tokio::net::UnixListener::from_std(listener).map(Accepting::Unix),
        PageListener::Tcp(listener) => tokio::net::TcpListener::from_std(listener).map(Accepting::Tcp),
    };
    let Ok(listener) = listener else { return };
    let mut open: VecDeque<JoinHandle<()>> = VecDeque::new();
    loop {
        let telemetry = telemetry.clone();
        let accepted = match &listener {
            Accepting::Unix(listener) => {
                listener.accept().await.map(|(stream, _)| tokio::spawn(request::serve(telemetry, stream)))
            }
            Accepting::Tcp(listener) => {
                listener.accept().await.map(|(stream, _)| tokio::spawn(request::serve(telemetry, stream)))
            }
        };
        let Ok(serving) = accepted else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        open.retain(|serving| !serving.is_finished());
        if open.len() >= MOST_CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        open.push_back(serving);
    }
}
