//! Bytes of a file in, header and rows out: the widest door of this module.

use std::io::Cursor;

use super::*;

/// What a table reads as: one line a row, `<line>: cell|cell`, or `<line>: <fault>@<column>: cell|cell`.
fn read(bytes: &[u8], settings: &Settings) -> Result<String, Failure> {
    read_known(bytes, settings, &[])
}

fn read_known(bytes: &[u8], settings: &Settings, known: &[&str]) -> Result<String, Failure> {
    let mut file = Cursor::new(bytes);
    let is_header = |cells: &[String]| {
        known
            .iter()
            .any(|name| cells.iter().any(|cell| cell == name))
    };
    let mut text = String::new();
    for member in survey(&mut file, settings, &is_header)? {
        if !member.name.is_empty() {
            text += &format!("{} ", member.name);
        }
        text += &format!("[{}] {}\n", member.dialect, member.header.join("|"));
        text += &read_rows(&mut file, &member, usize::MAX, 1 << 17)?;
    }
    Ok(text)
}

fn read_rows(
    file: &mut Cursor<&[u8]>,
    member: &Member,
    rows_max: usize,
    piece_bytes: usize,
) -> Result<String, Failure> {
    let mut text = String::new();
    let mut reader = Reader::with_piece(file, member, piece_bytes)?;
    let mut rows = Rows::default();
    loop {
        match reader.read(&mut rows, rows_max) {
            Ok(true) => {}
            Ok(false) => return Ok(text),
            Err(Failure::CutOff { line, .. }) => {
                text += &format!("cut off at {line}\n");
                return Ok(text);
            }
            Err(failure) => return Err(failure),
        }
        for row in rows.iter() {
            text += &row.line().to_string();
            text += if row.after_blank_line() { "^: " } else { ": " };
            if let Some(fault) = row.fault() {
                text += fault.code.name();
                if let Some(column) = fault.column {
                    text += &format!("@{column}");
                }
                text += ": ";
            }
            text += &row.cells().join("|");
            text += "\n";
        }
    }
}

#[track_caller]
fn check(bytes: impl AsRef<[u8]>, expected: &[&str]) {
    let read = read(bytes.as_ref(), &Settings::default()).unwrap();
    assert_eq!(read.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn samples() {
    for dir in ["traps", "shops", "connectors"] {
        for entry in std::fs::read_dir(format!("tests/samples/{dir}")).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            let read = read(&bytes, &Settings::default());
            println!("== {}", path.display());
            match read {
                Ok(text) => println!("{text}"),
                Err(failure) => println!("{failure:?}"),
            }
        }
    }
}
