//! nginx, the backend and its stores in pods of their own: other network namespaces, other addresses at both ends.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use tests::live::{Outcome, Tracer, TracerOptions, text};
use xtask::http::Address;
use xtask::testbed::{Backend, BackendOptions, Bind, Network, Nginx, RunDirectory, Testbed, free_port};

use super::browser::{self, Sent};
use super::tree::check_chain;

/// Who is in which pod.
const WEB: u8 = 0;
const APP: u8 = 1;
const STORES: u8 = 2;

/// The address of the node's services, on which nobody listens.
const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 7, 7);

/// Where the others find a server.
#[derive(Clone, Copy)]
enum Route {
    /// At its pod's address.
    Pod,
    /// At the service's: the node translates both addresses.
    Service,
}

struct Scene {
    network: Network,
    nginx: Nginx,
    backend: Backend,
    testbed: Testbed,
    listens: Address,
}

impl Scene {
    fn new(name: &str, route: Route) -> Self {
        let directory = RunDirectory::create(name).unwrap();
        let network = Network::create(&directory, 3).unwrap();
        let (web, app) = (network.pod(WEB).unwrap(), network.pod(APP).unwrap());
        let stores = network.pod(STORES).unwrap();
        let testbed = stores.run(|| Testbed::start_on_all_addresses(directory)).unwrap();
        let [database, cache] = [testbed.mariadb.port(), testbed.redis.port()];
        let reach = |pod: u8, port: u16| match route {
            Route::Pod => SocketAddrV4::new(Network::address(pod), port),
            Route::Service => SocketAddrV4::new(SERVICE, port),
        };
        let host = reach(STORES, database).ip().to_string();
        let environment = ["DB_HOST", "REDIS_HOST"].map(|name| (name.to_owned(), host.clone())).to_vec();
        let options = BackendOptions { bind: Bind::All, environment, ..BackendOptions::default() };
        let backend = app.run(|| testbed.backend(&options)).unwrap();
        let upstream = backend.address().port().unwrap();
        if let Route::Service = route {
            let services = [(APP, upstream), (STORES, database), (STORES, cache)]
                .map(|(pod, port)| (reach(pod, port), SocketAddrV4::new(Network::address(pod), port)));
            network.translate(&services).unwrap();
        }
        let (nginx, listens) = web
            .run(|| {
                let listens = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
                let servers = format!(
                    "server {{ listen {listens}; location / {{ proxy_pass http://{}; }} }}",
                    reach(APP, upstream)
                );
                let listens = Address::Tcp(listens);
                let nginx = Nginx::start(testbed.directory(), "nginx", &servers, &listens)?;
                Ok((nginx, listens))
            })
            .unwrap();
        Self { network, nginx, backend, testbed, listens }
    }

    fn trace(&self, path: &str, send: fn(&Address, &str) -> Vec<Sent>) -> (Vec<Sent>, Outcome) {
        let Testbed { mariadb, redis, .. } = &self.testbed;
        let processes = [self.nginx.id(), self.backend.id(), mariadb.id(), redis.id()];
        let arguments: Vec<String> =
            processes.iter().flat_map(|process| ["--pid".to_owned(), process.to_string()]).collect();
        let name = format!("tracer{}", path.replace('/', "-"));
        let options = TracerOptions { name, arguments, ..TracerOptions::default() };
        let tracer = Tracer::start_with(self.testbed.directory(), options);
        let web = self.network.pod(WEB).unwrap();
        let sent = web.run(|| Ok(send(&self.listens, path))).unwrap();
        let outcome = tracer.stop();
        println!("{}", outcome.summary());
        assert_eq!(outcome.lost_in_all(), 0);
        (sent, outcome)
    }
}

/// The whole chain, whose backend sees its client at `client`.
fn check(name: &str, route: Route, client: Ipv4Addr) {
    let scene = Scene::new(name, route);
    for (path, call) in [("/api/db/messages", "SELECT"), ("/api/logs/redis", "LRANGE")] {
        let (sent, outcome) = scene.trace(path, browser::send);
        assert!(!sent.is_empty());
        for sent in &sent {
            let backend = check_chain(&outcome, sent, call);
            let peer = text(&backend.attributes, "network.peer.address");
            assert_eq!(peer, Some(client.to_string().as_str()));
        }
    }
}

#[test]
fn in_other_namespaces() {
    check("hops-pods", Route::Pod, Network::address(WEB));
}

#[test]
fn with_both_addresses_translated() {
    check("hops-nat", Route::Service, Network::gateway(APP));
}

/// nginx's `connect` returns long before it is answered.
#[test]
fn on_connections_that_are_answered_late() {
    let scene = Scene::new("hops-late", Route::Pod);
    let server = SocketAddrV4::new(Network::address(APP), scene.backend.address().port().unwrap());
    scene.network.lose_first_packets(server).unwrap();
    let (sent, outcome) = scene.trace("/api/db/messages", browser::send_one);
    check_chain(&outcome, &sent[0], "SELECT");
}
