//! What of a file is somebody else's.
//!
//! Of the Agent's `datadog.yaml` only `process_manager` is ours. What else stands there may be a secret, and is shown by no
//! message, whatever is wrong with it.

/// The key that is ours in it.
const OURS: &str = "process_manager";

/// Whether this line (from 1) of a file stands below another's key. Looks at nothing but the lines, for a file that is no
/// YAML has its secrets, too.
pub fn is_anothers<'a>(file: &str, lines: impl Iterator<Item = &'a str> + Clone, line: u32) -> bool {
    let name = file.rsplit('/').next().unwrap_or(file);
    let agents = matches!(name, "datadog.yaml" | "datadog.yml") || lines.clone().any(may_be_ours);
    let until = usize::try_from(line).unwrap_or(usize::MAX);
    agents && !lines.take(until).filter(|line| is_top(line)).last().is_some_and(is_ours)
}

/// Whether a line begins a key at the top. Items and ends of lists may stand as far left as the key that they belong to.
fn is_top(line: &str) -> bool {
    !line.trim().is_empty() && !line.starts_with([' ', '\t', '#', ']', '}']) && line != "-" && !line.starts_with("- ")
}

/// Whether our key may stand in a line, however far in: files in braces and indented ones are the Agent's, too. Of these
/// nothing is shown, for lines do not tell what of them is ours.
fn may_be_ours(line: &str) -> bool {
    let after = |(at, _): (usize, &str)| line.get(at + OURS.len()..).unwrap_or_default();
    let is_key = |rest: &str| {
        let rest = rest.strip_prefix(['"', '\'']).unwrap_or(rest).trim_start();
        rest.starts_with(':') || rest.is_empty() && line.trim_start().starts_with(['?', '"', '\''])
    };
    !line.trim_start().starts_with('#') && line.match_indices(OURS).map(after).any(is_key)
}

fn is_ours(line: &str) -> bool {
    let bare = line.strip_prefix(['"', '\'']).unwrap_or(line);
    let rest = bare.strip_prefix(OURS).map(|rest| rest.strip_prefix(['"', '\'']).unwrap_or(rest).trim_start());
    rest.is_some_and(|rest| rest.starts_with(':'))
}

#[cfg(test)]
mod tests {
    use super::is_anothers;
    use crate::yaml::{Form, Text, read};

    fn hidden(file: &str, text: &str) -> Vec<u32> {
        (1..).take(text.lines().count()).filter(|line| is_anothers(file, text.lines(), *line)).collect()
    }

    #[test]
    fn only_what_stands_below_process_manager_is_shown_of_the_agents_file() {
        let text = "# c\napi_key: x\nproxy:\n  http: y\nprocess_manager:\n  enabled: true\n\n- z\n# c\ntags:\n- a\n";
        for file in ["datadog.yaml", "/etc/datadog-agent/datadog.yaml", "other.yaml"] {
            assert_eq!(hidden(file, text), [1, 2, 3, 4, 10, 11], "{file}");
        }
        assert_eq!(hidden("datadog.yml", "api_key: x\nlogs: y\n"), [1, 2]);
        assert_eq!(hidden("datadog.yaml", "{ process_manager: 1 }"), [1]);
        assert_eq!(hidden("datadog.yaml", "'process_manager' : 1\n"), [0; 0]);
        assert_eq!(hidden("web.yaml", "command: x\nprocess_managers: y\n"), [0; 0]);
        assert_eq!(hidden("web.yaml", "# process_manager: x\ncommand: /bin/process_manager --x\n"), [0; 0]);
    }

    #[test]
    fn an_agents_file_in_braces_or_indented_is_known_by_any_name() {
        for text in [
            "{ \"api_key\": \"x\", \"process_manager\": {} }",
            "{\n  \"api_key\": \"x\",\n  \"process_manager\":\n    {} }",
            "{\n  \"api_key\": \"x\",\n  \"process_manager\"\n  : {} }",
            "---\n  api_key: x\n  'process_manager' :\n    enabled: true\n",
            "api_key: x\n? process_manager\n: enabled: true\n",
        ] {
            let read = read(&Text { file: "agent.yaml", text, name: Some("agent") }).unwrap();
            assert_eq!(read.form, Form::Datadog, "{text}");
            let shown = hidden("agent.yaml", text);
            for (line, _) in (1..).zip(text.lines()).filter(|(_, line)| line.contains("api_key")) {
                assert!(shown.contains(&line), "{line} of {text}");
            }
        }
    }

    #[test]
    fn no_message_says_what_stands_below_another_key() {
        const OURS: &str = "process_manager:\n  managed_processes: { web: { command: x } }\n";
        for broken in [
            "api_key: \"S3CRET",
            "api_key: S3CRET: x: [",
            "api_key: *S3CRET",
            "api_key: &S3CRET [*S3CRET]",
            "api_key: S3CRET\n  S3CRET: S3CRET\n\tS3CRET",
            "api_key: S3CRET\n S3CRET:S3CRET",
            "api_key: %S3CRET",
            "api_key: @S3CRET",
            "api_key: 'S3CRET' S3CRET",
            "api_key: \"S3CRET\\qS3CRET\"",
            "api_key: [S3CRET, S3CRET: {",
            "api_key: !<S3CRET S3CRET",
            "api_key: |S3CRET\n  S3CRET",
            "S3CRET",
            "S3CRET:S3CRET",
        ] {
            let indented = |text: &str| text.lines().map(|line| format!("  {line}\n")).collect::<String>();
            let texts = [
                ("datadog.yaml", broken.to_owned()),
                ("datadog.yaml", format!("{broken}\n{OURS}")),
                ("datadog.yaml", format!("{OURS}{broken}\n")),
                ("agent.yaml", format!("{broken}\n{OURS}")),
                ("agent.yaml", format!("{OURS}{broken}\n")),
                ("agent.yaml", indented(&format!("{broken}\n{OURS}"))),
                ("agent.yaml", format!("{{ {broken},\n \"process_manager\": {{}} }}")),
                ("agent.yaml", format!("{{\n \"process_manager\": {{}},\n {broken} }}")),
            ];
            for (file, text) in texts {
                let name = file.strip_suffix(".yaml");
                let Err(problems) = read(&Text { file, text: &text, name }) else { continue };
                let line = problems[0].line.unwrap();
                assert!(problems.iter().all(|problem| !problem.to_string().contains("S3CRET")), "{problems:?}");
                assert!(
                    is_anothers(file, text.lines(), line)
                        || !text.lines().nth(line as usize - 1).unwrap().contains("S3CRET"),
                    "{text}: {problems:?}"
                );
            }
        }
    }

    #[test]
    fn a_misspelt_process_manager_is_no_file_without_one() {
        let text = "api_key: x\nproces_manager:\n  enabled: true\n";
        let problems = read(&Text { file: "datadog.yaml", text, name: Some("datadog") }).unwrap_err();
        assert_eq!(problems[0].line, Some(2));
        assert!(problems[0].message.contains("did you mean `process_manager`?"), "{problems:?}");
        let text = "api_key: x\nprocess_config:\n  enabled: true\nlogs_config: {}\n";
        assert!(read(&Text { file: "datadog.yaml", text, name: Some("datadog") }).is_ok());
    }
}
