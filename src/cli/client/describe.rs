//! `neap describe`: everything known of a process, its configuration included.

use std::time::Duration;

use super::args;
use super::context::Context;
use super::json::Json;
use super::look::{ending, health_at_length, pid, reason, state};
use super::table::{Cell, Sheet};
use crate::cli::escape::escape;
use crate::cli::exit::{Exit, Failure};
use crate::cli::narrate::Talk;
use crate::cli::paint::Tone;
use crate::cli::times::Moment;
use crate::rpc::described;
use crate::rpc::proto::v1::{DescribeRequest, LimitStatus, ListenerStatus, ProcessDetail, Spec};
use crate::spec::units::format_duration;

/// Describes.
pub(super) fn describe(args: &args::Describe, context: &mut Context) -> Result<Exit, Failure> {
    let processes = context.call(|client| client.describe(DescribeRequest { names: args.names.clone() }))?.processes;
    if context.voice.json {
        let mut all: Vec<Json> = processes.iter().map(Json::of).collect();
        // One process is one object; several names or a glob make it a list, whatever it finds.
        let one = all.len() == 1 && args.names.len() == 1 && !args.names[0].contains(['*', '?']);
        context.print(&if one { all.remove(0) } else { Json::List(all) }.line())?;
    } else {
        let (sheet, now) = (context.sheet(), Moment::now());
        let whole = context.voice.talk == Talk::Verbose;
        let texts: Vec<String> = processes.iter().map(|process| text(process, sheet, now, whole)).collect();
        context.print(texts.join("\n").trim_end())?;
    }
    Ok(Exit::Done)
}

/// `whole`: also what is at its default.
fn text(detail: &ProcessDetail, sheet: Sheet, now: Moment, whole: bool) -> String {
    let plain = |text: String| (Tone::Plain, text);
    let process = detail.process.clone().unwrap_or_default();
    let mut text = format!("{}\n", sheet.paint.tone(Tone::Strong, &escape(process.name.as_bytes())));
    let mut pairs: Vec<(&str, Cell)> = vec![("  id", plain(process.id.clone())), ("  state", state(&process))];
    let (tone, why) = reason(&process, now);
    if !why.is_empty() {
        pairs.push(("  reason", (tone, why)));
    }
    pairs.extend([("  pid", plain(pid(&process))), ("  health", health_at_length(&process, now))]);
    pairs.push(("  runs", plain(process.run_count.to_string())));
    pairs.extend(ending(&process).map(|ending| ("  last end", plain(ending))));
    let times = [
        ("  created", &process.created_at),
        ("  started", &process.started_at),
        ("  ended", &process.ended_at),
        ("  in this state since", &process.since),
    ];
    pairs.extend(times.into_iter().filter_map(|(name, time)| {
        let at = Moment::from(time.as_ref()?);
        Some((name, plain(format!("{} ({} ago)", at.for_people(), at.age(now)))))
    }));
    if let Some(file) = &detail.file {
        let line = detail.line.map_or_else(String::new, |line| format!(":{line}"));
        pairs.push(("  declared at", plain(format!("{file}{line}"))));
    }
    let others = [
        ("  required by", &detail.required_by),
        ("  wanted by", &detail.wanted_by),
        ("  bound by", &detail.bound_by),
        ("  followed by", &detail.followed_by),
        ("  parts", &detail.parts),
    ];
    let others = others.into_iter().filter(|(_, names)| !names.is_empty());
    pairs.extend(others.map(|(name, names)| (name, plain(names.join(", ")))));
    for (place, one) in detail.limits.iter().enumerate() {
        pairs.push((if place == 0 { "  limits" } else { "" }, limit(one)));
    }
    for (place, one) in detail.listeners.iter().enumerate() {
        pairs.push((if place == 0 { "  listens at" } else { "" }, listener(one, &process.name)));
    }
    text.push_str(&sheet.pairs(pairs));
    if let Some(spec) = &detail.spec {
        text.push_str(&format!("  {}\n", sheet.paint.tone(Tone::Faint, "configuration")));
        let json = if whole { Json::of(spec) } else { without(Json::of(spec), &defaults(spec)) };
        write_fields(&mut text, &json, 4);
    }
    text
}

/// `tcp:127.0.0.1:8080 as http, 2 instances, 17 connections so far`.
fn listener(listener: &ListenerStatus, process: &str) -> Cell {
    let mut text = listener.address.clone();
    if listener.name != process {
        text += &format!(" as {}", listener.name);
    }
    if let Some(count) = listener.instances {
        text += &format!(", {}", count_of(count.into(), "instance"));
    }
    if let Some(count) = listener.accepted {
        text += &format!(", {} so far", count_of(count, "connection"));
    }
    match listener.bound {
        true => (Tone::Plain, text),
        false => (Tone::Warn, format!("{text}, not bound")),
    }
}

