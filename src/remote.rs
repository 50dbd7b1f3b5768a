//! One call over the network: TLS, headers, credentials, time-outs; request → answer, or "none".
//!
//! Knows nothing of what an answer means. No key, content or secret stands in what it says of a
//! failure. Redirects are never followed, nothing of the environment sets a proxy, and a certificate
//! is always checked.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::redirect;
use secrecy::{ExposeSecret, SecretString};

use crate::wire::{
    ANSWER_BYTES_MAX, Answer, Call, Limits, Method, NoAnswer, Response, http_date_ms,
};

/// How long a connection may take to stand.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a download may take as a whole.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(3600);

/// Idle connections to the one host.
const IDLE_MAX: usize = 8;

/// What names the project, and opens it.
#[derive(Clone)]
pub struct Credentials {
    pub app_id: SecretString,
    pub app_token: SecretString,
}

/// Reads the credentials; `Err`: why not, in words without a secret.
pub type CredentialsSource = Box<dyn Fn() -> Result<Credentials, String> + Send + Sync>;

/// A call on its way.
pub type Sending<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// Carries calls to the remote: over the network, or, in a simulation, to a stand-in in-process.
pub trait Carrier: Send + Sync {
    fn send(&self, call: Call) -> Sending<'_>;

    /// As `Http::download`.
    fn fetch<'a>(&'a self, address: &'a str, again: bool, sink: Sink<'a>) -> Fetching<'a>;

    /// What tells projects apart: a hash of address and app id, not to be turned back. `None`: the
    /// credentials cannot be read now.
    fn project(&self) -> Option<String>;

    /// The credentials are read anew at the next need.
    fn reread(&self);
}

/// How the remote is reached.
#[derive(Clone, Debug)]
pub struct Way {
    /// Without a slash at the end.
    pub url: String,
    /// For a whole call, its body and its answer.
    pub timeout: Duration,
    pub proxy: Option<String>,
    /// Certificates beside the system's.
    pub ca_file: Option<PathBuf>,
}

/// Over the network.
pub struct Http {
    client: reqwest::Client,
    url: String,
    source: CredentialsSource,
    /// As last read; `None`: to be read again, since they were refused or never read.
    credentials: Mutex<Option<Credentials>>,
    timeout: Duration,
}

/// Takes a piece of a download; an error ends it.
pub type Sink<'a> = &'a mut (dyn FnMut(&[u8]) -> std::io::Result<()> + Send);

/// A download on its way.
pub type Fetching<'a> = Pin<Box<dyn Future<Output = Result<Answer, NotFetched>> + Send + 'a>>;

/// Why a download was not begun, or not gone on with, on our own side.
#[derive(Debug)]
pub enum NotFetched {
    /// Nothing of the API's lies at such an address: it was not called.
    Elsewhere,
    /// Another host than the API's refused the call, which bore no credentials. `may`: it is the one
    /// whose calls may bear them, so that it can be asked once more.
    Bare { status: u16, may: bool },
    /// It could not be kept.
    Sink(std::io::Error),
}

