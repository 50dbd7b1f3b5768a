//! Archived files and rejects files, rewritten without the rows of a forgotten record.
//!
//! Bytes of all other lines stay as they are. A file is replaced whole, under its own name, with its
//! owner, rights and time. Which row is a person's is told by its cells: the key, their e-mail, phone.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, Uid};

use super::read::{Refusal, each_rows};
use super::returned;
use crate::config;
use crate::folder::archive::{create_own, own_folder};
use crate::folder::claim::{Claimed, claim};
use crate::folder::{ARCHIVE, OWN_PREFIX, REJECTS, scan, shown};
use crate::preset::Presets;
use crate::table::{self, Container, Member, Row};

/// Bytes of a file that is no table and is looked through for a key.
const LOOK_BYTES_MAX: u64 = 64 << 20;

/// Numbers that are no keys, by words of their columns: a key `3` is not every quantity of three.
const AMOUNTS: [&str; 7] = [
    "quantity", "qty", "price", "amount", "total", "points", "tax",
];

/// Who is forgotten.
#[derive(Clone, Default)]
pub struct Whom {
    pub keys: Vec<String>,
    /// E-mails and phones.
    pub texts: Vec<String>,
}

/// A file that was replaced: what it was known by, and is now.
#[derive(Clone, Copy, Debug)]
pub struct Replaced {
    pub before: (u64, u64),
    pub inode: u64,
    pub size: u64,
}

/// What was done in one drop folder.
#[derive(Clone, Debug, Default)]
pub struct Erased {
    pub rows: u64,
    pub replaced: Vec<Replaced>,
    /// Files that could not be rewritten, and why: a person has to look.
    pub left: Vec<String>,
}

/// Looks through the folder's `archive/` and `rejects/`.
pub fn erase(folder: &config::Folder, presets: &Presets, whom: &Whom) -> Erased {
    let mut erased = Erased::default();
    let marks = Marks::new(folder, whom);
    for own in [ARCHIVE, REJECTS] {
        let path = folder.path.join(own);
        if !path.is_dir() {
            continue;
        }
        let looked = (|| -> Result<(), String> {
            let (place, _) = scan::open_folder(&folder.path).map_err(|e| e.to_string())?;
            let own = own_folder(&place, own).map_err(|e| e.to_string())?;
            for entry in scan::list(&own).map_err(|e| e.to_string())? {
                if !matches!(entry.what, scan::What::File(_)) {
                    continue;
                }
                if let Err(why) = one(&own, &entry.name, folder, presets, &marks, &mut erased) {
                    let file = path.join(&entry.name);
                    let file = shown(file.as_os_str());
                    erased.left.push(format!("{file}: {why}"));
                }
            }
            Ok(())
        })();
        if let Err(why) = looked {
            let path = shown(path.as_os_str());
            erased.left.push(format!("{path}: {why}"));
        }
    }
    erased
}

/// How a person is told in a folder's files.
struct Marks {
    keys: HashSet<String>,
    texts: HashSet<String>,
}

impl Marks {
    fn new(folder: &config::Folder, whom: &Whom) -> Marks {
        let mut keys: HashSet<String> = whom.keys.iter().cloned().collect();
        for prefix in [&folder.key_prefix, &folder.customer_prefix] {
            let bare = whom
                .keys
                .iter()
                .filter_map(|key| key.strip_prefix(prefix.as_str()));
            keys.extend(bare.filter(|key| !key.is_empty()).map(str::to_owned));
        }
        Marks {
            keys,
            texts: whom.texts.iter().map(|text| text.to_lowercase()).collect(),
        }
    }

    fn are_in(&self, row: Row<'_>, amounts: &[bool]) -> bool {
        (0..row.cells_count()).any(|column| {
            let cell = row.cell(column).trim();
            let amount = amounts.get(column).copied().unwrap_or(false);
            !amount && self.keys.contains(cell)
                || !cell.is_empty() && self.texts.contains(&cell.to_lowercase())
        })
    }

    fn are_in_bytes(&self, bytes: &[u8]) -> bool {
        (self.keys.iter().chain(&self.texts))
            .any(|mark| memchr::memmem::find(bytes, mark.as_bytes()).is_some())
    }
}

