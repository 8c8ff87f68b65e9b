//! A session and the client at its other end.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_stream::Stream;
use tonic::{Request, Status};

use crate::core::EventKind;
use crate::lua::{Answer, Candidates, Item, Items, Session, SessionRequest, Values};
use crate::rpc::caller::Caller;
use crate::rpc::convert::millis;
use crate::rpc::event::event;
use crate::rpc::fault::Fault;
use crate::rpc::instance::{Counts, Served};
use crate::rpc::neap::Streaming;
use crate::rpc::proto::v1;
use crate::rpc::proto::v1::eval_request::Item as Asked;
use crate::rpc::proto::v1::eval_response::Item as Said;
use crate::{Events, Next};

/// Messages that wait for a client.
const AHEAD: usize = 16;

/// Columns of results where the client does not say.
const WIDTH: usize = 100;

/// Names of failed processes in the banner.
const NAMED: usize = 8;

type Message = Result<v1::EvalResponse, Status>;

/// The answers: two tasks feed them. Dropped, as when the client goes away, they end, and the session with them.
struct Answering {
    messages: mpsc::Receiver<Message>,
    tasks: [AbortHandle; 2],
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Stream for Answering {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.messages.poll_recv(cx)
    }
}

/// Opens a session for a client.
pub(super) async fn open(
    served: &Served,
    request: Request<tonic::Streaming<v1::EvalRequest>>,
) -> Result<Streaming<v1::EvalResponse>, Status> {
    let caller = request.extensions().get::<Caller>().cloned();
    let (text, role) = match &caller {
        Some(caller) => (caller.text.to_string(), caller.role.as_str()),
        None => ("a program".to_owned(), "observer"),
    };
    let mut asked = request.into_inner();
    let opening = match asked.message().await?.and_then(|message| message.item) {
        Some(Asked::Open(opening)) => opening,
        _ => return Err(Fault::invalid("item", "the first message of a session is `open`").into()),
    };
    let name = opening.name.filter(|name| is_plain(name)).unwrap_or_else(|| "repl".to_owned());
    let width = opening.width.map_or(WIDTH, |width| usize::try_from(width).unwrap_or(WIDTH));
    let caller = format!("{text}, {name}");
    let opening = SessionRequest { read_only: opening.read_only, width, name, caller };
    let read_only = opening.read_only;
    // Before the session is there, so that it misses no newer configuration.
    let events = served.supervisor().events();
    let (session, items) = served.open_session(opening).await?;
    let generation = session.generation();
    let role = if read_only { format!("{role}, read-only") } else { role.to_owned() };
    let banner = banner(served, generation, &role).await?;
    let (messages, receiver) = mpsc::channel(AHEAD);
    let hello = v1::EvalHello { banner, generation, role };
    // There is room for it.
    let _ = messages.try_send(Ok(said(Said::Hello(hello))));
    let (follow, following) = tokio::sync::watch::channel(false);
    let telling = Telling { served: served.clone(), generation, messages: messages.downgrade(), following };
    let tasks = [
        tokio::spawn(converse(session, items, Client { asked, messages, follow })).abort_handle(),
        tokio::spawn(telling.tell(events)).abort_handle(),
    ];
    Ok(Box::pin(Answering { messages: receiver, tasks }))
}

