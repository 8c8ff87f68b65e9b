//! The services over TCP on this machine: a caller's role is that of its user.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;

use neap::rpc::{Address, ConnectError, Grant, Listener, Role, connect_to};
use nix::unistd::{Gid, Uid, User};
use tonic::Code;

use crate::as_user::{STRANGER, call, tcp_as, tcp_channel};
use crate::support::{DEADLINE, root_or_skip, skipped};
use crate::world::World;

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

/// A served world, and where.
fn world(host: &str) -> (World, SocketAddr) {
    let mut at = None;
    let world = World::at(|_| {
        let listener = Listener::bind(&address(&format!("tcp:{host}:0")), None).unwrap();
        at = listener.tcp_address();
        vec![listener]
    });
    (world, at.unwrap())
}

#[test]
fn h1_beyond_loopback_nothing_is_served_without_tls() {
    for open in ["0.0.0.0:0", "tcp:[::]:0", "tcp:192.0.2.1:5000", "[::ffff:192.0.2.1]:0"] {
        let refused = Listener::bind(&address(open), None).unwrap_err().to_string();
        assert!(refused.contains("mutual TLS") && refused.contains("--tls-client-ca"), "{open}: {refused}");
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let refused = Listener::bind(&address(&taken.local_addr().unwrap().to_string()), None).unwrap_err().to_string();
    assert!(refused.contains("another process listens there"), "{refused}");
}

#[test]
fn over_loopback_the_own_user_is_served_by_both_ways_of_naming_it() {
    let (world, at) = world("localhost");
    world.run(async {
        for text in [format!("tcp:{at}"), format!("tcp:localhost:{}", at.port())] {
            let socket = Address::of_client(Path::new(&text)).unwrap();
            let channel = connect_to(&socket, None, DEADLINE).await.unwrap();
            call(channel, "/neap.v1.Neap/List").await.unwrap();
        }
    });
}

#[test]
fn over_ipv6_it_is_the_same() {
    if TcpListener::bind("[::1]:0").is_err() {
        return skipped("over_ipv6_it_is_the_same", "there is no IPv6 here");
    }
    let (world, at) = world("[::1]");
    world.run(async {
        let channel = connect_to(&address(&at.to_string()), None, DEADLINE).await.unwrap();
        call(channel, "/neap.v1.Neap/List").await.unwrap();
    });
}

#[test]
fn h1_over_loopback_another_user_is_refused() {
    if !root_or_skip("h1_over_loopback_another_user_is_refused") {
        return;
    }
    let (world, at) = world("127.0.0.1");
    // Groups that it says it has count for nothing: the user database is asked.
    world.backend.access.set(vec![Grant { group: "g".into(), gid: 70_010, role: Role::Admin }]);
    let stream = tcp_as(at, STRANGER, &[70_010]).unwrap();
    world.run(async {
        let refused = call(tcp_channel(stream).await, "/neap.v1.Neap/List").await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        assert!(refused.message().contains("uid 54321 has no role here"), "{}", refused.message());
    });
}

#[test]
fn h2_over_loopback_a_users_groups_are_those_of_the_user_database() {
    let test = "h2_over_loopback_a_users_groups_are_those_of_the_user_database";
    if !root_or_skip(test) {
        return;
    }
    let Ok(Some(user)) = User::from_uid(Uid::from_raw(1)) else { return skipped(test, "there is no user of uid 1") };
    let (world, at) = world("127.0.0.1");
    let gid = Gid::as_raw(user.gid);
    world.backend.access.set(vec![Grant { group: "theirs".into(), gid, role: Role::Observer }]);
    let stream = tcp_as(at, 1, &[STRANGER]).unwrap();
    world.run(async {
        let channel = tcp_channel(stream).await;
        call(channel.clone(), "/neap.v1.Neap/List").await.unwrap();
        let refused = call(channel, "/neap.v1.Neap/Stop").await.unwrap_err();
        assert!(refused.message().contains("role observer by the group theirs"), "{}", refused.message());
    });
}

#[test]
fn a_client_speaks_without_tls_to_this_machine_alone() {
    let (world, at) = world("127.0.0.1");
    let closed = {
        let unused = TcpListener::bind("127.0.0.1:0").unwrap();
        unused.local_addr().unwrap()
    };
    world.run(async {
        let refused = connect_to(&address("tcp:192.0.2.1:5000"), None, DEADLINE).await.unwrap_err();
        assert!(matches!(refused, ConnectError::Plain(_)) && refused.to_string().contains("NEAP_TLS_CA"), "{refused}");
        let refused = connect_to(&address(&format!("tcp:{closed}")), None, DEADLINE).await.unwrap_err();
        assert!(matches!(refused, ConnectError::Dead(_)), "{refused}");
    });
    assert_eq!(at.ip(), IpAddr::from([127, 0, 0, 1]));
    drop(TcpStream::connect(at).unwrap());
}
