//! SQL text: any text, whole or truncated.

use tracer::span::sql::{Backslashes, MAX_SUMMARY, Statement};

use crate::recordings;

/// The first byte says how the text is to be read; the rest is the text.
pub(crate) fn run(input: &[u8]) {
    let Some((&first, rest)) = input.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    let backslashes = match first & 6 {
        0 => Backslashes::Escape,
        2 => Backslashes::Literal,
        _ => Backslashes::Unknown,
    };
    let statement = Statement { text: &text, truncated: first & 1 != 0, backslashes };
    let read = statement.read();
    let shown = read.sanitise();
    // A `?` for every value, which has a character at least, and `, ...` for rows, each of which has three.
    let most = |text: &str| 2 * text.len() + 8;
    assert!(shown.len() <= most(&text), "{} bytes became {}", text.len(), shown.len());
    let digits = shown.bytes().filter(u8::is_ascii_digit).count();
    assert!(digits <= text.bytes().filter(u8::is_ascii_digit).count());
    assert!(read.summary().chars().count() <= MAX_SUMMARY);
    let _ = read.has_placeholder();
    let masked = read.mask();
    assert!(masked.len() <= most(&text), "{} bytes became {}", text.len(), masked.len());
    let again = Statement { text: &shown, ..statement };
    assert!(again.read().sanitise().len() <= most(&shown));
    // In text that is not UTF-8 a backslash may be half a character: how it was meant cannot be told.
    if !text.contains(char::REPLACEMENT_CHARACTER) {
        hides(&text);
    }
}

/// Whatever a value is, nothing of it is shown, and all around it is.
fn hides(value: &str) {
    for quote in ['\'', '"'] {
        let doubled = value.replace('\\', "\\\\").replace(quote, &format!("{quote}{quote}"));
        let escaped = value.replace('\\', "\\\\").replace(quote, &format!("\\{quote}"));
        for literal in [doubled, escaped] {
            let text =
                format!("SELECT a FROM t WHERE b = {quote}{literal}{quote} AND c = -12.5e3 LIMIT 0x1F");
            assert_eq!(
                Statement::new(&text).read().sanitise(),
                "SELECT a FROM t WHERE b = ? AND c = ? LIMIT ?",
                "{text:?}"
            );
            let masked = "SELECT a FROM t WHERE b = ? AND c = -12.5e3 LIMIT 0x1F";
            assert_eq!(Statement::new(&text).read().mask(), masked, "{text:?}");
        }
    }
}

const TEXTS: &[&str] = &[
    "SELECT `a`.b, \"x\", 'it''s', 0x1F, 1.5e-3, _utf8'x' FROM t JOIN u USING (id) WHERE a IN (1, 2, 3) -- end",
    "INSERT INTO t (a, b) VALUES (1, 'x'), (2, 'y\\'z') ON DUPLICATE KEY UPDATE a = VALUES(a) # more",
    "/*!50003 CREATE PROCEDURE p() */ CALL db.p(@x, ?); UPDATE t SET a = NULL WHERE b = b'01' LIMIT 5",
    "WITH c AS (SELECT 1) SELECT * FROM c UNION ALL SELECT x'ff', N'n', DATE '2026-01-01' /* c */",
    "SET autocommit=0;BEGIN;COMMIT;USE `my db`;SHOW TABLES;PREPARE s FROM 'SELECT ?';EXECUTE s USING @a",
    "LOAD DATA LOCAL INFILE '/tmp/x' INTO TABLE t FIELDS TERMINATED BY ','",
];

/// Statements, and those that clients of the recordings sent.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let sent = recordings::mysql().into_iter().flatten().filter_map(|(_, bytes)| match bytes.get(4..) {
        Some([3 | 0x16, text @ ..]) if text.len() > 8 => Some(text.to_vec()),
        _ => None,
    });
    let texts = TEXTS.iter().map(|text| text.as_bytes().to_vec());
    texts.chain(sent).map(|text| [vec![0], text].concat()).collect()
}
