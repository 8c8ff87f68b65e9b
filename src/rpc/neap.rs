//! The service `neap.v1.Neap`.

use std::path::PathBuf;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use prost_types::Timestamp;
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use super::act::{Act, Patience, act};
use super::convert::{process, state_named, states};
use super::fault::Fault;
use super::foresee::{Step, foresee};
use super::instance::{Counts, Served, blocking};
use super::logs::Reading;
use super::proto::v1;
use super::proto::v1::neap_server::Neap;
use super::roles::Role;
use super::select::Found;
use super::spec::spec;
use super::watch::Watching;
use super::{define, environment, eval, graph, plan, stats, why};
use crate::spec::{Limits, Signal, Spec};

/// Answers for an instance.
pub(super) struct NeapService {
    served: Served,
}

type Answer<T> = Result<Response<T>, Status>;
pub(super) type Streaming<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl NeapService {
    pub(super) fn new(served: Served) -> Self {
        NeapService { served }
    }

    async fn foresee(&self, names: Vec<String>, step: Step) -> Result<Vec<v1::Outcome>, Status> {
        let asked = self.served.asked(names).await?;
        Ok(foresee(&self.served.all().await?, &asked, step))
    }
}

#[tonic::async_trait]
impl Neap for NeapService {
    async fn get_status(&self, request: Request<v1::GetStatusRequest>) -> Answer<v1::GetStatusResponse> {
        let all = self.served.all().await?;
        let counts = Counts::of(&all);
        let info = self.served.info();
        let uptime = SystemTime::now().duration_since(info.started_at).unwrap_or(Duration::ZERO);
        let promises = info.promises.into_iter().map(|p| v1::Promise { what: p.what, kept: p.kept, why: p.why });
        let role = request.extensions().get::<Role>().map_or("", |role| role.as_str());
        Ok(Response::new(v1::GetStatusResponse {
            pid: info.pid,
            anchor_pid: info.anchor_pid,
            version: info.version,
            ready: info.ready,
            started_at: Some(Timestamp::from(info.started_at)),
            uptime_seconds: uptime.as_secs(),
            config_path: info.config_path.map(|path| text(&path)),
            generation: info.generation,
            refused: info.refused,
            total_processes: counts.total,
            running_processes: counts.running,
            stopped_processes: counts.stopped,
            failed_processes: counts.failed,
            states: Some(states(&all)),
            degraded: info.degraded,
            promises: promises.collect(),
            instance: info.instance,
            runtime_dir: text(&info.runtime_dir),
            state_dir: text(&info.state_dir),
            socket: text(&info.socket),
            role: role.to_owned(),
            sequence: self.served.supervisor().shared().events.newest(),
        }))
    }

    async fn list(&self, request: Request<v1::ListRequest>) -> Answer<v1::ListResponse> {
        let found = self.served.these(request.into_inner().names).await?;
        Ok(Response::new(v1::ListResponse { processes: found.iter().map(process).collect() }))
    }

    async fn describe(&self, request: Request<v1::DescribeRequest>) -> Answer<v1::DescribeResponse> {
        let found = self.served.these(request.into_inner().names).await?;
        let all = self.served.all().await?;
        let mut processes: Vec<v1::ProcessDetail> = found.iter().map(|one| detail(one, &all)).collect();
        for (one, told) in found.iter().zip(&mut processes) {
            if !one.spec.listen.is_empty() {
                told.listeners = listeners(&self.served, one, &all).await?;
            }
            if one.spec.limits != Limits::default() {
                told.limits = limits(&self.served, one).await?;
            }
        }
        Ok(Response::new(v1::DescribeResponse { processes }))
    }

    async fn start(&self, request: Request<v1::StartRequest>) -> Answer<v1::StartResponse> {
        let served = self.served.for_caller(&request);
        let v1::StartRequest { names, no_wait, timeout, dry_run } = request.into_inner();
        let outcomes = if dry_run {
            self.foresee(names, Step::Start).await?
        } else {
            act(&served, names, Act::Start, Patience { no_wait, timeout }).await?
        };
        Ok(Response::new(v1::StartResponse { outcomes }))
    }

