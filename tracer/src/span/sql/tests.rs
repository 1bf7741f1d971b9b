//! The conventions' published cases, cases of our own, and texts that are cut, garbled or made to leak.

mod leaks;

use proptest::prelude::*;

use super::*;

/// Name, statement, sanitised text, summary.
type Case = (&'static str, &'static str, &'static str, &'static str);

fn check(cases: &[Case]) {
    for (name, query, text, words) in cases {
        assert_eq!(sanitise(query), *text, "{name}: text of {query}");
        assert_eq!(summary(query), *words, "{name}: summary of {query}");
    }
}

/// Published cases whose text we write in another way, with our text. There is none: keep it so, or tell it in
/// README.md.
const DIFFERENT: &[(&str, &str)] = &[];

/// `key: value` lines of a block, with line breaks put back.
fn values<'a>(block: &'a str, key: &str) -> Vec<String> {
    let of_key = |line: &'a str| line.strip_prefix(key)?.strip_prefix(": ");
    block.lines().filter_map(of_key).map(|value| value.replace("\\n", "\n")).collect()
}

#[test]
fn published_cases() {
    let fixture = include_str!("fixtures/conventions.txt");
    let blocks: Vec<&str> = fixture.split("\n\n").filter(|block| block.contains("query: ")).collect();
    assert_eq!(blocks.len(), 24);
    for block in blocks {
        let [name, query, words] = ["name", "query", "summary"].map(|key| values(block, key).concat());
        let mut texts = values(block, "text");
        if let Some((_, ours)) = DIFFERENT.iter().find(|(different, _)| *different == name) {
            texts = vec![(*ours).to_owned()];
        }
        let text = sanitise(&query);
        assert!(texts.contains(&text), "{name}: {text:?} is none of {texts:?}");
        assert_eq!(summary(&query), words, "{name}");
    }
}

#[test]
fn literals() {
    check(&[
        ("integers", "SELECT 7, -7, +7", "SELECT ?, ?, ?", "SELECT"),
        ("decimal point", "SELECT 1.5, -1.5, +1.5, .5, -.5", "SELECT ?, ?, ?, ?, ?", "SELECT"),
        ("exponent", "SELECT 1.5e10, -1.5e10, +1.5e10", "SELECT ?, ?, ?", "SELECT"),
        ("negative exponent", "SELECT 1.5e-10, -1.5e-10, +1.5e-10", "SELECT ?, ?, ?", "SELECT"),
        ("arithmetic", "SELECT 3+4, 3 + 4, a+4, f(3)-4", "SELECT ??, ? + ?, a+?, f(?)-?", "SELECT"),
        ("hex", "SELECT 0xCAFE, 0Xcafe", "SELECT ?, ?", "SELECT"),
        ("string", "SELECT 'word'", "SELECT ?", "SELECT"),
        ("doubled quote", "SELECT 'it''s one string'", "SELECT ?", "SELECT"),
        ("newline in string", "SELECT 'one \n string'", "SELECT ?", "SELECT"),
        (
            "digits in names",
            "SELECT a1b, c2d FROM e3 WHERE f4g5=67",
            "SELECT a1b, c2d FROM e3 WHERE f4g5=?",
            "SELECT e3",
        ),
        ("guid", "SELECT { guid 'abcdef01-2345' }", "SELECT { guid ? }", "SELECT"),
        ("parentheses", "SELECT ((12)) AS n, ABS((-3));", "SELECT ((?)) AS n, ABS((?));", "SELECT"),
        ("cast", "SELECT CAST((12) AS INT);", "SELECT CAST((?) AS INT);", "SELECT"),
        (
            "between",
            "SELECT * FROM t WHERE n BETWEEN (1) AND (2) OR m = COALESCE((3), 0);",
            "SELECT * FROM t WHERE n BETWEEN (?) AND (?) OR m = COALESCE((?), ?);",
            "SELECT t",
        ),
    ]);
}

#[test]
fn lists_and_comments() {
    check(&[
        (
            "in",
            "SELECT * FROM table WHERE v IN (1, 2, 'c')",
            "SELECT * FROM table WHERE v IN (?)",
            "SELECT table",
        ),
        (
            "in, signed",
            "SELECT * FROM t WHERE v IN (-1, .2, 'c', 1e3)",
            "SELECT * FROM t WHERE v IN (?)",
            "SELECT t",
        ),
        ("in, hex", "SELECT * FROM t WHERE v IN (0xA, .2)", "SELECT * FROM t WHERE v IN (?)", "SELECT t"),
        (
            "in, malformed",
            "SELECT * FROM t WHERE v IN ('c', 0xA, .2,",
            "SELECT * FROM t WHERE v IN (?, ?, ?,",
            "SELECT t",
        ),
        (
            "comments",
            "SELECT c -- to the end\nFROM /* two \n lines */ table",
            "SELECT c \nFROM  table",
            "SELECT table",
        ),
    ]);
}

