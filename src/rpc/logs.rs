//! Logs: what processes printed, and print, as a stream.
//!
//! A process that has a log file is read from that: it survives rotation and the supervisor, and each line has a place
//! that a client can come back to. The others are read from their rings and followed by the hub.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio_stream::Stream;
use tonic::{Code, Status};

use super::fault::Fault;
use super::instance::{Served, blocking};
use super::proto::v1;
use crate::core::{ProcessId, WallTime};
use crate::glob::{glob_matches, is_glob};
use crate::log::{LogBatch, LogCursor, LogFrom, LogLine, LogReader, Tail};
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
    File(Box<LogReader>),
    /// What its ring keeps; and of which run that is, when one is meant.
    Ring(Vec<Arc<Line>>, Option<u32>),
    /// Nowhere, for this reason.
    Nowhere(String),
}

/// Which lines are meant.
#[derive(Clone, Copy)]
struct Meant {
    /// What was printed from then on.
    since: Option<WallTime>,
    /// What this run printed.
    run: Option<i64>,
    /// Lines at most of each that does not follow.
    most: usize,
}

/// What is to be read.
struct Plan {
    served: Served,
    sources: Vec<(Arc<str>, Source)>,
    meant: Meant,
    follow: bool,
    /// Whether processes are meant that are yet to come.
    open_ended: bool,
    /// What was found out before anything was read.
    notes: Vec<String>,
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
        let meant = Meant { since: request.since.as_ref().map(wall_time), run: request.run, most };
        let mut wanted = Vec::with_capacity(found.len());
        for one in &found {
            let from = from(&one.status.name, &request.cursors, meant)?;
            wanted.push(Wanted { id: one.status.id, runs: one.status.run_count, name: one.status.name.clone(), from });
        }
        let (sources, notes) = open(served, wanted, meant).await?;
        if let [(name, Source::Nowhere(why))] = sources.as_slice() {
            let mut fault = Fault::new(Code::FailedPrecondition, "no_such_run", why.clone());
            fault.detail.process = Some(name.to_string());
            return Err(fault);
        }
        let open_ended = request.names.is_empty() || request.names.iter().any(|name| is_glob(name));
        // What never ran has no file yet, and a run that is meant will not be one of its.
        let to_come = open_ended || meant.run.is_none() && sources.len() < found.len();
        if !to_come && sources.iter().all(|(_, source)| matches!(source, Source::File(_))) {
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
        let (meant, follow) = (Meant { most, ..meant }, request.follow);
        Ok(Plan { served: served.clone(), sources, meant, follow, open_ended, notes, hub, names, ids })
    }

    async fn run(self, sender: Sender) {
        // It fails when nobody takes what it sends.
        let _ = self.read(&sender).await;
    }

    async fn read(self, sender: &Sender) -> Result<(), Gone> {
        let Plan { served, sources, meant, follow, open_ended, notes, hub, names, mut ids } = self;
        note(sender, notes).await?;
        let mut followed = JoinSet::new();
        let mut filed: BTreeSet<Arc<str>> = BTreeSet::new();
        let mut told = Told::default();
        // Of processes without a file, when one run is meant: which, and of which of them that is over.
        let mut runs: BTreeMap<Arc<str>, u32> = BTreeMap::new();
        let mut over: BTreeSet<Arc<str>> = BTreeSet::new();
        for (name, source) in sources {
            let id = ids.get(&name).cloned().unwrap_or_default();
            match source {
                Source::Nowhere(why) => note(sender, vec![why]).await?,
                Source::Ring(lines, run) => {
                    runs.extend(run.map(|run| (name.clone(), run)));
                    for batch in lines.chunks(BATCH) {
                        send(sender, batch.iter().map(|line| from_memory(line, &id)).collect()).await?;
                    }
                    told.keep(lines);
                }
                Source::File(reader) => {
                    let mut file = FromFile { name: name.clone(), id, reader: Some(*reader) };
                    let going = if meant.is_part() && meant.most < usize::MAX {
                        file.last(sender, meant.most, !follow).await?
                    } else {
                        file.rest(sender, if follow { usize::MAX } else { meant.most }, !follow).await?
                    };
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
                let is_meant = names.is_empty() || names.iter().any(|name| is_meant(name, &line.process));
                if !is_meant || filed.contains(&line.process) || told.was(&line) {
                    continue;
                }
                match runs.get(&line.process) {
                    Some(run) if line.run > *run => drop(over.insert(line.process.clone())),
                    _ => {}
                }
                if meant.run.is_some() && runs.get(&line.process) != Some(&line.run) {
                    continue;
                }
                if !ids.contains_key(&line.process) {
                    let id = served.one(line.process.to_string()).await.map(|found| found.uuid).unwrap_or_default();
                    ids.insert(line.process.clone(), id);
                }
                batch.push(from_memory(&line, &ids[&line.process]));
            }
            send(sender, batch).await?;
            if !open_ended && !runs.is_empty() && over.len() == runs.len() {
                break;
            }
        }
        while followed.join_next().await.is_some() {}
        if meant.run.is_some() {
            let over = v1::LogsResponse { over: true, ..Default::default() };
            sender.send(Ok(over)).await.map_err(|_| Gone)?;
        }
        Ok(())
    }
}

impl Meant {
    /// Whether it is not simply the end of what there is.
    fn is_part(&self) -> bool {
        self.since.is_some() || self.run.is_some()
    }

