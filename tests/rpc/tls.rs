//! Mutual TLS: who has a certificate of the right authority has the role that the listener gives, nobody else any.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;

use neap::rpc::{Address, ClientTls, Listener, Role, Tls, TlsFiles, connect_to};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd};
use tonic::Code;

use crate::as_user::call;
use crate::support::{DEADLINE, TempDir};
use crate::world::World;

/// An authority.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate and its key.
    fn certify(&self, adjust: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let mut params = CertificateParams::new(vec!["localhost".into(), "127.0.0.1".into()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        adjust(&mut params);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// PEM files.
struct Files(TempDir);

impl Files {
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// What a client has that believes this authority.
    fn client(&self, ca: &Authority, own: Option<(String, String)>) -> ClientTls {
        let ca = self.write("client-believes", &ca.pem);
        let own = own.map(|(cert, key)| (self.write("client-cert.pem", &cert), self.write("client-key.pem", &key)));
        ClientTls::load(&ca, own.as_ref().map(|(cert, key)| (cert.as_path(), key.as_path()))).unwrap()
    }
}

/// A world that is served with TLS at every address of this machine, and whom it trusts.
fn world(role: Role) -> (World, SocketAddr, Authority, Files) {
    let (authority, files) = (Authority::new(), Files(TempDir::new()));
    let (cert, key) = authority.certify(|_| {});
    let (cert, key) = (files.write("cert.pem", &cert), files.write("key.pem", &key));
    let client_ca = files.write("ca.pem", &authority.pem);
    let tls = Tls::load(TlsFiles { cert: &cert, key: &key, client_ca: &client_ca }, role).unwrap();
    let mut at = None;
    let world = World::at(|_| {
        let listener = Listener::bind(&"tcp:0.0.0.0:0".parse().unwrap(), Some(&tls)).unwrap();
        at = listener.tcp_address();
        vec![listener]
    });
    (world, at.unwrap(), authority, files)
}

/// Lists over this address with this.
async fn list(at: SocketAddr, tls: Option<&ClientTls>) -> Result<(), String> {
    let address: Address = format!("tcp:localhost:{}", at.port()).parse().unwrap();
    let channel = connect_to(&address, tls, DEADLINE).await.map_err(|error| error.to_string())?;
    call(channel, "/neap.v1.Neap/List").await.map_err(|status| format!("{status:?}"))
}

#[test]
fn h1_with_mutual_tls_a_client_with_the_right_certificate_is_served() {
    let (world, at, authority, files) = world(Role::Observer);
    let client = files.client(&authority, Some(authority.certify(|_| {})));
    world.run(async { list(at, Some(&client)).await.unwrap() });
}

#[test]
fn h1_with_mutual_tls_no_certificate_a_strangers_and_one_that_has_expired_are_refused() {
    let (world, at, authority, files) = world(Role::Admin);
    let strangers = files.client(&authority, Some(Authority::new().certify(|_| {})));
    let expired = authority.certify(|params| params.not_after = date_time_ymd(2001, 1, 1));
    let expired = files.client(&authority, Some(expired));
    let future = authority.certify(|params| params.not_before = date_time_ymd(4000, 1, 1));
    let future = files.client(&authority, Some(future));
    let without = files.client(&authority, None);
    world.run(async {
        for (what, client) in
            [("stranger's", &strangers), ("expired", &expired), ("not valid yet", &future), ("none", &without)]
        {
            let refused = list(at, Some(client)).await.expect_err(what);
            // Which of the two it is depends on whether the server's last word comes before the connection's end.
            let told = ["certificate is not accepted", "received fatal alert", "reset by peer", "roken pipe"];
            assert!(told.iter().any(|words| refused.contains(words)), "{what}: {refused}");
        }
        // Without TLS at all, and one who talks nonsense.
        list(at, None).await.unwrap_err();
        TcpStream::connect(("127.0.0.1", at.port())).unwrap().write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        call(world.channel().await, "/neap.v1.Neap/List").await.unwrap();
    });
}

#[test]
fn a_client_does_not_believe_a_server_of_another_authority() {
    let (world, at, authority, files) = world(Role::Admin);
    let client = files.client(&Authority::new(), Some(authority.certify(|_| {})));
    world.run(async {
        let refused = list(at, Some(&client)).await.unwrap_err();
        assert!(refused.contains("certificate"), "{refused}");
    });
}

#[test]
fn h2_a_certificate_gives_the_role_of_its_listener_whoever_connects() {
    let (world, at, authority, files) = world(Role::Operator);
    let client = files.client(&authority, Some(authority.certify(|_| {})));
    world.run(async {
        let address: Address = format!("tcp:127.0.0.1:{}", at.port()).parse().unwrap();
        let channel = connect_to(&address, Some(&client), DEADLINE).await.unwrap();
        // Refused for its request, not for its role.
        let refused = call(channel.clone(), "/neap.v1.Neap/Stop").await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        let refused = call(channel, "/neap.v1.Neap/Shutdown").await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
        let said = refused.message();
        assert!(said.contains("a client with a certificate, from 127.0.0.1:") && said.contains("operator"), "{said}");
    });
    assert!(world.backend.asked.lock().unwrap().is_empty());
}

#[test]
fn files_that_tls_cannot_be_made_of_are_named_with_their_flag() {
    let (authority, files) = (Authority::new(), Files(TempDir::new()));
    let (cert, key) = authority.certify(|_| {});
    let other = authority.certify(|_| {}).1;
    let (cert, key) = (files.write("cert.pem", &cert), files.write("key.pem", &key));
    let (other, ca) = (files.write("other.pem", &other), files.write("ca.pem", &authority.pem));
    let (missing, empty) = (files.0.path().join("missing.pem"), files.write("empty.pem", ""));
    let refused = |cert: &PathBuf, key: &PathBuf, client_ca: &PathBuf| {
        Tls::load(TlsFiles { cert, key, client_ca }, Role::Admin).unwrap_err().to_string()
    };
    for (said, parts) in [
        (refused(&missing, &key, &ca), ["--tls-cert", "missing.pem", "No such file"]),
        (refused(&cert, &empty, &ca), ["--tls-key", "empty.pem", "holds no private key"]),
        (refused(&cert, &key, &empty), ["--tls-client-ca", "empty.pem", "holds no certificate"]),
        (refused(&key, &key, &ca), ["--tls-cert", "key.pem", "holds no certificate"]),
        (refused(&cert, &other, &ca), ["--tls-key", "other.pem", "cannot be used together"]),
    ] {
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    }
}
