//! What a proxy passes on of a request, and what it adds: for whom it asks.

use std::hash::Hasher as _;

use rustc_hash::FxHasher;

/// What tells a request that is passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// Method and target, hashed: a proxy that rewrites neither sends the same.
    pub request: u64,
    /// `X-Forwarded-For`, several fields joined by commas: the client, and the proxies that passed the request on but
    /// for the last one.
    pub forwarded_for: Option<Box<str>>,
}

impl Passage {
    /// What a request for `target` says.
    #[must_use]
    pub fn new(method: &str, target: &str, forwarded_for: Option<&str>) -> Self {
        // Who makes two targets alike only makes it unclear which of his own requests was passed on.
        let mut hasher = FxHasher::default();
        hasher.write(method.as_bytes());
        // Stands in neither.
        hasher.write_u8(b' ');
        hasher.write(target.as_bytes());
        Self { request: hasher.finish(), forwarded_for: forwarded_for.map(Box::from) }
    }
}
