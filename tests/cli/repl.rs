//! The REPL at a pseudo-terminal, as a person has it.

use std::os::unix::fs::PermissionsExt;

use crate::instance::Instance;
use crate::terminal::Terminal;

const CONFIGURATION: &str = r#"
local neap = require "neap"
neap.process "web" { command = { "sleep", "1000" } }
neap.process "idle" { command = { "sleep", "1000" }, auto_start = false }
"#;

const PROMPT: &str = "neap> ";
const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const CTRL_U: &str = "\x15";
const UP: &str = "\x1b[A";

/// A REPL that shows its prompt; none where there is no terminal to be had.
fn attached(instance: &Instance, args: &[&str]) -> Option<Terminal> {
    let words = [&["repl"], args].concat();
    let mut terminal = Terminal::start(instance.command(&words))?;
    terminal.until(if args.contains(&"--read-only") { "neap (read-only)> " } else { PROMPT });
    Some(terminal)
}

/// What a line comes to: what is shown until the next prompt.
#[track_caller]
fn said(terminal: &mut Terminal, line: &str) -> String {
    terminal.line(line);
    // The line itself stands between.
    terminal.until("\n");
    terminal.until(PROMPT).trim_end_matches(PROMPT).to_owned()
}

/// Leaves, which stops nothing.
#[track_caller]
fn leave(mut terminal: Terminal) {
    terminal.keys(CTRL_D);
    terminal.until("nothing was stopped");
    let (status, shown) = terminal.end();
    assert!(status.success(), "{status:?}\n{shown}");
}

#[test]
fn what_is_typed_is_evaluated_in_the_instance_and_its_variables_stay() {
    let instance = Instance::start(CONFIGURATION);
    let Some(mut terminal) = attached(&instance, &[]) else { return };
    let banner = terminal.shown();
    assert!(banner.contains("running") && banner.contains("admin"), "{banner}");
    assert_eq!(said(&mut terminal, "local n = 40"), "");
    assert_eq!(said(&mut terminal, "n + 2"), "42\n");
    assert!(said(&mut terminal, "nothing.at.all").contains("repl:1:"));
    assert_eq!(said(&mut terminal, ""), "");
    assert!(said(&mut terminal, ":help").contains("Ctrl-D"));
    leave(terminal);
    assert_eq!(instance.process("web")["state"], "running");
}

#[test]
fn tab_completes_names_of_processes_keys_of_specs_and_commands() {
    let instance = Instance::start(CONFIGURATION);
    let Some(mut terminal) = attached(&instance, &[]) else { return };
    terminal.keys("p.we\t");
    terminal.until("p.web");
    terminal.keys(":rest\t");
    terminal.until("p.web:restart");
    terminal.keys(CTRL_U);
    terminal.keys("neap.process \"x\" { comm\t");
    terminal.until("command");
    terminal.keys(CTRL_U);
    terminal.keys(":stat\t");
    terminal.until("status");
    terminal.keys(CTRL_U);
    terminal.keys(":status id\t");
    terminal.until("idle");
    terminal.keys(CTRL_U);
    leave(terminal);
}

#[test]
fn a_text_of_several_lines_is_one_and_is_evaluated_when_it_is_whole() {
    let instance = Instance::start(CONFIGURATION);
    let Some(mut terminal) = attached(&instance, &[]) else { return };
    for line in ["function twice(n)", "  return n * 2"] {
        terminal.line(line);
        terminal.until("..> ");
    }
    assert_eq!(said(&mut terminal, "end"), "");
    assert_eq!(said(&mut terminal, "twice(21)"), "42\n");
    // Ctrl-C gives up what is not over.
    terminal.line("function twice(n)");
    terminal.until("..> ");
    terminal.keys(CTRL_C);
    terminal.until(PROMPT);
    assert_eq!(said(&mut terminal, "twice(4)"), "8\n");
    // In history it is one.
    for _ in 0..3 {
        terminal.keys(UP);
    }
    terminal.until("return n * 2");
    terminal.keys(CTRL_C);
    terminal.until(PROMPT);
    leave(terminal);
}

