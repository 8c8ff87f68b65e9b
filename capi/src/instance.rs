//! What a `neap_t` is: the way to a supervisor, and the threads that go it.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

use supervisor::Supervisor;
use supervisor::rpc::proto::v1::GetStatusRequest;
use supervisor::rpc::{Address, Backend, ClientTls, ConnectError, Own, Way, connect_to, own};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;
use tonic::transport::Channel;

use crate::backend::Embedded;
use crate::calls::client;
use crate::failure::Failure;
use crate::ffi::{NEAP_ERROR_BAD_HANDLE, NEAP_ERROR_CANCELLED, NEAP_ERROR_FAILED, NEAP_ERROR_UNREACHABLE};
use crate::stream::Stream;
use crate::threads::without_signals;
use crate::wait::{Patience, Token};

/// Threads for calls that block: lists of listeners, definitions that are written down.
const BLOCKING_THREADS: usize = 4;
/// How long a free waits for its threads to drop what they held.
const TIDY: Duration = Duration::from_secs(5);
/// The same of a connection, which nothing holds up but a name that is being looked up: nobody waits for that.
const TIDY_FAR: Duration = Duration::from_secs(1);
/// How long a server gets to tell by itself that time is up, before we do.
const GRACE: Duration = Duration::from_secs(2);

/// No connection takes a year.
const LONGEST: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// A supervisor of the program's own, or a connection.
pub(crate) struct Instance {
    target: Arc<Target>,
    handle: Handle,
    runtime: Mutex<Option<Runtime>>,
    /// True once it is freed.
    over: watch::Sender<bool>,
    /// How many calls are inside, and who waits for their end.
    inside: Mutex<usize>,
    left: Condvar,
    streams: Mutex<Vec<Weak<Stream>>>,
}

enum Target {
    Own { supervisor: Supervisor, service: Own },
    Far { addresses: Vec<PathBuf>, patience: Option<Duration>, channel: tokio::sync::Mutex<Option<Channel>> },
}

/// What a call does once it has its way.
pub(crate) type Work<T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send>>;

impl Instance {
    /// A supervisor inside this program.
    pub(crate) fn own(options: Option<&str>) -> Result<Instance, Failure> {
        without_signals(|| {
            let backend = Embedded::new(options)?;
            let supervisor = backend.supervisor().clone();
            let service = own(Arc::new(backend));
            Instance::new(Target::Own { supervisor, service })
        })
    }

    /// A connection to the instance at this address, or to the user's own, else the system's.
    pub(crate) fn far(
        address: Option<&str>,
        patience: Option<Duration>,
        cancel: Option<Arc<Token>>,
    ) -> Result<Instance, Failure> {
        let addresses = match address {
            Some(address) => vec![PathBuf::from(address)],
            None => usual(),
        };
        // Threads are made here alone: who waits below may be interrupted.
        let target = Target::Far { addresses, patience, channel: tokio::sync::Mutex::default() };
        let instance = without_signals(|| Instance::new(target))?;
        let within = Patience::of(-1, cancel).within(patience.map(|patience| patience.saturating_add(GRACE)));
        // A server waits only so long for a connection's first call.
        let hello = |way| -> Work<()> {
            Box::pin(async move {
                client(way).get_status(tonic::Request::new(GetStatusRequest {})).await?;
                Ok(())
            })
        };
        let reached = instance.call(&within, hello);
        if reached.is_err() {
            instance.end();
        }
        reached.map(|()| instance).map_err(|failure| match failure.code {
            NEAP_ERROR_CANCELLED => Failure::new(NEAP_ERROR_CANCELLED, "connecting was cancelled"),
            _ => failure,
        })
    }

