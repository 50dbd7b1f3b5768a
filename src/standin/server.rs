//! The stand-in behind a socket: HTTP/1.1 by hand, because a stand-in has to do what no web
//! framework lets it: reset a connection before, in or after an answer, hang, trickle.
//!
//! It knows as much of HTTP as an API client needs: bodies by `Content-Length` (a chunked one is
//! refused with 411, as API.md asks for lengths), keep-alive, `Expect: 100-continue`.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{
    Answer, Delivery, Remote, Reply, Request, Settings,
    control::{self, PREFIX},
    faults::Faults,
    limits::http_date,
    settings::{APP_ID, APP_TOKEN},
};

/// The longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The most headers of a request.
const HEADERS_MAX: usize = 64;

/// The longest body that is read at all, in bytes; the API's own limit is judged by its rules.
const READ_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How `tillsync standin` is started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The same seed, the same ids and the same chance.
    pub seed: u64,
    pub settings: Settings,
    pub faults: Faults,
}

/// A stand-in that runs on a thread of its own, until this is dropped.
pub struct Handle {
    addr: SocketAddr,
    remote: Arc<Mutex<Remote>>,
    stop: watch::Sender<bool>,
    thread: Option<thread::JoinHandle<io::Result<()>>>,
}

impl Handle {
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://127.0.0.1:4900`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The remote itself. No request is answered while the guard lives.
    pub fn remote(&self) -> MutexGuard<'_, Remote> {
        locked(&self.remote)
    }

    /// Ends it and closes its connections.
    pub fn stop(mut self) -> io::Result<()> {
        self.end()
    }

    fn end(&mut self) -> io::Result<()> {
        let _ = self.stop.send(true);
        match self.thread.take() {
            Some(thread) => thread
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("the stand-in's thread panicked"))),
            None => Ok(()),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// Starts a stand-in on a thread of its own; it takes connections when this returns.
pub fn start(listener: std::net::TcpListener, options: Options) -> io::Result<Handle> {
    let addr = listener.local_addr()?;
    let remote = Arc::new(Mutex::new(made(addr, options)));
    let (stop, mut stopped) = watch::channel(false);
    let shared = remote.clone();
    let thread = thread::Builder::new()
        .name("standin".into())
        .spawn(move || {
            on_one_thread(serve(listener, shared, async move {
                // An error means that the handle is gone, which is the end as well.
                let _ = stopped.wait_for(|stop| *stop).await;
            }))
        })?;
    Ok(Handle {
        addr,
        remote,
        stop,
        thread: Some(thread),
    })
}

/// Serves until the process ends, and says where: the command `tillsync standin`.
pub fn run(listen: SocketAddr, options: Options) -> io::Result<()> {
    let listener = std::net::TcpListener::bind(listen)?;
    let addr = listener.local_addr()?;
    println!("listening on http://{addr} app-id: {APP_ID} app-token: {APP_TOKEN}");
    let remote = Arc::new(Mutex::new(made(addr, options)));
    on_one_thread(serve(listener, remote, std::future::pending()))
}

/// Serves a remote until `shutdown` is ready; open connections end with it.
pub async fn serve(
    listener: std::net::TcpListener,
    remote: Arc<Mutex<Remote>>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let mut connections = tokio::task::JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => return Ok(()),
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let remote = remote.clone();
                    connections.spawn(async move {
                        // A client that goes away is nothing to report.
                        let _ = converse(stream, &remote).await;
                    });
                }
                // Too many open files: the next try finds some closed.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
        }
    }
}

fn made(addr: SocketAddr, options: Options) -> Remote {
    let settings = Settings {
        base_url: format!("http://{addr}"),
        ..options.settings
    };
    let mut remote = Remote::new(options.seed, settings);
    remote.set_faults(options.faults, now_ms());
    remote
}

fn on_one_thread(serving: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(serving)
}

fn locked(remote: &Mutex<Remote>) -> MutexGuard<'_, Remote> {
    remote.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now_ms() -> i64 {
    let past = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(past.as_millis()).unwrap_or(i64::MAX)
}

