//! What a configuration has said so far, kept beside the Lua state while it is evaluated.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mlua::{Lua, Table};

use super::convert::{Budget, Converter, Mistake};
use super::functions::Functions;
use super::host::{Host, Phase};
use super::positions::SourceMap;
use super::problem::{Site, problem_at};
use crate::spec::{FunctionId, Node, Plan, Problem, Value};
use crate::yaml::{Definition, Document};

/// What `neap.settings` said about the instance. Keys that were not given are `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// After this long a shutdown kills what is left.
    pub shutdown_timeout: Option<Duration>,
    /// `trace`, `debug`, `info`, `warn` or `error`.
    pub log_level: Option<String>,
    /// `text`, `json` or `datadog`.
    pub log_format: Option<String>,
    /// Which groups may do what.
    pub roles: Vec<RoleOfGroup>,
    /// Where the page of metrics is served.
    pub metrics: Vec<String>,
    /// Whether it may be reached from other machines.
    pub metrics_beyond_loopback: bool,
    /// Which agent is sent datagrams, and how.
    pub dogstatsd: Option<DogStatsdSettings>,
    /// The file that says so.
    pub file: Option<String>,
    /// The line there that each key stands on.
    pub lines: BTreeMap<String, u32>,
}

/// Which agent is sent DogStatsD datagrams, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DogStatsdSettings {
    /// `udp:HOST:PORT`, or `unix:PATH`.
    pub address: String,
    /// Tags of everything: `env:prod`.
    pub tags: Vec<String>,
    /// How often.
    pub interval: Option<Duration>,
    /// Before every name.
    pub prefix: Option<String>,
}

/// What a group may do with the instance.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoleOfGroup {
    /// `observer`, `operator` or `admin`.
    pub role: String,
    /// The group's name, or its number in digits. Whether there is such a group is not known yet.
    pub group: String,
    /// Where this stands.
    pub file: Option<String>,
    /// Its line there.
    pub line: Option<u32>,
}

/// A function for events of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handler {
    /// `process.<state>`, `process.listening`, `process.oom`, `process.pids_limit`, `health.<status>`, `config.applied` or
    /// `config.refused`.
    pub topic: String,
    /// What is called, with the event as a table.
    pub function: FunctionId,
}

/// A function that is called again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    /// From the end of one call to the start of the next.
    pub interval: Duration,
    /// What is called, without arguments.
    pub function: FunctionId,
}

/// What a configuration declared.
#[derive(Clone, Debug, Default)]
pub struct Declared {
    /// The processes.
    pub plan: Plan,
    /// What it says about the instance.
    pub settings: Settings,
    /// Its handlers, in the order of their declaration.
    pub handlers: Vec<Handler>,
    /// Its timers, in the order of their declaration.
    pub timers: Vec<Timer>,
}

/// Keys and values of a process's table.
pub(super) type Fields = Vec<(String, Node)>;

/// Fields that processes share.
pub(super) type Layer = Arc<Fields>;

/// A process as it was declared.
pub(super) struct Declaration {
    /// Its name.
    pub(super) name: Arc<str>,
    /// Where.
    pub(super) site: Site,
    /// What it says.
    pub(super) body: Body,
}

/// What a declaration says.
pub(super) enum Body {
    /// A table of a script, over what it starts from.
    Table {
        /// Fields it starts from, the outermost first.
        layers: Vec<Layer>,
        /// Its own fields.
        fields: Fields,
    },
    /// A process of a YAML file, in its dialect: nothing is laid under it.
    Yaml(Box<Definition>),
}

impl Declaration {
    /// Whether a script wrote it, so that the configuration's defaults are under it.
    pub(super) fn is_scripts(&self) -> bool {
        matches!(self.body, Body::Table { .. })
    }
}

/// The record of one evaluation.
pub(super) struct Evaluation {
    /// The sources, for places.
    pub(super) sources: SourceMap,
    /// The functions that were given away.
    pub(super) functions: Functions,
    /// Processes, in the order of their declaration.
    pub(super) declared: Vec<Declaration>,
    /// The YAML files that scripts took, by what messages call them, with the names of their processes.
    pub(super) taken: BTreeMap<String, Vec<Arc<str>>>,
    /// The YAML files of a folder, in the order of reading: what they declare is known once all were read.
    pub(super) folder: Vec<Document>,
    /// Processes named but not yet given their table.
    pub(super) pending: Vec<(Arc<str>, Site)>,
    /// Groups, by name, with their place and their members.
    pub(super) groups: BTreeMap<String, (Site, Vec<Arc<str>>)>,
    /// Fields that every process starts from.
    pub(super) defaults: Option<(Layer, Site)>,
    /// What was said about the instance.
    pub(super) settings: Option<(Settings, Site)>,
    /// Handlers so far.
    pub(super) handlers: Vec<Handler>,
    /// Timers so far.
    pub(super) timers: Vec<Timer>,
    /// Whether a declared process could not be taken in: what others say about it is then not looked at.
    pub(super) incomplete: bool,
    host: Host,
    budget: Budget,
}

