//! The standard services: health, and reflection in both versions.

use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::{v1, v1alpha};

use crate::world::World;

#[test]
fn health_is_serving_overall_and_for_both_services() {
    let world = World::new();
    world.run(async {
        let mut health = HealthClient::new(world.channel().await);
        for service in ["", "neap.v1.Neap", "process_manager.ProcessManager"] {
            let answer = health.check(HealthCheckRequest { service: service.into() }).await.unwrap().into_inner();
            assert_eq!(answer.status(), ServingStatus::Serving, "{service:?}");
        }
        let unknown = health.check(HealthCheckRequest { service: "nobody".into() }).await.unwrap_err();
        assert_eq!(unknown.code(), tonic::Code::NotFound);
    });
}

/// One version of reflection, asked for the services and for the file of one.
macro_rules! reflection {
    ($test:ident, $version:ident) => {
        #[test]
        fn $test() {
            use $version::server_reflection_client::ServerReflectionClient;
            use $version::server_reflection_request::MessageRequest;
            use $version::server_reflection_response::MessageResponse;
            let world = World::new();
            world.run(async {
                let mut client = ServerReflectionClient::new(world.channel().await);
                let request =
                    |asked| $version::ServerReflectionRequest { host: String::new(), message_request: Some(asked) };
                let asked = [
                    request(MessageRequest::ListServices(String::new())),
                    request(MessageRequest::FileContainingSymbol("neap.v1.Neap".into())),
                ];
                let mut answers = client.server_reflection_info(tokio_stream::iter(asked)).await.unwrap().into_inner();
                let mut next = async || answers.message().await.unwrap().unwrap().message_response.unwrap();
                let MessageResponse::ListServicesResponse(services) = next().await else { panic!("no services") };
                let names: Vec<&str> = services.service.iter().map(|service| service.name.as_str()).collect();
                for name in ["neap.v1.Neap", "process_manager.ProcessManager", "grpc.health.v1.Health"] {
                    assert!(names.contains(&name), "{names:?}");
                }
                let MessageResponse::FileDescriptorResponse(file) = next().await else { panic!("no file") };
                assert!(!file.file_descriptor_proto.is_empty());
            });
        }
    };
}

reflection!(reflection_v1_names_the_services_and_has_their_files, v1);
reflection!(reflection_v1alpha_does_the_same_for_older_clients, v1alpha);
