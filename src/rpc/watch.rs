//! Watch: events as a stream.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio_stream::Stream;
use tonic::Status;

use super::event::event;
use super::fault::Fault;
use super::ids::id_of;
use super::instance::Served;
use super::proto::v1;
use super::proto::v1::watch_response::Item;
use crate::core::Event;
use crate::glob::{glob_matches, is_glob};
use crate::{Events, Next};

/// Names that one request may have.
const MOST_NAMES: usize = 1_000;

/// Events, read as fast as the client takes them. A client that does not read holds up nobody: it falls behind, and is
/// told by how much.
pub(super) struct Watching {
    events: Events,
    /// Where it ends, when it does not follow.
    last: Option<u64>,
    names: Vec<String>,
    instance: Arc<str>,
}

impl Watching {
    pub(super) fn new(served: &Served, request: v1::WatchRequest) -> Result<Self, Fault> {
        if request.names.len() > MOST_NAMES {
            return Err(Fault::invalid("names", format!("has more than {MOST_NAMES} names; use a glob")));
        }
        let supervisor = served.supervisor();
        let newest = supervisor.shared().events.newest();
        let events = match (request.after, request.follow) {
            (Some(after), _) => supervisor.events_after(after),
            (None, true) => supervisor.events(),
            (None, false) => supervisor.events_after(supervisor.shared().events.oldest().saturating_sub(1)),
        };
        let last = (!request.follow).then_some(newest);
        Ok(Watching { events, last, names: request.names, instance: served.name().clone() })
    }

    fn is_meant(&self, event: &Event) -> bool {
        if self.names.is_empty() {
            return true;
        }
        let (Some(id), Some(name)) = (event.process, &event.name) else { return false };
        self.names.iter().any(|wanted| match is_glob(wanted) {
            true => glob_matches(wanted, name),
            false => **wanted == **name || *wanted == id_of(&self.instance, id, name),
        })
    }
}

impl Stream for Watching {
    type Item = Result<v1::WatchResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let next = match self.events.0.poll_next(cx) {
                Poll::Ready(Some(next)) => next,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending if self.last.is_some() => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            };
            let item = match next {
                Next::Lagged(lost) => Item::Lag(v1::Lag { lost }),
                Next::Item(happened) if self.last.is_some_and(|last| happened.sequence > last) => {
                    return Poll::Ready(None);
                }
                Next::Item(happened) if self.is_meant(&happened) => Item::Event(event(&happened, &self.instance)),
                Next::Item(_) => continue,
            };
            return Poll::Ready(Some(Ok(v1::WatchResponse { item: Some(item) })));
        }
    }
}