fn count_of(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// A limit and who sees to it: `memory 512MiB by cgroup2`.
fn limit(limit: &LimitStatus) -> Cell {
    let name = format!("{} {}", limit.limit, limit.value);
    let why = limit.why.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
    match limit.enforced_by.as_str() {
        "none" => (Tone::Warn, format!("{name}, not enforced{why}")),
        by => (Tone::Plain, format!("{name} by {by}{why}")),
    }
}

/// The configuration of a process that declares its type and nothing else.
fn defaults(spec: &Spec) -> Json {
    let declared = crate::spec::Spec::new("", [""; 0]);
    let declared = match spec.r#type() {
        "oneshot" => declared.oneshot(),
        _ => declared,
    };
    Json::of(&Spec { r#type: Some("simple".into()), ..described(&declared) })
}

/// What is other than that.
fn without(json: Json, defaults: &Json) -> Json {
    match json {
        same if same == *defaults => Json::Null,
        Json::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| {
                let value = without(value, defaults.get(&name));
                (name, value)
            });
            Json::Object(fields.collect())
        }
        other => other,
    }
}

/// What is there, a line a key; what is in a table, deeper in.
fn write_fields(text: &mut String, json: &Json, indent: usize) {
    let Json::Object(fields) = json else { return };
    for (name, value) in fields.iter().filter(|(_, value)| !is_empty(value)) {
        let shown = if DURATIONS.contains(&name.as_ref()) { duration(value) } else { None };
        let name = escape(name.as_bytes());
        match shown.or_else(|| brief(value)) {
            Some(brief) => text.push_str(&format!("{:indent$}{name}: {brief}\n", "")),
            None => {
                text.push_str(&format!("{:indent$}{name}:\n", ""));
                write_below(text, value, indent + 2);
            }
        }
    }
}

fn write_below(text: &mut String, value: &Json, indent: usize) {
    let Json::List(items) = value else { return write_fields(text, value, indent) };
    for item in items {
        let mut below = String::new();
        write_fields(&mut below, item, indent + 2);
        // The first of its keys stands behind the dash.
        let first = below.get(indent + 2..).unwrap_or_default();
        text.push_str(&format!("{:indent$}- {first}", ""));
    }
}

/// Keys whose numbers are milliseconds.
const DURATIONS: [&str; 9] = [
    "delay",
    "idle_stop",
    "interval",
    "max_delay",
    "reset_after",
    "start_period",
    "start_timeout",
    "timeout",
    "watchdog",
];

/// A number of milliseconds as it would be written in a configuration.
fn duration(value: &Json) -> Option<String> {
    match value {
        Json::Int(-1) => Some("infinity".to_owned()),
        Json::Int(millis) => Some(format_duration(Duration::from_millis(u64::try_from(*millis).ok()?))),
        _ => None,
    }
}

/// A value that fits on its key's line.
fn brief(value: &Json) -> Option<String> {
    match value {
        Json::Text(text) => Some(escape(text.as_bytes())),
        Json::List(items) => {
            let items: Option<Vec<String>> = items.iter().map(quoted).collect();
            Some(format!("[{}]", items?.join(", ")))
        }
        Json::Object(_) => names(value).and_then(brief),
        value => Some(value.line()),
    }
}

/// A list that may be given and empty: no groups at all is something else than those of the user.
fn names(value: &Json) -> Option<&Json> {
    let Json::Object(fields) = value else { return None };
    match fields.as_slice() {
        [(name, list)] if name == "names" => Some(list),
        _ => None,
    }
}

fn quoted(item: &Json) -> Option<String> {
    match item {
        Json::Text(text) => Some(escape(serde_json::to_string(text).unwrap_or_default().as_bytes())),
        Json::List(_) | Json::Object(_) => None,
        item => Some(item.line()),
    }
}

