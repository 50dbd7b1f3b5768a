//! What a browser and a monitoring system see: status page, /metrics, /healthz, /readyz.
//!
//! Readers only: nothing here can change the store, and nothing that a person could type is asked
//! for. A thread and a runtime of its own, which sleep as long as nobody asks. What is answered is
//! one function from request to response; `server` carries it.

mod chart;
mod guard;
mod look;
pub mod metrics;
mod server;
pub mod view;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, RwLock};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;
use jiff::tz::TimeZone;

use crate::config::Config;
use crate::health::Health;
use crate::status::facts::Daemon;
use crate::status::{Status, Tone};
use crate::store;
use guard::{Hosts, Password};
use look::Looker;
use view::Downloads;

pub use server::{Page, start, start_in_trouble};

/// What the page is drawn from. The configuration may be replaced while it runs; where it listens,
/// and the password, are those of its start.
#[derive(Clone)]
pub struct Sources {
    pub config: Arc<RwLock<Arc<Config>>>,
    pub health: Arc<Health>,
    pub daemon: Daemon,
    /// The host's zone.
    pub tz: TimeZone,
}

/// What keeps the daemon from its work, in words for a person; `remedy` may have commands in backticks.
#[derive(Clone, Debug)]
pub struct Trouble {
    pub headline: String,
    pub text: String,
    pub remedy: String,
}

/// A rejects file larger than this is not carried by the page.
const DOWNLOAD_BYTES_MAX: u64 = 16 << 20;

/// Nothing but our own sheet and icon; no script, no frame, no form, no other site.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// One page with its guard.
struct Site {
    sources: Sources,
    hosts: Hosts,
    password: Option<Password>,
    /// There is no store to look at, and why.
    trouble: Option<Trouble>,
    looker: Mutex<Looker>,
    /// `/style-<hash>.css`, so that a browser may keep it for ever.
    style_path: String,
}

impl Site {
    fn new(
        sources: Sources,
        listen: SocketAddr,
        password: Option<Password>,
        trouble: Option<Trouble>,
    ) -> Site {
        let config = sources.config();
        Site {
            hosts: Hosts::new(&config.local.hosts, listen),
            password,
            trouble,
            looker: Mutex::new(Looker::new(&config.state_dir)),
            style_path: view::style_path(),
            sources,
        }
    }

    /// `local`: the address at which the request came in.
    fn answer(&self, method: &Method, uri: &Uri, headers: &HeaderMap, local: IpAddr) -> Response {
        let password = self.password.as_ref();
        let allowed = guard::check(&self.hosts, password, method, uri, headers, local);
        let mut response = match allowed {
            Ok(()) => self.get(uri.path()),
            Err(refusal) => refused(refusal),
        };
        guarded(response.headers_mut());
        if method == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
        response
    }

    fn get(&self, path: &str) -> Response {
        match path {
            "/" | "/metrics" | "/healthz" | "/readyz" if self.trouble.is_some() => {
                self.in_trouble(path)
            }
            "/" => self.status_page(),
            "/metrics" => self.metrics(),
            "/healthz" => self.healthz(),
            "/readyz" => self.readyz(),
            "/icon-well.svg" => icon(Tone::Well),
            "/icon-waiting.svg" => icon(Tone::Waiting),
            "/icon-needs.svg" => icon(Tone::Needs),
            _ if path == self.style_path => {
                let mut response = text("text/css; charset=utf-8", view::STYLE);
                let for_ever = HeaderValue::from_static("public, max-age=31536000, immutable");
                response
                    .headers_mut()
                    .insert(header::CACHE_CONTROL, for_ever);
                response
            }
            _ => match path.strip_prefix("/rejects/") {
                Some(rest) => self.rejects(rest),
                None => plain(StatusCode::NOT_FOUND, "There is nothing here.\n"),
            },
        }
    }

    fn in_trouble(&self, path: &str) -> Response {
        let Some(trouble) = &self.trouble else {
            return plain(StatusCode::OK, "ok\n");
        };
        if path != "/" {
            let text = format!("{}: {}\n", trouble.headline, trouble.text);
            return plain(StatusCode::SERVICE_UNAVAILABLE, text);
        }
        let html = view::trouble(trouble, &self.sources.config().store);
        let mut response = text("text/html; charset=utf-8", html.into_string());
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response
    }

    fn look(&self) -> store::Result<Status> {
        let config = self.sources.config();
        self.looker()
            .status(&config, Some(self.sources.daemon), &self.sources.tz)
    }

    fn looker(&self) -> std::sync::MutexGuard<'_, Looker> {
        self.looker
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn status_page(&self) -> Response {
        let status = match self.look() {
            Ok(status) => status,
            Err(error) => return broken(&error),
        };
        let samples = self.looker().samples(status.now - chart::SPAN_MS);
        let html = view::page(
            &status,
            &samples.unwrap_or_default(),
            self.downloads(),
            &self.sources.tz,
        );
        text("text/html; charset=utf-8", html.into_string())
    }

    fn metrics(&self) -> Response {
        match self.look() {
            Ok(status) => {
                let all = metrics::render(
                    &status,
                    &self.sources.health,
                    server::process(),
                    &self.sources.tz,
                );
                text(metrics::CONTENT_TYPE, all)
            }
            Err(error) => broken(&error),
        }
    }

