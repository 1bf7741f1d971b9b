//! Capability and status flags.
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/group__group__cs__capabilities__flags.html>,
//! <https://mariadb.com/kb/en/connection/#capabilities>

/// MySQL's CLIENT_LONG_PASSWORD; a MariaDB server leaves it out to tell itself apart.
pub(super) const MYSQL: u32 = 1;
pub(super) const CONNECT_WITH_DB: u32 = 1 << 3;
pub(super) const COMPRESS: u32 = 1 << 5;
pub(super) const PROTOCOL_41: u32 = 1 << 9;
pub(super) const SSL: u32 = 1 << 11;
pub(super) const SECURE_CONNECTION: u32 = 1 << 15;
pub(super) const PLUGIN_AUTH_LENENC: u32 = 1 << 21;
pub(super) const SESSION_TRACK: u32 = 1 << 23;
pub(super) const DEPRECATE_EOF: u32 = 1 << 24;
pub(super) const ZSTD: u32 = 1 << 26;
pub(super) const QUERY_ATTRIBUTES: u32 = 1 << 27;

/// Another result follows this one.
pub(super) const STATUS_MORE_RESULTS: u16 = 0x0008;
/// The rows wait on the server for COM_STMT_FETCH.
pub(super) const STATUS_CURSOR: u16 = 0x0040;
/// SQL mode NO_BACKSLASH_ESCAPES is on.
pub(super) const STATUS_NO_BACKSLASH: u16 = 0x0200;
/// Session state follows in an OK packet.
pub(super) const STATUS_SESSION_STATE: u16 = 0x4000;
