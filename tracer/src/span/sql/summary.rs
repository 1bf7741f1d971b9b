//! `db.query.summary`: operations and targets.
//! <https://opentelemetry.io/docs/specs/semconv/database/database-spans/#generating-a-summary-of-the-query>

use super::tokenizer::{Kind, Token};
use super::{MAX_SUMMARY, Statement};

/// Deepest nesting that is followed; what lies deeper adds nothing.
const MAX_DEPTH: usize = 64;

/// How a statement that begins with a word is read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
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
const OPERATIONS: &[(&str, Form)] = &[
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
const OBJECTS: &[&str] = &[
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
const NO_NAMES: &[&str] = &[
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
const AFTER_TABLES: &[&str] = &[
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
const SHOW_MODIFIERS: &[&str] =
    &["FULL", "GLOBAL", "SESSION", "LOCAL", "EXTENDED", "STORAGE", "ALL", "COUNT"];

pub(super) fn summary(statement: &Statement<'_>) -> String {
    let mut reader = Reader::default();
    let mut tokens = statement.tokens().filter(|token| !token.is_blank()).peekable();
    while let Some(token) = tokens.next() {
        // The last name of a truncated text may be only its beginning.
        if statement.truncated && tokens.peek().is_none() {
            reader.name.clear();
            break;
        }
        reader.read(&token, tokens.peek());
        if reader.full {
            break;
        }
    }
    reader.finish_target();
    reader.summary
}

/// What is expected inside one level of parentheses.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    /// The operation that this level belongs to.
    form: Option<Form>,
    /// In a list of tables: a comma is followed by another.
    tables: bool,
    /// A target comes next.
    target: bool,
}

#[derive(Debug, Default)]
struct Reader<'a> {
    summary: String,
    /// No more fits.
    full: bool,
    level: Level,
    outer: Vec<Level>,
    /// Levels beyond the deepest that is followed.
    deeper: usize,
    /// A statement has begun: its first word was read.
    begun: bool,
    /// The rest of the statement adds nothing.
    over: bool,
    /// Operation words are taken until the object's kind.
    defining: bool,
    /// DROP takes a list of names; other definitions have a body after the name.
    drops: bool,
    /// The next word belongs to the operation.
    second: bool,
    /// UNION, EXCEPT, INTERSECT: the next SELECT is a part of the same operation.
    continues: bool,
    /// Parts of the target that is being read: `shop`, `.`, `messages`.
    name: Vec<Token<'a>>,
}

impl<'a> Reader<'a> {
    fn read(&mut self, token: &Token<'a>, next: Option<&Token<'a>>) {
        if self.continue_target(token, next) {
            return;
        }
        match token.kind {
            Kind::Symbol => self.symbol(token),
            Kind::Word | Kind::Quoted if !self.over => self.word(token, next),
            // A value where a name was expected: there is no name to show.
            Kind::Value if self.level.target && !self.over => self.level.target = false,
            _ => {}
        }
    }

    fn symbol(&mut self, token: &Token<'_>) {
        if token.is(';') {
            let Self { summary, full, .. } = std::mem::take(self);
            *self = Self { summary, full, ..Self::default() };
        } else if token.is('(') {
            self.open();
        } else if token.is(')') {
            self.close();
        } else if token.is(',') && self.level.tables && !self.over {
            self.level.target = true;
        }
    }

    fn open(&mut self) {
        if self.outer.len() == MAX_DEPTH {
            self.deeper += 1;
            return;
        }
        self.outer.push(self.level);
        // `FROM (a JOIN b)` goes on with tables; any other parenthesis starts anew.
        let tables = self.level.target;
        let form = if tables { self.level.form } else { None };
        self.level = Level { form, tables, target: tables };
    }

    fn close(&mut self) {
        if self.deeper > 0 {
            self.deeper -= 1;
        } else if let Some(level) = self.outer.pop() {
            self.level = Level { target: false, ..level };
        }
    }

    fn word(&mut self, token: &Token<'a>, next: Option<&Token<'a>>) {
        if self.deeper > 0 {
            return;
        }
        if !self.begun {
            self.first_word(token);
        } else if self.second {
            self.second_word(token);
        } else if self.defining {
            self.object(token);
        } else if token.is_word("SELECT") {
            self.select(token);
        } else if self.level.target && !is_one_of(token, AFTER_TABLES) {
            self.target(token, next);
        } else {
            self.clause(token);
        }
    }

    fn first_word(&mut self, token: &Token<'a>) {
        let operation = OPERATIONS.iter().find(|(word, _)| token.is_word(word));
        let Some((_, form)) = operation else {
            // A label, or something unknown: its words are not known to be few.
            self.begun = true;
            self.over = true;
            return;
        };
        self.begun = *form != Form::Prefix;
        self.level.form = Some(*form);
        if token.is_word("WITH") {
            // Common table expressions come in parentheses; then the statement.
            self.begun = true;
            return;
        }
        self.append(token.text);
        match form {
            Form::Update => (self.level.tables, self.level.target) = (true, true),
            Form::Delete | Form::Insert | Form::Name => self.level.target = true,
            Form::Define => (self.defining, self.drops) = (true, token.is_word("DROP")),
            Form::TwoWords => self.second = true,
            Form::Alone => self.over = true,
            Form::Select | Form::Prefix => {}
        }
        if token.is_word("LOAD") {
            (self.second, self.level.target) = (true, false);
        }
    }

    fn second_word(&mut self, token: &Token<'a>) {
        if is_one_of(token, SHOW_MODIFIERS) {
            return;
        }
        self.second = false;
        if token.kind == Kind::Word {
            self.append(token.text);
        }
        // LOAD DATA … INTO TABLE name
        self.over = self.level.form != Some(Form::Insert);
    }

    /// CREATE … TABLE: words up to the object's kind say how, not what.
    fn object(&mut self, token: &Token<'a>) {
        if is_one_of(token, OBJECTS) {
            self.append(token.text);
            self.defining = false;
            self.level.target = true;
            self.level.tables = token.is_word("TABLE") || token.is_word("VIEW");
        }
    }

    fn select(&mut self, token: &Token<'a>) {
        if !std::mem::take(&mut self.continues) {
            self.append(token.text);
        }
        self.level = Level { form: Some(Form::Select), ..Level::default() };
    }

    /// A word where a target may stand.
    fn target(&mut self, token: &Token<'a>, next: Option<&Token<'a>>) {
        let table = token.is_word("TABLE") || token.is_word("TABLES");
        if table && self.level.form == Some(Form::Name) {
            // It belongs to the operation: TRUNCATE TABLE.
            self.append(token.text);
            return;
        }
        if is_one_of(token, NO_NAMES) || table && self.level.form == Some(Form::Insert) {
            return;
        }
        if token.is_word("FROM") {
            return;
        }
        let called = next.is_some_and(|next| next.is('('));
        self.level.target = false;
        if called && self.level.form == Some(Form::Select) {
            // JSON_TABLE(…): a function, not a table.
            return;
        }
        self.name.push(*token);
        if !next.is_some_and(|next| next.is('.')) {
            self.finish_target();
        }
    }

    /// Takes the further parts of a qualified name. Says whether the token was one.
    fn continue_target(&mut self, token: &Token<'a>, next: Option<&Token<'a>>) -> bool {
        let Some(last) = self.name.last() else { return false };
        let part = matches!(token.kind, Kind::Word | Kind::Quoted);
        if token.is('.') || (part && last.is('.')) {
            self.name.push(*token);
            if part && !next.is_some_and(|next| next.is('.')) {
                self.finish_target();
            }
            return true;
        }
        self.finish_target();
        false
    }

    fn finish_target(&mut self) {
        let parts = std::mem::take(&mut self.name);
        if !parts.is_empty() {
            let name: String = parts.iter().map(|part| unquoted(part.text)).collect();
            self.append(&name);
            self.over |= matches!(self.level.form, Some(Form::Name));
            self.over |= self.level.form == Some(Form::Define) && !self.drops;
        }
    }

    /// Other words of a statement.
    fn clause(&mut self, token: &Token<'_>) {
        let reads_tables = matches!(self.level.form, Some(Form::Select | Form::Update | Form::Delete));
        if token.is_word("FROM") || token.is_word("USING") && self.level.form == Some(Form::Delete) {
            if matches!(self.level.form, Some(Form::Select | Form::Delete)) {
                (self.level.tables, self.level.target) = (true, true);
            }
        } else if (token.is_word("JOIN") || token.is_word("STRAIGHT_JOIN"))
            && reads_tables
            && self.level.tables
        {
            self.level.target = true;
        } else if token.is_word("INTO") && self.level.form == Some(Form::Insert) {
            self.level.target = true;
        } else if token.is_word("UNION") || token.is_word("EXCEPT") || token.is_word("INTERSECT") {
            self.continues = true;
            self.level.tables = false;
        } else if self.outer.is_empty() && self.level.form == Some(Form::Prefix) {
            self.statement_proper(token);
        } else if is_one_of(token, AFTER_TABLES) {
            (self.level.tables, self.level.target) = (false, false);
        }
    }

    /// WITH … AS (…) UPDATE, DELETE, INSERT. (SELECT is found anywhere.)
    fn statement_proper(&mut self, token: &Token<'_>) {
        if let Some((_, form)) = OPERATIONS.iter().find(|(word, _)| token.is_word(word))
            && matches!(form, Form::Update | Form::Delete | Form::Insert)
        {
            self.append(token.text);
            self.level = Level { form: Some(*form), tables: *form == Form::Update, target: true };
        }
    }

    fn append(&mut self, part: &str) {
        let gap = usize::from(!self.summary.is_empty());
        let length = self.summary.chars().count() + gap + part.chars().count();
        if length > MAX_SUMMARY {
            self.full = true;
        } else if !self.full {
            self.summary.extend((gap > 0).then_some(' '));
            self.summary.push_str(part);
        }
    }
}

fn is_one_of(token: &Token<'_>, words: &[&str]) -> bool {
    words.iter().any(|word| token.is_word(word))
}

/// A name without its backticks, where it can do without them.
fn unquoted(name: &str) -> &str {
    let Some(inner) = name.strip_prefix('`').and_then(|name| name.strip_suffix('`')) else { return name };
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '-' | '.');
    if !inner.is_empty() && inner.chars().all(plain) { inner } else { name }
}