#[test]
fn targets() {
    let joined = "SELECT x.a FROM one x JOIN two y ON x.a = y.a JOIN three z ON y.b = z.b GROUP BY x.a, y.b";
    let nested = "SELECt d\nFROM   (sELECT *\nFROM   one o\nJOIN two c\nON o.i = c.i)";
    check(&[
        (
            "periods",
            "SELECT a FROM s.Tab JOIN s.Other",
            "SELECT a FROM s.Tab JOIN s.Other",
            "SELECT s.Tab s.Other",
        ),
        ("insert", "INSERT INTO Y VALUES(1, 2.5, 3+4)", "INSERT INTO Y VALUES(?, ?, ??)", "INSERT Y"),
        (
            "insert select",
            "INSERT INTO one\n(a,\nb)\nSELECT a,\nb\nFROM   two\nWHERE  a = 1",
            "INSERT INTO one\n(a,\nb)\nSELECT a,\nb\nFROM   two\nWHERE  a = ?",
            "INSERT one SELECT two",
        ),
        ("nested, case kept", nested, nested, "SELECt sELECT one two"),
        ("cross join", "SELECT * FROM A a CROSS JOIN B b", "SELECT * FROM A a CROSS JOIN B b", "SELECT A B"),
        ("comma join", "SELECT * FROM A a, B b", "SELECT * FROM A a, B b", "SELECT A B"),
        ("keyword prefix", "SELECT * FROM Selection", "SELECT * FROM Selection", "SELECT Selection"),
        ("distinct", "SELECT DISTINCT a FROM B", "SELECT DISTINCT a FROM B", "SELECT B"),
        ("joins and group", joined, joined, "SELECT one two three"),
        (
            "window",
            "SELECT a, COUNT(*) OVER (PARTITION BY a) AS n FROM B;",
            "SELECT a, COUNT(*) OVER (PARTITION BY a) AS n FROM B;",
            "SELECT B",
        ),
        (
            "union",
            "SELECT a FROM B UNION SELECT a FROM C ORDER BY a",
            "SELECT a FROM B UNION SELECT a FROM C ORDER BY a",
            "SELECT B C",
        ),
        ("update", "UPDATE T SET a = (9);", "UPDATE T SET a = (?);", "UPDATE T"),
        ("exec", "EXEC proc_name 'a', 'b';", "EXEC proc_name ?, ?;", "EXEC proc_name"),
    ]);
}

#[test]
fn definitions() {
    for (query, words) in [
        ("CREATE  TABLE T1 (\n id INT\n)", "CREATE TABLE T1"),
        ("CREATE TABLE IF NOT EXISTS T1 (id INT, name NVARCHAR(9));", "CREATE TABLE T1"),
        ("CREATE TABLE Table (name VARCHAR(9))", "CREATE TABLE Table"),
        ("ALTER  TABLE T1 ADD name varchar(9)", "ALTER TABLE T1"),
        ("ALTER TABLE T1 RENAME COLUMN a TO b;", "ALTER TABLE T1"),
        ("ALTER  TABLE T1 'secret' ADD 12 name varchar(9)", "ALTER TABLE T1"),
        ("DROP  TABLE T1", "DROP TABLE T1"),
        ("CREATE UNIQUE CLUSTERED INDEX ix ON T1 (a);", "CREATE INDEX ix"),
        ("CREATE VIEW v AS SELECT * FROM t WHERE a = 1;", "CREATE VIEW v"),
        ("CREATE PROCEDURE p @a INT AS SELECT * FROM t WHERE a = @a;", "CREATE PROCEDURE p"),
        ("CREATE TRIGGER g ON t AFTER UPDATE AS BEGIN UPDATE t SET a = NOW(); END;", "CREATE TRIGGER g"),
        ("DROP TRIGGER IF EXISTS g;", "DROP TRIGGER g"),
        ("CREATE DATABASE d;", "CREATE DATABASE d"),
        ("DROP SCHEMA IF EXISTS s;", "DROP SCHEMA s"),
        ("CREATE SEQUENCE s START WITH 1 INCREMENT BY 1;", "CREATE SEQUENCE s"),
        ("CREATE FUNCTION s.f(@a INT) RETURNS INT AS BEGIN RETURN @a + 1; END;", "CREATE FUNCTION s.f"),
        ("CREATE USER u WITH PASSWORD = 'secret';", "CREATE USER u"),
        ("DROP ROLE IF EXISTS r;", "DROP ROLE r"),
    ] {
        // What follows a `;` inside a body is of no interest here.
        let first = summary(query);
        assert!(first == words || first.starts_with(&format!("{words} ")), "{query}: {first}");
        assert!(!sanitise(query).contains("secret") && !sanitise(query).contains('9'), "{query}");
    }
}

