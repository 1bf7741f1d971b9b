//! Random event sequences: parents are checked against a model, and everything that begins must end.

use proptest::prelude::*;
use tracer_ebpf::{ConnectionNote, Direction};

use super::script::{Conn, Script};

const THREADS: u32 = 3;
const CONNECTIONS: u64 = 3;

#[derive(Clone, Copy, Debug)]
enum Action {
    /// A thread reads a whole request.
    Request { tid: u32, web: u64 },
    /// Two threads read a part of a request each.
    Halves { first: u32, second: u32, web: u64 },
    /// A thread writes the response to the oldest open request, if there is one.
    Response { tid: u32, web: u64 },
    /// A thread makes a call on its own client connection.
    Call { tid: u32 },
    /// A thread waits on one descriptor.
    Wait { tid: u32 },
    /// A thread waits on several.
    Epoll { tid: u32 },
}

fn action() -> impl Strategy<Value = Action> {
    let tid = 1..=THREADS;
    let web = 1..=CONNECTIONS;
    prop_oneof![
        3 => (tid.clone(), web.clone()).prop_map(|(tid, web)| Action::Request { tid, web }),
        1 => (tid.clone(), tid.clone(), web.clone())
            .prop_map(|(first, second, web)| Action::Halves { first, second, web }),
        3 => (tid.clone(), web).prop_map(|(tid, web)| Action::Response { tid, web }),
        4 => tid.clone().prop_map(|tid| Action::Call { tid }),
        1 => tid.clone().prop_map(|tid| Action::Wait { tid }),
        1 => tid.prop_map(|tid| Action::Epoll { tid }),
    ]
}

/// What is true of the requests, told without the pipeline's own rules.
#[derive(Default)]
struct Model {
    requests: Vec<Request>,
    /// How often requests changed hands.
    moves: usize,
    epolls: [u32; THREADS as usize + 1],
}

#[derive(Clone)]
struct Request {
    name: String,
    web: u64,
    /// Who moved bytes of it last, and how often that thread had waited on several descriptors then.
    owner: u32,
    epolls: u32,
    open: bool,
    /// Its owner had no other request while it was open.
    alone: bool,
    /// When its owner got it.
    got: usize,
    /// Its owner had others then, and has not moved bytes of it since they were over.
    ahead: bool,
}

impl Model {
    fn request(&mut self, name: &str, web: u64, tid: u32) {
        self.requests.push(Request {
            name: name.to_owned(),
            web,
            owner: 0,
            epolls: 0,
            open: true,
            alone: true,
            got: 0,
            ahead: false,
        });
        self.moved(self.requests.len() - 1, tid);
    }

    fn moved(&mut self, index: usize, tid: u32) {
        if self.requests[index].owner == tid {
            let mut open = self.requests.iter().filter(|request| request.open && request.owner == tid);
            let got = self.requests[index].got;
            self.requests[index].ahead &= open.any(|other| other.got < got);
            return;
        }
        self.moves += 1;
        let mut others = false;
        for other in self.requests.iter_mut().filter(|other| other.open && other.owner == tid) {
            other.alone = false;
            others = true;
        }
        let request = &mut self.requests[index];
        // A request that changes hands keeps what its earlier owner did to it.
        request.alone &=
            !others && (request.owner == 0 || request.epolls == self.epolls[request.owner as usize]);
        request.owner = tid;
        request.got = self.moves;
        request.ahead = others;
        request.epolls = self.epolls[tid as usize];
    }

    /// The requests that a call of the thread may be a child of, and the one that it must be.
    fn parents(&self, tid: u32) -> (Vec<String>, Option<String>) {
        let epolls = self.epolls[tid as usize];
        let open = || self.requests.iter().filter(|request| request.open && request.owner == tid);
        let mixed = open().any(|one| open().any(|other| one.web != other.web));
        let allowed = open().filter(|request| !mixed && !request.ahead && request.epolls == epolls);
        let required = open().find(|request| request.alone && request.epolls == epolls);
        (allowed.map(|request| request.name.clone()).collect(), required.map(|request| request.name.clone()))
    }
}

struct Call {
    name: String,
    allowed: Vec<String>,
    required: Option<String>,
}

