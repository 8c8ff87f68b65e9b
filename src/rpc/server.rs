//! The server: both services, health and reflection, on threads of its own.

use std::io;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic_health::ServingStatus;

use super::accept::{Door, accept_all};
use super::backend::Backend;
use super::gate::GateLayer;
use super::instance::Served;
use super::legacy::ProcessManagerService;
use super::listen::Listener;
use super::neap::NeapService;
use super::proto::DESCRIPTORS;
use super::proto::process_manager::process_manager_server::ProcessManagerServer;
use super::proto::v1::neap_server::NeapServer;

/// Threads for all calls: none of them computes.
const THREADS: usize = 2;
/// Threads for what blocks: evaluations, tails of logs.
const BLOCKING_THREADS: usize = 8;
/// The largest request: a spec with a large environment.
const LARGEST_REQUEST: usize = 1 << 20;
/// Calls at a time of one connection.
const MOST_CALLS: u32 = 256;
/// How long a stop waits for its threads to drop what they held.
const TIDY: Duration = Duration::from_millis(500);
/// Headers of one call.
const LARGEST_HEADERS: u32 = 16 << 10;

/// Serves an instance on its control socket, until it is stopped or dropped.
///
/// A client that goes away, does not read, or sends nonsense costs its own connection and nothing else.
#[derive(Debug)]
pub struct Server {
    runtime: Option<Runtime>,
    stop: Option<watch::Sender<()>>,
    stopped: Receiver<()>,
}

impl Server {
    /// Serves from now on, on this listener: one made by [`bind_control_socket`](super::bind_control_socket), or one
    /// that was handed down.
    ///
    /// # Errors
    /// When the kernel refuses threads or descriptors.
    pub fn start(backend: Arc<dyn Backend>, listener: UnixListener) -> io::Result<Server> {
        Server::start_all(backend, vec![Listener::Unix(listener)])
    }

    /// Serves from now on, on all of these.
    ///
    /// # Errors
    /// When the kernel refuses threads or descriptors.
    pub fn start_all(backend: Arc<dyn Backend>, listeners: Vec<Listener>) -> io::Result<Server> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_name("neap-rpc")
            .enable_all()
            .build()?;
        let gate = GateLayer(backend.access());
        let routes = runtime.block_on(routes(backend))?;
        let (stop, stopping) = watch::channel(());
        let (tell, stopped) = channel();
        let _in_it = runtime.enter();
        for listener in listeners {
            let tls = match &listener {
                Listener::Tls(_, tls) => Some(tls.config()),
                _ => None,
            };
            let door = Door::open(listener)?;
            let mut server = tonic::transport::Server::builder();
            if let Some(tls) = tls {
                server = server.tls_config(tls).map_err(io::Error::other)?;
            }
            let router = server
                .max_concurrent_streams(MOST_CALLS)
                .http2_max_header_list_size(LARGEST_HEADERS)
                .layer(gate.clone())
                .add_routes(routes.clone());
            let (mut stopping, tell) = (stopping.clone(), tell.clone());
            runtime.spawn(async move {
                let (taker, taken) = mpsc::channel(1);
                let accepting = tokio::spawn(accept_all(door, taker));
                let accepted = accepting.abort_handle();
                let serving = router.serve_with_incoming_shutdown(ReceiverStream::new(taken), async move {
                    // Told by the sender's end.
                    while stopping.changed().await.is_ok() {}
                    accepted.abort();
                });
                // Nothing that it could fail of is left: accept errors do not reach it.
                let _ = serving.await;
                drop(tell);
            });
        }
        drop(_in_it);
        Ok(Server { runtime: Some(runtime), stop: Some(stop), stopped })
    }

    /// Takes no more connections, lets calls end for so long, and cuts off the rest. Not for async code, which it
    /// blocks.
    pub fn stop(mut self, grace: Duration) {
        drop(self.stop.take());
        // Nobody sends anything: it is over when the last one that could is gone.
        let _ = self.stopped.recv_timeout(grace);
        if let Some(runtime) = self.runtime.take() {
            // Calls that block end by themselves; none holds up a stop.
            runtime.shutdown_timeout(TIDY);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waits for nothing, so that it may be dropped anywhere: what still runs ends when it next could.
            runtime.shutdown_background();
        }
    }
}

async fn routes(backend: Arc<dyn Backend>) -> io::Result<Routes> {
    let served = Served::new(backend);
    let neap = NeapServer::new(NeapService::new(served.clone())).max_decoding_message_size(LARGEST_REQUEST);
    let legacy = ProcessManagerServer::new(ProcessManagerService::new(served));
    let legacy = legacy.max_decoding_message_size(LARGEST_REQUEST);
    let (health, health_server) = tonic_health::server::health_reporter();
    health.set_serving::<NeapServer<NeapService>>().await;
    health.set_serving::<ProcessManagerServer<ProcessManagerService>>().await;
    health.set_service_status("", ServingStatus::Serving).await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    Ok(Routes::new(neap)
        .add_service(legacy)
        .add_service(health_server)
        .add_service(reflection().build_v1().map_err(io::Error::other)?)
        .add_service(reflection().build_v1alpha().map_err(io::Error::other)?))
}
