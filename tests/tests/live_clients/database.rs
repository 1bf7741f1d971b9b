//! A MariaDB with something in it.

use std::process::Command;

use xtask::testbed::{MariaDb, RunDirectory};

use super::client::tool;

/// The account of the test backend, and its database.
pub const USER: &str = "jiwoo";
pub const PASSWORD: &str = "planted-db-password";
pub const DATABASE: &str = "jiwoo";

/// Rows of `items`, numbered from 1; `many` has [`MANY`].
pub const ITEMS: u64 = 300;
pub const MANY: u64 = 100_000;

/// Starts a server and fills it.
pub fn start(directory: &RunDirectory) -> MariaDb {
    let mariadb = MariaDb::start(directory).unwrap();
    let script = format!(
        "CREATE TABLE items (id INT PRIMARY KEY, name VARCHAR(64) NOT NULL);
         INSERT INTO items SELECT seq, CONCAT('item ', seq) FROM seq_1_to_{ITEMS};
         CREATE TABLE many (id INT PRIMARY KEY, name VARCHAR(64) NOT NULL);
         INSERT INTO many SELECT seq, CONCAT('one of many ', seq) FROM seq_1_to_{MANY};
         CREATE TABLE notes (id INT AUTO_INCREMENT PRIMARY KEY, body TEXT NOT NULL, size INT NOT NULL);"
    );
    let status = tool("mariadb", &[]).args(login(&mariadb)).arg("-e").arg(script).status().unwrap();
    assert!(status.success(), "the database cannot be filled");
    mariadb
}

/// The command-line client's arguments.
pub fn login(mariadb: &MariaDb) -> Vec<String> {
    let port = format!("--port={}", mariadb.port());
    let password = format!("--password={PASSWORD}");
    let user = format!("--user={USER}");
    let words = [
        "--no-defaults",
        "--host=127.0.0.1",
        "--protocol=tcp",
        "--skip-ssl",
        &port,
        &user,
        &password,
        DATABASE,
    ];
    words.map(str::to_owned).to_vec()
}

/// Tells a client program where the database is.
pub fn reach(command: &mut Command, mariadb: &MariaDb) {
    command.env("DB_PORT", mariadb.port().to_string());
    command.env("DB_USER", USER).env("DB_PASSWORD", PASSWORD).env("DB_NAME", DATABASE);
}
