//! What became of a capture's packets.

use std::fmt;

use serde::Serialize;

use super::segment::Skip;

/// Counters of a capture.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CaptureStats {
    /// Packets.
    pub packets: u64,
    /// Packets without time, or of an interface that was not described.
    pub unusable: u64,
    /// Packets of a link layer that is not read.
    pub unknown_link: u64,
    /// Packets that are not IP.
    pub not_ip: u64,
    /// IP packets that are not TCP.
    pub not_tcp: u64,
    /// Fragments of IP packets.
    pub fragments: u64,
    /// Packets that were cut before the end of their headers.
    pub cut_headers: u64,
    /// Packets whose headers contradict themselves.
    pub malformed: u64,
    /// TCP segments.
    pub segments: u64,
    /// TCP connections.
    pub connections: u64,
    /// Connections that were under way when the capture began.
    pub midstream: u64,
    /// Connections forgotten because there were too many.
    pub evicted: u64,
    /// Streams.
    pub flows: FlowStats,
}

/// Counters of the streams of all connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FlowStats {
    /// Captured bytes of streams, each once.
    pub bytes: u64,
    /// Segments of which all had been seen.
    pub retransmitted: u64,
    /// Segments of which some had been seen.
    pub overlaps: u64,
    /// Bytes that had been seen.
    pub retransmitted_bytes: u64,
    /// Segments of one byte that had been seen: keep-alives.
    pub keep_alives: u64,
    /// Segments that came before others that belong before them.
    pub held: u64,
    /// Holes in streams.
    pub gaps: u64,
    /// Bytes of holes.
    pub gap_bytes: u64,
    /// Segments that were cut when they were captured.
    pub cut: u64,
    /// Bytes that were cut off.
    pub cut_bytes: u64,
    /// Segments of connections that were over.
    pub after_end: u64,
    /// Resets that cannot be of their connection.
    pub stray_resets: u64,
}

impl CaptureStats {
    pub(super) fn skipped(&mut self, why: Skip) {
        let counter = match why {
            Skip::UnknownLink => &mut self.unknown_link,
            Skip::NotIp => &mut self.not_ip,
            Skip::NotTcp => &mut self.not_tcp,
            Skip::Fragment => &mut self.fragments,
            Skip::CutHeader => &mut self.cut_headers,
            Skip::Malformed => &mut self.malformed,
        };
        *counter += 1;
    }
}

impl fmt::Display for CaptureStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { packets, segments, connections, midstream, .. } = self;
        writeln!(
            f,
            "{packets} packets: {segments} TCP segments of {connections} connections, {midstream} of which had begun \
             before."
        )?;
        let reasons = [
            (self.not_ip, "because they are not IP"),
            (self.not_tcp, "because they are not TCP"),
            (self.unknown_link, "because their link layer is not known"),
            (self.fragments, "because they are fragments"),
            (self.cut_headers, "because they were cut within their headers"),
            (self.malformed, "because their headers contradict themselves"),
            (self.unusable, "because they have no time, or no interface"),
        ];
        for (count, reason) in reasons.into_iter().filter(|(count, _)| *count > 0) {
            writeln!(f, "{count} packets were skipped {reason}.")?;
        }
        if self.evicted > 0 {
            writeln!(f, "{} connections were forgotten because there were too many.", self.evicted)?;
        }
        self.flows.fmt(f)
    }
}

impl fmt::Display for FlowStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            gaps,
            gap_bytes,
            cut,
            cut_bytes,
            retransmitted,
            overlaps,
            held,
            after_end,
            stray_resets,
            ..
        } = self;
        if *gaps > 0 {
            writeln!(f, "{gaps} gaps of {gap_bytes} bytes in all are not in the capture.")?;
        }
        if *cut > 0 {
            writeln!(f, "{cut} segments were cut by {cut_bytes} bytes in all when they were captured.")?;
        }
        if retransmitted + overlaps + held > 0 {
            writeln!(
                f,
                "{retransmitted} segments came again, {overlaps} overlapped, {held} came before their turn."
            )?;
        }
        if *after_end > 0 {
            writeln!(f, "{after_end} segments came after the end of their connection.")?;
        }
        if *stray_resets > 0 {
            writeln!(
                f,
                "{stray_resets} resets were not believed: they are far from where their connection is."
            )?;
        }
        Ok(())
    }
}