    /// Those of a ring's lines, of a process with so many runs.
    fn of_ring(&self, lines: Vec<Arc<Line>>, runs: u32) -> (Vec<Arc<Line>>, Option<u32>) {
        // A start that failed has the number of the run to come.
        let newest = lines.last().map_or(runs, |line| line.run.max(runs));
        let run = self.run.map(|run| match run {
            1.. => u32::try_from(run).unwrap_or(u32::MAX),
            back => u32::try_from(i64::from(newest) + back).unwrap_or(0),
        });
        let is_meant = |line: &Arc<Line>| {
            run.is_none_or(|run| line.run == run) && self.since.is_none_or(|since| line.time >= Some(since))
        };
        let mut lines: Vec<_> = lines.into_iter().filter(is_meant).collect();
        lines.drain(..lines.len().saturating_sub(self.most));
        (lines, run)
    }
}

/// A process whose lines are to be read, and where to begin in its file.
struct Wanted {
    id: ProcessId,
    name: Arc<str>,
    runs: u32,
    from: LogFrom,
}

/// Where to begin in a process's file.
fn from(name: &str, cursors: &HashMap<String, String>, meant: Meant) -> Result<LogFrom, Fault> {
    Ok(match (cursors.get(name), meant) {
        (Some(text), _) => {
            let cursor: LogCursor = text.parse().map_err(|error| Fault::invalid("cursors", format!("{error}")))?;
            LogFrom::Cursor(cursor)
        }
        (None, Meant { run: Some(run), .. }) => LogFrom::Run(run),
        (None, Meant { since: Some(since), .. }) => LogFrom::Since(since),
        // Whoever has cursors, but none of this one, has seen nothing of it.
        (None, Meant { most: usize::MAX, .. }) => LogFrom::Start,
        (None, _) if !cursors.is_empty() => LogFrom::Start,
        (None, Meant { most, .. }) => LogFrom::Tail(most),
    })
}

type Sources = (Vec<(Arc<str>, Source)>, Vec<String>);

/// The sources of these, opened on a thread that may block; with what cannot be known of them.
async fn open(served: &Served, wanted: Vec<Wanted>, meant: Meant) -> Result<Sources, Fault> {
    let ask = served.supervisor().shared();
    let tails = ask.ask(move |engine| {
        let tail = |wanted: Wanted| Some((engine.tail(wanted.id)?, wanted));
        wanted.into_iter().filter_map(tail).collect::<Vec<(Tail, Wanted)>>()
    });
    let tails = tails.await?;
    blocking(move || {
        let mut notes = Vec::new();
        let mut sources = Vec::with_capacity(tails.len());
        for (tail, wanted) in tails {
            let name = wanted.name.clone();
            sources.push((name, open_one(&tail, wanted, meant, &mut notes)));
        }
        (sources, notes)
    })
    .await
}

fn open_one(tail: &Tail, wanted: Wanted, meant: Meant, notes: &mut Vec<String>) -> Source {
    tail.flush();
    let reader = match (wanted.from, meant.run) {
        (from @ LogFrom::Cursor(_), Some(run)) => tail.reader_of(from, run),
        (from, _) => tail.reader(from),
    };
    match reader {
        Ok(Some(mut reader)) => {
            notes.extend(reader.take_note());
            Source::File(Box::new(reader))
        }
        Err(error) if meant.run.is_some() && error.kind() == io::ErrorKind::NotFound => {
            Source::Nowhere(error.to_string())
        }
        // What cannot be read back was kept in memory, too.
        Ok(None) | Err(_) => {
            let all = tail.last_shared(usize::MAX);
            let forgot = tail.dropped() > 0;
            let reaches = match meant.since {
                Some(since) => all.first().is_some_and(|line| line.time < Some(since)),
                None => true,
            };
            let (lines, run) = meant.of_ring(all, wanted.runs);
            let cut = forgot && !reaches || forgot && run.is_some() && lines.is_empty();
            if cut {
                notes.push(format!(
                    "{} has no log file, and only its newest lines are in memory: some that are meant are gone",
                    wanted.name
                ));
            }
            if run.is_some_and(|run| run == 0 || run > wanted.runs.saturating_add(1)) {
                let (name, runs) = (&wanted.name, wanted.runs);
                return Source::Nowhere(format!("{name} has no such run: it has had {runs} so far"));
            }
            Source::Ring(lines, run)
        }
    }
}

fn wall_time(time: &prost_types::Timestamp) -> WallTime {
    WallTime(time.seconds.saturating_mul(1_000).saturating_add(i64::from(time.nanos) / 1_000_000))
}

fn timestamp(time: WallTime) -> prost_types::Timestamp {
    let nanos = i32::try_from(time.0.rem_euclid(1_000) * 1_000_000).unwrap_or(0);
    prost_types::Timestamp { seconds: time.0.div_euclid(1_000), nanos }
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
            send(sender, batch.lines.into_iter().map(|line| self.line(line)).collect()).await?;
        }
        let unfinished = self.reader.as_ref().map(|reader| reader.unfinished().to_vec()).unwrap_or_default();
        if last && left > 0 && !unfinished.is_empty() {
            let (process, process_id) = (self.name.to_string(), self.id.clone());
            let line = v1::LogLine { process, process_id, text: unfinished, partial: true, ..Default::default() };
            send(sender, vec![line]).await?;
        }
        Ok(!self.reader.as_ref().is_some_and(LogReader::is_over))
    }

    /// Sends the last so many of what there is; false when it cannot be read any further.
    async fn last(&mut self, sender: &Sender, most: usize, last: bool) -> Result<bool, Gone> {
        let mut kept: VecDeque<LogLine> = VecDeque::new();
        loop {
            let batch = match self.next(BATCH).await {
                Ok(batch) if !batch.lines.is_empty() => batch,
                _ => break,
            };
            kept.extend(batch.lines);
            let old = kept.len().saturating_sub(most);
            kept.drain(..old);
        }
        let lines: Vec<LogLine> = kept.into();
        for batch in lines.chunks(BATCH) {
            send(sender, batch.iter().cloned().map(|line| self.line(line)).collect()).await?;
        }
        // The beginning of a line, and what was written since.
        self.rest(sender, usize::MAX, last).await
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

    fn line(&self, line: LogLine) -> v1::LogLine {
        v1::LogLine {
            process: self.name.to_string(),
            process_id: self.id.clone(),
            text: line.text,
            partial: line.partial,
            cursor: Some(line.cursor.to_string()),
            time: line.time.map(timestamp),
            run: line.run.map(u64::from),
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
        time: line.time.map(timestamp),
        run: (line.run > 0).then_some(line.run.into()),
        ..Default::default()
    }
}

async fn note(sender: &Sender, notes: Vec<String>) -> Result<(), Gone> {
    if notes.is_empty() {
        return Ok(());
    }
    sender.send(Ok(v1::LogsResponse { notes, ..Default::default() })).await.map_err(|_| Gone)
}

async fn send(sender: &Sender, lines: Vec<v1::LogLine>) -> Result<(), Gone> {
    if lines.is_empty() {
        return Ok(());
    }
    sender.send(Ok(v1::LogsResponse { lines, ..Default::default() })).await.map_err(|_| Gone)
}

async fn lag(sender: &Sender, process: Option<&str>, lost: Option<u64>) -> Result<(), Gone> {
    let lag = Some(v1::LogLag { process: process.map(str::to_owned), lost });
    sender.send(Ok(v1::LogsResponse { lag, ..Default::default() })).await.map_err(|_| Gone)
}
