//! YAML: from text to specs, and what is said of text that is wrong.

mod damaged;
mod golden;
