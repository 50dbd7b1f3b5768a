//! Real sockets: the stand-in on loopback, and servers that do what no API would.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::*;
use crate::standin::{self, Options};
use crate::wire::{Endpoint, PathKey, segment};

#[path = "../../tests/support/listening.rs"]
mod server;

fn way(url: String, timeout_ms: u64) -> Way {
    Way {
        url,
        timeout: Duration::from_millis(timeout_ms),
        proxy: None,
        ca_file: None,
    }
}

fn credentials() -> Credentials {
    Credentials {
        app_id: "app-id".to_owned().into(),
        app_token: "app-token".to_owned().into(),
    }
}

fn http(url: String, timeout_ms: u64) -> Http {
    Http::new(&way(url, timeout_ms), Box::new(|| Ok(credentials()))).unwrap()
}

fn send(http: &Http, call: Call) -> Answer {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(http.send(call))
}

fn customer(body: &str) -> Call {
    Call::new(Endpoint::Customer, &[], Some(body.as_bytes().to_vec()))
}

/// Answers each connection's first request with these bytes, and counts connections.
fn server(answer: Vec<u8>, keep_open: bool) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(&answer);
            if keep_open {
                open.push(stream);
            }
        }
    });
    (addr, connections)
}

#[track_caller]
fn none(answer: Answer, left: bool, why: &str) {
    match answer {
        Answer::None(none) => {
            assert_eq!(none.left, left, "{}", none.why);
            assert!(none.why.contains(why), "{}", none.why);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_standin_takes_what_is_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let standin = standin::start(listener, Options::default()).unwrap();
    let http = http(standin.url(), 5_000);
    let Answer::Got(response) = send(&http, customer(r#"{"source_id":"C1","name":"Ann"}"#)) else {
        panic!("no answer");
    };
    assert_eq!(response.status, 200);
    assert_eq!(response.media, "application/json");
    assert!(response.limits.limit.is_some() && response.limits.date.is_some());
    let arrival = standin.remote().arrivals().last().unwrap().clone();
    let names: Vec<String> = arrival
        .headers
        .iter()
        .map(|(n, _)| n.to_ascii_lowercase())
        .collect();
    assert!(names.contains(&"content-length".to_owned()));
    assert!(!names.contains(&"transfer-encoding".to_owned()));
}

#[test]
fn a_post_without_a_body_says_that_it_has_none() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let standin = standin::start(listener, Options::default()).unwrap();
    let http = http(standin.url(), 5_000);
    let length = |call: Call| {
        assert!(matches!(send(&http, call), Answer::Got(_)));
        let arrival = standin.remote().arrivals().last().unwrap().clone();
        let mut headers = arrival.headers.iter();
        headers
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map(|(_, value)| value.clone())
    };
    let PathKey::Segment(key) = segment("C1") else {
        panic!("C1 stands in an address");
    };
    let erase = Call::new(Endpoint::CustomerErase, &[&key], None);
    assert_eq!(length(erase).as_deref(), Some("0"));
    let read = Call::new(Endpoint::CustomerRead, &[&key], None);
    assert_eq!(length(read), None);
}

#[test]
fn a_redirect_is_an_answer_and_is_not_followed() {
    let (elsewhere, reached) = server(
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec(),
        false,
    );
    let redirect = format!(
        "HTTP/1.1 302 Found\r\nLocation: http://{elsewhere}/x\r\nContent-Length: 0\r\n\r\n"
    );
    let (addr, _) = server(redirect.into_bytes(), false);
    let Answer::Got(response) = send(&http(format!("http://{addr}"), 5_000), customer("{}")) else {
        panic!("no answer");
    };
    assert_eq!(response.status, 302);
    assert_eq!(reached.load(Ordering::SeqCst), 0);
}

#[test]
fn nobody_there_is_known_to_have_got_nothing() {
    let addr = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let answer = send(&http(format!("http://{addr}"), 5_000), customer("{}"));
    none(answer, false, "the connection was refused");
}

#[test]
fn silence_and_breaks_are_unknown() {
    let (addr, _) = server(Vec::new(), true);
    let begun = Instant::now();
    let answer = send(&http(format!("http://{addr}"), 300), customer("{}"));
    none(answer, true, "no answer within the time set");
    assert!(begun.elapsed() < Duration::from_secs(5));
    let (addr, connections) = server(Vec::new(), false);
    let answer = send(&http(format!("http://{addr}"), 5_000), customer("{}"));
    none(answer, true, "");
    assert_eq!(
        connections.load(Ordering::SeqCst),
        1,
        "it is not sent twice"
    );
    let (addr, _) = server(
        b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{".to_vec(),
        false,
    );
    let answer = send(&http(format!("http://{addr}"), 5_000), customer("{}"));
    none(answer, true, "the answer broke off");
}

#[test]
fn an_endless_answer_is_cut_off() {
    let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_vec();
    answer.resize(answer.len() + ANSWER_BYTES_MAX + 65_536, b' ');
    let (addr, _) = server(answer, true);
    let answer = send(&http(format!("http://{addr}"), 60_000), customer("{}"));
    none(answer, true, "longer than any of the API's");
}

#[test]
fn why_names_no_key_and_no_secret() {
    let addr = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let call = Call::new(Endpoint::CustomerDelete, &["ann%40example.com"], None);
    let answer = send(&http(format!("http://{addr}"), 5_000), call);
    let shown = format!("{answer:?}");
    assert!(
        !shown.contains("ann") && !shown.contains("app-token"),
        "{shown}"
    );
}

#[test]
fn mended_credentials_are_read_after_a_refusal() {
    let (addr, _) = server(
        b"HTTP/1.1 401 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec(),
        false,
    );
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = reads.clone();
    let source: CredentialsSource = Box::new(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        Ok(credentials())
    });
    let http = Http::new(&way(format!("http://{addr}"), 5_000), source).unwrap();
    for _ in 0..2 {
        send(&http, customer("{}"));
    }
    assert_eq!(reads.load(Ordering::SeqCst), 2);
    let nobody = Http::new(
        &way(format!("http://{addr}"), 5_000),
        Box::new(|| Err("the file is not there".into())),
    );
    let answer = send(&nobody.unwrap(), customer("{}"));
    assert!(matches!(answer, Answer::NoCredentials(_)));
}

#[test]
fn the_client_leaves_an_encoded_key_as_it_is() {
    for key in ["a/b c", "%2e%2e", "...", "../..", "É\\é", "a?b#c", "x%"] {
        let PathKey::Segment(encoded) = segment(key) else {
            panic!("{key} cannot be sent");
        };
        let url = reqwest::Url::parse(&format!("http://h/v1/customers/{encoded}/x")).unwrap();
        assert_eq!(url.path(), format!("/v1/customers/{encoded}/x"));
    }
    // Why `.` and `..` are never sent in a path:
    let url = reqwest::Url::parse("http://h/v1/customers/%2E%2E/x").unwrap();
    assert_eq!(url.path(), "/v1/x");
}

fn download(
    http: &Http,
    address: &str,
    again: bool,
    kept: &mut Vec<u8>,
) -> Result<Answer, NotFetched> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut sink = |piece: &[u8]| {
        kept.extend_from_slice(piece);
        Ok(())
    };
    runtime.block_on(http.download(address, again, &mut sink))
}

/// Answers with a status and `x`, one that refuses only what bears no credentials.
fn listening(listen: &str, status: &'static str) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    server::listening(listen, move |head| {
        let refused = status.starts_with("401") && !bears_token(head);
        let status = if refused { status } else { "200 OK" };
        format!("HTTP/1.1 {status}\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx")
    })
}

