"""mysql-connector-python, in pure Python or over MariaDB's and MySQL's C library: text and prepared statements."""

import os
import sys

import mysql.connector
from account import Account

account = Account()
pure = sys.argv[1] == "pure"

for _ in range(3):
    connection = mysql.connector.connect(
        host="127.0.0.1",
        port=int(os.environ["DB_PORT"]),
        user=os.environ["DB_USER"],
        password=os.environ["DB_PASSWORD"],
        database=os.environ["DB_NAME"],
        collation="utf8mb4_general_ci",
        ssl_disabled=True,
        use_pure=pure,
    )
    # What the driver sets, and asks for, on a new connection.
    account.add("SET", times=2 if pure else 1)
    account.add("SELECT" if pure else "set", rows=1 if pure else None)
    cursor = connection.cursor()
    for least in range(0, 300, 6):
        cursor.execute("SELECT id, name FROM items WHERE id > %s", (least,))
        account.add("SELECT items", rows=len(cursor.fetchall()))
    cursor.executemany(
        "INSERT INTO notes (body, size) VALUES (%s, %s)", [(f"planted-{each}", each) for each in range(40)]
    )
    account.add("INSERT notes")
    connection.commit()
    account.add("COMMIT" if pure else "commit")
    try:
        cursor.execute("SELECT 'planted' FROM missing")
    except mysql.connector.ProgrammingError as error:
        account.add("SELECT missing", error=error.errno)
    cursor.close()
    prepared = connection.cursor(prepared=True)
    for least in range(0, 300, 6):
        prepared.execute("SELECT name FROM items WHERE id > %s", (least,))
        account.add("SELECT items", rows=len(prepared.fetchall()))
    account.add("PREPARE SELECT items")
    prepared.close()
    connection.ping()
    # The driver pings at times of its own choice, and resets statements: the server has counted.
    cursor = connection.cursor()
    cursor.execute("SHOW SESSION STATUS WHERE Variable_name IN ('Com_admin_commands', 'Com_stmt_reset')")
    counted = {name: int(count) for name, count in cursor.fetchall()}
    account.add("SHOW STATUS", rows=2)
    account.add("PING", times=counted["Com_admin_commands"])
    account.add("STMT_RESET", times=counted["Com_stmt_reset"])
    connection.close()

account.write()
