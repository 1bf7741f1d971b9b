"""A program under test that makes exactly the calls it is told to make, and nothing else.

    python hands.py IN OUT

Each line of the FIFO `IN` is a JSON object: "do" names a function below, the other members are its arguments. The
answer is one line of `OUT`: {"ok": value} or {"error": text}. So standard input and output are the test's own.
"""

import array
import json
import os
import select
import socket
import struct
import subprocess
import sys
import threading

import messages

sockets = {}
listeners = {}
children = {}
threads = {}
clients = {}


# Connections.


def listen(name, family="inet", path=None, port=0):
    """Listens on loopback or on a path; tells the port."""
    kinds = {"inet": socket.AF_INET, "inet6": socket.AF_INET6, "dual": socket.AF_INET6, "unix": socket.AF_UNIX}
    listener = socket.socket(kinds[family], socket.SOCK_STREAM)
    if family == "unix":
        listener.bind(path)
    else:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == "dual":
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(({"inet": "127.0.0.1", "inet6": "::1", "dual": "::"}[family], port))
    listener.listen(64)
    listeners[name] = listener
    return None if family == "unix" else listener.getsockname()[1]


def accept(name, listener):
    """Accepts a connection; tells its descriptor."""
    sockets[name], _ = listeners[listener].accept()
    return sockets[name].fileno()


def connect(name, port=None, path=None, family="inet"):
    """Connects to loopback or to a path; tells the descriptor."""
    if path:
        sockets[name] = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sockets[name].connect(path)
    else:
        kind, host = (socket.AF_INET6, "::1") if family == "inet6" else (socket.AF_INET, "127.0.0.1")
        sockets[name] = socket.socket(kind, socket.SOCK_STREAM)
        sockets[name].connect((host, port))
    return sockets[name].fileno()


def connect_without_waiting(name, port):
    """Connects a socket that does not block, and then waits; tells what `connect` said."""
    sockets[name] = socket.socket()
    sockets[name].setblocking(False)
    said = sockets[name].connect_ex(("127.0.0.1", port))
    wait_writable(name)
    sockets[name].setblocking(True)
    return said


def pair(first, second):
    """Makes a connected pair of Unix sockets."""
    sockets[first], sockets[second] = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)


def close(name):
    sockets.pop(name).close()


def shutdown(name):
    sockets[name].shutdown(socket.SHUT_WR)


def dup(name, to):
    """A second descriptor of the same connection."""
    sockets[to] = sockets[name].dup()
    return sockets[to].fileno()


def set_nonblocking(name, send_buffer=None):
    sockets[name].setblocking(False)
    if send_buffer:
        sockets[name].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)


