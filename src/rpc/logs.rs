//! Logs: what processes printed, and print, as a stream.
//!
//! A process that has a log file is read from that: it survives rotation and the supervisor, and each line has a place
//! that a client can come back to. The others are read from their rings and followed by the hub.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio_stream::Stream;
use tonic::Status;

use super::fault::Fault;
use super::instance::{Served, blocking};
use super::proto::v1;
use crate::core::ProcessId;
use crate::glob::{glob_matches, is_glob};
use crate::log::{LogBatch, LogCursor, LogFrom, LogReader, Tail};
use crate::{Line, Lines, Next, StreamKind};

/// Lines of one message; each has at most 16 KiB.
const BATCH: usize = 64;
/// Messages that wait for a client.
const AHEAD: usize = 4;

type Message = Result<v1::LogsResponse, Status>;
type Sender = mpsc::Sender<Message>;

/// The stream: a task reads, as fast as the client takes it. Dropping it ends the task.
pub(super) struct Reading {
    messages: mpsc::Receiver<Message>,
    task: AbortHandle,
}

impl Reading {
    pub(super) async fn new(served: &Served, request: v1::LogsRequest) -> Result<Self, Fault> {
        let plan = Plan::new(served, request).await?;
        let (sender, messages) = mpsc::channel(AHEAD);
        let task = tokio::spawn(plan.run(sender)).abort_handle();
        Ok(Reading { messages, task })
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Stream for Reading {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.messages.poll_recv(cx)
    }
}

/// Where one process's lines come from.
enum Source {
    File(LogReader),
    /// What its ring keeps.
    Ring(Vec<Arc<Line>>),
}

/// What is to be read.
struct Plan {
    served: Served,
    sources: Vec<(Arc<str>, Source)>,
    /// Lines at most of each that does not follow.
    most: usize,
    follow: bool,
    /// Lines of processes without a file, and of those to come.
    hub: Option<Lines>,
    names: Vec<String>,
    /// Ids of processes by name, as far as they are known.
    ids: BTreeMap<Arc<str>, String>,
}

impl Plan {
    async fn new(served: &Served, request: v1::LogsRequest) -> Result<Self, Fault> {
        // What is printed from now on comes to the follower; what was before is kept.
        let mut hub = request.follow.then(|| served.supervisor().output());
        let found = match served.these(request.names.clone()).await {
            // Those that a glob means may be yet to come.
            Err(_) if request.follow && request.names.iter().all(|name| is_glob(name)) => Vec::new(),
            found => found?,
        };
        let most = request.tail.map_or(usize::MAX, |tail| usize::try_from(tail).unwrap_or(usize::MAX));
        let mut wanted = Vec::with_capacity(found.len());
        for one in &found {
            wanted.push((one.status.id, one.status.name.clone(), from(&one.status.name, &request.cursors, most)?));
        }
        let sources = open(served, wanted, most).await?;
        let open_ended = request.names.is_empty() || request.names.iter().any(|name| is_glob(name));
        if !open_ended && sources.iter().all(|(_, source)| matches!(source, Source::File(_))) {
            hub = None;
        }
        let ids: BTreeMap<Arc<str>, String> = found.into_iter().map(|one| (one.status.name, one.uuid)).collect();
        let mut names = request.names;
        // An id means a name from here on.
        for name in &mut names {
            if let Some((known, _)) = ids.iter().find(|(_, id)| *id == name) {
                *name = known.to_string();
            }
        }
        let most = if request.cursors.is_empty() { most } else { usize::MAX };
        Ok(Plan { served: served.clone(), sources, most, follow: request.follow, hub, names, ids })
    }

    async fn run(self, sender: Sender) {
        // It fails when nobody takes what it sends.
        let _ = self.read(&sender).await;
    }

