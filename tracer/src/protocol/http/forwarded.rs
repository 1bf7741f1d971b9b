//! `Forwarded` (RFC 7239) and its forerunners `X-Forwarded-For`, `-Host` and `-Proto`.

use std::net::IpAddr;

use super::request::text;
use super::{Forwarded, MAX_VALUE};

/// The fields as they come; the first proxy's words, nearest to the client, are kept.
#[derive(Clone, Debug, Default)]
pub(super) struct ForwardedFields {
    standard: Forwarded,
    customary: Forwarded,
    seen_standard: bool,
}

impl ForwardedFields {
    /// Whether a header field may be one of these.
    pub(super) fn includes(name: &[u8]) -> bool {
        let begins = |with: &str| {
            name.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()))
        };
        begins("forwarded") || begins("x-forwarded-")
    }

    /// Takes a header field, if it is one of these.
    pub(super) fn field(&mut self, name: &[u8], value: &[u8]) {
        if name.eq_ignore_ascii_case(b"forwarded") {
            if !self.seen_standard {
                self.seen_standard = true;
                self.standard = parse_standard(value);
            }
            return;
        }
        let slots = [
            ("x-forwarded-for", &mut self.customary.client),
            ("x-forwarded-host", &mut self.customary.host),
            ("x-forwarded-proto", &mut self.customary.proto),
        ];
        for (known, slot) in slots {
            if slot.is_none() && name.eq_ignore_ascii_case(known.as_bytes()) {
                let first = value.split(|&byte| byte == b',').next().unwrap_or_default().trim_ascii();
                *slot = Some(text(first, MAX_VALUE));
            }
        }
    }

    /// The standard's words, and the customary ones where it is silent.
    pub(super) fn resolve(self) -> Forwarded {
        let Self { standard, customary, .. } = self;
        let client = |node: Option<String>| node.and_then(|node| address(&node));
        Forwarded {
            client: client(standard.client).or_else(|| client(customary.client)),
            host: standard.host.or(customary.host).filter(|host| !host.is_empty()),
            proto: standard
                .proto
                .or(customary.proto)
                .map(|proto| proto.to_ascii_lowercase())
                .filter(|proto| matches!(proto.as_str(), "http" | "https" | "ws" | "wss")),
        }
    }
}

/// The first element's `for`, `host` and `proto`.
fn parse_standard(value: &[u8]) -> Forwarded {
    let mut forwarded = Forwarded::default();
    let element = split_unquoted(value, b',').0;
    let mut rest = Some(element);
    while let Some(pairs) = rest {
        let (pair, next) = split_unquoted(pairs, b';');
        rest = next;
        let Some(equals) = memchr::memchr(b'=', pair) else { continue };
        let (name, value) = pair.split_at_checked(equals).unwrap_or_default();
        let value = unquote(value.strip_prefix(b"=").unwrap_or(value).trim_ascii());
        let slot = match name.trim_ascii().to_ascii_lowercase().as_slice() {
            b"for" => &mut forwarded.client,
            b"host" => &mut forwarded.host,
            b"proto" => &mut forwarded.proto,
            _ => continue,
        };
        *slot = Some(text(value, MAX_VALUE));
    }
    forwarded
}

/// What stands before the first `separator` outside quotes, and after it.
fn split_unquoted(value: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    let mut quoted = false;
    for (index, &byte) in value.iter().enumerate() {
        if byte == b'"' {
            quoted = !quoted;
        } else if byte == separator && !quoted {
            let (before, after) = value.split_at_checked(index).unwrap_or((value, &[]));
            return (before, after.get(1..));
        }
    }
    (value, None)
}

fn unquote(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value)
}

/// The address in a node name: `192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]:80`, `2001:db8::1`. Names that hide
/// the address (`unknown`, `_x`) are none.
fn address(node: &str) -> Option<String> {
    let node = unquote_str(node);
    let bare = match node.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next()?,
        None => match node.rsplit_once(':') {
            Some((host, _)) if !host.contains(':') => host,
            _ => node,
        },
    };
    bare.parse::<IpAddr>().ok().map(|address| address.to_string())
}

fn unquote_str(value: &str) -> &str {
    value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(fields: &[(&str, &str)]) -> Forwarded {
        let mut forwarded = ForwardedFields::default();
        for (name, value) in fields {
            forwarded.field(name.as_bytes(), value.as_bytes());
        }
        forwarded.resolve()
    }

    #[test]
    fn the_standard_comes_first() {
        let forwarded = resolve(&[
            ("X-Forwarded-For", "203.0.113.9, 10.0.0.1"),
            ("X-Forwarded-Host", "shop.example"),
            ("Forwarded", "For=\"[2001:db8:cafe::17]:4711\";proto=HTTPS;by=\"a,b;c\", for=192.0.2.43"),
        ]);
        assert_eq!(forwarded.client.as_deref(), Some("2001:db8:cafe::17"));
        assert_eq!(forwarded.host.as_deref(), Some("shop.example"));
        assert_eq!(forwarded.proto.as_deref(), Some("https"));
    }

    #[test]
    fn hidden_clients_are_not_addresses() {
        assert_eq!(resolve(&[("forwarded", "for=_hidden")]).client, None);
        assert_eq!(resolve(&[("X-Forwarded-For", "unknown, 10.0.0.1")]).client, None);
        assert_eq!(resolve(&[("X-Forwarded-For", "10.1.2.3:5000")]).client.as_deref(), Some("10.1.2.3"));
        assert_eq!(resolve(&[("X-Forwarded-For", "2001:db8::1")]).client.as_deref(), Some("2001:db8::1"));
        assert_eq!(resolve(&[("x-forwarded-proto", "gopher")]).proto, None);
    }
}
