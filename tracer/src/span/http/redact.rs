//! What must not leave the node: credentials in URLs.

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

/// Query keys that commonly carry credentials, in any case: more than the conventions ask for.
const CREDENTIAL_KEYS: [&str; 16] = [
    "access_token",
    "api-key",
    "api_key",
    "apikey",
    "client_secret",
    "id_token",
    "jwt",
    "passphrase",
    "passwd",
    "password",
    "pwd",
    "refresh_token",
    "secret",
    "session_token",
    "sessionid",
    "token",
];

const REDACTED: &str = "REDACTED";

fn is_secret(key: &str) -> bool {
    SECRET_KEYS.contains(&key) || CREDENTIAL_KEYS.iter().any(|known| known.eq_ignore_ascii_case(key))
}

/// A query with the values of secret keys replaced, order and all else kept.
pub(super) fn redact_query(query: &str) -> String {
    let mut redacted = String::with_capacity(query.len());
    for (index, pair) in query.split('&').enumerate() {
        if index > 0 {
            redacted.push('&');
        }
        match pair.split_once('=') {
            Some((key, _)) if is_secret(key) => {
                redacted.push_str(key);
                redacted.push('=');
                redacted.push_str(REDACTED);
            }
            _ => redacted.push_str(pair),
        }
    }
    redacted
}

/// An authority with user and password replaced.
pub(super) fn redact_userinfo(authority: &str) -> String {
    match authority.rsplit_once('@') {
        Some((user, host)) if user.contains(':') => format!("{REDACTED}:{REDACTED}@{host}"),
        Some((_, host)) => format!("{REDACTED}@{host}"),
        None => authority.to_owned(),
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
    fn users_go() {
        assert_eq!(redact_userinfo("u:p@ss@h:1"), "REDACTED:REDACTED@h:1");
        assert_eq!(redact_userinfo("token@h"), "REDACTED@h");
        assert_eq!(redact_userinfo("h:1"), "h:1");
    }
}