    fn healthz(&self) -> Response {
        match self.look() {
            Ok(status) => match health_faults(&status, &self.sources.health) {
                faults if faults.is_empty() => plain(StatusCode::OK, "ok\n"),
                faults => plain(
                    StatusCode::SERVICE_UNAVAILABLE,
                    format!("standing still: {}\n", faults.join(", ")),
                ),
            },
            Err(error) => broken(&error),
        }
    }

    fn readyz(&self) -> Response {
        if self.sources.health.is_ready() {
            plain(StatusCode::OK, "ready\n")
        } else {
            plain(StatusCode::SERVICE_UNAVAILABLE, "starting\n")
        }
    }

    fn downloads(&self) -> Downloads {
        match self.password {
            Some(_) => Downloads::Open,
            None => Downloads::Closed,
        }
    }

    /// `<file's id>/<which of its rejects files>`. Contents go out behind the password alone.
    fn rejects(&self, rest: &str) -> Response {
        if self.downloads() == Downloads::Closed {
            return plain(
                StatusCode::FORBIDDEN,
                "Rejects files are given out only behind a password: set `password_file` in [local].\n",
            );
        }
        let missing = || {
            plain(
                StatusCode::NOT_FOUND,
                "There is no such rejects file any more.\n",
            )
        };
        let Some((id, n)) = rest
            .split_once('/')
            .and_then(|(id, n)| Some((id.parse().ok()?, n.parse::<usize>().ok()?)))
        else {
            return missing();
        };
        let file = match self.looker().file(id) {
            Ok(Some(file)) => file,
            Ok(None) => return missing(),
            Err(error) => return broken(&error),
        };
        let config = self.sources.config();
        let folder = config.folders.iter().find(|f| f.name == file.folder);
        let (Some(folder), Some(name)) = (folder, file.rejects_names.get(n)) else {
            return missing();
        };
        match read_plain(&folder.path.join("rejects"), name) {
            Ok(Some(bytes)) => {
                let mut response = text("text/csv; charset=utf-8", bytes);
                let file_name = HeaderValue::from_str(&format!(
                    "attachment; filename=\"rejects-{id}-{n}.csv\""
                ));
                let file_name = file_name.expect("digits are plain");
                response
                    .headers_mut()
                    .insert(header::CONTENT_DISPOSITION, file_name);
                response
            }
            Ok(None) => plain(
                StatusCode::PAYLOAD_TOO_LARGE,
                "That file is too large for the page; take it from the share.\n",
            ),
            Err(_) => missing(),
        }
    }
}

impl Sources {
    fn config(&self) -> Arc<Config> {
        self.config
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }
}

/// What stands still: by the loops' own pulse, or by what the store shows (work to do, link up,
/// nothing done). Empty: healthy.
pub fn health_faults(status: &Status, health: &Health) -> Vec<&'static str> {
    let mut faults = health.still();
    for todo in &status.todo {
        if matches!(todo.kind, "intake" | "delivery") && !faults.contains(&todo.kind) {
            faults.push(todo.kind);
        }
    }
    faults
}

/// A plain file of the folder, followed through no link; `None`: too large.
fn read_plain(folder: &Path, name: &str) -> std::io::Result<Option<Vec<u8>>> {
    use rustix::fs::{Mode, OFlags, open, openat};
    use std::io::Read;
    if name.contains('/') {
        return Err(std::io::ErrorKind::NotFound.into());
    }
    let found = crate::folder::find_shown(folder, name);
    let Some(name) = found.as_deref().and_then(Path::file_name) else {
        return Err(std::io::ErrorKind::NotFound.into());
    };
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = open(
        folder,
        flags | OFlags::PATH | OFlags::DIRECTORY,
        Mode::empty(),
    )?;
    let file = openat(
        folder,
        name,
        flags | OFlags::RDONLY | OFlags::NONBLOCK,
        Mode::empty(),
    )?;
    let file = std::fs::File::from(file);
    let facts = file.metadata()?;
    if !facts.is_file() {
        return Err(std::io::ErrorKind::NotFound.into());
    }
    let mut bytes = Vec::new();
    file.take(DOWNLOAD_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= DOWNLOAD_BYTES_MAX).then_some(bytes))
}

fn text(content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn plain(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = text("text/plain; charset=utf-8", body);
    *response.status_mut() = status;
    response
}

fn icon(tone: Tone) -> Response {
    text("image/svg+xml", view::icon(tone))
}

fn broken(error: &store::Error) -> Response {
    plain(
        StatusCode::SERVICE_UNAVAILABLE,
        format!(
            "{error}. What was stored is safe; this page looks again when it is asked again.\n"
        ),
    )
}

fn refused(refusal: guard::Refusal) -> Response {
    let mut response = plain(refusal.status, refusal.text);
    let headers = response.headers_mut();
    match refusal.status {
        StatusCode::UNAUTHORIZED => {
            let ask = HeaderValue::from_static("Basic realm=\"tillsync\", charset=\"UTF-8\"");
            headers.insert(header::WWW_AUTHENTICATE, ask);
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        _ => {}
    }
    response
}

fn guarded(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let same = HeaderValue::from_static("same-origin");
    headers.insert("cross-origin-resource-policy", same.clone());
    headers.insert("cross-origin-opener-policy", same);
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
}

#[cfg(test)]
mod tests;
