"""Requests to the application, and a record of each: the truth that the spans are held against."""

import http.client
import json
import threading

ADDRESS = ("127.0.0.1", 8080)
CONCURRENCY = 4
# What one connection asks for, in order. `kind` names the expectation in xtask/src/vm/verdict.rs.
PLAN = [
    ("message", "POST", "/api/db/message"),
    ("message", "POST", "/api/db/message"),
    ("broken-sql", "GET", "/api/db/broken"),
    ("message", "POST", "/api/db/message"),
    ("broken-redis", "GET", "/api/redis/broken"),
    ("missing", "GET", "/missing"),
]


def ask(connection, method, path):
    """One exchange on an open connection: the status."""
    body = b'{"message": "hello"}' if method == "POST" else None
    connection.request(method, path, body)
    response = connection.getresponse()
    response.read()
    return response.status


def ill():
    """What keeps the application and its servers from answering; empty when they do."""
    connection = http.client.HTTPConnection(*ADDRESS, timeout=10)
    try:
        status = ask(connection, "GET", "/healthz")
        return "" if status == 200 else f"status {status}"
    except (OSError, http.client.HTTPException) as failure:
        return repr(failure)
    finally:
        connection.close()


def healthy():
    """Whether the application and its servers answer."""
    return not ill()


def work(prefix, worker, record):
    connection = http.client.HTTPConnection(*ADDRESS, timeout=30)
    for number, (kind, method, path) in enumerate(PLAN):
        request = f"{prefix}{worker}_{number}"
        status = ask(connection, method, f"{path}?request={request}")
        record.append({"request": request, "kind": kind, "method": method, "path": path, "status": status})
    connection.close()


def drive(prefix, path):
    """Sends the plan over all connections at once and writes the record, a JSON object a line.

    An exception in a worker leaves its requests out of the record: the number planned, in front, tells of it.
    """
    record = [{"planned": CONCURRENCY * len(PLAN)}]
    workers = [threading.Thread(target=work, args=(prefix, n, record)) for n in range(CONCURRENCY)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(entry) + "\n" for entry in record)
