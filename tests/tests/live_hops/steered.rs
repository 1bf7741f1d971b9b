//! Connections of which one processor handles the packets that another one sent: then states change while the process at
//! the other end is in the midst of a call, and interrupt what the probe does on that processor.

use std::net::{Ipv4Addr, SocketAddr};

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tests::live::{Tracer, TracerOptions, number};
use xtask::http::Address;
use xtask::testbed::{Network, Nginx, RunDirectory, free_port};

use super::browser;
use super::tree::below;

/// Rounds of requests.
const ROUNDS: usize = 50;

#[test]
fn each_of_many_short_connections_is_joined() {
    let directory = RunDirectory::create("hops-steered").unwrap();
    let network = Network::create(&directory, 1).unwrap();
    let pod = network.pod(0).unwrap();
    pod.steer_packets("lo").unwrap();
    let start = |name: &str, location: &str| {
        pod.run(|| {
            let listens = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
            let servers = format!("server {{ listen {listens}; location / {{ {location} }} }}");
            let nginx = Nginx::start(&directory, name, &servers, &Address::Tcp(listens))?;
            Ok((nginx, listens))
        })
        .unwrap()
    };
    let (back, behind) = start("back", "return 200 ok;");
    let (front, listens) = start("front", &format!("proxy_pass http://{behind};"));
    let arguments =
        [&front, &back].into_iter().flat_map(|nginx| ["--pid".to_owned(), nginx.id().to_string()]);
    let options = TracerOptions { arguments: arguments.collect(), ..TracerOptions::default() };
    let tracer = Tracer::start_with(&directory, options);
    let send = || browser::send_without_context(&Address::Tcp(listens), "/");
    let sent: usize = pod.run(|| Ok((0..ROUNDS).map(|_| send()).sum())).unwrap();
    let outcome = tracer.stop();
    println!("{}", outcome.summary());
    assert_eq!(outcome.lost_in_all(), 0);
    let calls: Vec<_> = outcome.telemetry.clients().collect();
    assert_eq!(calls.len(), sent);
    let joined = calls.iter().filter(|call| {
        let answers = below(&outcome, call, SpanKind::Server);
        answers.len() == 1 && number(&answers[0].attributes, "server.port") == Some(behind.port().into())
    });
    assert_eq!(joined.count(), sent);
}
