//! H3, H4: clients that misbehave cost themselves, and nobody else.

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Command;

use neap::rpc::proto::v1;
use neap::rpc::proto::v1::neap_client::NeapClient;
use neap::spec::Spec;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use tonic::Code;

use crate::support::{Epilogue, wait_until};
use crate::world::{World, names, sleeper};

/// That somebody else is served.
async fn is_served(world: &World) {
    let listed = world.neap().await.list(v1::ListRequest::default()).await.unwrap().into_inner();
    assert!(!listed.processes.is_empty());
}

#[test]
fn h3_a_follower_that_does_not_read_holds_up_nobody_and_learns_what_it_lost() {
    let world = World::new();
    let go = world.dir.path().join("go");
    let line = format!("until test -e {}; do sleep 0.01; done; yes 0123456789abcdef | head -c 40000000", go.display());
    let job = world.add(Spec::shell("job", line).oneshot());
    world.run(async {
        let mut neap = world.neap().await;
        let request = v1::LogsRequest { names: names(&["*"]), follow: true, ..Default::default() };
        let mut unread = neap.logs(request).await.unwrap().into_inner();
        let started = job.start();
        std::fs::write(&go, "").unwrap();
        // It ends although nobody reads what it prints.
        started.await.unwrap();
        is_served(&world).await;
        // Each line was read or is counted as lost: 17 bytes each, and the piece of one.
        let (mut read, mut lost) = (0, 0);
        while read + lost < 40_000_000 / 17 + 1 {
            let message = unread.message().await.unwrap().unwrap();
            lost += message.lag.map_or(0, |lag| lag.lost.unwrap());
            for line in message.lines {
                assert!(line.text == b"0123456789abcdef" || line.partial);
                read += 1;
            }
        }
        assert_eq!(read + lost, 40_000_000 / 17 + 1);
        assert!(lost > 0 && read > 0, "{read} read, {lost} lost");
    });
}

#[test]
fn h3_a_message_that_is_too_large_is_refused_and_the_connection_lives() {
    let world = World::new();
    world.add(sleeper("web"));
    world.run(async {
        let mut neap = world.neap().await;
        let start = v1::StartRequest { names: vec!["x".repeat(2 << 20)], ..Default::default() };
        assert_eq!(neap.start(start).await.unwrap_err().code(), Code::OutOfRange);
        let start = v1::StartRequest { names: vec!["x".repeat(900_000)], ..Default::default() };
        let refused = neap.start(start).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound);
        assert!(refused.message().len() < 1_000, "the name is not sent back whole");
        let start = v1::StartRequest { names: vec!["a*".to_owned(); 1_001], ..Default::default() };
        assert_eq!(neap.start(start).await.unwrap_err().code(), Code::InvalidArgument);
        neap.list(v1::ListRequest::default()).await.unwrap();
    });
}

#[test]
fn h3_a_thousand_streams_of_one_client_leave_room_for_others() {
    let world = World::new();
    world.add(sleeper("web"));
    world.run(async {
        let rude = world.neap().await;
        let mut streams = tokio::task::JoinSet::new();
        for _ in 0..1_000 {
            let mut rude: NeapClient<_> = rude.clone();
            streams.spawn(async move {
                let request = v1::WatchRequest { after: Some(0), follow: true, ..Default::default() };
                let mut stream = rude.watch(request).await.unwrap().into_inner();
                stream.message().await.unwrap();
                stream
            });
        }
        // As many as one connection may have; the others wait for these.
        let mut open = Vec::new();
        for _ in 0..256 {
            open.push(streams.join_next().await.unwrap().unwrap());
        }
        is_served(&world).await;
        let after = world.neap().await.get_status(v1::GetStatusRequest {}).await;
        assert!(after.is_ok());
        streams.abort_all();
    });
}

