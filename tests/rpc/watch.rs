//! Watch: from a number on, with what was lost.

use neap::Next;
use neap::core::{EventKind, StateName};
use neap::rpc::proto::v1;
use neap::rpc::proto::v1::watch_response::Item;
use tonic::Streaming;

use crate::world::{World, names, sleeper};

async fn next(stream: &mut Streaming<v1::WatchResponse>) -> Option<Item> {
    stream.message().await.unwrap().map(|message| message.item.unwrap())
}

async fn all(stream: &mut Streaming<v1::WatchResponse>) -> Vec<v1::Event> {
    let mut events = Vec::new();
    while let Some(Item::Event(event)) = next(stream).await {
        events.push(event);
    }
    events
}

#[test]
fn without_following_it_ends_with_the_newest() {
    let world = World::new();
    world.start("web");
    world.run(async {
        let mut neap = world.neap().await;
        let mut stream = neap.watch(v1::WatchRequest::default()).await.unwrap().into_inner();
        let events = all(&mut stream).await;
        let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
        assert_eq!(kinds.first(), Some(&"process.defined"));
        assert_eq!(kinds.last(), Some(&"process.running"));
        assert!(events.windows(2).all(|pair| pair[1].sequence == pair[0].sequence + 1));
        let executed = events.iter().find(|event| event.kind == "process.executed").unwrap();
        assert!(executed.pid.is_some() && executed.process.as_deref() == Some("web") && executed.run.is_some());
        assert!(executed.text.starts_with("executed as pid"));
        let status = neap.get_status(v1::GetStatusRequest {}).await.unwrap().into_inner();
        assert_eq!(status.sequence, events.last().unwrap().sequence);
    });
}

#[test]
fn a_watch_goes_on_from_where_an_earlier_one_was() {
    let world = World::new();
    world.start("web");
    world.add(sleeper("db"));
    world.run(async {
        let mut neap = world.neap().await;
        let request = v1::WatchRequest { follow: true, ..Default::default() };
        let mut first = neap.watch(request).await.unwrap().into_inner();
        let start = v1::StartRequest { names: names(&["db"]), ..Default::default() };
        neap.start(start).await.unwrap();
        let Some(Item::Event(event)) = next(&mut first).await else { panic!("no event") };
        drop(first);
        let request = v1::WatchRequest { after: Some(event.sequence), follow: true, names: names(&["d*"]) };
        let mut second = neap.watch(request).await.unwrap().into_inner();
        let mut last = event.sequence;
        loop {
            let Some(Item::Event(event)) = next(&mut second).await else { panic!("no event") };
            assert!(event.sequence > last && event.process.as_deref() == Some("db"));
            last = event.sequence;
            if event.kind == "process.running" {
                break;
            }
        }
    });
}

#[test]
fn what_is_not_kept_any_more_is_told_as_lag() {
    let world = World::new();
    let db = world.add(sleeper("db"));
    // Each update is an event; so many are not kept.
    for round in 0..8_300 {
        let spec = sleeper("db").description(format!("round {round}"));
        db.update(spec).wait().unwrap();
    }
    world.run(async {
        let mut neap = world.neap().await;
        let request = v1::WatchRequest { after: Some(1), ..Default::default() };
        let mut stream = neap.watch(request).await.unwrap().into_inner();
        let Some(Item::Lag(lag)) = next(&mut stream).await else { panic!("no lag") };
        let Some(Item::Event(event)) = next(&mut stream).await else { panic!("no event") };
        assert_eq!(event.sequence, 1 + lag.lost + 1);
        // Who asks for what there is, has lost nothing.
        let mut stream = neap.watch(v1::WatchRequest::default()).await.unwrap().into_inner();
        assert!(matches!(next(&mut stream).await, Some(Item::Event(_))));
    });
}

#[test]
fn a_followed_stream_ends_with_the_instance() {
    let world = World::new();
    world.start("web");
    world.run(async {
        let mut neap = world.neap().await;
        let request = v1::WatchRequest { follow: true, ..Default::default() };
        let mut stream = neap.watch(request).await.unwrap().into_inner();
        neap.shutdown(v1::ShutdownRequest::default()).await.unwrap();
        let events = all(&mut stream).await;
        assert!(events.iter().any(|event| event.kind == "instance.shutting_down"));
        assert!(events.iter().any(|event| event.kind == "process.stopped" && event.cause == "shutdown"));
    });
}

#[test]
fn an_event_says_who_asked() {
    let world = World::new();
    let process = world.add(sleeper("web"));
    let mut events = world.supervisor.events();
    world.run(async {
        let mut neap = world.neap().await;
        neap.start(v1::StartRequest { names: names(&["web"]), ..Default::default() }).await.expect("it starts");
    });
    let caller = loop {
        match events.next_blocking().expect("events go on") {
            Next::Item(event) if matches!(event.kind, EventKind::State { to: StateName::Starting, .. }) => {
                break event.caller;
            }
            _ => {}
        }
    };
    let caller = caller.expect("a caller");
    let uid = nix::unistd::getuid();
    assert!(
        caller.contains(&format!("uid {uid}")) && caller.contains(&format!("pid {}", std::process::id())),
        "{caller}"
    );
    // What the program itself asks is nobody's but its own.
    process.stop_blocking().expect("it stops");
    world.run(async {
        let mut neap = world.neap().await;
        let request = v1::WatchRequest { after: Some(0), follow: false, names: names(&["web"]) };
        let mut told = neap.watch(request).await.expect("a stream").into_inner();
        let mut callers = Vec::new();
        while let Some(v1::WatchResponse { item: Some(Item::Event(event)) }) = told.message().await.expect("events") {
            if event.cause == "command" {
                callers.push((event.kind, event.caller));
            }
        }
        let of = |kind: &str| callers.iter().find(|(found, _)| found == kind).expect(kind);
        assert_eq!(of("process.starting").1.as_deref(), Some(&*caller));
        assert_eq!(of("process.stopping").1, None);
    });
}