impl Http {
    /// `Err`: in words for a person; the configuration is to blame.
    pub fn new(way: &Way, source: CredentialsSource) -> Result<Http, String> {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            // Another part of the process may have been first; then its choice holds.
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let mut builder = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT.min(way.timeout))
            .timeout(way.timeout)
            .pool_max_idle_per_host(IDLE_MAX)
            .tcp_nodelay(true)
            .user_agent(concat!("tillsync/", env!("CARGO_PKG_VERSION")));
        if let Some(proxy) = &way.proxy {
            let proxy = reqwest::Proxy::all(proxy)
                .map_err(|_| "`api.proxy` is no address of a proxy".to_owned())?;
            builder = builder.proxy(proxy);
        }
        if let Some(file) = &way.ca_file {
            let pem = std::fs::read(file)
                .map_err(|e| format!("{}: cannot be read ({})", file.display(), e.kind()))?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|_| format!("{}: holds no certificate", file.display()))?;
            builder = builder.tls_certs_merge(certificates);
        }
        let client = builder
            .build()
            .map_err(|e| format!("no calls can be made: {}", cause(&e)))?;
        Ok(Http {
            client,
            url: way.url.clone(),
            source,
            credentials: Mutex::new(None),
            timeout: way.timeout,
        })
    }

    fn credentials(&self) -> Result<Credentials, String> {
        let mut kept = self
            .credentials
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(credentials) = &*kept {
            return Ok(credentials.clone());
        }
        let read = (self.source)()?;
        *kept = Some(read.clone());
        Ok(read)
    }

    /// They were refused: mended ones are taken at the next call, without a restart.
    fn forget_credentials(&self) {
        *self
            .credentials
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// `Err`: why there are none, or none that can be sent.
    fn headers(&self) -> Result<HeaderMap, String> {
        let credentials = self.credentials()?;
        let mut headers = HeaderMap::new();
        for (name, secret) in [
            ("x-app-id", &credentials.app_id),
            ("x-app-token", &credentials.app_token),
        ] {
            let Ok(mut value) = HeaderValue::from_str(secret.expose_secret()) else {
                return Err("they hold characters that no header can".into());
            };
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(headers)
    }

    async fn call(&self, call: Call) -> Answer {
        let headers = match self.headers() {
            Ok(headers) => headers,
            Err(reason) => return Answer::NoCredentials(reason),
        };
        let method = match call.endpoint.method() {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut request = self
            .client
            .request(method, format!("{}{}", self.url, call.path))
            .headers(headers);
        if let Some(body) = call.body {
            let media = HeaderValue::from_static(call.endpoint.media());
            request = request.header(CONTENT_TYPE, media).body(body);
        } else if matches!(call.endpoint.method(), Method::Post | Method::Put) {
            // What takes a body says so where there is none: proxies answer 411 to less.
            request = request.header(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        match request.send().await {
            Ok(response) => {
                if matches!(response.status().as_u16(), 401 | 403) {
                    self.forget_credentials();
                }
                read(response).await
            }
            Err(error) => Answer::None(no_answer(&error)),
        }
    }

    /// Fetches what the remote has made ready under an address of its own, and hands it to `sink`
    /// piece by piece. Which addresses are called at all, and which with credentials, `Place` says;
    /// `again`: it was refused without them. Of a whole answer with 200 the body is empty here; a
    /// silence as long as the time-out ends it.
    pub async fn download<S>(
        &self,
        address: &str,
        again: bool,
        sink: &mut S,
    ) -> Result<Answer, NotFetched>
    where
        S: FnMut(&[u8]) -> std::io::Result<()> + ?Sized,
    {
        let place = Place::of(&self.url, address).ok_or(NotFetched::Elsewhere)?;
        let bare = match place {
            Place::Api => false,
            Place::Download => !again,
            Place::Beside => true,
        };
        let headers = match bare {
            true => HeaderMap::new(),
            false => match self.headers() {
                Ok(headers) => headers,
                Err(reason) => return Ok(Answer::NoCredentials(reason)),
            },
        };
        let request = self
            .client
            .get(address)
            .headers(headers)
            .timeout(DOWNLOAD_TIMEOUT);
        let silent = || {
            Answer::None(NoAnswer {
                left: true,
                why: "no answer within the time set".into(),
            })
        };
        let mut response = match tokio::time::timeout(self.timeout, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Ok(Answer::None(no_answer(&error))),
            Err(_) => return Ok(silent()),
        };
        let status = response.status().as_u16();
        if status != 200 {
            if matches!(status, 401 | 403) {
                if bare {
                    let may = place == Place::Download;
                    return Err(NotFetched::Bare { status, may });
                }
                self.forget_credentials();
            }
            return Ok(read(response).await);
        }
        let limits = limits(response.headers());
        loop {
            match tokio::time::timeout(self.timeout, response.chunk()).await {
                Ok(Ok(Some(chunk))) => sink(&chunk).map_err(NotFetched::Sink)?,
                Ok(Ok(None)) => break,
                Ok(Err(error)) => return Ok(Answer::None(broke_off(&error))),
                Err(_) => return Ok(silent()),
            }
        }
        Ok(Answer::Got(Response {
            status: 200,
            limits: match place {
                Place::Api | Place::Download => limits,
                Place::Beside => Limits::default(),
            },
            ..Response::default()
        }))
    }
}

/// Whose domain the API's own downloads lie in, whatever host or proxy `api.url` names.
const VENDOR: &str = "voucherify.io";

/// Where an address lies that the remote names for a download, beside `api.url`.
///
/// The real one hands out addresses on hosts of their own (`download`, `us1.download`, … for `api`,
/// `us1.api`, …), with a token in them. Whether these also want the credentials is said in one place of
/// the API's documents and left out in another; so they get them only after a refusal without, and
/// no other host gets them at all. Http goes from this machine to itself alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Scheme, host and port of `api.url`: with the credentials.
    Api,
    /// The same with `download` for `api`: with the credentials if it does not go without.
    Download,
    /// Another host of the same domain or of the API's maker, or this machine: without.
    Beside,
}

impl Place {
    /// `None`: not to be called.
    fn of(base: &str, address: &str) -> Option<Place> {
        let (base, address) = (
            reqwest::Url::parse(base).ok()?,
            reqwest::Url::parse(address).ok()?,
        );
        if !address.username().is_empty() || address.password().is_some() {
            return None;
        }
        let (ours, theirs) = (base.host_str()?, address.host_str()?);
        let here = is_loopback(ours) && is_loopback(theirs);
        let same_way = base.scheme() == address.scheme()
            && base.port_or_known_default() == address.port_or_known_default();
        match address.scheme() {
            "https" => {}
            "http" if base.scheme() == "http" && here => {}
            _ => return None,
        }
        let download = download_host(ours);
        Some(match (same_way, here) {
            (true, _) if ours == theirs => Place::Api,
            (true, _) if download.as_deref() == Some(theirs) => Place::Download,
            (_, true) => Place::Beside,
            _ if is_within(theirs, VENDOR) => Place::Beside,
            _ if domain(ours).is_some_and(|domain| is_within(theirs, domain)) => Place::Beside,
            _ => return None,
        })
    }
}

/// `us1.download.voucherify.io` for `us1.api.voucherify.io`.
fn download_host(api: &str) -> Option<String> {
    let labels: Vec<&str> = api.split('.').collect();
    let place = labels.iter().position(|label| *label == "api")?;
    let mut labels = labels;
    labels[place] = "download";
    Some(labels.join("."))
}

/// What stands after `api.`, else after the first label; never a single label.
fn domain(host: &str) -> Option<&str> {
    let after = match host.find("api.") {
        Some(at) if at == 0 || host.as_bytes()[at - 1] == b'.' => &host[at + 4..],
        _ => host.split_once('.')?.1,
    };
    let named = after.contains('.') && host.parse::<std::net::IpAddr>().is_err();
    named.then_some(after)
}

fn is_within(host: &str, domain: &str) -> bool {
    host == domain
        || host
            .strip_suffix(domain)
            .is_some_and(|rest| rest.ends_with('.'))
}

fn is_loopback(host: &str) -> bool {
    let ip = host.trim_start_matches('[').trim_end_matches(']');
    is_within(host, "localhost")
        || ip
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

fn no_answer(error: &reqwest::Error) -> NoAnswer {
    NoAnswer {
        left: !error.is_connect() && !error.is_builder(),
        why: why(error),
    }
}

fn broke_off(error: &reqwest::Error) -> NoAnswer {
    NoAnswer {
        left: true,
        why: format!("the answer broke off: {}", why(error)),
    }
}

impl Carrier for Http {
    fn send(&self, call: Call) -> Sending<'_> {
        Box::pin(self.call(call))
    }

    fn fetch<'a>(&'a self, address: &'a str, again: bool, sink: Sink<'a>) -> Fetching<'a> {
        Box::pin(self.download(address, again, sink))
    }

    fn project(&self) -> Option<String> {
        let credentials = self.credentials().ok()?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.url.as_bytes());
        hasher.update(&[0]);
        hasher.update(credentials.app_id.expose_secret().as_bytes());
        Some(hasher.finalize().to_hex()[..32].to_owned())
    }

    fn reread(&self) {
        self.forget_credentials();
    }
}

