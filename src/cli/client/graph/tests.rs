use std::process::{Command, Stdio};

use super::model::Graph;
use super::{dot, mermaid, svg, text};
use crate::cli::client::table::Sheet;
use crate::cli::paint::Paint;
use crate::rpc::proto::v1::{Edge, GraphResponse, Process, State};

fn process(name: &str, state: State, reason: &str) -> Process {
    let reason = (!reason.is_empty()).then(|| reason.to_owned());
    Process { name: name.into(), state: state.into(), reason, ..Process::default() }
}

fn edge(from: &str, kind: &str, to: &str) -> Edge {
    Edge { from: from.into(), to: to.into(), kind: kind.into(), ..Edge::default() }
}

/// Every state and relation, one that there is not, a circle, and one alone.
fn plan() -> Graph {
    let processes = vec![
        process("api", State::Waiting, "for `db`"),
        process("blue", State::Stopped, "conflicts `green`"),
        process("cache", State::Backoff, "exit code 1"),
        process("cron", State::Created, ""),
        process("db", State::Starting, "not ready yet"),
        process("green", State::Running, ""),
        process("migrate", State::Exited, "exit code 0"),
        process("proxy", State::Crashed, "restarted too often; last: says \"<&>\" \\ and leaves"),
        process("sidecar", State::Stopping, "part_of `web`"),
        process("tail", State::Failed, "exit code 2"),
        process("web", State::Waiting, "for `api`"),
    ];
    let mut edges = vec![
        edge("api", "requires", "db"),
        edge("api", "after", "db"),
        edge("api", "wants", "cache"),
        edge("blue", "conflicts", "green"),
        edge("db", "after", "migrate"),
        edge("proxy", "follows", "web"),
        edge("sidecar", "part_of", "web"),
        edge("tail", "wants", "lost"),
        edge("web", "binds_to", "api"),
        edge("web", "wants", "tail"),
        edge("tail", "part_of", "web"),
    ];
    (edges[0].holding, edges[8].holding, edges[7].missing) = (true, true, true);
    Graph::of(GraphResponse { processes, edges })
}

/// One of so many, each with a few needs among those before it.
fn large(count: u64) -> Graph {
    let name = |number: u64| format!("service-{number:03}");
    let processes = (0..count).map(|number| process(&name(number), State::Running, "")).collect();
    let mut edges = Vec::new();
    for number in 1..count {
        for step in 1..=number % 3 {
            let other = number * 7 % (number + step) % number;
            edges.push(edge(&name(number), if step == 1 { "requires" } else { "wants" }, &name(other)));
        }
    }
    Graph::of(GraphResponse { processes, edges })
}

fn golden(file: &str, drawn: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/graph").join(file);
    if std::env::var_os("NEAP_UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, drawn).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(drawn, expected, "{}: NEAP_UPDATE_GOLDEN=1 writes it anew", path.display());
}

#[test]
fn each_format_draws_a_plan_as_before() {
    let graph = plan();
    golden("plan.txt", &text::draw(&graph, Sheet { paint: Paint::off(), width: None }));
    golden("plan.dot", &dot::draw(&graph));
    golden("plan.mmd", &mermaid::draw(&graph));
    golden("plan.svg", &svg::draw(&graph));
}

/// Runs a program on this text; what it complained of. `None` when there is no such program.
fn checked(program: &str, args: &[&str], input: &str) -> Option<Result<(), String>> {
    use std::io::Write as _;
    let child =
        Command::new(program).args(args).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = child.ok()?;
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    Some(if ended.status.success() { Ok(()) } else { Err(said) })
}

const HOSTILE: &str = "a\"b\\c<d>&'e\u{1b}[2J\u{0}\n|]--> %% end; \u{202e}";

fn hostile() -> Graph {
    let processes = vec![process(HOSTILE, State::Failed, HOSTILE), process("end", State::Running, "")];
    Graph::of(GraphResponse { processes, edges: vec![edge("end", HOSTILE, HOSTILE)] })
}

#[test]
fn pictures_are_xml_whatever_they_show() {
    let read = "import sys, xml.etree.ElementTree as t; t.fromstring(sys.stdin.buffer.read())";
    for graph in [plan(), hostile(), large(30), large(300), Graph::of(GraphResponse::default())] {
        match checked("python3", &["-c", read], &svg::draw(&graph)) {
            Some(result) => result.unwrap(),
            None => return println!("skipped: pictures_are_xml_whatever_they_show: there is no python3"),
        }
    }
}

#[test]
fn graphviz_takes_what_it_is_given() {
    for graph in [plan(), hostile(), large(300)] {
        match checked("dot", &["-Tcanon"], &dot::draw(&graph)) {
            Some(result) => result.unwrap(),
            None => return println!("skipped: graphviz_takes_what_it_is_given: there is no dot"),
        }
    }
}

#[test]
fn no_name_breaks_out_of_its_place() {
    let graph = hostile();
    let drawn = [
        text::draw(&graph, Sheet { paint: Paint::off(), width: None }),
        dot::draw(&graph),
        mermaid::draw(&graph),
        svg::draw(&graph),
    ];
    for drawn in &drawn {
        assert!(!drawn.chars().any(|c| c.is_control() && c != '\n'), "{drawn:?}");
    }
    assert!(drawn[3].contains("&lt;d&gt;&amp;&#39;e"));
    assert!(!drawn[2].contains("-->|a"), "{}", drawn[2]);
    // A line a process, a line a relation, and those around them.
    assert_eq!(drawn[1].lines().count(), 4 + 2 + 1 + 1, "{}", drawn[1]);
}

#[test]
fn three_hundred_processes_stand_apart_from_each_other() {
    let graph = large(300);
    let widths: Vec<f64> = graph.nodes.iter().map(|_| 100.0).collect();
    let places = super::layout::layout(&graph, &widths);
    let mut corners: Vec<(i64, i64)> = places.nodes.iter().map(|at| (at.x as i64, at.y as i64)).collect();
    corners.sort_unstable();
    for pair in corners.windows(2) {
        let apart = pair[1].0 != pair[0].0 || pair[1].1 - pair[0].1 >= super::layout::HEIGHT as i64;
        assert!(apart, "{pair:?}");
    }
    assert!(places.nodes.iter().all(|at| at.x >= 0.0 && at.y >= 0.0 && at.x < places.width && at.y < places.height));
    // Who needs stands at the right of what it needs.
    for link in &graph.links {
        assert!(places.nodes[link.from].x > places.nodes[link.to].x);
    }
}
