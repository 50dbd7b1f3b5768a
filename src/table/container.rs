//! What a file is packed in, its members, and their bytes: unpacked as they are read, within limits.
//!
//! Whatever is no table is told apart by its content, never by its name, and refused in words.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Take};

use flate2::Crc;
use flate2::bufread::DeflateDecoder;

use super::{
    Container, Failure, UNPACKED_BYTES_MAX, UNPACKED_FREE_BYTES, UNPACKED_RATIO_MAX,
    ZIP_ENTRIES_MAX,
};

/// Why bytes come no further. It travels inside an `io::Error` through readers that know nothing of it.
#[derive(Debug)]
pub(super) enum Stop {
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
pub(super) struct Packed {
    pub container: Container,
    pub members: Vec<Place>,
    /// Bytes of the file.
    size: u64,
}

/// Where the bytes of a member are.
pub(super) struct Place {
    /// `""` but for a zip's members.
    pub name: String,
    entry: Option<Entry>,
}

struct Entry {
    start: u64,
    packed: u64,
    unpacked: u64,
    crc: u32,
    deflated: bool,
}

const SNIFFED_BYTES: u64 = 512;
const READ_BYTES: usize = 64 << 10;
/// Gzip members of a file; each costs a little even if it is empty. bgzip makes one of 64 KiB.
const GZIP_MEMBERS_MAX: u32 = 1 << 20;

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
pub(super) struct Bounded<'a> {
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

/// A gzip file: one member after the other. Zero bytes at its end are padding.
struct Gzip<R: BufRead> {
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
    fn new(packed: R) -> Gzip<R> {
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

/// A member of a zip. Its directory stands at the file's end, so a member that breaks off is damage.
struct ZipMember<R: BufRead> {
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
    fn new(packed: BufReader<Take<R>>, entry: &Entry) -> Self {
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
fn zip_members<R: Read + Seek>(file: &mut R, size: u64) -> Result<Vec<Place>, Failure> {
    if zip_entries(file, size)? > ZIP_ENTRIES_MAX {
        return Err(Failure::unreadable(format!(
            "the zip lists more than {ZIP_ENTRIES_MAX} files; unpack it and drop its tables"
        )));
    }
    let mut archive = zip::ZipArchive::new(&mut *file).map_err(zip_failure)?;
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
            zip::CompressionMethod::Stored => false,
            zip::CompressionMethod::Deflated => true,
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

fn zip_failure(error: zip::result::ZipError) -> Failure {
    match error {
        zip::result::ZipError::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
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

fn spreadsheet_reason(what: &str) -> String {
    format!(
        "the file is {what}, not a CSV file; tillsync stored nothing of it. Open it, save the sheet as \
         \"CSV UTF-8\", and drop that"
    )
}

/// Why a file that begins like this is no table; `None`: nothing speaks against it.
pub(super) fn no_table(head: &[u8]) -> Option<String> {
    const ARCHIVES: [(&[u8], &str); 9] = [
        (b"7z\xBC\xAF\x27\x1C", "a 7z archive"),
        (b"Rar!\x1A\x07", "a rar archive"),
        (b"\xFD7zXZ\0", "an xz archive"),
        (b"\x28\xB5\x2F\xFD", "a zstd archive"),
        (b"\x04\x22\x4D\x18", "an lz4 archive"),
        (b"\x1F\x9D", "a compress (.Z) archive"),
        (b"\x1F\x8B", "a gzip within the file"),
        (b"PK\x03\x04", "a zip within the file"),
        (b"MSCF\0\0\0\0", "a cabinet archive"),
    ];
    const OTHERS: [(&[u8], &str); 12] = [
        (b"%PDF-", "a PDF"),
        (b"\x89PNG", "a picture"),
        (b"\xFF\xD8\xFF", "a picture"),
        (b"GIF8", "a picture"),
        (b"SQLite format 3\0", "a database"),
        (b"PAR1", "a Parquet file"),
        (b"Obj\x01", "an Avro file"),
        (b"\x7FELF", "a program"),
        (b"MZ\x90\0", "a program"),
        (b"{\\rtf", "a text document (RTF)"),
        (b"\xFF\xFE\0\0", "text in UTF-32"),
        (b"\0\0\xFE\xFF", "text in UTF-32"),
    ];
    let tar = head.get(257..262) == Some(b"ustar");
    let bzip = head.starts_with(b"BZh") && head.get(4..10) == Some(b"1AY&SY");
    let archive = ARCHIVES
        .iter()
        .find(|(magic, _)| head.starts_with(magic))
        .map(|(_, what)| *what)
        .or(tar.then_some("a tar archive"))
        .or(bzip.then_some("a bzip2 archive"));
    if let Some(what) = archive {
        return Some(format!(
            "the file is {what}; tillsync unpacks gzip and zip alone, and stored nothing of it. Drop \
             the CSV file that is in it"
        ));
    }
    if head.starts_with(b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1") {
        return Some(spreadsheet_reason("a spreadsheet in Excel's old format"));
    }
    OTHERS
        .iter()
        .find(|(magic, _)| head.starts_with(magic))
        .map(|(_, what)| no_csv(what))
}

/// Why text that begins like this is no table.
pub(super) fn no_table_text(head: &str) -> Option<String> {
    let text = head.trim_start();
    let lower: String = text.chars().take(64).collect::<String>().to_lowercase();
    let after = |open: char| text.strip_prefix(open).map(str::trim_start);
    let object = after('{').is_some_and(|rest| rest.starts_with(['"', '}']));
    let array = after('[').is_some_and(|rest| rest.starts_with(['{', '[', ']', '"']));
    if lower.starts_with("<!doctype html") || lower.starts_with("<html") {
        Some(no_csv("a web page (HTML)"))
    } else if lower.starts_with("<?xml") {
        Some(no_csv("XML"))
    } else if object || array {
        Some(no_csv("JSON"))
    } else {
        None
    }
}

fn no_csv(what: &str) -> String {
    format!(
        "the file is {what}, not a CSV file; tillsync stored nothing of it. Export it as CSV and drop \
         that"
    )
}