async fn read(mut response: reqwest::Response) -> Answer {
    let status = response.status().as_u16();
    let limits = limits(response.headers());
    let media = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(|media| media.trim().to_ascii_lowercase())
        .unwrap_or_default();
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > ANSWER_BYTES_MAX => {
                return Answer::None(NoAnswer {
                    left: true,
                    why: "the answer was longer than any of the API's".into(),
                });
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => return Answer::None(broke_off(&error)),
        }
    }
    Answer::Got(Response {
        status,
        limits,
        media,
        body,
    })
}

fn limits(headers: &HeaderMap) -> Limits {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    Limits {
        limit: text("x-rate-limit-limit").and_then(|t| t.trim().parse().ok()),
        remaining: text("x-rate-limit-remaining").and_then(|t| t.trim().parse().ok()),
        retry: text("x-rate-limit-retry").and_then(|t| t.trim().parse().ok()),
        retry_after: text(RETRY_AFTER.as_str()).map(str::to_owned),
        kind: text("x-rate-limit-type").map(|t| t.trim().to_owned()),
        date: text(DATE.as_str()).and_then(http_date_ms),
    }
}

/// Why there is no answer: in our own words, since the library's name the URL, and so the key.
fn why(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        let what = if error.is_connect() {
            "connection"
        } else {
            "answer"
        };
        return format!("no {what} within the time set");
    }
    cause(error)
}

