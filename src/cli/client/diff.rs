//! What becomes of processes, as a version-control diff: for `plan`, `apply`, `create` and `update`.

use unicode_width::UnicodeWidthStr;

use super::look::{count, word};
use super::table::{Sheet, cut};
use crate::cli::escape::escape;
use crate::cli::paint::Tone;
use crate::rpc::proto::v1::{Change, FieldChange, State};

/// How changes are shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// How wide, and whether coloured.
    pub(super) sheet: Sheet,
    /// Whether nothing is left out: unchanged processes, the keys of removed ones, the ends of long values.
    pub(super) whole: bool,
}

/// Whether anything changes. An override that the configuration has caught up with is no change, and is taken back.
pub(super) fn differs(changes: &[Change]) -> bool {
    changes.iter().any(|change| change.action != "unchanged")
}

/// Whether it is yet to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tense {
    Will,
    Done,
}

/// The processes that have changed, each with its keys; nothing when none has. Each line has its end.
pub(super) fn text(changes: &[Change], look: Look) -> String {
    told(changes, look, Tense::Done)
}

/// The same of what is yet to be done.
pub(super) fn text_ahead(changes: &[Change], look: Look) -> String {
    told(changes, look, Tense::Will)
}

fn told(changes: &[Change], look: Look, tense: Tense) -> String {
    let mut text = String::new();
    for change in changes {
        if change.action == "unchanged" && !change.overridden && !look.whole {
            continue;
        }
        header(&mut text, change, look, tense);
        if change.action != "removed" || look.whole {
            let lives = matches!(change.state(), State::Starting | State::Running);
            change.fields.iter().for_each(|field| line(&mut text, change, field, lives, look));
        }
    }
    text
}

/// `2 changes: 1 added, 1 restarted; 98 unchanged`.
pub(super) fn counts(changes: &[Change]) -> String {
    counted(changes, said)
}

/// The same of what is yet to be done: `2 changes: 1 to add, 1 to restart; 98 unchanged`.
pub(super) fn counts_ahead(changes: &[Change]) -> String {
    counted(changes, |action| match action {
        "added" => "to add",
        "removed" => "to remove",
        "restarted" => "to restart",
        _ => "to update in place",
    })
}

fn counted(changes: &[Change], said: fn(&str) -> &str) -> String {
    let of = |action: &str| changes.iter().filter(|change| change.action == action).count();
    let unchanged = format!("{} unchanged", of("unchanged"));
    let counts = ["added", "removed", "restarted", "updated"].map(|action| (of(action), action));
    let told = counts.iter().filter(|(number, _)| *number > 0);
    let told: Vec<String> = told.map(|(number, action)| format!("{number} {}", said(action))).collect();
    match counts.iter().map(|(number, _)| number).sum() {
        0 => format!("no changes; {unchanged}"),
        all => format!("{}: {}; {unchanged}", count(all, "change", "changes"), told.join(", ")),
    }
}

fn said(action: &str) -> &str {
    if action == "updated" { "updated in place" } else { action }
}

fn header(text: &mut String, change: &Change, look: Look, tense: Tense) {
    let paint = look.sheet.paint;
    let (mark, tone) = match change.action.as_str() {
        "added" => ("+", Tone::Good),
        "removed" => ("-", Tone::Bad),
        "restarted" | "updated" => ("~", Tone::Warn),
        _ => (" ", Tone::Faint),
    };
    let name = paint.tone(tone, &format!("{mark} {}", escape(change.name.as_bytes())));
    let mut notes = Vec::new();
    if change.state() != State::Unspecified {
        notes.push(word(change.state()));
    }
    if change.overridden {
        notes.push("overridden".into());
    }
    if change.action == "restarted" && change.fields.is_empty() {
        notes.push("it was being removed".into());
    }
    if let Some(file) = &change.file {
        let line = change.line.map_or_else(String::new, |line| format!(":{line}"));
        notes.push(format!("{}{line}", escape(shortened(file).as_bytes())));
    }
    let notes =
        if notes.is_empty() { String::new() } else { paint.tone(Tone::Faint, &format!(" ({})", notes.join(", "))) };
    let along = match change.along.as_slice() {
        [] => String::new(),
        along => format!("; with {}", escape(along.join(", ").as_bytes())),
    };
    let will = if tense == Tense::Will && change.action != "unchanged" { "will be " } else { "" };
    text.push_str(&format!("{name}: {will}{}{along}{notes}\n", said(&change.action)));
}

