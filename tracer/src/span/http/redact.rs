//! What must not leave the node: credentials in URLs.

use std::borrow::Cow;

/// Query keys whose values are signatures or credentials (semantic conventions, `url.full` and `url.query`);
/// case-sensitive.
const SECRET_KEYS: [&str; 7] = [
    "AWSAccessKeyId",
    "Signature",
    "X-Amz-Credential",
    "X-Amz-Security-Token",
    "X-Amz-Signature",
    "X-Goog-Signature",
    "sig",
];

/// What keys that commonly carry credentials end with, in any case, without what is no letter or digit: `api_key`,
/// `user[password]`, `csrf-token`. More than the conventions ask for.
const CREDENTIAL_ENDS: [&str; 19] = [
    "accesskey",
    "accesskeyid",
    "apikey",
    "assertion",
    "authkey",
    "codeverifier",
    "credential",
    "credentials",
    "jwt",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "pwd",
    "secret",
    "secretkey",
    "sessionid",
    "signature",
    "token",
];

/// Such keys whose ends say nothing: the whole of them, read the same way.
const CREDENTIAL_KEYS: [&str; 7] =
    ["auth", "authentication", "authorization", "pass", "phpsessid", "samlresponse", "session"];

/// Longest key that is looked at: longer ones are none.
const MAX_KEY: usize = 256;

const REDACTED: &str = "REDACTED";

fn is_secret(key: &str) -> bool {
    if SECRET_KEYS.contains(&key) {
        return true;
    }
    let word = normalised(key);
    CREDENTIAL_ENDS.iter().any(|end| word.ends_with(end)) || CREDENTIAL_KEYS.contains(&&*word)
}

/// The letters and digits of a key, in lower case, percent-encoding undone.
fn normalised(key: &str) -> String {
    let mut word = String::with_capacity(key.len());
    let mut rest = key.as_bytes();
    while let [first, after @ ..] = rest {
        let encoded = (*first == b'%').then(|| hex_byte(after)).flatten();
        rest = if encoded.is_some() { after.get(2..).unwrap_or_default() } else { after };
        let byte = encoded.unwrap_or(*first);
        if byte.is_ascii_alphanumeric() {
            word.push(char::from(byte.to_ascii_lowercase()));
        }
    }
    word
}

/// The byte that two hexadecimal digits at the front stand for.
fn hex_byte(text: &[u8]) -> Option<u8> {
    let digit = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

/// A query with the values of secret keys replaced, order and all else kept.
pub(super) fn redact_query(query: &str) -> String {
    let mut redacted = String::with_capacity(query.len());
    for (index, pair) in query.split('&').enumerate() {
        if index > 0 {
            redacted.push('&');
        }
        push_pair(&mut redacted, pair);
    }
    redacted
}

/// A path with the values of secret parameters of its segments replaced (RFC 3986 section 3.3): `/app;jsessionid=…`.
pub(super) fn redact_path(path: &str) -> Cow<'_, str> {
    if !path.contains('=') {
        return Cow::Borrowed(path);
    }
    let mut redacted = String::with_capacity(path.len());
    for (index, segment) in path.split('/').enumerate() {
        if index > 0 {
            redacted.push('/');
        }
        push_pair(&mut redacted, segment);
    }
    Cow::Owned(redacted)
}

/// Writes a pair, up to the value of the first secret key in it, which may be one of a URL in the value of another.
fn push_pair(redacted: &mut String, pair: &str) {
    match secret_value(pair).and_then(|at| pair.get(..at)) {
        Some(shown) => {
            redacted.push_str(shown);
            redacted.push_str(REDACTED);
        }
        None => redacted.push_str(pair),
    }
}

/// Where the value of the first secret key in a pair begins.
fn secret_value(pair: &str) -> Option<usize> {
    let bytes = pair.as_bytes();
    // Where a key that may still be followed by its value began.
    let mut key = Some(0);
    let mut at = 0;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let (character, length) = match rest {
            [b'%', digits @ ..] => hex_byte(digits).map_or((b'%', 1), |byte| (byte, 3)),
            [first, ..] => (*first, 1),
            [] => break,
        };
        match (character, key) {
            (b'=', Some(start)) => {
                let is_key = at - start <= MAX_KEY;
                if is_key && pair.get(start..at).is_some_and(is_secret) {
                    return Some(at + length);
                }
                key = None;
            }
            (b'?' | b'&' | b';' | b'#', _) => key = Some(at + length),
            _ => {}
        }
        at += length;
    }
    None
}

/// An authority with user and password replaced.
pub(super) fn redact_userinfo(authority: &str) -> Cow<'_, str> {
    match authority.rsplit_once('@') {
        Some((user, host)) if user.contains(':') => format!("{REDACTED}:{REDACTED}@{host}").into(),
        Some((_, host)) => format!("{REDACTED}@{host}").into(),
        None => authority.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_and_the_rest_stays() {
        assert_eq!(redact_query("a=1&sig=abc%3D&b&Sig=x&sig"), "a=1&sig=REDACTED&b&Sig=x&sig");
        assert_eq!(
            redact_query("X-Amz-Signature=a=b&&AWSAccessKeyId="),
            "X-Amz-Signature=REDACTED&&AWSAccessKeyId=REDACTED"
        );
        assert_eq!(redact_query("Token=a&tokens=b&API_KEY=c"), "Token=REDACTED&tokens=b&API_KEY=REDACTED");
        assert_eq!(redact_query(""), "");
    }

    #[test]
    fn keys_are_known_however_they_are_written() {
        for key in [
            "x-amz-signature",
            "access_token",
            "csrfToken",
            "user[password]",
            "user%5Bpassword%5D",
            "pass%77ord",
            "client.secret",
            "PHPSESSID",
            "a;token",
        ] {
            assert_eq!(redact_query(&format!("x=1&{key}=s3&y=2")), format!("x=1&{key}=REDACTED&y=2"));
        }
        for query in ["author=a", "design=b", "passenger=c", "page=2;size=3", "key=%", "sid%3=x%=", "=;=?="] {
            assert_eq!(redact_query(query), query);
        }
    }

    #[test]
    fn secrets_in_the_value_of_another_key_go_too() {
        let nested = "next=http://x/?a=1%26token=s3%26b=2&c=3";
        assert_eq!(redact_query(nested), "next=http://x/?a=1%26token=REDACTED&c=3");
        let encoded = "next=http%3A%2F%2Fx%2F%3Fa%3D1%26access_token%3Ds3&c=3";
        assert_eq!(redact_query(encoded), "next=http%3A%2F%2Fx%2F%3Fa%3D1%26access_token%3DREDACTED&c=3");
    }

    #[test]
    fn sessions_in_paths_go() {
        assert_eq!(redact_path("/a;jsessionid=1A;b=2/c;v=1.1"), "/a;jsessionid=REDACTED/c;v=1.1");
        assert_eq!(redact_path("/a/token=1/b"), "/a/token=REDACTED/b");
        assert_eq!(redact_path("/a;b/token"), "/a;b/token");
    }

    #[test]
    fn users_go() {
        assert_eq!(redact_userinfo("u:p@ss@h:1"), "REDACTED:REDACTED@h:1");
        assert_eq!(redact_userinfo("token@h"), "REDACTED@h");
        assert_eq!(redact_userinfo("h:1"), "h:1");
    }
}
