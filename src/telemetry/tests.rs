//! The page of real supervisors, line by line.

use std::collections::BTreeMap;
use std::time::Duration;

use regex::Regex;

use super::datagram::{Common, Told, packed};
use super::{About, Format, Telemetry, table};
use crate::Supervisor;
use crate::spec::Spec;

fn supervisor() -> Supervisor {
    let supervisor = Supervisor::builder().build().unwrap();
    supervisor.add(Spec::shell("job", "exit 3").oneshot()).unwrap().start_blocking().unwrap_err();
    supervisor.add(Spec::new("web.1", ["sleep", "1000"])).unwrap().start_blocking().unwrap();
    supervisor
}

#[test]
fn a_page_is_openmetrics_line_by_line() {
    let supervisor = supervisor();
    let telemetry = Telemetry::about(&supervisor, || About::new("a \"b\" \\c\nd"));
    let page = telemetry.page().unwrap();
    let comment = Regex::new(r"^# (HELP|TYPE|UNIT) (neap_[a-z_]+) (.+)$").unwrap();
    let sample = Regex::new(r#"^(neap_[a-z_]+)(?:\{([a-z_]+="(?:[^"\\\n]|\\[\\"n])*"(?:,[a-z_]+="(?:[^"\\\n]|\\[\\"n])*")*)\})? ([0-9.e+-]+)$"#).unwrap();
    let (mut types, mut family, mut seen) = (BTreeMap::new(), String::new(), std::collections::BTreeSet::new());
    assert_eq!(page.lines().last(), Some("# EOF"));
    for line in page.lines().take_while(|line| *line != "# EOF") {
        if let Some(found) = comment.captures(line) {
            family = found[2].to_owned();
            match &found[1] {
                "TYPE" => assert!(types.insert(family.clone(), found[3].to_owned()).is_none(), "{line}"),
                "UNIT" => assert!(family.ends_with(&format!("_{}", &found[3])), "{line}"),
                _ => assert!(found[3].ends_with('.'), "{line}"),
            }
            continue;
        }
        let found = sample.captures(line).unwrap_or_else(|| panic!("{line}"));
        let suffix = found[1].strip_prefix(&family).unwrap_or_else(|| panic!("{line} in {family}"));
        let right = match types[&family].as_str() {
            "counter" => suffix == "_total",
            "gauge" => suffix.is_empty(),
            "info" => suffix == "_info",
            _ => ["_bucket", "_sum", "_count"].contains(&suffix),
        };
        assert!(right, "{line} in {} {family}", types[&family]);
        assert!(seen.insert(line.rsplit_once(' ').unwrap().0.to_owned()), "twice: {line}");
    }
    assert_eq!(types.len(), table().len());
    for line in [
        "neap_process_exits_total{process=\"job\",reason=\"exit_code\"} 1",
        "neap_process_state{process=\"web.1\",state=\"running\"} 1",
        "neap_processes_defined_total 2",
        "neap_processes{state=\"failed\"} 1",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}:\n{page}");
    }
    assert!(page.contains(r#"instance_key="a \"b\" \\c\nd""#), "{page}");
    // The older format has the same samples.
    let older = telemetry.page_as(Format::Prometheus).unwrap();
    let names = |page: &str| -> std::collections::BTreeSet<String> {
        let samples = page.lines().filter(|line| !line.starts_with('#'));
        samples.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
    };
    assert_eq!(names(&older), names(&page));
    for line in older.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
    }
    supervisor.shutdown().wait().unwrap();
}

#[test]
fn an_answer_has_the_format_that_is_liked_better() {
    let newer = [
        "",
        "*/*",
        "text/html, application/xhtml+xml",
        "application/json",
        "text/*, */*",
        "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=1.0.0;q=0.3,*/*;q=0.1",
        "Text/Plain ; Q=0.5 , Application/OpenMetrics-Text",
        "text/plain, application/openmetrics-text",
        "text/plain;q=0",
    ];
    let older = [
        "text/plain",
        "text/plain;version=0.0.4;q=1,*/*;q=0.1",
        "text/plain, application/openmetrics-text; version=1.0.0; q=0.1",
        "application/openmetrics-text;q=0, */*",
        "application/openmetrics-text;q=0",
    ];
    for (headers, format) in [(&newer[..], Format::OpenMetrics), (&older[..], Format::Prometheus)] {
        for header in headers {
            assert_eq!(Format::accepted(header), format, "{header}");
        }
    }
}

#[test]
fn what_was_counted_can_be_read_after_the_end() {
    let supervisor = supervisor();
    let telemetry = Telemetry::new(&supervisor);
    supervisor.shutdown().wait().unwrap();
    let page = telemetry.page().unwrap();
    assert!(page.contains("neap_process_exits_total{process=\"web.1\",reason=\"stopped\"} 1\n"), "{page}");
    assert!(page.contains("neap_process_up{process=\"web.1\"} 0\n"), "{page}");
    let figures = supervisor.figures().unwrap();
    assert_eq!(figures.processes.iter().map(|process| &*process.name).collect::<Vec<_>>(), ["job", "web.1"]);
}

#[test]
fn processor_time_of_runs_that_are_over_still_counts() {
    let supervisor = Supervisor::builder().build().unwrap();
    let telemetry = Telemetry::new(&supervisor);
    let busy = Spec::shell("busy", "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done").oneshot();
    let busy = supervisor.add(busy).unwrap();
    let cpu = || {
        let page = telemetry.page().unwrap();
        let line =
            page.lines().find(|line| line.starts_with("neap_process_cpu_seconds_total{process=\"busy\"}")).unwrap();
        line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()
    };
    let mut before = cpu();
    for _ in 0..5 {
        busy.start_blocking().unwrap();
        let now = cpu();
        assert!(now >= before, "{now} after {before}");
        before = now;
    }
    if supervisor.host().trees == crate::TreeKind::Cgroup {
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while cpu() == 0.0 {
            assert!(std::time::Instant::now() < deadline);
            std::thread::yield_now();
        }
    }
    supervisor.shutdown().wait().unwrap();
}

#[test]
fn without_cgroups_one_look_finds_the_members_of_every_tree() {
    let supervisor = Supervisor::builder().cgroups(false).build().unwrap();
    // A child, and one in a session of its own.
    let shell = "sleep 1000 & setsid sleep 1000 & echo up; wait";
    supervisor
        .add(Spec::shell("many", shell).ready(crate::spec::Ready::logline("up")))
        .unwrap()
        .start_blocking()
        .unwrap();
    supervisor.add(Spec::new("one", ["sleep", "1000"])).unwrap().start_blocking().unwrap();
    supervisor.add(Spec::new("none", ["sleep", "1000"])).unwrap();
    let telemetry = Telemetry::new(&supervisor);
    let tasks = || {
        let page = telemetry.page().unwrap();
        let lines = page.lines().filter_map(|line| line.strip_prefix("neap_process_tasks{process="));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while tasks() != ["\"many\"} 3", "\"one\"} 1"] {
        assert!(std::time::Instant::now() < deadline, "{:?}", tasks());
        std::thread::yield_now();
    }
    supervisor.shutdown().wait().unwrap();
}

#[test]
fn the_names_of_the_table_are_told_apart_and_well_formed() {
    let shape = Regex::new("^[a-z][a-z_]*[a-z]$").unwrap();
    let dotted = Regex::new(r"^[a-z][a-z_]*(\.[a-z_]+)*$").unwrap();
    let (mut names, mut sent) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
    for metric in table() {
        assert!(shape.is_match(metric.name) && names.insert(metric.full_name()), "{metric:?}");
        assert!(metric.help.ends_with('.'), "{metric:?}");
        // What the format adds to names by itself.
        for reserved in ["_total", "_count", "_sum", "_bucket", "_created", "_info"] {
            assert!(!metric.name.ends_with(reserved), "{metric:?}");
        }
        assert!(metric.dogstatsd.is_none_or(|name| dotted.is_match(name) && sent.insert(name)), "{metric:?}");
    }
}

#[test]
fn lines_are_packed_as_far_as_they_fit_and_a_tag_ends_nothing() {
    let supervisor = supervisor();
    let snapshot = Telemetry::about(&supervisor, || About::new("a,b|c#d\ne")).snapshot().unwrap();
    let common = Common::new("x.", &snapshot.about.instance, &["env:prod".to_owned()]);
    let lines = common.lines(&snapshot, &std::collections::HashMap::new());
    let starts: Vec<&str> =
        lines.iter().map(|line| line.text.as_str()).filter(|text| text.starts_with("x.process.starts")).collect();
    assert_eq!(
        starts,
        [
            "x.process.starts:1|c|#process:job,instance:a_b_c_d_e,env:prod",
            "x.process.starts:1|c|#process:web.1,instance:a_b_c_d_e,env:prod",
        ]
    );
    let all: Vec<String> = lines.iter().map(|line| line.text.clone()).collect();
    let datagrams = packed(lines, 500);
    let texts: Vec<&str> = datagrams.iter().map(|(datagram, _)| datagram.as_str()).collect();
    assert!(texts.iter().all(|text| text.len() <= 500), "{texts:?}");
    let unpacked: Vec<&str> = texts.iter().flat_map(|text| text.split('\n')).collect();
    assert_eq!(unpacked, all);
    // What was told is not told again.
    let counts = datagrams.into_iter().flat_map(|(_, told)| told).map(|told| match told {
        Told::Count(key, mark) => (key, mark),
        Told::Event => panic!("there was none"),
    });
    let told = counts.collect();
    let again = common.lines(&snapshot, &told);
    assert!(again.iter().all(|line| line.told.is_none()), "{again:?}");
    supervisor.shutdown().wait().unwrap();
}