    async fn stop(&self, request: Request<v1::StopRequest>) -> Answer<v1::StopResponse> {
        let served = self.served.for_caller(&request);
        let v1::StopRequest { names, no_wait, timeout, dry_run } = request.into_inner();
        let outcomes = if dry_run {
            self.foresee(names, Step::Stop).await?
        } else {
            act(&served, names, Act::Stop, Patience { no_wait, timeout }).await?
        };
        Ok(Response::new(v1::StopResponse { outcomes }))
    }

    async fn restart(&self, request: Request<v1::RestartRequest>) -> Answer<v1::RestartResponse> {
        let served = self.served.for_caller(&request);
        let v1::RestartRequest { names, no_wait, timeout, dry_run } = request.into_inner();
        let outcomes = if dry_run {
            self.foresee(names, Step::Restart).await?
        } else {
            act(&served, names, Act::Restart, Patience { no_wait, timeout }).await?
        };
        Ok(Response::new(v1::RestartResponse { outcomes }))
    }

    async fn reload(&self, request: Request<v1::ReloadRequest>) -> Answer<v1::ReloadResponse> {
        let served = self.served.for_caller(&request);
        let v1::ReloadRequest { names, no_wait, timeout } = request.into_inner();
        let outcomes = act(&served, names, Act::Reload, Patience { no_wait, timeout }).await?;
        Ok(Response::new(v1::ReloadResponse { outcomes }))
    }

    async fn signal(&self, request: Request<v1::SignalRequest>) -> Answer<v1::SignalResponse> {
        let served = self.served.for_caller(&request);
        let v1::SignalRequest { names, signal } = request.into_inner();
        let shown: String = signal.chars().take(40).flat_map(char::escape_debug).collect();
        let signal = Signal::from_name(&signal).ok_or_else(|| {
            Fault::invalid("signal", format!("`{shown}` is none; write \"TERM\", \"SIGTERM\" or \"15\""))
        })?;
        let outcomes = act(&served, names, Act::Signal(signal), Patience::default()).await?;
        Ok(Response::new(v1::SignalResponse { outcomes }))
    }

    async fn wait(&self, request: Request<v1::WaitRequest>) -> Answer<v1::WaitResponse> {
        let served = self.served.for_caller(&request);
        let v1::WaitRequest { names, states, timeout } = request.into_inner();
        let known = states.into_iter().map(|number| {
            let state = state_named(number).ok().flatten();
            state.ok_or_else(|| Fault::invalid("states", format!("{number} is no state")))
        });
        let mut states = known.collect::<Result<Vec<_>, _>>()?;
        states.sort_unstable();
        states.dedup();
        let outcomes = act(&served, names, Act::Wait(states), Patience { no_wait: false, timeout }).await?;
        Ok(Response::new(v1::WaitResponse { outcomes }))
    }

    async fn create(&self, request: Request<v1::CreateRequest>) -> Answer<v1::CreateResponse> {
        define::create(&self.served, request).await.map(Response::new)
    }

    async fn update(&self, request: Request<v1::UpdateRequest>) -> Answer<v1::UpdateResponse> {
        define::update(&self.served, request).await.map(Response::new)
    }

    async fn delete(&self, request: Request<v1::DeleteRequest>) -> Answer<v1::DeleteResponse> {
        define::delete(&self.served, request).await.map(Response::new)
    }

    async fn plan(&self, request: Request<v1::PlanRequest>) -> Answer<v1::PlanResponse> {
        plan::plan(&self.served, request).await.map(Response::new)
    }

    async fn apply(&self, request: Request<v1::ApplyRequest>) -> Answer<v1::ApplyResponse> {
        plan::apply(&self.served, request).await.map(Response::new)
    }

    async fn shutdown(&self, request: Request<v1::ShutdownRequest>) -> Answer<v1::ShutdownResponse> {
        self.served.for_caller(&request).shutdown().await?;
        if request.into_inner().no_wait {
            return Ok(Response::new(v1::ShutdownResponse::default()));
        }
        let ended = self.served.supervisor().ended().await.map_err(Fault::from)?;
        let stuck = ended.stuck.iter().map(ToString::to_string).collect();
        Ok(Response::new(v1::ShutdownResponse { exit_code: ended.code, stuck }))
    }

