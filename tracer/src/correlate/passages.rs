//! For whom a proxy asks: it says so.
//!
//! A proxy that serves many requests on one thread tells on whose behalf it calls by what it passes on: method and
//! target unchanged, and `X-Forwarded-For` with the address of the client. If just one open request of its process has
//! this method and target and came from there, the call was made for it. Where two did (a client that asks the same
//! twice at once), nobody can tell.
//!
//! What proxies make of the field: they append the client's address, or put it in place of what came, or leave what
//! came as it is. A request can be passed on in each of these ways, so that one that *can* be meant is never overlooked.

use std::hash::{BuildHasher as _, DefaultHasher, Hasher as _, RandomState};
use std::net::IpAddr;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::event::{ActiveId, Nanos, Process};
use crate::protocol::Passage;

/// Requests of one process that are open at once and can be told. Beyond that none of its calls is matched, until all of
/// them are over.
pub const MAX_OPEN: usize = 4096;

/// Processes that are followed; the calls of a further one are not matched.
pub const MAX_PROCESSES: usize = 16_384;

/// Open requests, by the process that answers them.
#[derive(Debug, Default)]
pub struct Passages {
    requests: FxHashMap<ActiveId, Request>,
    /// The same by what they can look like when they are passed on, in the order of their numbers: those that look alike
    /// lie together, so that a call among many others is matched at once.
    looks: FxHashMap<(Answerer, Looks), SmallVec<[ActiveId; 1]>>,
    processes: FxHashMap<Answerer, Answering>,
    /// Who sends requests cannot make his look like another's.
    hasher: RandomState,
}

/// Method, target and the field's addresses, hashed.
type Looks = u64;

/// A process: its id, and when it started.
type Answerer = (u32, Nanos);

#[derive(Debug)]
struct Request {
    answerer: Answerer,
    /// Method and target.
    request: u64,
    /// What it can look like, each once.
    looks: SmallVec<[Looks; 1]>,
}

#[derive(Debug, Default)]
struct Answering {
    open: usize,
    /// More were open than are kept.
    overfull: bool,
}

impl Passages {
    /// A request of a `client` was received.
    pub fn begin(&mut self, active: ActiveId, process: Process, passage: Passage, client: IpAddr) {
        let answerer = (process.tgid, process.start);
        if self.processes.len() >= MAX_PROCESSES && !self.processes.contains_key(&answerer) {
            return;
        }
        let answering = self.processes.entry(answerer).or_default();
        if answering.open >= MAX_OPEN {
            answering.overfull = true;
            return;
        }
        answering.open += 1;
        let looks = passed_on(&self.hasher, &passage, client);
        for looks in &looks {
            let alike = self.looks.entry((answerer, *looks)).or_default();
            alike.insert(alike.partition_point(|other| *other < active), active);
        }
        self.requests.insert(active, Request { answerer, request: passage.request, looks });
    }

    /// It is over; `request` is that of its passage.
    pub fn end(&mut self, active: ActiveId, process: Process, request: u64) {
        let answerer = (process.tgid, process.start);
        let is_it = |open: &Request| (open.answerer, open.request) == (answerer, request);
        if !self.requests.get(&active).is_some_and(is_it) {
            return;
        }
        for looks in self.requests.remove(&active).map(|open| open.looks).unwrap_or_default() {
            let Some(alike) = self.looks.get_mut(&(answerer, looks)) else { continue };
            if let Ok(at) = alike.binary_search(&active) {
                alike.remove(at);
            }
            if alike.is_empty() {
                self.looks.remove(&(answerer, looks));
            }
        }
        if let Some(answering) = self.processes.get_mut(&answerer) {
            answering.open -= 1;
            if answering.open == 0 {
                self.processes.remove(&answerer);
            }
        }
    }

    /// The requests of the process on whose behalf it can have sent this one.
    pub fn of<'a>(&'a self, process: Process, call: &'a Passage) -> impl Iterator<Item = ActiveId> + 'a {
        let answerer = (process.tgid, process.start);
        let kept = self.processes.get(&answerer).is_some_and(|answering| !answering.overfull);
        let told = call.forwarded_for.as_deref().filter(|_| kept);
        let looks = told.map(|told| Looking::new(&self.hasher, call.request).at(told).finish());
        looks.and_then(|looks| self.looks.get(&(answerer, looks))).into_iter().flatten().copied()
    }
}

/// What a request of `client` can look like when it is passed on.
fn passed_on(hasher: &RandomState, passage: &Passage, client: IpAddr) -> SmallVec<[Looks; 1]> {
    let bare = Looking::new(hasher, passage.request);
    let mut looks = SmallVec::new();
    looks.push(bare.clone().at_address(client).finish());
    if let Some(received) = passage.forwarded_for.as_deref() {
        let unchanged = bare.at(received);
        for more in [unchanged.clone().at_address(client).finish(), unchanged.finish()] {
            if !looks.contains(&more) {
                looks.push(more);
            }
        }
    }
    looks
}

