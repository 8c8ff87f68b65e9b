//! Which flags there are: one for each key of the table, and those of the older system.

use std::sync::LazyLock;

use crate::spec::schema::{ALIASES, Availability, EXEC, HTTP, Key, OLDER_NAMES, PACE, RLIMITS, SPEC, TCP, Table};

/// What the text of a flag becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text as it stands.
    Text,
    /// A path, from here; `inherit` and the like are words.
    Path,
    /// True or false; true when it stands alone.
    Bool,
    /// True, false or a number; true when it stands alone.
    BoolOrNumber,
    /// A number where it is one, else text: durations, sizes, signals.
    Number,
    /// Several, by commas or by saying it again.
    List,
    /// Several texts, by saying it again.
    Texts,
    /// Several paths, by saying it again, each with the marks that its key knows before it.
    Paths,
    /// A command, split like a shell would.
    Command,
    /// Several commands, by saying it again.
    Commands,
    /// Words that are added to a command, by saying it again.
    Words,
    /// `NAME=value`, by saying it again.
    Variables,
    /// `Name: value`, by saying it again.
    Headers,
    /// `INT:5s,TERM:10s`.
    Steps,
    /// A number, `infinity`, or `soft:hard`.
    Rlimit,
    /// A port, or a host and a port.
    Address,
    /// A time that 0 puts no end to, as the older client had it.
    Limit,
    /// Cores, as a limit; a bare number from 100 on is thousandths of one.
    CpuLimit,
    /// The same, as a weight: 100 for a core.
    CpuRequest,
}

/// Older spellings that say nothing with 0, as to the older system 0 was what is not given.
const ABSENT_AT_ZERO: [&str; 9] = [
    "timeout-stop",
    "timeout-stop-sec",
    "restart-max",
    "restart-max-delay-sec",
    "health-check-expected-status",
    "health-check-http-status",
    "health-check-interval",
    "health-check-timeout",
    "health-check-retries",
];

impl Kind {
    pub(super) fn repeats(self) -> bool {
        use Kind::{Commands, Headers, List, Paths, Texts, Variables, Words};
        matches!(self, List | Texts | Paths | Commands | Words | Variables | Headers)
    }
}

/// One flag.
#[derive(Debug)]
pub(super) struct Flag {
    /// Its name, without the dashes.
    pub(super) long: String,
    /// The key that it gives.
    pub(super) path: String,
    pub(super) kind: Kind,
    pub(super) help: String,
    pub(super) heading: String,
    pub(super) value_name: &'static str,
    /// The only words that it takes; any when empty.
    pub(super) words: Vec<&'static str>,
    /// Whether the help leaves it out.
    pub(super) hidden: bool,
}

impl Flag {
    /// Whether these texts of it say no more than if it were not there.
    pub(super) fn is_absent(&self, texts: &[&str]) -> bool {
        texts.iter().all(|text| *text == "0") && ABSENT_AT_ZERO.contains(&self.long.as_str())
    }
}

/// Keys that have no flag, and why.
#[cfg(test)]
pub(super) const WITHOUT: [(&str, &str); 5] = [
    ("command", "stands behind `--`"),
    ("args", "stand behind `--`, after the program"),
    ("conditions.check", "is a function"),
    ("ready.fn", "is a function"),
    ("health.fn", "is a function"),
];

/// The older system's spellings that are flags only, and the keys that they are; the others are [`OLDER_NAMES`].
#[rustfmt::skip]
pub(super) const OLDER: [(&str, &str); 27] = [
    ("restart-max", "restart.max_delay"),
    ("health-check-type", "health.type"),
    ("health-check-endpoint", "health.url"),
    ("health-check-method", "health.method"),
    ("health-check-expected-status", "health.expected_status"),
    ("health-check-host", "health.host"),
    ("health-check-port", "health.port"),
    ("health-check-command", "health.command"),
    ("health-check-args", "health.args"),
    ("health-check-http-endpoint", "health.url"),
    ("health-check-http-method", "health.method"),
    ("health-check-http-status", "health.expected_status"),
    ("health-check-tcp-host", "health.host"),
    ("health-check-tcp-port", "health.port"),
    ("health-check-exec-command", "health.command"),
    ("health-check-exec-arg", "health.args"),
    ("health-check-interval", "health.interval"),
    ("health-check-timeout", "health.timeout"),
    ("health-check-retries", "health.retries"),
    ("health-check-start-period", "health.start_period"),
    ("health-check-restart-after", "health.restart_after"),
    ("cpu-request", "limits.cpu_weight"),
    ("cpu-limit", "limits.cpu"),
    ("memory-request", "limits.memory_low"),
    ("memory-limit", "limits.memory"),
    ("pids-limit", "limits.pids"),
    ("oom-score-adj", "limits.oom_score_adj"),
];

/// All flags, once they were made.
pub(super) fn flags() -> &'static [Flag] {
    static FLAGS: LazyLock<Vec<Flag>> = LazyLock::new(make);
    &FLAGS
}

