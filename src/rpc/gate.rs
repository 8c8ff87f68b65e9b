//! The gate before both services: who calls is looked at before anything of the call is read.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::caller::Caller;
use super::fault::Fault;
use super::roles::{Peer, needed};

/// Puts the gate before a service.
#[derive(Clone, Debug)]
pub(super) struct GateLayer;

/// Lets through who may, with their [`Role`](super::roles::Role) and the [`Caller`] among the request's extensions.
#[derive(Clone, Debug)]
pub(super) struct Gate<S>(S);

impl<S> Layer<S> for GateLayer {
    type Service = Gate<S>;

    fn layer(&self, inner: S) -> Gate<S> {
        Gate(inner)
    }
}

impl<S> Service<Request<Body>> for Gate<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        match admit(request.uri().path(), request.extensions().get::<Peer>().copied()) {
            Ok(caller) => {
                request.extensions_mut().insert(caller.role);
                request.extensions_mut().insert(caller);
                // Tonic's own timer, which goes by the same header, comes a moment later and calls it cancelled.
                let until = timeout(&request).and_then(|timeout| Instant::now().checked_add(timeout));
                let answer = self.0.call(request);
                match until {
                    None => Box::pin(answer),
                    Some(until) => Box::pin(async move {
                        timeout_at(until, answer).await.unwrap_or_else(|_| Ok(out_of_time().into_http()))
                    }),
                }
            }
            Err(fault) => {
                let refused = Status::from(fault).into_http();
                Box::pin(async move { Ok(refused) })
            }
        }
    }
}

fn out_of_time() -> Status {
    let text = "the time that the client gave is up; what was begun goes on";
    Fault::new(Code::DeadlineExceeded, "timed_out", text).into()
}

/// How long the client waits, as it says in the call's headers: up to eight digits and a unit.
fn timeout(request: &Request<Body>) -> Option<Duration> {
    let value = request.headers().get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if digits.len() > 8 {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3_600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// The caller, when its role is enough for the method.
fn admit(method: &str, peer: Option<Peer>) -> Result<Caller, Fault> {
    let denied = |message: String| Fault::new(Code::PermissionDenied, "not_permitted", message);
    let Some(peer) = peer else {
        return Err(denied("the kernel does not say who is calling".into()));
    };
    let Some(role) = peer.role() else {
        let uid = peer.uid;
        return Err(denied(format!("uid {uid} may not use this instance: only its own user and root may")));
    };
    // Nobody may call what the table does not have; that there is no such method is all that is to be said of it.
    let Some(least) = needed(method) else {
        let short: String = method.chars().take(200).collect();
        return Err(Fault::new(Code::Unimplemented, "unimplemented", format!("there is no method {short}")));
    };
    if role < least {
        return Err(denied(format!("this takes the role {}, and you are {}", least.as_str(), role.as_str())));
    }
    Ok(Caller::new(peer, role))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nix::unistd::geteuid;
    use tonic::Code;
    use tonic::body::Body;

    use super::{Request, admit, timeout};
    use crate::rpc::roles::{METHODS, Peer, Role};

    #[test]
    fn strangers_may_do_nothing_and_we_and_root_all() {
        let own = geteuid().as_raw();
        for (method, _) in METHODS {
            for uid in [0, own] {
                let role = admit(method, Some(Peer { uid, pid: None }));
                assert_eq!(role.unwrap().role, Role::Admin, "{method} for {uid}");
            }
            for peer in [None, Some(Peer { uid: own + 4_711, pid: None })] {
                let fault = admit(method, peer).unwrap_err();
                assert_eq!(fault.code, Code::PermissionDenied, "{method} for {peer:?}");
            }
        }
    }

    #[test]
    fn a_clients_patience_is_read_from_its_header() {
        let said =
            |value: &str| timeout(&Request::builder().header("grpc-timeout", value).body(Body::empty()).unwrap());
        assert_eq!(said("200m"), Some(Duration::from_millis(200)));
        assert_eq!(said("99999999H"), Some(Duration::from_secs(99_999_999 * 3_600)));
        for nonsense in ["", "m", "123456789m", "12x", "-1S", "1 S", "1µ"] {
            assert_eq!(said(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn a_method_that_is_in_no_table_is_not_served_even_to_root() {
        let fault = admit("/neap.v1.Neap/Invented", Some(Peer { uid: 0, pid: None })).unwrap_err();
        assert_eq!(fault.code, Code::Unimplemented);
    }
}