    async fn read(self, sender: &Sender) -> Result<(), Gone> {
        let Plan { served, sources, most, follow, hub, names, mut ids } = self;
        let mut followed = JoinSet::new();
        let mut filed: BTreeSet<Arc<str>> = BTreeSet::new();
        let mut told = Told::default();
        for (name, source) in sources {
            let id = ids.get(&name).cloned().unwrap_or_default();
            match source {
                Source::Ring(lines) => {
                    for batch in lines.chunks(BATCH) {
                        send(sender, batch.iter().map(|line| from_memory(line, &id)).collect()).await?;
                    }
                    told.keep(lines);
                }
                Source::File(reader) => {
                    let mut file = FromFile { name: name.clone(), id, reader: Some(reader) };
                    let going = file.rest(sender, if follow { usize::MAX } else { most }, !follow).await?;
                    if follow && going {
                        filed.insert(name);
                        let sender = sender.clone();
                        followed.spawn(file.follow(sender));
                    }
                }
            }
        }
        if !follow {
            return Ok(());
        }
        let mut hub = hub.map(|lines| Followed { lines, lost: None });
        while let Some(lines) = &mut hub {
            let next = poll_fn(|cx| {
                // A process that was deleted is followed by the hub, should it come again.
                while let Poll::Ready(Some(ended)) = followed.poll_join_next(cx) {
                    if let Ok(name) = ended {
                        filed.remove(&name);
                    }
                }
                lines.poll(cx)
            });
            let Some((lines, lost)) = next.await else { break };
            if let Some(lost) = lost {
                lag(sender, None, Some(lost)).await?;
            }
            let mut batch = Vec::new();
            for line in lines {
                let meant = names.is_empty() || names.iter().any(|name| is_meant(name, &line.process));
                if !meant || filed.contains(&line.process) || told.was(&line) {
                    continue;
                }
                if !ids.contains_key(&line.process) {
                    let id = served.one(line.process.to_string()).await.map(|found| found.uuid).unwrap_or_default();
                    ids.insert(line.process.clone(), id);
                }
                batch.push(from_memory(&line, &ids[&line.process]));
            }
            send(sender, batch).await?;
        }
        while followed.join_next().await.is_some() {}
        Ok(())
    }
}

/// Where to begin in a process's file.
fn from(name: &str, cursors: &HashMap<String, String>, most: usize) -> Result<LogFrom, Fault> {
    match cursors.get(name) {
        Some(text) => {
            let cursor: LogCursor = text.parse().map_err(|error| Fault::invalid("cursors", format!("{error}")))?;
            Ok(LogFrom::Cursor(cursor))
        }
        // Whoever has cursors, but none of this one, has seen nothing of it.
        None if !cursors.is_empty() || most == usize::MAX => Ok(LogFrom::Start),
        None => Ok(LogFrom::Tail(most)),
    }
}

/// The sources of these, opened on a thread that may block.
async fn open(
    served: &Served,
    wanted: Vec<(ProcessId, Arc<str>, LogFrom)>,
    most: usize,
) -> Result<Vec<(Arc<str>, Source)>, Fault> {
    let ask = served.supervisor().shared();
    let tails = ask.ask(move |engine| {
        let tail = |(id, name, from)| Some((name, engine.tail(id)?, from));
        wanted.into_iter().filter_map(tail).collect::<Vec<(Arc<str>, Tail, LogFrom)>>()
    });
    let tails = tails.await?;
    let read = move |(name, tail, from): (Arc<str>, Tail, LogFrom)| {
        tail.flush();
        let source = match tail.reader(from) {
            Ok(Some(reader)) => Source::File(reader),
            // What cannot be read back was kept in memory, too.
            Ok(None) | Err(_) => Source::Ring(tail.last_shared(most)),
        };
        (name, source)
    };
    blocking(move || tails.into_iter().map(read).collect()).await
}

/// Nobody reads any more.
struct Gone;

/// One process's file on its way to the client.
struct FromFile {
    name: Arc<str>,
    id: String,
    /// With whoever reads: it goes to a thread that may block, and comes back.
    reader: Option<LogReader>,
}

impl FromFile {
    /// Sends what there is; false when it cannot be read any further.
    async fn rest(&mut self, sender: &Sender, most: usize, last: bool) -> Result<bool, Gone> {
        let mut left = most;
        while left > 0 {
            let batch = match self.next(left.min(BATCH)).await {
                Ok(batch) => batch,
                Err(_) => {
                    lag(sender, Some(&self.name), None).await?;
                    return Ok(false);
                }
            };
            if batch.lagged {
                lag(sender, Some(&self.name), None).await?;
            }
            if batch.lines.is_empty() {
                break;
            }
            left -= batch.lines.len().min(left);
            send(
                sender,
                batch.lines.into_iter().map(|line| self.line(line.text, line.partial, Some(line.cursor))).collect(),
            )
            .await?;
        }
        let unfinished = self.reader.as_ref().map(|reader| reader.unfinished().to_vec()).unwrap_or_default();
        if last && left > 0 && !unfinished.is_empty() {
            send(sender, vec![self.line(unfinished, true, None)]).await?;
        }
        Ok(true)
    }