#[test]
fn what_happens_is_shown_above_the_prompt_when_it_is_wanted() {
    let instance = Instance::start(CONFIGURATION);
    let Some(mut terminal) = attached(&instance, &[]) else { return };
    said(&mut terminal, ":events on");
    terminal.keys("half a li");
    terminal.until("half a li");
    instance.ok(&["start", "idle"]);
    let shown = terminal.until("idle running");
    assert!(shown.contains("idle starting"), "{shown}");
    // What was being typed is there again.
    terminal.until("neap> half a li");
    terminal.keys(CTRL_U);
    terminal.line(":events off");
    terminal.until("no longer shown");
    terminal.until(PROMPT);
    instance.ok(&["stop", "idle"]);
    let shown = said(&mut terminal, "'after'");
    assert!(!shown.contains("idle"), "{shown}");
    leave(terminal);
}

#[test]
fn ctrl_c_cancels_what_is_evaluated_and_nothing_else() {
    let instance = Instance::start(CONFIGURATION);
    let Some(mut terminal) = attached(&instance, &[]) else { return };
    for endless in ["while true do end", "neap.get('idle'):wait('running')"] {
        terminal.line(&format!("print('be' .. 'gun') {endless}"));
        terminal.until("begun\n");
        terminal.keys(CTRL_C);
        terminal.until("given up");
        terminal.until(PROMPT);
        assert_eq!(said(&mut terminal, "1 + 1"), "2\n");
    }
    terminal.keys(CTRL_C);
    terminal.until("Ctrl-D detaches");
    terminal.until(PROMPT);
    // A command's waiting, too, and that command alone.
    terminal.line(":wait idle");
    terminal.until("waiting for");
    terminal.keys(CTRL_C);
    terminal.until("no longer waiting");
    terminal.until(PROMPT);
    terminal.line(":logs -f web");
    terminal.until("\n");
    assert_eq!(instance.process("web")["state"], "running");
    leave_by_interrupts(terminal);
}

/// A command that follows says nothing when it has begun: interrupts until the prompt is there.
#[track_caller]
fn leave_by_interrupts(mut terminal: Terminal) {
    terminal.keys(CTRL_C);
    terminal.until(PROMPT);
    leave(terminal);
}

#[test]
fn a_process_that_is_defined_at_the_prompt_runs_and_goes_on_after_the_session() {
    let instance = Instance::start(CONFIGURATION);
    let Some(mut terminal) = attached(&instance, &[]) else { return };
    let shown = said(&mut terminal, "neap.process \"made\" { command = { \"sleep\", \"1000\" } }");
    assert!(shown.contains("made"), "{shown}");
    instance.ok(&["wait", "made"]);
    assert!(said(&mut terminal, "neap.get('made')").contains("running"));
    leave(terminal);
    assert_eq!(instance.process("made")["state"], "running");
    assert_eq!(instance.process("made")["runtime"], true);
}

#[test]
fn commands_of_the_command_line_run_at_the_same_instance() {
    let instance = Instance::start(CONFIGURATION);
    let Some(mut terminal) = attached(&instance, &[]) else { return };
    let list = said(&mut terminal, ":list");
    assert!(list.contains("NAME") && list.contains("web") && list.contains("idle"), "{list}");
    assert!(said(&mut terminal, ":status nobody").contains("nobody"));
    assert!(said(&mut terminal, ":up").contains("makes no sense here"));
    assert!(said(&mut terminal, ":lits").contains("list"));
    terminal.line(":quit");
    let (status, _) = terminal.end();
    assert!(status.success());
}

#[test]
fn earlier_lines_are_kept_for_the_next_session_and_for_nobody_else() {
    let instance = Instance::start(CONFIGURATION);
    let Some(mut terminal) = attached(&instance, &[]) else { return };
    assert_eq!(said(&mut terminal, "19 + 23"), "42\n");
    assert_eq!(said(&mut terminal, " 'not kept'"), "\"not kept\"\n");
    leave(terminal);
    let file = instance.path().join("state/neap/repl_history");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let Some(mut terminal) = attached(&instance, &[]) else { return };
    terminal.keys(UP);
    terminal.until("19 + 23");
    terminal.keys("\r");
    terminal.until("42\n");
    terminal.until(PROMPT);
    leave(terminal);
    assert!(!std::fs::read_to_string(&file).unwrap().contains("not kept"));
}

