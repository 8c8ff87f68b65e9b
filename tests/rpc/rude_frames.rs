//! H3: floods and nonsense, frame by frame, each beside a client that behaves and is answered all the while.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use neap::rpc::proto::v1;
use neap::rpc::proto::v1::neap_client::NeapClient;
use prost::Message;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request};

use crate::as_user::channel;
use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, RESET, Raw, SETTINGS, call_headers, frame,
};
use crate::support::{DEADLINE, wait_until};
use crate::world::{World, sleeper};

/// How much more memory the whole process may have after a flood, other tests beside it included.
const MOST_MEMORY: u64 = 300 << 20;

/// What of this process is in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Does this, while another client is answered again and again, at least once after it has begun and once after its end.
fn beside(rude: impl FnOnce(&World)) {
    let world = World::new();
    world.add(sleeper("web"));
    let (over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let polite = {
        let (socket, over, answered) = (world.socket.clone(), over.clone(), answered.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let channel = neap::rpc::connect(&socket, DEADLINE).await.unwrap();
                let mut client = NeapClient::new(channel);
                while !over.load(Ordering::Acquire) {
                    let call = client.list(v1::ListRequest::default());
                    let listed = tokio::time::timeout(DEADLINE, call).await.expect("an answer").unwrap();
                    assert!(!listed.into_inner().processes.is_empty());
                    answered.fetch_add(1, Ordering::Release);
                }
            });
        })
    };
    let more = |than: u32| wait_until("the other is answered", || answered.load(Ordering::Acquire) > than);
    more(0);
    let before = resident();
    rude(&world);
    let after = resident();
    more(answered.load(Ordering::Acquire));
    over.store(true, Ordering::Release);
    polite.join().unwrap();
    assert!(after < before + MOST_MEMORY, "{} MiB more", (after - before) >> 20);
}

#[test]
fn h3_a_message_of_four_gigabytes_that_is_announced_costs_nothing() {
    beside(|world| {
        let mut raw = Raw::connect(&world.socket);
        raw.send(&frame(HEADERS, END_HEADERS, 1, &call_headers("/neap.v1.Neap/List"))).unwrap();
        raw.send(&frame(DATA, 0, 1, &[0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3])).unwrap();
        raw.until_end_of(1);
        // A compression that nobody agreed on.
        raw.send(&frame(HEADERS, END_HEADERS, 3, &call_headers("/neap.v1.Neap/List"))).unwrap();
        raw.send(&frame(DATA, END_STREAM, 3, &[1, 0, 0, 0, 1, 0])).unwrap();
        raw.until_end_of(3);
    });
}

#[test]
fn h3_a_hundred_thousand_streams_cost_their_own_connection() {
    beside(|world| {
        let mut raw = Raw::connect(&world.socket);
        let headers = call_headers("/neap.v1.Neap/Watch");
        // Each follows events for ever, and there is more room than anybody is given.
        let follow = v1::WatchRequest { after: Some(0), follow: true, ..Default::default() }.encode_to_vec();
        let message = [&[0, 0, 0, 0, u8::try_from(follow.len()).unwrap()], &follow[..]].concat();
        raw.flood(100_000, |n| {
            let id = n * 2 + 1;
            [frame(HEADERS, END_HEADERS, id, &headers), frame(DATA, END_STREAM, id, &message)].concat()
        });
    });
}

#[test]
fn h3_streams_that_are_reset_as_soon_as_they_are_opened_end_their_connection() {
    beside(|world| {
        let mut raw = Raw::connect(&world.socket);
        let headers = call_headers("/neap.v1.Neap/List");
        let sent = raw.flood(100_000, |n| {
            let id = n * 2 + 1;
            [frame(HEADERS, END_HEADERS, id, &headers), frame(RESET, 0, id, &[0, 0, 0, 8])].concat()
        });
        println!("{sent} were sent");
    });
}

#[test]
fn h3_data_frames_without_data_do_not_keep_anybody_busy() {
    beside(|world| {
        let mut raw = Raw::connect(&world.socket);
        raw.send(&frame(HEADERS, END_HEADERS, 1, &call_headers("/neap.v1.Neap/List"))).unwrap();
        let empty = frame(DATA, 0, 1, &[]).repeat(100);
        let sent = raw.flood(10_000, |_| empty.clone());
        println!("{} were sent", sent * 100);
    });
}

#[test]
fn h3_headers_without_end_are_cut_off() {
    beside(|world| {
        let mut raw = Raw::connect(&world.socket);
        raw.send(&frame(HEADERS, 0, 1, &call_headers("/neap.v1.Neap/List"))).unwrap();
        // A header of a few bytes, again and again.
        let more = frame(CONTINUATION, 0, 1, &b"\x00\x01a\x04none".repeat(1_000));
        let sent = raw.flood(100_000, |_| more.clone());
        assert!(sent < 100_000, "800 MB of headers were taken");
    });
}

