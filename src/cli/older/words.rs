//! `create NAME PROGRAM ARGUMENT… [FLAG…]`, as the older client takes it: flags may stand behind the program.

use std::ffi::{OsStr, OsString};

use clap::Command;

/// What ends the flags.
const END: &str = "--";

/// The words behind `create`, in the order in which `neap create` takes them: flags, the name, `--`, the command. A word
/// with two dashes is a flag, as it was; one with a single dash belongs to the program, once there is one. Behind `--`
/// all is the program's.
pub(super) fn ordered(words: &[OsString], create: &Command) -> Vec<OsString> {
    let (mut flags, mut others) = (Vec::new(), Vec::new());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == END {
            others.extend(words.by_ref().cloned());
        } else if let Some(flag) = word.to_str().and_then(|word| word.strip_prefix(END)) {
            flags.push(word.clone());
            if takes_the_next(flag, create) {
                flags.extend(words.next().cloned());
            }
        } else if is_dashed(word) && others.len() < 2 {
            flags.push(word.clone());
        } else {
            others.push(word.clone());
        }
    }
    let mut others = others.into_iter();
    let name = others.next();
    let command = others.collect::<Vec<_>>();
    let end = (!command.is_empty()).then(|| END.into());
    flags.into_iter().chain(name).chain(end).chain(command).collect()
}

pub(super) fn is_dashed(word: &OsStr) -> bool {
    word.len() > 1 && word.as_encoded_bytes().first() == Some(&b'-')
}

/// Whether the value of this flag is the word behind it.
pub(super) fn takes_the_next(flag: &str, create: &Command) -> bool {
    let argument = create.get_arguments().find(|argument| {
        let aliases = argument.get_all_aliases().unwrap_or_default();
        argument.get_long() == Some(flag) || aliases.contains(&flag)
    });
    argument.is_some_and(|argument| argument.get_action().takes_values() && !argument.is_require_equals_set())
}
