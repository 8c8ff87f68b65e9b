//! The calls: each is written once, for a supervisor of the program's own and for one that runs elsewhere.

use std::sync::Arc;
use std::time::Duration;

use supervisor::rpc::json::{self, Json};
use supervisor::rpc::proto::v1::create_request::Definition;
use supervisor::rpc::proto::v1::neap_client::NeapClient;
use supervisor::rpc::proto::v1::update_request::Changes;
use supervisor::rpc::proto::v1::{
    CreateRequest, DeleteRequest, DescribeRequest, GetStatusRequest, ListRequest, Outcome, RestartRequest,
    ShutdownRequest, ShutdownResponse, StartRequest, State, StatsRequest, StopRequest, UpdateRequest, WaitRequest,
};
use supervisor::rpc::{Way, unary};
use tonic::Request;

use crate::failure::Failure;
use crate::ffi::{NEAP_ERROR_FAILED, NEAP_ERROR_TIMED_OUT, NEAP_ERROR_UNREACHABLE};
use crate::instance::{Instance, Work};
use crate::wait::{Patience, Token};

/// An answer may be this large: a list of very many processes.
const LARGEST_ANSWER: usize = 256 << 20;
/// Over so long it is measured what processes use, in milliseconds: as the command line does.
const MEASURED: u64 = 500;
/// A server that keeps time by itself says more of what took so long: it gets this much more.
const GRACE: Duration = Duration::from_secs(2);

/// An answer as JSON.
type Answer = Result<String, Failure>;

/// The client that the proto was made into.
pub(crate) fn client(way: Way) -> NeapClient<Way> {
    NeapClient::new(way).max_decoding_message_size(LARGEST_ANSWER)
}

/// An instance that is asked something, by somebody who may end the wait.
pub(crate) struct Asked {
    instance: Arc<Instance>,
    cancel: Option<Arc<Token>>,
}

/// What a start, a stop or a restart is asked with.
struct Act {
    names: Vec<String>,
    no_wait: bool,
    timeout: Option<u64>,
}

impl Act {
    fn of(name: &str, timeout_ms: i64) -> Act {
        let timeout = u64::try_from(timeout_ms).ok().filter(|timeout| *timeout > 0);
        Act { names: vec![name.to_owned()], no_wait: timeout_ms == 0, timeout }
    }
}

/// Asks, on the way that a call was given: the answer's message.
macro_rules! ask {
    ($way:expr, $call:ident, $request:expr) => {
        client($way).$call(Request::new($request)).await.map_err(Failure::from)?.into_inner()
    };
}

impl Asked {
    pub(crate) fn new(instance: Arc<Instance>, cancel: Option<Arc<Token>>) -> Asked {
        Asked { instance, cancel }
    }

    /// What is answered at once.
    fn quick(&self, work: impl FnOnce(Way) -> Work<String> + Send + 'static) -> Answer {
        let patience = Patience::of(-1, self.cancel.clone()).within(self.instance.patience());
        self.instance.call(&patience, work)
    }

    /// What takes its time.
    fn slow(&self, timeout_ms: i64, work: impl FnOnce(Way) -> Work<String> + Send + 'static) -> Answer {
        let patience = match timeout_ms {
            // Nothing is waited for but the answer.
            0 => Patience::of(-1, self.cancel.clone()).within(self.instance.patience()),
            _ => Patience::of(timeout_ms, self.cancel.clone()).later(GRACE),
        };
        self.instance.call(&patience, work)
    }

    pub(crate) fn create(&self, name: &str, spec: &str, auto_start: bool) -> Answer {
        let mut fields = object("spec_json", spec)?;
        match fields.iter().find(|(key, _)| key == "name").map(|(_, value)| value) {
            Some(Json::Text(other)) if other != name => {
                let text =
                    format!("its `name` is \"{}\", and name is \"{}\"", other.escape_debug(), name.escape_debug());
                return Err(Failure::argument("spec_json", text));
            }
            _ => fields.retain(|(key, _)| key != "name"),
        }
        fields.insert(0, ("name".into(), Json::Text(name.to_owned())));
        if auto_start {
            fields.retain(|(key, _)| key != "auto_start");
            fields.push(("auto_start".into(), Json::Bool(true)));
        }
        let definition = Some(Definition::Json(Json::Object(fields).line()));
        let request = CreateRequest { definition, dry_run: false };
        self.quick(|way| Box::pin(async move { Ok(json::line(&ask!(way, create, request))) }))
    }