/// Whether errors may call a session's lines so.
fn is_plain(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

fn said(item: Said) -> v1::EvalResponse {
    v1::EvalResponse { item: Some(item) }
}

/// Who the instance is and how it is, for people.
async fn banner(served: &Served, generation: u64, role: &str) -> Result<String, Fault> {
    let info = served.info();
    let all = served.all().await?;
    let counts = Counts::of(&all);
    let of = match &info.config_path {
        Some(path) => path.display().to_string(),
        None => "no configuration".to_owned(),
    };
    let mut banner = format!("neap {} · {of} · generation {generation} · pid {} · {role}\n", info.version, info.pid);
    banner.push_str(&format!("{} processes, {} running", counts.total, counts.running));
    if counts.stopped > 0 {
        banner.push_str(&format!(", {} stopped", counts.stopped));
    }
    if counts.failed > 0 {
        use crate::core::StateName::{Crashed, Failed};
        let failed = all.iter().filter(|found| matches!(found.status.state, Failed | Crashed));
        let names: Vec<&str> = failed.map(|found| &*found.status.name).take(NAMED).collect();
        let more = if usize::try_from(counts.failed).is_ok_and(|count| count > NAMED) { ", …" } else { "" };
        banner.push_str(&format!(", {} failed: {}{more}", counts.failed, names.join(", ")));
    }
    banner.push('\n');
    if let Some(refused) = &info.refused {
        banner.push_str(&format!("a newer configuration was refused: {refused}\n"));
    }
    for degraded in &info.degraded {
        banner.push_str(&format!("degraded: {degraded}\n"));
    }
    banner.push_str("p.NAME is a process; help() says what there is");
    Ok(banner)
}

/// What a client sends, and the way back.
struct Client {
    asked: tonic::Streaming<v1::EvalRequest>,
    messages: mpsc::Sender<Message>,
    follow: tokio::sync::watch::Sender<bool>,
}

/// Takes what the client asks to the session, and what that says to the client, until either ends.
async fn converse(mut session: Session, mut items: Items, client: Client) {
    let Client { mut asked, messages, follow } = client;
    let back = messages.clone();
    // Ends with the session, which this function's end drops.
    let answers = tokio::spawn(async move {
        while let Some(item) = items.next().await {
            if back.send(Ok(said(item_of(item)))).await.is_err() {
                break;
            }
        }
    });
    // A client that is done asking still wants its answers; one that is gone has this task aborted.
    while let Ok(Some(message)) = asked.message().await {
        let refusal = match message.item {
            Some(Asked::Line(line)) => {
                let timeout = line.timeout.map(Duration::from_millis);
                session.evaluate(line.id, line.text, timeout).err().map(|why| (line.id, why))
            }
            Some(Asked::Cancel(cancel)) => {
                session.cancel(cancel.id);
                None
            }
            Some(Asked::Complete(complete)) => {
                let cursor = usize::try_from(complete.cursor).unwrap_or(usize::MAX);
                let begun = session.complete(complete.id, complete.text, cursor);
                begun.err().map(|why| (complete.id, why))
            }
            Some(Asked::Follow(wanted)) => {
                follow.send_replace(wanted.events);
                None
            }
            Some(Asked::Open(_)) | None => Some((0, "the session is open already".to_owned())),
        };
        if let Some((id, message)) = refusal {
            let error = v1::EvalError { id, message, ..Default::default() };
            if messages.send(Ok(said(Said::Error(error)))).await.is_err() {
                break;
            }
        }
    }
    session.finish();
    let _ = answers.await;
}

fn item_of(item: Item) -> Said {
    match item {
        Item::Print { id, text } => Said::Print(v1::EvalPrint { id, text }),
        Item::Answer(Answer { id, took, result: Ok(values) }) => {
            let Values { shown: values, json, not_json } = values;
            Said::Result(v1::EvalResult { id, values, json, took: millis(took), not_json })
        }
        Item::Answer(Answer { id, result: Err(trouble), .. }) => Said::Error(v1::EvalError {
            id,
            message: trouble.message,
            traceback: trouble.traceback,
            incomplete: trouble.incomplete,
            cancelled: trouble.cancelled,
            timed_out: trouble.timed_out,
        }),
        Item::Candidates(Candidates { id, start, candidates }) => {
            let candidates = candidates
                .into_iter()
                .map(|candidate| v1::EvalCandidate { text: candidate.text, detail: candidate.detail })
                .collect();
            Said::Candidates(v1::EvalCandidates { id, start: u32::try_from(start).unwrap_or(0), candidates })
        }
    }
}

/// Tells a client what happens beside its lines.
struct Telling {
    served: Served,
    generation: u64,
    /// Not what keeps the stream open.
    messages: mpsc::WeakSender<Message>,
    following: tokio::sync::watch::Receiver<bool>,
}

impl Telling {
    async fn tell(self, mut events: Events) {
        let mut told = self.generation;
        while let Some(next) = events.next().await {
            let followed = *self.following.borrow();
            let mut message = None;
            match next {
                Next::Lagged(lost) if followed => message = Some(Said::Lag(v1::Lag { lost })),
                Next::Lagged(_) => {}
                Next::Item(happened) => {
                    if matches!(happened.kind, EventKind::Applied { .. })
                        && let Some(newer) = self.newer(told).await
                    {
                        told = newer;
                        let text = format!(
                            "generation {newer} is live now; this session still sees the functions of generation {}: \
                             attach again for those of the new one",
                            self.generation
                        );
                        if !self.send(Said::Notice(text)).await {
                            return;
                        }
                    }
                    if followed {
                        message = Some(Said::Event(event(&happened, self.served.name())));
                    }
                }
            }
            if let Some(message) = message
                && !self.send(message).await
            {
                return;
            }
        }
    }

    /// False once nobody is there any more.
    async fn send(&self, item: Said) -> bool {
        let Some(messages) = self.messages.upgrade() else { return false };
        messages.send(Ok(said(item))).await.is_ok()
    }

    /// The generation that is live, when it is another than that.
    async fn newer(&self, told: u64) -> Option<u64> {
        let live = self.served.supervisor().shared().ask(|engine| engine.machine().generation()).await.ok()?;
        (live != told).then_some(live)
    }
}