#[test]
fn summaries_are_limited() {
    let long = "x".repeat(250);
    assert_eq!(summary(&format!("SELECT * FROM {long} o, other")), "SELECT");
    let fits = "x".repeat(MAX_SUMMARY - "SELECT ".len());
    assert_eq!(summary(&format!("SELECT * FROM {fits}")).chars().count(), MAX_SUMMARY);
    assert_eq!(summary(&format!("SELECT * FROM é{}", "x".repeat(247))).chars().count(), MAX_SUMMARY);
}

#[test]
fn statements_of_applications() {
    check(&[
        ("commit", "COMMIT", "COMMIT", "COMMIT"),
        ("set names", "SET NAMES utf8mb4", "SET NAMES utf8mb4", "SET"),
        ("set", "SET AUTOCOMMIT = 0", "SET AUTOCOMMIT = ?", "SET"),
        ("call", "CALL shop.two(1, 'x')", "CALL shop.two(?, ?)", "CALL shop.two"),
        ("use", "USE `my db`", "USE `my db`", "USE `my db`"),
        ("start", "START TRANSACTION READ ONLY", "START TRANSACTION READ ONLY", "START TRANSACTION"),
        ("show", "SHOW FULL TABLES FROM d", "SHOW FULL TABLES FROM d", "SHOW TABLES"),
        ("truncate", "TRUNCATE TABLE `t`", "TRUNCATE TABLE `t`", "TRUNCATE TABLE t"),
        ("explain", "EXPLAIN SELECT * FROM t", "EXPLAIN SELECT * FROM t", "EXPLAIN SELECT t"),
        ("executed comment", "/*!40101 SET NAMES utf8 */", "/*!40101 SET NAMES utf8 */", "SET"),
        ("hint", "SELECT /*+ NO_ICP(t) */ a FROM t", "SELECT  a FROM t", "SELECT t"),
        (
            "several",
            "UPDATE t SET a = 1; DELETE FROM u",
            "UPDATE t SET a = ?; DELETE FROM u",
            "UPDATE t DELETE u",
        ),
        ("unknown", "xyzzy 12 foo", "xyzzy ? foo", ""),
        (
            "load",
            "LOAD DATA LOCAL INFILE '/f' INTO TABLE t",
            "LOAD DATA LOCAL INFILE ? INTO TABLE t",
            "LOAD DATA t",
        ),
        ("partition", "SELECT a FROM t PARTITION (p0), u", "SELECT a FROM t PARTITION (p0), u", "SELECT t u"),
        (
            "rows",
            "INSERT INTO `messages` (a) VALUES (1,'x'),(2,'y') ON DUPLICATE KEY UPDATE a=VALUES(a), b=VALUES(b)",
            "INSERT INTO `messages` (a) VALUES (?,?), ... ON DUPLICATE KEY UPDATE a=VALUES(a), b=VALUES(b)",
            "INSERT messages",
        ),
        (
            "common table expression",
            "WITH c AS (SELECT a FROM x WHERE b=1) DELETE FROM y WHERE a IN (SELECT a FROM c)",
            "WITH c AS (SELECT a FROM x WHERE b=?) DELETE FROM y WHERE a IN (SELECT a FROM c)",
            "SELECT x DELETE y SELECT c",
        ),
        (
            "subqueries",
            "SELECT EXTRACT(YEAR FROM d), (SELECT max(x) FROM u) FROM `s`.`t` AS q, v ORDER BY c, d FOR UPDATE",
            "SELECT EXTRACT(YEAR FROM d), (SELECT max(x) FROM u) FROM `s`.`t` AS q, v ORDER BY c, d FOR UPDATE",
            "SELECT SELECT u s.t v",
        ),
        (
            "joined parentheses",
            "SELECT * FROM a LEFT JOIN (b CROSS JOIN c) ON a.x=b.x, d",
            "SELECT * FROM a LEFT JOIN (b CROSS JOIN c) ON a.x=b.x, d",
            "SELECT a b c d",
        ),
    ]);
}

#[test]
fn every_kind_of_literal() {
    let query = r#"SELECT 'a', "b", 'c\'d', "e""f", _utf8mb4'g', _latin1 'h', N'i', x'4A', b'01', 0xFF, 0b1, 1e-5, .5, 'k' 'l'"#;
    assert_eq!(sanitise(query), "SELECT ?, ?, ?, ?, ?, _latin1 ?, ?, ?, ?, ?, ?, ?, ?, ? ?");
    assert_eq!(
        sanitise("SELECT a-1, a - 1, (a)-1, @x-1, -1, 2--1"),
        "SELECT a-?, a - ?, (a)-?, @x-?, ?, ?-?"
    );
    assert_eq!(sanitise("ALTER USER 'bob'@'%' IDENTIFIED BY 'pw'"), "ALTER USER ?@? IDENTIFIED BY ?");
    assert_eq!(sanitise("SELECT `a'b`, c FROM `x``y` WHERE d='e'"), "SELECT `a'b`, c FROM `x``y` WHERE d=?");
    assert_eq!(sanitise("SELECT/**/1/*x*/FROM/**/t#end"), "SELECT ? FROM t");
}

