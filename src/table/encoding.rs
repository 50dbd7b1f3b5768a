//! Which encoding a member is in, by evidence over all of it.
//!
//! A byte order mark decides, then the folder's setting. UTF-16 shows in its NULs. UTF-8 shows in its
//! sequences, which other encodings hardly ever form by chance: with some, a stray byte is that row's
//! own fault. Without any it is one of the 8-bit encodings, told apart by the words that have such
//! bytes (chardetng), and by bytes that mean nothing in one of them.

use std::collections::BTreeSet;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

use super::decode::undecodable_bytes;

/// What was seen of a member's bytes.
pub(super) struct Evidence {
    /// Sequences of several bytes that are UTF-8; counted up to `MULTIBYTE_ENOUGH`.
    multibyte: u64,
    /// Bytes that are no UTF-8.
    strays: u64,
    /// How often each byte above 0x7F was met, from the first piece on that is no UTF-8.
    high: [u64; 128],
    words: BTreeSet<Vec<u8>>,
    words_bytes: usize,
    pieces: u64,
}

const MULTIBYTE_ENOUGH: u64 = 1 << 20;
/// Strays after which a file without UTF-8 in it needs no closer look.
const STRAYS_ENOUGH: u64 = 1 << 20;
/// A file is UTF-8 with at most so many strays a sequence. In 8-bit text, letters make a sequence by
/// chance in one of twenty at most (Ukrainian names in Windows-1251, Polish capitals in Windows-1250).
const STRAYS_PER_MULTIBYTE: u64 = 5;
const WORDS_BYTES_MAX: usize = 256 << 10;
const WORD_BYTES_MAX: usize = 64;
/// After so many pieces with strays, words are taken of one piece in `PIECES_SKIPPED` only.
const PIECES_WHOLE: u64 = 32;
const PIECES_SKIPPED: u64 = 8;

/// Whether it is the first byte of a sequence that speaks for UTF-8. Not of phonetic signs and of Cyrillic
/// letters beyond the usual: capitals of Central Europe make them by chance ("ÓŁ", "ĘŻ"), and who writes
/// them writes others, too. Without a branch: it is asked of each byte of a file.
fn is_likely(byte: u8) -> bool {
    (0xC2..0xF5).contains(&byte) & !(0xCA..0xCC).contains(&byte) & !(0xD2..0xD5).contains(&byte)
}

impl Evidence {
    pub fn new() -> Evidence {
        Evidence {
            multibyte: 0,
            strays: 0,
            high: [0; 128],
            words: BTreeSet::new(),
            words_bytes: 0,
            pieces: 0,
        }
    }

    /// Looks at the next piece; returns how many bytes at its end are the beginning of a sequence, to
    /// be looked at with the next piece.
    pub fn observe(&mut self, piece: &[u8], last: bool) -> usize {
        let valid = Encoding::utf8_valid_up_to(piece);
        if valid == piece.len() {
            self.count_multibyte(piece);
            return 0;
        }
        let left = match std::str::from_utf8(&piece[valid..]) {
            Err(error) if error.error_len().is_none() && !last => piece.len() - valid,
            _ => 0,
        };
        let piece = &piece[..piece.len() - left];
        if left > 0 && valid == piece.len() {
            self.count_multibyte(piece);
            return left;
        }
        self.observe_strays(piece, last)
    }

    fn count_multibyte(&mut self, piece: &[u8]) {
        if self.multibyte < MULTIBYTE_ENOUGH && Encoding::ascii_valid_up_to(piece) < piece.len() {
            // As many as a byte can count at once.
            let likely = |some: &[u8]| {
                some.iter()
                    .map(|byte| u8::from(is_likely(*byte)))
                    .sum::<u8>()
            };
            let counts = piece.chunks(usize::from(u8::MAX)).map(likely);
            self.multibyte += counts.map(u64::from).sum::<u64>();
        }
    }

    fn observe_strays(&mut self, piece: &[u8], last: bool) -> usize {
        let mut rest = piece;
        let mut left = 0;
        if self.strays < STRAYS_ENOUGH || self.is_utf8() {
            while let Err(error) = std::str::from_utf8(rest) {
                self.count_multibyte(&rest[..error.valid_up_to()]);
                match error.error_len() {
                    None if !last => {
                        left = rest.len() - error.valid_up_to();
                        rest = &[];
                    }
                    len => {
                        let skipped = len.unwrap_or(rest.len() - error.valid_up_to());
                        self.strays += skipped as u64;
                        rest = &rest[error.valid_up_to() + skipped..];
                    }
                }
            }
            self.count_multibyte(rest);
        }
        let piece = &piece[..piece.len() - left];
        for byte in piece {
            if let Some(high) = byte.checked_sub(0x80) {
                self.high[usize::from(high)] += 1;
            }
        }
        if self.pieces < PIECES_WHOLE || self.pieces.is_multiple_of(PIECES_SKIPPED) {
            self.take_words(piece);
        }
        self.pieces += 1;
        left
    }

