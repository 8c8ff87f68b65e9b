//! What a program is executed with: for a command that is to run beside a process.

use tonic::{Request, Status};

use super::fault::Fault;
use super::instance::{Served, blocking};
use super::proto::v1;

/// Tells it, secrets included.
pub(super) async fn environment(
    served: &Served,
    request: Request<v1::GetEnvironmentRequest>,
) -> Result<v1::GetEnvironmentResponse, Status> {
    let found = served.one(request.into_inner().name).await?;
    let process = served.handle(&found);
    let looked_up = blocking(move || process.beside()).await?;
    let (spec, beside) = looked_up.map_err(|error| Fault::of(&error, Some(&found.status.name)))?;
    let ids = beside.account.ids;
    Ok(v1::GetEnvironmentResponse {
        env: beside.env.into_iter().map(std::ffi::CString::into_bytes).collect(),
        working_dir: beside.directory.to_string_lossy().into_owned(),
        uid: ids.as_ref().map(|ids| ids.uid),
        gid: ids.as_ref().map(|ids| ids.gid),
        groups: ids.map(|ids| ids.groups).unwrap_or_default(),
        umask: spec.umask,
    })
}
