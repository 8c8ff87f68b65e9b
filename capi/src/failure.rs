//! What goes wrong, as C hears of it: a code, a text, and an object for programs.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};

use supervisor::rpc::json::Json;
use supervisor::rpc::proto::v1::{self, ErrorDetail};
use supervisor::rpc::{ConnectError, error_detail};
use tonic::{Code, Status};

use crate::ffi::{
    NEAP_ERROR_ARGUMENT, NEAP_ERROR_FAILED, NEAP_ERROR_INTERNAL, NEAP_ERROR_NO_PROCESS, NEAP_ERROR_NOT_PERMITTED,
    NEAP_ERROR_REFUSED, NEAP_ERROR_TIMED_OUT, NEAP_ERROR_UNREACHABLE, NEAP_OK,
};

/// Why a function did not come to what was asked.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// What it returns.
    pub(crate) code: i32,
    /// For people.
    pub(crate) message: String,
    /// What the instance says of it.
    detail: Box<ErrorDetail>,
}

impl Failure {
    pub(crate) fn new(code: i32, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into(), detail: Box::default() }
    }

    /// An argument of this name is wrong.
    pub(crate) fn argument(name: &str, message: impl AsRef<str>) -> Failure {
        let message = message.as_ref();
        let mut failure = Failure::new(NEAP_ERROR_ARGUMENT, format!("{name}: {message}"));
        let field = Some(name.to_owned());
        failure.detail.problems.push(v1::Problem { field, message: message.to_owned(), ..Default::default() });
        failure.detail.code = "invalid".into();
        failure
    }

    /// A bug of ours.
    pub(crate) fn internal(message: impl Into<String>) -> Failure {
        Failure::new(NEAP_ERROR_INTERNAL, message)
    }

    /// What is wrong with one of several processes.
    pub(crate) fn of_outcome(name: &str, error: v1::Error) -> Failure {
        let named = error.message.contains(&format!("`{name}`"));
        let message = if named { error.message } else { format!("{name}: {}", error.message) };
        let mut detail = error.detail.unwrap_or_default();
        detail.process.get_or_insert_with(|| name.to_owned());
        Failure { code: number(Code::from_i32(error.code)), message, detail: Box::new(detail) }
    }

    /// The same, about this process.
    pub(crate) fn of_process(mut self, name: &str) -> Failure {
        self.detail.process = Some(name.to_owned());
        self
    }

    /// `{"code":3,"message":"…","file":null,"line":null,"field":null,"process":"web",…}`
    pub(crate) fn json(&self) -> String {
        let text = |text: &Option<String>| text.clone().map_or(Json::Null, Json::Text);
        let detail = &*self.detail;
        let first = detail.problems.iter().find(|problem| !problem.warning);
        let process = detail.process.clone().or_else(|| first.and_then(|problem| problem.process.clone()));
        let told = Json::of(detail);
        let fields = [
            ("code", Json::Int(self.code.into())),
            ("message", Json::Text(self.message.clone())),
            ("file", first.map_or(Json::Null, |problem| text(&problem.file))),
            ("line", first.and_then(|problem| problem.line).map_or(Json::Null, |line| Json::Int(line.into()))),
            ("field", first.map_or(Json::Null, |problem| text(&problem.field))),
            ("process", text(&process)),
            ("detail", text(&Some(detail.code.clone()).filter(|word| !word.is_empty()))),
            ("state", told.get("state").clone()),
            ("retry_in", told.get("retry_in").clone()),
            ("pids", told.get("pids").clone()),
            ("problems", told.get("problems").clone()),
        ];
        Json::Object(fields.map(|(name, value)| (name.to_owned(), value)).into()).line()
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Failure {
        match (status.code(), error_detail(&status)) {
            // The instance says more of what it refuses.
            (Code::Unavailable | Code::Unknown | Code::Cancelled, None) => {
                let message = format!("the instance has ended the connection: {}", status.message());
                Failure::new(NEAP_ERROR_UNREACHABLE, message)
            }
            (code, detail) => Failure {
                code: number(code),
                message: status.message().to_owned(),
                detail: Box::new(detail.unwrap_or_default()),
            },
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Failure {
        let code = match &error {
            ConnectError::NotPermitted(_) => NEAP_ERROR_NOT_PERMITTED,
            ConnectError::Address(_) | ConnectError::Tls(_) | ConnectError::Plain(_) => NEAP_ERROR_ARGUMENT,
            _ => NEAP_ERROR_UNREACHABLE,
        };
        Failure::new(code, error.to_string())
    }
}

fn number(code: Code) -> i32 {
    match code {
        Code::Ok => NEAP_OK,
        Code::InvalidArgument | Code::Unimplemented | Code::OutOfRange => NEAP_ERROR_ARGUMENT,
        Code::NotFound => NEAP_ERROR_NO_PROCESS,
        Code::FailedPrecondition | Code::AlreadyExists => NEAP_ERROR_REFUSED,
        Code::Unavailable => NEAP_ERROR_UNREACHABLE,
        Code::PermissionDenied | Code::Unauthenticated => NEAP_ERROR_NOT_PERMITTED,
        Code::DeadlineExceeded => NEAP_ERROR_TIMED_OUT,
        _ => NEAP_ERROR_FAILED,
    }
}

thread_local! {
    static LAST: RefCell<(i32, CString)> = RefCell::default();
}

/// Keeps it as this thread's last error.
pub(crate) fn remember(failure: &Failure) {
    let text = CString::new(failure.message.replace('\0', "\\0")).unwrap_or_default();
    // A thread that is at its end has nobody to tell.
    let _ = LAST.try_with(|last| *last.borrow_mut() = (failure.code, text));
}

/// The code of this thread's last error.
pub(crate) fn last_code() -> i32 {
    LAST.try_with(|last| last.borrow().0).unwrap_or(NEAP_OK)
}

/// The text of this thread's last error: good until the next one.
pub(crate) fn last_text() -> *const c_char {
    LAST.try_with(|last| last.borrow().1.as_ptr()).unwrap_or(<&CStr>::default().as_ptr())
}
