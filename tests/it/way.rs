//! The way to the remote as shops have it: encrypted, behind a certificate of the shop's own, through a
//! proxy. The stand-in speaks plainly on loopback; what stands before it here speaks for the network.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::shop::Shop;

/// Of localhost, 127.0.0.1 and api.shop.example, signed by the authority in ca.pem alone.
const TLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/tls");

/// An encrypted door before the stand-in. It stands as long as the test's process does.
fn encrypted(address: &str, standin: &str) -> SocketAddr {
    let listener = TcpListener::bind(address).unwrap();
    let at = listener.local_addr().unwrap();
    let chain = CertificateDer::pem_file_iter(format!("{TLS}/server.pem")).unwrap();
    let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(format!("{TLS}/server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let (acceptor, standin) = (TlsAcceptor::from(Arc::new(config)), standin.to_owned());
    let serve = async move {
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        loop {
            let (caller, _) = listener.accept().await.unwrap();
            let (acceptor, standin) = (acceptor.clone(), standin.clone());
            tokio::spawn(async move {
                // A caller that does not trust the certificate hangs up.
                let Ok(mut caller) = acceptor.accept(caller).await else {
                    return;
                };
                let mut standin = tokio::net::TcpStream::connect(standin).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut caller, &mut standin).await;
            });
        }
    };
    thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(serve)
    });
    at
}

/// A proxy that opens tunnels to `to`, whatever is asked for, and what it was asked.
fn proxy(to: Option<SocketAddr>) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    thread::spawn(move || {
        for caller in listener.incoming() {
            let (mut caller, log) = (caller.unwrap(), log.clone());
            thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && caller.read(&mut byte).is_ok_and(|n| n > 0) {
                    head.push(byte[0]);
                }
                log.lock().unwrap().push(String::from_utf8(head).unwrap());
                let Some(to) = to else {
                    let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\n\
                                   Proxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n";
                    caller.write_all(refusal.as_bytes()).unwrap();
                    return;
                };
                caller.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
                let to = TcpStream::connect(to).unwrap();
                let back = (to.try_clone().unwrap(), caller.try_clone().unwrap());
                thread::spawn(move || pour(back.0, back.1));
                pour(caller, to);
            });
        }
    });
    (at, asked)
}

fn pour(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

/// A shop whose remote has this address, with one customer to deliver.
fn shop(url: &str, api: &str) -> Shop {
    let shop = Shop::new();
    configure(&shop, url, api);
    shop.drop_in("customers", "a.csv", "source_id,name\nC-1,Ann\n");
    shop
}

fn configure(shop: &Shop, url: &str, api: &str) {
    shop.configure(api, "");
    let config = std::fs::read_to_string(shop.config()).unwrap();
    let config = config.replace(&shop.standin.url(), url);
    std::fs::write(shop.config(), config).unwrap();
}

/// It ends so, and the link's reason says this.
#[track_caller]
fn is_away(shop: &Shop, output: &Output, reason: &str) {
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    let status = shop.json(&["status"]);
    assert_eq!(status["link"]["state"], "away", "{status}");
    let told = status["link"]["reason"].as_str().unwrap();
    assert!(told.contains(reason), "{told}");
    assert_eq!(status["pending"]["customers"], 1);
}

#[track_caller]
fn is_delivered(shop: &Shop, output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(shop.standin.holds("customers").contains_key("C-1"));
}

const SYNC: [&str; 3] = ["sync", "--timeout", "4s"];

#[test]
fn an_encrypted_remote_of_the_shops_own_authority_is_trusted_by_its_ca_file_alone() {
    let shop = shop("http://127.0.0.1:9", "");
    let door = encrypted("127.0.0.1:0", &shop.standin.address);
    let url = format!("https://localhost:{}", door.port());
    configure(&shop, &url, "");
    is_away(&shop, &shop.run(&SYNC), "see `api.ca_file`");
    assert!(shop.standin.requests().is_empty());
    configure(&shop, &url, &format!("ca_file = \"{TLS}/ca.pem\""));
    // Whatever the environment says of proxies.
    let mut sync = shop.command(&["sync"]);
    for name in ["http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"] {
        sync.env(name, "http://127.0.0.1:9");
    }
    is_delivered(&shop, &sync.output().unwrap());
}

#[test]
fn a_certificate_of_another_host_is_refused() {
    let shop = shop("http://127.0.0.1:9", "");
    let door = encrypted("127.0.0.2:0", &shop.standin.address);
    let ca = format!("ca_file = \"{TLS}/ca.pem\"");
    configure(&shop, &format!("https://{door}"), &ca);
    is_away(&shop, &shop.run(&SYNC), "it is another host's");
    assert!(shop.standin.requests().is_empty());
}

#[test]
fn a_proxy_gets_a_tunnel_and_no_credentials_but_its_own() {
    let shop = shop("http://127.0.0.1:9", "");
    let door = encrypted("127.0.0.1:0", &shop.standin.address);
    let (at, asked) = proxy(Some(door));
    let url = "https://api.shop.example";
    let api = format!("ca_file = \"{TLS}/ca.pem\"\nproxy = \"http://till:s3cret@{at}\"");
    configure(&shop, url, &api);
    is_delivered(&shop, &shop.run(&["sync"]));
    let asked = asked.lock().unwrap();
    for head in asked.iter() {
        assert!(head.starts_with("CONNECT api.shop.example:443 "), "{head}");
        assert!(head.contains("Basic dGlsbDpzM2NyZXQ="), "{head}"); // till:s3cret
        assert!(!head.to_lowercase().contains("x-app"), "{head}");
    }
    assert!(!asked.is_empty());
}

#[test]
fn a_proxy_that_refuses_is_named_as_what_stands_in_the_way() {
    let (at, _) = proxy(None);
    let api = format!("proxy = \"http://till:s3cret@{at}\"");
    let shop = shop("https://api.shop.example", &api);
    let output = shop.run(&SYNC);
    is_away(&shop, &output, "proxy");
    let text = format!("{output:?}");
    assert!(!text.contains("s3cret"), "{text}");
}
