//! Evaluating a text, and what came of it.

use std::sync::mpsc::channel;
use std::time::Duration;

use neap::lua::{EvaluateRequest, Evaluated, Options, Runtime};
use neap::spec::PlanError;

/// How long a hostile configuration may take before it is refused.
pub const DEADLINE: Duration = Duration::from_millis(150);

/// What fails a test that hangs; nothing is measured by it.
pub const HANGS: Duration = Duration::from_secs(60);

/// Evaluates on a thread of its own, so that a hang fails the test.
pub fn evaluate(request: EvaluateRequest) -> Result<Evaluated, PlanError> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let result = Runtime::start(Options::default()).evaluate(request);
        drop(sender.send(result));
    });
    receiver.recv_timeout(HANGS * 2).expect("the evaluation never came back")
}

/// A text as `test.lua`.
pub fn text(source: &str) -> EvaluateRequest {
    EvaluateRequest::source("test.lua", source, ".")
}

/// The messages of a refused text.
pub fn refused(request: EvaluateRequest) -> String {
    evaluate(request).expect_err("the configuration was accepted").to_string()
}
