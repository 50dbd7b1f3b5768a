//! Encodings by evidence, and what is done with what fits none.

use super::*;

/// Encodes a table of these names, and checks what it is read as.
#[track_caller]
fn check_encoding(label: &str, found: &str, names: &[&str]) {
    let encoding = encoding_rs::Encoding::for_label(label.as_bytes()).unwrap();
    let mut text = String::from("source_id;name\n");
    let mut expected = Vec::new();
    for (index, name) in names.iter().enumerate() {
        text += &format!("{index};{name}\n");
        expected.push(format!("{}: {index}|{name}", index + 2));
    }
    let (bytes, _, lossy) = encoding.encode(&text);
    assert!(!lossy, "{label} lacks a letter of {names:?}");
    let read = read(&bytes, &Settings::default()).unwrap();
    let lines: Vec<_> = read.lines().collect();
    assert_eq!(lines[1..], expected, "{label} read as {}", lines[0]);
    assert_eq!(lines[0], format!("[{found}, semicolon] source_id|name"));
}

#[test]
fn western_europe_is_told_by_evidence() {
    let check = |names: &[&str]| check_encoding("windows-1252", "windows-1252", names);
    check(&["Müller"]);
    check(&["12,50 €"]);
    check(&["O’Neil"]);
    check(&["Peña"]);
    check(&["Jürgen Groß", "Söhne", "Straße 5"]);
    check(&["Zoé", "Besançon", "François d’Été", "cœur"]);
    check(&["Muñoz", "Peña", "José", "ESPAÑA"]);
    check(&["Åse Sørensen", "Bjørn"]);
    check(&["João", "São Paulo", "Conceição"]);
    check(&["JÜRGEN GROSS", "MÜLLER", "KÖLN"]);
    check(&["Tisch „Lärche“ – groß", "½ Zoll", "100 m²"]);
}

#[test]
fn central_europe_is_told_by_evidence() {
    let check = |names: &[&str]| check_encoding("windows-1250", "windows-1250", names);
    check(&["Łukasz Żółty", "Kraków", "Świętokrzyska"]);
    check(&["Małgorzata", "Łódź"]);
    check(&["WRÓBEL", "ŁÓDŹ", "ŻÓŁTY", "PÓŁNOC"]);
    check(&["Dvořák", "Novák", "Žižka", "Plzeň"]);
    check(&["Kovács Győző", "Székesfehérvár", "Erdős"]);
    check_encoding(
        "iso-8859-2",
        "ISO-8859-2",
        &["Łukasz Żółty", "Kraków", "Świętokrzyska"],
    );
    // One name among hundreds decides, wherever it stands.
    let mut names = vec!["Müller"; 300];
    names.push("Świętosława Łącka");
    check(&names);
}

#[test]
fn other_scripts_are_told_by_evidence() {
    check_encoding("windows-1251", "windows-1251", &["Иван Петров", "Москва"]);
    check_encoding(
        "windows-1251",
        "windows-1251",
        &["Віктор", "Ніна", "Київ", "Львів"],
    );
    check_encoding(
        "windows-1253",
        "windows-1253",
        &["Αθήνα", "Γιώργος Παπαδόπουλος"],
    );
    check_encoding(
        "windows-1254",
        "windows-1254",
        &["Şişli", "Yılmaz Güneş", "İstanbul"],
    );
    check_encoding("koi8-u", "KOI8-U", &["Иван Петров", "Москва", "Привет"]);
    check_encoding(
        "shift_jis",
        "Shift_JIS",
        &["山田 花子", "東京都", "データ", "ポスト|メール"],
    );
    check_encoding("gbk", "GBK", &["北京市", "上海", "王小明", "客户名称"]);
    check_encoding("utf-8", "UTF-8", &["Müller", "Иван", "山田", "🙂"]);
}

#[test]
fn a_stray_byte_costs_its_row_alone() {
    check(
        b"id,name\n1,Zo\xC3\xAB\n2,O\x92Neil\n3,x\n4,\"a\"\"\xFF\",\n5,\xC3",
        &[
            "[UTF-8, comma] id|name",
            "2: 1|Zoë",
            "3: encoding@1: 2|O?Neil",
            "4: 3|x",
            "5: encoding@1: 4|a\"?|",
            "6: encoding@1: 5|?",
        ],
    );
    // A byte order mark is enough to know that it is UTF-8.
    check(
        b"\xEF\xBB\xBFid,name\n1,O\x92Neil\n",
        &["[UTF-8, comma] id|name", "2: encoding@1: 1|O?Neil"],
    );
}

#[test]
fn a_lost_character_is_never_stored() {
    check(
        "id,name\n1,O\u{FFFD}Neil\n2,\"\"\"\u{FFFD}\"\n3,ok\n",
        &[
            "[UTF-8, comma] id|name",
            "2: encoding@1: 1|O?Neil",
            "3: encoding@1: 2|\"?",
            "4: 3|ok",
        ],
    );
}

