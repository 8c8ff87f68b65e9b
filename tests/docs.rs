//! The documentation is true: its configurations are accepted, its table of keys is the schema's, its commands exist.
//! (Its Rust is run by `cargo test --doc`.) With `NEAP_WRITE_DOCS=1` the table of keys is written anew.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use neap::spec::schema::{self, Availability, Key, Table};
use regex::Regex;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The fenced blocks of this language, with the line that each begins on.
fn blocks(text: &str, language: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let body: Vec<&str> = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
        if info.trim() == language {
            found.push((number + 1, body.join("\n")));
        }
    }
    found
}

fn neap(args: &[&str], dir: &Path) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_neap")).args(args).current_dir(dir).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("neap-docs-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Writes the YAML of its page into a folder, each block as the file that its first line names. The names of those that are no
/// example of what is wrong.
fn yaml_files(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for (line, block) in blocks(&read("docs/yaml.md"), "yaml") {
        let name = block.lines().next().and_then(|line| line.strip_prefix("# "));
        let name = name.unwrap_or_else(|| panic!("docs/yaml.md:{line}: the block does not name its file"));
        let (name, wrong) = name.split_once(": ").map_or((name, false), |(name, _)| (name, true));
        std::fs::write(folder.join(name), format!("{block}\n")).unwrap();
        if !wrong {
            names.push(name.to_owned());
        }
    }
    names
}

#[test]
fn every_yaml_file_in_the_guide_is_accepted() {
    let folder = Folder::new("yaml");
    let names = yaml_files(&folder.0);
    assert!(names.len() >= 3, "only {names:?} were found");
    for name in names {
        let (accepted, text) = neap(&["check", "--strict", "--elsewhere", &name], &folder.0);
        assert!(accepted, "{name}:\n{text}");
    }
}

#[test]
fn the_commands_of_the_page_about_yaml_print_what_it_says() {
    let folder = Folder::new("yaml-console");
    yaml_files(&folder.0);
    let (wrong, count) = tour("docs/yaml.md", &read("docs/yaml.md"), &folder);
    assert!(wrong.is_empty(), "{wrong}");
    assert!(count >= 3, "only {count} commands were found");
}

#[test]
fn every_configuration_in_the_guide_is_accepted() {
    let folder = Folder::new("lua");
    // What one of them reads.
    std::fs::write(folder.0.join("nginx.conf"), "events {}").unwrap();
    std::fs::write(folder.0.join("password"), "secret").unwrap();
    let mut count = 0;
    let pages = [
        "README.md",
        "docs/lua.md",
        "docs/cli.md",
        "docs/containers.md",
        "docs/repl.md",
        "docs/environment.md",
        "docs/health-checks.md",
        "docs/privileges.md",
        "docs/resource-limits.md",
        "docs/socket-activation.md",
        "docs/yaml.md",
        "docs/telemetry.md",
    ];
    yaml_files(&folder.0);
    for page in pages {
        for (line, block) in blocks(&read(page), "lua") {
            std::fs::write(folder.0.join("neap.lua"), &block).unwrap();
            for profile in ["dev", "prod"] {
                let (accepted, text) = neap(&["check", "--strict", "--elsewhere", "--profile", profile], &folder.0);
                assert!(accepted, "{page}:{line}:\n{text}");
            }
            count += 1;
        }
    }
    assert!(count >= 6, "only {count} blocks were found");
}

#[test]
fn every_example_configuration_is_accepted() {
    let mut count = 0;
    for entry in std::fs::read_dir(root().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "lua") {
            let (accepted, text) = neap(&["check", "--strict", "--elsewhere", path.to_str().unwrap()], root());
            assert!(accepted, "{}:\n{text}", path.display());
            let lines = std::fs::read_to_string(&path).unwrap().lines().count();
            assert!(lines <= 60, "{} has {lines} lines", path.display());
            count += 1;
        }
    }
    assert!(count >= 1);
}

#[test]
fn the_page_of_the_command_line_has_every_command_and_flag() {
    let page = read("docs/cli.md");
    let (_, help) = neap(&["--help"], root());
    let names = section(&help, "Commands:").filter(|line| !line.starts_with("   "));
    let commands: Vec<&str> = names.map(|line| line.split_whitespace().next().unwrap()).collect();
    assert!(commands.contains(&"up"), "{help}");
    for command in commands {
        assert!(page.contains(&format!("`neap {command}")), "docs/cli.md lacks `neap {command}`");
        let (_, help) = neap(&[command, "--help"], root());
        for word in
            help.split([' ', '\n', ',', ';', '[', ']', '=']).filter(|word| word.starts_with("--") && word.len() > 2)
        {
            let known = ["--help", "--version"].contains(&word) || page.contains(word);
            assert!(known, "docs/cli.md lacks {word} of `neap {command}`");
        }
    }
}

