//! Logs: what is kept and what is to come, each line once.

use neap::rpc::proto::v1;
use neap::rpc::proto::v1::logs_response::Item;
use neap::spec::{Restart, Spec};
use tonic::Streaming;

use crate::support::wait_until;
use crate::world::{World, names};

async fn line(stream: &mut Streaming<v1::LogsResponse>) -> Option<v1::LogLine> {
    match stream.message().await.unwrap()?.item.unwrap() {
        Item::Line(line) => Some(line),
        Item::Lag(lag) => panic!("{lag:?}"),
    }
}

fn text(line: &v1::LogLine) -> String {
    String::from_utf8(line.text.clone()).unwrap()
}

#[test]
fn the_newest_lines_are_there_after_their_process_has_ended() {
    let world = World::new();
    let job = world.add(Spec::shell("job", "seq 1 20; echo bad >&2").oneshot());
    job.start_blocking().unwrap();
    world.run(async {
        let mut neap = world.neap().await;
        let request = v1::LogsRequest { names: names(&["job"]), tail: Some(3), ..Default::default() };
        let mut stream = neap.logs(request).await.unwrap().into_inner();
        let mut lines = Vec::new();
        while let Some(line) = line(&mut stream).await {
            lines.push(line);
        }
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().any(|line| text(line) == "20" && line.stream == "stdout" && !line.partial));
        assert!(lines.iter().any(|line| text(line) == "bad" && line.stream == "stderr" && line.process == "job"));
        assert!(lines.iter().all(|line| line.process_id.len() == 36));
    });
}

#[test]
fn a_follower_gets_each_line_once_from_the_first_that_is_kept() {
    let world = World::new();
    let go = world.dir.path().join("go");
    let script =
        format!("seq 1 100; until test -e {}; do sleep 0.01; done; seq 101 2000; exec sleep 1000", go.display());
    let job = world.add(Spec::shell("job", script));
    job.start_blocking().unwrap();
    wait_until("a hundred lines are there", || job.logs(1_000).len() == 100);
    world.run(async {
        let mut neap = world.neap().await;
        let request = v1::LogsRequest { names: names(&["job"]), follow: true, ..Default::default() };
        let mut stream = neap.logs(request).await.unwrap().into_inner();
        std::fs::write(&go, "").unwrap();
        for expected in 1..=2_000 {
            assert_eq!(text(&line(&mut stream).await.unwrap()), expected.to_string());
        }
    });
}

#[test]
fn a_glob_that_is_followed_means_those_to_come_and_no_others() {
    let world = World::new();
    world.run(async {
        let mut neap = world.neap().await;
        let request = v1::LogsRequest { names: names(&["web-*"]), follow: true, ..Default::default() };
        let mut stream = neap.logs(request).await.unwrap().into_inner();
        world.add(Spec::shell("db", "echo no").oneshot().restart(Restart::never())).start_blocking().unwrap();
        world.add(Spec::shell("web-1", "echo yes").oneshot()).start_blocking().unwrap();
        let line = line(&mut stream).await.unwrap();
        assert_eq!((line.process.as_str(), text(&line).as_str()), ("web-1", "yes"));
        let refused = neap.logs(v1::LogsRequest { names: names(&["web-9"]), ..Default::default() }).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::NotFound);
    });
}