/// A path below the current folder without that folder.
fn shortened(file: &str) -> &str {
    let here = std::env::current_dir().ok();
    let below = here.and_then(|here| file.strip_prefix(here.to_str()?)?.strip_prefix('/'));
    below.unwrap_or(file)
}

/// A key: in one line, or in three where that would be wider than the terminal.
fn line(text: &mut String, change: &Change, field: &FieldChange, lives: bool, look: Look) {
    let Look { sheet, whole } = look;
    let shown = |value: &Option<String>| value.as_ref().map(|value| escape(value.as_bytes()));
    let (before, after) = (shown(&field.before), shown(&field.after));
    let path = escape(field.path.as_bytes());
    let fits = |line: &str| whole || sheet.width.is_none_or(|width| line.width() <= width);
    let room = if whole { usize::MAX } else { sheet.width.unwrap_or(usize::MAX) };
    let mut say = |tone: Tone, line: &str, note: &str| {
        let line = cut(line, room.saturating_sub(note.width()));
        text.push_str(&sheet.paint.tone(tone, &line));
        text.push_str(&sheet.paint.tone(Tone::Faint, note));
        text.push('\n');
    };
    if matches!(change.action.as_str(), "added" | "removed") {
        let (mark, tone, value) = match (after, before) {
            (Some(after), _) => ('+', Tone::Good, after),
            (None, before) => ('-', Tone::Bad, before.unwrap_or_default()),
        };
        return say(tone, &format!("    {mark} {path} = {value}"), "");
    }
    let note = note(field, lives);
    match (before, after) {
        (Some(before), Some(after)) => {
            let line = format!("    ~ {path} = {before} -> {after}");
            if fits(&format!("{line}{note}")) {
                return say(Tone::Warn, &line, &note);
            }
            say(Tone::Warn, &format!("    ~ {path}"), &note);
            say(Tone::Bad, &format!("        - {before}"), "");
            say(Tone::Good, &format!("        + {after}"), "");
        }
        (None, Some(after)) => say(Tone::Good, &format!("    + {path} = {after}"), &note),
        (before, None) => say(Tone::Bad, &format!("    - {path} = {}", before.unwrap_or_default()), &note),
    }
}

