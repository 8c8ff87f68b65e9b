//! What probes over the network say of servers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use super::names::Names;
use super::{NetProbe, Probes, within};
use crate::core::{ProbeKind, RunId};
use crate::driver::engine::HelperDone;
use crate::spec::HttpProbe;

const PATIENCE: Duration = Duration::from_secs(20);

fn probes() -> (Probes, mpsc::Receiver<HelperDone>) {
    let (sender, receiver) = mpsc::channel();
    let sender = Mutex::new(sender);
    (Probes::new(Arc::new(move |input| sender.lock().unwrap().send(input).unwrap())), receiver)
}

fn ask(probe: NetProbe, timeout: Duration) -> Result<(), String> {
    let (mut probes, answers) = probes();
    probes.start(RunId(1), ProbeKind::Ready, probe, timeout).unwrap();
    match answers.recv_timeout(PATIENCE).unwrap() {
        HelperDone::Probed(RunId(1), ProbeKind::Ready, result, _) => result,
        other => panic!("{other:?}"),
    }
}

fn http(url: String, body: Option<&str>) -> NetProbe {
    NetProbe::Http(HttpProbe {
        url,
        method: "GET".into(),
        expected_status: vec![(200, 299), (404, 404)],
        headers: vec![("x-probe".into(), "neap".into())],
        body: body.map(Into::into),
    })
}

fn answer(mut stream: impl Read + Write, response: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for line in BufReader::new(&mut stream).lines() {
        let line = line.unwrap();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    stream.write_all(response.as_bytes()).unwrap();
    lines
}

fn serve_once(response: &'static str) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/health?full", listener.local_addr().unwrap());
    (url, std::thread::spawn(move || answer(listener.accept().unwrap().0, response)))
}

#[test]
fn a_port_that_accepts_passes_and_one_that_refuses_fails_naming_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let probe = || NetProbe::Tcp { host: "127.0.0.1".into(), port };
    assert_eq!(ask(probe(), PATIENCE), Ok(()));
    drop(listener);
    let refused = ask(probe(), PATIENCE).unwrap_err();
    assert!(refused.contains(&format!("127.0.0.1:{port}")), "{refused}");
}

#[test]
fn an_http_answer_is_judged_by_its_status() {
    let (url, server) = serve_once("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(ask(http(url, None), PATIENCE), Ok(()));
    let lines = server.join().unwrap();
    assert_eq!(lines[0], "GET /health?full HTTP/1.1");
    assert!(lines.iter().any(|l| l == "x-probe: neap"), "{lines:?}");
    assert!(lines.iter().any(|l| l.starts_with("host: 127.0.0.1:")), "{lines:?}");
    let (url, _server) = serve_once("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(ask(http(url, None), PATIENCE), Ok(()));
    let (url, _server) = serve_once("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n");
    let refused = ask(http(url, None), PATIENCE).unwrap_err();
    assert!(refused.ends_with("status 503, expected 200 to 299 or 404"), "{refused}");
}

#[test]
fn an_http_answer_is_judged_by_its_body_where_asked() {
    let response = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nall is well";
    let (url, _server) = serve_once(response);
    assert_eq!(ask(http(url, Some("is well")), PATIENCE), Ok(()));
    let (url, _server) = serve_once(response);
    assert!(ask(http(url, Some("broken")), PATIENCE).unwrap_err().contains("does not contain `broken`"));
}

#[test]
fn http_goes_over_unix_sockets_too() {
    let path = std::env::temp_dir().join(format!("neap-probe-{}.sock", std::process::id()));
    let listener = UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || answer(listener.accept().unwrap().0, "HTTP/1.1 200 OK\r\n\r\n"));
    assert_eq!(ask(http(format!("unix:{}:/x", path.display()), None), PATIENCE), Ok(()));
    assert_eq!(server.join().unwrap()[0], "GET /x HTTP/1.1");
    std::fs::remove_file(path).unwrap();
}

#[test]
fn silence_is_a_failure_and_a_stopped_probe_says_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let silent = ask(http(url.clone(), None), Duration::from_millis(20)).unwrap_err();
    assert!(silent.starts_with("no answer within"), "{silent}");
    let (mut probes, answers) = probes();
    probes.start(RunId(1), ProbeKind::Health, http(url.clone(), None), PATIENCE).unwrap();
    probes.stop(RunId(1), ProbeKind::Health);
    probes.start(RunId(2), ProbeKind::Health, http(url, None), Duration::from_millis(20)).unwrap();
    assert!(matches!(answers.recv_timeout(PATIENCE), Ok(HelperDone::Probed(RunId(2), ProbeKind::Health, Err(_), _))));
    drop(probes);
    assert!(answers.recv_timeout(PATIENCE).is_err());
}