fn one(
    own: &OwnedFd,
    name: &OsStr,
    folder: &config::Folder,
    presets: &Presets,
    marks: &Marks,
    erased: &mut Erased,
) -> Result<(), String> {
    let claimed = claim(own, name).map_err(|refused| refused.text())?;
    let is_header = |cells: &[String]| {
        let own = returned::own_header(cells);
        presets.is_header(
            folder.kind,
            own.as_deref().unwrap_or(cells),
            &folder.columns,
        )
    };
    let settings = table::Settings {
        encoding: folder.encoding.clone(),
        delimiter: folder.delimiter,
        header_if_none: None,
    };
    let mut file = &claimed.file;
    let Ok(members) = table::survey(&mut file, &settings, &is_header) else {
        return no_table(&claimed, marks);
    };
    let mut found = Vec::new();
    for mut member in members {
        member.dialect.guarded = returned::own_header(&member.header).is_some();
        let lines = lines_of(&claimed, &member, marks)?;
        if !lines.is_empty() {
            found.push((member, lines));
        }
    }
    match found.as_slice() {
        [] => Ok(()),
        [(member, lines)] if member.dialect.container != Container::Zip => {
            let replaced = replace(own, name, &claimed, member, lines)
                .map_err(|error| crate::config::why(&error))?;
            erased.rows += lines.len() as u64;
            erased.replaced.push(replaced);
            Ok(())
        }
        _ => Err("a zip holds rows of theirs; remove it, or pack it anew without them".to_owned()),
    }
}

/// What is no table is not rewritten; if it names them, a person has to look.
fn no_table(claimed: &Claimed, marks: &Marks) -> Result<(), String> {
    let mut file = &claimed.file;
    let mut bytes = Vec::new();
    let read = file
        .seek(SeekFrom::Start(0))
        .and_then(|_| file.take(LOOK_BYTES_MAX).read_to_end(&mut bytes));
    read.map_err(|error| crate::config::why(&error))?;
    if marks.are_in_bytes(&bytes) {
        return Err("it is no table, and names them; remove it, or the lines".to_owned());
    }
    Ok(())
}

/// First line and number of lines of each row of theirs, in order.
fn lines_of(claimed: &Claimed, member: &Member, marks: &Marks) -> Result<Vec<(u64, u64)>, String> {
    let amounts: Vec<bool> = (member.header.iter())
        .map(|name| {
            let name = name.to_lowercase();
            AMOUNTS.iter().any(|word| name.contains(word))
        })
        .collect();
    let mut lines = Vec::new();
    let mut file = &claimed.file;
    let read = each_rows(&mut file, member, |rows| {
        for row in rows.iter().filter(|row| marks.are_in(*row, &amounts)) {
            lines.push((row.line(), 1 + breaks(row.raw())));
        }
        Ok::<(), Refusal>(())
    });
    match read {
        Ok(_) => Ok(lines),
        Err(Refusal::Unreadable(reason)) => Err(reason),
        Err(Refusal::Io(error)) => Err(crate::config::why(&error)),
    }
}

/// Line ends, as an editor counts.
fn breaks(text: &[u8]) -> u64 {
    let ends = memchr::memchr2_iter(b'\n', b'\r', text);
    ends.filter(|at| !(text[*at] == b'\r' && text.get(at + 1) == Some(&b'\n')))
        .count() as u64
}

