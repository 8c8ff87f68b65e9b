//! Errors, as gRPC statuses with details for programs.

use prost::Message;
use tonic::{Code, Status};

use super::convert::{millis, problem, state};
use super::proto::v1;
use crate::Error;
use crate::core::Refusal;
use crate::spec::{Problem, Severity};

/// Where a detail says what it is.
const DETAIL_TYPE: &str = "type.googleapis.com/neap.v1.ErrorDetail";
/// Bytes of a message, as it is sent: a client may refuse trailers of more than 8 KiB in all.
const LONGEST_MESSAGE: usize = 1_200;
/// Bytes of a detail.
const LONGEST_DETAIL: usize = 4_000;

/// Why a call did not come to what was asked.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) code: Code,
    pub(super) message: String,
    /// Boxed: errors travel in many results.
    pub(super) detail: Box<v1::ErrorDetail>,
}

/// google.rpc.Status, which clients of all languages look for in a status's details.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

impl Fault {
    pub(super) fn new(code: Code, word: &str, message: impl Into<String>) -> Self {
        let detail = v1::ErrorDetail { code: word.into(), ..Default::default() };
        Fault { code, message: message.into(), detail: detail.into() }
    }

    /// A field of the request is wrong.
    pub(super) fn invalid(field: &str, message: impl AsRef<str>) -> Self {
        let message = message.as_ref();
        let mut fault = Fault::new(Code::InvalidArgument, "invalid", format!("{field}: {message}"));
        let problem = v1::Problem { field: Some(field.into()), message: message.into(), ..Default::default() };
        fault.detail.problems.push(problem);
        fault
    }

    pub(super) fn not_found(name: &str, message: impl Into<String>) -> Self {
        let mut fault = Fault::new(Code::NotFound, "not_found", message);
        fault.detail.process = Some(name.chars().take(200).collect());
        fault
    }

    /// The time that the client gave is up; what was begun goes on.
    pub(super) fn timed_out(process: &str, state: &str) -> Self {
        let message = format!("`{process}` is {state}; what was begun goes on");
        let mut fault = Fault::new(Code::DeadlineExceeded, "timed_out", message);
        fault.detail.process = Some(process.into());
        fault
    }

    /// A configuration is wrong.
    pub(super) fn problems(problems: &[Problem]) -> Self {
        let told = problems.iter().filter(|problem| problem.severity == Severity::Error);
        let text: Vec<String> = told.map(ToString::to_string).collect();
        let mut fault = Fault::new(Code::InvalidArgument, "invalid", text.join("\n"));
        fault.detail.problems = problems.iter().map(problem).collect();
        fault
    }

    /// What a supervisor's error is to a client.
    pub(super) fn of(error: &Error, process: Option<&str>) -> Self {
        let mut fault = match error {
            Error::Refused(refusal) => Fault::of_refusal(refusal),
            Error::Ended | Error::OwnThread => Fault::new(Code::Unavailable, "ended", error.to_string()),
        };
        if fault.detail.process.is_none() {
            fault.detail.process = process.map(str::to_owned);
        }
        fault
    }

    fn of_refusal(refusal: &Refusal) -> Self {
        let (code, word) = match refusal {
            Refusal::NotFound => (Code::NotFound, "not_found"),
            Refusal::Exists(_) => (Code::AlreadyExists, "exists"),
            Refusal::Invalid(error) => return Fault::problems(&error.problems),
            Refusal::State { .. } => (Code::FailedPrecondition, "state"),
            Refusal::Skipped { .. } => (Code::FailedPrecondition, "skipped"),
            Refusal::StartFailed { .. } => (Code::Aborted, "start_failed"),
            Refusal::Superseded { .. } => (Code::Aborted, "superseded"),
            Refusal::Stuck { .. } => (Code::Aborted, "stuck"),
            Refusal::Failed { .. } => (Code::Aborted, "failed"),
            Refusal::ShuttingDown => (Code::Unavailable, "shutting_down"),
        };
        let mut fault = Fault::new(code, word, refusal.to_string());
        let detail = &mut fault.detail;
        match refusal {
            Refusal::Exists(name) | Refusal::Skipped { name, .. } | Refusal::Superseded { name, .. } => {
                detail.process = Some(name.to_string());
            }
            Refusal::Failed { name, .. } => detail.process = Some(name.to_string()),
            Refusal::State { name, state: now, .. } => {
                detail.process = Some(name.to_string());
                detail.state = state(*now).into();
            }
            Refusal::StartFailed { name, retry_in, .. } => {
                detail.process = Some(name.to_string());
                detail.retry_in = retry_in.map(millis);
            }
            Refusal::Stuck { name, pids } => {
                detail.process = Some(name.to_string());
                detail.pids = pids.iter().map(|pid| pid.0).collect();
            }
            Refusal::NotFound | Refusal::Invalid(_) | Refusal::ShuttingDown => {}
        }
        fault
    }

