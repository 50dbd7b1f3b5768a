//! zip: its directory, which of its files are tables, and a member's bytes.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Take};

use flate2::Crc;
use flate2::bufread::DeflateDecoder;

use super::refused::spreadsheet_reason;
use super::{Place, Stop, broken, damaged};
use crate::table::{Failure, ZIP_ENTRIES_MAX};

/// Where a member lies, and what it has to unpack to.
pub(in crate::table) struct Entry {
    pub start: u64,
    pub packed: u64,
    unpacked: u64,
    crc: u32,
    deflated: bool,
}

/// A member of a zip. Its directory stands at the file's end, so a member that breaks off is damage.
pub(super) struct ZipMember<R: BufRead> {
    content: Content<R>,
    crc: Crc,
    crc_wanted: u32,
    unpacked: u64,
    unpacked_wanted: u64,
}

enum Content<R: BufRead> {
    Stored(R),
    Deflated(DeflateDecoder<R>),
}

impl<R: Read> ZipMember<BufReader<Take<R>>> {
    pub fn new(packed: BufReader<Take<R>>, entry: &Entry) -> Self {
        ZipMember {
            content: if entry.deflated {
                Content::Deflated(DeflateDecoder::new(packed))
            } else {
                Content::Stored(packed)
            },
            crc: Crc::new(),
            crc_wanted: entry.crc,
            unpacked: 0,
            unpacked_wanted: entry.unpacked,
        }
    }
}

impl<R: BufRead> Read for ZipMember<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.content {
            Content::Stored(packed) => packed.read(buf),
            Content::Deflated(inflate) => inflate.read(buf),
        }
        .map_err(|error| match Stop::from(broken(error)) {
            Stop::Cut(_) => damaged("a member's").into(),
            stop => io::Error::from(stop),
        })?;
        self.crc.update(&buf[..count]);
        self.unpacked += count as u64;
        let over = count == 0 && !buf.is_empty();
        if over && (self.crc.sum() != self.crc_wanted || self.unpacked != self.unpacked_wanted) {
            return Err(damaged("a member's").into());
        }
        Ok(count)
    }
}

/// The CSV members of a zip, in the order of their names.
pub(super) fn zip_members<R: Read + Seek>(file: &mut R, size: u64) -> Result<Vec<Place>, Failure> {
    if zip_entries(file, size)? > ZIP_ENTRIES_MAX {
        return Err(Failure::unreadable(format!(
            "the zip lists more than {ZIP_ENTRIES_MAX} files; unpack it and drop its tables"
        )));
    }
    let mut archive = ::zip::ZipArchive::new(&mut *file).map_err(zip_failure)?;
    let mut places: Vec<Place> = Vec::new();
    let mut spreadsheet = false;
    for index in 0..archive.len() {
        let member = archive.by_index_raw(index).map_err(zip_failure)?;
        let name = member.name().map_err(zip_failure)?.into_owned();
        spreadsheet |= is_spreadsheet_part(&name);
        match role_of(&name, member.is_dir()) {
            Role::Skipped => continue,
            Role::Archive => {
                return Err(Failure::unreadable(
                    "the zip holds another packed file; unpack it and drop the tables, or a zip of \
                     the tables alone",
                ));
            }
            Role::Table => {}
        }
        if member.encrypted() {
            return Err(Failure::unreadable(
                "the zip is protected by a password; drop it unpacked, or packed without one",
            ));
        }
        let deflated = match member.compression() {
            ::zip::CompressionMethod::Stored => false,
            ::zip::CompressionMethod::Deflated => true,
            _ => {
                return Err(Failure::unreadable(
                    "the zip is packed by a method other than the usual one (deflate); pack it anew, \
                     or drop it unpacked",
                ));
            }
        };
        let entry = Entry {
            start: member.data_start().unwrap_or_default(),
            packed: member.compressed_size(),
            unpacked: member.size(),
            crc: member.crc32(),
            deflated,
        };
        places.push(Place {
            name,
            entry: Some(entry),
        });
    }
    if spreadsheet {
        return Err(Failure::Unreadable {
            reason: spreadsheet_reason("a spreadsheet"),
        });
    }
    places.sort_by(|one, other| one.name.cmp(&other.name));
    if places.is_empty() {
        return Err(Failure::unreadable(
            "the zip holds no table: none of its files ends in .csv, .tsv, .tab or .txt",
        ));
    }
    if places.windows(2).any(|pair| pair[0].name == pair[1].name) {
        return Err(Failure::unreadable(
            "the zip lists two files of the same name; drop its tables unpacked",
        ));
    }
    Ok(places)
}

/// What a zip's member is to us, by its name.
enum Role {
    Table,
    Archive,
    Skipped,
}

fn role_of(name: &str, is_dir: bool) -> Role {
    let lower = name.to_lowercase();
    let last = lower.rsplit(['/', '\\']).next().unwrap_or_default();
    let hidden = last.starts_with('.') || lower.split(['/', '\\']).any(|part| part == "__macosx");
    let ends = |endings: &[&str]| endings.iter().any(|ending| last.ends_with(ending));
    if is_dir || hidden || last == "manifest.json" {
        Role::Skipped
    } else if ends(&[".csv", ".tsv", ".tab", ".txt"]) {
        Role::Table
    } else if ends(&[
        ".zip", ".gz", ".tgz", ".7z", ".rar", ".bz2", ".xz", ".zst", ".tar",
    ]) {
        Role::Archive
    } else {
        Role::Skipped
    }
}

/// Names that only the packed XML of a spreadsheet (or another office document) has.
fn is_spreadsheet_part(name: &str) -> bool {
    [
        "xl/workbook.",
        "word/document.",
        "content.xml",
        "Index/Document.iwa",
    ]
    .iter()
    .any(|part| name.starts_with(part))
}

fn zip_failure(error: ::zip::result::ZipError) -> Failure {
    match error {
        ::zip::result::ZipError::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
            Failure::Io(error)
        }
        _ => Failure::unreadable(
            "the zip is cut off or damaged, so that its list of files cannot be read; export or copy \
             it again",
        ),
    }
}

/// How many entries a zip says it has, before anything of its directory is held in memory.
fn zip_entries<R: Read + Seek>(file: &mut R, size: u64) -> Result<u64, Failure> {
    const RECORD: usize = 22;
    const COMMENT_MAX: u64 = 0xFFFF;
    let tail_at = size.saturating_sub(COMMENT_MAX + RECORD as u64 + 20);
    file.seek(SeekFrom::Start(tail_at))?;
    let mut tail = Vec::new();
    file.take(size - tail_at).read_to_end(&mut tail)?;
    let mut entries = 0;
    for at in memchr::memmem::find_iter(&tail, b"PK\x05\x06") {
        let Some(record) = tail.get(at..at + RECORD) else {
            continue;
        };
        let count = u64::from(u16::from_le_bytes([record[10], record[11]]));
        // 0xFFFF: the count stands in the zip64 record.
        entries = entries.max(count);
    }
    Ok(entries)
}
