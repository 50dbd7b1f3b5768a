//! Bytes of a member → text: UTF-8 passes through, everything else is decoded.
//!
//! What does not decode becomes the byte 0xFF, which no text has: so that whoever splits the text into
//! rows can blame the one row, and nobody ever stores U+FFFD.

use std::io::{self, Read};

use encoding_rs::{DecoderResult, Encoding, UTF_8};

use super::container::Stop;

/// Stands for what does not decode.
pub(super) const UNDECODABLE: u8 = 0xFF;

const MARK: &[u8] = "\u{FEFF}".as_bytes();

/// The text of one member, from its start, without its byte order mark.
pub(super) struct Source<'a> {
    raw: Box<dyn Read + 'a>,
    decoding: Decoding,
    /// Bytes that were read and not yet decoded.
    read: Vec<u8>,
    begun: bool,
}

enum Decoding {
    Utf8,
    /// What each byte above 0x7F becomes.
    Single(Box<Single>),
    Multi(Box<encoding_rs::Decoder>),
}

/// UTF-8 of one character, or `UNDECODABLE`.
#[derive(Clone, Copy, Default)]
struct Glyph {
    bytes: [u8; 3],
    len: u8,
}

/// What a call of `fill` came to.
#[derive(Debug)]
pub(super) enum Filled {
    More,
    End,
    /// The bytes break off here: why.
    Cut(String),
}

impl<'a> Source<'a> {
    pub fn new(raw: Box<dyn Read + 'a>, encoding: &'static Encoding) -> Source<'a> {
        let decoding = if encoding == UTF_8 {
            Decoding::Utf8
        } else if encoding.is_single_byte() {
            Decoding::Single(Box::new(Single::new(encoding)))
        } else {
            Decoding::Multi(Box::new(encoding.new_decoder_without_bom_handling()))
        };
        Source {
            raw,
            decoding,
            read: Vec::new(),
            begun: false,
        }
    }

    /// Appends about `wanted` bytes of text to `text`.
    pub fn fill(&mut self, text: &mut Vec<u8>, wanted: usize) -> Result<Filled, Stop> {
        let before = text.len();
        // The mark has to be there whole to be taken off.
        let wanted = if self.begun { wanted } else { wanted.max(16) };
        let filled = match &mut self.decoding {
            Decoding::Utf8 => read_some(&mut self.raw, text, wanted)?,
            Decoding::Single(single) => {
                let filled = read_some(&mut self.raw, &mut self.read, wanted)?;
                let last = !matches!(filled, Filled::More);
                let left = single.decode(&self.read, last, text);
                self.read.drain(..self.read.len() - left);
                filled
            }
            Decoding::Multi(decoder) => {
                self.read.clear();
                let filled = read_some(&mut self.raw, &mut self.read, wanted)?;
                let last = !matches!(filled, Filled::More);
                decode_multi(decoder, &self.read, last, text);
                filled
            }
        };
        if !self.begun {
            self.begun = true;
            while text[before..].starts_with(MARK) {
                text.drain(before..before + MARK.len());
            }
        }
        Ok(filled)
    }
}

/// Appends `wanted` bytes, fewer only at the end. It does not zero what it fills first.
pub(super) fn read_some(
    raw: &mut dyn Read,
    bytes: &mut Vec<u8>,
    wanted: usize,
) -> Result<Filled, Stop> {
    bytes.reserve(wanted);
    match raw.take(wanted as u64).read_to_end(bytes) {
        Ok(count) if count < wanted => Ok(Filled::End),
        Ok(_) => Ok(Filled::More),
        Err(error) => match Stop::from(error) {
            Stop::Cut(reason) => Ok(Filled::Cut(reason)),
            stop => Err(stop),
        },
    }
}

/// The control characters U+0080 to U+009F are no text: WHATWG's tables have them where an encoding
/// has nothing, so their bytes count as undecodable.
fn glyphs(encoding: &'static Encoding) -> [Glyph; 128] {
    let mut glyphs = [Glyph::default(); 128];
    for (glyph, byte) in glyphs.iter_mut().zip(0x80..=0xFF_u8) {
        let source = [byte];
        let decoded = encoding.decode_without_bom_handling_and_without_replacement(&source);
        let text = decoded
            .as_deref()
            .filter(|text| !text.chars().any(char::is_control));
        let bytes = text.map_or(&[UNDECODABLE][..], str::as_bytes);
        glyph.len = bytes.len() as u8;
        glyph.bytes[..bytes.len()].copy_from_slice(bytes);
    }
    glyphs
}

