//! A problem of the configuration (or of another file that a person writes), and how it is shown:
//! where, what is wrong, and what to write instead.
//!
//! A line that may hold a secret is masked when the problem is made, so that no later use of it,
//! not even `Debug`, can show the secret.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// Of an excerpt, in characters; a longer line is cut there.
const EXCERPT_CHARS_MAX: usize = 200;

/// Stands for what is not shown.
const MASK: &str = "…";

/// A text with the name under which it is shown.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    pub name: &'a str,
    pub text: &'a str,
}

/// A place in a source: its line as it may be shown, and the part that is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    excerpt: String,
    /// Bytes of `excerpt`.
    mark: Range<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub severity: Severity,
    pub place: Option<Place>,
    /// What is wrong, in words; never a value.
    pub message: String,
    /// Stands under the marked part: what to write instead.
    pub hint: Option<String>,
    /// What follows from it, and what to do.
    pub advice: Option<String>,
}

/// All problems of one run, in the order of their places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

/// Whether a value is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Showing {
    Plain,
    Masked,
}

impl Place {
    /// `span`: bytes of the source's text. Words on the line that look like a secret's name mask it,
    /// whatever `showing` says.
    pub fn new(source: Source<'_>, span: Range<usize>, showing: Showing) -> Place {
        let text = source.text;
        let start = floor(text, span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let line = text[line_start..line_end].trim_end_matches('\r');
        let from = (start - line_start).min(line.len());
        let to = floor(text, span.end.max(start)) - line_start;
        let (excerpt, mark) = match showing {
            Showing::Masked => mask(line, from..to),
            Showing::Plain if belongs_to_secret(text, line_start, line) => mask(line, from..to),
            Showing::Plain => (line.to_owned(), from..to),
        };
        let (excerpt, mark) = shorten(excerpt, mark);
        Place {
            file: source.name.to_owned(),
            line: text[..line_start].matches('\n').count() + 1,
            column: line[..from].chars().count() + 1,
            excerpt,
            mark,
        }
    }
}

impl fmt::Display for Place {
    /// `tillsync.toml:14:1`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl Problem {
    pub fn error(place: Option<Place>, message: impl Into<String>) -> Problem {
        Problem {
            severity: Severity::Error,
            place,
            message: message.into(),
            hint: None,
            advice: None,
        }
    }

    pub fn warning(place: Option<Place>, message: impl Into<String>) -> Problem {
        Problem {
            severity: Severity::Warning,
            ..Problem::error(place, message)
        }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Problem {
        self.hint = Some(hint.into());
        self
    }

    pub fn advice(mut self, advice: impl Into<String>) -> Problem {
        self.advice = Some(advice.into());
        self
    }

    /// As shown on a terminal, with a line break at its end; `styled`: with colours.
    pub fn render(&self, styled: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = match &self.place {
            Some(place) => format!("{place}: {}", self.message),
            None => self.message.clone(),
        };
        let mut group = annotate_snippets::Group::with_title(level.primary_title(title));
        if let Some(place) = &self.place {
            let mut annotation = AnnotationKind::Primary.span(place.mark.clone());
            if let Some(hint) = &self.hint {
                annotation = annotation.label(hint.clone());
            }
            group = group.element(
                Snippet::source(place.excerpt.clone())
                    .line_start(place.line)
                    .annotation(annotation),
            );
        }
        let renderer = if styled {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let mut out = renderer.render(&[group]);
        out.push('\n');
        let loose_hint = self.hint.as_ref().filter(|_| self.place.is_none());
        for sentence in loose_hint.into_iter().chain(&self.advice) {
            for line in sentence.lines() {
                out.push_str("  ");
                out.push_str(&visible(line));
                out.push('\n');
            }
        }
        out
    }
}

impl Problems {
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|p| p.severity == Severity::Error)
    }