fn bears_token(head: &str) -> bool {
    head.to_ascii_lowercase().contains("x-app-token")
}

fn with_credentials(heard: &Mutex<Vec<String>>) -> Vec<bool> {
    let heard = heard.lock().unwrap();
    let heard = heard.iter().map(|head| head.to_ascii_lowercase());
    let any = |head: String| head.contains("x-app") || head.contains("app-token");
    heard.map(any).collect()
}

#[test]
fn credentials_of_a_download_go_to_the_api_alone() {
    let (api, asked) = listening("127.0.0.1:0", "200 OK");
    let (other, heard) = listening("127.0.0.1:0", "200 OK");
    let http = http(format!("http://{api}"), 5_000);
    let mut kept = Vec::new();
    let mut fetch = |address: String, again| download(&http, &address, again, &mut kept);
    let path = "v1/exports/e?token=t";
    for address in [
        format!("http://{api}/{path}"),
        format!("http://{other}/{path}"),
        format!("http://localhost:{}/{path}", other.port()),
    ] {
        for again in [false, true] {
            let answer = fetch(address.clone(), again);
            assert!(matches!(answer, Ok(Answer::Got(response)) if response.status == 200));
        }
    }
    for address in [
        format!("http://{api}@{other}/"),
        format!("http://me@{api}/"),
        format!("http://{api}.example/"),
        format!("https://localhost.example:{}/", other.port()),
        "http://download.voucherify.io/v1/exports/e".to_owned(),
        "/v1/exports/e?token=t".to_owned(),
        "file:///etc/passwd".to_owned(),
    ] {
        let answer = fetch(address.clone(), false);
        assert!(matches!(answer, Err(NotFetched::Elsewhere)), "{address}");
    }
    assert_eq!(kept, b"xxxxxx");
    assert_eq!(with_credentials(&asked), [true; 2]);
    assert_eq!(with_credentials(&heard), [false; 4]);
}

