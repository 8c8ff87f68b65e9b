//! Logs: what is kept and what is to come, each line once.

use std::collections::{HashMap, VecDeque};

use neap::rpc::proto::v1;
use neap::spec::{Restart, Spec};
use tonic::Streaming;

use crate::support::wait_until;
use crate::world::{World, names};

/// Lines one by one; a lag is a failure.
struct Reader {
    stream: Streaming<v1::LogsResponse>,
    lines: VecDeque<v1::LogLine>,
}

impl Reader {
    async fn open(world: &World, request: v1::LogsRequest) -> Reader {
        let stream = world.neap().await.logs(request).await.unwrap().into_inner();
        Reader { stream, lines: VecDeque::new() }
    }

    async fn next(&mut self) -> Option<v1::LogLine> {
        while self.lines.is_empty() {
            let message = self.stream.message().await.unwrap()?;
            assert_eq!(message.lag, None);
            self.lines.extend(message.lines);
        }
        self.lines.pop_front()
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
        let request = v1::LogsRequest { names: names(&["job"]), tail: Some(3), ..Default::default() };
        let mut reader = Reader::open(&world, request).await;
        let mut lines = Vec::new();
        while let Some(line) = reader.next().await {
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
        let request = v1::LogsRequest { names: names(&["job"]), follow: true, ..Default::default() };
        let mut reader = Reader::open(&world, request).await;
        std::fs::write(&go, "").unwrap();
        for expected in 1..=2_000 {
            assert_eq!(text(&reader.next().await.unwrap()), expected.to_string());
        }
    });
}

#[test]
fn a_process_that_never_ran_is_followed_by_its_name() {
    let world = World::new();
    let job = world.add(Spec::shell("job", "echo one; echo two").oneshot());
    world.run(async {
        let request = v1::LogsRequest { names: names(&["job"]), follow: true, ..Default::default() };
        let mut reader = Reader::open(&world, request).await;
        job.start().await.unwrap();
        for expected in ["one", "two"] {
            assert_eq!(text(&reader.next().await.unwrap()), expected);
        }
    });
}

#[test]
fn a_glob_that_is_followed_means_those_to_come_and_no_others() {
    let world = World::new();
    world.run(async {
        let mut neap = world.neap().await;
        let request = v1::LogsRequest { names: names(&["web-*"]), follow: true, ..Default::default() };
        let mut reader = Reader::open(&world, request).await;
        world.add(Spec::shell("db", "echo no").oneshot().restart(Restart::never())).start_blocking().unwrap();
        world.add(Spec::shell("web-1", "echo yes").oneshot()).start_blocking().unwrap();
        let line = reader.next().await.unwrap();
        assert_eq!((line.process.as_str(), text(&line).as_str()), ("web-1", "yes"));
        let refused = neap.logs(v1::LogsRequest { names: names(&["web-9"]), ..Default::default() }).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::NotFound);
    });
}

/// A process whose lines also go to a file, in a state of being followed.
fn filed(name: &str, script: String) -> Spec {
    let log = neap::spec::LogSettings {
        file: Some(format!("{name}.log")),
        max_size: 4 << 10,
        keep: 50,
        ..Default::default()
    };
    Spec::shell(name, script).log(log)
}

#[test]
fn f10_a_client_that_comes_back_with_its_cursors_misses_nothing_and_sees_nothing_twice() {
    let world = World::new();
    let go = world.dir.path().join("go");
    let script =
        format!("seq 1 1000; until test -e {}; do sleep 0.01; done; seq 1001 3000; exec sleep 1000", go.display());
    world.add(filed("job", script)).start_blocking().unwrap();
    world.run(async {
        let mut cursors = HashMap::new();
        let mut expected = 1;
        // It reads a few hundred lines, over several rotations, and breaks off in the middle of a message.
        for round in 0..10 {
            if round == 3 {
                std::fs::write(&go, "").unwrap();
            }
            let request = v1::LogsRequest {
                names: names(&["job"]),
                follow: true,
                cursors: cursors.clone(),
                ..Default::default()
            };
            let mut reader = Reader::open(&world, request).await;
            for _ in 0..300 {
                let line = reader.next().await.unwrap();
                assert_eq!(text(&line), expected.to_string());
                expected += 1;
                cursors.insert("job".to_owned(), line.cursor.unwrap());
            }
        }
        assert_eq!(expected, 3_001);
        let bad = HashMap::from([("job".to_owned(), "no cursor".to_owned())]);
        let request = v1::LogsRequest { names: names(&["job"]), cursors: bad, ..Default::default() };
        let refused = world.neap().await.logs(request).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    });
}

