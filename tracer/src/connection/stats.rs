//! Counters of the connection stage.

use std::collections::BTreeMap;

use serde::Serialize;

/// What became of connections and their bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ConnectionStats {
    /// Connections that were added to the table.
    pub opened: u64,
    /// Connections whose close was told.
    pub closed: u64,
    /// Connections forgotten because the table was full.
    pub evicted: u64,
    /// Connections forgotten because the agent's memory was short.
    pub evicted_for_memory: u64,
    /// Connections whose socket address was taken over by another one before their close was told.
    pub displaced: u64,
    /// Connections that moved bytes without having been announced.
    pub unannounced: u64,
    /// Connections seen from an end that is not wanted: the other end is told.
    pub other_end: u64,
    /// Connections by protocol.
    pub by_protocol: BTreeMap<&'static str, u64>,
    /// Connections of a protocol that is not ours.
    pub unknown: u64,
    /// Connections whose protocol was still undecided when the bound on held bytes was reached, or at their end.
    pub undecided: u64,
    /// TLS connections.
    pub tls: u64,
    /// HTTP/2 connections, with prior knowledge or by an upgrade from HTTP/1.
    pub http2: u64,
    /// Connections that went over to another protocol in order: WebSocket and other upgrades, tunnels.
    pub upgraded: u64,
    /// Bytes received or sent on sockets.
    pub bytes: u64,
    /// Calls whose position lay ahead of the stream: no event told of the bytes between.
    pub jumps: u64,
    /// Bytes that such jumps skipped.
    pub jump_bytes: u64,
    /// Calls of which only head and tail were captured.
    pub windowed: u64,
    /// Bytes between head and tail.
    pub windowed_bytes: u64,
    /// Calls whose bytes did not pass through user memory (sendfile, splice).
    pub uncapturable: u64,
    /// Bytes of such calls.
    pub uncapturable_bytes: u64,
    /// Calls discarded because all their bytes lay before the stream's position.
    pub step_back: u64,
    /// Calls of which a first part lay before the stream's position and was cut.
    pub overlap: u64,
    /// Late events of connections whose socket address has a new owner.
    pub stale: u64,
    /// Bytes discarded while a connection's protocol was looked for.
    pub undetected_bytes: u64,
}
