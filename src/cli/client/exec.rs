//! `neap exec`: a command beside a process.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, geteuid, setgid, setgroups, setuid};

use super::args;
use super::context::Context;
use crate::cli::exit::{Exit, Failure, RUN_NOT_EXECUTABLE, RUN_NOT_FOUND};
use crate::rpc::proto::v1::{GetEnvironmentRequest, GetEnvironmentResponse};

/// Becomes that command. Only returns when it could not.
pub(super) fn exec(args: &args::Exec, context: &mut Context) -> Result<Exit, Failure> {
    let name = args.name.clone();
    let around = context.call(|client| client.get_environment(GetEnvironmentRequest { name }))?;
    let Some((program, arguments)) = args.command.split_first() else {
        return Err(Failure::new("no command is given"));
    };
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(around.env.iter().cloned().filter_map(variable));
    command.current_dir(&around.working_dir);
    become_user(&around, &args.name)?;
    if let Some(mask) = around.umask {
        umask(Mode::from_bits_truncate(mask));
    }
    let error = command.exec();
    let shown = program.to_string_lossy();
    // A folder that is not there is told like a program that is not there.
    let folder = &around.working_dir;
    let (code, what) = match error.kind() {
        ErrorKind::NotFound if !std::path::Path::new(folder).is_dir() => {
            return Err(Failure::new(format!("the folder of `{}`, `{folder}`, cannot be entered: {error}", args.name)));
        }
        ErrorKind::NotFound => (RUN_NOT_FOUND, "there is no such program in the PATH of the process"),
        _ => (RUN_NOT_EXECUTABLE, "it cannot be executed"),
    };
    Err(Failure::new(format!("cannot run `{shown}` beside `{}`: {what} ({error})", args.name)).exit(Exit::Code(code)))
}

/// `NAME=value`, as two.
fn variable(mut text: Vec<u8>) -> Option<(OsString, OsString)> {
    let at = text.iter().position(|byte| *byte == b'=')?;
    let value = text.split_off(at + 1);
    text.pop();
    Some((OsString::from_vec(text), OsString::from_vec(value)))
}

/// Not by the means of [`Command`], which drop the groups.
fn become_user(around: &GetEnvironmentResponse, name: &str) -> Result<(), Failure> {
    let (Some(uid), Some(gid)) = (around.uid, around.gid) else { return Ok(()) };
    if !geteuid().is_root() {
        if geteuid() == Uid::from_raw(uid) {
            return Ok(());
        }
        let user = geteuid();
        let text =
            format!("`{name}` runs as user {uid}, which only root may become, and you are user {user}; use sudo");
        return Err(Failure::new(text).exit(Exit::NotPermitted));
    }
    let groups: Vec<Gid> = around.groups.iter().copied().map(Gid::from_raw).collect();
    let became = setgroups(&groups).and_then(|()| setgid(Gid::from_raw(gid))).and_then(|()| setuid(Uid::from_raw(uid)));
    became.map_err(|errno| Failure::new(format!("cannot become the user of `{name}` ({uid}): {errno}")))
}

#[cfg(test)]
mod tests {
    use super::variable;

    #[test]
    fn a_variable_is_cut_at_its_first_equals_sign() {
        assert_eq!(variable(b"A=b=c".to_vec()), Some(("A".into(), "b=c".into())));
        assert_eq!(variable(b"A=".to_vec()), Some(("A".into(), "".into())));
        assert_eq!(variable(b"A".to_vec()), None);
    }
}