/// When it is in force, of one that runs, and whether it takes back an override.
fn note(field: &FieldChange, lives: bool) -> String {
    let effect = match field.effect.as_str() {
        _ if !lives => None,
        "live" => Some("live"),
        "reload" => Some("by reload"),
        _ => Some("needs a restart"),
    };
    let notes: Vec<&str> = effect.into_iter().chain(field.r#override.then_some("was overridden")).collect();
    if notes.is_empty() { String::new() } else { format!("  ({})", notes.join(", ")) }
}

/// What tests show.
#[cfg(test)]
pub(super) mod samples {
    use crate::rpc::proto::v1::{Change, FieldChange, State};

    fn field(path: &str, effect: &str, before: Option<&str>, after: Option<&str>) -> FieldChange {
        let (before, after) = (before.map(str::to_owned), after.map(str::to_owned));
        FieldChange { path: path.into(), effect: effect.into(), before, after, r#override: false }
    }

    fn change(name: &str, action: &str, state: State, fields: Vec<FieldChange>) -> Change {
        let (file, line) = (Some("/etc/neap/neap.lua".into()), Some(3));
        Change {
            name: name.into(),
            action: action.into(),
            fields,
            overridden: false,
            state: state.into(),
            file,
            line,
            along: Vec::new(),
        }
    }

    /// One of each kind.
    pub(in crate::cli::client) fn changes() -> Vec<Change> {
        let lived = |path| field(path, "live", Some("\"1s\""), Some("\"2s\""));
        let back = FieldChange { r#override: true, ..lived("restart.delay") };
        let command = |before, after| field("command", "restart", before, after);
        vec![
            Change {
                overridden: true,
                ..change(
                    "api",
                    "updated",
                    State::Running,
                    vec![back, field("reload.on_change", "reload", Some("\"a\""), Some("\"b\""))],
                )
            },
            change("cache", "added", State::Unspecified, vec![command(None, Some("{ \"redis-server\" }"))]),
            change("job", "updated", State::Exited, vec![lived("stop.timeout")]),
            change("old", "removed", State::Running, vec![command(Some("{ \"old\" }"), None)]),
            change(
                "web",
                "restarted",
                State::Running,
                vec![
                    command(Some("{ \"nginx\" }"), Some("{ \"nginx\", \"-g\" }")),
                    field("env.PORT", "restart", None, Some("\"80\"")),
                    field("description", "live", Some("\"gone\""), None),
                ],
            ),
            change("worker", "unchanged", State::Running, Vec::new()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::Sheet;
    use super::samples::changes;
    use super::{Look, counts, counts_ahead, differs, text, text_ahead};
    use crate::cli::paint::Paint;
    use crate::rpc::proto::v1::Change;

    fn look(width: Option<usize>, whole: bool) -> Look {
        Look { sheet: Sheet { paint: Paint::off(), width }, whole }
    }

    #[test]
    fn each_kind_of_change_is_marked_and_each_key_says_when_it_is_in_force() {
        let expected = r#"~ api: updated in place (running, overridden, /etc/neap/neap.lua:3)
    ~ restart.delay = "1s" -> "2s"  (live, was overridden)
    ~ reload.on_change = "a" -> "b"  (by reload)
+ cache: added (/etc/neap/neap.lua:3)
    + command = { "redis-server" }
~ job: updated in place (exited, /etc/neap/neap.lua:3)
    ~ stop.timeout = "1s" -> "2s"
- old: removed (running, /etc/neap/neap.lua:3)
~ web: restarted (running, /etc/neap/neap.lua:3)
    ~ command = { "nginx" } -> { "nginx", "-g" }  (needs a restart)
    + env.PORT = "80"  (needs a restart)
    - description = "gone"  (live)
"#;
        assert_eq!(text(&changes(), look(None, false)), expected);
        let ahead = text_ahead(&changes(), look(None, false));
        assert!(
            ahead.contains("~ web: will be restarted (running,") && ahead.contains("+ cache: will be added (/etc"),
            "{ahead}"
        );
        let whole = text(&changes(), look(None, true));
        assert!(
            whole.contains("    - command = { \"old\" }\n") && whole.contains("  worker: unchanged (running"),
            "{whole}"
        );
        assert_eq!(counts(&changes()), "5 changes: 1 added, 1 removed, 1 restarted, 2 updated in place; 1 unchanged");
        let ahead = "5 changes: 1 to add, 1 to remove, 1 to restart, 2 to update in place; 1 unchanged";
        assert_eq!(counts_ahead(&changes()), ahead);
        assert!(differs(&changes()));
    }

    #[test]
    fn what_is_too_wide_for_the_terminal_is_told_in_three_lines_and_cut() {
        let web: Vec<Change> = changes().into_iter().filter(|change| change.name == "web").collect();
        let narrow = text(&web, look(Some(50), false));
        let lines: Vec<&str> = narrow.lines().collect();
        assert_eq!(
            lines[1..4],
            ["    ~ command  (needs a restart)", "        - { \"nginx\" }", "        + { \"nginx\", \"-g\" }"]
        );
        let narrower = text(&web, look(Some(30), false));
        assert!(narrower.lines().skip(1).all(|line| line.chars().count() <= 30), "{narrower}");
    }

    #[test]
    fn of_a_hundred_unchanged_ones_only_the_number_is_told() {
        let unchanged = changes().pop().unwrap();
        let all = vec![unchanged; 100];
        assert_eq!(text(&all, look(None, false)), "");
        assert_eq!(counts(&all), "no changes; 100 unchanged");
        assert!(!differs(&all));
    }
}