#[test]
fn h3_who_asks_without_reading_the_answers_is_not_listened_to() {
    beside(|world| {
        let pings = frame(PING, 0, 0, &[0; 8]).repeat(1_000);
        let settings = frame(SETTINGS, 0, 0, &[]).repeat(1_000);
        let headers = call_headers("/neap.v1.Neap/List");
        let mut ids = 0_u32;
        let calls: Vec<u8> = std::iter::repeat_with(|| {
            ids += 1;
            let id = ids * 2 - 1;
            [frame(HEADERS, END_HEADERS, id, &headers), frame(DATA, END_STREAM, id, &[0; 5])].concat()
        })
        .take(10_000)
        .flatten()
        .collect();
        for bytes in [pings, settings, calls] {
            let mut raw = Raw::connect(&world.socket);
            let taken = raw.cram(200 << 20, &bytes);
            assert!(taken < 200 << 20, "{taken} bytes were taken, and their answers kept");
        }
    });
}

/// A request whose names are any bytes.
#[derive(Clone, PartialEq, Message)]
struct RawNames {
    #[prost(bytes = "vec", repeated, tag = "1")]
    names: Vec<Vec<u8>>,
}

#[test]
fn h3_h5_names_of_any_bytes_are_refused_and_come_back_without_harm() {
    beside(|world| {
        world.run(async {
            let channel = world.channel().await;
            let start = async |names: Vec<Vec<u8>>| {
                let mut client = Grpc::new(channel.clone());
                client.ready().await.unwrap();
                let path = PathAndQuery::from_static("/neap.v1.Neap/Start");
                let codec = tonic_prost::ProstCodec::<RawNames, v1::StartResponse>::default();
                client.unary(Request::new(RawNames { names }), path, codec).await.map(drop).unwrap_err()
            };
            for bytes in [&b"\xff\xfe\xfd"[..], b"web\xc0\x80", b"\xed\xa0\x80"] {
                let refused = start(vec![bytes.to_vec()]).await;
                assert!(matches!(refused.code(), Code::Internal | Code::InvalidArgument), "{refused:?}");
            }
            for name in
                ["../web", "web\0", "web\nERROR all is lost", "\x1b[31mweb\x1b]0;x\x07", "--all", "\u{202e}bew", ""]
            {
                let refused = start(vec![name.as_bytes().to_vec()]).await;
                assert!(matches!(refused.code(), Code::NotFound | Code::InvalidArgument), "{name:?}: {refused:?}");
                let harmless =
                    |c: char| !c.is_control() && !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
                assert!(refused.message().chars().all(harmless), "{:?}", refused.message());
            }
            let refused = start(vec![vec![b'x'; 1_000_000]]).await;
            assert!(refused.message().len() < 1_300, "the name is not sent back whole");
        });
    });
}

#[test]
fn h3_deep_nesting_is_refused() {
    beside(|world| {
        world.run(async {
            let mut neap = world.neap().await;
            for open in ["[", "{\"a\":", "{\"env\":["] {
                let json = open.repeat(200_000 / open.len());
                let definition = Some(v1::create_request::Definition::Json(json));
                let refused = neap.create(v1::CreateRequest { definition, ..Default::default() }).await.unwrap_err();
                assert_ne!(refused.code(), Code::Unknown, "{refused:?}");
            }
            // As a message: a field that is a message, in itself.
            let mut nested = Vec::new();
            for _ in 0..5_000 {
                let mut outer = vec![0x0a];
                prost::encoding::encode_varint(nested.len() as u64, &mut outer);
                outer.extend(&nested);
                nested = outer;
            }
            let mut client = Grpc::new(world.channel().await);
            client.ready().await.unwrap();
            let path = PathAndQuery::from_static("/neap.v1.Neap/Create");
            let codec = tonic_prost::ProstCodec::<RawNames, v1::CreateResponse>::default();
            client.unary(Request::new(RawNames { names: vec![nested] }), path, codec).await.unwrap_err();
        });
    });
}

#[test]
fn h3_a_follower_of_events_that_does_not_read_is_told_what_it_lost() {
    beside(|world| {
        let mut unread = world.run(async {
            let request = v1::WatchRequest { follow: true, names: vec!["brief*".into()], ..Default::default() };
            let stream = UnixStream::connect(&world.socket).unwrap();
            NeapClient::new(channel(stream).await).watch(request).await.unwrap().into_inner()
        });
        // Twice as many events: more than are kept, and on their way.
        let rounds = 9_000;
        for _ in 0..rounds {
            let brief = world.supervisor.add(sleeper("brief")).unwrap();
            brief.delete(false).wait().unwrap();
        }
        world.run(async {
            let (mut read, mut lost) = (0, 0);
            while lost == 0 {
                match unread.message().await.unwrap().unwrap().item.unwrap() {
                    v1::watch_response::Item::Lag(lag) => lost += lag.lost,
                    v1::watch_response::Item::Event(_) => read += 1,
                }
            }
            assert!(read < rounds, "{read} read, {lost} lost");
        });
    });
}