#[test]
fn h3_connections_without_end_are_those_of_one_client() {
    let world = World::new();
    world.add(sleeper("web"));
    // More than one client process may have: the further ones are closed.
    let mut idle: Vec<UnixStream> = (0..100).map(|_| UnixStream::connect(&world.socket).unwrap()).collect();
    let closed = |stream: &mut UnixStream| {
        stream.set_nonblocking(true).unwrap();
        // The server says hello first; the closed ones say nothing.
        matches!(stream.read(&mut [0; 64]), Ok(0)) || stream.write(b"P").is_err()
    };
    wait_until("those beyond the limit are closed", || {
        idle.iter_mut().filter_map(|s| closed(s).then_some(())).count() >= 36
    });
    drop(idle);
    wait_until("their places are free again", || {
        world.run(async {
            let channel = neap::rpc::connect(&world.socket, crate::support::DEADLINE).await;
            match channel {
                Ok(channel) => NeapClient::new(channel).list(v1::ListRequest::default()).await.is_ok(),
                Err(_) => false,
            }
        })
    });
}

#[test]
fn h3_nonsense_ends_its_connection_and_nothing_else() {
    let world = World::new();
    world.add(sleeper("web"));
    let preface: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let rude: [Vec<u8>; 4] = [
        vec![b'A'; 1 << 20],
        // A frame of 16 MB is announced.
        [preface, &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]].concat(),
        // Data for a stream that nobody opened.
        [preface, &[0, 0, 0, 4, 0, 0, 0, 0, 0], &[0, 0, 1, 0, 0, 0, 0, 0, 9, 0]].concat(),
        [preface, &vec![0x55; 100_000]].concat(),
    ];
    for bytes in rude {
        let mut stream = UnixStream::connect(&world.socket).unwrap();
        stream.set_read_timeout(Some(crate::support::DEADLINE)).unwrap();
        // The server may close before all is written.
        let _ = stream.write_all(&bytes);
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
        }
        world.run(is_served(&world));
    }
    // One that says nothing at all, and one that goes away in the middle.
    let _silent = UnixStream::connect(&world.socket).unwrap();
    UnixStream::connect(&world.socket).unwrap().write_all(&preface[..10]).unwrap();
    world.run(is_served(&world));
}

#[test]
fn h4_a_lack_of_descriptors_does_not_end_the_server() {
    // In a process of its own: the limit is the whole process's. Others must not take it for something left behind.
    let _epilogue = Epilogue::new();
    let test = std::env::current_exe().unwrap();
    let mut inner = Command::new(test);
    inner.args(["--exact", "rude::h4_inner", "--ignored", "--nocapture"]);
    let output = inner.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "run by h4_a_lack_of_descriptors_does_not_end_the_server"]
fn h4_inner() {
    let world = World::new();
    world.add(sleeper("web"));
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let limit = hard.min(2_048);
    setrlimit(Resource::RLIMIT_NOFILE, limit, hard).unwrap();
    // Made while there is room: connecting one takes no descriptor of ours, but one of the server's.
    let unconnected = || socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    let (spared, late) = (unconnected(), unconnected());
    let connect = |socket: OwnedFd| {
        connect(socket.as_raw_fd(), &UnixAddr::new(&world.socket).unwrap()).unwrap();
        let mut stream = UnixStream::from(socket);
        stream.set_read_timeout(Some(crate::support::DEADLINE)).unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
        stream
    };
    world.run(async {
        let mut before = world.neap().await;
        before.list(v1::ListRequest::default()).await.unwrap();
        // Whoever comes when there is no descriptor left is served from those that are kept back.
        let mut hoard = Vec::new();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            hoard.push(file);
        }
        let mut served = connect(spared);
        served.read_exact(&mut [0; 9]).unwrap();
        drop(hoard);
        // When even that does not help, who was there before is served, and the accept fails meanwhile.
        setrlimit(Resource::RLIMIT_NOFILE, 0, hard).unwrap();
        let mut late = connect(late);
        for _ in 0..50 {
            before.list(v1::ListRequest::default()).await.unwrap();
            tokio::task::yield_now().await;
        }
        setrlimit(Resource::RLIMIT_NOFILE, limit, hard).unwrap();
        late.read_exact(&mut [0; 9]).unwrap();
        is_served(&world).await;
    });
}
