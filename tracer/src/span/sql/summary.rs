//! `db.query.summary`: operations and targets.
//! <https://opentelemetry.io/docs/specs/semconv/database/database-spans/#generating-a-summary-of-the-query>

use smallvec::SmallVec;

use super::tokenizer::{Kind, Token};
use super::words::{AFTER_TABLES, Form, NO_NAMES, OBJECTS, OPERATIONS, SHOW_MODIFIERS};
use super::{MAX_SUMMARY, Read};

/// Bytes that most summaries need not more of.
const USUAL_SUMMARY: usize = 48;

/// Deepest nesting that is followed; what lies deeper adds nothing.
const MAX_DEPTH: usize = 64;

pub(super) fn summary(statement: &Read<'_>) -> String {
    let summary = String::with_capacity(statement.length.min(USUAL_SUMMARY));
    let mut reader = Reader { summary, ..Reader::default() };
    let mut tokens = statement.tokens.iter().filter(|token| !token.is_blank()).peekable();
    while let Some(token) = tokens.next() {
        // The last name of a truncated text may be only its beginning.
        if statement.truncated && tokens.peek().is_none() {
            reader.name.clear();
            break;
        }
        reader.read(token, tokens.peek().copied());
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
    name: SmallVec<[Token<'a>; 3]>,
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
            self.append_all(parts.iter().map(|part| unquoted(part.text)));
            self.over |= matches!(self.level.form, Some(Form::Name));
            self.over |= self.level.form == Some(Form::Define) && !self.drops;
        }
    }

    /// Other words of a statement.
    fn clause(&mut self, token: &Token<'_>) {
        if self.begins_tables(token) {
            (self.level.tables, self.level.target) = (true, true);
        } else if self.begins_target(token) {
            self.level.target = true;
        } else if is_one_of(token, &["UNION", "EXCEPT", "INTERSECT"]) {
            self.continues = true;
            self.level.tables = false;
        } else if self.outer.is_empty() && self.level.form == Some(Form::Prefix) {
            self.statement_proper(token);
        } else if is_one_of(token, AFTER_TABLES) {
            (self.level.tables, self.level.target) = (false, false);
        }
    }

    /// A list of tables follows: SELECT … FROM, DELETE … FROM, DELETE FROM … USING.
    fn begins_tables(&self, token: &Token<'_>) -> bool {
        match self.level.form {
            Some(Form::Select) => token.is_word("FROM"),
            Some(Form::Delete) => token.is_word("FROM") || token.is_word("USING"),
            _ => false,
        }
    }

    /// One more name follows: JOIN in a list of tables, INSERT … INTO.
    fn begins_target(&self, token: &Token<'_>) -> bool {
        let joins = token.is_word("JOIN") || token.is_word("STRAIGHT_JOIN");
        joins && self.level.tables || token.is_word("INTO") && self.level.form == Some(Form::Insert)
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

    fn append(&mut self, word: &str) {
        self.append_all(std::iter::once(word));
    }

    /// Appends one word, which consists of `parts`.
    fn append_all<'p>(&mut self, parts: impl Iterator<Item = &'p str> + Clone) {
        let gap = usize::from(!self.summary.is_empty());
        let bytes = self.summary.len() + gap + parts.clone().map(str::len).sum::<usize>();
        // There are no more characters than bytes.
        let fits = bytes <= MAX_SUMMARY || {
            let characters = |text: &str| text.chars().count();
            characters(&self.summary) + gap + parts.clone().map(characters).sum::<usize>() <= MAX_SUMMARY
        };
        if !fits {
            self.full = true;
        } else if !self.full {
            self.summary.extend((gap > 0).then_some(' '));
            self.summary.extend(parts);
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
