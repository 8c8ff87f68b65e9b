//! Golden files: configurations with the messages that refuse them, or with the plans they give.
//!
//! `NEAP_UPDATE_GOLDEN=1 cargo test --test lua` writes the golden files anew; read the difference before committing it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use neap::lua::EvaluateRequest;

use crate::support::evaluate;

/// The configurations below this folder: files, and folders that stand for one configuration (`neap.lua` in it, or all of
/// its files).
fn cases(folder: &str) -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> = Path::new(folder)
        .read_dir()
        .expect("the folder of cases")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_dir() || path.extension().is_some_and(|extension| extension == "lua"))
        .collect();
    cases.sort();
    cases
}

/// How a case is evaluated: with an environment of its own and one profile.
pub fn request(case: &Path) -> EvaluateRequest {
    let mut request = if case.is_file() {
        EvaluateRequest::file(case)
    } else if case.join("neap.lua").is_file() {
        EvaluateRequest::file(case.join("neap.lua"))
    } else {
        EvaluateRequest::folder(case)
    };
    request.env = BTreeMap::from([("HOME".to_owned(), "/home/app".to_owned()), ("PORT".to_owned(), "8080".to_owned())]);
    request.profiles = vec!["staging".to_owned()];
    request
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
fn every_bad_configuration_is_refused_with_its_golden_message() {
    let cases = cases("tests/lua/bad");
    assert!(cases.len() >= 60, "only {} cases were found", cases.len());
    let mut differences = Vec::new();
    for case in cases {
        let found = match evaluate(request(&case)) {
            Err(error) => format!("{error}\n"),
            Ok(_) => "(accepted)\n".to_owned(),
        };
        differences.extend(difference(&case, "txt", &found));
    }
    assert_none(&differences);
}

#[test]
fn every_golden_message_names_file_and_line() {
    for case in cases("tests/lua/bad") {
        let golden = std::fs::read_to_string(case.with_extension("txt")).expect("a golden message");
        for line in golden.lines() {
            let place = line.split(": ").next().unwrap_or_default();
            let (file, number) = place.rsplit_once(':').unwrap_or_default();
            assert!(Path::new(file).is_file() && number.parse::<u32>().is_ok(), "{}: {line}", case.display());
        }
    }
}

#[test]
fn every_good_configuration_gives_its_golden_plan() {
    let mut differences = Vec::new();
    for case in cases("tests/lua/good") {
        let evaluated = evaluate(request(&case)).unwrap_or_else(|error| panic!("{}: {error}", case.display()));
        let plan: BTreeMap<&str, serde_json::Value> = evaluated
            .declared
            .plan
            .specs()
            .map(|spec| (spec.name.as_str(), serde_json::to_value(spec).expect("a spec as JSON")))
            .collect();
        let here = std::env::current_dir().expect("a directory").display().to_string();
        let plan = serde_json::to_string_pretty(&plan).expect("a plan as JSON").replace(&here, "HERE");
        let warnings: Vec<String> = evaluated.warnings.iter().map(|warning| format!("{warning}\n")).collect();
        differences.extend(difference(&case, "json", &format!("{plan}\n{}", warnings.concat())));
    }
    assert_none(&differences);
}
