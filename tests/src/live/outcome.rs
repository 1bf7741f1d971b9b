//! What a run of the tracer left.

use std::collections::BTreeMap;

use super::Telemetry;

/// Events that the probe counted as lost, by reason. Without those that were none.
pub type Losses = BTreeMap<String, u64>;

/// What a run of the tracer left, which ended on SIGTERM with exit status 0.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// All that it exported to its file; nothing if it was told to export elsewhere, or to leave the file unread.
    pub telemetry: Telemetry,
    /// All that it wrote to its standard error.
    pub stderr: String,
}

impl Outcome {
    /// The losses that the tracer tells when it ends.
    ///
    /// # Panics
    /// When it tells none: that would hide them.
    #[must_use]
    pub fn lost_in_kernel(&self) -> Losses {
        let marker = "lost in the kernel: ";
        let told = self.stderr.lines().rev().find_map(|line| line.split_once(marker));
        let (_, losses) = told.unwrap_or_else(|| panic!("the tracer told no losses:\n{}", self.stderr));
        losses.split(", ").filter(|loss| *loss != "nothing").map(loss).collect()
    }

    /// The sum of [`Self::lost_in_kernel`].
    #[must_use]
    pub fn lost_in_all(&self) -> u64 {
        self.lost_in_kernel().values().sum()
    }

    /// Exchanges that the tracer says became no span, for whatever reason.
    ///
    /// # Panics
    /// When what it says cannot be read.
    #[must_use]
    pub fn exchanges_without_span(&self) -> u64 {
        self.sum_before(" exchanges became no span")
    }

    /// Spans that the tracer says it could not export.
    ///
    /// # Panics
    /// When what it says cannot be read.
    #[must_use]
    pub fn spans_lost_in_export(&self) -> u64 {
        self.sum_before(" spans lost:")
    }

    /// Log records that the tracer says it could not export.
    ///
    /// # Panics
    /// When what it says cannot be read.
    #[must_use]
    pub fn logs_lost_in_export(&self) -> u64 {
        self.sum_before(" log records lost:")
    }

    /// Log lines that the tracer says it dropped because their process wrote too many.
    ///
    /// # Panics
    /// When what it says cannot be read.
    #[must_use]
    pub fn lines_over_the_rate(&self) -> u64 {
        self.sum_before(" log lines were dropped because their process wrote more")
    }

    /// The sum of the numbers that stand before `words`.
    fn sum_before(&self, words: &str) -> u64 {
        let told = self.stderr.lines().filter_map(|line| line.split_once(words));
        told.map(|(before, _)| before.rsplit(' ').next().unwrap_or_default())
            .map(|count| count.parse::<u64>().expect("a count"))
            .sum()
    }

    /// What the tracer says of itself once it has been asked to end: its counters, one a line.
    #[must_use]
    pub fn summary(&self) -> String {
        let from = self.stderr.rfind("stopping: ").unwrap_or(0);
        self.stderr.get(from..).unwrap_or_default().to_owned()
    }
}

/// `reason count`.
fn loss(text: &str) -> (String, u64) {
    let (reason, count) = text.rsplit_once(' ').expect("a reason and a count");
    (reason.to_owned(), count.parse().expect("a count"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn losses(line: &str) -> Losses {
        let stderr = format!("INFO stopping: x\nINFO lost in the kernel: {line}\nINFO 3 events\n");
        Outcome { telemetry: Telemetry::default(), stderr }.lost_in_kernel()
    }

    #[test]
    fn losses_are_read_by_reason() {
        assert_eq!(losses("nothing"), Losses::new());
        let expected = [("ring_full".to_owned(), 7), ("compat".to_owned(), 1)];
        assert_eq!(losses("ring_full 7, compat 1"), Losses::from(expected));
    }

    #[test]
    fn what_is_missing_later_is_summed() {
        let stderr = "INFO 3 exchanges became no span because a.\nINFO 4 exchanges became no span because b.\n\
                      INFO file: 5 spans and 0 log records exported; 6 spans lost: queue_full=6; 7 log records lost:\n";
        let outcome = Outcome { telemetry: Telemetry::default(), stderr: stderr.to_owned() };
        assert_eq!((outcome.exchanges_without_span(), outcome.spans_lost_in_export()), (7, 6));
        assert_eq!((outcome.logs_lost_in_export(), outcome.lines_over_the_rate()), (7, 0));
    }

    #[test]
    #[should_panic(expected = "told no losses")]
    fn losses_that_were_not_told_are_not_none() {
        let outcome = Outcome { telemetry: Telemetry::default(), stderr: "INFO stopping: x\n".to_owned() };
        let _losses = outcome.lost_in_kernel();
    }
}
