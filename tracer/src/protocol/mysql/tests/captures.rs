//! Captures of real clients and servers, and what they must tell.

/// A capture, and its exchanges in the order in which they end: `*` marks prepared text.
pub(super) type Golden = (&'static str, &'static [&'static str]);

const PYMYSQL: &[&str] = &[
    "QUERY [SET NAMES utf8mb4] in shop",
    "QUERY [SET AUTOCOMMIT = 0] in shop",
    "QUERY [INSERT INTO messages (body) VALUES ('it\\'s a planted-secret')] in shop affected=1",
    "QUERY [COMMIT] in shop",
    "QUERY [SELECT id, name FROM items WHERE id <= 3 ORDER BY id] in shop rows=3",
    "QUERY [SELECT * FROM missing WHERE x='planted-secret'] in shop error=1146/42S02",
    "QUERY [USE mysql] in shop",
    "PING in mysql",
    "INIT_DB in shop",
    "QUERY [DELETE FROM items WHERE id > 100] in shop",
    "QUERY [SELECT id FROM items WHERE id > 100] in shop rows=0",
];

const LOGIN_REFUSED: &[&str] = &["CONNECT in shop error=1045/28000"];

const LOGIN_NO_DATABASE: &[&str] = &["CONNECT in nowhere error=1049/42000"];

const LOCAL_INFILE: &[&str] = &[
    "QUERY [SET NAMES utf8mb4] in shop",
    "QUERY [SET AUTOCOMMIT = 0] in shop",
    "QUERY [LOAD DATA LOCAL INFILE '/tmp/tmpc3vwo37z.csv' INTO TABLE items] in shop affected=100",
    "QUERY [DELETE FROM items WHERE id>=1000] in shop affected=100",
    "QUERY [ROLLBACK] in shop",
];

const MULTI: &[&str] = &[
    "QUERY [SET NAMES utf8mb4] in shop",
    "QUERY [SET AUTOCOMMIT = 0] in shop",
    "QUERY [SELECT 1; INSERT INTO messages (body) VALUES ('a'),('b'); SELECT 2 UNION SELECT 3] in shop rows=3 affected=2",
    "QUERY [CALL two()] in shop rows=5",
    "QUERY [SELECT boom(id) FROM items ORDER BY id] in shop rows=2 error=3333/45000",
    "QUERY [COMMIT] in shop",
];

const PREPARED: &[&str] = &[
    "PREPARE *[SELECT id, name FROM items WHERE id >= ?] in shop",
    "EXECUTE *[SELECT id, name FROM items WHERE id >= ?] in shop rows=2",
    "STMT_RESET in shop",
    "EXECUTE *[SELECT id, name FROM items WHERE id >= ?] in shop",
    "FETCH in shop rows=2",
    "FETCH in shop rows=1",
    "QUERY [SELECT 1] in shop rows=1",
    "PREPARE *[INSERT INTO messages (body) VALUES (?)] in shop",
    "EXECUTE *[INSERT INTO messages (body) VALUES (?)] in shop affected=1",
    "PREPARE *[COMMIT] in shop",
    "EXECUTE *[COMMIT] in shop",
    "PREPARE *[SELECT nonsense FROM] in shop error=1064/42000",
    "EXECUTE in shop error=1243/HY000",
];

const COMMANDS: &[&str] = &[
    "PING in shop",
    "STATISTICS in shop",
    "INIT_DB in mysql",
    "QUERY [SELECT id FROM shop.items] in mysql rows=3",
    "FIELD_LIST in mysql error=1146/42S02",
    "FIELD_LIST in mysql error=1146/42S02",
    "INIT_DB in shop",
    "FIELD_LIST in shop",
    "SET_OPTION in shop",
    "PROCESS_KILL in shop error=1094/HY000",
    "RESET_CONNECTION in shop",
    "PROCESS_INFO in shop rows=3",
    "DEBUG in shop",
    "QUERY [USE mysql] in shop",
    "QUERY [CALL shop.two()] in mysql rows=5",
    "QUERY [SELECT boom(id) FROM shop.items ORDER BY id] in mysql error=1305/42000",
    "QUERY [SELECT shop.boom(id) FROM shop.items ORDER BY id] in mysql rows=2 error=3333/45000",
    "QUERY [SELECT id FROM shop.items WHERE id>100] in mysql rows=0",
];

const MARIADB: &[&str] = &[
    "PREPARE *[INSERT INTO messages (body) VALUES (?)] in shop",
    "BULK_EXECUTE *[INSERT INTO messages (body) VALUES (?)] in shop affected=3",
    "PREPARE *[SELECT id FROM items WHERE id < ?] in shop",
    "EXECUTE *[SELECT id FROM items WHERE id < ?] in shop rows=2",
];

const CLI: &[&str] = &[
    "QUERY [SELECT id, name FROM items] in shop rows=3",
    "QUERY [INSERT INTO messages (body) VALUES (\"planted-secret\")] in shop affected=1",
    "QUERY [SELECT DATABASE()] in shop rows=1",
    "INIT_DB in mysql",
    "QUERY [SELECT user FROM user LIMIT 2] in mysql rows=2",
];

const CLI_COMPRESS: &[&str] = &[
    "QUERY [SELECT id, name FROM items] in shop rows=3",
    "QUERY [INSERT INTO messages (body) VALUES (\"planted-secret\")] in shop affected=1",
    "QUERY [SELECT seq, repeat('x',50) FROM seq_1_to_40] in shop rows=40",
    "QUERY [SELECT DATABASE()] in shop rows=1",
    "INIT_DB in mysql",
    "QUERY [SELECT user FROM user LIMIT 2] in mysql rows=2",
    "QUERY [SELECT * FROM missing] in mysql error=1146/42S02",
];

const CONNECTOR_COMPRESS: &[&str] = &[
    "QUERY [SET NAMES 'utf8mb4' COLLATE 'utf8mb4_general_ci'] in shop",
    "QUERY [SET @@session.autocommit = OFF] in shop",
    "PING in shop",
    "QUERY [SELECT id, name FROM items ORDER BY id] in shop rows=3",
    "PING in shop",
    "QUERY [SELECT @@session.sql_mode] in shop rows=1",
    "QUERY [INSERT INTO messages (body) VALUES ('planted-secret planted-secret planted-secret ')] in shop affected=1",
    "QUERY [COMMIT] in shop",
    "QUERY [SELECT seq, repeat('x',50) FROM seq_1_to_40] in shop rows=40",
    "QUERY [SELECT * FROM missing WHERE a='planted-secret'] in shop error=1146/42S02",
    "PING in shop",
    "PREPARE *[SELECT id FROM items WHERE id < ?] in shop",
    "STMT_RESET in shop",
    "EXECUTE *[SELECT id FROM items WHERE id < ?] in shop rows=2",
];

const MYSQLCLIENT_COMPRESS: &[&str] = &[
    "QUERY [SET NAMES utf8mb4] in shop",
    "QUERY [SET autocommit=0] in shop",
    "QUERY [SELECT id, name FROM items ORDER BY id] in shop rows=3",
    "QUERY [INSERT INTO messages (body) VALUES ('planted-secret planted-secret planted-secret ')] in shop affected=1",
    "QUERY [COMMIT] in shop",
    "QUERY [LOAD DATA LOCAL INFILE '/tmp/my/in.csv' INTO TABLE items] in shop affected=100",
    "QUERY [ROLLBACK] in shop",
    "QUERY [SELECT seq, repeat('x',50) FROM seq_1_to_40] in shop rows=40",
    "INIT_DB in mysql",
    "PING in mysql",
    "QUERY [SELECT 1; SELECT 2 UNION SELECT 3] in mysql rows=3",
];

const MYSQL2_COMPRESS: &[&str] = &[
    "QUERY [SELECT id, name FROM items ORDER BY id] in shop rows=3",
    "PREPARE *[SELECT id FROM items WHERE id < ?] in shop",
    "EXECUTE *[SELECT id FROM items WHERE id < ?] in shop rows=2",
    "QUERY [INSERT INTO messages (body) VALUES ('planted-secret planted-secret planted-secret ')] in shop affected=1",
    "QUERY [SELECT seq, repeat('x',50) FROM seq_1_to_40] in shop rows=40",
    "QUERY [SELECT * FROM missing WHERE a='planted-secret'] in shop error=1146/42S02",
    "PING in shop",
];

const MARIADB_NODE: &[&str] = &[
    "QUERY [SET NAMES utf8mb4] in shop",
    "QUERY [SELECT id, name FROM items ORDER BY id] in shop rows=3",
    "PREPARE *[SELECT id, name FROM items WHERE id < ?] in shop",
    "EXECUTE *[SELECT id, name FROM items WHERE id < ?] in shop rows=2",
    "EXECUTE *[SELECT id, name FROM items WHERE id < ?] in shop rows=2",
    "EXECUTE *[SELECT id, name FROM items WHERE id < ?] in shop rows=2",
    "PREPARE *[SELECT id FROM items WHERE id >= ?] in shop",
    "EXECUTE *[SELECT id FROM items WHERE id >= ?] in shop rows=2",
    "EXECUTE *[SELECT id FROM items WHERE id >= ?] in shop rows=1",
    "PREPARE *[INSERT INTO messages (body) VALUES (?)] in shop",
    "BULK_EXECUTE *[INSERT INTO messages (body) VALUES (?)] in shop affected=3",
    "QUERY [SELECT 1] in shop rows=1",
    "QUERY [SELECT 2 UNION SELECT 3] in shop rows=2",
    "QUERY [DO 0] in shop",
    "QUERY [SELECT * FROM missing WHERE a='planted-secret'] in shop error=1146/42S02",
    "CHANGE_USER in mysql",
    "PING in mysql",
    "RESET_CONNECTION in mysql",
];

const LOCAL_INFILE_REFUSED: &[&str] = &[
    "QUERY [SET NAMES utf8mb4] in shop",
    "QUERY [SET autocommit=0] in shop",
    "QUERY [LOAD DATA LOCAL INFILE '/tmp/my/in.csv' INTO TABLE items] in shop error=4166/HY000",
    "QUERY [LOAD DATA LOCAL INFILE '/nonexistent' INTO TABLE items] in shop error=4166/HY000",
    "QUERY [SELECT 1] in shop rows=1",
];

const LOCAL_INFILE_AMONG: &[&str] = &[
    "QUERY [SET NAMES utf8mb4] in shop",
    "QUERY [SET autocommit=0] in shop",
    "QUERY [LOAD DATA LOCAL INFILE '/nonexistent' INTO TABLE items] in shop",
    "QUERY [SELECT 1; LOAD DATA LOCAL INFILE '/tmp/my/in.csv' IGNORE INTO TABLE items; SELECT 2] in shop rows=2 affected=100",
    "QUERY [ROLLBACK] in shop",
    "QUERY [SELECT 1] in shop rows=1",
];

/// The fixtures that end in a conversation which can be read.
pub(super) const FIXTURES: &[Golden] = &[
    (include_str!("../fixtures/pymysql.txt"), PYMYSQL),
    (include_str!("../fixtures/login_refused.txt"), LOGIN_REFUSED),
    (include_str!("../fixtures/login_no_database.txt"), LOGIN_NO_DATABASE),
    (include_str!("../fixtures/local_infile.txt"), LOCAL_INFILE),
    (include_str!("../fixtures/multi.txt"), MULTI),
    (include_str!("../fixtures/prepared_eof.txt"), PREPARED),
    (include_str!("../fixtures/prepared_no_eof.txt"), PREPARED),
    (include_str!("../fixtures/commands.txt"), COMMANDS),
    (include_str!("../fixtures/commands_no_eof.txt"), COMMANDS),
    (include_str!("../fixtures/mariadb.txt"), MARIADB),
    (include_str!("../fixtures/cli.txt"), CLI),
    (include_str!("../fixtures/cli_compress.txt"), CLI_COMPRESS),
    (include_str!("../fixtures/connector_python_compress.txt"), CONNECTOR_COMPRESS),
    (include_str!("../fixtures/mysqlclient_compress.txt"), MYSQLCLIENT_COMPRESS),
    (include_str!("../fixtures/mysql2_compress.txt"), MYSQL2_COMPRESS),
    (include_str!("../fixtures/mysqlclient_zstd.txt"), MYSQLCLIENT_COMPRESS),
    (include_str!("../fixtures/mariadb_node.txt"), MARIADB_NODE),
    (include_str!("../fixtures/local_infile_refused.txt"), LOCAL_INFILE_REFUSED),
    (include_str!("../fixtures/local_infile_among.txt"), LOCAL_INFILE_AMONG),
];
