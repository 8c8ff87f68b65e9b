//! Streams of events.

use std::sync::Arc;

use supervisor::rpc::json::{self, Json};
use supervisor::rpc::proto::v1::watch_response::Item;
use supervisor::rpc::proto::v1::{Event, WatchRequest, WatchResponse};
use tonic::Request;

use crate::calls::client;
use crate::failure::Failure;
use crate::ffi::NEAP_FROM_NOW;
use crate::instance::{Instance, Work};
use crate::stream::{Items, Stream};
use crate::wait::Token;

/// Events from this number on. What happens after this returns is in them.
pub(crate) fn open(instance: &Instance, from: u64, cancel: Option<Arc<Token>>) -> Result<Arc<Stream>, Failure> {
    // The first event has the number 1.
    let after = (from != NEAP_FROM_NOW).then(|| from.saturating_sub(1));
    let request = WatchRequest { after, follow: true, names: Vec::new() };
    let ask =
        |way| -> Work<_> { Box::pin(async move { Ok(client(way).watch(Request::new(request)).await?.into_inner()) }) };
    Stream::open(instance, cancel, ask, items)
}

fn items(WatchResponse { item }: WatchResponse) -> Items {
    let line = match item {
        Some(Item::Event(event)) => json::line(&event),
        Some(Item::Lag(lag)) => lagged(lag.lost),
        None => return Items::default(),
    };
    Items { lines: vec![line], over: false }
}

/// What stands where events are missing: an event that happened to the reader.
fn lagged(lost: u64) -> String {
    let text = format!("{lost} events are missing here: they are no longer kept");
    let event = Event { kind: "lag".into(), text, ..Event::default() };
    Json::of(&event).with("lost", Json::Int(lost.into())).line()
}