#[test]
fn backslashes_follow_the_session() {
    let query = r"INSERT INTO t VALUES ('a\', 'secret')";
    let with = |text, backslashes| Statement { backslashes, ..Statement::new(text) }.read().sanitise();
    assert_eq!(with(query, Backslashes::Literal), "INSERT INTO t VALUES (?, ?)");
    // Read with escapes, this one ends well, but shows what is a value in the other mode.
    let balanced = r"INSERT INTO t VALUES ('\', 'a\', 'secret', '\')";
    assert_eq!(with(balanced, Backslashes::Unknown), "INSERT INTO t VALUES (?");
    assert_eq!(
        with(r"INSERT INTO t VALUES ('a\nb', 'c')", Backslashes::Unknown),
        "INSERT INTO t VALUES (?, ?)"
    );
    // Nobody said which mode it is, but read with escapes the text would end inside a string.
    assert_eq!(sanitise(query), "INSERT INTO t VALUES (?");
}

#[test]
fn a_backslash_within_a_character_escapes_nothing() {
    let gbk = b"INSERT INTO t VALUES ('\xbf\\', 'secret', 'b')";
    assert_eq!(sanitise(&String::from_utf8_lossy(gbk)), "INSERT INTO t VALUES (?");
    assert_eq!(sanitise("INSERT INTO t VALUES ('é\\', 'b')"), "INSERT INTO t VALUES (?");
    let bytes = b"INSERT INTO t VALUES (_binary'\xff\x00', 'b')";
    assert_eq!(
        sanitise(&String::from_utf8_lossy(bytes)),
        "INSERT INTO t VALUES (?, ?)",
        "no backslash, no doubt"
    );
}

#[test]
fn a_cut_name_is_not_a_target() {
    let cut = |text| Statement { truncated: true, ..Statement::new(text) }.read().summary();
    assert_eq!(cut("SELECT * FROM shop.mess"), "SELECT");
    assert_eq!(cut("SELECT * FROM mess"), "SELECT");
    assert_eq!(cut("SELECT * FROM messages W"), "SELECT messages");
}

proptest! {
    #[test]
    fn strings_never_leak(value in "[a-zA-Z0-9 ,()'\"\\\\;#*/-]{0,40}", double in any::<bool>(), cut in 0..100_usize) {
        let quote = if double { '"' } else { '\'' };
        let mut escaped = String::new();
        for c in value.chars() {
            if c == '\\' || c == quote {
                escaped.push('\\');
            }
            escaped.push(c);
        }
        let query = format!("SELECT a FROM t WHERE b = {quote}{escaped}{quote} AND c = 1");
        prop_assert_eq!(sanitise(&query), "SELECT a FROM t WHERE b = ? AND c = ?");
        let cut = cut.min(query.len());
        let statement = Statement { truncated: true, ..Statement::new(&query[..cut]) }.read();
        prop_assert!("SELECT a FROM t WHERE b = ? AND c = ?".starts_with(&statement.sanitise()));
    }

    #[test]
    fn any_text_is_read_to_its_end(text in any::<String>(), truncated in any::<bool>(), literal in any::<bool>()) {
        let backslashes = if literal { Backslashes::Literal } else { Backslashes::Unknown };
        let statement = Statement { text: &text, truncated, backslashes }.read();
        let whole: String = statement.tokens.iter().map(|token| token.text).collect();
        prop_assert_eq!(whole, text.clone());
        let _ = statement.sanitise();
        prop_assert!(statement.summary().chars().count() <= MAX_SUMMARY);
    }

    #[test]
    fn sql_like_text_does_not_panic(parts in proptest::collection::vec(
        prop_oneof!["[a-z]{1,3}", Just("SELECT ".to_owned()), Just(" FROM ".to_owned()), Just("(".to_owned()),
            Just(")".to_owned()), Just(",".to_owned()), Just("'".to_owned()), Just("/*!".to_owned()),
            Just("*/".to_owned()), Just(" VALUES ".to_owned()), Just(" IN ".to_owned()), Just("1".to_owned()),
            Just(".".to_owned()), Just("`".to_owned()), Just(";".to_owned()), Just("@".to_owned())], 0..60)) {
        let text = parts.concat();
        let _ = sanitise(&text);
        prop_assert!(summary(&text).chars().count() <= MAX_SUMMARY);
    }
}
