//! Metrics of an instance: the page, and the datagrams.

use super::args::TelemetryArgs;
use super::exit::{Exit, Failure};
use crate::instance::{Instance, Left, page_paths};
use crate::lua::api::Settings;
use crate::rpc::Address;
use crate::telemetry::{AgentAddress, DogStatsd, PageListener, Server, Telemetry};

/// What is asked for.
pub(super) struct Wanted {
    pages: Vec<Address>,
    beyond_loopback: bool,
    agents: Vec<DogStatsd>,
}

/// Reads the flags alone, which are wrong whatever a configuration says.
pub(super) fn asked(args: &TelemetryArgs) -> Result<Wanted, Failure> {
    wanted(args, &Settings::default())
}

/// What the command line says, else the configuration: of the page, and of the agent. What a configuration says of how an
/// agent is sent datagrams holds for one that the command line names, too.
pub(super) fn wanted(args: &TelemetryArgs, settings: &Settings) -> Result<Wanted, Failure> {
    let usage = |text: String| Failure::new(text).exit(Exit::Code(2));
    let (pages, by) = match args.metrics.as_slice() {
        [] => (settings.metrics.as_slice(), "neap.settings: metrics"),
        given => (given, "--metrics"),
    };
    let page = |text: &String| text.parse().map_err(|error| usage(format!("{by}: {error}")));
    let pages = pages.iter().map(page).collect::<Result<Vec<Address>, Failure>>()?;
    let said = settings.dogstatsd.as_ref();
    let agent = |text: &str, by: &str| {
        let address: AgentAddress = text.parse().map_err(|error| usage(format!("{by}: {error}")))?;
        let mut agent = DogStatsd::new(address);
        if let Some(said) = said {
            agent = agent.tags(said.tags.iter().cloned());
            agent = agent.interval(said.interval.unwrap_or(DogStatsd::INTERVAL));
            agent = agent.prefix(said.prefix.as_deref().unwrap_or(DogStatsd::PREFIX));
        }
        Ok(agent)
    };
    let agents = match (args.dogstatsd.as_slice(), said) {
        ([], Some(said)) => vec![agent(&said.address, "neap.settings: dogstatsd.address")?],
        (given, _) => given.iter().map(|text| agent(text, "--dogstatsd")).collect::<Result<_, Failure>>()?,
    };
    Ok(Wanted { pages, beyond_loopback: args.metrics_beyond_loopback || settings.metrics_beyond_loopback, agents })
}

/// What lives as long as there are metrics, and what is to be said of them.
pub(super) struct Shown {
    _server: Option<Server>,
    /// Where the page is, for people.
    pub(super) places: Vec<String>,
    /// What there is not.
    pub(super) lacking: Vec<String>,
}

/// Begins to show them. A first supervisor that cannot is refused; a later one does without, and says so.
pub(super) fn show(instance: &Instance, wanted: Wanted, mut left: Left) -> Result<Shown, Failure> {
    let (mut listeners, mut places, mut lacking) = (Vec::new(), Vec::new(), Vec::new());
    for address in &wanted.pages {
        match left.listen(address, wanted.beyond_loopback, instance.link()) {
            Ok(listener) => {
                places.push(place(address, &listener));
                listeners.push(listener);
            }
            Err(why) if instance.took_over() => lacking.push(format!("metrics: {why}")),
            Err(why) => return Err(Failure::new(format!("metrics: {why}"))),
        }
    }
    left.let_go(instance.link());
    instance.add_doors(page_paths(&wanted.pages));
    if listeners.is_empty() && wanted.agents.is_empty() {
        return Ok(Shown { _server: None, places, lacking });
    }
    let telemetry = Telemetry::about(instance.supervisor(), instance.about());
    let server = match Server::start(&telemetry, listeners, wanted.agents) {
        Ok(server) => Some(server),
        Err(error) if instance.took_over() => {
            lacking.push(format!("metrics: {error}"));
            None
        }
        Err(error) => return Err(Failure::new(format!("metrics: {error}"))),
    };
    Ok(Shown { _server: server, places, lacking })
}

fn place(address: &Address, listener: &PageListener) -> String {
    match listener {
        // With the port that the kernel chose.
        PageListener::Tcp(listener) => {
            listener.local_addr().map_or_else(|_| address.to_string(), |at| format!("http://{at}/metrics"))
        }
        PageListener::Unix(_) => address.to_string(),
    }
}
