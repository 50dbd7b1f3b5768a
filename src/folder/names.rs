//! What a file's name says: whether it is read, what its marker and its names afterwards are, and how
//! it is shown. Pure; names are bytes, and need not be UTF-8.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Of a name on every file system that matters here, in bytes.
pub const NAME_BYTES_MAX: usize = 255;

/// Folders of the daemon's own, inside each drop folder.
pub const ARCHIVE: &str = "archive";
pub const REJECTS: &str = "rejects";

/// Names of tillsync's own temporary files begin so: hidden, and so never read.
pub const OWN_PREFIX: &str = ".tillsync-";

/// Names under which other programs keep what is not yet whole (INTERFACE.md, "Never read").
const UNFINISHED: [&str; 4] = [".part", ".tmp", ".filepart", ".crdownload"];

/// How a folder reads a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// A pattern of the folder matches.
    Take,
    /// Hidden, or of a kind that is never read; followed for its rename all the same.
    Never,
    /// The marker of a file of this folder.
    Marker,
    /// Nothing matches: counted and named in `status`.
    Foreign,
}

/// The names of one folder: its patterns, and its marker.
#[derive(Clone, Debug)]
pub struct Rules {
    patterns: Vec<Vec<char>>,
    /// What stands before and after `{name}`.
    marker: Option<(String, String)>,
}

impl Rules {
    pub fn new(files: &[String], done: Option<&str>) -> Rules {
        Rules {
            patterns: files.iter().map(|p| fold(OsStr::new(p))).collect(),
            marker: done.map(|pattern| {
                let (before, after) = pattern.split_once("{name}").unwrap_or((pattern, ""));
                (before.to_owned(), after.to_owned())
            }),
        }
    }

    pub fn wants_marker(&self) -> bool {
        self.marker.is_some()
    }

    pub fn of(&self, name: &OsStr) -> Use {
        if is_never_read(name) {
            return Use::Never;
        }
        if self.file_of_marker(name).is_some() {
            return Use::Marker;
        }
        if self.matches(name) {
            Use::Take
        } else {
            Use::Foreign
        }
    }

    /// The marker's name that makes this file complete.
    pub fn marker_of(&self, name: &OsStr) -> Option<OsString> {
        let (before, after) = self.marker.as_ref()?;
        let mut marker = OsString::from(before);
        marker.push(name);
        marker.push(after);
        Some(marker)
    }

    /// The file that this marker is of, if it is one.
    pub fn file_of_marker(&self, name: &OsStr) -> Option<OsString> {
        let (before, after) = self.marker.as_ref()?;
        let bytes = name.as_bytes();
        let inner = bytes
            .strip_prefix(before.as_bytes())?
            .strip_suffix(after.as_bytes())?;
        let inner = OsStr::from_bytes(inner);
        let is_file = !inner.is_empty() && inner != name && self.matches(inner);
        (is_file && !is_never_read(inner)).then(|| inner.to_owned())
    }

    fn matches(&self, name: &OsStr) -> bool {
        let name = fold(name);
        self.patterns.iter().any(|pattern| glob(pattern, &name))
    }
}

/// Hidden, or what another program has not finished, or a lock of an office program.
pub fn is_never_read(name: &OsStr) -> bool {
    let bytes = name.as_bytes().to_ascii_lowercase();
    bytes.starts_with(b".")
        || bytes.starts_with(b"~$")
        || UNFINISHED.iter().any(|end| bytes.ends_with(end.as_bytes()))
}

/// In small letters; a byte that is no UTF-8 stands for itself.
fn fold(name: &OsStr) -> Vec<char> {
    match name.to_str() {
        Some(text) => text.chars().flat_map(char::to_lowercase).collect(),
        None => (name.as_bytes().iter())
            .map(|byte| byte.to_ascii_lowercase() as char)
            .collect(),
    }
}

