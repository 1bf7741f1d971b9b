//! Routes: names of low cardinality for paths.

use std::str::FromStr;

use clap::ValueEnum;
use rustc_hash::FxHashSet;
use serde::Deserialize;

use crate::span::{Attribute, Description, Value};

/// Most segments of a guessed route; what is deeper becomes `*`.
const MAX_SEGMENTS: usize = 10;

/// Longest segment that is taken for a name that a developer chose.
const MAX_NAME: usize = 40;

/// Routes of one service when nothing else is configured. A service with more is likely to have been misjudged.
pub const DEFAULT_MAX_ROUTES: usize = 200;

/// Where routes come from: `--routes`.
#[derive(ValueEnum, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum RouteMode {
    /// The given patterns, then a template of the path
    #[default]
    Heuristic,
    /// The given patterns alone
    Patterns,
    /// No routes
    Off,
}

/// `--routes` and its patterns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteOptions {
    /// Where routes come from.
    pub mode: RouteMode,
    /// Configured patterns; the first that fits is the route.
    pub patterns: Vec<RoutePattern>,
    /// Guessed routes that one service may have; see [`RouteTable`].
    pub max_per_service: usize,
}

impl Default for RouteOptions {
    fn default() -> Self {
        Self { mode: RouteMode::default(), patterns: Vec::new(), max_per_service: DEFAULT_MAX_ROUTES }
    }
}

/// A configured pattern: `/users/{id}/files/*`. A `{name}` stands for one segment, a final `*` for all the rest.
#[derive(Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(try_from = "String")]
pub struct RoutePattern(String);

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It must begin with a slash.
    #[error("{0:?} is no route: it must begin with a slash")]
    NoSlash(String),
    /// A brace is not closed, or stands inside a segment.
    #[error("{0:?} is no route: a parameter must be a whole segment, as in /users/{{id}}")]
    Brace(String),
    /// `*` is not the last segment.
    #[error("{0:?} is no route: '*' may only be the last segment")]
    Star(String),
}

impl FromStr for RoutePattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if !text.starts_with('/') {
            return Err(PatternError::NoSlash(text.to_owned()));
        }
        let mut segments = text.split('/').peekable();
        while let Some(segment) = segments.next() {
            if segment.contains(['{', '}']) && parameter(segment).is_none() {
                return Err(PatternError::Brace(text.to_owned()));
            }
            if segment == "*" && segments.peek().is_some() {
                return Err(PatternError::Star(text.to_owned()));
            }
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for RoutePattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, PatternError> {
        text.parse()
    }
}

impl RoutePattern {
    /// The pattern as it was written: this is the route.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a path has this pattern.
    #[must_use]
    pub fn fits(&self, path: &str) -> bool {
        let mut have = path.split('/');
        for want in self.0.split('/') {
            if want == "*" {
                return have.next().is_some();
            }
            match have.next() {
                Some(segment) if want == segment || (parameter(want).is_some() && !segment.is_empty()) => {}
                _ => return false,
            }
        }
        have.next().is_none()
    }
}

fn parameter(segment: &str) -> Option<&str> {
    let name = segment.strip_prefix('{')?.strip_suffix('}')?;
    (!name.is_empty() && !name.contains(['{', '}'])).then_some(name)
}

/// A path's route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// As in `http.route`.
    pub template: String,
    /// It comes from a configured pattern rather than from the path itself.
    pub configured: bool,
}

/// The route of a path (without its query); `None` for what is no path, or when routes are off.
#[must_use]
pub fn route(path: &str, options: &RouteOptions) -> Option<Route> {
    if options.mode == RouteMode::Off || !path.starts_with('/') {
        return None;
    }
    let configured = options.patterns.iter().find(|pattern| pattern.fits(path));
    match (configured, options.mode) {
        (Some(pattern), _) => Some(Route { template: pattern.0.clone(), configured: true }),
        (None, RouteMode::Heuristic) => Some(Route { template: guess(path), configured: false }),
        (None, _) => None,
    }
}

