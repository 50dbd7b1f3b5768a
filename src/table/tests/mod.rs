//! Bytes of a file in, header and rows out: the widest door of this module.

mod containers;
mod encodings;
mod limits;
mod properties;
mod samples;

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

#[track_caller]
fn check_refused(bytes: impl AsRef<[u8]>, reason_has: &str) {
    match read(bytes.as_ref(), &Settings::default()) {
        Err(Failure::Unreadable { reason }) => {
            assert!(reason.contains(reason_has), "{reason}");
            assert!(!reason.contains("  "), "{reason}");
        }
        Err(failure) => panic!("not refused, but {failure:?}"),
        Ok(read) => panic!(
            "not refused, but read: {}",
            read.lines().next().unwrap_or_default()
        ),
    }
}

#[test]
fn an_open_quote_rejects_its_line_alone() {
    check(
        "id,name,city\nC1,Jane,\"Boston\nC2,John,LA\nC3,Ann,Reno\n",
        &[
            "[UTF-8, comma] id|name|city",
            "2: quote@2: C1|Jane|\"Boston",
            "3: C2|John|LA",
            "4: C3|Ann|Reno",
        ],
    );
    // The quote that would close it opens another cell.
    check(
        "a,b,c\n1,\"x\n2,\"y\",z\n3,4,5\n",
        &[
            "[UTF-8, comma] a|b|c",
            "2: quote@1: 1|\"x",
            "3: 2|y|z",
            "4: 3|4|5",
        ],
    );
    // All cells quoted, one closing quote lost.
    check(
        "\"a\",\"b\"\n\"1\",\"x\n\"2\",\"y\"\n",
        &["[UTF-8, comma] a|b", "2: quote@1: 1|\"x", "3: 2|y"],
    );
    // On the last line, with and without its end; after a cell of two lines.
    check(
        "a,b\n1,2\n3,\"4\n",
        &["[UTF-8, comma] a|b", "2: 1|2", "3: quote@1: 3|\"4"],
    );
    check(
        "a,b\n1,2\n3,\"",
        &["[UTF-8, comma] a|b", "2: 1|2", "3: quote@1: 3|\""],
    );
    check(
        "a,b,c\n1,\"x\ny\",\"z\n4,5,6\n",
        &[
            "[UTF-8, comma] a|b|c",
            "2: quote@2: 1|x",
            "y|\"z",
            "4: 4|5|6",
        ],
    );
}

#[test]
fn text_after_a_closing_quote_rejects_its_line() {
    check(
        "a,b,c\n1,\"24\" monitor\",9\n2,\"it's \"cool\"\",5\n3,x,y\n",
        &[
            "[UTF-8, comma] a|b|c",
            "2: quote@1: 1|\"24\" monitor\"|9",
            "3: quote@1: 2|\"it's \"cool\"\"|5",
            "4: 3|x|y",
        ],
    );
}

#[test]
fn a_quote_opens_only_as_the_first_character() {
    check(
        "a,b\nBox 24\",it's \"cool\"\n1, \"x, y\"\n2,\"x\" \n3, \"x\" y\n4, \"\n",
        &[
            "[UTF-8, comma] a|b",
            "2: Box 24\"|it's \"cool\"",
            "3: 1|x, y",
            "4: 2|x",
            "5: 3| \"x\" y",
            "6: 4| \"",
        ],
    );
}

#[test]
fn doubled_quotes_are_one() {
    check(
        "a,b\n\"\"\"x\"\"\",\"\"\n\"\"\"\",\"a\"\"b\"\"\"\n",
        &["[UTF-8, comma] a|b", "2: \"x\"|", "3: \"|a\"b\""],
    );
}

#[test]
fn lines_are_counted_as_an_editor_does() {
    check(
        "a,b\r1,\"x\ry\r\nz\nw\"\n2,3\r\n\r\n4,5\n\n\n6,7\r",
        &[
            "[UTF-8, comma] a|b",
            "2: 1|x\ry",
            "z",
            "w",
            "6: 2|3",
            "8^: 4|5",
            "11^: 6|7",
        ],
    );
}

#[test]
fn every_line_end_ends_a_row() {
    for end in ["\n", "\r\n", "\r"] {
        for last in [end, ""] {
            let text = format!("a,b{end}1,2{end}3,\"4\"{last}");
            check(&text, &["[UTF-8, comma] a|b", "2: 1|2", "3: 3|4"]);
        }
    }
}

#[test]
fn blank_lines_are_no_rows_and_rows_of_delimiters_are() {
    check(
        "\n  \na,b,c\n\n1,2,3\n \t\n,,\n , ,\n",
        &[
            "[UTF-8, comma, header on line 3] a|b|c",
            "5^: 1|2|3",
            "7^: ||",
            "8:  | |",
        ],
    );
}

#[test]
fn a_row_of_delimiters_says_that_it_is_blank() {
    let bytes: &[u8] = b"a,b\n , \"\"\n1,\n";
    let mut file = Cursor::new(bytes);
    let member = &survey(&mut file, &Settings::default(), &|_| false).unwrap()[0];
    let mut rows = Rows::default();
    let mut reader = Reader::new(&mut file, member).unwrap();
    assert!(reader.read(&mut rows, 10).unwrap());
    assert_eq!(rows.len(), 2);
    assert!(rows.get(0).is_blank());
    assert!(!rows.get(1).is_blank());
    assert_eq!(rows.get(0).raw(), b" , \"\"");
    assert_eq!(rows.get(1).cell(7), "");
    assert_eq!(rows.get(1).cells_count(), 2);
    drop(reader);
}

