//! Starts the sinks, feeds them, and ends them.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, timeout_at};

use super::console::{self, Console, Style};
use super::file::FileSink;
use super::otlp::OtlpSink;
use super::queue::{Limits, Queue};
use super::settings::{DEFAULT_QUEUE_SIZE, Settings, SignalSettings};
use super::stats::{ExportStats, Signal, SinkStats, Summary};
use super::{Target, Telemetry};

/// How long an item may wait before it is shown on the console or written to a file.
const LOCAL_DELAY: Duration = Duration::from_millis(100);

/// Items of one signal that may wait for the console or a file when nothing else is said: a process that writes its
/// log at full speed is faster than what is written of it. Memory is bounded apart from that.
const LOCAL_QUEUE_SIZE: usize = 262_144;

/// Items that the console or a file takes at once.
const LOCAL_BATCH: usize = 512;

/// Why the export stage cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A file cannot be written.
    #[error("cannot write to {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A certificate or key cannot be used.
    #[error("cannot use {path} for TLS: {reason}")]
    TlsFile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A client cannot be made.
    #[error("cannot set up the OTLP client: {0}")]
    Client(String),
    /// A thread cannot be made.
    #[error("cannot start a thread for the export to {0}: {1}")]
    Thread(&'static str, io::Error),
}

/// Takes telemetry from any thread. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Exporter {
    queues: Arc<[Arc<Queue>]>,
    stats: ExportStats,
}

impl Exporter {
    /// Queues one item for every sink. Never waits: a sink whose queue is full loses it, counted.
    pub fn offer(&self, telemetry: Telemetry) {
        let signal = Signal::of(&telemetry);
        let mut queues = self.queues.iter().filter(|queue| queue.takes(signal)).peekable();
        while let Some(queue) = queues.next() {
            // The usual single sink gets the item itself.
            if queues.peek().is_none() {
                return queue.offer(telemetry);
            }
            queue.offer(telemetry.clone());
        }
    }

    /// Whether no sink would lose the item now.
    #[must_use]
    pub fn has_room(&self, telemetry: &Telemetry) -> bool {
        let signal = Signal::of(telemetry);
        self.queues.iter().filter(|queue| queue.takes(signal)).all(|queue| queue.has_room(signal))
    }

    /// Until no sink would lose the item: for a source that can wait. With several sources it may be lost all the same.
    pub async fn room(&self, telemetry: &Telemetry) {
        let signal = Signal::of(telemetry);
        for queue in self.queues.iter().filter(|queue| queue.takes(signal)) {
            queue.room(signal).await;
        }
    }

    /// The counters, which go on counting.
    #[must_use]
    pub fn stats(&self) -> &ExportStats {
        &self.stats
    }
}

/// The running sinks.
#[derive(Debug)]
#[must_use = "without a shutdown the last batches are lost"]
pub struct Exporting {
    exporter: Exporter,
    sinks: Vec<oneshot::Receiver<()>>,
    cancel: watch::Sender<bool>,
}

impl Exporting {
    /// Takes nothing more. Nobody waits for room any longer.
    pub fn close(&self) {
        self.exporter.queues.iter().for_each(|queue| queue.close());
    }

    /// Takes nothing more, sends what waits, and tells what became of everything. What is not sent when the
    /// deadline has passed, or when `hurry` is over, is counted as such.
    pub async fn shutdown(self, deadline: Duration, hurry: impl Future<Output = ()>) -> Summary {
        self.close();
        let mut late = self.sinks;
        tokio::select! {
            () = all_ended(&mut late) => {}
            () = sleep(deadline) => {}
            () = hurry => {}
        }
        // What can be called off ends at once. A write to a terminal or a pipe that nobody reads cannot.
        self.cancel.send_replace(true);
        for sink in late {
            let _ended = timeout_at(Instant::now() + LOCAL_DELAY, sink).await;
        }
        self.exporter.stats.sinks.iter().for_each(|sink| sink.close());
        self.exporter.stats.summary()
    }
}

/// Until every sink has ended. Dropped before that, it leaves those that have not.
async fn all_ended(sinks: &mut Vec<oneshot::Receiver<()>>) {
    while let Some(sink) = sinks.last_mut() {
        let _ended = sink.await;
        sinks.pop();
    }
}