def send_fd(over, name):
    """Passes a connection to whoever is at the other end of `over` (SCM_RIGHTS)."""
    rights = array.array("i", [sockets[name].fileno()])
    sockets[over].sendmsg([b"F"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


def receive_fd(over, name):
    size = socket.CMSG_SPACE(array.array("i").itemsize)
    _, ancillary, _, _ = sockets[over].recvmsg(1, size)
    (descriptor,) = struct.unpack("i", ancillary[0][2])
    sockets[name] = socket.socket(fileno=descriptor)
    return descriptor


# Bytes.


def cut(data, sizes):
    """The pieces of `data`; the last takes what is left."""
    pieces, at = [], 0
    for size in sizes[:-1]:
        pieces.append(data[at : at + size])
        at += size
    return pieces + [data[at:]]


def send(name, data="", fill=0, via="send", sizes=()):
    """Sends `data` and `fill` bytes more by one call of the kind `via`; tells how many went."""
    data = data.encode("latin-1") + b"x" * fill
    sock = sockets[name]
    pieces = cut(data, sizes) if sizes else [data]
    if via == "send":
        return sock.send(data)
    if via == "write":
        return os.write(sock.fileno(), data)
    if via == "writev":
        return os.writev(sock.fileno(), pieces)
    if via == "sendmsg":
        return sock.sendmsg(pieces)
    if via == "sendmmsg":
        return messages.send(sock.fileno(), pieces)
    raise ValueError(via)


def send_all(name, data="", fill=0, until_full=False):
    """Sends on a socket that does not block, until all went (or it is full); tells the calls, how many said EAGAIN, and
    the bytes sent."""
    data = data.encode("latin-1") + b"x" * fill
    calls = again = at = 0
    while at < len(data):
        calls += 1
        try:
            at += sockets[name].send(data[at:])
        except BlockingIOError:
            again += 1
            if until_full:
                break
            wait_writable(name)
    return [calls, again, at]


def wait_writable(name):
    waiting = select.poll()
    waiting.register(sockets[name], select.POLLOUT)
    waiting.poll(10_000)


def receive(name, size=65536, via="recv", sizes=()):
    """Receives by one call of the kind `via`; tells what came, or "EAGAIN"."""
    sock = sockets[name]
    try:
        if via == "recv":
            return sock.recv(size).decode("latin-1")
        if via == "peek":
            return sock.recv(size, socket.MSG_PEEK).decode("latin-1")
        if via == "read":
            return os.read(sock.fileno(), size).decode("latin-1")
        buffers = [bytearray(one) for one in sizes or [size]]
        if via == "readv":
            got = os.readv(sock.fileno(), buffers)
        elif via == "recvmsg":
            got = sock.recvmsg_into(buffers)[0]
        elif via == "recvmmsg":
            return b"".join(messages.receive(sock.fileno(), buffers)).decode("latin-1")
        else:
            raise ValueError(via)
        return b"".join(buffers)[:got].decode("latin-1")
    except BlockingIOError:
        return "EAGAIN"


def receive_until(name, end, step):
    """Receives `step` bytes at a time until what came ends with `end`; tells how many calls that took."""
    got, calls = "", 0
    while not got.endswith(end):
        part = receive(name, step)
        if not part:
            raise EOFError(got)
        got += part
        calls += 1
    return calls


def sendfile(name, path, data):
    """Sends `data`, then the file at `path` by sendfile; tells the calls of that."""
    send(name, data)
    with open(path, "rb") as file:
        left, calls = os.fstat(file.fileno()).st_size, 0
        offset = 0
        while left:
            sent = os.sendfile(sockets[name].fileno(), file.fileno(), offset, left)
            offset += sent
            left -= sent
            calls += 1
        return calls


def splice(name, path, data):
    """Sends `data`, then the file at `path` through a pipe by splice."""
    send(name, data)
    reader, writer = os.pipe()
    with open(path, "rb") as file:
        left = os.fstat(file.fileno()).st_size
        while left:
            moved = os.splice(file.fileno(), writer, min(left, 65536))
            left -= moved
            while moved:
                moved -= os.splice(reader, sockets[name].fileno(), moved)
    os.close(reader)
    os.close(writer)


def echo(kind, text):
    """Passes `text` through something that is no stream socket; tells what arrived."""
    if kind in ("pipe", "file"):
        reader, writer = os.pipe() if kind == "pipe" else (os.memfd_create("file"),) * 2
        os.write(writer, text.encode())
        if kind == "file":
            os.lseek(reader, 0, os.SEEK_SET)
        arrived = os.read(reader, 65536)
        for descriptor in {reader, writer}:
            os.close(descriptor)
        return arrived.decode()
    if kind == "udp":
        receiver, sender = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        receiver.bind(("127.0.0.1", 0))
        sender.connect(receiver.getsockname())
    else:
        socket_kind = socket.SOCK_DGRAM if kind == "unix-datagram" else socket.SOCK_SEQPACKET
        receiver, sender = socket.socketpair(socket.AF_UNIX, socket_kind)
    with receiver, sender:
        sender.send(text.encode())
        os.write(sender.fileno(), b"again")
        return receiver.recv(65536).decode()


# Processes and threads.


def identify():
    return os.getpid()


def fork(name):
    """Forks a child that takes commands, by `tell`."""
    down_read, down_write = os.pipe()
    up_read, up_write = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(down_write)
        os.close(up_read)
        children.clear()
        obey(os.fdopen(down_read), os.fdopen(up_write, "w"))
        os._exit(0)
    os.close(down_read)
    os.close(up_write)
    children[name] = (os.fdopen(down_write, "w"), os.fdopen(up_read))
    return process


def tell(child, command):
    """Has a child do something."""
    down, up = children[child]
    print(json.dumps(command), file=down, flush=True)
    answer = json.loads(up.readline())
    if "error" in answer:
        raise RuntimeError(answer["error"])
    return answer["ok"]


def begin(name, command):
    """Does something on a thread of its own; tells the thread's id."""
    result = {}
    started = threading.Event()

    def run():
        result["thread"] = threading.get_native_id()
        started.set()
        result.update(perform(command))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    started.wait()
    threads[name] = (thread, result)
    return result["thread"]


def finish(name):
    """Waits for such a thread; tells what its command told."""
    thread, result = threads.pop(name)
    thread.join(10)
    if thread.is_alive():
        raise TimeoutError(name)
    if "error" in result:
        raise RuntimeError(result["error"])
    return result["ok"]


# Logs.


def say(text, fd=1):
    """Writes a line."""
    os.write(fd, text.encode() + b"\n")


def run_captured(text):
    """Runs a program whose output is a pipe of ours; tells what it said."""
    return subprocess.run(["sh", "-c", f"echo {text}; echo {text} >&2"], capture_output=True, check=True).stdout.decode()


def run_shell(command):
    """Runs a program; tells what it said."""
    return subprocess.run(["sh", "-c", command], capture_output=True, check=True).stdout.decode()


def run_inherited(text):
    """Runs a program that says something where we do."""
    subprocess.run(["sh", "-c", f"echo {text}"], check=True)


# Drivers.


def mysql_connect(name, port=None, path=None):
    import pymysql

    where = {"unix_socket": path} if path else {"host": "127.0.0.1", "port": port}
    clients[name] = pymysql.connect(user="jiwoo", password="planted-db-password", database="jiwoo", **where)


def mysql_query(name, sql):
    with clients[name].cursor() as cursor:
        cursor.execute(sql)
        return [list(row) for row in cursor.fetchall()]


def redis_connect(name, port=None, path=None):
    import redis

    where = {"unix_socket_path": path} if path else {"host": "127.0.0.1", "port": port}
    clients[name] = redis.Redis(single_connection_client=True, **where)
    clients[name].ping()


def redis_do(name, words):
    return str(clients[name].execute_command(*words))


# Commands.


def perform(command):
    command = dict(command)
    try:
        return {"ok": globals()[command.pop("do")](**command)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def obey(commands, answers):
    for line in commands:
        print(json.dumps(perform(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    obey(open(sys.argv[1]), open(sys.argv[2], "w"))
