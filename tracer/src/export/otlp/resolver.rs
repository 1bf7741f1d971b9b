//! Names → addresses without the C library: a static glibc cannot load NSS.
//!
//! `/etc/hosts` first, then DNS as `/etc/resolv.conf` says (search list and ndots). Both are read anew for each
//! connection: connections are rare, and a stale address would outlive a collector that moved.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};

use hickory_resolver::config::{ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name as DnsName, RecordType};
use hickory_resolver::system_conf::parse_resolv_conf;
use hickory_resolver::{Hosts, TokioResolver};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

/// The file that says which name servers there are, and how names are completed.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Resolves the names of receivers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resolver;

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        Box::pin(async move { resolve(name.as_str()).await.map(socket_addresses) })
    }
}

/// TCP connections to receivers, for both protocols. TLS, where the URL asks for it, comes on top.
pub(super) fn connector() -> HttpConnector<Resolver> {
    let mut connector = HttpConnector::new_with_resolver(Resolver);
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector
}

async fn resolve(name: &str) -> io::Result<Vec<IpAddr>> {
    if let Ok(address) = name.parse() {
        return Ok(vec![address]);
    }
    if let Some(addresses) = local(name) {
        return Ok(addresses);
    }
    let hosts = Hosts::from_system().unwrap_or_default();
    if let Some(addresses) = listed(&hosts, name) {
        return Ok(addresses);
    }
    asked(name).await
}

/// RFC 6761 section 6.3: localhost is the loopback, whatever DNS says.
fn local(name: &str) -> Option<Vec<IpAddr>> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let loopback = || vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    (name == "localhost" || name.ends_with(".localhost")).then(loopback)
}

/// What the hosts file says, if it knows the name: then DNS is not asked, not even for the other family.
fn listed(hosts: &Hosts, name: &str) -> Option<Vec<IpAddr>> {
    let name = DnsName::from_str(name).ok()?;
    let addresses: Vec<_> = [RecordType::A, RecordType::AAAA]
        .into_iter()
        .filter_map(|family| hosts.lookup_static_host(&Query::query(name.clone(), family)))
        .flat_map(|lookup| {
            lookup.answers().iter().filter_map(|record| record.data.ip_addr()).collect::<Vec<_>>()
        })
        .collect();
    (!addresses.is_empty()).then_some(addresses)
}

/// What DNS says, asked as `/etc/resolv.conf` wants it.
async fn asked(name: &str) -> io::Result<Vec<IpAddr>> {
    let unusable = |error: &dyn std::fmt::Display| {
        io::Error::other(format!("cannot look up {name}: {RESOLV_CONF} is not usable: {error}"))
    };
    let text = std::fs::read(RESOLV_CONF).map_err(|error| unusable(&error))?;
    let (config, options) = parse_resolv_conf(text).map_err(|error| unusable(&error))?;
    lookup(name, config, options).await
}

async fn lookup(name: &str, config: ResolverConfig, options: ResolverOpts) -> io::Result<Vec<IpAddr>> {
    let failed = |error: NetError| io::Error::other(format!("cannot look up {name}: {error}"));
    let builder =
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).with_options(options);
    let answer = builder.build().map_err(failed)?.lookup_ip(name).await.map_err(failed)?;
    Ok(answer.iter().collect())
}

/// The connector puts the port in.
fn socket_addresses(addresses: Vec<IpAddr>) -> std::vec::IntoIter<SocketAddr> {
    addresses.into_iter().map(|address| SocketAddr::new(address, 0)).collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
    use hickory_resolver::proto::rr::{RData, Record};
    use tokio::net::UdpSocket;

    use super::*;

    /// A name server that knows one name; its port and the names that it is asked for.
    async fn name_server(known: &'static str, address: Ipv4Addr) -> (u16, Arc<Mutex<Vec<String>>>) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&asked);
        tokio::spawn(async move {
            let mut packet = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut packet).await {
                let question = Message::from_vec(&packet[..length]).unwrap();
                let query = question.queries[0].clone();
                let name = query.name().to_string();
                let mut answer = Message::response(question.metadata.id, OpCode::Query);
                if name != known {
                    answer.metadata.response_code = ResponseCode::NXDomain;
                } else if query.query_type() == RecordType::A {
                    answer.add_answer(Record::from_rdata(query.name().clone(), 60, RData::A(address.into())));
                }
                answer.add_query(query);
                told.lock().unwrap().push(name);
                socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
            }
        });
        (port, asked)
    }

    #[tokio::test]
    async fn a_short_name_is_completed_as_in_a_pod() {
        let address = Ipv4Addr::new(10, 0, 0, 7);
        let (port, asked) = name_server("collector.monitoring.svc.cluster.local.", address).await;
        let conf = "nameserver 127.0.0.1\nsearch shop.svc.cluster.local svc.cluster.local\noptions ndots:5\n";
        let (config, options) = parse_resolv_conf(conf).unwrap();
        let (domain, search, mut servers) = config.into_parts();
        servers.iter_mut().flat_map(|server| &mut server.connections).for_each(|each| each.port = port);
        let config = ResolverConfig::from_parts(domain, search, servers);
        let found = lookup("collector.monitoring", config.clone(), options.clone()).await.unwrap();
        assert_eq!(found, [IpAddr::V4(address)]);
        assert_eq!(asked.lock().unwrap()[0], "collector.monitoring.shop.svc.cluster.local.");
        let error = lookup("unknown", config, options).await.unwrap_err().to_string();
        assert!(error.starts_with("cannot look up unknown: "), "{error}");
    }

    #[tokio::test]
    async fn literals_and_localhost_need_no_configuration() {
        let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        assert_eq!(resolve("127.0.0.1").await.unwrap(), loopback[..1]);
        assert_eq!(resolve("::1").await.unwrap(), loopback[1..]);
        assert_eq!(resolve("localhost").await.unwrap(), loopback);
        assert_eq!(resolve("Collector.LOCALHOST.").await.unwrap(), loopback);
    }

    #[test]
    fn the_hosts_file_comes_before_dns() {
        let mut hosts = Hosts::default();
        hosts.read_hosts_conf("10.1.2.3 collector collector.mesh\nfd00::7 collector\n".as_bytes()).unwrap();
        let expected: [IpAddr; 2] = ["10.1.2.3".parse().unwrap(), "fd00::7".parse().unwrap()];
        assert_eq!(listed(&hosts, "collector").unwrap(), expected);
        assert_eq!(listed(&hosts, "Collector.Mesh").unwrap(), expected[..1]);
        assert_eq!(listed(&hosts, "other"), None);
    }
}