/// The path with every segment that looks like data replaced by `{id}`.
fn guess(path: &str) -> String {
    if is_plain(path) {
        return path.to_owned();
    }
    let mut template = String::with_capacity(path.len().min(256));
    let segments = path.split('/').filter(|segment| !segment.is_empty());
    for (depth, segment) in segments.enumerate() {
        template.push('/');
        if depth == MAX_SEGMENTS {
            template.push('*');
            return template;
        }
        if is_plain_name(segment.as_bytes()) {
            template.push_str(segment);
            continue;
        }
        // Matrix parameters (`;jsessionid=…`) are data.
        let name = segment.split(';').next().unwrap_or_default();
        template.push_str(if is_data(name) { "{id}" } else { name });
    }
    if template.is_empty() || path.ends_with('/') {
        template.push('/');
    }
    template
}

/// Whether a segment is surely a name: letters and dashes, fewer than a UUID has. Most are.
fn is_plain_name(segment: &[u8]) -> bool {
    const UUID: usize = 36;
    segment.len() < UUID
        && segment.iter().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_'))
}

/// Whether a path has nothing but such names, and so is its own template.
fn is_plain(path: &str) -> bool {
    let names = path.as_bytes().get(1..).unwrap_or_default();
    let names = names.strip_suffix(b"/").unwrap_or(names);
    let mut each = names.split(|byte| *byte == b'/').enumerate();
    each.all(|(depth, name)| depth < MAX_SEGMENTS && !name.is_empty() && is_plain_name(name))
}

/// Whether a segment looks like an identifier or user input rather than a name in a program.
fn is_data(segment: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~:".contains(&byte);
    segment.len() > MAX_NAME
        || segment.is_empty()
        || !segment.bytes().all(plain)
        || is_number(segment)
        || ends_with_number(segment)
        || segment.split('.').any(|part| is_uuid(part) || is_hex(part) || is_mixed(part))
        || segment.split_once('.').is_some_and(|(stem, _)| is_number(stem))
}

/// `42`, `-1`, `2026-01-31`, `10.5`.
fn is_number(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_digit() || b"-_.:".contains(&byte))
}

