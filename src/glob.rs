//! Names chosen by globs.

/// Whether this is a glob rather than a name.
pub(crate) fn is_glob(name: &str) -> bool {
    name.contains(['*', '?'])
}

/// Whether the name matches the glob: `*` is any run of characters, `?` any one.
pub(crate) fn glob_matches(glob: &str, name: &str) -> bool {
    let (glob, name): (Vec<char>, Vec<char>) = (glob.chars().collect(), name.chars().collect());
    let (mut g, mut n) = (0, 0);
    // Where the last star was, and how much of the name it has taken: linear in the product, never more.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match glob.get(g) {
            Some('*') => {
                star = Some((g, n));
                g += 1;
            }
            Some(c) if *c == '?' || name.get(n) == Some(c) => {
                g += 1;
                n += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    g = at + 1;
                    n = taken + 1;
                }
                None => return false,
            },
        }
    }
    glob.get(g..).is_some_and(|rest| rest.iter().all(|c| *c == '*'))
}

#[cfg(test)]
mod tests {
    use super::glob_matches;

    #[test]
    fn a_glob_is_stars_and_marks() {
        for (glob, name, expected) in [
            ("web", "web", true),
            ("web", "web2", false),
            ("web*", "web-2", true),
            ("*", "anything", true),
            ("w?b", "web", true),
            ("w?b", "wb", false),
            ("*-2", "web-1-2", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b", false),
            ("", "web", false),
            ("**", "", true),
        ] {
            assert_eq!(glob_matches(glob, name), expected, "{glob} {name}");
        }
    }

    #[test]
    fn a_glob_of_many_stars_costs_no_more_than_it_must() {
        let glob = "*a".repeat(64) + "b";
        assert!(!glob_matches(&glob, &"a".repeat(128)));
    }
}
