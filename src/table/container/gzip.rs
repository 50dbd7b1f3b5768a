//! gzip (RFC 1952): all its members, checked, and told where it breaks off.
//!
//! flate2's own `MultiGzDecoder` does not say whether a checksum is wrong or the file merely ends, and
//! takes padding for damage; so only its inflating is used.

use std::io::{self, BufRead, Read};

use flate2::Crc;
use flate2::bufread::DeflateDecoder;

use super::{Stop, broken, damaged};

/// Gzip members of a file; each costs a little even if it is empty. bgzip makes one of 64 KiB.
const GZIP_MEMBERS_MAX: u32 = 1 << 20;

/// A gzip file: one member after the other. Zero bytes at its end are padding.
pub(super) struct Gzip<R: BufRead> {
    state: GzipState<R>,
    crc: Crc,
    members: u32,
}

enum GzipState<R: BufRead> {
    Between(R),
    Within(DeflateDecoder<R>),
    /// Ended, or failed.
    Over,
}

impl<R: BufRead> Gzip<R> {
    pub fn new(packed: R) -> Gzip<R> {
        Gzip {
            state: GzipState::Between(packed),
            crc: Crc::new(),
            members: 0,
        }
    }
}

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            match std::mem::replace(&mut self.state, GzipState::Over) {
                GzipState::Over => return Ok(0),
                GzipState::Between(mut packed) => {
                    if !next_gzip_member(&mut packed, self.members)? {
                        return Ok(0);
                    }
                    self.members += 1;
                    self.crc.reset();
                    self.state = GzipState::Within(DeflateDecoder::new(packed));
                }
                GzipState::Within(mut inflate) => {
                    let count = inflate.read(buf).map_err(broken)?;
                    if count > 0 {
                        self.crc.update(&buf[..count]);
                        self.state = GzipState::Within(inflate);
                        return Ok(count);
                    }
                    let mut packed = inflate.into_inner();
                    let mut trailer = [0; 8];
                    packed.read_exact(&mut trailer).map_err(broken)?;
                    let wanted = (u64::from(self.crc.amount()) << 32) | u64::from(self.crc.sum());
                    if u64::from_le_bytes(trailer) != wanted {
                        return Err(damaged("the gzip's").into());
                    }
                    self.state = GzipState::Between(packed);
                }
            }
        }
    }
}

/// Reads the header of the next member (RFC 1952). `false`: there is none.
fn next_gzip_member(packed: &mut impl BufRead, members: u32) -> io::Result<bool> {
    if members > 0 && !skip_zeros(packed)? {
        return Ok(false);
    }
    if members == GZIP_MEMBERS_MAX {
        return Err(Stop::Refused(format!(
            "the gzip has more than {GZIP_MEMBERS_MAX} parts; drop it unpacked"
        ))
        .into());
    }
    let mut head = [0; 10];
    packed.read_exact(&mut head).map_err(broken)?;
    if head[..3] != [0x1F, 0x8B, 8] {
        return Err(Stop::Cut("bytes that are no gzip follow".into()).into());
    }
    let has = |flag: u8| head[3] & flag != 0;
    if has(4) {
        let mut len = [0; 2];
        packed.read_exact(&mut len).map_err(broken)?;
        skip(packed, usize::from(u16::from_le_bytes(len)))?;
    }
    if has(8) {
        skip_text(packed)?;
    }
    if has(16) {
        skip_text(packed)?;
    }
    if has(2) {
        skip(packed, 2)?;
    }
    Ok(true)
}

/// `false`: nothing but zeros was left.
fn skip_zeros(packed: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let bytes = packed.fill_buf()?;
        if bytes.is_empty() {
            return Ok(false);
        }
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let over = zeros < bytes.len();
        packed.consume(zeros);
        if over {
            return Ok(true);
        }
    }
}

fn skip(packed: &mut impl BufRead, mut count: usize) -> io::Result<()> {
    while count > 0 {
        let here = packed.fill_buf()?.len().min(count);
        if here == 0 {
            return Err(broken(io::ErrorKind::UnexpectedEof.into()));
        }
        packed.consume(here);
        count -= here;
    }
    Ok(())
}

/// Skips a text that ends with a NUL, however long.
fn skip_text(packed: &mut impl BufRead) -> io::Result<()> {
    loop {
        let bytes = packed.fill_buf()?;
        if bytes.is_empty() {
            return Err(broken(io::ErrorKind::UnexpectedEof.into()));
        }
        let (here, over) = match memchr::memchr(0, bytes) {
            Some(at) => (at + 1, true),
            None => (bytes.len(), false),
        };
        packed.consume(here);
        if over {
            return Ok(());
        }
    }
}
