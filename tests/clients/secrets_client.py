"""Sends secrets everywhere where applications have them: to Redis, to MariaDB, over HTTP. Counts what it sent, by the write.

Each has `planted` in it, in some case, or is the number 424242424242.
"""

import base64
import contextlib
import http.client
import os
import socket
import struct

import mysql.connector
import pymysql
from account import Account

account = Account()
NUMBER = 424242424242


def redis():
    connection = socket.create_connection(("127.0.0.1", int(os.environ["REDIS_PORT"])))
    replies = connection.makefile("rb")

    def read():
        line = replies.readline().rstrip(b"\r\n")
        if line[:1] == b"$" and line != b"$-1":
            replies.read(int(line[1:]) + 2)
        elif line[:1] in b"*%":
            for _ in range(int(line[1:]) * (2 if line[:1] == b"%" else 1)):
                read()

    def pack(*words):
        words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)

    def call(*commands):
        """One write."""
        connection.sendall(b"".join(commands))
        for _ in commands:
            read()
        account.add("redis")

    script = f"return redis.call('SET', KEYS[1], 'planted-in-script') and {NUMBER} and ARGV[1]"
    for words in (
        ("AUTH", "planted-password"),
        ("auth", "default", "planted-password"),
        ("HELLO", 3, "AUTH", "default", "planted-password", "SETNAME", "me"),
        ("HELLO", 2),
        ("CONFIG", "SET", "masterauth", "planted-password"),
        ("config", "set", "requirepass", "", "masteruser", "planted-user"),
        ("ACL", "SETUSER", "somebody", "on", ">planted-password", "~*", "+@all"),
        ("ACL", "SETUSER", "somebody", "<planted-password"),
        ("ACL", "GENPASS"),
        ("MIGRATE", "127.0.0.1", 1, "", 0, 10, "AUTH2", "default", "planted-password", "KEYS", "key"),
        ("MIGRATE", "127.0.0.1", 1, "key", 0, 10, "AUTH", "planted-password"),
        ("SET", "key", "planted-value", "EX", 100),
        ("SETEX", "key", 100, "planted-value"),
        ("APPEND", "key", "planted-value"),
        ("MSET", "key", "planted-value", "other", "planted-value"),
        ("GETSET", "key", "planted-value"),
        ("HSET", "hash", "field", "planted-value", "other", NUMBER),
        ("HSETNX", "hash", "field", "planted-value"),
        ("LPUSH", "list", "planted-value", NUMBER),
        ("LREM", "list", 1, "planted-value"),
        ("SADD", "set", "planted-member"),
        ("SISMEMBER", "set", "planted-member"),
        ("ZADD", "sorted", 1, "planted-member"),
        ("ZSCORE", "sorted", "planted-member"),
        ("GEOADD", "places", 13.4, 52.5, "planted-member"),
        ("XADD", "stream", "*", "field", "planted-value"),
        ("PFADD", "counter", "planted-member"),
        ("PUBLISH", "channel", "planted-message"),
        ("ECHO", "planted-text"),
        ("PING", "planted-text"),
        ("EVAL", script, 1, "key", "planted-argument"),
        ("SCRIPT", "LOAD", script),
        ("FUNCTION", "LOAD", "#!lua name=planted\n" + script),
        ("RESTORE", "key", 0, b"planted-\x00\xff"),
        ("SORT", "list", "BY", "planted-*", "GET", "planted-*"),
        ("DEBUG", "SET-ACTIVE-EXPIRE", "planted"),
        ("NOSUCH", "planted-password"),
        ("SENTINEL", "SET", "master", "auth-pass", "planted-password"),
        ("LPUSH", "key", "planted-value"),
    ):
        call(pack(*words))
    call(pack("MULTI"), pack("SET", "key", "planted-value"), pack("AUTH", "planted-password"), pack("EXEC"))
    call(*(pack("SET", f"key:{number}", "planted-" + "x" * 200) for number in range(50)))
    # As people type them.
    for line in ("AUTH planted-password", "set key \"planted-value\"", "'planted pass'"):
        call(line.encode() + b"\r\n")
    connection.close()


