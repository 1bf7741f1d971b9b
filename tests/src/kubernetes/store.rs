//! What the API server keeps: pods, their versions, and what happened.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

/// Changes that are remembered.
const MAX_HISTORY: usize = 10_000;

/// Namespace and name.
pub(super) type Key = (String, String);

/// What happened to an object.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) version: u64,
    /// What it was; absent when it is new.
    pub(super) old: Option<Value>,
    /// What it is; absent when it is gone.
    pub(super) new: Option<Value>,
}

/// All objects, and what happened to them. Versions count changes.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) version: u64,
    pods: BTreeMap<Key, Value>,
    history: VecDeque<Change>,
    /// Watches from before this version cannot go on.
    oldest: u64,
    /// Lists under way, by the token that asks for the rest.
    lists: BTreeMap<String, Vec<Value>>,
}

/// The version that was asked for is too old.
#[derive(Debug)]
pub(super) struct Gone;

impl Store {
    pub(super) fn apply(&mut self, mut pod: Value) {
        self.version += 1;
        pod["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let old = self.pods.insert(key(&pod), pod.clone());
        self.remember(Change { version: self.version, old, new: Some(pod) });
    }

    pub(super) fn delete(&mut self, key: &Key) {
        if let Some(old) = self.pods.remove(key) {
            self.version += 1;
            self.remember(Change { version: self.version, old: Some(old), new: None });
        }
    }

    fn remember(&mut self, change: Change) {
        self.history.push_back(change);
        if self.history.len() > MAX_HISTORY
            && let Some(oldest) = self.history.pop_front()
        {
            self.oldest = oldest.version;
        }
    }

    /// Changes are no longer remembered: whoever did not see them must list again. A change is made, so that nobody
    /// is up to date.
    pub(super) fn compact(&mut self) {
        self.history.clear();
        self.version += 1;
        self.oldest = self.version;
        self.lists.clear();
    }

    pub(super) fn since(&self, version: u64) -> Result<Vec<Change>, Gone> {
        if version < self.oldest {
            return Err(Gone);
        }
        Ok(self.history.iter().filter(|change| change.version > version).cloned().collect())
    }

    /// A page of the objects that `selected` picks, and the token for the rest.
    pub(super) fn list(
        &mut self,
        selected: impl Fn(&Value) -> bool,
        limit: usize,
        token: Option<&str>,
    ) -> Result<(Vec<Value>, Option<String>), Gone> {
        let mut items = match token {
            Some(token) => self.lists.remove(token).ok_or(Gone)?,
            None => self.pods.values().filter(|pod| selected(pod)).cloned().collect(),
        };
        if items.len() <= limit {
            return Ok((items, None));
        }
        let rest = items.split_off(limit);
        let token = format!("{}-{}", self.version, self.lists.len());
        self.lists.insert(token.clone(), rest);
        Ok((items, Some(token)))
    }
}

pub(super) fn key(pod: &Value) -> Key {
    let text = |name: &str| pod["metadata"][name].as_str().expect("a namespace and a name").to_owned();
    (text("namespace"), text("name"))
}

/// Whether an object has these fields and labels (`a=b,c!=d`).
pub(super) fn is_selected(pod: &Value, fields: &str, labels: &str) -> bool {
    let field = |path: &str| match path {
        "spec.nodeName" => pod["spec"]["nodeName"].as_str(),
        "metadata.name" => pod["metadata"]["name"].as_str(),
        "metadata.namespace" => pod["metadata"]["namespace"].as_str(),
        "status.phase" => pod["status"]["phase"].as_str(),
        other => panic!("no field selector for {other}"),
    };
    holds(fields, field) && holds(labels, |key| pod["metadata"]["labels"][key].as_str())
}

fn holds<'a>(selector: &str, value: impl Fn(&str) -> Option<&'a str>) -> bool {
    selector.split(',').filter(|term| !term.is_empty()).all(|term| match term.split_once("!=") {
        Some((key, unwanted)) => value(key) != Some(unwanted),
        None => {
            let (key, wanted) = term.split_once('=').expect("key=value");
            value(key).unwrap_or_default() == wanted.trim_start_matches('=')
        }
    })
}
