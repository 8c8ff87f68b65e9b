//! H3: connections that are held open without a call. They are cut after ten seconds, which these tests wait for.

use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use neap::rpc::Listener;
use neap::rpc::proto::v1;

use crate::frames::{END_HEADERS, HEADERS, PREFACE, Raw, call_headers, frame};
use crate::support::DEADLINE;
use crate::world::{World, sleeper};

#[test]
fn h3_a_connection_without_a_call_is_cut_however_it_dawdles() {
    let mut at = None;
    let world = World::at(|_| {
        let listener = Listener::bind(&"tcp:127.0.0.1:0".parse().unwrap(), None).unwrap();
        at = listener.tcp_address();
        vec![listener]
    });
    world.add(sleeper("web"));
    let begun = Instant::now();
    let mut slow: Vec<Raw> = Vec::new();
    // Nothing at all; half a greeting; a greeting and no more; half a header; a header whose end never comes.
    let header = frame(HEADERS, END_HEADERS, 1, &call_headers("/neap.v1.Neap/List"));
    let endless = frame(HEADERS, 0, 1, &call_headers("/neap.v1.Neap/List"));
    for (greeted, bytes) in
        [(false, &[][..]), (false, &PREFACE[..10]), (true, &[]), (true, &header[..30]), (true, &endless)]
    {
        let mut raw = if greeted { Raw::connect(&world.socket) } else { Raw::silent(&world.socket) };
        raw.send(bytes).unwrap();
        slow.push(raw);
    }
    let tcp = TcpStream::connect(at.unwrap()).unwrap();
    tcp.set_read_timeout(Some(DEADLINE)).unwrap();
    // One that made a call may then be silent for as long as it likes.
    world.run(async {
        let mut kept = world.neap().await;
        kept.list(v1::ListRequest::default()).await.unwrap();
        let waited = tokio::task::spawn_blocking(move || {
            slow.iter_mut().for_each(Raw::until_closed);
            while std::io::Read::read(&mut &tcp, &mut [0; 64]).unwrap() > 0 {}
        });
        waited.await.unwrap();
        println!("they were cut after {:?}", begun.elapsed());
        kept.list(v1::ListRequest::default()).await.unwrap();
    });
    drop(UnixStream::connect(&world.socket).unwrap());
}