    /// Keeps each word that has a byte above 0x7F once.
    fn take_words(&mut self, piece: &[u8]) {
        // What ends a word is never the second byte of a character, in no encoding of East Asia either.
        let ends_word =
            |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'"' | b',' | b';');
        for word in piece.split(ends_word) {
            if self.words_bytes >= WORDS_BYTES_MAX {
                return;
            }
            let word = &word[..word.len().min(WORD_BYTES_MAX)];
            if !word.is_ascii() && !self.words.contains(word) {
                self.words_bytes += word.len();
                self.words.insert(word.to_vec());
            }
        }
    }

    fn is_utf8(&self) -> bool {
        self.strays <= self.multibyte * STRAYS_PER_MULTIBYTE
    }

    /// The encoding of a member that begins with `head`.
    pub fn decide(&self, head: &[u8], setting: Option<&'static Encoding>) -> &'static Encoding {
        if let Some((encoding, _)) = Encoding::for_bom(head) {
            return encoding;
        }
        if let Some(encoding) = setting {
            return encoding;
        }
        if let Some(encoding) = utf16_without_mark(head) {
            return encoding;
        }
        if self.is_utf8() {
            return UTF_8;
        }
        self.single()
    }

    fn single(&self) -> &'static Encoding {
        let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
        for word in &self.words {
            detector.feed(word, false);
            detector.feed(b" ", false);
        }
        detector.feed(b"\n", true);
        let guess = detector.guess(None, Utf8Detection::Deny);
        if guess.is_single_byte() && self.undecodable(guess) > self.undecodable(WINDOWS_1252) {
            return WINDOWS_1252;
        }
        guess
    }

    fn undecodable(&self, encoding: &'static Encoding) -> u64 {
        undecodable_bytes(encoding)
            .iter()
            .zip(self.high)
            .filter(|(bad, _)| **bad)
            .map(|(_, count)| count)
            .sum()
    }
}

/// UTF-16 without a byte order mark: nearly all NULs stand at one parity, where the high bytes are,
/// and all of it decodes. Of a head of any language, delimiters, digits and line ends bring them.
pub(super) fn utf16_without_mark(head: &[u8]) -> Option<&'static Encoding> {
    let head = &head[..head.len().min(UTF16_BYTES_TRIED) & !1];
    let nuls = |parity: usize| {
        head.iter()
            .skip(parity)
            .step_by(2)
            .filter(|byte| **byte == 0)
            .count()
    };
    let (even, odd) = (nuls(0), nuls(1));
    if !has_nuls(head) && !has_nuls(first_line(head)) {
        return None;
    }
    let (encoding, most, least) = if odd > even {
        (UTF_16LE, odd, even)
    } else {
        (UTF_16BE, even, odd)
    };
    if least * 10 > most {
        return None;
    }
    let decoded = encoding.decode_without_bom_handling_and_without_replacement(head);
    let controls = |text: &str| {
        text.chars()
            .filter(|c| c.is_control() && !matches!(c, '\t' | '\r' | '\n'))
            .count()
    };
    // A head may end within a surrogate pair, and be cut for that.
    let decoded = decoded.or_else(|| {
        encoding.decode_without_bom_handling_and_without_replacement(&head[..head.len() - 2])
    });
    decoded
        .filter(|text| controls(text) * 20 <= head.len() / 2)
        .map(|_| encoding)
}

/// Whether a good part of it is NULs.
fn has_nuls(bytes: &[u8]) -> bool {
    let nuls = bytes.iter().filter(|byte| **byte == 0).count();
    bytes.len() >= 4 && nuls * 20 >= bytes.len()
}

/// A header has names that a machine gave, whatever language the cells below are in, and however long.
fn first_line(head: &[u8]) -> &[u8] {
    let end = head.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
    &head[..end.unwrap_or(head.len())]
}

const UTF16_BYTES_TRIED: usize = 64 << 10;

/// Whether bytes are no text in any encoding: too many control characters.
pub(super) fn is_binary(head: &[u8]) -> bool {
    if Encoding::for_bom(head).is_some() || utf16_without_mark(head).is_some() {
        return false;
    }
    let controls = head
        .iter()
        .filter(|byte| byte.is_ascii_control() && !matches!(byte, b'\t' | b'\r' | b'\n' | 0x0C))
        .count();
    let most = if head.len() < 256 { 4 } else { 20 };
    controls * most > head.len()
}
