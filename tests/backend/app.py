"""A messaging backend: Flask, a new PyMySQL connection for each request, redis-py with a pool.

Every route takes an optional `request_id` (letters, digits, `_` and `-`, at most 64), in the query or else in the
JSON body. The id then stands in everything that the route does, so that each statement, command and log line can
be told apart from those of other requests. With <id> for it (without one, what is in brackets is left out):

route                       MariaDB (new connection each)             Redis (pooled)                   log lines
--------------------------  ----------------------------------------  -------------------------------  ---------
GET  /healthz               -                                         -                                -
POST /api/db/message        <connect> INSERT INTO messages            LPUSH api_logs[:<id>] <entry>    INFO  "message stored"
     {sender, body}           [.. RETURNING id AS `req_<id>`] COMMIT  LTRIM api_logs[:<id>] 0 99
GET  /api/db/messages       <connect> SELECT .. [AS `req_<id>`]       -                                INFO  "messages listed"
                              FROM messages
POST /api/login             <connect> SELECT .. [AS `req_<id>`]       SETEX session:<token> 3600 name  INFO  "login" or
     {user, password}         FROM users                                (not when refused: 401)        WARNING "login refused"
POST /api/logout {token}    -                                         GET session:<token>              INFO  "logout" or
                                                                      DEL session:<token> (if known,   WARNING "logout refused"
                                                                        else 401)
GET  /api/logs/redis        -                                         LRANGE api_logs[:<id>] 0 99      INFO  "logs listed"
GET  /api/fail              -                                         -                                ERROR, traceback; 500
GET  /api/chatty            <connect> SELECT 1 [AS `req_<id>`]         -                                INFO  "before"
                              SELECT 2 [AS `req_<id>`]                                                 INFO  "between"
                                                                                                       INFO  "after"
GET  /api/sql-error         <connect> SELECT 1 [AS `req_<id>`] FROM   -                                ERROR, traceback; 500
                              no_such_table (error 1146)
GET  /api/redis-error       -                                         SET api_string[:<id>] text       ERROR, traceback; 500
                                                                      LPUSH api_string[:<id>] x
                                                                        (WRONGTYPE)

<connect> is the handshake, then what PyMySQL sends by itself: SET NAMES utf8mb4, SET AUTOCOMMIT = 0; the connection
ends with COM_QUIT. <token> is the id itself, or 32 random hex digits. Each log line ends with ` request_id=<id>`.
A new pooled Redis connection begins with what redis-py sends by itself (HELLO, CLIENT SETINFO ..).

Environment: DB_HOST, DB_PORT or DB_SOCKET; DB_USER, DB_PASSWORD, DB_NAME; REDIS_HOST, REDIS_PORT or REDIS_SOCKET;
LOG_FORMAT=json|text; BACKGROUND_LINES=1 for a thread that logs "background <n>" every 20 ms.
"""

import hashlib
import itertools
import json
import logging
import os
import re
import secrets
import sys
import threading
import time
from datetime import datetime, timezone

import pymysql
import redis
from flask import Flask, g, jsonify, request
from werkzeug.exceptions import BadRequest, HTTPException

SESSION_SECONDS = 3600
LOGS_KEPT = 100
REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