/// Runs the commands of the blocks marked `console`, in order, against an instance of the page's configuration. What they print
/// is what the page says, but for numbers, ids and how wide a column is. A line that ends in an ellipsis is only begun.
#[test]
fn the_commands_of_the_page_print_what_it_says() {
    let page = read("docs/cli.md");
    let folder = Folder::new("console");
    let (_, configuration) = blocks(&page, "lua").pop().unwrap();
    std::fs::write(folder.0.join("neap.lua"), configuration).unwrap();
    let neap = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_neap"));
        let home = [("HOME", ""), ("XDG_RUNTIME_DIR", "run"), ("XDG_STATE_HOME", "state")];
        command.args(args).current_dir(&folder.0).envs(home.map(|(name, below)| (name, folder.0.join(below))));
        command.stdin(Stdio::null());
        command
    };
    let mut daemon = neap(&["daemon", "neap.lua"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let output = |args: &[&str]| {
        let output = neap(args).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let began = Instant::now();
    while output(&["wait", "worker", "--state", "failed"]).0 == Some(5) {
        assert!(began.elapsed() < Duration::from_secs(60), "it never comes up");
        std::thread::yield_now();
    }
    output(&["wait", "api"]);
    let mut wrong = String::new();
    let mut count = 0;
    for (line, block) in blocks(&page, "console") {
        for part in block.split("$ ").skip(1) {
            let (command, expected) = part.split_once('\n').unwrap();
            let words: Vec<&str> = command.split_whitespace().skip(1).map(|word| word.trim_matches('\'')).collect();
            let (_, shown) = output(&words);
            count += 1;
            if !alike(expected, &shown) {
                writeln!(wrong, "docs/cli.md:{line}: {command}\nsays:\n{expected}\nis:\n{shown}").unwrap();
            }
        }
    }
    output(&["down"]);
    daemon.wait().unwrap();
    assert!(wrong.is_empty(), "{wrong}");
    assert!(count >= 10, "only {count} commands were found");
}

/// Runs the tour of the README word by word, in order, in an empty home: its commands in a shell, the lines after `> ` typed into
/// the REPL that the command before them attached.
#[test]
fn the_tour_of_the_readme_is_true() {
    let readme = read("README.md");
    let (_, tour_text) = readme.split_once("\n## Five minutes\n").unwrap();
    let tour_text = tour_text.split("\n## ").next().unwrap();
    let folder = Folder::new("tour");
    let (_, configuration) = blocks(tour_text, "lua").remove(0);
    std::fs::write(folder.0.join("neap.lua"), configuration).unwrap();
    let (wrong, count) = tour("README", tour_text, &folder);
    shell(&folder, "neap down", "");
    assert!(wrong.is_empty(), "{wrong}");
    assert!(count >= 10, "only {count} commands were found");
}

/// Runs a line in a shell, in this folder and an empty home, with this typed into it; all that it printed.
fn shell(folder: &Folder, line: &str, typed: &str) -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_neap")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("sh");
    let home = [("HOME", ""), ("XDG_RUNTIME_DIR", "run"), ("XDG_STATE_HOME", "state")];
    command.args(["-c", line]).current_dir(&folder.0).env("PATH", &path);
    command.envs(home.map(|(name, below)| (name, folder.0.join(below)))).env_remove("NEAP_SOCKET");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), typed.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// Runs the commands of a text's blocks marked `console`, in order; the lines after `> ` are typed into them. What is not as the
/// text says, and how many commands there were.
fn tour(page: &str, text: &str, folder: &Folder) -> (String, usize) {
    let (mut wrong, mut count) = (String::new(), 0);
    for (line, block) in blocks(text, "console") {
        for part in format!("\n{block}").split("\n$ ").skip(1) {
            let (command, told) = part.split_once('\n').unwrap_or((part, ""));
            let of = |typed: bool| -> String {
                let lines = told.lines().filter(|line| line.starts_with("> ") == typed);
                lines.map(|line| format!("{}\n", line.strip_prefix("> ").unwrap_or(line))).collect()
            };
            let (typed, expected) = (of(true), of(false));
            let shown = shell(folder, command, &typed);
            count += 1;
            if !alike(&expected, &shown) {
                writeln!(wrong, "{page}, line {line}: {command}\nsays:\n{expected}\nis:\n{shown}").unwrap();
            }
        }
    }
    (wrong, count)
}

fn alike(expected: &str, shown: &str) -> bool {
    let numbers = Regex::new(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9][0-9.]*( ?ms| ?[smhd]\b)?").unwrap();
    let blanks = Regex::new("[ \t]+").unwrap();
    let plain = |text: &str| {
        let text = numbers.replace_all(text.trim_end(), "#");
        blanks.replace_all(&text, " ").lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let (expected, shown) = (plain(expected), plain(shown));
    let same = |(expected, shown): (&String, &String)| match expected.strip_suffix(" …") {
        Some(beginning) => shown.starts_with(beginning),
        None => expected == shown,
    };
    expected.len() == shown.len() && expected.iter().zip(&shown).all(same)
}

fn section<'t>(text: &'t str, title: &str) -> impl Iterator<Item = &'t str> {
    text.lines().skip_while(move |line| *line != title).skip(1).take_while(|line| line.starts_with("  "))
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut pages = vec![root().join("README.md")];
    pages.extend(std::fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    for page in pages.iter().filter(|page| page.extension().is_some_and(|extension| extension == "md")) {
        let text = std::fs::read_to_string(page).unwrap();
        // Code has brackets of its own.
        let text: String = text.split("```").step_by(2).collect();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if !link.starts_with("http") && !link.starts_with('#') {
                let target = page.parent().unwrap().join(link.split('#').next().unwrap());
                assert!(target.exists(), "{}: {link} leads nowhere", page.display());
            }
        }
    }
}

