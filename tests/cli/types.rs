//! `neap types`.

use crate::support::{Folder, Neap};

#[test]
fn types_writes_the_definitions() {
    let folder = Folder::new();
    let dir = folder.path().join("new/types");
    let ended = Neap::new(["types", dir.to_str().unwrap()]).end().expect_code(0);
    assert!(ended.stdout.contains("neap"), "{}", ended.stdout);
    let written: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(written.len(), 1, "{written:?}");
    let text = std::fs::read_to_string(&written[0]).unwrap();
    assert!(text.starts_with("---@meta"), "{text}");
    for word in ["start_timeout", "restart", "neap.process"] {
        assert!(text.contains(word), "{word} is not in it");
    }
}

#[test]
fn types_says_what_it_could_not_write() {
    let folder = Folder::new();
    let file = folder.write("plain", "");
    let ended = Neap::new(["types", file.join("x").to_str().unwrap()]).end().expect_code(1);
    assert!(ended.stderr.contains("plain/x"), "{}", ended.stderr);
}
