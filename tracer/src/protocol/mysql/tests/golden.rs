//! Captured conversations and what they must tell, whole and cut at every point.

use super::*;

pub(in super::super) const PYMYSQL: &str = include_str!("../fixtures/pymysql.txt");
const FIXTURES: &[(&str, &[&str])] = &[
    (PYMYSQL, &[]),
    (include_str!("../fixtures/login_refused.txt"), &[]),
    (include_str!("../fixtures/login_no_database.txt"), &[]),
    (include_str!("../fixtures/local_infile.txt"), &[]),
    (include_str!("../fixtures/multi.txt"), &[]),
    (include_str!("../fixtures/prepared_eof.txt"), &[]),
    (include_str!("../fixtures/prepared_no_eof.txt"), &[]),
    (include_str!("../fixtures/commands.txt"), &[]),
    (include_str!("../fixtures/commands_no_eof.txt"), &[]),
    (include_str!("../fixtures/mariadb.txt"), &[]),
    (include_str!("../fixtures/cli.txt"), &[]),
    (include_str!("../fixtures/cli_compress.txt"), &[]),
];

#[test]
fn dump() {
    for (text, _) in FIXTURES {
        let steps = fixture(text);
        println!("{}", text.lines().next().unwrap());
        for line in lines(&play(&steps, true)) {
            println!("   {line:?},");
        }
    }
    panic!();
}