app = Flask(__name__)
logger = logging.getLogger("backend")


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record):
        entry = {
            "timestamp": datetime.fromtimestamp(record.created, timezone.utc).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def configure_logging():
    handler = logging.StreamHandler(sys.stdout)
    if os.environ.get("LOG_FORMAT", "json") == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


def database_settings():
    settings = {
        "user": os.environ.get("DB_USER", "jiwoo"),
        "password": os.environ.get("DB_PASSWORD", ""),
        "database": os.environ.get("DB_NAME", "jiwoo"),
    }
    if "DB_SOCKET" in os.environ:
        return settings | {"unix_socket": os.environ["DB_SOCKET"]}
    host = os.environ.get("DB_HOST", "127.0.0.1")
    return settings | {"host": host, "port": int(os.environ.get("DB_PORT", "3306"))}


def redis_pool():
    if "REDIS_SOCKET" in os.environ:
        return redis.ConnectionPool(
            connection_class=redis.UnixDomainSocketConnection,
            path=os.environ["REDIS_SOCKET"],
            decode_responses=True,
        )
    return redis.ConnectionPool(
        host=os.environ.get("REDIS_HOST", "127.0.0.1"),
        port=int(os.environ.get("REDIS_PORT", "6379")),
        decode_responses=True,
    )


def log_in_the_background():
    for number in itertools.count():
        logger.info("background %d", number)
        time.sleep(0.02)


configure_logging()
if os.environ.get("BACKGROUND_LINES") == "1":
    threading.Thread(target=log_in_the_background, daemon=True).start()
DATABASE = database_settings()
store = redis.Redis(connection_pool=redis_pool())


def log(level, message):
    suffix = f" request_id={g.request_id}" if g.request_id else ""
    logger.log(level, "%s%s", message, suffix)


def body():
    return request.get_json(silent=True) or {}


def key(name):
    return f"{name}:{g.request_id}" if g.request_id else name


def alias():
    """A column alias that carries the request's id; safe, since the id was matched against REQUEST_ID."""
    return f" AS `req_{g.request_id}`" if g.request_id else ""


@app.before_request
def read_request_id():
    g.request_id = request.args.get("request_id") or body().get("request_id") or ""
    if g.request_id and not REQUEST_ID.fullmatch(g.request_id):
        g.request_id = ""
        raise BadRequest("request_id: letters, digits, _ and -, at most 64")


@app.errorhandler(Exception)
def answer_failure(error):
    if isinstance(error, HTTPException):
        return jsonify(error=error.name, detail=error.description), error.code
    suffix = f" request_id={g.request_id}" if g.get("request_id") else ""
    logger.exception("request failed: %s%s", error, suffix)
    return jsonify(error=type(error).__name__, detail=str(error)), 500


@app.get("/healthz")
def healthz():
    return jsonify(status="ok")


@app.post("/api/db/message")
def add_message():
    sender = body().get("sender", "anonymous")
    text = body().get("body", "")
    returning = f" RETURNING id{alias()}" if g.request_id else ""
    connection = pymysql.connect(**DATABASE)
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO messages (sender, body) VALUES (%s, %s){returning}", (sender, text))
            message_id = cursor.fetchone()[0] if returning else cursor.lastrowid
        connection.commit()
    finally:
        connection.close()
    entry = {"route": "POST /api/db/message", "message_id": message_id, "request_id": g.request_id}
    store.lpush(key("api_logs"), json.dumps(entry))
    store.ltrim(key("api_logs"), 0, LOGS_KEPT - 1)
    log(logging.INFO, f"message stored id={message_id}")
    return jsonify(id=message_id), 201


@app.get("/api/db/messages")
def list_messages():
    connection = pymysql.connect(**DATABASE)
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT id, sender, body{alias()} FROM messages ORDER BY id DESC LIMIT %s", (20,))
            rows = cursor.fetchall()
    finally:
        connection.close()
    log(logging.INFO, f"messages listed count={len(rows)}")
    return jsonify(messages=[{"id": row[0], "sender": row[1], "body": row[2]} for row in rows])


@app.post("/api/login")
def login():
    name = body().get("user", "")
    digest = hashlib.sha256(body().get("password", "").encode()).hexdigest()
    connection = pymysql.connect(**DATABASE)
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT id{alias()} FROM users WHERE name = %s AND password_hash = %s", (name, digest)
            )
            user = cursor.fetchone()
    finally:
        connection.close()
    if user is None:
        log(logging.WARNING, "login refused")
        return jsonify(error="unknown user or wrong password"), 401
    token = g.request_id or secrets.token_hex(16)
    store.setex(f"session:{token}", SESSION_SECONDS, name)
    log(logging.INFO, f"login user_id={user[0]}")
    return jsonify(token=token)


@app.post("/api/logout")
def logout():
    session = f"session:{body().get('token', '')}"
    if store.get(session) is None:
        log(logging.WARNING, "logout refused")
        return jsonify(error="no such session"), 401
    store.delete(session)
    log(logging.INFO, "logout")
    return jsonify(status="ok")


@app.get("/api/logs/redis")
def list_logs():
    entries = store.lrange(key("api_logs"), 0, LOGS_KEPT - 1)
    log(logging.INFO, f"logs listed count={len(entries)}")
    return jsonify(logs=[json.loads(entry) for entry in entries])


@app.get("/api/fail")
def fail():
    raise RuntimeError("deliberate failure")


@app.get("/api/chatty")
def chatty():
    log(logging.INFO, "before")
    connection = pymysql.connect(**DATABASE)
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT 1{alias()}")
            log(logging.INFO, "between")
            cursor.execute(f"SELECT 2{alias()}")
    finally:
        connection.close()
    log(logging.INFO, "after")
    return jsonify(status="ok")


@app.get("/api/sql-error")
def sql_error():
    connection = pymysql.connect(**DATABASE)
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT 1{alias()} FROM no_such_table")
    finally:
        connection.close()
    return jsonify(status="unreachable")


@app.get("/api/redis-error")
def redis_error():
    store.set(key("api_string"), "text")
    store.lpush(key("api_string"), "x")
    return jsonify(status="unreachable")
