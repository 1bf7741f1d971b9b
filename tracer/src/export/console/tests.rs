use super::*;
use crate::export::testing::{self, START};
use crate::span::{Attribute, Link, LinkKind, Severity, Span, SpanKind, Status};

fn trace() -> TraceId {
    TraceId([0x4b; 16])
}

/// A span of the test's trace; times in µs after [`START`].
fn span(id: u8, parent: Option<u8>, kind: SpanKind, name: &str, times: (u64, u64)) -> Telemetry {
    edited(testing::span(name), |span| {
        span.trace_id = trace();
        span.span_id = SpanId([id; 8]);
        span.parent = parent.map(|parent| SpanId([parent; 8]));
        span.kind = kind;
        span.start_unix_ns = START + times.0 * 1_000;
        span.end_unix_ns = START + times.1 * 1_000;
    })
}

fn edited(mut telemetry: Telemetry, edit: impl Fn(&mut Span)) -> Telemetry {
    if let Item::Span(span) = &mut telemetry.item {
        edit(span);
    }
    telemetry
}

fn with(telemetry: Telemetry, attributes: Vec<Attribute>, status: Status) -> Telemetry {
    edited(telemetry, |span| {
        span.description.attributes = attributes.clone();
        span.description.status = status.clone();
    })
}

fn log(span: u8, at: u64, body: &str) -> Telemetry {
    let mut telemetry = testing::log(body);
    if let Item::Log(log) = &mut telemetry.item {
        log.context = Some((trace(), Some(SpanId([span; 8])), true));
        log.severity = Some(Severity { number: 9, text: "INFO".to_owned() });
        log.time_unix_ns = START + at * 1_000;
    }
    telemetry
}

fn of_service(mut telemetry: Telemetry, service: &str) -> Telemetry {
    telemetry.resource = testing::resource(service);
    telemetry
}

fn console() -> Console<Vec<u8>> {
    Console::new(Vec::new(), Style::Plain)
}

fn text(console: &Console<Vec<u8>>) -> String {
    String::from_utf8(console.out.clone()).unwrap()
}

#[test]
fn a_request_is_a_tree_with_its_log_lines() {
    let mut console = console();
    let now = Instant::now();
    let (client, server) = (SpanKind::Client, SpanKind::Server);
    let insert = vec![
        Attribute::new("db.system.name", "mariadb"),
        Attribute::new("db.query.text", format!("INSERT INTO messages VALUES ({})", "?, ".repeat(50))),
    ];
    let wrong_type = vec![
        Attribute::new("db.system.name", "redis"),
        Attribute::new("db.response.status_code", "WRONGTYPE"),
        Attribute::new("error.type", "WRONGTYPE"),
    ];
    let items = [
        with(span(3, Some(1), client, "LPUSH", (9_000, 9_345)), wrong_type, Status::Error(None)),
        log(1, 8_500, "stored\nsecond line"),
        with(span(2, Some(1), client, "INSERT messages", (1_200, 4_500)), insert, Status::Unset),
        of_service(span(5, Some(4), server, "GET /x", (6_100, 6_900)), "other"),
        span(4, Some(1), client, "GET", (6_000, 7_000)),
        with(
            span(1, None, server, "POST /api/db/message", (0, 12_300)),
            vec![Attribute::new("http.response.status_code", 201_i64)],
            Status::Unset,
        ),
    ];
    items.into_iter().for_each(|item| console.push(item, now).unwrap());
    console.print_due(now + QUIET).unwrap();
    let expected = "\
trace 4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b  22:13:20.000
SERVER POST /api/db/message  12.3 ms  201  service.name=test
├─ +1.2 ms CLIENT INSERT messages  3.3 ms  mariadb  INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, …
├─ +6.0 ms CLIENT GET  1.0 ms
│  └─ +6.1 ms SERVER GET /x  800 µs  service.name=other
├─ +8.5 ms log INFO stored\\nsecond line
└─ +9.0 ms CLIENT LPUSH  345 µs  ERROR  redis  status=WRONGTYPE  error.type=WRONGTYPE

";
    assert_eq!(text(&console), expected);
}

#[test]
fn a_trace_waits_for_its_server_span_and_then_for_quiet() {
    let mut console = console();
    let start = Instant::now();
    console.push(span(2, Some(1), SpanKind::Client, "GET", (0, 1)), start).unwrap();
    assert_eq!(console.due(), Some(start + MAX_WAIT));
    console.print_due(start + Duration::from_secs(20)).unwrap();
    assert_eq!(text(&console), "");
    let ended = start + Duration::from_secs(20);
    console.push(span(1, None, SpanKind::Server, "GET /", (0, 2)), ended).unwrap();
    assert_eq!(console.due(), Some(ended + QUIET));
    // Stragglers put it off, but not for ever.
    for step in 1..100 {
        console.push(log(1, step, "line"), ended + Duration::from_millis(step * 200)).unwrap();
    }
    assert_eq!(console.due(), Some(ended + MAX_QUIET));
    console.print_due(ended + MAX_QUIET).unwrap();
    assert!(text(&console).contains("└─ "));
    assert_eq!((console.due(), console.items), (None, 0));
}

