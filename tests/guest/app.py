"""The traced application: one thread a connection, MariaDB by PyMySQL, Redis by redis-py, a log line a request.

It knows nothing of the tracer. Every request carries `?request=ID`; the id comes back in the log line, in a SQL
alias and in a Redis key, none of which a tracer masks, so that each can be told apart afterwards.
"""

import json
import logging
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pymysql
import redis

CACHE = redis.Redis(host="127.0.0.1", port=6379)


def connect():
    return pymysql.connect(
        host="127.0.0.1", user="app", password="guest", database="shop", autocommit=False
    )


def store_message(request):
    """What the main route does: a transaction, then the log of calls in Redis."""
    connection = connect()
    try:
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO messages (body) VALUES (%s)", (f"secret-{request}",))
            cursor.execute(f"SELECT COUNT(*) AS {request} FROM messages")
            (count,) = cursor.fetchone()
        connection.commit()
    finally:
        connection.close()
    key = f"api_logs:{request}"
    CACHE.lpush(key, f"secret-{request}")
    CACHE.ltrim(key, 0, 99)
    return {"count": count}


def broken_sql(request):
    connection = connect()
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {request} FROM no_such_table")
    finally:
        connection.close()


def broken_redis(request):
    """WRONGTYPE: `text` is a string since the application started."""
    CACHE.lpush("text", f"secret-{request}")


def health(_request):
    """Answers once both servers do."""
    connect().close()
    CACHE.set("text", "not a list")
    return {"status": "up"}


ROUTES = {
    ("POST", "/api/db/message"): store_message,
    ("GET", "/api/db/broken"): broken_sql,
    ("GET", "/api/redis/broken"): broken_redis,
    ("GET", "/healthz"): health,
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        url = urlsplit(self.path)
        request = parse_qs(url.query).get("request", [""])[0]
        route = ROUTES.get((self.command, url.path))
        error = None
        if route is None:
            status, reply = 404, {"error": "no such route"}
        else:
            try:
                status, reply = 200, route(request)
            except (pymysql.Error, redis.RedisError, OSError) as failure:
                status, reply, error = 500, {"error": "internal"}, str(failure)
        if request:
            level = "ERROR" if error else "INFO"
            logging.info(json.dumps({"level": level, "request": request, "error": error}))
        body = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer

    def log_message(self, *_):
        """The line above is the only one a request writes."""


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.INFO)
    ThreadingHTTPServer(("127.0.0.1", 8080), Handler).serve_forever()