/// Which bytes above 0x7F mean nothing in a single-byte encoding.
pub(super) fn undecodable_bytes(encoding: &'static Encoding) -> [bool; 128] {
    glyphs(encoding).map(|glyph| glyph.bytes[0] == UNDECODABLE)
}

/// A single-byte encoding.
struct Single {
    glyphs: [Glyph; 128],
    /// Whether its letters are Latin ones, so that UTF-8 in it can be told.
    latin: bool,
    /// The last byte belongs to a run of more than `RUN_BYTES_MAX`.
    in_long_run: bool,
}

/// Bytes above 0x7F in a row that are looked at whole.
const RUN_BYTES_MAX: usize = 16;

impl Single {
    fn new(encoding: &'static Encoding) -> Single {
        let glyphs = glyphs(encoding);
        // 0xC4 is a Latin letter in all of them, and in no other.
        let latin = "ÄÀÁÂÃÅĀĂĄ".chars().any(|c| {
            glyphs[0x44]
                .bytes
                .starts_with(c.encode_utf8(&mut [0; 4]).as_bytes())
        });
        Single {
            glyphs,
            latin,
            in_long_run: false,
        }
    }

    /// Returns how many bytes at the end are to come again with the next ones.
    fn decode(&mut self, bytes: &[u8], last: bool, text: &mut Vec<u8>) -> usize {
        text.reserve(bytes.len() + bytes.len() / 8);
        let mut rest = bytes;
        while !rest.is_empty() {
            let ascii = Encoding::ascii_valid_up_to(rest);
            text.extend_from_slice(&rest[..ascii]);
            self.in_long_run &= ascii == 0;
            rest = &rest[ascii..];
            let run = rest.iter().position(u8::is_ascii).unwrap_or(rest.len());
            if run == rest.len() && !last && run <= RUN_BYTES_MAX && !self.in_long_run {
                return run;
            }
            self.in_long_run |= run > RUN_BYTES_MAX;
            self.decode_run(&rest[..run], text);
            rest = &rest[run..];
        }
        0
    }

    fn decode_run(&self, run: &[u8], text: &mut Vec<u8>) {
        if self.latin && !self.in_long_run && is_utf8_by_mistake(run) {
            text.push(UNDECODABLE);
            return;
        }
        for byte in run {
            let glyph = self.glyphs[usize::from(byte & 0x7F)];
            text.extend_from_slice(&glyph.bytes[..usize::from(glyph.len)]);
        }
    }
}

/// `Ã«` is `ë` in UTF-8, and nobody's name: a file in two encodings, whose larger part is not UTF-8. Only
/// letters of Europe, typographic quotes, dashes and the euro sign are told.
fn is_utf8_by_mistake(run: &[u8]) -> bool {
    run.len() > 1
        && std::str::from_utf8(run).is_ok_and(|text| {
            text.chars()
                .all(|c| matches!(c, 'À'..='ſ' | '\u{2010}'..='\u{2026}' | '€'))
        })
}

fn decode_multi(decoder: &mut encoding_rs::Decoder, bytes: &[u8], last: bool, text: &mut Vec<u8>) {
    let mut rest = bytes;
    loop {
        let room = decoder
            .max_utf8_buffer_length_without_replacement(rest.len())
            .expect("a piece is far smaller than the address space");
        let before = text.len();
        text.resize(before + room, 0);
        let (result, read, written) =
            decoder.decode_to_utf8_without_replacement(rest, &mut text[before..], last);
        text.truncate(before + written);
        rest = &rest[read..];
        match result {
            DecoderResult::InputEmpty => return,
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(..) => text.push(UNDECODABLE),
        }
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        match error.downcast::<Stop>() {
            Ok(stop) => stop,
            Err(error) => Stop::Io(error),
        }
    }
}