fn make() -> Vec<Flag> {
    let mut flags = Vec::new();
    for key in SPEC.own {
        below(&mut flags, "", key);
    }
    // Of programs' JSON alone: where Lua has `neap.secret`.
    let secret = "Variables of `env` whose values nobody is shown".to_owned();
    let at = flags.iter().position(|flag| flag.path == "env").map_or(flags.len(), |place| place + 1);
    flags.insert(
        at,
        Flag {
            long: "secret-env".into(),
            path: "secret_env".into(),
            kind: Kind::List,
            help: secret,
            heading: "What it is".into(),
            value_name: "VARIABLE,…",
            words: Vec::new(),
            hidden: false,
        },
    );
    for (prefix, what) in [("ready", "ready"), ("health", "health check")] {
        probe(&mut flags, prefix, what);
    }
    let keys = OLDER_NAMES.iter().map(|(name, path)| (name.replace('_', "-"), *path));
    let older = keys.chain(OLDER.iter().map(|(long, path)| ((*long).to_owned(), *path)));
    let older: Vec<Flag> = older.filter_map(|(long, path)| alias(&flags, &long, path)).collect();
    // Some of the older spellings are what the keys are called here, too.
    let older = older.into_iter().filter(|alias| flags.iter().all(|flag| flag.long != alias.long)).collect::<Vec<_>>();
    flags.extend(older);
    flags
}

/// The flags of a key, and of the keys of its table.
fn below(flags: &mut Vec<Flag>, prefix: &str, key: &'static Key) {
    let path = if prefix.is_empty() { key.name.to_owned() } else { format!("{prefix}.{}", key.name) };
    match key.table {
        Some(table) => {
            for key in table.own {
                match std::ptr::eq(table, &RLIMITS) {
                    true => flags.push(flag(format!("{path}.{}", key.name), key, Kind::Rlimit)),
                    false => below(flags, &path, key),
                }
            }
        }
        None => flags.extend(kind(&path, key).map(|kind| flag(path, key, kind))),
    }
}

fn flag(path: String, key: &'static Key, kind: Kind) -> Flag {
    // The policy is what `restart` is mostly given for, and how the older system has it.
    let long = if path == "restart.policy" { "restart".to_owned() } else { path.replace(['.', '_'], "-") };
    let heading = match path.split_once('.') {
        Some((table, _)) => format!("{}{}", table[..1].to_uppercase(), &table[1..]),
        None => "What it is".to_owned(),
    };
    let words = words(key.lua);
    let hidden = matches!(key.availability, Availability::Later(_));
    Flag { long, kind, help: help(key.doc), heading, value_name: value_name(key, kind), words, hidden, path }
}

/// What a flag's text becomes, from its key's type; nothing for what no text can say.
fn kind(path: &str, key: &Key) -> Option<Kind> {
    const PATHS: [&str; 7] = [
        "working_dir",
        "pidfile",
        "log.file",
        "listen.unix",
        "listen.unix_dgram",
        "listen.unix_seqpacket",
        "listen.fifo",
    ];
    Some(match key.lua {
        "boolean" => Kind::Bool,
        "boolean|integer" => Kind::BoolOrNumber,
        "string" if PATHS.contains(&path) => Kind::Path,
        "string" | "neap.Mode" => Kind::Text,
        "neap.Stream" => Kind::Path,
        "neap.Command" if path == "command" => return None,
        "neap.Command" => Kind::Command,
        "neap.Hook|neap.Hook[]" => Kind::Commands,
        "neap.StopStep[]" => Kind::Steps,
        "neap.Signal" | "neap.Duration" | "neap.Size" => Kind::Number,
        "neap.Names" | "(string|integer)[]" | "integer|string|(integer|string)[]" => Kind::List,
        "string|string[]" if path.ends_with("_capabilities") => Kind::List,
        "string|string[]" if path == "conditions.env" => Kind::Texts,
        "string|neap.Directory|(string|neap.Directory)[]" => Kind::Texts,
        "string|string[]" | "string|(string|neap.EnvFile)[]" => Kind::Paths,
        "string[]" => return None,
        lua if lua.starts_with("table<") => {
            if path == "env" {
                Kind::Variables
            } else {
                Kind::Headers
            }
        }
        "integer" | "number" | "number|string" | "string|integer" => Kind::Number,
        _ if !words(key.lua).is_empty() => Kind::Text,
        _ => return None,
    })
}