    fn new(target: Target) -> Result<Instance, Failure> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_name("neap-c")
            .enable_all()
            .build()
            .map_err(|error| Failure::new(NEAP_ERROR_FAILED, format!("cannot make threads: {error}")))?;
        Ok(Instance {
            target: Arc::new(target),
            handle: runtime.handle().clone(),
            runtime: Mutex::new(Some(runtime)),
            over: watch::Sender::new(false),
            inside: Mutex::new(0),
            left: Condvar::new(),
            streams: Mutex::default(),
        })
    }

    /// How long an answer may take that nothing is waited for: no bound inside the program, for it is there.
    pub(crate) fn patience(&self) -> Option<Duration> {
        match &*self.target {
            Target::Own { .. } => None,
            Target::Far { patience, .. } => *patience,
        }
    }

    /// Does this on the library's own threads and waits for it, for no longer than the caller's patience.
    pub(crate) fn call<T: Send + 'static>(
        &self,
        patience: &Patience,
        work: impl FnOnce(Way) -> Work<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let _inside = self.enter()?;
        let target = Arc::clone(&self.target);
        let mut task = self.handle.spawn(async move {
            let answer = match target.way().await {
                Ok(way) => work(way).await,
                Err(failure) => Err(failure),
            };
            if let Err(failure) = &answer {
                target.note(failure).await;
            }
            answer
        });
        let mut over = self.over.subscribe();
        let answer = patience.wait(async {
            tokio::select! {
                biased;
                answer = &mut task => Some(answer),
                _ = over.wait_for(|over| *over) => None,
            }
        });
        match answer {
            Ok(Some(Ok(answer))) => answer,
            Ok(Some(Err(error))) => Err(Failure::internal(format!("the call broke off: {error}"))),
            Ok(None) => {
                task.abort();
                Err(Failure::new(NEAP_ERROR_BAD_HANDLE, "the handle was freed while this waited"))
            }
            Err(failure) => {
                task.abort();
                Err(failure)
            }
        }
    }

    /// Has the stream be fed for as long as there is something.
    pub(crate) fn feed(&self, stream: &Arc<Stream>, feed: impl Future<Output = ()> + Send + 'static) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.retain(|known| known.strong_count() > 0);
        streams.push(Arc::downgrade(stream));
        self.handle.spawn(feed);
    }

    /// Whether it was freed, and when it is.
    pub(crate) fn over(&self) -> watch::Receiver<bool> {
        self.over.subscribe()
    }

    /// Ends the waits of those inside; stops everything in order if it is the program's own; and ends its threads.
    pub(crate) fn end(&self) {
        self.over.send_replace(true);
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        while *inside > 0 {
            inside = self.left.wait(inside).unwrap_or_else(PoisonError::into_inner);
        }
        drop(inside);
        if let Target::Own { supervisor, .. } = &*self.target {
            // One that has ended already says so, which is as well.
            let _ = Patience::default().wait(supervisor.shutdown());
            // What it told in the end is on its way to who reads.
            let streams = std::mem::take(&mut *self.streams.lock().unwrap_or_else(PoisonError::into_inner));
            let fed = async {
                for stream in streams.iter().filter_map(Weak::upgrade) {
                    stream.is_over().await;
                }
            };
            let _ = Patience::default().within(Some(TIDY)).wait(fed);
        }
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(runtime) = runtime {
            runtime.shutdown_timeout(match &*self.target {
                Target::Own { .. } => TIDY,
                Target::Far { .. } => TIDY_FAR,
            });
        }
    }

    fn enter(&self) -> Result<Inside<'_>, Failure> {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if *self.over.borrow() {
            return Err(Failure::new(NEAP_ERROR_BAD_HANDLE, "this neap_t was freed before"));
        }
        *inside += 1;
        Ok(Inside(self))
    }
}

/// A call that is under way.
struct Inside<'a>(&'a Instance);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        *self.0.inside.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.left.notify_all();
    }
}

impl Target {
    /// The way there; a connection that has ended is made anew.
    async fn way(&self) -> Result<Way, Failure> {
        match self {
            Target::Own { service, .. } => Ok(Way::Own(service.clone())),
            Target::Far { addresses, patience, channel } => {
                let mut channel = channel.lock().await;
                let there = match &*channel {
                    Some(there) => there.clone(),
                    None => channel.insert(reach(addresses, *patience).await?).clone(),
                };
                Ok(Way::Far(there))
            }
        }
    }

    /// A connection that broke off is of no more use.
    async fn note(&self, failure: &Failure) {
        if let Target::Far { channel, .. } = self
            && failure.code == NEAP_ERROR_UNREACHABLE
        {
            channel.lock().await.take();
        }
    }
}

