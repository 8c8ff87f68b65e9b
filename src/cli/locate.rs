//! Which configuration is meant.

use std::path::{Path, PathBuf};

use directories::ProjectDirs;

use super::exit::Failure;
use crate::instance::places::config_in;

/// The user's own configuration.
const DEFAULT: &str = "neap.lua";

/// The configuration a command was given, else `./neap.lua` or `./neap.yaml`, else the user's. Never the system's: that one belongs to
/// the daemon, and a developer in an empty folder must not start a host's services.
pub(super) fn locate(given: Option<&Path>) -> Result<PathBuf, Failure> {
    let users = ProjectDirs::from("", "", "neap").map(|dirs| dirs.config_dir().join(DEFAULT));
    match given {
        Some(path) => check(path).map(|()| path.to_owned()),
        None => default(Path::new(""), users.as_deref()),
    }
}

/// Whether this can be a configuration.
pub(super) fn check(path: &Path) -> Result<(), Failure> {
    match std::fs::metadata(path) {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::new(format!("cannot read the configuration `{}`: {error}", path.display()))),
    }
}

fn default(here: &Path, users: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(file) = config_in(here).map_err(|error| Failure::new(error.to_string()))? {
        return Ok(file);
    }
    match users {
        Some(path) if path.exists() => Ok(path.to_owned()),
        Some(path) => Err(Failure::new(format!(
            "there is no configuration: neither ./neap.lua, ./neap.yaml nor {} exists; name a file or folder, or try `neap run -- CMD`",
            path.display()
        ))),
        None => Err(Failure::new(
            "there is no configuration: neither ./neap.lua nor ./neap.yaml exists, and this user has no home; name a file or folder",
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{default, locate};

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = locate(Some(Path::new("no/such/neap.lua"))).unwrap_err();
        assert_eq!(
            error.message,
            "cannot read the configuration `no/such/neap.lua`: No such file or directory (os error 2)"
        );
    }

    #[test]
    fn without_any_both_places_are_named() {
        let error = default(Path::new("no"), Some(Path::new("/no/such/home/neap/neap.lua"))).unwrap_err();
        assert!(
            error.message.contains("neither ./neap.lua, ./neap.yaml nor /no/such/home/neap/neap.lua"),
            "{}",
            error.message
        );
    }

    #[test]
    fn the_users_stands_in_for_a_missing_one_here() {
        let users = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        assert_eq!(default(Path::new("no"), Some(&users)).unwrap(), users);
    }
}