#[test]
fn without_a_home_there_is_no_history_and_everything_else() {
    let instance = Instance::start(CONFIGURATION);
    let socket = instance.json(&["status", "--json"])["socket"].as_str().unwrap().to_owned();
    let mut command = instance.command(&["repl", "--socket", &socket]);
    command.env("HOME", "").env("XDG_STATE_HOME", "");
    if nix::unistd::geteuid().is_root() {
        // Root has a place without a home; this is one where nothing can be made.
        command.env("XDG_STATE_HOME", "/proc/nowhere");
    }
    let Some(mut terminal) = Terminal::start(command) else { return };
    terminal.until(PROMPT);
    assert_eq!(said(&mut terminal, "1 + 1"), "2\n");
    leave(terminal);
}

#[test]
fn who_lost_the_supervisor_is_told_and_goes_on_with_the_next_in_a_new_session() {
    let instance = Instance::start(CONFIGURATION);
    let Some(mut terminal) = attached(&instance, &[]) else { return };
    assert_eq!(said(&mut terminal, "n = 40"), "");
    instance.crash();
    terminal.until("connected again");
    terminal.until(PROMPT);
    let gone = said(&mut terminal, "n");
    assert!(gone.contains("repl:1:"), "{gone}\n{}", terminal.shown());
    assert_eq!(said(&mut terminal, "1 + 1"), "2\n");
    // In the middle of an evaluation.
    terminal.line("print('be' .. 'gun') neap.get('idle'):wait('running')");
    terminal.until("begun\n");
    instance.crash();
    terminal.until("not known");
    terminal.until(PROMPT);
    // That it is connected again may be told before, meanwhile or after.
    terminal.line("2 + 2");
    terminal.until("\n4\n");
    terminal.until(PROMPT);
    leave(terminal);
}

#[test]
fn an_instance_that_ends_ends_the_session() {
    let instance = Instance::start(CONFIGURATION);
    let Some(mut terminal) = attached(&instance, &[]) else { return };
    terminal.line(":down");
    terminal.until("Ctrl-D leaves");
    terminal.line("1 + 1");
    let (status, shown) = terminal.end();
    assert_eq!(status.code(), Some(5), "{shown}");
    instance.end().expect_code(0);
}

#[test]
fn nothing_that_is_shown_steers_the_terminal() {
    let instance = Instance::start(CONFIGURATION);
    let Some(mut terminal) = attached(&instance, &[]) else { return };
    let shown = said(&mut terminal, "print('\\27]0;owned\\7') return '\\27[2J\\u{202e}'");
    assert!(shown.contains("\\x1b]0;owned\\x07"), "{shown}");
    said(&mut terminal, "error('\\27]0;owned\\7')");
    let raw = String::from_utf8_lossy(terminal.raw()).into_owned();
    assert!(!raw.contains("\x1b]0;") && !raw.contains("\x1b[2J") && !raw.contains('\u{202e}'), "{raw:?}");
    leave(terminal);
}

#[test]
fn a_session_that_only_reads_says_so_and_changes_nothing() {
    let instance = Instance::start(CONFIGURATION);
    let Some(mut terminal) = attached(&instance, &["--read-only"]) else { return };
    terminal.line("neap.get('web'):stop()");
    terminal.until("read-only");
    terminal.until("neap (read-only)> ");
    assert_eq!(instance.process("web")["state"], "running");
    leave(terminal);
}

#[test]
fn colours_are_shown_where_they_are_wanted() {
    let instance = Instance::start(CONFIGURATION);
    for (args, coloured) in [(&[][..], true), (&["--color", "never"], false)] {
        let Some(mut terminal) = attached(&instance, args) else { return };
        said(&mut terminal, "error('red')");
        let raw = String::from_utf8_lossy(terminal.raw()).into_owned();
        assert_eq!(raw.contains("\x1b[31m"), coloured, "{raw:?}");
        leave(terminal);
    }
}

#[test]
fn a_terminal_that_becomes_narrow_is_still_written_to_rightly() {
    let instance = Instance::start(CONFIGURATION);
    let Some(mut terminal) = attached(&instance, &[]) else { return };
    terminal.keys("'begun");
    terminal.until("'begun");
    terminal.resize(30, 10);
    terminal.keys(&format!(" {}'", "long ".repeat(20)));
    terminal.keys("\r");
    terminal.until("\"begun long");
    terminal.until(PROMPT);
    assert_eq!(said(&mut terminal, "1 + 1"), "2\n");
    leave(terminal);
}

