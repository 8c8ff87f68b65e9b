//! Values that stand in a part of a file that is somebody else's.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Messages that say no value, wherever it is from.
const WITHOUT_VALUES: [&str; 4] = ["there is no such key", "needs ", "is given twice", "is the same as "];

/// Fields whose values an alias or a merge took from another program's part of the file: by their paths as the user wrote
/// them, each with the line that the value stands on. Such a value may be a secret, so messages say where it is from and
/// not what it is. Nearly all specs have none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Elsewhere(Option<Arc<BTreeMap<String, u32>>>);

impl Elsewhere {
    /// Remembers where the value of a field is from.
    #[cfg(feature = "yaml")]
    pub(crate) fn insert(&mut self, path: &str, line: u32) {
        self.lines().insert(path.to_owned(), line);
    }

    /// Adds the fields of another.
    #[cfg(feature = "yaml")]
    pub(crate) fn extend(&mut self, other: &Elsewhere) {
        if let Some(lines) = &other.0 {
            self.lines().extend(lines.iter().map(|(path, line)| (path.clone(), *line)));
        }
    }

    /// Forgets all of them.
    #[cfg(feature = "yaml")]
    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }

    #[cfg(feature = "yaml")]
    fn lines(&mut self) -> &mut BTreeMap<String, u32> {
        Arc::make_mut(self.0.get_or_insert_default())
    }

    /// The line that the value of this field, or a part of it, or what it is a part of, is from.
    pub(crate) fn line_of(&self, path: &str) -> Option<u32> {
        let lines = self.0.as_ref()?;
        let mut end = path.len();
        while end > 0 {
            if let Some(line) = lines.get(&path[..end]) {
                return Some(*line);
            }
            end = path[..end].rfind(['.', '[']).unwrap_or(0);
        }
        [".", "["].into_iter().find_map(|separator| {
            let below = format!("{path}{separator}");
            let (first, line) = lines.range(below.clone()..).next()?;
            first.starts_with(&below).then_some(*line)
        })
    }

    /// What is said of a field: of the value only where it is from, if that is not ours.
    pub(crate) fn told(&self, path: &str, message: String) -> String {
        let Some(line) = self.line_of(path) else { return message };
        if WITHOUT_VALUES.iter().any(|said| message.starts_with(said)) {
            return message;
        }
        let from = format!("the value is from line {line}, below another key than ours, so it is not shown");
        match message.strip_prefix("expected ").and_then(|rest| rest.split_once(", found ")) {
            Some((what, _)) => format!("expected {what}; {from}"),
            None => format!("is not right; {from}"),
        }
    }
}

#[cfg(all(test, feature = "yaml"))]
mod tests {
    use super::Elsewhere;

    #[test]
    fn what_is_said_of_a_value_from_elsewhere_names_its_line_and_not_the_value() {
        let mut elsewhere = Elsewhere::default();
        elsewhere.insert("timeout_stop_sec", 3);
        elsewhere.insert("env.KEY", 4);
        elsewhere.insert("command[2]", 5);
        let told = |path, message: &str| elsewhere.told(path, message.to_owned());
        let from = |line| format!("the value is from line {line}, below another key than ours, so it is not shown");
        assert_eq!(
            told("timeout_stop_sec", "expected a time, found \"S\", found"),
            format!("expected a time; {}", from(3))
        );
        assert_eq!(told("env.KEY", "\"S\" is too long"), format!("is not right; {}", from(4)));
        // A part of it, and what it is a part of.
        assert_eq!(told("command", "no program \"S\""), format!("is not right; {}", from(5)));
        assert_eq!(told("env.KEY[1].x", "S"), format!("is not right; {}", from(4)));
        for (path, message) in [("env.KEYS", "S"), ("env.K", "S"), ("", "S"), ("env.KEY", "there is no such key")] {
            assert_eq!(told(path, message), message);
        }
    }
}
