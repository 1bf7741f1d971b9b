"""PyMySQL's connection, made to send each command of the protocol that drivers seldom send, and to be refused."""

import os
import struct
import threading

import pymysql
from account import Account
from pymysql._auth import scramble_native_password
from pymysql.constants import CLIENT, COMMAND, CR

account = Account()
SEND_LONG_DATA, STMT_CLOSE, STMT_RESET = 0x18, 0x19, 0x1A
SET_OPTION, STMT_FETCH, RESET_CONNECTION = 0x1B, 0x1C, 0x1F
NO_COMMAND = 0x42
CURSOR_READ_ONLY = 1
BLOB, LONG = 0xFC, 0x03
NO_ATTRIBUTES = b"\0"


def connect(**how):
    to = {
        "host": "127.0.0.1",
        "port": int(os.environ["DB_PORT"]),
        "user": os.environ["DB_USER"],
        "password": os.environ["DB_PASSWORD"],
        "database": os.environ["DB_NAME"],
        "autocommit": True,
    }
    connection = pymysql.connect(**(to | how))
    # The server commits by itself already.
    account.add("SET")
    return connection


def tried(name, work, rows=None):
    """Notes what was done, or how it was refused."""
    try:
        result = work()
    except pymysql.err.MySQLError as error:
        account.add(name, error="connection_closed" if error.args[0] == CR.CR_SERVER_LOST else error.args[0])
        return None
    account.add(name, rows=len(result) if rows else None)
    return result


class Session:
    """A connection, packet by packet."""

    def __init__(self):
        self.connection = connect()

    def send(self, command, arguments=b""):
        self.connection._execute_command(command, arguments)

    def ok(self, command, arguments=b""):
        self.send(command, arguments)
        self.connection._read_packet()

    def until_eof(self):
        """Packets up to an EOF packet, without it."""
        packets = []
        while not (packet := self.connection._read_packet()).is_eof_packet():
            packets.append(packet)
        return packets

    def prepare(self, text):
        self.send(COMMAND.COM_STMT_PREPARE, text)
        packet = self.connection._read_packet()
        identifier, columns, parameters = struct.unpack_from("<xIHH", packet.get_all_data())
        for _ in range((parameters > 0) + (columns > 0)):
            self.until_eof()
        return identifier

    def execute(self, statement, flags, arguments):
        self.send(COMMAND.COM_STMT_EXECUTE, struct.pack("<IBI", statement, flags, 1) + arguments)
        if self.connection._read_packet().is_ok_packet():
            return []
        self.until_eof()
        return [] if flags == CURSOR_READ_ONLY else self.until_eof()

    def fetch(self, statement, rows):
        self.send(STMT_FETCH, struct.pack("<II", statement, rows))
        return self.until_eof()

    def change_user(self, password, database):
        connection = self.connection
        proof = scramble_native_password(password.encode(), connection.salt)
        arguments = connection.user + b"\0" + bytes([len(proof)]) + proof + database.encode() + b"\0"
        self.send(0x11, arguments + struct.pack("<H", 45) + b"mysql_native_password\0" + NO_ATTRIBUTES)
        packet = connection._read_packet()
        if packet.is_auth_switch_request():
            salt = packet.get_all_data().split(b"\0", 1)[1].rstrip(b"\0")
            connection.write_packet(scramble_native_password(password.encode(), salt))
            connection._read_packet()


def number(value):
    """The arguments of EXECUTE after its head: one integer, not null, with its type."""
    return b"\0\1" + struct.pack("<HI", LONG, value)