/// Nothing that the configuration said.
fn is_empty(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::List(items) => items.is_empty(),
        value if names(value).is_some() => false,
        Json::Object(fields) => fields.iter().all(|(_, value)| is_empty(value)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::look::samples::{NOW, web};
    use super::super::table::Sheet;
    use super::text;
    use crate::cli::paint::Paint;
    use crate::rpc::proto::v1::{Hook, Hooks, LimitStatus, ListenerStatus, ProcessDetail, Restart, Spec, StartLimit};

    #[test]
    fn what_is_at_its_default_is_left_out() {
        for (spec, expected) in [
            (crate::spec::Spec::new("web", ["sleep", "1"]), "    name: web\n    command: [\"sleep\", \"1\"]\n"),
            (
                crate::spec::Spec::new("job", ["true"]).oneshot().requires("db"),
                "    name: job\n    command: [\"true\"]\n    type: oneshot\n    requires: [\"db\"]\n",
            ),
            (
                crate::spec::Spec::new("api", ["api"]).restart(crate::spec::Restart::always()),
                "    name: api\n    command: [\"api\"]\n    restart:\n      policy: always\n",
            ),
            // None at all is not the same as those that it would have.
            (
                crate::spec::Spec::new("web", ["web"]).groups([""; 0]).bounding_capabilities(["chown"]),
                "    name: web\n    command: [\"web\"]\n    groups: []\n    bounding_capabilities: [\"chown\"]\n",
            ),
        ] {
            let detail = ProcessDetail { spec: Some(crate::rpc::described(&spec)), ..ProcessDetail::default() };
            let sheet = Sheet { paint: Paint::off(), width: None };
            assert_eq!(text(&detail, sheet, NOW, false).split("configuration\n").nth(1), Some(expected));
            assert!(text(&detail, sheet, NOW, true).contains("start_timeout: 1m30s"));
        }
    }

    #[test]
    fn limits_are_told_with_who_sees_to_them() {
        let limit = |limit: &str, value: &str, by: &str, why: Option<&str>| LimitStatus {
            limit: limit.into(),
            value: value.into(),
            enforced_by: by.into(),
            why: why.map(str::to_owned),
        };
        let detail = ProcessDetail {
            limits: vec![
                limit("memory", "512MiB", "cgroup2", None),
                limit("pids", "20", "rlimit", Some("all of its user count")),
                limit("cpu", "1.5", "none", Some("no controller")),
            ],
            ..ProcessDetail::default()
        };
        let text = text(&detail, Sheet { paint: Paint::off(), width: None }, NOW, false);
        let lines: Vec<&str> = text.lines().map(str::trim).skip_while(|line| !line.starts_with("limits")).collect();
        assert!(lines[0].ends_with("  memory 512MiB by cgroup2"), "{text}");
        assert_eq!(lines[1], "pids 20 by rlimit (all of its user count)");
        assert_eq!(lines[2], "cpu 1.5, not enforced (no controller)");
    }

    #[test]
    fn listeners_are_told_with_what_became_of_them() {
        let detail = ProcessDetail {
            process: Some(web()),
            listeners: vec![
                ListenerStatus {
                    name: "http".into(),
                    address: "tcp:127.0.0.1:80".into(),
                    bound: true,
                    ..Default::default()
                },
                ListenerStatus {
                    name: "web".into(),
                    address: "unix:/run/web".into(),
                    bound: false,
                    instances: Some(1),
                    accepted: Some(17),
                },
            ],
            ..ProcessDetail::default()
        };
        let text = text(&detail, Sheet { paint: Paint::off(), width: None }, NOW, false);
        let lines: Vec<&str> = text.lines().map(str::trim).skip_while(|line| !line.starts_with("listens at")).collect();
        assert!(lines[0].ends_with("  tcp:127.0.0.1:80 as http"), "{text}");
        assert_eq!(lines[1], "unix:/run/web, 1 instance, 17 connections so far, not bound");
    }

    #[test]
    fn a_process_with_its_configuration() {
        let hook = |word: &str| Hook { command: vec![word.into(), "a b".into()], ..Hook::default() };
        let spec = Spec {
            name: "web".into(),
            command: vec!["nginx".into(), "-g".into(), "daemon \x1b off;".into()],
            auto_start: Some(true),
            env: [("PORT".into(), "80".into())].into(),
            requires: vec!["db".into()],
            restart: Some(Restart {
                policy: Some("on-failure".into()),
                factor: Some(2.0),
                limit: Some(StartLimit { burst: Some(10), interval: Some(600_000) }),
                ..Restart::default()
            }),
            hooks: Some(Hooks {
                after_start: vec![hook("one"), Hook { r#fn: Some(3), timeout: Some(30_000), ..Hook::default() }],
                ..Hooks::default()
            }),
            ..Spec::default()
        };
        let detail = ProcessDetail {
            process: Some(web()),
            spec: Some(spec),
            file: Some("neap.lua".into()),
            line: Some(9),
            required_by: vec!["shop".into(), "admin".into()],
            ..ProcessDetail::default()
        };
        let expected = r#"web
  id                   5e0c1a52-7d3c-4a3e-9f61-2f9d5c1f0a01
  state                running
  pid                  4711
  health               healthy
  runs                 1
  created              2001-09-06 21:45:00 UTC (2d 4h ago)
  started              2001-09-06 21:46:39 UTC (2d 4h ago)
  in this state since  2001-09-06 21:46:40 UTC (2d 4h ago)
  declared at          neap.lua:9
  required by          shop, admin
  configuration
    name: web
    command: ["nginx", "-g", "daemon \u001b off;"]
    auto_start: true
    env:
      PORT: 80
    requires: ["db"]
    restart:
      policy: on-failure
      factor: 2.0
      limit:
        burst: 10
        interval: 10m
    hooks:
      after_start:
        - command: ["one", "a b"]
        - fn: 3
          timeout: 30s
"#;
        assert_eq!(text(&detail, Sheet { paint: Paint::off(), width: Some(80) }, NOW, true), expected);
    }
}
