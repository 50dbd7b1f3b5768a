//! Files that are too large in one way or another: refused in words, at once, in little memory.

use std::io::{self, Read, Seek, SeekFrom};

use super::*;

/// A file of any size that takes no memory: `head`, then `body` again and again up to `len` bytes.
struct Endless {
    head: Vec<u8>,
    body: Vec<u8>,
    len: u64,
    at: u64,
}

impl Endless {
    fn new(head: &str, body: &str, len: u64) -> Endless {
        Endless {
            head: head.into(),
            body: body.repeat((64 << 10) / body.len()).into_bytes(),
            len,
            at: 0,
        }
    }
}

impl Read for Endless {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let bytes = match self.at.checked_sub(self.head.len() as u64) {
            None => &self.head[self.at as usize..],
            Some(at) => &self.body[(at % self.body.len() as u64) as usize..],
        };
        let left = self.len.saturating_sub(self.at);
        let count = bytes.len().min(buf.len()).min(left as usize);
        buf[..count].copy_from_slice(&bytes[..count]);
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Endless {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::End(by) => self.len.saturating_add_signed(by),
            SeekFrom::Current(by) => self.at.saturating_add_signed(by),
        };
        Ok(self.at)
    }
}

const GB: u64 = 1 << 30;

#[track_caller]
fn check_huge(mut file: Endless, reason_has: &str) {
    let whole = survey(&mut file, &Settings::default(), &|_| false).and_then(|members| {
        let mut reader = Reader::new(&mut file, &members[0])?;
        let mut rows = Rows::default();
        while reader.read(&mut rows, 4096)? {
            assert!(rows.text.capacity() < 20 << 20, "memory grows");
        }
        Ok(())
    });
    match whole {
        Err(Failure::Unreadable { reason }) => assert!(reason.contains(reason_has), "{reason}"),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_gigabyte_of_one_line_is_refused_at_once() {
    for file in [
        Endless::new("", "x", GB),
        Endless::new("a,b\n", "x", GB),
        Endless::new("a,b\n1,\"", "x", GB),
        Endless::new("a,b\n1,", "é", GB),
        Endless::new("", "a,", GB),
    ] {
        check_huge(file, "larger than 4 MiB");
    }
    let mut file = Endless::new("a,b\n1,", "x", GB);
    survey(&mut file, &Settings::default(), &|_| false).unwrap_err();
    assert!(file.at < 16 << 20, "read to {}", file.at);
}

#[test]
fn a_cell_of_many_lines_over_the_limit_is_refused() {
    check_huge(
        Endless::new("a,b,c\n1,\"", "some text\n", 64 << 20),
        "larger than 4 MiB",
    );
}

#[test]
fn an_open_quote_with_rows_after_it_is_none() {
    let mut text = String::from("a,b,c\n1,2,\"3\n");
    let rows = ROW_BYTES_MAX / 6 + 1000;
    for _ in 0..rows {
        text += "4,5,6\n";
    }
    let mut file = Cursor::new(text.as_bytes());
    let member = &survey(&mut file, &Settings::default(), &|_| false).unwrap()[0];
    let mut reader = Reader::new(&mut file, member).unwrap();
    let (mut count, mut faults) = (0, Vec::new());
    let mut batch = Rows::default();
    while reader.read(&mut batch, 4096).unwrap() {
        count += batch.len();
        faults.extend(
            batch
                .iter()
                .filter_map(|row| row.fault().map(|fault| (row.line(), fault.code))),
        );
    }
    assert_eq!(count, rows + 1);
    assert_eq!(faults, [(2, crate::reject::Code::Quote)]);
}

#[test]
fn many_open_quotes_take_no_longer_than_their_bytes() {
    // Every line opens a quote that the next line's shows to be open.
    let mut text = String::from("a,b\n");
    text += &"1,\"x\n".repeat(50_000);
    let read = read(text.as_bytes(), &Settings::default()).unwrap();
    assert_eq!(read.matches("quote@1").count(), 50_000);
}

#[test]
fn quotes_after_blanks_take_no_longer_than_their_bytes() {
    let text = format!("a,b\n{}\n1,2\n", " \"x, ".repeat(50_000));
    let read = read(text.as_bytes(), &Settings::default()).unwrap();
    assert!(read.contains("\n2: too_long: "));
    assert!(read.ends_with("\n3: 1|2\n"));
}

#[test]
fn a_cell_over_the_limit_is_its_rows_fault() {
    let long = "x".repeat(CELL_BYTES_MAX);
    let read = read(
        format!("a,b\n1,{long}\n2,{long}x\n\"{long}\nx\",3\n4,5\n").as_bytes(),
        &Settings::default(),
    )
    .unwrap();
    let heads: Vec<_> = read
        .lines()
        .filter(|line| line.len() > 3)
        .map(|line| &line[..line.len().min(14)])
        .collect();
    assert_eq!(
        heads,
        [
            "[UTF-8, comma]",
            "2: 1|xxxxxxxxx",
            "3: too_long@1:",
            "4: too_long@0:",
            "6: 4|5",
        ]
    );
}

#[test]
fn a_row_at_the_limit_is_read_and_one_over_it_is_refused() {
    let row = |bytes: usize| {
        let cell = "x".repeat(1 << 20);
        let row = format!("{cell},{cell},{cell},{cell}");
        format!("a,b,c,d\n{}\r\n", &row[..bytes])
    };
    let longest = row(ROW_BYTES_MAX);
    let read = read(longest.as_bytes(), &Settings::default()).unwrap();
    assert_eq!(read.lines().count(), 2);
    assert!(!read.contains("too_long"));
    check_refused(row(ROW_BYTES_MAX + 1), "larger than 4 MiB");
    // Over it because of a quoted line end, too.
    let folded = longest
        .replacen("x,", "\",", 1)
        .replacen("\nx", "\n\"", 1)
        .replace("\r\n", "xx\r\n");
    check_refused(folded, "larger than 4 MiB");
}

#[test]
fn columns_are_limited() {
    let most = vec!["c"; COLUMNS_MAX].join(",");
    let read = read(
        format!("{most}\n{most}\n{most},d,e\n{most}\n\"q\"{}\n", &most[1..]).as_bytes(),
        &Settings::default(),
    )
    .unwrap();
    let lines: Vec<_> = read.lines().collect();
    assert_eq!(lines.len(), 5);
    assert!(lines[1].starts_with("2: c|"));
    assert!(lines[2].starts_with("3: too_long: c|") && lines[2].ends_with("|c|d,e"));
    assert!(lines[3].starts_with("4: c|"));
    assert!(lines[4].starts_with("5: q|"));
    check_refused(format!("{most},d\n"), "more than 4096 columns");
    check_refused(
        format!("\"a\"{}\n", ",b".repeat(1_000_000)),
        "more than 4096 columns",
    );
}

#[test]
fn what_unpacks_to_far_more_than_its_size_is_refused() {
    let bomb = format!("a,b\n{}", format!("1,{:01000}\n", 0).repeat(20 << 10));
    check_refused(containers::gzip(bomb.as_bytes()), "200 times its size");
    check_refused(
        containers::zip(&[("a.csv", bomb.as_bytes())]),
        "200 times its size",
    );
    // All members of a zip count together.
    let part = &bomb.as_bytes()[..10 << 20];
    check_refused(
        containers::zip(&[("a.csv", part), ("b.x", b""), ("c.csv", part)]),
        "200 times",
    );
    // What is small may unpack to any part of its first 16 MiB.
    assert!(read(&containers::gzip(&part[..1 << 20]), &Settings::default()).is_ok());
}

#[test]
fn blank_lines_without_end_take_no_memory() {
    let mut file = Endless::new("a,b\n1,2\n", "\n", 6 << 20);
    let member = &survey(&mut file, &Settings::default(), &|_| false).unwrap()[0];
    let mut reader = Reader::new(&mut file, member).unwrap();
    let mut rows = Rows::default();
    assert!(reader.read(&mut rows, 4096).unwrap());
    assert_eq!(rows.len(), 1);
    assert!(!reader.read(&mut rows, 4096).unwrap());
    assert!(rows.text.capacity() < 3 << 20, "{}", rows.text.capacity());
}

#[test]
fn a_zip_with_very_many_entries_is_refused() {
    let mut bytes = containers::zip(&[("a.csv", b"a,b\n")]);
    let at = bytes.len() - 22;
    assert_eq!(&bytes[at..at + 4], b"PK\x05\x06");
    bytes[at + 8..at + 12].fill(0xFF);
    check_refused(bytes, "more than 10000 files");
}

#[test]
fn rows_after_a_long_row_and_many_blank_lines_are_read() {
    let text = format!(
        "a,b\n\"{}\",2\n{}3,4\n",
        "x".repeat(900_000),
        "\n".repeat(3 << 20)
    );
    let read = read(text.as_bytes(), &Settings::default()).unwrap();
    assert_eq!(read.lines().count(), 3);
    assert!(
        read.ends_with("\n3145731^: 3|4\n"),
        "{}",
        &read[read.len() - 30..]
    );
}