/// Starts a sink for each target; must be called in a tokio runtime with I/O and time. A target that is named
/// twice counts once.
///
/// # Errors
///
/// A file that cannot be written, a certificate that cannot be used.
pub fn start(settings: &Settings, targets: &[Target]) -> Result<(Exporter, Exporting), ExportError> {
    let (cancel, cancelled) = watch::channel(false);
    let mut starting =
        Starting { settings, cancelled, queues: Vec::new(), stats: Vec::new(), sinks: Vec::new() };
    for (index, target) in targets.iter().enumerate() {
        if !targets[..index].contains(target) {
            starting.start(target)?;
        }
    }
    let stats = ExportStats { sinks: starting.stats };
    let exporter = Exporter { queues: starting.queues.into(), stats };
    Ok((exporter.clone(), Exporting { exporter, sinks: starting.sinks, cancel }))
}

struct Starting<'a> {
    settings: &'a Settings,
    cancelled: watch::Receiver<bool>,
    queues: Vec<Arc<Queue>>,
    stats: Vec<Arc<SinkStats>>,
    sinks: Vec<oneshot::Receiver<()>>,
}

impl Starting<'_> {
    fn start(&mut self, target: &Target) -> Result<(), ExportError> {
        let stats = SinkStats::new(target.name().to_owned());
        self.stats.push(Arc::clone(&stats));
        match target {
            Target::Otlp => Signal::ALL.into_iter().try_for_each(|signal| self.start_otlp(signal, &stats)),
            Target::Console => {
                let console = Console::new(io::stdout(), Style::of_stdout());
                let queue = self.local_queue(&stats);
                self.spawn_thread("console", console::run(console, queue, stats))
            }
            Target::File(path) => {
                let sink = FileSink::open(path, Arc::clone(&stats))?;
                let queue = self.local_queue(&stats);
                self.spawn_thread("file", sink.run(queue))
            }
        }
    }

    fn start_otlp(&mut self, signal: Signal, stats: &Arc<SinkStats>) -> Result<(), ExportError> {
        let settings = self.settings.signal(signal);
        let sink = OtlpSink::new(signal, &settings.otlp, self.settings.retry, Arc::clone(stats))?;
        let limit = |of: Signal| if of == signal { settings.batch.queue } else { 0 };
        let limits = Limits {
            spans: limit(Signal::Spans),
            logs: limit(Signal::Logs),
            batch: settings.batch.batch,
            delay: settings.batch.delay,
        };
        let queue = self.queue(limits, stats);
        let (ended, sink_ended) = oneshot::channel();
        let run = sink.run(queue, self.cancelled.clone());
        tokio::spawn(async move {
            run.await;
            let _nobody_waits = ended.send(());
        });
        self.sinks.push(sink_ended);
        Ok(())
    }

    fn local_queue(&mut self, stats: &Arc<SinkStats>) -> Arc<Queue> {
        let limit = |signal: &SignalSettings| match signal.batch.queue {
            DEFAULT_QUEUE_SIZE => LOCAL_QUEUE_SIZE,
            given => given,
        };
        let limits = Limits {
            spans: limit(&self.settings.traces),
            logs: limit(&self.settings.logs),
            batch: LOCAL_BATCH,
            delay: LOCAL_DELAY,
        };
        self.queue(limits, stats)
    }

    fn queue(&mut self, limits: Limits, stats: &Arc<SinkStats>) -> Arc<Queue> {
        let queue = Queue::new(limits, Arc::clone(stats));
        self.queues.push(Arc::clone(&queue));
        queue
    }

    /// Runs a sink that blocks in writes on a thread of its own: a terminal that is paused, a pipe that nobody
    /// reads must not stop the export to a collector. Such a thread ends with the process.
    fn spawn_thread(
        &mut self,
        name: &'static str,
        run: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ExportError> {
        let runtime = Handle::current();
        let (ended, sink_ended) = oneshot::channel();
        let body = move || {
            runtime.block_on(run);
            let _nobody_waits = ended.send(());
        };
        let thread = std::thread::Builder::new().name(format!("export-{name}")).spawn(body);
        thread.map_err(|error| ExportError::Thread(name, error))?;
        self.sinks.push(sink_ended);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;
    use crate::export::{DropReason, Variables, testing};

    fn settings(list: &[(&str, &str)]) -> Settings {
        let variables: Variables =
            list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Settings::from_variables(&variables).unwrap()
    }

    #[tokio::test]
    async fn every_sink_gets_every_item_and_the_books_balance() {
        let path = std::env::temp_dir().join(format!("tracer-{}-fan-out.jsonl", std::process::id()));
        // Port 9 of the loopback refuses.
        let settings = settings(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"),
            ("OTEL_BSP_SCHEDULE_DELAY", "0"),
        ]);
        let targets = [Target::File(path.clone()), Target::Otlp, Target::File(path.clone())];
        let (exporter, exporting) = start(&settings, &targets).unwrap();
        (0..10).for_each(|_| exporter.offer(testing::span("s")));
        exporter.offer(testing::log("l"));
        let summary = exporting.shutdown(Duration::from_millis(300), pending()).await;
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        std::fs::remove_file(&path).unwrap();
        assert!(lines >= 2);
        assert_eq!(summary.sinks.len(), 2);
        let (_, file_spans, file_logs) = &summary.sinks[0];
        assert_eq!((file_spans.exported, file_logs.exported), (10, 1));
        let (_, otlp_spans, otlp_logs) = &summary.sinks[1];
        assert_eq!(otlp_spans.dropped(DropReason::UnsentAtExit), 10);
        assert_eq!((otlp_logs.dropped_total(), otlp_logs.pending()), (1, 0));
    }

    #[tokio::test]
    async fn a_source_that_waits_for_room_loses_nothing() {
        let path = std::env::temp_dir().join(format!("tracer-{}-room.jsonl", std::process::id()));
        let settings = settings(&[("OTEL_BSP_MAX_QUEUE_SIZE", "600")]);
        let (exporter, exporting) = start(&settings, &[Target::File(path.clone())]).unwrap();
        let mut waited = 0;
        for _ in 0..5000 {
            let span = testing::span("s");
            if !exporter.has_room(&span) {
                waited += 1;
                exporter.room(&span).await;
            }
            exporter.offer(span);
        }
        let summary = exporting.shutdown(Duration::from_secs(30), pending()).await;
        std::fs::remove_file(&path).unwrap();
        let (_, spans, _) = &summary.sinks[0];
        assert_eq!((spans.exported, spans.dropped_total()), (5000, 0));
        assert!(waited > 0);
    }

    #[tokio::test]
    async fn nobody_waits_for_room_in_what_is_closed() {
        // Port 9 of the loopback refuses: nothing is ever taken.
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
        let settings =
            settings(&[endpoint, ("OTEL_BSP_MAX_QUEUE_SIZE", "1"), ("OTEL_BSP_SCHEDULE_DELAY", "60000")]);
        let (exporter, exporting) = start(&settings, &[Target::Otlp]).unwrap();
        exporter.offer(testing::span("s"));
        let span = testing::span("s");
        let close = async {
            assert!(!exporter.has_room(&span));
            exporting.close();
        };
        tokio::join!(exporter.room(&span), close);
    }

    #[tokio::test]
    async fn a_shutdown_with_nothing_to_send_is_quick() {
        let (_exporter, exporting) = start(&settings(&[]), &[Target::Otlp]).unwrap();
        let started = Instant::now();
        assert_eq!(exporting.shutdown(Duration::from_secs(30), pending()).await.sinks[0].1.offered, 0);
        assert!(started.elapsed() < Duration::from_secs(5));
    }

    #[tokio::test]
    async fn whoever_is_in_a_hurry_does_not_wait_for_the_deadline() {
        let settings = settings(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")]);
        let (exporter, exporting) = start(&settings, &[Target::Otlp]).unwrap();
        exporter.offer(testing::span("s"));
        let started = Instant::now();
        let summary = exporting.shutdown(Duration::from_secs(30), ready(())).await;
        assert!(started.elapsed() < Duration::from_secs(5));
        assert_eq!(summary.sinks[0].1.dropped(DropReason::UnsentAtExit), 1);
    }
}
