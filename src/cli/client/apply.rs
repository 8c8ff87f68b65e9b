//! `neap apply`: make the running instance what its configuration says.

use std::io::stderr;
use std::path::PathBuf;

use super::args;
use super::context::{Context, failure};
use super::json::Json;
use super::link::ClientError;
use super::look::count;
use super::waiting::{Patience, wait};
use crate::cli::exit::{Exit, Failure};
use crate::cli::narrate::Talk;
use crate::cli::paint::{Paint, Tone};
use crate::cli::problems;
use crate::rpc::proto::v1::{ApplyRequest, ApplyResponse, Event, Problem};
use crate::spec::{Problem as SpecProblem, Severity};

/// Applies.
pub(super) fn apply(args: &args::Apply, context: &mut Context) -> Result<Exit, Failure> {
    let config = args.config.as_ref().map(absolute).transpose()?;
    let request = ApplyRequest { config, dry_run: args.dry_run };
    let patience = Patience { what: "the configuration", action: "the change", timeout: None };
    let verbose = context.voice.talk == Talk::Verbose && !context.voice.json;
    let tell = &mut |event: &Event| {
        let name = event.process.as_ref().filter(|_| verbose)?;
        Some(format!("{name}: {}", event.text))
    };
    match wait(context, &patience, move |client| client.apply(request), tell)? {
        Ok(applied) => accept(&applied, args.dry_run, context),
        Err(ClientError::Refused { detail, .. }) if !detail.problems.is_empty() => {
            let found: Vec<SpecProblem> = detail.problems.iter().map(problem).collect();
            problems::refuse(context.voice, &found)
        }
        Err(error) => Err(failure(&error)),
    }
}

/// The instance has another current folder.
fn absolute(path: &PathBuf) -> Result<String, Failure> {
    let unusable = |why: String| Failure::new(format!("cannot use the configuration `{}`: {why}", path.display()));
    let path = std::path::absolute(path).map_err(|error| unusable(error.to_string()))?;
    path.into_os_string().into_string().map_err(|_| unusable("its path is no text".into()))
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

fn accept(applied: &ApplyResponse, dry_run: bool, context: &Context) -> Result<Exit, Failure> {
    if context.voice.json {
        context.print(&Json::of(applied).line())?;
        return Ok(Exit::Done);
    }
    let warnings: Vec<SpecProblem> = applied.warnings.iter().map(problem).collect();
    problems::show(&mut stderr(), context.voice.err, &warnings);
    if context.voice.talk > Talk::Quiet {
        context.print(text(applied, dry_run, context.voice.out).trim_end())?;
    }
    Ok(Exit::Done)
}

fn text(applied: &ApplyResponse, dry_run: bool, paint: Paint) -> String {
    let groups = [
        (&applied.added, "+", "added", Tone::Good),
        (&applied.removed, "-", "removed", Tone::Bad),
        (&applied.restarted, "~", "restarted", Tone::Warn),
        (&applied.updated, "~", "updated in place", Tone::Warn),
    ];
    let mut text = String::new();
    for (names, mark, word, tone) in &groups {
        for name in *names {
            text.push_str(&format!("{} {name}: {word}\n", paint.tone(*tone, mark)));
        }
    }
    let counts = groups.iter().filter(|(names, ..)| !names.is_empty());
    let counts = counts.map(|(names, _, word, _)| format!("{} {word}", names.len()));
    let unchanged = format!("{} unchanged", applied.unchanged.len());
    let counts: Vec<String> = counts.chain([unchanged]).collect();
    let what = if dry_run { "would be".to_owned() } else { format!("generation {}", applied.generation) };
    let all = count(groups.iter().map(|(names, ..)| names.len()).sum(), "change", "changes");
    text.push_str(&format!("{what}: {all} ({})\n", counts.join(", ")));
    text
}

#[cfg(test)]
mod tests {
    use super::text;
    use crate::cli::paint::Paint;
    use crate::rpc::proto::v1::ApplyResponse;

    #[test]
    fn what_changed_is_named_and_counted() {
        let applied = ApplyResponse {
            generation: 5,
            added: vec!["a".into(), "b".into()],
            removed: vec!["c".into()],
            restarted: vec!["d".into()],
            updated: vec!["e".into()],
            unchanged: vec!["f".into(); 12],
            ..ApplyResponse::default()
        };
        let expected = "+ a: added\n+ b: added\n- c: removed\n~ d: restarted\n~ e: updated in place\n\
            generation 5: 5 changes (2 added, 1 removed, 1 restarted, 1 updated in place, 12 unchanged)\n";
        assert_eq!(text(&applied, false, Paint::off()), expected);
        let nothing = ApplyResponse { generation: 6, unchanged: vec!["f".into()], ..ApplyResponse::default() };
        assert_eq!(text(&nothing, false, Paint::off()), "generation 6: 0 changes (1 unchanged)\n");
    }
}
