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

use super::accept::Visitor;
use super::access::Access;
use super::caller::Caller;
use super::fault::Fault;
use super::roles::{Peer, Role, needed};

/// Puts the gate before a service.
#[derive(Clone, Debug)]
pub(super) struct GateLayer(pub(super) Access);

/// Lets through who may, with their [`Role`](super::roles::Role) and the [`Caller`] among the request's extensions.
#[derive(Clone, Debug)]
pub(super) struct Gate<S>(S, Access);

impl<S> Layer<S> for GateLayer {
    type Service = Gate<S>;

    fn layer(&self, inner: S) -> Gate<S> {
        Gate(inner, self.0.clone())
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
        let visitor = request.extensions().get::<Visitor>();
        if let Some(visitor) = visitor {
            visitor.has_called();
        }
        match admit(request.uri().path(), visitor.map(Visitor::peer), &self.1) {
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
fn admit(method: &str, peer: Option<&Peer>, access: &Access) -> Result<Caller, Fault> {
    let denied = |message: String| Fault::new(Code::PermissionDenied, "not_permitted", message);
    let Some(peer) = peer else {
        return Err(denied("the kernel does not say who is calling".into()));
    };
    let least = needed(method);
    let may = |least: Option<Role>| access.who_may(least.unwrap_or(Role::Observer));
    let Some((role, group)) = access.role(peer) else {
        let who = peer.describe();
        return Err(denied(format!("{who} has no role here and may not use this instance: only {}", may(least))));
    };
    // Nobody may call what the table does not have; that there is no such method is all that is to be said of it.
    let Some(least) = least else {
        let short: String = method.chars().take(200).collect();
        return Err(Fault::new(Code::Unimplemented, "unimplemented", format!("there is no method {short}")));
    };
    if role < least {
        let by = group.map(|group| format!(" by the group {group}")).unwrap_or_default();
        let (who, has, takes) = (peer.describe(), role.as_str(), least.as_str());
        let call = method.rsplit('/').next().unwrap_or(method);
        return Err(denied(format!(
            "{who} has the role {has}{by}, and {call} takes the role {takes}: {}",
            may(Some(least))
        )));
    }
    Ok(Caller::new(peer, role))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use nix::unistd::geteuid;
    use tonic::Code;
    use tonic::body::Body;

    use super::{Request, admit, timeout};
    use crate::rpc::access::{Access, Grant};
    use crate::rpc::roles::{METHODS, Peer, Role};

    fn local(uid: u32, groups: &[u32]) -> Peer {
        Peer::Local { uid, pid: None, groups: Arc::from(groups) }
    }

    /// The matrix: each method of each service, for each kind of caller.
    #[test]
    fn h2_each_method_lets_in_whose_role_is_enough_and_nobody_else() {
        let own = geteuid().as_raw();
        let stranger = own + 4_711;
        let access = Access::default();
        let all = [(10, Role::Observer), (20, Role::Operator), (30, Role::Admin)];
        access.set(all.map(|(gid, role)| Grant { group: format!("g{gid}"), gid, role }).to_vec());
        let from = "192.0.2.1:4711".parse().unwrap();
        let mut callers = vec![
            (None, None),
            (Some(Peer::Unknown("gone".into())), None),
            (Some(local(stranger, &[])), None),
            (Some(local(stranger, &[0, 11])), None),
            (Some(local(0, &[])), Some(Role::Admin)),
            (Some(local(own, &[10])), Some(Role::Admin)),
        ];
        callers.extend(all.map(|(gid, role)| (Some(local(stranger, &[1, gid])), Some(role))));
        callers.extend(all.map(|(_, role)| (Some(Peer::Certified { role, from }), Some(role))));
        for (method, least) in METHODS {
            for (peer, role) in &callers {
                let admitted = admit(method, peer.as_ref(), &access);
                if role.is_some_and(|role| role >= *least) {
                    assert_eq!(admitted.unwrap().role, role.unwrap(), "{method} for {peer:?}");
                } else {
                    assert_eq!(admitted.unwrap_err().code, Code::PermissionDenied, "{method} for {peer:?}");
                }
            }
        }
    }

    #[test]
    fn a_refusal_says_who_calls_which_role_they_have_and_which_is_needed() {
        let access = Access::default();
        access.set(vec![
            Grant { group: "staff".into(), gid: 10, role: Role::Observer },
            Grant { group: "ops".into(), gid: 20, role: Role::Operator },
        ]);
        let said = |groups: &[u32]| {
            let stranger = Peer::Local { uid: 54_321, pid: Some(77), groups: Arc::from(groups) };
            admit("/neap.v1.Neap/Stop", Some(&stranger), &access).unwrap_err().message
        };
        assert_eq!(
            said(&[10]),
            "uid 54321 (pid 77) has the role observer by the group staff, and Stop takes the role operator: the \
             instance's own user and root may, and members of the group ops (operator)"
        );
        assert_eq!(
            said(&[]),
            "uid 54321 (pid 77) has no role here and may not use this instance: only the instance's own user and root \
             may, and members of the group ops (operator)"
        );
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
        let fault = admit("/neap.v1.Neap/Invented", Some(&local(0, &[])), &Access::default()).unwrap_err();
        assert_eq!(fault.code, Code::Unimplemented);
    }
}