STATEMENTS = f"""
SELECT 'planted', "planted", 'it''s planted', 'it\\'s planted', "\\"planted", N'planted', _utf8'planted', 'a' 'planted'
SELECT x'706c616e746564', X'706C616E746564', 0x706c616e746564, b'0111', {NUMBER}, -{NUMBER}.{NUMBER}, {NUMBER}e1, .{NUMBER}
SELECT 1 /* planted */ + 1 -- planted
SELECT 1 # planted
SELECT /*+ planted */ 1 /*!50000 , 'planted' */ /*M!100000 , 'planted' */
SELECT DATE '2026-01-01', TIMESTAMP 'planted' AS 'planted'
SELECT * FROM items WHERE name LIKE '%planted%' ESCAPE '|' OR name IN ('planted', "planted") OR id = {NUMBER}
SELECT * FROM items WHERE MATCH (name) AGAINST ('planted')
INSERT INTO notes (body, size) VALUES ('planted', 1), ('planted', {NUMBER})
INSERT INTO notes SET body = 'planted', size = 2
UPDATE notes SET body = CONCAT('planted', "planted") WHERE body = 'planted'
REPLACE INTO notes VALUES (1, 'planted', 1)
CREATE USER somebody IDENTIFIED BY 'planted-password'
CREATE USER 'somebody'@'%' IDENTIFIED WITH mysql_native_password AS '*planted'
ALTER USER somebody IDENTIFIED BY "planted-password"
SET PASSWORD FOR somebody = PASSWORD('planted-password')
SET PASSWORD FOR nobody = 'planted-password'
GRANT SELECT ON *.* TO somebody IDENTIFIED BY 'planted-password'
CHANGE MASTER TO MASTER_USER = 'planted', MASTER_PASSWORD = 'planted'
CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (USER 'planted', PASSWORD 'planted')
SET @secret = 'planted', @other := {NUMBER}
PREPARE s FROM 'SELECT ''planted'', ?'
EXECUTE s USING 'planted'
EXECUTE IMMEDIATE 'SELECT ''planted'''
CALL missing('planted', {NUMBER})
DO SLEEP(0), 'planted'
LOAD DATA INFILE '/planted' INTO TABLE notes FIELDS TERMINATED BY 'planted'
SELECT AES_ENCRYPT('planted', 'planted-key'), PASSWORD('planted'), JSON_EXTRACT('{{"planted": 1}}', '$.planted')
SELECT 'planted
SELECT "planted \\
SELECT 'planted' FROM missing WHERE a = 'planted'; SELECT 'planted'
SELECT 1 AS a, 'planted-' '\\\\' 'planted' /* unfinished planted
SHOW TABLES LIKE 'planted%'
KILL QUERY {NUMBER}
"""


def mariadb():
    to = {name: os.environ[f"DB_{name.upper()}"] for name in ("user", "password")}
    to |= {"host": "127.0.0.1", "port": int(os.environ["DB_PORT"]), "database": os.environ["DB_NAME"]}
    connection = pymysql.connect(**to)
    cursor = connection.cursor()
    for statement in STATEMENTS.strip().splitlines():
        with contextlib.suppress(pymysql.err.MySQLError):
            cursor.execute(statement)
        account.add("mariadb")
    cursor.executemany(
        "INSERT INTO notes (body, size) VALUES (%s, %s)", [("planted" * 20, each) for each in range(200)]
    )
    account.add("mariadb")
    # A password in clear, as with PAM; and one that is wrong.
    connection._execute_command(0x11, connection.user + b"\0\x10planted-password\0" + struct.pack("<H", 45))
    connection._force_close()
    with contextlib.suppress(pymysql.err.MySQLError):
        pymysql.connect(**(to | {"password": "planted-wrong"}))
    account.add("mariadb", times=2)
    # Literals beside placeholders.
    connection = mysql.connector.connect(**to, collation="utf8mb4_general_ci", ssl_disabled=True, use_pure=True)
    prepared = connection.cursor(prepared=True)
    for where in (
        "name = %s AND name <> 'planted'",
        f'id > %s AND name <> "planted" AND id <> {NUMBER} /* planted */ LIMIT 5',
        "name IN (%s, %s) AND name <> x'706c616e746564' -- planted",
        "name = 'planted'",
    ):
        prepared.execute(f"SELECT name FROM items WHERE {where}", ("planted",) * where.count("%s"))
        prepared.fetchall()
        account.add("mariadb", times=2)
    connection.close()


def web():
    port = int(os.environ["HTTP_PORT"])
    connection = http.client.HTTPConnection("127.0.0.1", port)
    basic = base64.b64encode(b"user:planted-password").decode()
    headers = {
        "Authorization": f"Basic {basic}",
        "Proxy-Authorization": "Bearer planted-token",
        "Cookie": "session=planted-session; token=planted-token",
        "X-Api-Key": "planted-key",
        "Referer": f"http://127.0.0.1:{port}/?token=planted-token",
        "X-Forwarded-For": "192.0.2.1",
    }
    names = (
        "sig Signature AWSAccessKeyId X-Amz-Signature X-Amz-Credential X-Amz-Security-Token X-Goog-Signature token "
        "access_token refresh_token id_token csrf_token accessToken password passwd pwd user_password user[password] "
        "user%5Bpassword%5D api_key apikey api-key apiKey X-Api-Key secret client_secret secret_key private_key "
        "access_key auth authorization jwt session session_id sessionid JSESSIONID PHPSESSID passphrase credentials "
        "client_assertion code_verifier SAMLResponse signature x-amz-signature"
    ).split()
    paths = [f"/item?page=2&{name}=planted-value%3D&size=3" for name in names]
    paths += [
        "/item?next=http://127.0.0.1/?token=planted-token",
        "/item?next=http%3A%2F%2F127.0.0.1%2F%3Ftoken%3Dplanted-token&a=1",
        "/item;jsessionid=planted-session?a=1",
        "/item?token=planted-one&token=planted-two#planted",
        f"http://user:planted-password@127.0.0.1:{port}/item",
        f"http://planted-token@127.0.0.1:{port}/item?a=1",
    ]
    for path in paths:
        connection.request("GET", path, headers=headers)
        connection.getresponse().read()
    for kind, body in (
        ("application/json", '{"password": "planted-password"}'),
        ("application/x-www-form-urlencoded", "user=a&password=planted-password"),
    ):
        connection.request("POST", "/login", body=body, headers=headers | {"Content-Type": kind})
        connection.getresponse().read()
    account.add("web", times=len(paths) + 2)
    connection.close()


redis()
mariadb()
web()
account.write()