/// `*` stands for any text, `?` for one character. Goes back to the last `*` only, so that no
/// pattern takes longer than the product of both lengths.
fn glob(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// For people: control characters and bytes that are no UTF-8 are escaped, so that no name can write
/// to a terminal or break a line.
pub fn shown(name: &OsStr) -> String {
    let mut out = String::new();
    for chunk in name.as_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                c if c.is_control() || is_invisible(c) => out.extend(c.escape_default()),
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// The file in `folder` whose name `shown` shows so; the only one that it can be, but for a name that
/// spells out what another one's bytes are shown as.
pub fn find_shown(folder: &Path, name: &str) -> Option<PathBuf> {
    let plain = folder.join(name);
    if !name.contains('\\') {
        return plain.symlink_metadata().is_ok().then_some(plain);
    }
    let entries = std::fs::read_dir(folder).ok()?;
    let mut names = entries.flatten().map(|entry| entry.file_name());
    let found = names.find(|found| shown(found) == name)?;
    Some(folder.join(found))
}

/// What turns the direction of text, or has no width: a name could pretend to be another.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// `<prefix><name><suffix>`, and `-<n>` before the name's ending where `n` is not 0. A name that
/// would be too long is shortened and told apart by a hash.
pub fn moved_name(stamp: &str, name: &OsStr, suffix: &str, n: u32) -> OsString {
    let (stem, ending) = split_ending(name.as_bytes());
    let number = if n == 0 {
        String::new()
    } else {
        format!("-{n}")
    };
    let fixed = stamp.len() + 1 + number.len() + ending.len() + suffix.len();
    let mut out = format!("{stamp}-").into_bytes();
    if fixed + stem.len() <= NAME_BYTES_MAX {
        out.extend_from_slice(stem);
    } else {
        let hash = blake3::hash(name.as_bytes()).to_hex();
        let mark = format!("~{}", &hash[..8]);
        out.extend_from_slice(cut(stem, NAME_BYTES_MAX - fixed - mark.len()));
        out.extend_from_slice(mark.as_bytes());
    }
    out.extend_from_slice(number.as_bytes());
    out.extend_from_slice(ending);
    out.extend_from_slice(suffix.as_bytes());
    OsString::from_vec(out)
}

/// At most `bytes_max`, and not in the middle of a character.
fn cut(stem: &[u8], bytes_max: usize) -> &[u8] {
    let mut end = bytes_max.min(stem.len());
    while end > 0 && end < stem.len() && stem[end] & 0xC0 == 0x80 {
        end -= 1;
    }
    &stem[..end]
}

/// `name` and `.csv.gz`; an ending longer than this is part of the name.
fn split_ending(name: &[u8]) -> (&[u8], &[u8]) {
    const ENDING_BYTES_MAX: usize = 12;
    let from = name.len().saturating_sub(ENDING_BYTES_MAX).max(1);
    match name
        .get(from..)
        .and_then(|tail| tail.iter().position(|b| *b == b'.'))
    {
        Some(dot) => name.split_at(from + dot),
        None => (name, b""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(done: Option<&str>) -> Rules {
        let files = ["*.csv", "*.csv.gz", "ex?ort.txt"].map(str::to_owned);
        Rules::new(&files, done)
    }

    #[track_caller]
    fn check(name: &str, expected: Use) {
        assert_eq!(rules(None).of(OsStr::new(name)), expected, "{name}");
    }

    #[test]
    fn patterns_match_without_regard_to_case() {
        check("a.csv", Use::Take);
        check("A.CSV", Use::Take);
        check("ÄÖ.Csv.GZ", Use::Take);
        check("export.txt", Use::Take);
        check("exxport.txt", Use::Foreign);
        check("a.csv.bak", Use::Foreign);
        check("csv", Use::Foreign);
    }

    #[test]
    fn what_is_never_read() {
        check(".a.csv", Use::Never);
        check("a.csv.part", Use::Never);
        check("a.csv.TMP", Use::Never);
        check("a.csv.filepart", Use::Never);
        check("a.csv.crdownload", Use::Never);
        check("~$a.csv", Use::Never);
    }

    #[test]
    fn a_name_that_is_no_utf8_is_read_and_shown_escaped() {
        let name = OsStr::from_bytes(b"a\xffz.csv");
        assert_eq!(rules(None).of(name), Use::Take);
        assert_eq!(shown(name), "a\\xffz.csv");
        assert_eq!(
            shown(OsStr::new("a\u{1b}[31m\n.csv")),
            "a\\u{1b}[31m\\n.csv"
        );
        assert_eq!(shown(OsStr::new("b\u{202e}vsc.csv")), "b\\u{202e}vsc.csv");
    }

    #[test]
    fn a_marker_belongs_to_its_file() {
        let rules = rules(Some("{name}.ok"));
        assert_eq!(rules.of(OsStr::new("a.csv.ok")), Use::Marker);
        assert_eq!(rules.of(OsStr::new("a.ok")), Use::Foreign);
        assert_eq!(
            rules.marker_of(OsStr::new("a.csv")),
            Some("a.csv.ok".into())
        );
        assert_eq!(
            rules.file_of_marker(OsStr::new("a.csv.ok")),
            Some("a.csv".into())
        );
    }

    #[test]
    fn hostile_patterns_end() {
        let pattern = fold(OsStr::new("*a*a*a*a*a*a*a*a*a*b"));
        assert!(!glob(&pattern, &vec!['a'; 200]));
    }

    #[track_caller]
    fn check_moved(name: &str, suffix: &str, n: u32, expected: &str) {
        let moved = moved_name("20261125T020312Z", OsStr::new(name), suffix, n);
        assert_eq!(moved.to_str().unwrap(), expected);
    }

    #[test]
    fn names_afterwards() {
        check_moved("a.csv", "", 0, "20261125T020312Z-a.csv");
        check_moved("a.csv", "", 2, "20261125T020312Z-a-2.csv");
        check_moved("a.csv.gz", "", 1, "20261125T020312Z-a-1.csv.gz");
        check_moved("a", "", 1, "20261125T020312Z-a-1");
        check_moved(
            "a.csv",
            ".rejects.csv",
            0,
            "20261125T020312Z-a.csv.rejects.csv",
        );
    }

    #[test]
    fn a_long_name_is_shortened_and_keeps_its_ending() {
        let long = format!("{}.csv", "é".repeat(125));
        let moved = moved_name("20261125T020312Z", OsStr::new(&long), ".rejects.csv", 0);
        assert!(moved.len() <= NAME_BYTES_MAX);
        let text = moved.to_str().expect("cut between characters");
        assert!(text.ends_with(".csv.rejects.csv"), "{text}");
    }
}