#[test]
fn bytes_that_mean_nothing_cost_their_row() {
    // 0x81 is no character of Windows-1252.
    check(
        b"id,name\n1,M\xFCller\n2,Gr\xFC\xDFe\n3,\x81x\n",
        &[
            "[windows-1252, comma] id|name",
            "2: 1|Müller",
            "3: 2|Grüße",
            "4: encoding@1: 3|?x",
        ],
    );
}

#[test]
fn utf16_is_found_with_and_without_a_mark() {
    let text = "id\tname\r\n1\tZoë \"Z\" Brandt\r\n2\t\"山田\n花子\"\r\n3\t🙂\r\n";
    let units = |text: &str| text.encode_utf16().collect::<Vec<_>>();
    let le = |text: &str| {
        units(text)
            .iter()
            .flat_map(|u| u.to_le_bytes())
            .collect::<Vec<_>>()
    };
    let be = |text: &str| {
        units(text)
            .iter()
            .flat_map(|u| u.to_be_bytes())
            .collect::<Vec<_>>()
    };
    let marked = format!("\u{FEFF}{text}");
    for (bytes, name) in [
        (le(text), "UTF-16LE"),
        (be(text), "UTF-16BE"),
        (le(&marked), "UTF-16LE"),
        (be(&marked), "UTF-16BE"),
    ] {
        let header = format!("[{name}, tab] id|name");
        check(
            bytes,
            &[
                &header,
                "2: 1|Zoë \"Z\" Brandt",
                "3: 2|山田",
                "花子",
                "5: 3|🙂",
            ],
        );
    }
    // Hardly a NUL but those of delimiters and line ends.
    let russian = format!("{}{}", "Код;Имя\n", "1;Иван Иванович Петров\n".repeat(50));
    let read = read(&le(&russian), &Settings::default()).unwrap();
    assert!(
        read.starts_with("[UTF-16LE, semicolon] Код|Имя\n2: 1|Иван "),
        "{read}"
    );
}

#[test]
fn half_a_character_of_utf16_costs_its_row() {
    let mut bytes: Vec<u8> = "\u{FEFF}a;b\n1;x"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    bytes.extend_from_slice(&[0x3D, 0xD8]);
    bytes.extend("\n2;y".encode_utf16().flat_map(u16::to_le_bytes));
    bytes.push(b'z');
    check(
        bytes,
        &[
            "[UTF-16LE, semicolon] a|b",
            "2: encoding@1: 1|x?",
            "3: encoding@1: 2|y?",
        ],
    );
}

#[test]
fn a_nul_costs_its_row() {
    check(
        b"id,name\n1,a\0b\n\0\0,x\n2,\"\"\"\0\"\n3,ok\n\0\0\0\0",
        &[
            "[UTF-8, comma] id|name",
            "2: encoding@1: 1|a?b",
            "3: encoding@0: ??|x",
            "4: encoding@1: 2|\"?",
            "5: 3|ok",
            "6: column_count: ????",
        ],
    );
}

#[test]
fn utf8_in_a_file_of_another_encoding_costs_its_row() {
    let mut bytes = b"id,name\n1,Zo\xC3\xAB\n".to_vec();
    for row in 2..42 {
        bytes.extend_from_slice(format!("{row},").as_bytes());
        bytes.extend_from_slice(b"M\xFCller\n");
    }
    bytes.extend_from_slice(b"42,\x84Spa\xDF\x93\n43,S\xC3O\n44,12\xE2\x82\xAC\n");
    let read = read(&bytes, &Settings::default()).unwrap();
    let lines: Vec<_> = read.lines().collect();
    assert_eq!(lines[0], "[windows-1252, comma] id|name");
    assert_eq!(lines[1], "2: encoding@1: 1|Zo?");
    assert_eq!(lines[2], "3: 2|Müller");
    assert_eq!(
        lines[42..],
        ["43: 42|„Spaß“", "44: 43|SÃO", "45: encoding@1: 44|12?"]
    );
    for piece in 1..40 {
        let mut file = Cursor::new(bytes.as_slice());
        let member = survey(&mut file, &Settings::default(), &|_| false)
            .unwrap()
            .remove(0);
        let pieces = read_rows(&mut file, &member, 1, piece).unwrap();
        assert_eq!(pieces.lines().collect::<Vec<_>>(), lines[1..]);
    }
}

#[test]
fn a_long_cell_of_another_script_hides_no_utf_16() {
    let long = "商品の説明".repeat(4_000);
    let text = format!("source_id,name\n1,{long}\n");
    for to_bytes in [u16::to_le_bytes, u16::to_be_bytes] {
        let bytes: Vec<u8> = text.encode_utf16().flat_map(to_bytes).collect();
        let read = read(&bytes, &Settings::default()).unwrap();
        assert!(
            read.trim_end().ends_with(&format!("2: 1|{long}")),
            "{read:.60}"
        );
    }
}
