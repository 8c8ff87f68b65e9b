//! `neap types`: what editors need to complete and check configurations.

use std::io::{Write, stdout};

use super::app::Voice;
use super::args::Types;
use super::exit::{Exit, Failure};
use super::narrate::Talk;

/// Writes the definitions.
pub(super) fn types(args: &Types, voice: Voice) -> Result<Exit, Failure> {
    let dir = &args.dir;
    std::fs::create_dir_all(dir)
        .map_err(|error| Failure::new(format!("cannot make the folder `{}`: {error}", dir.display())))?;
    let file = dir.join("neap.lua");
    std::fs::write(&file, crate::lua::luals_definitions())
        .map_err(|error| Failure::new(format!("cannot write `{}`: {error}", file.display())))?;
    if voice.talk > Talk::Quiet {
        let text =
            format!("wrote {}; add its folder to `workspace.library` of your Lua language server", file.display());
        writeln!(stdout(), "{text}").map_err(|error| Failure::new(format!("cannot write to stdout: {error}")))?;
    }
    Ok(Exit::Done)
}
