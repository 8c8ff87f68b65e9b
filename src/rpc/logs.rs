//! Logs: what processes printed, and print, as a stream.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio_stream::Stream;
use tonic::Status;

use super::fault::Fault;
use super::instance::{Served, blocking};
use super::proto::v1;
use super::proto::v1::logs_response::Item;
use super::select::{glob_matches, is_glob};
use crate::log::Tail;
use crate::{Line, Lines, Next, StreamKind};

/// Lines: first those that are kept, then those to come. What comes in between is in both, and told once.
pub(super) struct Reading {
    kept: VecDeque<Arc<Line>>,
    /// What was told of each process from what is kept: its newest lines may come again.
    told: BTreeMap<Arc<str>, Vec<Arc<Line>>>,
    follow: Option<Lines>,
    names: Vec<String>,
    /// Ids of processes by name, as far as they are known.
    ids: BTreeMap<Arc<str>, String>,
}

impl Reading {
    pub(super) async fn new(served: &Served, request: v1::LogsRequest) -> Result<Self, Fault> {
        // What is printed from now on comes to the follower; what was before is in the rings.
        let follow = request.follow.then(|| served.supervisor().output());
        let found = match served.these(request.names.clone()).await {
            // Those that a glob means may be yet to come.
            Err(_) if request.follow && request.names.iter().all(|name| is_glob(name)) => Vec::new(),
            found => found?,
        };
        let lines = request.tail.map_or(usize::MAX, |tail| usize::try_from(tail).unwrap_or(usize::MAX));
        let wanted: Vec<_> = found.iter().map(|found| found.status.id).collect();
        let tails = served.supervisor().shared();
        let tails = tails.ask(move |engine| wanted.into_iter().map(|id| engine.tail(id)).collect::<Vec<_>>()).await?;
        let mut kept = Vec::new();
        if lines > 0 {
            let read = move |tail: Tail| tail.last_shared(lines);
            kept = blocking(move || tails.into_iter().flatten().map(read).collect::<Vec<_>>()).await?;
        }
        let mut told: BTreeMap<Arc<str>, Vec<Arc<Line>>> = BTreeMap::new();
        if follow.is_some() {
            for line in kept.iter().flatten() {
                told.entry(line.process.clone()).or_default().push(line.clone());
            }
        }
        let ids = found.into_iter().map(|found| (found.status.name, found.uuid)).collect();
        let mut names = request.names;
        // An id means a name from here on.
        for name in &mut names {
            let known = |(known, id): (&Arc<str>, &String)| (id == name).then(|| known.to_string());
            let ids: &BTreeMap<Arc<str>, String> = &ids;
            if let Some(known) = ids.iter().find_map(known) {
                *name = known;
            }
        }
        Ok(Reading { kept: kept.into_iter().flatten().collect(), told, follow, names, ids })
    }

    fn is_meant(&self, process: &str) -> bool {
        self.names.is_empty()
            || self.names.iter().any(|name| if is_glob(name) { glob_matches(name, process) } else { name == process })
    }

    /// Whether this line was among those that are kept.
    fn was_told(&mut self, line: &Arc<Line>) -> bool {
        let Some(told) = self.told.get(&line.process) else { return false };
        let again = told.iter().any(|other| Arc::ptr_eq(other, line));
        if !again {
            // What comes from now on is newer than all that was kept.
            self.told.remove(&line.process);
        }
        again
    }

    fn line(&self, line: &Line) -> v1::LogLine {
        v1::LogLine {
            process: line.process.to_string(),
            process_id: self.ids.get(&line.process).cloned().unwrap_or_default(),
            stream: match line.stream {
                StreamKind::Stdout => "stdout".into(),
                StreamKind::Stderr => "stderr".into(),
            },
            text: line.text.clone(),
            partial: line.partial,
            ..Default::default()
        }
    }
}

impl Stream for Reading {
    type Item = Result<v1::LogsResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = loop {
            if let Some(line) = self.kept.pop_front() {
                break Item::Line(self.line(&line));
            }
            let Some(follow) = &mut self.follow else { return Poll::Ready(None) };
            match follow.0.poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Next::Lagged(lost))) => {
                    break Item::Lag(v1::LogLag { process: None, lost: Some(lost) });
                }
                Poll::Ready(Some(Next::Item(line))) => {
                    if self.is_meant(&line.process) && !self.was_told(&line) {
                        break Item::Line(self.line(&line));
                    }
                }
            }
        };
        Poll::Ready(Some(Ok(v1::LogsResponse { item: Some(item) })))
    }
}
