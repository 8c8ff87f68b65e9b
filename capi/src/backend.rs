//! A supervisor inside a C program, as the instance behind its calls.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use supervisor::core::Refusal;
use supervisor::rpc::json::Json;
use supervisor::rpc::{ApplyOutcome, ApplyRequest, Backend, Info};
use supervisor::spec::units::parse_duration;
use supervisor::spec::{Problem, Severity};
use supervisor::{Error, Supervisor, yaml};

use crate::failure::Failure;
use crate::ffi::NEAP_ERROR_FAILED;

/// The keys of neap_new's options.
const KEYS: [&str; 10] = [
    "name",
    "base_dir",
    "runtime_dir",
    "log_dir",
    "state_directories",
    "cache_directories",
    "logs_directories",
    "env",
    "shutdown_timeout",
    "cgroups",
];

/// A supervisor without a configuration of its own: what it has is made by calls, or applied from a file that a call names.
pub(crate) struct Embedded {
    supervisor: Supervisor,
    name: String,
    runtime_dir: PathBuf,
    started_at: SystemTime,
    /// Held by the one apply that is under way.
    applying: Mutex<()>,
    live: Mutex<Live>,
}

/// The configuration in force.
#[derive(Clone, Default)]
struct Live {
    generation: u64,
    config: Option<PathBuf>,
}

impl Embedded {
    /// Makes a supervisor as these options have it: a JSON object.
    pub(crate) fn new(options: Option<&str>) -> Result<Embedded, Failure> {
        let wrong = |message: String| Failure::argument("options_json", message);
        let json: Json = match options {
            None => Json::Object(Vec::new()),
            Some(text) => serde_json::from_str(text).map_err(|error| wrong(format!("is not JSON: {error}")))?,
        };
        let Json::Object(entries) = json else { return Err(wrong("is not an object".into())) };
        let mut builder = Supervisor::builder();
        let (mut name, mut runtime_dir) = ("own".to_owned(), PathBuf::new());
        for (key, value) in entries {
            let wrong = |message: &str| Failure::argument("options_json", format!("`{key}` {message}"));
            let text = || value.text().map(str::to_owned).ok_or_else(|| wrong("is not text"));
            builder = match key.as_str() {
                _ if value == Json::Null => builder,
                "name" => {
                    name = text()?;
                    builder
                }
                "base_dir" => builder.base_dir(text()?),
                "runtime_dir" => {
                    runtime_dir = text()?.into();
                    builder.runtime_dir(&runtime_dir)
                }
                "log_dir" => builder.log_dir(text()?),
                "state_directories" => builder.state_directories(text()?),
                "cache_directories" => builder.cache_directories(text()?),
                "logs_directories" => builder.logs_directories(text()?),
                "env" => builder.env(variables(&value).ok_or_else(|| wrong("is not an object of texts"))?),
                "shutdown_timeout" => {
                    let timeout = duration(&value).ok_or_else(|| wrong("is no duration: seconds, or \"1m30s\""))?;
                    builder.shutdown_timeout(timeout)
                }
                "cgroups" => match value {
                    Json::Bool(use_them) => builder.cgroups(use_them),
                    _ => return Err(wrong("is neither true nor false")),
                },
                _ => return Err(wrong(&format!("is no option; there are {}", KEYS.join(", ")))),
            };
        }
        let supervisor = builder.build().map_err(|error| Failure::new(NEAP_ERROR_FAILED, error.to_string()))?;
        Ok(Embedded {
            supervisor,
            name,
            runtime_dir,
            started_at: SystemTime::now(),
            applying: Mutex::default(),
            live: Mutex::default(),
        })
    }
}

fn wrong(message: &str) -> Vec<Problem> {
    let (file, line, process, field) = (None, None, None, None);
    vec![Problem { severity: Severity::Error, file, line, process, field, message: message.to_owned() }]
}

fn variables(value: &Json) -> Option<Vec<(OsString, OsString)>> {
    let Json::Object(entries) = value else { return None };
    let all: Option<BTreeMap<&str, &str>> =
        entries.iter().map(|(name, value)| Some((name.as_str(), value.text()?))).collect();
    Some(all?.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
}

fn duration(value: &Json) -> Option<Duration> {
    match value {
        Json::Int(seconds) => u64::try_from(*seconds).ok().map(Duration::from_secs),
        Json::Float(seconds) => Duration::try_from_secs_f64(*seconds).ok(),
        Json::Text(text) => parse_duration(text).ok(),
        _ => None,
    }
}

impl Embedded {
    fn live(&self) -> Live {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Backend for Embedded {
    fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }

    fn info(&self) -> Info {
        let live = self.live();
        Info {
            instance: self.name.clone(),
            pid: std::process::id(),
            anchor_pid: None,
            version: env!("CARGO_PKG_VERSION").into(),
            started_at: self.started_at,
            ready: true,
            config_path: live.config.clone(),
            generation: live.generation,
            refused: None,
            degraded: Vec::new(),
            promises: Vec::new(),
            runtime_dir: self.runtime_dir.clone(),
            state_dir: PathBuf::new(),
            socket: PathBuf::new(),
        }
    }

    fn apply(&self, request: ApplyRequest) -> Result<ApplyOutcome, Vec<Problem>> {
        let _one_at_a_time = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        let mut live = self.live();
        let Some(config) = request.config.or_else(|| live.config.take()) else {
            return Err(wrong(
                "a supervisor inside a program has no configuration of its own: give `config`, the path of a YAML file or of a \
                 folder of them; or make its processes by neap_create",
            ));
        };
        if config.extension().is_some_and(|extension| extension == "lua") {
            return Err(wrong(
                "a supervisor inside a program knows no Lua: write YAML, or run `neap daemon` and connect to it",
            ));
        }
        let plan = yaml::plan(&config)?;
        let warnings = plan.validate().into_iter().filter(|problem| problem.severity == Severity::Warning).collect();
        let supervisor = match request.caller {
            Some(caller) => self.supervisor.on_behalf_of(caller),
            None => self.supervisor.clone(),
        };
        let changes = match request.dry_run {
            true => supervisor.plan(&plan),
            false => supervisor.apply(plan).wait(),
        };
        let changes = changes.map_err(|error| match error {
            Error::Refused(Refusal::Invalid(error)) => error.problems,
            error => wrong(&error.to_string()),
        })?;
        if !request.dry_run {
            live = Live { generation: live.generation + 1, config: Some(config.clone()) };
            *self.live.lock().unwrap_or_else(PoisonError::into_inner) = live.clone();
        }
        Ok(ApplyOutcome { generation: live.generation, changes, warnings, config: Some(config) })
    }

    fn shutdown(&self, caller: Option<Arc<str>>) {
        // Who asked waits for the end by itself.
        match caller {
            Some(caller) => drop(self.supervisor.on_behalf_of(caller).shutdown()),
            None => drop(self.supervisor.shutdown()),
        }
    }

    fn upgrade(&self, _: Option<PathBuf>) -> Result<(), String> {
        Err("this supervisor is inside a program: there is no binary of its own to replace".to_owned())
    }
}
