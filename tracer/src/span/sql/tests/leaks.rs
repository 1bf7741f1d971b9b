//! No value is shown, wherever the text is cut and however it is read.

use super::*;

const SECRET: &str = "S3cr3t";

/// Statements with the secret as every kind of value.
const PLANTED: &[&str] = &[
    "INSERT INTO t (a, b) VALUES ('S3cr3t', \"S3cr3t\"), ('x', 'S3cr3t') ON DUPLICATE KEY UPDATE a = 'S3cr3t'",
    "SELECT * FROM t WHERE a IN ('S3cr3t', -1, 'it''s S3cr3t', 'it\\'s S3cr3t', N'S3cr3t', _utf8'S3cr3t')",
    "UPDATE `t` SET a = x'S3cr3t', b = 'é\\\\', c = '\u{fffd}S3cr3t' /* S3cr3t */ WHERE d = \"\"\"S3cr3t\" -- S3cr3t",
    "SET PASSWORD FOR 'u'@'S3cr3t' = PASSWORD('S3cr3t'); /*!40101 SELECT 'S3cr3t' */ # S3cr3t\nSELECT 'S3cr3t'",
];

#[test]
fn no_literal_leaks_wherever_the_text_is_cut() {
    for query in PLANTED {
        for end in (0..=query.len()).filter(|end| query.is_char_boundary(*end)) {
            for truncated in [false, true] {
                let statement = Statement { truncated, ..Statement::new(&query[..end]) }.read();
                let (text, words) = (statement.sanitise(), statement.summary());
                for shown in [&text, &words] {
                    // Any four characters of the secret would be too many.
                    let leaks = (0..=SECRET.len() - 4).any(|at| shown.contains(&SECRET[at..at + 4]));
                    assert!(!leaks, "{shown:?} from {:?}", &query[..end]);
                }
            }
        }
    }
}

#[test]
fn a_name_that_begins_with_a_dollar_may_be_a_string() {
    let cases = [
        (
            "CREATE FUNCTION f() RETURNS INT LANGUAGE JAVASCRIPT AS $$ return 'S3cr3t' $$",
            "CREATE FUNCTION f() RETURNS INT LANGUAGE JAVASCRIPT AS ?",
        ),
        ("SELECT $$S3cr3t$$, 1 FROM t", "SELECT ?, ? FROM t"),
        ("SELECT $tag$S3cr3t$tag$, 1", "SELECT ?, ?"),
        ("SELECT $tag$ S3cr3t", "SELECT ?"),
        ("SELECT $a, b$c FROM $t", "SELECT $a, b$c FROM $t"),
    ];
    for (query, text) in cases {
        assert_eq!(sanitise(query), text);
    }
}

#[test]
fn executable_comments_may_be_executed_or_not() {
    let cases = [
        ("/*!40101 SET a = 'S3cr3t' */; SELECT 'S3cr3t'", "/*!40101 SET a = ? */; SELECT ?"),
        ("/*M!100100 SET a = 1 */", "/*M!100100 SET a = ? */"),
        // A server of another version takes the quote for a comment's, and the string begins behind it.
        ("/*!99999 it's */ SELECT 'S3cr3t'", "?"),
        ("SELECT /*!50000 1 -- */ 'S3cr3t'\n */, 2", "SELECT ?"),
        ("SELECT /*! a /* b */ c */ FROM t", "SELECT ?"),
    ];
    for (query, text) in cases {
        assert_eq!(sanitise(query), text);
    }
}

#[test]
fn text_in_other_character_sets_hides_more() {
    let cases: [(&[u8], &str); 4] = [
        // A backtick is the second half of a character of GBK.
        (b"SELECT \xbf`, 'S3cr3t', `a` FROM t", "SELECT ??"),
        (b"INSERT INTO `t` VALUES ('\xbf\\', 'S3cr3t')", "INSERT INTO ?"),
        // Latin-1's space that does not break, before a number.
        (b"SELECT a FROM t WHERE pin =\xa0731731", "SELECT a FROM t WHERE pin =?"),
        (b"INSERT INTO t VALUES ('\xe9', 'S3cr3t')", "INSERT INTO t VALUES (?, ?)"),
    ];
    for (query, text) in cases {
        assert_eq!(sanitise(&String::from_utf8_lossy(query)), text);
    }
}

