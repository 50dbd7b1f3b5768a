//! The last two days as a picture: what waited, and what was delivered, drawn as SVG. Pure.

use jiff::tz::TimeZone;
use maud::{Markup, PreEscaped, html};

use crate::status::facts::Sample;
use crate::status::words::{DAY, count, moment, number, tick};

/// What the picture spans.
pub const SPAN_MS: i64 = 2 * DAY;

const HOUR: i64 = 3_600_000;

/// Points further apart are a time without a daemon.
const GAP_MS: i64 = 16 * 60_000;

/// The drawing's own units; CSS stretches them.
const WIDTH: f64 = 960.0;
const WAITING: f64 = 96.0;
const BARS: f64 = 40.0;
const BETWEEN: f64 = 8.0;

pub fn picture(samples: &[Sample], now: i64, tz: &TimeZone) -> Markup {
    let from = now - SPAN_MS;
    let points: Vec<&Sample> = samples
        .iter()
        .filter(|s| s.at >= from && s.at <= now)
        .collect();
    if points.len() < 2 {
        return html! {
            p.card.dim { "It begins once the daemon has run for ten minutes." }
        };
    }
    let most_waiting = points.iter().map(|s| s.pending).max().unwrap_or(0);
    let hours = per_hour(&points, from);
    let most_done = hours.iter().copied().max().unwrap_or(0);
    let peak = points.iter().max_by_key(|s| (s.pending, s.at));
    let delivered: u64 = points.iter().map(|s| s.delivered).sum();
    let calls: u64 = points.iter().map(|s| s.calls).sum();
    let height = WAITING + BETWEEN + BARS;
    html! {
        figure.card {
            ul.legend {
                li { (swatch("w")) "waiting, at most " (number(most_waiting)) }
                li { (swatch("d")) "delivered an hour, at most " (number(most_done)) }
                @if !gaps(&points, from, now).is_empty() { li { (swatch("o")) "not running" } }
            }
            svg.picture viewBox=(format!("0 0 {WIDTH} {height}")) preserveAspectRatio="none" role="img" aria-labelledby="picture-says" {
                @for (a, b) in gaps(&points, from, now) {
                    rect.off x=(x(a, from)) y="0" width=(width(a, b)) height=(height) {}
                }
                (PreEscaped(waiting(&points, from, most_waiting)))
                line.line x1="0" x2=(WIDTH) y1=(WAITING) y2=(WAITING) {}
                @for (n, done) in hours.iter().enumerate() {
                    @if *done > 0 {
                        @let tall = (BARS * *done as f64 / most_done as f64).max(1.0);
                        rect.done x=(round(n as f64 * WIDTH / 48.0 + 2.0)) width=(round(WIDTH / 48.0 - 4.0))
                            y=(round(height - tall)) height=(round(tall)) {}
                    }
                }
                line.line x1="0" x2=(WIDTH) y1=(height) y2=(height) {}
            }
            div.axis aria-hidden="true" {
                @for (n, class) in [(0, ""), (1, "wide"), (2, ""), (3, "wide")] {
                    span class=[(!class.is_empty()).then_some(class)] { (tick(from + n * 12 * HOUR, now, tz)) }
                }
                span { "now" }
            }
            figcaption #picture-says {
                "In two days " (count(delivered, "change was", "changes were")) " delivered with "
                (count(calls, "call", "calls")) "."
                @if let Some(peak) = peak.filter(|s| s.pending > 0) {
                    " The most that waited was " (number(peak.pending)) ", " (moment(peak.at, now, tz)) "."
                }
            }
        }
    }
}

fn swatch(class: &str) -> Markup {
    html! { svg class=(class) viewBox="0 0 10 10" aria-hidden="true" { rect width="10" height="10" rx="2.5" {} } }
}

fn x(at: i64, from: i64) -> f64 {
    round((at - from) as f64 / SPAN_MS as f64 * WIDTH)
}

fn width(a: i64, b: i64) -> f64 {
    round((b - a) as f64 / SPAN_MS as f64 * WIDTH)
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// 48 sums.
fn per_hour(points: &[&Sample], from: i64) -> Vec<u64> {
    let mut hours = vec![0; 48];
    for point in points {
        // What was done since the point before belongs to the hour in which it ended.
        let hour = ((point.at - from) / HOUR).clamp(0, 47) as usize;
        hours[hour] += point.delivered;
    }
    hours
}

/// Times of which nothing is known.
fn gaps(points: &[&Sample], from: i64, now: i64) -> Vec<(i64, i64)> {
    let inner = points.windows(2).map(|pair| (pair[0].at, pair[1].at));
    let first = points.first().map(|p| (from, p.at));
    let last = points.last().map(|p| (p.at, now));
    first
        .into_iter()
        .chain(inner)
        .chain(last)
        .filter(|(a, b)| b - a > GAP_MS)
        .collect()
}

/// Area and edge of what waited, in a piece for each time without a gap.
fn waiting(points: &[&Sample], from: i64, most: u64) -> String {
    use std::fmt::Write;
    let y = |n: u64| round(WAITING - 2.0 - (WAITING - 6.0) * n as f64 / most.max(1) as f64);
    let mut out = String::new();
    for piece in points.chunk_by(|a, b| b.at - a.at <= GAP_MS) {
        let mut line = String::new();
        for point in piece {
            let command = if line.is_empty() { 'M' } else { 'L' };
            let _ = write!(line, "{command}{} {}", x(point.at, from), y(point.pending));
        }
        let (first, last) = (x(piece[0].at, from), x(piece[piece.len() - 1].at, from));
        let _ = write!(
            out,
            r#"<path class="area" d="{line}L{last} {WAITING}L{first} {WAITING}Z"/><path class="edge" d="{line}"/>"#
        );
    }
    out
}
