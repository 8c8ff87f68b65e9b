//! `neap plan`: what `neap apply` would do.

use std::io::stderr;
use std::path::PathBuf;

use super::args;
use super::context::{Context, failure};
use super::diff::{Look, counts_ahead, differs, text_ahead};
use super::json;
use super::link::ClientError;
use crate::cli::exit::{Exit, Failure};
use crate::cli::narrate::Talk;
use crate::cli::problems;
use crate::rpc::proto::v1::{PlanRequest, PlanResponse, Problem};
use crate::spec::{Problem as SpecProblem, Severity};

/// Plans.
pub(super) fn plan(args: &args::Plan, context: &mut Context) -> Result<Exit, Failure> {
    let config = args.config.as_ref().map(absolute).transpose()?;
    let planned = match context.client().plan(PlanRequest { config }) {
        Ok(planned) => planned,
        Err(error) => return refused(&error, context),
    };
    show(&planned, context)?;
    // Whoever is to say that nothing may differ is told that it does by a failure.
    Ok(if args.exit_code && differs(&planned.changes) { Exit::Failed } else { Exit::Done })
}

fn show(planned: &PlanResponse, context: &Context) -> Result<(), Failure> {
    if context.voice.json {
        return context.print(&json::line(planned));
    }
    warn(&planned.warnings, context);
    if context.voice.talk == Talk::Quiet {
        return Ok(());
    }
    let text = text_ahead(&planned.changes, look(context));
    context.print(&format!("{text}{}", counts_ahead(&planned.changes)))
}

/// How changes are shown here.
pub(super) fn look(context: &Context) -> Look {
    Look { sheet: context.sheet(), whole: context.voice.talk == Talk::Verbose }
}

/// The path for the instance, which has another current folder.
pub(super) fn absolute(path: &PathBuf) -> Result<String, Failure> {
    let unusable = |why: String| Failure::new(format!("cannot use the configuration `{}`: {why}", path.display()));
    let path = std::path::absolute(path).map_err(|error| unusable(error.to_string()))?;
    path.into_os_string().into_string().map_err(|_| unusable("its path is no text".into()))
}

/// Says what was odd, to people.
pub(super) fn warn(warnings: &[Problem], context: &Context) {
    let warnings: Vec<SpecProblem> = warnings.iter().map(problem).collect();
    problems::show(&mut stderr(), context.voice.err, &warnings);
}

/// Says why it was refused: what is wrong with a configuration, as `check` does.
pub(super) fn refused(error: &ClientError, context: &Context) -> Result<Exit, Failure> {
    match error {
        ClientError::Refused { detail, .. } if !detail.problems.is_empty() => {
            let found: Vec<SpecProblem> = detail.problems.iter().map(problem).collect();
            problems::refuse(context.voice, &found)
        }
        error => Err(failure(error)),
    }
}

fn problem(problem: &Problem) -> SpecProblem {
    SpecProblem {
        severity: if problem.warning { Severity::Warning } else { Severity::Error },
        file: problem.file.clone(),
        line: problem.line,
        process: problem.process.clone(),
        field: problem.field.clone(),
        message: problem.message.clone(),
    }
}