#[test]
fn a_url_may_have_a_query_and_no_path() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}?full=1#part", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || answer(listener.accept().unwrap().0, "HTTP/1.1 200 OK\r\n\r\n"));
    assert_eq!(ask(http(url, None), PATIENCE), Ok(()));
    assert_eq!(server.join().unwrap()[0], "GET /?full=1 HTTP/1.1");
}

#[test]
fn headers_that_are_given_stand_for_ours() {
    let (url, server) = serve_once("HTTP/1.1 200 OK\r\n\r\n");
    let NetProbe::Http(mut probe) = http(url, None) else { unreachable!() };
    probe.headers.extend([("Host".into(), "shop.example".into()), ("USER-AGENT".into(), "mine".into())]);
    assert_eq!(ask(NetProbe::Http(probe), PATIENCE), Ok(()));
    let mut lines: Vec<String> = server.join().unwrap().iter().skip(1).map(|line| line.to_lowercase()).collect();
    lines.sort();
    assert_eq!(lines, ["connection: close", "host: shop.example", "user-agent: mine", "x-probe: neap"]);
}

#[test]
fn a_redirect_is_told_of_and_not_followed() {
    let (url, server) = serve_once("HTTP/1.1 302 Found\r\nlocation: /login\r\ncontent-length: 0\r\n\r\n");
    let told = ask(http(url, None), PATIENCE).unwrap_err();
    assert!(told.contains("status 302 (a redirect to /login, which a probe does not follow), expected"), "{told}");
    server.join().unwrap();
}

#[test]
fn a_body_without_end_is_read_until_it_has_what_is_looked_for_and_no_further_than_a_limit() {
    let endless = |mut stream: std::net::TcpStream, first: &str| {
        answer(&mut stream, &format!("HTTP/1.1 200 OK\r\n\r\n{first}"));
        while stream.write_all(&[b'.'; 4096]).is_ok() {}
    };
    for (first, well) in [("it is we", false), ("it is well", true)] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || endless(listener.accept().unwrap().0, first));
        let answer = ask(http(url, Some("is well")), PATIENCE);
        match answer {
            Ok(()) => assert!(well),
            Err(told) => assert!(!well && told.contains("the first 256 KiB of the body do not contain"), "{told}"),
        }
        server.join().unwrap();
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn time_in_which_the_prober_did_not_run_does_not_count_against_a_service() {
    let timeout = Duration::from_millis(20);
    let (asked, was_asked) = tokio::sync::oneshot::channel();
    let (answer, mut answered) = tokio::sync::oneshot::channel();
    let service = std::thread::spawn(move || {
        was_asked.blocking_recv().unwrap();
        answer.send(()).unwrap();
    });
    let probe = async {
        asked.send(()).unwrap();
        // The thread is held up for longer than the timeout, once it has asked and before it looks for the answer.
        let until = Instant::now() + 3 * timeout;
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        tokio::task::yield_now().await;
        while answered.try_recv().is_err() {
            tokio::task::yield_now().await;
        }
    };
    assert_eq!(runtime().block_on(within(timeout, probe)), Some(()));
    service.join().unwrap();
    assert_eq!(runtime().block_on(within(timeout, std::future::pending::<()>())), None);
}

#[test]
fn a_name_is_looked_up_once_for_all_who_ask_at_a_time() {
    runtime().block_on(async {
        let names = Names::default();
        let ask = |port| {
            let names = names.clone();
            tokio::spawn(async move { names.addresses("localhost", port).await })
        };
        let (first, second) = (ask(1), ask(2));
        while names.in_flight() == 0 && !first.is_finished() {
            tokio::task::yield_now().await;
        }
        // Who began it may lose interest.
        first.abort();
        assert!(names.in_flight() <= 1);
        let found = second.await.unwrap().unwrap();
        assert!(!found.is_empty() && found.iter().all(|address| address.port() == 2 && address.ip().is_loopback()));
        assert_eq!(names.in_flight(), 0);
    });
}