#[test]
fn the_session_of_the_page_is_what_it_says() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/repl.md")).unwrap();
    let block = |language: &str| {
        let begin = page.find(&format!("```{language}\n")).unwrap() + language.len() + 4;
        page[begin..].split("\n```").next().unwrap()
    };
    let instance = Instance::start(block("lua"));
    instance.ok(&["wait", "web", "db"]);
    let mut steps: Vec<(&str, &str, Vec<&str>)> = Vec::new();
    for line in block("repl").lines() {
        let typed = [PROMPT, "..> "].into_iter().find_map(|prompt| Some((prompt, line.strip_prefix(prompt)?)));
        match typed {
            Some((prompt, typed)) => steps.push((prompt, typed, Vec::new())),
            None => steps.last_mut().unwrap().2.push(line),
        }
    }
    assert!(steps.len() >= 10);
    let Some(mut terminal) = attached(&instance, &["--color", "never"]) else { return };
    // Numbers and how long something took are those of the day.
    let numbers = regex::Regex::new("[0-9][0-9.]*( ?ms| ?s)?").unwrap();
    let plain = |lines: &[&str]| -> Vec<String> {
        lines.iter().map(|line| numbers.replace_all(line.trim_end(), "#").into_owned()).collect()
    };
    let mut wrong = String::new();
    for (index, (_, typed, expected)) in steps.iter().enumerate() {
        let next = steps.get(index + 1).map_or(PROMPT, |(prompt, ..)| prompt);
        terminal.line(typed);
        terminal.until("\n");
        let shown = terminal.until(next);
        let shown: Vec<&str> = shown.trim_end_matches(next).lines().collect();
        if plain(&shown) != plain(expected) {
            wrong.push_str(&format!("{typed}\nsays: {expected:#?}\nis: {shown:#?}\n"));
        }
    }
    assert!(wrong.is_empty(), "docs/repl.md: {wrong}");
    leave(terminal);
}

#[test]
fn h9_a_session_that_hangs_is_killed_or_gets_nonsense_costs_itself_alone() {
    let instance = Instance::start(CONFIGURATION);
    let Some(mut hanging) = attached(&instance, &[]) else { return };
    let Some(mut other) = attached(&instance, &[]) else { return };
    hanging.line("print('be' .. 'gun') while true do end");
    hanging.until("begun\n");
    // Meanwhile supervision goes on, and so does whoever else is attached.
    instance.ok(&["restart", "web"]);
    assert_eq!(said(&mut other, "1 + 1"), "2\n");
    // Killed in the middle.
    drop(hanging);
    assert_eq!(said(&mut other, "2 + 2"), "4\n");
    // Nonsense: control characters, keys that there are not, half sequences, and a line without an end.
    let nonsense =
        ["\x01\x02\x05\x06\x0b\x19", "\x1b[99~\x1b[1;9Q\x1bO?\x1b[200~\u{202e}x\u{1b}[201~", &"([{".repeat(2_000)];
    for keys in nonsense {
        other.keys(keys);
    }
    other.keys(CTRL_C);
    // Each key drew the prompt again: the one that counts is behind this.
    other.until("Ctrl-D detaches");
    other.until(PROMPT);
    assert_eq!(said(&mut other, "3 + 3"), "6\n");
    leave(other);
    assert_eq!(instance.process("web")["state"], "running");
}

#[test]
fn what_is_no_text_is_dropped_with_its_line_and_the_prompt_goes_on() {
    let instance = Instance::start(CONFIGURATION);
    let Some(mut terminal) = attached(&instance, &[]) else { return };
    terminal.bytes(b"-- \xff neap.get('web'):stop()");
    terminal.until("what came is not UTF-8 text");
    terminal.until(PROMPT);
    terminal.keys("\r");
    terminal.until(PROMPT);
    assert_eq!(said(&mut terminal, "40 + 2"), "42\n");
    assert_eq!(instance.process("web")["state"], "running");
    leave(terminal);
}
