//! Addresses of the web, as far as a configuration needs them: scheme, host, and whether the host is
//! this one.

use std::net::{IpAddr, Ipv6Addr};

/// `https://api.voucherify.io/base`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Url<'a> {
    pub scheme: Scheme,
    /// What stands before an `@`: credentials.
    pub has_user: bool,
    /// Without port and brackets.
    pub host: &'a str,
    /// A `?` or `#` part.
    pub has_query: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

impl<'a> Url<'a> {
    /// `Err`: what to write instead.
    pub fn parse(text: &'a str) -> Result<Url<'a>, &'static str> {
        const EXAMPLE: &str = "write it like \"https://host.example\"";
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err("begin it with `https://`");
        };
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            _ => return Err("begin it with `https://`"),
        };
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err("take the spaces out");
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        let (user, host_port) = match authority.rsplit_once('@') {
            Some((_, host_port)) => (true, host_port),
            None => (false, authority),
        };
        let (host, port) = if let Some(inner) = host_port.strip_prefix('[') {
            let (host, port) = inner.split_once(']').ok_or(EXAMPLE)?;
            host.parse::<Ipv6Addr>().map_err(|_| EXAMPLE)?;
            (host, port.strip_prefix(':'))
        } else {
            match host_port.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (host_port, None),
            }
        };
        if port.is_some_and(|port| port.parse::<u16>().is_err()) {
            return Err("the port has to be a number up to 65535");
        }
        let name = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        if host.is_empty() || !host.chars().all(name) {
            return Err(EXAMPLE);
        }
        Ok(Url {
            scheme,
            has_user: user,
            host,
            has_query: tail.contains(['?', '#']),
        })
    }

    pub fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
            || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_found_and_known_as_this_one() {
        for (text, host, loopback) in [
            ("https://api.voucherify.io", "api.voucherify.io", false),
            ("http://127.0.0.1:8080/v1/", "127.0.0.1", true),
            ("http://[::1]:9", "::1", true),
            ("http://LOCALHOST", "LOCALHOST", true),
            (
                "http://127.0.0.1.example.com",
                "127.0.0.1.example.com",
                false,
            ),
            ("http://127.0.0.1@example.com/", "example.com", false),
            ("https://example.com?x=@127.0.0.1", "example.com", false),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!((url.host, url.is_loopback()), (host, loopback), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_said_to_be_none() {
        for text in [
            "",
            "api.voucherify.io",
            "ftp://x",
            "https://",
            "https:///v1",
            "https://a b",
            "https://x:99999",
            "https://[::1",
            "https://[x]",
            "https://ex\\ample",
        ] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }
}