    pub(crate) fn start(&self, name: &str, timeout_ms: i64) -> Answer {
        let Act { names, no_wait, timeout } = Act::of(name, timeout_ms);
        let request = StartRequest { names, no_wait, timeout, dry_run: false };
        self.slow(timeout_ms, move |way| {
            Box::pin(async move { outcomes(ask!(way, start, request).outcomes, !no_wait) })
        })
    }

    pub(crate) fn stop(&self, name: &str, timeout_ms: i64) -> Answer {
        let Act { names, no_wait, timeout } = Act::of(name, timeout_ms);
        let request = StopRequest { names, no_wait, timeout, dry_run: false };
        self.slow(timeout_ms, move |way| Box::pin(async move { outcomes(ask!(way, stop, request).outcomes, false) }))
    }

    pub(crate) fn restart(&self, name: &str, timeout_ms: i64) -> Answer {
        let Act { names, no_wait, timeout } = Act::of(name, timeout_ms);
        let request = RestartRequest { names, no_wait, timeout, dry_run: false };
        self.slow(timeout_ms, move |way| {
            Box::pin(async move { outcomes(ask!(way, restart, request).outcomes, !no_wait) })
        })
    }

    pub(crate) fn delete(&self, name: &str, force: bool) -> Answer {
        let request = DeleteRequest { names: vec![name.to_owned()], force, timeout: None };
        self.slow(-1, move |way| Box::pin(async move { outcomes(ask!(way, delete, request).outcomes, false) }))
    }

    /// `states`: words with commas between; up (running or exited) unless given.
    pub(crate) fn wait(&self, name: &str, states: Option<&str>, timeout_ms: i64) -> Answer {
        let wanted = states_of(states)?;
        let names = vec![name.to_owned()];
        if timeout_ms == 0 {
            let (wanted, names) = (wanted.clone(), names.clone());
            self.quick(move |way| {
                Box::pin(async move {
                    let found = ask!(way, list, ListRequest { names }).processes;
                    let is = |state: State| match wanted[..] {
                        // That it failed is an answer, too, and the wait below has the words for it.
                        [] => matches!(state, State::Running | State::Exited | State::Failed | State::Crashed),
                        _ => wanted.contains(&state.into()),
                    };
                    match found.iter().find(|process| !is(process.state())) {
                        None => Ok(String::new()),
                        Some(other) => {
                            let text = format!("`{}` is {}", other.name, word(other.state()));
                            Err(Failure::new(NEAP_ERROR_TIMED_OUT, text).of_process(&other.name))
                        }
                    }
                })
            })?;
        }
        // What is so already is answered at once; unless it has changed meanwhile, which a second will show.
        let timeout = if timeout_ms == 0 { 1_000 } else { timeout_ms };
        let request = WaitRequest { names, states: wanted, timeout: u64::try_from(timeout).ok() };
        self.slow(timeout, move |way| Box::pin(async move { outcomes(ask!(way, wait, request).outcomes, false) }))
    }

    pub(crate) fn list(&self) -> Answer {
        self.quick(|way| {
            Box::pin(async move {
                let mut processes = ask!(way, list, ListRequest::default()).processes;
                processes.sort_by(|a, b| a.name.cmp(&b.name));
                Ok(json::lines(&processes))
            })
        })
    }

    pub(crate) fn describe(&self, name: &str) -> Answer {
        let name = name.to_owned();
        self.quick(move |way| {
            Box::pin(async move {
                let found = ask!(way, describe, DescribeRequest { names: vec![name.clone()] }).processes;
                // One process is one object; a glob makes it a list, whatever it finds.
                Ok(match &found[..] {
                    [one] if !name.contains(['*', '?']) => json::line(one),
                    all => json::lines(all),
                })
            })
        })
    }

    pub(crate) fn update(&self, name: &str, spec: &str, restart: bool) -> Answer {
        let changes = Json::Object(object("spec_json", spec)?).line();
        let request = UpdateRequest {
            name: name.to_owned(),
            changes: Some(Changes::Json(changes)),
            restart_process: restart,
            ..UpdateRequest::default()
        };
        let work = |way| -> Work<String> { Box::pin(async move { Ok(json::line(&ask!(way, update, request))) }) };
        if restart { self.slow(-1, work) } else { self.quick(work) }
    }

