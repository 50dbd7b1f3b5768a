//! Where log lines go: journald's fields under systemd, JSON on request, else text on standard error.
//!
//! Events carry file and line, code and request id, never a key or a cell (INTERFACE.md, promise 7).

use std::io::IsTerminal;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

/// `TILLSYNC_LOG` filters (`debug`, `tillsync::delivery=debug`; one that cannot be read counts as unset),
/// `TILLSYNC_LOG_FORMAT=json` asks for JSON.
pub fn start(default: LevelFilter) {
    // Only our own events unless asked for more: libraries log addresses and headers.
    let asked = std::env::var("TILLSYNC_LOG").ok();
    let asked: Option<Targets> = asked.and_then(|directives| directives.parse().ok());
    let filter = asked.unwrap_or_else(|| Targets::new().with_target("tillsync", default));
    let _ = Registry::default()
        .with(output().with_filter(filter))
        .try_init();
    std::panic::set_hook(Box::new(|panic| {
        // The payload may hold a cell's content: the place is enough to find the fault.
        let place = panic
            .location()
            .map(|l| format!("{}:{}", l.file(), l.line()))
            .unwrap_or_default();
        tracing::error!(
            place,
            "a fault in tillsync itself; the process ends, and starts again where it stood"
        );
        if !tracing::enabled!(tracing::Level::ERROR) {
            eprintln!("error: a fault in tillsync itself at {place}");
        }
        std::process::abort();
    }));
}

fn output() -> Box<dyn Layer<Registry> + Send + Sync> {
    if std::env::var("TILLSYNC_LOG_FORMAT").is_ok_and(|f| f == "json") {
        return tracing_subscriber::fmt::layer()
            .json()
            .with_writer(std::io::stderr)
            .boxed();
    }
    if std::env::var_os("JOURNAL_STREAM").is_some()
        && let Ok(journald) = tracing_journald::layer()
    {
        return journald.boxed();
    }
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt::layer()
        .with_target(false)
        .with_ansi(colour)
        .with_writer(std::io::stderr)
        .boxed()
}
