//! What a file is packed in, its members, and their bytes: unpacked as they are read, within limits.
//!
//! Whatever is no table is told apart by its content, never by its name, and refused in words.

mod gzip;
mod refused;
mod zip;

use std::fmt;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use self::gzip::Gzip;
use self::zip::{Entry, ZipMember, zip_members};
use super::{Container, Failure, UNPACKED_BYTES_MAX, UNPACKED_FREE_BYTES, UNPACKED_RATIO_MAX};

pub(in crate::table) use refused::{no_table, no_table_text};

/// Why bytes come no further. It travels inside an `io::Error` through readers that know nothing of it.
#[derive(Debug)]
pub(in crate::table) enum Stop {
    /// The rest is missing or broken; what came before counts.
    Cut(String),
    /// The file cannot be taken at all.
    Refused(String),
    Io(io::Error),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Cut(reason) | Stop::Refused(reason) => f.write_str(reason),
            Stop::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Stop {}

impl From<Stop> for io::Error {
    fn from(stop: Stop) -> io::Error {
        match stop {
            Stop::Io(error) => error,
            stop => io::Error::other(stop),
        }
    }
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Failure {
        match stop {
            Stop::Cut(reason) | Stop::Refused(reason) => Failure::Unreadable { reason },
            Stop::Io(error) => Failure::Io(error),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Stop::from(error).into()
    }
}

/// What a file is packed in, and where its members lie.
pub(in crate::table) struct Packed {
    pub container: Container,
    pub members: Vec<Place>,
    /// Bytes of the file.
    size: u64,
}

/// Where the bytes of a member are.
pub(in crate::table) struct Place {
    /// `""` but for a zip's members.
    pub name: String,
    entry: Option<Entry>,
}

const SNIFFED_BYTES: u64 = 512;
const READ_BYTES: usize = 64 << 10;

impl Packed {
    /// Looks at the first bytes, and at a zip's directory.
    pub fn inspect<R: Read + Seek>(file: &mut R) -> Result<Packed, Failure> {
        let size = file.seek(SeekFrom::End(0))?;
        file.rewind()?;
        let mut head = Vec::new();
        file.take(SNIFFED_BYTES).read_to_end(&mut head)?;
        file.rewind()?;
        let (container, members) = if head.starts_with(&[0x1F, 0x8B]) {
            (Container::Gzip, vec![Place::whole()])
        } else if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
            (Container::Zip, zip_members(file, size)?)
        } else {
            if let Some(reason) = no_table(&head) {
                return Err(Failure::Unreadable { reason });
            }
            (Container::Plain, vec![Place::whole()])
        };
        Ok(Packed {
            container,
            members,
            size,
        })
    }

    /// The bytes of a member. `unpacked_before` is what members before it came to.
    pub fn open<'a, R: Read + Seek>(
        &self,
        file: &'a mut R,
        place: &Place,
        unpacked_before: u64,
    ) -> Result<Bounded<'a>, Failure> {
        file.seek(SeekFrom::Start(
            place.entry.as_ref().map_or(0, |entry| entry.start),
        ))?;
        let inner: Box<dyn Read + 'a> = match (&place.entry, self.container) {
            (Some(entry), _) => {
                let packed = BufReader::with_capacity(READ_BYTES, file.take(entry.packed));
                Box::new(ZipMember::new(packed, entry))
            }
            (None, Container::Gzip) => {
                Box::new(Gzip::new(BufReader::with_capacity(READ_BYTES, file)))
            }
            (None, _) => Box::new(file),
        };
        Ok(Bounded {
            inner,
            unpacked: unpacked_before,
            packed: self.size,
            ratio: self.container != Container::Plain,
        })
    }
}

impl Place {
    fn whole() -> Place {
        Place {
            name: String::new(),
            entry: None,
        }
    }
}

/// Counts what comes out, and stops at the limits.
pub(in crate::table) struct Bounded<'a> {
    inner: Box<dyn Read + 'a>,
    unpacked: u64,
    packed: u64,
    ratio: bool,
}

impl Bounded<'_> {
    /// What all members came to so far.
    pub fn unpacked(&self) -> u64 {
        self.unpacked
    }
}

impl Read for Bounded<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buf)?;
        self.unpacked += count as u64;
        let most = self.packed.saturating_mul(UNPACKED_RATIO_MAX);
        if self.unpacked > UNPACKED_BYTES_MAX {
            return Err(Stop::Refused(
                "the file is larger than 4 GiB unpacked; tillsync stored nothing of it. Split it and \
                 drop the parts"
                    .into(),
            )
            .into());
        }
        if self.ratio && self.unpacked > UNPACKED_FREE_BYTES.max(most) {
            return Err(Stop::Refused(format!(
                "the file unpacks to more than {UNPACKED_RATIO_MAX} times its size, as no export \
                 does; tillsync stored nothing of it. If its content is right, drop it unpacked"
            ))
            .into());
        }
        Ok(count)
    }
}

/// What the deflate decoder and short reads say; everything else is the disk's own fault.
fn broken(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Stop::Cut("the packed file ends here".into()).into(),
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            Stop::Cut("the packed file is damaged from here on".into()).into()
        }
        _ => error,
    }
}

fn damaged(whose: &str) -> Stop {
    Stop::Refused(format!(
        "{whose} checksum does not fit its content, so it was damaged on its way; tillsync stored \
         nothing of it. Export or copy the file again"
    ))
}
