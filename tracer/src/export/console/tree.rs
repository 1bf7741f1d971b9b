//! A trace as a tree: spans under their parents, log lines under the spans that wrote them, all in order of time.

use rustc_hash::FxHashMap;

use super::line::{log_line, service_name, span_line};
use super::text::{Paint, Style, time_of_day};
use crate::export::{Item, Telemetry};
use crate::span::{SpanId, TraceId};

/// Levels that are indented. Deeper ones stay at the last: a chain of spans is as long as its sender likes.
const MAX_INDENT: usize = 32;

/// The tree of one trace, with a line end after each line. `continued`: part of it was printed before.
pub(super) fn render(trace: TraceId, items: &[Telemetry], continued: bool, style: Style) -> String {
    let tree = Tree::new(items);
    let start = items.iter().map(time).min().unwrap_or_default();
    let more = if continued { " (continued)" } else { "" };
    let head = format!("trace {trace}  {}{more}", time_of_day(start));
    let mut text = style.paint(Paint::Faint, &head);
    text.push('\n');
    tree.render(start, style, &mut text);
    text
}

struct Tree<'a> {
    items: &'a [Telemetry],
    /// Each item's children, in order of time.
    children: Vec<Vec<usize>>,
    /// Items without a parent here, in order of time.
    roots: Vec<usize>,
}

/// An item that is still to be printed.
struct Pending {
    item: usize,
    /// Whose child it is.
    parent: Option<usize>,
    /// What stands before its children's connectors.
    prefix: String,
    depth: usize,
    last: bool,
}

impl<'a> Tree<'a> {
    fn new(items: &'a [Telemetry]) -> Self {
        let mut spans: FxHashMap<SpanId, usize> = FxHashMap::default();
        for (index, telemetry) in items.iter().enumerate() {
            if let Item::Span(span) = &telemetry.item {
                // The first of two with one id: the second is then a leaf, and nothing is printed twice.
                spans.entry(span.span_id).or_insert(index);
            }
        }
        let mut order: Vec<usize> = (0..items.len()).collect();
        order.sort_by_key(|index| time(&items[*index]));
        let mut tree = Self { items, children: vec![Vec::new(); items.len()], roots: Vec::new() };
        for index in order {
            let above = match &items[index].item {
                Item::Span(span) => span.parent,
                Item::Log(log) => log.context.and_then(|(_, span, _)| span),
            };
            match above.and_then(|id| spans.get(&id)).filter(|parent| **parent != index) {
                Some(parent) => tree.children[*parent].push(index),
                None => tree.roots.push(index),
            }
        }
        tree
    }

    fn render(&self, start: u64, style: Style, text: &mut String) {
        let mut printed = vec![false; self.items.len()];
        for root in &self.roots {
            self.render_from(*root, start, style, &mut printed, text);
        }
        // Spans that are each other's parents hang from no root.
        for index in 0..self.items.len() {
            self.render_from(index, start, style, &mut printed, text);
        }
    }

    fn render_from(&self, root: usize, start: u64, style: Style, printed: &mut [bool], text: &mut String) {
        let mut stack =
            vec![Pending { item: root, parent: None, prefix: String::new(), depth: 0, last: true }];
        while let Some(next) = stack.pop() {
            if std::mem::replace(&mut printed[next.item], true) {
                continue;
            }
            let connector = match (next.depth, next.last) {
                (0, _) => "",
                (_, false) => "├─ ",
                (_, true) => "└─ ",
            };
            text.push_str(&style.paint(Paint::Faint, &format!("{}{connector}", next.prefix)));
            text.push_str(&self.line(&next, start, style));
            text.push('\n');
            let prefix = match (next.depth, next.last) {
                (0, _) => String::new(),
                (MAX_INDENT.., _) => next.prefix,
                (_, false) => next.prefix + "│  ",
                (_, true) => next.prefix + "   ",
            };
            for (position, child) in self.children[next.item].iter().rev().enumerate() {
                stack.push(Pending {
                    item: *child,
                    parent: Some(next.item),
                    prefix: prefix.clone(),
                    depth: next.depth + 1,
                    last: position == 0,
                });
            }
        }
    }

    fn line(&self, pending: &Pending, start: u64, style: Style) -> String {
        let telemetry = &self.items[pending.item];
        let offset = pending.parent.map(|_| time(telemetry).saturating_sub(start));
        // A child tells its service only where it differs from its parent's.
        let service = service_name(&telemetry.resource);
        let known = pending.parent.map(|parent| service_name(&self.items[parent].resource));
        let service = Some(service).filter(|service| Some(*service) != known);
        match &telemetry.item {
            Item::Span(span) => span_line(span, offset, service, style),
            Item::Log(log) => log_line(log, offset, service, style),
        }
    }
}

/// When a span started, or a line was written: nanoseconds since the epoch.
fn time(telemetry: &Telemetry) -> u64 {
    match &telemetry.item {
        Item::Span(span) => span.start_unix_ns,
        Item::Log(log) => log.time_unix_ns,
    }
}
