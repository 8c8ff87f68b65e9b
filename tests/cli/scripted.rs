//! An instance of which only the sessions are there, and those behave as badly as the test wants.

use std::path::PathBuf;
use std::pin::Pin;

use neap::rpc::proto::v1::neap_server::{Neap as Calls, NeapServer};
use neap::rpc::proto::v1::{
    self, EvalCandidate, EvalCandidates, EvalError, EvalHello, EvalPrint, EvalRequest, EvalResponse, eval_request,
    eval_response,
};
use nix::sys::signal::Signal;
use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::{Code, Request, Response, Status, Streaming};

use crate::support::{Folder, Neap};
use crate::terminal::Terminal;

type Items = Pin<Box<dyn Stream<Item = Result<EvalResponse, Status>> + Send>>;
type Nothing<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What is answered to a request: items, and then whether the session goes on.
type Script = fn(eval_request::Item) -> Result<(Vec<eval_response::Item>, bool), Status>;

struct Instance(Script);

/// The calls that are not there, and the one that is.
macro_rules! only_eval {
    ($($name:ident($request:ident) -> $response:ident,)*) => {
        #[tonic::async_trait]
        impl Calls for Instance {
            $(async fn $name(&self, _: Request<v1::$request>) -> Result<Response<v1::$response>, Status> {
                Err(Status::unimplemented("only sessions are there"))
            })*

            type WatchStream = Nothing<v1::WatchResponse>;

            async fn watch(&self, _: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
                Err(Status::unimplemented("only sessions are there"))
            }

            type LogsStream = Nothing<v1::LogsResponse>;

            async fn logs(&self, _: Request<v1::LogsRequest>) -> Result<Response<Self::LogsStream>, Status> {
                Err(Status::unimplemented("only sessions are there"))
            }

            type EvalStream = Items;

            async fn eval(&self, request: Request<Streaming<EvalRequest>>) -> Result<Response<Items>, Status> {
                Ok(Response::new(played(self.0, request.into_inner())))
            }
        }
    };
}

only_eval! {
    get_status(GetStatusRequest) -> GetStatusResponse,
    list(ListRequest) -> ListResponse,
    describe(DescribeRequest) -> DescribeResponse,
    start(StartRequest) -> StartResponse,
    stop(StopRequest) -> StopResponse,
    restart(RestartRequest) -> RestartResponse,
    reload(ReloadRequest) -> ReloadResponse,
    signal(SignalRequest) -> SignalResponse,
    wait(WaitRequest) -> WaitResponse,
    create(CreateRequest) -> CreateResponse,
    update(UpdateRequest) -> UpdateResponse,
    delete(DeleteRequest) -> DeleteResponse,
    plan(PlanRequest) -> PlanResponse,
    apply(ApplyRequest) -> ApplyResponse,
    shutdown(ShutdownRequest) -> ShutdownResponse,
    upgrade(UpgradeRequest) -> UpgradeResponse,
    why(WhyRequest) -> WhyResponse,
    graph(GraphRequest) -> GraphResponse,
    stats(StatsRequest) -> StatsResponse,
    get_environment(GetEnvironmentRequest) -> GetEnvironmentResponse,
}

fn played(script: Script, mut requests: Streaming<EvalRequest>) -> Items {
    let (sender, items) = mpsc::channel(4);
    tokio::spawn(async move {
        while let Ok(Some(EvalRequest { item: Some(item) })) = requests.message().await {
            match script(item) {
                Ok((items, goes_on)) => {
                    for item in items {
                        let _ = sender.send(Ok(EvalResponse { item: Some(item) })).await;
                    }
                    if !goes_on {
                        return;
                    }
                }
                Err(status) => {
                    let _ = sender.send(Err(status)).await;
                    return;
                }
            }
        }
    });
    Box::pin(ReceiverStream::new(items))
}

/// One that is served.
struct Served {
    socket: PathBuf,
    _runtime: Runtime,
    _folder: Folder,
}

fn served(script: Script) -> Served {
    let folder = Folder::new();
    let socket = folder.path().join("neap.sock");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(async { UnixListener::bind(&socket).unwrap() });
    let server = tonic::transport::Server::builder().add_service(NeapServer::new(Instance(script)));
    runtime.spawn(server.serve_with_incoming(UnixListenerStream::new(listener)));
    Served { socket, _runtime: runtime, _folder: folder }
}

