//! Commands: a request's first byte.

use super::reply::Shape;

/// What a client asks for.
/// <https://dev.mysql.com/doc/dev/mysql-server/latest/my__command_8h.html>,
/// <https://mariadb.com/kb/en/2-text-protocol/>
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// No command byte: the client's answer to the greeting, until the server lets it in or not.
    Connect,
    /// COM_QUIT
    Quit,
    /// COM_INIT_DB
    InitDb,
    /// COM_QUERY
    Query,
    /// COM_FIELD_LIST
    FieldList,
    /// COM_CREATE_DB
    CreateDb,
    /// COM_DROP_DB
    DropDb,
    /// COM_REFRESH
    Refresh,
    /// COM_SHUTDOWN
    Shutdown,
    /// COM_STATISTICS
    Statistics,
    /// COM_PROCESS_INFO
    ProcessInfo,
    /// COM_PROCESS_KILL
    ProcessKill,
    /// COM_DEBUG
    Debug,
    /// COM_PING
    Ping,
    /// COM_CHANGE_USER
    ChangeUser,
    /// COM_BINLOG_DUMP and COM_BINLOG_DUMP_GTID: replication, an endless answer.
    BinlogDump,
    /// COM_REGISTER_SLAVE
    RegisterReplica,
    /// COM_STMT_PREPARE
    Prepare,
    /// COM_STMT_EXECUTE
    Execute,
    /// COM_STMT_SEND_LONG_DATA
    SendLongData,
    /// COM_STMT_CLOSE
    CloseStatement,
    /// COM_STMT_RESET
    ResetStatement,
    /// COM_SET_OPTION
    SetOption,
    /// COM_STMT_FETCH
    Fetch,
    /// COM_RESET_CONNECTION
    ResetConnection,
    /// MariaDB's COM_STMT_BULK_EXECUTE
    BulkExecute,
    /// One that is none of these.
    Unknown,
}

impl Command {
    /// The command that `byte` stands for. Those that only a server sends to itself are unknown here.
    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0x01 => Self::Quit,
            0x02 => Self::InitDb,
            0x03 => Self::Query,
            0x04 => Self::FieldList,
            0x05 => Self::CreateDb,
            0x06 => Self::DropDb,
            0x07 => Self::Refresh,
            0x08 => Self::Shutdown,
            0x09 => Self::Statistics,
            0x0a => Self::ProcessInfo,
            0x0c => Self::ProcessKill,
            0x0d => Self::Debug,
            0x0e => Self::Ping,
            0x11 => Self::ChangeUser,
            0x12 | 0x1e => Self::BinlogDump,
            0x15 => Self::RegisterReplica,
            0x16 => Self::Prepare,
            0x17 => Self::Execute,
            0x18 => Self::SendLongData,
            0x19 => Self::CloseStatement,
            0x1a => Self::ResetStatement,
            0x1b => Self::SetOption,
            0x1c => Self::Fetch,
            0x1f => Self::ResetConnection,
            0xfa => Self::BulkExecute,
            _ => return None,
        })
    }

    /// The command's name as spans show it: the protocol's, without `COM_` and `STMT_` where that is clear.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Quit => "QUIT",
            Self::InitDb => "INIT_DB",
            Self::Query => "QUERY",
            Self::FieldList => "FIELD_LIST",
            Self::CreateDb => "CREATE_DB",
            Self::DropDb => "DROP_DB",
            Self::Refresh => "REFRESH",
            Self::Shutdown => "SHUTDOWN",
            Self::Statistics => "STATISTICS",
            Self::ProcessInfo => "PROCESS_INFO",
            Self::ProcessKill => "PROCESS_KILL",
            Self::Debug => "DEBUG",
            Self::Ping => "PING",
            Self::ChangeUser => "CHANGE_USER",
            Self::BinlogDump => "BINLOG_DUMP",
            Self::RegisterReplica => "REGISTER_REPLICA",
            Self::Prepare => "PREPARE",
            Self::Execute => "EXECUTE",
            Self::SendLongData => "SEND_LONG_DATA",
            Self::CloseStatement => "STMT_CLOSE",
            Self::ResetStatement => "STMT_RESET",
            Self::SetOption => "SET_OPTION",
            Self::Fetch => "FETCH",
            Self::ResetConnection => "RESET_CONNECTION",
            Self::BulkExecute => "BULK_EXECUTE",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// What the answer looks like; `None`: there is none.
    pub(super) fn shape(self) -> Option<Shape> {
        match self {
            Self::Quit | Self::SendLongData | Self::CloseStatement | Self::BinlogDump => None,
            Self::Connect | Self::ChangeUser => Some(Shape::Login),
            Self::Query | Self::Execute | Self::BulkExecute | Self::ProcessInfo => Some(Shape::Results),
            Self::FieldList => Some(Shape::Definitions),
            Self::Statistics => Some(Shape::Text),
            Self::Prepare => Some(Shape::Prepared),
            Self::Fetch => Some(Shape::Rows),
            Self::InitDb
            | Self::CreateDb
            | Self::DropDb
            | Self::Refresh
            | Self::Shutdown
            | Self::ProcessKill
            | Self::Debug
            | Self::Ping
            | Self::RegisterReplica
            | Self::ResetStatement
            | Self::SetOption
            | Self::ResetConnection
            | Self::Unknown => Some(Shape::Simple),
        }
    }
}
