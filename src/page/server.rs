//! Carries requests to the page: a thread, a runtime on it, connections with limits.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::http::StatusCode;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Semaphore, oneshot};

use super::guard::Password;
use super::metrics::Process;
use super::{Site, Sources, Trouble};

/// Connections that are served together; others wait to be accepted.
pub const CONNECTIONS_MAX: usize = 64;

/// A request's head has to be there within this.
pub const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// And the whole exchange be over within this.
const OVER_WITHIN: Duration = Duration::from_secs(30);

const HEAD_BYTES_MAX: usize = 16 << 10;

/// Whoever gives a wrong password waits.
const WRONG_PASSWORD_WAITS: Duration = Duration::from_millis(500);

/// The running page; it ends with this value.
pub struct Page {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Why there is no page, in words that name the setting.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the page cannot listen on {address}: {reason}")]
    Listen { address: SocketAddr, reason: String },
    #[error("`local.listen` lets other hosts see the page, and no `password_file` is set")]
    NoPassword,
    #[error("`local.password_file`: {0}")]
    Password(String),
    #[error("the page's thread does not start: {0}")]
    Thread(io::Error),
}

/// Listens where the configuration says. `None`: it says not to.
pub fn start(sources: Sources) -> Result<Option<Page>, Error> {
    listen(sources, None)
}

/// The same with one page that says what keeps the daemon from its work.
pub fn start_in_trouble(sources: Sources, trouble: Trouble) -> Result<Option<Page>, Error> {
    listen(sources, Some(trouble))
}

fn listen(sources: Sources, trouble: Option<Trouble>) -> Result<Option<Page>, Error> {
    let config = sources.config();
    let Some(listen) = config.local.listen else {
        return Ok(None);
    };
    let password = config.local.password_file.as_deref().map(Password::read);
    let password = password.transpose().map_err(Error::Password)?;
    if password.is_none() && !listen.ip().is_loopback() {
        return Err(Error::NoPassword);
    }
    let fail = |error: io::Error| Error::Listen {
        address: listen,
        reason: match error.kind() {
            io::ErrorKind::AddrInUse => "another program listens there already".to_owned(),
            _ => crate::config::why(&error),
        },
    };
    let listener = TcpListener::bind(listen).map_err(fail)?;
    listener.set_nonblocking(true).map_err(fail)?;
    let address = listener.local_addr().map_err(fail)?;
    let site = Arc::new(Site::new(sources, address, password, trouble));
    let (stop, stopped) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(Error::Thread)?;
    let thread = std::thread::Builder::new()
        .name("page".into())
        .spawn(move || {
            runtime.block_on(serve(site, listener, stopped));
            // What is still open is dropped: a page has nothing to finish.
            runtime.shutdown_background();
        })
        .map_err(Error::Thread)?;
    Ok(Some(Page {
        address,
        stop: Some(stop),
        thread: Some(thread),
    }))
}

impl Page {
    /// Where it listens; the port is told even if the configuration says 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(site: Arc<Site>, listener: TcpListener, stopped: oneshot::Receiver<()>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the status page does not start; the rest goes on");
            return;
        }
    };
    tokio::select! {
        () = accept(site, listener) => {}
        _ = stopped => {}
    }
}

async fn accept(site: Arc<Site>, listener: tokio::net::TcpListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = places
            .clone()
            .acquire_owned()
            .await
            .expect("nobody closes it");
        match listener.accept().await {
            Ok((stream, _)) => {
                let site = site.clone();
                tokio::spawn(async move {
                    let _ = tokio::time::timeout(OVER_WITHIN, connection(site, stream)).await;
                    drop(place);
                });
            }
            // Out of descriptors, mostly: others give some back.
            Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
}

async fn connection(site: Arc<Site>, stream: tokio::net::TcpStream) {
    let Ok(local) = stream.local_addr() else {
        return;
    };
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let site = site.clone();
        async move {
            let response = site.answer(
                request.method(),
                request.uri(),
                request.headers(),
                local.ip(),
            );
            if response.status() == StatusCode::UNAUTHORIZED {
                tokio::time::sleep(WRONG_PASSWORD_WAITS).await;
            }
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    // A connection that breaks is its other end's business.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Of this process, as /proc tells.
pub fn process() -> Process {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: Option<u64> = resident.and_then(|r| r.split_whitespace().next()?.parse().ok());
    let fds = std::fs::read_dir("/proc/self/fd")
        .ok()
        .map(|dir| dir.count() as u64);
    Process {
        resident_bytes: kib.map(|kib| kib * 1024),
        // The listing itself is one.
        open_fds: fds.map(|n| n.saturating_sub(1)),
    }
}
