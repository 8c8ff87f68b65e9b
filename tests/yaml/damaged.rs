//! Text that nobody would write: whatever it is, it is read or refused, and nothing more happens.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use neap::yaml::{self, Definition, Text};

use crate::golden::cases;

/// Reads text as a file, and its definitions; what comes of it does not matter.
fn read(bytes: &[u8]) {
    let name = Some("web");
    let Ok(text) = yaml::decode("web.yaml", bytes) else { return };
    let documents = match yaml::read(&Text { file: "web.yaml", text, name }) {
        Ok(document) => document,
        Err(problems) => {
            assert!(!problems.is_empty(), "what is refused is told");
            assert!(problems.iter().all(|problem| problem.line.is_some_and(|line| line > 0)), "{problems:?}");
            return;
        }
    };
    let _ = yaml::join(vec![documents]).map(|found| found.iter().map(Definition::spec).collect::<Vec<_>>());
}

/// The texts of all good and bad files.
fn corpus() -> Vec<Vec<u8>> {
    let mut texts = Vec::new();
    for case in ["tests/yaml/good", "tests/yaml/bad"].into_iter().flat_map(cases).filter(|case| case.is_file()) {
        texts.push(std::fs::read(case).expect("a case can be read"));
    }
    assert!(texts.len() > 50, "there are good and bad files");
    texts
}

/// How many cases are tried: `NEAP_YAML_CASES` times as many on request.
fn fuzz(cases: u32) -> u32 {
    let times = std::env::var("NEAP_YAML_CASES").ok().and_then(|times| times.parse().ok());
    cases.saturating_mul(times.unwrap_or(1))
}

proptest! {
    #![proptest_config(Config { cases: fuzz(2_000), failure_persistence: None, ..Config::default() })]

    #[test]
    fn no_bytes_upset_the_reading(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read(&bytes);
    }

    #[test]
    fn no_text_of_yaml_s_own_characters_upsets_the_reading(
        text in "([a-e*&!|>%@`'\"{}\\[\\],:?#~<. \t\r\n-]|: |- |\n  |<<: |\\*a|&a |command|0x|---\n){0,60}"
    ) {
        read(text.as_bytes());
    }
}

/// How a text is damaged: a part of it is cut out, doubled, moved, or replaced by something of YAML's own.
fn damage(text: &[u8], at: usize, length: usize, how: usize) -> Vec<u8> {
    const PIECES: [&[u8]; 16] = [
        b"\n",
        b"\t",
        b": ",
        b"- ",
        b"[",
        b"]",
        b"{",
        b"}",
        b"'",
        b"\"",
        b"&a ",
        b"*a",
        b"<<: ",
        b"|\n",
        b"\xff",
        b"\r\n---\n",
    ];
    let at = at % (text.len() + 1);
    let end = (at + length).min(text.len());
    let (before, part, after) = (&text[..at], &text[at..end], &text[end..]);
    match how % 19 {
        0 => [before, after].concat(),
        1 => [before, part, part, after].concat(),
        2 => [after, part, before].concat(),
        piece => [before, PIECES[piece - 3], after].concat(),
    }
}

#[test]
fn no_damage_to_a_file_upsets_the_reading() {
    let texts = corpus();
    let mut runner = TestRunner::new_with_rng(
        Config { cases: fuzz(4_000), failure_persistence: None, ..Config::default() },
        TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]),
    );
    let blows = prop::collection::vec((any::<usize>(), 0..40_usize, any::<usize>()), 1..4);
    let done = runner.run(&(0..texts.len(), blows), |(which, blows)| {
        let damaged =
            blows.iter().fold(texts[which].clone(), |text, (at, length, how)| damage(&text, *at, *length, *how));
        read(&damaged);
        Ok(())
    });
    done.unwrap();
}