    /// One after the other, with an empty line in between.
    pub fn render(&self, styled: bool) -> String {
        let each: Vec<String> = self.0.iter().map(|p| p.render(styled)).collect();
        each.join("\n")
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// The known name that was meant: the nearest one, unless all are far.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = written.to_lowercase();
    known
        .into_iter()
        .map(|name| (likeness(&lower, &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness >= NEAREST_LIKENESS_MIN)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

/// 0 to 1. A single slip of a short word weighs too much with Jaro and Winkler.
fn likeness(one: &str, other: &str) -> f64 {
    let slip = one.chars().count() > 2 && strsim::damerau_levenshtein(one, other) == 1;
    let likeness = strsim::jaro_winkler(one, other);
    if slip {
        likeness.max(NEAREST_LIKENESS_MIN)
    } else {
        likeness
    }
}

/// By Jaro and Winkler; below it a guess misleads more than it helps (`port` is not `path`).
const NEAREST_LIKENESS_MIN: f64 = 0.84;

/// Characters that a terminal would obey, or that make a text look like another, as escapes.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_invisible(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Zero-width characters, line separators, and those that turn the direction of writing.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Whether a key of this name holds what nobody should see.
pub fn looks_secret(name: &str) -> bool {
    const WORDS: [&str; 10] = [
        "token",
        "passw",
        "passphrase",
        "pwd",
        "secret",
        "credential",
        "appid",
        "bearer",
        "authorization",
        "private",
    ];
    const PARTS: [&str; 3] = ["key", "pass", "auth"];
    let name = name.to_lowercase();
    let joined: String = name.chars().filter(|c| c.is_alphanumeric()).collect();
    WORDS.iter().any(|word| joined.contains(word))
        || joined.contains("apikey")
        || name
            .split(|c: char| !c.is_alphanumeric())
            .any(|part| PARTS.contains(&part))
}

/// Whether the line, or the entry that it continues, names something secret.
fn belongs_to_secret(text: &str, line_start: usize, line: &str) -> bool {
    let begins_entry = |line: &str| {
        line.split_once('=').is_some_and(|(key, _)| {
            let plain = |c: char| c.is_alphanumeric() || "_-.\"' \t".contains(c);
            !key.trim().is_empty() && key.chars().all(plain)
        })
    };
    if names_secret(line) {
        return true;
    }
    if begins_entry(line) || line.trim_start().starts_with('[') {
        return false;
    }
    text[..line_start]
        .lines()
        .rev()
        .find(|earlier| begins_entry(earlier))
        .is_some_and(names_secret)
}

fn names_secret(line: &str) -> bool {
    line.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'))
        .filter(|word| !super::keys::is_plain(word))
        .any(looks_secret)
}

/// The line up to its first `=`; the mark stays where it points at what is left.
fn mask(line: &str, mark: Range<usize>) -> (String, Range<usize>) {
    let kept = line.find('=').map_or(0, |at| at + 1);
    let mut shown = line[..kept].to_owned();
    if kept > 0 {
        shown.push(' ');
    }
    let masked = shown.len();
    shown.push_str(MASK);
    let mark = if mark.start < kept {
        mark.start..mark.end.min(kept)
    } else {
        masked..shown.len()
    };
    (shown, mark)
}

/// Cuts a line that would fill the screen, around what is marked.
fn shorten(excerpt: String, mark: Range<usize>) -> (String, Range<usize>) {
    let start = floor(&excerpt, mark.start);
    let end = floor(&excerpt, mark.end.min(excerpt.len())).max(start);
    if excerpt.chars().count() <= EXCERPT_CHARS_MAX {
        return (excerpt, start..end);
    }
    let before: Vec<char> = excerpt[..start]
        .chars()
        .rev()
        .take(EXCERPT_CHARS_MAX / 4)
        .collect();
    let before: String = before.into_iter().rev().collect();
    let head = if before.len() < start { MASK } else { "" };
    let after: String = excerpt[start..]
        .chars()
        .take(EXCERPT_CHARS_MAX / 2)
        .collect();
    let from = head.len() + before.len();
    let marked = (end - start).min(after.len());
    (format!("{head}{before}{after}{MASK}"), from..from + marked)
}

/// The nearest boundary of a character at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