    pub(crate) fn stats(&self, name: Option<&str>) -> Answer {
        let names = name.map(str::to_owned).into_iter().collect();
        let request = StatsRequest { names, interval: Some(MEASURED) };
        let patience = Patience::of(-1, self.cancel.clone()).within(self.instance.patience());
        let work =
            |way| -> Work<String> { Box::pin(async move { Ok(json::lines(&ask!(way, stats, request).processes)) }) };
        self.instance.call(&patience.later(Duration::from_millis(MEASURED)), work)
    }

    pub(crate) fn status(&self) -> Answer {
        self.quick(|way| Box::pin(async move { Ok(json::line(&ask!(way, get_status, GetStatusRequest {}))) }))
    }

    pub(crate) fn shutdown(&self, timeout_ms: i64) -> Answer {
        let request = ShutdownRequest { no_wait: timeout_ms == 0 };
        let patience = match timeout_ms {
            0 => Patience::of(-1, self.cancel.clone()).within(self.instance.patience()),
            // Nobody else keeps this time.
            _ => Patience::of(timeout_ms, self.cancel.clone()),
        };
        let work = move |way| -> Work<String> {
            Box::pin(async move {
                let response = match client(way).shutdown(Request::new(request)).await.map_err(Failure::from) {
                    Ok(response) => response.into_inner(),
                    // It ended before it could answer, which is what was asked for.
                    Err(failure) if failure.code == NEAP_ERROR_UNREACHABLE => ShutdownResponse::default(),
                    Err(failure) => return Err(failure),
                };
                if !response.stuck.is_empty() {
                    let text = format!("these would not die: {}", response.stuck.join(", "));
                    return Err(Failure::new(NEAP_ERROR_FAILED, text));
                }
                Ok(json::line(&response))
            })
        };
        self.instance.call(&patience, work)
    }

    /// Any call of the service that is one question and one answer.
    pub(crate) fn call(&self, name: &str, request: Option<&str>) -> Answer {
        let Some(method) = json::method(name).filter(|method| !method.streams) else {
            let plain = json::methods().into_iter().filter(|method| !method.streams);
            let names: Vec<&str> = plain.map(|method| method.name).collect();
            let text = format!("there is no call `{}`; there are {}", name.escape_debug(), names.join(", "));
            return Err(Failure::argument("method", text));
        };
        let request = json::read(method.request, request.unwrap_or("{}"));
        let request = request.map_err(|error| Failure::argument("request_json", error.to_string()))?;
        self.slow(-1, move |way| {
            Box::pin(async move {
                let answer = unary(way, &method.path, request, LARGEST_ANSWER).await?;
                Ok(json::text_of(method.response, &answer))
            })
        })
    }
}

/// The fields of a JSON object.
fn object(argument: &str, text: &str) -> Result<Vec<(String, Json)>, Failure> {
    match serde_json::from_str(text) {
        Ok(Json::Object(fields)) => Ok(fields),
        Ok(_) => Err(Failure::argument(argument, "is not an object with the keys of a process")),
        Err(error) => Err(Failure::argument(argument, format!("is not JSON: {error}"))),
    }
}

fn states_of(words: Option<&str>) -> Result<Vec<i32>, Failure> {
    let words = words.unwrap_or_default().split(',').map(str::trim).filter(|word| !word.is_empty());
    let number = |word: &str| {
        let state = State::from_str_name(&format!("STATE_{}", word.to_ascii_uppercase()));
        let state = state.filter(|state| *state != State::Unspecified && word.chars().all(|c| c.is_ascii_lowercase()));
        let wrong = || Failure::argument("state", format!("`{}` is no state; write running, say", word.escape_debug()));
        state.map(i32::from).ok_or_else(wrong)
    };
    words.map(number).collect()
}

fn word(state: State) -> String {
    state.as_str_name().trim_start_matches("STATE_").to_ascii_lowercase()
}

/// What each came to; the first that did not come to what was asked makes it an error. `started`: they are to be up.
fn outcomes(outcomes: Vec<Outcome>, started: bool) -> Answer {
    let all = outcomes.iter().map(Json::of).collect();
    for outcome in outcomes {
        let down = matches!(outcome.state(), State::Failed | State::Crashed | State::Backoff);
        if let Some(error) = outcome.error {
            return Err(Failure::of_outcome(&outcome.name, error));
        }
        if started && down {
            let because = outcome.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
            let text = format!("`{}` was started, and is {}{because}", outcome.name, word(outcome.state()));
            return Err(Failure::new(NEAP_ERROR_FAILED, text).of_process(&outcome.name));
        }
    }
    Ok(Json::Object(vec![("outcomes".into(), Json::List(all))]).line())
}