/// One connection, request after request.
async fn converse(mut stream: TcpStream, remote: &Mutex<Remote>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut unread = Vec::new();
    while let Some(head) = read_head(&mut stream, &mut unread).await? {
        let Some(head) = head else {
            return refuse(&mut stream, 400, "Bad Request").await;
        };
        if head.chunked {
            return refuse(&mut stream, 411, "Length Required").await;
        }
        if head.length > READ_BYTES_MAX {
            return refuse(&mut stream, 413, "Request Entity Too Large").await;
        }
        if head.expects_continue {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let early = match head.request.target.starts_with(PREFIX) {
            true => None,
            false => locked(remote).breaks_early(&head.request, now_ms()),
        };
        if let Some(bytes) = early {
            read_body(&mut stream, &mut unread, bytes.min(head.length)).await?;
            return reset(&stream);
        }
        let body = read_body(&mut stream, &mut unread, head.length).await?;
        let request = Request {
            body,
            ..head.request
        };
        if request.target.starts_with(PREFIX) {
            let Request {
                method,
                target,
                body,
                ..
            } = &request;
            let reply = control::control(&mut locked(remote), method, target, body, now_ms());
            write(&mut stream, &reply, head.keep_alive).await?;
        } else {
            let answer = locked(remote).answer(&request, now_ms());
            let seq = answer.seq;
            let delivered = deliver(&mut stream, answer, head.keep_alive).await;
            if !matches!(delivered, Ok(true)) {
                locked(remote).did_not_leave(seq);
                return delivered.map(|_| ());
            }
        }
        if !head.keep_alive {
            return stream.shutdown().await;
        }
    }
    Ok(())
}

struct Head {
    request: Request,
    length: usize,
    chunked: bool,
    keep_alive: bool,
    expects_continue: bool,
}

/// `None`: the client has closed. `Some(None)`: what it sent is no request.
async fn read_head(
    stream: &mut TcpStream,
    unread: &mut Vec<u8>,
) -> io::Result<Option<Option<Head>>> {
    loop {
        if let Some(end) = memchr::memmem::find(unread, b"\r\n\r\n") {
            let head = parse(&unread[..end + 4]);
            unread.drain(..end + 4);
            return Ok(Some(head));
        }
        if unread.len() > HEAD_BYTES_MAX {
            return Ok(Some(None));
        }
        if stream.read_buf(unread).await? == 0 {
            return Ok(None);
        }
    }
}

fn parse(bytes: &[u8]) -> Option<Head> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    parsed.parse(bytes).ok()?;
    let headers: Vec<(String, String)> = parsed
        .headers
        .iter()
        .map(|header| {
            let value = String::from_utf8_lossy(header.value).into_owned();
            (header.name.to_owned(), value)
        })
        .collect();
    let request = Request {
        method: parsed.method?.to_owned(),
        target: origin_form(parsed.path?).to_owned(),
        headers,
        body: Arc::new([]),
    };
    let says = |name: &str, word: &str| {
        request
            .header(name)
            .is_some_and(|value| value.to_ascii_lowercase().contains(word))
    };
    let length = match request.header("content-length") {
        Some(text) => text.trim().parse().ok()?,
        None => 0,
    };
    Some(Head {
        length,
        chunked: says("transfer-encoding", "chunked"),
        keep_alive: parsed.version == Some(1) && !says("connection", "close"),
        expects_continue: says("expect", "100-continue"),
        request,
    })
}

/// `http://host/path`, as a client sends it that takes this for its proxy, is `/path`.
fn origin_form(target: &str) -> &str {
    let Some(rest) = target.strip_prefix("http://") else {
        return target;
    };
    rest.find('/').map_or("/", |slash| &rest[slash..])
}

async fn read_body(
    stream: &mut TcpStream,
    unread: &mut Vec<u8>,
    length: usize,
) -> io::Result<Arc<[u8]>> {
    let here = unread.len().min(length);
    let mut body: Vec<u8> = unread.drain(..here).collect();
    body.resize(length, 0);
    stream.read_exact(&mut body[here..]).await?;
    Ok(body.into())
}

/// Whether the answer went out whole, and the connection can go on.
async fn deliver(stream: &mut TcpStream, answer: Answer, keep_alive: bool) -> io::Result<bool> {
    let Answer {
        reply, delivery, ..
    } = answer;
    match delivery {
        Delivery::Whole => write(stream, &reply, keep_alive).await.map(|()| true),
        Delivery::After(ms) => {
            pause(ms).await;
            write(stream, &reply, keep_alive).await.map(|()| true)
        }
        Delivery::Trickle(ms) => {
            for byte in bytes(&reply, keep_alive) {
                pause(ms).await;
                stream.write_all(&[byte]).await?;
            }
            Ok(true)
        }
        Delivery::Cut(most) => {
            let whole = bytes(&reply, keep_alive);
            let left_out = reply.body.len() - reply.body.len().saturating_sub(1).min(most);
            stream.write_all(&whole[..whole.len() - left_out]).await?;
            // A reset takes away what the client has not read yet; a closing does not.
            stream.shutdown().await.map(|()| false)
        }
        Delivery::Reset => reset(stream).map(|()| false),
        Delivery::Hang => {
            // Until the client has enough.
            let mut ignored = [0; 1024];
            while stream.read(&mut ignored).await? > 0 {}
            Ok(false)
        }
    }
}

/// Nothing lingers: closing such a socket sends a reset.
fn reset(stream: &TcpStream) -> io::Result<()> {
    stream.set_zero_linger()
}

async fn pause(ms: i64) {
    tokio::time::sleep(Duration::from_millis(u64::try_from(ms).unwrap_or(0))).await;
}

async fn refuse(stream: &mut TcpStream, status: u16, message: &str) -> io::Result<()> {
    let body = serde_json::json!({"statusCode": status, "error": message, "message": message});
    write(stream, &Reply::json(status, &body), false).await?;
    stream.shutdown().await
}

async fn write(stream: &mut TcpStream, reply: &Reply, keep_alive: bool) -> io::Result<()> {
    stream.write_all(&bytes(reply, keep_alive)).await
}

fn bytes(reply: &Reply, keep_alive: bool) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {} {}\r\n", reply.status, reason(reply.status));
    let date = http_date(now_ms());
    let length = reply.body.len().to_string();
    let own = reply
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let ours = [("Date", date.as_str()), ("Content-Length", length.as_str())];
    // A 204 has no body, and so no length either.
    let ours = ours
        .into_iter()
        .filter(|(name, _)| reply.status != 204 || *name == "Date");
    for (name, value) in own.chain(ours) {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !keep_alive {
        text.push_str("Connection: close\r\n");
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    if reply.status != 204 {
        bytes.extend_from_slice(&reply.body);
    }
    bytes
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        204 => "No Content",
        302 => "Found",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Payload Too Large",
        415 => "Unsupported Media Type",
        423 => "Locked",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Answer",
    }
}
