//! Lines as everybody may see them.

use std::collections::BTreeSet;

use crate::Supervisor;
use crate::lua::lexer::{Kind, tokens};

/// The line for an event, which observers read, too: where a process has secrets, any text of it may be one, so that only
/// names of processes are shown.
pub(super) fn shown(supervisor: &Supervisor, line: &str) -> String {
    let known = supervisor.shared().query(|engine| {
        let machine = engine.machine();
        let specs = || machine.processes().into_iter().filter_map(|id| machine.spec(id));
        let secrets = specs().any(|spec| !spec.secret_env.is_empty());
        (secrets, specs().map(|spec| spec.name.clone()).collect::<BTreeSet<String>>())
    });
    match known {
        Ok((false, _)) => line.to_owned(),
        Ok((true, names)) => without_texts(line, &names),
        // Nobody is left to be told.
        Err(_) => without_texts(line, &BTreeSet::new()),
    }
}

fn without_texts(line: &str, names: &BTreeSet<String>) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut at = 0;
    for token in tokens(line) {
        if token.kind != Kind::Text || names.contains(token.text(line)) {
            continue;
        }
        shown.push_str(line.get(at..token.start as usize).unwrap_or_default());
        shown.push_str("***");
        at = token.end as usize;
    }
    shown.push_str(line.get(at..).unwrap_or_default());
    shown
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::without_texts;

    #[test]
    fn only_names_of_processes_are_left_of_the_texts_of_a_line() {
        let names = BTreeSet::from(["web".to_owned()]);
        for (line, expected) in [
            (r#"neap.get("web"):update { env = { K = "leak" } }"#, r#"neap.get("web"):update { env = { K = "***" } }"#),
            ("p.web:update { env = { K = [[le\nak]] } }", "p.web:update { env = { K = [[***]] } }"),
            ("p.web:stop()", "p.web:stop()"),
            (r#"f'a' .. "b\"c""#, r#"f'***' .. "***""#),
            ("", ""),
        ] {
            assert_eq!(without_texts(line, &names), expected);
        }
    }
}
