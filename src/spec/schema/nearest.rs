//! The word that was probably meant.

/// The candidate nearest to a word, if one is near enough to have been meant. Case, `-` and `_` do not count.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = plain(word);
    let length = wanted.chars().count();
    if length == 0 || length > 128 {
        return None;
    }
    let allowed = (length / 3).max(1);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let known = plain(candidate);
        if known.chars().count().abs_diff(length) > allowed {
            continue;
        }
        let distance = strsim::damerau_levenshtein(&wanted, &known);
        let within = distance <= allowed && distance < length;
        if within && best.is_none_or(|(shortest, _)| distance < shortest) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

fn plain(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '-' | '_')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_offered_only_when_it_is_near() {
        let words = ["command", "requires", "restart", "env", "user"];
        assert_eq!(nearest("comand", words), Some("command"));
        assert_eq!(nearest("Command", words), Some("command"));
        assert_eq!(nearest("require", words), Some("requires"));
        assert_eq!(nearest("evn", words), Some("env"));
        assert_eq!(nearest("banana", words), None);
        assert_eq!(nearest("", words), None);
        assert_eq!(nearest("x", ["y"]), None);
        assert_eq!(nearest("autostart", ["auto_start"]), Some("auto_start"));
        assert_eq!(nearest("on_failure", ["on-failure", "on-success"]), Some("on-failure"));
    }
}
