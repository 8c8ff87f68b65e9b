//! The guide's programs are programs.

use std::fs;

use super::support::{Place, package, program, succeed};

/// The blocks of C in a page.
fn blocks(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in page.lines() {
        match (&mut open, line) {
            (None, "```c") => open = Some(String::new()),
            (Some(_), "```") => blocks.extend(open.take()),
            (Some(block), line) => {
                block.push_str(line);
                block.push('\n');
            }
            _ => {}
        }
    }
    blocks
}

#[test]
fn the_programs_of_the_guide_compile_and_run_and_its_fragments_compile() {
    let page = fs::read_to_string(package().join("../docs/c.md")).unwrap();
    let blocks = blocks(&page);
    assert!(blocks.iter().filter(|block| block.contains("int main")).count() >= 1 && blocks.len() >= 4);
    let place = Place::new();
    for (number, block) in blocks.iter().enumerate() {
        let source = place.path(&format!("block{number}.c"));
        let whole = block.contains("int main");
        let text = match whole {
            true => block.clone(),
            false => format!(
                "#define _POSIX_C_SOURCE 200809L\n#include <poll.h>\n#include <stdio.h>\n#include <stdlib.h>\n\
                 #include <string.h>\n#include <neap.h>\nvoid fragment(neap_t *neap);\nvoid fragment(neap_t *neap) {{\n\
                 {block}(void)neap;\n}}\nint main(void) {{ return 0; }}\n"
            ),
        };
        fs::write(&source, text).unwrap();
        let built = place.compile(&source);
        if whole {
            succeed(&mut program(&built));
        }
    }
}