fn replace(
    own: &OwnedFd,
    name: &OsStr,
    claimed: &Claimed,
    member: &Member,
    lines: &[(u64, u64)],
) -> io::Result<Replaced> {
    let hidden = format!("{OWN_PREFIX}forget");
    let hidden = OsStr::new(&hidden);
    let before = rustix::fs::fstat(&claimed.file)?;
    let made = create_own(own, hidden).map_err(|error| io::Error::other(error.to_string()))?;
    let written = (|| -> io::Result<()> {
        write_without(claimed, member, lines, &made)?;
        // Not every service may give a file away; its group and rights say who may read it.
        let _ = rustix::fs::fchown(
            &made,
            Some(Uid::from_raw(before.st_uid)),
            Some(Gid::from_raw(before.st_gid)),
        );
        rustix::fs::fchmod(&made, Mode::from_raw_mode(before.st_mode & 0o7777))?;
        let time = Timespec {
            tv_sec: before.st_mtime,
            tv_nsec: before.st_mtime_nsec as _,
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        rustix::fs::futimens(&made, &times)?;
        rustix::fs::fsync(&made)?;
        rustix::fs::renameat(own, hidden.as_bytes(), own, name.as_bytes())?;
        rustix::fs::fsync(own)?;
        Ok(())
    })();
    if let Err(error) = written {
        let _ = rustix::fs::unlinkat(own.as_fd(), hidden.as_bytes(), AtFlags::empty());
        return Err(error);
    }
    let after = rustix::fs::fstat(&made)?;
    Ok(Replaced {
        before: (claimed.stat.device, claimed.stat.inode),
        inode: after.st_ino,
        size: after.st_size as u64,
    })
}

fn write_without(
    claimed: &Claimed,
    member: &Member,
    lines: &[(u64, u64)],
    made: &File,
) -> io::Result<()> {
    let mut file = &claimed.file;
    file.seek(SeekFrom::Start(0))?;
    let wide = match member.dialect.encoding.as_str() {
        "UTF-16LE" => Some(0),
        "UTF-16BE" => Some(1),
        _ => None,
    };
    if member.dialect.container == Container::Gzip {
        let from = BufReader::new(MultiGzDecoder::new(BufReader::new(file)));
        let mut to = BufWriter::new(GzEncoder::new(made, Compression::default()));
        without(from, &mut to, lines, wide)?;
        let to = to.into_inner().map_err(|error| error.into_error())?;
        to.finish()?;
        return Ok(());
    }
    let mut to = BufWriter::new(made);
    without(BufReader::new(file), &mut to, lines, wide)?;
    to.flush()
}

/// Copies all but these lines. `wide`: the text is UTF-16, and where in a unit its low byte stands.
fn without(
    from: impl BufRead,
    to: &mut impl Write,
    lines: &[(u64, u64)],
    wide: Option<usize>,
) -> io::Result<()> {
    let mut lines = lines.iter().copied().peekable();
    let mut line = 1;
    let mut after_return = false;
    let mut unit = Vec::with_capacity(2);
    for byte in from.bytes() {
        unit.push(byte?);
        let sign = match wide {
            None => unit[0],
            Some(_) if unit.len() < 2 => continue,
            Some(low) if unit[1 - low] == 0 => unit[low],
            Some(_) => b'?',
        };
        // The second half of a line end belongs to the line that it ends.
        if after_return && sign != b'\n' {
            line += 1;
        }
        while lines
            .peek()
            .is_some_and(|(first, count)| first + count <= line)
        {
            lines.next();
        }
        let goes = lines.peek().is_some_and(|(first, _)| *first <= line);
        if !goes {
            to.write_all(&unit)?;
        }
        line += u64::from(sign == b'\n');
        after_return = sign == b'\r';
        unit.clear();
    }
    to.write_all(&unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, lines: &[(u64, u64)], left: &str) {
        let mut out = Vec::new();
        without(text.as_bytes(), &mut out, lines, None).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), left);
        let wide =
            |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
        let mut out = Vec::new();
        without(wide(text).as_slice(), &mut out, lines, Some(0)).unwrap();
        assert_eq!(out, wide(left));
    }

    #[test]
    fn only_the_lines_of_theirs_go() {
        check("a\nb\nc\n", &[(2, 1)], "a\nc\n");
        check("a\r\nb\r\nc", &[(2, 1)], "a\r\nc");
        check("a\rb\rc", &[(2, 1)], "a\rc");
        check("a\n\"b\r\nb\"\nc\nd", &[(2, 2), (5, 1)], "a\nc\n");
        check("a\n\nb\n", &[(3, 1)], "a\n\n");
        check("a\u{10A}b\nc", &[], "a\u{10A}b\nc");
    }
}