/// The words that a type consists of; nothing when it takes anything else.
fn words(lua: &'static str) -> Vec<&'static str> {
    let lua = ALIASES.iter().find(|alias| alias.name == lua).map_or(lua, |alias| alias.lua);
    let words: Option<Vec<&str>> = lua.split('|').map(|word| word.strip_prefix('"')?.strip_suffix('"')).collect();
    words.unwrap_or_default()
}

fn value_name(key: &Key, kind: Kind) -> &'static str {
    match (kind, key.lua) {
        (Kind::Bool, _) => "true|false",
        (Kind::BoolOrNumber, _) => "true|false|N",
        (Kind::Path | Kind::Paths, _) => "PATH",
        (Kind::Number, "neap.Duration") => "DURATION",
        (Kind::Number, "neap.Size") => "SIZE",
        (Kind::Number, "neap.Signal") => "SIGNAL",
        (Kind::Number, "number|string") => "CORES",
        (Kind::Number, "string|integer") if matches!(key.name, "tcp" | "udp") => "[HOST:]PORT",
        (Kind::Number, "string|integer") => "NAME|ID",
        (Kind::Limit, _) => "DURATION",
        (Kind::Number | Kind::CpuLimit | Kind::CpuRequest, _) => "N",
        (Kind::List, "neap.Names") => "NAME,…",
        (Kind::List, "(string|integer)[]") => "NAME|ID,…",
        (Kind::List, "integer|string|(integer|string)[]") => "CODE,…",
        (Kind::List, _) => "CAP,…",
        (Kind::Command | Kind::Commands, _) => "CMD",
        (Kind::Words, _) => "WORD",
        (Kind::Variables, _) => "NAME=VALUE",
        (Kind::Headers, _) => "NAME: VALUE",
        (Kind::Steps, _) => "SIGNAL:DURATION,…",
        (Kind::Rlimit, _) => "N|SOFT:HARD",
        (Kind::Address, _) => "[HOST:]PORT",
        (Kind::Text, "neap.Mode") => "MODE",
        (Kind::Text, "neap.Policy") => "POLICY",
        (Kind::Text, lua) if lua.starts_with('"') => "WORD",
        (Kind::Texts, lua) if lua.contains("neap.Directory") => "NAME",
        (Kind::Text | Kind::Texts, _) => "TEXT",
    }
}

/// A key's sentence as a flag's: without its end, and without the defaults of configurations, which are others.
fn help(doc: &str) -> String {
    let mut text = doc.trim_end_matches('.').to_owned();
    if let Some(at) = text.find(" (")
        && let Some(end) = text[at..].find(')')
        && text[at..at + end].contains("unless given")
    {
        text.replace_range(at..=at + end, "");
    }
    text
}

/// The flags of a probe: what it does in one flag each, and the keys of the constructors.
fn probe(flags: &mut Vec<Flag>, prefix: &'static str, what: &str) {
    let heading = format!("{}{}", prefix[..1].to_uppercase(), &prefix[1..]);
    let mut own = |name: &str, path: &str, kind, value_name, help: String| {
        let (long, path) = (format!("{prefix}{name}"), format!("{prefix}{path}"));
        let heading = heading.clone();
        flags.push(Flag { long, path, kind, help, heading, value_name, words: Vec::new(), hidden: false });
    };
    if prefix == "ready" {
        own(
            "",
            "",
            Kind::Text,
            "notify|health|executed",
            "What makes it ready, when it is none of the following".into(),
        );
        own("-logline", ".pattern", Kind::Text, "PATTERN", "Ready by a line of its output that matches".into());
    }
    own("-http", ".url", Kind::Text, "URL", format!("{}: a request that is answered as expected", upper(what)));
    own("-tcp", ".port", Kind::Address, "[HOST:]PORT", format!("{}: a connection that is accepted", upper(what)));
    own("-exec", ".command", Kind::Command, "CMD", format!("{}: a command that exits with 0", upper(what)));
    own("-type", ".type", Kind::Text, "KIND", "http, tcp, exec or logline, where its keys leave that open".into());
    if let Some(last) = flags.last_mut() {
        last.hidden = true;
    }
    let tables: [&Table; 4] = [&HTTP, &TCP, &EXEC, &PACE];
    for key in tables.into_iter().flat_map(|table| table.own) {
        let path = format!("{prefix}.{}", key.name);
        let health_only = key.doc.ends_with("(health only).");
        let Some(kind) = kind(&path, key).filter(|_| prefix == "health" || !health_only) else { continue };
        let mut flag = flag(path, key, if key.name == "expected_status" { Kind::List } else { kind });
        flag.help = flag.help.trim_end_matches(" (health only)").to_owned();
        // They have a flag by the constructor's name already.
        flag.hidden = ["url", "host", "port", "command"].contains(&key.name);
        flags.push(flag);
    }
}

fn upper(text: &str) -> String {
    format!("{}{}", text[..1].to_uppercase(), &text[1..])
}

/// The same flag by the name that the older system has for it.
fn alias(flags: &[Flag], long: &str, path: &str) -> Option<Flag> {
    let args = "health.args";
    let key = flags.iter().rfind(|flag| flag.path == if path == args { "health.command" } else { path })?;
    let kind = match long {
        "cpu-limit" => Kind::CpuLimit,
        "cpu-request" => Kind::CpuRequest,
        "timeout-start" | "timeout-start-sec" => Kind::Limit,
        "health-check-args" | "health-check-exec-arg" => Kind::Words,
        // Split only where no arguments are given.
        "health-check-command" | "health-check-exec-command" => Kind::Text,
        _ => key.kind,
    };
    Some(Flag {
        long: long.to_owned(),
        path: path.to_owned(),
        kind,
        help: key.help.clone(),
        heading: key.heading.clone(),
        value_name: key.value_name,
        words: key.words.clone(),
        hidden: true,
    })
}