    async fn upgrade(&self, request: Request<v1::UpgradeRequest>) -> Answer<v1::UpgradeResponse> {
        let binary = request.into_inner().binary.map(PathBuf::from);
        if binary.as_ref().is_some_and(|path| !path.is_absolute()) {
            return Err(Fault::invalid("binary", "is not absolute").into());
        }
        self.served.upgrade(binary).await?;
        Ok(Response::new(v1::UpgradeResponse {}))
    }

    type WatchStream = Streaming<v1::WatchResponse>;

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Answer<Self::WatchStream> {
        Ok(Response::new(Box::pin(Watching::new(&self.served, request.into_inner())?)))
    }

    type LogsStream = Streaming<v1::LogsResponse>;

    async fn logs(&self, request: Request<v1::LogsRequest>) -> Answer<Self::LogsStream> {
        Ok(Response::new(Box::pin(Reading::new(&self.served, request.into_inner()).await?)))
    }

    async fn why(&self, request: Request<v1::WhyRequest>) -> Answer<v1::WhyResponse> {
        why::why(&self.served, request).await.map(Response::new)
    }

    async fn graph(&self, request: Request<v1::GraphRequest>) -> Answer<v1::GraphResponse> {
        graph::graph(&self.served, request).await.map(Response::new)
    }

    async fn stats(&self, request: Request<v1::StatsRequest>) -> Answer<v1::StatsResponse> {
        stats::stats(&self.served, request).await.map(Response::new)
    }

    async fn get_environment(&self, request: Request<v1::GetEnvironmentRequest>) -> Answer<v1::GetEnvironmentResponse> {
        environment::environment(&self.served, request).await.map(Response::new)
    }

    type EvalStream = Streaming<v1::EvalResponse>;

    async fn eval(&self, request: Request<tonic::Streaming<v1::EvalRequest>>) -> Answer<Self::EvalStream> {
        eval::eval(&self.served, request).await.map(Response::new)
    }
}

fn detail(one: &Found, all: &[Found]) -> v1::ProcessDetail {
    let name = &one.status.name;
    let by = |relation: fn(&Spec) -> &Vec<String>| {
        let those = all.iter().filter(|other| relation(&other.spec).iter().any(|named| **named == **name));
        those.map(|other| other.status.name.to_string()).collect()
    };
    v1::ProcessDetail {
        process: Some(process(one)),
        spec: Some(spec(&one.spec)),
        file: one.spec.source.file.clone(),
        line: one.spec.source.line,
        required_by: by(|spec| &spec.requires),
        wanted_by: by(|spec| &spec.wants),
        bound_by: by(|spec| &spec.binds_to),
        followed_by: by(|spec| &spec.follows),
        parts: by(|spec| &spec.part_of),
        listeners: Vec::new(),
        limits: Vec::new(),
    }
}

/// Who sees to a process's limits. Of one that was deleted meanwhile there are none.
async fn limits(served: &Served, one: &Found) -> Result<Vec<v1::LimitStatus>, Fault> {
    let handle = served.handle(one);
    let limits = blocking(move || handle.limits().unwrap_or_default()).await?;
    let told = |state: crate::LimitState| v1::LimitStatus {
        limit: state.limit.name().to_owned(),
        value: state.value.map(|value| state.limit.written(value)).unwrap_or_default(),
        enforced_by: state.enforcer.as_str().to_owned(),
        why: Some(state.why).filter(|why| !why.is_empty()),
    };
    Ok(limits.into_iter().map(told).collect())
}

/// A process's listeners. Of one that was deleted meanwhile there are none.
async fn listeners(served: &Served, one: &Found, all: &[Found]) -> Result<Vec<v1::ListenerStatus>, Fault> {
    let handle = served.handle(one);
    let listeners = blocking(move || handle.listeners().unwrap_or_default()).await?;
    let is_instance = |other: &&Found| other.status.instance_of.as_ref() == Some(&one.status.name);
    let instances = all.iter().filter(is_instance).count();
    let told = |listener: crate::ListenerState| v1::ListenerStatus {
        name: listener.name,
        address: listener.address,
        bound: listener.bound,
        instances: listener.accepted.map(|_| u32::try_from(instances).unwrap_or(u32::MAX)),
        accepted: listener.accepted,
    };
    Ok(listeners.into_iter().map(told).collect())
}

fn text(path: &std::path::Path) -> String {
    path.to_string_lossy().into_owned()
}