/// Values that hold the secret, in every form; `#` stands for a place where other text may stand.
const VALUES: &[&str] = &[
    "'#S3cr3t#'",
    "\"#S3cr3t#\"",
    "N'S3cr3t'",
    "_utf8mb4'#S3cr3t'",
    "_binary \"S3cr3t\"",
    "x'S3cr3t'",
    "'' 'S3cr3t'",
    "'it''s S3cr3t'",
    "'it\\'s S3cr3t'",
    "\"a\"\"b S3cr3t\"",
    "'\\\\' 'S3cr3t\\\\'",
    "7317310",
    "-7317310",
    "0x7317310",
    "7317310.7317310",
    "+.7317310e-7317310",
    "7317310e+7317310",
    "b'7317310'",
    "DATE'S3cr3t'",
    "{ts 'S3cr3t'}",
    "@'S3cr3t'",
    "'u'@'S3cr3t'",
    "/* S3cr3t # */ 1",
    "/*+ S3cr3t */ 1",
    "-- S3cr3t #\n 1",
    "# S3cr3t '\n 1",
    "/*!40101 'S3cr3t' */",
    "/*M!100100 \"S3cr3t\" */",
    "$$ S3cr3t $$",
    "JSON_EXTRACT(`d`, '$.S3cr3t')",
    "'\u{e9}S3cr3t\u{1F600}'",
    "INTERVAL '7317310' DAY",
    "7317310--7317310",
];

/// What stands around values.
const AROUND: &[&str] = &[
    "SELECT ",
    " FROM t ",
    "INSERT INTO `t` (a, b) VALUES ",
    "(",
    ")",
    ", ",
    " = ",
    "=",
    " IN (",
    " AND ",
    " /* c */ ",
    " `x``y` ",
    " @v := ",
    " ? ",
    "; ",
    " LIKE ",
    "-",
    "+",
    " VALUES (",
    "), (",
    " BETWEEN ",
    " u.`c` ",
    "\n",
    " CALL p(",
    " SET a = ",
];

/// What may stand inside of strings and comments beside the secret.
const INSIDE: &[&str] = &["", "x", " ", ",", ";", "--", "/ *", "é", "7", "`", "?", ")"];

fn planted() -> impl Strategy<Value = String> {
    let value = (0..VALUES.len(), 0..INSIDE.len()).prop_map(|(value, inside)| {
        if VALUES[value].starts_with('#') {
            VALUES[value].to_owned()
        } else {
            VALUES[value].replace('#', INSIDE[inside])
        }
    });
    let around = (0..AROUND.len()).prop_map(|index| AROUND[index].to_owned());
    proptest::collection::vec((proptest::collection::vec(around, 1..4), value), 1..8).prop_map(|parts| {
        parts.into_iter().map(|(around, value)| around.concat() + &value).collect::<Vec<_>>().concat()
    })
}

/// Whether four characters in a row of a secret can be seen.
fn leaks(shown: &str) -> bool {
    let parts = |secret: &'static str| (0..=secret.len() - 4).map(move |at| &secret[at..at + 4]);
    parts(SECRET).chain(parts("7317310")).any(|part| shown.contains(part))
}

proptest! {
    #[test]
    fn planted_values_are_never_seen(query in planted(), cut in any::<proptest::sample::Index>(), truncated in any::<bool>(), unknown in any::<bool>()) {
        let backslashes = if unknown { Backslashes::Unknown } else { Backslashes::Escape };
        let end = cut.index(query.len() + 1);
        // Cut within a character too: what is left of it becomes a replacement character.
        let cut = String::from_utf8_lossy(&query.as_bytes()[..end]).into_owned();
        for text in [&query, &cut] {
            let statement = Statement { text, truncated, backslashes }.read();
            let (text, words) = (statement.sanitise(), statement.summary());
            prop_assert!(!leaks(&text) && !leaks(&words), "{text:?} and {words:?} of {statement:?}");
        }
    }
}
