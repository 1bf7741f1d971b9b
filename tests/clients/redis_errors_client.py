"""Redis over plain sockets, made to refuse in every way that it has, and what it said each time.

`single`: one server, REDIS_PORT. `cluster`: the node of REDIS_PORT, which has the first half of the slots; the one of
OTHER_ID has the others.
"""

import os
import socket
import sys

from account import Account

account = Account()
port = int(os.environ["REDIS_PORT"])


class Connection:
    """Speaks RESP2, as far as is needed here."""

    def __init__(self):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.replies = self.socket.makefile("rb")

    def send(self, *words):
        """Sends a command, whose reply is still to be read."""
        words = [str(word).encode() for word in words]
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
        self.name = words[0].decode()

    def reply(self):
        """Reads a reply: a value, or the first word of an error. What it says is noted."""
        error, value = self.read()
        account.add(self.name, error=error)
        return error or value

    def call(self, *words):
        self.send(*words)
        return self.reply()

    def read(self):
        line = self.replies.readline().rstrip(b"\r\n")
        kind, rest = line[:1], line[1:]
        if kind == b"-":
            return rest.split(b" ")[0].decode(), None
        if kind == b"$" and rest != b"-1":
            value = self.replies.read(int(rest))
            self.replies.read(2)
            return None, value
        if kind == b"*":
            return None, [self.read()[1] for _ in range(int(rest))]
        return None, rest


def want(expected, said):
    assert said == expected, f"{said!r} instead of {expected}"


def single():
    connection = Connection()
    call = connection.call
    # Of the data.
    call("SET", "text", "planted-value")
    want("WRONGTYPE", call("LPUSH", "text", "planted-value"))
    call("XGROUP", "CREATE", "stream", "group", "$", "MKSTREAM")
    want("BUSYGROUP", call("XGROUP", "CREATE", "stream", "group", "$"))
    want("NOGROUP", call("XREADGROUP", "GROUP", "none", "consumer", "STREAMS", "stream", ">"))
    want("BUSYKEY", call("RESTORE", "text", 0, "planted-value"))
    # Of transactions.
    call("MULTI")
    want("ERR", call("SET", "text"))
    want("EXECABORT", call("EXEC"))
    # Of scripts.
    want("NOSCRIPT", call("EVALSHA", "0" * 40, 0))
    want("NOTBUSY", call("SCRIPT", "KILL"))
    want("MINE", call("EVAL", "return redis.error_reply('MINE planted-text')", 0))
    # A server that is busy with a script tells other connections.
    other = Connection()
    connection.send("EVAL", "while true do end", 0)
    while other.call("GET", "text") != "BUSY":
        pass
    other.call("SCRIPT", "KILL")
    want("ERR", connection.reply())
    # One that loads its data too: 25 ms for each key.
    for number in range(20):
        call("SET", f"key:{number}", "planted" * 300)
    call("CONFIG", "SET", "key-load-delay", 25000)
    connection.send("DEBUG", "RELOAD")
    while other.call("GET", "text") != "LOADING":
        pass
    want(b"OK", connection.reply())
    # Of memory, replicas, and versions.
    call("CONFIG", "SET", "maxmemory", 1)
    want("OOM", call("SET", "other", "planted-value"))
    call("CONFIG", "SET", "maxmemory", 0)
    call("CONFIG", "SET", "min-replicas-to-write", 1)
    want("NOREPLICAS", call("SET", "other", "planted-value"))
    call("CONFIG", "SET", "min-replicas-to-write", 0)
    want("NOPROTO", call("HELLO", 4))
    # A replica whose master is not there.
    call("REPLICAOF", "127.0.0.1", 1)
    want("READONLY", call("SET", "other", "planted-value"))
    call("CONFIG", "SET", "replica-serve-stale-data", "no")
    want("MASTERDOWN", call("GET", "text"))
    call("REPLICAOF", "NO", "ONE")
    # Of users.
    call("ACL", "SETUSER", "reader", "on", ">planted-password", "+get", "~text")
    want("WRONGPASS", call("AUTH", "reader", "planted-wrong-password"))
    want(b"OK", call("AUTH", "reader", "planted-password"))
    want("NOPERM", call("SET", "text", "planted-value"))
    want("NOPERM", call("GET", "other"))
    other.call("CONFIG", "SET", "requirepass", "planted-password")
    fresh = Connection()
    want("NOAUTH", fresh.call("GET", "text"))
    want("WRONGPASS", fresh.call("HELLO", 3, "AUTH", "default", "planted-wrong-password"))
    want(b"OK", fresh.call("AUTH", "planted-password"))


def cluster():
    connection = Connection()
    call = connection.call
    # `hello` has slot 866, `bar` 5061: this node's. `foo` has 12182: the other's.
    other = os.environ["OTHER_ID"]
    call("SET", "hello", "planted-value")
    want("MOVED", call("GET", "foo"))
    want("MOVED", call("SET", "foo", "planted-value"))
    want("CROSSSLOT", call("MGET", "hello", "bar"))
    call("SET", "{bar}:1", "planted-value")
    call("CLUSTER", "SETSLOT", 5061, "MIGRATING", other)
    want("ASK", call("GET", "bar"))
    want("TRYAGAIN", call("MGET", "{bar}:1", "{bar}:2"))
    call("CLUSTER", "SETSLOT", 5061, "STABLE")
    want(b"planted-value", call("GET", "{bar}:1"))
    call("MULTI")
    want("MOVED", call("GET", "foo"))
    want("EXECABORT", call("EXEC"))
    call("CLUSTER", "DELSLOTS", 866)
    want("CLUSTERDOWN", call("GET", "hello"))


{"single": single, "cluster": cluster}[sys.argv[1]]()
account.write()
