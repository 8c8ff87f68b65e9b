//! Whether a start is to be made at all (systemd.unit(5), `Condition…=`).

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::spec::Conditions;

/// Whether the rest of a condition, without its prefixes, is true.
type Check<'a> = &'a dyn Fn(&str) -> bool;

/// The first condition that does not hold, as its key and value; `None` when the start may be made.
///
/// `!` turns a condition round. Of all those with `|`, whatever their key, one is enough. Relative paths start at
/// `base`; variables are the supervisor's own.
pub(crate) fn unmet(conditions: &Conditions, base: &Path, env: &BTreeMap<OsString, OsString>) -> Option<String> {
    let exists = |path: &str| fs::metadata(base.join(path)).is_ok();
    let executable =
        |path: &str| fs::metadata(base.join(path)).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    let not_empty = |path: &str| fs::metadata(base.join(path)).is_ok_and(|m| m.is_file() && m.len() > 0);
    let variable = |text: &str| match text.split_once('=') {
        Some((name, value)) => env.get(OsStr::new(name)).is_some_and(|v| v == OsStr::new(value)),
        None => env.contains_key(OsStr::new(text)),
    };
    let checks: [(&str, &[String], Check<'_>); 4] = [
        ("path_exists", &conditions.path_exists, &exists),
        ("path_executable", &conditions.path_executable, &executable),
        ("file_not_empty", &conditions.file_not_empty, &not_empty),
        ("env", &conditions.env, &variable),
    ];
    let mut alternatives = Vec::new();
    let mut one_holds = false;
    for (key, values, check) in checks {
        for value in values {
            let (alternative, rest) = strip(value, '|');
            let (turned, rest) = strip(rest, '!');
            let holds = check(rest) != turned;
            match (alternative, holds) {
                (true, _) => {
                    one_holds |= holds;
                    alternatives.push(format!("{key} \"{value}\""));
                }
                (false, true) => {}
                (false, false) => return Some(format!("{key} \"{value}\"")),
            }
        }
    }
    (!alternatives.is_empty() && !one_holds).then(|| alternatives.join(" or "))
}

fn strip(text: &str, prefix: char) -> (bool, &str) {
    text.strip_prefix(prefix).map_or((false, text), |rest| (true, rest))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ffi::OsString;
    use std::path::Path;

    use super::unmet;
    use crate::spec::Conditions;

    fn check(conditions: Conditions) -> Option<String> {
        let env: BTreeMap<OsString, OsString> = [("MODE".into(), "prod".into())].into();
        unmet(&conditions, Path::new("/usr"), &env)
    }

    fn list(values: &[&str]) -> Vec<String> {
        values.iter().map(|v| (*v).to_owned()).collect()
    }

    #[test]
    fn each_kind_holds_or_names_itself() {
        let paths = |values: &[&str]| check(Conditions { path_exists: list(values), ..Conditions::default() });
        assert_eq!(paths(&["/proc", "bin", "!/nowhere"]), None);
        assert_eq!(paths(&["/proc", "/nowhere"]).as_deref(), Some("path_exists \"/nowhere\""));
        assert_eq!(paths(&["!/proc"]).as_deref(), Some("path_exists \"!/proc\""));
        let executable = |values: &[&str]| check(Conditions { path_executable: list(values), ..Conditions::default() });
        assert_eq!(executable(&["/bin/sh"]), None);
        assert_eq!(executable(&["/usr"]).as_deref(), Some("path_executable \"/usr\""));
        let full = |values: &[&str]| check(Conditions { file_not_empty: list(values), ..Conditions::default() });
        assert_eq!(full(&["/etc/passwd"]), None);
        assert_eq!(full(&["/dev/null"]).as_deref(), Some("file_not_empty \"/dev/null\""));
        let env = |values: &[&str]| check(Conditions { env: list(values), ..Conditions::default() });
        assert_eq!(env(&["MODE", "MODE=prod", "!MODE=dev", "!OTHER"]), None);
        assert_eq!(env(&["MODE=dev"]).as_deref(), Some("env \"MODE=dev\""));
    }

    #[test]
    fn of_alternatives_one_is_enough_whatever_their_kind() {
        let conditions = |path: &str, env: &str| Conditions {
            path_exists: list(&["/proc", path]),
            env: list(&[env]),
            ..Conditions::default()
        };
        assert_eq!(check(conditions("|/nowhere", "|MODE")), None);
        assert_eq!(check(conditions("|!/nowhere", "|NOTHING")), None);
        let both = check(conditions("|/nowhere", "|NOTHING"));
        assert_eq!(both.as_deref(), Some("path_exists \"|/nowhere\" or env \"|NOTHING\""));
    }
}
