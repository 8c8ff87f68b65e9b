//! `docs/promises.md` names tests; here each name is looked for.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The names of all test functions below a folder.
fn tests_below(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            tests_below(&path, names);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).expect("a source file can be read");
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            for (at, line) in lines.iter().enumerate() {
                let attribute = *line == "#[test]" || line.starts_with("#[tokio::test");
                let function = lines.iter().skip(at + 1).take(4).find_map(|line| line.split_once("fn "));
                if let Some((_, rest)) = function.filter(|_| attribute) {
                    names.extend(rest.split('(').next().map(str::to_owned));
                }
            }
        } else if path.to_string_lossy().ends_with("_test.go") {
            let text = fs::read_to_string(&path).expect("a source file can be read");
            let functions = text.lines().filter_map(|line| line.strip_prefix("func ")?.split('(').next());
            names.extend(functions.filter(|name| is_of_go(name)).map(str::to_owned));
        }
    }
}

/// `TestErrorsAreToldApart`
fn is_of_go(name: &str) -> bool {
    name.strip_prefix("Test").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))
}

#[test]
fn every_test_that_the_promises_name_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names = BTreeSet::new();
    tests_below(&root.join("tests"), &mut names);
    tests_below(&root.join("src"), &mut names);
    tests_below(&root.join("clients"), &mut names);
    tests_below(&root.join("capi"), &mut names);
    let promises = fs::read_to_string(root.join("docs/promises.md")).expect("docs/promises.md can be read");
    let named: Vec<&str> = promises
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| {
            word.len() > 12
                && (word.contains('_') || is_of_go(word))
                && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        })
        .collect();
    assert!(named.len() > 50, "the promises name their tests");
    let missing: Vec<&&str> = named.iter().filter(|name| !names.contains(**name)).collect();
    assert!(missing.is_empty(), "docs/promises.md names tests that do not exist: {missing:?}");
}
