//! One run: clients are held, the tracer is attached, the clients work, the tracer ends.

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tests::live::{Losses, Outcome, Tracer, text};
use xtask::testbed::RunDirectory;

use super::client::Client;
use super::counts::Counts;

/// What is in every value that must not leave the node.
const SECRET: &str = "planted";

/// The `service.name` of servers, which do not name themselves.
pub const SERVER: &str = "server";

/// Traces these clients, and the servers with these process ids, while `work` lets the clients work.
pub fn trace(
    directory: &RunDirectory,
    clients: &mut [Client],
    servers: &[u32],
    options: &[&str],
    work: impl FnOnce(&mut [Client]),
) -> Told {
    let tracer = attach(directory, clients, servers, options);
    work(clients);
    Told { outcome: tracer.stop() }
}

/// As [`trace`], with the tracer's process stopped for as long as the clients work: what the probe captures is what it
/// knows by itself.
pub fn trace_unattended(
    directory: &RunDirectory,
    clients: &mut [Client],
    servers: &[u32],
    work: impl FnOnce(&mut [Client]),
) -> Told {
    let tracer = attach(directory, clients, servers, &[]);
    tracer.pause(|| work(clients));
    Told { outcome: tracer.stop() }
}

fn attach(directory: &RunDirectory, clients: &[Client], servers: &[u32], options: &[&str]) -> Tracer {
    let pids = clients.iter().map(Client::id).chain(servers.iter().copied());
    let mut arguments: Vec<String> = pids.flat_map(|pid| ["--pid".to_owned(), pid.to_string()]).collect();
    arguments.extend(["--service-name".to_owned(), SERVER.to_owned()]);
    arguments.extend(options.iter().map(|option| (*option).to_owned()));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Tracer::start(directory, &arguments)
}

/// Lets all work at the same time, and waits until all are done.
pub fn at_once(clients: &mut [Client]) {
    clients.iter_mut().for_each(|client| client.release(""));
    clients.iter_mut().for_each(|client| {
        client.finish();
    });
}

/// What the tracer told.
pub struct Told {
    pub outcome: Outcome,
}

impl Told {
    /// The spans of a kind that a service has.
    pub fn spans(&self, service: &str, kind: SpanKind) -> Vec<&Span> {
        let is_wanted = |span: &&tests::sink::Collected<Span>| {
            span.item.kind == kind as i32 && text(&span.resource.attributes, "service.name") == Some(service)
        };
        self.outcome.telemetry.spans.iter().filter(is_wanted).map(|span| &span.item).collect()
    }

    /// What a client's spans tell.
    pub fn client(&self, service: &str) -> Counts {
        Counts::of(self.spans(service, SpanKind::Client))
    }

    /// What a server's spans tell.
    pub fn server(&self, service: &str) -> Counts {
        Counts::of(self.spans(service, SpanKind::Server))
    }

    /// Panics unless nothing was lost and each of these was told as it was done.
    pub fn require(&self, accounts: &[(&str, Counts, Counts)]) {
        let mut wrong = Vec::new();
        for (who, done, told) in accounts {
            println!("{who}: {} done, {} told", done.sum(), told.sum());
            wrong.extend(done.differences(told).into_iter().map(|difference| format!("{who}: {difference}")));
        }
        assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), self.outcome.summary());
        assert_eq!(self.outcome.lost_in_kernel(), Losses::new(), "{}", self.outcome.summary());
        self.require_private();
    }

    /// Panics when a secret left the node. Every value that clients plant has [`SECRET`] in it; so has the database's
    /// password. A log record's body is the application's own line, which is exported as it is.
    pub fn require_private(&self) {
        let telemetry = &self.outcome.telemetry;
        for span in &telemetry.spans {
            let written = format!("{span:?}");
            assert!(!written.contains(SECRET), "a secret is in a span: {written}");
        }
        for log in &telemetry.logs {
            let written = format!("{:?} {:?} {:?}", log.resource, log.scope, log.item.attributes);
            assert!(!written.contains(SECRET), "a secret is in what comes with a line: {written}");
        }
        assert!(!self.outcome.stderr.contains(SECRET), "the tracer wrote a secret: {}", self.outcome.stderr);
    }

    /// As [`Self::require`], for clients that write an account.
    pub fn require_accounts(&self, clients: &[Client]) {
        let accounts: Vec<_> = clients
            .iter()
            .map(|client| (client.name(), client.account(), self.client(client.name())))
            .collect();
        self.require(&accounts);
    }
}
