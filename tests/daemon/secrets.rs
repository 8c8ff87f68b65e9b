//! H10: a secret goes to its program, and is shown nowhere else.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::Home;

/// What is never to be seen: the secrets of a file, of the environment, of flags, of the prompt, and later ones.
const SECRETS: [&str; 7] =
    ["filed-5ecret", "environs-5ecret", "flags-5ecret", "later-5ecret", "typed-5ecret", "new-5ecret", "wrong-5ecret"];

/// The configuration; its processes write down the secrets that they were given.
const CONFIG: &str = r#"
local token, key = neap.secret { file = "token" }, neap.secret { env = "KEY" }
neap.process "web" {
  shell = "echo $TOKEN $KEY > given-$NAME; echo written; exec sleep 100000",
  env = { TOKEN = token, KEY = key, NAME = "web" },
  ready = neap.logline "^written$",
  health = neap.exec { "sh", "-c", "test -n \"$TOKEN\"" },
  hooks = { before_start = { "sh", "-c", "echo $TOKEN > hook" } },
}
neap.process "broken" { command = { "false" }, env = { TOKEN = token }, restart = "never" }
neap.process "missing" { command = { "no-such-program" }, env = { TOKEN = token }, restart = "never" }
"#;

/// Every view there is, of everything.
const VIEWS: [&[&str]; 25] = [
    &["list"],
    &["list", "--json"],
    &["status"],
    &["status", "--json"],
    &["status", "web"],
    &["status", "web", "--json"],
    &["status", "broken"],
    &["describe", "*"],
    &["describe", "*", "-v"],
    &["describe", "*", "--json"],
    &["why", "web"],
    &["why", "broken"],
    &["why", "missing", "--json"],
    &["graph"],
    &["graph", "--json"],
    &["stats"],
    &["stats", "--json"],
    &["health"],
    &["plan"],
    &["plan", "--json"],
    &["check"],
    &["check", "--json"],
    &["events"],
    &["events", "--json"],
    &["logs", "*"],
];

fn in_it(text: &str) -> Option<&'static str> {
    SECRETS.into_iter().find(|secret| text.contains(secret))
}

/// Runs this; none of what it prints may be a secret.
#[track_caller]
fn look(home: &Home, args: &[&str]) -> String {
    let output = home.command(args).env("KEY", SECRETS[1]).output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).join("\n");
    assert_eq!(in_it(&text), None, "{args:?}: {text}");
    assert!(!text.contains("unexpected argument") && !text.contains("unrecognized"), "{args:?}: {text}");
    text
}

fn all_views(home: &Home) -> String {
    VIEWS.into_iter().map(|view| look(home, view)).collect()
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = std::fs::symlink_metadata(&path).unwrap().file_type();
        if kind.is_dir() {
            files(&path, found);
        } else if kind.is_file() {
            found.push(path);
        }
    }
}

#[test]
fn h10_a_secret_goes_to_its_program_and_is_shown_nowhere_else() {
    let home = Home::new();
    std::fs::write(home.path("token"), format!("{}\n", SECRETS[0])).unwrap();
    home.config(CONFIG);
    let mut command = home.command(["daemon", "neap.lua", "--log-level", "debug"]);
    command.env("KEY", SECRETS[1]);
    let daemon = home.start(command);
    daemon.wait_for("neap: ready;");
    look(&home, &["wait", "web"]);
    // It is what the program gets.
    assert_eq!(std::fs::read_to_string(home.path("given-web")).unwrap(), format!("{} {}\n", SECRETS[0], SECRETS[1]));
    assert_eq!(std::fs::read_to_string(home.path("hook")).unwrap(), format!("{}\n", SECRETS[0]));
    let shown = all_views(&home);
    assert!(shown.contains("***"), "{shown}");
    // Made and changed at run time, by flags and by lines.
    let key = format!("KEY={}", SECRETS[2]);
    look(&home, &["create", "made", "--env", &key, "--secret-env", "KEY", "--json", "--", "sleep", "100000"]);
    let key = format!("KEY={}", SECRETS[3]);
    look(&home, &["update", "made", "--env", &key]);
    let line = format!("neap.get('web'):update {{ env = {{ TOKEN = '{}' }} }}", SECRETS[4]);
    look(&home, &["eval", &line]);
    look(&home, &["eval", "neap.get('web').spec"]);
    look(&home, &["eval", "--json", "neap.get('web').spec"]);
    look(&home, &["eval", "neap.list()"]);
    look(&home, &["eval", "neap.get('web'):describe()"]);
    look(&home, &["eval", "--json", "neap.get('web'):describe()"]);
    all_views(&home);
    // A configuration with another secret, and ones that are refused.
    std::fs::write(home.path("token"), format!("{}\n", SECRETS[5])).unwrap();
    let changes = look(&home, &["plan"]);
    assert!(changes.contains("env.TOKEN = *** -> ***"), "{changes}");
    all_views(&home);
    std::fs::write(home.path("token"), format!("{}\n", SECRETS[6])).unwrap();
    for wrong in [
        "command = { 'sleep', neap.secret { file = 'token' } }",
        "command = { 'sleep', 'x' .. neap.secret { file = 'token' } }",
        "command = { 'sleep' }, description = neap.secret { file = 'token' }",
        "command = { 'sleep' }, env = { [neap.secret { file = 'token' }] = 'x' }",
        "command = { 'sleep' }, nice = neap.secret { file = 'token' }",
        "command = { 'sleep' }, env = { TOKEN = neap.secret { file = 'token' }, ['A=B'] = 'x' }",
        "command = { 'sleep', tostring(neap.secret { file = 'token' }), neap.json(neap.secret { file = 'token' }) }, nice = 99",
    ] {
        home.config(&format!("neap.process 'web' {{ {wrong} }}"));
        for view in [&["check"][..], &["check", "--json"], &["plan"], &["apply", "--json"]] {
            look(&home, view);
        }
    }
    home.config(CONFIG);
    look(&home, &["apply"]);
    look(&home, &["restart", "web"]);
    assert!(std::fs::read_to_string(home.path("given-web")).unwrap().starts_with(SECRETS[6]));
    all_views(&home);
    // What is kept of them is for the instance's user alone.
    let mut kept = Vec::new();
    files(&home.path("state"), &mut kept);
    files(&home.path("run"), &mut kept);
    let mut with = 0;
    for path in kept {
        let text = std::fs::read(&path).unwrap();
        if in_it(&String::from_utf8_lossy(&text)).is_some() {
            let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode, 0o600, "{}", path.display());
            with += 1;
        }
    }
    assert!(with > 0, "a successor needs them");
    let said = daemon.stop();
    assert_eq!(in_it(&said), None, "{said}");
}
