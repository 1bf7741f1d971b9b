"""PyMySQL: a result of 100,000 rows, and statements of some 20 KB; with the times of the transfer."""

import os
import time

import pymysql
from account import Account

account = Account()
connection = pymysql.connect(
    host="127.0.0.1",
    port=int(os.environ["DB_PORT"]),
    user=os.environ["DB_USER"],
    password=os.environ["DB_PASSWORD"],
    database=os.environ["DB_NAME"],
    cursorclass=pymysql.cursors.SSCursor,
)
cursor = connection.cursor()
account.add("start", time.time_ns())
cursor.execute("SELECT id, name FROM many")
rows = sum(1 for _ in cursor)
account.add("end", time.time_ns())
account.add("SELECT many", rows=rows)
values = [(f"planted-{number}-" + "x" * 90, number) for number in range(180)]
assert cursor.executemany("INSERT INTO notes (body, size) VALUES (%s, %s)", values) == len(values)
account.add("INSERT notes")
connection.commit()
account.add("COMMIT")
# No value in it, and longer than what is kept of a text.
cursor.execute("SELECT " + ", ".join(["name"] * 4000) + " FROM items WHERE id = 1")
account.add("SELECT", rows=len(cursor.fetchall()))
connection.close()
account.add("SET", times=2)
account.write()