#[test]
fn the_newest_lines_of_files_and_rings_stand_side_by_side() {
    let world = World::new();
    world.add(filed("a-file", "seq 1 100; printf unfinished".into()).oneshot()).start_blocking().unwrap();
    world.add(Spec::shell("b-ring", "seq 101 200").oneshot()).start_blocking().unwrap();
    world.run(async {
        let request = v1::LogsRequest { tail: Some(2), ..Default::default() };
        let mut reader = Reader::open(&world, request).await;
        let mut lines = Vec::new();
        while let Some(line) = reader.next().await {
            lines.push((line.process.clone(), text(&line), line.cursor.is_some()));
        }
        let line = |process: &str, text: &str, cursor| (process.to_owned(), text.to_owned(), cursor);
        // What got no line end from its process is a line, too.
        assert_eq!(lines[..2], [line("a-file", "100", true), line("a-file", "unfinished", true)]);
        assert_eq!(lines[2..], [line("b-ring", "199", false), line("b-ring", "200", false)]);
    });
}

#[test]
fn a_follower_of_files_ends_with_the_instance_and_has_read_its_last_words() {
    let world = World::new();
    let script = "trap 'echo last words; exit 0' TERM; echo ready; while :; do sleep 0.01 2>/dev/null; done";
    let job = world.add(filed("job", script.into()).ready(neap::spec::Ready::logline("^ready")));
    job.start_blocking().unwrap();
    world.run(async {
        let request = v1::LogsRequest { names: names(&["job"]), follow: true, ..Default::default() };
        let mut reader = Reader::open(&world, request).await;
        assert_eq!(text(&reader.next().await.unwrap()), "ready");
        world.neap().await.shutdown(v1::ShutdownRequest::default()).await.unwrap();
        let mut lines = Vec::new();
        while let Some(line) = reader.next().await {
            lines.push(text(&line));
        }
        // The shell has something to say of its own child, too.
        assert_eq!(lines.last().unwrap(), "last words", "{lines:?}");
    });
}

#[test]
fn what_is_in_memory_is_told_by_run_and_by_time_too() {
    let world = World::new();
    let job = world.add(Spec::shell("job", "echo $$; echo done").oneshot());
    for _ in 0..3 {
        job.start_blocking().unwrap();
    }
    let all: Vec<String> = job.logs(99).iter().map(|line| String::from_utf8_lossy(&line.text).into_owned()).collect();
    assert_eq!(all.len(), 6);
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap();
    world.run(async {
        let ask = async |request: v1::LogsRequest| {
            let mut reader = Reader::open(&world, v1::LogsRequest { names: names(&["job"]), ..request }).await;
            let mut lines = Vec::new();
            while let Some(line) = reader.next().await {
                assert!(line.time.is_some() && line.run.is_some());
                lines.push(text(&line));
            }
            lines
        };
        let run = |run| v1::LogsRequest { run: Some(run), ..Default::default() };
        for (number, lines) in [(1, &all[..2]), (2, &all[2..4]), (3, &all[4..]), (0, &all[4..]), (-2, &all[..2])] {
            assert_eq!(ask(run(number)).await, lines, "{number}");
        }
        assert_eq!(ask(v1::LogsRequest { tail: Some(1), ..run(-1) }).await, ["done"]);
        let since = |seconds| v1::LogsRequest {
            since: Some(prost_types::Timestamp { seconds, nanos: 0 }),
            ..Default::default()
        };
        assert_eq!(ask(since(now - 600)).await, all);
        assert_eq!(ask(since(now + 600)).await, Vec::<String>::new());
        let mut neap = world.neap().await;
        for unknown in [9, -3] {
            let request = v1::LogsRequest { names: names(&["job"]), ..run(unknown) };
            let refused = neap.logs(request).await.unwrap_err();
            assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
            assert_eq!(refused.message(), "job has no such run: it has had 3 so far");
        }
        // A follower of the newest run ends with it.
        let request = v1::LogsRequest { names: names(&["job"]), follow: true, ..run(0) };
        let mut reader = Reader::open(&world, request).await;
        assert_eq!(text(&reader.next().await.unwrap()), all[4]);
        assert_eq!(text(&reader.next().await.unwrap()), all[5]);
        job.start().await.unwrap();
        assert!(reader.next().await.is_none());
    });
}