impl Evaluation {
    /// A new record.
    pub(super) fn new(host: Host) -> Self {
        Evaluation {
            sources: SourceMap::default(),
            functions: Functions::new(host.clone()),
            declared: Vec::new(),
            taken: BTreeMap::new(),
            folder: Vec::new(),
            pending: Vec::new(),
            groups: BTreeMap::new(),
            defaults: None,
            settings: None,
            handlers: Vec::new(),
            timers: Vec::new(),
            incomplete: false,
            host,
            budget: Budget::default(),
        }
    }

    /// Works with the record of this state. `work` must not call into the script, nor this function.
    pub(super) fn with<T>(lua: &Lua, work: impl FnOnce(&mut Evaluation) -> T) -> mlua::Result<T> {
        let missing = || mlua::Error::runtime("the neap module is used outside a configuration");
        let mut evaluation = lua.try_app_data_mut::<Evaluation>().map_err(|_| missing())?.ok_or_else(missing)?;
        Ok(work(&mut evaluation))
    }

    /// The surroundings of this state.
    pub(super) fn host(lua: &Lua) -> mlua::Result<Host> {
        Evaluation::with(lua, |evaluation| evaluation.host.clone())
    }

    /// The unique number of a place's line.
    pub(super) fn number(&mut self, site: &Site) -> u32 {
        let (Some(file), Some(line)) = (&site.file, site.line) else { return 0 };
        if !self.sources.knows(file) {
            let content = self.host.reader().content(file);
            self.sources.add(file, content.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok()));
        }
        self.sources.number(file, line)
    }

    /// Reads the table that the call at `site` was given; `hint` is the word before its `{`.
    pub(super) fn fields(&mut self, table: &Table, site: &Site, hint: &str) -> Result<Vec<(String, Node)>, Mistake> {
        let line = self.number(site);
        let (keys, offset) = match (&site.file, site.line) {
            (Some(file), Some(line)) => (self.sources.keys_of_call(file, line, hint), self.sources.number(file, 0)),
            _ => (None, 0),
        };
        self.renew_budget();
        Converter::new(&mut self.functions, &mut self.budget, offset).fields(table, keys.as_ref(), line)
    }

    /// At run time each call has an allowance of its own: what the calls before it took is no longer there.
    fn renew_budget(&mut self) {
        if self.host.phase() == Phase::RunTime {
            self.budget = Budget::default();
        }
    }

    /// Counts what a process takes over from what it starts from, as that is laid out for each process anew. False when
    /// the configuration's allowance is used up.
    pub(super) fn spend_layers(&mut self, layers: &[Layer]) -> bool {
        let defaults = self.defaults.iter().map(|(layer, _)| layer);
        let nodes = defaults.chain(layers).map(|layer| nodes_of(layer)).sum();
        self.spend(nodes)
    }

    /// Counts as many values. False when the configuration's allowance is used up.
    pub(super) fn spend(&mut self, nodes: usize) -> bool {
        self.budget.spend(nodes, 0)
    }

    /// Reads one value given to the call at `site`.
    pub(super) fn node(&mut self, value: &mlua::Value, site: &Site) -> Result<Node, Mistake> {
        let line = self.number(site);
        Converter::new(&mut self.functions, &mut self.budget, 0).node(value, None, line)
    }

    /// The place that a unique line number stands for, else the call's.
    pub(super) fn place(&self, number: u32, otherwise: &Site) -> Site {
        match self.sources.resolve(number) {
            Some((file, line)) => Site { file: Some(file.to_owned()), line: Some(line) },
            None => otherwise.clone(),
        }
    }

    /// A mistake as a problem with file and line.
    pub(super) fn problem(&self, call: &Site, process: Option<&str>, mistake: Mistake) -> Problem {
        let place = self.place(mistake.line, call);
        let field = Some(mistake.path.as_str()).filter(|path| !path.is_empty());
        problem_at(&place, process, field, mistake.message)
    }
}

/// How many values these fields come to.
pub(super) fn nodes_of(fields: &[(String, Node)]) -> usize {
    fn of(node: &Node) -> usize {
        match &node.value {
            Value::List(items) => 1 + items.iter().map(of).sum::<usize>(),
            Value::Map(fields) | Value::Made { fields, .. } => 1 + nodes_of(fields),
            _ => 1,
        }
    }
    fields.iter().map(|(_, node)| of(node)).sum()
}
