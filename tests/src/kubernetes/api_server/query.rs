//! What a request asks for: its query string, and the selectors in it.

use serde_json::{Value, json};

use crate::kubernetes::store::{Change, is_selected};

/// A query string.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn new(text: &str) -> Self {
        let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
        Self(pairs.map(|(key, value)| (key.to_owned(), unescape(value))).collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn selects(&self, pod: &Value) -> bool {
        let selector = |name| self.get(name).unwrap_or_default();
        is_selected(pod, selector("fieldSelector"), selector("labelSelector"))
    }

    /// What a watch with these selectors sees of a change: what no longer fits is gone for it.
    pub(super) fn event(&self, change: &Change) -> Option<Value> {
        let fits = |object: &&Value| self.selects(object);
        let (old, new) = (change.old.as_ref().filter(fits), change.new.as_ref().filter(fits));
        let (kind, object) = match (old, new) {
            (None, None) => return None,
            (None, Some(new)) => ("ADDED", new.clone()),
            (Some(_), Some(new)) => ("MODIFIED", new.clone()),
            (Some(old), None) => ("DELETED", old.clone()),
        };
        let mut object = object;
        object["metadata"]["resourceVersion"] = json!(change.version.to_string());
        Some(json!({"type": kind, "object": object}))
    }
}

/// Undoes percent-encoding; what is not encoded rightly stays as it is.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let encoded = (*first == b'%').then(|| after.get(..2)).flatten();
        let decoded = encoded.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(decoded.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = if decoded.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