    /// The same, as part of an answer.
    pub(super) fn into_error(self) -> v1::Error {
        v1::Error { code: self.code as i32, message: self.message, detail: Some(*self.detail) }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault::of(&error, None)
    }
}

impl From<Fault> for Status {
    fn from(mut fault: Fault) -> Status {
        let message = cut(&fault.message);
        while fault.detail.encoded_len() > LONGEST_DETAIL {
            let detail = &mut fault.detail;
            if detail.problems.pop().is_some() {
                detail.omitted_problems += 1;
            } else if detail.pids.pop().is_none() {
                let code = std::mem::take(&mut detail.code);
                *fault.detail = v1::ErrorDetail { code, ..Default::default() };
                break;
            }
        }
        let any = prost_types::Any { type_url: DETAIL_TYPE.into(), value: fault.detail.encode_to_vec() };
        let details = RpcStatus { code: fault.code as i32, message: String::new(), details: vec![any] };
        Status::with_details(fault.code, message, details.encode_to_vec().into())
    }
}

/// The message in no more bytes than it may take on its way, where all but plain characters take three.
fn cut(message: &str) -> String {
    let mut room = LONGEST_MESSAGE;
    let mut short = String::new();
    for c in message.chars() {
        let plain = matches!(c, ' '..='~') && c != '%';
        let Some(left) = room.checked_sub(if plain { 1 } else { 3 * c.len_utf8() }) else {
            short.push('…');
            break;
        };
        room = left;
        short.push(c);
    }
    short
}

/// The detail of a status, if it has one.
pub fn detail_of(status: &Status) -> Option<v1::ErrorDetail> {
    let decoded = RpcStatus::decode(status.details()).ok()?;
    let any = decoded.details.into_iter().find(|any| any.type_url == DETAIL_TYPE)?;
    v1::ErrorDetail::decode(any.value.as_slice()).ok()
}

#[cfg(test)]
mod tests {
    use tonic::{Code, Status};

    use super::{Fault, LONGEST_DETAIL, LONGEST_MESSAGE, detail_of};
    use crate::core::{Pid, Refusal};
    use crate::spec::{Problem, Severity};

    #[test]
    fn a_detail_comes_back_out_of_its_status() {
        let refusal = Refusal::Stuck { name: "web".into(), pids: vec![Pid(7), Pid(8)] };
        let status = Status::from(Fault::of(&refusal.into(), None));
        let detail = detail_of(&status).unwrap();
        assert_eq!((status.code(), detail.code.as_str()), (Code::Aborted, "stuck"));
        assert_eq!((detail.process.as_deref(), detail.pids.as_slice()), (Some("web"), [7, 8].as_slice()));
    }

    #[test]
    fn what_is_too_long_for_trailers_is_cut_and_counted() {
        let problem = Problem {
            severity: Severity::Error,
            file: Some("neap.lua".into()),
            line: Some(3),
            process: Some("web".into()),
            field: Some("restart.delay".into()),
            message: "ä".repeat(100),
        };
        let status = Status::from(Fault::problems(&vec![problem; 500]));
        assert!(status.message().len() <= LONGEST_MESSAGE + 3 && status.message().ends_with('…'));
        assert!(status.details().len() < LONGEST_DETAIL + 200);
        let detail = detail_of(&status).unwrap();
        assert_eq!(detail.problems.len() as u32 + detail.omitted_problems, 500);
        assert!(detail.problems.len() > 5);
    }
}
