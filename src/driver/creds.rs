//! Users and groups by name. Whatever is not known is an error: nothing ever falls back to root.

use std::ffi::CString;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

use crate::core::{SpawnError, SpawnStep};

use super::launch::Ids;
use super::{caps, sys};

/// Who a process is to run as, looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// What the kernel is told; `None` when we are that already and may not change it.
    pub ids: Option<Ids>,
    /// HOME, USER, LOGNAME and SHELL, as far as the user database knows them; empty when no user was named.
    pub env: Vec<(&'static str, String)>,
}

/// Looks up a user (a name, or a number in digits), its primary group unless one is given, and its supplementary groups
/// unless they are given. May block for as long as the user database does: never call it from the engine's thread.
///
/// # Errors
/// `SpawnStep::User`, `Group` or `SupplementaryGroups`, with a message that names what is not known.
pub fn resolve(user: Option<&str>, group: Option<&str>, groups: Option<&[String]>) -> Result<Account, SpawnError> {
    let known = user.map(find_user).transpose()?;
    let (our_uid, our_gid) = sys::effective_ids();
    if user.is_none() && group.is_none() && groups.is_none() {
        return Ok(Account { ids: None, env: Vec::new() });
    }
    let uid = known.as_ref().map_or(our_uid, |k| k.uid);
    let gid = match (group, &known) {
        (Some(group), _) => find_group(group, SpawnStep::Group)?,
        (None, Some(known)) => known.entry.as_ref().map(|e| e.gid.as_raw()).ok_or_else(|| {
            error(
                SpawnStep::Group,
                format!("user {uid} has no entry in the user database, so its group is not known; set `group`, too"),
            )
        })?,
        (None, None) => our_gid,
    };
    let entry = known.as_ref().and_then(|k| k.entry.as_ref());
    let supplementary = match groups {
        Some(names) => names.iter().map(|n| find_group(n, SpawnStep::SupplementaryGroups)).collect::<Result<_, _>>()?,
        None => entry.map_or_else(|| Ok(vec![gid]), |e| groups_of(e, gid))?,
    };
    // Without privileges one may stay who one is, and setgroups(2) is refused even for no change.
    let stays = our_uid != 0 && uid == our_uid && gid == our_gid && groups.is_none();
    let label = user.or(group).unwrap_or("with other groups").to_owned();
    let ids = (!stays).then_some(Ids { uid, gid, groups: supplementary, label });
    Ok(Account { ids, env: entry.map(variables).unwrap_or_default() })
}

/// Whether this supervisor may start a process as that.
///
/// # Errors
/// What it lacks. The kernel would refuse, too, with a step that says less.
pub fn permitted(account: &Account) -> Result<(), SpawnError> {
    let (Some(_), Some(own)) = (&account.ids, caps::own()) else { return Ok(()) };
    let lacks = |name: &&str| caps::bit(name).is_some_and(|bit| own & bit == 0);
    let Some(missing) = ["setgid", "setuid"].into_iter().find(lacks) else { return Ok(()) };
    let us = sys::effective_ids().0;
    let message = format!(
        "cannot change its user and groups: the supervisor is user {us} and lacks the capability `{missing}`; run the \
         supervisor as root, or leave out `user`, `group` and `groups`"
    );
    Err(error(SpawnStep::User, message))
}

/// The number of this group: a name, or a number in digits. May block for as long as the user database does.
///
/// # Errors
/// A sentence that names what is not known.
pub fn group_number(name: &str) -> Result<u32, String> {
    find_group(name, SpawnStep::Group).map_err(|error| error.message)
}

/// The groups that the user database has for the user of this number. May block for as long as it does.
pub fn groups_of_number(uid: u32) -> Vec<u32> {
    let Ok(Some(user)) = User::from_uid(Uid::from_raw(uid)) else { return Vec::new() };
    let gid = user.gid.as_raw();
    groups_of(&user, gid).unwrap_or_else(|_| vec![gid])
}

struct Known {
    uid: u32,
    entry: Option<User>,
}

fn find_user(name: &str) -> Result<Known, SpawnError> {
    if let Some(number) = number(name, "user", SpawnStep::User)? {
        let entry = User::from_uid(Uid::from_raw(number)).map_err(|e| failed(SpawnStep::User, "user", name, e))?;
        return Ok(Known { uid: number, entry });
    }
    check(name, "user", SpawnStep::User)?;
    match User::from_name(name) {
        Ok(Some(entry)) => Ok(Known { uid: entry.uid.as_raw(), entry: Some(entry) }),
        Ok(None) => Err(error(SpawnStep::User, format!("user `{name}` does not exist; create it, or name another"))),
        Err(e) => Err(failed(SpawnStep::User, "user", name, e)),
    }
}

fn find_group(name: &str, step: SpawnStep) -> Result<u32, SpawnError> {
    if let Some(number) = number(name, "group", step)? {
        return Ok(number);
    }
    check(name, "group", step)?;
    match Group::from_name(name) {
        Ok(Some(entry)) => Ok(entry.gid.as_raw()),
        Ok(None) => Err(error(step, format!("group `{name}` does not exist; create it, or name another"))),
        Err(e) => Err(failed(step, "group", name, e)),
    }
}

