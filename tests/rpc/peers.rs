//! H2: who may call what. The socket's mode keeps strangers out; some of these tests open it wide, and the gate does.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use neap::rpc::{Grant, Role};
use prost::Message;
use prost_types::FileDescriptorProto;
use tonic::Code;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::as_user::{STRANGER, call, channel, unix_as};
use crate::support::{root_or_skip, wait_until};
use crate::world::{World, word};

/// What looks, and what acts. All else takes an admin: so does whatever is added and stands in neither.
const LOOKS: [&str; 18] = [
    "/neap.v1.Neap/GetStatus",
    "/neap.v1.Neap/List",
    "/neap.v1.Neap/Describe",
    "/neap.v1.Neap/Wait",
    "/neap.v1.Neap/Watch",
    "/neap.v1.Neap/Logs",
    "/neap.v1.Neap/Why",
    "/neap.v1.Neap/Graph",
    "/neap.v1.Neap/Stats",
    "/process_manager.ProcessManager/GetStatus",
    "/process_manager.ProcessManager/List",
    "/process_manager.ProcessManager/Describe",
    "/process_manager.ProcessManager/GetResourceUsage",
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/List",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];
const ACTS: [&str; 7] = [
    "/neap.v1.Neap/Start",
    "/neap.v1.Neap/Stop",
    "/neap.v1.Neap/Restart",
    "/neap.v1.Neap/Reload",
    "/neap.v1.Neap/Signal",
    "/process_manager.ProcessManager/Start",
    "/process_manager.ProcessManager/Stop",
];
/// Whose call with an empty message would end what the other calls are tried on.
const ENDS: [&str; 1] = ["/neap.v1.Neap/Shutdown"];

fn least(method: &str) -> Role {
    match method {
        _ if LOOKS.contains(&method) => Role::Observer,
        _ if ACTS.contains(&method) => Role::Operator,
        _ => Role::Admin,
    }
}

/// Each method of each service that is served, as the server itself tells it.
async fn served(world: &World) -> Vec<String> {
    let mut client = ServerReflectionClient::new(world.channel().await);
    let mut ask = async |asked| {
        let request = ServerReflectionRequest { host: String::new(), message_request: Some(asked) };
        let answers = client.server_reflection_info(tokio_stream::iter([request])).await.unwrap();
        answers.into_inner().message().await.unwrap().unwrap().message_response.unwrap()
    };
    let MessageResponse::ListServicesResponse(services) = ask(MessageRequest::ListServices(String::new())).await else {
        panic!("no services");
    };
    let mut methods = BTreeSet::from(["/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo".to_owned()]);
    for service in services.service {
        let asked = MessageRequest::FileContainingSymbol(service.name.clone());
        let MessageResponse::FileDescriptorResponse(files) = ask(asked).await else { panic!("no file") };
        for file in files.file_descriptor_proto {
            let file = FileDescriptorProto::decode(&file[..]).unwrap();
            for one in file.service.iter().filter(|one| format!("{}.{}", file.package(), one.name()) == service.name) {
                methods.extend(one.method.iter().map(|method| format!("/{}/{}", service.name, method.name())));
            }
        }
    }
    methods.into_iter().collect()
}

/// Lets everybody reach the socket.
fn open(world: &World) {
    let open = |path: &Path| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
    open(&world.socket);
    open(world.socket.parent().unwrap());
    open(world.dir.path());
}

#[test]
fn h1_a_stranger_does_not_reach_the_socket() {
    if !root_or_skip("h1_a_stranger_does_not_reach_the_socket") {
        return;
    }
    let world = World::new();
    let refused = unix_as(&world.socket, STRANGER, &[]).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
}

#[test]
fn h2_each_method_of_each_served_service_is_for_those_alone_whose_role_is_enough() {
    if !root_or_skip("h2_each_method_of_each_served_service_is_for_those_alone_whose_role_is_enough") {
        return;
    }
    let world = World::new();
    open(&world);
    let grant = |gid, role| Grant { group: format!("g{gid}"), gid, role };
    let roles = [(70_010, Role::Observer), (70_020, Role::Operator), (70_030, Role::Admin)];
    world.backend.access.set(roles.map(|(gid, role)| grant(gid, role)).to_vec());
    let as_stranger = |gids: &[u32]| unix_as(&world.socket, STRANGER, gids).unwrap();
    let mut callers = vec![
        ("root", Some(Role::Admin), UnixStream::connect(&world.socket).unwrap()),
        ("a stranger", None, as_stranger(&[])),
        ("a member of another group", None, as_stranger(&[70_011, 70_012])),
    ];
    for (name, (gid, role)) in ["an observer", "an operator", "an admin"].into_iter().zip(roles) {
        callers.push((name, Some(role), as_stranger(&[70_011, gid])));
    }
    // By its main group alone, and by two of which the second may more.
    callers.push(("an observer by the main group", Some(Role::Observer), as_stranger(&[70_010])));
    callers.push(("an operator by one of two", Some(Role::Operator), as_stranger(&[70_010, 70_020])));
    world.run(async {
        let methods = served(&world).await;
        for expected in ["/neap.v1.Neap/Eval", "/process_manager.ProcessManager/Create", "/grpc.health.v1.Health/Check"]
        {
            assert!(methods.iter().any(|method| method == expected), "{methods:?}");
        }
        for (name, role, stream) in callers {
            let channel = channel(stream).await;
            for method in &methods {
                if role.is_some_and(|role| role >= least(method)) {
                    if ENDS.contains(&method.as_str()) {
                        continue;
                    }
                    // It may well be refused for other reasons; a method that is in no table is refused to all.
                    if let Err(status) = call(channel.clone(), method).await {
                        assert_ne!(status.code(), Code::PermissionDenied, "{method} for {name}: {status}");
                        assert!(!status.message().starts_with("there is no method"), "{method} has no row");
                    }
                } else {
                    let refused = call(channel.clone(), method).await.unwrap_err();
                    let told = (refused.code(), word(&refused));
                    assert_eq!(told, (Code::PermissionDenied, "not_permitted".to_owned()), "{method} for {name}");
                    let message = refused.message();
                    assert!(message.contains("uid 54321"), "{message}");
                    assert_eq!(message.contains(" has no role here"), role.is_none(), "{message}");
                }
            }
        }
    });
}

#[test]
fn h2_a_group_that_loses_its_role_loses_it_on_the_connections_that_it_has() {
    if !root_or_skip("h2_a_group_that_loses_its_role_loses_it_on_the_connections_that_it_has") {
        return;
    }
    let world = World::new();
    open(&world);
    let stream = unix_as(&world.socket, STRANGER, &[70_010]).unwrap();
    world.run(async {
        let channel = channel(stream).await;
        call(channel.clone(), "/neap.v1.Neap/List").await.unwrap_err();
        world.backend.access.set(vec![Grant { group: "g".into(), gid: 70_010, role: Role::Observer }]);
        call(channel.clone(), "/neap.v1.Neap/List").await.unwrap();
        world.backend.access.set(Vec::new());
        let refused = call(channel, "/neap.v1.Neap/List").await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
    });
}

#[test]
fn h3_others_have_sixty_four_connections_each_however_many_processes_they_make() {
    if !root_or_skip("h3_others_have_sixty_four_connections_each_however_many_processes_they_make") {
        return;
    }
    let world = World::new();
    open(&world);
    let streams: Vec<UnixStream> = (0..80).map(|_| unix_as(&world.socket, STRANGER, &[]).unwrap()).collect();
    let closed = |stream: &UnixStream| {
        stream.set_nonblocking(true).unwrap();
        matches!(std::io::Read::read(&mut &*stream, &mut [0; 64]), Ok(0))
    };
    wait_until("those beyond the limit are closed", || streams.iter().filter(|stream| closed(stream)).count() >= 16);
    world.run(async {
        call(world.channel().await, "/neap.v1.Neap/List").await.unwrap();
    });
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
