//! What the clients ask for, which is the truth; and the clients.

use std::thread;
use std::time::Instant;

use xtask::http::{Address, Client};

/// Requests that one connection carries before the client opens another.
const REQUESTS_PER_CONNECTION: usize = 5;

/// What a request does beside its steps (`tests/apps/oracle/steps.py`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing.
    Plain,
    /// Each step under one lock for all requests.
    Lock,
    /// Something that nobody waits for.
    Background,
    /// Several things at the same time, before the steps.
    Children,
    /// The same by tasks that run before the request waits for them (asyncio).
    Ahead,
    /// The same by functions on threads of an executor (asyncio).
    Threads,
}

/// Calls and lines that a request does at the same time: `CHILDREN` of the applications.
const CHILDREN: (usize, usize) = (3, 1);

/// Kinds of step.
pub const KINDS: [char; 4] = ['s', 'r', 'h', 'l'];

/// Milliseconds of sleep before a step.
const PAUSES: [u32; 5] = [0, 0, 1, 5, 20];

#[derive(Debug)]
struct Request {
    id: String,
    mode: Mode,
    steps: Vec<(char, u32)>,
}

impl Request {
    /// The modes in turn, steps by the number.
    fn new(number: usize, modes: &[Mode], kinds: &[char]) -> Self {
        let mut chance = Chance(number as u64 + 1);
        let steps = 2 + chance.below(4);
        let steps =
            (0..steps).map(|_| (kinds[chance.below(kinds.len() as u64)], PAUSES[chance.below(5)])).collect();
        Self { id: format!("rq{number}"), mode: modes[number % modes.len()], steps }
    }

    fn target(&self) -> String {
        let mode = match self.mode {
            Mode::Plain => "plain",
            Mode::Lock => "lock",
            Mode::Background => "background",
            Mode::Children => "children",
            Mode::Ahead => "ahead",
            Mode::Threads => "threads",
        };
        let steps: Vec<String> = self.steps.iter().map(|(kind, pause)| format!("{kind}{pause}")).collect();
        format!("/{mode}/{}?steps={}", self.id, steps.join(","))
    }
}

/// All requests.
#[derive(Debug)]
pub struct Plan {
    /// By client.
    requests: Vec<Vec<Request>>,
}

impl Plan {
    /// So many requests of so many clients, with steps of these kinds.
    pub fn new(clients: usize, each: usize, modes: &[Mode], kinds: &[char]) -> Self {
        let of_client =
            |client| (0..each).map(|request| Request::new(client * each + request, modes, kinds)).collect();
        Self { requests: (0..clients).map(of_client).collect() }
    }

    /// Requests.
    pub fn len(&self) -> usize {
        self.requests.iter().map(Vec::len).sum()
    }

    /// Calls and lines that the requests' own code makes, one after the other.
    pub fn own(&self) -> (usize, usize) {
        let steps = self.requests.iter().flatten().flat_map(|request| &request.steps);
        let lines = steps.clone().filter(|(kind, _)| *kind == 'l').count();
        (steps.count() - lines, lines)
    }

    /// Calls and lines that parts of the requests of a mode make at the same time.
    pub fn children(&self, mode: Mode) -> (usize, usize) {
        let requests = self.count(mode);
        (requests * CHILDREN.0, requests * CHILDREN.1)
    }

    /// Requests of a mode.
    pub fn count(&self, mode: Mode) -> usize {
        self.requests.iter().flatten().filter(|request| request.mode == mode).count()
    }

    /// Has the application answer a request that is not of any plan.
    ///
    /// # Panics
    /// When it fails.
    pub fn first(address: &Address, mode: &str) {
        let target = format!("/{mode}/first?steps=l0");
        let response = Client::connect(address).unwrap().get(&target).unwrap();
        assert_eq!((response.status, &*response.body), (200, &b"first"[..]));
    }

    /// Each client sends its requests, all clients at once. Gives the seconds that it took.
    ///
    /// # Panics
    /// When a request fails.
    pub fn send(&self, address: &Address) -> f64 {
        let start = Instant::now();
        thread::scope(|scope| {
            for requests in &self.requests {
                scope.spawn(|| send_all(address, requests));
            }
        });
        start.elapsed().as_secs_f64()
    }
}

fn send_all(address: &Address, requests: &[Request]) {
    for requests in requests.chunks(REQUESTS_PER_CONNECTION) {
        let mut client = None;
        for request in requests {
            let connection = client.get_or_insert_with(|| Client::connect(address).unwrap());
            let response = connection.get(&request.target()).unwrap();
            let said = String::from_utf8_lossy(&response.body);
            assert_eq!((response.status, &*said), (200, &*request.id), "{}", request.target());
            // gunicorn's worker with one thread keeps no connection.
            if response.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
                client = None;
            }
        }
    }
}

/// Numbers that are the same in every run (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % limit).expect("below a small number")
    }
}
