//! The page about limits prints what its commands print, where all controllers are.

use regex::Regex;

use crate::ground::Ground;

const PAGE: &str = include_str!("../../docs/resource-limits.md");

/// The fenced blocks of this language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    PAGE.split(fence.as_str()).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// Without what differs from one run to the next: numbers, and how wide a column is.
fn shape(text: &str) -> String {
    let text = Regex::new(r"[0-9]+(\.[0-9]+)?").unwrap().replace_all(text, "N");
    let text = Regex::new(r"N(B|KiB|MiB)").unwrap().replace_all(&text, "NB");
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect()
}

#[test]
fn the_page_of_limits_says_what_its_commands_print() {
    let Some(ground) = Ground::new("the_page_of_limits_says_what_its_commands_print") else { return };
    ground.configure(blocks("lua").pop().unwrap().split_once('\n').unwrap().1);
    let daemon = ground.daemon();
    ground.once_is("leak", "failed");
    ground.once_is("swarm", "failed");
    let console = blocks("console").concat();
    let mut count = 0;
    for part in console.split("$ neap ").skip(1) {
        let (command, expected) = part.split_once('\n').unwrap();
        let printed = ground.home.neap(command.split_whitespace());
        assert_eq!(shape(&printed), shape(expected), "neap {command}\n{printed}");
        count += 1;
    }
    assert_eq!(count, 3);
    daemon.stop();
}
