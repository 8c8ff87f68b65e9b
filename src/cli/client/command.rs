//! From a command to its file.

use nix::sys::signal::{SigSet, Signal};

use super::act::{self, Verb};
use super::args::Command;
use super::context::Context;
use super::{
    apply, create, describe, down, eval, events, exec, graph, health, list, logs, plan, repl, stats, status, update,
    why,
};
use crate::cli::app::Voice;
use crate::cli::args::Global;
use crate::cli::exit::{Exit, Failure};

/// Runs it.
pub(in crate::cli) fn run(command: Command, global: &Global, voice: Voice) -> Result<Exit, Failure> {
    heed_interrupts();
    let context = &mut Context::connect(global, voice)?;
    match command {
        Command::Status(args) => status::status(&args, context),
        Command::List(args) => list::list(&args, context),
        Command::Describe(args) => describe::describe(&args, context),
        Command::Start(args) => act::act(Verb::Start, &args, context),
        Command::Stop(args) => act::act(Verb::Stop, &args, context),
        Command::Restart(args) => act::act(Verb::Restart, &args, context),
        Command::Reload(args) => act::reload(args, context),
        Command::Signal(args) => act::signal(&args, context),
        Command::Wait(args) => act::wait_for(&args, context),
        Command::Plan(args) => plan::plan(&args, context),
        Command::Apply(args) => apply::apply(&args, context),
        Command::Create(args) => create::create(args, context),
        Command::Update(args) => update::update(args, context),
        Command::Delete(args) => act::delete(&args, context),
        Command::Logs(args) => logs::logs(&args, context),
        Command::Events(args) => events::events(&args, context),
        Command::Why(args) => why::why(&args, context),
        Command::Graph(args) => graph::graph(&args, context),
        Command::Repl(args) => repl::repl(&args, context),
        Command::Eval(args) => eval::eval(&args, context),
        Command::Stats(args) => stats::stats(&args, context),
        Command::Health(args) => health::health(&args, context),
        Command::Exec(args) => exec::exec(&args, context),
        Command::Down(args) => down::down(&args, context),
        Command::Upgrade(args) => down::upgrade(&args, context),
    }
}

/// Whoever started this may have blocked INT, as the REPL does for itself: here it ends the waiting.
fn heed_interrupts() {
    let set: SigSet = [Signal::SIGINT].into_iter().collect();
    // What cannot be unblocked stays blocked.
    let _ = set.thread_unblock();
}
