//! Who may see the page: requests that only read, addressed to a name that is ours, with the
//! password where there is one (RELIABILITY.md, 8).
//!
//! A web site that makes its own name point here (DNS rebinding) names itself in `Host`, and gets nothing.

use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::{HeaderMap, Method, StatusCode, Uri};

use crate::config::why;

const PASSWORD_BYTES_MAX: u64 = 1024;

/// Names under which the page answers.
#[derive(Clone, Debug)]
pub struct Hosts {
    names: Vec<String>,
    listen: IpAddr,
}

impl Hosts {
    pub fn new(names: &[String], listen: SocketAddr) -> Hosts {
        let names = names.iter().map(|name| bare(name).to_ascii_lowercase());
        Hosts {
            names: names.collect(),
            listen: listen.ip(),
        }
    }

    /// `local`: the address at which the connection arrived; it is the one that we listen on when
    /// that is all of them. An address cannot be rebound, a name can.
    fn allow(&self, host: &str, local: IpAddr) -> bool {
        let host = bare(host).to_ascii_lowercase();
        if host == "localhost" || self.names.contains(&host) {
            return true;
        }
        let Ok(address) = host.parse::<IpAddr>() else {
            return false;
        };
        let address = address.to_canonical();
        address.is_loopback()
            || address == self.listen.to_canonical()
            || (self.listen.is_unspecified() && address == local.to_canonical())
    }
}

/// Without port, brackets and final dot.
fn bare(host: &str) -> &str {
    let host = host.trim();
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') && port.bytes().all(|b| b.is_ascii_digit()) => {
            name
        }
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name)
}

/// What the page is guarded by beside its names. Keeps a hash, and shows nothing.
#[derive(Clone)]
pub struct Password(blake3::Hash);

impl Password {
    pub fn new(text: &str) -> Password {
        Password(blake3::hash(text.as_bytes()))
    }

    /// The file's first line. Refused if others can read it, or it is empty.
    pub fn read(path: &Path) -> Result<Password, String> {
        let fail = |reason: &str| format!("{}: {reason}", path.display());
        let file = File::open(path).map_err(|e| fail(&why(&e)))?;
        let facts = file.metadata().map_err(|e| fail(&why(&e)))?;
        let of_systemd =
            std::env::var_os("CREDENTIALS_DIRECTORY").is_some_and(|d| path.starts_with(d));
        if facts.mode() & 0o077 != 0 && !of_systemd {
            return Err(fail(
                "others can read it; `chmod 600` it, and give it to the service's user",
            ));
        }
        let mut text = String::new();
        file.take(PASSWORD_BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(|e| fail(&why(&e)))?;
        match text.lines().next().map(str::trim) {
            None | Some("") => Err(fail("there is no password in it")),
            Some(line) => Ok(Password::new(line)),
        }
    }

    /// By HTTP Basic, whatever the user's name. Equal hashes are found in constant time.
    fn given(&self, headers: &HeaderMap) -> bool {
        let given = || {
            let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
            let (scheme, rest) = value.split_once(' ')?;
            let bytes = base64(rest.trim()).filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
            let colon = bytes.iter().position(|b| *b == b':')?;
            Some(blake3::hash(&bytes[colon + 1..]))
        };
        given() == Some(self.0)
    }
}

/// The standard alphabet, padded or not.
fn base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0u32, 0);
    for byte in text.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    Some(out)
}

/// A request that gets no answer but this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: StatusCode,
    pub text: &'static str,
}

/// Whether a health check may ask without the password: it says nothing but yes or no.
fn is_open(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz")
}