/// Method and target, then the addresses of the field one by one, each in its usual form.
#[derive(Clone)]
struct Looking(DefaultHasher);

impl Looking {
    fn new(hasher: &RandomState, request: u64) -> Self {
        let mut hasher = hasher.build_hasher();
        hasher.write_u64(request);
        Self(hasher)
    }

    fn at(self, field: &str) -> Self {
        let parts = field.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.fold(self, |looking, part| match part.parse() {
            Ok(address) => looking.at_address(address),
            Err(_) => looking.at_text(part),
        })
    }

    fn at_address(mut self, address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => self.0.write_u64(u64::from(u32::from(address)) << 8 | 4),
            IpAddr::V6(address) => {
                self.0.write_u8(6);
                self.0.write_u128(address.into());
            }
        }
        self
    }

    fn at_text(mut self, text: &str) -> Self {
        // No address begins or ends like this.
        self.0.write_u8(0xff);
        self.0.write(text.as_bytes());
        self.0.write_u8(0xff);
        self
    }

    fn finish(self) -> Looks {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: Process = Process { tgid: 1, start: 1, cgroup: 0 };

    fn passage(target: &str, forwarded_for: Option<&str>) -> Passage {
        Passage::new("GET", target, forwarded_for)
    }

    fn from(address: &str) -> IpAddr {
        address.parse().unwrap()
    }

    #[test]
    fn a_call_is_for_the_request_whose_client_it_names() {
        let mut passages = Passages::default();
        passages.begin(ActiveId(1), PROXY, passage("/a", None), from("::ffff:10.0.0.1"));
        passages.begin(ActiveId(2), PROXY, passage("/a", Some("192.0.2.1")), from("10.0.0.2"));
        passages.begin(ActiveId(3), PROXY, passage("/b", None), from("10.0.0.3"));
        let of = |target: &str, forwarded_for| {
            passages.of(PROXY, &passage(target, forwarded_for)).map(|active| active.0).collect::<Vec<_>>()
        };
        assert_eq!(of("/a", Some("10.0.0.1")), [1]);
        assert_eq!(of("/a", Some("::FFFF:10.0.0.1")), [1]);
        for as_seen in ["192.0.2.1, 10.0.0.2", "192.0.2.1,10.0.0.2", "192.0.2.1", "10.0.0.2"] {
            assert_eq!(of("/a", Some(as_seen)), [2], "{as_seen}");
        }
        for (target, forwarded_for) in [
            ("/a", None),
            ("/a", Some("")),
            ("/a", Some("10.0.0.3")),
            ("/b", Some("10.0.0.1")),
            ("/a", Some("10.0.0.2, 192.0.2.1")),
        ] {
            assert_eq!(of(target, forwarded_for), [0; 0], "{target} {forwarded_for:?}");
        }
        let other = Process { tgid: 2, ..PROXY };
        assert_eq!(passages.of(other, &passage("/a", Some("10.0.0.1"))).count(), 0);
    }

    #[test]
    fn whoever_can_be_meant_counts() {
        let mut passages = Passages::default();
        passages.begin(ActiveId(1), PROXY, passage("/a", None), from("10.0.0.1"));
        // Passed on as it came it looks like the first one's.
        passages.begin(ActiveId(2), PROXY, passage("/a", Some("10.0.0.1")), from("10.0.0.2"));
        let call = passage("/a", Some("10.0.0.1"));
        assert_eq!(passages.of(PROXY, &call).count(), 2);
        passages.end(ActiveId(2), PROXY, call.request);
        assert_eq!(passages.of(PROXY, &call).collect::<Vec<_>>(), [ActiveId(1)]);
        passages.end(ActiveId(1), PROXY, passage("/b", None).request);
        assert_eq!(passages.of(PROXY, &call).count(), 1, "another target's");
        passages.end(ActiveId(1), PROXY, call.request);
        assert!(passages.processes.is_empty() && passages.requests.is_empty() && passages.looks.is_empty());
    }

    #[test]
    fn where_too_many_are_open_nobody_is_told() {
        let mut passages = Passages::default();
        for active in 0..=MAX_OPEN as u64 {
            passages.begin(ActiveId(active), PROXY, passage(&format!("/{active}"), None), from("10.0.0.1"));
        }
        let call = passage("/0", Some("10.0.0.1"));
        assert_eq!(passages.of(PROXY, &call).count(), 0);
        for active in 0..=MAX_OPEN as u64 {
            passages.end(ActiveId(active), PROXY, passage(&format!("/{active}"), None).request);
        }
        passages.begin(ActiveId(9), PROXY, passage("/0", None), from("10.0.0.1"));
        assert_eq!(passages.of(PROXY, &call).count(), 1);
    }
}
