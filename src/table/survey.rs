//! One look over a whole file: its members, and of each the encoding, the dialect and the header.

use std::io::{Cursor, Read, Seek};

use encoding_rs::Encoding;
use memchr::{memchr2, memrchr2};

use super::container::{Packed, no_table};
use super::decode::{Filled, Source, read_some};
use super::dialect::Head;
use super::encoding::{Evidence, is_binary, utf16_without_mark};
use super::{Dialect, Failure, Member, ROW_BYTES_MAX, Settings};

const PIECE_BYTES: usize = 256 << 10;
/// The part at a member's start in which titles, header and enough rows to tell the delimiter stand.
const HEAD_BYTES: usize = 256 << 10;

/// Looks a whole file over once: what it is packed in, its members, and of each the encoding (by
/// evidence over the whole member), delimiter and header. `is_header` is asked of the first lines
/// whether a preset knows them, so that titles above a header are skipped; without such a line, the
/// first that is not blank is the header.
///
/// A gzip that breaks off is no failure here, if its header can be read: the [`super::Reader`] says where.
pub fn survey<R: Read + Seek>(
    file: &mut R,
    settings: &Settings,
    is_header: &dyn Fn(&[String]) -> bool,
) -> Result<Vec<Member>, Failure> {
    let setting = match &settings.encoding {
        Some(label) => Some(Encoding::for_label(label.as_bytes()).ok_or_else(|| {
            Failure::unreadable("the name set as `encoding` is none that tillsync knows")
        })?),
        None => None,
    };
    let packed = Packed::inspect(file)?;
    let mut unpacked = 0;
    let mut members = Vec::with_capacity(packed.members.len());
    let mut recognised = Vec::new();
    for place in &packed.members {
        let mut raw = packed.open(file, place, unpacked)?;
        let look = look_over(&mut raw).map_err(|failure| within(&place.name, failure))?;
        unpacked = raw.unpacked();
        let encoding = look.evidence.decide(&look.head, setting);
        let text = decode_head(&look.head, encoding)?;
        let head = Head {
            text: &text,
            complete: look.head_is_all,
        };
        let found = head
            .find(settings, is_header)
            .map_err(|failure| within(&place.name, failure))?;
        recognised.push(found.recognised);
        members.push(Member {
            name: place.name.clone(),
            dialect: Dialect {
                encoding: encoding.name().to_owned(),
                delimiter: found.delimiter,
                header_line: found.header_line,
                header_at: found.header_at,
                container: packed.container,
                guarded: false,
            },
            header: found.header,
        });
    }
    if recognised.contains(&true) {
        // A text whose header nobody knows, beside tables that somebody does, is a README.
        let mut known = recognised.into_iter();
        members.retain(|member| {
            known.next().unwrap_or(true) || !member.name.to_lowercase().ends_with(".txt")
        });
    }
    Ok(members)
}

/// Says which member of a zip a reason is about.
fn within(member: &str, failure: Failure) -> Failure {
    match failure {
        Failure::Unreadable { reason } if !member.is_empty() => Failure::Unreadable {
            reason: format!("{member} in the zip: {reason}"),
        },
        failure => failure,
    }
}

/// What was seen of one member.
struct Look {
    head: Vec<u8>,
    head_is_all: bool,
    evidence: Evidence,
}

fn look_over(raw: &mut dyn Read) -> Result<Look, Failure> {
    let mut look = Look {
        head: Vec::new(),
        head_is_all: true,
        evidence: Evidence::new(),
    };
    let mut lines = LineLengths::default();
    let mut piece = Vec::new();
    let mut left = 0;
    loop {
        piece.drain(..piece.len() - left);
        let filled = read_some(raw, &mut piece, PIECE_BYTES)?;
        let fresh = &piece[left..];
        if look.head.is_empty() {
            if let Some(reason) = no_table(fresh) {
                return Err(Failure::Unreadable { reason });
            }
            if is_binary(fresh) {
                return Err(Failure::unreadable(
                    "the file is not text; tillsync stored nothing of it. Export it as CSV and drop \
                     that",
                ));
            }
            lines.wide = fresh.first().is_some_and(|byte| *byte >= 0xFE)
                || utf16_without_mark(fresh).is_some();
        }
        // A header is in the head whole, however long its line is.
        let head_goes_on = look.head.len() < HEAD_BYTES || !lines.any;
        lines.observe(fresh)?;
        if head_goes_on {
            look.head.extend_from_slice(fresh);
        } else {
            look.head_is_all &= fresh.is_empty();
        }
        left = look
            .evidence
            .observe(&piece, !matches!(filled, Filled::More));
        match filled {
            Filled::More => {}
            Filled::End => return Ok(look),
            Filled::Cut(reason) => {
                look.head_is_all = false;
                if !lines.any {
                    return Err(Failure::unreadable(format!(
                        "{reason}, before a header was read; tillsync stored nothing of it. Export or \
                         copy it again"
                    )));
                }
                return Ok(look);
            }
        }
    }
}

/// Watches for lines that are longer than any row may be, so that a file of one line is refused at once
/// and no head grows large.
#[derive(Default)]
struct LineLengths {
    any: bool,
    /// Bytes since the last line end.
    open: usize,
    /// UTF-16.
    wide: bool,
}

impl LineLengths {
    fn observe(&mut self, piece: &[u8]) -> Result<(), Failure> {
        let most = if self.wide { 2 } else { 1 } * ROW_BYTES_MAX + 2;
        let first = memchr2(b'\n', b'\r', piece);
        if self.open + first.unwrap_or(piece.len()) > most {
            return Err(Failure::unreadable(
                "the file has a line that is larger than 4 MiB, as no export has; tillsync stored \
                 nothing of it",
            ));
        }
        self.any |= first.is_some();
        self.open = match memrchr2(b'\n', b'\r', piece) {
            Some(last) => piece.len() - last - 1,
            None => self.open + piece.len(),
        };
        Ok(())
    }
}

fn decode_head(head: &[u8], encoding: &'static Encoding) -> Result<Vec<u8>, Failure> {
    let mut source = Source::new(Box::new(Cursor::new(head)), encoding);
    let mut text = Vec::new();
    while let Filled::More = source.fill(&mut text, PIECE_BYTES)? {}
    Ok(text)
}