#[test]
fn another_host_that_refuses_is_not_given_credentials() {
    let (api, _) = listening("127.0.0.1:0", "200 OK");
    let (other, heard) = listening("127.0.0.1:0", "401 No");
    let http = http(format!("http://{api}"), 5_000);
    for again in [false, true] {
        let answer = download(&http, &format!("http://{other}/x"), again, &mut Vec::new());
        assert!(matches!(
            answer,
            Err(NotFetched::Bare {
                status: 401,
                may: false
            })
        ));
    }
    assert_eq!(with_credentials(&heard), [false; 2]);
}

#[test]
fn the_apis_own_download_host_gets_credentials_only_after_a_refusal_without() {
    let (api, _) = listening("127.0.0.1:0", "200 OK");
    let place = format!("127.0.0.2:{}", api.port());
    let (other, heard) = listening(&place, "401 No");
    let url = format!("http://api.localhost:{}", api.port());
    let mut http = http(url, 5_000);
    http.client = reqwest::Client::builder()
        .no_proxy()
        .resolve("download.localhost", other)
        .build()
        .unwrap();
    let address = format!("http://download.localhost:{}/x", api.port());
    let mut kept = Vec::new();
    let first = download(&http, &address, false, &mut kept);
    assert!(matches!(
        first,
        Err(NotFetched::Bare {
            status: 401,
            may: true
        })
    ));
    let second = download(&http, &address, true, &mut kept);
    assert!(matches!(second, Ok(Answer::Got(response)) if response.status == 200));
    assert_eq!(with_credentials(&heard), [false, true]);
}

#[test]
fn a_redirect_of_a_download_is_not_followed() {
    let (elsewhere, reached) = listening("127.0.0.1:0", "200 OK");
    let redirect = format!(
        "HTTP/1.1 302 Found\r\nLocation: http://{elsewhere}/x\r\nContent-Length: 0\r\n\r\n"
    );
    let (other, _) = server(redirect.into_bytes(), false);
    let (api, _) = listening("127.0.0.1:0", "200 OK");
    let http = http(format!("http://{api}"), 5_000);
    let answer = download(&http, &format!("http://{other}/x"), false, &mut Vec::new());
    assert!(matches!(answer, Ok(Answer::Got(response)) if response.status == 302));
    assert_eq!(with_credentials(&reached), [false; 0]);
}

#[track_caller]
fn lies(base: &str, address: &str, expected: Option<Place>) {
    assert_eq!(Place::of(base, address), expected, "{address} of {base}");
}

#[test]
fn downloads_lie_on_hosts_of_the_apis_maker_or_domain() {
    let api = "https://api.voucherify.io";
    lies(api, "https://API.voucherify.io:443/x", Some(Place::Api));
    lies(api, "https://api.voucherify.io:8443/x", Some(Place::Beside));
    let download = Some(Place::Download);
    lies(api, "https://download.voucherify.io/x", download);
    let us = "https://us1.api.voucherify.io";
    lies(us, "https://us1.download.voucherify.io/x", download);
    // Another cluster's, and another port, are not this one's.
    lies(us, "https://download.voucherify.io/x", Some(Place::Beside));
    lies(
        us,
        "https://us1.download.voucherify.io:444/x",
        Some(Place::Beside),
    );
    // Behind a proxy of the shop's own.
    let proxy = "https://loyalty.shop.example";
    lies(
        proxy,
        "https://download.voucherify.io/x",
        Some(Place::Beside),
    );
    lies(proxy, "https://files.shop.example/x", Some(Place::Beside));
    lies(proxy, "https://files.other.example/x", None);
    lies(
        "http://127.0.0.1:80",
        "https://download.voucherify.io/x",
        Some(Place::Beside),
    );
    for address in [
        "http://download.voucherify.io/x",
        "https://download.voucherify.io.example/x",
        "https://notvoucherify.io/x",
        "https://u@download.voucherify.io/x",
        "https://127.0.0.1/x",
        "http://localhost/x",
    ] {
        lies(api, address, None);
    }
}
