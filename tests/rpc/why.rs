//! Why and Graph: causes, blockers and relations as clients read them.

use neap::rpc::proto::v1;
use neap::spec::{Ready, Restart, Spec};
use tonic::Code;

use crate::world::{World, names, sleeper, state, word};

async fn why(world: &World, name: &str) -> v1::WhyResponse {
    let request = v1::WhyRequest { name: name.into() };
    world.neap().await.why(request).await.expect("an explanation").into_inner()
}

#[test]
fn the_chain_goes_from_a_state_over_relations_to_who_asked() {
    let world = World::new();
    let db =
        world.add(Spec::shell("db", "echo up; exec sleep 1000").restart(Restart::never()).ready(Ready::logline("^up")));
    let web = world.add(sleeper("web").requires("db").binds_to("db"));
    world.run(async {
        let mut neap = world.neap().await;
        neap.start(v1::StartRequest { names: names(&["web"]), ..Default::default() }).await.expect("it starts");
        let stopped = web.wait(neap::core::StateName::Stopped);
        neap.signal(v1::SignalRequest { names: names(&["db"]), signal: "KILL".into() }).await.expect("it is sent");
        stopped.await.expect("it stops");
        db.wait(neap::core::StateName::Failed).await.expect("it fails");
        let why = why(&world, "web").await;
        let process = why.process.expect("the process");
        assert_eq!((process.name.as_str(), state(process.state)), ("web", v1::State::Stopped));
        let told: Vec<String> =
            why.chain.iter().map(|it| format!("{} {}: {}", it.process, it.text, it.cause_text)).collect();
        assert_eq!(told[0], "web was stopped: it binds to db");
        assert!(told[1].starts_with("db failed: killed by SIGKILL; its restart policy is never"), "{told:?}");
        assert!(told[2].starts_with("db was sent SIGKILL: asked for by "), "{told:?}");
        let signal = &why.chain[2];
        let uid = nix::unistd::getuid();
        assert!(signal.caller.as_deref().is_some_and(|caller| caller.contains(&format!("uid {uid}"))), "{signal:?}");
        assert_eq!((signal.cause.as_str(), why.cut), ("command", None));
        assert!(why.chain.iter().all(|it| it.sequence.is_some() && it.time.is_some()));
    });
}

#[test]
fn what_holds_up_a_start_is_nested_and_has_its_time() {
    let world = World::new();
    world.add(sleeper("db").ready(Ready::logline("never printed")));
    world.add(sleeper("api").requires("db"));
    world.add(sleeper("web").requires("api"));
    world.run(async {
        let mut neap = world.neap().await;
        let request = v1::StartRequest { names: names(&["web"]), no_wait: true, ..Default::default() };
        neap.start(request).await.expect("it is on its way");
        let why = why(&world, "web").await;
        let api = &why.blockers[0];
        let db = &api.blockers[0];
        assert_eq!((api.name.as_str(), api.kind.as_str(), state(api.state)), ("api", "requires", v1::State::Waiting));
        assert_eq!((db.name.as_str(), state(db.state)), ("db", v1::State::Starting));
        let timer = &db.timers[0];
        assert_eq!(timer.what, "start_timeout");
        assert!(timer.remaining > 0 && timer.remaining <= 90_000, "{timer:?}");
        let graph = neap.graph(v1::GraphRequest::default()).await.expect("a graph").into_inner();
        let holding: Vec<(&str, &str)> =
            graph.edges.iter().filter(|edge| edge.holding).map(|edge| (&*edge.from, &*edge.to)).collect();
        assert_eq!(holding, [("api", "db"), ("web", "api")]);
    });
}

#[test]
fn a_graph_of_names_has_what_they_are_related_to_and_nothing_else() {
    let world = World::new();
    world.add(sleeper("db"));
    world.add(sleeper("api").requires("db").wants("nobody"));
    world.add(sleeper("web").before("api"));
    world.add(sleeper("other"));
    world.run(async {
        let mut neap = world.neap().await;
        let graph = neap.graph(v1::GraphRequest { names: names(&["d?"]) }).await.expect("a graph").into_inner();
        let processes: Vec<&str> = graph.processes.iter().map(|process| &*process.name).collect();
        assert_eq!(processes, ["api", "db", "web"]);
        let edges: Vec<(&str, &str, &str, bool)> =
            graph.edges.iter().map(|edge| (&*edge.from, &*edge.kind, &*edge.to, edge.missing)).collect();
        let expected =
            [("api", "requires", "db", false), ("api", "wants", "nobody", true), ("api", "after", "web", false)];
        assert_eq!(edges, expected);
        let refused = neap.graph(v1::GraphRequest { names: names(&["nobody"]) }).await.expect_err("nobody");
        assert_eq!((refused.code(), word(&refused).as_str()), (Code::NotFound, "not_found"));
        let refused = neap.why(v1::WhyRequest { name: "wep".into() }).await.expect_err("nobody");
        assert_eq!(refused.code(), Code::NotFound);
        assert!(refused.message().contains("did you mean `web`?"), "{}", refused.message());
    });
}
