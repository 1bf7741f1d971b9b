//! What the first bytes of a call give away.

/// Whether these begin a run of many small messages, of which each boundary matters: commands or replies of Redis
/// (<https://redis.io/docs/latest/develop/reference/protocol-spec/>), or a result set of MySQL
/// (<https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query_response_text_resultset.html>), compressed
/// or not; or a request of MySQL that may be compressed.
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
        // gzip's mark, a method and no flags: a body, which the next rule would take.
        [0x1f, 0x8b, 8, 0] => false,
        // A request's first packet, of 256 bytes to 1 MiB: no text has a zero there. What is compressed is of no use
        // where bytes are missing.
        [_, middle, high @ ..=0x0f, 0] => middle != 0 || high != 0,
        // zlib (RFC 1950 2.2): servers read a compressed packet's header by a call of its own.
        [0x78, 0x01 | 0x9c | 0xda, ..] => true,
        _ => false,
    }
}

/// Whether these, the first bytes of a connection, begin a command of Redis: each boundary will matter, also in long
/// calls that begin within a value.
#[must_use]
pub const fn begins_commands(start: [u8; 4]) -> bool {
    matches!(start, [b'*', b'1'..=b'9', b'\r', b'\n'] | [b'*', b'1'..=b'9', b'0'..=b'9', b'\r'])
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
            b"\x39\x20\x00\x00",
            b"\x00\x00\x0f\x00",
            b"x\x9c%\xdb",
        ] {
            assert!(holds_many_messages(*start), "{start:?}");
        }
        for start in [b"GET ", b"HTTP", b"--bo", b"<!DO", b"+abc", b"* it", b"$a=1", b"x^2 "] {
            assert!(!holds_many_messages(*start), "{start:?}");
        }
        // A short packet, numbers of two bytes or more, gzip.
        for start in [[1, 0, 0, 0], [0; 4], [1, 0, 2, 0x10], [0, 0, 0x10, 0], *b"\x1f\x8b\x08\x00"] {
            assert!(!holds_many_messages(start), "{start:?}");
        }
    }

    #[test]
    fn the_first_command_is_told_from_text() {
        assert!(begins_commands(*b"*2\r\n") && begins_commands(*b"*12\r"));
        for start in [b"*0\r\n", b"* OK", b"*123", b"GET ", b"+OK\r", b"$3\r\n"] {
            assert!(!begins_commands(*start), "{start:?}");
        }
    }
}