fn groups_of(user: &User, gid: u32) -> Result<Vec<u32>, SpawnError> {
    let step = SpawnStep::SupplementaryGroups;
    let name = CString::new(user.name.as_str()).map_err(|_| error(step, "a user's name has a NUL".to_owned()))?;
    let found = getgrouplist(&name, Gid::from_raw(gid)).map_err(|e| failed(step, "groups of user", &user.name, e))?;
    Ok(found.into_iter().map(Gid::as_raw).collect())
}

/// A number in plain decimal digits; `None` when it is a name. What looks like a number and is not is an error: other
/// tools have read `0x10` as 16 and `4294967295` as "no change".
fn number(text: &str, what: &str, step: SpawnStep) -> Result<Option<u32>, SpawnError> {
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(None);
    }
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    match text.parse::<u32>() {
        Ok(number) if plain && number < u32::MAX => Ok(Some(number)),
        _ => Err(error(
            step,
            format!(
                "`{text}` is no {what}: names do not start with a digit, numbers are plain decimals below 4294967295"
            ),
        )),
    }
}

fn check(name: &str, what: &str, step: SpawnStep) -> Result<(), SpawnError> {
    let bad = name.is_empty()
        || name.starts_with(['-', '+'])
        || name.contains(|c: char| c.is_control() || c.is_whitespace() || c == ':' || c == '/');
    if bad {
        return Err(error(step, format!("{name:?} cannot be the name of a {what}")));
    }
    Ok(())
}

fn variables(user: &User) -> Vec<(&'static str, String)> {
    vec![
        ("HOME", user.dir.to_string_lossy().into_owned()),
        ("USER", user.name.clone()),
        ("LOGNAME", user.name.clone()),
        ("SHELL", user.shell.to_string_lossy().into_owned()),
    ]
}

fn error(step: SpawnStep, message: String) -> SpawnError {
    SpawnError { step, errno: None, message }
}

fn failed(step: SpawnStep, what: &str, name: &str, errno: nix::errno::Errno) -> SpawnError {
    SpawnError { step, errno: Some(errno as i32), message: format!("cannot look up {what} `{name}`: {}", errno.desc()) }
}

#[cfg(test)]
mod tests {
    use super::resolve;
    use crate::core::SpawnStep;

    #[test]
    fn what_is_not_known_is_refused_and_never_root() {
        let names = [
            "",
            "0day",
            "0x10",
            "0x0",
            "-1",
            "+1",
            "4294967295",
            "4294967296",
            "99999999999999999999",
            "00",
            "007",
            "no-such-user-here",
            "röot ",
            "root:x",
            "a/b",
            "root\n",
            "1e3",
            "1.0",
            " root",
            "\u{661}",
        ];
        for name in names {
            let refused = resolve(Some(name), None, None).expect_err(name);
            assert_eq!(refused.step, SpawnStep::User, "{name:?}: {}", refused.message);
            let refused = resolve(Some("0"), Some(name), None).expect_err(name);
            assert_eq!(refused.step, SpawnStep::Group, "{name:?}: {}", refused.message);
            let refused = resolve(Some("0"), Some("0"), Some(&[name.to_owned()])).expect_err(name);
            assert_eq!(refused.step, SpawnStep::SupplementaryGroups, "{name:?}: {}", refused.message);
        }
    }

    #[test]
    fn messages_say_what_to_do() {
        let message = |user| resolve(Some(user), None, None).unwrap_err().message;
        assert_eq!(message("nosuch"), "user `nosuch` does not exist; create it, or name another");
        assert_eq!(
            message("0x10"),
            "`0x10` is no user: names do not start with a digit, numbers are plain decimals below 4294967295"
        );
        assert_eq!(
            message("3999999999"),
            "user 3999999999 has no entry in the user database, so its group is not known; set `group`, too"
        );
    }

    #[test]
    fn a_number_without_an_entry_takes_the_group_it_is_given_and_no_other() {
        let ids = resolve(Some("3999999999"), Some("3999999998"), None).unwrap().ids.unwrap();
        assert_eq!((ids.uid, ids.gid, ids.groups), (3_999_999_999, 3_999_999_998, vec![3_999_999_998]));
    }

    #[test]
    fn a_known_user_brings_its_group_and_variables() {
        let root = resolve(Some("root"), None, None).unwrap();
        assert!(root.env.contains(&("USER", "root".to_owned())) && root.env.contains(&("LOGNAME", "root".to_owned())));
        assert!(root.env.iter().any(|(k, _)| *k == "HOME") && root.env.iter().any(|(k, _)| *k == "SHELL"));
        let same = resolve(Some("0"), None, None).unwrap();
        assert_eq!((same.env, same.ids.map(|i| i.uid)), (root.env, root.ids.map(|i| i.uid)));
    }

    #[test]
    fn nothing_asked_changes_nothing() {
        let account = resolve(None, None, None).unwrap();
        assert_eq!((account.ids, account.env.len()), (None, 0));
    }
}