pub fn check(
    hosts: &Hosts,
    password: Option<&Password>,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    local: IpAddr,
) -> Result<(), Refusal> {
    let refuse = |status, text| Err(Refusal { status, text });
    if method != Method::GET && method != Method::HEAD {
        return refuse(
            StatusCode::METHOD_NOT_ALLOWED,
            "This page only shows; GET and HEAD are all it knows.\n",
        );
    }
    let mut named = headers.get_all(HOST).iter();
    let host = match (named.next(), named.next()) {
        (Some(host), None) => host.to_str().ok(),
        _ => None,
    };
    // A request line can name a host, too; both have to be ours.
    let in_uri = uri.host().is_none_or(|host| hosts.allow(host, local));
    if !in_uri || !host.is_some_and(|host| hosts.allow(host, local)) {
        return refuse(
            StatusCode::MISDIRECTED_REQUEST,
            "This page does not answer to that name; add it to `hosts` in [local] of tillsync.toml.\n",
        );
    }
    if let Some(password) = password
        && !is_open(uri.path())
        && !password.given(headers)
    {
        return refuse(
            StatusCode::UNAUTHORIZED,
            "The password of `password_file` is needed; any user name will do.\n",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn hosts(listen: &str) -> Hosts {
        let names = ["till-03.lan".to_owned(), "Office:8787".to_owned()];
        Hosts::new(&names, listen.parse().unwrap())
    }

    #[track_caller]
    fn check_host(listen: &str, local: &str, host: &str, allowed: bool) {
        let found = hosts(listen).allow(host, local.parse().unwrap());
        assert_eq!(found, allowed, "{host} on {listen}");
    }

    #[test]
    fn only_names_that_are_ours() {
        for host in [
            "localhost",
            "localhost:8787",
            "LOCALHOST.",
            "127.0.0.1:8787",
            "127.8.9.1",
            "[::1]:8787",
            "[::1]",
            "till-03.lan",
            "TILL-03.LAN:80",
            "office",
            "till-03.lan.",
        ] {
            check_host("127.0.0.1:8787", "127.0.0.1", host, true);
        }
        for host in [
            "",
            "evil.example",
            "evil.example:8787",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "till-03.lan.evil.example",
            "192.168.1.9",
            "[fe80::1]",
            "127.0.0.1@evil.example",
            "0.0.0.0",
            "localhost:8787:evil",
            "[::1",
            "::ffff:192.168.1.9",
        ] {
            // An unclosed bracket is still the loopback's literal.
            check_host("127.0.0.1:8787", "127.0.0.1", host, host == "[::1");
        }
    }

    #[test]
    fn the_address_that_it_listens_on() {
        check_host("192.168.1.5:8787", "192.168.1.5", "192.168.1.5:8787", true);
        check_host("192.168.1.5:8787", "192.168.1.5", "192.168.1.6:8787", false);
        check_host("0.0.0.0:8787", "192.168.1.5", "192.168.1.5:8787", true);
        check_host("[::]:8787", "::ffff:192.168.1.5", "192.168.1.5:8787", true);
        check_host("0.0.0.0:8787", "192.168.1.5", "192.168.1.6:8787", false);
        check_host("0.0.0.0:8787", "192.168.1.5", "rebound.example", false);
    }

    #[track_caller]
    fn ask(method: &str, path: &str, headers: &[(&str, &str)]) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: axum::http::HeaderName = name.parse().unwrap();
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        let password = Password::new("open: sesame");
        let found = check(
            &hosts("127.0.0.1:8787"),
            Some(&password),
            &method.parse().unwrap(),
            &path.parse().unwrap(),
            &map,
            "127.0.0.1".parse().unwrap(),
        );
        found.map_or_else(|r| r.status.as_u16(), |()| 200)
    }

    #[test]
    fn a_password_guards_all_but_yes_and_no() {
        let host = ("host", "localhost");
        // base64 of `anyone:open: sesame`
        let right = ("authorization", "Basic YW55b25lOm9wZW46IHNlc2FtZQ==");
        assert_eq!(ask("GET", "/", &[host]), 401);
        assert_eq!(ask("GET", "/", &[host, right]), 200);
        assert_eq!(ask("HEAD", "/metrics", &[host, right]), 200);
        assert_eq!(ask("GET", "/metrics", &[host]), 401);
        assert_eq!(ask("GET", "/healthz", &[host]), 200);
        assert_eq!(ask("GET", "/readyz", &[host]), 200);
        for wrong in [
            "Basic YW55b25lOm9wZW4=",
            "Basic !!!",
            "Bearer YW55b25lOm9wZW46IHNlc2FtZQ==",
            "Basic",
            "",
        ] {
            assert_eq!(
                ask("GET", "/", &[host, ("authorization", wrong)]),
                401,
                "{wrong}"
            );
        }
        assert_eq!(ask("GET", "/", &[right]), 421, "no Host");
        assert_eq!(
            ask("GET", "/", &[host, ("host", "evil.example"), right]),
            421,
            "two of them"
        );
        assert_eq!(ask("GET", "http://evil.example/", &[host, right]), 421);
        assert_eq!(ask("POST", "/", &[host, right]), 405);
        assert_eq!(
            ask("OPTIONS", "/", &[host, ("origin", "http://evil.example")]),
            405
        );
    }

    #[test]
    fn a_password_that_others_can_read_is_none() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("page");
        std::fs::write(&path, "open: sesame\nrest\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(
            Password::read(&path)
                .err()
                .unwrap()
                .contains("others can read it")
        );
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(Password::read(&path).unwrap().0 == blake3::hash(b"open: sesame"));
        std::fs::write(&path, "\n").unwrap();
        assert!(
            Password::read(&path)
                .err()
                .unwrap()
                .contains("no password in it")
        );
        assert!(
            Password::read(&dir.path().join("none"))
                .err()
                .unwrap()
                .contains("does not exist")
        );
    }
}
