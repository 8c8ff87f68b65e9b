//! The one table of spec keys: what each is, what it means, when a change of it takes effect, and whether it is there.
//!
//! The reader checks keys against it, the Lua types are written from it, and the difference between two specs is
//! taken by it, so that these cannot disagree.

mod fields;
mod keys;
mod nearest;
mod older;
mod probes;

use std::fmt;

pub use keys::{
    ALIASES, CONDITIONS, DIRECTORY, ENV_FILE, HOOK, HOOKS, LIMITS, LISTEN, LOG, RELOAD, RESTART, RLIMIT, RLIMITS, SPEC,
    START_LIMIT, STOP, STOP_STEP,
};
pub use nearest::nearest;
pub use older::{OLDER_NAMES, OLDER_TABLES};
pub use probes::{CHECK, EXEC, HTTP, LOGLINE, PACE, TCP};

use super::process::Spec;

/// How a change of a key takes effect on a process that is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Effect {
    /// At once, or the next time that it is looked at. The run goes on.
    Live,
    /// Once the process was told to read its configuration again.
    Reload,
    /// With the next run.
    Restart,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Effect::Live => "live",
            Effect::Reload => "reload",
            Effect::Restart => "restart",
        })
    }
}

/// Whether a key does anything in this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// It does what it says.
    Now,
    /// It is refused; this is what it waits for.
    Later(&'static str),
}

/// One key of a table.
#[derive(Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// Its type as LuaLS writes it; names from `neap.` on are those of [`TABLES`] and [`ALIASES`].
    pub lua: &'static str,
    /// What it means, in one sentence.
    pub doc: &'static str,
    /// How a change takes effect.
    pub effect: Effect,
    /// Whether it does anything.
    pub availability: Availability,
    /// The keys of its table, when it takes one.
    pub table: Option<&'static Table>,
    access: Option<Access>,
}

/// How a key's value is compared and copied.
#[derive(Clone, Copy)]
struct Access {
    same: fn(&Spec, &Spec) -> bool,
    copy: fn(&mut Spec, &Spec),
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Access")
    }
}

impl Key {
    const fn new(name: &'static str, lua: &'static str, effect: Effect, doc: &'static str) -> Key {
        Key { name, lua, doc, effect, availability: Availability::Now, table: None, access: None }
    }

    const fn live(name: &'static str, lua: &'static str, doc: &'static str) -> Key {
        Key::new(name, lua, Effect::Live, doc)
    }

    const fn reload(name: &'static str, lua: &'static str, doc: &'static str) -> Key {
        Key::new(name, lua, Effect::Reload, doc)
    }

    const fn restart(name: &'static str, lua: &'static str, doc: &'static str) -> Key {
        Key::new(name, lua, Effect::Restart, doc)
    }

    const fn later(mut self, waits_for: &'static str) -> Key {
        self.availability = Availability::Later(waits_for);
        self
    }

    const fn table(mut self, table: &'static Table) -> Key {
        self.table = Some(table);
        self
    }

    const fn of(mut self, access: Access) -> Key {
        self.access = Some(access);
        self
    }
}

/// The keys that a table may have.
#[derive(Debug)]
pub struct Table {
    /// Its class for LuaLS.
    pub name: &'static str,
    /// What it is, in one sentence.
    pub doc: &'static str,
    /// Its own keys.
    pub own: &'static [Key],
    /// A table whose keys it has as well.
    pub parent: Option<&'static Table>,
    /// The key that a value without a name stands for: `neap.check { function() … end }`.
    pub positional: Option<&'static str>,
}

impl Table {
    const fn new(name: &'static str, doc: &'static str, own: &'static [Key]) -> Table {
        Table { name, doc, own, parent: None, positional: None }
    }

    const fn with(mut self, parent: &'static Table) -> Table {
        self.parent = Some(parent);
        self
    }

    const fn positional(mut self, key: &'static str) -> Table {
        self.positional = Some(key);
        self
    }

    /// All its keys: its own, then its parent's.
    pub fn keys(&self) -> impl Iterator<Item = &'static Key> {
        self.own.iter().chain(self.parent.map_or(&[][..], |parent| parent.own))
    }

    /// The key of this name.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys().find(|key| key.name == name)
    }
}

/// A named type for LuaLS that is not a table.
#[derive(Debug)]
pub struct Alias {
    /// Its name.
    pub name: &'static str,
    /// What it stands for.
    pub lua: &'static str,
    /// What it is, in one sentence.
    pub doc: &'static str,
}

/// Every table: the spec's, those nested in it, and those of the constructors.
pub static TABLES: [&Table; 22] = [
    &SPEC,
    &RESTART,
    &START_LIMIT,
    &STOP,
    &STOP_STEP,
    &RELOAD,
    &HOOKS,
    &HOOK,
    &CONDITIONS,
    &LIMITS,
    &RLIMITS,
    &RLIMIT,
    &LOG,
    &LISTEN,
    &PACE,
    &HTTP,
    &TCP,
    &EXEC,
    &LOGLINE,
    &CHECK,
    &ENV_FILE,
    &DIRECTORY,
];

/// The table that a constructor (`neap.http`, `neap.listen`, …) takes, by the constructor's name.
pub fn constructor(kind: &str) -> Option<&'static Table> {
    Some(match kind {
        "http" => &HTTP,
        "tcp" => &TCP,
        "exec" => &EXEC,
        "logline" => &LOGLINE,
        "check" => &CHECK,
        "listen" => &LISTEN,
        _ => return None,
    })
}

/// A key whose value differs between two specs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    /// Its path (`restart.delay`).
    pub path: String,
    /// How the change takes effect.
    pub effect: Effect,
}

/// The keys in which two specs differ, in the order of the table.
///
/// Functions are never a difference: those of the newer generation take the place of the older ones, so a spec without
/// a change here may still carry other function ids, and [`Spec::with_live_fields_of`] brings them over. Neither are
/// names, and the places where specs were declared.
pub fn changed_fields(old: &Spec, new: &Spec) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    visit(&SPEC, None, &mut |path, key, access| {
        if !(access.same)(old, new) {
            changes.push(FieldChange { path: path.to_string(), effect: key.effect });
        }
    });
    changes
}

/// A key's path, as text only for whoever wants to see it: most comparisons find no difference.
#[derive(Clone, Copy)]
struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    name: &'static str,
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            write!(f, "{parent}.")?;
        }
        f.write_str(self.name)
    }
}

/// Calls for each key that has a value of its own, with its path.
fn visit(table: &'static Table, parent: Option<&Path<'_>>, call: &mut impl FnMut(&Path<'_>, &'static Key, Access)) {
    for key in table.own {
        let path = Path { parent, name: key.name };
        match (key.access, key.table) {
            (Some(access), _) => call(&path, key, access),
            (None, Some(nested)) => visit(nested, Some(&path), call),
            (None, None) => {}
        }
    }
}

impl Spec {
    /// This run's spec with everything that takes effect at once taken from a newer one, functions included.
    ///
    /// For a run that goes on under a changed spec: what it was executed with stays, and the rest is as declared now.
    pub fn with_live_fields_of(&self, newer: &Spec) -> Spec {
        let mut spec = self.clone();
        visit(&SPEC, None, &mut |_, key, access| {
            if key.effect == Effect::Live {
                (access.copy)(&mut spec, newer);
            }
        });
        spec.source = newer.source.clone();
        spec
    }
}

#[cfg(test)]
mod tests;
