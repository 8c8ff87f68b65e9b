//! H2: who may call what. The socket's mode keeps strangers out; these tests open it wide, and the gate does.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use hyper_util::rt::TokioIo;
use neap::rpc::proto::DESCRIPTORS;
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::support::root_or_skip;
use crate::world::{World, word};

/// A user that is neither root nor anybody.
const STRANGER: u32 = 54_321;

/// A connection made by this user: the kernel notes who connects, not who writes.
fn connected_as(world: &World, uid: u32) -> std::io::Result<UnixStream> {
    let socket = world.socket.clone();
    let thread = std::thread::spawn(move || {
        // SAFETY: plain numbers; the raw call changes this thread alone, which ends after it.
        let changed = unsafe { libc::syscall(libc::SYS_setresuid, -1, uid, -1) };
        assert_eq!(changed, 0, "{}", std::io::Error::last_os_error());
        UnixStream::connect(socket)
    });
    let connected = thread.join().unwrap();
    // The change of user has closed /proc/self to other tests.
    nix::sys::prctl::set_dumpable(true).unwrap();
    connected
}

async fn channel(stream: UnixStream) -> Channel {
    stream.set_nonblocking(true).unwrap();
    let mut once = Some(TokioIo::new(tokio::net::UnixStream::from_std(stream).unwrap()));
    let connector = tower::service_fn(move |_| std::future::ready(once.take().ok_or(std::io::ErrorKind::NotConnected)));
    let connector = tower::ServiceExt::map_err(connector, std::io::Error::from);
    Endpoint::from_static("http://localhost").connect_with_connector(connector).await.unwrap()
}

/// Calls the method with a message without fields.
async fn call(channel: Channel, method: &str) -> Result<(), Status> {
    let mut client = Grpc::new(channel);
    client.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
    let path = PathAndQuery::try_from(method).unwrap();
    let answer = client.server_streaming(Request::new(()), path, tonic_prost::ProstCodec::<(), ()>::default()).await?;
    let _ = answer.into_inner().message().await;
    Ok(())
}

fn methods() -> Vec<String> {
    let set = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let mut methods = vec!["/grpc.health.v1.Health/Check".to_owned()];
    for file in &set.file {
        for service in &file.service {
            let service_name = format!("{}.{}", file.package(), service.name());
            methods.extend(service.method.iter().map(|method| format!("/{service_name}/{}", method.name())));
        }
    }
    methods
}

#[test]
fn h1_a_stranger_does_not_reach_the_socket() {
    if !root_or_skip("h1_a_stranger_does_not_reach_the_socket") {
        return;
    }
    let world = World::new();
    let refused = connected_as(&world, STRANGER).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
}

#[test]
fn h2_a_stranger_may_call_nothing_even_where_the_socket_is_open() {
    if !root_or_skip("h2_a_stranger_may_call_nothing_even_where_the_socket_is_open") {
        return;
    }
    let world = World::new();
    let open = |path: &std::path::Path| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
    open(&world.socket);
    open(world.socket.parent().unwrap());
    let stream = connected_as(&world, STRANGER).unwrap();
    world.run(async {
        let channel = channel(stream).await;
        for method in methods() {
            let refused = call(channel.clone(), &method).await.unwrap_err();
            assert_eq!(
                (refused.code(), word(&refused).as_str()),
                (Code::PermissionDenied, "not_permitted"),
                "{method}"
            );
            assert!(refused.message().contains("uid 54321"), "{}", refused.message());
        }
    });
    assert!(world.backend.asked.lock().unwrap().is_empty());
}

#[test]
fn h2_the_own_user_may_call_what_there_is_and_nothing_else_is_served() {
    let world = World::new();
    world.run(async {
        let channel = world.channel().await;
        for method in ["/neap.v1.Neap/List", "/process_manager.ProcessManager/List", "/grpc.health.v1.Health/Check"] {
            call(channel.clone(), method).await.unwrap();
        }
        for method in ["/neap.v1.Neap/Invented", "/neap.v1.Neap/List/x", "/invented.Service/Call"] {
            let refused = call(channel.clone(), method).await.unwrap_err();
            assert_eq!((refused.code(), word(&refused).as_str()), (Code::Unimplemented, "unimplemented"), "{method}");
        }
    });
}