/// Connects to the first of these that answers.
async fn reach(addresses: &[PathBuf], patience: Option<Duration>) -> Result<Channel, Failure> {
    // What has no bound is bounded by whoever waits.
    let patience = patience.unwrap_or(LONGEST).min(LONGEST);
    let mut tried = Vec::new();
    for address in addresses {
        let address = Address::of_client(address).map_err(ConnectError::from)?;
        let tls = match &address {
            Address::Unix(_) => None,
            Address::Tcp { .. } => tls()?,
        };
        match connect_to(&address, tls.as_ref(), patience).await {
            Ok(channel) => return Ok(channel),
            Err(error @ (ConnectError::NotThere(_) | ConnectError::Dead(_))) => tried.push(error.to_string()),
            Err(error) => return Err(error.into()),
        }
    }
    Err(Failure::new(NEAP_ERROR_UNREACHABLE, tried.join("; ")))
}

/// What NEAP_TLS_CA, NEAP_TLS_CERT and NEAP_TLS_KEY say.
fn tls() -> Result<Option<ClientTls>, ConnectError> {
    let file = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let Some(ca) = file("NEAP_TLS_CA") else { return Ok(None) };
    let own = file("NEAP_TLS_CERT").zip(file("NEAP_TLS_KEY"));
    let own = own.as_ref().map(|(cert, key)| (cert.as_path(), key.as_path()));
    Ok(Some(ClientTls::load(&ca, own)?))
}

/// Where the instance is that nobody named: NEAP_SOCKET, else the user's own, then the system's.
fn usual() -> Vec<PathBuf> {
    let path = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(socket) = std::env::var_os("NEAP_SOCKET").filter(|socket| !socket.is_empty()) {
        return vec![socket.into()];
    }
    let system = Path::new("/run/neap/default/neap.sock");
    let state = || path("XDG_STATE_HOME").or_else(|| Some(path("HOME")?.join(".local/state")));
    let own = match path("XDG_RUNTIME_DIR") {
        Some(dir) => Some(dir.join("neap/default/neap.sock")),
        None if nix::unistd::geteuid().is_root() => None,
        None => state().map(|dir| dir.join("neap/default/run/neap.sock")),
    };
    own.into_iter().chain([system.to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::calls::Asked;
    use crate::instance::Instance;

    /// The mask of blocked signals that a status file of /proc has.
    fn blocked(status: &str) -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    }

    #[test]
    fn the_librarys_threads_take_no_signal_and_its_children_may() {
        let before = blocked(&fs::read_to_string("/proc/thread-self/status").unwrap());
        let instance = std::sync::Arc::new(Instance::own(None).unwrap());
        assert_eq!(blocked(&fs::read_to_string("/proc/thread-self/status").unwrap()), before, "the caller's stays");
        let asked = Asked::new(instance.clone(), None);
        let file = std::env::temp_dir().join(format!("neap-capi-signals-{}", std::process::id()));
        let line = format!("cat /proc/self/status > {}", file.display());
        let spec = format!(r#"{{"command":["sh","-c","{line}"],"type":"oneshot"}}"#);
        asked.create("look", &spec, false).unwrap();
        asked.start("look", -1).unwrap();
        asked.stats(None).unwrap();
        let mut seen = 0;
        for task in fs::read_dir("/proc/self/task").unwrap() {
            let task = task.unwrap().path();
            let name = fs::read_to_string(task.join("comm")).unwrap_or_default();
            let Ok(status) = fs::read_to_string(task.join("status")) else { continue };
            // The tests' own first thread is named like the program.
            if name.starts_with("neap") && !task.ends_with(std::process::id().to_string()) {
                seen += 1;
                for signal in [1, 2, 10, 13, 15, 17] {
                    assert!(blocked(&status) & 1 << (signal - 1) != 0, "{name} takes signal {signal}");
                }
            }
        }
        assert!(seen >= 2, "{seen} threads of the library");
        assert_eq!(blocked(&fs::read_to_string(&file).unwrap()), 0, "a child has none blocked");
        fs::remove_file(file).unwrap();
        drop(asked);
        instance.end();
    }
}