/// `order-4711`: two digits or more after a separator.
fn ends_with_number(text: &str) -> bool {
    text.rsplit_once(['-', '_', ':'])
        .is_some_and(|(_, end)| end.len() >= 2 && end.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Eight hexadecimal digits or more, one of them decimal: not a word such as `facade`.
fn is_hex(text: &str) -> bool {
    text.len() >= 8
        && text.bytes().all(|byte| byte.is_ascii_hexdigit())
        && text.bytes().any(|byte| byte.is_ascii_digit())
}

/// Letters and digits in turns, as in random ids: `dQw4w9WgXcQ`, not `oauth2` or `base64decode`.
fn is_mixed(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let turns = text
        .bytes()
        .zip(text.bytes().skip(1))
        .filter(|(a, b)| a.is_ascii_digit() != b.is_ascii_digit())
        .count();
    text.len() >= 10 && digits >= 2 && turns >= 3
}

/// The routes of one service, bounded: past the cap a new route is dropped, and the span keeps the bare method.
#[derive(Clone, Debug)]
pub struct RouteTable {
    /// Configured patterns never count.
    configured: FxHashSet<String>,
    guessed: FxHashSet<String>,
    max: usize,
    refused: u64,
}

impl RouteTable {
    /// An empty table.
    #[must_use]
    pub fn new(options: &RouteOptions) -> Self {
        Self {
            configured: options.patterns.iter().map(|pattern| pattern.0.clone()).collect(),
            guessed: FxHashSet::default(),
            max: options.max_per_service,
            refused: 0,
        }
    }

    /// Whether a span may carry this route.
    pub fn admit(&mut self, route: &str) -> bool {
        if self.configured.contains(route) || self.guessed.contains(route) {
            return true;
        }
        if self.guessed.len() < self.max {
            return self.guessed.insert(route.to_owned());
        }
        self.refused = self.refused.saturating_add(1);
        false
    }

    /// Takes the route out of a description, name included, if the table is full.
    pub fn limit(&mut self, description: &mut Description) {
        let Some(index) = description.attributes.iter().position(|attribute| attribute.key == "http.route")
        else {
            return;
        };
        if let Some(Attribute { value: Value::Str(route), .. }) = description.attributes.get(index)
            && !self.admit(route)
        {
            description.attributes.remove(index);
            description.name = description.name.split(' ').next().unwrap_or_default().to_owned().into();
        }
    }

    /// Spans that lost their route to the cap.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guessed(path: &str) -> String {
        route(path, &RouteOptions::default()).unwrap().template
    }

    #[test]
    fn names_stay() {
        for path in [
            "/",
            "/api/db/message",
            "/api/v1/users",
            "/healthz",
            "/oauth2/token",
            "/facade/decade",
            "/base64/utf8",
            "/static/app.js",
            "/api/",
            "/user-profile/snake_case",
            "/s3/x-2",
            "/index.v2.html",
        ] {
            assert_eq!(guessed(path), path);
        }
    }

    #[test]
    fn data_goes() {
        for (path, template) in [
            ("/users/42", "/users/{id}"),
            ("/users/42/orders/2026-01-31/", "/users/{id}/orders/{id}/"),
            ("/o/550e8400-e29b-41d4-a716-446655440000", "/o/{id}"),
            ("/blob/deadbee1", "/blob/{id}"),
            ("/watch/dQw4w9WgXcQ", "/watch/{id}"),
            ("/assets/main.3f2a9c1d.js", "/assets/{id}"),
            ("/find/caf%C3%A9/x", "/find/{id}/x"),
            ("/mail/someone@example.org", "/mail/{id}"),
            ("/order-4711/pay;jsessionid=12", "/{id}/pay"),
            ("/a//b", "/a/b"),
            ("/1/2/3/4/5/6/7/8/9/10/11/12", "/{id}/{id}/{id}/{id}/{id}/{id}/{id}/{id}/{id}/{id}/*"),
        ] {
            assert_eq!(guessed(path), template);
        }
        assert_eq!(guessed(&format!("/{}", "long".repeat(20))), "/{id}");
        assert_eq!(route("*", &RouteOptions::default()), None);
    }

    #[test]
    fn patterns_come_first() {
        let patterns = ["/users/{name}", "/static/*"].map(|text| text.parse().unwrap()).to_vec();
        let mut options = RouteOptions { patterns, ..RouteOptions::default() };
        assert_eq!(
            route("/users/anna", &options),
            Some(Route { template: "/users/{name}".into(), configured: true })
        );
        assert_eq!(route("/static/a/b.js", &options).unwrap().template, "/static/*");
        assert_eq!(route("/users/anna/x", &options).unwrap().template, "/users/anna/x");
        assert!(!options.patterns[0].fits("/users/"));
        options.mode = RouteMode::Patterns;
        assert_eq!(route("/users/anna/x", &options), None);
        options.mode = RouteMode::Off;
        assert_eq!(route("/users/anna", &options), None);
    }

    #[test]
    fn bad_patterns_are_refused() {
        assert!(matches!("users".parse::<RoutePattern>(), Err(PatternError::NoSlash(_))));
        assert!(matches!("/a/x{id}".parse::<RoutePattern>(), Err(PatternError::Brace(_))));
        assert!(matches!("/a/{}".parse::<RoutePattern>(), Err(PatternError::Brace(_))));
        assert!(matches!("/*/b".parse::<RoutePattern>(), Err(PatternError::Star(_))));
    }

    #[test]
    fn the_table_is_bounded() {
        let options = RouteOptions {
            patterns: vec!["/configured".parse().unwrap()],
            max_per_service: 2,
            ..RouteOptions::default()
        };
        let mut table = RouteTable::new(&options);
        assert!(table.admit("/a") && table.admit("/b") && table.admit("/a") && table.admit("/configured"));
        let mut description = Description {
            name: "GET /c".into(),
            attributes: vec![Attribute::new("http.route", "/c"), Attribute::new("url.path", "/c")],
            status: crate::span::Status::Unset,
            scope: crate::span::Scope::Http,
        };
        table.limit(&mut description);
        assert_eq!(description.name, "GET");
        assert_eq!(description.attributes, [Attribute::new("url.path", "/c")]);
        assert_eq!(table.refused(), 1);
    }
}
