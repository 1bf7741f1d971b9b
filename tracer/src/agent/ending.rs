//! Why the agent ends: it was asked to, or a part of it is gone.

use std::io;
use std::thread;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// How long the runtime is given to hand on a signal that has come already.
const SIGNAL_DELIVERY: Duration = Duration::from_millis(2);

/// SIGTERM and SIGINT, caught from the moment it is made.
#[derive(Debug)]
pub struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// Catches the signals.
    ///
    /// # Errors
    /// What the system says.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Until one of the signals has come.
    pub async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Whether one of the signals has come already. Its result is final: ask no more after `true`.
    pub async fn has_come(&mut self) -> bool {
        tokio::time::timeout(SIGNAL_DELIVERY, self.wait()).await.is_ok()
    }
}

/// The result of a thread, which comes when it ends.
#[derive(Debug)]
pub struct Worker<T> {
    end: oneshot::Receiver<T>,
}

/// A thread that ended by a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panicked;

impl<T: Send + 'static> Worker<T> {
    /// Starts a thread.
    ///
    /// # Errors
    /// What the system says.
    pub fn start(name: &str, work: impl FnOnce() -> T + Send + 'static) -> io::Result<Self> {
        let (ended, end) = oneshot::channel();
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            // The receiver is gone only when the agent itself is ending.
            let _ = ended.send(work());
        })?;
        Ok(Self { end })
    }

    /// Until the thread has ended.
    ///
    /// # Errors
    /// When it panicked: it is noticed at once, because unwinding drops what the result would have been sent by.
    pub async fn ended(&mut self) -> Result<T, Panicked> {
        (&mut self.end).await.map_err(|_| Panicked)
    }
}

/// Until `stop` is over; the result of `worker` if that ends before.
pub async fn stopped_or_ended<T: Send + 'static>(
    stop: impl Future<Output = ()>,
    worker: &mut Worker<T>,
) -> Option<Result<T, Panicked>> {
    tokio::select! {
        () = stop => None,
        ended = worker.ended() => Some(ended),
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::panic;
    use std::sync::mpsc;

    use super::*;

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn a_panic_is_noticed_at_once() {
        let mut worker = Worker::start("test", || -> u32 {
            // Unwinds like a panic, without a message among the tests' output.
            panic::resume_unwind(Box::new("broken"))
        })
        .unwrap();
        assert_eq!(run(stopped_or_ended(pending(), &mut worker)), Some(Err(Panicked)));
    }

    #[test]
    fn a_worker_goes_on_when_it_is_asked_to_stop() {
        let (go_on, wait) = mpsc::channel::<u32>();
        let mut worker = Worker::start("test", move || wait.recv().unwrap()).unwrap();
        assert_eq!(run(stopped_or_ended(ready(()), &mut worker)), None);
        go_on.send(7).unwrap();
        assert_eq!(run(worker.ended()), Ok(7));
    }

    #[test]
    fn a_signal_that_came_before_anybody_waited_is_not_lost() {
        run(async {
            let mut stop = Stop::listen().unwrap();
            assert!(!stop.has_come().await);
            // SAFETY: the signal is caught by the line above, for the whole process.
            unsafe { libc::raise(libc::SIGTERM) };
            assert!(stop.has_come().await);
        });
    }
}