/// The last cause of a chain that says something known.
fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut known = None;
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            known = match io.kind() {
                std::io::ErrorKind::ConnectionRefused => Some("the connection was refused"),
                std::io::ErrorKind::ConnectionReset => Some("the connection was reset"),
                std::io::ErrorKind::ConnectionAborted | std::io::ErrorKind::BrokenPipe => {
                    Some("the connection was closed")
                }
                std::io::ErrorKind::UnexpectedEof => Some("the connection was closed early"),
                std::io::ErrorKind::HostUnreachable | std::io::ErrorKind::NetworkUnreachable => {
                    Some("there is no way to the network")
                }
                std::io::ErrorKind::TimedOut => Some("the connection timed out"),
                _ => known,
            };
            // What it wraps is no source of it, but stands in its own place.
            if let Some(inner) = io.get_ref() {
                cause = Some(inner);
                continue;
            }
        }
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return tls_cause(tls);
        }
        let text = error.to_string();
        if text.contains("dns error") || text.contains("failed to lookup") {
            known = Some("the host's name could not be resolved");
        } else if text.contains("proxy authorization required") {
            known = Some("the proxy wants another name and password than `api.proxy` has");
        } else if text.contains("tunnel error: unsuccessful") {
            known = Some("the proxy named by `api.proxy` let nothing through");
        }
        cause = error.source();
    }
    known.unwrap_or("the call failed on the way").to_owned()
}

fn tls_cause(error: &rustls::Error) -> String {
    use rustls::CertificateError::*;
    let rustls::Error::InvalidCertificate(certificate) = error else {
        return "no encrypted connection came about".into();
    };
    let what = match certificate {
        Expired | ExpiredContext { .. } => "it has expired",
        NotValidYet | NotValidYetContext { .. } => {
            "it is not valid yet, so this host's clock is wrong"
        }
        UnknownIssuer => "nobody that this host trusts has signed it (see `api.ca_file`)",
        NotValidForName | NotValidForNameContext { .. } => "it is another host's",
        Revoked => "it was revoked",
        _ => "it is not valid",
    };
    format!("the remote's certificate was refused: {what}")
}

#[cfg(test)]
mod tests;