#[test]
fn the_table_of_keys_is_the_schemas() {
    let written = keys();
    if std::env::var_os("NEAP_WRITE_DOCS").is_some() {
        std::fs::write(root().join("docs/keys.md"), &written).unwrap();
    }
    assert!(read("docs/keys.md") == written, "docs/keys.md is old: run NEAP_WRITE_DOCS=1 cargo test --test docs");
}

/// With `NEAP_WRITE_DOCS=1` it is written anew.
#[test]
fn the_table_of_figures_is_that_of_the_program() {
    let page = read("docs/telemetry.md");
    let (before, rest) = page.split_once("<!-- figures -->\n").unwrap();
    let (_, after) = rest.split_once("<!-- end of figures -->\n").unwrap();
    let mut table = String::from("| OpenMetrics | DogStatsD | type | labels | what |\n|---|---|---|---|---|\n");
    for metric in neap::telemetry::table() {
        let sent = metric.dogstatsd.map_or("–".to_owned(), |name| format!("`neap.{name}`"));
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, kind, labels) = (metric.full_name(), metric.kind.as_str(), labels.join(", "));
        writeln!(table, "| `{name}` | {sent} | {kind} | {labels} | {} |", metric.help).unwrap();
    }
    let written = format!("{before}<!-- figures -->\n{table}<!-- end of figures -->\n{after}");
    if std::env::var_os("NEAP_WRITE_DOCS").is_some() {
        std::fs::write(root().join("docs/telemetry.md"), &written).unwrap();
    }
    assert!(
        read("docs/telemetry.md") == written,
        "docs/telemetry.md is old: run NEAP_WRITE_DOCS=1 cargo test --test docs"
    );
}

fn keys() -> String {
    let mut text = String::from(
        "# Keys\n\nEvery key of a process and of the tables in it, as the reader knows them. Written by a test from \
         `src/spec/schema`: do not edit.\n\nA change takes effect *live*, by *reload*, or with the next *restart* of the \
         process. Keys marked *later* are refused in this version; those marked *kept* are taken, \
         shown and compared, and nothing enforces them yet: a warning says so.\n",
    );
    for table in schema::TABLES {
        section_of(&mut text, table);
    }
    text
}

fn section_of(text: &mut String, table: &Table) {
    write!(text, "\n## {}\n\n{}\n\n| key | type | effect | meaning |\n|---|---|---|---|\n", table.name, table.doc)
        .unwrap();
    for key in table.keys() {
        let Key { name, lua, doc, effect, availability, .. } = key;
        let lua = lua.replace('|', "\\|");
        let later = match availability {
            Availability::Now => String::new(),
            Availability::Later(what) => format!(" *Later: waits for {what}.*"),
        };
        writeln!(text, "| `{name}` | `{lua}` | {effect} | {}{later} |", doc.replace('|', "\\|")).unwrap();
    }
}