    /// Sends what comes, until nothing can come any more; then tells whose it was.
    async fn follow(mut self, sender: Sender) -> Arc<str> {
        loop {
            let growing = match &mut self.reader {
                Some(reader) => reader.grown().await,
                None => false,
            };
            // What was written last is read before it is over.
            if !matches!(self.rest(&sender, usize::MAX, false).await, Ok(true)) || !growing {
                return self.name;
            }
        }
    }

    async fn next(&mut self, most: usize) -> io::Result<LogBatch> {
        let Some(mut reader) = self.reader.take() else { return Err(io::Error::other("the read broke off")) };
        let read = blocking(move || {
            let batch = reader.next_batch(most);
            (reader, batch)
        });
        let (reader, batch) = read.await.map_err(|fault| io::Error::other(fault.message))?;
        self.reader = Some(reader);
        batch
    }

    fn line(&self, text: Vec<u8>, partial: bool, cursor: Option<LogCursor>) -> v1::LogLine {
        v1::LogLine {
            process: self.name.to_string(),
            process_id: self.id.clone(),
            text,
            partial,
            cursor: cursor.map(|cursor| cursor.to_string()),
            ..Default::default()
        }
    }
}

/// Lines of rings that were told: a follower may get the newest of them again.
#[derive(Default)]
struct Told(BTreeMap<Arc<str>, Vec<Arc<Line>>>);

impl Told {
    fn keep(&mut self, lines: Vec<Arc<Line>>) {
        if let Some(line) = lines.first() {
            self.0.insert(line.process.clone(), lines);
        }
    }

    fn was(&mut self, line: &Arc<Line>) -> bool {
        let Some(told) = self.0.get(&line.process) else { return false };
        let again = told.iter().any(|other| Arc::ptr_eq(other, line));
        if !again {
            // What comes from now on is newer than all that was kept.
            self.0.remove(&line.process);
        }
        again
    }
}

/// The hub's lines, taken together as far as they are there.
struct Followed {
    lines: Lines,
    /// So many are missing before what comes next.
    lost: Option<u64>,
}

/// Lines, with how many are missing before them.
type Batch = (Vec<Arc<Line>>, Option<u64>);

impl Followed {
    /// What is there; `None` at the end.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Batch>> {
        let lost = self.lost.take();
        let mut batch = Vec::new();
        let ended = loop {
            if batch.len() == BATCH {
                break false;
            }
            match self.lines.0.poll_next(cx) {
                Poll::Ready(Some(Next::Item(line))) => batch.push(line),
                Poll::Ready(Some(Next::Lagged(lost))) => {
                    self.lost = Some(lost);
                    break false;
                }
                Poll::Ready(None) => break true,
                Poll::Pending => {
                    if batch.is_empty() && lost.is_none() {
                        return Poll::Pending;
                    }
                    break false;
                }
            }
        };
        if ended && batch.is_empty() && lost.is_none() { Poll::Ready(None) } else { Poll::Ready(Some((batch, lost))) }
    }
}

fn is_meant(wanted: &str, process: &str) -> bool {
    if is_glob(wanted) { glob_matches(wanted, process) } else { wanted == process }
}

fn from_memory(line: &Line, id: &str) -> v1::LogLine {
    let stream = match line.stream {
        StreamKind::Stdout => "stdout",
        StreamKind::Stderr => "stderr",
    };
    v1::LogLine {
        process: line.process.to_string(),
        process_id: id.to_owned(),
        stream: stream.into(),
        text: line.text.clone(),
        partial: line.partial,
        ..Default::default()
    }
}

async fn send(sender: &Sender, lines: Vec<v1::LogLine>) -> Result<(), Gone> {
    if lines.is_empty() {
        return Ok(());
    }
    sender.send(Ok(v1::LogsResponse { lines, lag: None })).await.map_err(|_| Gone)
}

async fn lag(sender: &Sender, process: Option<&str>, lost: Option<u64>) -> Result<(), Gone> {
    let lag = Some(v1::LogLag { process: process.map(str::to_owned), lost });
    sender.send(Ok(v1::LogsResponse { lines: Vec::new(), lag })).await.map_err(|_| Gone)
}
