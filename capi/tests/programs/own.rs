//! A supervisor inside a C program.

use std::process::Command;

use super::support::{Place, built, has, package, program, succeed, under_valgrind};

#[test]
fn the_example_makes_watches_and_stops_a_process_in_a_supervisor_of_its_own() {
    let place = Place::new();
    let example = place.compile(&package().join("examples/supervise.c"));
    let said = succeed(&mut program(&example));
    let kinds = ["process.defined", "process.starting", "process.running", "process.stopping", "process.stopped"];
    let mut rest = said.as_str();
    for kind in kinds {
        let at = rest.find(&format!("\"kind\":\"{kind}\"")).unwrap_or_else(|| panic!("{kind} is not in order: {said}"));
        rest = &rest[at..];
    }
    assert!(said.ends_with("done, after some events\n"), "{said}");
}

#[test]
fn every_way_to_hold_it_wrong_has_a_code_and_breaks_nothing() {
    let place = Place::new();
    let misuse = place.compile(&package().join("tests/c/misuse.c"));
    assert_eq!(succeed(&mut program(&misuse)), "fine\n");
}

#[test]
fn neither_the_example_nor_misuse_loses_memory_or_touches_what_it_may_not() {
    let test = "neither_the_example_nor_misuse_loses_memory_or_touches_what_it_may_not";
    if !has("valgrind", test) {
        return;
    }
    let place = Place::new();
    let example = place.compile(&package().join("examples/supervise.c"));
    let misuse = place.compile(&package().join("tests/c/misuse.c"));
    under_valgrind(&example, &[]);
    assert_eq!(under_valgrind(&misuse, &[]), "fine\n");
}

#[test]
fn a_supervisor_inside_a_program_applies_a_yaml_file() {
    let place = Place::new();
    let apply = place.compile(&package().join("tests/c/apply.c"));
    let config = place.path("processes.yaml");
    let write = |text: &str| std::fs::write(&config, text).unwrap();
    write("processes:\n  web:\n    command: [sleep, '1000']\n    auto_start: true\n    restart_policy: always\n");
    let said = succeed(program(&apply).arg(&config));
    assert!(said.contains("\"generation\":1,\"added\":[\"web\"]"), "{said}");
    assert!(said.contains("\"unchanged\":[\"web\"]") && said.contains("\"outcomes\":[{"), "{said}");
    write("processes:\n  web:\n    comand: sleep 1000\n");
    let output = program(&apply).arg(&config).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("processes.yaml:3") && said.contains("command"), "{said}");
}

#[test]
fn the_header_is_cpp_too() {
    if !has("g++", "the_header_is_cpp_too") {
        return;
    }
    let place = Place::new();
    let source = place.path("cpp.cpp");
    std::fs::write(&source, "#include <neap.h>\nint main() { return neap_check_abi(NEAP_ABI_VERSION); }\n").unwrap();
    let mut cpp = Command::new("g++");
    cpp.args(["-std=c++11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-I"]);
    succeed(cpp.arg(package().join("include")).arg(&source));
}

#[test]
fn the_library_exports_its_own_functions_and_nothing_else() {
    if !has("nm", "the_library_exports_its_own_functions_and_nothing_else") {
        return;
    }
    let exported = succeed(Command::new("nm").args(["-D", "--defined-only"]).arg(built().join("libneap.so")));
    let mut exported: Vec<&str> = exported.lines().filter_map(|line| line.split_whitespace().last()).collect();
    exported.sort_unstable();
    let header = std::fs::read_to_string(package().join("include/neap.h")).unwrap();
    let code: Vec<&str> = header.lines().filter(|line| !line.trim_start().starts_with(['*', '/'])).collect();
    let code = code.join(" ");
    let words = code.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '('));
    let mut declared: Vec<&str> = words.filter_map(|word| word.split_once('(')).map(|(name, _)| name).collect();
    declared.retain(|name| name.starts_with("neap_"));
    declared.sort_unstable();
    declared.dedup();
    assert!(declared.len() > 25, "{declared:?}");
    assert_eq!(exported, declared);
}

#[test]
fn python_drives_a_supervisor_of_its_own() {
    if !has("python3", "python_drives_a_supervisor_of_its_own") {
        return;
    }
    let place = Place::new();
    let mut python = program("python3");
    python.arg(package().join("tests/c/drive.py")).arg(place.path("lib/libneap.so.1"));
    assert_eq!(succeed(&mut python), "created starting running stopping stopped\n");
}
