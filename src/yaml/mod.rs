//! YAML as a configuration: from text to definitions and specs, without Lua.
//!
//! [`plan`] reads a file or a folder:
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = std::env::temp_dir().join(format!("neap-yaml-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder)?;
//! # let file = folder.join("web.yaml");
//! std::fs::write(&file, "command: nginx -g 'daemon off;'\nrestart_policy: always\nrestart_sec: 2\n")?;
//! let plan = neap::yaml::plan(&file).map_err(|problems| problems[0].to_string())?;
//! let web = plan.get("web").ok_or("the process is called as its file")?;
//! assert_eq!(web.command, ["nginx", "-g", "daemon off;"]);
//! assert_eq!(web.restart.delay.as_secs(), 2);
//!
//! std::fs::write(&file, "command: nginx\nrestart_polcy: always\n")?;
//! let problems = neap::yaml::plan(&file).unwrap_err();
//! assert_eq!(problems[0].line, Some(2));
//! assert_eq!(problems[0].message, "there is no such key; did you mean `restart_policy`?");
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok(())
//! # }
//! ```
//!
//! The steps are there one by one for whoever has the text already: [`read`] turns one file into a [`Document`],
//! [`join`] brings the documents of a folder together, and [`Definition::spec`] reads what is defined. None of these
//! touches a disk.
//!
//! Text is YAML 1.2 with its core schema: `yes` and `on` are text, and so is a number with a leading zero (`0660`).
//! Keys are those of [`spec`](crate::spec) and the older system's names for them; defaults are those of
//! [`Dialect::compatible`](crate::spec::read::Dialect::compatible).

mod bounds;
mod convert;
mod definition;
mod form;
mod join;
mod load;
mod older;
mod others;
mod process;
mod scalar;
mod socket;
mod syntax;
mod text;
mod tree;

pub use definition::{Definition, dialect};
pub use form::{Document, Form, read};
pub use join::join;
pub use load::plan;
pub use others::is_anothers;
pub use socket::Socket;
pub use text::{Text, decode};

#[cfg(test)]
mod tests;
