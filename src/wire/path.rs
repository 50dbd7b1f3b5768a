//! Keys as one segment of a path.

/// How a key can stand in a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathKey {
    Segment(String),
    /// `.` and `..`: every URL parser takes them, `%2E%2E` too, for a step in the path (WHATWG URL,
    /// double-dot segments). Such an object can be named by the API's own id alone.
    Unsendable,
}

/// URL-encodes a key, so that it stays one segment: all but the unreserved characters of RFC 3986.
pub fn segment(key: &str) -> PathKey {
    if matches!(key, "." | ".." | "") {
        return PathKey::Unsendable;
    }
    let mut out = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' | b'.' => {
                out.push(byte as char);
            }
            _ => {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                out.push('%');
                out.push(HEX[usize::from(byte >> 4)] as char);
                out.push(HEX[usize::from(byte & 15)] as char);
            }
        }
    }
    PathKey::Segment(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(key: &str, expected: &str) {
        let PathKey::Segment(encoded) = segment(key) else {
            panic!("{key} cannot be sent");
        };
        assert_eq!(encoded, expected);
    }

    #[test]
    fn a_key_stays_one_segment() {
        check("paris-17", "paris-17");
        check("a/b c", "a%2Fb%20c");
        check("a?b#c&d=e", "a%3Fb%23c%26d%3De");
        check("100%", "100%25");
        check("%2e%2e", "%252e%252e");
        check("...", "...");
        check("..x", "..x");
        check("É\\é", "%C3%89%5C%C3%A9");
        check("../..", "..%2F..");
        check("a@b.example+x", "a%40b.example%2Bx");
    }

    #[test]
    fn dots_alone_cannot_be_sent() {
        for key in [".", "..", ""] {
            assert_eq!(segment(key), PathKey::Unsendable);
        }
    }
}
