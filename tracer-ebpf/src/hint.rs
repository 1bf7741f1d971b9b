//! What the first bytes of a call give away.

/// Whether these begin a run of many small messages, of which each boundary matters: commands or replies of Redis
/// (<https://redis.io/docs/latest/develop/reference/protocol-spec/>), or a result set of MySQL
/// (<https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query_response_text_resultset.html>), compressed
/// or not.
///
/// Asked only of calls that are longer than the ordinary window, before user space has said what the connection wants:
/// its wish comes too late for what follows within milliseconds. A wrong yes costs some copying.
#[must_use]
pub const fn holds_many_messages(start: [u8; 4]) -> bool {
    match start {
        // An aggregate or a string with its length, or a number.
        [b'*' | b'$' | b'%' | b'~' | b'>' | b':', b'0'..=b'9', ..] => true,
        // `+OK`, `+PONG`, `+QUEUED`.
        [b'+', b'O' | b'P' | b'Q', ..] => true,
        // An answer's first packet, of less than 64 KiB, with sequence number 1: of one byte, the number of columns; or a
        // larger one, as in the compressed protocol.
        [_, _, 0, 1] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_messages_are_told_from_other_bytes() {
        for start in [
            b"*3\r\n",
            b"$200",
            b"+OK\r",
            b"+QUE",
            b":100",
            b"%7\r\n",
            b"\x01\x00\x00\x01",
            b"\x39\x20\x00\x01",
        ] {
            assert!(holds_many_messages(*start), "{start:?}");
        }
        for start in [b"GET ", b"HTTP", b"--bo", b"<!DO", b"+abc", b"* it", b"\x01\x00\x00\x00", b"$a=1"] {
            assert!(!holds_many_messages(*start), "{start:?}");
        }
    }
}