impl Served {
    fn eval(&self, lua: &str) -> Neap {
        Neap::new(["eval", lua, "--socket", self.socket.to_str().unwrap()])
    }
}

fn hello() -> Result<(Vec<eval_response::Item>, bool), Status> {
    let hello = EvalHello { banner: "scripted".into(), generation: 1, role: "admin".into() };
    Ok((vec![eval_response::Item::Hello(hello)], true))
}

fn print(id: u64, text: &str) -> eval_response::Item {
    eval_response::Item::Print(EvalPrint { id, text: text.into() })
}

#[test]
fn an_instance_that_answers_nothing_more_is_given_up_by_a_second_interrupt() {
    let served = served(|item| match item {
        eval_request::Item::Open(_) => hello(),
        eval_request::Item::Line(line) => Ok((vec![print(line.id, "begun\n")], true)),
        eval_request::Item::Cancel(cancel) => Ok((vec![print(cancel.id, "told\n")], true)),
        _ => Ok((vec![], true)),
    });
    let eval = served.eval("anything").start();
    eval.wait_for_text("begun");
    eval.signal(Signal::SIGINT);
    eval.wait_for_text("told");
    eval.signal(Signal::SIGINT);
    eval.end().expect_code(130);
}

#[test]
fn a_session_that_ends_in_the_middle_is_told_as_that() {
    let served = served(|item| match item {
        eval_request::Item::Open(_) => hello(),
        _ => Ok((vec![], false)),
    });
    let ended = served.eval("anything").end().expect_code(5);
    assert!(ended.stderr.contains("not known"), "{ended:?}");
}

#[test]
fn a_session_that_is_refused_has_the_exit_code_of_that() {
    let refused = served(|_| Err(Status::new(Code::PermissionDenied, "you may only look")));
    let ended = refused.eval("anything").end().expect_code(6);
    assert!(ended.stderr.contains("you may only look"), "{ended:?}");
    let mute = served(|_| Ok((vec![], false)));
    let ended = mute.eval("anything").end().expect_code(5);
    assert!(ended.stderr.contains("at once"), "{ended:?}");
}

#[test]
fn answers_to_other_texts_and_prints_after_the_end_are_not_shown() {
    let served = served(|item| match item {
        eval_request::Item::Open(_) => hello(),
        eval_request::Item::Line(line) => {
            let of = |id, message: &str| {
                eval_response::Item::Error(EvalError { id, message: message.into(), ..EvalError::default() })
            };
            let items =
                vec![print(line.id + 7, "another's\n"), of(line.id + 7, "another's"), of(line.id, "this one's")];
            Ok((items, true))
        }
        _ => Ok((vec![], true)),
    });
    let ended = served.eval("anything").end().expect_code(1);
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.contains("this one's") && !ended.stderr.contains("another's"), "{ended:?}");
}

#[test]
fn candidates_that_steer_or_are_out_of_place_harm_nothing() {
    let served = served(|item| match item {
        eval_request::Item::Open(_) => hello(),
        eval_request::Item::Complete(asked) => {
            let one = |text: &str| EvalCandidate { text: text.into(), detail: "\x1b[2J\n".repeat(50) };
            let start = if asked.text == "far" { 4_000 } else { 0 };
            let candidates = vec![one("left"), one("right")];
            Ok((vec![eval_response::Item::Candidates(EvalCandidates { id: asked.id, start, candidates })], true))
        }
        eval_request::Item::Line(line) => Ok((
            vec![
                print(line.id, &line.text),
                eval_response::Item::Result(v1::EvalResult { id: line.id, ..Default::default() }),
            ],
            true,
        )),
        _ => Ok((vec![], true)),
    });
    let socket = served.socket.to_str().unwrap().to_owned();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_neap"));
    let home = Folder::new();
    command.args(["repl", "--socket", &socket]).env("HOME", home.path()).env("XDG_STATE_HOME", home.path());
    let Some(mut terminal) = Terminal::start(command) else { return };
    terminal.until("neap> ");
    terminal.keys("x\t");
    terminal.until("left");
    terminal.until("right");
    terminal.keys("\x15far\t");
    terminal.keys(" and on\r");
    terminal.until("far and on");
    terminal.until("neap> ");
    assert!(!String::from_utf8_lossy(terminal.raw()).contains("\x1b[2J"));
    terminal.keys("\x04");
    assert!(terminal.end().0.success());
}
