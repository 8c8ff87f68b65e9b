//! The service of the older system, as its clients use it.

use neap::rpc::proto::process_manager as pm;
use neap::rpc::proto::v1;
use neap::spec::{Restart, Spec};
use tonic::Code;

use crate::world::{World, names, sleeper};

#[test]
fn list_and_describe_have_its_fields() {
    let world = World::new();
    let mut spec = Spec::new("web", ["sleep", "1000", "0"]).description("a web server");
    spec.restart = Restart::always().delay(std::time::Duration::from_millis(1_500));
    spec.limits.oom_score_adj = Some(500);
    world.add(spec).start_blocking().unwrap();
    world.run(async {
        let mut legacy = world.legacy().await;
        let list = legacy.list(pm::ListRequest {}).await.unwrap().into_inner();
        let listed = &list.processes[0];
        assert_eq!((listed.command.as_str(), &listed.args), ("sleep", &names(&["1000", "0"])));
        assert_eq!((listed.state(), listed.run_count), (pm::ProcessState::Running, 1));
        assert!(listed.pid > 0 && listed.created_at > 1_700_000_000 && listed.started_at >= listed.created_at);
        assert_eq!((listed.ended_at, listed.exit_code, listed.signal.as_str()), (0, 0, ""), "absent is 0 or empty");
        for id in [listed.id.clone(), "web".into()] {
            let detail = legacy.describe(pm::DescribeRequest { id }).await.unwrap().into_inner().detail.unwrap();
            assert_eq!((detail.id.as_str(), detail.description.as_str()), (listed.id.as_str(), "a web server"));
            assert_eq!((detail.restart_policy.as_str(), detail.restart_sec), ("always", 2), "seconds, rounded up");
            assert_eq!((detail.kill_signal_str.as_str(), detail.timeout_stop_sec), ("SIGTERM", 10));
            assert_eq!(detail.resource_limits.unwrap().oom_score_adj, 500);
            assert_eq!((detail.user.as_str(), detail.health_check), ("", None));
        }
        // Ids are those of neap.v1.
        let other = world.neap().await.list(v1::ListRequest::default()).await.unwrap().into_inner();
        assert_eq!(other.processes[0].id, listed.id);
    });
}

#[test]
fn start_and_stop_answer_with_states_and_errors_are_statuses() {
    let world = World::new();
    world.add(sleeper("web"));
    world.add(Spec::shell("bad", "exit 3").oneshot().restart(Restart::never()));
    world.run(async {
        let mut legacy = world.legacy().await;
        let started = legacy.start(pm::StartRequest { id: "web".into() }).await.unwrap().into_inner();
        assert_eq!(started.state(), pm::ProcessState::Running);
        let stopped = legacy.stop(pm::StopRequest { id: "web".into() }).await.unwrap().into_inner();
        assert_eq!(stopped.state(), pm::ProcessState::Stopped);
        assert_eq!(legacy.start(pm::StartRequest { id: "bad".into() }).await.unwrap_err().code(), Code::Aborted);
        assert_eq!(legacy.start(pm::StartRequest { id: "nobody".into() }).await.unwrap_err().code(), Code::NotFound);
        assert_eq!(legacy.stop(pm::StopRequest { id: String::new() }).await.unwrap_err().code(), Code::InvalidArgument);
        let status = legacy.get_status(pm::GetStatusRequest {}).await.unwrap().into_inner();
        assert_eq!((status.total_processes, status.running_processes), (2, 0));
        assert_eq!((status.stopped_processes, status.failed_processes), (1, 1));
        assert!(status.ready && status.supervisor_healthy && status.repository_healthy);
        assert_eq!((status.version.as_str(), status.config_path.as_str()), ("1.2.3", "/etc/neap/neap.lua"));
    });
}