#[test]
fn surplus_empty_cells_are_nothing_and_others_are_a_fault() {
    check(
        "a,b\n1,2,\n1,2,,, \n1,2,3\n1\n1,2\n",
        &[
            "[UTF-8, comma] a|b",
            "2: 1|2|",
            "3: 1|2||| ",
            "4: column_count: 1|2|3",
            "5: column_count: 1",
            "6: 1|2",
        ],
    );
    // A delimiter at the header's end makes no column that rows must have.
    check(
        "a,b,\n1,2\n1,2,\n1,2,3\n1,2,3,4\n1\n",
        &[
            "[UTF-8, comma] a|b|",
            "2: 1|2",
            "3: 1|2|",
            "4: 1|2|3",
            "5: column_count: 1|2|3|4",
            "6: column_count: 1",
        ],
    );
}

#[test]
fn the_delimiter_is_found() {
    check(
        "id;name;price\nP1;\"Lamp; tall, blue\";97,70\nP2;Chair;1.204,05\n",
        &[
            "[UTF-8, semicolon] id|name|price",
            "2: P1|Lamp; tall, blue|97,70",
            "3: P2|Chair|1.204,05",
        ],
    );
    check(
        "id\tname\nP1\ta, b; c\nP2\td, e; f\n",
        &["[UTF-8, tab] id|name", "2: P1|a, b; c", "3: P2|d, e; f"],
    );
    check(
        "id|name, first|x\n1|b, c|d\n",
        &["[UTF-8, vertical bar] id|name, first|x", "2: 1|b, c|d"],
    );
    // Commas in every cell, also in the header.
    check(
        "a,b;c,d\n1,5;2,5\n3,5;4,5\n1;2\n",
        &[
            "[UTF-8, semicolon] a,b|c,d",
            "2: 1,5|2,5",
            "3: 3,5|4,5",
            "4: 1|2",
        ],
    );
    // A title of its own, and a footer, do not weigh more than the table.
    check(
        "id;text\n1;a, b, c\n2;d, e, f\n3;g, h, i\nTotal, of, all\n",
        &[
            "[UTF-8, semicolon] id|text",
            "2: 1|a, b, c",
            "3: 2|d, e, f",
            "4: 3|g, h, i",
            "5: column_count: Total, of, all",
        ],
    );
    check(
        "source_id\nC1\nC2\n",
        &["[UTF-8, comma] source_id", "2: C1", "3: C2"],
    );
}

#[test]
fn a_known_header_decides_about_titles_and_delimiter() {
    let known =
        |bytes: &str| read_known(bytes.as_bytes(), &Settings::default(), &["source_id"]).unwrap();
    assert_eq!(
        known("Report, of; May\n\n\"All \"\"customers\"\"\"\nsource_id;name, full\n1;x, y\n"),
        "[UTF-8, semicolon, header on line 4] source_id|name, full\n5: 1|x, y\n"
    );
    assert_eq!(
        known("sep=;\r\n\r\nsource_id;a\r\n1;2\r\n"),
        "[UTF-8, semicolon, header on line 3] source_id|a\n4: 1|2\n"
    );
    assert_eq!(
        known("\u{FEFF}\u{FEFF} source_id\u{A0},\u{200B}name \n1,2\n"),
        "[UTF-8, comma] source_id|name\n2: 1|2\n"
    );
    // A title with an open quote.
    assert_eq!(
        known("The \"big\" list\n\"quoted, open\nsource_id,name\n1,2\n"),
        "[UTF-8, comma, header on line 3] source_id|name\n4: 1|2\n"
    );
}

#[test]
fn sep_is_an_instruction_and_no_row() {
    for (line, described) in [
        ("sep=;", "semicolon"),
        ("SEP=;", "semicolon"),
        ("\"sep=;\"", "semicolon"),
        ("sep=^", "^ between cells"),
        ("sep=\t", "tab"),
    ] {
        let delimiter = line.trim_matches('"').chars().last().unwrap();
        let text = format!("{line}\r\na{delimiter}b\r\n1{delimiter}2,3\r\n");
        let expected = format!("[UTF-8, {described}, header on line 2] a|b");
        check(text, &[&expected, "3: 1|2,3"]);
    }
}

#[test]
fn a_file_without_header_is_read_by_one_that_is_given() {
    let settings = Settings {
        header_if_none: Some(vec!["email".into(), "id".into()]),
        ..Settings::default()
    };
    let read = |text: &str| read_known(text.as_bytes(), &settings, &["email"]).unwrap();
    assert_eq!(
        read("\nx@example.com;1\ny@example.com;2\n"),
        "[UTF-8, semicolon, no header] email|id\n2: x@example.com|1\n3: y@example.com|2\n"
    );
    assert_eq!(
        read("email,id\nx@example.com,1\n"),
        "[UTF-8, comma] email|id\n2: x@example.com|1\n"
    );
}

#[test]
fn settings_win_over_what_would_be_found() {
    let settings = Settings {
        delimiter: Some(b':'),
        encoding: Some("windows-1250".into()),
        ..Settings::default()
    };
    assert_eq!(
        super::tests::read(b"a:b\nx,y:\xA3\n", &settings).unwrap(),
        "[windows-1250, : between cells] a|b\n2: x,y|Ł\n"
    );
    // But for what stands in the file itself: so a rejects file comes back into any folder.
    assert_eq!(
        super::tests::read("\u{FEFF}sep=;\na;b\nx;Ł\n".as_bytes(), &settings).unwrap(),
        "[UTF-8, semicolon, header on line 2] a|b\n3: x|Ł\n"
    );
}

#[test]
fn what_has_no_header_is_refused() {
    check_refused("", "empty");
    check_refused("\u{FEFF}", "empty");
    check_refused("\n\r\n  \n", "empty");
    check_refused(",,,\n,,\n", "empty");
    check_refused("a,\"b\nc,d\n", "double quote in the header");
}
