//! Which functions only look, and which change something: the one list.

use mlua::Lua;

use crate::lua::evaluation::Evaluation;
use crate::lua::problem::misuse;

/// What a function does to the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Does {
    /// It looks, computes, or declares while the configuration is evaluated.
    Look,
    /// It changes something: a read-only session refuses it, and a line that calls it is told as an event.
    Change,
    /// It depends on what it is given.
    Either,
}

/// Every function that scripts get, by the names that messages use. A function that is missing here fails a test.
pub(crate) const EFFECTS: &[(&str, Does)] = &[
    ("neap.process", Does::Change),
    ("neap.template", Does::Look),
    ("neap.defaults", Does::Look),
    ("neap.group", Does::Look),
    ("neap.http", Does::Look),
    ("neap.tcp", Does::Look),
    ("neap.exec", Does::Look),
    ("neap.logline", Does::Look),
    ("neap.check", Does::Look),
    ("neap.listen", Does::Look),
    ("neap.on", Does::Look),
    ("neap.every", Does::Look),
    ("neap.path", Does::Look),
    ("neap.env", Does::Look),
    ("neap.profile", Does::Look),
    ("neap.read", Does::Look),
    ("neap.glob", Does::Look),
    ("neap.yaml", Does::Look),
    ("neap.secret", Does::Look),
    ("neap.settings", Does::Look),
    ("neap.list", Does::Look),
    ("neap.get", Does::Look),
    ("neap.events", Does::Look),
    ("neap.plan", Does::Look),
    ("neap.apply", Does::Change),
    ("neap.fetch", Does::Either),
    ("neap.capture", Does::Change),
    ("process:start", Does::Change),
    ("process:stop", Does::Change),
    ("process:restart", Does::Change),
    ("process:reload", Does::Change),
    ("process:signal", Does::Change),
    ("process:update", Does::Change),
    ("process:delete", Does::Change),
    ("process:status", Does::Look),
    ("process:describe", Does::Look),
    ("process:stats", Does::Look),
    ("process:logs", Does::Look),
    ("process:why", Does::Look),
    ("process:wait", Does::Look),
    ("group:start", Does::Change),
    ("group:stop", Does::Change),
    ("group:restart", Does::Change),
    ("group:members", Does::Look),
];

/// To be called by every function that changes something, before it does. `what` is its name as messages use it.
pub(super) fn changes(lua: &Lua, what: &str) -> mlua::Result<()> {
    debug_assert!(EFFECTS.iter().any(|(name, does)| *name == what && *does != Does::Look), "{what} is to be listed");
    let Some(acting) = Evaluation::host(lua)?.acting() else { return Ok(()) };
    if acting.read_only {
        return Err(misuse(lua, format!("{what} changes something, and this session only looks (it is read-only)")));
    }
    acting.changed.store(true, std::sync::atomic::Ordering::Relaxed);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::EFFECTS;
    use crate::lua::api::METHODS;
    use crate::lua::host::Host;
    use crate::lua::sandbox;

    #[test]
    fn every_function_of_the_module_and_of_handles_says_what_it_does() {
        let lua = sandbox::new_state(&Host::for_tests()).unwrap();
        let names = "local names = {} for name, value in pairs(require 'neap') do
            if type(value) == 'function' then names[#names + 1] = 'neap.' .. name end end return names";
        let names: Vec<String> = lua.load(names).eval().unwrap();
        assert!(names.len() > 20);
        let methods = METHODS.iter().filter(|name| **name != "name").map(|name| format!("process:{name}"));
        let there: BTreeSet<String> = names.into_iter().chain(methods).collect();
        let listed: BTreeSet<String> =
            EFFECTS.iter().map(|(name, _)| (*name).to_owned()).filter(|name| !name.starts_with("group:")).collect();
        assert_eq!(there, listed, "EFFECTS and the module disagree");
    }
}