def statements(session):
    cursor = tried("PREPARE SELECT items", lambda: session.prepare("SELECT id, name FROM items WHERE id > ?"))
    tried("SELECT items", lambda: session.execute(cursor, 0, number(290)), rows=True)
    # Rows stay on the server until they are fetched.
    tried("SELECT items", lambda: session.execute(cursor, CURSOR_READ_ONLY, number(100)))
    for expected in (80, 80, 40):
        assert len(tried("FETCH", lambda: session.fetch(cursor, 80), rows=True)) == expected
    # It is exhausted.
    tried("FETCH", lambda: session.fetch(cursor, 80))
    # The next result of the same cursor is dropped half way.
    tried("SELECT items", lambda: session.execute(cursor, CURSOR_READ_ONLY, number(0)))
    tried("FETCH", lambda: session.fetch(cursor, 3), rows=True)
    tried("STMT_RESET", lambda: session.ok(STMT_RESET, struct.pack("<I", cursor)))
    tried("FETCH", lambda: session.fetch(cursor, 3))
    # A value in two pieces, sent before the others.
    insert = tried("PREPARE INSERT notes", lambda: session.prepare("INSERT INTO notes (body, size) VALUES (?, ?)"))
    for piece in (b"planted " * 5000, b"planted-end"):
        session.send(SEND_LONG_DATA, struct.pack("<IH", insert, 0) + piece)
    arguments = b"\0\1" + struct.pack("<HHI", BLOB, LONG, 40011)
    tried("INSERT notes", lambda: session.execute(insert, 0, arguments))
    session.send(STMT_CLOSE, struct.pack("<I", cursor))
    # Nobody knows what it was any more.
    tried("EXECUTE", lambda: session.execute(cursor, 0, number(290)))
    tried("PREPARE SELECT missing", lambda: session.prepare("SELECT body FROM missing WHERE id = ?"))
    with session.connection.cursor() as counting:
        counting.execute("SELECT LENGTH(body) FROM notes WHERE size = 40011")
        assert counting.fetchall() == ((40011,),)
        account.add("SELECT notes", rows=1)


def commands(session):
    tried("PING", lambda: session.ok(COMMAND.COM_PING))
    tried("STATISTICS", lambda: session.ok(COMMAND.COM_STATISTICS))
    tried("UNKNOWN", lambda: session.ok(NO_COMMAND))
    tried("SET_OPTION", lambda: session.ok(SET_OPTION, b"\0\0"))

    def fields(table):
        session.send(COMMAND.COM_FIELD_LIST, table + b"\0")
        assert len(session.until_eof()) == 2

    tried("FIELD_LIST", lambda: fields(b"items"))
    tried("FIELD_LIST", lambda: fields(b"missing"))
    tried("INIT_DB", lambda: session.ok(COMMAND.COM_INIT_DB, b"information_schema"))
    tried("INIT_DB", lambda: session.ok(COMMAND.COM_INIT_DB, b"not_there"))
    tried("PROCESS_KILL", lambda: session.ok(COMMAND.COM_PROCESS_KILL, struct.pack("<I", 999999)))
    tried("CHANGE_USER", lambda: session.change_user(os.environ["DB_PASSWORD"], os.environ["DB_NAME"]))
    tried("PING", lambda: session.ok(COMMAND.COM_PING))
    tried("RESET_CONNECTION", lambda: session.ok(RESET_CONNECTION))
    tried("INIT_DB", lambda: session.ok(COMMAND.COM_INIT_DB, os.environ["DB_NAME"].encode()))
    # Who is refused is put out.
    tried("CHANGE_USER", lambda: session.change_user("planted-wrong-password", os.environ["DB_NAME"]))


def killed(session):
    """A connection that waits for an answer is killed by another one."""
    victim = connect()
    waiting = threading.Thread(target=lambda: tried("SELECT", lambda: victim.cursor().execute("SELECT SLEEP(60)")))
    waiting.start()
    with session.connection.cursor() as cursor:
        while True:
            cursor.execute("SELECT COUNT(*) FROM information_schema.processlist WHERE state = 'User sleep'")
            account.add("SELECT information_schema.processlist", rows=1)
            if cursor.fetchone()[0]:
                break
    tried("PROCESS_KILL", lambda: session.ok(COMMAND.COM_PROCESS_KILL, struct.pack("<I", victim.thread_id())))
    waiting.join()


def refused():
    tried("CONNECT", lambda: connect(password="planted-wrong-password"))
    tried("CONNECT", lambda: connect(database="not_there"))


def several():
    """Statements in one text: results and errors of all."""
    connection = connect(client_flag=CLIENT.MULTI_STATEMENTS)
    cursor = connection.cursor()

    def work(text):
        count = 0
        cursor.execute(text)
        count += len(cursor.fetchall())
        while cursor.nextset():
            count += len(cursor.fetchall())
        return range(count)

    text = "SELECT id FROM items WHERE id <= 7; DELETE FROM notes WHERE body = 'planted'; SELECT name FROM many LIMIT 5"
    tried("SELECT items DELETE notes SELECT many", lambda: work(text), rows=True)
    # The rows that came before the refusal are told with it.
    try:
        work("SELECT id FROM items WHERE id <= 3; SELECT 'planted' FROM missing")
    except pymysql.err.MySQLError as error:
        account.add("SELECT items SELECT missing", rows=3, error=error.args[0])


statements(Session())
commands(Session())
killed(Session())
refused()
several()
account.write()
