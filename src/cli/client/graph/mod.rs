//! `neap graph`: who is related to whom, with live states, as text, dot, mermaid or SVG.

mod command;
mod dot;
mod layout;
mod mermaid;
mod model;
mod svg;
#[cfg(test)]
mod tests;
mod text;

pub(super) use command::graph;