#[test]
fn what_comes_after_the_tree_does_not_wait_long() {
    let mut console = console();
    let start = Instant::now();
    console.push(span(1, None, SpanKind::Server, "GET /", (0, 2)), start).unwrap();
    console.print_due(start + QUIET).unwrap();
    let later = start + Duration::from_secs(1);
    console.push(log(1, 5, "access log"), later).unwrap();
    assert_eq!(console.due(), Some(later + QUIET));
    console.print_due(later + QUIET).unwrap();
    assert!(text(&console).contains("(continued)\nlog INFO access log"));
}

#[test]
fn a_remote_parent_is_not_waited_for_but_used_when_it_is_here() {
    let mut console = console();
    let now = Instant::now();
    let server =
        edited(span(2, Some(1), SpanKind::Server, "GET /b", (1, 2)), |span| span.remote_parent = true);
    console.push(server, now).unwrap();
    assert_eq!(console.due(), Some(now + QUIET));
    console.push(span(1, None, SpanKind::Client, "GET", (0, 3)), now).unwrap();
    console.finish().unwrap();
    assert!(text(&console).contains("CLIENT GET  3 µs  service.name=test\n└─ +1 µs SERVER GET /b"));
}

#[test]
fn a_log_record_without_a_trace_is_one_line_at_once() {
    let mut console = console();
    console.push(testing::log("started \x1b[2J"), Instant::now()).unwrap();
    assert_eq!(text(&console), "22:13:20.001 test stdout started \\u{1b}[2J\n");
}

#[test]
fn open_traces_are_bounded_and_the_oldest_is_printed_first() {
    let mut console = console();
    let start = Instant::now();
    for index in 0..=MAX_TRACES {
        let span = testing::span(&format!("number-{index}."));
        console.push(span, start + Duration::from_micros(index as u64)).unwrap();
    }
    assert_eq!(console.open.len(), MAX_TRACES);
    assert!(text(&console).contains("number-0.") && !text(&console).contains("number-1."));
    for index in 0..=MAX_ITEMS {
        console.push(log(1, index as u64, "x"), start + Duration::from_secs(1)).unwrap();
    }
    assert!(console.items <= MAX_ITEMS);
}

#[test]
fn loops_and_long_chains_are_printed_once_each() {
    let mut console = console();
    let now = Instant::now();
    console.push(span(1, Some(2), SpanKind::Client, "one", (0, 1)), now).unwrap();
    console.push(span(2, Some(1), SpanKind::Client, "two", (0, 1)), now).unwrap();
    console.push(span(3, Some(3), SpanKind::Client, "self", (0, 1)), now).unwrap();
    (4..250)
        .for_each(|id| console.push(span(id, Some(id - 1), SpanKind::Client, "deep", (0, 1)), now).unwrap());
    console.finish().unwrap();
    let text = text(&console);
    assert_eq!(text.lines().filter(|line| line.contains("CLIENT")).count(), 249);
    assert!(text.lines().all(|line| line.chars().count() < 3 * MAX_TRACES));
}

#[tokio::test]
async fn a_broken_pipe_is_counted_and_no_panic() {
    struct Broken;
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let stats = SinkStats::new("console".to_owned());
    let limits = crate::export::queue::Limits { spans: 9, logs: 9, batch: 1, delay: Duration::ZERO };
    let queue = Queue::new(limits, Arc::clone(&stats));
    queue.offer(testing::log("line"));
    queue.offer(testing::span("s"));
    queue.close();
    run(Console::new(Broken, Style::Plain), queue, Arc::clone(&stats)).await;
    assert_eq!(stats.tally(Signal::Logs).dropped(DropReason::GaveUp), 1);
}

#[test]
fn a_span_tells_what_it_is_linked_to() {
    let mut console = console();
    let link = Link { trace_id: TraceId([0xab; 16]), span_id: SpanId([0xcd; 8]), kind: LinkKind::SameNode };
    let span = edited(span(1, None, SpanKind::Server, "GET", (0, 1_000)), |span| span.links = vec![link]);
    let now = Instant::now();
    console.push(span, now).unwrap();
    console.print_due(now + QUIET).unwrap();
    let expected = format!("same_node={}/{}", "ab".repeat(16), "cd".repeat(8));
    assert!(text(&console).contains(&expected), "{}", text(&console));
}
