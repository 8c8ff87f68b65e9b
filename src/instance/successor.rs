//! The binary that takes over from this one.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the kernel adds to the path of a file that was removed.
const REMOVED: &str = " (deleted)";

/// Where this program's binary was, and where its successor is by now.
pub(super) fn own_path() -> Result<PathBuf, String> {
    let path = std::env::current_exe().map_err(|error| format!("cannot find this program's own binary: {error}"))?;
    Ok(match path.to_str().and_then(|text| text.strip_suffix(REMOVED)) {
        Some(path) => path.into(),
        None => path,
    })
}

/// Opens it, if it is a Neap that this machine can execute.
pub(super) fn examine(path: &Path) -> Result<File, String> {
    let shown = path.display();
    let file = File::open(path).map_err(|error| format!("cannot open the new binary `{shown}`: {error}"))?;
    let found = file.metadata().map_err(|error| format!("cannot look at `{shown}`: {error}"))?;
    if !found.is_file() || found.permissions().mode() & 0o111 == 0 {
        return Err(format!("`{shown}` is no executable file"));
    }
    let tried = Command::new(path).arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output();
    let said = tried.map_err(|error| format!("`{shown}` cannot be executed: {error}"))?;
    if said.status.success() && said.stdout.starts_with(b"neap ") {
        Ok(file)
    } else {
        Err(format!("`{shown} --version` does not answer as a neap; nothing was changed"))
    }
}
