//! From the instance's answer to a format.

use super::super::args;
use super::super::context::Context;
use super::super::json;
use super::model::Graph;
use super::{dot, mermaid, svg, text};
use crate::cli::exit::{Exit, Failure};
use crate::rpc::proto::v1::GraphRequest;

/// Draws it.
pub(in super::super) fn graph(args: &args::Graph, context: &mut Context) -> Result<Exit, Failure> {
    let response = context.call(|client| client.graph(GraphRequest { names: args.names.clone() }))?;
    if context.voice.json {
        context.print(&json::line(&response))?;
        return Ok(Exit::Done);
    }
    let graph = Graph::of(response);
    let drawn = match args.format {
        args::GraphFormat::Text => text::draw(&graph, context.sheet()),
        args::GraphFormat::Dot => dot::draw(&graph),
        args::GraphFormat::Mermaid => mermaid::draw(&graph),
        args::GraphFormat::Svg => svg::draw(&graph),
    };
    context.print(drawn.trim_end())?;
    Ok(Exit::Done)
}
