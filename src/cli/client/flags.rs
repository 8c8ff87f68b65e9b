//! Spec keys as flags: `--restart-delay 5s` is `restart = { delay = "5s" }`.
//!
//! The flags are made from the table of keys, so that a key that is added has its flag. What they say goes to the
//! instance as a JSON object with the keys of the Lua table, and is read there, by the reader that reads all else.

mod table;
mod values;

use clap::builder::PossibleValuesParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use serde_json::{Map, Value};

use crate::rpc::proto::v1::Problem;
use table::{Flag, Kind, flags};

/// What the flags of a `create` or an `update` say.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct SpecFlags {
    table: Map<String, Value>,
    /// The key's path of each flag that was given, and the flag as it was written.
    given: Vec<(String, &'static str)>,
}

impl SpecFlags {
    /// Whether none was given.
    pub(super) fn is_empty(&self) -> bool {
        self.given.is_empty()
    }

    /// Whether this key is given, or one below it.
    pub(in crate::cli) fn has(&self, path: &str) -> bool {
        self.given.iter().any(|(given, _)| within(given, path))
    }

    /// Whether this key is given as true.
    pub(super) fn is_true(&self, key: &str) -> bool {
        self.table.get(key) == Some(&Value::Bool(true))
    }

    /// The program and its arguments, which stand behind `--`.
    pub(super) fn command(&mut self, words: &[String]) {
        let words = words.iter().enumerate().map(|(place, word)| match place {
            // One that is named by its path is meant as the shell that it is typed into would find it.
            0 if word.starts_with("./") || word.starts_with("../") => values::absolute(word),
            _ => word.clone(),
        });
        self.table.insert("command".into(), words.map(Value::String).collect());
        self.given.push(("command".into(), "CMD"));
    }

    /// All of it as a JSON object, with the name if it is given.
    pub(super) fn json(&self, name: Option<&str>) -> String {
        let mut table = self.table.clone();
        if let Some(name) = name {
            table.insert("name".into(), Value::String(name.to_owned()));
        }
        Value::Object(table).to_string()
    }

    /// The flag that gave what a problem is about.
    fn flag_of(&self, field: &str) -> Option<&'static str> {
        let above = self.given.iter().filter(|(path, _)| within(field, path)).max_by_key(|(path, _)| path.len());
        // Of a table's own problems the first of its keys speaks: what it is comes before how.
        above.or_else(|| self.given.iter().find(|(path, _)| within(path, field))).map(|(_, flag)| *flag)
    }

    /// A problem as whoever typed the flags understands it.
    pub(super) fn explain(&self, problem: &Problem) -> String {
        let field = problem.field.as_deref().unwrap_or_default();
        match self.flag_of(field).filter(|_| !field.is_empty()) {
            Some("CMD") => format!("the command: {}", problem.message),
            Some(flag) => format!("--{flag}: {}", problem.message),
            None if field.is_empty() => problem.message.clone(),
            None => format!("{field}: {}", problem.message),
        }
    }
}

/// Whether a path is another one, or one below it: `env.PORT` and `requires[2]` are.
fn within(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

impl FromArgMatches for SpecFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut all = SpecFlags::default();
        all.update_from_arg_matches(matches)?;
        Ok(all)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for flag in flags() {
            let Some(texts) = matches.get_many::<String>(&flag.long) else { continue };
            let texts: Vec<&str> = texts.map(String::as_str).collect();
            if flag.is_absent(&texts) {
                continue;
            }
            if let Some((_, other)) = self.given.iter().find(|(path, _)| *path == flag.path) {
                let text = format!("--{} and --{other} are the same, and only one of them can be given", flag.long);
                return Err(clap::Error::raw(ErrorKind::ArgumentConflict, text));
            }
            let value = values::value(flag, &texts)
                .map_err(|error| clap::Error::raw(ErrorKind::ValueValidation, format!("--{}: {error}", flag.long)))?;
            values::put(&mut self.table, &flag.path, value);
            self.given.push((flag.path.clone(), &flag.long));
        }
        values::settle(&mut self.table);
        Ok(())
    }
}

impl Args for SpecFlags {
    fn augment_args(command: Command) -> Command {
        flags().iter().fold(command, |command, flag| command.arg(arg(flag)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn arg(flag: &'static Flag) -> Arg {
    let arg = Arg::new(flag.long.as_str()).long(flag.long.as_str()).help(flag.help.as_str());
    let arg = arg
        .help_heading(flag.heading.as_str())
        .hide(flag.hidden)
        .hide_possible_values(flag.kind == Kind::Bool)
        .value_name(flag.value_name);
    let arg = match flag.kind {
        Kind::Bool => {
            arg.num_args(0..=1).require_equals(true).default_missing_value("true").value_parser(["true", "false"])
        }
        Kind::BoolOrNumber => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
        Kind::Number => arg.allow_negative_numbers(true),
        // An environment file that may be missing, and words for somebody else.
        Kind::Paths | Kind::Words => arg.allow_hyphen_values(true),
        _ => arg,
    };
    let arg = if flag.words.is_empty() {
        arg
    } else {
        arg.value_parser(PossibleValuesParser::new(flag.words.iter().copied()))
    };
    arg.action(if flag.kind.repeats() { ArgAction::Append } else { ArgAction::Set })
}

#[cfg(test)]
mod tests;
