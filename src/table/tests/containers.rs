//! gzip and zip, and what is refused in words.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use zip::write::SimpleFileOptions;

use super::*;

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (index, (name, bytes)) in members.iter().enumerate() {
        if name.ends_with('/') {
            writer
                .add_directory(*name, SimpleFileOptions::default())
                .unwrap();
            continue;
        }
        let method = match index % 2 {
            0 => zip::CompressionMethod::Deflated,
            _ => zip::CompressionMethod::Stored,
        };
        let options = SimpleFileOptions::default().compression_method(method);
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// Rows enough that they do not fit one read.
fn many_rows() -> String {
    let mut text = String::from("id,name\n");
    for row in 0..20_000_u64 {
        text += &format!("{row},name {}\n", row.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    }
    text
}

#[test]
fn every_member_of_a_gzip_is_read() {
    let mut bytes = gzip(b"id,name\n1,a\n");
    bytes.extend(gzip(b""));
    bytes.extend(gzip(b"2,b\n3,"));
    bytes.extend(gzip(b"c"));
    let expected = ["[UTF-8, comma, gzip] id|name", "2: 1|a", "3: 2|b", "4: 3|c"];
    check(&bytes, &expected);
    bytes.extend([0; 700]);
    check(&bytes, &expected);
}

#[test]
fn a_gzip_with_a_name_and_other_header_fields_is_read() {
    let encoder = flate2::GzBuilder::new()
        .filename("a.csv")
        .comment("c")
        .extra("xyz");
    let mut encoder = encoder.write(Vec::new(), Compression::default());
    encoder.write_all(b"a,b\n1,2\n").unwrap();
    check(
        encoder.finish().unwrap(),
        &["[UTF-8, comma, gzip] a|b", "2: 1|2"],
    );
}

#[test]
fn a_gzip_that_breaks_off_says_from_which_line_on() {
    let text = many_rows();
    let whole = gzip(text.as_bytes());
    for cut in [
        whole.len() / 2,
        whole.len() - 9,
        whole.len() - 1,
        whole.len() - 8,
    ] {
        let read = read(&whole[..cut], &Settings::default()).unwrap();
        let lines: Vec<_> = read.lines().collect();
        let last = lines.len() as u64;
        assert_eq!(
            lines[lines.len() - 1],
            format!("cut off at {last}"),
            "{cut}"
        );
        let row = lines[lines.len() - 2];
        let expected = text.lines().nth(lines.len() - 2).unwrap().replace(',', "|");
        assert_eq!(row, format!("{}: {expected}", last - 1));
    }
}

#[test]
fn bytes_after_a_gzip_are_a_broken_tail() {
    let mut bytes = gzip(b"id,name\n1,a\n2,b\n");
    bytes.extend(b"\0\0rubbish");
    check(
        &bytes,
        &[
            "[UTF-8, comma, gzip] id|name",
            "2: 1|a",
            "3: 2|b",
            "cut off at 4",
        ],
    );
}

#[test]
fn a_gzip_cut_before_its_header_is_refused() {
    let whole = gzip(many_rows().as_bytes());
    for cut in [2, 9, 12] {
        check_refused(&whole[..cut], "before a header was read");
    }
}

#[test]
fn a_gzip_whose_checksum_does_not_fit_is_refused() {
    let mut bytes = gzip(b"id,name\n1,a\n");
    let crc = bytes.len() - 8;
    bytes[crc] ^= 1;
    check_refused(&bytes, "checksum");
}

#[test]
fn a_zip_is_read_member_by_member_in_the_order_of_names() {
    let bytes = zip(&[
        ("b.csv", b"x;y\n1;2\n"),
        ("a/", b""),
        ("a/two.TXT", "id\tn\n7\tä\n".as_bytes()),
        ("manifest.json", b"{}"),
        ("readme.pdf", b"%PDF-"),
        ("__MACOSX/._b.csv", b"\0\x05\x16\x07"),
        (".hidden.csv", b"a"),
    ]);
    check(
        bytes,
        &[
            "a/two.TXT [UTF-8, tab, zip] id|n",
            "2: 7|ä",
            "b.csv [UTF-8, semicolon, zip] x|y",
            "2: 1|2",
        ],
    );
}

#[test]
fn a_text_beside_known_tables_is_no_table() {
    let bytes = zip(&[
        ("a.csv", b"source_id,n\n1,2\n"),
        (
            "README.txt",
            b"Hello, dear reader,\nhere are your customers.\n",
        ),
        ("b.txt", b"source_id;n\n3;4\n"),
    ]);
    let read = read_known(&bytes, &Settings::default(), &["source_id"]).unwrap();
    assert_eq!(
        read,
        "a.csv [UTF-8, comma, zip] source_id|n\n2: 1|2\n\
         b.txt [UTF-8, semicolon, zip] source_id|n\n2: 3|4\n"
    );
}

#[test]
fn a_zip_is_refused_in_words() {
    check_refused(zip(&[]), "no table");
    check_refused(zip(&[("a.pdf", b"%PDF-")]), "no table");
    check_refused(
        zip(&[("a.csv", b"a,b\n"), ("b.zip", b"")]),
        "another packed file",
    );
    check_refused(
        zip(&[("a.csv", b"a,b\n"), ("b.csv.gz", b"")]),
        "another packed file",
    );
    check_refused(
        zip(&[("a.csv", b"a,b\n1,2\n"), ("b.csv", b"")]),
        "b.csv in the zip: the file is empty",
    );
    check_refused(zip(&[("a.csv", &gzip(b"a,b\n"))]), "a gzip within");
    let whole = zip(&[("a.csv", b"id,name\n1,abcdefg\n")]);
    check_refused(&whole[..whole.len() - 10], "cut off or damaged");
    check_refused(&whole[..30], "cut off or damaged");
}

#[test]
fn a_zip_whose_member_is_damaged_is_refused() {
    let whole = zip(&[("x.txt.bak", b"x"), ("a.csv", b"id,name\n1,abcdefg\n")]);
    let at = whole
        .windows(7)
        .position(|bytes| bytes == b"abcdefg")
        .unwrap();
    let mut bytes = whole.clone();
    bytes[at] = b'X';
    check_refused(&bytes, "checksum");
}

#[test]
fn an_encrypted_zip_is_refused() {
    let mut bytes = zip(&[("a.csv", b"id,name\n1,2\n")]);
    // The flag of encryption, in the member's own header and in the directory.
    bytes[6] |= 1;
    let at = bytes
        .windows(4)
        .position(|bytes| bytes == b"PK\x01\x02")
        .unwrap();
    bytes[at + 8] |= 1;
    check_refused(&bytes, "password");
}

#[test]
fn what_is_no_table_is_refused_in_words() {
    let xlsx = zip(&[
        ("[Content_Types].xml", b"<x/>"),
        ("xl/workbook.xml", b"<x/>"),
    ]);
    check_refused(xlsx, "CSV UTF-8");
    let ods = zip(&[
        (
            "mimetype",
            b"application/vnd.oasis.opendocument.spreadsheet",
        ),
        ("content.xml", b"<x/>"),
    ]);
    check_refused(ods, "CSV UTF-8");
    check_refused(b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1\0\0\0\0", "CSV UTF-8");
    check_refused(b"7z\xBC\xAF\x27\x1C\0\x04", "7z");
    check_refused(b"Rar!\x1A\x07\x01\0", "rar");
    check_refused(b"BZh91AY&SY\0\0", "bzip2");
    check_refused(b"\xFD7zXZ\0\0", "xz");
    check_refused(b"\x28\xB5\x2F\xFD\0\0", "zstd");
    let mut tar = vec![0; 1024];
    tar[..5].copy_from_slice(b"a.csv");
    tar[257..262].copy_from_slice(b"ustar");
    check_refused(&tar, "tar");
    check_refused(gzip(&tar), "tar");
    check_refused(gzip(&gzip(b"a,b\n")), "a gzip within");
    check_refused(b"%PDF-1.7\n", "PDF");
    check_refused(b"\x89PNG\r\n\x1A\n", "picture");
    check_refused("\u{FEFF}<!DOCTYPE html>\n<html>", "web page");
    check_refused("<html><body>", "web page");
    check_refused("<?xml version=\"1.0\"?>\n<a/>", "XML");
    check_refused(" {\n \"a\": 1}\n", "JSON");
    check_refused("[{\"a\":1}]\n", "JSON");
    let noise: Vec<u8> = (0..4000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    check_refused(noise, "not text");
}

#[test]
fn a_dialect_is_kept_as_json_and_reads_the_same_again() {
    let bytes = zip(&[
        ("a.csv", "Titel\nid;n\n1;ä\n".as_bytes()),
        ("b.csv", b"x,y\n1,2\n"),
    ]);
    let mut file = Cursor::new(bytes.as_slice());
    let known = |cells: &[String]| cells.len() == 2;
    let members = survey(&mut file, &Settings::default(), &known).unwrap();
    for member in members {
        let first = read_rows(&mut file, &member, 10, 100).unwrap();
        let json = serde_json::to_string(&member.dialect).unwrap();
        let stored = Member {
            dialect: serde_json::from_str(&json).unwrap(),
            ..member
        };
        assert_eq!(read_rows(&mut file, &stored, 10, 100).unwrap(), first);
    }
}
