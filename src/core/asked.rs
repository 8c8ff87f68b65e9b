//! Who asked for what: commands as causes.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::event::Cause;
use super::ids::CommandId;
use super::input::Command;

/// A command that somebody gave. It is recorded with what it brought about, so that it is known for as long as that
/// lasts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Recorded")]
pub struct Asked {
    /// Its number, which tells it from others that the same supervisor was given.
    pub id: CommandId,
    /// What was asked; `None` when an older version recorded it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub what: Option<Verb>,
    /// Who asked, in words: "user root (uid 0), pid 4711".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Arc<str>>,
}

/// What may be asked, by its name alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each is the command of that name")]
pub enum Verb {
    Create,
    Start,
    Stop,
    Restart,
    Reload,
    Signal,
    Update,
    Delete,
    Apply,
    Shutdown,
}

impl Verb {
    /// What this command asks.
    pub(super) fn of(command: &Command) -> Verb {
        match command {
            Command::Create { .. } => Verb::Create,
            Command::Start(_) => Verb::Start,
            Command::Stop(_) => Verb::Stop,
            Command::Restart(_) => Verb::Restart,
            Command::Reload(_) => Verb::Reload,
            Command::Signal(..) => Verb::Signal,
            Command::Update { .. } => Verb::Update,
            Command::Delete { .. } => Verb::Delete,
            Command::Apply(_) => Verb::Apply,
            Command::Shutdown => Verb::Shutdown,
        }
    }

    /// The word for it, as the command line has it (`down` for a shutdown).
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Create => "create",
            Verb::Start => "start",
            Verb::Stop => "stop",
            Verb::Restart => "restart",
            Verb::Reload => "reload",
            Verb::Signal => "signal",
            Verb::Update => "update",
            Verb::Delete => "delete",
            Verb::Apply => "apply",
            Verb::Shutdown => "down",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A record's form of it: once there was only the number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Recorded {
    Number(CommandId),
    Whole {
        id: CommandId,
        #[serde(default)]
        what: Option<Verb>,
        #[serde(default)]
        by: Option<Arc<str>>,
    },
}

impl From<Recorded> for Asked {
    fn from(recorded: Recorded) -> Asked {
        match recorded {
            Recorded::Number(id) => Asked { id, what: None, by: None },
            Recorded::Whole { id, what, by } => Asked { id, what, by },
        }
    }
}

/// Who asked for what goes on.
#[derive(Debug, Default)]
pub(super) struct Askers {
    /// The command that is being carried out, or was the last.
    pub(super) now: Option<Asked>,
    /// Whoever had the plan applied that is in force.
    pub(super) applied: Option<Arc<str>>,
    /// Whoever had the instance shut down.
    pub(super) shutdown: Option<Arc<str>>,
}

impl Askers {
    /// Who asked for what has this cause.
    pub(super) fn of(&self, cause: &Cause) -> Option<Arc<str>> {
        match cause {
            Cause::Command(asked) => asked.by.clone(),
            Cause::Apply => self.applied.clone(),
            Cause::Shutdown => self.shutdown.clone(),
            // What a command brings about at once, through others.
            Cause::Relation(..) | Cause::AutoStart => self.now.as_ref().and_then(|asked| asked.by.clone()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Asked, Verb};
    use crate::core::{Cause, CommandId};

    #[test]
    fn a_cause_is_read_back_from_its_record_and_from_an_older_one() {
        let asked = Asked { id: CommandId(3), what: Some(Verb::Stop), by: Some("user root (uid 0)".into()) };
        let text = serde_json::to_string(&Cause::Command(asked.clone())).unwrap();
        assert_eq!(text, r#"{"command":{"id":3,"what":"stop","by":"user root (uid 0)"}}"#);
        assert_eq!(serde_json::from_str::<Cause>(&text).unwrap(), Cause::Command(asked));
        let older: Cause = serde_json::from_str(r#"{"command":3}"#).unwrap();
        assert_eq!(older, Cause::Command(Asked { id: CommandId(3), what: None, by: None }));
    }
}
