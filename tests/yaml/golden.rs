//! Golden files: YAML with the messages that refuse it, or with the plans it gives.
//!
//! `NEAP_UPDATE_GOLDEN=1 cargo test --test yaml` writes the golden files anew; read the difference before committing it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use neap::yaml;

/// The configurations below this folder: files, and folders that are one configuration.
pub fn cases(folder: &str) -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> = Path::new(folder)
        .read_dir()
        .expect("the folder of cases")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_dir() || path.extension().is_some_and(|ending| ending == "yaml"))
        .filter(|path| !path.to_string_lossy().ends_with(".socket.yaml"))
        .collect();
    cases.sort();
    cases
}

/// Compares with the golden file beside the case; `None` when it is as it should be.
fn difference(case: &Path, extension: &str, found: &str) -> Option<String> {
    let golden = case.with_extension(extension);
    if std::env::var_os("NEAP_UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, found).expect("the golden file can be written");
        return None;
    }
    let expected = std::fs::read_to_string(&golden).unwrap_or_default();
    (expected != found).then(|| format!("{}\n--- expected\n{expected}--- found\n{found}", case.display()))
}

fn assert_none(differences: &[String]) {
    assert!(differences.is_empty(), "{} of the cases differ:\n\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn every_bad_file_is_refused_with_its_golden_message() {
    let cases = cases("tests/yaml/bad");
    assert!(cases.len() >= 60, "only {} cases were found", cases.len());
    let mut differences = Vec::new();
    for case in cases {
        let found = match yaml::plan(&case) {
            Err(problems) => problems.iter().map(|problem| format!("{problem}\n")).collect(),
            Ok(_) => "(accepted)\n".to_owned(),
        };
        differences.extend(difference(&case, "txt", &found));
    }
    assert_none(&differences);
}

#[test]
fn every_golden_message_of_a_bad_file_names_file_and_line() {
    for case in cases("tests/yaml/bad") {
        let golden = std::fs::read_to_string(case.with_extension("txt")).expect("a golden message");
        assert!(!golden.is_empty(), "{}: nothing is said", case.display());
        for line in golden.lines() {
            let place = line.split(": ").next().unwrap_or_default();
            let (file, number) = place.rsplit_once(':').unwrap_or_default();
            assert!(Path::new(file).is_file() && number.parse::<u32>().is_ok(), "{}: {line}", case.display());
        }
    }
}

#[test]
fn every_good_file_gives_its_golden_plan() {
    let mut differences = Vec::new();
    for case in cases("tests/yaml/good") {
        let plan = yaml::plan(&case).unwrap_or_else(|problems| {
            let told: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
            panic!("{}: {told}", case.display())
        });
        let specs: BTreeMap<&str, serde_json::Value> = plan
            .specs()
            .map(|spec| (spec.name.as_str(), serde_json::to_value(spec).expect("a spec as JSON")))
            .collect();
        let here = std::env::current_dir().expect("a directory").display().to_string();
        let json = serde_json::to_string_pretty(&specs).expect("a plan as JSON").replace(&here, "HERE");
        let warnings: String = plan.validate().iter().map(|warning| format!("{warning}\n")).collect();
        differences.extend(difference(&case, "json", &format!("{json}\n{warnings}")));
    }
    assert_none(&differences);
}
