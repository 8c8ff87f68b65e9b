//! The service `process_manager.ProcessManager`, for the clients of the system that Neap follows.

mod create;
mod fields;
mod health;
mod update;
mod usage;
mod view;

use std::time::{Duration, SystemTime};

use tonic::{Request, Response, Status};

use super::act::{Act, Patience, act};
use super::backend::ApplyRequest;
use super::define::{Wish, add, amend, defined, refuse_needed};
use super::fault::Fault;
use super::instance::{Counts, Served};
use super::proto::process_manager as pm;
use super::proto::process_manager::process_manager_server::ProcessManager;
use fields::Names;

/// Answers for an instance.
pub(super) struct ProcessManagerService {
    served: Served,
}

type Answer<T> = Result<Response<T>, Status>;

impl ProcessManagerService {
    pub(super) fn new(served: Served) -> Self {
        ProcessManagerService { served }
    }
}

#[tonic::async_trait]
impl ProcessManager for ProcessManagerService {
    async fn create(&self, request: Request<pm::CreateRequest>) -> Answer<pm::CreateResponse> {
        let served = self.served.for_caller(&request);
        let names = |fault| Names::Create.rename(fault);
        let spec = create::changes(request.into_inner()).and_then(defined).map_err(names)?;
        let (kind, starts) = (spec.process_type, spec.auto_start);
        let (made, _) = add(&served, spec, false).await.map_err(names)?;
        let made = made.ok_or_else(|| Fault::not_found("", "it was deleted right after it was made"))?;
        let now = if starts { create::begun(served.handle(&made), kind).await? } else { made.status.state };
        Ok(Response::new(pm::CreateResponse { id: made.uuid, state: view::state(now).into() }))
    }

    async fn start(&self, request: Request<pm::StartRequest>) -> Answer<pm::StartResponse> {
        let served = self.served.for_caller(&request);
        let found = served.one(request.into_inner().id).await?;
        let started = served.handle(&found).start().await;
        let now = started.map_err(|error| Fault::of(&error, Some(&found.status.name)))?;
        Ok(Response::new(pm::StartResponse { state: view::state(now).into() }))
    }

    async fn stop(&self, request: Request<pm::StopRequest>) -> Answer<pm::StopResponse> {
        let served = self.served.for_caller(&request);
        let found = served.one(request.into_inner().id).await?;
        let stopped = served.handle(&found).stop().await;
        let now = stopped.map_err(|error| Fault::of(&error, Some(&found.status.name)))?;
        Ok(Response::new(pm::StopResponse { state: view::state(now).into() }))
    }

    async fn list(&self, _: Request<pm::ListRequest>) -> Answer<pm::ListResponse> {
        let all = self.served.all().await?;
        Ok(Response::new(pm::ListResponse { processes: all.iter().map(view::process).collect() }))
    }

    async fn reload_config(&self, request: Request<pm::ReloadConfigRequest>) -> Answer<pm::ReloadConfigResponse> {
        let served = self.served.for_caller(&request);
        served.apply(ApplyRequest::default()).await?;
        Ok(Response::new(pm::ReloadConfigResponse {}))
    }

    async fn describe(&self, request: Request<pm::DescribeRequest>) -> Answer<pm::DescribeResponse> {
        let found = self.served.one(request.into_inner().id).await?;
        Ok(Response::new(pm::DescribeResponse { detail: Some(view::detail(&found)) }))
    }

    async fn delete(&self, request: Request<pm::DeleteRequest>) -> Answer<pm::DeleteResponse> {
        let served = self.served.for_caller(&request);
        let pm::DeleteRequest { id, force } = request.into_inner();
        let found = served.one(id).await?;
        refuse_needed(&served, std::slice::from_ref(&found)).await?;
        act(&served, vec![found.uuid], Act::Delete { force }, Patience::default()).await?;
        served.settle().await?;
        Ok(Response::new(pm::DeleteResponse {}))
    }

    async fn get_resource_usage(
        &self,
        request: Request<pm::GetResourceUsageRequest>,
    ) -> Answer<pm::GetResourceUsageResponse> {
        let found = self.served.one(request.into_inner().id).await?;
        let usage = Some(usage::of(&self.served, &found).await?);
        Ok(Response::new(pm::GetResourceUsageResponse { usage }))
    }

    async fn update(&self, request: Request<pm::UpdateRequest>) -> Answer<pm::UpdateResponse> {
        let served = self.served.for_caller(&request);
        let request = request.into_inner();
        let wish = Wish { restart_process: request.restart_process, dry_run: request.dry_run };
        let found = served.one(request.id.clone()).await?;
        let names = |fault| Names::Update.rename(fault);
        let spec = update::changes(request, &found.spec).and_then(|changes| changes.of(&found)).map_err(names)?;
        let amended = amend(&served, &found, spec, wish).await.map_err(names)?;
        Ok(Response::new(pm::UpdateResponse {
            updated_fields: Names::Update.of(&amended.change.paths()),
            restart_required_fields: Names::Update.of(&amended.change.needs_restart()),
            process_restarted: amended.restarted,
        }))
    }

    async fn get_status(&self, _: Request<pm::GetStatusRequest>) -> Answer<pm::GetStatusResponse> {
        let counts = Counts::of(&self.served.all().await?);
        let info = self.served.info();
        let uptime = SystemTime::now().duration_since(info.started_at).unwrap_or(Duration::ZERO);
        Ok(Response::new(pm::GetStatusResponse {
            ready: info.ready,
            version: info.version,
            uptime_seconds: uptime.as_secs(),
            total_processes: counts.total,
            running_processes: counts.running,
            stopped_processes: counts.stopped,
            failed_processes: counts.failed,
            // The engine has answered for all of the above.
            supervisor_healthy: true,
            repository_healthy: true,
            config_path: info.config_path.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default(),
        }))
    }
}
