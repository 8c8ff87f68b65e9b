//! The connection to an instance, for a program that does one thing after another.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::cli::units::about;
use crate::rpc::proto::v1::neap_client::NeapClient;
use crate::rpc::proto::v1::{self, ErrorDetail};
use crate::rpc::{Address, ClientTls, ConnectError, connect_to, error_detail};

/// An answer may be this large: a list of very many processes.
const LARGEST_ANSWER: usize = 256 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// There is no connection.
    #[error("{0}")]
    Unreachable(#[from] ConnectError),
    /// Somebody holds the socket, and says nothing.
    #[error(
        "the instance at {} has not answered for {}: is its supervisor stopped, or out of descriptors?",
        .0.display(),
        about(*.1)
    )]
    Silent(PathBuf, Duration),
    /// The connection has ended.
    #[error("the instance has ended the connection: {0}")]
    Lost(String),
    /// The instance refuses.
    #[error("{message}")]
    Refused {
        /// The status.
        code: Code,
        /// For people.
        message: String,
        /// For programs.
        detail: Box<ErrorDetail>,
    },
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        let detail = error_detail(&status);
        match (status.code(), detail) {
            // The server says more of what it refuses.
            (Code::Unavailable | Code::Unknown | Code::Cancelled, None) => {
                ClientError::Lost(status.message().to_owned())
            }
            (code, detail) => ClientError::Refused {
                code,
                message: status.message().to_owned(),
                detail: Box::new(detail.unwrap_or_default()),
            },
        }
    }
}

/// A connection.
pub(super) struct Client {
    runtime: Arc<Runtime>,
    calls: NeapClient<Channel>,
    socket: PathBuf,
}

/// What comes one after another.
pub(super) struct Stream<T> {
    runtime: Arc<Runtime>,
    items: Option<Streaming<T>>,
}

impl<T> Iterator for Stream<T> {
    type Item = Result<T, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        let items = self.items.as_mut()?;
        match self.runtime.block_on(items.message()) {
            Ok(Some(item)) => Some(Ok(item)),
            Ok(None) => {
                self.items = None;
                None
            }
            Err(status) => {
                self.items = None;
                Some(Err(status.into()))
            }
        }
    }
}

/// Calls that are answered once.
macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident($request:ident) -> $response:ident;)*) => {
        impl Client {
            $($(#[$doc])* pub(super) fn $name(&mut self, request: v1::$request) -> Result<v1::$response, ClientError> {
                Ok(self.runtime.block_on(self.calls.$name(Request::new(request)))?.into_inner())
            })*
        }
    };
}

calls! {
    /// The instance.
    get_status(GetStatusRequest) -> GetStatusResponse;
    /// Its processes.
    list(ListRequest) -> ListResponse;
    /// And their specs.
    describe(DescribeRequest) -> DescribeResponse;
    /// Starts.
    start(StartRequest) -> StartResponse;
    /// Stops.
    stop(StopRequest) -> StopResponse;
    /// Stops and starts.
    restart(RestartRequest) -> RestartResponse;
    /// Has processes read their configuration.
    reload(ReloadRequest) -> ReloadResponse;
    /// Sends a signal.
    signal(SignalRequest) -> SignalResponse;
    /// Waits for a state.
    wait(WaitRequest) -> WaitResponse;
    /// The causes behind a state.
    why(WhyRequest) -> WhyResponse;
    /// How processes are related.
    graph(GraphRequest) -> GraphResponse;
    /// Says what a configuration would change.
    plan(PlanRequest) -> PlanResponse;
    /// Makes a configuration so.
    apply(ApplyRequest) -> ApplyResponse;
    /// What processes use.
    stats(StatsRequest) -> StatsResponse;
    /// What a program is executed with.
    get_environment(GetEnvironmentRequest) -> GetEnvironmentResponse;
    /// Makes a process.
    create(CreateRequest) -> CreateResponse;
    /// Changes one.
    update(UpdateRequest) -> UpdateResponse;
    /// Forgets processes.
    delete(DeleteRequest) -> DeleteResponse;
    /// Ends the instance.
    shutdown(ShutdownRequest) -> ShutdownResponse;
    /// Puts a new binary in place.
    upgrade(UpgradeRequest) -> UpgradeResponse;
}

impl Client {
    /// Connects to the instance at this socket. It has answered once when this returns: a socket outlives whoever answers.
    pub(super) fn connect(socket: &Path, patience: Duration) -> Result<Client, ClientError> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| ClientError::Lost(format!("cannot wait for it: {error}")))?;
        let channel = match runtime.block_on(reach(socket, patience)) {
            Err(ConnectError::TimedOut(_)) => return Err(ClientError::Silent(socket.to_owned(), patience)),
            channel => channel?,
        };
        let mut health = HealthClient::new(channel.clone());
        // A server waits only so long for a connection's first call, and a command may have something to read before. Nobody
        // waits for its answer: what it refuses, it refuses of the call that is meant, too.
        runtime.spawn(async move { health.check(HealthCheckRequest::default()).await.map(drop) });
        let calls = NeapClient::new(channel).max_decoding_message_size(LARGEST_ANSWER);
        Ok(Client { runtime: Arc::new(runtime), calls, socket: socket.to_owned() })
    }

    /// Where it leads.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// A session of the REPL: what comes out of the receiver goes to it. While somebody reads the stream, what is put in on
    /// another thread is sent, too.
    pub(super) fn eval(
        &mut self,
        requests: UnboundedReceiver<v1::EvalRequest>,
    ) -> Result<Stream<v1::EvalResponse>, ClientError> {
        let requests = UnboundedReceiverStream::new(requests);
        let items = self.runtime.block_on(self.calls.eval(Request::new(requests)))?.into_inner();
        Ok(Stream { runtime: Arc::clone(&self.runtime), items: Some(items) })
    }

    /// Events.
    pub(super) fn watch(&mut self, request: v1::WatchRequest) -> Result<Stream<v1::WatchResponse>, ClientError> {
        let items = self.runtime.block_on(self.calls.watch(Request::new(request)))?.into_inner();
        Ok(Stream { runtime: Arc::clone(&self.runtime), items: Some(items) })
    }

    /// Lines.
    pub(super) fn logs(&mut self, request: v1::LogsRequest) -> Result<Stream<v1::LogsResponse>, ClientError> {
        let items = self.runtime.block_on(self.calls.logs(Request::new(request)))?.into_inner();
        Ok(Stream { runtime: Arc::clone(&self.runtime), items: Some(items) })
    }
}

/// The socket or address, with TLS as the environment has it.
async fn reach(socket: &Path, patience: Duration) -> Result<Channel, ConnectError> {
    let address = Address::of_client(socket)?;
    let tls = match &address {
        Address::Unix(_) => None,
        Address::Tcp { .. } => tls()?,
    };
    connect_to(&address, tls.as_ref(), patience).await
}

/// What NEAP_TLS_CA, NEAP_TLS_CERT and NEAP_TLS_KEY say.
fn tls() -> Result<Option<ClientTls>, ConnectError> {
    let file = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let Some(ca) = file("NEAP_TLS_CA") else { return Ok(None) };
    let own = file("NEAP_TLS_CERT").zip(file("NEAP_TLS_KEY"));
    let own = own.as_ref().map(|(cert, key)| (cert.as_path(), key.as_path()));
    Ok(Some(ClientTls::load(&ca, own)?))
}