fn run(actions: &[Action]) -> (Script, Vec<Call>) {
    let mut s = Script::new();
    let (mut model, mut calls) = (Model::default(), Vec::new());
    let web_conn = |web: u64| -> Conn { (web, web) };
    let db_conn = |tid: u32| -> Conn { (100 + u64::from(tid), 1) };
    (1..=CONNECTIONS).for_each(|web| s.accept(1, web_conn(web)));
    (1..=THREADS).for_each(|tid| s.connect(tid, db_conn(tid)));
    for (number, action) in actions.iter().enumerate() {
        let name = format!("{number}");
        match *action {
            Action::Request { tid, web } => {
                s.recv(tid, web_conn(web), &format!("?{name}\n"));
                model.request(&name, web, tid);
            }
            Action::Halves { first, second, web } => {
                s.recv(first, web_conn(web), &format!("?{name}"));
                model.request(&name, web, first);
                s.recv(second, web_conn(web), "\n");
                model.moved(model.requests.len() - 1, second);
            }
            Action::Response { tid, web } => {
                let Some(index) = model.requests.iter().position(|open| open.open && open.web == web) else {
                    continue;
                };
                s.send(tid, web_conn(web), "!ok\n");
                model.moved(index, tid);
                model.requests[index].open = false;
            }
            Action::Call { tid } => {
                s.send(tid, db_conn(tid), &format!("?call-{name}\n"));
                s.recv(tid, db_conn(tid), "!ok\n");
                let (allowed, required) = model.parents(tid);
                calls.push(Call { name: format!("call-{name}"), allowed, required });
            }
            Action::Wait { tid } => s.wait(tid),
            Action::Epoll { tid } => {
                s.epoll(tid);
                model.epolls[tid as usize] += 1;
            }
        }
    }
    for request in model.requests.iter().filter(|request| request.open) {
        s.send(request.owner, web_conn(request.web), "!ok\n");
    }
    (s, calls)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn parents_are_never_wrong_and_never_missing_without_need(
        actions in proptest::collection::vec(action(), 1..60),
    ) {
        let (mut s, calls) = run(&actions);
        s.pipeline.finish(s.time);
        s.telemetry.extend(s.pipeline.drain());
        for call in calls {
            let parent = s.span(&call.name).parent.map(|id| {
                let spans = s.spans();
                spans.iter().find(|span| span.span_id == id).map(|span| span.description.name.to_string()).unwrap()
            });
            match &parent {
                Some(parent) => prop_assert!(call.allowed.contains(parent), "{} below {parent}", call.name),
                None => prop_assert_eq!(&call.required, &None, "{} has no parent", call.name),
            }
            if call.required.is_some() {
                prop_assert_eq!(parent, call.required);
            }
        }
        let stats = s.pipeline.stats();
        prop_assert_eq!(stats.spans.server_begun, stats.spans.server_ended);
        prop_assert_eq!(stats.spans.client_begun, stats.spans.client_ended);
        prop_assert_eq!(stats.spans.unknown_exchange, 0);
        prop_assert_eq!((stats.tables.bindings, stats.tables.contexts), (0, 0));
    }

    /// Bytes, losses, repetitions and ends in any order: what begins also ends, and nothing stays.
    #[test]
    fn whatever_happens_every_exchange_is_accounted_for(
        steps in proptest::collection::vec((0..9_u8, 1..=THREADS, 1..4_u64, 0..20_u32, "[?!a\n]{0,6}"), 1..80),
    ) {
        let mut s = Script::new();
        for (kind, tid, sock, number, text) in &steps {
            let conn = (*sock, *sock);
            match kind {
                0 => s.accept(*tid, conn),
                1 => s.connect(*tid, conn),
                2 => s.note(*tid, conn, ConnectionNote::Seen),
                3 => s.close((*sock, 0)),
                4 => s.lose(conn, Direction::Ingress, *number),
                5 => s.moved(*tid, conn, Direction::Egress, text, |data| {
                    data.position = data.position.wrapping_sub((*number).into());
                }),
                6 => s.recv_end(*tid, conn, 0),
                7 => s.send(*tid, conn, text),
                _ => s.recv(*tid, conn, text),
            }
        }
        s.pipeline.finish(s.time);
        let stats = s.pipeline.stats();
        let spans = stats.spans;
        let abandoned = spans.abandoned_gap
            + spans.abandoned_malformed
            + spans.abandoned_no_span
            + spans.abandoned_encrypted
            + spans.abandoned_forgotten;
        prop_assert_eq!(
            spans.server_begun + spans.client_begun,
            spans.server_ended + spans.client_ended + abandoned
        );
        prop_assert_eq!(spans.exported, spans.server_ended + spans.client_ended + spans.incomplete);
        let tables = stats.tables;
        prop_assert_eq!((tables.connections, tables.bindings, tables.contexts), (0, 0, 0));
    }

    #[test]
    fn no_record_panics(
        records in proptest::collection::vec(
            (1_u16..=5, 56_u32..400, proptest::collection::vec(0_u8..4, 0..400)),
            1..20,
        ),
    ) {
        let mut s = Script::new();
        for (kind, size, rest) in records {
            let mut record = kind.to_ne_bytes().to_vec();
            record.extend(0_u16.to_ne_bytes());
            record.extend(size.to_ne_bytes());
            record.extend(rest);
            s.pipeline.on_record(&record);
        }
        s.pipeline.finish(u64::MAX);
    }
}
