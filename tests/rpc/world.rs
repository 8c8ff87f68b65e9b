//! A served supervisor of a test's own, and clients of it.

use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use neap::rpc::proto::process_manager::process_manager_client::ProcessManagerClient;
use neap::rpc::proto::v1;
use neap::rpc::proto::v1::neap_client::NeapClient;
use neap::rpc::{
    Access, ApplyOutcome, ApplyRequest, Backend, HostPromise, Info, Listener, Server, bind_control_socket, connect,
    error_detail,
};
use neap::spec::{Plan, Problem, Severity, Spec};
use neap::{Process, Supervisor};
use tonic::Status;
use tonic::transport::Channel;

use crate::support::{DEADLINE, Epilogue, TempDir};

/// A backend that notes what it is asked.
pub struct TestBackend {
    supervisor: Supervisor,
    socket: PathBuf,
    pub asked: Mutex<Vec<String>>,
    pub generation: AtomicU32,
    pub access: Access,
}

impl Backend for TestBackend {
    fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }

    fn info(&self) -> Info {
        Info {
            instance: "test".into(),
            pid: std::process::id(),
            anchor_pid: None,
            version: "1.2.3".into(),
            started_at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000),
            ready: true,
            config_path: Some("/etc/neap/neap.lua".into()),
            generation: u64::from(self.generation.load(Ordering::Relaxed)),
            refused: None,
            degraded: vec![],
            promises: vec![HostPromise {
                what: "children outlive the supervisor".into(),
                kept: false,
                why: "no anchor".into(),
            }],
            runtime_dir: "/run/neap".into(),
            state_dir: "/var/lib/neap".into(),
            socket: self.socket.clone(),
        }
    }

    fn access(&self) -> Access {
        self.access.clone()
    }

    fn apply(&self, request: ApplyRequest) -> Result<ApplyOutcome, Vec<Problem>> {
        self.asked.lock().unwrap().push(format!("apply {:?} {}", request.config, request.dry_run));
        if request.config.as_ref().is_some_and(|path| path.ends_with("bad.lua")) {
            let problem = |severity, message: &str| Problem {
                severity,
                file: Some("bad.lua".into()),
                line: Some(3),
                process: Some("web".into()),
                field: Some("restart.delay".into()),
                message: message.into(),
            };
            let odd = problem(Severity::Warning, "is odd");
            return Err(vec![problem(Severity::Error, "is no duration"), odd]);
        }
        let generation = u64::from(self.generation.fetch_add(1, Ordering::Relaxed)) + 1;
        let mut plan = Plan::new();
        plan.insert(Spec::new("web", ["sleep", "60"])).expect("a plan of one");
        let changes = self.supervisor.plan(&plan).expect("what it would do");
        Ok(ApplyOutcome { generation, changes, warnings: vec![], config: request.config })
    }

    fn shutdown(&self, caller: Option<Arc<str>>) {
        self.asked.lock().unwrap().push("shutdown".into());
        drop(self.supervisor.on_behalf_of(caller.unwrap_or_default()).shutdown());
    }

    fn upgrade(&self, binary: Option<PathBuf>) -> Result<(), String> {
        self.asked.lock().unwrap().push(format!("upgrade {binary:?}"));
        Err("there is no anchor to do it".into())
    }
}

/// A served supervisor. When dropped, everything is stopped, and nothing is left.
pub struct World {
    pub supervisor: Supervisor,
    pub backend: Arc<TestBackend>,
    pub socket: PathBuf,
    pub dir: TempDir,
    server: Option<Server>,
    runtime: Option<tokio::runtime::Runtime>,
    _epilogue: Epilogue,
}

impl World {
    pub fn new() -> World {
        World::at(|_| Vec::new())
    }

    /// One that is served at these, too.
    pub fn at(also: impl FnOnce(&TempDir) -> Vec<Listener>) -> World {
        let epilogue = Epilogue::new();
        let dir = TempDir::new();
        let supervisor = Supervisor::builder().base_dir(dir.path()).build().expect("a supervisor");
        let socket = dir.path().join("run/neap.sock");
        let backend = TestBackend {
            supervisor: supervisor.clone(),
            socket: socket.clone(),
            asked: Mutex::default(),
            generation: AtomicU32::new(0),
            access: Access::default(),
        };
        let backend = Arc::new(backend);
        let listener = bind_control_socket(&socket).expect("a socket");
        let listeners = std::iter::once(Listener::Unix(listener)).chain(also(&dir)).collect();
        let server = Server::start_all(backend.clone(), listeners).expect("a server");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (server, runtime) = (Some(server), Some(runtime));
        World { supervisor, backend, socket, dir, server, runtime, _epilogue: epilogue }
    }

    /// A process that this shell line is.
    pub fn add(&self, spec: Spec) -> Process {
        self.supervisor.add(spec).expect("a good spec")
    }

    /// A process that waits, started.
    pub fn start(&self, name: &str) -> Process {
        let process = self.add(sleeper(name));
        process.start_blocking().expect("it starts");
        process
    }

    /// Runs a client, within a deadline that only fails.
    pub fn run<T>(&self, client: impl Future<Output = T>) -> T {
        let runtime = self.runtime.as_ref().expect("there until the drop");
        let client = async { tokio::time::timeout(DEADLINE, client).await };
        runtime.block_on(client).expect("the client is done in time")
    }

    pub async fn channel(&self) -> Channel {
        connect(&self.socket, DEADLINE).await.expect("a connection")
    }

    pub async fn neap(&self) -> NeapClient<Channel> {
        NeapClient::new(self.channel().await)
    }

    pub async fn legacy(&self) -> ProcessManagerClient<Channel> {
        ProcessManagerClient::new(self.channel().await)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The client's end first, so that no call is left.
        drop(self.runtime.take());
        if let Some(server) = self.server.take() {
            server.stop(Duration::from_secs(2));
        }
        self.supervisor.shutdown().wait().expect("everything stops");
    }
}

/// A process that waits to be stopped.
pub fn sleeper(name: &str) -> Spec {
    Spec::new(name, ["sleep", "1000"])
}

pub fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The word of an error's detail.
pub fn word(status: &Status) -> String {
    error_detail(status).expect("a detail").code
}

pub fn state(number: i32) -> v1::State {
    v1::State::try_from(number).expect("a state")
}
