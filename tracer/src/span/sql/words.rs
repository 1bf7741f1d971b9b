//! The words that a summary goes by.

/// How a statement that begins with a word is read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Tables come after FROM and JOIN.
    Select,
    /// Tables come at once, up to SET.
    Update,
    /// Tables come at once or after FROM, as after SELECT.
    Delete,
    /// A table comes at once or after INTO; perhaps a SELECT follows.
    Insert,
    /// A kind of object, then its name, and nothing more of interest.
    Define,
    /// A name comes at once, after words that are no names.
    Name,
    /// The next word belongs to the operation.
    TwoWords,
    /// The operation alone.
    Alone,
    /// The statement proper follows.
    Prefix,
}

/// Words that begin a statement.
pub(super) const OPERATIONS: &[(&str, Form)] = &[
    ("SELECT", Form::Select),
    ("INSERT", Form::Insert),
    ("UPDATE", Form::Update),
    ("DELETE", Form::Delete),
    ("REPLACE", Form::Insert),
    ("SET", Form::Alone),
    ("COMMIT", Form::Alone),
    ("ROLLBACK", Form::Alone),
    ("BEGIN", Form::Alone),
    ("START", Form::TwoWords),
    ("CALL", Form::Name),
    ("CREATE", Form::Define),
    ("ALTER", Form::Define),
    ("DROP", Form::Define),
    ("RENAME", Form::Define),
    ("TRUNCATE", Form::Name),
    ("USE", Form::Name),
    ("SHOW", Form::TwoWords),
    ("DESCRIBE", Form::Name),
    ("DESC", Form::Name),
    ("EXPLAIN", Form::Prefix),
    ("ANALYZE", Form::Name),
    ("OPTIMIZE", Form::Name),
    ("CHECK", Form::Name),
    ("CHECKSUM", Form::Name),
    ("REPAIR", Form::Name),
    ("LOAD", Form::Insert),
    ("WITH", Form::Prefix),
    ("EXECUTE", Form::Name),
    ("EXEC", Form::Name),
    ("PREPARE", Form::Name),
    ("DEALLOCATE", Form::TwoWords),
    ("HANDLER", Form::Name),
    ("SAVEPOINT", Form::Alone),
    ("RELEASE", Form::TwoWords),
    ("LOCK", Form::TwoWords),
    ("UNLOCK", Form::TwoWords),
    ("KILL", Form::Alone),
    ("FLUSH", Form::Alone),
    ("GRANT", Form::Alone),
    ("REVOKE", Form::Alone),
    ("DO", Form::Alone),
    ("XA", Form::Alone),
    ("VALUES", Form::Alone),
    ("TABLE", Form::Name),
    ("SIGNAL", Form::Alone),
    ("RESET", Form::Alone),
    ("CHANGE", Form::TwoWords),
    ("STOP", Form::TwoWords),
    ("SHUTDOWN", Form::Alone),
    ("INSTALL", Form::TwoWords),
    ("GET", Form::Alone),
    ("UNINSTALL", Form::TwoWords),
    ("PURGE", Form::TwoWords),
    ("HELP", Form::Alone),
    ("RESIGNAL", Form::Alone),
];

/// What CREATE, ALTER, DROP and RENAME act on.
pub(super) const OBJECTS: &[&str] = &[
    "TABLE",
    "TABLES",
    "VIEW",
    "INDEX",
    "DATABASE",
    "SCHEMA",
    "PROCEDURE",
    "FUNCTION",
    "TRIGGER",
    "EVENT",
    "USER",
    "ROLE",
    "SEQUENCE",
    "SERVER",
    "TABLESPACE",
    "PACKAGE",
    "INSTANCE",
];

/// Words that may stand before a name without being one.
pub(super) const NO_NAMES: &[&str] = &[
    "IF",
    "NOT",
    "EXISTS",
    "LOW_PRIORITY",
    "HIGH_PRIORITY",
    "DELAYED",
    "QUICK",
    "IGNORE",
    "INTO",
    "LOCAL",
    "NO_WRITE_TO_BINLOG",
    "ONLY",
    "LATERAL",
    "CONCURRENT",
    "PERSISTENT",
];

/// Words that end a list of tables.
pub(super) const AFTER_TABLES: &[&str] = &[
    "WHERE",
    "GROUP",
    "HAVING",
    "ORDER",
    "LIMIT",
    "WINDOW",
    "FOR",
    "INTO",
    "PROCEDURE",
    "UNION",
    "EXCEPT",
    "INTERSECT",
    "SET",
    "VALUES",
    "VALUE",
    "RETURNING",
    "FETCH",
    "OFFSET",
    "READ",
];

/// Words between `SHOW` and what is shown.
pub(super) const SHOW_MODIFIERS: &[&str] =
    &["FULL", "GLOBAL", "SESSION", "LOCAL", "EXTENDED", "STORAGE", "ALL", "COUNT"];
