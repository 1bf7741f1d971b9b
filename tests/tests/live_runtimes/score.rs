//! How many parents are right, from the exported telemetry alone.

use std::collections::HashMap;
use std::fmt;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use tests::live::{Telemetry, text};

use super::load::{Mode, Plan};

/// Wrong parents that are shown; the rest is counted.
const SHOWN: usize = 10;

/// Which part of a request a call or a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The request's own code, one thing after the other.
    Own,
    /// One of several things that it does at the same time, and waits for.
    Child,
    /// The same, before it waits for it.
    Ahead,
    /// What it has a thread of an executor do.
    Thread,
    /// What it began and nobody waits for.
    Background,
}

const PARTS: [Part; 5] = [Part::Own, Part::Child, Part::Ahead, Part::Thread, Part::Background];

/// What was done for requests, and what was told of it.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// As planned. (What nobody waits for is not counted.)
    done: usize,
    right: usize,
    wrong: usize,
    without: usize,
}

impl Count {
    fn any(&self) -> bool {
        self.done + self.right + self.wrong + self.without > 0
    }

    fn precision(self) -> f64 {
        let given = self.right + self.wrong;
        if given == 0 { 1.0 } else { self.right as f64 / given as f64 }
    }

    fn recall(self) -> f64 {
        if self.done == 0 { 1.0 } else { self.right as f64 / self.done as f64 }
    }
}

/// The verdict on one application.
#[derive(Debug, Default)]
pub struct Score {
    calls: HashMap<Part, Count>,
    lines: HashMap<Part, Count>,
    wrong: Vec<String>,
}

impl Score {
    /// Compares what was told with the plan.
    pub fn of(plan: &Plan, telemetry: &Telemetry) -> Self {
        let mut score = Self::default();
        let modes =
            [(Part::Child, Mode::Children), (Part::Ahead, Mode::Ahead), (Part::Thread, Mode::Threads)];
        let parts = modes.map(|(part, mode)| (part, plan.children(mode)));
        for (part, (calls, lines)) in [(Part::Own, plan.own())].into_iter().chain(parts) {
            score.calls.entry(part).or_default().done = calls;
            score.lines.entry(part).or_default().done = lines;
        }
        let requests: HashMap<&[u8], &str> = telemetry
            .servers()
            .filter_map(|span| {
                let (_, id) = name(text(&span.attributes, "url.path")?)?;
                Some((span.span_id.as_slice(), id))
            })
            .collect();
        for span in telemetry.clients() {
            let attributes = &span.attributes;
            let said = text(attributes, "db.query.text").or(text(attributes, "url.full")).unwrap_or_default();
            score.note(true, said, &span.parent_span_id, &requests);
        }
        for log in &telemetry.logs {
            let body = log.item.body.as_ref().and_then(|body| body.value.as_ref());
            let Some(Value::StringValue(said)) = body else { continue };
            if said.contains(" line ") {
                score.note(false, said, &log.item.span_id, &requests);
            }
        }
        score
    }

    fn note(&mut self, is_call: bool, said: &str, parent: &[u8], requests: &HashMap<&[u8], &str>) {
        // What a client says by itself on a new connection has no name.
        let Some((part, id)) = name(said) else { return };
        let counts = if is_call { &mut self.calls } else { &mut self.lines };
        let count = counts.entry(part).or_default();
        if parent.is_empty() {
            count.without += 1;
        } else if requests.get(parent) == Some(&id) {
            count.right += 1;
        } else {
            count.wrong += 1;
            self.wrong.push(format!("{said} below {:?}", requests.get(parent)));
        }
    }

    /// Panics unless every parent that was given is right, and at least this share of what was done has one.
    pub fn require(&self, recall: &[(Part, f64)]) {
        self.require_of_calls(recall);
        require_recall("lines", &self.lines, recall);
    }

    /// The same, with any share of the lines.
    pub fn require_of_calls(&self, recall: &[(Part, f64)]) {
        self.wrong.iter().take(SHOWN).for_each(|wrong| println!("  wrong: {wrong}"));
        assert!(self.wrong.is_empty(), "{} parents are wrong", self.wrong.len());
        require_recall("calls", &self.calls, recall);
    }
}

fn require_recall(what: &str, counts: &HashMap<Part, Count>, recall: &[(Part, f64)]) {
    for (part, wanted) in recall {
        let count = counts.get(part).copied().unwrap_or_default();
        assert!(count.recall() >= *wanted, "{part:?}: too few {what} have a parent: {count:?}");
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in PARTS {
            for (what, counts) in [("calls", &self.calls), ("lines", &self.lines)] {
                let Some(count) = counts.get(&part).filter(|count| count.any()).copied() else { continue };
                let Count { done, right, wrong, without } = count;
                write!(f, "  {part:?} {what}: precision {:.4}, ", count.precision())?;
                if part != Part::Background {
                    write!(f, "recall {:.4} of {done}, ", count.recall())?;
                }
                writeln!(f, "right {right}, wrong {wrong}, without {without}")?;
            }
        }
        Ok(())
    }
}

/// Which part of which request a text names: `rq12`, `garq12`, `bgrq12`.
fn name(text: &str) -> Option<(Part, &str)> {
    let at = text.find("rq")?;
    let (before, id) = text.split_at(at);
    let digits = id.get(2..)?.bytes().take_while(u8::is_ascii_digit).count();
    let part = match before {
        _ if before.ends_with("ga") => Part::Child,
        _ if before.ends_with("ah") => Part::Ahead,
        _ if before.ends_with("th") => Part::Thread,
        _ if before.ends_with("bg") => Part::Background,
        _ => Part::Own,
    };
    (digits > 0).then(|| (part, &id[..digits + 2]))
}
